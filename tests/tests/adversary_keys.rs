//! Attacks on the keys of evidence: a vendor that changes its receipt key to disown what it signed, that replaces manifests, that publishes keys under
//! which everybody can sign; and parties that know a wallet again by its clock or by the proxy that it comes through.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use scrip_issuer::Change;
use scrip_protocol::address::{RelayAddress, VendorAddress};
use scrip_protocol::hash::{Label, hash};
use scrip_protocol::id::{OperatorId, VendorId, encode_base64url};
use scrip_protocol::keys::{PublicKey, SigningKey};
use scrip_protocol::ledger::{Leaf, SignedLedgerQuery};
use scrip_protocol::limits::COMMAND_STEP;
use scrip_protocol::manifest::{ProvenManifest, ReceiptKeys};
use scrip_protocol::media;
use scrip_protocol::problem::ProblemType;
use scrip_protocol::resource::{COMMAND_HEADER, CommandAuth, ResourceKind, ResourceRequest};
use scrip_protocol::tlog::note::VerifierKey;
use scrip_protocol::tlog::tile::TilePath;
use scrip_relay::earnings::{self, compare::Checked, dispute};
use scrip_runtime::clock::{Clock, ManualClock};
use scrip_tests::adversary::{Act, Adversary, Answer, Recording, Request, Stage, send};
use scrip_tests::network::{Network, PRODUCT, Plan};
use scrip_tests::node::{RelayNode, free_address, passphrase};
use scrip_tests::socks::Socks;
use scrip_verifier::testing::{NOW, TestVendor};
use scrip_wallet::{NewQueue, Wallet};

/// A vendor that is the adversary, keys and all, and an honest relay that knows nobody else.
struct Duel {
    vendor: Arc<TestVendor>,
    adversary: Adversary,
    relay: RelayNode,
    clock: ManualClock,
    rng: ChaCha20Rng,
    _dir: tempfile::TempDir,
}

impl Duel {
    async fn begin() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(NOW);
        let vendor = Arc::new(TestVendor::new(0));
        let recording = Recording::new(clock.clone());
        let adversary =
            Adversary::before(free_address().unwrap(), "vendor", &recording).await.unwrap();
        let address = VendorAddress { id: vendor.id(), authority: adversary.address().to_string() };
        let mut config = scrip_relay::Config::new(dir.path(), [address]);
        config.listen = free_address().unwrap();
        let mut relay = RelayNode::init(config, Arc::new(clock.clone())).await.unwrap();
        let (books, operator) = (Arc::clone(&vendor), *relay.operator_key());
        adversary.lie(move |request| Act::Instead(answer(&books, &operator, request)));
        relay.start().await.unwrap();
        let rng = ChaCha20Rng::from_seed([1; 32]);
        Self { vendor, adversary, relay, clock, rng, _dir: dir }
    }

    /// Somebody pays the relay with a good certificate, and the relay redeems it.
    async fn earn(&mut self, seed: u8) {
        self.take(seed).await;
        self.relay.relay().unwrap().redeem_now().await.unwrap();
    }

    /// Somebody pays the relay with a good certificate.
    async fn take(&mut self, seed: u8) {
        let keys = [seed, seed + 1].map(|seed| SigningKey::from_seed(&[seed; 32]).public());
        let kind = ResourceKind::Queue { recipient_key: keys[0], sender_key: keys[1] };
        let request = ResourceRequest { days: 30, kind }.encode();
        let operator = OperatorId::of(self.relay.operator_key());
        let certificate = self.vendor.issue(3);
        let paid = self.vendor.pay([&certificate], &operator, &request, &mut self.rng);
        let mut headers = http::HeaderMap::new();
        headers.insert("content-type", media::PAID_REQUEST.parse().unwrap());
        let request = Request {
            method: "POST".into(),
            path: "/v1/queues".into(),
            headers,
            body: paid.encode().into(),
        };
        let place = self.relay.config().listen;
        assert_eq!(send(place, &request).await.unwrap().status, 201);
    }

    /// The first redemption in the vendor's ledger is something else now.
    fn rewrite_the_first_redemption(&self) -> u64 {
        let mut ledger = self.vendor.ledger();
        let is_redemption = |index: &u64| {
            matches!(Leaf::decode(ledger.leaf(*index).unwrap()), Ok(Leaf::Redemption(_)))
        };
        let index = (0..ledger.size()).find(is_redemption).unwrap();
        ledger.replace(index, &Leaf::Cover([9; 32]));
        index
    }

    /// What the operator's own check says, and what a third party makes of the file that it leaves.
    async fn check(&mut self) -> (Checked, Vec<dispute::Judgement>) {
        let vendor = self.vendor.id();
        let config = self.relay.config().clone();
        let checked = earnings::check(&config, &vendor, passphrase(), NOW).await.unwrap();
        let file = dispute::Dispute::of(&checked).to_json();
        let judged = dispute::verify(file.as_bytes(), &vendor).unwrap();
        (checked, judged)
    }

    async fn refresh(&self) {
        self.relay.relay().unwrap().refresh_manifests().await;
    }

    fn held_version(&self, status: &scrip_relay::report::Status) -> u64 {
        let vendor = status.vendors.iter().find(|one| one.vendor_id == self.vendor.id());
        vendor.unwrap().manifest_version.unwrap_or(0)
    }

    async fn status(&mut self) -> scrip_relay::report::Status {
        let config = self.relay.config().clone();
        scrip_relay::report::status(&config, NOW).await.unwrap()
    }
}

