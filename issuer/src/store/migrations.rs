//! Migrations: numbered, embedded, and only ever added to.

use sqlx::{AssertSqlSafe, Row};

use super::{Backend, Store, StoreError, error::TxError};

/// Every migration, oldest first. A database is at the version of the last one that was applied.
const MIGRATIONS: &[(i64, &str)] = &[
    (1, include_str!("migrations/0001_issuer.sql")),
    (2, include_str!("migrations/0002_dropping.sql")),
    (3, include_str!("migrations/0003_sources.sql")),
    (4, include_str!("migrations/0004_renewals.sql")),
    (5, include_str!("migrations/0005_admin.sql")),
    (6, include_str!("migrations/0006_ledger.sql")),
    (7, include_str!("migrations/0007_settlement.sql")),
];

/// The version that this program brings a database to.
pub(super) const LATEST: i64 = MIGRATIONS[MIGRATIONS.len() - 1].0;

/// Brings the database to [`LATEST`]. Two processes that start at once are told apart by the primary key of the
/// version: one of them applies a migration, the other is rolled back and finds it applied.
pub(super) async fn apply(store: &Store) -> Result<(), StoreError> {
    up_to(store, LATEST).await
}

/// The same, no further than `last`.
pub(super) async fn up_to(store: &Store, last: i64) -> Result<(), StoreError> {
    store
        .run_tx("create_migrations", |tx| {
            Box::pin(async move {
                let sql = "-- create_migrations()
            CREATE TABLE IF NOT EXISTS migrations (version BIGINT PRIMARY KEY)";
                Ok(sqlx::query(sql).execute(tx.connection()).await.map(drop)?)
            })
        })
        .await?;
    let found = version(store).await?;
    if found > LATEST {
        return Err(StoreError::TooNew { found, known: LATEST });
    }
    for (number, text) in
        MIGRATIONS.iter().filter(|(number, _)| (found + 1..=last).contains(number))
    {
        let text = translated(text, store.backend());
        let applied = store.run_tx("migrate", |tx| {
            let text = text.clone();
            Box::pin(async move {
                let sql = "-- migrate()
                    INSERT INTO migrations (version) VALUES ($1) ON CONFLICT DO NOTHING";
                let mine = sqlx::query(sql).bind(*number).execute(tx.connection()).await?;
                if mine.rows_affected() == 1 {
                    sqlx::raw_sql(AssertSqlSafe(text)).execute(tx.connection()).await?;
                }
                Ok(())
            })
        });
        applied.await.map_err(|error| match error {
            StoreError::Failed { source, .. } => StoreError::Migration { number: *number, source },
            other => other,
        })?;
    }
    Ok(())
}

async fn version(store: &Store) -> Result<i64, StoreError> {
    store
        .run_tx("read_version", |tx| {
            Box::pin(async move {
                let sql = "-- read_version()
            SELECT COALESCE(MAX(version), 0) AS version FROM migrations";
                let row = sqlx::query(sql).fetch_one(tx.connection()).await?;
                Ok::<i64, TxError>(row.try_get("version")?)
            })
        })
        .await
}

/// The migration in the words of `backend`; see the head of the first one.
fn translated(text: &str, backend: Backend) -> String {
    match backend {
        Backend::Postgres => text.to_owned(),
        Backend::Sqlite => text
            .replace("BYTEA", "BLOB")
            .replace("BIGINT", "INTEGER")
            .replace("/* clustered */", "WITHOUT ROWID"),
    }
}
