//! Leases and what they are for, apart from payment and HTTP.

use std::sync::Arc;

use scrip_protocol::{
    id::{OperatorId, PaymentId, ResourceId},
    keys::SigningKey,
    receipt::{Receipt, ReceiptEvent},
    resource::PriceList,
    time::UnixSeconds,
};
use scrip_runtime::random::RngFactory;
use scrip_runtime::{clock::SharedClock, plausible::PlausibleClock, steps::Steps};
use tokio::sync::Notify;

use crate::{
    chunk_files::ChunkFiles,
    store::{Capacity, Store},
    uploads::Uploads,
};

/// Seconds for which the addresses of an ended lease are still answered with `lease-ended`.
pub(crate) const REMEMBERED: u64 = 30 * 86_400;

/// Everything that the use cases need.
pub(crate) struct Core {
    pub(crate) operator: Arc<SigningKey>,
    pub(crate) operator_id: OperatorId,
    pub(crate) prices: PriceList,
    pub(crate) max_days: u16,
    pub(crate) capacity: Capacity,
    pub(crate) store: Store,
    pub(crate) files: ChunkFiles,
    pub(crate) uploads: Uploads,
    pub(crate) clock: SharedClock,
    /// For what cannot be undone, and for whether a lease lives: a wrong clock ends none.
    pub(crate) believed: Arc<PlausibleClock>,
    pub(crate) steps: Steps,
    pub(crate) rng: RngFactory,
    /// Rung when something has ended, so that it is collected soon.
    pub(crate) ended: Notify,
}

/// What a receipt says besides whose it is.
pub(crate) struct Statement {
    pub(crate) payment_id: PaymentId,
    pub(crate) event: ReceiptEvent,
    pub(crate) lease_id: ResourceId,
    pub(crate) lease_until: UnixSeconds,
    pub(crate) credits: u32,
    pub(crate) detail: Vec<u8>,
}

impl Core {
    pub(crate) fn now(&self) -> UnixSeconds {
        self.clock.now()
    }

    /// From when on new time of a lease counts: the later of the clock and the believed time, so that a user never gets less.
    pub(crate) fn counts_from(&self) -> UnixSeconds {
        let now = self.believed.read();
        now.wall.max(now.believed)
    }

    /// Random bytes.
    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.rng)().fill_bytes(&mut bytes);
        bytes
    }

    /// A signed receipt.
    pub(crate) fn sign(&self, statement: Statement) -> Vec<u8> {
        let Statement { payment_id, event, lease_id, lease_until, credits, detail } = statement;
        let operator_id = self.operator_id;
        Receipt { operator_id, payment_id, event, lease_id, lease_until, credits, detail }
            .sign(&self.operator)
    }
}

/// `from` and as long as was paid for. Ends where SQLite's integers do, in 292 billion years.
pub(crate) fn paid_until(from: UnixSeconds, credits: u32, seconds_per_credit: u64) -> UnixSeconds {
    let until = from.plus(u64::from(credits).saturating_mul(seconds_per_credit));
    UnixSeconds(until.0.min(i64::MAX as u64))
}