/// What the dishonest vendor answers.
fn answer(vendor: &TestVendor, operator: &PublicKey, request: &Request) -> Answer {
    let not_found = || Answer::problem(ProblemType::NotFound);
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/v1/manifest") => Answer::new(200, media::MANIFEST, vendor.published()),
        ("POST", "/v1/redemptions") => match vendor.redeem(&request.body, operator) {
            Some(outcome) => Answer::new(200, media::REDEMPTION_OUTCOME, outcome),
            None => not_found(),
        },
        ("GET", "/ledger/checkpoint") => Answer::new(200, "text/plain", vendor.checkpoint()),
        ("POST", "/v1/ledger/own") => {
            let query = SignedLedgerQuery::decode(&request.body).unwrap().verify(operator).unwrap();
            let own = vendor.ledger().own(&query.operator_id, query.from).encode();
            Answer::new(200, media::LEDGER_LEAVES, own)
        }
        ("GET", path) => {
            let path: Option<TilePath> =
                path.strip_prefix("/ledger/").and_then(|path| path.parse().ok());
            let tile = path.and_then(|path| vendor.ledger().tile(&path));
            tile.map_or_else(not_found, |tile| Answer::new(200, "application/octet-stream", tile))
        }
        _ => not_found(),
    }
}

#[track_caller]
fn proven(judged: &[dispute::Judgement], words: &str) {
    let found = judged.iter().find(|one| one.claim.contains(words));
    let found = found.unwrap_or_else(|| panic!("nothing of {words:?}: {judged:#?}"));
    assert_eq!(found.verdict, dispute::Verdict::Proven, "{found:?}");
}

/// A vendor publishes a manifest with another receipt key in the place of the first, and books without what it owed. Before, the relay took the manifest,
/// threw the old one away, and its receipts verified nowhere any more. Now the manifest is refused and kept, and both the broken word and the missing
/// redemption are proven to whoever reads the dispute file.
#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_replaces_its_receipt_key_disowns_nothing() {
    let mut duel = Duel::begin().await;
    duel.earn(1).await;
    let newer = SigningKey::from_seed(&[0x44; 32]);
    let replaced = ReceiptKeys::first(newer.public());
    duel.vendor.sign_with(newer);
    duel.vendor.publish(|body| (body.version, body.receipt_keys) = (2, replaced));
    duel.refresh().await;
    let status = duel.status().await;
    assert_eq!(duel.held_version(&status), 1, "the first manifest stays in use");
    assert_eq!(status.vendors[0].contradictions.len(), 2, "both are kept, and shown");
    let (checked, judged) = duel.check().await;
    assert!(!checked.agrees());
    proven(&judged, "version 2 breaks what version 1 promises");

    let index = duel.rewrite_the_first_redemption();
    let (_, judged) = duel.check().await;
    proven(&judged, "version 2 breaks what version 1 promises");
    proven(&judged, &format!("is leaf {index}; another leaf is there"));
    // What the new key signs is no answer: the certificate stays to be redeemed.
    let accepted = duel.status().await.vendors[0].accepted;
    duel.earn(10).await;
    let after = duel.status().await;
    assert_eq!(after.vendors[0].accepted, accepted);
    assert_eq!(after.vendors[0].unanswered_batches, 1);
    drop(duel.adversary);
}

