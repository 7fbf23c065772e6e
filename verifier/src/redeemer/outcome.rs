//! What a vendor's answer to a batch must be before any of it counts (redemption.md, "Outcome").

use std::sync::Arc;

use scrip_protocol::{
    DecodeError,
    judge::{Judge, NoDoubleSpend, Refusal, WindowHistory},
    keys::{BadSignature, PublicKey},
    manifest::{Manifest, ReceiptKeys},
    redemption::{ItemResult, OutcomeError, RedemptionBatch, RedemptionOutcome, SignedBatch},
    time::Day,
    tlog::{
        checkpoint::{CheckpointError, SignedCheckpoint},
        note::{KeyName, VerifierKey},
        policy::WitnessPolicy,
    },
};

use crate::{link::NoAnswer, manifests::ManifestsError, spent::StoreError};

/// Why a batch counts as not answered: it is sent again, and nothing follows for any certificate.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// There is no answer.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// The answer does not parse, or none of the vendor's receipt keys signed it.
    #[error(transparent)]
    Outcome(#[from] OutcomeError),
    /// It is an answer of another vendor, to another operator, or to another batch.
    #[error("the vendor's outcome is for another batch")]
    OtherBatch,
    /// It has not one result for each item.
    #[error("the vendor's outcome has {results} results for {items} items")]
    Count {
        /// Results in the answer.
        results: usize,
        /// Items in the batch.
        items: usize,
    },
    /// It claims a double spend and does not prove it.
    #[error("the vendor claims a double spend and does not prove it: {0}")]
    Proof(#[from] NoDoubleSpend),
    /// It calls certificates invalid by a manifest that is not held: only that one says whether they are.
    #[error(
        "the vendor's outcome goes by version {named} of its manifest, and version {held} is held"
    )]
    Manifest {
        /// The version in the answer.
        named: u64,
        /// The newest that is held.
        held: u64,
    },
    /// It calls certificates expired on a day that has not come.
    #[error(
        "the vendor's outcome is of {decided}, and today is {today}: one of the clocks is wrong"
    )]
    Day {
        /// The day in the answer.
        decided: Day,
        /// The day here.
        today: Day,
    },
    /// It names a leaf and has no checkpoint of the vendor's ledger.
    #[error(
        "the vendor's outcome names leaves of its ledger, and its checkpoint does not count: {0}"
    )]
    Checkpoint(CheckpointError),
    /// The checkpoint is smaller than the place of a leaf.
    #[error("the vendor's outcome names leaf {leaf}, and its checkpoint has {size} leaves")]
    Leaf {
        /// The leaf.
        leaf: u64,
        /// The size of the checkpoint.
        size: u64,
    },
    /// The vendor is not in the configuration.
    #[error(
        "the vendor is not in the configuration, so that its address is not known; add it again"
    )]
    UnknownVendor,
    /// No manifest of the vendor is held, so that its answer cannot be verified.
    #[error("no manifest of the vendor is held, so that its answer cannot be verified")]
    NoManifest,
    /// The kept manifests cannot be read.
    #[error(transparent)]
    Manifests(#[from] ManifestsError),
    /// The spent store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored batch does not parse.
    #[error("the stored batch does not parse: {0}; restore the database from a backup")]
    StoredBatch(DecodeError),
    /// The stored batch is another operator's.
    #[error("the stored batch is signed with another operator key than the configured one")]
    OtherOperator(#[from] BadSignature),
    /// The check of the answer was broken off.
    #[error("the check of the vendor's answer was broken off")]
    CheckFailed,
}

impl Unanswered {
    /// Whether another batch for the same vendor would fare alike now.
    pub(super) const fn concerns_every_batch(&self) -> bool {
        if let Self::NoAnswer(NoAnswer::Status { status, .. }) = self {
            return *status >= 500 || *status == 429; // it has too much to do, or is broken
        }
        matches!(
            self,
            Self::NoAnswer(NoAnswer::Transport(_))
                | Self::UnknownVendor
                | Self::NoManifest
                | Self::Store(_)
        )
    }

    /// Whether the vendor may have signed with a receipt key that only a newer manifest names, or by its windows.
    pub(super) const fn may_be_a_new_manifest(&self) -> bool {
        matches!(self, Self::Outcome(OutcomeError::Signature) | Self::Manifest { .. })
    }
}

/// An answer that counts.
pub(super) struct Checked {
    /// Of each item.
    pub(super) results: Vec<ItemResult>,
    /// Of them, refusals of what verifies. The receipt proves the vendor wrong (redemption.md, "Judging an outcome").
    pub(super) untrue: usize,
}

/// The manifests that an answer is checked by.
#[derive(Clone)]
pub(super) struct Known {
    /// The one that is held.
    pub(super) manifest: Arc<Manifest>,
    /// The day on which it was last seen to be the vendor's newest.
    pub(super) seen: Option<Day>,
    /// A version that was refused because it breaks what the held one promised. What the vendor decided by it is an answer all the
    /// same, which is held against the vendor.
    pub(super) refused: Option<u64>,
}

/// The results in `answer`, if all of it is as it must be.
pub(super) fn check(
    batch: &[u8],
    operator_key: &PublicKey,
    answer: &[u8],
    known: &Known,
    today: Day,
) -> Result<Checked, Unanswered> {
    let manifest = known.manifest.as_ref();
    let receipt_keys = manifest.receipt_keys();
    let signed = SignedBatch::decode(batch).map_err(Unanswered::StoredBatch)?;
    let digest = signed.digest();
    let batch = signed.verify(operator_key)?;
    let outcome = RedemptionOutcome::open(answer, receipt_keys)?;
    let is_ours = outcome.vendor_id == batch.vendor_id
        && outcome.operator_id == batch.operator_id
        && outcome.batch_digest == digest;
    if !is_ours {
        return Err(Unanswered::OtherBatch);
    }
    let (results, items) = (outcome.results.len(), batch.items.len());
    if results != items {
        return Err(Unanswered::Count { results, items });
    }
    check_refusals(&outcome, known, today)?;
    let mut history = WindowHistory::default();
    history.add(manifest);
    if let Some(day) = known.seen {
        history.stood(manifest.version(), day);
    }
    let judge = Judge::new(manifest, &history);
    for (position, spend) in outcome.double_spends() {
        let own = batch.items[position].identity(&batch.vendor_id, &batch.operator_id);
        judge.proof(&own, spend)?;
    }
    check_ledger(&outcome, receipt_keys)?;
    let untrue = count_untrue(&judge, &batch, &outcome);
    Ok(Checked { results: outcome.results, untrue })
}

/// Whether refusals can be judged: by a manifest that is held, or that was refused and is kept, and of a day that has come. The vendor's clock may be a day ahead.
fn check_refusals(
    outcome: &RedemptionOutcome,
    known: &Known,
    today: Day,
) -> Result<(), Unanswered> {
    let has = |wanted: fn(&ItemResult) -> bool| outcome.results.iter().any(wanted);
    let (named, held) = (outcome.manifest_version, known.manifest.version());
    let is_known = named <= held || known.refused == Some(named);
    if !is_known && has(|result| matches!(result, ItemResult::Invalid(_))) {
        return Err(Unanswered::Manifest { named, held });
    }
    let decided = outcome.day;
    let is_ahead = decided.0 > today.0.saturating_add(1);
    if is_ahead && has(|result| matches!(result, ItemResult::Expired)) {
        return Err(Unanswered::Day { decided, today });
    }
    Ok(())
}

/// How many refusals are of what verifies.
fn count_untrue(judge: &Judge<'_>, batch: &RedemptionBatch, outcome: &RedemptionOutcome) -> usize {
    let items = batch.items.iter().zip(&outcome.results);
    let judged =
        items.map(|(item, result)| judge.refusal(&batch.operator_id, item, result, outcome));
    judged.filter(|judged| *judged == Some(Refusal::False)).count()
}

/// Whether what is credited, and what won over others, is said to lie in the ledger, and a checkpoint stands for that. Who witnessed it is looked at when the
/// books are checked: cosignatures come later than answers.
fn check_ledger(outcome: &RedemptionOutcome, receipt_keys: &ReceiptKeys) -> Result<(), Unanswered> {
    outcome.check_leaves()?;
    let Some(leaf) = outcome.last_leaf() else { return Ok(()) };
    let keys = VerifierKey::all_of_ledger(&outcome.vendor_id, receipt_keys);
    let (origin, policy) = (KeyName::of_ledger(&outcome.vendor_id), WitnessPolicy::none());
    let signed = SignedCheckpoint::open(&outcome.checkpoint, &origin, &keys, &policy);
    let size = signed.map_err(Unanswered::Checkpoint)?.checkpoint().size;
    if leaf >= size { Err(Unanswered::Leaf { leaf, size }) } else { Ok(()) }
}
