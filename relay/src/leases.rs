//! What the holder of a lease may see of it, and its end at the holder's wish.

use scrip_protocol::{
    id::ResourceId,
    limits::MAX_LEASE_STATUS,
    receipt::{Receipt, ReceiptEvent},
    resource::{Command, LeaseStatus},
    time::UnixSeconds,
};

use crate::{
    access::{AccessError, CommandHead, Role},
    core::{Core, Statement},
    store::{LeaseKind, LeaseRow, StoreError},
};

/// Bytes of a lease status besides its receipts.
const STATUS_FRAME: usize = 1 + 8 + 3;

impl Core {
    /// The state of a lease and its receipts. Also answered for 30 days after its end: that is how the holder learns why.
    pub(crate) async fn lease_status(
        &self,
        head: &CommandHead,
        lease_id: ResourceId,
    ) -> Result<LeaseStatus, AccessError> {
        let digest = Command::digest_of(&[]);
        let lease = self.authorize_ended_too(head, lease_id, Role::Holder, digest).await?;
        let receipts = newest_that_fit(self.store.reader().receipts(lease.number).await?);
        let live = lease.is_live(self.believed.earlier());
        let missing = live && matches!(&lease.kind, LeaseKind::Chunk(space) if !space.uploaded);
        Ok(LeaseStatus { live, missing, lease_until: lease.end(), receipts })
    }

    /// Ends a lease; nothing happens where it has ended already, nor where this very command came before: the lease may have been
    /// paid for again since.
    pub(crate) async fn delete_lease(
        &self,
        head: &CommandHead,
        lease_id: ResourceId,
    ) -> Result<(), AccessError> {
        let digest = Command::digest_of(&[]);
        let lease = self.authorize_ended_too(head, lease_id, Role::Holder, digest).await?;
        let now = self.now();
        let receipt = self.sign(self.deletion(&lease, now).await?);
        self.steps.at("relay.delete.before");
        self.store.end_lease(lease.number, now, receipt, head.auth.nonce).await?;
        self.steps.at("relay.delete.after");
        self.ended.notify_one();
        Ok(())
    }

    /// What the receipt of a deletion says. It names the payment that provisioned the resource.
    async fn deletion(&self, lease: &LeaseRow, now: UnixSeconds) -> Result<Statement, StoreError> {
        let receipts = self.store.reader().receipts(lease.number).await?;
        let first = receipts.first().map(|first| Receipt::open(first, &self.operator.public()));
        let Some(Ok(first)) = first else {
            return Err(StoreError::Damaged { table: "receipts" });
        };
        Ok(Statement {
            payment_id: first.payment_id,
            event: ReceiptEvent::Ended,
            lease_id: lease.lease_id,
            lease_until: now,
            credits: 0,
            detail: Vec::new(),
        })
    }
}

/// The receipts that fit into an answer, oldest first. A lease that gathered more of them, some thousands, loses the
/// oldest: the state that it is in follows from the newest.
fn newest_that_fit(receipts: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut room = MAX_LEASE_STATUS - STATUS_FRAME;
    let fitting = receipts.iter().rev().take_while(|receipt| {
        let size = 2 + receipt.len();
        let fits = size <= room;
        room = room.saturating_sub(size);
        fits
    });
    let skipped = receipts.len() - fitting.count();
    receipts.into_iter().skip(skipped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_never_grows_past_its_limit() {
        let receipts: Vec<Vec<u8>> =
            (0..6_000_u32).map(|n| [n.to_be_bytes().as_slice(), &[0; 250]].concat()).collect();
        let kept = newest_that_fit(receipts.clone());
        assert!(kept.len() < receipts.len());
        assert_eq!(kept, receipts[receipts.len() - kept.len()..]);
        let lease_until = UnixSeconds(1);
        let status = LeaseStatus { live: true, missing: false, lease_until, receipts: kept };
        assert_eq!(LeaseStatus::decode(&status.encode()), Ok(status));
        assert_eq!(newest_that_fit(receipts[..3].to_vec()), receipts[..3]);
    }
}