/// The same with the word of the key before: the relay follows, shows the change, and its old receipts count as they did.
#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_key_that_is_changed_as_it_should_be_leaves_old_receipts_provable() {
    let mut duel = Duel::begin().await;
    duel.earn(1).await;
    let newer = SigningKey::from_seed(&[0x44; 32]);
    let key = newer.public();
    duel.vendor.sign_with(newer);
    duel.vendor.endorse(2, key);
    duel.refresh().await;
    duel.earn(10).await;
    let status = duel.status().await;
    assert_eq!((duel.held_version(&status), status.vendors[0].unanswered_batches), (2, 0));
    assert_eq!(status.vendors[0].receipt_key_changed, Some(2));
    assert_eq!(status.vendors[0].contradictions, []);
    let (checked, judged) = duel.check().await;
    assert!(checked.agrees() && judged.is_empty(), "{:?}", checked.differences);
    assert_eq!(checked.credited, 2, "one under each key");
    let index = duel.rewrite_the_first_redemption();
    let (_, judged) = duel.check().await;
    proven(&judged, &format!("is leaf {index}; another leaf is there"));
}

/// A vendor shows another manifest of a version that the relay holds. Before, the relay's check of the books said nothing of it; now it differs, and two
/// signed manifests of one version are proof.
#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_replaces_a_manifest_is_proven_to() {
    let mut duel = Duel::begin().await;
    duel.earn(1).await;
    let first = duel.status().await.vendors[0].manifest_digest;
    duel.vendor.publish(|body| body.epochs.truncate(1));
    duel.refresh().await;
    assert_eq!(duel.status().await.vendors[0].manifest_digest, first);
    let (checked, judged) = duel.check().await;
    assert!(!checked.agrees());
    proven(&judged, "two manifests of version 1");
}

/// A vendor ends the life of its keys after the fact, and calls what was good when it was taken invalid. Before, the relay took the manifest, the answer was
/// true by it, and the books agreed. Now the manifest is refused, also after a restart, the answer is kept, and an earlier answer of the vendor's, by the manifest that
/// it takes back, makes it a proven untruth.
#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_cannot_take_back_a_day_on_which_its_keys_were_good() {
    let mut duel = Duel::begin().await;
    duel.earn(1).await;
    duel.take(10).await;
    duel.vendor.publish(|body| {
        body.version = 2;
        let windows = &mut body.epochs[0].windows;
        windows.issue_until = NOW.minus(9 * 86_400);
        (windows.renew_from, windows.spend_until) = (windows.issue_until, windows.issue_until);
    });
    duel.clock.advance(3_600);
    for _ in 0..2 {
        duel.relay.stop().await.unwrap();
        duel.relay.start().await.unwrap();
        duel.refresh().await;
        let status = duel.status().await;
        assert_eq!(duel.held_version(&status), 1);
        assert_eq!(status.vendors[0].contradictions.len(), 2, "both are kept");
    }
    duel.relay.relay().unwrap().redeem_now().await.unwrap();
    let status = duel.status().await;
    assert_eq!(status.vendors[0].unanswered_batches, 0, "what it signed is kept");
    let (checked, judged) = duel.check().await;
    assert_eq!((checked.credited, checked.differences.len()), (1, 1), "{:?}", checked.differences);
    proven(&judged, "called a certificate invalid or expired, and it verifies");
}

/// The encodings of the identity and of a point that is not reduced.
fn bad_keys() -> [[u8; 32]; 2] {
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut unreduced = [0xff; 32];
    unreduced[31] = 0x7f;
    [identity, unreduced]
}

