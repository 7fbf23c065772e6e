//! Redeeming: the evidence of committed payments goes to the vendors in shuffled batches, for as long as it takes.
//!
//! Every step is durable before the next: a batch is stored with its bytes, then sent, and repeated byte for byte until a
//! verified answer is stored; the conflicts in it are stored with it, and the server is told of them until it has done what
//! follows. A crash anywhere leaves a step that is simply taken again.
//!
//! Nothing but a conflict proof that was verified ever reaches [`Provisions::double_spent`]. What goes wrong
//! on the way is [`Unanswered`], and says nothing about any certificate.

mod batch;
mod outcome;
mod schedule;
mod sending;
#[cfg(test)]
pub(crate) mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use scrip_protocol::{id::VendorId, redemption::ItemResult, time::UnixSeconds};

pub(crate) use self::{batch::new_batch, sending::exchange};
pub use self::{outcome::Unanswered, schedule::Schedule};
use self::{
    schedule::Timetable,
    sending::{by_vendor, send_all, take_turn},
};
use tokio::time::Instant;

use crate::{provisions::Provisions, spent::StoreError, verifier::Verifier};

/// How often the clock is looked at. The clock may jump, and in tests it does, so that nobody sleeps until a time.
const POLL: Duration = Duration::from_millis(250);
/// How often it is looked whether a person confirmed the clock, and whether the time has to be remembered.
const CLOCK: Duration = Duration::from_secs(30);
/// How many certificates are mixed at once.
const MIXED_AT_ONCE: usize = 32 * 1_024;

/// Why the last batch for each vendor has no answer.
#[derive(Default)]
pub(crate) struct Troubles(Mutex<BTreeMap<VendorId, String>>);

impl Troubles {
    pub(crate) fn of(&self, vendor: &VendorId) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(vendor).cloned()
    }

    fn set(&self, vendor: VendorId, trouble: Option<String>) {
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match trouble {
            Some(trouble) => troubles.insert(vendor, trouble),
            None => troubles.remove(&vendor),
        };
    }
}

/// What came of [`Redeemer::redeem_now`].
#[derive(Debug, Default)]
pub struct Redeemed {
    /// Certificates that the vendors credited.
    pub accepted: u64,
    /// Certificates that they had credited before.
    pub already_accepted: u64,
    /// Certificates that were spent elsewhere before, proven.
    pub double_spent: u64,
    /// Certificates that came too late.
    pub expired: u64,
    /// Certificates that a vendor calls invalid.
    pub invalid: u64,
    /// The batches that have no answer, and are sent again later.
    pub unanswered: Vec<(VendorId, Unanswered)>,
}

impl Redeemed {
    fn add(&mut self, results: &[ItemResult]) {
        for result in results {
            *match result {
                ItemResult::Accepted => &mut self.accepted,
                ItemResult::AlreadyAccepted => &mut self.already_accepted,
                ItemResult::DoubleSpent(_) => &mut self.double_spent,
                ItemResult::Expired => &mut self.expired,
                ItemResult::Invalid(_) => &mut self.invalid,
            } += 1;
        }
    }
}

/// Redeems what a verifier has taken. One is enough.
pub struct Redeemer<V> {
    verifier: Arc<Verifier>,
    provisions: Arc<V>,
    schedule: Schedule,
    /// One round at a time.
    round: tokio::sync::Mutex<()>,
}

impl<V: Provisions> Redeemer<V> {
    /// A redeemer that keeps to `schedule` and tells `provisions` of double spends.
    pub fn new(verifier: Arc<Verifier>, provisions: Arc<V>, schedule: Schedule) -> Self {
        Self { verifier, provisions, schedule, round: tokio::sync::Mutex::default() }
    }

