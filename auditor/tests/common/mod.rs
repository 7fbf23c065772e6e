//! What the tests of audits share.
#![allow(dead_code, reason = "not every test uses everything")]
#![allow(clippy::unwrap_used, reason = "a test that cannot set up fails")]

use std::{path::Path, sync::Arc};

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use scrip_auditor::{
    audit::{AuditError, AuditOptions, audit},
    finding::{Finding, FindingKind},
    report::Report,
    source::{DirectoryLedger, Ledger},
    testing::{FIRST_DAY, Forger},
};
use scrip_protocol::{time::Day, tlog::policy::WitnessPolicy};

pub(crate) fn options(forger: &Forger) -> AuditOptions {
    AuditOptions {
        vendor: forger.vendor,
        since: None,
        receipts: None,
        refusals: None,
        policy: WitnessPolicy::none(),
        state: None,
        save_every: 1_024,
        workers: 2,
        now: Day(FIRST_DAY + 100).start(),
        rng: Arc::new(|| Box::new(ChaCha20Rng::from_seed([3; 32]))),
    }
}

pub(crate) fn run(ledger: &dyn Ledger, options: &AuditOptions) -> Result<Report, AuditError> {
    audit(ledger, options, &|_| {})
}

pub(crate) fn audit_dir(directory: &Path, options: &AuditOptions) -> Report {
    run(&DirectoryLedger::new(directory), options).unwrap()
}

/// Writes the ledger, signed as it is, and audits it.
pub(crate) fn audit_forged(forger: &Forger) -> Report {
    let directory = tempfile::tempdir().unwrap();
    forger.write(directory.path());
    audit_dir(directory.path(), &options(forger))
}

/// The one finding of this kind.
#[track_caller]
pub(crate) fn only(report: &Report, kind: FindingKind) -> Finding {
    let found: Vec<&Finding> = report.found(kind).collect();
    assert_eq!(found.len(), 1, "{}", all(report));
    assert_eq!(report.exit_code, 3);
    found[0].clone()
}

pub(crate) fn all(report: &Report) -> String {
    let lines = report.findings.iter().map(|one| format!("{:?}", one.finding));
    lines.collect::<Vec<_>>().join("\n")
}

/// Exactly these kinds were found, and nothing else.
#[track_caller]
pub(crate) fn kinds(report: &Report, expected: &[FindingKind]) {
    let found: Vec<&str> = report.finding_counts.keys().copied().collect();
    let mut expected: Vec<&str> = expected.iter().map(|kind| kind.slug()).collect();
    expected.sort_unstable();
    assert_eq!(found, expected, "{}", all(report));
}
