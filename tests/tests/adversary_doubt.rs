//! A vendor and relays that lie to see a wallet's certificates: what nobody signed makes no wallet show a certificate.
//!
//! Before there were inquiries: a wallet asked the vendor, by itself and with the certificate's key, what became of certificates that it
//! had been made to doubt. One false answer was enough, and nothing was left that proved it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use scrip_protocol::credits::Credits;
use scrip_protocol::problem::ProblemType;
use scrip_runtime::clock::Clock;
use scrip_tests::adversary::keys::keys_shown;
use scrip_tests::adversary::{Act, Answer, Stage};
use scrip_tests::network::{PRODUCT, PRODUCT_CREDITS, Plan};
use scrip_wallet::{Doubtful, NewQueue, Wallet};

const DAY: u64 = 86_400;
const CERTIFICATES: usize = 10;

/// A month in which the wallet does by itself whatever it does.
async fn a_month(stage: &Stage, wallet: &Wallet) {
    for _ in 0..2 * 30 {
        stage.network.clock.advance(DAY / 2);
        for relay in &stage.network.relays {
            relay.relay().unwrap().refresh_manifests().await;
        }
        let _ = wallet.tend().await;
    }
}

/// The vendor signs, and says that the grant was used before by somebody else. Before, it saw all ten certificates of the pack, with the
/// wallet's next command, over the way for buying.
#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_calls_a_fresh_grant_used_sees_no_certificate() {
    let stage = Stage::set(Plan::default()).await.unwrap();
    let wallet = stage.network.wallet("alice").await.unwrap();
    stage.selling.lie(|request| match request.is("POST", "/v1/issuance") {
        true => Act::rewrite(|_truth| Answer::problem(ProblemType::GrantUsed)),
        false => Act::Honest,
    });
    let voucher = stage.network.vendor.voucher(PRODUCT).await.unwrap();
    wallet.buy(&voucher).await.unwrap();
    let balance = wallet.balance().await.unwrap();
    assert_eq!((balance.spendable.0, balance.in_doubt.0), (PRODUCT_CREDITS, 0), "it is its own");
    a_month(&stage, &wallet).await;
    assert_eq!(stage.keys_at_the_vendor(0).unwrap(), BTreeSet::new());
    // It spends them as it would have.
    wallet.create_queue(NewQueue { days: 30, ..NewQueue::default() }).await.unwrap();
    assert_eq!(stage.keys_at_the_vendor(0).unwrap(), BTreeSet::new());
}

/// The grant itself is said to have been signed for already: first in the answer that makes it, then in all others.
#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_calls_a_new_grant_minted_sees_no_certificate() {
    let stage = Stage::set(Plan::default()).await.unwrap();
    let wallet = stage.network.wallet("alice").await.unwrap();
    stage.selling.lie(|request| match request.is("POST", "/v1/grants") {
        true => Act::rewrite(|truth| truth.with_json(|grant| grant["minted"] = true.into())),
        false => Act::Honest,
    });
    let voucher = stage.network.vendor.voucher(PRODUCT).await.unwrap();
    let _ = wallet.buy(&voucher).await;
    stage.be_honest();
    a_month(&stage, &wallet).await;
    assert_eq!(stage.keys_at_the_vendor(0).unwrap(), BTreeSet::new());
}

/// The vendor renews each certificate, refuses all the same, and shows later what it had recorded. Before, one false day in its answers was
/// enough: of ten certificates that were renewed it saw all ten that came of them a day later, and could tie old and new.
#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_denies_what_it_renewed_sees_no_new_certificate() {
    let stage = Stage::set(Plan::default()).await.unwrap();
    let wallet = stage.network.funded_wallet("alice", 1).await.unwrap();
    let issuer = stage.network.vendor.issuer().unwrap();
    stage.network.clock.set(issuer.manifest().epochs()[0].windows.renew_from.plus(DAY));
    issuer.tend_keys().await.unwrap();
    for relay in &stage.network.relays {
        relay.relay().unwrap().refresh_manifests().await;
    }
    let denied = AtomicUsize::new(0);
    stage.selling.lie(move |request| match request.is("POST", "/v1/renewals") {
        true if denied.fetch_add(1, Ordering::SeqCst) < CERTIFICATES => {
            Act::rewrite(|_truth| Answer::problem(ProblemType::KeyOutsideWindow))
        }
        _ => Act::Honest,
    });
    wallet.look_now().await.unwrap();
    // Nobody signed it: the certificates stay in flight, and the same is asked again.
    let denied = wallet.renew(Doubtful::Keep).await.unwrap();
    assert_eq!((denied.certificates, denied.errors.len()), (0, CERTIFICATES), "{denied:?}");
    let renewed = wallet.renew(Doubtful::Keep).await.unwrap();
    assert_eq!(renewed.renewed, Credits(PRODUCT_CREDITS), "{renewed:?}");
    let old = stage.keys_at_the_vendor(0).unwrap();
    assert_eq!(old.len(), CERTIFICATES, "those that were renewed");
    let balance = wallet.balance().await.unwrap();
    assert_eq!((balance.spendable.0, balance.in_doubt.0), (PRODUCT_CREDITS, 0));
    a_month(&stage, &wallet).await;
    assert_eq!(stage.keys_at_the_vendor(0).unwrap(), old, "and no other");
    wallet.create_queue(NewQueue { days: 30, ..NewQueue::default() }).await.unwrap();
    let manifest = stage.manifest().unwrap();
    let paid: BTreeSet<_> = ["relay-0", "relay-1"]
        .iter()
        .flat_map(|relay| keys_shown(&stage.recording.of(relay), &manifest))
        .collect();
    assert!(!paid.is_empty() && paid.is_disjoint(&old));
}

/// A relay says, without a proof, that a certificate was spent before. Before, the wallet asked the vendor about just these certificates, over the
/// way for buying: relay and vendor together had the buyer of a payment that came over Tor.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_calls_certificates_spent_makes_the_wallet_ask_nobody() {
    let stage = Stage::set(Plan::default()).await.unwrap();
    let wallet = stage.network.funded_wallet("alice", 1).await.unwrap();
    for relay in &stage.relays {
        relay.lie(|request| match request.is("POST", "/v1/queues") && request.body.len() > 400 {
            true => Act::Instead(Answer::problem(ProblemType::CertificateSpent)),
            false => Act::Honest,
        });
    }
    for _ in 0..2 {
        let refused = wallet.create_queue(NewQueue { days: 30, ..NewQueue::default() }).await;
        assert!(refused.is_err());
    }
    assert_eq!(wallet.balance().await.unwrap().in_doubt, Credits(0), "a claim is no proof");
    a_month(&stage, &wallet).await;
    assert_eq!(stage.keys_at_the_vendor(0).unwrap(), BTreeSet::new());
    assert!(stage.network.clock.now().0 > 0);
}
