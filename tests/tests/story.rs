//! The whole path, from a voucher to a queue and a stored file, and what happens when something is copied, stopped or spent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashSet;
use std::path::PathBuf;

use scrip_protocol::credits::Credits;
use scrip_relay::config::VendorConfig;
use scrip_tests::network::{Network, PRODUCT, PRODUCT_CREDITS, Plan};
use scrip_tests::node::passphrase;
use scrip_tests::socks::Socks;
use scrip_wallet::net::Network as Ways;
use scrip_wallet::{
    Doubtful, FetchOptions, NewQueue, PutOptions, Wallet, fetch_file, send_to_queue,
};

async fn queue_at(
    wallet: &Wallet,
    network: &Network,
    relay: usize,
    name: &str,
) -> scrip_wallet::CreatedQueue {
    let relay = Some(network.relays[relay].address().clone());
    wallet
        .create_queue(NewQueue { name: Some(name.into()), relay, days: 30, ..NewQueue::default() })
        .await
        .unwrap()
}

fn ways(network: &Network) -> Ways {
    let environment = network.environment();
    Ways::new(environment.network.clone(), environment.entropy)
}

fn file_of(network: &Network, size: usize) -> (PathBuf, Vec<u8>) {
    let bytes: Vec<u8> = (0..size).map(|i| (i * 31 % 251) as u8).collect();
    let path = network.dir().join("holiday.bin");
    std::fs::write(&path, &bytes).unwrap();
    (path, bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_voucher_to_messages_and_a_file() {
    let network = Network::start().await.unwrap();
    let wallet = network.funded_wallet("alice", 2).await.unwrap();
    assert_eq!(wallet.balance().await.unwrap().spendable, Credits(2 * PRODUCT_CREDITS));

    let queue = queue_at(&wallet, &network, 0, "inbox").await;
    for text in ["one", "two", "three"] {
        send_to_queue(
            &queue.link.parse().unwrap(),
            text.as_bytes(),
            &ways(&network),
            &network.environment(),
        )
        .await
        .unwrap();
    }
    let mailbox = wallet.mailbox("inbox").await.unwrap();
    for text in ["one", "two", "three"] {
        let message = mailbox.next().await.unwrap().expect("a message");
        assert_eq!(message.text.unwrap(), text.as_bytes());
        mailbox.acknowledge(&message.id).await.unwrap();
    }
    assert!(mailbox.next().await.unwrap().is_none());

    let (path, bytes) = file_of(&network, 5 << 20);
    let stored = wallet
        .put_file(&path, PutOptions { days: 7, copies: 2, ..PutOptions::default() })
        .await
        .unwrap();
    let output = network.dir().join("fetched.bin");
    let options = FetchOptions { output: output.clone(), overwrite: false };
    fetch_file(&stored.link.parse().unwrap(), &options, &ways(&network), &network.environment())
        .await
        .unwrap();
    assert_eq!(std::fs::read(&output).unwrap(), bytes);

    network.redeem_all().await.unwrap();
    let status = network.vendor.issuer().unwrap().status().await.unwrap();
    let spendable = wallet.balance().await.unwrap().spendable;
    assert_eq!(status.credits_issued, Credits(2 * PRODUCT_CREDITS));
    assert_eq!(
        status.credits_redeemed.0 + spendable.0,
        status.credits_issued.0,
        "nothing lost, nothing doubled"
    );
}

/// A relay accepts the certificates of two vendors, and each gets back its own.
#[tokio::test(flavor = "multi_thread")]
async fn one_relay_is_paid_by_customers_of_two_vendors() {
    let one = Network::start().await.unwrap();
    let mut other = Network::planned(Plan { relays: 0, ..Plan::default() }).await.unwrap();
    let mut relay = one.new_relay("shared", one.vendor.listens_at()).await.unwrap();
    other.vendor.contract("shared", relay.operator_key()).await.unwrap();
    relay.stop().await.unwrap();
    let second = VendorConfig {
        address: other.vendor.address().clone(),
        online_above: None,
        stop_above: None,
        accept_test: false,
        witnesses: Vec::new(),
        quorum: None,
    };
    relay.config().vendors.push(second);
    relay.start().await.unwrap();
    let address = relay.address().clone();
    other.relays.push(relay);
    for (network, name) in [(&one, "alice"), (&other, "bob")] {
        let wallet = network.funded_wallet(name, 1).await.unwrap();
        wallet.add_relay(&address).await.unwrap();
        let new = NewQueue { relay: Some(address.clone()), days: 30, ..NewQueue::default() };
        wallet.create_queue(new).await.unwrap();
    }
    let redeemed = other.relays[0].relay().unwrap().redeem_now().await.unwrap();
    assert_eq!(redeemed.accepted, 2);
    for network in [&one, &other] {
        let status = network.vendor.issuer().unwrap().status().await.unwrap();
        assert_eq!(status.credits_redeemed, Credits(2));
    }
}

/// A wallet is lost. Its seed finds everything again, and spends nothing that may have been spent before it is told to.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_wallet_is_restored_from_its_seed() {
    let network = Network::start().await.unwrap();
    let seed = [77; 32];
    let wallet = network.wallet_of_seed("alice", seed).await.unwrap();
    for _ in 0..3 {
        wallet.buy(&network.vendor.voucher(PRODUCT).await.unwrap()).await.unwrap();
    }
    queue_at(&wallet, &network, 0, "inbox").await;
    network.redeem_all().await.unwrap();
    drop(wallet);

    let restored = network.wallet_of_seed("restored", seed).await.unwrap();
    let found = restored.restore(Wallet::GAP_LIMIT).await.unwrap();
    assert_eq!((found.purchases, found.in_doubt), (3, Credits(3 * PRODUCT_CREDITS)));
    let balance = restored.balance().await.unwrap();
    assert_eq!(balance.spendable, Credits(0), "what may be spent already is no money");
    let new = NewQueue { days: 30, ..NewQueue::default() };
    assert!(restored.create_queue(new.clone()).await.is_err(), "and is not spent by itself");
    // At the relay that took one of them it would be refused, if the choice fell on that one.
    let relay = Some(network.relays[1].address().clone());
    let new = NewQueue { doubtful: Doubtful::Spend, relay, ..new };
    restored.create_queue(new).await.expect("the owner may say that it is good");
}

/// Buying and spending go over different ways, and neither proxy sees what the other does.
#[tokio::test(flavor = "multi_thread")]
async fn buying_and_spending_take_different_ways() {
    let network = Network::start().await.unwrap();
    let (buying, spending) = (Socks::start().await.unwrap(), Socks::start().await.unwrap());
    drop(network.wallet("alice").await.unwrap());
    let mut environment = network.environment();
    environment.network.proxy_buy = Some(buying.setting().parse().unwrap());
    environment.network.proxy_spend = Some(spending.setting().parse().unwrap());
    let wallet =
        Wallet::open(&network.wallet_dir("alice"), passphrase(), environment).await.unwrap();
    wallet.buy(&network.vendor.voucher(PRODUCT).await.unwrap()).await.unwrap();
    queue_at(&wallet, &network, 0, "a").await;
    queue_at(&wallet, &network, 1, "b").await;
    let vendor: HashSet<String> = [network.vendor.address().authority.clone()].into();
    let relays: HashSet<String> =
        network.relays.iter().map(|r| r.address().authority.clone()).collect();
    assert_eq!(buying.targets(), vendor);
    assert_eq!(spending.targets(), relays);
}

/// Somebody else answers at the vendor's address: the voucher is not shown to them.
#[tokio::test(flavor = "multi_thread")]
async fn a_voucher_goes_to_nobody_but_its_vendor() {
    let alone = || Plan { relays: 0, ..Plan::default() };
    let mut network = Network::planned(alone()).await.unwrap();
    let stranger = Network::planned(alone()).await.unwrap();
    network.vendor.seen_at(stranger.vendor.listens_at());
    assert!(network.wallet("alice").await.is_err(), "the manifest is a stranger's");
    let wallet = network.open_wallet("alice").await.unwrap();
    let voucher = stranger.vendor.voucher(PRODUCT).await.unwrap();
    assert!(wallet.buy(&voucher).await.is_err());
    let status = stranger.vendor.issuer().unwrap().status().await.unwrap();
    assert_eq!(status.vouchers.used, 0, "the stranger could have used it");
}
