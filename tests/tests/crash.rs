//! `kill -9` at every durable step of every program, then a restart, then the books: no certificate counted twice, no grant minted
//! twice, nothing paid and lost.
//!
//! The program that dies is a process of its own and is killed with SIGKILL while it stands at the step; the others, and its successor, run in
//! the test's process on the same files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;

use scrip_protocol::credits::Credits;
use scrip_runtime::clock::{Clock, SystemClock};
use scrip_tests::network::{Network, PRODUCT, PRODUCT_CREDITS, Plan};
use scrip_tests::process::{Launcher, Process};
use scrip_wallet::net::Network as Ways;
use scrip_wallet::{Doubtful, FetchOptions, NewQueue, PutOptions, Wallet, WalletError, fetch_file};

/// The clock of the test must be that of the processes.
async fn network() -> Network {
    Network::planned(Plan { start: SystemClock.now(), ..Plan::default() }).await.unwrap()
}

fn launcher(network: &Network) -> Launcher {
    Launcher::new(env!("CARGO_BIN_EXE_scrip-crash-node"), network.dir())
}

async fn start(network: &Network, role: &str, dir: PathBuf, step: &str) -> Process {
    let arguments = ["--dir".into(), dir.into_os_string(), "start".into()];
    let mut process = launcher(network).start(role, arguments, Some(step)).unwrap();
    process.listening().await.unwrap();
    process
}

async fn issuer_to_die_at(network: &mut Network, step: &str) -> Process {
    network.vendor.stop().await.unwrap();
    start(network, "issuer", network.issuer_dir(), step).await
}

async fn relay_to_die_at(network: &mut Network, relay: usize, step: &str) -> Process {
    network.relays[relay].stop().await.unwrap();
    start(network, "relay", network.relay_dir(&format!("relay-{relay}")), step).await
}

fn queue_at(network: &Network, relay: usize, name: &str) -> NewQueue {
    let relay = Some(network.relays[relay].address().clone());
    NewQueue { name: Some(name.into()), relay, days: 30, ..NewQueue::default() }
}

/// The wallet says what is open and finishes it; what it cannot is an error of the test.
async fn resume(wallet: &Wallet, step: &str) {
    let found = wallet.diagnose().await.unwrap();
    let resumed = wallet.repair(Doubtful::Keep).await.unwrap();
    assert!(resumed.errors.is_empty(), "{step}: {:?}", resumed.errors);
    let finished = resumed.purchases.len() + resumed.leases.len() + resumed.files.len();
    assert_eq!(found.healthy, finished == 0, "{step}: {:?}", found.findings);
    assert!(wallet.diagnose().await.unwrap().healthy, "{step}");
}

/// Whatever was issued is in the wallet or was redeemed, once.
async fn books_balance(network: &Network, wallet: &Wallet, packs: u64, step: &str) {
    network.redeem_all().await.unwrap();
    let status = network.vendor.issuer().unwrap().status().await.unwrap();
    let balance = wallet.balance().await.unwrap();
    assert_eq!(status.credits_issued, Credits(packs * PRODUCT_CREDITS), "{step}: issued");
    assert_eq!((status.grants.total, status.grants.used), (packs, packs), "{step}: grants");
    assert_eq!(
        balance.spendable.0 + status.credits_redeemed.0,
        packs * PRODUCT_CREDITS,
        "{step}: nothing lost and nothing doubled: {balance:?}"
    );
    let mut taken = 0;
    for relay in &network.relays {
        let status = relay.relay().unwrap().verifier().status().await.unwrap();
        for vendor in &status.vendors {
            assert_eq!((vendor.unredeemed, vendor.lost), (Credits(0), Credits(0)), "{step}");
            taken += vendor.accepted.0;
        }
    }
    assert_eq!(taken, status.credits_redeemed.0, "{step}: relays and vendor agree");
}

async fn queues_at(network: &Network, relay: usize) -> u64 {
    let relay = network.relays[relay].relay().unwrap();
    scrip_relay::report::status(relay.config(), SystemClock.now()).await.unwrap().usage.queues
}

