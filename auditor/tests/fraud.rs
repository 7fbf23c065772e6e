//! Each kind of fraud that a vendor or an operator could try: the auditor finds it, and names it.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set up fails")]

mod common;

use std::path::Path;

use common::{all, audit_dir, audit_forged, kinds, only, options};
use scrip_auditor::{
    finding::{Check, FindingKind as Kind, Verdict},
    testing::{EPOCH, FIRST_DAY, Forger, ListCheat, NEXT_EPOCH, operator, receipt_key, windows},
};
use scrip_protocol::{
    credits::Credits,
    keys::Signature,
    ledger::{Leaf, SignedStatement, TallyKind},
    manifest::KeyUse,
    time::Day,
    tlog::tile::{EntryBundle, TileKind, TilePath},
};

fn is_redemption(leaf: &Leaf) -> bool {
    matches!(leaf, Leaf::Redemption(_))
}

fn is_tally_of(kind: TallyKind) -> impl Fn(&Leaf) -> bool {
    move |leaf| matches!(leaf, Leaf::Tally(tally) if tally.kind == kind)
}

fn tally_mut(leaf: &mut Leaf) -> &mut scrip_protocol::ledger::Tally {
    match leaf {
        Leaf::Tally(tally) => tally,
        _ => panic!("a tally"),
    }
}

fn redemption_mut(leaf: &mut Leaf) -> &mut scrip_protocol::ledger::Redemption {
    match leaf {
        Leaf::Redemption(redemption) => redemption,
        _ => panic!("a redemption"),
    }
}

/// Changes a leaf together with the commitments that speak for it, so that nothing but the change itself can be found.
fn replace(forger: &mut Forger, index: u64, change: impl FnOnce(&mut Leaf)) {
    let at = index as usize;
    let before = forger.leaves[at].hash();
    change(&mut forger.leaves[at]);
    let mut commitments = forger.commitments(&forger.leaves[at].clone()).into_iter();
    for leaf in &mut forger.leaves {
        if matches!(leaf, Leaf::Commitment(commitment) if commitment.leaf_hash == before) {
            *leaf = commitments.next().unwrap();
        }
    }
    assert!(commitments.next().is_none(), "each had a commitment before");
}

/// Writes other entries than those that were signed, and nothing else.
fn rewrite_entries(directory: &Path, entries: &[Vec<u8>]) {
    for (index, bundle) in (0..).zip(entries.chunks(256)) {
        let path = TilePath::new(TileKind::Entries, index, bundle.len() as u16).unwrap();
        let bytes = EntryBundle::new(bundle.to_vec()).unwrap().encode();
        std::fs::create_dir_all(directory.join(path.to_string()).parent().unwrap()).unwrap();
        std::fs::write(directory.join(path.to_string()), bytes).unwrap();
    }
}

#[test]
fn an_honest_ledger_passes_with_nothing_found() {
    let forger = Forger::honest();
    let directory = tempfile::tempdir().unwrap();
    forger.write(directory.path());
    let receipts = directory.path().join("receipts");
    forger.write_receipts(&receipts);
    let mut options = options(&forger);
    options.receipts = Some(receipts);
    options.since = Some(forger.checkpoint(300).into_bytes());
    let report = audit_dir(directory.path(), &options);
    kinds(&report, &[]);
    assert_eq!((report.verdict, report.exit_code), ("pass", 0));
    let asked: Vec<&str> = report
        .checks
        .iter()
        .filter(|check| check.verdict != Verdict::Pass)
        .map(|check| check.check.slug())
        .collect();
    assert_eq!(asked, ["quorum", "lists", "refusals"], "nothing was named or handed in for these");
    assert_eq!(report.leaves_of("redemption"), 60 + 20 + 50 + 12 + 39 + 40 + 30 + 6);
    assert_eq!(report.receipts.unwrap().certificates, report.leaves_of("redemption"));
    let operators: Vec<_> = report.operators.iter().map(|one| (one.id, one.statements)).collect();
    assert_eq!(operators, [(operator(0), 2), (operator(1), 2)]);
    let left: i64 =
        report.keys.iter().filter(|key| key.epoch == EPOCH).map(|key| key.outstanding).sum();
    assert_eq!(left, 0, "the epoch is over");
}

#[test]
fn a_changed_leaf_is_named() {
    let forger = Forger::honest();
    let directory = tempfile::tempdir().unwrap();
    forger.write(directory.path());
    let at = forger.find(70, is_redemption);
    let mut entries = forger.entries();
    let last = entries[at as usize].len() - 1;
    entries[at as usize][last] ^= 1;
    rewrite_entries(directory.path(), &entries);
    let report = audit_dir(directory.path(), &options(&forger));
    assert_eq!(only(&report, Kind::LeafChanged).index, Some(at));
    assert!(only(&report, Kind::RootMismatch).detail.contains("the leaves that differ"));
    kinds(&report, &[Kind::LeafChanged, Kind::RootMismatch, Kind::SpendSignature]);
}

