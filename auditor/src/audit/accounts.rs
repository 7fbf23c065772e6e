//! The vendor's books, kept anew from the leaves in their order (ledger.md, "What an auditor checks").
//!
//! What is remembered is proportional to epochs, denominations, days, operators and their contracts, and never to certificates.

mod commitments;
mod flows;
mod operators;
mod statements;

use std::{collections::BTreeMap, io};

use scrip_protocol::{
    id::VendorId,
    ledger::{CommitmentKind, ManifestVersion, Sales, Tally, TallyKind},
    manifest::KeyUse,
    time::Day,
    tlog::hash::TreeHash,
};
use serde::{Deserialize, Serialize};

use self::{commitments::Commitments, flows::Flows, operators::Operators};
pub(crate) use self::{flows::Flow, operators::OperatorAccount};
use super::{
    earned::{Earned, Entry},
    pairs,
    unit::{Spent, What},
};
use crate::{
    finding::{Finding, FindingKind, Findings},
    keyring::{Keyring, LoggedManifest},
};

/// Days that may lie between something and the tally that says so: tallies are made by a sequencer, which may have been down.
const TALLY_DELAY: u32 = 7;

/// What the leaves so far come to.
#[derive(Serialize, Deserialize)]
pub(crate) struct Accounts {
    vendor: VendorId,
    /// Leaves by what they are.
    pub(crate) leaves: BTreeMap<String, u64>,
    pub(crate) operators: Operators,
    pub(crate) flows: Flows,
    commitments: Commitments,
    /// The leaf that wrote an epoch off.
    #[serde(with = "pairs")]
    expired: BTreeMap<u32, u64>,
    /// The day of the first tally or sales. What the vendor issued before it kept a ledger has this day.
    first_day: Option<u32>,
    /// The newest day that a leaf speaks of.
    pub(crate) newest_day: u32,
    /// What operators redeemed, in credits, by the day of the tally and the operator.
    #[serde(with = "pairs")]
    pub(crate) daily: BTreeMap<(u32, u32), u64>,
    pub(crate) manifests: Vec<LoggedManifest>,
}

/// A leaf in its place, with what it takes to judge it.
pub(super) struct Place<'a> {
    pub(super) index: u64,
    pub(super) hash: TreeHash,
    pub(super) keyring: &'a Keyring,
}

impl Accounts {
    pub(super) fn new(vendor: VendorId) -> Self {
        Self {
            vendor,
            leaves: BTreeMap::new(),
            operators: Operators::default(),
            flows: Flows::default(),
            commitments: Commitments::default(),
            expired: BTreeMap::new(),
            first_day: None,
            newest_day: 0,
            daily: BTreeMap::new(),
            manifests: Vec::new(),
        }
    }

    /// Accounts for one leaf.
    pub(super) fn add(
        &mut self,
        place: &Place<'_>,
        what: &mut What,
        earned: &mut Earned,
        findings: &mut Findings,
    ) -> io::Result<()> {
        *self.leaves.entry(what_name(what).to_owned()).or_default() += 1;
        let index = place.index;
        match what {
            // Lists of voided certificates are accounted for apart.
            What::Cover | What::Voided(_) | What::VoidedSalt(_) => {}
            What::Unreadable(error) => {
                let detail = format!("it cannot be read: {error}");
                findings.add(Finding::new(FindingKind::LeafUnreadable, detail).at(index));
            }
            What::Spent(spent) => self.add_spent(place, spent, earned, findings)?,
            What::Tally(tally, opened) => self.add_tally(place, tally, *opened, findings),
            What::Commitment(commitment) => self.commitments.open(index, commitment, findings),
            What::Sales(sales) => self.add_sales(index, sales, earned)?,
            What::Manifest(manifest) => self.add_manifest(index, manifest),
            What::Contract(contract) => {
                self.see_day(contract.day);
                self.operators.add_contract(index, contract, findings);
            }
            What::Statement(statement, opened) => {
                self.see_day(statement.unverified().day);
                self.add_statement(place, statement, opened, earned, findings)?;
            }
        }
        Ok(())
    }

    fn see_day(&mut self, day: Day) {
        self.newest_day = self.newest_day.max(day.0);
    }

    fn add_spent(
        &mut self,
        place: &Place<'_>,
        spent: &mut Spent,
        earned: &mut Earned,
        findings: &mut Findings,
    ) -> io::Result<()> {
        let index = place.index;
        let operator = spent.operator.map(|id| self.operators.number(id));
        if let Some((kind, detail)) = spent.fault.take() {
            let mut finding = Finding::new(kind, detail).at(index);
            finding.operator = spent.operator;
            findings.add(finding);
        }
        let Some(key) = spent.key else { return Ok(()) };
        let (epoch, exponent) = (key.epoch, key.exponent);
        if let Some(end) = self.expired.get(&epoch) {
            let detail = format!("epoch {epoch} was written off at leaf {end}");
            let mut finding = Finding::new(FindingKind::AfterExpiry, detail).at(index);
            finding.operator = spent.operator;
            findings.add(finding);
        }
        self.flows.voided(index, epoch, exponent, operator, findings);
        if let Some(operator) = operator {
            let account = self.operators.get_mut(operator);
            account.redeemed += 1;
            if key.key_use == KeyUse::Production {
                account.credits = account.credits.saturating_add(exponent.value().0);
                let contract = account.in_force();
                let exponent = exponent.get();
                earned.add(operator, index, Entry::Earned { contract, epoch, exponent })?;
            }
        }
        Ok(())
    }

