//! Lists of voided certificates, and who serves them: what a restored wallet gets from the vendor, from a mirror, and from those who lie.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use scrip_auditor::audit::{AuditOptions, audit};
use scrip_auditor::finding::FindingKind;
use scrip_auditor::source::DirectoryLedger;
use scrip_protocol::credits::Credits;
use scrip_protocol::tlog::policy::WitnessPolicy;
use scrip_relay::earnings::export_receipts;
use scrip_runtime::clock::Clock;
use scrip_tests::adversary::{Act, REDEEMING, Stage};
use scrip_tests::network::{Network, PRODUCT, PRODUCT_CREDITS, Plan};
use scrip_tests::node::VendorNode;
use scrip_tests::two_faces::{other_face, witness};
use scrip_wallet::net::ListSource;
use scrip_wallet::{NewQueue, Wallet, WalletError};

const DAY: u64 = 86_400;
const SEED: [u8; 32] = [51; 32];

/// The keys and relays some days later, with the lists of that day.
async fn wait(stage: &Stage, days: u64) {
    let network = &stage.network;
    network.clock.set(network.clock.now().plus(days * DAY).day().start().plus(2 * 3_600));
    let issuer = network.vendor.issuer().unwrap();
    issuer.tend_keys().await.unwrap();
    for relay in &network.relays {
        relay.relay().unwrap().refresh_manifests().await;
    }
    issuer.publish_voided().await.unwrap();
}

async fn spend(stage: &Stage, wallet: &Wallet) -> u64 {
    let before = wallet.balance().await.unwrap().spendable.0;
    let relay = Some(stage.network.relays[0].address().clone());
    let queue = NewQueue { relay, days: 30, ..NewQueue::default() };
    wallet.create_queue(queue).await.unwrap();
    before - wallet.balance().await.unwrap().spendable.0
}

/// A purchase and a payment in each of some epochs; then the wallet is lost, and restored. Returns it, and what it had spent.
async fn lost_and_restored(stage: &Stage, epochs: usize) -> (Wallet, u64) {
    let lost = stage.network.wallet_of_seed("lost", SEED).await.unwrap();
    let mut spent = 0;
    for epoch in 0..epochs {
        lost.look_now().await.unwrap();
        lost.buy(&stage.network.vendor.voucher(PRODUCT).await.unwrap()).await.unwrap();
        spent += spend(stage, &lost).await;
        if epoch + 1 < epochs {
            wait(stage, 31).await;
        }
    }
    stage.network.redeem_all().await.unwrap();
    let restored = stage.network.wallet_of_seed("restored", SEED).await.unwrap();
    restored.restore(5).await.unwrap();
    wait(stage, 1).await;
    restored.look_now().await.unwrap();
    (restored, spent)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// From words alone, across three epochs, with nothing but a copy of the files: the vendor sees neither a certificate nor that somebody
/// looks. Before, it was asked about each certificate, by its key, within seconds: all purchases of the wallet and all of its payments
/// were tied together.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_with_an_offline_mirror_shows_the_vendor_no_certificate() {
    let stage = Stage::set(Plan::default()).await.unwrap();
    let (wallet, spent) = lost_and_restored(&stage, 3).await;
    let ledger = stage.network.vendor.issuer().unwrap().ledger_storage().place().to_owned();
    let mirror = stage.network.dir().join("mirror");
    copy(&Path::new(&ledger).join("voided"), &mirror.join("voided"));
    let mark = stage.recording.mark();
    let first = wallet.look_up(&ListSource::Directory(mirror.clone()), false).await.unwrap();
    assert!(first.errors.is_empty(), "{:?}", first.errors);
    assert_eq!((first.spent.0, first.settled.0), (spent, 0));
    assert_eq!(first.in_doubt.0 + spent, 3 * PRODUCT_CREDITS);

    wait(&stage, 8).await;
    // The mirror is as old as it was: it ends no doubt.
    let old = wallet.look_up(&ListSource::Directory(mirror.clone()), false).await.unwrap();
    assert_eq!(old.settled, Credits(0));
    assert!(old.errors.iter().any(|error| matches!(error, WalletError::OldList { .. })));
    std::fs::remove_dir_all(&mirror).unwrap();
    copy(&Path::new(&ledger).join("voided"), &mirror.join("voided"));
    let second = wallet.look_up(&ListSource::Directory(mirror), false).await.unwrap();
    assert_eq!((second.settled.0, second.in_doubt.0), (3 * PRODUCT_CREDITS - spent, 0));
    assert_eq!(wallet.balance().await.unwrap().spendable.0, 3 * PRODUCT_CREDITS - spent);
    // Relays have calls of their own to make.
    let called = stage.recording.since(mark).into_iter().filter(|one| one.peer != REDEEMING);
    assert_eq!(called.count(), 0, "nobody was called");
    assert!(stage.keys_at_the_vendor(0).unwrap().is_empty());
    spend(&stage, &wallet).await;
    stage.network.redeem_all().await.unwrap();
}

