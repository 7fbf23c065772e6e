//! A vendor whose ledger witnesses cosign: while it grows, after restarts, without some of them, and when a copy of it runs as well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use scrip_auditor::witness::{Config, LogConfig, Witness, router};
use scrip_issuer::ledger::{Scope, WitnessConfig};
use scrip_protocol::keys::SigningKey;
use scrip_protocol::purchase::GrantRequest;
use scrip_protocol::seed::GrantSecret;
use scrip_protocol::tlog::checkpoint::{CheckpointError, SignedCheckpoint};
use scrip_protocol::tlog::note::VerifierKey;
use scrip_protocol::tlog::policy::{PolicyError, WitnessPolicy};
use scrip_runtime::client::{ClientOptions, HttpClient, Request};
use scrip_runtime::serve::{Listen, bind};
use scrip_runtime::steps::Steps;
use scrip_tests::network::{Network, PRODUCT};
use scrip_tests::node::{VendorNode, copy_dir, free_address};

fn log_key(network: &Network) -> VerifierKey {
    let manifest = network.vendor.issuer().unwrap().manifest();
    VerifierKey::of_ledger(&manifest.vendor_id(), manifest.receipt_keys().newest().key)
}

/// Starts a witness of the vendor, which runs until the test ends.
async fn witness(network: &Network, number: u8) -> WitnessConfig {
    let logs = vec![LogConfig { key: log_key(network), origin: None }];
    let name = format!("witness.example/w{number}").parse().unwrap();
    let config = Config::new(name, network.dir().join(format!("witness-{number}")), logs);
    let key = SigningKey::from_seed(&[0x60 + number; 32]);
    let clock = Arc::new(network.clock.clone());
    let witness = Witness::open(&config, key, clock, Steps::none()).unwrap();
    let address = ([127, 0, 0, 1], 0).into();
    let bound = bind(&Listen { address, tls: None, behind_tls_proxy: false }).await.unwrap();
    // With a slash at the end, as people write URLs.
    let url = format!("http://{}/", bound.address());
    let key = witness.verifier_key();
    tokio::spawn(bound.serve(router(witness), Default::default(), std::future::pending()));
    WitnessConfig { key, url }
}

async fn restart(vendor: &mut VendorNode, witnesses: &[WitnessConfig]) {
    vendor.stop().await.unwrap();
    vendor.config().ledger.witnesses = witnesses.to_vec();
    vendor.start().await.unwrap();
}

/// Appends something to the ledger, which says how much was sold, and returns its size. Each letter of `sales` buys once.
async fn grow(vendor: &VendorNode, sales: &str) -> u64 {
    let issuer = vendor.issuer().unwrap();
    for buyer in sales.bytes() {
        let code = vendor.voucher(PRODUCT).await.unwrap();
        let secret = GrantSecret::from_bytes([buyer; 32]);
        issuer.grant(&secret, &GrantRequest::Voucher { code }).await.unwrap();
    }
    issuer.integrate(Scope::Everything).await.unwrap();
    let bytes = issuer.ledger_storage().get("checkpoint").await.unwrap().unwrap();
    std::str::from_utf8(&bytes).unwrap().lines().nth(1).unwrap().parse().unwrap()
}

/// The checkpoint that this vendor shows, as somebody with this policy takes it.
async fn shown(
    vendor: &VendorNode,
    log: &VerifierKey,
    policy: &WitnessPolicy,
) -> Result<SignedCheckpoint, CheckpointError> {
    let client = HttpClient::new(ClientOptions::default()).unwrap();
    let url = format!("http://{}/ledger/checkpoint", vendor.listens_at());
    let answer = client.send(Request::get(url, 1 << 18)).await.unwrap();
    assert_eq!(answer.status, 200);
    SignedCheckpoint::open(&answer.body, log.name(), [log], policy)
}

