//! Operators that refuse a payment and redeem it all the same, and wallets that would like an honest operator to look like one.
//!
//! The dishonest operator has a proxy before its own relay, as an operator can: the relay takes the payment, and the wallet is told
//! that nothing was taken.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use scrip_auditor::audit::{AuditOptions, audit};
use scrip_auditor::finding::{Check, FindingKind, Verdict};
use scrip_auditor::report::Report;
use scrip_auditor::source::DirectoryLedger;
use scrip_protocol::credits::Credits;
use scrip_protocol::id::OperatorId;
use scrip_protocol::keys::{PublicKey, SigningKey};
use scrip_protocol::media;
use scrip_protocol::payment::PaidRequest;
use scrip_protocol::problem::{Problem, ProblemType};
use scrip_protocol::refusal::{Accusation, Refusal, RefusedCertificate};
use scrip_protocol::resource::{ResourceKind, ResourceRequest};
use scrip_protocol::tlog::policy::WitnessPolicy;
use scrip_runtime::clock::{Clock, SharedClock};
use scrip_runtime::steps::Steps;
use scrip_tests::adversary::keys::keys_shown;
use scrip_tests::adversary::{Act, Answer, Request, Stage, send};
use scrip_tests::network::{Network, PRODUCT, Plan};
use scrip_tests::node::{PASSPHRASE, RelayNode, passphrase};
use scrip_wallet::{Culprit, Doubtful, NewQueue, Wallet, WalletError};

fn queue_at(stage: &Stage, relay: usize) -> NewQueue {
    let relay = Some(stage.network.relays[relay].address().clone());
    NewQueue { relay, days: 30, accept_excess: true, ..NewQueue::default() }
}

fn is_paid(request: &Request) -> bool {
    request.has_type(media::PAID_REQUEST)
}

/// The operator's own key: whoever runs a relay has it.
fn operator_key(network: &Network, relay: &str) -> SigningKey {
    let sealed = std::fs::read(network.relay_dir(relay).join("operator.key")).unwrap();
    let opened =
        scrip_runtime::sealed::open(&passphrase(), b"scrip-relay operator key", &sealed).unwrap();
    SigningKey::from_seed(opened.as_slice().try_into().unwrap())
}

/// The refusal that its operator signs, whatever became of the payment.
fn signed_refusal(key: &SigningKey, request: &Request, problem: ProblemType) -> Answer {
    let payment_id = PaidRequest::decode(&request.body).unwrap().payment_id();
    let mut document = Problem::new(problem);
    Refusal { operator_id: OperatorId::of(&key.public()), payment_id, problem }
        .attach(key, &mut document);
    Answer::problem(document)
}

/// What an auditor says who is handed these refusals, and perhaps an operator's receipts.
async fn judged(network: &Network, refusals: &Path, receipts: Option<PathBuf>) -> Report {
    let options = AuditOptions {
        vendor: network.vendor.address().id,
        since: None,
        receipts,
        refusals: Some(refusals.to_owned()),
        policy: WitnessPolicy::none(),
        state: None,
        save_every: 1_024,
        workers: 2,
        now: network.clock.now(),
        rng: Arc::new(|| Box::new(ChaCha20Rng::from_seed([5; 32]))),
    };
    let ledger = DirectoryLedger::new(network.issuer_dir().join("ledger"));
    tokio::task::spawn_blocking(move || audit(&ledger, &options, &|_| {})).await.unwrap().unwrap()
}

fn write(directory: &Path, accusations: &[Accusation]) {
    std::fs::create_dir(directory).unwrap();
    for (at, one) in accusations.iter().enumerate() {
        let path = directory.join(format!("{at}.{}", Accusation::EXTENSION));
        std::fs::write(path, serde_json::to_vec(one).unwrap()).unwrap();
    }
}

async fn export_receipts(network: &Network, relay: &str, to: &Path) {
    let args = ["scrip-relay", "receipts", "export", to.to_str().unwrap()];
    let mut args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    let dir = network.relay_dir(relay).into_os_string();
    args.splice(1..1, [OsString::from("--dir"), dir]);
    let clock: SharedClock = Arc::new(network.clock.clone());
    let env = vec![("SCRIP_RELAY_PASSPHRASE".to_owned(), PASSPHRASE.to_owned())];
    let run = move || scrip_relay::cli::main_with(args, env, clock, Steps::none());
    let code = tokio::task::spawn_blocking(run).await.unwrap();
    assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS));
}

