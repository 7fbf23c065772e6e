//! `kill -9` at every durable step of a renewal, of a list's publication and of a look through it, at the issuer and in the wallet; then the books.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{ffi::OsString, process::ExitCode, sync::Arc};

use scrip_protocol::credits::Credits;
use scrip_protocol::time::UnixSeconds;
use scrip_runtime::{
    clock::{Clock, SystemClock},
    steps::Steps,
};
use scrip_tests::network::{Network, PRODUCT_CREDITS, Plan};
use scrip_tests::process::Launcher;
use scrip_wallet::net::ListSource;
use scrip_wallet::{Doubtful, NewQueue, Wallet, WalletError};

const PACK: Credits = Credits(PRODUCT_CREDITS);

/// A wallet called alice that bought a year ago: what it has can be renewed. The clock of the test must be that of the processes.
async fn network() -> Network {
    network_at(SystemClock.now()).await
}

/// The same, by another clock.
async fn network_at(now: UnixSeconds) -> Network {
    let start = now.minus(366 * 86_400);
    let network = Network::planned(Plan { start, ..Plan::default() }).await.unwrap();
    network.wallet_of_seed("alice", [7; 32]).await.unwrap().close().await.unwrap();
    let alice = network.open_wallet("alice").await.unwrap();
    let voucher = network.vendor.voucher(scrip_tests::network::PRODUCT).await.unwrap();
    alice.buy(&voucher).await.unwrap();
    alice.close().await.unwrap();
    network.clock.set(now);
    network.vendor.issuer().unwrap().tend_keys().await.unwrap();
    let alice = network.open_wallet("alice").await.unwrap();
    network.spread_manifest([&alice]).await.unwrap();
    alice.close().await.unwrap();
    network
}

fn launcher(network: &Network) -> Launcher {
    Launcher::new(env!("CARGO_BIN_EXE_scrip-crash-node"), network.dir())
}

/// Somebody says that the clock of the processes is right, which is months ahead of that of the test.
async fn confirm_clock(network: &Network, now: UnixSeconds) {
    let directory = network.issuer_dir().into_os_string();
    let said = ["clock".into(), "confirm".into(), now.day().to_string().into()];
    let args: Vec<OsString> =
        ["scrip-issuer".into(), "--dir".into(), directory].into_iter().chain(said).collect();
    let confirm = move || {
        scrip_issuer::cli::main_with(args, Vec::new(), Arc::new(SystemClock), Steps::none())
    };
    assert_eq!(tokio::task::spawn_blocking(confirm).await.unwrap(), ExitCode::SUCCESS);
}

