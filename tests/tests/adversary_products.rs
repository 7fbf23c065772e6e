//! A vendor that wants to know its buyers again by what it sells them, and wallets by the relays that they know.
//!
//! Before products stood in the manifest, a wallet had blinded whatever a grant named, 17 certificates in the place of ten: one buyer
//! with a coin that nobody else has was known at every redemption of it. Now nothing is blinded for a grant that is not the product that was ordered.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use scrip_issuer::Config;
use scrip_issuer::config::{Product, ProductRest};
use scrip_protocol::address::VendorAddress;
use scrip_protocol::credits::Exponent;
use scrip_protocol::id::VendorId;
use scrip_protocol::issuance::OtherGrant;
use scrip_protocol::keys::SigningKey;
use scrip_protocol::manifest::{
    Classes, ManifestBody, ManifestError, Operator, ProvenManifest, ProvenManifestError,
    SuccessionError,
};
use scrip_protocol::media;
use scrip_protocol::pack::Pack;
use scrip_protocol::seed::WalletSeed;
use scrip_protocol::tlog::policy::WitnessPolicy;
use scrip_runtime::config::HumanDuration;
use scrip_runtime::sealed::SealParams;
use scrip_tests::adversary::{Act, Answer, Stage};
use scrip_tests::network::{PRODUCT, PRODUCT_CREDITS, Plan};
use scrip_tests::node::passphrase;
use scrip_wallet::{Doubtful, NewWallet, Privacy, Wallet, WalletError};
use serde_json::{Value, json};

const DAY: u64 = 86_400;
/// A product in two parts.
const BIG: &str = "big";

fn two_products(config: &mut Config) {
    let pack = |counts: &[(u8, u16)]| {
        let counts = counts.iter().map(|(k, count)| (Exponent::new(*k).unwrap(), *count));
        Pack::new(counts).unwrap()
    };
    let rest = Some(ProductRest { pack: pack(&[(2, 3)]), after: HumanDuration(14 * DAY) });
    config.products.insert(BIG.into(), Product { pack: pack(&[(0, 4), (3, 5)]), rest });
}

async fn stage() -> Stage {
    Stage::set(Plan { vendor: two_products, ..Plan::default() }).await.unwrap()
}

/// The vendor answers every question about a grant with this lie.
fn grant_falsely(stage: &Stage, lie: fn(&mut Value)) {
    stage.selling.lie(move |request| match request.path.starts_with("/v1/grants") {
        true => Act::rewrite(move |truth| truth.with_json(lie)),
        false => Act::Honest,
    });
}

fn issuances(stage: &Stage, mark: usize) -> usize {
    let since = stage.recording.since(mark);
    since.iter().filter(|exchange| exchange.request.is("POST", "/v1/issuance")).count()
}

/// How many certificates of each denomination the wallet has.
async fn coins(wallet: &Wallet) -> Vec<u32> {
    let balance = wallet.balance().await.unwrap();
    balance.denominations.iter().map(|one| one.count).collect()
}

/// Changes an answer.
type Lie = fn(&mut Value);

