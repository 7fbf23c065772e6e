//! Where a database stands, to be compared with what others know of it.

use sqlx::Row;

use super::{Backend, Doubt, Server, Store, StoreError, Tx, TxError, ledger, memory::Writer, rows};
use crate::store::memory::Marks;

/// What a database knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Leaves that have their places.
    pub(crate) size: u64,
    /// The signed checkpoint of the size that was asked for.
    pub(crate) note: Option<Vec<u8>>,
}

/// What a database knows besides the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// The sum of all marks: it never shrinks.
    pub(crate) total: u64,
    /// The server, for PostgreSQL; none where it is a replica, which takes no writes.
    pub(crate) server: Option<Server>,
}

impl Store {
    /// What the database knows of the ledger, with the checkpoint of `size` leaves.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn standing(&self, size: u64) -> Result<Standing, StoreError> {
        self.read("standing", |tx| {
            Box::pin(async move {
                let sql = "-- standing()
                    SELECT ledger_state.size, ledger_checkpoints.note FROM ledger_state
                    LEFT JOIN ledger_checkpoints ON ledger_checkpoints.size = $1
                    WHERE ledger_state.id = 1";
                let found =
                    sqlx::query(sql).bind(ledger::column(size)).fetch_optional(tx.connection());
                let Some(row) = found.await? else { return Ok(Standing::default()) };
                Ok(Standing {
                    size: rows::integer(&row, "size", "ledger_state")?,
                    note: row.try_get("note")?,
                })
            })
        })
        .await
    }

    /// What the database knows besides the ledger.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn tally(&self) -> Result<Tally, StoreError> {
        self.read("tally", |tx| {
            Box::pin(async move {
                let sql = "-- tally()
                    SELECT CAST(COALESCE(SUM(number), 0) AS BIGINT) AS total FROM marks";
                let row = sqlx::query(sql).fetch_one(tx.connection()).await?;
                let total = rows::integer(&row, "total", "marks")?;
                Ok(Tally { total, server: tx.server().await? })
            })
        })
        .await
    }

    /// The marks of a writer, by slot.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn marks_of(&self, writer: &Writer) -> Result<Marks, StoreError> {
        self.read("marks_of", |tx| Box::pin(async move { Ok(tx.known(writer).await?.marks) })).await
    }

    /// Gives the numbers of this process to nobody in particular, so that its rows go and their sum stays: for a process that ends.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn fold_marks(&self) -> Result<(), StoreError> {
        let Some(memory) = self.memory() else { return Ok(()) };
        let writer = memory.writer();
        if self.backend() == Backend::Sqlite {
            return Ok(());
        }
        memory.forget_marks();
        self.run_tx_minor("fold_marks", |tx| {
            Box::pin(async move {
                let sql = "-- fold_marks()
                    INSERT INTO marks (writer, slot, number)
                    SELECT $2, 0, CAST(SUM(number) AS BIGINT) FROM marks WHERE writer = $1
                    GROUP BY writer
                    ON CONFLICT (writer, slot) DO UPDATE SET number = marks.number + excluded.number";
                sqlx::query(sql)
                    .bind(writer.as_slice())
                    .bind(NOBODY.as_slice())
                    .execute(tx.connection())
                    .await?;
                let sql = "-- forget_marks()
                    DELETE FROM marks WHERE writer = $1";
                sqlx::query(sql).bind(writer.as_slice()).execute(tx.connection()).await?;
                Ok(())
            })
        })
        .await
    }

    /// What is in doubt, as far as this process has found out.
    pub fn doubt(&self) -> Option<Doubt> {
        self.memory().and_then(|memory| memory.doubt())
    }
}

/// Whose numbers those of processes become that have ended.
const NOBODY: Writer = [0; 16];

impl Tx<'_> {
    /// The server's cluster and timeline.
    async fn server(&mut self) -> Result<Option<Server>, TxError> {
        if self.backend == Backend::Sqlite {
            return Ok(None);
        }
        // The control file has a new timeline only after a checkpoint; the name of the file that is written to has it at once.
        let sql = "-- server()
            SELECT CAST((SELECT system_identifier FROM pg_control_system()) AS TEXT) AS system,
            CASE WHEN pg_is_in_recovery() THEN ''
                ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END AS timeline";
        let row = sqlx::query(sql).fetch_one(self.connection()).await?;
        let (system, timeline): (String, String) =
            (row.try_get("system")?, row.try_get("timeline")?);
        Ok((!timeline.is_empty()).then_some(Server { system, timeline }))
    }
}
