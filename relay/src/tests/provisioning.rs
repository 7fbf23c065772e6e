//! From payments to leases, at most once.

use http::{Method, StatusCode};
use scrip_protocol::{
    credits::Credits,
    id::ResourceId,
    limits::MAX_RESOURCE_REQUEST,
    media,
    problem::{Price, Problem, ProblemType},
    receipt::ReceiptEvent,
    resource::{ResourceKind, ResourceRequest, SizeClass},
};
use scrip_runtime::config::HumanSize;
use scrip_verifier::testing::TestVendor;

use scrip_runtime::plausible::KEPT;

use super::support::{Bench, DAY, execute};
use crate::requests::{RequestError, Route};

fn queue_kind(bench: &Bench) -> ResourceKind {
    let (recipient, sender) = (bench.key(), bench.key());
    ResourceKind::Queue { recipient_key: recipient.public(), sender_key: sender.public() }
}

fn chunk_kind(bench: &Bench, size_class: SizeClass) -> ResourceKind {
    let (owner, reader) = (bench.key(), bench.key());
    ResourceKind::Chunk {
        owner_key: owner.public(),
        reader_key: reader.public(),
        size_class,
        digest: [1; 32],
    }
}

async fn quote(bench: &Bench, path: &str, request: Vec<u8>) -> Problem {
    let answer = bench.post(path, media::RESOURCE_REQUEST, request).await;
    answer.problem();
    Problem::from_json(&answer.body).unwrap()
}

#[tokio::test]
async fn prices_follow_the_list_the_days_and_the_size() {
    let bench = Bench::new().await;
    let priced = async |kind: ResourceKind, days: u16| {
        let path = match kind {
            ResourceKind::Queue { .. } => "/v1/queues",
            ResourceKind::Chunk { .. } => "/v1/chunks",
            ResourceKind::Extension { .. } => "/v1/extensions",
        };
        let problem = quote(&bench, path, ResourceRequest { days, kind }.encode()).await;
        assert_eq!(problem.problem, ProblemType::PaymentRequired);
        problem.price.unwrap()
    };
    let price =
        |credits, seconds_per_credit| Price { credits: Credits(credits), seconds_per_credit };
    assert_eq!(priced(queue_kind(&bench), 30).await, price(2, 15 * DAY));
    assert_eq!(priced(queue_kind(&bench), 1).await, price(1, 15 * DAY));
    assert_eq!(priced(queue_kind(&bench), 400).await, price(27, 15 * DAY));
    assert_eq!(priced(chunk_kind(&bench, SizeClass::K64), 30).await, price(1, 30 * DAY));
    assert_eq!(priced(chunk_kind(&bench, SizeClass::M4), 31).await, price(5, 30 * DAY / 4));
    let lease_id = bench.queue().await.lease_id;
    assert_eq!(priced(ResourceKind::Extension { lease_id }, 30).await, price(2, 15 * DAY));
}

#[tokio::test]
async fn what_cannot_be_provided_is_refused_before_anybody_pays() {
    let bench = Bench::new().await;
    let ended = bench.queue().await;
    let path = format!("/v1/leases/{}", ended.lease_id);
    bench.command(&ended.recipient, Method::DELETE, &path, &[]).await;
    let queue = ResourceRequest { days: 30, kind: queue_kind(&bench) };
    let too_long = ResourceRequest { days: 401, kind: queue_kind(&bench) };
    let extension =
        |lease_id| ResourceRequest { days: 1, kind: ResourceKind::Extension { lease_id } };
    let truncated = queue.encode()[1..].to_vec();
    let trailing = [queue.encode(), vec![0]].concat();
    let unknown = extension(ResourceId::from_bytes([4; 24]));
    for (path, request, problem) in [
        ("/v1/queues", vec![], ProblemType::Malformed),
        ("/v1/queues", truncated, ProblemType::Malformed),
        ("/v1/queues", trailing, ProblemType::Malformed),
        ("/v1/queues", vec![0; MAX_RESOURCE_REQUEST + 1], ProblemType::TooLarge),
        ("/v1/chunks", queue.encode(), ProblemType::Malformed),
        ("/v1/extensions", queue.encode(), ProblemType::Malformed),
        ("/v1/queues", too_long.encode(), ProblemType::RequestRefused),
        ("/v1/extensions", unknown.encode(), ProblemType::ResourceNotFound),
        ("/v1/extensions", extension(ended.lease_id).encode(), ProblemType::LeaseEnded),
    ] {
        assert_eq!(quote(&bench, path, request).await.problem, problem, "{path}");
    }
    // Paid in the moment in which the lease ended: a promise that nothing was taken.
    let paid = bench.paid(1, DAY);
    let kind = ResourceKind::Extension { lease_id: ended.lease_id };
    let refused = bench.provision(Route::Extensions, kind, &paid).await.unwrap_err();
    assert!(Problem::from(refused).problem.nothing_taken());
}