#[test]
fn a_removed_leaf_is_named_whether_or_not_it_was_signed_away() {
    let forger = Forger::honest();
    let at = forger.find(100, is_redemption);
    let directory = tempfile::tempdir().unwrap();
    forger.write(directory.path());
    let mut entries = forger.entries();
    entries.remove(at as usize);
    entries.push(entries[0].clone());
    rewrite_entries(directory.path(), &entries);
    let report = audit_dir(directory.path(), &options(&forger));
    assert_eq!(only(&report, Kind::LeafRemoved).index, Some(at));

    // The vendor takes a redemption out of its books and signs them anew: the batch's tally gives it away.
    let mut signed_away = forger.clone();
    let index = signed_away.find(20, is_redemption);
    signed_away.leaves[index as usize] = Leaf::Cover([1; 32]);
    let report = audit_forged(&signed_away);
    let finding = only(&report, Kind::TallyMismatch);
    assert_eq!(finding.operator, Some(operator(0)));
    assert!(finding.detail.contains("1 more in tallies than in redemptions"), "{}", finding.detail);
}

#[test]
fn an_added_leaf_is_named_whether_or_not_it_was_signed() {
    let forger = Forger::honest();
    let directory = tempfile::tempdir().unwrap();
    forger.write(directory.path());
    let mut entries = forger.entries();
    let extra = entries[forger.find(3, is_redemption) as usize].clone();
    entries.insert(90, extra);
    rewrite_entries(directory.path(), &entries);
    let report = audit_dir(directory.path(), &options(&forger));
    assert_eq!(only(&report, Kind::LeafAdded).index, Some(90));

    let mut signed = Forger::honest();
    let certificate = signed.certificate(NEXT_EPOCH, 0);
    let invented = signed.redemption(&certificate, 1, FIRST_DAY + 50);
    let at = signed.find(
        0,
        |leaf| matches!(leaf, Leaf::Redemption(one) if one.item.day == Day(FIRST_DAY + 50)),
    );
    // In the place of cover, so that nothing else moves.
    let cover = (at..).find(|at| matches!(signed.leaves[*at as usize], Leaf::Cover(_))).unwrap();
    signed.leaves[cover as usize] = Leaf::Redemption(Box::new(invented));
    let report = audit_forged(&signed);
    let finding = only(&report, Kind::TallyMismatch);
    assert_eq!((finding.index, finding.operator), (Some(cover), Some(operator(1))));
}

#[test]
fn a_redemption_that_counts_again_under_another_operator_is_named() {
    let mut forger = Forger::opened();
    let certificate = forger.certificate(EPOCH, 0);
    let day = FIRST_DAY + 5;
    let mut indexes = Vec::new();
    for at in [0, 1] {
        let redemption = forger.redemption(&certificate, at, day);
        let tally = forger.tally(TallyKind::Redeemed, day, Some(at), EPOCH, &[(0, 1)]);
        forger.round(vec![Leaf::Redemption(Box::new(redemption)), tally]);
        indexes.push(forger.find(at as usize, is_redemption));
    }
    let report = audit_forged(&forger);
    let finding = only(&report, Kind::Duplicate);
    assert_eq!((finding.index, finding.operator), (Some(indexes[1]), Some(operator(1))));
    let first = format!("redeemed by {} at leaf {} before", operator(0), indexes[0]);
    assert!(finding.detail.contains(&first), "{}", finding.detail);
    kinds(&report, &[Kind::Duplicate]);

    // And the same leaf once more, as it is: the signature is for the first operator.
    let mut copied = Forger::honest();
    let at = copied.find(0, is_redemption);
    let copy = copied.leaves[at as usize].clone();
    let tally = copied.tally(TallyKind::Redeemed, day, Some(1), EPOCH, &[(0, 1)]);
    let mut moved = copy.clone();
    redemption_mut(&mut moved).operator_id = operator(1);
    let end = copied.find(0, is_tally_of(TallyKind::Expired));
    let commitments = copied.commitments(&tally);
    let room: Vec<usize> = (0..end as usize)
        .rev()
        .filter(|at| matches!(copied.leaves[*at], Leaf::Cover(_)))
        .take(3)
        .collect();
    copied.leaves[room[2]] = commitments[0].clone();
    copied.leaves[room[1]] = moved;
    copied.leaves[room[0]] = tally;
    let report = audit_forged(&copied);
    assert_eq!(only(&report, Kind::Duplicate).index, Some(room[1] as u64));
    assert_eq!(only(&report, Kind::SpendSignature).index, Some(room[1] as u64));
    assert_eq!(only(&report, Kind::SpendSignature).operator, Some(operator(1)));
}

