//! The relay's database: a SQLite file with one writer, and readers beside it.
//!
//! What is relied on: a transaction is atomic, durable when its commit returns (`synchronous = FULL`), and the only one
//! that writes. Every transaction has a name; none signs, draws randomness or waits for anything but the disk.

mod collection;
mod conflicts;
mod error;
mod leases;
mod migrations;
mod moment;
mod provisions;
mod queues;
mod reader;
mod revival;
mod rows;
mod status;
mod writer;

use std::{fs::OpenOptions, io, path::Path, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use scrip_runtime::tasks::Life;
use scrip_verifier::spent::sqlite::{first_damage, is_damage};
use sqlx::{
    ConnectOptions, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

#[cfg(test)]
pub(crate) use self::queues::MAX_QUEUE_NONCES;
use self::writer::Writer;
pub(crate) use self::{
    conflicts::{ConflictDecision, ConflictSubject},
    error::TxError,
    leases::{ChunkSpace, LeaseKind, LeaseNumber, LeaseRow},
    moment::AcceptedLoss,
    provisions::{Capacity, Extended, Extension, NewLease, Provision, Provisioned},
    queues::{Sent, StoredMessage},
    revival::{Revival, Revived},
};
pub use self::{
    conflicts::{ConflictEvent, ConflictRow},
    error::StoreError,
    reader::Reader,
    status::Usage,
};

/// How long a connection waits for another one's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

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
    |source| match is_damage(&source) {
        true => StoreError::Corrupt { path, damage: source.to_string() },
        false => StoreError::Open { path, source: Arc::new(source) },
    }
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
        if let Some(damage) = first_damage(&mut connection, path).await.map_err(open_error(path))? {
            return Err(StoreError::Corrupt { path: path.into(), damage });
        }
        migrations::apply(&mut connection).await?;
        let reader = Reader::connect(path).await?;
        Ok(Self { reader, writer: Writer::start(connection) })
    }

    /// The reading side.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Tells when nothing can be written any more.
    pub(crate) fn writers_life(&self) -> Life {
        self.writer.life()
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
