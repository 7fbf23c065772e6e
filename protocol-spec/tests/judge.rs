//! What of a vendor's answers can be shown to be untrue, and what cannot (redemption.md, "Judging an outcome").

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod world;

use scrip_protocol::check::Rejection;
use scrip_protocol::id::{BatchId, KeyId};
use scrip_protocol::judge::{Judge, Justified, NoDoubleSpend, Refusal, Shown, WindowHistory};
use scrip_protocol::keys::Signature;
use scrip_protocol::ledger::{Leaf, Redemption, RenewalEvidence};
use scrip_protocol::manifest::Manifest;
use scrip_protocol::redemption::{
    ConflictProofError, DoubleSpend, InvalidReason, ItemResult, RedemptionBatch, RedemptionItem,
    RedemptionOutcome, Winner, batch_digest,
};
use scrip_protocol::spend::SpendKind;
use scrip_protocol::time::Day;
use world::{TODAY, World};

const REASONS: [InvalidReason; 6] = [
    InvalidReason::Challenge,
    InvalidReason::Key,
    InvalidReason::Day,
    InvalidReason::CertificateKey,
    InvalidReason::CertificateSignature,
    InvalidReason::SpendSignature,
];

fn item(world: &World, exponent: u8, position: u16, salt: u8) -> RedemptionItem {
    let paid = world.paid_request(&[world.certificate(exponent, position)], salt);
    paid.payment.evidence(&paid.resource_request).remove(0).item
}

/// The world's manifest as `change` makes it, one version later.
fn next(world: &World, change: impl FnOnce(&mut scrip_protocol::manifest::Windows)) -> Manifest {
    let mut body = world.body.clone();
    body.version += 1;
    change(&mut body.epochs[0].windows);
    Manifest::open(&body.sign(&world.root), &world.vendor_id()).unwrap()
}

fn outcome(world: &World, item: &RedemptionItem, day: Day, version: u64) -> RedemptionOutcome {
    let batch = RedemptionBatch {
        vendor_id: world.vendor_id(),
        operator_id: world.operator_id(),
        batch_id: BatchId::from_bytes([1; 16]),
        items: vec![item.clone()],
    };
    RedemptionOutcome {
        vendor_id: world.vendor_id(),
        operator_id: world.operator_id(),
        batch_digest: batch_digest(&batch.sign(&world.operator)),
        day,
        manifest_version: version,
        results: vec![ItemResult::Expired],
        leaves: Vec::new(),
        checkpoint: Vec::new(),
    }
}

/// What a refusal of `item` is, by these manifests, the newest last.
fn judged(
    world: &World,
    manifests: &[&Manifest],
    item: &RedemptionItem,
    result: ItemResult,
    (day, version): (Day, u64),
) -> Option<Refusal> {
    let mut history = WindowHistory::default();
    manifests.iter().for_each(|manifest| history.add(manifest));
    let judge = Judge::new(manifests.last().unwrap(), &history);
    let outcome = outcome(world, item, day, version);
    judge.refusal(&world.operator_id(), item, &result, &outcome)
}

#[test]
fn every_refusal_of_what_verifies_is_untrue() {
    let world = World::new();
    let item = item(&world, 0, 0, 1);
    for reason in REASONS {
        let result = ItemResult::Invalid(reason);
        let judged = judged(&world, &[&world.manifest], &item, result, (TODAY, 1));
        assert_eq!(judged, Some(Refusal::False), "{reason:?}");
    }
    for result in [ItemResult::Accepted, ItemResult::AlreadyAccepted] {
        assert_eq!(judged(&world, &[&world.manifest], &item, result, (TODAY, 1)), None);
    }
}

#[test]
fn expired_is_untrue_until_the_day_in_which_the_window_ends() {
    let world = World::new();
    let item = item(&world, 0, 0, 1);
    let end = Day(TODAY.0 - 10 + 403);
    let on =
        |day| judged(&world, &[&world.manifest], &item, ItemResult::Expired, (day, 1)).unwrap();
    assert_eq!(on(Day(end.0 - 2)), Refusal::False);
    assert_eq!(on(Day(end.0 - 1)), Refusal::False, "that day ends as the window does");
    let late = |decided| Refusal::True(Justified::Late { decided });
    assert_eq!(on(end), late(end));
    assert_eq!(on(Day(end.0 + 100)), late(Day(end.0 + 100)));
    // A window that ends within a day leaves that day to the vendor.
    let within = next(&world, |windows| {
        windows.redeem_until = windows.redeem_until.minus(1);
    });
    let day = Day(end.0 - 1);
    let judged = judged(&world, &[&within], &item, ItemResult::Expired, (day, 2));
    assert_eq!(judged, Some(late(day)));
}

