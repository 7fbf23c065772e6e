//! What a crash at a durable step leaves behind, and what the next start makes of it.

use std::{fs, sync::Arc};

use http::{Method, StatusCode};
use scrip_protocol::{problem::ProblemType, resource::SizeClass};
use scrip_runtime::steps::Steps;

use super::support::{Bench, Chunk, noise};
use crate::{lock::LockError, requests::Route};

/// Panics at a step, which ends the task that takes it and nothing else: as a crash does, for what is on the disk.
fn crash_at(step: &'static str) -> Steps {
    Steps::observe(move |name| assert_ne!(name, step, "the crash that the test wants"))
}

async fn upload(bench: &Bench, chunk: &Chunk, bytes: &[u8]) -> StatusCode {
    bench.command(&chunk.owner, Method::PUT, &chunk.upload_path(), bytes).await.status
}

fn stored(bench: &Bench) -> bool {
    bench.directory.path().join("chunks/stored/0/1").exists()
}

#[tokio::test]
async fn an_upload_survives_a_crash_at_every_step() {
    for (step, done) in [
        ("relay.chunk.received", false),
        ("relay.chunk.named", false),
        ("relay.chunk.stored", true),
    ] {
        let bench = Bench::new().await.reopen_with(crash_at(step)).await;
        let bytes = noise(SizeClass::K64, 1);
        let chunk = bench.chunk(&bytes).await;
        let bench = Arc::new(bench);
        let chunk = Arc::new(chunk);
        let crashing = tokio::spawn({
            let (bench, chunk, bytes) = (bench.clone(), chunk.clone(), bytes.clone());
            async move { upload(&bench, &chunk, &bytes).await }
        });
        assert!(crashing.await.unwrap_err().is_panic(), "{step}");
        let bench = Arc::into_inner(bench).unwrap().reopen().await;
        assert_eq!(stored(&bench), done, "{step}: a file that no row knows is gone");
        let answer = bench.command(&chunk.reader, Method::GET, &chunk.download_path(), &[]).await;
        match done {
            true => assert!(answer.body == bytes),
            false => assert_eq!(answer.problem(), ProblemType::ChunkNotUploaded, "{step}"),
        }
        assert_eq!(upload(&bench, &chunk, &bytes).await, StatusCode::NO_CONTENT, "{step}");
        assert!(stored(&bench));
    }
}

#[tokio::test]
async fn files_of_nobody_are_removed_and_lost_ones_can_be_uploaded_again() {
    let bench = Bench::new().await;
    let bytes = noise(SizeClass::K64, 1);
    let (kept, lost) = (bench.chunk(&bytes).await, bench.chunk(&bytes).await);
    upload(&bench, &kept, &bytes).await;
    upload(&bench, &lost, &bytes).await;
    let chunks = bench.directory.path().join("chunks");
    fs::remove_file(chunks.join("stored/0/2")).unwrap();
    fs::write(chunks.join("stored/0/77"), "orphan").unwrap();
    fs::create_dir(chunks.join("stored/5")).unwrap();
    fs::write(chunks.join("stored/5/5121"), "orphan").unwrap();
    fs::write(chunks.join("stored/5/README"), "not ours").unwrap();
    fs::create_dir(chunks.join("stored/6")).unwrap();
    fs::write(chunks.join("incoming/3"), "half of a chunk").unwrap();
    let bench = bench.reopen().await;
    assert!(!chunks.join("stored/0/77").exists() && !chunks.join("stored/5/5121").exists());
    assert!(chunks.join("stored/5/README").exists() && !chunks.join("stored/6").exists());
    assert_eq!(fs::read_dir(chunks.join("incoming")).unwrap().count(), 0);
    let get = async |chunk: &Chunk| {
        bench.command(&chunk.reader, Method::GET, &chunk.download_path(), &[]).await
    };
    assert!(get(&kept).await.body == bytes);
    assert_eq!(get(&lost).await.problem(), ProblemType::ChunkNotUploaded);
    assert_eq!(upload(&bench, &lost, &bytes).await, StatusCode::NO_CONTENT);
    assert!(get(&lost).await.body == bytes);
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let bench = Bench::new().await;
    let paid = bench.paid(30, 86_400);
    let queue = bench.queue_paid_by(&paid).await;
    let block = vec![3; 16_384];
    bench.command(&queue.sender, Method::POST, &queue.send_path(), &block).await;
    let before = bench.lease(queue.lease_id, &queue.recipient).await;
    let key = bench.relay.operator_key();
    let bench = bench.reopen().await;
    assert_eq!(bench.relay.operator_key(), key);
    assert_eq!(bench.lease(queue.lease_id, &queue.recipient).await, before);
    let path = queue.receive_path();
    let answer = bench.command(&queue.recipient, Method::GET, &path, &[]).await;
    assert!(answer.body.ends_with(&block));
    let kind = scrip_protocol::resource::ResourceKind::Queue {
        recipient_key: queue.recipient.public(),
        sender_key: queue.sender.public(),
    };
    let again = bench.provision(Route::Queues, kind, &paid).await.unwrap();
    assert_eq!(again.lease_id, queue.lease_id, "the payment has bought already");
}

#[tokio::test]
async fn two_relays_never_share_a_directory() {
    let bench = Bench::new().await;
    let second = crate::lock::DirectoryLock::acquire(bench.directory.path());
    assert!(matches!(second, Err(LockError::Held { .. })));
}
