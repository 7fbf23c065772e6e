//! The end of leases.

use std::time::{Duration, Instant};

use http::Method;
use scrip_protocol::{problem::ProblemType, resource::SizeClass};

use super::support::{Bench, DAY, noise};
use crate::collector::Rounds;

#[tokio::test]
async fn an_ended_lease_says_so_for_30_days_and_is_then_unknown() {
    let bench = Bench::new().await;
    let paid = bench.paid(2, DAY);
    let queue = bench.queue_paid_by(&paid).await;
    let get = async || {
        let path = queue.receive_path();
        bench.command(&queue.recipient, Method::GET, &path, &[]).await
    };
    let end = bench.now().plus(2 * DAY);
    bench.clock.set(end.minus(1));
    assert_eq!(get().await.status, 204);
    bench.clock.set(end);
    assert_eq!(get().await.problem(), ProblemType::LeaseEnded, "its last second has passed");
    bench.relay.collect_now().await.unwrap();
    let status = bench.lease(queue.lease_id, &queue.recipient).await;
    assert_eq!((status.live, status.lease_until), (false, end));
    bench.clock.set(end.plus(30 * DAY - 1));
    bench.relay.collect_now().await.unwrap();
    assert_eq!(get().await.problem(), ProblemType::LeaseEnded);
    bench.clock.advance(1);
    assert_eq!(get().await.problem(), ProblemType::ResourceNotFound, "before it is collected too");
    bench.relay.collect_now().await.unwrap();
    assert_eq!(get().await.problem(), ProblemType::ResourceNotFound);
    let receipt = bench.relay.store().reader().receipt_of_payment(paid.payment_id).await;
    assert_eq!(receipt.unwrap(), None);
}

#[tokio::test]
async fn collection_leaves_the_living_alone() {
    let bench = Bench::new().await;
    let short = bench.queue_paid_by(&bench.paid(1, DAY)).await;
    let long = bench.queue_paid_by(&bench.paid(9, DAY)).await;
    for queue in [&short, &long] {
        let block = vec![1; 16_384];
        bench.command(&queue.sender, Method::POST, &queue.send_path(), &block).await;
    }
    bench.clock.advance(2 * DAY);
    bench.relay.collect_now().await.unwrap();
    let usage = bench.relay.store().reader().usage(bench.now()).await.unwrap();
    assert_eq!((usage.queues, usage.messages), (1, 1));
    let path = long.receive_path();
    assert_eq!(bench.command(&long.recipient, Method::GET, &path, &[]).await.status, 200);
}

#[tokio::test]
async fn hundreds_of_leases_are_collected_in_steps() {
    let bench = Bench::new().await;
    for _ in 0..300 {
        bench.queue_paid_by(&bench.paid(1, DAY)).await;
    }
    bench.clock.advance(2 * DAY);
    bench.relay.collect_now().await.unwrap();
    assert!(bench.relay.store().reader().uncollected().await.unwrap().is_empty());
    bench.clock.advance(30 * DAY);
    bench.relay.collect_now().await.unwrap();
    assert_eq!(bench.relay.store().reader().last_lease().await.unwrap().0, 0);
    let queue = bench.queue().await;
    let number = bench.relay.store().reader().lease_of_owner(queue.lease_id).await.unwrap();
    assert_eq!(number.unwrap().number.0, 301, "numbers are never used twice");
}

#[tokio::test]
async fn what_a_lease_was_promised_is_taken_back_once() {
    let bench = Bench::new().await;
    let bytes = noise(SizeClass::K64, 0);
    let (first, _second) = (bench.chunk(&bytes).await, bench.chunk(&bytes).await);
    let store = bench.relay.store();
    let first = store.reader().lease_of_owner(first.lease_id).await.unwrap().unwrap();
    store.collect(vec![first.number]).await.unwrap();
    let promised = async || store.reader().usage(bench.now()).await.unwrap().chunk_bytes_promised;
    assert_eq!(promised().await, 2 * bytes.len() as u64, "it lives");
    assert!(store.end_lease(first.number, bench.now(), vec![1], [1; 16]).await.unwrap());
    assert!(!store.end_lease(first.number, bench.now(), vec![1], [2; 16]).await.unwrap());
    for _ in 0..2 {
        store.collect(vec![first.number, first.number]).await.unwrap();
        assert_eq!(promised().await, bytes.len() as u64);
    }
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_ends_nothing_in_the_background() {
    let bench = Bench::new().await;
    let (bytes, now) = (noise(SizeClass::K64, 1), bench.now());
    let chunk = bench.chunk(&bytes).await;
    bench.command(&chunk.owner, Method::PUT, &chunk.upload_path(), &bytes).await;
    let core = bench.relay.core();
    let start = Instant::now();
    let mut rounds = Rounds::new(core, start);
    let live = async || bench.lease(chunk.lease_id, &chunk.owner).await.live;

    bench.clock.set(now.plus(31 * DAY));
    rounds.round(core, start + Duration::from_secs(60)).await.unwrap();
    bench.clock.set(now.plus(120));
    rounds.round(core, start + Duration::from_secs(120)).await.unwrap();
    assert!(live().await, "it was set right in time");
    let path = chunk.download_path();
    let answer = bench.command(&chunk.reader, Method::GET, &path, &[]).await;
    assert!(answer.body == bytes);

    bench.clock.set(now.plus(31 * DAY));
    rounds.round(core, start + Duration::from_secs(31 * DAY)).await.unwrap();
    assert!(!live().await, "time that passed is believed");
    let usage = bench.relay.store().reader().usage(bench.now()).await.unwrap();
    assert_eq!(usage.chunk_bytes_promised, 0);
}
