//! Recorded spends: the first one wins, by the primary key of `spent`.

mod outcome;
mod sql;
mod tally;

use std::collections::{BTreeMap, HashMap};

use scrip_protocol::{
    credits::Exponent,
    id::BatchDigest,
    keys::{BadKey, PublicKey, Signature},
    redemption::{DoubleSpend, InvalidReason, ItemResult, RedemptionItem, Winner},
    spend::Binding,
    time::Day,
};
use scrip_runtime::steps::Steps;

pub(in crate::store) use self::outcome::decode as decode_results;
pub use self::tally::{OutcomeCounts, OutcomeDay};
use super::{Store, StoreError, ledger::What};

/// A certificate in its epoch, the primary key of `spent`.
pub(super) type SpendKey = (u32, [u8; 32]);

/// A checked batch, ready to be decided.
pub struct BatchRecord {
    /// A random number that other rows refer to the batch by; not negative.
    pub number: i64,
    /// The hash of the signed batch, by which a repetition is recognised.
    pub digest: BatchDigest,
    /// The operator's number.
    pub operator: i64,
    /// The UTC day.
    pub day: Day,
    /// The version of the manifest whose windows its items were checked against.
    pub manifest_version: u64,
    /// Its items, in order.
    pub items: Vec<Decision>,
    /// Whether it is put in line for the ledger.
    pub in_line: bool,
}

/// A batch as it was decided, now or before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The number that it has.
    pub number: i64,
    /// The day on which it was decided.
    pub day: Day,
    /// The version of the manifest that it was decided by.
    pub manifest_version: u64,
    /// The result of each item. A double spend that another spend won has no leaf for that one here: it may have none yet.
    pub results: Vec<ItemResult>,
}

/// What stands for the leaf of a spend whose place is not known. No ledger is as large, and no checkpoint.
const NO_LEAF: u64 = u64::MAX;

/// What is known of an item before the database is asked.
#[expect(clippy::large_enum_variant, reason = "nearly every item is a spend")]
pub enum Decision {
    /// It names no certificate of this vendor's, so that there is nothing to look up.
    Unknown(InvalidReason),
    /// It names one.
    Spend(SpendRecord),
}

/// A spend as an operator claims it, checked.
pub struct SpendRecord {
    /// The epoch of its key.
    pub epoch: u32,
    /// The denomination of its key.
    pub exponent: Exponent,
    /// The item.
    pub item: RedemptionItem,
    /// `B_i`, computed with the batch's operator.
    pub binding: Binding,
    /// Whether the key's redemption window has passed: then only what was recorded before counts.
    pub expired: bool,
    /// The first of the checks after the window that failed.
    pub invalid: Option<InvalidReason>,
}

/// A spend that was recorded first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedSpend {
    /// Its binding.
    pub binding: Binding,
    /// The certificate key's signature over it.
    pub signature: Signature,
    /// The day on which it was renewed, if that is what was recorded.
    pub renewed: Option<Day>,
}

impl RecordedSpend {
    /// That it was recorded before another one of the certificate with key `certificate_key`.
    pub fn won(&self, certificate_key: PublicKey) -> DoubleSpend {
        DoubleSpend {
            certificate_key,
            other_binding: self.binding,
            other_signature: self.signature,
            winner: self.renewed.map_or(Winner::Leaf(NO_LEAF), Winner::Renewed),
        }
    }
}

impl SpendRecord {
    fn key(&self) -> SpendKey {
        (self.epoch, self.item.token.nonce)
    }

    /// Whether it may become the recorded spend.
    fn is_recordable(&self) -> bool {
        !self.expired && self.invalid.is_none()
    }
}

impl BatchRecord {
    fn spends(&self) -> impl Iterator<Item = (usize, &SpendRecord)> {
        self.items.iter().enumerate().filter_map(|(position, item)| match item {
            Decision::Spend(spend) => Some((position, spend)),
            Decision::Unknown(_) => None,
        })
    }

    /// The first recordable spend of each certificate, in the order of the primary key: two transactions that take
    /// the same rows take them in one order, so that neither waits for the other in a circle.
    fn firsts(&self) -> BTreeMap<SpendKey, usize> {
        let mut firsts = BTreeMap::new();
        for (position, spend) in self.spends().filter(|(_, spend)| spend.is_recordable()) {
            firsts.entry(spend.key()).or_insert(position);
        }
        firsts
    }

