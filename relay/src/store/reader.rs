//! The connections that read, beside the one that writes.

use std::path::Path;

use futures_util::future::BoxFuture;
use sqlx::{
    Executor, Sqlite, SqliteConnection, SqlitePool, pool::PoolConnection, sqlite::SqlitePoolOptions,
};

use super::{StoreError, TxError, migrations, open_error, options};

/// How many connections read at the same time.
const READERS: u32 = 4;

/// An open database that can be read.
#[derive(Clone, Debug)]
pub struct Reader(SqlitePool);

/// A connection that reads. It goes back to the others only where its transaction was ended by us: after an error SQLite
/// may have ended it on its own, and where a caller went away it is still open. Neither can be told from outside, and
/// whoever got the connection next would see an old state, for as long as the relay runs.
struct Reading {
    connection: PoolConnection<Sqlite>,
    ended: bool,
}

impl Reading {
    async fn begin(pool: &SqlitePool) -> Result<Self, sqlx::Error> {
        let mut reading = Self { connection: pool.acquire().await?, ended: false };
        // By hand: sqlx counts the transactions that it began, and does not learn of those that SQLite ended.
        reading.connection.execute("BEGIN").await?;
        Ok(reading)
    }

    async fn end(mut self) -> Result<(), sqlx::Error> {
        self.connection.execute("COMMIT").await?;
        self.ended = true;
        Ok(())
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.close_on_drop();
        }
    }
}

impl Reader {
    /// Opens a database that another process may be writing to. Its schema must be up to date.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let reader = Self::connect(path).await?;
        let found = reader.read("version", |connection| {
            Box::pin(async move { Ok(migrations::version(connection).await) })
        });
        match found.await?? {
            found if found > migrations::LATEST => {
                Err(StoreError::TooNew { found, known: migrations::LATEST })
            }
            found if found < migrations::LATEST => {
                Err(StoreError::TooOld { found, known: migrations::LATEST })
            }
            _ => Ok(reader),
        }
    }

    pub(super) async fn connect(path: &Path) -> Result<Self, StoreError> {
        let pool = SqlitePoolOptions::new()
            .max_connections(READERS)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options(path).pragma("query_only", "ON"));
        pool.await.map(Self).map_err(open_error(path))
    }

    /// Waits until every connection is closed.
    pub async fn close(&self) {
        self.0.close().await;
    }

    /// Reads within one transaction, so that several statements see the same state.
    pub(super) async fn read<T, F>(&self, name: &'static str, body: F) -> Result<T, StoreError>
    where
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, TxError>>,
    {
        let read = async {
            let mut reading = Reading::begin(&self.0).await?;
            let value = body(&mut reading.connection).await?;
            reading.end().await?;
            Ok(value)
        };
        read.await.map_err(|error: TxError| error.named(name))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sqlx::Row;
    use tempfile::TempDir;

    use super::{super::Store, *};

    /// A store with a single row that counts, and a reader of one connection, so that every read gets the same one.
    async fn counting() -> (TempDir, Store, Reader) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("relay.db");
        let store = Store::open(&path, true).await.unwrap();
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options(&path));
        (directory, store, Reader(pool.await.unwrap()))
    }

    async fn count(store: &Store) {
        let counted = store.write("count", |connection| {
            Box::pin(async move {
                let sql = "UPDATE promised SET leases = leases + 1 WHERE kind = 1";
                Ok(connection.execute(sql).await.map(drop)?)
            })
        });
        counted.await.unwrap();
    }

    async fn counted(reader: &Reader) -> i64 {
        let counted = reader.read("counted", |connection| {
            Box::pin(async move {
                let sql = "SELECT leases FROM promised WHERE kind = 1";
                Ok(sqlx::query(sql).fetch_one(connection).await?.try_get(0)?)
            })
        });
        counted.await.unwrap()
    }

    #[tokio::test]
    async fn a_transaction_that_sqlite_ended_leaves_no_old_state_behind() {
        let (_directory, store, reader) = counting().await;
        // What SQLite does itself where the disk or the memory fails.
        let interrupted = reader.read("interrupted", |connection| {
            Box::pin(async move { Ok(connection.execute("ROLLBACK").await.map(drop)?) })
        });
        assert!(matches!(interrupted.await, Err(StoreError::Failed { .. })));
        for expected in 1..4 {
            count(&store).await;
            assert_eq!(counted(&reader).await, expected);
        }
    }

    #[tokio::test]
    async fn a_read_that_fails_or_is_dropped_leaves_no_old_state_behind() {
        let (_directory, store, reader) = counting().await;
        let failed = reader.read("failed", |connection| {
            Box::pin(async move {
                connection.execute("SELECT * FROM leases").await?;
                Err::<(), _>(TxError::Damaged { table: "leases" })
            })
        });
        assert!(matches!(failed.await, Err(StoreError::Damaged { .. })));
        count(&store).await;
        assert_eq!(counted(&reader).await, 1);
        let stuck = reader.read("stuck", |connection| {
            Box::pin(async move {
                connection.execute("SELECT * FROM leases").await?;
                std::future::pending::<Result<(), TxError>>().await
            })
        });
        assert!(tokio::time::timeout(Duration::from_millis(50), stuck).await.is_err());
        count(&store).await;
        assert_eq!(counted(&reader).await, 2);
    }
}
