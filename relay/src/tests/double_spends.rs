//! What follows when a certificate was spent elsewhere.

use http::{Method, StatusCode};
use scrip_protocol::{
    credits::Credits,
    hash::Label,
    id::ResourceId,
    keys::SigningKey,
    problem::ProblemType,
    receipt::ReceiptEvent,
    redemption::ConflictProof,
    resource::ResourceKind,
    spend::{Binding, SpendKind},
};
use scrip_verifier::{Paid, Provisions};

use super::support::{Bench, DAY};
use crate::{report, requests::Route, store::ConflictEvent};

/// A proof about a certificate with this number.
fn proof(number: u8) -> ConflictProof {
    let key = SigningKey::from_seed(&[number; 32]);
    let other_binding = Binding::from_bytes([number; 32]);
    ConflictProof {
        certificate_key: key.public(),
        kind: SpendKind::Spend,
        other_binding,
        other_signature: key.sign(Label::Spend, other_binding.as_bytes()),
    }
}

async fn double_spent(bench: &Bench, paid: &Paid, number: u8, credits: u64) {
    let proof = proof(number);
    let certificate = proof.certificate_key.as_bytes();
    let core = bench.relay.core();
    core.double_spent(&paid.payment_id, certificate, Credits(credits), &proof).await.unwrap();
}

#[tokio::test]
async fn a_lease_is_shortened_by_what_the_certificate_bought_and_then_ends() {
    let bench = Bench::new().await;
    let paid = bench.paid(14, DAY);
    let queue = bench.queue_paid_by(&paid).await;
    let start = bench.now();
    bench.clock.advance(DAY);
    double_spent(&bench, &paid, 1, 8).await;
    double_spent(&bench, &paid, 1, 8).await; // told twice, done once
    let status = bench.lease(queue.lease_id, &queue.recipient).await;
    assert_eq!((status.live, status.lease_until), (true, start.plus(6 * DAY)));
    let receipt = bench.open_receipt(status.receipts.last().unwrap());
    assert_eq!((receipt.event, receipt.credits), (ReceiptEvent::Shortened, 8));
    assert_eq!((receipt.payment_id, receipt.lease_until), (paid.payment_id, status.lease_until));
    let shown = ConflictProof::decode(&receipt.detail).unwrap();
    let own = Binding::from_bytes([0xee; 32]);
    assert_eq!(shown.verify(proof(1).certificate_key.as_bytes(), &own), Ok(()));

    // Six days are left of which one has passed: five credits' worth, and four are taken.
    double_spent(&bench, &paid, 2, 4).await;
    let status = bench.lease(queue.lease_id, &queue.recipient).await;
    assert_eq!((status.live, status.lease_until), (true, start.plus(2 * DAY)));
    let path = queue.receive_path();
    let answer = bench.command(&queue.recipient, Method::GET, &path, &[]).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);

    double_spent(&bench, &paid, 3, 2).await;
    let status = bench.lease(queue.lease_id, &queue.recipient).await;
    assert_eq!((status.live, status.lease_until), (false, bench.now()));
    let receipt = bench.open_receipt(status.receipts.last().unwrap());
    assert_eq!((receipt.event, receipt.credits), (ReceiptEvent::Ended, 2));
    assert_eq!(receipt.lease_until, bench.now());
    assert_eq!(ConflictProof::decode(&receipt.detail), Ok(proof(3)));
    let answer = bench.command(&queue.recipient, Method::GET, &path, &[]).await;
    assert_eq!(answer.problem(), ProblemType::LeaseEnded);
    assert_eq!(status.receipts.len(), 4);
}

#[tokio::test]
async fn nothing_left_to_the_second_is_the_end() {
    let bench = Bench::new().await;
    for (credits, live) in [(9, true), (10, false), (u64::MAX, false)] {
        let paid = bench.paid(10, DAY);
        let queue = bench.queue_paid_by(&paid).await;
        double_spent(&bench, &paid, 1, credits).await;
        assert_eq!(bench.lease(queue.lease_id, &queue.recipient).await.live, live, "{credits}");
    }
}

