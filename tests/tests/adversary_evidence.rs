//! Who makes evidence that is none, and who signs what is not so: an operator that forges claims against an honest vendor, and a vendor
//! that refuses what it has to credit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use scrip_auditor::audit::{AuditOptions, audit};
use scrip_auditor::finding::FindingKind;
use scrip_auditor::source::DirectoryLedger;
use scrip_issuer::ledger::auditors::add_auditor;
use scrip_protocol::credits::Credits;
use scrip_protocol::keys::SigningKey;
use scrip_protocol::media;
use scrip_protocol::payment::PaidRequest;
use scrip_protocol::redemption::{
    DoubleSpend, InvalidReason, ItemResult, RedemptionOutcome, SignedBatch, Winner,
};
use scrip_protocol::resource::{ResourceKind, ResourceRequest};
use scrip_protocol::tlog::policy::WitnessPolicy;
use scrip_relay::earnings::dispute::{Judgement, Verdict, verify};
use scrip_runtime::clock::{Clock, SharedClock};
use scrip_runtime::steps::Steps;
use scrip_tests::adversary::{Act, Answer, Stage};
use scrip_tests::network::{Network, Plan};
use scrip_tests::node::{PASSPHRASE, RelayNode};
use scrip_wallet::net::{Network as Ways, RelayClient, Route};
use scrip_wallet::{Doubtful, Wallet};

/// A request for a queue with keys of its own, so that no two are alike.
fn request(n: u8) -> Vec<u8> {
    let key = |m| SigningKey::from_seed(&[m; 32]).public();
    let kind = ResourceKind::Queue { recipient_key: key(n), sender_key: key(255 - n) };
    ResourceRequest { days: 30, kind }.encode()
}

async fn draft(wallet: &Wallet, relay: &RelayNode, n: u8, credits: u64) -> PaidRequest {
    let operator = relay.address().id;
    wallet.draft_payment(&operator, &request(n), Credits(credits), Doubtful::Keep).await.unwrap()
}

fn client(network: &Network, relay: &RelayNode) -> RelayClient {
    let environment = network.environment();
    let ways = Ways::new(environment.network, environment.entropy);
    ways.relay(relay.address(), environment.clock).unwrap()
}

/// Runs `scrip-relay` as an operator does.
async fn relay_command(network: &Network, arguments: &[&str]) -> ExitCode {
    let mut all: Vec<OsString> =
        vec!["scrip-relay".into(), "--dir".into(), network.relay_dir("relay-0").into()];
    all.extend(arguments.iter().map(Into::into));
    let env = vec![("SCRIP_RELAY_PASSPHRASE".to_owned(), PASSPHRASE.to_owned())];
    let clock: SharedClock = Arc::new(network.clock.clone());
    let main = move || scrip_relay::cli::main_with(all, env, clock, Steps::none());
    tokio::task::spawn_blocking(main).await.unwrap()
}

fn ledger_of(network: &Network) -> PathBuf {
    network.issuer_dir().join("ledger")
}

/// What an auditor finds who was handed these receipts.
async fn audited(network: &Network, receipts: &Path) -> Vec<FindingKind> {
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
    let ledger = DirectoryLedger::new(ledger_of(network));
    let audit = move || audit(&ledger, &options, &|_| {});
    let report = tokio::task::spawn_blocking(audit).await.unwrap().unwrap();
    let mut kinds: Vec<FindingKind> = report.findings.iter().map(|one| one.finding.kind).collect();
    kinds.sort_unstable();
    kinds
}

fn verdicts(judgements: &[Judgement]) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = judgements.iter().map(|one| one.verdict).collect();
    verdicts.sort_by_key(|verdict| *verdict as u8);
    verdicts
}