fn policy(witnesses: &[WitnessConfig], quorum: usize) -> WitnessPolicy {
    let keys = witnesses.iter().map(|witness| witness.key.clone()).collect();
    WitnessPolicy::new(keys, quorum).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_is_cosigned_as_it_grows() {
    let mut network = Network::start().await.unwrap();
    let log = log_key(&network);
    let all = [witness(&network, 1).await, witness(&network, 2).await];
    let both = policy(&all, 2);
    grow(&network.vendor, "z").await;
    let refused = shown(&network.vendor, &log, &both).await.unwrap_err();
    assert!(matches!(refused, CheckpointError::Witnesses(PolicyError::TooFew { found: 0, .. })));

    restart(&mut network.vendor, &all).await;
    let mut last = 0;
    for name in ["a", "b", "c"] {
        let size = grow(&network.vendor, name).await;
        assert!(size > last, "{name}");
        last = size;
        // Whoever asks right away is shown what is there now, with its cosignatures.
        let checkpoint = shown(&network.vendor, &log, &both).await.unwrap();
        assert_eq!(checkpoint.checkpoint().size, size, "{name}");
        let collected = network.vendor.issuer().unwrap().collect_cosignatures().await.unwrap();
        assert_eq!(collected, 2, "{name}");
    }

    // An issuer that starts again does not know what the witnesses have seen, and is told.
    restart(&mut network.vendor, &all).await;
    let size = grow(&network.vendor, "d").await;
    assert_eq!(network.vendor.issuer().unwrap().collect_cosignatures().await.unwrap(), 2);
    assert_eq!(shown(&network.vendor, &log, &both).await.unwrap().checkpoint().size, size);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_is_away_stops_nothing() {
    let mut network = Network::start().await.unwrap();
    let log = log_key(&network);
    let there = witness(&network, 1).await;
    let away = WitnessConfig {
        url: format!("http://{}", free_address().unwrap()),
        ..witness(&network, 2).await
    };
    let all = [there, away];
    restart(&mut network.vendor, &all).await;
    let size = grow(&network.vendor, "a").await;
    assert_eq!(network.vendor.issuer().unwrap().collect_cosignatures().await.unwrap(), 1);
    let checkpoint = shown(&network.vendor, &log, &policy(&all, 1)).await.unwrap();
    assert_eq!(checkpoint.checkpoint().size, size);
    let refused = shown(&network.vendor, &log, &policy(&all, 2)).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "1 of the 2 cosignatures that are demanded; missing: witness.example/w2"
    );

    // What was cosigned before is not shown in the place of what is there now.
    restart(&mut network.vendor, &all[1..]).await;
    let size = grow(&network.vendor, "b").await;
    assert_eq!(network.vendor.issuer().unwrap().collect_cosignatures().await.unwrap(), 0);
    let checkpoint = shown(&network.vendor, &log, &WitnessPolicy::none()).await.unwrap();
    assert_eq!(checkpoint.checkpoint().size, size);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_vendor_with_two_faces_one_is_cosigned() {
    let mut network = Network::start().await.unwrap();
    let log = log_key(&network);
    let all = [witness(&network, 1).await];
    restart(&mut network.vendor, &all).await;
    grow(&network.vendor, "a").await;
    assert_eq!(network.vendor.issuer().unwrap().collect_cosignatures().await.unwrap(), 1);

    // A copy of everything, or a backup that was restored while the original went on.
    network.vendor.stop().await.unwrap();
    let copy = network.dir().join("other-face");
    copy_dir(&network.issuer_dir(), &copy).unwrap();
    let database = scrip_issuer::config::sqlite_url(&copy.join("issuer.db"));
    let mut other = network.vendor.other_face(database, free_address().unwrap());
    network.vendor.start().await.unwrap();
    other.start().await.unwrap();

    let one_size = grow(&network.vendor, "b").await;
    assert_eq!(network.vendor.issuer().unwrap().collect_cosignatures().await.unwrap(), 1);
    let other_size = grow(&other, "cd").await;
    assert_eq!(one_size, other_size, "two trees of one size");
    assert_eq!(other.issuer().unwrap().collect_cosignatures().await.unwrap(), 0);
    let larger = grow(&other, "e").await;
    assert!(larger > one_size);

    let demanded = policy(&all, 1);
    let one = shown(&network.vendor, &log, &demanded).await.unwrap();
    assert_eq!(one.checkpoint().size, one_size);
    let refused = shown(&other, &log, &demanded).await.unwrap_err();
    assert!(matches!(refused, CheckpointError::Witnesses(PolicyError::TooFew { found: 0, .. })));
    shown(&other, &log, &WitnessPolicy::none()).await.unwrap();
    let logs = network.dir().join("witness-1/logs");
    let is_evidence = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().path().extension().is_some_and(|kind| kind == "fork-0")
    };
    assert!(std::fs::read_dir(logs).unwrap().any(is_evidence), "the witness kept both");
}
