//! Every durable write of a payment, failed and lost, and failed and kept: the client repeats its bytes, with and without
//! a restart in between, and the payment is provisioned exactly once and counted exactly once.

use super::*;
use crate::testing::Fault;

async fn fails_once(method: &'static str, fault: Fault, restart: bool) {
    let mut world = World::new().await;
    let certificate = world.certificate(2);
    let payment = world.payment(&[&certificate], b"a thing");
    world.store.fail_next(method, fault);
    let answer = world.pay(&payment).await;
    assert_eq!(answer.problem_type(), Some(ProblemType::Internal), "{method} {fault:?}");
    assert!(!ProblemType::Internal.nothing_taken());
    if restart {
        world = world.restart().await;
        world.verifier.recover(&*world.server).await.unwrap();
    }
    let answer = world.pay(&payment).await;
    assert_eq!((answer.status, &answer.body[..]), (201, &b"receipt a thing 0"[..]));
    assert_eq!(world.server.provisioned_count(), 1);
    assert_eq!(world.unredeemed().await, Credits(4));
    let redeemed = world.redeemer(Schedule::default()).redeem_now().await.unwrap();
    assert_eq!((redeemed.accepted, world.vendor.spent_count()), (1, 1));
    let other = world.pay(&world.payment(&[&certificate], b"another")).await;
    assert_eq!(other.problem_type(), Some(ProblemType::CertificateSpent));
}

#[tokio::test]
async fn a_reservation_or_a_commit_that_fails_is_made_good_by_the_retry() {
    for method in ["reserve", "commit"] {
        for fault in [Fault::Lost, Fault::Kept] {
            for restart in [false, true] {
                fails_once(method, fault, restart).await;
            }
        }
    }
}
