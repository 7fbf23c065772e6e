//! Whole payments: through the verifier's layer, with certificates of a vendor in process.

use std::sync::Arc;

use http::{Method, StatusCode};
use scrip_protocol::{
    id::OperatorId,
    issuance::Certificate,
    media,
    payment::PaidRequest,
    problem::ProblemType,
    receipt::ReceiptEvent,
    redemption::ConflictProof,
    resource::{ResourceKind, ResourceRequest, SizeClass},
};
use scrip_runtime::steps::Steps;
use scrip_verifier::testing::{TestVendor, rng_factory};

use scrip_runtime::plausible::KEPT;

use super::support::{Answer, Bench, DAY, execute, noise};
use crate::report;

pub(super) fn pay(
    bench: &Bench,
    seed: u64,
    certificates: &[Certificate],
    kind: ResourceKind,
) -> PaidRequest {
    let request = ResourceRequest { days: 30, kind }.encode();
    let operator: OperatorId = bench.relay.operator_id();
    let mut rng = rng_factory(seed)();
    bench.vendor.pay(certificates, &operator, &request, &mut &mut *rng)
}

pub(super) fn queue_kind(bench: &Bench) -> (ResourceKind, scrip_protocol::keys::SigningKey) {
    let (recipient, sender) = (bench.key(), bench.key());
    let kind =
        ResourceKind::Queue { recipient_key: recipient.public(), sender_key: sender.public() };
    (kind, recipient)
}

pub(super) async fn send(bench: &Bench, path: &str, paid: &PaidRequest) -> Answer {
    bench.post(path, media::PAID_REQUEST, paid.encode()).await
}

#[tokio::test]
async fn a_payment_gets_a_receipt_and_every_retry_the_same() {
    let bench = Bench::new().await;
    let (kind, recipient) = queue_kind(&bench);
    let certificates = [bench.vendor.issue(1), bench.vendor.issue(0)];
    let paid = pay(&bench, 1, &certificates, kind);
    let first = send(&bench, "/v1/queues", &paid).await;
    assert_eq!(
        (first.status, &first.headers["content-type"]),
        (StatusCode::CREATED, &media::RECEIPT.parse().unwrap())
    );
    let receipt = bench.open_receipt(&first.body);
    assert_eq!((receipt.event, receipt.credits), (ReceiptEvent::Provisioned, 3));
    assert_eq!(receipt.lease_until, bench.now().plus(45 * DAY), "what is paid too much is time");
    assert_eq!(receipt.payment_id, paid.payment_id());
    bench.clock.advance(10 * DAY);
    assert_eq!(send(&bench, "/v1/queues", &paid).await.body, first.body);
    let bench = bench.reopen().await;
    assert_eq!(send(&bench, "/v1/queues", &paid).await.body, first.body);
    assert!(bench.lease(receipt.lease_id, &recipient).await.live);
    let earnings = report::earnings(bench.relay.config()).await.unwrap();
    assert_eq!((earnings.vendors[0].pending.0, earnings.vendors[0].accepted.0), (3, 0));
    let redeemed = bench.relay.redeem_now().await.unwrap();
    assert_eq!((redeemed.accepted, redeemed.unanswered.len()), (2, 0));
    let earnings = report::earnings(bench.relay.config()).await.unwrap();
    assert_eq!((earnings.vendors[0].pending.0, earnings.vendors[0].accepted.0), (0, 3));
}

#[tokio::test]
async fn sixty_four_at_once_make_one_lease() {
    let bench = Bench::new().await;
    let (kind, _) = queue_kind(&bench);
    let paid = pay(&bench, 1, &[bench.vendor.issue(1)], kind);
    let answers = (0..64).map(|_| send(&bench, "/v1/queues", &paid));
    let answers = futures_util::future::join_all(answers).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::CREATED));
    assert!(answers.iter().all(|answer| answer.body == answers[0].body));
    assert_eq!(bench.relay.store().reader().usage(bench.now()).await.unwrap().queues, 1);
}

#[tokio::test]
async fn a_refused_extension_leaves_the_certificates_free() {
    let bench = Bench::new().await;
    let certificates = [bench.vendor.issue(1)];
    let lease_id = scrip_protocol::id::ResourceId::from_bytes([1; 24]);
    let paid = pay(&bench, 1, &certificates, ResourceKind::Extension { lease_id });
    let refused = send(&bench, "/v1/extensions", &paid).await;
    assert_eq!(refused.problem(), ProblemType::ResourceNotFound);
    let (kind, _) = queue_kind(&bench);
    let answer = send(&bench, "/v1/queues", &pay(&bench, 2, &certificates, kind)).await;
    assert_eq!(answer.status, StatusCode::CREATED);
}