#[test]
fn what_does_not_verify_is_refused_rightly_whatever_the_reason_given() {
    let world = World::new();
    let good = item(&world, 0, 0, 1);
    let with = |change: fn(&mut RedemptionItem)| {
        let mut item = good.clone();
        change(&mut item);
        item
    };
    let spoiled = [
        (with(|item| item.token.challenge_digest[0] ^= 1), Justified::Challenge),
        (with(|item| item.token.key_id = KeyId::from_bytes([9; 32])), Justified::Key),
        (with(|item| item.token.nonce = [0; 32]), Rejection::CertificateKey.into()),
        (with(|item| item.token.authenticator[9] ^= 1), Rejection::CertificateSignature.into()),
        (
            with(|item| item.signature = Signature::from_bytes([7; 64])),
            Rejection::SpendSignature.into(),
        ),
        // Another day is another binding.
        (with(|item| item.day.0 += 1), Rejection::SpendSignature.into()),
    ];
    for (item, why) in spoiled {
        for result in [ItemResult::Expired, ItemResult::Invalid(InvalidReason::Day)] {
            let judged = judged(&world, &[&world.manifest], &item, result, (TODAY, 1));
            assert_eq!(judged, Some(Refusal::True(why)), "{result:?}");
        }
    }
}

/// A vendor that revoked an epoch refuses what was spent from the second day on, and is right by the version that says so, and by no
/// other.
#[test]
fn a_day_is_judged_by_the_version_that_the_outcome_names() {
    let world = World::new();
    let item = item(&world, 0, 0, 1);
    let revoked = next(&world, |windows| {
        windows.issue_until = Day(TODAY.0 - 5).start();
        (windows.renew_from, windows.spend_until) = (windows.issue_until, windows.issue_until);
    });
    let (first, result) = (&world.manifest, ItemResult::Invalid(InvalidReason::Day));
    let by = |manifests: &[&Manifest], version| {
        judged(&world, manifests, &item, result, (TODAY, version)).unwrap()
    };
    let outside = Refusal::True(Justified::Day { day: TODAY });
    assert_eq!(by(&[first, &revoked], 2), outside);
    assert_eq!(by(&[first, &revoked], 1), Refusal::False, "it was spent before that");
    assert_eq!(by(&[first, &revoked], 0), Refusal::False, "the key was not yet in that");
    // Whoever lacks the version that is named convicts nobody.
    assert_eq!(by(&[first], 2), Refusal::ByManifest(2));
    assert_eq!(by(&[&revoked], 1), Refusal::ByManifest(1));
    // What a later version allows, an earlier one did.
    let late = next(&world, |windows| windows.spend_until = windows.spend_until.minus(1));
    assert_eq!(by(&[&late], 1), Refusal::False);
}

/// A later version takes nothing back of a day on which the vendor still went by an earlier one, whatever it says.
#[test]
fn a_day_stays_good_on_which_an_earlier_version_stood() {
    let world = World::new();
    let item = item(&world, 0, 0, 1);
    let revoked = next(&world, |windows| {
        windows.issue_until = Day(TODAY.0 - 5).start();
        (windows.renew_from, windows.spend_until) = (windows.issue_until, windows.issue_until);
    });
    let by = |manifests: &[&Manifest], stood: &[(u64, Day)]| {
        let mut history = WindowHistory::default();
        manifests.iter().for_each(|manifest| history.add(manifest));
        stood.iter().for_each(|(version, day)| history.stood(*version, *day));
        let judge = Judge::new(manifests[0], &history);
        let result = ItemResult::Invalid(InvalidReason::Day);
        let outcome = outcome(&world, &item, Day(TODAY.0 + 1), 2);
        let judged = judge.refusal(&world.operator_id(), &item, &result, &outcome).unwrap();
        let shown = judge.shown(&item, &outcome);
        assert_eq!(judged == Refusal::False, shown.is_some());
        (judged, shown)
    };
    let outside = (Refusal::True(Justified::Day { day: TODAY }), None);
    let first = &world.manifest;
    assert_eq!(by(&[first, &revoked], &[]), outside);
    assert_eq!(by(&[first, &revoked], &[(1, Day(TODAY.0 - 1))]), outside, "not for so long");
    let shown = Shown { manifest: 1, stood: Some(1) };
    for days in [&[(1, TODAY)][..], &[(1, Day(TODAY.0 + 7)), (1, Day(0))], &[(0, TODAY)]] {
        let stood = days[0].0;
        let expected = (Refusal::False, Some(Shown { stood: Some(stood), ..shown }));
        assert_eq!(by(&[first, &revoked], days), expected, "{days:?}");
        assert_eq!(by(&[first], days), expected, "without the version that is named");
    }
    // The version that is named stood itself, and the one that allows the day is not there.
    assert_eq!(by(&[first, &revoked], &[(2, TODAY)]), outside);
    assert_eq!(by(&[&revoked], &[(1, TODAY)]), outside);
}