/// A vendor names a receipt key under which everybody can sign. Before, relays took it, and everything "signed" by it proved something, so that nothing
/// did. Now the manifest does not parse.
#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_key_of_small_order_is_no_receipt_key() {
    let duel = Duel::begin().await;
    let honest = duel.vendor.manifest_bytes();
    let receipt = *duel.vendor.receipt_key().public().as_bytes();
    let at = honest.windows(32).position(|bytes| *bytes == receipt).unwrap();
    let root = SigningKey::from_seed(&[0x70; 32]);
    assert_eq!(VendorId::of(&root.public()), duel.vendor.id(), "the vendor signs it itself");
    for bad in bad_keys() {
        let mut bytes = honest.clone();
        bytes[2 + 32..2 + 32 + 8].copy_from_slice(&2_u64.to_be_bytes());
        bytes[at..at + 32].copy_from_slice(&bad);
        let body = bytes.len() - 64;
        let signature = root.sign(Label::Manifest, &bytes[..body]);
        bytes[body..].copy_from_slice(signature.as_bytes());
        let served = Bytes::from(ProvenManifest::join(&bytes, &[]));
        duel.adversary
            .lie(move |_| Act::Instead(Answer::new(200, media::MANIFEST, served.clone())));
        duel.refresh().await;
        let held = duel.relay.relay().unwrap().verifier().status().await.unwrap();
        assert_eq!(held.vendors[0].manifest.map(|(version, _)| version), Some(1));
    }
}

/// An operator whose key is of small order: its address is the key's hash, so that a wallet would take everybody's receipts for its own. Nor does a vendor
/// contract with it, nor does anybody follow such a witness.
#[tokio::test(flavor = "multi_thread")]
async fn operators_and_witnesses_with_keys_of_small_order_are_nobody() {
    let stage = Stage::set(Plan { relays: 1, ..Plan::default() }).await.unwrap();
    let wallet = stage.network.wallet("alice").await.unwrap();
    for bad in bad_keys() {
        let text = encode_base64url(&bad);
        let key = text.clone();
        stage.relays[0].lie(move |request| match request.is("GET", "/v1/relay") {
            true => {
                let key = key.clone();
                Act::rewrite(move |truth| truth.with_json(|info| info["operator_key"] = key.into()))
            }
            false => Act::Honest,
        });
        let id = OperatorId::from_bytes(hash(Label::OperatorId, &[&bad]));
        let authority = stage.relays[0].address().to_string();
        assert!(wallet.add_relay(&RelayAddress { id, authority }).await.is_err());
        assert!(text.parse::<PublicKey>().is_err(), "what `operator add` reads");
        for algorithm in [1_u8, 4] {
            let vkey = [&[algorithm], bad.as_slice()].concat();
            let vkey = format!("w.example+00000000+{}", data_encoding::BASE64.encode(&vkey));
            assert!(vkey.parse::<VerifierKey>().is_err());
        }
    }
}

/// Relays compare the clocks of commands. Before, the time was that of the wallet to the second, so that a clock that is off tied whatever it signed. Now
/// what wallets say is the same, whatever their clocks say, within a step of five minutes.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_cannot_tell_wallets_by_their_clocks() {
    let stage = Stage::set(Plan { relays: 2, ..Plan::default() }).await.unwrap();
    // In the middle of a step.
    stage.network.clock.advance(COMMAND_STEP / 2);
    let mut said = Vec::new();
    for (name, skew) in [("early", -140_i64), ("right", 0), ("late", 140)] {
        drop(stage.network.funded_wallet(name, 1).await.unwrap());
        let mut environment = stage.network.environment();
        let now = stage.network.clock.now();
        let skewed = ManualClock::new(scrip_protocol::time::UnixSeconds(
            now.0.checked_add_signed(skew).unwrap(),
        ));
        environment.clock = Arc::new(skewed);
        let place = stage.network.wallet_dir(name);
        let wallet = Wallet::open(&place, passphrase(), environment).await.unwrap();
        let mark = stage.recording.mark();
        let new = NewQueue { name: Some("q".into()), days: 30, ..NewQueue::default() };
        let queue = wallet.create_queue(new).await.unwrap();
        assert!(wallet.mailbox(&queue.name).await.unwrap().next().await.unwrap().is_none());
        wallet.check_leases(None).await.unwrap();
        let times: Vec<u64> = stage
            .recording
            .since(mark)
            .iter()
            .filter_map(|exchange| exchange.request.header(COMMAND_HEADER).map(str::to_owned))
            .map(|header| CommandAuth::from_header(&header).unwrap().time.0)
            .collect();
        assert!(times.len() >= 2, "{times:?}");
        assert!(times.iter().all(|time| time.is_multiple_of(COMMAND_STEP)), "{times:?}");
        said.push(times.into_iter().collect::<BTreeSet<u64>>());
    }
    assert_eq!(said[0], said[1]);
    assert_eq!(said[1], said[2]);
}

