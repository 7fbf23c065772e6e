//! Leases and the resources that they are for.

use scrip_protocol::{
    id::ResourceId, keys::PublicKey, limits::COMMAND_SKEW, resource::SizeClass, time::UnixSeconds,
};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{Reader, Store, StoreError, TxError, queues::remember, rows};

/// The short number of a lease in this database, and the name of its file. Never leaves the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LeaseNumber(pub(crate) i64);

/// A lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaseRow {
    pub(crate) number: LeaseNumber,
    /// The recipient's or the owner's address.
    pub(crate) lease_id: ResourceId,
    /// Of the recipient or the owner.
    pub(crate) owner_key: PublicKey,
    /// Of the sender or the reader.
    pub(crate) peer_key: PublicKey,
    pub(crate) kind: LeaseKind,
    pub(crate) lease_until: UnixSeconds,
    /// Set where it ended before its time, and soon after its time.
    pub(crate) ended_at: Option<UnixSeconds>,
}

/// What a lease is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LeaseKind {
    Queue,
    Chunk(ChunkSpace),
}

/// Space for one chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChunkSpace {
    pub(crate) size_class: SizeClass,
    pub(crate) digest: [u8; 32],
    pub(crate) uploaded: bool,
}

impl LeaseRow {
    /// Whether the resource may be used at `now`.
    pub(crate) fn is_live(&self, now: UnixSeconds) -> bool {
        self.ended_at.is_none() && now < self.lease_until
    }

    /// When the lease ended, or will end.
    pub(crate) fn end(&self) -> UnixSeconds {
        self.ended_at.unwrap_or(self.lease_until)
    }
}

impl LeaseKind {
    pub(super) fn code(&self) -> i64 {
        match self {
            Self::Queue => 1,
            Self::Chunk(_) => 2,
        }
    }

    /// Bytes of disk that the lease promises. Queues are counted, not weighed.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Queue => 0,
            Self::Chunk(space) => space.size_class.bytes() as u64,
        }
    }
}

impl Reader {
    /// The lease whose recipient or owner has this address.
    pub(crate) async fn lease_of_owner(
        &self,
        lease_id: ResourceId,
    ) -> Result<Option<LeaseRow>, StoreError> {
        self.read("lease_of_owner", move |connection| {
            Box::pin(async move {
                let sql = "-- lease_of_owner()
                    SELECT * FROM leases WHERE lease_id = $1";
                optional(connection, sql, lease_id.as_bytes()).await
            })
        })
        .await
    }

    /// The lease whose sender or reader has this address.
    pub(crate) async fn lease_of_peer(
        &self,
        peer_id: ResourceId,
    ) -> Result<Option<LeaseRow>, StoreError> {
        self.read("lease_of_peer", move |connection| {
            Box::pin(async move {
                let sql = "-- lease_of_peer()
                    SELECT * FROM leases WHERE peer_id = $1";
                optional(connection, sql, peer_id.as_bytes()).await
            })
        })
        .await
    }

    /// The lease that a payment provisioned or extended.
    pub(crate) async fn lease_of_payment(
        &self,
        payment: scrip_protocol::id::PaymentId,
    ) -> Result<Option<LeaseRow>, StoreError> {
        self.read("lease_of_payment", move |connection| {
            Box::pin(async move {
                let sql = "-- lease_of_payment()
                    SELECT leases.* FROM leases
                    JOIN provisions ON provisions.lease = leases.number
                    WHERE provisions.payment_id = $1";
                optional(connection, sql, payment.as_bytes()).await
            })
        })
        .await
    }

    /// The signed receipts of a lease, oldest first.
    pub(crate) async fn receipts(&self, lease: LeaseNumber) -> Result<Vec<Vec<u8>>, StoreError> {
        self.read("receipts", move |connection| {
            Box::pin(async move {
                let sql = "-- receipts()
                    SELECT receipt FROM receipts WHERE lease = $1 ORDER BY number";
                let rows = sqlx::query(sql).bind(lease.0).fetch_all(connection).await?;
                rows.iter().map(|row| Ok(row.try_get("receipt")?)).collect()
            })
        })
        .await
    }
}

