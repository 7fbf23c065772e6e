//! Redemption against a vendor in process: what goes wrong on the way touches nothing, what is proven is told until it
//! is heard, and a crash between any two steps is made good.

use std::{collections::HashSet, time::Duration};

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use scrip_protocol::{
    credits::Credits,
    id::{BatchId, OperatorId},
    issuance::Certificate,
    keys::SigningKey,
    manifest::ReceiptKeys,
    problem::ProblemType,
    redemption::{RedemptionBatch, SignedBatch},
};

use super::*;
use crate::{
    spent::SpentStore,
    testing::{Behaviour, Fault, NOW, TestLink, TestVendor, operator_key},
    tests::World,
};

/// Another operator, at whom a copied wallet spends the certificate first.
pub(crate) fn spend_elsewhere(world: &World, certificate: &Certificate) {
    let key = SigningKey::from_seed(&[0xee; 32]);
    let operator_id = OperatorId::of(&key.public());
    let mut rng = ChaCha20Rng::seed_from_u64(99);
    let paid = world.vendor.pay([certificate], &operator_id, b"elsewhere", &mut rng);
    let evidence = paid.payment.evidence(b"elsewhere");
    let batch = RedemptionBatch {
        vendor_id: world.vendor.id(),
        operator_id,
        batch_id: BatchId::from_bytes([1; 16]),
        items: evidence.into_iter().map(|one| one.item).collect(),
    };
    world.vendor.redeem(&batch.sign(&key), &key.public()).unwrap();
}

/// Pays with one certificate of four credits.
async fn paid(world: &World, request: &[u8]) -> Certificate {
    let certificate = world.certificate(2);
    assert_eq!(world.pay(&world.payment(&[&certificate], request)).await.status, 201);
    certificate
}

async fn redeem(world: &World) -> Redeemed {
    world.redeemer(Schedule::default()).redeem_now().await.unwrap()
}

#[tokio::test]
async fn what_was_taken_is_redeemed_once() {
    let world = World::new().await;
    for at in 0..5_u8 {
        paid(&world, &[at]).await;
    }
    let redeemed = redeem(&world).await;
    assert_eq!((redeemed.accepted, redeemed.unanswered.len()), (5, 0));
    assert_eq!(world.unredeemed().await, Credits::ZERO);
    assert_eq!(redeem(&world).await.accepted, 0);
    assert_eq!(world.link.batches().len(), 1);
    let status = world.verifier.status().await.unwrap();
    assert_eq!(status.vendors[0].accepted, Credits(20));
    assert_eq!(status.vendors[0].oldest_unredeemed, None);
}

#[tokio::test]
async fn items_of_many_payments_are_mixed_in_a_batch() {
    let world = World::new().await;
    let mut order = Vec::new();
    for at in 0..8_u8 {
        let certificates = [world.certificate(1), world.certificate(1)];
        let both: Vec<&Certificate> = certificates.iter().collect();
        assert_eq!(world.pay(&world.payment(&both, &[at])).await.status, 201);
        order.extend(certificates.iter().map(|one| one.token().nonce));
    }
    redeem(&world).await;
    let batches = world.link.batches();
    let batch = SignedBatch::decode(&batches[0]).unwrap().verify(&operator_key().public()).unwrap();
    let sent: Vec<_> = batch.items.iter().map(|item| item.token.nonce).collect();
    assert_ne!(sent, order);
    assert_eq!(sent.iter().collect::<HashSet<_>>(), order.iter().collect::<HashSet<_>>());
    let commitments: HashSet<_> = batch.items.iter().map(|item| item.commitment).collect();
    assert_eq!(commitments.len(), 16, "two certificates of a payment share nothing");
}