fn redemption(world: &World, item: RedemptionItem) -> Leaf {
    Leaf::Redemption(Box::new(Redemption { operator_id: world.operator_id(), item }))
}

#[test]
fn a_double_spend_is_one_only_by_the_leaf_that_it_shows() {
    let world = World::new();
    let (own, before, other) =
        (item(&world, 0, 0, 1), item(&world, 0, 0, 2), item(&world, 0, 1, 2));
    let mut history = WindowHistory::default();
    history.add(&world.manifest);
    let judge = Judge::new(&world.manifest, &history);
    let (vendor, operator) = (world.vendor_id(), world.operator_id());
    let identity = own.identity(&vendor, &operator);
    let spend = DoubleSpend {
        certificate_key: own.token.certificate_key().unwrap(),
        other_binding: before.binding(&vendor, &operator),
        other_signature: before.signature,
        winner: Winner::Leaf(4),
    };
    assert_eq!(judge.proof(&identity, &spend), Ok(()));
    assert_eq!(judge.winner(&identity, &spend, &redemption(&world, before.clone())), Ok(()));
    let other_leaf = Err(NoDoubleSpend::OtherLeaf);
    for leaf in [redemption(&world, own.clone()), redemption(&world, other), Leaf::Cover([0; 32])] {
        assert_eq!(judge.winner(&identity, &spend, &leaf), other_leaf);
    }
    // Another signature of the same spend is the same spend.
    let resigned = RedemptionItem { signature: Signature::from_bytes([1; 64]), ..before.clone() };
    assert_eq!(judge.winner(&identity, &spend, &redemption(&world, resigned)), Ok(()));

    // One key under two denominations: two bindings, so that the second is a double spend of the first.
    let mut larger = before.clone();
    larger.token.key_id = world.certificate(1, 1).token().key_id;
    assert_ne!(larger.identity(&vendor, &operator), before.identity(&vendor, &operator));
    let of_larger = DoubleSpend { other_binding: larger.binding(&vendor, &operator), ..spend };
    assert_eq!(judge.winner(&identity, &of_larger, &redemption(&world, larger)), Ok(()));
}

#[test]
fn what_was_signed_for_a_renewal_is_no_proof_of_a_spend() {
    let world = World::new();
    let (old, asked, _, _) = world.renewal();
    let own = item(&world, 0, 0, 1);
    assert_eq!(own.token.nonce, old.token().nonce);
    let mut history = WindowHistory::default();
    history.add(&world.manifest);
    let judge = Judge::new(&world.manifest, &history);
    let binding = asked.binding(&world.vendor_id());
    let identity = own.identity(&world.vendor_id(), &world.operator_id());
    let as_spend = DoubleSpend {
        certificate_key: own.token.certificate_key().unwrap(),
        other_binding: binding,
        other_signature: asked.signature,
        winner: Winner::Leaf(0),
    };
    let refused = Err(NoDoubleSpend::Proof(ConflictProofError::Signature));
    assert_eq!(judge.proof(&identity, &as_spend), refused);
    let as_renewal = DoubleSpend { winner: Winner::Renewed(TODAY), ..as_spend };
    assert_eq!(judge.proof(&identity, &as_renewal), Ok(()));
    assert_eq!(as_renewal.proof().kind, SpendKind::Renewal);
    let leaf = Leaf::Renewal(Box::new(RenewalEvidence {
        token: old.token().clone(),
        day: TODAY,
        binding,
        signature: asked.signature,
    }));
    assert_eq!(judge.winner(&identity, &as_renewal, &leaf), Ok(()));
    assert_eq!(judge.winner(&identity, &as_spend, &leaf), Err(NoDoubleSpend::OtherLeaf));
}
