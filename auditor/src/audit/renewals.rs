//! What a vendor signed about renewals, as wallets handed it in: what it refused must not be recorded, what it had to take must not be
//! refused, and what it said was spent must be (renewal.md, "Judging an answer").

use std::{io, path::Path};

use scrip_protocol::{
    id::VendorId,
    judge::{Judge, Refusal},
    keys::PublicKey,
    redemption::{DoubleSpend, RedemptionOutcome},
    renewal::{Complained, Complaint, RenewalRefusal},
    spend::SpendKind,
};

use super::{KnownManifests, refusals, unit::Spent};
use crate::finding::{Finding, FindingKind, Findings};

/// A renewal that was refused.
struct Refused {
    file: String,
    refusal: RenewalRefusal,
}

/// A certificate that was said to be spent.
struct SaidSpent {
    file: String,
    spend: DoubleSpend,
    /// Of the certificate's key.
    epoch: u32,
}

/// Answers to renewals, to be looked for in the ledger.
#[derive(Default)]
pub(super) struct Renewals {
    refused: Vec<Refused>,
    /// By the leaf that they name, the last at the end.
    spent: Vec<(u64, SaidSpent)>,
    /// How many refusals rest on manifests that are not there.
    pub(super) unknown: u64,
}

impl Renewals {
    /// Reads all answers in `directory`, and judges what follows from them and the manifests alone.
    pub(super) fn read(
        directory: &Path,
        vendor: &VendorId,
        manifests: &KnownManifests,
        findings: &mut Findings,
    ) -> io::Result<Self> {
        let mut renewals = Self::default();
        for path in refusals::files_of(directory, Complaint::EXTENSION)? {
            let file = refusals::name_of(&path);
            match open(&path, vendor, &manifests.receipt_keys)? {
                Ok(complained) => renewals.add(file, complained, manifests, findings),
                Err(reason) => {
                    let detail = format!("{}: {reason}", path.display());
                    findings.add(Finding::new(FindingKind::RefusalInvalid, detail));
                }
            }
        }
        renewals.spent.sort_by_key(|(leaf, _)| *leaf);
        Ok(renewals)
    }

    fn add(
        &mut self,
        file: String,
        complained: Complained,
        manifests: &KnownManifests,
        findings: &mut Findings,
    ) {
        let Some(newest) = &manifests.newest else {
            self.unknown += 1;
            return;
        };
        let judge = Judge::new(newest, &manifests.history);
        match complained {
            Complained::Refused(item, refusal) => {
                match judge.renewal_refusal(&item, &refusal) {
                    Refusal::True(_) => {}
                    Refusal::ByManifest(_) => self.unknown += 1,
                    Refusal::False => {
                        let detail = format!(
                            "{file}: the vendor refused a renewal on {} ({}), and everything that this could rest on holds",
                            refusal.day,
                            refusal.problem.name()
                        );
                        findings.add(Finding::new(FindingKind::RenewalRefusalUntrue, detail));
                    }
                }
                self.refused.push(Refused { file, refusal });
            }
            Complained::Spent(said) => {
                let spend = said.double_spend();
                let proven = judge.proof(&said.asked(), &spend).map_err(|why| why.to_string());
                let key = newest.key(&said.key_id).ok_or("no manifest has its key".to_owned());
                match proven.and(key) {
                    Ok(key) => {
                        let epoch = key.epoch();
                        self.spent.push((said.leaf, SaidSpent { file, spend, epoch }));
                    }
                    Err(why) => {
                        let detail = format!(
                            "{file}: the vendor answered a renewal that the certificate was spent: {why}"
                        );
                        findings.add(Finding::new(FindingKind::SpentMissing, detail));
                    }
                }
            }
        }
    }

    /// Whether this leaf is a renewal that was refused, or is not the spend that it was said to be.
    pub(super) fn check_leaf(&self, index: u64, spent: Option<&Spent>, findings: &mut Findings) {
        let kind = |spent: &Spent| match spent.operator {
            Some(_) => SpendKind::Spend,
            None => SpendKind::Renewal,
        };
        for one in &self.refused {
            let is_it = spent.is_some_and(|spent| {
                let identity = &spent.identity;
                one.refusal.concerns(kind(spent), &identity.certificate_key, &identity.binding)
            });
            if is_it {
                let detail = format!(
                    "{}: it signed on {} that it refused the renewal ({}), and this leaf is that renewal",
                    one.file,
                    one.refusal.day,
                    one.refusal.problem.name()
                );
                findings.add(Finding::new(FindingKind::RefusedAndRenewed, detail).at(index));
            }
        }
        let first = self.spent.partition_point(|(leaf, _)| *leaf < index);
        for (_, said) in self.spent[first..].iter().take_while(|(leaf, _)| *leaf == index) {
            let is_it = spent.is_some_and(|spent| {
                said.spend.is_won_by(kind(spent), &spent.identity)
                    && spent.key.is_some_and(|key| key.epoch == said.epoch)
            });
            if !is_it {
                let detail = format!(
                    "{}: the vendor answered a renewal that the certificate was spent in this leaf, and there lies something else",
                    said.file
                );
                findings.add(Finding::new(FindingKind::SpentMissing, detail).at(index));
            }
        }
    }

    /// Whether the vendor answered an operator that something was renewed which it had refused.
    pub(super) fn check_outcome(
        &self,
        outcome: &RedemptionOutcome,
        file: &str,
        findings: &mut Findings,
    ) {
        for (item, spend) in outcome.double_spends() {
            let proof = spend.proof();
            for one in self.refused.iter().filter(|one| one.refusal.is_shown_by(&proof)) {
                let detail = format!(
                    "{}: it signed on {} that it refused the renewal ({}), and answered item {item} in {file} with that renewal",
                    one.file,
                    one.refusal.day,
                    one.refusal.problem.name()
                );
                let finding = Finding::new(FindingKind::RefusedAndRenewed, detail);
                findings.add(finding.of(outcome.operator_id));
            }
        }
    }
}

fn open(
    path: &Path,
    vendor: &VendorId,
    receipt_keys: &[PublicKey],
) -> io::Result<Result<Complained, String>> {
    let Some(bytes) = refusals::read(path, scrip_protocol::limits::MAX_JSON_ANSWER)? else {
        return Ok(Err("it is too large".to_owned()));
    };
    let complaint = match Complaint::from_json(&bytes) {
        Ok(complaint) if complaint.vendor_id == *vendor => complaint,
        Ok(_) => return Ok(Err("it is about another vendor".to_owned())),
        Err(error) => return Ok(Err(error.to_string())),
    };
    Ok(complaint.open(receipt_keys).map_err(|error| error.to_string()))
}
