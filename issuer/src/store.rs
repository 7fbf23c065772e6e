//! The issuer's database: SQLite, or PostgreSQL for more than one process.
//!
//! Both speak the same SQL here, through `sqlx::Any`. What the issuer relies on, and all that it relies on:
//!
//! - a transaction is atomic, and durable when `commit` returns (`durable`); that it still is there later is looked after by
//!   `memory`;
//! - primary keys and uniqueness constraints hold between all processes;
//! - after `INSERT … ON CONFLICT DO NOTHING` a later statement of the same transaction sees the row that was there
//!   first, or the transaction fails and is tried again;
//! - `UPDATE` of a row makes other writers of that row wait until the transaction ends.
//!
//! PostgreSQL's default level, read committed, gives that; stricter levels do too. There are no advisory locks, no
//! sequences, and nothing that only one engine has. Every transaction has a name and runs in `Store::attempt`, which tries
//! it again where another one won; its closure draws no randomness, signs nothing and calls no network.

mod admin;
mod clock;
mod contracts;
mod doubt;
mod dropping;
mod durable;
mod error;
mod grants;
mod health;
mod keys;
mod ledger;
mod many;
pub(crate) mod memory;
mod migrations;
mod operators;
mod orders;
mod packs;
mod purchases;
mod redemptions;
mod renewals;
mod rows;
mod standing;
mod statements;
mod status;
mod tokens;
mod vouchers;

#[cfg(test)]
mod conformance;
#[cfg(test)]
pub(crate) mod dump;

use std::{marker::PhantomData, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use sqlx::{
    AnyConnection, AnyPool, ConnectOptions, Connection, Executor, Transaction,
    any::{Any, AnyConnectOptions, AnyPoolOptions, install_default_drivers},
};
use tokio::{sync::Mutex, time::timeout};

pub use self::{
    admin::{
        Act, Action, AddedToken, AdminTokenRow, LogEntry, NewSession, SessionLimits, SessionRow,
    },
    contracts::{NewContract, RecordedContract},
    doubt::{Doubt, Server},
    error::StoreError,
    grants::{GrantRow, Minted},
    health::SourceFailure,
    keys::{KeyMaterial, ManifestVersion, SealedKey},
    ledger::{
        AuditorRow, DecidedItem, EditionRow, EvidenceRow, IssuedKind, IssuedRow, LeafPlaces,
        LedgerState, LoggedRenewals, QueuedRow, RangeRow, RenewalDay, RenewalRow, RenewedRow,
        SalesRow, Sequenced, Waiting, What,
    },
    operators::{AddedOperator, NewOperator, OperatorRow},
    orders::OrderRow,
    packs::StoredPack,
    purchases::{
        Effect, Loss, NewPurchase, Outcome, PurchaseRecorded, PurchaseRow, Refund, Sale, Unsettled,
    },
    redemptions::{
        BatchRecord, Decided, Decision, OutcomeCounts, OutcomeDay, RecordedSpend, SpendRecord,
    },
    renewals::{NewRenewal, Recorded, RefusedRenewal},
    statements::{AdjustmentRow, NewStatement, Unstated},
    status::{DenominationCount, RedeemedCount, StatusRows},
    tokens::TokenTaken,
    vouchers::{AddedBatch, NewVoucher, NewVoucherBatch, VoucherBatchRow, VoucherRow},
};
pub(crate) use self::{
    error::TxError,
    memory::{Memory, Seen},
    standing::Tally,
};

/// How often a transaction is tried before [`StoreError::Contention`].
const ATTEMPTS: u32 = 12;
/// How long a request waits for a connection, and before that, in SQLite's line.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(20);
/// How many connections read a SQLite database at the same time. One writes.
const SQLITE_READERS: u32 = 4;

/// Which engine is behind the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A file of this machine.
    Sqlite,
    /// A server.
    Postgres,
}