#[test]
fn a_hidden_fork_is_found_against_the_last_audit_and_against_a_receipt_and_both_notes_are_kept() {
    let honest = Forger::honest();
    let mut forked = honest.clone();
    let at = forked.find(0, |leaf| matches!(leaf, Leaf::Cover(_)));
    forked.leaves[at as usize] = Leaf::Cover([9; 32]);
    let directory = tempfile::tempdir().unwrap();
    forked.write(directory.path());

    let mut since = options(&forked);
    let shown = honest.checkpoint(400);
    since.since = Some(shown.clone().into_bytes());
    let report = audit_dir(directory.path(), &since);
    let finding = only(&report, Kind::Forked);
    let now = forked.checkpoint(forked.leaves.len() as u64);
    assert_eq!(finding.evidence, [shown, now.clone()]);

    // Without the tiles that prove it at once, the leaves do.
    let without_tiles = tempfile::tempdir().unwrap();
    forked.write(without_tiles.path());
    std::fs::remove_dir_all(without_tiles.path().join("tile/0")).unwrap();
    let report = audit_dir(without_tiles.path(), &since);
    assert_eq!(only(&report, Kind::Forked).evidence[1], now);
    assert!(matches!(report.verdict_of(Check::Tiles), Some(Verdict::NotChecked(_))));

    let receipts = tempfile::tempdir().unwrap();
    honest.write_receipts(receipts.path());
    let mut handed_in = options(&forked);
    handed_in.receipts = Some(receipts.path().to_owned());
    let report = audit_dir(directory.path(), &handed_in);
    let found: Vec<_> = report.found(Kind::Forked).collect();
    assert_eq!(found.len(), 7, "each receipt shows it: {}", all(&report));
    assert_eq!(found[0].evidence[1], now);
    assert!(found[0].evidence[0].starts_with("scrip.ledger/v1/"), "{:?}", found[0].evidence);
    assert_eq!(report.verdict_of(Check::Receipts), Some(&Verdict::Pass), "the leaves are there");

    // A ledger that became shorter.
    let mut shorter = honest.clone();
    shorter.leaves.truncate(320);
    let directory = tempfile::tempdir().unwrap();
    shorter.write(directory.path());
    let report = audit_dir(directory.path(), &since);
    assert_eq!(only(&report, Kind::Shortened).evidence.len(), 2);
}

#[test]
fn a_key_that_is_in_no_manifest_is_named() {
    let mut forger = Forger::opened();
    // The manifest has the keys of the next epoch, and the ledger does not name it.
    let version = forger.sign_manifest(&[
        (EPOCH, KeyUse::Production, windows(FIRST_DAY), &[(0, 0), (3, 1)]),
        (2, KeyUse::Test, windows(FIRST_DAY), &[(0, 2)]),
        (NEXT_EPOCH, KeyUse::Production, windows(FIRST_DAY + 30), &[(0, 3), (3, 4)]),
    ]);
    let certificate = forger.certificate(NEXT_EPOCH, 0);
    let redemption = forger.redemption(&certificate, 0, FIRST_DAY + 40);
    forger.round(vec![Leaf::Redemption(Box::new(redemption))]);
    let at = forger.find(0, is_redemption);
    let report = audit_forged(&forger);
    let finding = only(&report, Kind::KeyUnlogged);
    assert_eq!((finding.index, finding.operator), (Some(at), Some(operator(0))));
    assert_eq!(report.verdict_of(Check::Manifests), Some(&Verdict::Fail));

    // Nor does it help to name it afterwards.
    let leaf = forger.manifest_leaf(version);
    forger.round(vec![leaf]);
    assert_eq!(only(&audit_forged(&forger), Kind::KeyUnlogged).index, Some(at));
}

