//! Vendors and relays that use the manifest to tell wallets apart: a version that is stated to one payer, relays that are seen beside a purchase, a manifest
//! for one wallet alone, proofs of other logs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use scrip_issuer::Change;
use scrip_issuer::ledger::Scope;
use scrip_protocol::address::{RelayAddress, VendorAddress};
use scrip_protocol::issuance::IssuanceRequest;
use scrip_protocol::manifest::{NotProven, ProvenManifest};
use scrip_protocol::media;
use scrip_protocol::problem::ProblemType;
use scrip_protocol::seed::WalletSeed;
use scrip_protocol::tlog::policy::WitnessPolicy;
use scrip_runtime::clock::Clock;
use scrip_runtime::sealed::SealParams;
use scrip_tests::adversary::shape::steps;
use scrip_tests::adversary::{Act, Answer, Exchange, REDEEMING, Request, SELLING, Stage, send};
use scrip_tests::network::{Network, PRODUCT, PRODUCT_CREDITS, Plan};
use scrip_tests::node::{VendorNode, passphrase};
use scrip_tests::two_faces::{other_face, witness};
use scrip_wallet::{Doubtful, NewQueue, NewWallet, Privacy, Wallet, WalletError};

const HOUR: u64 = 3_600;

/// What a vendor answers when it is asked for its manifest.
async fn shown(vendor: &VendorNode) -> Answer {
    let request = Request {
        method: "GET".to_owned(),
        path: "/v1/manifest".to_owned(),
        headers: Default::default(),
        body: Default::default(),
    };
    send(vendor.listens_at(), &request).await.unwrap()
}

fn routes(exchanges: &[Exchange]) -> Vec<(String, String)> {
    steps(exchanges).into_iter().map(|step| (step.peer, step.route)).collect()
}

fn purchase() -> Vec<(String, String)> {
    let at_the_vendor = |route: &str| (SELLING.to_owned(), route.to_owned());
    vec![at_the_vendor("POST /v1/grants"), at_the_vendor("POST /v1/issuance")]
}

/// The keys under which certificates were asked for.
fn keys_asked_for(exchanges: &[Exchange]) -> Vec<scrip_protocol::id::KeyId> {
    let request = exchanges.iter().find(|one| one.request.has_type(media::ISSUANCE_REQUEST));
    let request = IssuanceRequest::decode(&request.unwrap().request.body).unwrap();
    request.items.iter().map(|item| item.key_id).collect()
}

/// Lets the wallet do what it does by itself, until it has asked a relay for the manifest.
async fn look_by_itself(stage: &Stage, wallet: &Wallet) {
    for _ in 0..400 {
        stage.network.clock.advance(HOUR);
        if wallet.tend().await.unwrap().manifest.is_some() {
            return;
        }
    }
    panic!("it never asked");
}

/// Pays at the first relay, asks both relays for the manifest at moments of its own, and buys: what the vendor and the relays see of the purchase.
async fn a_payer_buys(stage: &Stage, wallet: &Wallet) -> Vec<Exchange> {
    let relay = Some(stage.network.relays[0].address().clone());
    wallet.create_queue(NewQueue { relay, days: 30, ..NewQueue::default() }).await.unwrap();
    for _ in 0..2 {
        look_by_itself(stage, wallet).await;
    }
    let voucher = stage.network.vendor.voucher(PRODUCT).await.unwrap();
    let mark = stage.recording.mark();
    wallet.buy(&voucher).await.unwrap();
    // What the relays redeem meanwhile is none of the wallet's.
    let all = stage.recording.since(mark).into_iter();
    all.filter(|exchange| exchange.peer != REDEEMING).collect()
}

