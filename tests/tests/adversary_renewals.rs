//! Vendors that refuse renewals and use what was signed for them, or take certificates with what others were paid; and holders of
//! certificates who would like an honest vendor to look like one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use scrip_auditor::audit::{AuditOptions, audit};
use scrip_auditor::finding::FindingKind;
use scrip_auditor::source::DirectoryLedger;
use scrip_issuer::ledger::Scope;
use scrip_issuer::renewal::RenewalError;
use scrip_protocol::id::OperatorId;
use scrip_protocol::issuance::{Blinding, Certificate, IssuanceAnswer, IssuanceRequest};
use scrip_protocol::keys::SigningKey;
use scrip_protocol::manifest::KeyUse;
use scrip_protocol::media;
use scrip_protocol::payment::PaidRequest;
use scrip_protocol::problem::{Problem, ProblemType};
use scrip_protocol::purchase::GrantRequest;
use scrip_protocol::redemption::{
    ConflictProof, DoubleSpend, ItemResult, RedemptionOutcome, SignedBatch, Winner,
};
use scrip_protocol::refusal::{Accusation, Refusal};
use scrip_protocol::renewal::{
    Complaint, RenewalItem, RenewalRefusal, RenewalResult, RenewalSpent,
};
use scrip_protocol::seed::{Counter, WalletSeed};
use scrip_protocol::spend::SpendKind;
use scrip_protocol::tlog::policy::WitnessPolicy;
use scrip_runtime::clock::{Clock, SharedClock};
use scrip_runtime::steps::Steps;
use scrip_tests::adversary::{Act, Answer, Request, Stage};
use scrip_tests::network::{Network, PRODUCT, Plan};
use scrip_tests::node::{PASSPHRASE, passphrase};
use scrip_wallet::{Culprit, Doubtful, NewQueue, Wallet, WalletError};

const DAY: u64 = 86_400;

/// A wallet whose certificates can be renewed.
async fn renewable() -> (Stage, Wallet) {
    let stage = Stage::set(Plan { relays: 1, ..Plan::default() }).await.unwrap();
    let wallet = stage.network.funded_wallet("alice", 1).await.unwrap();
    let issuer = stage.network.vendor.issuer().unwrap();
    stage.network.clock.set(issuer.manifest().epochs()[0].windows.renew_from.plus(DAY));
    issuer.tend_keys().await.unwrap();
    for relay in &stage.network.relays {
        relay.relay().unwrap().refresh_manifests().await;
    }
    (stage, wallet)
}

fn queue() -> NewQueue {
    NewQueue { days: 30, accept_excess: true, ..NewQueue::default() }
}

/// What an auditor finds who is handed these files of wallets, and perhaps an operator's receipts.
async fn audited(
    network: &Network,
    refusals: &Path,
    receipts: Option<PathBuf>,
) -> Vec<FindingKind> {
    let options = AuditOptions {
        vendor: network.vendor.address().id,
        since: None,
        receipts,
        refusals: Some(refusals.to_owned()),
        policy: WitnessPolicy::none(),
        state: None,
        save_every: 1_024,
        workers: 1,
        now: network.clock.now(),
        rng: Arc::new(|| Box::new(ChaCha20Rng::from_seed([5; 32]))),
    };
    let ledger = DirectoryLedger::new(network.issuer_dir().join("ledger"));
    let audit = move || audit(&ledger, &options, &|_| {});
    let report = tokio::task::spawn_blocking(audit).await.unwrap().unwrap();
    let mut kinds: Vec<FindingKind> = report.findings.iter().map(|one| one.finding.kind).collect();
    kinds.sort_unstable();
    kinds
}

async fn run(
    network: &Network,
    main: impl FnOnce(Vec<OsString>, Vec<(String, String)>, SharedClock) -> ExitCode + Send + 'static,
    args: &[&str],
) {
    let args = args.iter().map(Into::into).collect();
    let clock: SharedClock = Arc::new(network.clock.clone());
    let env = ["SCRIP_RELAY_PASSPHRASE", "SCRIP_PASSPHRASE"];
    let env = env.map(|name| (name.to_owned(), PASSPHRASE.to_owned())).to_vec();
    let code = tokio::task::spawn_blocking(move || main(args, env, clock)).await.unwrap();
    assert_eq!(code, ExitCode::SUCCESS);
}

/// What the operator hands out.
async fn receipts(network: &Network) -> PathBuf {
    let (to, dir) = (network.dir().join("receipts"), network.relay_dir("relay-0"));
    let main = |args, env, clock| scrip_relay::cli::main_with(args, env, clock, Steps::none());
    let (to_text, dir) = (to.to_str().unwrap(), dir.to_str().unwrap());
    run(network, main, &["scrip-relay", "--dir", dir, "receipts", "export", to_text]).await;
    to
}

