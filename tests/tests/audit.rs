//! An auditor, who believes nobody, and a vendor that runs: what it sold, redeemed and renewed passes, over the network and from its files,
//! and what operators have receipts for is there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use scrip_auditor::audit::{AuditError, AuditOptions, audit};
use scrip_auditor::finding::{Check, FindingKind, Verdict};
use scrip_auditor::report::Report;
use scrip_auditor::source::{DirectoryLedger, HttpLedger, Ledger, SourceError};
use scrip_issuer::ledger::Scope;
use scrip_issuer::ledger::auditors::add_auditor;
use scrip_protocol::tlog::policy::WitnessPolicy;
use scrip_runtime::client::ClientOptions;
use scrip_runtime::clock::{Clock, SharedClock};
use scrip_runtime::steps::Steps;
use scrip_tests::network::{Network, PRODUCT, Plan};
use scrip_tests::node::PASSPHRASE;
use scrip_wallet::NewQueue;

const DAY: u64 = 86_400;

fn options(network: &Network, state: Option<&Path>) -> AuditOptions {
    AuditOptions {
        vendor: network.vendor.address().id,
        since: None,
        receipts: None,
        refusals: None,
        policy: WitnessPolicy::none(),
        state: state.map(Path::to_owned),
        save_every: 1_024,
        workers: 2,
        now: network.clock.now(),
        rng: Arc::new(|| Box::new(ChaCha20Rng::from_seed([5; 32]))),
    }
}

async fn run(ledger: impl Ledger + 'static, options: AuditOptions) -> Result<Report, AuditError> {
    tokio::task::spawn_blocking(move || audit(&ledger, &options, &|_| {})).await.unwrap()
}

#[track_caller]
fn passes(report: &Report) {
    let found: Vec<_> = report.findings.iter().map(|one| &one.finding).collect();
    assert!(found.is_empty(), "{found:#?}");
    let failed = report
        .checks
        .iter()
        .find(|check| !matches!(check.verdict, Verdict::Pass | Verdict::NotAsked(_)));
    assert!(failed.is_none(), "{failed:?}");
    assert_eq!(report.exit_code, 0);
}

