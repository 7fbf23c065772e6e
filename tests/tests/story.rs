//! The whole path, from a voucher to a queue and a stored file, and what happens when something is copied, stopped or spent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;

use scrip_protocol::credits::Credits;
use scrip_tests::network::{Network, PRODUCT_CREDITS};
use scrip_wallet::net::Network as Ways;
use scrip_wallet::{FetchOptions, NewQueue, PutOptions, Wallet, fetch_file, send_to_queue};

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