/// A proxy that is given as `socks5h://` may be Tor all the same. Before, everything came to it without a name, and Tor may put that onto one circuit; now
/// each purchase and each resource comes under a name of its own, as with `tor://`.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_cannot_tie_purchases_and_resources_together() {
    let network = Network::start().await.unwrap();
    let proxy = Socks::start().await.unwrap();
    assert!(proxy.setting().starts_with("socks5h://"));
    drop(network.wallet("alice").await.unwrap());
    let mut environment = network.environment();
    environment.network.proxy_buy = Some(proxy.setting().parse().unwrap());
    environment.network.proxy_spend = Some(proxy.setting().parse().unwrap());
    let place = network.wallet_dir("alice");
    let wallet = Wallet::open(&place, passphrase(), environment).await.unwrap();
    let mut all = BTreeSet::new();
    let mut names = || -> BTreeSet<String> {
        let visits = proxy.visits().into_iter().map(|visit| visit.user);
        let new: BTreeSet<String> = visits.filter(|user| !all.contains(user)).collect();
        all.extend(new.iter().cloned());
        new
    };
    let mut purposes = Vec::new();
    for _ in 0..2 {
        wallet.buy(&network.vendor.voucher(PRODUCT).await.unwrap()).await.unwrap();
        purposes.push(names());
    }
    for name in ["a", "b"] {
        let relay = Some(network.relays[0].address().clone());
        let new = NewQueue { name: Some(name.into()), relay, days: 30, ..NewQueue::default() };
        wallet.create_queue(new).await.unwrap();
        purposes.push(names());
    }
    // Names that are new with each purpose: none is used again for another.
    assert!(purposes.iter().all(|names| !names.is_empty()), "{purposes:?}");
    assert!(!all.contains(""), "nothing comes without a name");
    let of_vendor =
        |visit: &scrip_tests::socks::Visit| visit.target == network.vendor.address().authority;
    let (buying, spending): (Vec<_>, Vec<_>) = proxy.visits().into_iter().partition(of_vendor);
    let buying: BTreeSet<String> = buying.into_iter().map(|visit| visit.user).collect();
    assert!(spending.iter().all(|visit| !buying.contains(&visit.user)));
}

/// The vendor's own program: an honest change of the receipt key, seen by a relay and by a wallet that both go on as before.
#[tokio::test(flavor = "multi_thread")]
async fn an_honest_vendor_changes_its_receipt_key_and_nobody_loses_anything() {
    let network = Network::start().await.unwrap();
    let wallet = network.funded_wallet("alice", 1).await.unwrap();
    let queue_at = |name: &str| NewQueue {
        name: Some(name.into()),
        relay: Some(network.relays[0].address().clone()),
        days: 30,
        ..NewQueue::default()
    };
    wallet.create_queue(queue_at("before")).await.unwrap();
    network.redeem_all().await.unwrap();
    let issuer = network.vendor.issuer().unwrap();
    issuer.change_receipt_key().await.unwrap();
    for relay in &network.relays {
        relay.relay().unwrap().refresh_manifests().await;
    }
    wallet.create_queue(queue_at("after")).await.unwrap();
    network.redeem_all().await.unwrap();
    // Another version on top, without a change of the key.
    network.clock.advance(1);
    assert!(issuer.change_epochs(Change::Rotate).await.unwrap());
    for relay in &network.relays {
        relay.relay().unwrap().refresh_manifests().await;
    }
    wallet.buy(&network.vendor.voucher(PRODUCT).await.unwrap()).await.unwrap();
    let status = issuer.status().await.unwrap();
    assert_eq!(status.credits_redeemed.0, 4);
    let vendor = network.vendor.address().id;
    let status = network.relays[0].relay().unwrap().verifier().status().await.unwrap();
    assert!(status.vendors.iter().all(|one| one.pending_batches == 0 && one.trouble.is_none()));
    let config = network.relays[0].relay().unwrap().config().clone();
    let checked = earnings::check(&config, &vendor, passphrase(), network.clock.now()).await;
    let checked = checked.unwrap();
    assert!(checked.agrees(), "{:?}", checked.differences);
    assert_eq!(checked.receipts.len(), 2, "one under each key");
}
