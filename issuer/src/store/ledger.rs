//! The ledger's tables: what is in line, what lies where, and who sequences. Which leaf is made of what is decided in
//! [`crate::ledger`]; here is what is atomic.

mod auditors;
mod begin;
mod line;
mod openings;
mod places;
mod renewals;
mod sequence;
mod voided;

use scrip_protocol::time::Day;
use sqlx::{Row, any::AnyRow};

pub(in crate::store) use self::line::entry;
pub use self::{
    auditors::AuditorRow,
    line::{EvidenceRow, IssuedKind, IssuedRow, QueuedRow, SalesRow, Waiting, What},
    places::{DecidedItem, LeafPlaces, RangeRow},
    renewals::{RenewalDay, RenewalRow, RenewedRow},
    sequence::{LoggedRenewals, Sequenced},
    voided::EditionRow,
};
use super::{Store, StoreError, Tx, TxError, rows};

/// The row that says how far the ledger is.
#[derive(Clone, PartialEq, Eq)]
pub struct LedgerState {
    /// What hides that which could be guessed of private leaves.
    pub secret: [u8; 32],
    /// How many leaves have their places.
    pub size: u64,
    /// The unfinished tiles of that tree.
    pub edge: Vec<u8>,
    /// How many of them are in the storage.
    pub stored: u64,
    /// The unfinished tiles of that tree.
    pub stored_edge: Vec<u8>,
    /// Who sequences; all zeros where nobody did yet.
    pub holder: [u8; 16],
    /// Raised whenever the holder shows that it is alive.
    pub beat: i64,
}

impl Store {
    /// How far the ledger is.
    ///
    /// # Errors
    /// [`StoreError::NotInitialised`] where it was not begun, and others.
    pub async fn ledger_state(&self) -> Result<LedgerState, StoreError> {
        self.read("ledger_state", |tx| Box::pin(async move { tx.ledger_state().await })).await
    }

    /// Makes `holder` the one that sequences, if nobody beat since `beat` was read. Returns whether it is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take_ledger_lease(
        &self,
        holder: &[u8; 16],
        beat: i64,
    ) -> Result<bool, StoreError> {
        self.run_tx("take_ledger_lease", |tx| {
            Box::pin(async move {
                let sql = "-- take_ledger_lease()
                    UPDATE ledger_state SET holder = $1, beat = beat + 1 WHERE id = 1 AND beat = $2";
                let taken = sqlx::query(sql)
                    .bind(holder.as_slice())
                    .bind(beat)
                    .execute(tx.connection())
                    .await?;
                Ok(taken.rows_affected() == 1)
            })
        })
        .await
    }

    /// Shows that `holder` is alive. Returns whether it still is the one that sequences.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn beat_ledger_lease(&self, holder: &[u8; 16]) -> Result<bool, StoreError> {
        self.run_tx_minor("beat_ledger_lease", |tx| {
            Box::pin(async move {
                let sql = "-- beat_ledger_lease()
                    UPDATE ledger_state SET beat = beat + 1 WHERE id = 1 AND holder = $1";
                let beaten =
                    sqlx::query(sql).bind(holder.as_slice()).execute(tx.connection()).await?;
                Ok(beaten.rows_affected() == 1)
            })
        })
        .await
    }
}

impl Tx<'_> {
    async fn ledger_state(&mut self) -> Result<LedgerState, TxError> {
        let sql = "-- ledger_state()
            SELECT secret, size, edge, stored, stored_edge, holder, beat FROM ledger_state
            WHERE id = 1";
        let row = sqlx::query(sql).fetch_optional(self.connection()).await?;
        let row = row.ok_or(StoreError::NotInitialised)?;
        Ok(LedgerState {
            secret: rows::bytes(&row, "secret", "ledger_state")?,
            size: rows::integer(&row, "size", "ledger_state")?,
            edge: row.try_get("edge")?,
            stored: rows::integer(&row, "stored", "ledger_state")?,
            stored_edge: row.try_get("stored_edge")?,
            holder: rows::bytes(&row, "holder", "ledger_state")?,
            beat: row.try_get("beat")?,
        })
    }
}

/// An index or a size as a column holds it. Sizes fit by the format's own limit.
pub(in crate::store) fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn day(row: &AnyRow, table: &'static str) -> Result<Day, TxError> {
    Ok(Day(rows::integer(row, "day", table)?))
}