/// What the wallet hands out about the vendor, as its user has it written.
async fn complaints(network: &Network) -> PathBuf {
    let (to, dir) = (network.dir().join("refusals"), network.wallet_dir("alice"));
    std::fs::create_dir_all(&to).unwrap();
    let main = |args, env, clock| scrip_wallet::cli::main_with(args, env, clock, Steps::none());
    let (to_text, dir) = (to.to_str().unwrap(), dir.to_str().unwrap());
    run(network, main, &["scrip", "--wallet", dir, "evidence", "--output", to_text]).await;
    to
}

/// Refuses every renewal under the vendor's signature, and keeps what came.
fn refuse_renewals(stage: &Stage) -> Arc<Mutex<Vec<RenewalItem>>> {
    let issuer = stage.network.vendor.issuer().unwrap();
    let (vendor, receipt_key) = (issuer.vendor_id(), issuer.receipt_key());
    let (day, manifest_version) = (stage.network.clock.today(), issuer.manifest().version());
    let kept: Arc<Mutex<Vec<RenewalItem>>> = Arc::default();
    let sink = kept.clone();
    stage.selling.lie(move |request: &Request| {
        if !request.is("POST", "/v1/renewals") {
            return Act::Honest;
        }
        let item = RenewalItem::decode(&request.body).unwrap();
        let refusal = RenewalRefusal {
            vendor_id: vendor,
            certificate_key: item.token.certificate_key().unwrap(),
            binding: item.binding(&vendor),
            day,
            manifest_version,
            problem: ProblemType::RenewalClosed,
        };
        sink.lock().unwrap().push(item);
        Act::Instead(Answer::problem(refusal.problem(&receipt_key)))
    });
    kept
}

/// A vendor refuses renewals, keeps what was signed for them, and shows it as what came first when the certificates have paid for
/// something. Before, the wallet had nothing to show, and the relay looked like a cheat. Now the refusal is signed: the wallet names the
/// vendor, and its file beside the relay's receipt convicts it before an auditor who believes none of the three. The reason that it gave
/// is untrue besides, and that takes no second document.
#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_refuses_a_renewal_and_uses_it_is_convicted_by_two_documents() {
    let (stage, wallet) = renewable().await;
    let network = &stage.network;
    let kept = refuse_renewals(&stage);
    wallet.look_now().await.unwrap();
    let before = wallet.balance().await.unwrap().spendable;
    let renewed = wallet.renew(Doubtful::Keep).await.unwrap();
    assert_eq!(renewed.certificates, 0);
    let refused = |error: &WalletError| matches!(error, WalletError::RenewalRefused { .. });
    assert!(renewed.errors.iter().all(refused), "{:?}", renewed.errors);
    assert_eq!(wallet.balance().await.unwrap().spendable, before, "as they were");
    wallet.create_queue(queue()).await.unwrap();

    let issuer = network.vendor.issuer().unwrap();
    let (vendor, version) = (issuer.vendor_id(), issuer.manifest().version());
    let (day, receipt_key) = (network.clock.today(), issuer.receipt_key());
    stage.redeeming.lie(move |request| {
        if !request.is("POST", "/v1/redemptions") {
            return Act::Honest;
        }
        let batch = SignedBatch::decode(&request.body).unwrap();
        let kept = kept.lock().unwrap();
        let spent = |item: &scrip_protocol::redemption::RedemptionItem| {
            let refused = kept.iter().find(|one| one.token == item.token).unwrap();
            ItemResult::DoubleSpent(DoubleSpend {
                certificate_key: item.token.certificate_key().unwrap(),
                other_binding: refused.binding(&vendor),
                other_signature: refused.signature,
                winner: Winner::Renewed(day),
            })
        };
        let outcome = RedemptionOutcome {
            vendor_id: vendor,
            operator_id: batch.operator_id(),
            batch_digest: batch.digest(),
            day,
            manifest_version: version,
            results: batch.items().iter().map(spent).collect(),
            leaves: Vec::new(),
            checkpoint: Vec::new(),
        };
        Act::Instead(Answer::new(200, media::REDEMPTION_OUTCOME, outcome.sign(&receipt_key)))
    });
    let redeemed = network.relays[0].relay().unwrap().redeem_now().await.unwrap();
    assert!(redeemed.double_spent > 0);
    let leases = wallet.check_leases(None).await.unwrap();
    let conflicts = &leases[0].conflicts;
    assert_eq!(conflicts.len() as u64, redeemed.double_spent);
    assert!(conflicts.iter().all(|one| one.proven && one.culprit == Some(Culprit::Vendor)));
    let diagnosis = wallet.diagnose().await.unwrap();
    assert!(diagnosis.findings.iter().any(|finding| finding.name == "vendor.caught"));
    assert!(diagnosis.caught.is_empty(), "the relay is paid again");
    wallet.close().await.unwrap();

    let lost = conflicts.len();
    let files = complaints(network).await;
    let untrue = vec![FindingKind::RenewalRefusalUntrue; lost];
    assert_eq!(audited(network, &files, None).await, untrue);
    let mut expected = vec![FindingKind::RefusedAndRenewed; lost];
    expected.extend(untrue);
    assert_eq!(audited(network, &files, Some(receipts(network).await)).await, expected);
}

