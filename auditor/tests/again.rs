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

#[test]
fn what_was_missing_once_is_counted_once_and_looked_for_again() {
    let honest = Forger::honest();
    let state = tempfile::tempdir().unwrap();
    let options = with_state(&honest, state.path());
    let first = written(&begun(&honest, 320));
    std::fs::remove_dir_all(first.path().join("tile/public")).unwrap();
    without_hash_tiles(first.path());
    let why = |report: &scrip_auditor::report::Report, check| match report.verdict_of(check) {
        Some(Verdict::NotChecked(why)) => why.clone(),
        other => panic!("{other:?}"),
    };
    let report = audit_dir(first.path(), &options);
    assert_eq!(why(&report, Check::Public), "2 public bundles are not there");
    assert_eq!(why(&report, Check::Tiles), "3 hash tiles are not there");

    // The second bundle is read again, now full, and still there is no public one.
    let second = written(&begun(&honest, 512));
    let public = second.path().join("tile/public");
    std::fs::rename(&public, second.path().join("aside")).unwrap();
    let report = audit_dir(second.path(), &options);
    assert_eq!(why(&report, Check::Public), "2 public bundles are not there");
    assert_eq!(
        why(&report, Check::Tiles),
        "1 hash tiles are not there",
        "that of the first bundle"
    );

    // They are back, and one of them says something else than its leaves.
    std::fs::rename(second.path().join("aside"), &public).unwrap();
    let kept = std::fs::read(public.join("000")).unwrap();
    std::fs::write(public.join("000"), b"").unwrap();
    let wrong = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(state.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), wrong.path().join(entry.file_name())).unwrap();
    }
    for _ in 0..2 {
        let report = audit_dir(second.path(), &with_state(&honest, wrong.path()));
        assert_eq!(only(&report, Kind::PublicWrong).index, Some(0));
    }
    std::fs::write(public.join("000"), kept).unwrap();
    let report = audit_dir(second.path(), &options);
    assert_eq!(report.verdict_of(Check::Public), Some(&Verdict::Pass), "{}", all(&report));
}

#[test]
fn what_is_wrong_in_a_bundle_is_said_once_though_it_is_read_in_two_audits() {
    let honest = Forger::honest();
    let state = tempfile::tempdir().unwrap();
    let options = with_state(&honest, state.path());
    for size in [320, 400, honest.leaves.len()] {
        let directory = written(&begun(&honest, size));
        for path in [format!("tile/public/001.p/{}", size - 256), "tile/public/001".to_owned()] {
            let path = directory.path().join(path);
            if path.exists() {
                std::fs::write(&path, b"not a bundle").unwrap();
            }
        }
        assert_eq!(
            only(&audit_dir(directory.path(), &options), Kind::PublicWrong).index,
            Some(256)
        );
    }
}

#[test]
fn a_tile_that_is_missing_stays_so_where_nothing_is_read_and_not_when_it_is_there() {
    let honest = Forger::honest();
    let state = tempfile::tempdir().unwrap();
    let options = with_state(&honest, state.path());
    let directory = written(&begun(&honest, 512));
    std::fs::remove_dir_all(directory.path().join("tile/1")).unwrap();
    for _ in 0..2 {
        let report = audit_dir(directory.path(), &options);
        assert!(matches!(report.verdict_of(Check::Tiles), Some(Verdict::NotChecked(_))));
    }
    let report = audit_dir(written(&honest).path(), &options);
    assert_eq!(report.verdict_of(Check::Tiles), Some(&Verdict::Pass), "{}", all(&report));
}