#[tokio::test]
async fn each_payment_is_taken_back_at_its_own_price() {
    let bench = Bench::new().await;
    let first = bench.paid(10, DAY);
    let queue = bench.queue_paid_by(&first).await;
    let start = bench.now();
    let second = bench.paid(4, 3 * DAY);
    let kind = ResourceKind::Extension { lease_id: queue.lease_id };
    bench.provision(Route::Extensions, kind, &second).await.unwrap();
    double_spent(&bench, &second, 1, 2).await;
    let status = bench.lease(queue.lease_id, &queue.recipient).await;
    assert_eq!(status.lease_until, start.plus(16 * DAY));
    double_spent(&bench, &first, 2, 2).await;
    // The same certificate key under another payment is another event.
    double_spent(&bench, &first, 1, 2).await;
    let status = bench.lease(queue.lease_id, &queue.recipient).await;
    assert_eq!(status.lease_until, start.plus(12 * DAY));
}

#[tokio::test]
async fn many_at_once_take_back_what_they_should() {
    let bench = Bench::new().await;
    let paid = bench.paid(100, DAY);
    let queue = bench.queue_paid_by(&paid).await;
    let start = bench.now();
    let twice = (1..=20).chain(1..=20);
    futures_util::future::join_all(twice.map(|n| double_spent(&bench, &paid, n, 2))).await;
    let status = bench.lease(queue.lease_id, &queue.recipient).await;
    assert_eq!((status.live, status.lease_until), (true, start.plus(60 * DAY)));
    assert_eq!(status.receipts.len(), 21);
    assert_eq!(bench.relay.store().reader().conflicts().await.unwrap().len(), 20);
}

#[tokio::test]
async fn a_lease_that_is_over_stays_as_it_is_and_the_proof_is_kept() {
    let bench = Bench::new().await;
    let paid = bench.paid(1, DAY);
    let queue = bench.queue_paid_by(&paid).await;
    let end = bench.now().plus(DAY);
    bench.clock.advance(2 * DAY);
    let told = (0..4).map(|_| double_spent(&bench, &paid, 1, 1));
    futures_util::future::join_all(told).await;
    let status = bench.lease(queue.lease_id, &queue.recipient).await;
    assert_eq!((status.live, status.lease_until, status.receipts.len()), (false, end, 1));
    double_spent(&bench, &bench.paid(1, DAY), 2, 1).await; // a payment that is forgotten
    let conflicts = bench.relay.store().reader().conflicts().await.unwrap();
    let mut events: Vec<_> = conflicts.iter().map(|row| (row.event, row.lease_id)).collect();
    events.sort_by_key(|(_, lease)| lease.is_none());
    assert_eq!(
        events,
        [
            (ConflictEvent::HadEnded, Some(queue.lease_id)),
            (ConflictEvent::HadEnded, None::<ResourceId>),
        ]
    );
}

#[tokio::test]
async fn the_operator_sees_them_beside_the_running_relay() {
    let bench = Bench::new().await;
    let paid = bench.paid(10, DAY);
    let queue = bench.queue_paid_by(&paid).await;
    double_spent(&bench, &paid, 1, 4).await;
    bench.clock.advance(1);
    double_spent(&bench, &paid, 2, 6).await;
    let reports = report::conflicts(bench.relay.config()).await.unwrap();
    let events: Vec<_> = reports.iter().map(|one| (one.event, one.value, one.lease_id)).collect();
    let lease = Some(queue.lease_id);
    assert_eq!(events, [("shortened", Credits(4), lease), ("ended", Credits(6), lease)]);
    let bytes = scrip_protocol::id::decode_base64url(&reports[0].proof).unwrap();
    assert_eq!(ConflictProof::decode(&bytes), Ok(proof(1)));
    let status = report::status(bench.relay.config(), bench.now()).await.unwrap();
    assert_eq!((status.usage.conflicts, status.usage.queues), (2, 0));
}
