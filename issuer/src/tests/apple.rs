//! Purchases in the App Store, from the order to the certificates, and what a refund does to them.

use std::sync::Arc;

use scrip_protocol::{
    issuance::GrantAnswer, media, problem::ProblemType, purchase::OrderAnswer, seed::GrantSecret,
};
use scrip_runtime::{clock::Clock, passphrase::Passphrase, steps::Steps};
use serde_json::json;

use super::support::*;
use crate::{
    Issuer,
    sources::{AccountId, AppleConfig, AppleSource},
    testing::{
        PASSPHRASE, Setup,
        apple::{AppleStore, BUNDLE_ID, Transaction},
        rng_factory,
    },
};

const PRODUCT: &str = "credits.starter";

/// A vendor that sells in a store of its own.
struct Vendor {
    setup: Setup,
    store: AppleStore,
    issuer: Issuer,
    _directory: tempfile::TempDir,
}

async fn open(setup: &Setup, root: Vec<u8>, steps: Steps) -> Issuer {
    let products = [(PRODUCT.to_owned(), "starter".to_owned())].into();
    let config = AppleConfig { bundle_id: BUNDLE_ID.into(), products };
    Issuer::open_with(
        setup.config.clone(),
        Passphrase::new(PASSPHRASE.into()),
        Arc::new(setup.clock.clone()),
        steps,
        rng_factory(),
        |sources, _| sources.add(AppleSource::trusting(root, config)),
    )
    .await
    .unwrap()
}

impl Vendor {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let setup = Setup::sqlite(directory.path()).unwrap();
        drop(setup.init().await.unwrap());
        let store = AppleStore::new();
        let issuer = open(&setup, store.root(), Steps::none()).await;
        Self { setup, store, issuer, _directory: directory }
    }

    /// Dies when it comes to `step`.
    async fn restart(&mut self, step: Option<&'static str>) {
        let steps = match step {
            Some(step) => Steps::observe(move |at| assert_ne!(at, step, "dies here")),
            None => Steps::none(),
        };
        self.issuer = open(&self.setup, self.store.root(), steps).await;
    }

    async fn order(&self, secret: &GrantSecret) -> String {
        let body = json!({ "product": "starter" }).to_string();
        let answer = post(&self.issuer, "/v1/orders", media::JSON, Some(secret), body).await;
        let answer: OrderAnswer = serde_json::from_slice(&answer.success(media::JSON)).unwrap();
        answer.order.to_string()
    }

    /// The purchase number `id` for a new order of the secret.
    async fn bought(&self, id: u64, secret: &GrantSecret) -> Transaction {
        Transaction::of(id, PRODUCT, &self.order(secret).await, self.setup.clock.now())
    }

    async fn turn_in(&self, secret: &GrantSecret, bought: &Transaction) -> Answer {
        let transaction = self.store.transaction(bought);
        let body = json!({ "source": "apple", "transaction": transaction }).to_string();
        post(&self.issuer, "/v1/grants", media::JSON, Some(secret), body).await
    }

    async fn granted(&self, secret: &GrantSecret, bought: &Transaction) -> GrantAnswer {
        let answer = self.turn_in(secret, bought).await;
        serde_json::from_slice(&answer.success(media::JSON)).unwrap()
    }

    async fn issue(&self, wallet: &Wallet, index: u32) -> Answer {
        let (_, request) = wallet.blind(&self.issuer, index, &STARTER);
        let secret = wallet.secret(&self.issuer, index);
        let path = "/v1/issuance";
        post(&self.issuer, path, media::ISSUANCE_REQUEST, Some(&secret), request.encode()).await
    }

    async fn told(&self, body: String) -> Answer {
        post(&self.issuer, "/v1/notifications/apple", media::JSON, None, body).await
    }

    async fn tell(&self, kind: &str, uuid: &str, about: &Transaction) {
        self.told(self.store.notification(kind, uuid, about)).await.success(media::JSON);
    }
}