/// An open database.
#[derive(Clone, Debug)]
pub struct Store {
    backend: Backend,
    /// For SQLite, a pool of one: writers wait instead of failing with "busy".
    writer: AnyPool,
    reader: AnyPool,
    /// Where writers stand in line for that one connection; nothing for PostgreSQL. Who does not stand here waits for one transaction,
    /// or two where one has just ended.
    line: Option<Arc<Mutex<()>>>,
    /// What this process remembers of the database; nothing where it does not bind the vendor.
    memory: Option<Arc<Memory>>,
}

/// How a transaction uses the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// It only reads.
    Reads,
    /// It may write.
    Writes,
    /// It may write, and others wait for it: it goes before those that stand in line.
    WritesNext,
    /// It writes what binds nobody: who is logged in, who is alive. It carries no mark, and is not refused in doubt.
    WritesMinor,
}

/// A transaction that is under way. `'e` is what its closure may borrow from.
pub(crate) struct Tx<'e> {
    transaction: Transaction<'static, Any>,
    backend: Backend,
    environment: PhantomData<&'e ()>,
}

impl Tx<'_> {
    pub(crate) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }
}

/// What an attempt of a transaction gives.
pub(crate) type TxFuture<'t, T> = BoxFuture<'t, Result<T, TxError>>;

