//! From what is in line to leaves in their order (ledger.md, "Order"). Pure: the same rows, secret and size give the same bytes.

use std::collections::BTreeMap;

use scrip_protocol::{
    credits::{Credits, Exponent},
    id::OperatorId,
    ledger::{
        CommitmentKind, Count, Leaf, ManifestVersion, Redemption, Sales, SourceName, Tally,
        TallyKind, ValueCommitment,
    },
    manifest::{KeyUse, Manifest},
    solvency::{Blinding, commit},
    time::Day,
    tlog::hash::leaf_hash,
};
use sha2::{Digest, Sha256};

use super::LedgerError;
use crate::store::{
    EvidenceRow, IssuedKind, IssuedRow, QueuedRow, RangeRow, RenewalRow, RenewedRow, SalesRow, What,
};

/// What the hash of a cover begins with, so that it equals no other hash.
const COVER_LABEL: &[u8] = b"scrip-issuer ledger cover\0";
/// The same of a salt.
const SALT_LABEL: &[u8] = b"scrip-issuer ledger salt\0";

/// What one integration appends, as it was read.
#[derive(Default)]
pub(super) struct Line {
    /// Versions of the manifest.
    pub(super) manifests: Vec<ManifestVersion>,
    /// Leaves that others made.
    pub(super) leaves: Vec<QueuedRow>,
    /// Of what was granted.
    pub(super) sales: Vec<SalesRow>,
    /// Of what was signed.
    pub(super) issued: Vec<IssuedRow>,
    /// What was redeemed.
    pub(super) batches: Vec<TakenBatch>,
    /// What was renewed.
    pub(super) renewals: Option<TakenRenewals>,
    /// What nobody used in time.
    pub(super) expired: Vec<(u32, Vec<Count>)>,
}

/// The redemptions of a batch.
pub(super) struct TakenBatch {
    pub(super) number: i64,
    pub(super) day: Day,
    pub(super) operator: i64,
    pub(super) operator_id: OperatorId,
    /// In the order of their positions.
    pub(super) evidence: Vec<EvidenceRow>,
    /// Whether everything that was accepted is there.
    pub(super) complete: bool,
}

/// Some renewals of a day that is over, and, with the last of them, how many there were.
pub(super) struct TakenRenewals {
    pub(super) day: Day,
    pub(super) rows: Vec<RenewalRow>,
    pub(super) sums: Vec<RenewedRow>,
}

/// Leaves with their places.
pub(super) struct Plan {
    /// The bytes of each.
    pub(super) leaves: Vec<Vec<u8>>,
    /// What lies where.
    pub(super) ranges: Vec<RangeRow>,
    /// Where the first renewal lies.
    pub(super) renewals: Option<u64>,
}

/// What the vendor is and has.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) secret: &'a [u8; 32],
    pub(super) manifest: &'a Manifest,
    pub(super) operators: &'a BTreeMap<i64, OperatorId>,
    pub(super) today: Day,
    /// The size before.
    pub(super) from: u64,
    /// What the size after is a multiple of.
    pub(super) fill: u64,
}

/// Day, source, whether in a test environment, and who sold it.
type SalesKey<'a> = (Day, &'a str, bool, Option<i64>);

/// Leaves about one thing.
struct Part {
    what: What,
    batch: Option<i64>,
    operator: Option<i64>,
    body: Option<Vec<u8>>,
    leaves: Vec<Vec<u8>>,
}

struct Planner<'a> {
    frame: Frame<'a>,
    public: Vec<Vec<u8>>,
    private: Vec<Part>,
    /// Of things that need a secret, how many there were.
    secrets: u64,
}

/// Puts everything in its order: public leaves, then private ones, then covers. There is at least one leaf.
pub(super) fn plan(line: &Line, frame: Frame<'_>) -> Result<Plan, LedgerError> {
    let mut planner = Planner { frame, public: Vec::new(), private: Vec::new(), secrets: 0 };
    for manifest in &line.manifests {
        planner.public.push(Leaf::Manifest(*manifest).encode());
    }
    planner.leaves(&line.leaves);
    planner.sales(&line.sales)?;
    planner.issued(&line.issued);
    for batch in &line.batches {
        planner.batch(batch)?;
    }
    if let Some(renewals) = &line.renewals {
        planner.renewals(renewals);
    }
    for (epoch, counts) in &line.expired {
        planner.tally(TallyKind::Expired, frame.today, None, *epoch, counts.clone());
    }
    Ok(planner.place())
}

