//! The one writer. It takes whatever has arrived, runs it in one transaction, and answers everybody after the commit.

use std::{fs::File, sync::Mutex};

use scrip_protocol::{id::PaymentId, time::UnixSeconds};
use scrip_runtime::tasks::{Life, life};
use sqlx::{Connection as _, Executor as _, SqliteConnection};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    batches, prune, refuse, reserve,
    settle::{self, Commit},
    sql::{SqlError, SqlResult},
};
use crate::{
    provisions::StoredAnswer,
    spent::{
        ConflictNumber, NewBatch, NewRefusal, OutcomeRecord, RefuseOutcome, Reservation,
        ReserveOutcome, StoreError,
    },
};

/// How many jobs may share a transaction.
const GROUP: usize = 256;
/// How many jobs may wait; more make their callers wait.
const QUEUE: usize = 4 * GROUP;

/// Something to be written, its result, and who waits for it.
pub(super) struct Pending<I, O> {
    pub(super) input: I,
    /// Set when the job was run; it counts once the transaction is committed.
    pub(super) output: Option<Result<O, StoreError>>,
    reply: oneshot::Sender<Result<O, StoreError>>,
}

impl<I, O> Pending<I, O> {
    pub(super) fn new(input: I) -> (Self, oneshot::Receiver<Result<O, StoreError>>) {
        let (reply, receiver) = oneshot::channel();
        (Self { input, output: None, reply }, receiver)
    }

    /// Tells the caller what came of the transaction.
    fn settle(self, committed: Result<(), StoreError>) {
        let result = committed.and_then(|()| self.output.unwrap_or(Err(StoreError::Closed)));
        let _ = self.reply.send(result); // a caller that has gone away does not mind
    }
}

/// Everything that is ever written.
pub(super) enum Job {
    Reserve(Pending<Reservation, ReserveOutcome>),
    Commit(Pending<Commit, StoredAnswer>),
    Refuse(Pending<NewRefusal, RefuseOutcome>),
    Release(Pending<PaymentId, ()>),
    PutBatches(Pending<Vec<NewBatch>, ()>),
    RecordOutcome(Pending<OutcomeRecord, ()>),
    Reported(Pending<ConflictNumber, ()>),
    Prune(Pending<UnixSeconds, u64>),
}

impl Job {
    fn settle(self, committed: Result<(), StoreError>) {
        match self {
            Self::Reserve(pending) => pending.settle(committed),
            Self::Commit(pending) => pending.settle(committed),
            Self::Refuse(pending) => pending.settle(committed),
            Self::Release(pending) => pending.settle(committed),
            Self::PutBatches(pending) => pending.settle(committed),
            Self::RecordOutcome(pending) => pending.settle(committed),
            Self::Reported(pending) => pending.settle(committed),
            Self::Prune(pending) => pending.settle(committed),
        }
    }
}

/// The sending side of the writer.
pub(super) struct Writer {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    task: tokio::sync::Mutex<Option<JoinHandle<()>>>,
    life: Life,
}

impl Writer {
    /// Starts the task. It holds `lock` until it ends.
    pub(super) fn start(connection: SqliteConnection, lock: File) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (pulse, life) = life("the writer of the spent store");
        let task = tokio::spawn(async move {
            let _pulse = pulse;
            run(connection, queue, lock).await;
        });
        let (jobs, task) = (Mutex::new(Some(jobs)), tokio::sync::Mutex::new(Some(task)));
        Self { jobs, task, life }
    }

    /// Tells when the task has ended.
    pub(super) fn life(&self) -> Life {
        self.life.clone()
    }

    pub(super) async fn send(&self, job: Job) -> Result<(), StoreError> {
        let jobs = self.jobs.lock().map_err(|_| StoreError::Closed)?.clone();
        let jobs = jobs.ok_or(StoreError::Closed)?;
        jobs.send(job).await.map_err(|_| StoreError::Closed)
    }

    /// Returns when everything that was sent is written and the database is closed.
    pub(super) async fn close(&self) {
        if let Ok(mut jobs) = self.jobs.lock() {
            jobs.take();
        }
        if let Some(task) = self.task.lock().await.take() {
            let _ = task.await; // a task that panicked has closed the database too
        }
    }
}