/// A vendor credits nothing: it calls one good certificate invalid, one expired, and the others double spent, with what their wallet had
/// signed for another relay and a leaf that is about something else. Before, the relay's tool said that the books agree, and the auditor
/// that everything passes, and nobody was paid. Now the tool ends with 3, and the file that it writes convicts the vendor: of the
/// refusals by itself, of the double spends with the leaves that any auditor's token shows. The auditor finds each by the receipts.
#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_signs_untrue_refusals_is_convicted_by_them() {
    let stage = Stage::set(Plan::default()).await.unwrap();
    let network = &stage.network;
    let (relay, other) = (&network.relays[0], &network.relays[1]);
    let wallet = network.funded_wallet("alice", 1).await.unwrap();
    let paid = draft(&wallet, relay, 1, 13).await;
    let elsewhere = draft(&wallet, other, 2, 13).await;
    let signed_elsewhere = elsewhere.payment.evidence(&elsewhere.resource_request);
    let certificates = paid.payment.items.len();
    assert!(certificates > 2, "{certificates}");
    client(network, relay).pay(Route::Queues, &paid.encode()).await.unwrap();

    let issuer = network.vendor.issuer().unwrap();
    let receipt_key = issuer.receipt_key();
    let (vendor, version, day) =
        (issuer.vendor_id(), issuer.manifest().version(), network.clock.today());
    let checkpoint = std::fs::read(ledger_of(network).join("checkpoint")).unwrap();
    stage.redeeming.lie(move |request| {
        if !request.is("POST", "/v1/redemptions") {
            return Act::Honest;
        }
        let batch = SignedBatch::decode(&request.body).unwrap();
        let lie = |(position, item): (usize, &scrip_protocol::redemption::RedemptionItem)| {
            let other = signed_elsewhere.iter().find(|one| one.item.token == item.token).unwrap();
            match position {
                0 => ItemResult::Invalid(InvalidReason::CertificateSignature),
                1 => ItemResult::Expired,
                _ => ItemResult::DoubleSpent(DoubleSpend {
                    certificate_key: item.token.certificate_key().unwrap(),
                    other_binding: other.binding,
                    other_signature: other.item.signature,
                    winner: Winner::Leaf(0),
                }),
            }
        };
        let outcome = RedemptionOutcome {
            vendor_id: vendor,
            operator_id: batch.operator_id(),
            batch_digest: batch.digest(),
            day,
            manifest_version: version,
            results: batch.items().iter().enumerate().map(lie).collect(),
            leaves: Vec::new(),
            checkpoint: checkpoint.clone(),
        };
        Act::Instead(Answer::new(200, media::REDEMPTION_OUTCOME, outcome.sign(&receipt_key)))
    });
    let redeemed = relay.relay().unwrap().redeem_now().await.unwrap();
    let double_spent = certificates as u64 - 2;
    assert_eq!((redeemed.accepted, redeemed.invalid, redeemed.expired), (0, 1, 1));
    assert_eq!(redeemed.double_spent, double_spent);
    stage.be_honest();

    // The operator looks at its books.
    let file = network.dir().join("dispute.json");
    let (id, path) = (vendor.to_string(), file.to_str().unwrap());
    let check = ["earnings", "--check", "--vendor", &id, "--dispute", path];
    assert_eq!(relay_command(network, &check).await, ExitCode::from(3));
    let bytes = std::fs::read(&file).unwrap();
    let mut expected = vec![Verdict::Proven; 2];
    expected.extend(vec![Verdict::Open; certificates - 2]);
    assert_eq!(verdicts(&verify(&bytes, &vendor).unwrap()), expected);

    // Whoever may read the ledger judges all of it.
    let mut rng = ChaCha20Rng::from_seed([8; 32]);
    let added = add_auditor(issuer.store(), "judge", 10, network.clock.now(), &mut rng).await;
    let token = network.dir().join("token");
    std::fs::write(&token, added.unwrap().0.to_string()).unwrap();
    let address = network.vendor.address().to_string();
    let judge = ["dispute", "verify", path, "--vendor", &address];
    assert_eq!(relay_command(network, &judge).await, ExitCode::SUCCESS);
    let judged = judged_with(network, &bytes, std::fs::read_to_string(&token).unwrap()).await;
    assert_eq!(verdicts(&judged), vec![Verdict::Proven; certificates], "{judged:?}");

    // And so does an auditor who was handed the receipts.
    let receipts = network.dir().join("receipts");
    let export = ["receipts", "export", receipts.to_str().unwrap()];
    assert_eq!(relay_command(network, &export).await, ExitCode::SUCCESS);
    let mut expected = vec![FindingKind::RefusalUntrue; 2];
    expected.extend(vec![FindingKind::WinnerMissing; certificates - 2]);
    assert_eq!(audited(network, &receipts).await, expected);
}

/// The file judged by whoever has an auditor's token.
async fn judged_with(network: &Network, file: &[u8], token: String) -> Vec<Judgement> {
    use scrip_relay::earnings::dispute::{Dispute, judge};
    use scrip_relay::earnings::fetch::HttpLedger;
    use scrip_runtime::client::{ClientOptions, HttpClient};
    let client = HttpClient::new(ClientOptions::default()).unwrap();
    let link = HttpLedger::new(client, Some(token));
    let mut file = Dispute::parse(file).unwrap();
    file.look_up(network.vendor.address(), &link).await.unwrap();
    judge(&file, &network.vendor.address().id).unwrap()
}
