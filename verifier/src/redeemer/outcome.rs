//! What a vendor's answer to a batch must be before any of it counts (redemption.md, "Outcome").

use scrip_protocol::{
    DecodeError,
    keys::{BadSignature, PublicKey},
    redemption::{ConflictProofError, ItemResult, OutcomeError, RedemptionOutcome, SignedBatch},
    tlog::{
        checkpoint::{CheckpointError, SignedCheckpoint},
        note::{KeyName, VerifierKey},
        policy::WitnessPolicy,
    },
};

use crate::{link::NoAnswer, spent::StoreError};

/// Why a batch counts as not answered: it is sent again, and nothing follows for any certificate.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// There is no answer.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// The answer does not parse, or the vendor's receipt key did not sign it.
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
    Proof(#[from] ConflictProofError),
    /// It credits something and has no checkpoint of the vendor's ledger.
    #[error("the vendor's outcome credits certificates, and its checkpoint does not count: {0}")]
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

    /// Whether the vendor may have signed with a receipt key that only a newer manifest names.
    pub(super) const fn may_be_a_new_receipt_key(&self) -> bool {
        matches!(self, Self::Outcome(OutcomeError::Signature))
    }
}

/// The results in `answer`, if all of it is as it must be.
pub(super) fn check(
    batch: &[u8],
    operator_key: &PublicKey,
    answer: &[u8],
    receipt_key: &PublicKey,
) -> Result<Vec<ItemResult>, Unanswered> {
    let signed = SignedBatch::decode(batch).map_err(Unanswered::StoredBatch)?;
    let digest = signed.digest();
    let batch = signed.verify(operator_key)?;
    let outcome = RedemptionOutcome::open(answer, receipt_key)?;
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
    for (item, result) in batch.items.iter().zip(&outcome.results) {
        if let ItemResult::DoubleSpent(proof) = result {
            let own = item.binding(&batch.vendor_id, &batch.operator_id);
            proof.verify(&item.token.nonce, &own)?;
        }
    }
    check_ledger(&outcome, receipt_key)?;
    Ok(outcome.results)
}

/// Whether what is credited is said to lie in the ledger, and a checkpoint stands for that. Who witnessed it is looked at when the
/// books are checked: cosignatures come later than answers.
fn check_ledger(outcome: &RedemptionOutcome, receipt_key: &PublicKey) -> Result<(), Unanswered> {
    outcome.check_leaves()?;
    let Some(leaf) = outcome.leaves.iter().copied().max() else { return Ok(()) };
    let key = VerifierKey::of_ledger(&outcome.vendor_id, *receipt_key);
    let (origin, policy) = (KeyName::of_ledger(&outcome.vendor_id), WitnessPolicy::none());
    let signed = SignedCheckpoint::open(&outcome.checkpoint, &origin, [&key], &policy);
    let size = signed.map_err(Unanswered::Checkpoint)?.checkpoint().size;
    if leaf >= size { Err(Unanswered::Leaf { leaf, size }) } else { Ok(()) }
}
