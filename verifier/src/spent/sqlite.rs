//! The spent store on SQLite: one writer that groups commits, readers beside it.
//!
//! `journal_mode = WAL` lets readers go on while the writer writes; `synchronous = FULL` makes a commit durable before it
//! returns. All writes go through one task (`writer`), so that nobody ever waits for a lock, and as many as arrive
//! while the disk is busy share the next transaction and its sync.

mod batches;
mod integrity;
mod migrations;
mod prune;
mod reads;
mod refuse;
mod reserve;
mod rows;
mod settle;
mod sql;
mod writer;

#[cfg(test)]
mod tests;

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use scrip_protocol::{
    id::{PaymentId, VendorId},
    time::UnixSeconds,
};
use scrip_runtime::tasks::Life;
use sqlx::{
    ConnectOptions as _, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

pub use self::{
    integrity::{first_damage, is_damage},
    reads::Books,
};
use self::{
    settle::Commit,
    writer::{Job, Pending, Writer},
};
use super::{
    BatchNumber, Conflict, ConflictNumber, EarningsRow, KnownPayment, NewBatch, NewRefusal,
    OutcomeRecord, PendingBatch, RedeemableItem, RefuseOutcome, Reservation, ReserveOutcome,
    ReservedPayment, SpentStore, StoreError, StoreFuture, VendorTotals, Waiting,
};
use crate::provisions::StoredAnswer;

/// How many connections read at the same time.
const READERS: u32 = 4;
/// Only another process can hold the write lock, and only while it opens the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the lock of the database is tried before [`StoreError::InUse`].
const LOCK_ATTEMPTS: u32 = 40;
/// The pause between two attempts.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// A spent store in a SQLite file.
pub struct SqliteStore {
    writer: Writer,
    books: Books,
}

impl SqliteStore {
    /// Opens the database at `path`, creates it where there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::InUse`] where another process writes to it.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = lock(path).await?;
        let failed = |source| open_error(path, source);
        create_private(path).map_err(|error| failed(error.into()))?;
        let mut connection = options(path).connect().await.map_err(failed)?;
        if let Some(damage) = first_damage(&mut connection, path).await.map_err(failed)? {
            return Err(StoreError::Corrupt { path: path.into(), damage });
        }
        migrations::apply(&mut connection, path).await?;
        let books = Books::open(path).await?;
        Ok(Self { writer: Writer::start(connection, lock), books })
    }

    /// What one reads in it.
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// Tells when nothing can be written any more. Whoever runs a server on this store watches it: payments fail from
    /// then on, until the program is started again.
    pub fn writers_life(&self) -> Life {
        self.writer.life()
    }

    fn write<I, O: Send + 'static>(
        &self,
        input: I,
        job: impl FnOnce(Pending<I, O>) -> Job,
    ) -> StoreFuture<'_, O> {
        let (pending, reply) = Pending::new(input);
        let job = job(pending);
        Box::pin(async move {
            self.writer.send(job).await?;
            reply.await.unwrap_or(Err(StoreError::Closed))
        })
    }
}

/// Keeps a second process from writing: reservations would be decided by two writers otherwise, each with its own
/// twins and batches. Waits a little for one that is just ending.
async fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let path = PathBuf::from(name);
    let opened = private().create(true).append(true).open(&path);
    let file = opened.map_err(|error| open_error(&path, error.into()))?;
    for _ in 0..LOCK_ATTEMPTS {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_PAUSE).await,
            Err(TryLockError::Error(error)) => return Err(open_error(&path, error.into())),
        }
    }
    Err(StoreError::InUse { path })
}