async fn run(mut connection: SqliteConnection, mut queue: mpsc::Receiver<Job>, lock: File) {
    let mut jobs = Vec::with_capacity(GROUP);
    let mut usable = true;
    while usable && queue.recv_many(&mut jobs, GROUP).await > 0 {
        let together = write(&mut connection, &mut jobs).await;
        for mut job in jobs.drain(..) {
            let committed = match &together {
                Ok(()) => Ok(()),
                // Each on its own, so that nobody fails because of another one's damaged row. Every job may be
                // repeated, also where the transaction that failed was kept.
                Err(_) => write(&mut connection, std::slice::from_mut(&mut job)).await,
            };
            usable &= !matches!(committed, Err(SqlError::Sql(sqlx::Error::WorkerCrashed)));
            job.settle(committed.map_err(|error| {
                let error = error.named("write");
                tracing::error!(%error, "a transaction of the spent store failed");
                error
            }));
        }
    }
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "the spent store was not closed in order; nothing is lost");
    }
    drop(lock);
}

/// One transaction. An error means that none of the jobs happened, or, where the commit itself failed, that nobody knows.
async fn write(connection: &mut SqliteConnection, jobs: &mut [Job]) -> SqlResult<()> {
    let written = transaction(connection, jobs).await;
    if written.is_err() {
        // SQLite may have rolled back on its own already, as for a full disk; then this is the error to ignore.
        let _ = connection.execute("ROLLBACK").await;
    }
    written
}

/// Plain statements: a transaction of the driver's counts as open for good where SQLite ended it.
async fn transaction(tx: &mut SqliteConnection, jobs: &mut [Job]) -> SqlResult<()> {
    // Takes the write lock at once; a lock that is upgraded later can fail with "busy".
    tx.execute("BEGIN IMMEDIATE").await?;
    let mut reservations: Vec<&mut Pending<Reservation, ReserveOutcome>> = Vec::new();
    for job in jobs {
        let tx = &mut *tx;
        match job {
            Job::Reserve(job) => reservations.push(job),
            Job::Commit(job) => job.output = Some(settle::commit(tx, &job.input).await?),
            Job::Refuse(job) => job.output = Some(refuse::refuse(tx, &job.input).await?),
            Job::Release(job) => job.output = Some(settle::release(tx, &job.input).await?),
            Job::PutBatches(job) => job.output = Some(batches::put(tx, &job.input).await?),
            Job::RecordOutcome(job) => job.output = Some(batches::record(tx, &job.input).await?),
            Job::Reported(job) => job.output = Some(Ok(batches::reported(tx, job.input).await?)),
            Job::Prune(job) => job.output = Some(Ok(prune::slice(tx, job.input).await?)),
        }
    }
    reserve::all(&mut *tx, &mut reservations).await?;
    tx.execute("COMMIT").await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _};
    use tempfile::TempDir;

    use super::*;
    use crate::spent::{
        conformance::{reservation, vendor},
        sqlite::{migrations, options},
    };

    async fn pages(connection: &mut SqliteConnection) -> i64 {
        let row = sqlx::query("PRAGMA page_count").fetch_one(connection).await.unwrap();
        row.get(0)
    }

    async fn limit(connection: &mut SqliteConnection, pages: i64) {
        let sql = AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        sqlx::query(sql).execute(connection).await.unwrap();
    }

    fn reserve(payment: u16) -> [Job; 1] {
        [Job::Reserve(Pending::new(reservation(vendor(1), payment, &[u32::from(payment)])).0)]
    }

    /// A full disk makes SQLite roll back on its own. What is written once there is space again must go through.
    #[tokio::test]
    async fn a_full_disk_fails_what_is_written_then_and_nothing_later() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("spent.sqlite");
        let mut connection = options(&path).create_if_missing(true).connect().await.unwrap();
        migrations::apply(&mut connection, &path).await.unwrap();
        write(&mut connection, &mut reserve(1)).await.unwrap();
        let payment = reservation(vendor(1), 1, &[1]).payment_id;
        let body = vec![7; 100_000];
        let answer = StoredAnswer { status: 201, content_type: String::new(), body };
        let commit = || [Job::Commit(Pending::new(Commit { payment, answer: answer.clone() }).0)];
        let full = pages(&mut connection).await;
        limit(&mut connection, full).await;
        for _ in 0..3 {
            write(&mut connection, &mut commit()).await.unwrap_err();
        }
        transaction(&mut connection, &mut commit()).await.unwrap_err();
        connection.execute("ROLLBACK").await.expect_err("SQLite has rolled back");
        limit(&mut connection, 1_000_000).await;
        write(&mut connection, &mut commit()).await.unwrap();
        write(&mut connection, &mut reserve(2)).await.unwrap();
    }
}
