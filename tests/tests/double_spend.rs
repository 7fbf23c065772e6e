//! One certificate, many spends: at one relay, at two relays, on every database, with two issuers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use scrip_issuer::testing::postgres::Cluster;
use scrip_protocol::credits::Credits;
use scrip_protocol::keys::SigningKey;
use scrip_protocol::payment::PaidRequest;
use scrip_protocol::problem::ProblemType;
use scrip_protocol::redemption::ConflictProof;
use scrip_protocol::resource::{ResourceKind, ResourceRequest};
use scrip_protocol::spend::payment_id;
use scrip_tests::network::{Network, PRODUCT_CREDITS, Plan};
use scrip_tests::node::{RelayNode, free_address};
use scrip_wallet::net::{Network as Ways, RelayClient, Route};
use scrip_wallet::{Doubtful, Wallet};

/// A request for a queue with keys of its own, so that no two are alike.
fn request(n: u8) -> Vec<u8> {
    let key = |m| SigningKey::from_seed(&[m; 32]).public();
    let kind = ResourceKind::Queue { recipient_key: key(n), sender_key: key(255 - n) };
    ResourceRequest { days: 30, kind }.encode()
}

async fn draft(wallet: &Wallet, relay: &RelayNode, n: u8, credits: u64) -> PaidRequest {
    wallet
        .draft_payment(&relay.address().id, &request(n), Credits(credits), Doubtful::Keep)
        .await
        .unwrap()
}

fn client(network: &Network, relay: &RelayNode) -> RelayClient {
    let environment = network.environment();
    let ways = Ways::new(environment.network, environment.entropy);
    ways.relay(relay.address(), environment.clock).unwrap()
}

async fn queues_at(network: &Network, relay: &RelayNode) -> u64 {
    use scrip_runtime::clock::Clock;
    let config = relay.relay().unwrap().config();
    scrip_relay::report::status(config, network.clock.now()).await.unwrap().usage.queues
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_spends_of_one_certificate_make_one_lease() {
    let network = Network::start().await.unwrap();
    let wallet = network.funded_wallet("mallory", 1).await.unwrap();
    let relay = &network.relays[0];
    let mut spends = tokio::task::JoinSet::new();
    for n in 0..64 {
        let (paid, client) = (draft(&wallet, relay, n, 2).await, client(&network, relay));
        spends.spawn(async move { (client.pay(Route::Queues, &paid.encode()).await, paid) });
    }
    let results = spends.join_all().await;
    assert_eq!(results.iter().filter(|(result, _)| result.is_ok()).count(), 1, "one lease");
    for (result, paid) in results.iter().filter(|(result, _)| result.is_err()) {
        let problem = result.as_ref().unwrap_err().problem().expect("a problem document");
        assert_eq!(problem.problem, ProblemType::CertificateSpent);
        let proof = problem.conflict.as_ref().expect("a proof");
        let proof = scrip_protocol::id::decode_base64url(proof).unwrap();
        let evidence = &paid.payment.evidence(&paid.resource_request)[0];
        ConflictProof::decode(&proof)
            .unwrap()
            .verify(&evidence.item.token.nonce, &evidence.binding)
            .expect("the proof holds against this spend");
    }
    assert_eq!(queues_at(&network, relay).await, 1);
    assert_eq!(relay.relay().unwrap().redeem_now().await.unwrap().accepted, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_copies_of_one_payment_get_one_answer() {
    let network = Network::start().await.unwrap();
    let wallet = network.funded_wallet("alice", 1).await.unwrap();
    let relay = &network.relays[0];
    let paid = draft(&wallet, relay, 1, 2).await;
    let bindings: Vec<_> =
        paid.payment.evidence(&paid.resource_request).iter().map(|e| e.binding).collect();
    assert_eq!(paid.payment_id(), payment_id(&paid.payment.vendor_id, &bindings));
    let mut sends = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (bytes, client) = (paid.encode(), client(&network, relay));
        sends.spawn(async move { client.pay(Route::Queues, &bytes).await });
    }
    let answers = sends.join_all().await;
    let first = answers[0].as_ref().expect("a receipt").clone();
    for answer in &answers {
        assert_eq!(answer.as_ref().expect("a receipt"), &first, "byte for byte");
    }
    assert_eq!(queues_at(&network, relay).await, 1);
}

/// All certificates of a pack are spent at both relays, which redeem at the same moment.
async fn the_vendor_accepts_each_once(network: &Network, relays: [&RelayNode; 2]) {
    let wallet = network.funded_wallet("mallory", 1).await.unwrap();
    for relay in relays {
        let paid = draft(&wallet, relay, 9, PRODUCT_CREDITS).await;
        client(network, relay).pay(Route::Queues, &paid.encode()).await.expect("both provision");
    }
    let (a, b) = tokio::join!(
        relays[0].relay().unwrap().redeem_now(),
        relays[1].relay().unwrap().redeem_now()
    );
    let (a, b) = (a.unwrap(), b.unwrap());
    assert!(a.unanswered.is_empty() && b.unanswered.is_empty(), "{a:?} {b:?}");
    assert_eq!(a.accepted + b.accepted, 10, "each certificate is accepted once");
    assert_eq!(a.double_spent + b.double_spent, 10, "and called a double spend once");
    let status = network.vendor.issuer().unwrap().status().await.unwrap();
    assert_eq!(status.credits_redeemed, Credits(PRODUCT_CREDITS));
    let live = queues_at(network, relays[0]).await + queues_at(network, relays[1]).await;
    let expected = u64::from(a.accepted > 0) + u64::from(b.accepted > 0);
    assert_eq!(live, expected, "a lease lives on what was accepted for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_relays_on_sqlite() {
    let network = Network::start().await.unwrap();
    the_vendor_accepts_each_once(&network, [&network.relays[0], &network.relays[1]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_relays_on_postgres() {
    let Some(cluster) = Cluster::start("two relays on PostgreSQL") else { return };
    let database = Some(cluster.database().unwrap());
    let network = Network::planned(Plan { database, ..Plan::default() }).await.unwrap();
    the_vendor_accepts_each_once(&network, [&network.relays[0], &network.relays[1]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_relays_at_two_issuers_on_one_postgres() {
    let Some(cluster) = Cluster::start("two issuers on one PostgreSQL") else { return };
    let database = Some(cluster.database().unwrap());
    let network = Network::planned(Plan { database, relays: 1, ..Plan::default() }).await.unwrap();
    let mut twin = network.vendor.twin(free_address().unwrap());
    twin.start().await.unwrap();
    let other = network.new_relay("other", twin.listens_at()).await.unwrap();
    the_vendor_accepts_each_once(&network, [&network.relays[0], &other]).await;
}