/// No answer, half an answer, a changed one, a refusal of the whole, a claim without proof: nothing follows from any of
/// them, and the same bytes are sent until there is a real answer.
#[tokio::test]
async fn trouble_touches_no_lease_and_the_same_bytes_are_repeated() {
    let world = World::new().await;
    paid(&world, b"a thing").await;
    let troubles = [
        Behaviour::Down,
        Behaviour::LosesAnswer,
        Behaviour::CutsAnswer,
        Behaviour::FlipsBit,
        Behaviour::Refuses(ProblemType::OperatorUnknown),
        Behaviour::Refuses(ProblemType::Malformed),
        Behaviour::Refuses(ProblemType::Internal),
        Behaviour::AnswersOtherBatch,
        Behaviour::DropsResult,
        Behaviour::ClaimsWithoutProof,
        Behaviour::ClaimsWithOwnBinding,
    ];
    for trouble in troubles {
        world.link.behave(trouble);
        let redeemed = redeem(&world).await;
        assert_eq!(redeemed.unanswered.len(), 1, "{trouble:?}");
        assert_eq!(world.unredeemed().await, Credits(4));
        let status = world.verifier.status().await.unwrap();
        assert_eq!(status.vendors[0].pending_batches, 1);
        assert!(status.vendors[0].trouble.is_some());
    }
    let world = world.restart().await;
    world.link.behave(Behaviour::Answers);
    let redeemed = redeem(&world).await;
    assert_eq!(redeemed.already_accepted, 1, "the vendor had recorded it long ago");
    assert!(world.server.ended.lock().unwrap().is_empty());
    assert_eq!(world.verifier.status().await.unwrap().vendors[0].trouble, None);
    let batches = world.link.batches();
    assert_eq!(batches.len(), troubles.len() + 1);
    assert!(batches.iter().all(|batch| *batch == batches[0]));
}

#[tokio::test]
async fn a_proven_double_spend_is_told_until_the_server_has_heard_it() {
    let world = World::new().await;
    let honest = paid(&world, b"honest").await;
    let copied = world.certificate(3);
    spend_elsewhere(&world, &copied);
    let payment = world.payment(&[&copied], b"copied");
    assert_eq!(world.pay(&payment).await.status, 201, "offline nobody can know");

    *world.server.reactions_fail.lock().unwrap() = 2;
    let redeemed = redeem(&world).await;
    assert_eq!((redeemed.accepted, redeemed.double_spent), (1, 1));
    assert_eq!(world.server.ended.lock().unwrap().len(), 0);
    let world = world.restart().await;
    redeem(&world).await;
    redeem(&world).await;
    redeem(&world).await;
    let ended = world.server.ended.lock().unwrap().clone();
    let [(id, key, value, proof)] = ended[..] else { panic!("told once") };
    assert_eq!((id, key, value), (payment.payment_id(), copied.token().nonce, Credits(8)));
    let own = payment.payment.evidence(b"copied")[0].binding;
    assert_eq!(proof.verify(&key, &own), Ok(()));
    assert_ne!(key, honest.token().nonce);
    let conflicts = world.sqlite.conflicts(9).await.unwrap();
    assert_eq!((conflicts.len(), conflicts[0].reported), (1, true));
}

#[tokio::test]
async fn what_the_vendor_refuses_is_our_loss_and_no_lease_ends() {
    let world = World::new().await;
    let certificate = paid(&world, b"r").await;
    world.vendor.disown(&certificate);
    assert_eq!(redeem(&world).await.invalid, 1);
    assert!(world.server.ended.lock().unwrap().is_empty());
    assert_eq!(world.verifier.status().await.unwrap().vendors[0].lost, Credits(4));
}