#[test]
fn manifests_that_break_the_rules_are_named() {
    let production = |number: u32, from: u32, key: &'static [(u8, usize)]| {
        let mut windows = windows(FIRST_DAY + from);
        windows.issue_until = Day(FIRST_DAY + from + 2).start();
        (number, KeyUse::Production, windows, key)
    };
    let epochs = [
        production(1, 0, &[(0, 0)]),
        production(2, 2, &[(0, 1)]),
        production(3, 4, &[(0, 2)]),
        production(4, 6, &[(0, 3)]),
        production(5, 8, &[(0, 4)]),
    ];
    let mut forger = Forger::new();
    for count in [4, 5] {
        let version = forger.sign_manifest(&epochs[..count]);
        let leaf = forger.manifest_leaf(version);
        forger.round(vec![leaf]);
    }
    let second = forger.find(1, |leaf| matches!(leaf, Leaf::Manifest(_)));
    let report = audit_forged(&forger);
    let finding = only(&report, Kind::OffSchedule);
    assert_eq!(finding.index, Some(second));
    assert!(finding.detail.contains("5 epochs within 30 days"), "{}", finding.detail);
    kinds(&report, &[Kind::OffSchedule]);

    // A version that takes an epoch back.
    let version = forger.sign_manifest(&epochs[..1]);
    let leaf = forger.manifest_leaf(version);
    forger.round(vec![leaf]);
    let third = forger.find(2, |leaf| matches!(leaf, Leaf::Manifest(_)));
    let report = audit_forged(&forger);
    assert_eq!(only(&report, Kind::ManifestBroken).index, Some(third));

    // A version that is shown with another content, and one that is not shown.
    let mut other = forger.clone();
    other.manifests.remove(&3);
    other.sign_manifest(&epochs[..2]);
    assert_eq!(only(&audit_forged(&other), Kind::ManifestInvalid).index, Some(third));
    other.manifests.remove(&3);
    assert_eq!(only(&audit_forged(&other), Kind::ManifestMissing).index, Some(third));
}

/// A vendor ends the life of a key after the fact, so that what was paid on the days before is good no more. The ledger had come further.
#[test]
fn a_manifest_that_takes_days_back_is_named() {
    let ended_on = |day: u32| {
        let mut forger = Forger::opened();
        let sold = forger.tally(TallyKind::Sold, FIRST_DAY + 20, None, EPOCH, &[(0, 1)]);
        let sales = forger.sales(FIRST_DAY + 20, None, false, 1);
        forger.round(vec![sold, sales]);
        let mut ended = windows(FIRST_DAY);
        ended.issue_until = Day(FIRST_DAY + day).start();
        (ended.renew_from, ended.spend_until) = (ended.issue_until, ended.issue_until);
        let version = forger.sign_manifest(&[
            (EPOCH, KeyUse::Production, ended, &[(0, 0), (3, 1)]),
            (2, KeyUse::Test, windows(FIRST_DAY), &[(0, 2)]),
        ]);
        let leaf = forger.manifest_leaf(version);
        forger.round(vec![leaf]);
        audit_forged(&forger)
    };
    let report = ended_on(18);
    let finding = only(&report, Kind::ManifestBroken);
    assert!(finding.detail.contains("had passed while the held version"), "{}", finding.detail);
    kinds(&ended_on(20), &[]);
}

#[test]
fn a_key_that_signs_off_schedule_is_named() {
    let mut forger = Forger::honest();
    let early = forger.find(1, |leaf| {
        matches!(leaf, Leaf::Tally(tally) if tally.kind == TallyKind::Sold && tally.epoch == EPOCH || is_tally_of(TallyKind::Reissued)(leaf))
    });
    replace(&mut forger, early, |leaf| tally_mut(leaf).day = Day(FIRST_DAY + 20));
    let report = audit_forged(&forger);
    assert_eq!(only(&report, Kind::IssuedOffSchedule).index, Some(early));
}

#[test]
fn what_was_issued_before_there_was_a_ledger_is_not_off_schedule() {
    // A database that is older than its ledger: its sums have the day on which the ledger begins, long after the epoch's last.
    let begun = FIRST_DAY + 50;
    let ledger = |recorded: u32| {
        let mut forger = Forger::new();
        let version =
            forger.sign_manifest(&[(EPOCH, KeyUse::Production, windows(FIRST_DAY), &[(0, 0)])]);
        let manifest = forger.manifest_leaf(version);
        let contract = forger.contract(0, 1, begun - 3, 2_000);
        let sales = forger.sales(begun, None, false, 250);
        let sold = forger.tally(TallyKind::Sold, recorded, None, EPOCH, &[(0, 250)]);
        forger.round(vec![manifest, contract, sales, sold]);
        forger
    };
    kinds(&audit_forged(&ledger(begun)), &[]);
    // On the next day there is no such excuse.
    only(&audit_forged(&ledger(begun + 1)), Kind::IssuedOffSchedule);
}

#[test]
fn what_a_manifest_names_does_not_hold_for_leaves_before_it() {
    let mut forger = Forger::opened();
    let sold = forger.tally(TallyKind::Sold, FIRST_DAY + 31, None, NEXT_EPOCH, &[(0, 1)]);
    let sales = forger.sales(FIRST_DAY + 31, None, false, 1);
    forger.round(vec![sales, sold]);
    let at = forger.leaves.len() as u64 - 1;
    let at = (0..=at)
        .rev()
        .find(|at| is_tally_of(TallyKind::Sold)(&forger.leaves[*at as usize]))
        .unwrap();
    // In the same bundle, and behind it.
    forger.next_epoch();
    assert!(forger.leaves.len() <= 256);
    assert_eq!(only(&audit_forged(&forger), Kind::KeyUnlogged).index, Some(at));
}