/// Before: the wallet spent the same certificates at the honest relay, for which they were double spent: it lost its money and ended the
/// lease, while the operator that lied was credited, and the wallet held no evidence. Now an unsigned
/// "nothing taken" is no answer: the operator has the payment open, and keeps nobody else from anything.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_says_nothing_was_taken_and_does_not_sign_it_gets_no_second_spend() {
    let stage = Stage::set(Plan::default()).await.unwrap();
    let wallet = stage.network.funded_wallet("alice", 1).await.unwrap();
    stage.relays[0].lie(|request| match is_paid(request) {
        true => Act::rewrite(|_truth| Answer::problem(ProblemType::StorageFull)),
        false => Act::Honest,
    });
    let error = wallet.create_queue(queue_at(&stage, 0)).await.unwrap_err();
    assert!(matches!(error, WalletError::PaymentOpen { .. }), "{error}");
    assert!(error.to_string().contains("not signed"), "{error}");
    assert!(wallet.balance().await.unwrap().in_flight.0 > 0);

    let made = wallet.create_queue(queue_at(&stage, 1)).await.unwrap();
    let manifest = stage.manifest().unwrap();
    let shown = |relay: &str| keys_shown(&stage.recording.of(relay), &manifest);
    assert!(shown("relay-0").is_disjoint(&shown("relay-1")));
    for relay in &stage.network.relays {
        let redeemed = relay.relay().unwrap().redeem_now().await.unwrap();
        assert_eq!((redeemed.accepted > 0, redeemed.double_spent), (true, 0));
    }
    let leases = wallet.check_leases(Some(&made.name)).await.unwrap();
    assert!(leases[0].live && leases[0].conflicts.is_empty(), "{leases:?}");

    // The same bytes get the receipt, once the operator lets it pass.
    stage.be_honest();
    assert_eq!(wallet.resume(Doubtful::Keep).await.unwrap().leases.len(), 1);
    assert_eq!(wallet.balance().await.unwrap().in_flight, Credits(0));
    assert!(wallet.caught().await.unwrap().is_empty());
}

/// Before: the wallet could name the operator, had nothing to show, and chose it again. Now its own signature is in the wallet: the
/// refusal with its batch is the proof, the ledger alone points at it, and the wallet pays it no more.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_signs_a_refusal_and_redeems_is_caught_and_convicted_by_two_documents() {
    let stage = Stage::set(Plan::default()).await.unwrap();
    let wallet = stage.network.funded_wallet("alice", 1).await.unwrap();
    let key = Arc::new(operator_key(&stage.network, "relay-0"));
    stage.relays[0].lie(move |request| {
        let (key, asked) = (Arc::clone(&key), request.clone());
        match is_paid(request) {
            true => Act::rewrite(move |_| signed_refusal(&key, &asked, ProblemType::StorageFull)),
            false => Act::Honest,
        }
    });
    let error = wallet.create_queue(queue_at(&stage, 0)).await.unwrap_err();
    assert!(matches!(error, WalletError::PaymentRefused { .. }), "{error}");
    // Only a user who says so spends such certificates elsewhere.
    wallet.pay_with_seen_certificates(true);
    let mut names = Vec::new();
    while !wallet.balance().await.unwrap().seen.is_empty() {
        names.push(wallet.create_queue(queue_at(&stage, 1)).await.unwrap().name);
    }
    for (relay, lost) in [(0, 0), (1, 1)] {
        let relay = stage.network.relays[relay].relay().unwrap();
        assert_eq!(relay.redeem_now().await.unwrap().double_spent, lost);
    }
    let leases = wallet.check_leases(None).await.unwrap();
    let conflicts: Vec<_> = leases.iter().flat_map(|lease| &lease.conflicts).collect();
    let dishonest = stage.network.relays[0].address();
    assert_eq!((conflicts.len(), conflicts[0].proven), (1, true));
    assert_eq!(conflicts[0].culprit, Some(Culprit::Relay(dishonest.clone())));

    // It is not paid again, by name or by price.
    wallet.buy(&stage.network.vendor.voucher(PRODUCT).await.unwrap()).await.unwrap();
    let error = wallet.create_queue(queue_at(&stage, 0)).await.unwrap_err();
    assert!(matches!(error, WalletError::RelayCaught(_)), "{error}");
    for _ in 0..4 {
        let made = wallet.create_queue(NewQueue { relay: None, ..queue_at(&stage, 0) }).await;
        assert_eq!(&made.unwrap().relay, stage.network.relays[1].address());
    }

    // What the wallet hands on, judged by somebody who believes neither side.
    let accusations = wallet.accusations("relay-0").await.unwrap();
    assert_eq!(accusations.len(), 1);
    let refusals = stage.network.dir().join("refusals");
    write(&refusals, &accusations);
    let found = |report: &Report, kind: FindingKind| {
        let found = report.findings.iter().map(|one| &one.finding);
        found.filter(|one| one.kind == kind).map(|one| one.operator.unwrap()).collect::<Vec<_>>()
    };
    let report = judged(&stage.network, &refusals, None).await;
    assert_eq!(found(&report, FindingKind::RefusedAndCredited), [dishonest.id]);
    let receipts = stage.network.dir().join("receipts");
    export_receipts(&stage.network, "relay-0", &receipts).await;
    let report = judged(&stage.network, &refusals, Some(receipts)).await;
    assert_eq!(found(&report, FindingKind::RefusedAndRedeemed), [dishonest.id]);
}

