//! Reading one receipt: what the vendor said in it, and what is untrue by the receipt and the manifests alone.

use std::{io, path::Path};

use scrip_protocol::{
    id::{OperatorId, VendorId},
    judge::{Judge, NoDoubleSpend, Refusal},
    ledger::{BatchReceipt, MAX_BATCH_RECEIPT},
    redemption::{ItemResult, RedemptionOutcome, SignedBatch, Winner},
    time::Day,
    tlog::{
        checkpoint::SignedCheckpoint,
        note::{KeyName, VerifierKey},
        policy::WitnessPolicy,
    },
};

use super::{Head, KnownManifests, credited, winner};

/// What one receipt says.
pub(super) struct Read {
    pub(super) operator: OperatorId,
    pub(super) claims: Vec<Said>,
    pub(super) renewed: Vec<Renewed>,
    /// Items that were called double spent, and were not.
    pub(super) untrue: Vec<(u16, Untrue)>,
    /// The version of the manifest that the vendor went by, and the day on which it did.
    pub(super) stood: (u64, Day),
    /// Whether something in it is called invalid or expired.
    pub(super) refuses: bool,
    pub(super) head: Option<Head>,
}

/// What is untrue in a receipt by all that is known of when the vendor went by which manifest.
#[derive(Default)]
pub(super) struct Refused {
    /// Items that were called invalid or expired, and are not.
    pub(super) untrue: Vec<u16>,
    /// How many refusals rest on manifests that are not there.
    pub(super) unknown: u64,
}

/// What was said of a leaf.
pub(super) struct Said {
    pub(super) index: u64,
    pub(super) said: super::Said,
    pub(super) item: u16,
    pub(super) identity: [u8; 32],
}

/// That a certificate was renewed.
pub(super) struct Renewed {
    /// By epoch and certificate key.
    pub(super) name: (u32, [u8; 32]),
    pub(super) item: u16,
    pub(super) day: Day,
}

/// What a receipt shows to be untrue.
pub(super) enum Untrue {
    /// An `invalid` or `expired`.
    Refusal,
    /// A `double_spent`.
    DoubleSpend(NoDoubleSpend),
}

/// Reads a receipt; the inner error says why it is none.
pub(super) fn open(
    path: &Path,
    vendor: &VendorId,
    manifests: &KnownManifests,
) -> io::Result<Result<Read, String>> {
    if std::fs::metadata(path)?.len() > MAX_BATCH_RECEIPT as u64 {
        return Ok(Err("it is too large".to_owned()));
    }
    Ok(parse(&std::fs::read(path)?, vendor, manifests))
}

/// Judges what a receipt, which [`open`] took, calls invalid or expired.
pub(super) fn refused(
    path: &Path,
    vendor: &VendorId,
    manifests: &KnownManifests,
) -> io::Result<Refused> {
    let mut refused = Refused::default();
    let Ok((batch, outcome)) = verified(&std::fs::read(path)?, vendor, manifests) else {
        return Ok(refused);
    };
    let Some(newest) = &manifests.newest else { return Ok(refused) };
    let judge = Judge::new(newest, &manifests.history);
    let operator = batch.operator_id();
    let items = (0_u16..).zip(batch.items()).zip(&outcome.results);
    for ((item, sent), result) in items {
        match judge.refusal(&operator, sent, result, &outcome) {
            Some(Refusal::False) => refused.untrue.push(item),
            Some(Refusal::ByManifest(_)) => refused.unknown += 1,
            Some(Refusal::True(_)) | None => {}
        }
    }
    Ok(refused)
}

