//! What every storage must do, run on each: a directory and an S3-compatible store.

use super::*;
use crate::{
    config::LedgerConfig,
    ledger::Storage,
    testing::{Failing, s3::FakeS3},
};

async fn conforms(storage: &Storage) {
    assert_eq!(storage.get("checkpoint").await.unwrap(), None);
    storage.put("checkpoint", b"one".to_vec()).await.unwrap();
    storage.put("checkpoint", b"two".to_vec()).await.unwrap();
    assert_eq!(storage.get("checkpoint").await.unwrap().unwrap(), b"two");
    let names = ["tile/0/000.p/1", "tile/0/000.p/255", "tile/0/000", "tile/0/x001/234.p/7"];
    let files = names.map(|name| (name.to_owned(), name.as_bytes().to_vec()));
    storage.put_all(files.to_vec()).await.unwrap();
    storage.put_all(files.to_vec()).await.unwrap();
    for name in names {
        assert_eq!(storage.get(name).await.unwrap().unwrap(), name.as_bytes(), "{name}");
    }
    storage.put("tile/public/000", Vec::new()).await.unwrap();
    assert_eq!(storage.get("tile/public/000").await.unwrap().unwrap(), b"", "without bytes");
    storage.delete_under("tile/0/000.p").await.unwrap();
    storage.delete_under("tile/0/000.p").await.unwrap();
    let left = ["tile/0/000", "tile/0/x001/234.p/7", "checkpoint"];
    for name in left {
        assert!(storage.get(name).await.unwrap().is_some(), "{name}");
    }
    assert_eq!(storage.get("tile/0/000.p/1").await.unwrap(), None);
    assert_eq!(storage.get("tile/0/000.p/255").await.unwrap(), None);
}

#[tokio::test]
async fn a_directory_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::open(&LedgerConfig::default(), Some(directory.path())).unwrap();
    conforms(&storage).await;
    let place = directory.path().join("ledger");
    assert_eq!(storage.place(), place.to_str().unwrap());
    assert!(place.join("tile/0/000").is_file(), "the paths of the specification");
}

#[tokio::test]
async fn an_s3_store_conforms() {
    let s3 = FakeS3::start().await.unwrap();
    let storage = Storage::open(&s3.config(), None).unwrap();
    conforms(&storage).await;
    assert!(s3.names().contains(&String::from("/ledgers/vendor/one/tile/0/000")));
    let shown = format!("{storage:?} {:?}", s3.config());
    assert!(!shown.contains("secret of"), "keys are never shown");
    let mut wrong = s3.config();
    wrong.access_key_id = Some("other".into());
    let wrong = Storage::open(&wrong, None).unwrap();
    let refused = wrong.put("checkpoint", Vec::new()).await.unwrap_err();
    assert!(!refused.to_string().contains("secret of"), "{refused}");
}

/// A whole ledger in an S3-compatible store, which fails for a while.
#[tokio::test]
async fn a_ledger_lies_in_an_s3_store() {
    let s3 = FakeS3::start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::sqlite(directory.path()).unwrap();
    setup.config.ledger = LedgerConfig { fill: 256, ..s3.config() };
    let vendor = setup.init().await.unwrap();
    let certificates = Wallet::new(1).buy(&vendor.issuer).await;
    let mut operator = Operator::new(&vendor, 1).await;
    let items: Vec<_> = certificates.iter().map(|c| operator.item(&vendor, c, 1)).collect();
    let keys: Vec<_> = items.iter().map(|item| item.token.nonce).collect();
    let batch = operator.batch(&vendor, items);
    s3.server.fail("entries", Failing::Status(503), 20);
    assert_eq!(send_batch(&vendor.issuer, batch.clone()).await.status, 503);
    s3.server.recover();
    let decided = outcome(&vendor, &batch, send_batch(&vendor.issuer, batch.clone()).await);
    let (_, all) = leaves(&vendor).await;
    stands_in(&vendor, &decided, &keys, &all);
    assert!(!directory.path().join("ledger").exists());
}

/// An issuer whose storage is not the one that the ledger was written to does not go on with it.
#[tokio::test]
async fn another_storage_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::sqlite(directory.path()).unwrap();
    let vendor = setup.init().await.unwrap();
    vendor.issuer.integrate(Scope::Due).await.unwrap();
    drop(vendor);
    let own = setup.config.ledger.store.clone();
    let other = directory.path().join("other");
    setup.config.ledger.store = Some(other.to_string_lossy().into_owned());
    let refused = setup.open().await.unwrap().issuer.integrate(Scope::Due).await.unwrap_err();
    assert!(refused.to_string().contains("share one storage"), "{refused}");
    setup.config.ledger.store = own;
    setup.open().await.unwrap().issuer.integrate(Scope::Due).await.unwrap();
}

#[test]
fn a_server_database_needs_a_place_for_its_ledger() {
    let refused = Storage::open(&LedgerConfig::default(), None).unwrap_err();
    assert!(refused.to_string().contains("`store` under `[ledger]`"), "{refused}");
    let nowhere =
        LedgerConfig { store: Some("/dev/null/ledger".into()), ..LedgerConfig::default() };
    assert!(Storage::open(&nowhere, None).unwrap_err().to_string().contains("/dev/null/ledger"));
}
