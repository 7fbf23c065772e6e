//! An operator's own leaves (ledger.md, "An operator's own leaves").

use scrip_protocol::{
    ledger::{LedgerQuery, OwnLeaf, OwnLeaves, SignedLedgerQuery},
    limits::{COMMAND_SKEW, MAX_BATCH_ITEMS, MAX_OWN_LEAVES, MAX_OWN_LEAVES_ANSWER},
};

use super::{LedgerError, entries::Entries};
use crate::{
    issuer::Issuer,
    store::{RangeRow, What},
};

/// Bytes of an answer besides its leaves, and of each leaf besides its own.
const HEAD: usize = 8 + 8 + 3;
const LEAF_HEAD: usize = 8 + 2;
/// Ranges that are read at a time.
const RANGES: u16 = 1_024;

/// Why an operator is not shown its leaves.
#[derive(Debug, thiserror::Error)]
pub enum OwnLeavesError {
    /// The query is for another vendor.
    #[error("the query is for another vendor")]
    WrongVendor,
    /// The operator is not under contract.
    #[error("the operator is not under contract")]
    OperatorUnknown,
    /// It is not signed by its operator.
    #[error("the query is not signed by its operator")]
    SignatureInvalid,
    /// Its time is too far off.
    #[error("the query's time differs from the vendor's by more than {COMMAND_SKEW} seconds")]
    Stale,
    /// The database or the storage failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Leaves that are collected until an answer is full.
struct Answer {
    from: u64,
    bytes: usize,
    leaves: Vec<OwnLeaf>,
}

impl Issuer {
    /// `POST /v1/ledger/own`, from the third check on: the encoded answer.
    ///
    /// # Errors
    /// [`OwnLeavesError`].
    pub async fn own_leaves(&self, signed: SignedLedgerQuery) -> Result<Vec<u8>, OwnLeavesError> {
        let query = *signed.unverified();
        if query.vendor_id != self.vendor_id() {
            return Err(OwnLeavesError::WrongVendor);
        }
        let store = &self.inner.store;
        let operator = store.operator(&query.operator_id).await.map_err(LedgerError::Store)?;
        let operator = operator.ok_or(OwnLeavesError::OperatorUnknown)?;
        signed.verify(&operator.key).map_err(|_| OwnLeavesError::SignatureInvalid)?;
        if query.time.0.abs_diff(self.inner.clock.now().0) > COMMAND_SKEW {
            return Err(OwnLeavesError::Stale);
        }
        Ok(self.leaves_of(operator.number, &query).await?.encode())
    }

    async fn leaves_of(
        &self,
        operator: i64,
        query: &LedgerQuery,
    ) -> Result<OwnLeaves, LedgerError> {
        let size = self.inner.store.ledger_state().await?.stored;
        let mut answer = Answer { from: query.from, bytes: HEAD, leaves: Vec::new() };
        // A range that begins before may reach in: a batch has so many items at most.
        let mut next = query.from.saturating_sub(MAX_BATCH_ITEMS as u64);
        let mut entries = Entries::new(&self.inner.ledger.storage, size);
        loop {
            let ranges = self.inner.store.ledger_ranges_of(operator, next, size, RANGES).await?;
            for range in &ranges {
                if let Some(next) = answer.add(range, &mut entries).await? {
                    return Ok(OwnLeaves { size, next, leaves: answer.leaves });
                }
                next = range.first + 1;
            }
            if ranges.len() < usize::from(RANGES) {
                return Ok(OwnLeaves { size, next: size, leaves: answer.leaves });
            }
        }
    }
}

impl Answer {
    /// Adds the leaves of a range; where the answer is full, the index of the first that did not fit.
    async fn add(
        &mut self,
        range: &RangeRow,
        entries: &mut Entries<'_>,
    ) -> Result<Option<u64>, LedgerError> {
        for index in range.first.max(self.from)..range.first + range.leaves {
            let leaf = match (range.what, &range.body) {
                (What::Leaf, Some(body)) => body.clone(),
                _ => entries.leaf(index).await?,
            };
            let bytes = self.bytes + LEAF_HEAD + leaf.len();
            if self.leaves.len() == MAX_OWN_LEAVES || bytes > MAX_OWN_LEAVES_ANSWER {
                return Ok(Some(index));
            }
            self.bytes = bytes;
            self.leaves.push(OwnLeaf { index, leaf });
        }
        Ok(None)
    }
}