#[tokio::test]
async fn failing_writes_lose_and_double_nothing() {
    for method in ["put_batches", "record_outcome", "reported"] {
        for fault in [Fault::Lost, Fault::Kept] {
            let world = World::new().await;
            paid(&world, b"honest").await;
            let copied = world.certificate(3);
            spend_elsewhere(&world, &copied);
            assert_eq!(world.pay(&world.payment(&[&copied], b"copied")).await.status, 201);
            world.store.fail_next(method, fault);
            let _ = world.redeemer(Schedule::default()).redeem_now().await;
            let world = world.restart().await;
            redeem(&world).await;
            assert_eq!(world.unredeemed().await, Credits::ZERO, "{method} {fault:?}");
            let status = world.verifier.status().await.unwrap();
            let vendor = &status.vendors[0];
            assert_eq!((vendor.accepted, vendor.lost), (Credits(4), Credits(8)));
            assert_eq!(vendor.conflicts, 1, "{method} {fault:?}");
            // Where only the mark was lost the server is told again, and it is idempotent.
            let keys: HashSet<_> =
                world.server.ended.lock().unwrap().iter().map(|(_, key, ..)| *key).collect();
            assert_eq!(keys.len(), 1, "{method} {fault:?}");
            assert!(world.sqlite.unreported().await.unwrap().is_empty());
            // Whatever was repeated was repeated byte for byte.
            let batches: HashSet<_> = world.link.batches().into_iter().collect();
            assert_eq!(batches.len(), 1, "{method} {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_new_receipt_key_is_learned_from_the_manifest() {
    let world = World::new().await;
    paid(&world, b"r").await;
    let newer = SigningKey::from_seed(&[0x44; 32]);
    let receipt_key = newer.public();
    world.vendor.sign_with(newer);
    let redeemed = redeem(&world).await;
    assert!(matches!(redeemed.unanswered[..], [(_, Unanswered::Outcome(_))]));
    let waits = world.verifier.manifests.refresh_wanted();
    tokio::time::timeout(Duration::from_secs(1), waits).await.unwrap();
    world.vendor.endorse(2, receipt_key);
    world.verifier.refresh_manifests().await;
    assert_eq!(redeem(&world).await.already_accepted, 1);
}

/// A vendor that puts another key in the place of the first is not followed: what it signs with that is no answer.
#[tokio::test]
async fn a_receipt_key_that_the_one_before_did_not_endorse_signs_nothing() {
    let world = World::new().await;
    paid(&world, b"r").await;
    let newer = SigningKey::from_seed(&[0x44; 32]);
    let receipt_keys = ReceiptKeys::first(newer.public());
    world.vendor.sign_with(newer);
    world.vendor.publish(|body| (body.version, body.receipt_keys) = (2, receipt_keys));
    world.verifier.refresh_manifests().await;
    for _ in 0..2 {
        let redeemed = redeem(&world).await;
        assert!(matches!(redeemed.unanswered[..], [(_, Unanswered::Outcome(_))]));
    }
    let status = world.verifier.status().await.unwrap();
    assert_eq!(status.vendors[0].manifest.map(|(version, _)| version), Some(1));
    assert_eq!(status.vendors[0].equivocations.len(), 2, "both manifests are kept");
}

fn quick() -> Schedule {
    Schedule {
        interval: Duration::from_secs(3_600),
        least_items: 3,
        deadline: Duration::from_secs(86_400),
        retry_first: Duration::from_secs(60),
        retry_most: Duration::from_secs(600),
        abandon_after: Duration::from_secs(7_200),
    }
}

/// Waits, in real time, until something that a background task does has happened.
async fn until(mut happened: impl AsyncFnMut() -> bool) {
    for _ in 0..400 {
        if happened().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it did not happen");
}

#[tokio::test]
async fn the_background_task_keeps_to_its_schedule() {
    let world = Arc::new(World::new().await);
    let redeemer = world.redeemer(quick());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(async move {
        redeemer.run(async { drop(stopped.await) }).await;
    });
    paid(&world, b"1").await;
    paid(&world, b"2").await;
    world.clock.advance(3_600);
    tokio::time::sleep(3 * POLL).await;
    assert_eq!(world.link.batches().len(), 0, "two are too few");
    paid(&world, b"3").await;
    tokio::time::sleep(3 * POLL).await;
    assert_eq!(world.link.batches().len(), 0, "it is not time");
    world.link.behave(Behaviour::Down);
    world.clock.advance(3_600);
    until(async || world.link.batches().len() == 1).await;
    tokio::time::sleep(3 * POLL).await;
    assert_eq!(world.link.batches().len(), 1, "it waits before it tries again");
    world.link.behave(Behaviour::Answers);
    world.clock.advance(60);
    until(async || world.unredeemed().await == Credits::ZERO).await;

    paid(&world, b"4").await;
    world.clock.advance(86_400);
    until(async || world.unredeemed().await == Credits::ZERO).await; // the deadline
    stop.send(()).unwrap();
    running.await.unwrap();
}

/// One batch that the vendor cannot digest must not keep the others from being redeemed.
#[tokio::test]
async fn a_batch_without_an_answer_does_not_hold_up_the_others() {
    let world = Arc::new(World::new().await);
    paid(&world, b"1").await;
    world.link.behave(Behaviour::Refuses(ProblemType::Internal));
    redeem(&world).await;
    paid(&world, b"2").await;
    redeem(&world).await;
    assert_eq!(world.verifier.status().await.unwrap().vendors[0].pending_batches, 2);
    world.link.refuse_only(&world.link.batches()[0]);
    let redeemer = world.redeemer(quick());
    let watch = until(async || {
        world.clock.advance(60); // the batch that fails ends the vendor's turn; the next turn begins with the other one
        world.unredeemed().await == Credits(4)
    });
    tokio::select! {
        () = redeemer.run(std::future::pending()) => {}
        () = watch => {}
    }
}

#[tokio::test]
async fn a_vendor_with_too_much_to_do_is_left_alone_until_its_next_turn() {
    let world = World::new().await;
    world.link.behave(Behaviour::Refuses(ProblemType::Overloaded));
    for at in 0..3_u8 {
        paid(&world, &[at]).await;
        redeem(&world).await;
    }
    let before = world.link.batches().len();
    let redeemer = world.redeemer(quick());
    let watch = async {
        for turn in 1..=3 {
            tokio::time::sleep(3 * POLL).await;
            assert_eq!(world.link.batches().len(), before + turn, "one of three batches");
            world.clock.advance(600);
        }
    };
    tokio::select! {
        () = redeemer.run(std::future::pending()) => {}
        () = watch => {}
    }
    let sent: HashSet<_> = world.link.batches()[before..].iter().cloned().collect();
    assert_eq!(sent.len(), 3, "another one in each turn");
}

/// While one vendor says nothing the others are sent their batches.
#[tokio::test]
async fn a_vendor_that_is_silent_does_not_hold_up_the_others() {
    let other = Arc::new(TestVendor::new(1));
    let world = World::with(|config| {
        let mut policy = config.vendors[0].clone();
        policy.address = other.address();
        config.vendors.push(policy);
    })
    .await;
    let manifests = TestLink::to([&other]);
    world.verifier.manifests.refresh(&other.id(), &*manifests, crate::testing::NOW).await.unwrap();
    world.link.silence(world.vendor.id().min(other.id())); // whose turn would come first
    paid(&world, b"1").await;
    let operator = world.verifier.operator_id();
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let payment = other.pay([&other.issue(3)], &operator, b"2", &mut rng);
    assert_eq!(world.pay(&payment).await.status, 201);
    let redeemer = world.redeemer(Schedule { least_items: 1, ..quick() });
    let watch = async {
        tokio::time::sleep(POLL).await; // the timetable begins before the clock moves
        world.clock.advance(3_600);
        until(async || world.link.batches().len() == 2).await;
    };
    tokio::select! {
        () = redeemer.run(std::future::pending()) => {}
        () = watch => {}
    }
}

/// One look at a clock that is years ahead must not make the verifier forget what was spent.
#[tokio::test]
async fn a_clock_that_jumps_drops_nothing() {
    let world = World::new().await;
    let payment = world.payment(&[&world.certificate(2)], b"1");
    assert_eq!(world.pay(&payment).await.status, 201);
    redeem(&world).await;
    let redeemer = world.redeemer(quick());
    let watch = async {
        tokio::time::sleep(POLL).await;
        for _ in 0..3 {
            world.clock.jump(world.verifier.now().plus(3 * 365 * 86_400));
            tokio::time::sleep(3 * POLL).await;
        }
    };
    tokio::select! {
        () = redeemer.run(std::future::pending()) => {}
        () = watch => {}
    }
    let known = world.sqlite.find(payment.payment_id()).await.unwrap();
    assert!(known.is_some());
    redeemer.prune(world.verifier.now()).await.unwrap();
    assert_eq!(world.sqlite.find(payment.payment_id()).await.unwrap(), None);
}

#[tokio::test]
async fn a_reservation_that_nobody_comes_back_for_is_settled() {
    let world = Arc::new(World::new().await);
    world.store.fail_next("commit", Fault::Lost);
    world.pay(&world.payment(&[&world.certificate(2)], b"provisioned")).await;
    assert_eq!(world.sqlite.waiting(world.vendor.id()).await.unwrap().items, 0);
    let redeemer = world.redeemer(quick());
    let run = redeemer.run(std::future::pending());
    let watch = async {
        tokio::time::sleep(POLL).await; // the timetable begins before the clock moves
        world.clock.advance(3 * 3_600);
        until(async || world.sqlite.waiting(world.vendor.id()).await.unwrap().items == 1).await;
    };
    tokio::select! {
        () = run => {}
        () = watch => {}
    }
}

/// What an answer credits must lie in the vendor's ledger, by a checkpoint that the vendor signed, each in a place of its own.
#[tokio::test]
async fn an_answer_that_credits_beside_the_ledger_is_none() {
    use scrip_protocol::redemption::{OutcomeError, RedemptionOutcome};
    let world = World::new().await;
    for at in 0..2_u8 {
        paid(&world, &[at]).await;
    }
    redeem(&world).await;
    let batch = world.link.batches()[0].clone();
    let (operator, receipt) = (operator_key().public(), world.vendor.receipt_key());
    let answer = world.vendor.redeem(&batch, &operator).unwrap();
    let honest = RedemptionOutcome::open(&answer, &receipt.public()).unwrap();
    let check = |change: fn(&mut RedemptionOutcome)| {
        let mut outcome = honest.clone();
        change(&mut outcome);
        let manifest = Arc::new(world.vendor.manifest());
        let (known, today) = (outcome::Known { manifest, seen: None, refused: None }, NOW.day());
        let checked = outcome::check(&batch, &operator, &outcome.sign(receipt), &known, today);
        checked.map(|checked| checked.untrue)
    };
    assert!(check(|_| ()).is_ok());
    let leaves =
        |error: Unanswered| matches!(error, Unanswered::Outcome(OutcomeError::Leaves { .. }));
    assert!(leaves(check(|outcome| outcome.leaves.truncate(1)).unwrap_err()));
    assert!(leaves(check(|outcome| outcome.leaves[1] = outcome.leaves[0]).unwrap_err()));
    let beyond = check(|outcome| outcome.leaves[0] = 2).unwrap_err();
    assert!(matches!(beyond, Unanswered::Leaf { leaf: 2, size: 2 }), "{beyond}");
    for change in [
        (|outcome| outcome.checkpoint.clear()) as fn(&mut RedemptionOutcome),
        |outcome| outcome.checkpoint = TestVendor::new(1).checkpoint().into_bytes(),
        |outcome| outcome.checkpoint[60] ^= 1,
    ] {
        let refused = check(change).unwrap_err();
        assert!(matches!(refused, Unanswered::Checkpoint(_)), "{refused}");
    }
}