#[test]
fn issuance_that_is_understated_is_named_where_it_shows() {
    let mut forger = Forger::honest();
    let sold = forger.find(0, is_tally_of(TallyKind::Sold));
    replace(&mut forger, sold, |leaf| tally_mut(leaf).counts[0].certificates = 100);
    let report = audit_forged(&forger);
    let finding = only(&report, Kind::IssuanceUnderstated);
    // The 101st certificate of one credit of this epoch.
    let of_one = |leaf: &Leaf| {
        let ones = scrip_auditor::testing::test_key(0).id();
        matches!(leaf, Leaf::Redemption(one) if one.item.token.key_id == ones)
    };
    assert_eq!(finding.index, Some(forger.find(100, of_one)));
    assert!(finding.detail.contains("100 issued"), "{}", finding.detail);
    kinds(&report, &[Kind::IssuanceUnderstated, Kind::ExpiredWrong]);
}

#[test]
fn more_issued_than_granted_is_named() {
    let mut forger = Forger::honest();
    let sold = forger.find(0, is_tally_of(TallyKind::Sold));
    let sales = forger.find(0, |leaf| matches!(leaf, Leaf::Sales(_)));
    if let Leaf::Sales(sales) = &mut forger.leaves[sales as usize] {
        sales.credits = Credits(100);
    }
    let report = audit_forged(&forger);
    let finding = only(&report, Kind::GrantsExceeded);
    assert_eq!(finding.index, Some(sold));
    kinds(&report, &[Kind::GrantsExceeded]);
}

#[test]
fn renewals_that_give_more_than_they_take_are_named() {
    let mut forger = Forger::honest();
    let reissued = forger.find(0, is_tally_of(TallyKind::Reissued));
    replace(&mut forger, reissued, |leaf| tally_mut(leaf).counts[0].certificates = 16);
    let report = audit_forged(&forger);
    let finding = only(&report, Kind::RenewalsUnbalanced);
    assert_eq!(finding.index, Some(reissued));
    assert!(finding.detail.contains("1 more were issued than renewed"), "{}", finding.detail);
}

#[test]
fn a_wrong_statement_is_named_line_by_line() {
    let mut forger = Forger::honest();
    let at = forger.find(
        1,
        |leaf| matches!(leaf, Leaf::Statement(one) if one.unverified().operator_id == operator(0)),
    );
    let mut said = match &forger.leaves[at as usize] {
        Leaf::Statement(statement) => statement.unverified().clone(),
        _ => unreachable!(),
    };
    said.earned[0].certificates -= 5;
    said.settled[0].credits = Credits(said.settled[0].credits.0 - 5);
    said.total -= 5 * 2_000 * 7_000 / 10_000;
    let signed = said.clone().sign(&receipt_key()).unwrap();
    replace(&mut forger, at, |leaf| *leaf = Leaf::Statement(signed));
    let report = audit_forged(&forger);
    let finding = only(&report, Kind::StatementWrong);
    assert_eq!(
        (finding.index, finding.operator, finding.statement),
        (Some(at), Some(operator(0)), Some(2))
    );
    let line = "contract 1, epoch 1, denomination 1: it says 25 certificates, and the ledger 30";
    assert_eq!(finding.detail, line);
    kinds(&report, &[Kind::StatementWrong]);

    // The right lines, and a wrong sum.
    let mut forger = Forger::honest();
    let mut said = match &forger.leaves[at as usize] {
        Leaf::Statement(statement) => statement.unverified().clone(),
        _ => unreachable!(),
    };
    said.total += 1;
    let signed = said.clone().sign(&receipt_key()).unwrap();
    replace(&mut forger, at, |leaf| *leaf = Leaf::Statement(signed));
    let finding = only(&audit_forged(&forger), Kind::StatementWrong);
    assert!(finding.detail.starts_with("its total is"), "{}", finding.detail);

    // A gap between two statements, in which leaves are never paid.
    let mut forger = Forger::honest();
    said.total -= 1;
    said.from += 16;
    let signed = said.sign(&receipt_key()).unwrap();
    replace(&mut forger, at, |leaf| *leaf = Leaf::Statement(signed.clone()));
    let finding = only(&audit_forged(&forger), Kind::StatementOrder);
    assert_eq!((finding.index, finding.statement), (Some(at), Some(2)));

    // One that the vendor did not sign.
    let mut forger = Forger::honest();
    let mut bytes = match &forger.leaves[at as usize] {
        Leaf::Statement(statement) => statement.bytes().to_vec(),
        _ => unreachable!(),
    };
    *bytes.last_mut().unwrap() ^= 1;
    let unsigned = SignedStatement::decode(&bytes).unwrap();
    replace(&mut forger, at, |leaf| *leaf = Leaf::Statement(unsigned));
    assert_eq!(only(&audit_forged(&forger), Kind::StatementSignature).index, Some(at));
}