#[tokio::test]
async fn a_purchase_becomes_certificates_once() {
    let vendor = Vendor::start().await;
    let (alice, bob) = (Wallet::new(1), Wallet::new(2));
    let secret = alice.secret(&vendor.issuer, 0);
    let bought = vendor.bought(1, &secret).await;
    let granted = vendor.granted(&secret, &bought).await;
    assert_eq!((granted.product.as_str(), granted.credits.0), ("starter", 12));
    assert!(!granted.test && !granted.minted);
    let answer = vendor.issue(&alice, 0).await;
    let (blindings, _) = alice.blind(&vendor.issuer, 0, &STARTER);
    let bytes = answer.clone().success(media::ISSUANCE_ANSWER);
    assert_eq!(finish(&vendor.issuer, blindings, &bytes).len(), 7);

    // The same wallet gets the same again, also years later, and also when Apple has signed it anew.
    let again = GrantAnswer { minted: true, ..granted };
    vendor.setup.clock.advance(400 * 86_400);
    let now = vendor.setup.clock.now().0 * 1_000;
    for bought in [bought.clone(), bought.clone().with("signedDate", now)] {
        assert_eq!(vendor.granted(&secret, &bought).await, again);
    }
    assert_eq!(get(&vendor.issuer, "/v1/issuance", Some(&secret)).await, answer);

    // Nobody else does, with an order of his own or without.
    let before = database(&vendor.issuer).await;
    let other = bob.secret(&vendor.issuer, 0);
    assert_eq!(vendor.turn_in(&other, &bought).await.problem(), ProblemType::OrderUnknown);
    let spare = alice.secret(&vendor.issuer, 1);
    assert_eq!(vendor.turn_in(&spare, &bought).await.problem(), ProblemType::OrderUnknown);
    // A second purchase for the same order is no second grant.
    let order = bought.0["appAccountToken"].as_str().unwrap();
    let second = Transaction::of(2, PRODUCT, order, vendor.setup.clock.now());
    assert_eq!(vendor.turn_in(&secret, &second).await.problem(), ProblemType::GrantUsed);
    assert_eq!(database(&vendor.issuer).await, before);
    assert_eq!(vendor.issuer.status().await.unwrap().credits_issued.0, 12);
}

#[tokio::test]
async fn what_is_bought_twice_at_once_is_two_packs() {
    let vendor = Vendor::start().await;
    let secret = Wallet::new(1).secret(&vendor.issuer, 0);
    let bought = vendor.bought(1, &secret).await.with("quantity", 2);
    assert_eq!(vendor.granted(&secret, &bought).await.credits.0, 24);
}

#[tokio::test]
async fn what_is_no_purchase_changes_nothing() {
    let vendor = Vendor::start().await;
    let wallet = Wallet::new(1);
    let secret = wallet.secret(&vendor.issuer, 0);
    let bought = vendor.bought(1, &secret).await;
    let before = database(&vendor.issuer).await;
    let nobody = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";
    for (field, value, problem) in [
        ("bundleId", json!("example.other.app"), ProblemType::PurchaseUnverified),
        ("environment", json!("Xcode"), ProblemType::PurchaseUnverified),
        // There are no test keys.
        ("environment", json!("Sandbox"), ProblemType::PurchaseUnverified),
        ("type", json!("Non-Consumable"), ProblemType::PurchaseUnverified),
        ("productId", json!("credits.other"), ProblemType::ProductUnknown),
        ("appAccountToken", json!(null), ProblemType::PurchaseUnverified),
        ("appAccountToken", json!(nobody), ProblemType::OrderUnknown),
        ("revocationDate", json!(1_771_000_000_000_u64), ProblemType::PurchaseRefunded),
        ("quantity", json!(0), ProblemType::PurchaseUnverified),
        ("quantity", json!(60_000), ProblemType::PurchaseUnverified),
    ] {
        let answer = vendor.turn_in(&secret, &bought.clone().with(field, value)).await;
        assert_eq!(answer.problem(), problem, "{field}");
    }
    let stranger = AppleStore::new().transaction(&bought);
    let body = json!({ "source": "apple", "transaction": stranger }).to_string();
    let answer = post(&vendor.issuer, "/v1/grants", media::JSON, Some(&secret), body).await;
    assert_eq!(answer.problem(), ProblemType::PurchaseUnverified);
    let huge = bought.clone().with("note", "x".repeat(20_000));
    assert_eq!(vendor.turn_in(&secret, &huge).await.problem(), ProblemType::TooLarge);
    assert_eq!(database(&vendor.issuer).await, before);
    vendor.granted(&secret, &bought).await;
}

#[tokio::test]
async fn a_refund_before_anything_is_signed_cancels_the_grant() {
    let vendor = Vendor::start().await;
    let wallet = Wallet::new(1);
    let secret = wallet.secret(&vendor.issuer, 0);
    let bought = vendor.bought(1, &secret).await;
    vendor.granted(&secret, &bought).await;
    let refunded = bought.clone().with("revocationDate", vendor.setup.clock.now().0 * 1_000);
    vendor.tell("REFUND", "first", &refunded).await;
    assert_eq!(vendor.issue(&wallet, 0).await.problem(), ProblemType::GrantCancelled);

    vendor.tell("REFUND_REVERSED", "second", &bought).await;
    // Apple tells the same again when it got no answer: that is no second refund.
    vendor.tell("REFUND", "first", &refunded).await;
    vendor.issue(&wallet, 0).await.success(media::ISSUANCE_ANSWER);
}