fn queue_at(network: &Network, relay: usize) -> NewQueue {
    let relay = Some(network.relays[relay].address().clone());
    NewQueue { days: 30, relay, ..NewQueue::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_vendor_that_runs_passes_over_the_network_and_from_its_files() {
    let network = Network::start().await.unwrap();
    let files = || DirectoryLedger::new(network.dir().join("issuer").join("ledger"));
    let base = format!("http://{}/ledger", network.vendor.listens_at());
    let http =
        |token: Option<String>| HttpLedger::new(&base, token, ClientOptions::default()).unwrap();
    let wallet = network.funded_wallet("alice", 2).await.unwrap();
    for relay in 0..2 {
        wallet.create_queue(queue_at(&network, relay)).await.unwrap();
    }
    network.redeem_all().await.unwrap();

    let refused = run(http(None), options(&network, None)).await;
    assert!(matches!(refused, Err(AuditError::Source(SourceError::TokenNeeded { .. }))));
    let issuer = network.vendor.issuer().unwrap();
    let mut rng = ChaCha20Rng::from_seed([8; 32]);
    let added = add_auditor(issuer.store(), "auditor", 10, network.clock.now(), &mut rng).await;
    let token = added.unwrap().0.to_string();
    let refused = run(http(Some("scrip-auditor-x".into())), options(&network, None)).await;
    assert!(matches!(refused, Err(AuditError::Source(SourceError::TokenRefused { .. }))));

    let state = network.dir().join("audit");
    let report = run(http(Some(token.clone())), options(&network, Some(&state))).await.unwrap();
    passes(&report);
    assert_eq!(report.operators.len(), 2);
    assert!(report.leaves_of("redemption") >= 2 && report.leaves_of("manifest") >= 1);
    assert!(report.books[0].granted >= report.books[0].sold && report.books[0].sold > 0);

    // A day later, with what was bought and spent since; only new leaves are read.
    network.clock.advance(DAY);
    wallet.create_queue(queue_at(&network, 1)).await.unwrap();
    network.redeem_all().await.unwrap();
    let later = run(http(Some(token)), options(&network, Some(&state))).await.unwrap();
    passes(&later);
    assert!(later.size > report.size);
    assert_eq!((later.since, later.run.from), (Some(report.size), report.size));
    assert_eq!(later.verdict_of(Check::History), Some(&Verdict::Pass));

    // The files, from the beginning, say the same.
    let from_files = run(files(), options(&network, None)).await.unwrap();
    passes(&from_files);
    assert_eq!((from_files.size, from_files.root), (later.size, later.root));
    assert_eq!(from_files.leaves, later.leaves);

    // The same files, once somebody has touched one of them.
    let copy = network.dir().join("copy");
    scrip_tests::node::copy_dir(&network.dir().join("issuer").join("ledger"), &copy).unwrap();
    let tile = copy.join("tile/entries/000");
    let mut bytes = std::fs::read(&tile).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&tile, bytes).unwrap();
    let touched = run(DirectoryLedger::new(copy), options(&network, None)).await.unwrap();
    let finding = touched.found(FindingKind::LeafChanged).next().expect("the last leaf of it");
    assert_eq!(finding.index, Some(255));
    assert_eq!(touched.exit_code, 3);
}

type Main = fn(Vec<OsString>, Vec<(String, String)>, SharedClock, Steps) -> ExitCode;

/// Runs a program as its main function does, on the clock of the network.
async fn command(network: &Network, main: Main, dir: PathBuf, arguments: &str) {
    let mut all: Vec<OsString> = vec!["program".into(), "--dir".into(), dir.into()];
    all.extend(arguments.split_whitespace().map(Into::into));
    let variables = ["SCRIP_ISSUER_PASSPHRASE", "SCRIP_RELAY_PASSPHRASE"];
    let env = variables.map(|name| (name.to_owned(), PASSPHRASE.to_owned())).to_vec();
    let clock: SharedClock = Arc::new(network.clock.clone());
    let ran = tokio::task::spawn_blocking(move || main(all, env, clock, Steps::none())).await;
    assert_eq!(ran.unwrap(), ExitCode::SUCCESS, "{arguments}");
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_recomputed_and_receipts_that_operators_export_are_found() {
    let network = Network::planned(Plan { relays: 1, ..Plan::default() }).await.unwrap();
    let issuer = async |arguments: &str| {
        command(&network, scrip_issuer::cli::main_with, network.issuer_dir(), arguments).await;
    };
    let terms = "--currency EUR --price 0.002 --share 70% --resale-price 0.0015";
    issuer(&format!("operator contract relay-0 {terms}")).await;
    let wallet = network.funded_wallet("alice", 3).await.unwrap();
    let vendor = network.vendor.issuer().unwrap();
    let resold = vendor.create_resold_vouchers(PRODUCT, 1, 30, Some("relay-0")).await.unwrap();
    wallet.buy(&resold.codes[0].to_string()).await.unwrap();
    for _ in 0..2 {
        wallet.create_queue(queue_at(&network, 0)).await.unwrap();
        network.redeem_all().await.unwrap();
        vendor.integrate(Scope::Everything).await.unwrap();
        issuer("statement adjust relay-0 --amount -3.50 --reason broken").await;
        issuer("statement make --all").await;
        vendor.integrate(Scope::Everything).await.unwrap();
    }
    let receipts = network.dir().join("receipts");
    let export = format!("receipts export {}", receipts.display());
    let dir = network.relay_dir("relay-0");
    command(&network, scrip_relay::cli::main_with, dir, &export).await;

    let ledger = DirectoryLedger::new(network.dir().join("issuer").join("ledger"));
    let options = AuditOptions { receipts: Some(receipts), ..options(&network, None) };
    let report = run(ledger, options).await.unwrap();
    passes(&report);
    assert_eq!(report.verdict_of(Check::Receipts), Some(&Verdict::Pass));
    let receipts = report.receipts.unwrap();
    assert_eq!(receipts.certificates, report.leaves_of("redemption"));
    assert!(receipts.files >= 2 && receipts.later == 0, "{receipts:?}");
    let [operator] = &report.operators[..] else { panic!("{:?}", report.operators) };
    assert_eq!((operator.contracts, operator.statements), (1, 2));
    assert!(operator.resold > 0 && operator.settled < 0, "it owes more than it earned");
}
