//! What is committed stays, or is missed.

use futures_util::future::join_all;
use scrip_protocol::time::UnixSeconds;

use super::{Cluster, Store, StoreError, open, sqlite_url};
use crate::store::Doubt;

/// The marks of transactions: none is lost on another's account, and one that is gone is missed by the next.
async fn marks_conform(url: &str) {
    let store = open(url).await.remembering([7; 16]);
    store.begin_ledger(&[1; 32], &[]).await.unwrap();
    let write = |n: u64| {
        let store = store.clone();
        async move { store.source_failed(&format!("source {n}"), UnixSeconds(n), "").await }
    };
    for done in join_all((0..32).map(write)).await {
        done.unwrap();
    }
    assert_eq!(store.tally().await.unwrap().total, 32);
    let marks = store.marks_of(&[7; 16]).await.unwrap();
    let mut remembered = store.memory().unwrap().marks();
    remembered.sort_unstable();
    assert_eq!(sorted(marks), remembered);
    // Another process has its own.
    let other = open(url).await.remembering([8; 16]);
    other.source_failed("other", UnixSeconds(1), "").await.unwrap();
    assert_eq!(store.tally().await.unwrap().total, 33);
    // A process that ends leaves the sum.
    store.fold_marks().await.unwrap();
    assert_eq!(store.tally().await.unwrap().total, 33);
    write(40).await.unwrap();
    write(41).await.unwrap();
    // What it committed is not there any more.
    let back = "UPDATE marks SET number = number - 1 WHERE number > 1";
    store.execute_raw(back).await.unwrap();
    let refused = write(42).await;
    assert!(matches!(refused, Err(StoreError::Doubted(Doubt::Lost))), "{refused:?}");
    assert!(matches!(write(43).await, Err(StoreError::Doubted(_))), "and all that come after");
    other.source_failed("other", UnixSeconds(2), "").await.unwrap();
}

fn sorted(mut marks: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    marks.sort_unstable();
    marks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_transaction_that_is_gone_is_missed() {
    let directory = tempfile::tempdir().unwrap();
    marks_conform(&sqlite_url(&directory.path().join("test.db"))).await;
    let Some(cluster) = Cluster::start("marks of transactions") else { return };
    marks_conform(&cluster.database().unwrap()).await;
}

/// Whatever the database, the role or the URL have as their default, what is committed is on the disk.
#[tokio::test]
async fn commits_are_durable_or_nothing_starts() {
    let Some(cluster) = Cluster::start("durable commits") else { return };
    let url = cluster.database().unwrap();
    for weak in ["off", "local", "remote_write"] {
        let url = format!("{url}&options=-c%20synchronous_commit={weak}");
        let store = open(&url).await;
        let setting = store.read("setting", |tx| {
            Box::pin(async move {
                let sql = "SELECT current_setting('synchronous_commit') AS value";
                let row = sqlx::query(sql).fetch_one(tx.connection()).await?;
                Ok(sqlx::Row::try_get::<String, _>(&row, "value")?)
            })
        });
        assert_eq!(setting.await.unwrap(), "on", "{weak}");
    }
    cluster.configure("fsync = off").unwrap();
    let refused = Store::open(&url, 1, true).await;
    assert!(matches!(refused, Err(StoreError::NotDurable { setting: "fsync", .. })), "{refused:?}");
    cluster.configure("fsync = on").unwrap();
    open(&url).await;
}