#[tokio::test(flavor = "multi_thread")]
async fn the_issuer_dies_while_it_sells() {
    for step in [
        "issuer.grant.before",
        "issuer.grant.after",
        "issuer.answer.before_store",
        "issuer.answer.after_store",
    ] {
        let mut network = network().await;
        let wallet = network.wallet("alice").await.unwrap();
        let voucher = network.vendor.voucher(PRODUCT).await.unwrap();
        let issuer = issuer_to_die_at(&mut network, step).await;
        let (bought, died) = tokio::join!(wallet.buy(&voucher), issuer.killed_at_its_step());
        died.unwrap_or_else(|error| panic!("{step}: {error}"));
        assert!(bought.is_err(), "{step}: nobody answered");
        network.vendor.start().await.unwrap();
        resume(&wallet, step).await;
        books_balance(&network, &wallet, 1, step).await;
    }
}

/// `keys receipt` beside a running issuer: the old key signs, or the new one does, and the vendor's answers count either way.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_receipt_key_dies_beside_a_running_issuer() {
    for (step, keys) in
        [("issuer.manifest.before_publish", 1), ("issuer.manifest.after_publish", 2)]
    {
        let network = network().await;
        let wallet = network.funded_wallet("alice", 1).await.unwrap();
        wallet.create_queue(queue_at(&network, 0, "before")).await.unwrap();
        network.redeem_all().await.unwrap();
        let directory = network.issuer_dir().into_os_string();
        let arguments = ["--dir".into(), directory, "keys".into(), "receipt".into()];
        let change = launcher(&network).start("issuer", arguments, Some(step)).unwrap();
        let died = change.killed_at_its_step().await;
        died.unwrap_or_else(|error| panic!("{step}: {error}"));
        let issuer = network.vendor.issuer().unwrap();
        issuer.reload().await.unwrap();
        assert_eq!(issuer.manifest().receipt_keys().all().count(), keys, "{step}");
        wallet.create_queue(queue_at(&network, 0, "after")).await.unwrap();
        network.relays[0].relay().unwrap().refresh_manifests().await;
        books_balance(&network, &wallet, 1, step).await;
    }
}