/// A batch and the outcome that answers it.
fn verified(
    bytes: &[u8],
    vendor: &VendorId,
    manifests: &KnownManifests,
) -> Result<(SignedBatch, RedemptionOutcome), String> {
    let receipt = BatchReceipt::decode(bytes).map_err(|error| error.to_string())?;
    let batch =
        SignedBatch::decode(&receipt.batch).map_err(|error| format!("its batch: {error}"))?;
    let mut keys = manifests.receipt_keys.iter().rev();
    let outcome = keys
        .find_map(|key| RedemptionOutcome::open(&receipt.outcome, key).ok())
        .ok_or("its outcome is not signed by a receipt key of the vendor")?;
    let operator = batch.operator_id();
    if batch.vendor_id() != *vendor || outcome.vendor_id != *vendor {
        return Err("it is of another vendor".to_owned());
    }
    let answers = outcome.batch_digest == batch.digest()
        && outcome.operator_id == operator
        && outcome.results.len() == batch.items().len();
    if !answers {
        return Err("its outcome answers another batch".to_owned());
    }
    outcome.check_leaves().map_err(|error| error.to_string())?;
    Ok((batch, outcome))
}

fn parse(bytes: &[u8], vendor: &VendorId, manifests: &KnownManifests) -> Result<Read, String> {
    let (batch, outcome) = verified(bytes, vendor, manifests)?;
    let operator = batch.operator_id();
    let head = head(&outcome, vendor, manifests)?;
    let claim = |(item, index): (usize, u64)| {
        let identity = credited(&batch.items().get(item)?.identity(vendor, &operator));
        Some(Said { index, said: super::Said::Credited, item: item as u16, identity })
    };
    let claims = outcome.credited().filter_map(claim).collect();
    let (renewed, untrue) = (Vec::new(), Vec::new());
    let stood = (outcome.manifest_version, outcome.day);
    let refuses = outcome
        .results
        .iter()
        .any(|result| matches!(result, ItemResult::Expired | ItemResult::Invalid(_)));
    let mut read = Read { operator, claims, renewed, untrue, stood, refuses, head };
    read.add_double_spends(&batch, &outcome, manifests);
    Ok(read)
}

/// The tree that the outcome names leaves of, if it names any.
fn head(
    outcome: &RedemptionOutcome,
    vendor: &VendorId,
    manifests: &KnownManifests,
) -> Result<Option<Head>, String> {
    let Some(last) = outcome.last_leaf() else { return Ok(None) };
    let keys = manifests.receipt_keys.iter().map(|key| VerifierKey::of_ledger(vendor, *key));
    let keys: Vec<VerifierKey> = keys.collect();
    let (origin, policy) = (KeyName::of_ledger(vendor), WitnessPolicy::none());
    let signed = SignedCheckpoint::open(&outcome.checkpoint, &origin, &keys, &policy)
        .map_err(|error| format!("its checkpoint: {error}"))?;
    let head = Head { size: signed.checkpoint().size, root: signed.checkpoint().root };
    if head.size <= last {
        return Err(format!("its checkpoint has {} leaves, and it names leaf {last}", head.size));
    }
    Ok(Some(head))
}

impl Read {
    /// Judges double spends by what anybody can verify, and notes what the ledger has to show for the rest.
    fn add_double_spends(
        &mut self,
        batch: &SignedBatch,
        outcome: &RedemptionOutcome,
        manifests: &KnownManifests,
    ) {
        let Some(newest) = &manifests.newest else { return };
        let judge = Judge::new(newest, &manifests.history);
        let vendor = newest.vendor_id();
        let items = (0_u16..).zip(batch.items()).zip(&outcome.results);
        for ((item, sent), result) in items {
            let ItemResult::DoubleSpent(spend) = result else { continue };
            let key = newest.key(&sent.token.key_id).ok_or(NoDoubleSpend::OtherEpoch);
            let proven = judge.proof(&sent.identity(&vendor, &self.operator), spend);
            let epoch = match proven.and(key) {
                Ok(key) => key.epoch(),
                Err(why) => {
                    self.untrue.push((item, Untrue::DoubleSpend(why)));
                    continue;
                }
            };
            match spend.winner {
                Winner::Leaf(index) => {
                    let identity = winner(epoch, &sent.token.nonce, &spend.other_binding);
                    let said = super::Said::Winner;
                    self.claims.push(Said { index, said, item, identity });
                }
                Winner::Renewed(day) => {
                    let name = (epoch, sent.token.nonce);
                    self.renewed.push(Renewed { name, item, day });
                }
            }
        }
    }
}
