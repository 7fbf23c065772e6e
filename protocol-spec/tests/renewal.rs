//! What a vendor signs about renewals: whom it binds, when it is untrue, and what shows that it was broken.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod world;

use scrip_protocol::id::VendorId;
use scrip_protocol::issuance::{BlindedItem, Blinding};
use scrip_protocol::judge::{Judge, Justified, NoDoubleSpend, Refusal, WindowHistory};
use scrip_protocol::keys::SigningKey;
use scrip_protocol::ledger::{Leaf, Redemption, RenewalEvidence};
use scrip_protocol::manifest::Manifest;
use scrip_protocol::problem::{Problem, ProblemType};
use scrip_protocol::redemption::ConflictProof;
use scrip_protocol::renewal::{
    Complained, Complaint, ComplaintError, RenewalItem, RenewalRefusal, RenewalRefusalError,
    RenewalResult, RenewalSpent, RenewalSpentError,
};
use scrip_protocol::seed::Counter;
use scrip_protocol::spend::{Binding, SpendKind};
use scrip_protocol::time::Day;
use world::{TODAY, World};

#[test]
fn a_refusal_holds_for_its_vendor_its_renewal_and_its_reason() {
    let world = World::new();
    let (vendor, receipt) = (world.vendor_id(), world.receipt.public());
    let (old, item, ..) = world.renewal();
    let (refusal, asked) = (world.renewal_refusal(), item.identity(&vendor));
    let (document, root) = (refusal.problem(&world.receipt), world.root.public());
    let of = |problem: &Problem, key| RenewalRefusal::of(problem, key, &vendor, &asked);
    let (found, bytes) = of(&document, &receipt).unwrap();
    assert_eq!((found, bytes), (refusal, refusal.sign(&world.receipt)));
    assert!(of(&Problem::new(refusal.problem), &receipt).is_none(), "unsigned");
    assert!(of(&document, &root).is_none(), "another key of the vendor's");
    let other_reason = Problem { problem: ProblemType::Malformed, ..document.clone() };
    assert!(of(&other_reason, &receipt).is_none(), "another reason");
    let other = RenewalRefusal { binding: Binding::from_bytes([7; 32]), ..refusal };
    assert!(of(&other.problem(&world.receipt), &receipt).is_none(), "another renewal");
    let other = RenewalRefusal { certificate_key: receipt, ..refusal };
    assert!(of(&other.problem(&world.receipt), &receipt).is_none(), "another certificate");
    let other = RenewalRefusal { vendor_id: VendorId::from_bytes([9; 32]), ..refusal };
    assert!(of(&other.problem(&world.receipt), &receipt).is_none(), "another vendor");
    let forged = refusal.sign(&SigningKey::from_seed(&[0x66; 32]));
    assert_eq!(RenewalRefusal::open(&forged, &receipt), Err(RenewalRefusalError::Signature));
    // The same blinded message for another certificate of the same holder is another binding.
    let mut token = old.token().clone();
    token.key_id = world.certificate(1, 1).token().key_id;
    let twin = RenewalItem { token, ..item };
    assert_ne!(twin.binding(&vendor), refusal.binding);
}

#[test]
fn only_what_never_passes_is_a_reason() {
    let world = World::new();
    for problem in ProblemType::ALL.iter().copied() {
        let refusal = RenewalRefusal { problem, ..world.renewal_refusal() };
        let opened = RenewalRefusal::open(&refusal.sign(&world.receipt), &world.receipt.public());
        assert_eq!(opened.is_ok(), RenewalRefusal::REASONS.contains(&problem), "{problem:?}");
    }
}

