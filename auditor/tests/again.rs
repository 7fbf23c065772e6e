//! Audits that go on from an earlier one: what they must not lose, whatever the vendor withholds and whatever fails.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set up fails")]

mod common;

use std::path::Path;

use common::{all, audit_dir, kinds, only, options, run};
use scrip_auditor::{
    audit::{AuditError, AuditOptions},
    finding::{Check, FindingKind as Kind, Verdict},
    source::DirectoryLedger,
    testing::Forger,
};
use scrip_protocol::ledger::Leaf;

/// A ledger of the first `size` leaves.
fn begun(forger: &Forger, size: usize) -> Forger {
    let mut begun = forger.clone();
    begun.leaves.truncate(size);
    begun
}

fn written(forger: &Forger) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    forger.write(directory.path());
    directory
}

fn without_hash_tiles(directory: &Path) {
    for level in ["tile/0", "tile/1"] {
        std::fs::remove_dir_all(directory.join(level)).unwrap();
    }
}

fn with_state(forger: &Forger, state: &Path) -> AuditOptions {
    AuditOptions { state: Some(state.to_owned()), ..options(forger) }
}

/// The same ledger with another cover leaf, the first from `from` on.
fn forked(honest: &Forger, from: usize) -> Forger {
    let mut forked = honest.clone();
    let is_cover = |at: &usize| matches!(honest.leaves[*at], Leaf::Cover(_));
    let at = (from..).find(is_cover).unwrap();
    forked.leaves[at] = Leaf::Cover([9; 32]);
    forked
}

#[test]
fn a_fork_does_not_pass_where_the_vendor_withholds_hash_tiles_nor_is_the_earlier_checkpoint_lost() {
    let honest = Forger::honest();
    let (first, state) = (begun(&honest, 320), tempfile::tempdir().unwrap());
    let options = with_state(&honest, state.path());
    let report = audit_dir(written(&first).path(), &options);
    assert_eq!(report.verdict_of(Check::Root), Some(&Verdict::Pass));

    let fork = forked(&honest, 0);
    let directory = written(&fork);
    without_hash_tiles(directory.path());
    let (earlier, now) = (honest.checkpoint(320), fork.checkpoint(fork.leaves.len() as u64));
    let report = audit_dir(directory.path(), &options);
    assert_eq!(only(&report, Kind::RootMismatch).evidence, [earlier.clone(), now.clone()]);
    let history = report.verdict_of(Check::History);
    assert!(matches!(history, Some(Verdict::NotChecked(_))), "{history:?}");
    // The books are gone, and the checkpoint is not: the leaves tell, in each audit that follows.
    for _ in 0..2 {
        let report = audit_dir(directory.path(), &options);
        assert_eq!(only(&report, Kind::Forked).evidence, [earlier.clone(), now.clone()]);
    }
    // One that saves on its way does not save what is not the vendor's first history.
    let often = AuditOptions { save_every: 1, ..options };
    let last = directory.path().join("tile/entries/002.p");
    let aside = directory.path().join("aside");
    std::fs::rename(&last, &aside).unwrap();
    run(&DirectoryLedger::new(directory.path()), &often).unwrap_err();
    std::fs::rename(&aside, &last).unwrap();
    let report = audit_dir(directory.path(), &often);
    assert_eq!(only(&report, Kind::Forked).evidence, [earlier, now]);

    // Whoever continues what was shown is not suspected, with the same tiles missing.
    let state = tempfile::tempdir().unwrap();
    let options = with_state(&honest, state.path());
    audit_dir(written(&first).path(), &options);
    let directory = written(&honest);
    without_hash_tiles(directory.path());
    let report = audit_dir(directory.path(), &options);
    kinds(&report, &[]);
    assert_eq!(report.verdict_of(Check::History), Some(&Verdict::Pass), "{}", all(&report));
}

#[test]
fn a_checkpoint_that_is_given_does_not_stand_in_for_that_of_the_last_audit() {
    let honest = Forger::honest();
    let state = tempfile::tempdir().unwrap();
    let mut options = with_state(&honest, state.path());
    audit_dir(written(&begun(&honest, 400)).path(), &options);
    let fork = forked(&honest, 256);
    options.since = Some(honest.checkpoint(256).into_bytes());
    let report = audit_dir(written(&fork).path(), &options);
    let now = fork.checkpoint(fork.leaves.len() as u64);
    assert_eq!(only(&report, Kind::Forked).evidence, [honest.checkpoint(400), now]);

    // Nor the other way round; and what cannot be known does not pass.
    let directory = written(&honest);
    without_hash_tiles(directory.path());
    let report = audit_dir(directory.path(), &options);
    let history = report.verdict_of(Check::History);
    assert!(matches!(history, Some(Verdict::NotChecked(_))), "{history:?}");
}

#[test]
fn an_audit_whose_disk_fails_within_a_leaf_leaves_nothing_behind_that_blames_the_vendor() {
    let honest = Forger::honest();
    let (directory, state) = (written(&honest), tempfile::tempdir().unwrap());
    let options = with_state(&honest, state.path());
    // Where the first operator's account is written when its first statement is compared.
    let in_the_way = state.path().join("earned-0.log");
    std::fs::create_dir(&in_the_way).unwrap();
    let error = run(&DirectoryLedger::new(directory.path()), &options).unwrap_err();
    assert!(matches!(error, AuditError::State(_)), "{error}");
    std::fs::remove_dir(&in_the_way).unwrap();
    let report = audit_dir(directory.path(), &options);
    kinds(&report, &[]);
    assert_eq!((report.verdict, report.size), ("pass", honest.leaves.len() as u64));

    // The same for certificates: those that were held when the file failed are still held against later ones.
    let mut twice = honest.clone();
    let is_cover = |at: &usize| matches!(twice.leaves[*at], Leaf::Cover(_));
    let room = (520..).find(is_cover).unwrap();
    let first = twice.find(0, |leaf| matches!(leaf, Leaf::Redemption(_))) as usize;
    twice.leaves[room] = twice.leaves[first].clone();
    let (directory, state) = (written(&twice), tempfile::tempdir().unwrap());
    let options = AuditOptions { save_every: 1, ..with_state(&twice, state.path()) };
    let in_the_way = state.path().join("spent-0.run");
    std::fs::create_dir(&in_the_way).unwrap();
    run(&DirectoryLedger::new(directory.path()), &options).unwrap_err();
    std::fs::remove_dir(&in_the_way).unwrap();
    let report = audit_dir(directory.path(), &options);
    assert_eq!(only(&report, Kind::Duplicate).index, Some(room as u64));
}
