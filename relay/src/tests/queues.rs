//! Messages, from sending to expiry.

use axum::body::Body;
use http::{Method, StatusCode};
use scrip_protocol::{
    id::MessageId,
    limits::{MAX_QUEUE_MESSAGES, MESSAGE_BLOCK, MESSAGE_LIFETIME},
    problem::ProblemType,
    receipt::ReceiptEvent,
};

use super::support::{Answer, Bench, DAY, Queue, execute};
use crate::store::MAX_QUEUE_NONCES;

fn block(filling: u8) -> Vec<u8> {
    vec![filling; MESSAGE_BLOCK]
}

async fn send(bench: &Bench, queue: &Queue, filling: u8) -> Answer {
    bench.command(&queue.sender, Method::POST, &queue.send_path(), &block(filling)).await
}

async fn receive(bench: &Bench, queue: &Queue) -> Answer {
    bench.command(&queue.recipient, Method::GET, &queue.receive_path(), &[]).await
}

/// Reads a message and removes it; gives its first byte.
async fn take(bench: &Bench, queue: &Queue) -> Option<u8> {
    let answer = receive(bench, queue).await;
    if answer.status == StatusCode::NO_CONTENT {
        return None;
    }
    assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 16 + MESSAGE_BLOCK));
    let (id, block) = answer.body.split_at(16);
    let id = MessageId::from_bytes(id.try_into().unwrap());
    let path = format!("{}/{id}", queue.receive_path());
    for _ in 0..2 {
        let removed = bench.command(&queue.recipient, Method::DELETE, &path, &[]).await;
        assert_eq!(removed.status, StatusCode::NO_CONTENT, "also where it is gone already");
    }
    assert!(block.iter().all(|byte| byte == &block[0]));
    Some(block[0])
}

#[tokio::test]
async fn messages_come_out_in_the_order_in_which_they_went_in() {
    let bench = Bench::new().await;
    let (queue, other) = (bench.queue().await, bench.queue().await);
    assert_eq!(take(&bench, &queue).await, None);
    for filling in 1..=3 {
        assert_eq!(send(&bench, &queue, filling).await.status, StatusCode::NO_CONTENT);
    }
    send(&bench, &other, 9).await;
    let first = receive(&bench, &queue).await.body;
    assert_eq!(receive(&bench, &queue).await.body, first, "it stays until it is removed");
    for filling in 1..=3 {
        assert_eq!(take(&bench, &queue).await, Some(filling));
    }
    assert_eq!(take(&bench, &queue).await, None);
    assert_eq!(take(&bench, &other).await, Some(9));
}

#[tokio::test]
async fn the_same_nonce_is_the_same_message_also_after_it_was_read() {
    let bench = Bench::new().await;
    let queue = bench.queue().await;
    let path = queue.send_path();
    let auth = bench.sign(&queue.sender, &Method::POST, &path, &block(1));
    for _ in 0..2 {
        let answer = bench.send(Method::POST, &path, Some(&auth), Body::from(block(1))).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(take(&bench, &queue).await, Some(1));
    let again = bench.send(Method::POST, &path, Some(&auth), Body::from(block(1))).await;
    assert_eq!(again.status, StatusCode::NO_CONTENT);
    assert_eq!(take(&bench, &queue).await, None);

    let queue = bench.queue().await;
    let path = queue.send_path();
    let auth = bench.sign(&queue.sender, &Method::POST, &path, &block(1));
    let twice = async |bench: &Bench| {
        let sent = || bench.send(Method::POST, &path, Some(&auth), Body::from(block(1)));
        let (first, second) = tokio::join!(sent(), sent());
        assert_eq!((first.status, second.status), (StatusCode::NO_CONTENT, StatusCode::NO_CONTENT));
    };
    twice(&bench).await;
    assert_eq!(take(&bench, &queue).await, Some(1));
    assert_eq!(take(&bench, &queue).await, None, "at the same time too");
}

#[tokio::test]
async fn a_full_queue_takes_no_more_until_one_is_read() {
    let bench = Bench::new().await;
    let queue = bench.queue().await;
    let path = queue.send_path();
    let first = bench.sign(&queue.sender, &Method::POST, &path, &block(0));
    bench.send(Method::POST, &path, Some(&first), Body::from(block(0))).await;
    for n in 1..MAX_QUEUE_MESSAGES as u8 {
        assert_eq!(send(&bench, &queue, n).await.status, StatusCode::NO_CONTENT, "{n}");
    }
    let refused = bench.sign(&queue.sender, &Method::POST, &path, &block(200));
    let answer = bench.send(Method::POST, &path, Some(&refused), Body::from(block(200))).await;
    assert_eq!(answer.problem(), ProblemType::QueueFull);
    let repeated = bench.send(Method::POST, &path, Some(&first), Body::from(block(0))).await;
    assert_eq!(repeated.status, StatusCode::NO_CONTENT, "what was taken stays taken");
    assert_eq!(take(&bench, &queue).await, Some(0));
    let answer = bench.send(Method::POST, &path, Some(&refused), Body::from(block(200))).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "a refused nonce is not remembered");
}

