//! Migrations: numbered, embedded, and only ever added to.

use std::{path::Path, sync::Arc};

use sqlx::{Connection as _, Row as _, SqliteConnection};

use crate::spent::StoreError;

/// Every migration, oldest first. A database is at the version of the last one that was applied.
const MIGRATIONS: [(i64, &str); 5] = [
    (1, include_str!("migrations/0001_spent.sql")),
    (2, include_str!("migrations/0002_counters.sql")),
    (3, include_str!("migrations/0003_test_keys.sql")),
    (4, include_str!("migrations/0004_receipts.sql")),
    (5, include_str!("migrations/0005_refusals.sql")),
];

/// Brings the database up to date.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<(), StoreError> {
    let failed = |source| StoreError::Open { path: path.into(), source: Arc::new(source) };
    let found = version(connection).await.map_err(failed)?;
    let known = MIGRATIONS[MIGRATIONS.len() - 1].0;
    if found > known {
        return Err(StoreError::TooNew { path: path.into(), found, known });
    }
    for (number, text) in MIGRATIONS.into_iter().filter(|(number, _)| *number > found) {
        migrate(connection, number, text).await.map_err(failed)?;
    }
    Ok(())
}

async fn version(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let sql = "CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY)";
    sqlx::raw_sql(sql).execute(&mut *connection).await?;
    let sql = "SELECT COALESCE(MAX(version), 0) FROM migrations";
    sqlx::query(sql).fetch_one(connection).await?.try_get(0)
}

async fn migrate(
    connection: &mut SqliteConnection,
    number: i64,
    text: &'static str,
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql(text).execute(&mut *transaction).await?;
    let sql = "INSERT INTO migrations (version) VALUES (?)";
    sqlx::query(sql).bind(number).execute(&mut *transaction).await?;
    transaction.commit().await
}
