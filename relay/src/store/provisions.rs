//! What payments bought. Each of these transactions is keyed by the payment, so that doing it twice is doing it once.

use scrip_protocol::{
    id::{PaymentId, ResourceId},
    keys::PublicKey,
    time::UnixSeconds,
};
use sqlx::{Row, SqliteConnection};

use super::{
    LeaseKind, LeaseNumber, Reader, Store, StoreError, TxError, leases::insert_receipt, rows,
};

/// A payment, as far as it concerns a lease.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Provision {
    pub(crate) payment_id: PaymentId,
    pub(crate) made_at: UnixSeconds,
    pub(crate) credits: u32,
    pub(crate) seconds_per_credit: u64,
}

/// A resource to be provisioned, with the receipt that says so.
#[derive(Clone, Debug)]
pub(crate) struct NewLease {
    pub(crate) provision: Provision,
    pub(crate) lease_id: ResourceId,
    pub(crate) peer_id: ResourceId,
    pub(crate) owner_key: PublicKey,
    pub(crate) peer_key: PublicKey,
    pub(crate) kind: LeaseKind,
    pub(crate) lease_until: UnixSeconds,
    pub(crate) receipt: Vec<u8>,
}

/// How much may be promised at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    pub(crate) queues: u64,
    pub(crate) chunk_bytes: u64,
}

/// What became of a new lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Provisioned {
    /// It is there now.
    Done,
    /// The payment had provisioned before: its receipt.
    Before(Vec<u8>),
    /// All that there is is promised to others.
    NoSpace,
}

/// More time for a lease that ends at `expected_until`, with the receipt that says so.
#[derive(Clone, Debug)]
pub(crate) struct Extension {
    pub(crate) provision: Provision,
    pub(crate) lease: LeaseNumber,
    pub(crate) expected_until: UnixSeconds,
    pub(crate) lease_until: UnixSeconds,
    pub(crate) receipt: Vec<u8>,
}

/// What became of an extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Extended {
    /// The lease is longer now.
    Done,
    /// The payment had bought something before: its receipt.
    Before(Vec<u8>),
    /// The lease ends at another time than expected: look again.
    Overtaken,
}

impl Reader {
    /// The receipt of a payment, if it bought something.
    pub(crate) async fn receipt_of_payment(
        &self,
        payment: PaymentId,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.read("receipt_of_payment", move |connection| {
            Box::pin(async move { receipt_of(connection, &payment).await })
        })
        .await
    }

    /// Whether there is room for one more of this kind.
    pub(crate) async fn has_room(
        &self,
        kind: LeaseKind,
        capacity: Capacity,
    ) -> Result<bool, StoreError> {
        self.read("has_room", move |connection| {
            Box::pin(async move { has_room(connection, &kind, &capacity).await })
        })
        .await
    }
}

impl Store {
    /// As [`Reader::receipt_of_payment`], after everything that was ordered before: `None` is certain.
    pub(crate) async fn settled_receipt(
        &self,
        payment: PaymentId,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.write("settled_receipt", move |connection| {
            Box::pin(async move { receipt_of(connection, &payment).await })
        })
        .await
    }

    /// Provisions a resource.
    pub(crate) async fn provision(
        &self,
        new: NewLease,
        capacity: Capacity,
    ) -> Result<Provisioned, StoreError> {
        self.write("provision", move |connection| {
            Box::pin(async move {
                if let Some(receipt) = receipt_of(connection, &new.provision.payment_id).await? {
                    return Ok(Provisioned::Before(receipt));
                }
                if !has_room(connection, &new.kind, &capacity).await? {
                    return Ok(Provisioned::NoSpace);
                }
                promise(connection, &new.kind).await?;
                let lease = insert_lease(connection, &new).await?;
                insert_provision(connection, &new.provision, lease, &new.receipt).await?;
                Ok(Provisioned::Done)
            })
        })
        .await
    }

    /// Extends a lease.
    pub(crate) async fn extend(&self, extension: Extension) -> Result<Extended, StoreError> {
        self.write("extend", move |connection| {
            Box::pin(async move {
                let Extension { provision, lease, expected_until, lease_until, receipt } =
                    extension;
                if let Some(receipt) = receipt_of(connection, &provision.payment_id).await? {
                    return Ok(Extended::Before(receipt));
                }
                if !move_end(connection, lease, expected_until, lease_until).await? {
                    return Ok(Extended::Overtaken);
                }
                insert_provision(connection, &provision, lease, &receipt).await?;
                Ok(Extended::Done)
            })
        })
        .await
    }
}