#[tokio::test]
async fn a_refund_before_the_wallet_comes_is_not_forgotten() {
    let vendor = Vendor::start().await;
    let secret = Wallet::new(1).secret(&vendor.issuer, 0);
    let bought = vendor.bought(1, &secret).await;
    vendor.tell("REVOKE", "first", &bought).await;
    assert_eq!(vendor.turn_in(&secret, &bought).await.problem(), ProblemType::PurchaseRefunded);
    vendor.tell("REFUND_REVERSED", "second", &bought).await;
    vendor.granted(&secret, &bought).await;
}

#[tokio::test]
async fn a_refund_after_the_certificates_is_a_loss() {
    let vendor = Vendor::start().await;
    let wallet = Wallet::new(1);
    let secret = wallet.secret(&vendor.issuer, 0);
    let bought = vendor.bought(1, &secret).await;
    vendor.granted(&secret, &bought).await;
    let answer = vendor.issue(&wallet, 0).await;
    for uuid in ["first", "first", "second"] {
        vendor.tell("REFUND", uuid, &bought).await;
    }
    let losses = vendor.issuer.store().losses().await.unwrap();
    let [loss] = &losses[..] else { panic!("{losses:?}") };
    assert_eq!((loss.source.as_str(), loss.refunds, loss.credits.0), ("apple", 1, 12));
    assert_eq!(loss.account, Some(AccountId::of("apple", "704289572311513293")));
    // What was signed is the wallet's.
    assert_eq!(vendor.issue(&wallet, 0).await, answer);
}

#[tokio::test]
async fn news_that_are_not_apples_change_nothing() {
    let vendor = Vendor::start().await;
    let secret = Wallet::new(1).secret(&vendor.issuer, 0);
    let bought = vendor.bought(1, &secret).await;
    vendor.granted(&secret, &bought).await;
    let before = database(&vendor.issuer).await;
    let stranger = AppleStore::new().notification("REFUND", "uuid", &bought);
    let elsewhere = bought.clone().with("bundleId", "example.other.app");
    for body in [
        String::new(),
        "{}".into(),
        stranger,
        vendor.store.notification("REFUND", "uuid", &elsewhere),
    ] {
        assert_eq!(vendor.told(body).await.problem(), ProblemType::NotificationUnverified);
    }
    assert_eq!(database(&vendor.issuer).await, before);
    vendor.tell("CONSUMPTION_REQUEST", "uuid", &bought).await;
    vendor.tell("TEST", "uuid-2", &bought).await;
    assert_eq!(vendor.granted(&secret, &bought).await.credits.0, 12);
}

/// A tester's refund has the number of a customer's purchase.
#[tokio::test]
async fn a_sandbox_refund_touches_no_purchase() {
    let vendor = Vendor::start().await;
    let wallet = Wallet::new(1);
    let secret = wallet.secret(&vendor.issuer, 0);
    let bought = vendor.bought(1, &secret).await;
    vendor.granted(&secret, &bought).await;
    vendor.tell("REFUND", "uuid", &bought.with("environment", "Sandbox")).await;
    vendor.issue(&wallet, 0).await.success(media::ISSUANCE_ANSWER);
}

#[tokio::test]
async fn a_crash_at_any_step_loses_no_purchase() {
    for step in [
        "issuer.order.before",
        "issuer.order.after",
        "issuer.grant.before",
        "issuer.grant.after",
        "issuer.answer.before_store",
        "issuer.answer.after_store",
        "issuer.notification.before",
        "issuer.notification.after",
    ] {
        let mut vendor = Vendor::start().await;
        vendor.restart(Some(step)).await;
        let vendor = Arc::new(tokio::sync::RwLock::new(vendor));
        let died = tokio::spawn({
            let dying = vendor.clone();
            async move {
                let vendor = dying.read().await;
                story(&vendor).await;
            }
        });
        assert!(died.await.unwrap_err().is_panic(), "{step}");
        vendor.write().await.restart(None).await;
        let vendor = vendor.read().await;
        story(&vendor).await;
        let status = vendor.issuer.status().await.unwrap();
        assert_eq!((status.credits_issued.0, status.grants.total), (12, 1), "{step}");
        assert_eq!(vendor.issuer.store().losses().await.unwrap().len(), 1, "{step}");
    }
}

/// Everything in its order. What was done before is done again and changes nothing.
async fn story(vendor: &Vendor) {
    let wallet = Wallet::new(1);
    let secret = wallet.secret(&vendor.issuer, 0);
    let bought = vendor.bought(1, &secret).await;
    vendor.granted(&secret, &bought).await;
    vendor.issue(&wallet, 0).await.success(media::ISSUANCE_ANSWER);
    vendor.tell("REFUND", "uuid", &bought).await;
}