/// The operator's own key: whoever runs a relay has it.
fn operator_key(network: &Network) -> SigningKey {
    let sealed = std::fs::read(network.relay_dir("relay-0").join("operator.key")).unwrap();
    let opened =
        scrip_runtime::sealed::open(&passphrase(), b"scrip-relay operator key", &sealed).unwrap();
    SigningKey::from_seed(opened.as_slice().try_into().unwrap())
}

/// A relay refuses a payment under its signature and lends it to the vendor, who answers the renewal of each of its certificates that it
/// was spent. Before, nobody had signed that, and the certificates were gone. Now the vendor has signed a leaf: an auditor does not find the
/// payment there, and the vendor is convicted. The wallet pays the relay no more either: its payment came back after it had refused it.
#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_and_an_operator_that_take_a_certificate_to_be_renewed_are_convicted() {
    let (stage, wallet) = renewable().await;
    let network = &stage.network;
    let (key, paid) = (operator_key(network), Arc::new(Mutex::new(None)));
    let sink = paid.clone();
    stage.relays[0].lie(move |request| {
        if !request.has_type(media::PAID_REQUEST) {
            return Act::Honest;
        }
        let asked = PaidRequest::decode(&request.body).unwrap();
        let (payment_id, problem) = (asked.payment_id(), ProblemType::StorageFull);
        let mut document = Problem::new(problem);
        Refusal { operator_id: OperatorId::of(&key.public()), payment_id, problem }
            .attach(&key, &mut document);
        *sink.lock().unwrap() = Some(asked);
        Act::Instead(Answer::problem(document))
    });
    wallet.look_now().await.unwrap();
    let error = wallet.create_queue(queue()).await.unwrap_err();
    assert!(matches!(error, WalletError::PaymentRefused { .. }), "{error}");
    let paid = paid.lock().unwrap().take().unwrap();

    let issuer = network.vendor.issuer().unwrap();
    let (vendor, receipt_key) = (issuer.vendor_id(), issuer.receipt_key());
    let checkpoint = std::fs::read(network.issuer_dir().join("ledger").join("checkpoint")).unwrap();
    let evidence = paid.payment.evidence(&paid.resource_request);
    let taken = evidence.len();
    stage.selling.lie(move |request: &Request| {
        if !request.is("POST", "/v1/renewals") {
            return Act::Honest;
        }
        let item = RenewalItem::decode(&request.body).unwrap();
        let Some(lent) = evidence.iter().find(|one| one.item.token == item.token) else {
            return Act::Honest;
        };
        let spent = RenewalSpent {
            vendor_id: vendor,
            key_id: item.token.key_id,
            binding: item.binding(&vendor),
            proof: ConflictProof {
                certificate_key: item.token.certificate_key().unwrap(),
                kind: SpendKind::Spend,
                other_binding: lent.binding,
                other_signature: lent.item.signature,
            },
            leaf: 0,
            checkpoint: checkpoint.clone(),
        };
        let answer = RenewalResult::Spent(spent.sign(&receipt_key)).encode();
        Act::Instead(Answer::new(200, media::RENEWAL_ANSWER, answer))
    });
    let renewed = wallet.renew(Doubtful::Keep).await.unwrap();
    assert!(renewed.errors.is_empty(), "{:?}", renewed.errors);
    assert!(renewed.certificates > 0 && renewed.spent_elsewhere.0 > 0);
    assert_eq!(wallet.caught().await.unwrap().len(), 1);
    let accusations = wallet.accusations("relay-0").await.unwrap();
    wallet.close().await.unwrap();

    let files = complaints(network).await;
    let path = files.join(format!("refusal-1.{}", Accusation::EXTENSION));
    std::fs::write(path, serde_json::to_vec(&accusations[0]).unwrap()).unwrap();
    let missing = vec![FindingKind::SpentMissing; taken];
    assert_eq!(audited(network, &files, Some(receipts(network).await)).await, missing);
}

