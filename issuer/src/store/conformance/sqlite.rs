//! What only a SQLite database does.

use std::sync::Arc;

use tokio::sync::{Mutex, Notify};

use super::{NewVoucher, Store, StoreError, TxError, add_vouchers, open, voucher};
use crate::config::sqlite_url;

/// SQLite rolls back by itself where the disk is full. What comes after must work once there is room again.
#[tokio::test]
async fn a_full_disk_is_a_failure_of_its_own_time_only() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&sqlite_url(&directory.path().join("test.db"))).await;
    let limit = async |pages: &'static str| {
        let mut connection = store.writer.acquire().await.unwrap();
        sqlx::raw_sql(pages).execute(&mut *connection).await.unwrap();
    };
    limit("PRAGMA max_page_count = 1").await; // SQLite takes the present size, where that is more
    let many: Vec<NewVoucher> = (0..250).map(voucher).collect();
    let full = add_vouchers(&store, 1, &many).await;
    assert!(matches!(full, Err(StoreError::Failed { .. })), "{full:?}");
    limit("PRAGMA max_page_count = 1000000").await;
    add_vouchers(&store, 1, &many).await.expect("there is room again");
}

#[tokio::test]
async fn damage_is_found_before_anything_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.db");
    let store = open(&sqlite_url(&path)).await;
    let many: Vec<NewVoucher> = (0..250).map(voucher).collect();
    add_vouchers(&store, 1, &many).await.unwrap();
    store.check_integrity().await.unwrap();
    store.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    // The last pages: the first have the schema, which opening reads anyway.
    let from = bytes.len() - 3 * 4_096;
    bytes[from..].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    let store = Store::open(&sqlite_url(&path), 1, false).await.expect("nobody has looked");
    let error = store.check_integrity().await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("restore the newest backup"), "{error}");
}

/// What others wait for does not stand behind all who came before.
#[tokio::test]
async fn who_writes_next_waits_for_one_writer_at_most() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&sqlite_url(&directory.path().join("test.db"))).await;
    let (order, began, go) =
        (Arc::new(Mutex::new(Vec::new())), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let first = {
        let (store, order) = (store.clone(), order.clone());
        let (began, go) = (began.clone(), go.clone());
        tokio::spawn(async move {
            let (order, began, go) = (&order, &began, &go);
            let wrote = store.run_tx("first", |_| {
                Box::pin(async move {
                    began.notify_one();
                    go.notified().await;
                    order.lock().await.push("first");
                    Ok(())
                })
            });
            wrote.await.unwrap();
        })
    };
    began.notified().await;
    let mut others = Vec::new();
    for name in ["second", "third", "next"] {
        let (store, order) = (store.clone(), order.clone());
        let task = tokio::spawn(async move { write(&store, name, &order).await });
        // On the one thread of this test it comes as far as it can, which is into the line.
        tokio::task::yield_now().await;
        others.push(task);
    }
    go.notify_one();
    first.await.unwrap();
    for other in others {
        other.await.unwrap();
    }
    assert_eq!(*order.lock().await, ["first", "next", "second", "third"]);
}

async fn write(store: &Store, name: &'static str, order: &Mutex<Vec<&'static str>>) {
    match name {
        "next" => store.run_tx_next(name, |_| Box::pin(note(name, order))).await.unwrap(),
        _ => store.run_tx(name, |_| Box::pin(note(name, order))).await.unwrap(),
    }
}

async fn note(name: &'static str, order: &Mutex<Vec<&'static str>>) -> Result<(), TxError> {
    order.lock().await.push(name);
    Ok(())
}