/// Two relays show one payer a later version of the manifest, which the vendor signed for that: keys of its own issue in it. Before, the version that a relay had
/// stated at the payment brought a second `GET /v1/manifest` to the payer's next purchase (1 of 1, and 0 of 2 of the others). Now the two purchases are the same
/// to the byte but for what is random, and ask for the same keys.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_relays_show_to_one_payer_does_not_mark_his_next_purchase() {
    let mut stage = Stage::set(Plan::default()).await.unwrap();
    let untagged = stage.network.funded_wallet("untagged", 1).await.unwrap();
    let tagged = stage.network.funded_wallet("tagged", 1).await.unwrap();
    let other = other_face(&mut stage.network).await.unwrap();
    assert!(other.issuer().unwrap().change_epochs(Change::Rotate).await.unwrap());
    let tag = shown(&other).await;

    let first = a_payer_buys(&stage, &untagged).await;
    stage.redeeming.lie(move |request| match request.is("GET", "/v1/manifest") {
        true => Act::Instead(tag.clone()),
        false => Act::Honest,
    });
    for relay in &stage.network.relays {
        relay.relay().unwrap().refresh_manifests().await;
    }
    let second = a_payer_buys(&stage, &tagged).await;
    let version = async |wallet: &Wallet| wallet.manifest_report().await.unwrap().version;
    assert_eq!((version(&untagged).await, version(&tagged).await), (Some(1), Some(2)), "shown");
    assert_eq!(steps(&first), steps(&second));
    assert_eq!(routes(&second), purchase());
    assert_eq!(keys_asked_for(&first), keys_asked_for(&second), "what was shown is not used yet");
}

/// Beside a purchase nobody is asked: not at the first, not at later ones, not when the vendor says that the keys are out of their window. Before, two relays of the wallet were asked between `GET /v1/manifest` and `POST /v1/grants`
/// wherever a version was new, and named the wallet by its list.
#[tokio::test(flavor = "multi_thread")]
async fn no_relay_and_no_manifest_is_asked_for_beside_a_purchase() {
    let stage = Stage::set(Plan::default()).await.unwrap();
    let wallet = stage.network.wallet("alice").await.unwrap();
    for _ in 0..2 {
        let voucher = stage.network.vendor.voucher(PRODUCT).await.unwrap();
        let mark = stage.recording.mark();
        wallet.buy(&voucher).await.unwrap();
        let seen = stage.recording.since(mark);
        assert_eq!(routes(&seen), purchase());
        assert_eq!(seen[0].connection, seen[1].connection);
    }
    // A vendor that would have the wallet ask for something else.
    for problem in [ProblemType::KeyOutsideWindow, ProblemType::KeyUnknown] {
        stage.selling.lie(move |request| match request.is("POST", "/v1/issuance") {
            true => Act::Instead(Answer::problem(problem)),
            false => Act::Honest,
        });
        let voucher = stage.network.vendor.voucher(PRODUCT).await.unwrap();
        let mark = stage.recording.mark();
        let error = wallet.buy(&voucher).await.unwrap_err();
        assert!(matches!(error, WalletError::KeysRefused), "{error}");
        assert_eq!(routes(&stage.recording.since(mark)), purchase(), "{problem:?}");
        stage.be_honest();
        let mark = stage.recording.mark();
        wallet.resume(Doubtful::Keep).await.unwrap();
        assert_eq!(
            routes(&stage.recording.since(mark)),
            purchase()[1..],
            "it goes on where it was"
        );
    }
    assert_eq!(wallet.balance().await.unwrap().spendable.0, 4 * PRODUCT_CREDITS);
}

/// A wallet that has heard of the manifest from too few asks nobody when it is to buy, and shows nobody its voucher.
#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_without_an_agreed_manifest_is_silent() {
    let stage = Stage::set(Plan::default()).await.unwrap();
    let relays: Vec<_> = stage.network.relays.iter().map(|one| one.address().clone()).collect();
    let address = stage.network.vendor.address().clone();
    let wallet = made(&stage.network, address, &relays, WitnessPolicy::none()).await;
    wallet.meet_vendor().await.unwrap();
    let voucher = stage.network.vendor.voucher(PRODUCT).await.unwrap();
    let mark = stage.recording.mark();
    let error = wallet.buy(&voucher).await.unwrap_err();
    assert!(matches!(error, WalletError::NotAgreedYet { found: 0, needed: 2, .. }), "{error}");
    assert!(stage.recording.since(mark).is_empty());
    // It hears of it by itself, and no purchase goes on by itself within a day of that.
    wallet.set_privacy(Privacy::Normal).await.unwrap();
    let mark = stage.recording.mark();
    for _ in 0..2 {
        look_by_itself(&stage, &wallet).await;
    }
    let asked = stage.network.clock.now().0;
    for _ in 0..200 {
        stage.network.clock.advance(HOUR);
        wallet.tend().await.unwrap();
    }
    let balance = wallet.balance().await.unwrap();
    assert_eq!(balance.spendable.0 + balance.ripening.0, PRODUCT_CREDITS);
    let seen = stage.recording.since(mark);
    let bought = seen.iter().find(|one| one.request.is("POST", "/v1/grants")).unwrap().time.0;
    assert!(bought > asked);
    let asks = seen.iter().filter(|one| one.request.path.starts_with("/v1/manifests/"));
    let near = asks.filter(|one| one.time.0.abs_diff(bought) < 24 * HOUR);
    assert_eq!(near.count(), 0, "a day apart, before and after");
    let vendor = seen.iter().filter(|one| one.peer == SELLING);
    assert_eq!(routes(&vendor.cloned().collect::<Vec<_>>()), purchase());
}