impl Store {
    /// Ends a live lease at `now` with a receipt that says so, and remembers the command's nonce for as long as the command is good.
    /// `false` where it had ended before, or the nonce is known.
    pub(crate) async fn end_lease(
        &self,
        lease: LeaseNumber,
        now: UnixSeconds,
        receipt: Vec<u8>,
        nonce: [u8; 16],
    ) -> Result<bool, StoreError> {
        self.write("end_lease", move |connection| {
            Box::pin(async move {
                // Its time is ahead of ours by that much at most, and is good for as long again.
                let expires = now.plus(2 * COMMAND_SKEW + 1);
                if !remember(connection, lease, &nonce, expires).await? {
                    return Ok(false);
                }
                let ended = end(connection, lease, now).await?;
                if ended {
                    insert_receipt(connection, lease, &receipt).await?;
                }
                Ok(ended)
            })
        })
        .await
    }

    /// Records that the chunk of a lease lies in its file. `false` where the lease is not live.
    pub(crate) async fn mark_uploaded(
        &self,
        lease: LeaseNumber,
        now: UnixSeconds,
    ) -> Result<bool, StoreError> {
        self.write("mark_uploaded", move |connection| {
            Box::pin(async move {
                let sql = "-- mark_uploaded()
                    UPDATE leases SET uploaded = 1
                    WHERE number = $1 AND ended_at IS NULL AND lease_until > $2";
                let query = sqlx::query(sql).bind(lease.0).bind(rows::stored(now));
                Ok(query.execute(connection).await?.rows_affected() == 1)
            })
        })
        .await
    }
}

/// Marks a live lease as ended; `false` where it had ended before.
pub(super) async fn end(
    connection: &mut SqliteConnection,
    lease: LeaseNumber,
    now: UnixSeconds,
) -> Result<bool, TxError> {
    let sql = "-- end_lease()
        UPDATE leases SET ended_at = $2 WHERE number = $1 AND ended_at IS NULL AND lease_until > $2";
    let query = sqlx::query(sql).bind(lease.0).bind(rows::stored(now));
    Ok(query.execute(connection).await?.rows_affected() == 1)
}

pub(super) async fn insert_receipt(
    connection: &mut SqliteConnection,
    lease: LeaseNumber,
    receipt: &[u8],
) -> Result<(), TxError> {
    let sql = "-- insert_receipt()
        INSERT INTO receipts (lease, receipt) VALUES ($1, $2)";
    sqlx::query(sql).bind(lease.0).bind(receipt).execute(connection).await?;
    Ok(())
}

async fn optional(
    connection: &mut SqliteConnection,
    sql: &'static str,
    key: &[u8],
) -> Result<Option<LeaseRow>, TxError> {
    let row = sqlx::query(sql).bind(key).fetch_optional(connection).await?;
    row.as_ref().map(lease).transpose()
}

fn lease(row: &SqliteRow) -> Result<LeaseRow, TxError> {
    const TABLE: &str = "leases";
    let damaged = || TxError::Damaged { table: TABLE };
    let kind = match row.try_get("kind")? {
        1_i64 => LeaseKind::Queue,
        2 => LeaseKind::Chunk(ChunkSpace {
            size_class: SizeClass::from_code(rows::integer(row, "size_class", TABLE)?)
                .ok_or_else(damaged)?,
            digest: rows::bytes(row, "digest", TABLE)?,
            uploaded: row.try_get::<i64, _>("uploaded")? == 1,
        }),
        _ => return Err(damaged()),
    };
    let ended_at: Option<i64> = row.try_get("ended_at")?;
    let ended_at = ended_at.map(u64::try_from).transpose().map_err(|_| damaged())?;
    Ok(LeaseRow {
        number: LeaseNumber(row.try_get("number")?),
        lease_id: ResourceId::from_bytes(rows::bytes(row, "lease_id", TABLE)?),
        owner_key: rows::key(row, "owner_key", TABLE)?,
        peer_key: rows::key(row, "peer_key", TABLE)?,
        kind,
        lease_until: UnixSeconds(rows::integer(row, "lease_until", TABLE)?),
        ended_at: ended_at.map(UnixSeconds),
    })
}