/// Creates a database that only its owner can read, for it says who was paid when. SQLite gives the files beside it the
/// same mode. One that exists is not opened: to close it again would end the locks that this process holds on it.
fn create_private(path: &Path) -> std::io::Result<()> {
    match private().create_new(true).write(true).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn open_error(path: &Path, source: sqlx::Error) -> StoreError {
    match is_damage(&source) {
        true => StoreError::Corrupt { path: path.into(), damage: source.to_string() },
        false => StoreError::Open { path: path.into(), source: Arc::new(source) },
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging()
}

async fn readers(path: &Path) -> Result<SqlitePool, StoreError> {
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options(path).pragma("query_only", "ON"))
        .await
        .map_err(|source| open_error(path, source))
}

impl SpentStore for SqliteStore {
    fn find(&self, payment: PaymentId) -> StoreFuture<'_, Option<KnownPayment>> {
        Box::pin(self.books.find(payment))
    }

    fn reserve(&self, reservation: Reservation) -> StoreFuture<'_, ReserveOutcome> {
        self.write(reservation, Job::Reserve)
    }

    fn commit(&self, payment: PaymentId, answer: StoredAnswer) -> StoreFuture<'_, StoredAnswer> {
        self.write(Commit { payment, answer }, Job::Commit)
    }

    fn refuse(&self, refusal: NewRefusal) -> StoreFuture<'_, RefuseOutcome> {
        self.write(refusal, Job::Refuse)
    }

    fn release(&self, payment: PaymentId) -> StoreFuture<'_, ()> {
        self.write(payment, Job::Release)
    }

    fn reserved(&self, until: UnixSeconds) -> StoreFuture<'_, Vec<ReservedPayment>> {
        Box::pin(self.books.reserved(until))
    }

    fn waiting(&self, vendor: VendorId) -> StoreFuture<'_, Waiting> {
        Box::pin(self.books.waiting(vendor))
    }

    fn redeemable(&self, vendor: VendorId, most: usize) -> StoreFuture<'_, Vec<RedeemableItem>> {
        Box::pin(self.books.redeemable(vendor, most))
    }

    fn unshown(&self, payment: PaymentId) -> StoreFuture<'_, Vec<RedeemableItem>> {
        Box::pin(self.books.unshown(payment))
    }

    fn put_batches(&self, batches: Vec<NewBatch>) -> StoreFuture<'_, ()> {
        self.write(batches, Job::PutBatches)
    }

    fn pending_batches(&self) -> StoreFuture<'_, Vec<PendingBatch>> {
        Box::pin(self.books.pending_batches())
    }

    fn batch_bytes(&self, batch: BatchNumber) -> StoreFuture<'_, Vec<u8>> {
        Box::pin(self.books.batch_bytes(batch))
    }

    fn pending_batches_of(&self, payment: PaymentId) -> StoreFuture<'_, Vec<PendingBatch>> {
        Box::pin(self.books.pending_batches_of(payment))
    }

    fn record_outcome(&self, outcome: OutcomeRecord) -> StoreFuture<'_, ()> {
        self.write(outcome, Job::RecordOutcome)
    }

    fn unreported(&self) -> StoreFuture<'_, Vec<Conflict>> {
        Box::pin(self.books.unreported())
    }

    fn conflicts_of(&self, payment: PaymentId) -> StoreFuture<'_, Vec<Conflict>> {
        Box::pin(self.books.conflicts_of(payment))
    }

    fn reported(&self, conflict: ConflictNumber) -> StoreFuture<'_, ()> {
        self.write(conflict, Job::Reported)
    }

    fn prune(&self, now: UnixSeconds) -> StoreFuture<'_, u64> {
        self.write(now, Job::Prune)
    }

    fn totals(&self) -> StoreFuture<'_, Vec<VendorTotals>> {
        Box::pin(self.books.totals())
    }

    fn conflicts(&self, most: usize) -> StoreFuture<'_, Vec<Conflict>> {
        Box::pin(self.books.conflicts(most))
    }

    fn earnings(&self) -> StoreFuture<'_, Vec<EarningsRow>> {
        Box::pin(self.books.earnings())
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.writer.close().await;
            self.books.close().await;
        })
    }
}
