//! A vendor that shows one wallet a manifest of its own, to know that wallet's certificates again: the wallet refuses, says why, and shows no money.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use scrip_issuer::Change;
use scrip_protocol::address::{RelayAddress, VendorAddress};
use scrip_protocol::seed::WalletSeed;
use scrip_protocol::tlog::policy::WitnessPolicy;
use scrip_runtime::sealed::SealParams;
use scrip_tests::network::{Network, PRODUCT, PRODUCT_CREDITS};
use scrip_tests::node::{VendorNode, free_address, passphrase};
use scrip_wallet::{Doubtful, NewQueue, NewWallet, Wallet, WalletError};

/// A vendor and two relays; a second face of the vendor, with the same root key, and keys of its own; vouchers that both take.
struct Scene {
    network: Network,
    other_face: VendorNode,
    vouchers: Vec<String>,
}

async fn scene() -> Scene {
    let mut network = Network::start().await.unwrap();
    let mut vouchers = Vec::new();
    for _ in 0..2 {
        vouchers.push(network.vendor.voucher(PRODUCT).await.unwrap());
    }
    network.vendor.stop().await.unwrap();
    let copy = network.dir().join("other-face");
    scrip_tests::node::copy_dir(&network.issuer_dir(), &copy).unwrap();
    network.vendor.start().await.unwrap();
    let database = scrip_issuer::config::sqlite_url(&copy.join("issuer.db"));
    let mut other_face = network.vendor.other_face(database, free_address().unwrap());
    other_face.start().await.unwrap();
    network.clock.advance(60);
    Scene { network, other_face, vouchers }
}

impl Scene {
    /// Keys that only the other face has.
    async fn make_own_keys(&self) {
        assert!(self.other_face.issuer().unwrap().change_epochs(Change::Rotate).await.unwrap());
    }

    async fn rotate_for_everybody(&self) {
        self.network.vendor.issuer().unwrap().change_epochs(Change::Rotate).await.unwrap();
        self.refresh_relays().await;
    }

    async fn refresh_relays(&self) {
        for relay in &self.network.relays {
            relay.relay().unwrap().refresh_manifests().await;
        }
    }

    /// A wallet that the vendor shows its other face.
    async fn victim(&self, relays: &[RelayAddress]) -> Wallet {
        let authority = self.other_face.listens_at().to_string();
        let vendor = VendorAddress { authority, ..self.network.vendor.address().clone() };
        let new = NewWallet {
            vendor,
            seed: WalletSeed::from_bytes([9; 32]),
            seal: SealParams::for_tests(),
            proxy_buy: None,
            proxy_spend: None,
            privacy: scrip_wallet::Privacy::Off,
            witnesses: WitnessPolicy::none(),
        };
        let directory = self.network.wallet_dir("victim");
        let environment = self.network.environment();
        let wallet = Wallet::create(&directory, passphrase(), new, environment).await.unwrap();
        for relay in relays {
            wallet.add_relay(relay).await.unwrap();
        }
        wallet.meet_vendor().await.unwrap();
        wallet
    }

    fn honest(&self) -> Vec<RelayAddress> {
        self.network.relays.iter().map(|relay| relay.address().clone()).collect()
    }

