//! Steps, restarts and passphrases.

use std::sync::{Arc, Mutex};

use scrip_runtime::{passphrase::Passphrase, sealed::SealedError, steps::Steps};

use super::support::*;
use crate::{
    InitError, Issuer, StartError,
    testing::{LEDGER_STEPS, Setup, TestIssuerError, rng_factory},
};

#[tokio::test]
async fn every_durable_step_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    let mut setup = Setup::sqlite(directory.path()).unwrap();
    setup.steps = Steps::observe(move |step| sink.lock().unwrap().push(step));
    let vendor = setup.init().await.unwrap();
    let certificates = Wallet::new(1).buy(&vendor.issuer).await;
    let mut operator = Operator::new(&vendor, 1).await;
    let item = operator.item(&vendor, &certificates[0], 1);
    operator.redeem(&vendor, vec![item]).await;
    let mut expected = vec![
        "issuer.grant.before",
        "issuer.grant.after",
        "issuer.answer.before_store",
        "issuer.answer.after_store",
        "issuer.redemption.before_commit",
        "issuer.redemption.in_transaction",
        "issuer.redemption.after_commit",
    ];
    expected.extend(LEDGER_STEPS);
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::sqlite(directory.path()).unwrap();
    let vendor = setup.init().await.unwrap();
    let certificates = Wallet::new(1).buy(&vendor.issuer).await;
    let mut operator = Operator::new(&vendor, 1).await;
    let items: Vec<_> = certificates.iter().map(|c| operator.item(&vendor, c, 1)).collect();
    let batch = operator.batch(&vendor, items.clone());
    let answer = send_batch(&vendor.issuer, batch.clone()).await;
    let before = database(&vendor.issuer).await;
    let address = vendor.issuer.address();
    drop(vendor);

    let vendor = setup.open().await.unwrap();
    assert_eq!(vendor.issuer.address(), address);
    assert_eq!(database(&vendor.issuer).await, before);
    assert_eq!(send_batch(&vendor.issuer, batch).await, answer);
    let secret = Wallet::new(1).secret(&vendor.issuer, 0);
    assert_eq!(get(&vendor.issuer, "/v1/issuance", Some(&secret)).await.status, 200);
    assert_eq!(Wallet::new(2).buy(&vendor.issuer).await.len(), 7);
}

#[tokio::test]
async fn a_wrong_passphrase_opens_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::sqlite(directory.path()).unwrap();
    setup.init().await.unwrap();
    let opened = Issuer::open(
        setup.config.clone(),
        Passphrase::new("wrong".into()),
        Arc::new(setup.clock.clone()),
        Steps::none(),
        rng_factory(),
    );
    let error = opened.await.err().unwrap();
    assert!(matches!(error, StartError::Sealed(SealedError::DoesNotOpen)), "{error}");
}

#[tokio::test]
async fn a_vendor_is_made_once_and_opened_where_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::sqlite(directory.path()).unwrap();
    assert!(matches!(setup.open().await, Err(TestIssuerError::Start(StartError::Store(_)))));
    let vendor = setup.init().await.unwrap();
    let again = setup.init().await.err().unwrap();
    assert!(matches!(again, TestIssuerError::Init(InitError::AlreadyInitialised)), "{again}");
    assert_eq!(setup.open().await.unwrap().issuer.vendor_id(), vendor.issuer.vendor_id());
}

#[tokio::test]
async fn every_step_of_a_renewal_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    let mut setup = Setup::sqlite(directory.path()).unwrap();
    setup.steps = Steps::observe(move |step| sink.lock().unwrap().push(step));
    let vendor = setup.init().await.unwrap();
    let holder = super::renewal::Holder::new(1, &vendor.issuer).await;
    super::renewal::open_the_window(&vendor).await;
    let (_, item) = holder.item(&vendor, 0);
    seen.lock().unwrap().clear();
    let asked = super::renewal::ask(&vendor.issuer, &item).await;
    let expected = [
        "issuer.renewal.before_commit",
        "issuer.renewal.in_transaction",
        "issuer.renewal.after_commit",
    ];
    assert_eq!(std::mem::take(&mut *seen.lock().unwrap()), expected);
    // After a restart the answer is there, and nothing is written for it.
    drop(vendor);
    let vendor = setup.open().await.unwrap();
    assert_eq!(super::renewal::ask(&vendor.issuer, &item).await, asked);
    assert!(seen.lock().unwrap().is_empty());
}

/// A refusal is on disk before anybody has it, so that whoever dies beside it repeats it or knows nothing of it.
#[tokio::test]
async fn every_step_of_a_refusal_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    let mut setup = Setup::sqlite(directory.path()).unwrap();
    setup.steps = Steps::observe(move |step| sink.lock().unwrap().push(step));
    let vendor = setup.init().await.unwrap();
    let holder = super::renewal::Holder::new(1, &vendor.issuer).await;
    super::renewal::open_the_window(&vendor).await;
    let (_, item) = holder.item(&vendor, 0);
    vendor.clock.set(first_windows(&vendor.issuer).spend_until);
    believe(&vendor);
    seen.lock().unwrap().clear();
    let refused = super::renewal::ask(&vendor.issuer, &item).await;
    let expected = [
        "issuer.renewal.before_refusal",
        "issuer.renewal.refusing_in_transaction",
        "issuer.renewal.after_refusal",
    ];
    assert_eq!(std::mem::take(&mut *seen.lock().unwrap()), expected);
    drop(vendor);
    let vendor = setup.open().await.unwrap();
    vendor.clock.set(first_windows(&vendor.issuer).renew_from);
    believe(&vendor);
    assert_eq!(super::renewal::ask(&vendor.issuer, &item).await, refused);
    assert!(seen.lock().unwrap().is_empty());
}
