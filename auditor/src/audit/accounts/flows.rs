//! Certificates that come into being and go out of it, by epoch and denomination.

use std::collections::BTreeMap;

use scrip_protocol::{
    credits::Exponent,
    ledger::{Sales, Tally, TallyKind},
    manifest::KeyUse,
    time::Day,
};
use serde::{Deserialize, Serialize};

use super::Operators;
use crate::{
    audit::pairs,
    finding::{Finding, FindingKind, Findings},
};

/// What happened to the certificates of one key.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Flow {
    pub(crate) sold: u64,
    pub(crate) reissued: u64,
    /// Leaves, not tallies.
    pub(crate) redeemed: u64,
    /// Leaves, not tallies.
    pub(crate) renewed: u64,
    pub(crate) expired: u64,
    /// That more came back than was issued was said.
    exceeded: bool,
}

impl Flow {
    pub(crate) fn issued(&self) -> u64 {
        self.sold.saturating_add(self.reissued)
    }

    pub(crate) fn voided(&self) -> u64 {
        self.redeemed.saturating_add(self.renewed).saturating_add(self.expired)
    }
}

/// How far two figures that must meet are apart, and since which leaf.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Gap {
    difference: i64,
    since: u64,
}

impl Gap {
    fn add(&mut self, index: u64, by: i64) {
        if self.difference == 0 {
            self.since = index;
        }
        self.difference = self.difference.saturating_add(by);
    }
}