    fn add_tally(
        &mut self,
        place: &Place<'_>,
        tally: &Tally,
        opened: Option<[u8; 32]>,
        findings: &mut Findings,
    ) {
        let index = place.index;
        self.first_day.get_or_insert(tally.day.0);
        self.see_day(tally.day);
        let Some(epoch) = place.keyring.epoch_before(tally.epoch, index).copied() else {
            let detail =
                format!("a tally of epoch {}, which no manifest before it has", tally.epoch);
            findings.add(Finding::new(FindingKind::KeyUnlogged, detail).at(index));
            return;
        };
        if let Some(end) = self.expired.get(&tally.epoch) {
            let detail = format!(
                "epoch {} was written off at leaf {end}, and this says that certificates of it were {}",
                tally.epoch,
                tally.kind.name()
            );
            let mut finding = Finding::new(FindingKind::AfterExpiry, detail).at(index);
            finding.operator = tally.operator_id;
            findings.add(finding);
        }
        self.check_window(index, tally, &epoch.windows, findings);
        if epoch.key_use == KeyUse::Production {
            let kind = CommitmentKind::Tally(tally.kind);
            self.commitments.close(place, kind, tally.epoch, opened, findings);
        }
        let operator = tally.operator_id.map(|id| self.operators.number(id));
        self.flows.add_tally(index, tally, epoch.key_use, operator, findings);
        if tally.kind == TallyKind::Expired {
            self.expired.insert(tally.epoch, index);
        }
        if let (Some(operator), KeyUse::Production) = (operator, epoch.key_use) {
            let sum = self.daily.entry((tally.day.0, operator)).or_default();
            *sum = sum.saturating_add(tally.credits().unwrap_or_default().0);
        }
    }

    /// Whether what a tally says could happen on its day.
    fn check_window(
        &self,
        index: u64,
        tally: &Tally,
        windows: &scrip_protocol::manifest::Windows,
        findings: &mut Findings,
    ) {
        let day = tally.day.0;
        let grace = scrip_protocol::limits::ISSUE_GRACE;
        let (kind, detail) = match tally.kind {
            TallyKind::Sold | TallyKind::Reissued => {
                let first = windows.issue_from.minus(grace).day();
                let last = Day(windows.issue_until.plus(grace).day().0.saturating_add(TALLY_DELAY));
                let in_time = day <= last.0 && !windows.never_issues();
                if day >= first.0 && (in_time || self.first_day == Some(day)) {
                    return;
                }
                let detail = format!(
                    "epoch {} issues from {first} to {}, and this was recorded on {}",
                    tally.epoch,
                    windows.issue_until.day(),
                    tally.day
                );
                (FindingKind::IssuedOffSchedule, detail)
            }
            TallyKind::Redeemed | TallyKind::Renewed => {
                let end = windows.redeem_until.day();
                if day <= end.0.saturating_add(1) {
                    return;
                }
                let detail = format!(
                    "certificates of epoch {} could be redeemed until {end}, and these were {} on {}",
                    tally.epoch,
                    tally.kind.name(),
                    tally.day
                );
                (FindingKind::AfterExpiry, detail)
            }
            TallyKind::Expired => {
                let end = windows.redeem_until.day();
                if day >= end.0 {
                    return;
                }
                let detail = format!(
                    "epoch {} was written off on {}, and can be redeemed until {end}",
                    tally.epoch, tally.day
                );
                (FindingKind::ExpiredWrong, detail)
            }
        };
        let mut finding = Finding::new(kind, detail).at(index);
        finding.operator = tally.operator_id;
        findings.add(finding);
    }

    fn add_sales(&mut self, index: u64, sales: &Sales, earned: &mut Earned) -> io::Result<()> {
        self.first_day.get_or_insert(sales.day.0);
        self.see_day(sales.day);
        self.flows.granted(index, sales);
        let Some(id) = sales.operator_id else { return Ok(()) };
        let operator = self.operators.number(id);
        let account = self.operators.get_mut(operator);
        let contract = account.in_force();
        if sales.test {
            return Ok(());
        }
        account.resold = account.resold.saturating_add(sales.credits.0);
        let (purchases, credits) = (sales.purchases, sales.credits.0);
        earned.add(operator, index, Entry::Resold { contract, purchases, credits })
    }

    fn add_manifest(&mut self, index: u64, manifest: &ManifestVersion) {
        let held_on = Day(self.newest_day);
        self.manifests.push(LoggedManifest { index, version: manifest.version, held_on });
    }

    /// Whether an epoch was written off, so that nothing of it may follow.
    pub(super) fn is_over(&self, epoch: u32) -> bool {
        self.expired.contains_key(&epoch)
    }

    /// What can be said only at the end of the ledger.
    pub(super) fn finish(&self, findings: &mut Findings) {
        self.flows.finish(&self.operators, self.newest_day, findings);
        self.commitments.finish(findings);
    }
}

/// What leaves are counted as in the report.
fn what_name(what: &What) -> &'static str {
    match what {
        What::Unreadable(_) => "unreadable",
        What::Cover => "cover",
        What::Spent(Spent { operator: Some(_), .. }) => "redemption",
        What::Spent(_) => "renewal",
        What::Tally(..) => "tally",
        What::Commitment(_) => "commitment",
        What::Sales(_) => "sales",
        What::Manifest(_) => "manifest",
        What::Contract(_) => "contract",
        What::Statement(..) => "statement",
        What::Voided(_) => "voided",
        What::VoidedSalt(_) => "voided salt",
    }
}
