//! Refusals that wallets handed in: what an operator signed that it refused must not be credited to it (spending.md, "Refusals"). With
//! what a vendor signed about renewals they lie in one directory.

use std::{
    io,
    path::{Path, PathBuf},
};

use scrip_protocol::{
    id::VendorId,
    keys::PublicKey,
    ledger::{BatchReceipt, MAX_BATCH_RECEIPT},
    limits::MAX_JSON_ANSWER,
    redemption::{RedemptionOutcome, SignedBatch},
    refusal::{Accusation, Accused},
};

use super::{KnownManifests, renewals::Renewals, unit::Spent};
use crate::finding::{Finding, FindingKind, Findings};

/// A refusal that holds.
struct Handed {
    file: String,
    operator_key: PublicKey,
    accused: Accused,
}

/// The refusals to be looked for in the ledger.
pub(super) struct Refusals {
    handed: Vec<Handed>,
    renewals: Renewals,
}

impl Refusals {
    /// Reads all refusals of `directory`.
    pub(super) fn read(
        directory: &Path,
        vendor: &VendorId,
        manifests: &KnownManifests,
        findings: &mut Findings,
    ) -> io::Result<Self> {
        let mut handed = Vec::new();
        for path in files_of(directory, Accusation::EXTENSION)? {
            match open(&path, vendor)? {
                Ok((operator_key, accused)) => {
                    handed.push(Handed { file: name_of(&path), operator_key, accused });
                }
                Err(reason) => {
                    let detail = format!("{}: {reason}", path.display());
                    findings.add(Finding::new(FindingKind::RefusalInvalid, detail));
                }
            }
        }
        Ok(Self { handed, renewals: Renewals::read(directory, vendor, manifests, findings)? })
    }

    /// How much could not be judged, because manifests are not there.
    pub(super) const fn unknown(&self) -> u64 {
        self.renewals.unknown
    }

    /// Whether this leaf shows that somebody used what it had refused, or is not what it was said to be.
    pub(super) fn check_leaf(&self, index: u64, spent: Option<&Spent>, findings: &mut Findings) {
        self.renewals.check_leaf(index, spent, findings);
        let Some(spent) = spent.filter(|spent| spent.fault.is_none()) else { return };
        let Some(operator) = spent.operator else { return };
        for one in self
            .handed
            .iter()
            .filter(|one| one.accused.concerns(&operator, &spent.identity.binding))
        {
            let detail = format!(
                "{}: it signed that it had refused the payment ({}), and a certificate of it is credited here",
                one.file,
                one.accused.refusal().problem.name()
            );
            let finding = Finding::new(FindingKind::RefusedAndCredited, detail);
            findings.add(finding.at(index).of(operator));
        }
    }

    /// Whether an operator's own batches, which it handed in with their outcomes, redeem what it refused, and whether the outcomes show
    /// what the vendor refused.
    pub(super) fn check_receipts(
        &self,
        directory: &Path,
        receipt_keys: &[PublicKey],
        findings: &mut Findings,
    ) -> io::Result<()> {
        for path in files_of(directory, BatchReceipt::EXTENSION)? {
            let Some(bytes) = read(&path, MAX_BATCH_RECEIPT)? else { continue };
            // What is no receipt is found where receipts are checked.
            let Ok(receipt) = BatchReceipt::decode(&bytes) else { continue };
            let open = |key| RedemptionOutcome::open(&receipt.outcome, key).ok();
            let Some(outcome) = receipt_keys.iter().rev().find_map(open) else { continue };
            self.renewals.check_outcome(&outcome, &name_of(&path), findings);
            for one in &self.handed {
                let Ok(signed) = SignedBatch::decode(&receipt.batch) else { break };
                let answers = signed.digest() == outcome.batch_digest;
                let Ok(batch) = signed.verify(&one.operator_key) else { continue };
                let redeemed = one.accused.redeemed_in(&batch, &outcome).filter(|_| answers);
                if let Some(item) = redeemed {
                    let detail = format!(
                        "{}: item {item} of its own batch in {} is of the payment, and was credited",
                        one.file,
                        name_of(&path)
                    );
                    let finding = Finding::new(FindingKind::RefusedAndRedeemed, detail);
                    findings.add(finding.of(batch.operator_id));
                }
            }
        }
        Ok(())
    }
}

fn open(path: &Path, vendor: &VendorId) -> io::Result<Result<(PublicKey, Accused), String>> {
    let Some(bytes) = read(path, MAX_JSON_ANSWER)? else {
        return Ok(Err("it is too large".to_owned()));
    };
    let judge = || {
        let accusation = Accusation::from_json(&bytes)?;
        Ok((accusation.operator_key, accusation.open()?))
    };
    Ok(match judge() {
        Ok((_, accused)) if accused.vendor_id() != *vendor => {
            Err("it is about another vendor's certificates".to_owned())
        }
        Ok(handed) => Ok(handed),
        Err::<_, scrip_protocol::refusal::AccusationError>(error) => Err(error.to_string()),
    })
}

/// The bytes of a file that has at most `most` of them.
pub(super) fn read(path: &Path, most: usize) -> io::Result<Option<Vec<u8>>> {
    if std::fs::metadata(path)?.len() > most as u64 {
        return Ok(None);
    }
    std::fs::read(path).map(Some)
}

pub(super) fn files_of(directory: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

pub(super) fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
