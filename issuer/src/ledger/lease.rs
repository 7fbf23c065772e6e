//! Who sequences: the process whose name is in the row of the state.
//!
//! Clocks of different machines are not compared. The holder raises a counter whenever it is at work, and others watch it by their own
//! clocks: who has seen it stand still for the length of the lease takes over, if it still stands there.

use std::time::Duration;

use scrip_protocol::tlog::tile::{TILE_WIDTH, TileKind, TilePath};
use tokio::time::Instant;

use super::{LedgerError, Rounds};
use crate::{
    issuer::Issuer,
    store::{Backend, LedgerState},
};

/// Another holder, as it was seen last.
pub(crate) struct Seen {
    holder: [u8; 16],
    beat: i64,
    since: Instant,
}

impl Issuer {
    /// Whether this process sequences; takes over where nobody does.
    pub(super) async fn leads(
        &self,
        rounds: &mut Rounds,
        state: &LedgerState,
    ) -> Result<bool, LedgerError> {
        let mine = self.inner.ledger.holder;
        if state.holder == mine {
            rounds.seen = None;
            return Ok(true);
        }
        let lease = self.inner.config.ledger.lease;
        // A SQLite file has one process: another name is that of one that is gone.
        let gone = state.holder == [0; 16] || self.inner.store.backend() == Backend::Sqlite;
        if !gone && !has_stood_still(&mut rounds.seen, state, lease) {
            return Ok(false);
        }
        self.has_the_files(state.stored).await?;
        self.inner.steps.at("issuer.ledger.lease");
        let taken = self.inner.store.take_ledger_lease(&mine, state.beat).await?;
        if taken {
            if !gone {
                tracing::info!("this process sequences the ledger now; the one before is silent");
            }
            rounds.seen = None;
        }
        Ok(taken)
    }

    /// Whether the storage of this process is the one that the others wrote to: whoever sequences must have all that is before.
    /// That the database is as new as it was found out before.
    async fn has_the_files(&self, stored: u64) -> Result<(), LedgerError> {
        let storage = &self.inner.ledger.storage;
        let Some(last) = stored.checked_sub(1) else { return Ok(()) };
        let path = TilePath::at(TileKind::Hash(0), last / TILE_WIDTH, stored);
        for path in path.iter().flat_map(|path| [*path, path.full()]) {
            if storage.get(&path.to_string()).await?.is_some() {
                return Ok(());
            }
        }
        Err(LedgerError::OtherStorage { place: storage.place().to_owned(), stored })
    }

    /// Shows that this process is alive, if it is the one that sequences.
    pub(crate) async fn beat(&self) -> Result<(), LedgerError> {
        self.inner.store.beat_ledger_lease(&self.inner.ledger.holder).await?;
        Ok(())
    }
}

fn has_stood_still(seen: &mut Option<Seen>, state: &LedgerState, lease: Duration) -> bool {
    match seen {
        Some(seen) if seen.holder == state.holder && seen.beat == state.beat => {
            seen.since.elapsed() >= lease
        }
        _ => {
            let (holder, beat) = (state.holder, state.beat);
            *seen = Some(Seen { holder, beat, since: Instant::now() });
            false
        }
    }
}