#[tokio::test]
async fn messages_expire_before_they_are_collected_and_make_room() {
    let bench = Bench::new().await;
    let queue = bench.queue_paid_by(&bench.paid(60, DAY)).await;
    for n in 0..MAX_QUEUE_MESSAGES as u8 {
        send(&bench, &queue, n).await;
    }
    bench.clock.advance(MESSAGE_LIFETIME - 1);
    assert_eq!(receive(&bench, &queue).await.status, StatusCode::OK);
    bench.clock.advance(1);
    assert_eq!(receive(&bench, &queue).await.status, StatusCode::NO_CONTENT);
    assert_eq!(send(&bench, &queue, 77).await.status, StatusCode::NO_CONTENT);
    bench.relay.collect_now().await.unwrap();
    assert_eq!(take(&bench, &queue).await, Some(77));
    let usage = bench.relay.store().reader().usage(bench.now()).await.unwrap();
    assert_eq!((usage.queues, usage.messages), (1, 0));
}

#[tokio::test]
async fn a_queue_remembers_no_more_than_so_many_messages_that_were_read() {
    let bench = Bench::new().await;
    let queue = bench.queue_paid_by(&bench.paid(60, DAY)).await;
    let other = bench.queue().await;
    let path = queue.send_path();
    let first = bench.sign(&queue.sender, &Method::POST, &path, &block(1));
    let again = || bench.send(Method::POST, &path, Some(&first), Body::from(block(1)));
    assert_eq!(again().await.status, StatusCode::NO_CONTENT);
    assert_eq!(take(&bench, &queue).await, Some(1));
    // As many as sending and reading leaves behind, but for one.
    let database = bench.directory.path().join("relay.db");
    let nonces = format!(
        "WITH RECURSIVE n (at) AS (SELECT 2 UNION ALL SELECT at + 1 FROM n WHERE at < {})
         INSERT INTO nonces (lease, nonce, expires)
         SELECT lease, CAST(printf('%016d', at) AS BLOB), expires FROM nonces, n",
        MAX_QUEUE_NONCES - 1
    );
    execute(&database, nonces).await;
    assert_eq!(send(&bench, &queue, 2).await.status, StatusCode::NO_CONTENT);
    assert_eq!(take(&bench, &queue).await, Some(2));
    assert_eq!(send(&bench, &queue, 3).await.problem(), ProblemType::QueueFull);
    assert_eq!(again().await.status, StatusCode::NO_CONTENT, "what was taken stays taken");
    assert_eq!(take(&bench, &queue).await, None);
    assert_eq!(send(&bench, &other, 4).await.status, StatusCode::NO_CONTENT);
    bench.clock.advance(MESSAGE_LIFETIME);
    assert_eq!(send(&bench, &queue, 5).await.status, StatusCode::NO_CONTENT);
    assert_eq!(take(&bench, &queue).await, Some(5));
}

#[tokio::test]
async fn only_whole_blocks_are_messages() {
    let bench = Bench::new().await;
    let queue = bench.queue().await;
    for (size, problem) in [
        (0, ProblemType::Malformed),
        (MESSAGE_BLOCK - 1, ProblemType::Malformed),
        (MESSAGE_BLOCK + 1, ProblemType::TooLarge),
    ] {
        let body = vec![1; size];
        let path = queue.send_path();
        let answer = bench.command(&queue.sender, Method::POST, &path, &body).await;
        assert_eq!(answer.problem(), problem, "{size}");
    }
    assert_eq!(take(&bench, &queue).await, None);
}

#[tokio::test]
async fn the_sides_of_a_queue_cannot_take_each_others_place() {
    let bench = Bench::new().await;
    let queue = bench.queue().await;
    assert_eq!(send(&bench, &queue, 1).await.status, StatusCode::NO_CONTENT);
    let attempts = [
        (&queue.sender, Method::GET, queue.receive_path()),
        (&queue.sender, Method::GET, queue.send_path()),
        (&queue.recipient, Method::GET, queue.send_path()),
        (&queue.sender, Method::GET, format!("/v1/leases/{}", queue.sender_id)),
        (&queue.sender, Method::DELETE, format!("/v1/leases/{}", queue.lease_id)),
        (&queue.recipient, Method::GET, format!("/v1/chunks/{}", queue.lease_id)),
        (&queue.sender, Method::GET, format!("/v1/chunks/{}", queue.sender_id)),
    ];
    for (key, method, path) in attempts {
        let answer = bench.command(key, method, &path, &[]).await;
        assert_eq!(answer.problem(), ProblemType::ResourceNotFound, "{path}");
    }
    let path = queue.receive_path();
    let answer = bench.command(&queue.recipient, Method::POST, &path, &block(2)).await;
    assert_eq!(answer.problem(), ProblemType::ResourceNotFound);
    assert_eq!(take(&bench, &queue).await, Some(1));
}

#[tokio::test]
async fn a_deleted_lease_takes_its_messages_along() {
    let bench = Bench::new().await;
    let queue = bench.queue().await;
    send(&bench, &queue, 1).await;
    let path = format!("/v1/leases/{}", queue.lease_id);
    for _ in 0..2 {
        let answer = bench.command(&queue.recipient, Method::DELETE, &path, &[]).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(receive(&bench, &queue).await.problem(), ProblemType::LeaseEnded);
    assert_eq!(send(&bench, &queue, 2).await.problem(), ProblemType::LeaseEnded);
    bench.relay.collect_now().await.unwrap();
    let status = bench.lease(queue.lease_id, &queue.recipient).await;
    assert!(!status.live);
    assert_eq!(status.lease_until, bench.now());
    let last = bench.open_receipt(status.receipts.last().unwrap());
    assert_eq!(last.event, ReceiptEvent::Ended);
    assert_eq!((last.credits, last.detail.len()), (0, 0));
    assert_eq!(last.payment_id, bench.open_receipt(&status.receipts[0]).payment_id);
    assert_eq!(status.receipts.len(), 2, "deleting twice is deleting once");
}