/// Whoever serves lists answers the second look with what it answered the first one.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_edition_ends_no_doubt() {
    let stage = Stage::set(Plan::default()).await.unwrap();
    let (wallet, spent) = lost_and_restored(&stage, 1).await;
    let first = wallet.look_up(&ListSource::Vendor, false).await.unwrap();
    assert_eq!((first.spent.0, first.errors.len()), (spent, 0));
    let seen: Vec<_> = stage.recording.all();
    wait(&stage, 9).await;
    stage.selling.lie(move |request| {
        let same = seen.iter().rev().find(|exchange| {
            exchange.request.path == request.path && request.path.starts_with("/ledger/voided/")
        });
        match same.and_then(|exchange| exchange.told.clone()) {
            Some(answer) => Act::Instead(answer),
            None => Act::Honest,
        }
    });
    for _ in 0..3 {
        let again = wallet.look_up(&ListSource::Vendor, false).await.unwrap();
        assert_eq!(again.settled, Credits(0));
        assert!(matches!(again.errors[..], [WalletError::OldList { .. }]), "{:?}", again.errors);
    }
    // Nor does an old one begin it: with a wallet that was restored today.
    let late = stage.network.wallet_of_seed("late", SEED).await.unwrap();
    late.restore(5).await.unwrap();
    late.look_up(&ListSource::Vendor, false).await.unwrap();
    stage.be_honest();
    assert_eq!(late.look_up(&ListSource::Vendor, false).await.unwrap().settled, Credits(0));
    let honest = wallet.look_up(&ListSource::Vendor, false).await.unwrap();
    assert_eq!(honest.settled.0, PRODUCT_CREDITS - spent);
}

/// Whoever serves lists leaves an entry out, adds one, or serves another bucket: what was signed for has another hash.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_list_does_not_count() {
    let stage = Stage::set(Plan::default()).await.unwrap();
    let (wallet, _) = lost_and_restored(&stage, 1).await;
    for change in [
        // One entry takes the place of its neighbour.
        |bytes: &mut Vec<u8>| bytes.copy_within(8..16, 0),
        // One more.
        |bytes: &mut Vec<u8>| bytes.extend([7; 8]),
        // One bit.
        |bytes: &mut Vec<u8>| bytes[4_000] ^= 1,
    ] {
        stage.selling.lie(move |request| match request.path.matches('/').count() {
            5 if request.path.starts_with("/ledger/voided/") => {
                Act::rewrite(move |truth| truth.with_bytes(change))
            }
            _ => Act::Honest,
        });
        let looked = wallet.look_up(&ListSource::Vendor, false).await.unwrap();
        assert_eq!(looked.errors.len(), 1, "{looked:?}");
        assert_eq!((looked.looked_for, looked.in_doubt.0), (0, PRODUCT_CREDITS));
    }
    // The index: the signature, the edition, or what the ledger commits to.
    for at in [20, 45, 60, 200, 600] {
        stage.selling.lie(move |request| match request.path.ends_with("/newest") {
            true => Act::rewrite(move |truth| {
                truth.with_bytes(move |bytes| {
                    let at = at.min(bytes.len() - 1);
                    bytes[at] ^= 1;
                })
            }),
            false => Act::Honest,
        });
        let looked = wallet.look_up(&ListSource::Vendor, false).await.unwrap();
        assert!(
            matches!(looked.errors[..], [WalletError::BadList { .. }]),
            "{at}: {:?}",
            looked.errors
        );
    }
}

