//! Epochs follow each other while wallets buy and spend and relays redeem: nothing fails and nothing is lost, not even by a wallet that sleeps.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use scrip_protocol::credits::Credits;
use scrip_protocol::manifest::{Epoch, KeyUse};
use scrip_protocol::time::UnixSeconds;
use scrip_tests::network::{Network, PRODUCT, PRODUCT_CREDITS, Plan};
use scrip_wallet::{NewQueue, Wallet};

const DAY: u64 = 86_400;

/// When an epoch stops issuing.
fn end_of(network: &Network, epoch: usize) -> UnixSeconds {
    let manifest = network.vendor.issuer().unwrap().manifest();
    let production = |epoch: &&Epoch| epoch.key_use == KeyUse::Production;
    manifest.epochs().iter().filter(production).nth(epoch).unwrap().windows.issue_until
}

/// Buys a pack and pays each relay for a queue.
async fn buy_and_spend(network: &Network, wallet: &Wallet, name: &str) {
    wallet.buy(&network.vendor.voucher(PRODUCT).await.unwrap()).await.unwrap();
    spend(network, wallet, name).await;
}

async fn spend(network: &Network, wallet: &Wallet, name: &str) {
    for (at, relay) in network.relays.iter().enumerate() {
        let relay = Some(relay.address().clone());
        let name = Some(format!("{name}-{at}"));
        let queue = NewQueue { name, relay, days: 30, ..NewQueue::default() };
        wallet.create_queue(queue).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_notices_two_rotations() {
    let plan = Plan { test_keys: true, ..Plan::default() };
    let network = Network::planned(plan).await.unwrap();
    let (alice, bob) = tokio::join!(network.wallet("alice"), network.wallet("bob"));
    let (alice, bob) = (alice.unwrap(), bob.unwrap());
    let sleeper = network.funded_wallet("sleeper", 1).await.unwrap();
    let issuer = network.vendor.issuer().unwrap();
    let mut packs = 1;
    for epoch in 0..2 {
        let end = end_of(&network, epoch);
        network.clock.set(end.minus(6 * DAY));
        issuer.tend_keys().await.unwrap();
        assert_eq!(end_of(&network, epoch + 1), end.plus(30 * DAY), "made ahead");
        network.spread_manifest([&alice, &bob]).await.unwrap();
        for (at, moment) in [end.minus(1), end, end.plus(60)].into_iter().enumerate() {
            network.clock.set(moment);
            let name = format!("{epoch}-{at}");
            tokio::join!(
                buy_and_spend(&network, &alice, &name),
                buy_and_spend(&network, &bob, &name),
            );
            packs += 2;
        }
        network.redeem_all().await.unwrap();
    }
    assert_eq!(sleeper.balance().await.unwrap().spendable, Credits(PRODUCT_CREDITS));
    spend(&network, &sleeper, "awake").await;
    network.redeem_all().await.unwrap();

    let manifest = issuer.manifest();
    assert_eq!((manifest.version(), manifest.epochs().len()), (3, 6), "with test keys beside");
    let status = issuer.status().await.unwrap();
    assert_eq!(status.credits_issued, Credits(packs * PRODUCT_CREDITS));
    let mut left = 0;
    for wallet in [&alice, &bob, &sleeper] {
        left += wallet.balance().await.unwrap().spendable.0;
    }
    assert_eq!(left + status.credits_redeemed.0, packs * PRODUCT_CREDITS, "nothing lost");
    for relay in &network.relays {
        let status = relay.relay().unwrap().verifier().status().await.unwrap();
        assert!(status.vendors.iter().all(|vendor| vendor.lost == Credits(0)));
    }
}
