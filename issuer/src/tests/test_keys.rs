//! Test keys (keys.md): made beside the others, kept apart from them wherever money is meant.

use data_encoding::BASE64URL;
use scrip_protocol::{
    credits::Credits,
    issuance::{Blinding, Certificate, IssuanceRequest, SignedItem},
    manifest::KeyUse,
    media,
    problem::ProblemType,
    redemption::ItemResult,
    rsa::TokenPublicKey,
    seed::{Counter, GrantSecret},
    token::TokenRequest,
};
use scrip_runtime::clock::Clock;
use tempfile::TempDir;

use super::support::*;
use crate::{
    Change, Issuer,
    signer::Job,
    sources::TransactionId,
    store::{GrantRow, NewPurchase, PurchaseRecorded},
    testing::{Setup, TestIssuer},
};

async fn with_test_keys() -> (TestIssuer, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::sqlite(directory.path()).unwrap();
    setup.config.epoch.test_keys = true;
    (setup.init().await.unwrap(), directory)
}

/// Blinds certificates of test keys.
fn blind(issuer: &Issuer, wallet: &Wallet, index: u32, exponents: &[u8]) -> Vec<Blinding> {
    let (manifest, now) = (issuer.manifest(), issuer.inner.clock.now());
    let start = |(position, exponent): (u16, &u8)| {
        let key = manifest.issuing(KeyUse::Test, k(*exponent), now).unwrap();
        Blinding::start(&wallet.seed, &manifest, key, Counter::new(index, position)).unwrap()
    };
    (0..).zip(exponents).map(start).collect()
}

/// A certificate as a test purchase gives it, signed past all checks.
async fn certificate(issuer: &Issuer, wallet: &Wallet, exponent: u8) -> Certificate {
    let blinding = blind(issuer, wallet, 99, &[exponent]).remove(0);
    let item = blinding.item().clone();
    let key = issuer.ring().private(&item.key_id).unwrap().clone();
    let job = Job { key, message: item.blinded_message };
    let blind_signature = issuer.inner.signer.sign(vec![job]).await.unwrap()[0];
    let manifest = issuer.manifest();
    let signed = SignedItem { key_id: item.key_id, blind_signature };
    blinding.finish(manifest.key(&item.key_id).unwrap(), &signed).unwrap()
}

#[tokio::test]
async fn a_paid_grant_is_signed_with_production_keys_only() {
    let (vendor, _directory) = with_test_keys().await;
    let issuer = &vendor.issuer;
    let mut wallet = Wallet::new(1);
    let (index, secret) = wallet.grant(issuer, "starter").await;
    let test = blind(issuer, &wallet, index, &STARTER);
    let (_, mut mixed) = wallet.blind(issuer, index, &STARTER);
    mixed.items[6] = test[6].item().clone();
    let test = IssuanceRequest { items: test.iter().map(|one| one.item().clone()).collect() };
    for request in [test, mixed] {
        let body = request.encode();
        let refused =
            post(issuer, "/v1/issuance", media::ISSUANCE_REQUEST, Some(&secret), body).await;
        assert_eq!(refused.problem(), ProblemType::PackMismatch);
    }
    let (_, request) = wallet.blind(issuer, index, &STARTER);
    let body = request.encode();
    let answer = post(issuer, "/v1/issuance", media::ISSUANCE_REQUEST, Some(&secret), body).await;
    answer.success(media::ISSUANCE_ANSWER);
}

/// A grant as a purchase in a store's test environment leaves it.
async fn test_grant(issuer: &Issuer, secret: &GrantSecret) {
    let pack = issuer.config().products["starter"].pack.clone();
    let purchase = NewPurchase {
        source: "sandbox",
        transaction: TransactionId::new(b"1"),
        grant_id: secret.grant_id(),
        grant: GrantRow { test: true, ..GrantRow::new("starter", pack) },
        day: issuer.inner.clock.today(),
        account: None,
        order: None,
        settles: false,
        parent: None,
        budget: None,
        reseller: None,
        lapsed: false,
    };
    let recorded = issuer.store().record_purchase(&purchase).await.unwrap();
    assert!(matches!(recorded, PurchaseRecorded::Granted(..)));
}

#[tokio::test]
async fn a_test_grant_is_signed_with_test_keys_only() {
    let (vendor, _directory) = with_test_keys().await;
    let issuer = &vendor.issuer;
    let wallet = Wallet::new(1);
    let secret = wallet.secret(issuer, 0);
    test_grant(issuer, &secret).await;
    let grant = get(issuer, "/v1/grants", Some(&secret)).await.success(media::JSON);
    let grant: serde_json::Value = serde_json::from_slice(&grant).unwrap();
    assert_eq!(grant["test"], true);

    let (_, production) = wallet.blind(issuer, 0, &STARTER);
    let token = TokenRequest {
        truncated_key_id: production.items[4].key_id.as_bytes()[31],
        blinded_message: production.items[4].blinded_message,
    };
    let requests = [
        ("/v1/issuance", media::ISSUANCE_REQUEST, production.encode()),
        ("/v1/token-request", media::TOKEN_REQUEST, token.encode()),
    ];
    for (path, content_type, body) in requests {
        let refused = post(issuer, path, content_type, Some(&secret), body).await;
        assert_eq!(refused.problem(), ProblemType::PackMismatch, "{path}");
    }
    let test = blind(issuer, &wallet, 0, &STARTER);
    let request = IssuanceRequest { items: test.iter().map(|one| one.item().clone()).collect() };
    let body = request.encode();
    let answer = post(issuer, "/v1/issuance", media::ISSUANCE_REQUEST, Some(&secret), body).await;
    finish(issuer, test, &answer.success(media::ISSUANCE_ANSWER));
    let status = issuer.status().await.unwrap();
    assert_eq!((status.credits_issued, status.test_credits_issued), (Credits(0), Credits(12)));
    assert_eq!(status.credits_outstanding, Credits(0));
}