#[test]
fn a_refusal_is_untrue_where_everything_that_it_could_rest_on_holds() {
    let world = World::new();
    let (manifest, _) = world.next_epoch();
    let (old, item, ..) = world.renewal();
    let mut history = WindowHistory::default();
    history.add(&manifest);
    let judge = Judge::new(&manifest, &history);
    let windows = manifest.key(&item.token.key_id).unwrap().windows();
    let (opens, ends) = (windows.renew_from.day(), windows.spend_until.day());
    let version = manifest.version();
    let refused = |problem, day, manifest_version| RenewalRefusal {
        problem,
        day,
        manifest_version,
        ..world.renewal_refusal()
    };
    let judged = |item: &RenewalItem, problem, day| {
        judge.renewal_refusal(item, &refused(problem, day, version))
    };
    let window = |decided| Refusal::True(Justified::Window { decided });

    let closed = ProblemType::RenewalClosed;
    for day in [Day(opens.0 - 1), ends, Day(ends.0 + 90)] {
        assert_eq!(judged(&item, closed, day), window(day));
    }
    for day in [opens, Day(ends.0 - 1)] {
        assert_eq!(judged(&item, closed, day), Refusal::False);
    }
    let by_other = judge.renewal_refusal(&item, &refused(closed, opens, version + 1));
    assert_eq!(by_other, Refusal::ByManifest(version + 1));

    let issues = manifest.key(&item.blinded.key_id).unwrap().windows();
    let outside = ProblemType::KeyOutsideWindow;
    let (first, after) = (issues.issue_from.day(), Day(issues.issue_until.day().0 + 1));
    assert_eq!(judged(&item, outside, first), Refusal::False);
    assert_eq!(judged(&item, outside, after), window(after));

    let (malformed, range) = (ProblemType::Malformed, ProblemType::BlindedMessageOutOfRange);
    assert_eq!(judged(&item, malformed, opens), Refusal::False);
    assert_eq!(judged(&item, range, opens), Refusal::False);
    let renewed_as = |blinded: BlindedItem| old.renew(&world.vendor_id(), &blinded);
    let key = manifest.key(&item.token.key_id).unwrap();
    let same = Blinding::start(&world.seed, &manifest, key, Counter::new(0, 0)).unwrap();
    let same = renewed_as(same.item().clone());
    assert_eq!(judged(&same, malformed, opens), Refusal::True(Justified::Pair));
    let modulus = *manifest.key(&item.blinded.key_id).unwrap().public().modulus();
    let (mut less_1, mut less_2, mut one, mut two) = (modulus, modulus, [0; 256], [0; 256]);
    (less_1[255], less_2[255], one[255], two[255]) = (modulus[255] - 1, modulus[255] - 2, 1, 2);
    for (blinded_message, is_out) in [
        ([0xff; 256], true),
        (modulus, true),
        (less_1, true),
        (less_2, false),
        (two, false),
        (one, true),
        ([0; 256], true),
    ] {
        let edge = renewed_as(BlindedItem { blinded_message, ..item.blinded.clone() });
        let expected = if is_out { Refusal::True(Justified::OutOfRange) } else { Refusal::False };
        assert_eq!(judged(&edge, range, opens), expected);
    }

    // What does not verify is refused rightly.
    let mut spoiled = item.clone();
    spoiled.token.authenticator[7] ^= 1;
    assert!(matches!(judged(&spoiled, closed, opens), Refusal::True(Justified::Rejected(_))));
}

/// A vendor closes a window, and refuses by that what came when it was open.
#[test]
fn what_was_refused_while_an_earlier_version_stood_is_judged_by_that() {
    let world = World::new();
    let (manifest, _) = world.next_epoch();
    let (_, item, ..) = world.renewal();
    let windows = manifest.key(&item.token.key_id).unwrap().windows();
    let opens = windows.renew_from.day();
    let modulus = *manifest.key(&item.blinded.key_id).unwrap().public().modulus();
    let mut closed = world.next_epoch_body(modulus);
    closed.version += 1;
    let first = &mut closed.epochs[0].windows;
    (first.renew_from, first.spend_until) = (opens.start(), opens.start());
    let closed = Manifest::open(&closed.sign(&world.root), &world.vendor_id()).unwrap();
    let refusal = RenewalRefusal {
        day: Day(opens.0 + 3),
        manifest_version: closed.version(),
        ..world.renewal_refusal()
    };
    let mut history = WindowHistory::default();
    history.add(&manifest);
    history.add(&closed);
    let judged =
        |history: &WindowHistory| Judge::new(&closed, history).renewal_refusal(&item, &refusal);
    let right = Refusal::True(Justified::Window { decided: refusal.day });
    assert_eq!(judged(&history), right);
    // In the course of that day it may have been closed.
    history.stood(manifest.version(), refusal.day);
    assert_eq!(judged(&history), right);
    history.stood(manifest.version(), Day(refusal.day.0 + 1));
    assert_eq!(judged(&history), Refusal::False);
}

#[test]
fn a_promise_is_broken_by_the_renewal_that_it_refused_and_by_nothing_else() {
    let world = World::new();
    let (old, item, ..) = world.renewal();
    let refusal = world.renewal_refusal();
    let renewal = RenewalEvidence {
        token: old.token().clone(),
        day: TODAY,
        binding: refusal.binding,
        signature: item.signature,
    };
    let leaf = |renewal: &RenewalEvidence| Leaf::Renewal(Box::new(renewal.clone()));
    assert!(refusal.is_broken_by(&leaf(&renewal)));
    let binding = Binding::from_bytes([1; 32]);
    assert!(!refusal.is_broken_by(&leaf(&RenewalEvidence { binding, ..renewal })));
    let proof = ConflictProof {
        certificate_key: old.key(),
        kind: SpendKind::Renewal,
        other_binding: refusal.binding,
        other_signature: item.signature,
    };
    assert!(refusal.is_shown_by(&proof));
    assert!(!refusal.is_shown_by(&ConflictProof { kind: SpendKind::Spend, ..proof }));
    assert!(!refusal.is_shown_by(&ConflictProof { other_binding: binding, ..proof }));
    let certificate_key = world.certificate(0, 1).key();
    assert!(!refusal.is_shown_by(&ConflictProof { certificate_key, ..proof }));
}