/// Whose certificates a tally counts: an operator's redemptions, or renewals.
type Counted = (Option<u32>, u32, Exponent);

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Flows {
    #[serde(with = "pairs")]
    pub(crate) keys: BTreeMap<(u32, Exponent), Flow>,
    /// Leaves less tallies.
    #[serde(with = "pairs")]
    uncounted: BTreeMap<Counted, Gap>,
    /// Reissued less renewed, by day, denomination and whether it is of test keys.
    #[serde(with = "pairs")]
    renewals: BTreeMap<(u32, Exponent, bool), Gap>,
    /// Granted, and signed for grants, in credits: production and test.
    pub(crate) books: [Book; 2],
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Book {
    pub(crate) purchases: u64,
    pub(crate) granted: u64,
    pub(crate) sold: u64,
    /// The leaf from which on more was sold than granted.
    exceeded_since: Option<u64>,
}

impl Book {
    fn judge(&mut self, index: u64) {
        if self.sold <= self.granted {
            self.exceeded_since = None;
        } else if self.exceeded_since.is_none() {
            self.exceeded_since = Some(index);
        }
    }
}

impl Flows {
    /// One certificate was redeemed by this operator, or renewed.
    pub(super) fn voided(
        &mut self,
        index: u64,
        epoch: u32,
        exponent: Exponent,
        operator: Option<u32>,
        findings: &mut Findings,
    ) {
        let flow = self.keys.entry((epoch, exponent)).or_default();
        match operator {
            Some(_) => flow.redeemed += 1,
            None => flow.renewed += 1,
        }
        judge(flow, index, epoch, exponent, findings);
        self.count((operator, epoch, exponent), index, 1);
    }

    fn count(&mut self, counted: Counted, index: u64, by: i64) {
        let gap = self.uncounted.entry(counted).or_default();
        gap.add(index, by);
        if gap.difference == 0 {
            self.uncounted.remove(&counted);
        }
    }

    pub(super) fn add_tally(
        &mut self,
        index: u64,
        tally: &Tally,
        key_use: KeyUse,
        operator: Option<u32>,
        findings: &mut Findings,
    ) {
        if tally.kind == TallyKind::Expired {
            self.check_expired(index, tally, findings);
        }
        for count in &tally.counts {
            let (exponent, certificates) = (count.exponent, count.certificates);
            let signed = i64::try_from(certificates).unwrap_or(i64::MAX);
            let flow = self.keys.entry((tally.epoch, exponent)).or_default();
            let renewal = (tally.day.0, exponent, key_use == KeyUse::Test);
            match tally.kind {
                TallyKind::Sold => flow.sold = flow.sold.saturating_add(certificates),
                TallyKind::Reissued => {
                    flow.reissued = flow.reissued.saturating_add(certificates);
                    self.renewals.entry(renewal).or_default().add(index, signed);
                }
                TallyKind::Redeemed => {
                    self.count((operator, tally.epoch, exponent), index, -signed)
                }
                TallyKind::Renewed => {
                    self.renewals.entry(renewal).or_default().add(index, -signed);
                    self.count((None, tally.epoch, exponent), index, -signed);
                }
                TallyKind::Expired => {
                    flow.expired = flow.expired.saturating_add(certificates);
                    judge(flow, index, tally.epoch, exponent, findings);
                }
            }
        }
        self.renewals.retain(|_, gap| gap.difference != 0);
        if tally.kind == TallyKind::Sold {
            let book = &mut self.books[usize::from(key_use == KeyUse::Test)];
            let credits = tally.credits().map_or(u64::MAX, |credits| credits.0);
            book.sold = book.sold.saturating_add(credits);
            book.judge(index);
        }
    }

    /// What is written off is what was neither redeemed nor renewed.
    fn check_expired(&self, index: u64, tally: &Tally, findings: &mut Findings) {
        let said: BTreeMap<Exponent, u64> =
            tally.counts.iter().map(|count| (count.exponent, count.certificates)).collect();
        let of_epoch = self.keys.iter().filter(|((epoch, _), _)| *epoch == tally.epoch);
        let left: BTreeMap<Exponent, u64> = of_epoch
            .map(|((_, exponent), flow)| (*exponent, flow.issued().saturating_sub(flow.voided())))
            .filter(|(_, left)| *left > 0)
            .collect();
        if said == left {
            return;
        }
        let list = |counts: &BTreeMap<Exponent, u64>| {
            let one = |(exponent, n): (&Exponent, &u64)| format!("{n} of {}", exponent.value());
            counts.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        let detail = format!(
            "epoch {}: it writes off {}, and left are {}",
            tally.epoch,
            list(&said),
            if left.is_empty() { "none".to_owned() } else { list(&left) }
        );
        findings.add(Finding::new(FindingKind::ExpiredWrong, detail).at(index));
    }

    pub(super) fn granted(&mut self, index: u64, sales: &Sales) {
        let book = &mut self.books[usize::from(sales.test)];
        book.purchases = book.purchases.saturating_add(sales.purchases);
        book.granted = book.granted.saturating_add(sales.credits.0);
        book.judge(index);
    }

    pub(super) fn finish(&self, operators: &Operators, newest_day: u32, findings: &mut Findings) {
        for ((operator, epoch, exponent), gap) in &self.uncounted {
            let leaves = if operator.is_some() { "redemptions" } else { "renewals" };
            let (more, than) = match gap.difference {
                1.. => (leaves, "tallies"),
                _ => ("tallies", leaves),
            };
            let detail = format!(
                "epoch {epoch}, {}: {} more in {more} than in {than}; they part at this leaf",
                exponent.value(),
                gap.difference.unsigned_abs()
            );
            let mut finding = Finding::new(FindingKind::TallyMismatch, detail).at(gap.since);
            finding.operator = operator.and_then(|number| operators.id(number));
            findings.add(finding);
        }
        for ((day, exponent, _), gap) in &self.renewals {
            // What was issued today is matched when today's renewals are appended, after midnight.
            if gap.difference > 0 && *day >= newest_day.saturating_sub(1) {
                continue;
            }
            let (more, than) = match gap.difference {
                1.. => ("issued", "renewed"),
                _ => ("renewed", "issued in their place"),
            };
            let detail = format!(
                "on {}, {}: {} more were {more} than {than}",
                Day(*day),
                exponent.value(),
                gap.difference.unsigned_abs()
            );
            findings.add(Finding::new(FindingKind::RenewalsUnbalanced, detail).at(gap.since));
        }
        for (book, name) in self.books.iter().zip(["production", "test"]) {
            if let Some(since) = book.exceeded_since {
                let detail = format!(
                    "{} credits of {name} keys were issued for grants of {}; it is so from this leaf on",
                    book.sold, book.granted
                );
                findings.add(Finding::new(FindingKind::GrantsExceeded, detail).at(since));
            }
        }
    }
}

/// Says once of a key that more came back than was issued, at the first leaf where it is so: what was issued is in the ledger
/// before what came back.
fn judge(flow: &mut Flow, index: u64, epoch: u32, exponent: Exponent, findings: &mut Findings) {
    if flow.voided() <= flow.issued() || flow.exceeded {
        return;
    }
    flow.exceeded = true;
    let detail = format!(
        "epoch {epoch}, {}: {} issued, and with this leaf {} redeemed, {} renewed and {} expired",
        exponent.value(),
        flow.issued(),
        flow.redeemed,
        flow.renewed,
        flow.expired
    );
    findings.add(Finding::new(FindingKind::IssuanceUnderstated, detail).at(index));
}