/// Moves the end of a lease that has not ended and ends at `from`; `false` where it does not.
pub(super) async fn move_end(
    connection: &mut SqliteConnection,
    lease: LeaseNumber,
    from: UnixSeconds,
    to: UnixSeconds,
) -> Result<bool, TxError> {
    let sql = "-- move_end()
        UPDATE leases SET lease_until = $3
        WHERE number = $1 AND lease_until = $2 AND ended_at IS NULL";
    let query = sqlx::query(sql).bind(lease.0).bind(rows::stored(from)).bind(rows::stored(to));
    Ok(query.execute(connection).await?.rows_affected() == 1)
}

pub(super) async fn receipt_of(
    connection: &mut SqliteConnection,
    payment: &PaymentId,
) -> Result<Option<Vec<u8>>, TxError> {
    let sql = "-- receipt_of()
        SELECT receipt FROM provisions WHERE payment_id = $1";
    let query = sqlx::query(sql).bind(payment.as_bytes().as_slice());
    let row = query.fetch_optional(connection).await?;
    Ok(row.map(|row| row.try_get("receipt")).transpose()?)
}

pub(super) async fn has_room(
    connection: &mut SqliteConnection,
    kind: &LeaseKind,
    capacity: &Capacity,
) -> Result<bool, TxError> {
    let sql = "-- has_room()
        SELECT leases, bytes FROM promised WHERE kind = $1";
    let row = sqlx::query(sql).bind(kind.code()).fetch_one(connection).await?;
    let leases: u64 = rows::integer(&row, "leases", "promised")?;
    let bytes: u64 = rows::integer(&row, "bytes", "promised")?;
    Ok(match kind {
        LeaseKind::Queue => leases < capacity.queues,
        LeaseKind::Chunk(_) => bytes.saturating_add(kind.bytes()) <= capacity.chunk_bytes,
    })
}

pub(super) async fn promise(
    connection: &mut SqliteConnection,
    kind: &LeaseKind,
) -> Result<(), TxError> {
    let sql = "-- promise()
        UPDATE promised SET leases = leases + 1, bytes = bytes + $2 WHERE kind = $1";
    let query = sqlx::query(sql).bind(kind.code()).bind(rows::amount(kind.bytes()));
    Ok(query.execute(connection).await.map(drop)?)
}

async fn insert_lease(
    connection: &mut SqliteConnection,
    new: &NewLease,
) -> Result<LeaseNumber, TxError> {
    let (size_class, digest) = match &new.kind {
        LeaseKind::Queue => (None, None),
        LeaseKind::Chunk(space) => {
            (Some(i64::from(space.size_class.code())), Some(space.digest.as_slice()))
        }
    };
    let sql = "-- insert_lease()
        INSERT INTO leases (lease_id, peer_id, kind, owner_key, peer_key, lease_until, size_class, digest)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let inserted = sqlx::query(sql)
        .bind(new.lease_id.as_bytes().as_slice())
        .bind(new.peer_id.as_bytes().as_slice())
        .bind(new.kind.code())
        .bind(new.owner_key.as_bytes().as_slice())
        .bind(new.peer_key.as_bytes().as_slice())
        .bind(rows::stored(new.lease_until))
        .bind(size_class)
        .bind(digest)
        .execute(connection)
        .await?;
    Ok(LeaseNumber(inserted.last_insert_rowid()))
}

pub(super) async fn insert_provision(
    connection: &mut SqliteConnection,
    provision: &Provision,
    lease: LeaseNumber,
    receipt: &[u8],
) -> Result<(), TxError> {
    let sql = "-- insert_provision()
        INSERT INTO provisions (payment_id, made_at, lease, credits, seconds_per_credit, receipt)
        VALUES ($1, $2, $3, $4, $5, $6)";
    sqlx::query(sql)
        .bind(provision.payment_id.as_bytes().as_slice())
        .bind(rows::stored(provision.made_at))
        .bind(lease.0)
        .bind(i64::from(provision.credits))
        .bind(rows::amount(provision.seconds_per_credit))
        .bind(receipt)
        .execute(&mut *connection)
        .await?;
    insert_receipt(connection, lease, receipt).await
}