/// Before: the certificates of a refused payment paid the next relay, so that two relays could tell that one wallet had paid both.
#[tokio::test(flavor = "multi_thread")]
async fn relays_that_refuse_do_not_see_their_certificates_again_at_each_other() {
    let stage = Stage::set(Plan::default()).await.unwrap();
    let wallet = stage.network.funded_wallet("alice", 1).await.unwrap();
    let key = Arc::new(operator_key(&stage.network, "relay-0"));
    stage.relays[0].lie(move |request| match is_paid(request) {
        true => Act::Instead(signed_refusal(&key, request, ProblemType::VendorLimit)),
        false => Act::Honest,
    });
    let error = wallet.create_queue(queue_at(&stage, 0)).await.unwrap_err();
    assert!(matches!(error, WalletError::PaymentRefused { .. }), "{error}");
    let seen = wallet.balance().await.unwrap().seen;
    assert_eq!(seen[0].relay, stage.network.relays[0].address().authority);
    let error = loop {
        if let Err(error) = wallet.create_queue(queue_at(&stage, 1)).await {
            break error;
        }
    };
    assert!(error.is_shortage(), "everything else is spent: {error}");
    let manifest = stage.manifest().unwrap();
    let shown = |relay: &str| keys_shown(&stage.recording.of(relay), &manifest);
    assert!(!shown("relay-0").is_empty() && shown("relay-1").len() > 5);
    assert!(shown("relay-0").is_disjoint(&shown("relay-1")));
    assert!(stage.keys_at_the_vendor(0).unwrap().is_empty());
    assert_eq!(wallet.balance().await.unwrap().seen, seen);
    // Its relay gets them, before anything else.
    stage.be_honest();
    wallet.buy(&stage.network.vendor.voucher(PRODUCT).await.unwrap()).await.unwrap();
    wallet.create_queue(queue_at(&stage, 0)).await.unwrap();
    assert!(wallet.balance().await.unwrap().seen.is_empty());
}

fn request(n: u8, days: u16) -> Vec<u8> {
    let key = |m| SigningKey::from_seed(&[m; 32]).public();
    let kind = ResourceKind::Queue { recipient_key: key(n), sender_key: key(255 - n) };
    ResourceRequest { days, kind }.encode()
}

async fn draft(wallet: &Wallet, relay: &RelayNode, n: u8, days: u16, credits: u64) -> PaidRequest {
    let id = relay.address().id;
    wallet.draft_payment(&id, &request(n, days), Credits(credits), Doubtful::Keep).await.unwrap()
}

/// The request as any client would send it.
fn to_queues(paid: &PaidRequest) -> Request {
    let mut headers = http::HeaderMap::new();
    headers.insert("content-type", media::PAID_REQUEST.parse().unwrap());
    headers.insert("host", "relay".parse().unwrap());
    let (method, path) = ("POST".to_owned(), "/v1/queues".to_owned());
    Request { method, path, headers, body: paid.encode().into() }
}

/// The accusation that a wallet could make of what it was told, if it was told a signed refusal of this payment.
fn accusation(
    network: &Network,
    relay: &RelayNode,
    paid: &PaidRequest,
    told: &Answer,
) -> Option<Accusation> {
    let problem = Problem::from_json(&told.body)?;
    let refusal = Refusal::of(&problem, relay.operator_key(), &paid.payment_id())?;
    let evidence = paid.payment.evidence(&paid.resource_request);
    let certificates = evidence.iter().map(|one| RefusedCertificate {
        certificate_key: PublicKey::from_bytes(one.item.token.nonce).unwrap(),
        binding: one.binding,
    });
    let (vendor, operator) = (network.vendor.address().id, *relay.operator_key());
    Some(Accusation::new(vendor, operator, &refusal, certificates.collect(), None))
}

