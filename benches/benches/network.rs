//! The whole thing: real servers on loopback with their databases on disk, and as many clients as keep them busy. Prints packs
//! issued, payments and redemptions a second.
#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use scrip_protocol::credits::Exponent;
use scrip_protocol::issuance::{Blinding, Certificate, IssuanceRequest};
use scrip_protocol::keys::SigningKey;
use scrip_protocol::manifest::KeyUse;
use scrip_protocol::payment::{PaidRequest, Payment};
use scrip_protocol::purchase::GrantRequest;
use scrip_protocol::resource::{ResourceKind, ResourceRequest};
use scrip_protocol::seed::{Counter, WalletSeed};
use scrip_protocol::spend::Salt;
use scrip_runtime::clock::Clock;
use scrip_tests::network::{Network, PRODUCT, Plan};
use scrip_wallet::net::{Network as Ways, Route, VendorClient};
use tokio::task::JoinSet;

/// Clients at a time.
const CLIENTS: usize = 8;
/// Packs that are bought.
const PACKS: u32 = 300;
/// Certificates of a pack.
const PACK: u64 = 10;

/// What the clients prepare before the clock runs.
struct Prepared {
    seed: WalletSeed,
    index: u32,
    voucher: String,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let network = Network::planned(Plan { relays: 1, ..Plan::default() }).await.unwrap();
        let network = Arc::new(network);
        let (elapsed, certificates) = issue(&network).await;
        report("packs of 10 issued, blinding and finalizing included", PACKS.into(), elapsed);
        report("certificates issued in them", u64::from(PACKS) * PACK, elapsed);
        let count = certificates.len() as u64;
        let elapsed = pay(&network, certificates).await;
        report("payments of one certificate, each with a queue", count, elapsed);
        let start = Instant::now();
        let redeemed = network.relays[0].relay().unwrap().redeem_now().await.unwrap();
        assert_eq!(redeemed.accepted, count);
        report("redemptions in batches", count, start.elapsed());
    });
    println!(
        "\nClients and servers share this machine's cores; servers write to disk before they answer."
    );
}

fn report(what: &str, count: u64, elapsed: Duration) {
    let rate = count as f64 / elapsed.as_secs_f64();
    println!("{what:<54} {count:>6} in {elapsed:>8.2?}  {rate:>8.0}/s");
}

fn ways(network: &Network) -> Ways {
    let environment = network.environment();
    Ways::new(environment.network, environment.entropy)
}

async fn issue(network: &Arc<Network>) -> (Duration, Vec<Certificate>) {
    let mut prepared = Vec::new();
    for index in 0..PACKS {
        let mut seed = [7; 32];
        seed[..4].copy_from_slice(&index.to_be_bytes());
        let seed = WalletSeed::from_bytes(seed);
        prepared.push(Prepared {
            seed,
            index,
            voucher: network.vendor.voucher(PRODUCT).await.unwrap(),
        });
    }
    let shared = Arc::new(tokio::sync::Mutex::new(prepared));
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (network, shared) = (Arc::clone(network), Arc::clone(&shared));
        clients.spawn(async move {
            let vendor = ways(&network).vendor(network.vendor.address()).unwrap();
            let mut certificates = Vec::new();
            loop {
                let Some(one) = shared.lock().await.pop() else { return certificates };
                certificates.extend(buy(&network, &vendor, one).await);
            }
        });
    }
    let certificates = clients.join_all().await.into_iter().flatten().collect();
    (start.elapsed(), certificates)
}

async fn buy(network: &Network, vendor: &VendorClient, one: Prepared) -> Vec<Certificate> {
    let manifest = network.vendor.issuer().unwrap().manifest();
    let now = network.clock.now();
    let secret = one.seed.grant_secret(&manifest.vendor_id(), one.index);
    vendor.create_grant(&secret, &GrantRequest::Voucher { code: one.voucher }).await.unwrap();
    let keys = (0..=4)
        .flat_map(|k| [k, k])
        .map(|k| manifest.issuing(KeyUse::Production, Exponent::new(k).unwrap(), now).unwrap());
    let blindings: Vec<_> = keys
        .enumerate()
        .map(|(n, key)| {
            (
                key,
                Blinding::start(&one.seed, &manifest, key, Counter::new(one.index, n as u16))
                    .unwrap(),
            )
        })
        .collect();
    let items = blindings.iter().map(|(_, blinding)| blinding.item().clone()).collect();
    let answer = vendor.issue(&secret, IssuanceRequest { items }.encode()).await.unwrap();
    blindings
        .into_iter()
        .zip(&answer.items)
        .map(|((key, blinding), item)| blinding.finish(key, item).unwrap())
        .collect()
}

async fn pay(network: &Arc<Network>, certificates: Vec<Certificate>) -> Duration {
    let vendor = network.vendor.issuer().unwrap().vendor_id();
    let address = network.relays[0].address();
    let key = |n: u8| SigningKey::from_seed(&[n; 32]).public();
    let kind = ResourceKind::Queue { recipient_key: key(1), sender_key: key(2) };
    // Fifteen days of a queue cost one credit.
    let resource_request = ResourceRequest { days: 15, kind }.encode();
    let payments: Vec<Vec<u8>> = certificates
        .iter()
        .enumerate()
        .map(|(n, certificate)| {
            let mut salt = [0; 32];
            salt[..8].copy_from_slice(&n.to_be_bytes());
            let day = network.clock.today();
            let payment = Payment::make(
                [certificate],
                vendor,
                address.id,
                day,
                Salt(salt),
                &resource_request,
            );
            PaidRequest { resource_request: resource_request.clone(), payment }.encode()
        })
        .collect();
    let payments = Arc::new(payments);
    let next = Arc::new(AtomicU32::new(0));
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..4 * CLIENTS {
        let (network, payments, next) =
            (Arc::clone(network), Arc::clone(&payments), Arc::clone(&next));
        clients.spawn(async move {
            let clock = network.environment().clock;
            let relay = ways(&network).relay(network.relays[0].address(), clock).unwrap();
            while let Some(payment) = payments.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                relay.pay(Route::Queues, payment).await.unwrap();
            }
        });
    }
    clients.join_all().await;
    start.elapsed()
}