#[tokio::test]
async fn a_payment_buys_once_however_often_it_comes() {
    let bench = Bench::new().await;
    let paid = bench.paid(4, 10 * DAY);
    let kind = queue_kind(&bench);
    let first = bench.provision(Route::Queues, kind.clone(), &paid).await.unwrap();
    assert_eq!(first.event, ReceiptEvent::Provisioned);
    assert_eq!((first.payment_id, first.credits), (paid.payment_id, 4));
    assert_eq!(first.lease_until, bench.now().plus(40 * DAY));
    bench.clock.advance(DAY);
    assert_eq!(bench.provision(Route::Queues, kind.clone(), &paid).await.unwrap(), first);

    // Many at the same time, of a payment that nobody has seen.
    let paid = bench.paid(4, 10 * DAY);
    let attempts = (0..16).map(|_| bench.provision(Route::Queues, kind.clone(), &paid));
    let receipts = futures_util::future::join_all(attempts).await;
    let receipts: Vec<_> = receipts.into_iter().map(Result::unwrap).collect();
    assert!(receipts.iter().all(|receipt| *receipt == receipts[0]));
    assert_eq!(bench.relay.store().reader().usage(bench.now()).await.unwrap().queues, 2);
}

#[tokio::test]
async fn an_extension_that_is_always_overtaken_ends_and_keeps_its_payment() {
    let bench = Bench::new().await;
    let queue = bench.queue().await;
    let kind = ResourceKind::Extension { lease_id: queue.lease_id };
    let paid = bench.paid(1, DAY);
    let database = bench.directory.path().join("relay.db");
    // Updates that find no row, as when somebody else has just moved the end.
    execute(&database, "CREATE TRIGGER overtake BEFORE UPDATE OF lease_until ON leases BEGIN SELECT RAISE(IGNORE); END").await;
    let refused = bench.provision(Route::Extensions, kind.clone(), &paid).await.unwrap_err();
    assert!(matches!(refused, RequestError::Overtaken));
    assert!(!Problem::from(refused).problem.nothing_taken(), "the same bytes are sent again");
    execute(&database, "DROP TRIGGER overtake").await;
    let receipt = bench.provision(Route::Extensions, kind, &paid).await.unwrap();
    assert_eq!(receipt.lease_until, bench.now().plus(31 * DAY));
}

#[tokio::test]
async fn extensions_add_up_and_each_counts_once() {
    let bench = Bench::new().await;
    let queue = bench.queue().await;
    let end = bench.now().plus(30 * DAY);
    let kind = ResourceKind::Extension { lease_id: queue.lease_id };
    bench.clock.advance(10 * DAY);
    let payments: Vec<_> = (1..=8).map(|credits| bench.paid(credits, DAY)).collect();
    let twice = payments.iter().chain(&payments);
    let extend = |paid| bench.provision(Route::Extensions, kind.clone(), paid);
    let receipts = futures_util::future::join_all(twice.map(extend)).await;
    for (paid, receipt) in payments.iter().chain(&payments).zip(receipts) {
        let receipt = receipt.unwrap();
        assert_eq!((receipt.event, receipt.lease_id), (ReceiptEvent::Extended, queue.lease_id));
        assert_eq!(u64::from(receipt.credits), paid.credits.0);
    }
    let status = bench.lease(queue.lease_id, &queue.recipient).await;
    assert!(status.live);
    assert_eq!(status.lease_until, end.plus(36 * DAY), "from its present end, not from now");
    assert_eq!(status.receipts.len(), 9);
    let ends: Vec<_> =
        status.receipts.iter().map(|one| bench.open_receipt(one).lease_until).collect();
    assert!(ends.is_sorted() && ends.last() == Some(&status.lease_until));
}