#[test]
fn a_receipt_that_is_left_out_is_named() {
    let forger = Forger::honest();
    let receipts = tempfile::tempdir().unwrap();
    forger.write_receipts(receipts.path());
    // The vendor drops a certificate of a batch and its tally's count, and signs everything anew.
    let mut forged = forger.clone();
    let at = forged.find(0, is_redemption);
    let tally = forged.find(0, is_tally_of(TallyKind::Redeemed));
    forged.leaves[at as usize] = Leaf::Cover([5; 32]);
    replace(&mut forged, tally, |leaf| tally_mut(leaf).counts[0].certificates -= 1);
    let directory = tempfile::tempdir().unwrap();
    forged.write(directory.path());
    let mut options = options(&forged);
    options.receipts = Some(receipts.path().to_owned());
    let report = audit_dir(directory.path(), &options);
    let finding = only(&report, Kind::ReceiptMissing);
    assert_eq!((finding.index, finding.operator), (Some(at), Some(operator(0))));
    assert!(report.found(Kind::Forked).count() > 0, "and its checkpoint is of another history");

    std::fs::write(receipts.path().join("made-up.receipt"), b"nothing").unwrap();
    let report = audit_dir(directory.path(), &options);
    assert!(only(&report, Kind::ReceiptInvalid).detail.contains("made-up.receipt"));
}

#[test]
fn a_commitment_that_does_not_open_is_named() {
    let mut forger = Forger::honest();
    let at = forger.find(1, |leaf| matches!(leaf, Leaf::Commitment(_)));
    let other = forger.find(0, |leaf| matches!(leaf, Leaf::Commitment(_)));
    let Leaf::Commitment(first) = forger.leaves[other as usize].clone() else { unreachable!() };
    if let Leaf::Commitment(commitment) = &mut forger.leaves[at as usize] {
        commitment.commitment = first.commitment;
    }
    let report = audit_forged(&forger);
    assert_eq!(only(&report, Kind::CommitmentWrong).index, Some(at));
    kinds(&report, &[Kind::CommitmentWrong]);

    // One that is not there, and so one that speaks for nothing.
    let mut forger = Forger::honest();
    forger.leaves[at as usize] = Leaf::Cover([4; 32]);
    let tally = forger.find(0, is_tally_of(TallyKind::Redeemed));
    assert_eq!(only(&audit_forged(&forger), Kind::CommitmentMissing).index, Some(tally));
    let mut forger = Forger::honest();
    forger.leaves[tally as usize] = Leaf::Cover([4; 32]);
    assert_eq!(only(&audit_forged(&forger), Kind::CommitmentOrphan).index, Some(at));
}

#[test]
fn a_tally_that_does_not_match_is_named() {
    let mut forger = Forger::honest();
    let tally = forger.find(1, is_tally_of(TallyKind::Redeemed));
    replace(&mut forger, tally, |leaf| tally_mut(leaf).counts[0].certificates = 49);
    let report = audit_forged(&forger);
    let finding = only(&report, Kind::TallyMismatch);
    assert_eq!(finding.operator, Some(operator(1)));
    let first = forger
        .find(0, |leaf| matches!(leaf, Leaf::Redemption(one) if one.operator_id == operator(1)));
    assert_eq!(finding.index, Some(first), "where the batch begins");
    assert!(finding.detail.contains("1 more in redemptions than in tallies"), "{}", finding.detail);
    kinds(&report, &[Kind::TallyMismatch]);
}

#[test]
fn invalid_signatures_are_named_though_the_vendor_signed_everything_anew() {
    let mut forger = Forger::honest();
    let (certificate, spend, key) = (
        forger.find(5, is_redemption),
        forger.find(85, is_redemption),
        forger.find(90, is_redemption),
    );
    redemption_mut(&mut forger.leaves[certificate as usize]).item.token.authenticator[9] ^= 1;
    redemption_mut(&mut forger.leaves[spend as usize]).item.signature =
        Signature::from_bytes([1; 64]);
    redemption_mut(&mut forger.leaves[key as usize]).item.token.nonce = [0; 32];
    let renewal = forger.find(3, |leaf| matches!(leaf, Leaf::Renewal(_)));
    if let Leaf::Renewal(renewal) = &mut forger.leaves[renewal as usize] {
        renewal.signature = Signature::from_bytes([2; 64]);
    }
    let report = audit_forged(&forger);
    assert_eq!(only(&report, Kind::CertificateSignature).index, Some(certificate));
    assert_eq!(only(&report, Kind::CertificateSignature).operator, Some(operator(0)));
    assert_eq!(only(&report, Kind::CertificateKey).index, Some(key));
    let spends: Vec<_> = report.found(Kind::SpendSignature).map(|one| one.index).collect();
    assert_eq!(spends, [Some(spend), Some(renewal)]);
}