/// What the vendor says instead of [`PRODUCT`], of which there are two certificates of each denomination up to 16 credits.
const LIES: [(&str, Lie); 9] = [
    ("the same worth in other coins", |answer| {
        answer["pack"] = json!([{"exponent": 0, "count": 2}, {"exponent": 2, "count": 15}]);
    }),
    ("one coin exchanged for two", |answer| {
        answer["pack"][0]["count"] = 4.into();
        answer["pack"][1]["count"] = 1.into();
    }),
    ("a coin that no product has", |answer| {
        answer["pack"] = json!([{"exponent": 0, "count": 24}, {"exponent": 9, "count": 1}]);
        answer["credits"] = 536.into();
    }),
    ("twice as much", |answer| {
        for entry in answer["pack"].as_array_mut().unwrap() {
            entry["count"] = 4.into();
        }
        answer["credits"] = (2 * PRODUCT_CREDITS).into();
    }),
    ("less than was paid for", |answer| {
        answer["pack"].as_array_mut().unwrap().pop();
        answer["credits"] = 30.into();
    }),
    ("another product", |answer| {
        answer["product"] = BIG.into();
        answer["pack"] = json!([{"exponent": 0, "count": 4}, {"exponent": 3, "count": 5}]);
        answer["credits"] = 44.into();
    }),
    ("a product that is not listed", |answer| answer["product"] = "starter-17".into()),
    ("another worth", |answer| answer["credits"] = 61.into()),
    ("a second part that was not promised", |answer| {
        answer["rest"] = json!({"credits": 1, "from": 0});
    }),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_of_its_own_for_one_buyer_is_refused_before_anything_is_blinded() {
    let stage = stage().await;
    for (number, (what, lie)) in LIES.into_iter().enumerate() {
        let wallet = stage.network.wallet(&format!("buyer-{number}")).await.unwrap();
        let voucher = stage.network.vendor.voucher(PRODUCT).await.unwrap();
        let mark = stage.recording.mark();
        grant_falsely(&stage, lie);
        let error = wallet.buy(&voucher).await.unwrap_err();
        assert!(matches!(error, WalletError::OtherGrant { .. }), "{what}: {error}");
        let resumed = wallet.resume(Doubtful::Keep).await.unwrap();
        assert!(matches!(resumed.errors[..], [WalletError::OtherGrant { .. }]), "{what}");
        assert_eq!(issuances(&stage, mark), 0, "{what}: nothing was blinded");
        assert_eq!(coins(&wallet).await, [0; 0], "{what}");
        // The money is not lost: the vendor has only to grant what it sold.
        stage.be_honest();
        wallet.resume(Doubtful::Keep).await.unwrap();
        assert_eq!(coins(&wallet).await, [2; 5], "{what}: as everybody has it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_part_of_its_own_is_refused_too() {
    let stage = stage().await;
    let wallet = stage.network.wallet("buyer").await.unwrap();
    let voucher = stage.network.vendor.voucher(BIG).await.unwrap();
    let lies: [fn(&mut Value); 3] = [
        |answer| drop(answer.as_object_mut().unwrap().remove("rest")),
        |answer| answer["rest"]["credits"] = 13.into(),
        |answer| answer["rest"]["from"] = 9_999_999_999_u64.into(),
    ];
    for lie in lies {
        grant_falsely(&stage, lie);
        let Err(WalletError::OtherGrant { reason: OtherGrant::Rest, .. }) =
            wallet.buy(&voucher).await
        else {
            panic!("not refused")
        };
    }
    stage.be_honest();
    wallet.buy(&voucher).await.unwrap();
    assert_eq!(coins(&wallet).await, [4, 5]);

    stage.network.clock.advance(15 * DAY);
    let mark = stage.recording.mark();
    grant_falsely(&stage, |answer| {
        answer["pack"] = json!([{"exponent": 0, "count": 4}, {"exponent": 3, "count": 1}]);
    });
    let resumed = wallet.resume(Doubtful::Keep).await.unwrap();
    assert!(matches!(resumed.errors[..], [WalletError::OtherGrant { .. }]), "{:?}", resumed.errors);
    assert_eq!(issuances(&stage, mark), 0);
    stage.be_honest();
    wallet.resume(Doubtful::Keep).await.unwrap();
    assert_eq!(coins(&wallet).await, [4, 3, 5]);
}

/// The vendor with another root key, which the attacker has: it signs what it likes and sells what the real one sells.
struct Forger {
    stage: Stage,
    root: SigningKey,
}

impl Forger {
    async fn new() -> Self {
        Self { stage: stage().await, root: SigningKey::from_seed(&[66; 32]) }
    }

    fn id(&self) -> VendorId {
        VendorId::of(&self.root.public())
    }

    /// From now on every wallet is shown the vendor's manifest with this change.
    fn show(&self, change: impl FnOnce(&mut ManifestBody)) {
        let mut body = self.stage.manifest().unwrap().body();
        body.root_key = self.root.public();
        change(&mut body);
        let shown = ProvenManifest::join(&body.sign(&self.root), &[]);
        self.stage.selling.lie(move |request| match request.is("GET", "/v1/manifest") {
            true => Act::Instead(Answer::new(200, media::MANIFEST, shown.clone())),
            false => Act::Honest,
        });
    }

    async fn wallet(&self, name: &str) -> Wallet {
        let authority = self.stage.selling.address().to_string();
        new_wallet(&self.stage, name, VendorAddress { id: self.id(), authority }).await
    }
}

/// A wallet to which nobody added a relay, and which takes the vendor's manifest as it is.
async fn new_wallet(stage: &Stage, name: &str, vendor: VendorAddress) -> Wallet {
    let new = NewWallet {
        vendor,
        seed: WalletSeed::from_bytes([name.len() as u8; 32]),
        seal: SealParams::for_tests(),
        proxy_buy: None,
        proxy_spend: None,
        privacy: Privacy::Off,
        witnesses: WitnessPolicy::none(),
    };
    let (directory, environment) = (stage.network.wallet_dir(name), stage.network.environment());
    let wallet = Wallet::create(&directory, passphrase(), new, environment).await.unwrap();
    wallet.set_agreement(0).await.unwrap();
    wallet
}

/// Keys of denominations that no product uses were five certain marks in the default manifest.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_serve_nothing_but_to_mark_and_forged_names_make_no_manifest() {
    let forger = Forger::new().await;
    let wallet = forger.wallet("buyer").await;
    let voucher = forger.stage.network.vendor.voucher(PRODUCT).await.unwrap();
    let mark = forger.stage.recording.mark();
    let refused = async || match wallet.meet_vendor().await {
        Err(WalletError::HandedOut(ProvenManifestError::Manifest(error))) => error,
        other => panic!("{other:?}"),
    };
    forger.show(|body| {
        let one = Pack::new([(Exponent::new(0).unwrap(), 1)]).unwrap();
        body.products.iter_mut().for_each(|product| product.pack = one.clone());
    });
    assert!(matches!(refused().await, ManifestError::UnusedKey { .. }));
    let operator = |name: &str| Operator {
        name: name.into(),
        key: SigningKey::from_seed(&[name.len() as u8; 32]).public(),
        classes: Classes::ALL,
        addresses: vec!["relay.example".into()],
    };
    for name in ["relay-0\u{202e}", "\u{1b}[2Jrelay-0", "relay-0\u{200b}", " relay-0"] {
        forger.show(|body| body.operators = vec![operator(name)]);
        assert!(matches!(refused().await, ManifestError::Operator { .. }), "{name:?}");
    }
    let since = forger.stage.recording.since(mark);
    assert!(since.iter().all(|one| one.request.is("GET", "/v1/manifest")), "no voucher was shown");
    forger.show(|_| ());
    wallet.meet_vendor().await.unwrap();
    wallet.buy(&voucher).await.unwrap();
}

/// Whoever bought around the day of a change would be known by it.
#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_becomes_another_is_refused_and_both_manifests_are_kept() {
    let forger = Forger::new().await;
    let wallet = forger.wallet("buyer").await;
    forger.show(|_| ());
    wallet.meet_vendor().await.unwrap();
    wallet.buy(&forger.stage.network.vendor.voucher(PRODUCT).await.unwrap()).await.unwrap();
    let other = forger.stage.network.vendor.voucher(PRODUCT).await.unwrap();
    let mark = forger.stage.recording.mark();
    let marked = "0:4,1:1,2:2,3:2,4:2".parse::<Pack>();
    forger.show(|body| {
        body.version += 1;
        let product = body.products.iter_mut().find(|product| product.name == PRODUCT);
        product.unwrap().pack = marked.unwrap();
    });
    let Err(WalletError::ManifestBroken { rule: SuccessionError::Product { name }, .. }) =
        wallet.meet_vendor().await
    else {
        panic!("not refused")
    };
    assert_eq!(name, PRODUCT);
    assert_eq!(issuances(&forger.stage, mark), 0);
    let evidence = wallet.evidence().await.unwrap();
    assert_eq!(evidence.len(), 1, "the two manifests convict the vendor");
    // Taken off sale, it is delivered all the same.
    forger.show(|body| {
        body.version += 1;
        body.products.iter_mut().for_each(|product| product.on_sale = false);
    });
    wallet.meet_vendor().await.unwrap();
    wallet.buy(&other).await.unwrap();
    assert!(matches!(wallet.order(PRODUCT).await, Err(WalletError::ProductNotListed { .. })));
}

/// Where each wallet knows relays of its own, whoever sees two of them asked together knows the wallet.
#[tokio::test(flavor = "multi_thread")]
async fn new_wallets_know_the_same_relays_without_an_address_typed_in() {
    let stage = stage().await;
    for (number, relay) in stage.network.relays.iter().enumerate() {
        let name = format!("relay-{number}");
        stage.network.vendor.relist(&name, relay.address()).await.unwrap();
    }
    for relay in &stage.network.relays {
        relay.relay().unwrap().refresh_manifests().await;
    }
    let mut lists = Vec::new();
    for name in ["ada", "grace"] {
        let vendor = stage.network.vendor.address().clone();
        let wallet = new_wallet(&stage, name, vendor).await;
        let mark = stage.recording.mark();
        wallet.meet_vendor().await.unwrap();
        wallet.buy(&stage.network.vendor.voucher(PRODUCT).await.unwrap()).await.unwrap();
        let relays = wallet.relays().await.unwrap();
        assert!(relays.iter().all(|relay| !relay.own && relay.listed.is_some()));
        let met = stage.recording.since(mark);
        let mut met: Vec<String> = met.iter().map(|exchange| exchange.peer.to_string()).collect();
        met.sort();
        met.dedup();
        lists.push((relays.into_iter().map(|relay| relay.address).collect::<Vec<_>>(), met));
    }
    assert_eq!(lists[0].0.len(), stage.network.relays.len());
    assert_eq!(lists[0], lists[1]);
    assert_eq!(stage.manifest().unwrap().operators().len(), stage.network.relays.len());
}