/// A wallet of its own, with these witnesses, that has heard of nothing yet.
async fn made(
    network: &Network,
    vendor: VendorAddress,
    relays: &[RelayAddress],
    witnesses: WitnessPolicy,
) -> Wallet {
    let new = NewWallet {
        vendor,
        seed: WalletSeed::from_bytes([9; 32]),
        seal: SealParams::for_tests(),
        proxy_buy: None,
        proxy_spend: None,
        privacy: Privacy::Off,
        witnesses,
    };
    let directory = network.wallet_dir("made");
    let wallet =
        Wallet::create(&directory, passphrase(), new, network.environment()).await.unwrap();
    for relay in relays {
        wallet.add_relay(relay).await.unwrap();
    }
    wallet
}

/// A vendor that shows one wallet keys of its own. Before, two relays that worked with it were enough. With two witnesses named, the wallet refuses at once and offline,
/// wherever the manifest comes from; the vendor would have to put both into the one log that they see, in front of everybody.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_for_one_wallet_is_refused_where_witnesses_are_named() {
    let mut network = Network::start().await.unwrap();
    let all = [witness(&network, 1).await.unwrap(), witness(&network, 2).await.unwrap()];
    network.vendor.stop().await.unwrap();
    network.vendor.config().ledger.witnesses = all.to_vec();
    network.vendor.start().await.unwrap();
    let policy = WitnessPolicy::new(all.iter().map(|one| one.key.clone()).collect(), 2).unwrap();

    // Everybody's is proven, and bought under at once: no relay was ever asked.
    let proven =
        ProvenManifest::open(&shown(&network.vendor).await.body, &network.vendor.address().id);
    let everybodys = proven.unwrap();
    everybodys.verify(&policy).unwrap();

    let voucher = network.vendor.voucher(PRODUCT).await.unwrap();
    let other = other_face(&mut network).await.unwrap();
    // The witnesses follow what everybody sees; from then on they refuse the other history.
    network.funded_wallet("alice", 1).await.unwrap();
    let issuer = network.vendor.issuer().unwrap();
    issuer.integrate(Scope::Everything).await.unwrap();
    assert_eq!(issuer.collect_cosignatures().await.unwrap(), 2);
    other.issuer().unwrap().change_epochs(Change::Rotate).await.unwrap();
    let tag = ProvenManifest::open(&shown(&other).await.body, &network.vendor.address().id);
    let tag = tag.unwrap();
    assert!(tag.verify(&WitnessPolicy::none()).is_ok(), "its fork of the log has it");
    assert!(matches!(tag.verify(&policy), Err(NotProven::Proof(_))));

    let liar = network.new_relay("liar", other.listens_at()).await.unwrap();
    liar.relay().unwrap().refresh_manifests().await;
    let authority = other.listens_at().to_string();
    let vendor = VendorAddress { authority, ..network.vendor.address().clone() };
    let victim = made(&network, vendor, &[liar.address().clone()], policy.clone()).await;
    for refused in [victim.meet_vendor().await, victim.look_now().await.map(drop)] {
        let error = refused.unwrap_err();
        assert!(matches!(error, WalletError::ManifestUnproven { version: 2, .. }), "{error}");
    }
    assert!(matches!(victim.buy(&voucher).await, Err(WalletError::NotProvenYet { .. })));
    assert_eq!(other.issuer().unwrap().status().await.unwrap().vouchers.used, 0);
    // The proof of everybody's manifest proves no other one.
    let swapped = ProvenManifest::new(tag.into_manifest(), everybodys.proof().cloned());
    assert!(matches!(swapped.verify(&policy), Err(NotProven::Proof(_))));

    // An honest relay, and the wallet buys under what everybody has.
    victim.add_relay(network.relays[0].address()).await.unwrap();
    network.relays[0].relay().unwrap().refresh_manifests().await;
    assert_eq!(victim.look_now().await.unwrap().version, Some(1));
    assert!(victim.manifest_report().await.unwrap().agreed);
}