#[test]
fn what_comes_after_the_end_of_an_epoch_is_named() {
    let mut forger = Forger::honest();
    forger.redeem(0, FIRST_DAY + 60, EPOCH, &[(3, 2)]);
    let first = forger.find(
        0,
        |leaf| matches!(leaf, Leaf::Redemption(one) if one.item.day == Day(FIRST_DAY + 60)),
    );
    let report = audit_forged(&forger);
    let found: Vec<_> = report.found(Kind::AfterExpiry).map(|one| one.index.unwrap()).collect();
    assert_eq!(found[..2], [first, first + 1]);
    assert_eq!(report.found(Kind::AfterExpiry).next().unwrap().operator, Some(operator(0)));

    // Without the tally that ends it, the day gives it away.
    let mut forger = Forger::opened();
    forger.redeem(0, FIRST_DAY + 60, EPOCH, &[(3, 2)]);
    let tally = forger.find(0, is_tally_of(TallyKind::Redeemed));
    replace(&mut forger, tally, |leaf| tally_mut(leaf).day = Day(FIRST_DAY + 75));
    assert_eq!(only(&audit_forged(&forger), Kind::AfterExpiry).index, Some(tally));

    // Spent when nothing could be spent any more.
    let mut forger = Forger::opened();
    forger.redeem(1, FIRST_DAY + 63, EPOCH, &[(0, 1)]);
    let report = audit_forged(&forger);
    assert_eq!(only(&report, Kind::DayOutside).operator, Some(operator(1)));

    // More or less written off than was left.
    let mut forger = Forger::honest();
    let expired = forger.find(0, is_tally_of(TallyKind::Expired));
    replace(&mut forger, expired, |leaf| tally_mut(leaf).counts[1].certificates = 40);
    let finding = only(&audit_forged(&forger), Kind::ExpiredWrong);
    assert_eq!(finding.index, Some(expired));
    assert!(
        finding.detail.contains("40 of 8 credits, and left are 70 of 1 credit, 50 of 8 credits"),
        "{}",
        finding.detail
    );
}

#[test]
fn tiles_that_contradict_the_leaves_are_named_and_so_are_public_bundles() {
    let forger = Forger::honest();
    let directory = tempfile::tempdir().unwrap();
    forger.write(directory.path());
    let path = directory.path().join("tile/0/001");
    let mut tile = std::fs::read(&path).unwrap();
    tile[32 * 44] ^= 1;
    std::fs::write(&path, tile).unwrap();
    let report = audit_dir(directory.path(), &options(&forger));
    assert_eq!(only(&report, Kind::TileWrong).index, Some(256 + 44));
    kinds(&report, &[Kind::TileWrong]);

    let directory = tempfile::tempdir().unwrap();
    forger.write(directory.path());
    let upper = std::fs::read_dir(directory.path().join("tile/1")).unwrap().next().unwrap();
    let upper = std::fs::read_dir(upper.unwrap().path()).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&upper, vec![0; std::fs::metadata(&upper).unwrap().len() as usize]).unwrap();
    let report = audit_dir(directory.path(), &options(&forger));
    assert!(only(&report, Kind::TileWrong).detail.contains("tile/1/000.p/"));

    let directory = tempfile::tempdir().unwrap();
    forger.write(directory.path());
    let public = directory.path().join("tile/public/000");
    std::fs::write(&public, b"").unwrap();
    let report = audit_dir(directory.path(), &options(&forger));
    assert_eq!(only(&report, Kind::PublicWrong).index, Some(0), "the first manifest");
    std::fs::remove_file(&public).unwrap();
    let report = audit_dir(directory.path(), &options(&forger));
    assert_eq!((report.verdict, report.exit_code), ("incomplete", 4));
    assert!(matches!(report.verdict_of(Check::Public), Some(Verdict::NotChecked(_))));
}

#[test]
fn a_checkpoint_that_the_vendor_did_not_sign_is_named() {
    let forger = Forger::honest();
    let directory = tempfile::tempdir().unwrap();
    forger.write(directory.path());
    let path = directory.path().join("checkpoint");
    let note = std::fs::read_to_string(&path).unwrap();
    let size = forger.leaves.len();
    let text = note.replacen(&format!("\n{size}\n"), &format!("\n{}\n", size - 16), 1);
    std::fs::write(&path, &text).unwrap();
    let report = audit_dir(directory.path(), &options(&forger));
    assert_eq!(only(&report, Kind::CheckpointSignature).evidence, [text]);
    assert_eq!(report.verdict_of(Check::Root), Some(&Verdict::Fail));
}

