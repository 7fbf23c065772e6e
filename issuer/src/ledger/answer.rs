//! Waiting until what was redeemed can be read by everybody.

use std::time::Duration;

use scrip_protocol::redemption::ItemResult;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    LedgerError,
    round::{Integrated, Scope},
};
use crate::{
    issuer::Issuer,
    store::{DecidedItem, LeafPlaces},
};

/// How often the database is asked where another process sequences.
const POLL: Duration = Duration::from_millis(20);

/// In the place of a batch's number; those are not negative.
const NO_BATCH: i64 = -1;

/// Why there is no place yet.
#[derive(Debug, thiserror::Error)]
pub enum NotPlaced {
    /// The ledger did not grow.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// It takes too long.
    #[error(
        "the ledger is behind: what was redeemed is recorded, and its place will be known later"
    )]
    Behind,
}

impl Issuer {
    /// The same of items that were decided long ago, whatever batch they were in: where the spends that won over them lie.
    pub(crate) async fn placed_before(
        &self,
        results: &[DecidedItem],
    ) -> Result<LeafPlaces, NotPlaced> {
        // No batch is looked for: none of the items is one that was accepted in it.
        self.placed(NO_BATCH, false, results).await
    }

    /// Where the credited items of a batch lie, and the spends that won over others of it: waits until all of them are stored, so that
    /// whoever reads the answer can look. `fresh` is whether the batch was recorded just now.
    pub(crate) async fn placed(
        &self,
        number: i64,
        fresh: bool,
        results: &[DecidedItem],
    ) -> Result<LeafPlaces, NotPlaced> {
        let on = self.inner.config.ledger.is_on();
        let has_leaf = |(result, _): &DecidedItem| match result {
            ItemResult::DoubleSpent(spend) => spend.leaf().is_some(),
            other => other.is_credited(),
        };
        if !on || !results.iter().any(has_leaf) {
            return Ok(LeafPlaces::default());
        }
        let deadline = Instant::now() + self.inner.config.ledger.wait;
        let mut look = !fresh;
        loop {
            if look {
                let places = self.inner.store.leaf_places(number, results).await;
                if let Some(places) = places.map_err(LedgerError::Store)? {
                    return Ok(places);
                }
            }
            if Instant::now() >= deadline {
                return Err(NotPlaced::Behind);
            }
            look = true;
            let integrated = timeout_at(deadline, self.integrate(Scope::Due)).await;
            if integrated.map_err(|_| NotPlaced::Behind)?? == Integrated::Elsewhere {
                sleep(POLL).await;
            }
        }
    }
}
