//! Certificates that turned out spent elsewhere, and what that did to the lease.

use scrip_protocol::{
    credits::Credits,
    id::{PaymentId, ResourceId},
    redemption::ConflictProof,
    time::UnixSeconds,
};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{
    LeaseNumber, Reader, Store, StoreError, TxError,
    leases::{end, insert_receipt},
    provisions::move_end,
    rows,
};

const TABLE: &str = "conflicts";

/// What a double spend did to the lease that it paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictEvent {
    /// Nothing: it had ended before.
    HadEnded,
    /// It was shortened by the certificate's value.
    Shortened,
    /// It ended, because nothing was left.
    Ended,
}

/// A recorded double spend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictRow {
    /// The payment that the certificate belonged to.
    pub payment_id: PaymentId,
    /// The lease that it paid for; `None` where that was gone already.
    pub lease_id: Option<ResourceId>,
    /// What the certificate was worth.
    pub value: Credits,
    /// What followed.
    pub event: ConflictEvent,
    /// When the lease ends, or ended, since.
    pub lease_until: Option<UnixSeconds>,
    /// When the vendor's answer was acted upon.
    pub learned_at: UnixSeconds,
    /// The proof.
    pub proof: ConflictProof,
}

/// The certificate that was spent elsewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConflictSubject {
    pub(crate) payment_id: PaymentId,
    pub(crate) certificate: [u8; 32],
    pub(crate) value: Credits,
    pub(crate) proof: ConflictProof,
    pub(crate) now: UnixSeconds,
}

/// What is to happen to the lease, decided from its state as it was read.
#[derive(Clone, Debug)]
pub(crate) enum ConflictDecision {
    /// Nothing.
    HadEnded { lease: Option<(ResourceId, UnixSeconds)> },
    /// It ends at `to` instead of `from`.
    Shorten {
        lease: LeaseNumber,
        lease_id: ResourceId,
        from: UnixSeconds,
        to: UnixSeconds,
        receipt: Vec<u8>,
    },
    /// It ends now, and was to end at `from`.
    End { lease: LeaseNumber, lease_id: ResourceId, from: UnixSeconds, receipt: Vec<u8> },
}

impl ConflictEvent {
    fn code(self) -> i64 {
        match self {
            Self::HadEnded => 0,
            Self::Shortened => 3,
            Self::Ended => 4,
        }
    }

    fn from_code(code: i64) -> Result<Self, TxError> {
        [Self::HadEnded, Self::Shortened, Self::Ended]
            .into_iter()
            .find(|event| event.code() == code)
            .ok_or(TxError::Damaged { table: TABLE })
    }
}

impl Store {
    /// Records a double spend and what it does to the lease, at once. `true` where that is done, now or before;
    /// `false` where the lease is not in the state any more that `decision` was made from.
    pub(crate) async fn record_conflict(
        &self,
        subject: ConflictSubject,
        decision: ConflictDecision,
    ) -> Result<bool, StoreError> {
        self.write("record_conflict", move |connection| {
            Box::pin(async move {
                if is_recorded(connection, &subject.payment_id, &subject.certificate).await? {
                    return Ok(true);
                }
                if !apply(connection, &decision, subject.now).await? {
                    return Ok(false);
                }
                insert(connection, &subject, &decision).await?;
                Ok(true)
            })
        })
        .await
    }
}

impl Reader {
    /// Whether a double spend is recorded.
    pub(crate) async fn conflict_is_recorded(
        &self,
        payment: PaymentId,
        certificate: [u8; 32],
    ) -> Result<bool, StoreError> {
        self.read("conflict_is_recorded", move |connection| {
            Box::pin(async move { is_recorded(connection, &payment, &certificate).await })
        })
        .await
    }

    /// The price that a payment was made at, in seconds per credit.
    pub(crate) async fn seconds_per_credit(
        &self,
        payment: PaymentId,
    ) -> Result<Option<u64>, StoreError> {
        self.read("seconds_per_credit", move |connection| {
            Box::pin(async move {
                let sql = "-- seconds_per_credit()
                    SELECT seconds_per_credit FROM provisions WHERE payment_id = $1";
                let query = sqlx::query(sql).bind(payment.as_bytes().as_slice());
                let row = query.fetch_optional(connection).await?;
                row.map(|row| rows::integer(&row, "seconds_per_credit", "provisions")).transpose()
            })
        })
        .await
    }

