//! The one connection that writes. What waits at the same time is committed at once, so that many small writes cost
//! one sync of the disk; each of them still succeeds or fails on its own.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use scrip_runtime::tasks::{Life, life};
use sqlx::{Connection, Executor, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::error::{StoreError, TxError};

/// The most transactions that share a commit.
const GROUP: usize = 64;
/// How many may wait before those who ask have to wait as well.
const WAITING: usize = 1_024;

/// Tells the one who asked for a transaction how the commit went.
type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A transaction: whether to keep what it did, and whom to tell.
type Job = Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, (bool, Reply)> + Send>;

enum Order {
    Run(Job),
    Close(oneshot::Sender<()>),
}

/// A handle to the writing task.
#[derive(Clone)]
pub(super) struct Writer {
    orders: mpsc::Sender<Order>,
    life: Life,
}

impl Writer {
    /// Starts the task that owns `connection`.
    pub(super) fn start(connection: SqliteConnection) -> Self {
        let (sender, orders) = mpsc::channel(WAITING);
        let (pulse, life) = life("the writer of relay.db");
        tokio::spawn(async move {
            let _pulse = pulse;
            work(connection, orders).await;
        });
        Self { orders: sender, life }
    }

    /// Runs `body` in a transaction and waits until it is on the disk. Once it is ordered it runs also where the caller
    /// goes away.
    pub(super) async fn run<T, F>(&self, name: &'static str, body: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, TxError>>
            + Send
            + 'static,
    {
        let (sender, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            Box::pin(async move {
                let result = body(connection).await.map_err(|error| error.named(name));
                let keep = result.is_ok();
                let reply: Reply = Box::new(move |committed| {
                    // Where nobody waits any more, nobody needs the answer.
                    let _ = sender.send(result.and_then(|value| committed.map(|()| value)));
                });
                (keep, reply)
            })
        });
        let not_run = StoreError::NotRun { transaction: name };
        self.orders.send(Order::Run(job)).await.map_err(|_| not_run.clone())?;
        answer.await.map_err(|_| not_run)?
    }

    /// Tells when the task has ended: nothing can be written any more.
    pub(super) fn life(&self) -> Life {
        self.life.clone()
    }

    /// Waits until everything ordered before is done and the connection is closed.
    pub(super) async fn close(&self) {
        let (sender, closed) = oneshot::channel();
        if self.orders.send(Order::Close(sender)).await.is_ok() {
            let _ = closed.await; // an error says that the task is gone: closed as well
        }
    }
}

async fn work(mut connection: SqliteConnection, mut orders: mpsc::Receiver<Order>) {
    let mut received = Vec::with_capacity(GROUP);
    while orders.recv_many(&mut received, GROUP).await > 0 {
        let mut jobs = Vec::with_capacity(received.len());
        let mut closing = None;
        for order in received.drain(..) {
            match order {
                Order::Run(job) => jobs.push(job),
                Order::Close(done) => closing = Some(done),
            }
        }
        if !run_group(&mut connection, jobs).await {
            return;
        }
        if let Some(done) = closing {
            if let Err(error) = connection.close().await {
                tracing::warn!(%error, "the database was not closed cleanly");
            }
            let _ = done.send(());
            return;
        }
    }
}

/// Whether the connection can be used further on.
async fn run_group(connection: &mut SqliteConnection, jobs: Vec<Job>) -> bool {
    if jobs.is_empty() {
        return true;
    }
    let mut replies = Vec::with_capacity(jobs.len());
    let mut usable = true;
    let committed = transaction(connection, jobs, &mut replies).await.map_err(|source| {
        tracing::error!(error = %source, "a group of transactions was not committed");
        usable = !matches!(source, sqlx::Error::WorkerCrashed);
        StoreError::Commit { source: Arc::new(source) }
    });
    if committed.is_err() {
        // SQLite may have rolled back on its own already; then this is the error to ignore.
        let _ = connection.execute("ROLLBACK").await;
    }
    for reply in replies {
        reply(committed.clone());
    }
    usable
}

async fn transaction(
    connection: &mut SqliteConnection,
    jobs: Vec<Job>,
    replies: &mut Vec<Reply>,
) -> Result<(), sqlx::Error> {
    connection.execute("BEGIN IMMEDIATE").await?;
    for job in jobs {
        connection.execute("SAVEPOINT job").await?;
        let (keep, reply) = job(connection).await;
        replies.push(reply);
        if !keep {
            connection.execute("ROLLBACK TO job").await?;
        }
        connection.execute("RELEASE job").await?;
    }
    connection.execute("COMMIT").await.map(drop)
}
