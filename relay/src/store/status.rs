//! What the relay holds, for its operator.

use scrip_protocol::time::UnixSeconds;
use serde::Serialize;
use sqlx::{Row, Sqlite, SqliteConnection, query::Query, sqlite::SqliteArguments};

use super::{Reader, StoreError, TxError, rows};

/// What the relay holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Queues with a live lease.
    pub queues: u64,
    /// Messages that wait in them.
    pub messages: u64,
    /// Chunks with a live lease.
    pub chunks: u64,
    /// Of these, how many were uploaded.
    pub chunks_uploaded: u64,
    /// Bytes promised to chunks, those of ended leases that are not collected yet included.
    pub chunk_bytes_promised: u64,
    /// Double spends on record.
    pub conflicts: u64,
}

impl Reader {
    /// What the relay holds at `now`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn usage(&self, now: UnixSeconds) -> Result<Usage, StoreError> {
        self.read("usage", move |connection| {
            Box::pin(async move {
                let mut usage = live_leases(connection, now).await?;
                let sql = "-- count_messages()
                    SELECT COUNT(*) FROM messages JOIN leases ON leases.number = messages.lease
                    WHERE expires > $1 AND ended_at IS NULL AND lease_until > $1";
                let messages = sqlx::query(sql).bind(rows::stored(now));
                usage.messages = count(connection, messages).await?;
                let sql = "-- promised_bytes()
                    SELECT bytes FROM promised WHERE kind = 2";
                usage.chunk_bytes_promised = count(connection, sqlx::query(sql)).await?;
                let sql = "-- count_conflicts()
                    SELECT COUNT(*) FROM conflicts";
                usage.conflicts = count(connection, sqlx::query(sql)).await?;
                Ok(usage)
            })
        })
        .await
    }
}

async fn live_leases(
    connection: &mut SqliteConnection,
    now: UnixSeconds,
) -> Result<Usage, TxError> {
    let sql = "-- live_leases()
        SELECT kind, COUNT(*) AS leases, COALESCE(SUM(uploaded), 0) AS uploaded FROM leases
        WHERE ended_at IS NULL AND lease_until > $1 GROUP BY kind";
    let rows = sqlx::query(sql).bind(rows::stored(now)).fetch_all(connection).await?;
    let mut usage = Usage::default();
    for row in rows {
        let leases = rows::integer(&row, "leases", "leases")?;
        match row.try_get("kind")? {
            1_i64 => usage.queues = leases,
            _ => {
                usage.chunks = leases;
                usage.chunks_uploaded = rows::integer(&row, "uploaded", "leases")?;
            }
        }
    }
    Ok(usage)
}

async fn count(
    connection: &mut SqliteConnection,
    query: Query<'_, Sqlite, SqliteArguments>,
) -> Result<u64, TxError> {
    let count: i64 = query.fetch_one(connection).await?.try_get(0)?;
    u64::try_from(count).map_err(|_| TxError::Damaged { table: "promised" })
}
