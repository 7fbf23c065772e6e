//! The last time that an issuer on this database believed, and what the database server's clock shows.

use scrip_protocol::time::UnixSeconds;
use scrip_runtime::plausible::Remembered;

use super::{Act, Backend, Store, StoreError, TxError, rows};

impl Store {
    /// What is remembered of the time; `None` before the first start.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remembered_time(&self) -> Result<Option<Remembered>, StoreError> {
        self.read("remembered_time", |tx| {
            Box::pin(async move {
                let sql = "-- remembered_time()
                    SELECT believed, confirmations FROM clock WHERE id = 1";
                let found = sqlx::query(sql).fetch_optional(tx.connection()).await?;
                let one = |row: sqlx::any::AnyRow| -> Result<_, TxError> {
                    Ok(Remembered {
                        believed: UnixSeconds(rows::integer(&row, "believed", "clock")?),
                        confirmations: rows::integer(&row, "confirmations", "clock")?,
                    })
                };
                found.map(one).transpose()
            })
        })
        .await
    }

    /// Remembers the time, unless somebody confirmed another meanwhile.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remember_time(&self, time: Remembered) -> Result<(), StoreError> {
        // It binds nobody, and is written before anything is compared: without a mark.
        self.run_tx_minor("remember_time", |tx| {
            Box::pin(async move {
                let sql = "-- remember_time()
                    INSERT INTO clock (id, believed, confirmations) VALUES (1, $1, $2)
                    ON CONFLICT (id) DO UPDATE SET believed = $1 WHERE clock.confirmations = $2";
                sqlx::query(sql)
                    .bind(stored(time.believed.0))
                    .bind(stored(time.confirmations))
                    .execute(tx.connection())
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// Remembers what a person said that the time is. Running issuers take it over within a minute.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn confirm_time(&self, now: UnixSeconds, act: &Act) -> Result<(), StoreError> {
        self.run_tx("confirm_time", |tx| {
            Box::pin(async move {
                let sql = "-- confirm_time()
                    INSERT INTO clock (id, believed, confirmations) VALUES (1, $1, 1)
                    ON CONFLICT (id) DO UPDATE
                    SET believed = $1, confirmations = clock.confirmations + 1";
                sqlx::query(sql).bind(stored(now.0)).execute(tx.connection()).await?;
                tx.log_admin(act).await
            })
        })
        .await
    }

    /// What the clock of the database server shows; `None` where the database is a file of this machine.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn server_time(&self) -> Result<Option<UnixSeconds>, StoreError> {
        if self.backend() == Backend::Sqlite {
            return Ok(None);
        }
        self.read("server_time", |tx| {
            Box::pin(async move {
                let sql = "-- server_time()
                    SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS BIGINT) AS shown";
                let row = sqlx::query(sql).fetch_one(tx.connection()).await?;
                Ok(Some(UnixSeconds(rows::integer(&row, "shown", "clock")?)))
            })
        })
        .await
    }
}

/// No clock shows what does not fit.
fn stored(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