impl Store {
    /// Opens the database at `url` and brings its schema up to date. `connections` is how many a PostgreSQL server is
    /// asked for. A SQLite file is created where there is none and `create` is set.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(url: &str, connections: u32, create: bool) -> Result<Self, StoreError> {
        install_default_drivers();
        if url.starts_with("postgres") {
            durable::check(&connect_options(url).map_err(StoreError::Open)?).await?;
        }
        let store = if url.starts_with("sqlite:") {
            Self::open_sqlite(url, create).await
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            Self::open_postgres(url, connections).await
        } else {
            return Err(StoreError::UnknownScheme);
        };
        let store = store.map_err(StoreError::Open)?;
        migrations::apply(&store).await?;
        Ok(store)
    }

    /// A new database as an older program made it.
    #[cfg(test)]
    pub(crate) async fn open_at_version(url: &str, version: i64) -> Result<Self, StoreError> {
        install_default_drivers();
        let store = Self::open_sqlite(url, true).await.map_err(StoreError::Open)?;
        migrations::up_to(&store, version).await?;
        Ok(store)
    }

    /// Runs statements as they are.
    #[cfg(test)]
    pub(crate) async fn execute_raw(&self, sql: &'static str) -> Result<(), sqlx::Error> {
        self.writer.execute(sqlx::raw_sql(sql)).await.map(drop)
    }

    /// Runs statements that a test has put together, on one connection of its own.
    #[cfg(test)]
    pub(crate) async fn execute_text(&self, sql: &str) {
        let mut connection = self.writer.acquire().await.unwrap();
        let sql = sqlx::raw_sql(sqlx::AssertSqlSafe(sql));
        sql.execute(&mut *connection).await.unwrap();
    }

    /// The names of all tables of a SQLite database.
    #[cfg(test)]
    pub(crate) async fn tables(&self) -> Vec<String> {
        let sql =
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
        let found = sqlx::query_scalar(sql).fetch_all(&self.reader).await;
        found.unwrap()
    }

    async fn open_sqlite(url: &str, create: bool) -> Result<Self, sqlx::Error> {
        let separator = if url.contains('?') { '&' } else { '?' };
        let mode = if create { "rwc" } else { "rw" };
        let url = format!("{url}{separator}mode={mode}");
        let pool = |connections| {
            AnyPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .idle_timeout(None)
                .max_lifetime(None)
                .after_connect(|connection, _| Box::pin(prepare_sqlite(connection)))
                .after_release(|connection, _| Box::pin(can_begin(connection)))
        };
        let options = connect_options(&url)?;
        let writer =
            pool(1).after_connect(|connection, _| Box::pin(prepare_sqlite_writer(connection)));
        let writer = writer.connect_with(options.clone()).await?; // first: it makes the file and sets WAL
        let reader = pool(SQLITE_READERS).connect_with(options).await?;
        Ok(Self {
            backend: Backend::Sqlite,
            writer,
            reader,
            line: Some(Arc::default()),
            memory: None,
        })
    }

    async fn open_postgres(url: &str, connections: u32) -> Result<Self, sqlx::Error> {
        let pool = AnyPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(|connection, _| Box::pin(durable::prepare(connection)))
            .connect_with(connect_options(url)?)
            .await?;
        let (writer, reader) = (pool.clone(), pool);
        Ok(Self { backend: Backend::Postgres, writer, reader, line: None, memory: None })
    }

    /// The same database, written to by `writer`, who remembers what it has committed.
    pub(crate) fn remembering(self, writer: memory::Writer) -> Self {
        Self { memory: Some(Arc::new(Memory::new(writer))), ..self }
    }

    pub(crate) fn memory(&self) -> Option<&Memory> {
        self.memory.as_deref()
    }

    /// Looks through the whole of a SQLite file of up to 256 MiB for damage; a larger one takes too long at every start. A
    /// server looks after its own.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub async fn check_integrity(&self) -> Result<(), StoreError> {
        const LARGEST: i64 = 1 << 28;
        if self.backend != Backend::Sqlite {
            return Ok(());
        }
        let failed = |source| StoreError::Failed { transaction: "check_integrity", source };
        let sizes = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
        let bytes: i64 = sqlx::query_scalar(sizes).fetch_one(&self.reader).await.map_err(failed)?;
        if bytes > LARGEST {
            tracing::info!(
                bytes,
                "too large to be looked through at every start; `sqlite3 FILE 'PRAGMA quick_check'` does it beside a running issuer"
            );
            return Ok(());
        }
        let said = sqlx::query_scalar("SELECT quick_check FROM pragma_quick_check LIMIT 1");
        let damage = match said.fetch_all(&self.reader).await {
            Ok(said) => said.into_iter().next().filter(|said: &String| said != "ok"),
            // SQLITE_CORRUPT: not even the check gets through it.
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("11") => {
                Some(error.to_string())
            }
            Err(source) => return Err(failed(source)),
        };
        let damage = damage.map(|said| said.replace('\n', " "));
        damage.map_or(Ok(()), |damage| Err(StoreError::Corrupt { damage }))
    }

    /// Which engine this is.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Waits until every connection is closed.
    pub async fn close(&self) {
        self.writer.close().await;
        self.reader.close().await;
    }

    /// Runs a transaction that may write, and tries it again where another one won. What `body` returns counts only if
    /// the commit succeeds; it may run several times.
    pub(crate) async fn run_tx<'e, T, F>(
        &self,
        name: &'static str,
        body: F,
    ) -> Result<T, StoreError>
    where
        F: for<'t> Fn(&'t mut Tx<'e>) -> TxFuture<'t, T> + Send + Sync,
        T: Send,
    {
        self.attempt(Access::Writes, name, body).await
    }

    /// The same, of what binds nobody and is no loss: also in a database that is not to be believed.
    pub(crate) async fn run_tx_minor<'e, T, F>(
        &self,
        name: &'static str,
        body: F,
    ) -> Result<T, StoreError>
    where
        F: for<'t> Fn(&'t mut Tx<'e>) -> TxFuture<'t, T> + Send + Sync,
        T: Send,
    {
        self.attempt(Access::WritesMinor, name, body).await
    }

    /// The same as [`Store::run_tx`]; on SQLite, before those that stand in line: for what many of them wait for.
    pub(crate) async fn run_tx_next<'e, T, F>(
        &self,
        name: &'static str,
        body: F,
    ) -> Result<T, StoreError>
    where
        F: for<'t> Fn(&'t mut Tx<'e>) -> TxFuture<'t, T> + Send + Sync,
        T: Send,
    {
        self.attempt(Access::WritesNext, name, body).await
    }

    /// Runs a transaction that only reads, beside the writer.
    pub(crate) async fn read<'e, T, F>(&self, name: &'static str, body: F) -> Result<T, StoreError>
    where
        F: for<'t> Fn(&'t mut Tx<'e>) -> TxFuture<'t, T> + Send + Sync,
        T: Send,
    {
        self.attempt(Access::Reads, name, body).await
    }

    async fn attempt<'e, T, F>(
        &self,
        access: Access,
        name: &'static str,
        body: F,
    ) -> Result<T, StoreError>
    where
        F: for<'t> Fn(&'t mut Tx<'e>) -> TxFuture<'t, T> + Send + Sync,
        T: Send,
    {
        for attempt in 0..ATTEMPTS {
            let error = match self.once(access, &body).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            match error {
                error if error.is_retryable() => {}
                TxError::Final(error) => return Err(error),
                TxError::Sql(sqlx::Error::PoolTimedOut) => {
                    return Err(StoreError::Busy { transaction: name });
                }
                TxError::Sql(source) => {
                    return Err(StoreError::Failed { transaction: name, source });
                }
                TxError::Overtaken => {} // retryable, as the first arm says
            }
            tracing::debug!(transaction = name, attempt, "overtaken by another transaction");
            tokio::time::sleep(Duration::from_millis(1 << attempt.min(8))).await;
        }
        Err(StoreError::Contention { transaction: name, attempts: ATTEMPTS })
    }

    async fn once<'e, T, F>(&self, access: Access, body: &F) -> Result<T, TxError>
    where
        F: for<'t> Fn(&'t mut Tx<'e>) -> TxFuture<'t, T>,
    {
        let _turn = match &self.line {
            Some(line) if matches!(access, Access::Writes | Access::WritesMinor) => {
                let turn = timeout(ACQUIRE_TIMEOUT, line.lock()).await;
                Some(turn.map_err(|_| sqlx::Error::PoolTimedOut)?)
            }
            _ => None,
        };
        let pool = if access == Access::Reads { &self.reader } else { &self.writer };
        let begin = match self.backend {
            // Takes the write lock at once: a lock that is upgraded later can fail with "busy" beyond all waiting.
            Backend::Sqlite if access != Access::Reads => "BEGIN IMMEDIATE",
            Backend::Sqlite | Backend::Postgres => "BEGIN",
        };
        let transaction = pool.begin_with(begin).await?;
        let mut tx = Tx { transaction, backend: self.backend, environment: PhantomData };
        let memory = self.memory.as_deref();
        let marks = matches!(access, Access::Writes | Access::WritesNext);
        let done = async {
            let held = match memory.filter(|_| marks) {
                Some(memory) => Some(tx.mark(memory).await?),
                None => None,
            };
            Ok((body(&mut tx).await?, held))
        };
        match done.await {
            Ok((value, held)) => {
                tx.transaction.commit().await?;
                if let Some(held) = held {
                    held.committed();
                }
                Ok(value)
            }
            Err(error) => {
                // The first error is the one to report; a connection that could not roll back is found by `can_begin`.
                let _ = tx.transaction.rollback().await;
                Err(error)
            }
        }
    }
}

/// Statements are not logged: those of a full batch are thousands of placeholders long.
fn connect_options(url: &str) -> Result<AnyConnectOptions, sqlx::Error> {
    Ok(url.parse::<AnyConnectOptions>()?.disable_statement_logging())
}

/// Whether a connection that comes back to its pool can be used again. Where the disk is full or memory is short, SQLite
/// rolls back by itself; the driver's own rollback then fails, and it refuses every later transaction on this connection.
/// Such a one is closed, and the pool opens another.
async fn can_begin(connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    connection.begin_with("BEGIN").await?.rollback().await?;
    Ok(true)
}

/// `synchronous = FULL`: a commit is on the disk when it returns, also where the power fails.
async fn prepare_sqlite(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    let pragmas =
        "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;";
    connection.execute(sqlx::raw_sql(pragmas)).await.map(drop)
}

/// Certificates' keys are random, so that a batch changes a page for nearly each of them: more of these pages stay in memory (64 MiB),
/// and what was written several times is brought into the file once (every 16 MiB).
async fn prepare_sqlite_writer(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    prepare_sqlite(connection).await?;
    let pragmas = "PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 4096;";
    connection.execute(sqlx::raw_sql(pragmas)).await.map(drop)
}