/// Everything was renewed, once, and can be spent and redeemed.
async fn all_is_renewed(network: &Network, wallet: &Wallet, step: &str) {
    let balance = wallet.balance().await.unwrap();
    assert_eq!((balance.spendable, balance.renewing), (PACK, Credits(0)), "{step}");
    wallet.create_queue(NewQueue { days: 30, ..NewQueue::default() }).await.unwrap();
    for relay in &network.relays {
        let redeemed = relay.relay().unwrap().redeem_now().await.unwrap();
        assert_eq!(redeemed.double_spent, 0, "{step}");
    }
    let status = network.vendor.issuer().unwrap().status().await.unwrap();
    assert_eq!(status.credits_renewed, PACK, "{step}");
    assert_eq!(status.credits_issued.0, 2 * PACK.0, "{step}");
    assert_eq!(status.credits_outstanding.0, PACK.0 - status.credits_redeemed.0, "{step}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_issuer_dies_while_it_renews() {
    for step in [
        "issuer.renewal.before_commit",
        "issuer.renewal.in_transaction",
        "issuer.renewal.after_commit",
    ] {
        let mut network = network().await;
        let wallet = network.open_wallet("alice").await.unwrap();
        network.vendor.stop().await.unwrap();
        let directory = network.issuer_dir().into_os_string();
        let arguments = ["--dir".into(), directory, "start".into()];
        let mut issuer = launcher(&network).start("issuer", arguments, Some(step)).unwrap();
        issuer.listening().await.unwrap();
        let (renewed, died) =
            tokio::join!(wallet.renew(Doubtful::Keep), issuer.killed_at_its_step());
        died.unwrap_or_else(|error| panic!("{step}: {error}"));
        let renewed = renewed.unwrap();
        assert_eq!((renewed.certificates, renewed.errors.is_empty()), (0, false), "{step}");
        assert_eq!(wallet.balance().await.unwrap().renewing, PACK, "{step}");
        network.vendor.start().await.unwrap();
        let resumed = wallet.resume(Doubtful::Keep).await.unwrap();
        assert!(resumed.errors.is_empty(), "{step}: {:?}", resumed.errors);
        all_is_renewed(&network, &wallet, step).await;
    }
}

/// The window is over when the renewal comes. Whatever the wallet was told before the issuer died, it is told again, and nothing is lost
/// but what expires anyway.
#[tokio::test(flavor = "multi_thread")]
async fn the_issuer_dies_while_it_refuses() {
    for step in [
        "issuer.renewal.before_refusal",
        "issuer.renewal.refusing_in_transaction",
        "issuer.renewal.after_refusal",
    ] {
        // By the clock of the processes the window was over days ago.
        let now = SystemClock.now();
        let mut network = network_at(now.minus(60 * 86_400)).await;
        let wallet = network.open_wallet("alice").await.unwrap();
        network.vendor.stop().await.unwrap();
        let started = wallet.renew(Doubtful::Keep).await.unwrap();
        assert_eq!((started.certificates, started.errors.is_empty()), (0, false), "{step}");
        confirm_clock(&network, now).await;
        let directory = network.issuer_dir().into_os_string();
        let arguments = ["--dir".into(), directory, "start".into()];
        let mut issuer = launcher(&network).start("issuer", arguments, Some(step)).unwrap();
        issuer.listening().await.unwrap();
        let (resumed, died) =
            tokio::join!(wallet.renew(Doubtful::Keep), issuer.killed_at_its_step());
        died.unwrap_or_else(|error| panic!("{step}: {error}"));
        assert_eq!(resumed.unwrap().certificates, 0, "{step}");
        assert_eq!(wallet.balance().await.unwrap().renewing, PACK, "{step}");
        network.clock.set(now);
        network.vendor.start().await.unwrap();
        let refused = wallet.renew(Doubtful::Keep).await.unwrap();
        let all = |error: &WalletError| matches!(error, WalletError::RenewalRefused { .. });
        assert!(refused.errors.iter().all(all), "{step}: {:?}", refused.errors);
        assert_eq!(wallet.balance().await.unwrap().renewing, Credits(0), "{step}");
        assert_eq!(wallet.complaints().await.unwrap().len(), refused.errors.len(), "{step}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wallet_dies_while_it_renews() {
    for step in [
        "wallet.renewal.recorded",
        "wallet.renewal.before_send",
        "wallet.renewal.after_answer",
        "wallet.renewal.settled",
    ] {
        let network = network().await;
        wallet_dies(&network, &["renew", "--now"], step).await;
        let wallet = network.open_wallet("alice").await.unwrap();
        let resumed = wallet.resume(Doubtful::Keep).await.unwrap();
        assert!(resumed.errors.is_empty(), "{step}: {:?}", resumed.errors);
        all_is_renewed(&network, &wallet, step).await;
    }
}

/// The vendor publishes the lists of today.
async fn publish(network: &Network) {
    let early = network.clock.now().day().start().plus(2 * 3_600);
    network.clock.set(early.max(network.clock.now()));
    network.vendor.issuer().unwrap().publish_voided().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wallet_dies_while_it_looks() {
    for step in ["wallet.voided.read", "wallet.voided.stored"] {
        let network = network().await;
        publish(&network).await;
        std::fs::remove_dir_all(network.wallet_dir("alice")).unwrap();
        let restored = network.wallet_of_seed("alice", [7; 32]).await.unwrap();
        assert_eq!(restored.restore(3).await.unwrap().in_doubt, PACK);
        restored.close().await.unwrap();
        wallet_dies(&network, &["check"], step).await;
        let wallet = network.open_wallet("alice").await.unwrap();
        let looked = wallet.look_up(&ListSource::Vendor, false).await.unwrap();
        assert!(looked.errors.is_empty(), "{step}: {:?}", looked.errors);
        assert_eq!((looked.in_doubt, looked.spent), (PACK, Credits(0)), "{step}");
        network.clock.advance(8 * 86_400);
        publish(&network).await;
        let looked = wallet.look_up(&ListSource::Vendor, false).await.unwrap();
        assert_eq!(looked.settled, PACK, "{step}");
    }
}

async fn wallet_dies(network: &Network, command: &[&str], step: &str) {
    let directory = network.wallet_dir("alice").into_os_string();
    let mut arguments = vec!["--wallet".into(), directory];
    arguments.extend(command.iter().map(Into::into));
    let wallet = launcher(network).start("wallet", arguments, Some(step)).unwrap();
    wallet.killed_at_its_step().await.unwrap_or_else(|error| panic!("{step}: {error}"));
}
