//! Migrations: numbered, embedded, and only ever added to.

use std::sync::Arc;

use sqlx::{Executor, Row, SqliteConnection};

use super::StoreError;

/// Every migration, oldest first. `PRAGMA user_version` is the number of the last one that was applied.
const MIGRATIONS: [(i64, &str, &str); 1] =
    [(1, include_str!("migrations/0001_relay.sql"), "PRAGMA user_version = 1")];

/// The version that this program brings a database to.
pub(super) const LATEST: i64 = MIGRATIONS[MIGRATIONS.len() - 1].0;

/// Brings the database to [`LATEST`]. A migration and its number are committed together.
pub(super) async fn apply(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let found = version(connection).await?;
    if found > LATEST {
        return Err(StoreError::TooNew { found, known: LATEST });
    }
    for (_, text, mark) in MIGRATIONS.iter().filter(|(number, ..)| *number > found) {
        let applied = async {
            connection.execute("BEGIN IMMEDIATE").await?;
            connection.execute(sqlx::raw_sql(*text)).await?;
            connection.execute(*mark).await?;
            connection.execute("COMMIT").await
        };
        if let Err(error) = applied.await {
            let _ = connection.execute("ROLLBACK").await; // the first error is the one to report
            return Err(failed(error));
        }
    }
    Ok(())
}

/// The version of the database.
pub(super) async fn version(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    let row = sqlx::query("PRAGMA user_version").fetch_one(connection).await.map_err(failed)?;
    row.try_get(0).map_err(failed)
}

fn failed(source: sqlx::Error) -> StoreError {
    StoreError::Failed { transaction: "migrate", source: Arc::new(source) }
}