    /// All recorded double spends, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn conflicts(&self) -> Result<Vec<ConflictRow>, StoreError> {
        self.read("conflicts", |connection| {
            Box::pin(async move {
                let sql = "-- conflicts()
                    SELECT * FROM conflicts ORDER BY learned_at, payment_id, certificate_key";
                let rows = sqlx::query(sql).fetch_all(connection).await?;
                rows.iter().map(conflict).collect()
            })
        })
        .await
    }
}

async fn is_recorded(
    connection: &mut SqliteConnection,
    payment: &PaymentId,
    certificate: &[u8; 32],
) -> Result<bool, TxError> {
    let sql = "-- is_recorded()
        SELECT 1 FROM conflicts WHERE payment_id = $1 AND certificate_key = $2";
    let query = sqlx::query(sql).bind(payment.as_bytes().as_slice()).bind(certificate.as_slice());
    Ok(query.fetch_optional(connection).await?.is_some())
}

/// Changes the lease; `false` where it is not what the decision was made from.
async fn apply(
    connection: &mut SqliteConnection,
    decision: &ConflictDecision,
    now: UnixSeconds,
) -> Result<bool, TxError> {
    let (lease, receipt) = match decision {
        ConflictDecision::HadEnded { .. } => return Ok(true),
        ConflictDecision::Shorten { lease, from, to, receipt, .. } => {
            if !move_end(connection, *lease, *from, *to).await? {
                return Ok(false);
            }
            (*lease, receipt)
        }
        ConflictDecision::End { lease, from, receipt, .. } => {
            // Moving the end to where it was says whether it is still there.
            if !move_end(connection, *lease, *from, *from).await?
                || !end(connection, *lease, now).await?
            {
                return Ok(false);
            }
            (*lease, receipt)
        }
    };
    insert_receipt(connection, lease, receipt).await?;
    Ok(true)
}

async fn insert(
    connection: &mut SqliteConnection,
    subject: &ConflictSubject,
    decision: &ConflictDecision,
) -> Result<(), TxError> {
    let (event, lease_id, until) = match decision {
        ConflictDecision::HadEnded { lease } => {
            (ConflictEvent::HadEnded, lease.map(|(id, _)| id), lease.map(|(_, end)| end))
        }
        ConflictDecision::Shorten { lease_id, to, .. } => {
            (ConflictEvent::Shortened, Some(*lease_id), Some(*to))
        }
        ConflictDecision::End { lease_id, .. } => {
            (ConflictEvent::Ended, Some(*lease_id), Some(subject.now))
        }
    };
    let sql = "-- insert_conflict()
        INSERT INTO conflicts
            (payment_id, certificate_key, lease_id, value, event, lease_until, learned_at, proof)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    sqlx::query(sql)
        .bind(subject.payment_id.as_bytes().as_slice())
        .bind(subject.certificate.as_slice())
        .bind(lease_id.map(|id| id.as_bytes().to_vec()))
        .bind(rows::amount(subject.value.0))
        .bind(event.code())
        .bind(until.map(rows::stored))
        .bind(rows::stored(subject.now))
        .bind(subject.proof.encode())
        .execute(connection)
        .await?;
    Ok(())
}

fn conflict(row: &SqliteRow) -> Result<ConflictRow, TxError> {
    let lease_id: Option<Vec<u8>> = row.try_get("lease_id")?;
    let lease_id = lease_id.map(<[u8; 24]>::try_from).transpose();
    let lease_until: Option<i64> = row.try_get("lease_until")?;
    let lease_until = lease_until.map(u64::try_from).transpose();
    let proof = ConflictProof::decode(row.try_get("proof")?);
    let damaged = TxError::Damaged { table: TABLE };
    let (Ok(lease_id), Ok(lease_until), Ok(proof)) = (lease_id, lease_until, proof) else {
        return Err(damaged);
    };
    Ok(ConflictRow {
        payment_id: PaymentId::from_bytes(rows::bytes(row, "payment_id", TABLE)?),
        lease_id: lease_id.map(ResourceId::from_bytes),
        value: Credits(rows::integer(row, "value", TABLE)?),
        event: ConflictEvent::from_code(row.try_get("event")?)?,
        lease_until: lease_until.map(UnixSeconds),
        learned_at: UnixSeconds(rows::integer(row, "learned_at", TABLE)?),
        proof,
    })
}
