//! The way to the vendor fails in every manner that it can: the relay goes on, nothing ends a lease, and all is redeemed once it is fair
//! again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use scrip_protocol::credits::Credits;
use scrip_runtime::config::HumanDuration;
use scrip_tests::network::{Network, PRODUCT_CREDITS, Plan};
use scrip_tests::wire::{Weather, Wire};
use scrip_wallet::{NewQueue, Wallet};

struct Scene {
    network: Network,
    wire: Wire,
    wallet: Wallet,
}

/// One relay, whose way to the vendor is a wire.
async fn scene() -> Scene {
    let mut network = Network::planned(Plan { relays: 0, ..Plan::default() }).await.unwrap();
    let wire = Wire::to(network.vendor.listens_at()).await.unwrap();
    let mut relay = network.new_relay("relay-0", wire.address()).await.unwrap();
    relay.stop().await.unwrap();
    relay.config().client.timeout = HumanDuration(4); // a busy machine answers in less, `Late` does not
    relay.start().await.unwrap();
    network.relays.push(relay);
    let wallet = network.funded_wallet("alice", 3).await.unwrap();
    Scene { network, wire, wallet }
}

async fn create_queue(wallet: &Wallet) {
    wallet
        .create_queue(NewQueue { days: 30, ..NewQueue::default() })
        .await
        .expect("the relay provisions");
}

async fn all_live(wallet: &Wallet, count: usize, weather: Weather) {
    let leases = wallet.check_leases(None).await.unwrap();
    assert_eq!(leases.len(), count);
    assert!(leases.iter().all(|lease| lease.live && lease.conflicts.is_empty()), "{weather:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_a_late_one_a_cut_one_and_a_500_end_no_lease() {
    let Scene { network, wire, wallet } = scene().await;
    let relay = network.relays[0].relay().unwrap();
    let mut leases = 0;
    for weather in [
        Weather::Refused,
        Weather::AnswerLost,
        Weather::AnswerCut(20),
        Weather::AnswerCut(250),
        Weather::Late(Duration::from_secs(6)),
        Weather::Error500,
    ] {
        create_queue(&wallet).await;
        wire.weather(weather);
        let redeemed = relay.redeem_now().await.unwrap();
        assert_eq!((redeemed.accepted, redeemed.double_spent), (0, 0), "{weather:?}");
        assert_eq!(redeemed.unanswered.len(), 1, "{weather:?}");
        create_queue(&wallet).await;
        leases += 2;
        all_live(&wallet, leases, weather).await;
        wire.weather(Weather::Fair);
        let redeemed = relay.redeem_now().await.unwrap();
        assert!(redeemed.unanswered.is_empty(), "{weather:?}: {redeemed:?}");
        assert_eq!((redeemed.double_spent, redeemed.invalid), (0, 0), "{weather:?}");
        relay.redeem_now().await.unwrap();
        all_live(&wallet, leases, weather).await;
    }
    let spendable = wallet.balance().await.unwrap().spendable;
    let redeemed = network.vendor.issuer().unwrap().status().await.unwrap().credits_redeemed;
    assert_eq!(spendable.0 + redeemed.0, 3 * PRODUCT_CREDITS, "all of it, once");
    assert_eq!(relay.verifier().status().await.unwrap().vendors[0].unredeemed, Credits(0));
}

/// A batch that got no answer is repeated byte for byte: the vendor learns nothing from a second grouping.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_repeated_as_it_was() {
    let Scene { network, wire, wallet } = scene().await;
    let relay = network.relays[0].relay().unwrap();
    for _ in 0..4 {
        create_queue(&wallet).await;
    }
    wire.weather(Weather::AnswerLost);
    relay.redeem_now().await.unwrap();
    create_queue(&wallet).await;
    wire.weather(Weather::Fair);
    relay.redeem_now().await.unwrap();
    // The relay's own schedule may have repeated the batch besides: how often it was sent says nothing, what was sent does.
    let all = batches(&wire.sent());
    let repeats = all.iter().take_while(|&batch| *batch == all[0]).count();
    assert!(repeats >= 2, "the same bytes again, although there was more to redeem");
    assert_eq!(all[repeats..].len(), 1, "and the newcomer in a batch of its own");
}

/// The bodies of all requests to /v1/redemptions in a recording.
fn batches(recording: &[u8]) -> Vec<Vec<u8>> {
    scrip_tests::wire::requests(recording)
        .into_iter()
        .filter(|request| request.head.starts_with("POST /v1/redemptions"))
        .map(|request| request.body)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_is_stopped_for_days_is_redeemed_with_when_it_is_back() {
    let mut network = Network::start().await.unwrap();
    let wallet = network.funded_wallet("alice", 1).await.unwrap();
    network.vendor.stop().await.unwrap();
    let mut paid = 0;
    for _ in 0..5 {
        network.clock.advance(2 * 86_400);
        let before = wallet.balance().await.unwrap().spendable.0;
        create_queue(&wallet).await;
        paid += before - wallet.balance().await.unwrap().spendable.0;
        network.redeem_all().await.unwrap();
    }
    network.vendor.start().await.unwrap();
    network.redeem_all().await.unwrap();
    let status = network.vendor.issuer().unwrap().status().await.unwrap();
    assert_eq!(status.credits_redeemed, Credits(paid));
    assert!(wallet.check_leases(None).await.unwrap().iter().all(|lease| lease.live));
}

/// A relay that starts while the vendor is down has the manifest on its disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_restarts_without_its_vendor_goes_on() {
    let mut network = Network::start().await.unwrap();
    let wallet = network.funded_wallet("alice", 1).await.unwrap();
    network.vendor.stop().await.unwrap();
    for relay in &mut network.relays {
        relay.stop().await.unwrap();
        relay.start().await.unwrap();
    }
    create_queue(&wallet).await;
}
