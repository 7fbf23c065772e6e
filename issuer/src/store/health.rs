//! Sources that fail, for whoever runs the vendor.

use scrip_protocol::time::UnixSeconds;
use sqlx::Row;

use super::{Store, StoreError, rows};

/// The longest message that is kept.
const MAX_MESSAGE: usize = 500;

/// A source that fails, or where money was taken for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFailure {
    /// Its name.
    pub source: String,
    /// When it failed last.
    pub at: UnixSeconds,
    /// How often since it last worked.
    pub failures: u64,
    /// What it said.
    pub message: String,
}

impl Store {
    /// Counts a failure.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn source_failed(
        &self,
        source: &str,
        at: UnixSeconds,
        message: &str,
    ) -> Result<(), StoreError> {
        let message: String = message.chars().take(MAX_MESSAGE).collect();
        let message = message.as_str();
        self.run_tx("source_failed", |tx| {
            Box::pin(async move {
                let sql = "-- source_failed()
                    INSERT INTO source_failures (source, at, failures, message)
                    VALUES ($1, $2, 1, $3) ON CONFLICT (source) DO UPDATE
                    SET at = $2, failures = source_failures.failures + 1, message = $3";
                sqlx::query(sql)
                    .bind(source)
                    .bind(i64::try_from(at.0).unwrap_or(i64::MAX))
                    .bind(message)
                    .execute(tx.connection())
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// Forgets the failures of a source that works.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn source_works(&self, source: &str) -> Result<(), StoreError> {
        self.run_tx("source_works", |tx| {
            Box::pin(async move {
                let sql = "-- source_works()
                    DELETE FROM source_failures WHERE source = $1";
                sqlx::query(sql).bind(source).execute(tx.connection()).await?;
                Ok(())
            })
        })
        .await
    }

    /// The sources that fail, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn source_failures(&self) -> Result<Vec<SourceFailure>, StoreError> {
        self.read("source_failures", |tx| {
            Box::pin(async move {
                let sql = "-- source_failures()
                    SELECT source, at, failures, message FROM source_failures ORDER BY source";
                let found = sqlx::query(sql).fetch_all(tx.connection()).await?;
                let failure = |row: &sqlx::any::AnyRow| {
                    Ok(SourceFailure {
                        source: row.try_get("source")?,
                        at: UnixSeconds(rows::integer(row, "at", "source_failures")?),
                        failures: rows::integer(row, "failures", "source_failures")?,
                        message: row.try_get("message")?,
                    })
                };
                found.iter().map(failure).collect()
            })
        })
        .await
    }
}