#[tokio::test]
async fn a_chunk_is_extended_at_the_price_of_a_chunk() {
    let bench = Bench::new().await;
    let chunk = bench.chunk(&super::support::noise(SizeClass::M4, 0)).await;
    let kind = ResourceKind::Extension { lease_id: chunk.lease_id };
    let request = ResourceRequest { days: 30, kind }.encode();
    let problem = quote(&bench, "/v1/extensions", request).await;
    assert_eq!(problem.price.map(|price| price.credits), Some(Credits(4)));
    let by_reader = ResourceKind::Extension { lease_id: chunk.reader_id };
    let request = ResourceRequest { days: 30, kind: by_reader }.encode();
    let problem = quote(&bench, "/v1/extensions", request).await;
    assert_eq!(problem.problem, ProblemType::ResourceNotFound);
}

#[tokio::test]
async fn no_more_is_promised_than_there_is() {
    let vendor = TestVendor::new(0).into();
    let bench = Bench::with(2, vendor, |config| {
        config.storage.queues = 1;
        config.storage.chunks = HumanSize(320 << 10);
    })
    .await;
    let queue = bench.queue().await;
    let refused =
        bench.provision(Route::Queues, queue_kind(&bench), &bench.paid(1, DAY)).await.unwrap_err();
    assert!(matches!(refused, RequestError::NoSpace));
    let problem = Problem::from(refused).problem;
    assert!(problem == ProblemType::StorageFull && problem.nothing_taken());

    let provision = async |size| {
        let paid = bench.paid(1, DAY);
        bench.provision(Route::Chunks, chunk_kind(&bench, size), &paid).await.is_ok()
    };
    assert!(provision(SizeClass::K256).await);
    assert!(!provision(SizeClass::K256).await);
    assert!(provision(SizeClass::K64).await);
    assert!(!provision(SizeClass::K64).await);
    let request = ResourceRequest { days: 1, kind: chunk_kind(&bench, SizeClass::K64) }.encode();
    assert_eq!(quote(&bench, "/v1/chunks", request).await.problem, ProblemType::StorageFull);

    let path = format!("/v1/leases/{}", queue.lease_id);
    bench.command(&queue.recipient, Method::DELETE, &path, &[]).await;
    bench.clock.advance(DAY + KEPT);
    for _ in 0..2 {
        bench.relay.collect_now().await.unwrap(); // twice: what is taken back is taken back once
    }
    assert!(provision(SizeClass::K256).await && provision(SizeClass::K64).await);
    assert!(!provision(SizeClass::K64).await);
    bench.queue().await;
}

#[tokio::test]
async fn amounts_beyond_a_receipt_are_refused_and_long_leases_do_not_overflow() {
    let bench = Bench::new().await;
    let paid = bench.paid(1 << 32, DAY);
    let refused = bench.provision(Route::Queues, queue_kind(&bench), &paid).await.unwrap_err();
    assert_eq!(Problem::from(refused).problem, ProblemType::RequestRefused);
    let paid = bench.paid((1 << 32) - 1, u64::MAX);
    let queue = bench.queue_paid_by(&paid).await;
    let kind = ResourceKind::Extension { lease_id: queue.lease_id };
    let paid = bench.paid((1 << 32) - 1, 30 * DAY);
    bench.provision(Route::Extensions, kind, &paid).await.unwrap();
    let status = bench.lease(queue.lease_id, &queue.recipient).await;
    assert_eq!((status.live, status.lease_until.0), (true, i64::MAX as u64));
    let path = queue.receive_path();
    let answer = bench.command(&queue.recipient, Method::GET, &path, &[]).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn the_two_addresses_of_a_resource_share_nothing() {
    let bench = Bench::new().await;
    let queue = bench.queue().await;
    let (one, other) = (queue.lease_id.as_bytes(), queue.sender_id.as_bytes());
    assert!(!one.windows(4).any(|part| other.windows(4).any(|other| other == part)));
}