/// What an auditor of the ledger that this face shows finds, who was handed the receipts of operators.
async fn audited(network: &Network, face: &VendorNode, receipts: &Path) -> Vec<FindingKind> {
    let options = AuditOptions {
        vendor: network.vendor.address().id,
        since: None,
        receipts: Some(receipts.to_owned()),
        refusals: None,
        policy: WitnessPolicy::none(),
        state: None,
        save_every: 1_024,
        workers: 1,
        now: network.clock.now(),
        rng: Arc::new(|| Box::new(ChaCha20Rng::from_seed([5; 32]))),
    };
    let place = face.issuer().unwrap().ledger_storage().place().to_owned();
    let run = move || audit(&DirectoryLedger::new(Path::new(&place)), &options, &|_| {});
    let report = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    report.findings.iter().map(|one| one.finding.kind).collect()
}

/// A payment that is redeemed; what it took.
async fn pay(network: &Network, wallet: &Wallet) -> u64 {
    let before = wallet.balance().await.unwrap().spendable.0;
    let relay = Some(network.relays[0].address().clone());
    wallet.create_queue(NewQueue { relay, days: 30, ..NewQueue::default() }).await.unwrap();
    network.redeem_all().await.unwrap();
    before - wallet.balance().await.unwrap().spendable.0
}

/// A vendor shows one wallet a whole history of its own, signed and consistent, in which one redemption was never made: its list has one entry
/// less, and whoever believes it spends again what was spent. A wallet that names witnesses refuses it: they follow one history. Who names none cannot tell, and says
/// "not found" for a certificate that was spent; the auditor finds the history by the receipts of the operator whose redemption it lacks.
#[tokio::test(flavor = "multi_thread")]
async fn another_list_for_one_wallet_is_refused_where_witnesses_are_named_and_found_by_receipts() {
    let mut network = Network::start().await.unwrap();
    let all = [witness(&network, 1).await.unwrap(), witness(&network, 2).await.unwrap()];
    network.vendor.stop().await.unwrap();
    network.vendor.config().ledger.witnesses = all.to_vec();
    network.vendor.start().await.unwrap();
    let keys = all.iter().map(|one| one.key.clone()).collect();
    let policy = WitnessPolicy::new(keys, 2).unwrap();
    let lost = network.wallet_of_seed("lost", SEED).await.unwrap();
    lost.buy(&network.vendor.voucher(PRODUCT).await.unwrap()).await.unwrap();
    let first = pay(&network, &lost).await;
    let other = other_face(&mut network).await.unwrap();
    let second = pay(&network, &lost).await;
    network.clock.set(network.clock.now().plus(DAY).day().start().plus(2 * 3_600));
    let issuer = network.vendor.issuer().unwrap();
    // With a checkpoint that both witnesses cosigned.
    assert_eq!(issuer.publish_voided().await.unwrap(), 1);
    assert_eq!(other.issuer().unwrap().publish_voided().await.unwrap(), 1);

    let lists = |face: &VendorNode| ListSource::Url(format!("http://{}/ledger", face.listens_at()));
    let restored = async |name: &str, policy: WitnessPolicy| {
        let wallet = network.wallet_of_seed(name, SEED).await.unwrap();
        wallet.restore(5).await.unwrap();
        wallet.set_witnesses(policy).await.unwrap();
        wallet
    };
    let careful = restored("careful", policy).await;
    let lied_to = careful.look_up(&lists(&other), true).await.unwrap();
    let [WalletError::BadList { reason, .. }] = &lied_to.errors[..] else { panic!("{lied_to:?}") };
    assert!(reason.contains("witnesses"), "{reason}");
    assert_eq!((lied_to.looked_for, lied_to.in_doubt.0), (0, PRODUCT_CREDITS));
    let told = careful.look_up(&lists(&network.vendor), true).await.unwrap();
    assert!(told.errors.is_empty(), "{:?}", told.errors);
    assert_eq!(told.spent.0, first + second);

    let trusting = restored("trusting", WitnessPolicy::none()).await;
    let lied_to = trusting.look_up(&lists(&other), true).await.unwrap();
    assert!(lied_to.errors.is_empty(), "{:?}", lied_to.errors);
    assert_eq!(lied_to.spent.0, first, "what the lie leaves out is taken for unspent");
    let receipts = network.dir().join("receipts");
    export_receipts(network.relays[0].relay().unwrap().config(), &receipts).await.unwrap();
    assert_eq!(audited(&network, &network.vendor, &receipts).await, []);
    let found = audited(&network, &other, &receipts).await;
    assert!(found.contains(&FindingKind::Forked), "{found:?}");
}
