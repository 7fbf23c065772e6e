//! What the database promises.

use scrip_protocol::id::MessageId;

use super::support::{Bench, execute};
use crate::store::{LeaseNumber, Reader, Sent, Store, StoreError};

#[tokio::test]
async fn databases_of_other_releases_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("relay.db");
    assert!(matches!(Store::open(&path, false).await, Err(StoreError::Open { .. })));
    Store::open(&path, true).await.unwrap().close().await;
    Reader::open(&path).await.unwrap().close().await;
    execute(&path, "PRAGMA user_version = 99").await;
    for opened in [Store::open(&path, false).await.map(drop), Reader::open(&path).await.map(drop)] {
        assert!(matches!(opened, Err(StoreError::TooNew { found: 99, .. })));
    }
    let empty = directory.path().join("empty.db");
    execute(&empty, "PRAGMA journal_mode = WAL").await;
    execute(&empty, "CREATE TABLE x (y)").await;
    assert!(matches!(Reader::open(&empty).await, Err(StoreError::TooOld { found: 0, .. })));
}

#[cfg(unix)]
#[tokio::test]
async fn the_database_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new().await;
    for name in ["relay.db", "relay.db-wal"] {
        let metadata = std::fs::metadata(bench.directory.path().join(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn transactions_that_share_a_commit_fail_on_their_own() {
    let bench = Bench::new().await;
    let queue = bench.queue().await;
    let store = bench.relay.store();
    let lease = store.reader().lease_of_owner(queue.lease_id).await.unwrap().unwrap().number;
    let send = |n: u8, lease: LeaseNumber| {
        let id = MessageId::from_bytes([n; 16]);
        store.send(lease, [n; 16], id, vec![n; 16_384], bench.now())
    };
    let nobody = LeaseNumber(999);
    let sent = tokio::join!(send(1, lease), send(2, nobody), send(3, lease), send(1, lease));
    assert!(matches!(sent.0, Ok(Sent::Stored)));
    assert!(matches!(sent.1, Ok(Sent::Ended)));
    assert!(matches!(sent.2, Ok(Sent::Stored)));
    assert!(matches!(sent.3, Ok(Sent::Repeated)));

    // A transaction that fails in its middle leaves nothing of itself, and its neighbours alone.
    execute(
        &bench.directory.path().join("relay.db"),
        "CREATE TRIGGER refuse BEFORE INSERT ON messages WHEN NEW.message_id = x'04040404040404040404040404040404'
         BEGIN SELECT RAISE(ABORT, 'refused'); END",
    )
    .await;
    let sent = tokio::join!(send(5, lease), send(4, lease), send(6, lease));
    assert!(matches!(sent.0, Ok(Sent::Stored)));
    assert!(matches!(sent.1, Err(StoreError::Failed { transaction: "send", .. })));
    assert!(matches!(sent.2, Ok(Sent::Stored)));
    execute(&bench.directory.path().join("relay.db"), "DROP TRIGGER refuse").await;
    assert!(matches!(send(4, lease).await, Ok(Sent::Stored)), "its nonce went with it");
}

#[tokio::test]
async fn a_closed_database_runs_nothing() {
    let bench = Bench::new().await;
    bench.relay.close().await;
    let sent = bench.relay.store().mark_uploaded(LeaseNumber(1), bench.now()).await;
    assert!(matches!(sent, Err(StoreError::NotRun { .. })));
}
