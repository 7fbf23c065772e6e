//! `kill -9` at every step of sequencing, and of publishing lists of voided certificates. Of sequencing: then a restart, the batch again, and the whole ledger checked from its files: each accepted
//! certificate has one leaf, every tile is what the leaves say, and the root is the checkpoint's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use scrip_issuer::ledger::verify;
use scrip_issuer::testing::{LEDGER_STEPS, VOIDED_STEPS};
use scrip_protocol::ledger::Leaf;
use scrip_protocol::redemption::{RedemptionOutcome, SignedBatch};
use scrip_protocol::voided::{ProvenIndex, SignedVoidedIndex, Voided};
use scrip_runtime::clock::{Clock, SystemClock};
use scrip_tests::network::{Network, Plan};
use scrip_tests::process::Launcher;
use scrip_tests::wire::{Wire, requests};
use scrip_wallet::NewQueue;

/// The certificates that have a leaf, after everything in the files was checked.
async fn redeemed_leaves(network: &Network, step: &str) -> Vec<(u64, [u8; 32])> {
    let issuer = network.vendor.issuer().unwrap();
    let (vendor, manifest) = (issuer.vendor_id(), issuer.manifest());
    let mut redeemed = Vec::new();
    let verified =
        verify(issuer.ledger_storage(), &vendor, manifest.receipt_keys(), |index, leaf| {
            if let Leaf::Redemption(leaf) = leaf {
                redeemed.push((index, leaf.item.token.nonce));
            }
        });
    verified.await.unwrap_or_else(|error| panic!("{step}: {error}"));
    redeemed
}

#[tokio::test(flavor = "multi_thread")]
async fn the_issuer_dies_while_it_sequences() {
    for step in LEDGER_STEPS {
        dies_at(step).await;
    }
}

async fn dies_at(step: &str) {
    // The clock of the test must be that of the process.
    let plan = Plan { start: SystemClock.now(), relays: 0, ..Plan::default() };
    let mut network = Network::planned(plan).await.unwrap();
    let wire = Wire::to(network.vendor.listens_at()).await.unwrap();
    let relay = network.new_relay("relay", wire.address()).await.unwrap();
    network.relays.push(relay);
    let wallet = network.funded_wallet("alice", 1).await.unwrap();
    let queue = |name: &str| {
        let relay = Some(network.relays[0].address().clone());
        NewQueue { name: Some(name.into()), relay, days: 30, ..NewQueue::default() }
    };
    wallet.create_queue(queue("before")).await.unwrap();
    let relay = network.relays[0].relay().unwrap().clone();
    assert!(relay.redeem_now().await.unwrap().accepted > 0);
    for name in ["one", "two", "three"] {
        wallet.create_queue(queue(name)).await.unwrap();
    }
    let before = wire.answered().len();

    network.vendor.stop().await.unwrap();
    let launcher = Launcher::new(env!("CARGO_BIN_EXE_scrip-crash-node"), network.dir());
    let directory: PathBuf = network.issuer_dir();
    let arguments = ["--dir".into(), directory.into_os_string(), "start".into()];
    let mut issuer = launcher.start("issuer", arguments, Some(step)).unwrap();
    issuer.listening().await.unwrap();
    let (redeemed, died) = tokio::join!(relay.redeem_now(), issuer.killed_at_its_step());
    died.unwrap_or_else(|error| panic!("{step}: {error}"));
    assert_eq!(redeemed.unwrap().unanswered.len(), 1, "{step}: nobody answered");
    assert_eq!(wire.answered().len(), before, "{step}: nobody answered");

    network.vendor.start().await.unwrap();
    let again = relay.redeem_now().await.unwrap();
    assert!(again.unanswered.is_empty() && again.accepted > 0, "{step}: {again:?}");
    let leaves = redeemed_leaves(&network, step).await;
    let keys: BTreeSet<[u8; 32]> = leaves.iter().map(|(_, key)| *key).collect();
    assert_eq!(keys.len(), leaves.len(), "{step}: no certificate has two leaves");
    let status = network.vendor.issuer().unwrap().status().await.unwrap();
    let redeemed: u64 = status.denominations.iter().map(|row| row.redeemed).sum();
    assert_eq!(redeemed, leaves.len() as u64, "{step}: each accepted certificate has one");

    // What the relay was told is what the files say, and whoever sends the batch again is told the same.
    let sent = requests(&wire.sent());
    let batch = sent.iter().rev().find(|one| SignedBatch::decode(&one.body).is_ok()).unwrap();
    let issuer = network.vendor.issuer().unwrap();
    let repeat = async || issuer.redeem(SignedBatch::decode(&batch.body).unwrap()).await.unwrap();
    let answer = repeat().await;
    assert_eq!(repeat().await, answer, "{step}");
    let told = requests(&wire.answered()).pop().unwrap().body;
    assert_eq!(told, answer, "{step}: the same bytes");
    let outcome = RedemptionOutcome::open(&answer, issuer.manifest().receipt_keys()).unwrap();
    let items = SignedBatch::decode(&batch.body).unwrap();
    for (position, index) in outcome.credited() {
        let key = items.items()[position].token.nonce;
        assert!(leaves.contains(&(index, key)), "{step}: leaf {index}");
    }
}