/// The bytes of the cover at `index`: random to everybody without the secret.
pub(super) fn cover(secret: &[u8; 32], index: u64) -> Vec<u8> {
    let hash = Sha256::new().chain_update(COVER_LABEL).chain_update(secret);
    Leaf::Cover(hash.chain_update(index.to_be_bytes()).finalize().into()).encode()
}

/// The leaves of a batch.
pub(super) fn redemptions(operator_id: OperatorId, evidence: &[EvidenceRow]) -> Vec<Vec<u8>> {
    let leaf = |row: &EvidenceRow| {
        let redemption = Redemption { operator_id, item: row.item.clone() };
        Leaf::Redemption(Box::new(redemption)).encode()
    };
    evidence.iter().map(leaf).collect()
}

/// The leaves of renewals.
pub(super) fn renewals(rows: &[RenewalRow]) -> Vec<Vec<u8>> {
    rows.iter().map(|row| Leaf::Renewal(Box::new(row.evidence.clone())).encode()).collect()
}

impl Planner<'_> {
    fn leaves(&mut self, rows: &[QueuedRow]) {
        for row in rows {
            self.public.extend(row.commitments.iter().cloned());
            if let Some(body) = &row.body {
                self.leaf(row.operator, body.clone());
            }
        }
    }

    fn leaf(&mut self, operator: Option<i64>, leaf: Vec<u8>) {
        let body = Some(leaf.clone());
        self.private.push(Part {
            what: What::Leaf,
            batch: None,
            operator,
            body,
            leaves: vec![leaf],
        });
    }

    /// One leaf for each day, source, environment and operator.
    fn sales(&mut self, rows: &[SalesRow]) -> Result<(), LedgerError> {
        let mut sums: BTreeMap<SalesKey<'_>, (u64, u64)> = BTreeMap::new();
        for row in rows {
            let key = (self.day(row.day), row.source.as_str(), row.test, row.operator);
            let sum = sums.entry(key).or_default();
            sum.0 = sum.0.saturating_add(row.purchases);
            sum.1 = sum.1.saturating_add(row.credits);
        }
        for ((day, source, test, operator), (purchases, credits)) in sums {
            let source = SourceName::new(source).ok_or(LedgerError::Damaged("ledger_sales"))?;
            let operator_id =
                operator.and_then(|number| self.frame.operators.get(&number).copied());
            let credits = Credits(credits);
            let mut sales =
                Sales { day, source, test, operator_id, purchases, credits, salt: [0; 32] };
            sales.salt = self.salt(&Leaf::Sales(sales.clone()).encode());
            self.leaf(operator, Leaf::Sales(sales).encode());
        }
        Ok(())
    }

    /// One tally for each kind, day and epoch.
    fn issued(&mut self, rows: &[IssuedRow]) {
        let mut sums: BTreeMap<(IssuedKind, Day, u32), BTreeMap<Exponent, u64>> = BTreeMap::new();
        for row in rows {
            let counts = sums.entry((row.kind, self.day(row.day), row.epoch)).or_default();
            let count = counts.entry(row.exponent).or_default();
            *count = count.saturating_add(row.certificates);
        }
        for ((kind, day, epoch), counts) in sums {
            let kind = match kind {
                IssuedKind::Sold => TallyKind::Sold,
                IssuedKind::Reissued => TallyKind::Reissued,
            };
            self.tally(kind, day, None, epoch, to_counts(counts));
        }
    }

    /// The redemptions of a batch, then one tally for each of their epochs.
    fn batch(&mut self, batch: &TakenBatch) -> Result<(), LedgerError> {
        let mut sums: BTreeMap<u32, BTreeMap<Exponent, u64>> = BTreeMap::new();
        for row in &batch.evidence {
            let key = self.frame.manifest.key(&row.item.token.key_id);
            let key = key.ok_or(LedgerError::Damaged("evidence"))?;
            *sums.entry(key.epoch()).or_default().entry(key.exponent()).or_default() += 1;
        }
        if batch.evidence.is_empty() {
            return Ok(());
        }
        let positions = batch.evidence.iter().flat_map(|row| row.position.to_be_bytes());
        self.private.push(Part {
            what: What::Redemptions,
            batch: Some(batch.number),
            operator: Some(batch.operator),
            body: (!batch.complete).then(|| positions.collect()),
            leaves: redemptions(batch.operator_id, &batch.evidence),
        });
        let operator = Some((batch.operator, batch.operator_id));
        for (epoch, counts) in sums {
            self.tally(TallyKind::Redeemed, batch.day, operator, epoch, to_counts(counts));
        }
        Ok(())
    }

    fn renewals(&mut self, taken: &TakenRenewals) {
        if !taken.rows.is_empty() {
            let body = Some(taken.day.0.to_be_bytes().to_vec());
            let leaves = renewals(&taken.rows);
            let what = What::Renewals;
            self.private.push(Part { what, batch: None, operator: None, body, leaves });
        }
        let mut sums: BTreeMap<u32, BTreeMap<Exponent, u64>> = BTreeMap::new();
        for row in &taken.sums {
            let count = sums.entry(row.epoch).or_default().entry(row.exponent).or_default();
            *count = count.saturating_add(row.certificates);
        }
        for (epoch, counts) in sums {
            self.tally(TallyKind::Renewed, taken.day, None, epoch, to_counts(counts));
        }
    }

    /// A tally, and in front of everything the commitment to it.
    fn tally(
        &mut self,
        kind: TallyKind,
        day: Day,
        operator: Option<(i64, OperatorId)>,
        epoch: u32,
        counts: Vec<Count>,
    ) {
        if counts.is_empty() {
            return;
        }
        let operator_id = operator.map(|(_, id)| id);
        let mut tally = Tally { kind, day, operator_id, epoch, counts, blinding: [0; 32] };
        let context = self.context(&Leaf::Tally(tally.clone()).encode());
        let blinding = Blinding::from_seed(self.frame.secret, &context);
        tally.blinding = blinding.to_bytes();
        let credits = tally.credits().unwrap_or(Credits(u64::MAX));
        let leaf = Leaf::Tally(tally).encode();
        if self.is_production(epoch) {
            let commitment = ValueCommitment {
                kind: CommitmentKind::Tally(kind),
                epoch,
                commitment: commit(credits, &blinding),
                leaf_hash: leaf_hash(&leaf),
            };
            self.public.push(Leaf::Commitment(commitment).encode());
        }
        self.leaf(operator.map(|(number, _)| number), leaf);
    }

    fn is_production(&self, epoch: u32) -> bool {
        let known = self.frame.manifest.epochs().iter().find(|known| known.number == epoch);
        known.is_none_or(|known| known.key_use == KeyUse::Production)
    }

    /// What older programs recorded has no day.
    fn day(&self, day: Day) -> Day {
        if day == Day(0) { self.frame.today } else { day }
    }

    /// What a secret is for: where, which of that integration, and what it hides. An integration that is not committed, or a database
    /// that was restored from a backup, thus hides other contents with another secret.
    fn context(&mut self, content: &[u8]) -> Vec<u8> {
        let secret = self.secrets;
        self.secrets += 1;
        [&self.frame.from.to_be_bytes(), &secret.to_be_bytes(), content].concat()
    }

    fn salt(&mut self, content: &[u8]) -> [u8; 32] {
        let context = self.context(content);
        let hash = Sha256::new().chain_update(SALT_LABEL).chain_update(self.frame.secret);
        hash.chain_update(context).finalize().into()
    }

    fn place(self) -> Plan {
        let Frame { secret, from, fill, .. } = self.frame;
        let public = self.public.into_iter().map(|leaf| {
            let body = Some(leaf.clone());
            Part { what: What::Leaf, batch: None, operator: None, body, leaves: vec![leaf] }
        });
        let mut plan = Plan { leaves: Vec::new(), ranges: Vec::new(), renewals: None };
        let mut next = from;
        for part in public.chain(self.private) {
            let Part { what, batch, operator, body, leaves: some } = part;
            let leaves = some.len() as u64;
            if what == What::Renewals {
                plan.renewals = Some(next);
            }
            plan.ranges.push(RangeRow { first: next, leaves, what, batch, operator, body });
            plan.leaves.extend(some);
            next += leaves;
        }
        // Where nothing that was taken gave a leaf, a cover shows that it was taken.
        let least = next.max(from + 1);
        let covers = least.next_multiple_of(fill.max(1)) - next;
        if covers > 0 {
            plan.leaves.extend((next..next + covers).map(|index| cover(secret, index)));
            let (what, batch, operator, body) = (What::Covers, None, None, None);
            plan.ranges.push(RangeRow { first: next, leaves: covers, what, batch, operator, body });
        }
        plan
    }
}

fn to_counts(sums: BTreeMap<Exponent, u64>) -> Vec<Count> {
    let count = |(exponent, certificates)| Count { exponent, certificates };
    sums.into_iter().filter(|(_, certificates)| *certificates > 0).map(count).collect()
}