    async fn no_money_was_shown(&self, wallet: &Wallet) {
        let status = self.other_face.issuer().unwrap().status().await.unwrap();
        assert_eq!(status.vouchers.used, 0, "the voucher is still the user's");
        assert_eq!(status.credits_issued.0, 0);
        assert_eq!(wallet.balance().await.unwrap().spendable.0, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_version_with_other_keys_is_refused_with_evidence() {
    let scene = scene().await;
    scene.make_own_keys().await;
    scene.rotate_for_everybody().await;
    let wallet = scene.victim(&scene.honest()).await;
    let error = wallet.look_now().await.unwrap_err();
    let shown = scene.other_face.issuer().unwrap().manifest().digest();
    let everybodys = scene.network.vendor.issuer().unwrap().manifest().digest();
    let WalletError::ManifestSplit { version: 2, one, other } = &error else { panic!("{error}") };
    assert_eq!((*one, *other), (shown, everybodys));
    assert!(error.to_string().contains("traced"), "{error}");
    let error = wallet.buy(&scene.vouchers[0]).await.unwrap_err();
    assert!(matches!(error, WalletError::NotAgreedYet { found: 0, .. }), "{error}");
    scene.no_money_was_shown(&wallet).await;
    let evidence = wallet.evidence().await.unwrap();
    assert_eq!(evidence.len(), 1);
    assert_eq!(evidence[0].manifests.len(), 2, "both are signed by the vendor");
    assert!(evidence[0].relay_word.is_some());

    // With its true face the vendor still gets its customer: the voucher was never shown.
    let alice = scene.network.wallet("alice").await.unwrap();
    alice.buy(&scene.vouchers[0]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_version_that_nobody_else_gets_is_not_used() {
    let scene = scene().await;
    scene.make_own_keys().await;
    let wallet = scene.victim(&scene.honest()).await;
    assert!(matches!(
        wallet.buy(&scene.vouchers[0]).await,
        Err(WalletError::NotAgreedYet { found: 0, needed: 2, .. })
    ));
    for _ in 0..2 {
        // However long the wallet waits: relays ask the vendor that everybody knows.
        scene.refresh_relays().await;
        let report = wallet.look_now().await.unwrap();
        assert_eq!((report.agreed, report.version), (true, Some(1)));
    }
    // It buys under the keys that everybody has, whatever it was shown.
    let resumed = wallet.resume(Doubtful::Keep).await.unwrap();
    assert_eq!((resumed.purchases.len(), resumed.errors.len()), (1, 0), "{:?}", resumed.errors);
    assert_eq!(wallet.balance().await.unwrap().spendable.0, PRODUCT_CREDITS);
    let relay = Some(scene.honest()[0].clone());
    let queue = NewQueue { relay, days: 30, ..NewQueue::default() };
    wallet.create_queue(queue).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fewer_liars_than_the_setting_names_do_not_help() {
    let scene = scene().await;
    scene.make_own_keys().await;
    // An operator that works with the vendor: its relay repeats what the other face shows.
    let liar = scene.network.new_relay("liar", scene.other_face.listens_at()).await.unwrap();
    liar.relay().unwrap().refresh_manifests().await;
    let wallet = scene.victim(&[liar.address().clone()]).await;
    wallet.add_relay(&scene.honest()[0]).await.unwrap();
    assert!(!wallet.look_now().await.unwrap().agreed);
    let error = wallet.buy(&scene.vouchers[0]).await.unwrap_err();
    assert!(matches!(error, WalletError::NotAgreedYet { found: 1, needed: 2, .. }), "{error}");
    scene.no_money_was_shown(&wallet).await;

    // With one operator the user is content, and knows the liar alone.
    wallet.remove_relay(&scene.honest()[0].to_string()).await.unwrap();
    wallet.set_agreement(1).await.unwrap();
    assert_eq!(wallet.look_now().await.unwrap().version, Some(2));
    let resumed = wallet.resume(Doubtful::Keep).await.unwrap();
    assert!(resumed.errors.is_empty(), "{:?}", resumed.errors);
    assert_eq!(wallet.balance().await.unwrap().spendable.0, PRODUCT_CREDITS, "as chosen");
    // What it bought is good at the liar alone: whoever else is paid with it finds the tag.
    wallet.add_relay(&scene.honest()[0]).await.unwrap();
    let relay = Some(scene.honest()[0].clone());
    let queue = NewQueue { relay, days: 30, ..NewQueue::default() };
    assert!(wallet.create_queue(queue).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rotation_out_of_turn_a_purchase_waits_for_the_new_keys() {
    let scene = scene().await;
    let wallet = scene.network.wallet("alice").await.unwrap();
    wallet.buy(&scene.vouchers[0]).await.unwrap();
    scene.network.vendor.issuer().unwrap().change_epochs(Change::Rotate).await.unwrap();
    // The vendor signs with the old keys for as long as requests are under way, and then no longer.
    scene.network.clock.advance(1_000);
    let error = wallet.buy(&scene.vouchers[1]).await.unwrap_err();
    assert!(matches!(error, WalletError::KeysRefused), "{error}");
    scene.network.spread_manifest([&wallet]).await.unwrap();
    let resumed = wallet.resume(Doubtful::Keep).await.unwrap();
    assert_eq!((resumed.purchases.len(), resumed.errors.len()), (1, 0), "{:?}", resumed.errors);
}
