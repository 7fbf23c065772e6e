//! The online policy: large payments are redeemed before they are provisioned.

use scrip_protocol::{id::decode_base64url, redemption::ConflictProof};

use super::*;
use crate::{
    Risk,
    redeemer::tests::spend_elsewhere,
    testing::{Behaviour, Fault},
};

async fn careful_world() -> World {
    World::with(|config| config.vendors[0].risk = Risk::OnlineAbove(Credits(4))).await
}

#[tokio::test]
async fn only_payments_above_the_threshold_are_redeemed_first() {
    let world = careful_world().await;
    assert_eq!(world.pay(&world.payment(&[&world.certificate(2)], b"small")).await.status, 201);
    assert_eq!(world.link.batches().len(), 0);
    assert_eq!(world.pay(&world.payment(&[&world.certificate(3)], b"large")).await.status, 201);
    assert_eq!(world.link.batches().len(), 1);
    assert_eq!(world.unredeemed().await, Credits(4));
    let redeemed = world.redeemer(Schedule::default()).redeem_now().await.unwrap();
    assert_eq!(redeemed.accepted, 1, "the large payment is not redeemed again");
}

#[tokio::test]
async fn without_an_answer_the_reservation_stays_and_the_same_batch_is_repeated() {
    let world = careful_world().await;
    let certificate = world.certificate(3);
    let payment = world.payment(&[&certificate], b"large");
    let silences = [
        Behaviour::Down,
        Behaviour::LosesAnswer,
        Behaviour::CutsAnswer,
        Behaviour::Refuses(ProblemType::OperatorUnknown),
        Behaviour::Refuses(ProblemType::Internal),
        Behaviour::ClaimsWithoutProof,
    ];
    for silence in silences {
        world.link.behave(silence);
        let answer = world.pay(&payment).await;
        assert_eq!(answer.problem_type(), Some(ProblemType::VendorUnreachable), "{silence:?}");
        let other = world.pay(&world.payment(&[&certificate], b"other")).await;
        assert_eq!(other.problem_type(), Some(ProblemType::CertificateSpent), "{silence:?}");
    }
    world.link.behave(Behaviour::Answers);
    assert_eq!(world.pay(&payment).await.status, 201);
    let batches = world.link.batches();
    assert_eq!(batches.len(), silences.len() + 1);
    assert!(batches.iter().all(|batch| *batch == batches[0]));
    assert_eq!((world.vendor.spent_count(), world.server.provisioned_count()), (1, 1));
}

#[tokio::test]
async fn the_redeemer_gets_the_answer_and_the_client_its_resource() {
    let world = careful_world().await;
    let payment = world.payment(&[&world.certificate(3)], b"large");
    world.link.behave(Behaviour::Down);
    world.pay(&payment).await;
    world.link.behave(Behaviour::Answers);
    let redeemed = world.redeemer(Schedule::default()).redeem_now().await.unwrap();
    assert_eq!(redeemed.accepted, 1);
    world.link.behave(Behaviour::Down);
    assert_eq!(world.pay(&payment).await.status, 201, "nobody has to be asked again");
}

#[tokio::test]
async fn a_payment_that_was_spent_elsewhere_is_refused_with_the_proof_for_good() {
    let world = careful_world().await;
    let certificate = world.certificate(3);
    spend_elsewhere(&world, &certificate);
    let payment = world.payment(&[&certificate], b"large");
    let first = world.pay(&payment).await;
    assert_eq!(first.problem_type(), Some(ProblemType::CertificateSpent));
    let problem = first.problem.unwrap();
    assert!(problem.refusal.is_some(), "nothing of it was credited, and nothing is sent again");
    let conflict = problem.conflict.unwrap();
    let proof = ConflictProof::decode(&decode_base64url(&conflict).unwrap()).unwrap();
    let own = payment.payment.evidence(b"large")[0].binding;
    assert_eq!(proof.verify(&certificate.token().nonce, &own), Ok(()));
    assert_eq!(world.server.calls.lock().unwrap().len(), 0);
    assert_eq!(world.unredeemed().await, Credits::ZERO);

    let again = world.pay(&payment).await;
    assert_eq!((again.status, again.body), (409, first.body));
    assert_eq!(world.link.batches().len(), 1, "the vendor is not asked again");
    world.redeemer(Schedule::default()).redeem_now().await.unwrap();
    assert_eq!(world.server.ended.lock().unwrap().len(), 0, "there is no lease to end");
}

/// The good certificates are redeemed and cannot be given back: they buy what they are worth.
#[tokio::test]
async fn a_payment_that_was_partly_spent_elsewhere_buys_what_is_left() {
    let world = careful_world().await;
    let (good, bad) = (world.certificate(2), world.certificate(3));
    spend_elsewhere(&world, &bad);
    assert_eq!(world.pay(&world.payment(&[&good, &bad], b"large")).await.status, 201);
    let calls = world.server.calls.lock().unwrap().clone();
    assert_eq!(calls[0].credits, Credits(4));
    assert_eq!(calls[0].certificates.len(), 1);
    assert_eq!(calls[0].certificates[0].key, good.token().nonce);
    let status = world.verifier.status().await.unwrap();
    assert_eq!((status.vendors[0].accepted, status.vendors[0].lost), (Credits(4), Credits(8)));
    world.redeemer(Schedule::default()).redeem_now().await.unwrap();
    assert_eq!(world.server.ended.lock().unwrap().len(), 0, "it never counted");
}

#[tokio::test]
async fn what_the_vendor_calls_invalid_is_our_loss() {
    let world = careful_world().await;
    let certificate = world.certificate(3);
    world.vendor.disown(&certificate);
    assert_eq!(world.pay(&world.payment(&[&certificate], b"large")).await.status, 201);
    assert_eq!(world.verifier.status().await.unwrap().vendors[0].lost, Credits(8));
}

#[tokio::test]
async fn a_refusal_after_the_vendor_was_asked_never_says_that_nothing_was_taken() {
    let world = careful_world().await;
    let payment = world.payment(&[&world.certificate(3)], b"large");
    world.server.feel(super::server::Mood::Complains(ProblemType::StorageFull));
    let answer = world.pay(&payment).await;
    assert_eq!(answer.problem_type(), Some(ProblemType::ProvisioningFailed));
    assert!(answer.problem.unwrap().refusal.is_none());
    world.server.feel(super::server::Mood::Provisions);
    assert_eq!(world.pay(&payment).await.status, 201);
}

#[tokio::test]
async fn failing_writes_of_the_online_path_are_made_good() {
    for method in ["reserve", "put_batches", "record_outcome", "commit"] {
        for fault in [Fault::Lost, Fault::Kept] {
            let world = careful_world().await;
            let payment = world.payment(&[&world.certificate(3)], b"large");
            world.store.fail_next(method, fault);
            let answer = world.pay(&payment).await;
            let problem = answer.problem_type().unwrap();
            assert!(!problem.nothing_taken(), "{method} {fault:?} {problem:?}");
            let world = world.restart().await;
            world.verifier.recover(&*world.server).await.unwrap();
            assert_eq!(world.pay(&payment).await.status, 201, "{method} {fault:?}");
            let batches = world.link.batches();
            assert!(batches.iter().all(|batch| *batch == batches[0]), "{method} {fault:?}");
            assert_eq!((world.vendor.spent_count(), world.server.provisioned_count()), (1, 1));
            let status = world.verifier.status().await.unwrap();
            assert_eq!(status.vendors[0].accepted, Credits(8), "{method} {fault:?}");
        }
    }
}
