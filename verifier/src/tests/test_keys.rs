//! Certificates of test keys (keys.md, "Test keys"): refused, or taken and never counted as money.

use super::*;
use crate::testing::TEST_EPOCH;

async fn test_relay() -> World {
    World::with(|config| config.vendors[0].accept_test = true).await
}

#[tokio::test]
async fn a_production_relay_refuses_them_and_takes_nothing() {
    let world = World::new().await;
    let (real, test) = (world.certificate(2), world.vendor.issue_in(TEST_EPOCH, 2));
    for mixed in [vec![&test], vec![&real, &test], vec![&test, &real]] {
        let answer = world.pay(&world.payment(&mixed, b"r")).await;
        assert_eq!(answer.problem_type(), Some(ProblemType::TestCertificate));
        assert!(ProblemType::TestCertificate.nothing_taken());
        world.assert_nothing_is_taken().await;
    }
    assert_eq!(world.server.calls.lock().unwrap().len(), 0);
    assert!(!world.verifier.vendors()[0].accept_test);
    assert_eq!(world.pay(&world.payment(&[&real], b"r")).await.status, 201);
}

#[tokio::test]
async fn a_test_relay_takes_them_and_books_them_apart() {
    let world = test_relay().await;
    assert!(world.verifier.vendors()[0].accept_test);
    let test: Vec<_> = (0..3).map(|_| world.vendor.issue_in(TEST_EPOCH, 2)).collect();
    let payment = world.payment(&[&test[0], &test[1]], b"r");
    assert_eq!(world.pay(&payment).await.status, 201);
    assert_eq!(world.unredeemed().await, Credits::ZERO, "nobody owes anything for them");
    assert_eq!(world.pay(&world.payment(&[&world.certificate(3)], b"s")).await.status, 201);
    assert_eq!(world.unredeemed().await, Credits(8));
    // Certificates they are all the same: no second payment with one.
    let again = world.pay(&world.payment(&[&test[0], &test[2]], b"t")).await;
    assert_eq!(again.problem_type(), Some(ProblemType::CertificateSpent));

    let redeemed = world.redeemer(Schedule::default()).redeem_now().await.unwrap();
    assert_eq!(redeemed.accepted, 3);
    let status = world.verifier.status().await.unwrap().vendors.remove(0);
    assert_eq!(
        (status.accepted, status.unredeemed, status.lost),
        (Credits(8), Credits(0), Credits(0))
    );
    assert_eq!(status.test_certificates, 2);
    let earnings = world.sqlite.earnings().await.unwrap();
    let rows: Vec<_> = earnings.iter().map(|row| (row.test, row.items, row.credits)).collect();
    assert_eq!(rows, [(false, 1, Credits(8)), (true, 2, Credits(0))]);
}

#[tokio::test]
async fn released_ones_give_back_what_was_not_owed() {
    let world = test_relay().await;
    let (real, test) = (world.certificate(2), world.vendor.issue_in(TEST_EPOCH, 2));
    let refused = world.pay(&world.payment(&[&real, &test], b"refuse")).await;
    assert_eq!(refused.problem_type(), Some(ProblemType::RequestRefused));
    world.assert_nothing_is_taken().await;
    assert_eq!(world.pay(&world.payment(&[&test], b"r")).await.status, 201);
}

/// A vendor that the operator parts from is not used for tests either.
#[tokio::test]
async fn the_limit_holds_for_them_too() {
    let world = World::with(|config| {
        config.vendors[0].accept_test = true;
        config.vendors[0].stop_above = Some(Credits::ZERO);
    });
    let world = world.await;
    let test = world.vendor.issue_in(TEST_EPOCH, 2);
    let answer = world.pay(&world.payment(&[&test], b"r")).await;
    assert_eq!(answer.problem_type(), Some(ProblemType::VendorLimit));
}
