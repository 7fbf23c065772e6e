//! The relay's database: a SQLite file with one writer, and readers beside it.
//!
//! What is relied on: a transaction is atomic, durable when its commit returns (`synchronous = FULL`), and the only one
//! that writes. Every transaction has a name; none signs, draws randomness or waits for anything but the disk.

mod collection;
mod conflicts;
mod error;
mod leases;
mod migrations;
mod provisions;
mod queues;
mod rows;
mod status;
mod writer;

use std::{fs::OpenOptions, io, path::Path, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use sqlx::{
    ConnectOptions, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use self::writer::Writer;
pub(crate) use self::{
    conflicts::{ConflictDecision, ConflictSubject},
    error::TxError,
    leases::{ChunkSpace, LeaseKind, LeaseNumber, LeaseRow},
    provisions::{Capacity, Extended, Extension, NewLease, Provision, Provisioned},
    queues::{Sent, StoredMessage},
};
pub use self::{
    conflicts::{ConflictEvent, ConflictRow},
    error::StoreError,
    status::Usage,
};

/// How long a connection waits for another one's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How many connections read at the same time.
const READERS: u32 = 4;

/// An open database that can be read.
#[derive(Clone, Debug)]
pub struct Reader(SqlitePool);

/// An open database that can be written too. Clones are the same database.
#[derive(Clone)]
pub struct Store {
    reader: Reader,
    writer: Writer,
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging()
}

/// An empty file that only its owner can read; one that is there already is left as it is. What SQLite puts beside it
/// gets the same permissions.
fn create_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn open_error(path: &Path) -> impl FnOnce(sqlx::Error) -> StoreError {
    let path = path.to_path_buf();
    |source| StoreError::Open { path, source: Arc::new(source) }
}

impl Store {
    /// Opens the database in the file `path`, which is made where there is none and `create` is set, and brings its
    /// schema up to date.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(path: &Path, create: bool) -> Result<Self, StoreError> {
        if create {
            create_private(path).map_err(|error| open_error(path)(error.into()))?;
        }
        let mut connection = options(path).connect().await.map_err(open_error(path))?;
        migrations::apply(&mut connection).await?;
        let reader = Reader::connect(path).await?;
        Ok(Self { reader, writer: Writer::start(connection) })
    }

    /// The reading side.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Waits until what was ordered is written and every connection is closed.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    /// Runs a transaction that may write. What `body` returns counts only if the commit succeeds.
    async fn write<T, F>(&self, name: &'static str, body: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, TxError>>
            + Send
            + 'static,
    {
        self.writer.run(name, body).await
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

    async fn connect(path: &Path) -> Result<Self, StoreError> {
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
    async fn read<T, F>(&self, name: &'static str, body: F) -> Result<T, StoreError>
    where
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, TxError>>,
    {
        let read = async {
            let mut transaction = self.0.begin().await?;
            let value = body(&mut transaction).await?;
            transaction.rollback().await?;
            Ok(value)
        };
        read.await.map_err(|error: TxError| error.named(name))
    }
}
