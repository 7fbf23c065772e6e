//! Taking away what nobody may use any more, in steps small enough that nobody waits long for the writer.

use scrip_protocol::time::UnixSeconds;
use sqlx::{Row, SqliteConnection};

use super::{LeaseNumber, Reader, Store, StoreError, TxError, rows};

/// Rows of one step.
const STEP: i64 = 256;
/// Leases of one step that takes away their content, up to 128 messages each.
const CONTENT_STEP: i64 = 16;

/// A lease that has ended and whose content is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Uncollected {
    pub(crate) number: LeaseNumber,
    /// Whether there may be a file.
    pub(crate) is_chunk: bool,
}

impl Store {
    /// Marks leases whose time has passed as ended; says how many. Zero means that there are no more.
    pub(crate) async fn end_expired(&self, now: UnixSeconds) -> Result<u64, StoreError> {
        self.write("end_expired", move |connection| {
            Box::pin(async move {
                let sql = "-- end_expired()
                    UPDATE leases SET ended_at = lease_until WHERE number IN (
                        SELECT number FROM leases
                        WHERE ended_at IS NULL AND lease_until <= $1 LIMIT $2)";
                let query = sqlx::query(sql).bind(rows::stored(now)).bind(STEP);
                Ok(query.execute(connection).await?.rows_affected())
            })
        })
        .await
    }