/// The same at every step of the publication of a list of voided certificates: after the restart there is one edition, it is proven to be
/// in the ledger, and it has what was redeemed.
#[tokio::test(flavor = "multi_thread")]
async fn the_issuer_dies_while_it_publishes_a_list() {
    for step in VOIDED_STEPS {
        dies_while_it_publishes(step).await;
    }
}

async fn dies_while_it_publishes(step: &str) {
    let mut network = Network::planned(Plan { relays: 1, ..Plan::default() }).await.unwrap();
    let wallet = network.funded_wallet("alice", 1).await.unwrap();
    let relay = Some(network.relays[0].address().clone());
    wallet.create_queue(NewQueue { relay, days: 30, ..NewQueue::default() }).await.unwrap();
    network.redeem_all().await.unwrap();
    let redeemed = redeemed_leaves(&network, step).await;
    assert!(!redeemed.is_empty());
    network.vendor.stop().await.unwrap();
    // Two in the morning of the next day: the list is due when the issuer starts.
    let tomorrow = network.clock.now().plus(86_400).day().start().plus(7_200);
    network.clock.set(tomorrow);
    let launcher =
        Launcher::new(env!("CARGO_BIN_EXE_scrip-crash-node"), network.dir()).at(tomorrow);
    let directory = network.issuer_dir().into_os_string();
    // Nobody saw the time pass: a person says that it did.
    let day = tomorrow.day().to_string();
    let confirm = ["--dir".into(), directory.clone(), "clock".into(), "confirm".into(), day.into()];
    let confirmed = launcher.start("issuer", confirm, None).unwrap().finish().await.unwrap();
    assert!(confirmed.success(), "{step}");
    let arguments = ["--dir".into(), directory, "start".into()];
    let issuer = launcher.start("issuer", arguments, Some(step)).unwrap();
    issuer.killed_at_its_step().await.unwrap_or_else(|error| panic!("{step}: {error}"));

    network.vendor.start().await.unwrap();
    let issuer = network.vendor.issuer().unwrap();
    let storage = issuer.ledger_storage();
    // The issuer's own task may be at it, so that this one finds nothing to do.
    let published = async {
        loop {
            issuer.publish_voided().await.unwrap();
            if let Some(newest) = storage.get("voided/1/newest").await.unwrap() {
                return newest;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let newest = tokio::time::timeout(Duration::from_secs(60), published).await.expect(step);
    assert_eq!(redeemed_leaves(&network, step).await, redeemed, "{step}");
    let proven = ProvenIndex::decode(&newest).unwrap();
    let key = issuer.manifest().receipt_keys().newest().key;
    let signed = SignedVoidedIndex::decode(&proven.index).unwrap();
    let index = signed.verify(&key).unwrap();
    assert_eq!(index.edition, 1, "{step}: one edition");
    for (_, key) in &redeemed {
        let place = index.place(key);
        let name = format!("voided/1/{}/{}", index.edition, place.bucket);
        let bucket = storage.get(&name).await.unwrap().expect(step);
        let bucket = index.open_bucket(place.bucket, &bucket).unwrap();
        assert_eq!(bucket.find(&place), Some(Voided::Redeemed), "{step}");
    }
}