    /// Redeems at the times of the schedule until `shutdown` is ready. What is under way then is broken off, which is
    /// harmless.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut timetable = Timetable::new(&self.schedule, self.verifier.now());
        let mut clock_tended = None;
        let rounds = async {
            loop {
                self.round(&mut timetable).await;
                self.tend_clock(&mut clock_tended).await;
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::select! {
            () = &mut shutdown => {}
            () = rounds => {}
        }
    }

    /// Redeems everything that can be redeemed, at once and in one attempt, and tells the server of double spends: for
    /// tests, and for an operator who parts from a vendor. Small batches tell the vendor more than the schedule would.
    ///
    /// # Errors
    /// [`StoreError`]. That a vendor does not answer is no error.
    pub async fn redeem_now(&self) -> Result<Redeemed, StoreError> {
        let _round = self.round.lock().await;
        for policy in self.verifier.policies() {
            self.form_batches(policy.address.id, None).await?;
        }
        let mut redeemed = Redeemed::default();
        let vendors = by_vendor(self.verifier.store.pending_batches().await?);
        let sending = vendors.into_values().map(|batches| send_all(&self.verifier, batches));
        for (vendor, result) in join_all(sending).await.into_iter().flatten() {
            match result {
                Ok(results) => redeemed.add(&results),
                Err(error) => redeemed.unanswered.push((vendor, error)),
            }
        }
        self.report().await?;
        Ok(redeemed)
    }

    /// Does what is due now. What fails is logged, and keeps nothing else from being done.
    async fn round(&self, timetable: &mut Timetable) {
        let _round = self.round.lock().await;
        let now = self.verifier.now();
        if timetable.sending_is_due(&self.schedule, now) {
            if self.form_all(now).await {
                timetable.sending_was_done(&self.schedule, now);
            } else {
                timetable.sending_failed(&self.schedule, now);
            }
            self.tidy().await;
        }
        if let Err(error) = self.send_due(timetable, now).await {
            tracing::error!(%error, "redemption waits for the spent store");
        }
        if timetable.reports_are_due(&self.schedule, now) {
            let all_done = self.report().await.unwrap_or_else(|error| {
                tracing::error!(%error, "the double spends that the server must hear of cannot be read");
                false
            });
            timetable.reports_were_made(&self.schedule, now, all_done, &mut *(self.verifier.rng)());
        }
    }

    /// Stores batches for every vendor, as far as there is enough. Gives whether that succeeded for all.
    async fn form_all(&self, now: UnixSeconds) -> bool {
        let mut all_done = true;
        for policy in self.verifier.policies() {
            let vendor = policy.address.id;
            if let Err(error) = self.form_batches(vendor, Some(now)).await {
                tracing::error!(%vendor, %error, "no batches were made; it is tried again");
                all_done = false;
            }
        }
        all_done
    }

    /// Sends the batches of every vendor whose time has come, all vendors at the same time: a slow one holds up nobody
    /// else's.
    async fn send_due(
        &self,
        timetable: &mut Timetable,
        now: UnixSeconds,
    ) -> Result<(), StoreError> {
        let vendors = by_vendor(self.verifier.store.pending_batches().await?);
        let due = vendors
            .into_iter()
            .filter(|(vendor, _)| timetable.vendor_is_due(&self.schedule, vendor, now));
        let turns = due.map(|(vendor, batches)| {
            take_turn(&self.verifier, vendor, batches, timetable.stopped_at(&vendor))
        });
        for turn in join_all(turns).await {
            let mut rng = (self.verifier.rng)();
            timetable.vendor_was_tried(&self.schedule, &turn, now, &mut *rng);
        }
        Ok(())
    }

    /// Stores batches of what waits for `vendor`: with `now`, only if the schedule says that there is enough.
    async fn form_batches(
        &self,
        vendor: VendorId,
        now: Option<UnixSeconds>,
    ) -> Result<(), StoreError> {
        loop {
            let waiting = self.verifier.store.waiting(vendor).await?;
            let enough = match now {
                Some(now) => self.schedule.is_enough(&waiting, now),
                None => waiting.items > 0,
            };
            if !enough {
                return Ok(());
            }
            let items = self.verifier.store.redeemable(vendor, MIXED_AT_ONCE).await?;
            if items.is_empty() {
                return Ok(());
            }
            let batches = batch::mixed(&self.verifier, vendor, items);
            self.verifier.steps.at("redeemer.batch.before");
            match self.verifier.store.put_batches(batches).await {
                // A batch was formed in between; the next look sees what is left.
                Ok(()) | Err(StoreError::AlreadyInBatch) => {}
                Err(error) => return Err(error),
            }
            self.verifier.steps.at("redeemer.batch.persisted");
        }
    }

    /// Tells the server of every conflict that it does not know of. Gives whether it took them all.
    async fn report(&self) -> Result<bool, StoreError> {
        let mut all_done = true;
        for conflict in self.verifier.store.unreported().await? {
            self.verifier.steps.at("redeemer.conflict.before");
            let (key, value) = (conflict.proof.certificate_key, conflict.value);
            let told = self
                .provisions
                .double_spent(&conflict.payment_id, key.as_bytes(), value, &conflict.proof)
                .await;
            if let Err(error) = told {
                tracing::error!(%error, "the server did not react to a double spend; it is told again");
                all_done = false;
                continue;
            }
            self.verifier.steps.at("redeemer.conflict.told");
            if let Err(error) = self.verifier.store.reported(conflict.number).await {
                tracing::error!(%error, "the server was told of a double spend, and is told again");
                all_done = false;
                continue;
            }
            self.verifier.steps.at("redeemer.conflict.recorded");
            tracing::info!(vendor = %conflict.vendor_id, %value, "a certificate had been spent elsewhere");
        }
        Ok(all_done)
    }

    /// Remembers the time every now and then, by a clock that does not jump.
    async fn tend_clock(&self, tended: &mut Option<Instant>) {
        if tended.is_some_and(|at| at.elapsed() < CLOCK) {
            return;
        }
        *tended = Some(Instant::now());
        if let Err(error) = self.verifier.tend_clock().await {
            tracing::warn!(%error, "the time is not remembered; it is tried again");
        }
    }

    /// Settles reservations whose clients never came back, and drops closed epochs, both by the believed time: a wrong clock
    /// drops nothing ([`scrip_runtime::plausible`]).
    async fn tidy(&self) {
        let believed = self.verifier.believed().read();
        let until = believed.earlier().minus(self.schedule.abandon_after.as_secs());
        if let Err(error) = self.verifier.settle_reserved_until(until, &*self.provisions).await {
            tracing::error!(%error, "abandoned reservations were not settled; they are looked at again");
        }
        if let Err(error) = self.prune(believed.deletable()).await {
            tracing::error!(%error, "closed epochs were not dropped; it is tried again");
        }
    }

    async fn prune(&self, now: UnixSeconds) -> Result<(), StoreError> {
        while self.verifier.store.prune(now).await? > 0 {}
        Ok(())
    }
}