/// A crash before the refusal is on disk has promised nothing; after it the client is told what was promised.
#[tokio::test]
async fn a_refusal_survives_a_crash_at_every_step() {
    for step in ["verifier.refuse.before", "verifier.refuse.after"] {
        let crash = Steps::observe(move |name| assert_ne!(name, step, "the crash that is wanted"));
        let bench = Bench::new().await.reopen_with(crash).await;
        let certificates = [bench.vendor.issue(1)];
        let lease_id = scrip_protocol::id::ResourceId::from_bytes([1; 24]);
        let paid = pay(&bench, 1, &certificates, ResourceKind::Extension { lease_id });
        let broken = send(&bench, "/v1/extensions", &paid).await;
        assert_eq!(broken.problem(), ProblemType::ProvisioningFailed, "{step}");
        let bench = bench.reopen().await;
        let refused = send(&bench, "/v1/extensions", &paid).await;
        assert_eq!(refused.problem(), ProblemType::ResourceNotFound, "{step}");
        let document = scrip_protocol::problem::Problem::from_json(&refused.body).unwrap();
        let operator = bench.relay.operator_key();
        let refusal =
            scrip_protocol::refusal::Refusal::of(&document, &operator, &paid.payment_id());
        assert!(refusal.is_some(), "{step}");
        let bench = bench.reopen().await;
        assert_eq!(send(&bench, "/v1/extensions", &paid).await.body, refused.body, "{step}");
        let (kind, _) = queue_kind(&bench);
        let answer = send(&bench, "/v1/queues", &pay(&bench, 2, &certificates, kind)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{step}");
    }
}

#[tokio::test]
async fn the_second_relay_ends_its_lease_and_shows_why() {
    let vendor = Arc::new(TestVendor::new(0));
    let first = Bench::with(1, Arc::clone(&vendor), |_| {}).await;
    let second = Bench::with(2, vendor, |_| {}).await;
    let certificates = [first.vendor.issue(1)];
    let (kind, _) = queue_kind(&first);
    send(&first, "/v1/queues", &pay(&first, 1, &certificates, kind)).await;
    let (kind, recipient) = queue_kind(&second);
    let answer = send(&second, "/v1/queues", &pay(&second, 2, &certificates, kind)).await;
    let receipt = second.open_receipt(&answer.body);
    assert_eq!(first.relay.redeem_now().await.unwrap().accepted, 1);
    let redeemed = second.relay.redeem_now().await.unwrap();
    assert_eq!((redeemed.accepted, redeemed.double_spent), (0, 1));
    let status = second.lease(receipt.lease_id, &recipient).await;
    assert!(!status.live);
    let ended = second.open_receipt(status.receipts.last().unwrap());
    assert_eq!((ended.event, ended.credits), (ReceiptEvent::Ended, 2));
    let proof = ConflictProof::decode(&ended.detail).unwrap();
    assert_eq!(proof.certificate_key.as_bytes(), &certificates[0].token().nonce);
    let earnings = report::earnings(second.relay.config()).await.unwrap();
    assert_eq!((earnings.vendors[0].lost.0, earnings.vendors[0].double_spent), (2, 1));
    assert_eq!(report::conflicts(second.relay.config()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_payment_survives_a_crash_at_every_step() {
    for step in [
        "verifier.reserve.after",
        "relay.provision.before",
        "relay.provision.after",
        "verifier.commit.before",
        "verifier.commit.after",
    ] {
        let crash = Steps::observe(move |name| assert_ne!(name, step, "the crash that is wanted"));
        let bench = Bench::new().await.reopen_with(crash).await;
        let (kind, recipient) = queue_kind(&bench);
        let paid = pay(&bench, 1, &[bench.vendor.issue(1)], kind);
        let broken = send(&bench, "/v1/queues", &paid).await;
        assert_eq!(broken.problem(), ProblemType::ProvisioningFailed, "{step}");
        let bench = bench.reopen().await;
        let answer = send(&bench, "/v1/queues", &paid).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{step}");
        let receipt = bench.open_receipt(&answer.body);
        let status = bench.lease(receipt.lease_id, &recipient).await;
        assert_eq!((status.live, status.receipts.len()), (true, 1), "{step}");
        let usage = bench.relay.store().reader().usage(bench.now()).await.unwrap();
        assert_eq!(usage.queues, 1, "{step}");
        assert_eq!(bench.relay.redeem_now().await.unwrap().accepted, 1, "{step}");
    }
}

/// A relay that asks the vendor first, and whose clock moves on by `days` while it does.
async fn asking_for(days: u64) -> Bench {
    let vendor = Arc::new(TestVendor::new(0));
    let bench = Bench::with(1, vendor, |config| config.vendors[0].online_above = Some(0)).await;
    let (clock, later) = (bench.clock.clone(), bench.now().plus(days * DAY));
    let steps = Steps::observe(move |name| {
        if name == "verifier.ask.persisted" {
            clock.set(later);
        }
    });
    bench.reopen_with(steps).await
}

#[tokio::test]
async fn an_extension_that_the_vendor_credited_after_the_end_revives_the_lease() {
    let bench = asking_for(2).await;
    let queue = bench.queue_paid_by(&bench.paid(1, DAY)).await;
    let block = vec![1; 16_384];
    bench.command(&queue.sender, Method::POST, &queue.send_path(), &block).await;
    let kind = ResourceKind::Extension { lease_id: queue.lease_id };
    let paid = pay(&bench, 1, &[bench.vendor.issue(1)], kind);
    let answer = send(&bench, "/v1/extensions", &paid).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let receipt = bench.open_receipt(&answer.body);
    assert_eq!((receipt.event, receipt.credits), (ReceiptEvent::Extended, 2));
    assert_eq!(receipt.lease_until, bench.now().plus(30 * DAY), "from now");
    assert_eq!(send(&bench, "/v1/extensions", &paid).await.body, answer.body);
    let status = bench.lease(queue.lease_id, &queue.recipient).await;
    assert!(status.live);
    assert_eq!((status.lease_until, status.receipts.len()), (receipt.lease_until, 2));
    bench.relay.collect_now().await.unwrap();
    let path = queue.receive_path();
    assert_eq!(bench.command(&queue.recipient, Method::GET, &path, &[]).await.status, 200);
}

#[tokio::test]
async fn a_lease_that_was_collected_is_revived_empty() {
    let bench = asking_for(31).await;
    let bytes = noise(SizeClass::K64, 1);
    let chunk = bench.chunk(&bytes).await;
    let upload =
        async || bench.command(&chunk.owner, Method::PUT, &chunk.upload_path(), &bytes).await;
    let download =
        async || bench.command(&chunk.reader, Method::GET, &chunk.download_path(), &[]).await;
    upload().await;
    let kind = ResourceKind::Extension { lease_id: chunk.lease_id };
    let paid = pay(&bench, 1, &[bench.vendor.issue(1)], kind);
    let database = bench.directory.path().join("relay.db");
    let failing =
        "CREATE TRIGGER fail BEFORE INSERT ON provisions BEGIN SELECT RAISE(ABORT, 'x'); END";
    execute(&database, failing).await;
    assert_eq!(send(&bench, "/v1/extensions", &paid).await.problem(), ProblemType::Internal);
    execute(&database, "DROP TRIGGER fail").await;
    bench.clock.advance(KEPT);
    bench.relay.collect_now().await.unwrap();
    let promised = async || {
        bench.relay.store().reader().usage(bench.now()).await.unwrap().chunk_bytes_promised
    };
    assert_eq!(promised().await, 0);
    let answer = send(&bench, "/v1/extensions", &paid).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(promised().await, bytes.len() as u64);
    assert_eq!(download().await.problem(), ProblemType::ChunkNotUploaded);
    assert_eq!(upload().await.status, StatusCode::NO_CONTENT);
    assert!(download().await.body == bytes);
}

#[tokio::test]
async fn the_content_of_a_deleted_lease_does_not_come_back() {
    let bench = asking_for(1).await;
    let queue = bench.queue().await;
    let block = vec![1; 16_384];
    bench.command(&queue.sender, Method::POST, &queue.send_path(), &block).await;
    let kind = ResourceKind::Extension { lease_id: queue.lease_id };
    let paid = pay(&bench, 1, &[bench.vendor.issue(1)], kind);
    let database = bench.directory.path().join("relay.db");
    let failing =
        "CREATE TRIGGER fail BEFORE INSERT ON provisions BEGIN SELECT RAISE(ABORT, 'x'); END";
    execute(&database, failing).await;
    assert_eq!(send(&bench, "/v1/extensions", &paid).await.problem(), ProblemType::Internal);
    execute(&database, "DROP TRIGGER fail").await;
    let path = format!("/v1/leases/{}", queue.lease_id);
    bench.command(&queue.recipient, Method::DELETE, &path, &[]).await;
    let waiting = send(&bench, "/v1/extensions", &paid).await;
    assert_eq!(waiting.problem(), ProblemType::ProvisioningFailed);
    bench.relay.collect_now().await.unwrap();
    assert_eq!(send(&bench, "/v1/extensions", &paid).await.status, StatusCode::CREATED);
    let path = queue.receive_path();
    assert_eq!(bench.command(&queue.recipient, Method::GET, &path, &[]).await.status, 204);
}

#[tokio::test]
async fn a_revival_survives_a_crash_at_every_step() {
    for step in ["relay.revive.before", "relay.revive.after", "verifier.commit.before"] {
        let bench = asking_for(2).await;
        let later = bench.now().plus(2 * DAY);
        let clock = bench.clock.clone();
        let crash = Steps::observe(move |name| {
            if name == "verifier.ask.persisted" {
                clock.set(later);
            }
            assert_ne!(name, step, "the crash that is wanted");
        });
        let bench = bench.reopen_with(crash).await;
        let queue = bench.queue_paid_by(&bench.paid(1, DAY)).await;
        let kind = ResourceKind::Extension { lease_id: queue.lease_id };
        let paid = pay(&bench, 1, &[bench.vendor.issue(1)], kind);
        let broken = send(&bench, "/v1/extensions", &paid).await;
        assert_eq!(broken.problem(), ProblemType::ProvisioningFailed, "{step}");
        let bench = bench.reopen().await;
        let answer = send(&bench, "/v1/extensions", &paid).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{step}");
        let status = bench.lease(queue.lease_id, &queue.recipient).await;
        assert_eq!((status.live, status.receipts.len()), (true, 2), "{step}");
        assert_eq!(status.receipts[1], answer.body, "{step}");
    }
}