/// Before: a copy of the payment that was stuck in a proxy was taken once there was room again, after the wallet had been told
/// "nothing taken" and had gone elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_copy_of_a_refused_payment_is_not_taken() {
    let mut network = Network::planned(Plan { relays: 1, ..Plan::default() }).await.unwrap();
    let wallet = network.funded_wallet("alice", 1).await.unwrap();
    let relay = &mut network.relays[0];
    relay.stop().await.unwrap();
    relay.config().vendors[0].stop_above = Some(1);
    relay.start().await.unwrap();
    let listen = relay.config().listen;
    let paid = draft(&wallet, &network.relays[0], 1, 30, 2).await;
    let refused = send(listen, &to_queues(&paid)).await.unwrap();
    assert_eq!(refused.said(), Some(ProblemType::VendorLimit));
    assert!(accusation(&network, &network.relays[0], &paid, &refused).is_some());

    let relay = &mut network.relays[0];
    relay.stop().await.unwrap();
    relay.config().vendors[0].stop_above = None;
    relay.start().await.unwrap();
    let late = send(listen, &to_queues(&paid)).await.unwrap();
    assert_eq!((late.status, &late.body), (refused.status, &refused.body));
    assert_eq!(network.relays[0].relay().unwrap().redeem_now().await.unwrap().accepted, 0);
    // The certificates are as good as before.
    let other = draft(&wallet, &network.relays[0], 2, 30, 2).await;
    assert_eq!(send(listen, &to_queues(&other)).await.unwrap().status, 201);
}

/// A wallet that wants two documents against an honest operator: it sends spoiled copies, parts of payments, and everything at
/// once, keeps each signed refusal, and has an auditor look for what was redeemed of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_does_not_get_two_documents_against_an_honest_operator() {
    let mut network = Network::planned(Plan { relays: 1, ..Plan::default() }).await.unwrap();
    let wallet = network.funded_wallet("mallory", 1).await.unwrap();
    let listen = network.relays[0].config().listen;
    let (relay, mut accusations) = (&network.relays[0], Vec::new());
    let mut told = Vec::new();
    for n in 0..12 {
        // 120 days cost 8 credits; each certificate alone is below that, or the whole is taken.
        let whole = draft(&wallet, relay, n, 120, 8 + u64::from(n % 4)).await;
        let mut spoiled = whole.clone();
        spoiled.payment.items[0].token.authenticator[7] ^= 1;
        let mut part = whole.clone();
        part.payment.items.truncate(whole.payment.items.len().div_ceil(2));
        let mut doubled = whole.clone();
        doubled.payment.items.push(whole.payment.items[0].clone());
        let mut order = vec![spoiled, part, doubled, whole.clone(), whole];
        order.rotate_left(usize::from(n) % 5);
        if n % 2 == 0 {
            let sends =
                order.iter().map(|paid| async { send(listen, &to_queues(paid)).await.unwrap() });
            let answers = futures_util::future::join_all(sends).await;
            told.extend(order.iter().cloned().zip(answers));
        } else {
            for paid in order {
                let answer = send(listen, &to_queues(&paid)).await.unwrap();
                told.push((paid, answer));
            }
        }
    }
    for (paid, answer) in &told {
        accusations.extend(accusation(&network, relay, paid, answer));
    }
    let taken = told.iter().filter(|(_, answer)| answer.status == 201).count();
    let statuses: BTreeSet<u16> = told.iter().map(|(_, answer)| answer.status).collect();
    assert!(taken > 0 && accusations.len() > 3, "{taken} {} {statuses:?}", accusations.len());
    assert!(relay.relay().unwrap().redeem_now().await.unwrap().accepted > 0);

    let refusals = network.dir().join("refusals");
    write(&refusals, &accusations);
    let receipts = network.dir().join("receipts");
    export_receipts(&network, "relay-0", &receipts).await;
    let report = judged(&network, &refusals, Some(receipts)).await;
    let found: Vec<_> = report.findings.iter().map(|one| &one.finding).collect();
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(report.verdict_of(Check::Refusals), Some(&Verdict::Pass));
}
