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
#[cfg(test)]
pub(crate) mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use scrip_protocol::{id::VendorId, redemption::ItemResult, time::UnixSeconds};

pub(crate) use self::batch::new_batch;
use self::schedule::Timetable;
pub use self::{outcome::Unanswered, schedule::Schedule};
use crate::{
    provisions::Provisions,
    spent::{OutcomeRecord, PendingBatch, StoreError},
    verifier::Verifier,
};

/// How often the clock is looked at. The clock may jump, and in tests it does, so that nobody sleeps until a time.
const POLL: Duration = Duration::from_millis(250);
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
        let rounds = async {
            loop {
                if let Err(error) = self.round(&mut timetable).await {
                    tracing::error!(%error, "redemption waits for the spent store");
                }
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
        for batch in self.verifier.store.pending_batches().await? {
            match exchange(&self.verifier, &batch).await {
                Ok(results) => redeemed.add(&results),
                Err(error) => redeemed.unanswered.push((batch.vendor_id, error)),
            }
        }
        self.report().await?;
        Ok(redeemed)
    }

    /// Does what is due now.
    async fn round(&self, timetable: &mut Timetable) -> Result<(), StoreError> {
        let _round = self.round.lock().await;
        let now = self.verifier.now();
        if timetable.sending_is_due(now) {
            for policy in self.verifier.policies() {
                self.form_batches(policy.address.id, Some(now)).await?;
            }
            self.tidy(now).await?;
            timetable.sending_was_done(&self.schedule, now);
        }
        self.send_due(timetable, now).await?;
        if timetable.reports_are_due(now) {
            let all_done = self.report().await?;
            timetable.reports_were_made(&self.schedule, now, all_done, &mut *(self.verifier.rng)());
        }
        Ok(())
    }

    /// Sends the batches of every vendor whose time has come. One that the vendor cannot digest does not hold up the
    /// others; where nothing comes through at all, the rest waits.
    async fn send_due(
        &self,
        timetable: &mut Timetable,
        now: UnixSeconds,
    ) -> Result<(), StoreError> {
        let mut by_vendor: BTreeMap<VendorId, Vec<PendingBatch>> = BTreeMap::new();
        for batch in self.verifier.store.pending_batches().await? {
            by_vendor.entry(batch.vendor_id).or_default().push(batch);
        }
        for (vendor, batches) in by_vendor {
            if !timetable.vendor_is_due(&vendor, now) {
                continue;
            }
            let mut all_answered = true;
            for batch in batches {
                let Err(error) = exchange(&self.verifier, &batch).await else { continue };
                tracing::warn!(%vendor, %error, "a batch has no answer and is sent again");
                all_answered = false;
                if error.concerns_every_batch() {
                    break;
                }
            }
            let mut rng = (self.verifier.rng)();
            timetable.vendor_was_tried(&self.schedule, vendor, now, all_answered, &mut *rng);
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
            self.verifier.store.reported(conflict.number).await?;
            self.verifier.steps.at("redeemer.conflict.recorded");
            tracing::info!(vendor = %conflict.vendor_id, %value, "a certificate had been spent elsewhere");
        }
        Ok(all_done)
    }

    /// Settles reservations whose clients never came back, and drops closed epochs.
    async fn tidy(&self, now: UnixSeconds) -> Result<(), StoreError> {
        let until = now.minus(self.schedule.abandon_after.as_secs());
        if let Err(error) = self.verifier.settle_reserved_until(until, &*self.provisions).await {
            tracing::error!(%error, "abandoned reservations were not settled; they are looked at again");
        }
        while self.verifier.store.prune(now).await? > 0 {}
        Ok(())
    }
}

/// Sends a batch and stores the answer, once it has passed every check of redemption.md.
pub(crate) async fn exchange(
    verifier: &Verifier,
    batch: &PendingBatch,
) -> Result<Vec<ItemResult>, Unanswered> {
    let exchanged = try_exchange(verifier, batch).await;
    let trouble = exchanged.as_ref().err().map(Unanswered::to_string);
    verifier.troubles.set(batch.vendor_id, trouble);
    exchanged
}

async fn try_exchange(
    verifier: &Verifier,
    batch: &PendingBatch,
) -> Result<Vec<ItemResult>, Unanswered> {
    let vendor = batch.vendor_id;
    let policy = verifier.policy(&vendor).ok_or(Unanswered::UnknownVendor)?;
    let bytes = Bytes::from(verifier.store.batch_bytes(batch.number).await?);
    verifier.steps.at("redeemer.batch.sending");
    let answer = verifier.link.redeem(&policy.address, bytes.clone()).await?;
    verifier.steps.at("redeemer.answer.received");
    let manifest = verifier.manifests.held(&vendor).ok_or(Unanswered::NoManifest)?;
    let operator_key = verifier.operator_key.public();
    let received = answer.clone();
    let check = move || outcome::check(&bytes, &operator_key, &received, manifest.receipt_key());
    let checked = tokio::task::spawn_blocking(check).await.map_err(|_| Unanswered::CheckFailed)?;
    let results = checked.inspect_err(|error| {
        if error.may_be_a_new_receipt_key() {
            verifier.manifests.want_refresh();
        }
    })?;
    let day = verifier.now().day();
    let record = OutcomeRecord {
        batch: batch.number,
        bytes: answer.to_vec(),
        results: results.clone(),
        day,
    };
    verifier.store.record_outcome(record).await?;
    verifier.steps.at("redeemer.answer.recorded");
    Ok(results)
}
