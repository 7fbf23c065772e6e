//! Sending: the turn of one vendor, and the exchange of one batch.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use scrip_protocol::{id::VendorId, redemption::ItemResult, time::Day};
use tokio::time::Instant;

use super::outcome::{self, Checked, Known, Unanswered};
use crate::{
    spent::{BatchNumber, OutcomeRecord, PendingBatch},
    verifier::Verifier,
};

/// How long a vendor's turn may be, in real time, before no further batch is sent in it: the turns of a round end before
/// the next one begins.
const TURN: Duration = Duration::from_secs(60);

/// What came of a vendor's turn.
pub(super) struct Turn {
    pub(super) vendor: VendorId,
    /// Whether each batch that was sent has its answer.
    pub(super) all_answered: bool,
    /// The batch after which the turn ended early.
    pub(super) stopped_at: Option<BatchNumber>,
}

/// Batches by vendor, each vendor's in their order.
pub(super) fn by_vendor(batches: Vec<PendingBatch>) -> BTreeMap<VendorId, Vec<PendingBatch>> {
    let mut sorted: BTreeMap<VendorId, Vec<PendingBatch>> = BTreeMap::new();
    for batch in batches {
        sorted.entry(batch.vendor_id).or_default().push(batch);
    }
    sorted
}

/// Sends a vendor's batches, those after `after` first. A batch that the vendor cannot digest does not hold up the others
/// for good: where it ends the turn, the next one begins with the others.
pub(super) async fn take_turn(
    verifier: &Verifier,
    vendor: VendorId,
    mut batches: Vec<PendingBatch>,
    after: Option<BatchNumber>,
) -> Turn {
    let was_sent = |batch: &PendingBatch| after.is_some_and(|after| batch.number <= after);
    batches.sort_by_key(|batch| (was_sent(batch), batch.number));
    let started = Instant::now();
    let mut turn = Turn { vendor, all_answered: true, stopped_at: None };
    for batch in batches {
        if let Err(error) = exchange(verifier, &batch).await {
            tracing::warn!(%vendor, %error, "a batch has no answer and is sent again");
            turn.all_answered = false;
            if error.concerns_every_batch() {
                return Turn { stopped_at: Some(batch.number), ..turn };
            }
        }
        if started.elapsed() >= TURN {
            return Turn { stopped_at: Some(batch.number), ..turn };
        }
    }
    turn
}

/// Sends each of these batches once, whatever comes of the others.
pub(super) async fn send_all(
    verifier: &Verifier,
    batches: Vec<PendingBatch>,
) -> Vec<(VendorId, Result<Vec<ItemResult>, Unanswered>)> {
    let mut results = Vec::with_capacity(batches.len());
    for batch in batches {
        results.push((batch.vendor_id, exchange(verifier, &batch).await));
    }
    results
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
    // A clock that is ahead must not take an `expired` before its time.
    let today = verifier.believed().earlier().day();
    let seen = verifier.manifests.seen_on(&vendor, verifier.now());
    let mut known = Known { manifest, seen, refused: None };
    let mut checked = check(verifier, &bytes, &answer, &known, today).await?;
    if let Err(Unanswered::Manifest { named, .. }) = checked
        && verifier.manifests.has_refused(&vendor, named)?
    {
        known.refused = Some(named);
        checked = check(verifier, &bytes, &answer, &known, today).await?;
    }
    let Checked { results, untrue } = checked.inspect_err(|error| {
        if error.may_be_a_new_manifest() {
            verifier.manifests.want_refresh();
        }
    })?;
    if untrue > 0 {
        let certificates = untrue;
        tracing::error!(%vendor, certificates, "the vendor signed that certificates are invalid or expired which verify");
    }
    let record = OutcomeRecord {
        batch: batch.number,
        bytes: answer.to_vec(),
        results: results.clone(),
        day: today,
    };
    verifier.store.record_outcome(record).await?;
    verifier.steps.at("redeemer.answer.recorded");
    Ok(results)
}

/// Checks an answer away from the async runtime.
async fn check(
    verifier: &Verifier,
    batch: &Bytes,
    answer: &Bytes,
    known: &Known,
    today: Day,
) -> Result<Result<Checked, Unanswered>, Unanswered> {
    let (batch, answer, known) = (batch.clone(), answer.clone(), known.clone());
    let operator_key = verifier.operator_key.public();
    let check = move || outcome::check(&batch, &operator_key, &answer, &known, today);
    tokio::task::spawn_blocking(check).await.map_err(|_| Unanswered::CheckFailed)
}