#[tokio::test]
async fn privacy_pass_clients_get_production_keys_only() {
    let (vendor, _directory) = with_test_keys().await;
    let issuer = &vendor.issuer;
    let path = "/.well-known/private-token-issuer-directory";
    let body = get(issuer, path, None).await.success(media::ISSUER_DIRECTORY);
    let directory: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let listed = directory["token-keys"].as_array().unwrap().iter().map(|key| {
        let spki = BASE64URL.decode(key["token-key"].as_str().unwrap().as_bytes()).unwrap();
        let id = TokenPublicKey::from_spki(&spki).unwrap().id();
        issuer.manifest().key(&id).unwrap().key_use()
    });
    assert_eq!(listed.collect::<Vec<_>>(), [KeyUse::Production; 3]);

    let mut wallet = Wallet::new(1);
    let (index, secret) = wallet.grant(issuer, "starter").await;
    let item = blind(issuer, &wallet, index, &[1])[0].item().clone();
    let request = TokenRequest {
        truncated_key_id: item.key_id.as_bytes()[31],
        blinded_message: item.blinded_message,
    };
    let body = request.encode();
    let refused =
        post(issuer, "/v1/token-request", media::TOKEN_REQUEST, Some(&secret), body).await;
    assert_eq!(refused.problem(), ProblemType::KeyUnknown);
}

#[tokio::test]
async fn what_is_redeemed_of_them_is_in_no_sum_of_money() {
    let (vendor, _directory) = with_test_keys().await;
    let issuer = &vendor.issuer;
    let (mut wallet, mut operator) = (Wallet::new(1), Operator::new(&vendor, 1).await);
    let test = certificate(issuer, &wallet, 2).await;
    let real = wallet.buy(issuer).await;
    let items = vec![operator.item(&vendor, &test, 1), operator.item(&vendor, &real[0], 1)];
    assert_eq!(operator.redeem(&vendor, items).await, [ItemResult::Accepted; 2]);
    let again = vec![operator.item(&vendor, &test, 2)];
    let results = operator.redeem(&vendor, again).await;
    assert!(matches!(results[0], ItemResult::DoubleSpent(_)), "certificates like all others");
    let status = issuer.status().await.unwrap();
    assert_eq!((status.credits_issued, status.credits_redeemed), (Credits(12), Credits(1)));
    assert_eq!(
        (status.credits_outstanding, status.test_credits_redeemed),
        (Credits(11), Credits(4))
    );
    let operator = &status.operators[0];
    assert_eq!((operator.certificates, operator.credits), (1, Credits(1)));
    assert_eq!(operator.test_certificates, 1);
}

/// Switched on for a vendor that had none, and off again.
#[tokio::test]
async fn they_come_when_they_are_wanted_and_end_with_their_epoch() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::sqlite(directory.path()).unwrap();
    drop(setup.init().await.unwrap());
    setup.config.epoch.test_keys = true;
    let vendor = setup.open().await.unwrap();
    let issuer = &vendor.issuer;
    let before = issuer.manifest();
    let test = |issuer: &Issuer| {
        let of_use = |epoch: &&_| {
            matches!(epoch, scrip_protocol::manifest::Epoch { key_use: KeyUse::Test, .. })
        };
        issuer.manifest().epochs().iter().filter(of_use).count()
    };
    assert_eq!(test(issuer), 0);
    issuer.tend_keys().await.unwrap();
    issuer.manifest().may_follow(&before, vendor.clock.now()).unwrap();
    let epochs = issuer.manifest().epochs().to_vec();
    assert_eq!((test(issuer), epochs[0].windows), (1, epochs[1].windows));
    assert!(!issuer.change_epochs(Change::Next).await.unwrap());
    certificate(issuer, &Wallet::new(1), 0).await;
    Wallet::new(2).buy(issuer).await;
    drop(vendor);

    setup.config.epoch.test_keys = false;
    let vendor = setup.open().await.unwrap();
    vendor.clock.set(epochs[0].windows.issue_until);
    vendor.issuer.tend_keys().await.unwrap();
    assert_eq!((vendor.issuer.manifest().epochs().len(), test(&vendor.issuer)), (3, 1));
    Wallet::new(3).buy(&vendor.issuer).await;
}