#[test]
fn contracts_follow_each_other() {
    let mut forger = Forger::opened();
    let third = forger.contract(0, 3, FIRST_DAY + 2, 1);
    forger.round(vec![third]);
    let at = forger.find(2, |leaf| matches!(leaf, Leaf::Contract(_)));
    let finding = only(&audit_forged(&forger), Kind::ContractOrder);
    assert_eq!((finding.index, finding.operator), (Some(at), Some(operator(0))));
}

/// Redemptions, renewals, and two editions of the list, of which the second cheats. Gives the file of the first and of the second.
fn listed(cheat: ListCheat) -> (Forger, [Vec<u8>; 2]) {
    let mut forger = Forger::opened();
    forger.redeem(0, FIRST_DAY + 5, EPOCH, &[(0, 60), (3, 20)]);
    let first = forger.list(EPOCH, 1, FIRST_DAY + 6, ListCheat::Honest);
    forger.redeem(1, FIRST_DAY + 6, EPOCH, &[(0, 50)]);
    forger.next_epoch();
    forger.renew(FIRST_DAY + 45, 15);
    let second = forger.list(EPOCH, 2, FIRST_DAY + 46, cheat);
    forger.redeem(1, FIRST_DAY + 46, EPOCH, &[(0, 5)]);
    (forger, [first, second])
}

/// A restored wallet would spend again what was left out, give up what is one too many, and ask in vain for what was not renewed.
#[test]
fn a_list_of_voided_certificates_that_is_not_true_is_found() {
    let (forger, _) = listed(ListCheat::Honest);
    let report = audit_forged(&forger);
    kinds(&report, &[]);
    assert!(
        report.checks.iter().all(|one| one.check != Check::Lists || one.verdict == Verdict::Pass)
    );
    for (cheat, kind) in [
        (ListCheat::LeftOut, Kind::ListWrong),
        (ListCheat::OneTooMany, Kind::ListWrong),
        (ListCheat::OtherKind, Kind::ListWrong),
        (ListCheat::OtherPadding, Kind::ListWrong),
        (ListCheat::TooEarly, Kind::ListLate),
        (ListCheat::NoSalt, Kind::ListSalt),
    ] {
        let (forger, _) = listed(cheat);
        let report = audit_forged(&forger);
        let found: Vec<_> = report.findings.iter().map(|one| one.finding.kind).collect();
        assert!(found.contains(&kind), "{cheat:?}: {}", all(&report));
        assert!(report.exit_code == 3 && found.iter().all(|kind| kind.check() == Check::Lists));
    }
    let (forger, _) = listed(ListCheat::OutOfOrder);
    assert!(audit_forged(&forger).found(Kind::ListOrder).next().is_some());
}

/// What is served in the place of the list that the ledger commits to: one that nobody signed, another one, and none. The edition before
/// the newest may be served for a while; that it is old, wallets see by themselves.
#[test]
fn a_published_list_that_is_another_one_is_found() {
    let (forger, [old, new]) = listed(ListCheat::Honest);
    let (_, [_, other]) = listed(ListCheat::LeftOut);
    let mut unsigned = new.clone();
    unsigned[20] ^= 1;
    let served = |file: &[u8]| {
        let directory = tempfile::tempdir().unwrap();
        forger.write(directory.path());
        let lists = directory.path().join(format!("voided/{EPOCH}"));
        std::fs::create_dir_all(&lists).unwrap();
        std::fs::write(lists.join("newest"), file).unwrap();
        audit_dir(directory.path(), &options(&forger))
    };
    kinds(&served(&new), &[]);
    kinds(&served(&old), &[]);
    for (file, what) in
        [(other, "not the edition"), (unsigned, "signed"), (b"no list".to_vec(), "read")]
    {
        let finding = only(&served(&file), Kind::ListFile);
        assert!(finding.detail.contains(what), "{finding:?}");
    }
}

/// Each edition is made again once, also where an audit ends between its leaves and the next goes on.
#[test]
fn lists_are_checked_across_audits() {
    let (whole, _) = listed(ListCheat::LeftOut);
    let state = tempfile::tempdir().unwrap();
    let (mut early, _) = listed(ListCheat::Honest);
    let second = whole
        .leaves
        .iter()
        .position(|leaf| matches!(leaf, Leaf::Voided(list) if list.edition == 2));
    early.leaves.truncate(second.unwrap() / 16 * 16);
    for (forger, code) in [(&early, 0), (&whole, 3)] {
        let directory = tempfile::tempdir().unwrap();
        forger.write(directory.path());
        let mut options = options(forger);
        options.state = Some(state.path().to_owned());
        let report = audit_dir(directory.path(), &options);
        assert_eq!(report.exit_code, code, "{}", all(&report));
    }
}