#[test]
fn an_answer_that_a_certificate_was_spent_is_judged_as_a_double_spend() {
    let world = World::new();
    let (vendor, receipt) = (world.vendor_id(), world.receipt.public());
    let (old, item, ..) = world.renewal();
    let signed = world.renewal_spent();
    assert_eq!(signed.verify(&world.root.public()), Err(RenewalSpentError::Signature));
    let spent = signed.verify(&receipt).unwrap();
    assert_eq!(spent.asked(), item.identity(&vendor));
    assert_eq!(spent.checkpoint(&receipt).unwrap().checkpoint().size, 5);
    let beyond = RenewalSpent { leaf: 5, ..spent.clone() };
    let error = beyond.checkpoint(&receipt).unwrap_err();
    assert_eq!(error, RenewalSpentError::Leaf { leaf: 5, size: 5 });
    let other = spent.checkpoint(&world.root.public());
    assert!(matches!(other, Err(RenewalSpentError::Checkpoint(_))));

    let mut history = WindowHistory::default();
    history.add(&world.manifest);
    let judge = Judge::new(&world.manifest, &history);
    let paid = world.paid_request(std::slice::from_ref(&old), 1);
    let redemption = paid.payment.evidence(&paid.resource_request).remove(0).item;
    let leaf =
        |item| Leaf::Redemption(Box::new(Redemption { operator_id: world.operator_id(), item }));
    let (own, double) = (spent.asked(), spent.double_spend());
    assert_eq!(judge.proof(&own, &double), Ok(()));
    assert_eq!(judge.winner(&own, &double, &leaf(redemption.clone())), Ok(()));
    let elsewhere = world.paid_request(std::slice::from_ref(&old), 2);
    let elsewhere = elsewhere.payment.evidence(&elsewhere.resource_request).remove(0).item;
    let judged = judge.winner(&own, &double, &leaf(elsewhere));
    assert_eq!(judged, Err(NoDoubleSpend::OtherLeaf));
}

/// A wallet that asks for a renewal is not told that it was spent with what it signed for a renewal.
#[test]
fn a_renewal_is_not_answered_by_another_renewal() {
    let world = World::new();
    let spent = world.renewal_spent().verify(&world.receipt.public()).unwrap().clone();
    let (_, item, ..) = world.renewal();
    let proof = ConflictProof {
        kind: SpendKind::Renewal,
        other_binding: item.binding(&world.vendor_id()),
        other_signature: item.signature,
        ..spent.proof
    };
    let answer = RenewalResult::Spent(RenewalSpent { proof, ..spent }.sign(&world.receipt));
    assert!(RenewalResult::decode(&answer.encode()).is_err());
}

#[test]
fn a_complaint_is_one_only_with_an_answer_of_the_vendors_to_that_renewal() {
    let world = World::new();
    let (vendor, keys) = (world.vendor_id(), [world.receipt.public()]);
    let (old, item, ..) = world.renewal();
    let (item, refusal) = (item.encode(), world.renewal_refusal().sign(&world.receipt));
    let spent = world.renewal_spent().encode();
    let refused = Complaint::of_refusal(vendor, &item, &refusal, None);
    let again = Complaint::from_json(&serde_json::to_vec(&refused).unwrap()).unwrap();
    assert_eq!(again, refused);
    assert!(matches!(refused.open(&keys), Ok(Complained::Refused(..))));
    let was_spent = Complaint::of_spent(vendor, &item, &spent);
    assert!(matches!(was_spent.open(&keys), Ok(Complained::Spent(_))));

    let error = |complaint: &Complaint| complaint.open(&keys).err().unwrap();
    let both = Complaint { spent: was_spent.spent.clone(), ..refused.clone() };
    assert_eq!(error(&both), ComplaintError::Format);
    assert_eq!(error(&Complaint { refusal: None, ..refused.clone() }), ComplaintError::Format);
    let (manifest, _) = world.next_epoch();
    let key = manifest.keys().find(|key| key.epoch() == 8).unwrap();
    let other = Blinding::start(&world.seed, &manifest, key, Counter::new(5, 5)).unwrap();
    let other = old.renew(&vendor, other.item()).encode();
    for complaint in [
        Complaint::of_refusal(vendor, &other, &refusal, None),
        Complaint::of_spent(vendor, &other, &spent),
    ] {
        assert_eq!(error(&complaint), ComplaintError::OtherRenewal);
    }
    let others = world.renewal_refusal().sign(&world.root);
    let forged = Complaint::of_refusal(vendor, &item, &others, None);
    assert_eq!(error(&forged), RenewalRefusalError::Signature.into());
    let old_format = Complaint { format: "scrip/v1 refused and redeemed".to_owned(), ..refused };
    let json = serde_json::to_vec(&old_format).unwrap();
    assert_eq!(Complaint::from_json(&json), Err(ComplaintError::Format));
}