/// Somebody who holds certificates wants two documents against an honest vendor: it asks while a wrong clock says that the window is
/// over, when the clock is right again, for other renewals in between, and when the window is over indeed. No refusal that it gets is
/// broken or untrue.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_does_not_get_two_documents_against_an_honest_vendor() {
    let network = Network::planned(Plan { relays: 0, ..Plan::default() }).await.unwrap();
    let issuer = network.vendor.issuer().unwrap();
    let (seed, vendor) = (WalletSeed::from_bytes([0x66; 32]), issuer.vendor_id());
    let certificates = buy(&network, &seed).await;
    let windows = issuer.manifest().epochs()[0].windows;
    network.clock.set(windows.renew_from.plus(DAY));
    issuer.tend_keys().await.unwrap();
    let (manifest, in_time) = (issuer.manifest(), network.clock.now());
    let item = |certificate: &Certificate, counter: u32| {
        let old = manifest.key(&certificate.token().key_id).unwrap();
        let key = manifest.issuing(KeyUse::Production, old.exponent(), in_time).unwrap();
        let counter = Counter::new(counter, 0);
        let blinding = Blinding::start(&seed, &manifest, key, counter).unwrap();
        certificate.renew(&vendor, blinding.item())
    };
    let mut refusals = Vec::new();
    let mut ask = async |item: &RenewalItem| {
        let Err(RenewalError::Refused(document)) = issuer.renew(item.clone()).await else {
            return false;
        };
        let (keys, asked) = (manifest.receipt_keys(), item.identity(&vendor));
        let (_, bytes) = RenewalRefusal::of(&document, keys, &vendor, &asked).unwrap();
        refusals.push(Complaint::of_refusal(vendor, &item.encode(), &bytes, None));
        true
    };
    let mut renewed = 0;
    for (n, certificate) in certificates.iter().enumerate() {
        let (first, second) = (item(certificate, 100), item(certificate, 200));
        network.clock.jump(windows.spend_until.plus(60));
        assert!(!ask(&first).await, "nothing is refused for good by a clock that jumped");
        network.clock.jump(in_time);
        if n % 2 == 0 {
            assert!(!ask(&second).await, "another renewal is taken");
            renewed += 1;
            assert!(!ask(&first).await, "and said to be recorded");
        }
    }
    network.clock.set(windows.spend_until.plus(60));
    for (n, certificate) in certificates.iter().enumerate() {
        let first = item(certificate, 100);
        assert_eq!(
            ask(&first).await,
            n % 2 == 1,
            "the window is over, and what was renewed stays so"
        );
    }
    assert!(refusals.len() > 3 && renewed > 3);
    // The renewals come into the ledger when their day is over.
    network.clock.set(network.clock.now().plus(2 * DAY));
    issuer.integrate(Scope::Everything).await.unwrap();
    let files = network.dir().join("refusals");
    std::fs::create_dir(&files).unwrap();
    for (number, one) in refusals.iter().enumerate() {
        let path = files.join(format!("{number}.{}", Complaint::EXTENSION));
        std::fs::write(path, serde_json::to_vec(one).unwrap()).unwrap();
    }
    assert_eq!(audited(&network, &files, None).await, []);
}

/// A pack of certificates with keys of its own.
async fn buy(network: &Network, seed: &WalletSeed) -> Vec<Certificate> {
    let issuer = network.vendor.issuer().unwrap();
    let manifest = issuer.manifest();
    let secret = seed.grant_secret(&issuer.vendor_id(), 0);
    let code = network.vendor.voucher(PRODUCT).await.unwrap();
    issuer.grant(&secret, &GrantRequest::Voucher { code }).await.unwrap();
    let product = manifest.products().iter().find(|one| one.name == PRODUCT).unwrap();
    let exponents = product.pack.entries().flat_map(|(exponent, n)| vec![exponent; usize::from(n)]);
    let blindings: Vec<Blinding> = (0..)
        .zip(exponents)
        .map(|(position, exponent)| {
            let key = manifest.issuing(KeyUse::Production, exponent, network.clock.now()).unwrap();
            Blinding::start(seed, &manifest, key, Counter::new(0, position)).unwrap()
        })
        .collect();
    let items = blindings.iter().map(|one| one.item().clone()).collect();
    let answer = issuer.issue_pack(Some(&secret), &IssuanceRequest { items }).await.unwrap();
    let signed = IssuanceAnswer::decode(&answer).unwrap().items;
    let finish = |(blinding, signed): (Blinding, _)| {
        let key = manifest.key(&blinding.item().key_id).unwrap();
        blinding.finish(key, &signed).unwrap()
    };
    blindings.into_iter().zip(signed).map(finish).collect()
}
