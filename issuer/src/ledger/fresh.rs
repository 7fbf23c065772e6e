//! What this process recorded a moment ago, so that the sequencer need not read it back from the database.
//!
//! It must be the same as what the database has: after a crash, and in another process, the leaves are made from the database, and must
//! come to the root that was signed. Nothing of it outlives the request that laid it here.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::store::EvidenceRow;

/// The evidence of batches whose senders wait for their answers, by the batch's number.
#[derive(Default)]
pub(crate) struct Fresh(Mutex<HashMap<i64, Vec<EvidenceRow>>>);

/// Evidence that lies ready as long as this lives.
pub(crate) struct Ready<'a> {
    fresh: &'a Fresh,
    batch: i64,
}

impl Fresh {
    /// Lays the evidence of a batch ready, which was committed.
    pub(crate) fn lay(&self, batch: i64, evidence: Vec<EvidenceRow>) -> Ready<'_> {
        self.map().insert(batch, evidence);
        Ready { fresh: self, batch }
    }

    /// The evidence of a batch, once.
    pub(super) fn take(&self, batch: i64) -> Option<Vec<EvidenceRow>> {
        self.map().remove(&batch)
    }

    fn map(&self) -> MutexGuard<'_, HashMap<i64, Vec<EvidenceRow>>> {
        // Nothing is done under the lock that could leave the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ready<'_> {
    fn drop(&mut self) {
        self.fresh.map().remove(&self.batch);
    }
}
