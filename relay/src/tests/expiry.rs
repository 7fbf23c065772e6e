//! The end of leases.

use http::Method;
use scrip_protocol::{problem::ProblemType, resource::SizeClass, time::UnixSeconds};
use scrip_runtime::plausible::KEPT;

use super::support::{Bench, Chunk, DAY, Queue, noise};
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
    bench.clock.advance(KEPT);
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
    bench.clock.advance(2 * DAY + KEPT);
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
    bench.clock.advance(2 * DAY + KEPT);
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

/// A relay with a queue in which a message waits, and an uploaded chunk.
async fn with_content() -> (Bench, Queue, Chunk, Vec<u8>) {
    let bench = Bench::new().await;
    let bytes = noise(SizeClass::K64, 1);
    let chunk = bench.chunk(&bytes).await;
    bench.command(&chunk.owner, Method::PUT, &chunk.upload_path(), &bytes).await;
    let queue = bench.queue().await;
    let block = vec![1; 16_384];
    bench.command(&queue.sender, Method::POST, &queue.send_path(), &block).await;
    (bench, queue, chunk, bytes)
}

/// That everything of [`with_content`] is there, and leased for as long as it was.
async fn all_is_there(
    bench: &Bench,
    queue: &Queue,
    chunk: &Chunk,
    bytes: &[u8],
    until: UnixSeconds,
) {
    let answer = bench.command(&chunk.reader, Method::GET, &chunk.download_path(), &[]).await;
    assert!(answer.body == bytes);
    let path = queue.receive_path();
    assert_eq!(bench.command(&queue.recipient, Method::GET, &path, &[]).await.status, 200);
    for (lease_id, key) in [(chunk.lease_id, &chunk.owner), (queue.lease_id, &queue.recipient)] {
        let lease = bench.lease(lease_id, key).await;
        assert_eq!((lease.live, lease.lease_until), (true, until));
    }
}

/// What the background does within a minute.
async fn a_minute_of_work(bench: &Bench, seconds: u64) {
    for _ in 0..3 {
        bench.relay.verifier().tend_clock().await.unwrap();
        bench.relay.collect_now().await.unwrap();
        bench.clock.advance(seconds / 3);
    }
}

#[tokio::test]
async fn a_clock_that_jumps_ends_and_deletes_nothing() {
    let (mut bench, queue, chunk, bytes) = with_content().await;
    let until = bench.now().plus(30 * DAY);
    for days in [1, 2, 40, 420] {
        for (ahead, lasts) in [(true, 3), (true, 60), (false, 3), (false, 60)] {
            let right = bench.now();
            let wrong = if ahead { right.plus(days * DAY) } else { right.minus(days * DAY) };
            bench.clock.jump(wrong);
            a_minute_of_work(&bench, lasts).await;
            // Also meanwhile: whether a lease lives goes by the believed time.
            let lease = bench.lease(chunk.lease_id, &chunk.owner).await;
            assert_eq!((lease.live, lease.lease_until), (true, until), "{days} {ahead}");
            bench.clock.jump(right.plus(lasts));
            a_minute_of_work(&bench, 60).await;
            all_is_there(&bench, &queue, &chunk, &bytes, until).await;

            // At boot.
            let right = bench.now();
            bench.clock.jump(if ahead { right.plus(days * DAY) } else { right.minus(days * DAY) });
            bench = bench.reopen().await;
            a_minute_of_work(&bench, 60).await;
            bench.clock.jump(right.plus(60));
            all_is_there(&bench, &queue, &chunk, &bytes, until).await;
            bench = bench.reopen().await;
            all_is_there(&bench, &queue, &chunk, &bytes, until).await;
        }
    }
    // What the boots have cost of the believed time is made up for.
    bench.clock.set(until.plus(KEPT));
    for _ in 0..60 {
        a_minute_of_work(&bench, 60).await;
    }
    assert!(!bench.lease(chunk.lease_id, &chunk.owner).await.live, "time that passed is believed");
    let usage = bench.relay.store().reader().usage(bench.now()).await.unwrap();
    assert_eq!(usage.chunk_bytes_promised, 0);
}

/// A lease that a believed clock says has ended is refused at once, and its content kept for three days: it lives again where the
/// clock was wrong after all.
#[tokio::test]
async fn what_ended_is_kept_for_three_days() {
    let bench = Bench::new().await;
    let bytes = noise(SizeClass::K64, 1);
    let chunk = bench.chunk(&bytes).await;
    bench.command(&chunk.owner, Method::PUT, &chunk.upload_path(), &bytes).await;
    let (right, until) = (bench.now(), bench.now().plus(30 * DAY));
    bench.clock.set(until.plus(KEPT - 60));
    a_minute_of_work(&bench, 3).await;
    let answer = bench.command(&chunk.reader, Method::GET, &chunk.download_path(), &[]).await;
    assert_eq!(answer.problem(), ProblemType::LeaseEnded);
    bench.clock.jump(right.plus(60));
    let answer = bench.command(&chunk.reader, Method::GET, &chunk.download_path(), &[]).await;
    assert!(answer.body == bytes);
}

/// The remembered time is one small file; a person lets it go on at once, and a damaged one only costs time.
#[tokio::test]
async fn after_a_downtime_a_person_says_that_the_clock_is_right() {
    let (bench, queue, chunk, _) = with_content().await;
    let until = bench.now().plus(30 * DAY);
    let (config, path) = (bench.relay.config().clone(), bench.directory.path().join("clock"));
    bench.clock.jump(until.plus(KEPT));
    let bench = bench.reopen().await;
    a_minute_of_work(&bench, 60).await;
    assert!(bench.lease(queue.lease_id, &queue.recipient).await.live);
    let status = crate::report::status(&config, bench.now()).await.unwrap();
    let command = format!("clock confirm {}", bench.now().day());
    assert!(status.clock.is_some_and(|doubt| doubt.contains(&command)));
    let other = crate::report::confirm_clock(&config, "2001-01-01", bench.now());
    assert!(other.is_err());
    crate::report::confirm_clock(&config, &bench.now().day().to_string(), bench.now()).unwrap();
    a_minute_of_work(&bench, 60).await;
    assert!(!bench.lease(chunk.lease_id, &chunk.owner).await.live);
    let status = crate::report::status(&config, bench.now()).await.unwrap();
    assert_eq!((status.clock, status.usage.chunk_bytes_promised), (None, 0));

    std::fs::write(&path, "noise").unwrap();
    let bench = bench.reopen().await;
    a_minute_of_work(&bench, 60).await;
    assert!(bench.relay.verifier().believed().is_in_doubt());
}