    fn spend(&self, position: usize) -> Option<&SpendRecord> {
        match self.items.get(position) {
            Some(Decision::Spend(spend)) => Some(spend),
            Some(Decision::Unknown(_)) | None => None,
        }
    }
}

impl Store {
    /// Decides every item of a batch and records what it decided, in one transaction. A batch that was decided before
    /// gets the same results.
    ///
    /// # Errors
    /// [`StoreError`]: then nothing was recorded, or all of it, and the same batch finds out which.
    pub async fn record_batch(
        &self,
        batch: &BatchRecord,
        steps: &Steps,
    ) -> Result<Decided, StoreError> {
        let firsts = batch.firsts();
        let firsts = &firsts;
        self.run_tx("record_batch", |tx| {
            Box::pin(async move {
                if let Some(decided) = tx.decided_before(&batch.digest).await? {
                    return Ok(decided);
                }
                let accepted = tx.insert_spent(batch, firsts).await?;
                steps.at("issuer.redemption.in_transaction");
                let others = batch.spends().map(|(_, spend)| spend.key());
                let others: Vec<SpendKey> =
                    others.filter(|key| !accepted.contains_key(key)).collect();
                let recorded = tx.recorded_spends(&others).await?;
                let results = decide(batch, &accepted, &recorded);
                tx.insert_evidence(batch, &accepted).await?;
                tx.insert_redeemed(batch, &counts(batch, &accepted)).await?;
                tx.insert_batch(batch, &outcome::encode(&results)).await?;
                tx.insert_outcomes(batch, &tally::of(batch, &results)).await?;
                if batch.in_line && !accepted.is_empty() {
                    let operator = Some(batch.operator);
                    tx.enqueue(What::Redemptions, batch.number, batch.day, operator).await?;
                }
                let BatchRecord { number, day, manifest_version, .. } = *batch;
                Ok(Decided { number, day, manifest_version, results })
            })
        })
        .await
    }
}

/// The result of each item. `accepted` are the spends that were recorded just now, with their positions; `recorded` are
/// those of other batches.
fn decide(
    batch: &BatchRecord,
    accepted: &BTreeMap<SpendKey, usize>,
    recorded: &HashMap<SpendKey, RecordedSpend>,
) -> Vec<ItemResult> {
    let decide_one = |(position, item): (usize, &Decision)| {
        let spend = match item {
            Decision::Unknown(reason) => return ItemResult::Invalid(*reason),
            Decision::Spend(spend) => spend,
        };
        let key = spend.key();
        let first = accepted.get(&key).copied();
        let winner = match first {
            Some(first) => batch.spend(first).map(|spend| RecordedSpend {
                binding: spend.binding,
                signature: spend.item.signature,
                renewed: None,
            }),
            None => recorded.get(&key).copied(),
        };
        match (spend.expired, spend.invalid, winner) {
            (true, _, None) => ItemResult::Expired,
            (_, Some(reason), _) => ItemResult::Invalid(reason),
            (_, None, Some(_)) if first == Some(position) => ItemResult::Accepted,
            (_, None, Some(winner)) if winner.binding == spend.binding => {
                ItemResult::AlreadyAccepted
            }
            (_, None, Some(winner)) => match spend.item.token.certificate_key() {
                Ok(key) => ItemResult::DoubleSpent(winner.won(key)),
                Err(BadKey) => ItemResult::Invalid(InvalidReason::CertificateKey),
            },
            // A recordable spend that is neither recorded now nor before: its row went between two statements,
            // because its epoch was dropped. That is what "expired" says.
            (false, None, None) => ItemResult::Expired,
        }
    };
    batch.items.iter().enumerate().map(decide_one).collect()
}

/// How many certificates were accepted, by epoch and exponent.
fn counts(batch: &BatchRecord, accepted: &BTreeMap<SpendKey, usize>) -> BTreeMap<(u32, u8), i64> {
    let mut counts = BTreeMap::new();
    for spend in accepted.values().filter_map(|position| batch.spend(*position)) {
        *counts.entry((spend.epoch, spend.exponent.get())).or_default() += 1;
    }
    counts
}