/// `keys rotate` beside a running issuer: there is the old version, or the new one with its keys.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_dies_beside_a_running_issuer() {
    for (step, version) in
        [("issuer.manifest.before_publish", 1), ("issuer.manifest.after_publish", 2)]
    {
        let network = network().await;
        let wallet = network.funded_wallet("alice", 1).await.unwrap();
        let directory = network.issuer_dir().into_os_string();
        let arguments = ["--dir".into(), directory, "keys".into(), "rotate".into()];
        let rotation = launcher(&network).start("issuer", arguments, Some(step)).unwrap();
        let died = rotation.killed_at_its_step().await;
        died.unwrap_or_else(|error| panic!("{step}: {error}"));
        let issuer = network.vendor.issuer().unwrap();
        issuer.reload().await.unwrap();
        assert_eq!(issuer.manifest().version(), version, "{step}");
        // A rotation out of turn reaches relays within the hour, and wallets within days.
        network.spread_manifest([&wallet]).await.unwrap();
        wallet.buy(&network.vendor.voucher(PRODUCT).await.unwrap()).await.unwrap();
        wallet.create_queue(queue_at(&network, 0, "q")).await.unwrap();
        books_balance(&network, &wallet, 2, step).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_issuer_dies_in_the_middle_of_a_redemption() {
    for step in [
        "issuer.redemption.before_commit",
        "issuer.redemption.in_transaction",
        "issuer.redemption.after_commit",
    ] {
        let mut network = network().await;
        let wallet = network.funded_wallet("alice", 1).await.unwrap();
        for n in 0..3 {
            wallet.create_queue(queue_at(&network, 0, &format!("q{n}"))).await.unwrap();
        }
        let issuer = issuer_to_die_at(&mut network, step).await;
        let relay = network.relays[0].relay().unwrap();
        let (redeemed, died) = tokio::join!(relay.redeem_now(), issuer.killed_at_its_step());
        died.unwrap_or_else(|error| panic!("{step}: {error}"));
        let redeemed = redeemed.unwrap();
        assert_eq!((redeemed.accepted, redeemed.unanswered.len()), (0, 1), "{step}");
        network.vendor.start().await.unwrap();
        let again = network.relays[0].relay().unwrap().redeem_now().await.unwrap();
        assert!(again.unanswered.is_empty() && again.double_spent == 0, "{step}");
        books_balance(&network, &wallet, 1, step).await;
        assert!(wallet.check_leases(None).await.unwrap().iter().all(|lease| lease.live), "{step}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_relay_dies_while_it_takes_a_payment() {
    for step in [
        "verifier.reserve.before",
        "verifier.reserve.after",
        "verifier.provision.before",
        "relay.provision.before",
        "relay.provision.after",
        "verifier.provision.after",
        "verifier.commit.before",
        "verifier.commit.after",
    ] {
        let mut network = network().await;
        let wallet = network.funded_wallet("alice", 1).await.unwrap();
        let relay = relay_to_die_at(&mut network, 0, step).await;
        let (created, died) = tokio::join!(
            wallet.create_queue(queue_at(&network, 0, "inbox")),
            relay.killed_at_its_step()
        );
        died.unwrap_or_else(|error| panic!("{step}: {error}"));
        assert!(created.is_err(), "{step}: nobody answered");
        network.relays[0].start().await.unwrap();
        resume(&wallet, step).await;
        let leases = wallet.check_leases(None).await.unwrap();
        assert_eq!(leases.len(), 1, "{step}: one payment, one lease");
        assert!(leases[0].live, "{step}");
        assert_eq!(queues_at(&network, 0).await, 1, "{step}: one queue at the relay");
        books_balance(&network, &wallet, 1, step).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_relay_dies_while_it_redeems() {
    for step in [
        "redeemer.batch.before",
        "redeemer.batch.persisted",
        "redeemer.batch.sending",
        "redeemer.answer.received",
        "redeemer.answer.recorded",
    ] {
        let mut network = network().await;
        let wallet = network.funded_wallet("alice", 1).await.unwrap();
        for n in 0..3 {
            wallet.create_queue(queue_at(&network, 0, &format!("q{n}"))).await.unwrap();
        }
        let relay = relay_to_die_at(&mut network, 0, step).await;
        relay.killed_at_its_step().await.unwrap_or_else(|error| panic!("{step}: {error}"));
        network.relays[0].start().await.unwrap();
        books_balance(&network, &wallet, 1, step).await;
        assert!(wallet.check_leases(None).await.unwrap().iter().all(|lease| lease.live), "{step}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_relay_dies_while_it_ends_a_lease() {
    for step in [
        "redeemer.answer.recorded",
        "redeemer.conflict.before",
        "relay.conflict.before",
        "relay.conflict.after",
        "redeemer.conflict.told",
        "redeemer.conflict.recorded",
    ] {
        let mut network = network().await;
        drop(network.funded_wallet("alice", 1).await.unwrap());
        let copy = network.copy_wallet("alice", "mallory").await.unwrap();
        let alice = network.open_wallet("alice").await.unwrap();
        alice.create_queue(queue_at(&network, 0, "mine")).await.unwrap();
        copy.create_queue(queue_at(&network, 1, "mine-too")).await.unwrap();
        network.relays[0].relay().unwrap().redeem_now().await.unwrap();
        let relay = relay_to_die_at(&mut network, 1, step).await;
        relay.killed_at_its_step().await.unwrap_or_else(|error| panic!("{step}: {error}"));
        network.relays[1].start().await.unwrap();
        network.redeem_all().await.unwrap();
        assert!(
            alice.check_leases(None).await.unwrap()[0].live,
            "{step}: the first spend is served"
        );
        let second = copy.check_leases(None).await.unwrap().remove(0);
        assert!(!second.live, "{step}: the second lease has ended");
        assert_eq!(second.conflicts.len(), 1, "{step}: told once");
        assert!(second.conflicts[0].proven, "{step}");
        let status = network.vendor.issuer().unwrap().status().await.unwrap();
        assert_eq!(status.credits_redeemed, Credits(2), "{step}: one spend is credited");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_relay_dies_while_it_takes_a_chunk() {
    for step in ["relay.chunk.received", "relay.chunk.named", "relay.chunk.stored"] {
        let mut network = network().await;
        let wallet = network.funded_wallet("alice", 1).await.unwrap();
        let file = file_of(&network);
        let relay = relay_to_die_at(&mut network, 0, step).await;
        let options = || put_at(&network, 0);
        let (stored, died) =
            tokio::join!(wallet.put_file(&file, options()), relay.killed_at_its_step());
        died.unwrap_or_else(|error| panic!("{step}: {error}"));
        assert!(stored.is_err(), "{step}");
        network.relays[0].start().await.unwrap();
        resume(&wallet, step).await;
        fetches(&network, &wallet, &file, step).await;
        books_balance(&network, &wallet, 1, step).await;
    }
}

fn file_of(network: &Network) -> PathBuf {
    let path = network.dir().join("file.bin");
    let bytes: Vec<u8> = (0..300_000_u32).map(|i| (i * 7 % 253) as u8).collect();
    std::fs::write(&path, bytes).unwrap();
    path
}

fn put_at(network: &Network, relay: usize) -> PutOptions {
    PutOptions {
        days: 7,
        relays: vec![network.relays[relay].address().clone()],
        ..PutOptions::default()
    }
}

/// The one file that the wallet has stored comes back, and was paid once.
async fn fetches(network: &Network, wallet: &Wallet, file: &PathBuf, step: &str) {
    let files = wallet.files().await.unwrap();
    assert_eq!(files.len(), 1, "{step}");
    let link = files[0].link.as_ref().unwrap_or_else(|| panic!("{step}: no link")).parse().unwrap();
    let output = network.dir().join(format!("fetched-{step}"));
    let environment = network.environment();
    let ways = Ways::new(environment.network.clone(), environment.entropy.clone());
    let options = FetchOptions { output: output.clone(), overwrite: false };
    fetch_file(&link, &options, &ways, &environment).await.unwrap();
    assert_eq!(std::fs::read(file).unwrap(), std::fs::read(output).unwrap(), "{step}");
}

async fn wallet_to_die_at(network: &Network, arguments: &[&str], step: &str) {
    let dir = network.wallet_dir("alice").into_os_string();
    let mut all = vec!["--wallet".into(), dir];
    all.extend(arguments.iter().map(std::ffi::OsString::from));
    let process = launcher(network).start("wallet", all, Some(step)).unwrap();
    process.killed_at_its_step().await.unwrap_or_else(|error| panic!("{step}: {error}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wallet_dies_while_it_buys() {
    for step in [
        "wallet.grant.recorded",
        "wallet.grant.before_send",
        "wallet.grant.after_answer",
        "wallet.grant.stored",
        "wallet.issuance.recorded",
        "wallet.issuance.before_send",
        "wallet.issuance.after_answer",
        "wallet.issuance.stored",
    ] {
        let network = network().await;
        drop(network.wallet("alice").await.unwrap());
        let voucher = network.vendor.voucher(PRODUCT).await.unwrap();
        wallet_to_die_at(&network, &["buy", "--voucher", &voucher], step).await;
        let wallet = network.open_wallet("alice").await.unwrap();
        resume(&wallet, step).await;
        assert!(matches!(wallet.buy(&voucher).await, Err(WalletError::VoucherUsedHere)), "{step}");
        books_balance(&network, &wallet, 1, step).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wallet_dies_while_it_pays() {
    for step in [
        "wallet.payment.recorded",
        "wallet.payment.before_send",
        "wallet.payment.after_answer",
        "wallet.payment.settled",
    ] {
        let network = network().await;
        drop(network.funded_wallet("alice", 1).await.unwrap());
        wallet_to_die_at(&network, &["queue", "create", "--relay", "relay-0"], step).await;
        let wallet = network.open_wallet("alice").await.unwrap();
        resume(&wallet, step).await;
        let leases = wallet.check_leases(None).await.unwrap();
        assert_eq!(leases.iter().filter(|lease| lease.live).count(), 1, "{step}");
        assert_eq!(queues_at(&network, 0).await, 1, "{step}");
        books_balance(&network, &wallet, 1, step).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wallet_dies_while_it_stores_a_file() {
    for step in [
        "wallet.upload.recorded",
        "wallet.payment.recorded",
        "wallet.payment.settled",
        "wallet.chunk.before_send",
        "wallet.chunk.after_answer",
        "wallet.chunk.stored",
        "wallet.upload.stored",
    ] {
        let network = network().await;
        drop(network.funded_wallet("alice", 1).await.unwrap());
        let file = file_of(&network);
        let path = file.to_str().unwrap();
        wallet_to_die_at(&network, &["put", path, "--days", "7", "--copies", "2"], step).await;
        let wallet = network.open_wallet("alice").await.unwrap();
        resume(&wallet, step).await;
        fetches(&network, &wallet, &file, step).await;
        books_balance(&network, &wallet, 1, step).await;
    }
}
