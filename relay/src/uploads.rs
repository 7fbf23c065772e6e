//! One upload of a chunk at a time: each of them would fill a file of its own, and only one of those is kept.

use std::{collections::HashSet, time::Duration};

use tokio::{sync::watch, time::timeout};

use crate::store::LeaseNumber;

/// The leases whose chunks are being uploaded.
pub(crate) struct Uploads(watch::Sender<HashSet<LeaseNumber>>);

/// The right to upload the chunk of a lease. Dropping it lets the next one go ahead.
pub(crate) struct Turn<'a> {
    uploads: &'a Uploads,
    lease: LeaseNumber,
}

impl Default for Uploads {
    fn default() -> Self {
        Self(watch::Sender::new(HashSet::new()))
    }
}

impl Uploads {
    /// Waits until nobody else uploads the chunk of `lease`; `None` where that takes longer than `patience`.
    pub(crate) async fn turn(&self, lease: LeaseNumber, patience: Duration) -> Option<Turn<'_>> {
        let mut busy = self.0.subscribe();
        let wait = async {
            while !self.0.send_if_modified(|busy| busy.insert(lease)) {
                // The sender is ours, so that this ends only when the lease is free, or was for a moment.
                let _ = busy.wait_for(|busy| !busy.contains(&lease)).await;
            }
            Turn { uploads: self, lease }
        };
        timeout(patience, wait).await.ok()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.uploads.0.send_if_modified(|busy| busy.remove(&self.lease));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(5);
    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn turns_of_one_lease_follow_each_other() {
        let uploads = Uploads::default();
        let (one, other) = (LeaseNumber(1), LeaseNumber(2));
        let first = uploads.turn(one, LONG).await.unwrap();
        assert!(uploads.turn(other, LONG).await.is_some());
        assert!(uploads.turn(one, SHORT).await.is_none(), "who has no patience is turned away");
        let (second, ()) = tokio::join!(uploads.turn(one, LONG), async {
            tokio::time::sleep(SHORT).await;
            drop(first);
        });
        drop(second.unwrap());
        assert!(uploads.turn(one, LONG).await.is_some());
        assert!(uploads.0.borrow().is_empty());
    }

    #[tokio::test]
    async fn many_who_wait_all_get_their_turn() {
        let uploads = Uploads::default();
        let turns = (0..50).map(|_| async {
            let turn = uploads.turn(LeaseNumber(1), LONG).await;
            tokio::task::yield_now().await;
            turn.is_some()
        });
        assert!(futures_util::future::join_all(turns).await.into_iter().all(|got| got));
    }
}