    /// Takes away the rows that an ended lease held, and its promise. Its file must be gone.
    pub(crate) async fn collect(&self, leases: Vec<LeaseNumber>) -> Result<(), StoreError> {
        self.write("collect", move |connection| {
            Box::pin(async move {
                for lease in leases {
                    collect_one(connection, lease).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Forgets leases that ended before `before`; says how many.
    pub(crate) async fn forget_leases(&self, before: UnixSeconds) -> Result<u64, StoreError> {
        self.write("forget_leases", move |connection| {
            Box::pin(async move {
                let sql = "-- forget_leases()
                    SELECT number FROM leases
                    WHERE ended_at IS NOT NULL AND ended_at <= $1 AND collected = 1 LIMIT $2";
                let query = sqlx::query(sql).bind(rows::stored(before)).bind(STEP);
                let found = query.fetch_all(&mut *connection).await?;
                for row in &found {
                    let lease: i64 = row.try_get("number")?;
                    for sql in [
                        "DELETE FROM nonces WHERE lease = $1",
                        "DELETE FROM receipts WHERE lease = $1",
                        "DELETE FROM provisions WHERE lease = $1",
                        "DELETE FROM leases WHERE number = $1",
                    ] {
                        sqlx::query(sql).bind(lease).execute(&mut *connection).await?;
                    }
                }
                Ok(found.len() as u64)
            })
        })
        .await
    }

    /// Removes messages that have expired, and nonces that need not be remembered; says how many.
    pub(crate) async fn drop_expired_messages(&self, now: UnixSeconds) -> Result<u64, StoreError> {
        self.write("drop_expired_messages", move |connection| {
            Box::pin(async move {
                let mut dropped = 0;
                for sql in [
                    "-- drop_messages()
                    DELETE FROM messages WHERE number IN (
                        SELECT number FROM messages WHERE expires <= $1 LIMIT $2)",
                    "-- drop_nonces()
                    DELETE FROM nonces WHERE (lease, nonce) IN (
                        SELECT lease, nonce FROM nonces WHERE expires <= $1 LIMIT $2)",
                ] {
                    let query = sqlx::query(sql).bind(rows::stored(now)).bind(STEP);
                    dropped += query.execute(&mut *connection).await?.rows_affected();
                }
                Ok(dropped)
            })
        })
        .await
    }

    /// Says of chunks whose files are lost that they were not uploaded, so that their owners can upload them again.
    pub(crate) async fn mark_lost(&self, leases: Vec<LeaseNumber>) -> Result<(), StoreError> {
        self.write("mark_lost", move |connection| {
            Box::pin(async move {
                for lease in leases {
                    let sql = "-- mark_lost()
                        UPDATE leases SET uploaded = 0 WHERE number = $1";
                    sqlx::query(sql).bind(lease.0).execute(&mut *connection).await?;
                }
                Ok(())
            })
        })
        .await
    }
}

impl Reader {
    /// Some leases that have ended and whose content is still there.
    pub(crate) async fn uncollected(&self) -> Result<Vec<Uncollected>, StoreError> {
        self.read("uncollected", |connection| {
            Box::pin(async move {
                let sql = "-- uncollected()
                    SELECT number, kind FROM leases
                    WHERE ended_at IS NOT NULL AND collected = 0 LIMIT $1";
                let rows = sqlx::query(sql).bind(CONTENT_STEP).fetch_all(connection).await?;
                rows.iter()
                    .map(|row| {
                        let number = LeaseNumber(row.try_get("number")?);
                        Ok(Uncollected { number, is_chunk: row.try_get::<i64, _>("kind")? == 2 })
                    })
                    .collect()
            })
        })
        .await
    }

    /// The leases from `first` to `last` whose chunks were uploaded and not collected, ascending.
    pub(crate) async fn uploaded_between(
        &self,
        first: LeaseNumber,
        last: LeaseNumber,
    ) -> Result<Vec<LeaseNumber>, StoreError> {
        self.read("uploaded_between", move |connection| {
            Box::pin(async move {
                let sql = "-- uploaded_between()
                    SELECT number FROM leases
                    WHERE number BETWEEN $1 AND $2 AND uploaded = 1 AND collected = 0
                    ORDER BY number";
                let query = sqlx::query(sql).bind(first.0).bind(last.0);
                let rows = query.fetch_all(connection).await?;
                rows.iter().map(|row| Ok(LeaseNumber(row.try_get("number")?))).collect()
            })
        })
        .await
    }

    /// The digest of the chunk of a lease that was uploaded and not collected.
    pub(crate) async fn uploaded_digest(
        &self,
        lease: LeaseNumber,
    ) -> Result<Option<[u8; 32]>, StoreError> {
        self.read("uploaded_digest", move |connection| {
            Box::pin(async move {
                let sql = "-- uploaded_digest()
                    SELECT digest FROM leases
                    WHERE number = $1 AND kind = 2 AND uploaded = 1 AND collected = 0";
                let row = sqlx::query(sql).bind(lease.0).fetch_optional(connection).await?;
                row.map(|row| rows::bytes(&row, "digest", "leases")).transpose()
            })
        })
        .await
    }

    /// The highest number that a lease has, or had when it was the last one; zero where there is none.
    pub(crate) async fn last_lease(&self) -> Result<LeaseNumber, StoreError> {
        self.read("last_lease", |connection| {
            Box::pin(async move {
                let sql = "-- last_lease()
                    SELECT COALESCE(MAX(number), 0) FROM leases";
                Ok(LeaseNumber(sqlx::query(sql).fetch_one(connection).await?.try_get(0)?))
            })
        })
        .await
    }
}

async fn collect_one(connection: &mut SqliteConnection, lease: LeaseNumber) -> Result<(), TxError> {
    let sql = "-- collect()
        UPDATE leases SET collected = 1
        WHERE number = $1 AND ended_at IS NOT NULL AND collected = 0
        RETURNING kind, size_class";
    let query = sqlx::query(sql).bind(lease.0);
    let Some(row) = query.fetch_optional(&mut *connection).await? else {
        return Ok(()); // collected before: its promise must not be taken back twice
    };
    let size_class: Option<i64> = row.try_get("size_class")?;
    let size_class = size_class.and_then(|code| u8::try_from(code).ok());
    let bytes = size_class.and_then(scrip_protocol::resource::SizeClass::from_code);
    let sql = "-- take_back()
        UPDATE promised SET leases = leases - 1, bytes = bytes - $2 WHERE kind = $1";
    sqlx::query(sql)
        .bind(row.try_get::<i64, _>("kind")?)
        .bind(bytes.map_or(0, |class| rows::amount(class.bytes() as u64)))
        .execute(&mut *connection)
        .await?;
    // Nonces stay for as long as commands with them are good: the lease may be paid for again.
    let sql = "DELETE FROM messages WHERE lease = $1";
    sqlx::query(sql).bind(lease.0).execute(&mut *connection).await?;
    Ok(())
}
