//! Settlement from end to end, with the commands that people use: contracts, resold vouchers, redemptions, statements, and an operator that
//! checks them. Then the vendor cheats, in its own database, and the operator has the proof.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use scrip_issuer::ledger::Scope;
use scrip_protocol::id::{OperatorId, encode_base64url};
use scrip_protocol::ledger::{BatchReceipt, Money};
use scrip_protocol::redemption::{RedemptionOutcome, SignedBatch, batch_digest};
use scrip_runtime::clock::SharedClock;
use scrip_runtime::steps::Steps;
use scrip_tests::network::{Network, PRODUCT, PRODUCT_CREDITS, Plan};
use scrip_tests::node::PASSPHRASE;
use scrip_wallet::NewQueue;
use sqlx::{AssertSqlSafe, sqlite::SqlitePool};

type Main = fn(Vec<OsString>, Vec<(String, String)>, SharedClock, Steps) -> ExitCode;

/// Runs a program as its main function does, on the clock of the network, and returns its exit code.
async fn run(network: &Network, main: Main, dir: PathBuf, arguments: &str) -> ExitCode {
    let mut all: Vec<OsString> = vec!["program".into(), "--dir".into(), dir.into()];
    all.extend(arguments.split_whitespace().map(Into::into));
    let variables = ["SCRIP_ISSUER_PASSPHRASE", "SCRIP_RELAY_PASSPHRASE"];
    let env = variables.map(|name| (name.to_owned(), PASSPHRASE.to_owned())).to_vec();
    let clock: SharedClock = Arc::new(network.clock.clone());
    // It makes a runtime of its own.
    tokio::task::spawn_blocking(move || main(all, env, clock, Steps::none())).await.unwrap()
}

async fn issuer(network: &Network, arguments: &str) {
    let main = scrip_issuer::cli::main_with;
    let code = run(network, main, network.issuer_dir(), arguments).await;
    assert_eq!(code, ExitCode::SUCCESS, "{arguments}");
}

async fn relay(network: &Network, arguments: &str) -> ExitCode {
    run(network, scrip_relay::cli::main_with, network.relay_dir("relay-0"), arguments).await
}

/// Somebody spends at the relay, which redeems.
async fn trade(network: &Network, wallet: &scrip_wallet::Wallet) {
    let relay = Some(network.relays[0].address().clone());
    let queue = NewQueue { relay, days: 30, ..NewQueue::default() };
    wallet.create_queue(queue).await.unwrap();
    network.redeem_all().await.unwrap();
}

async fn integrate(network: &Network) {
    network.vendor.issuer().unwrap().integrate(Scope::Everything).await.unwrap();
}

async fn tamper(network: &Network, sql: &str) {
    let issuer = network.vendor.issuer().unwrap();
    let pool = SqlitePool::connect(&issuer.config().database).await.unwrap();
    let done = sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&pool).await.unwrap();
    assert!(done.rows_affected() > 0, "{sql}");
    pool.close().await;
}

/// The sum of the amounts in the rows of these kinds.
fn sum(csv: &str, kinds: &[&str]) -> i64 {
    let rows = csv.lines().filter(|row| kinds.contains(&row.split(',').nth(6).unwrap()));
    rows.map(|row| row.split(',').nth(12).unwrap().parse::<Money>().unwrap().0).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_is_paid_by_the_ledger_and_has_proof_where_it_is_not() {
    let network = Network::planned(Plan { relays: 1, ..Plan::default() }).await.unwrap();
    let vendor = network.vendor.address().clone();
    let terms = "--currency EUR --price 0.002 --share 70% --resale-price 0.0015";
    issuer(&network, &format!("operator contract relay-0 {terms}")).await;
    let wallet = network.funded_wallet("alice", 4).await.unwrap();
    let seller = Some("relay-0");
    let issuing = network.vendor.issuer().unwrap();
    let resold = issuing.create_resold_vouchers(PRODUCT, 1, 30, seller).await.unwrap();
    wallet.buy(&resold.codes[0].to_string()).await.unwrap();
    trade(&network, &wallet).await;
    integrate(&network).await;

    // Two makes: the second has nothing to say.
    issuer(&network, "statement make --operator relay-0").await;
    issuer(&network, "statement make --all").await;
    issuer(&network, "statement adjust relay-0 --amount -3.50 --reason broken").await;
    issuer(&network, "statement make --all").await;
    integrate(&network).await;
    let [theirs, ours, dispute] =
        ["theirs.csv", "ours.csv", "dispute.json"].map(|name| network.dir().join(name));
    issuer(&network, &format!("statement export --out {}", theirs.display())).await;
    let check = format!(
        "earnings --vendor {} --check --csv {} --dispute {}",
        vendor.id,
        ours.display(),
        dispute.display()
    );
    assert_eq!(relay(&network, &check).await, ExitCode::SUCCESS);
    assert!(!dispute.exists());
    let (theirs, ours) = (read(&theirs), read(&ours));
    assert_eq!(ours, theirs, "both export the same");
    let totals = sum(&ours, &["total"]);
    assert_eq!(sum(&ours, &["contract", "adjustment"]), totals);
    let credited: i64 = credits(&ours, "earned");
    assert!(credited > 0);
    assert_eq!(credits(&ours, "resold"), i64::try_from(PRODUCT_CREDITS).unwrap());
    let resale = i64::try_from(PRODUCT_CREDITS).unwrap() * 1_500;
    assert_eq!(totals, credited * 1_400 - resale - 3_500_000, "the operator pays");
    exports_receipts(&network).await;

    cheats_on_the_price(&network, &wallet, &check, &dispute).await;
    cheats_on_the_leaves(&network, &wallet, &check, &dispute).await;
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn credits(csv: &str, kind: &str) -> i64 {
    let rows = csv.lines().filter(|row| row.split(',').nth(6) == Some(kind));
    rows.map(|row| row.split(',').nth(11).unwrap().parse::<i64>().unwrap()).sum()
}

async fn exports_receipts(network: &Network) {
    let directory = network.dir().join("receipts");
    let export = format!("receipts export {}", directory.display());
    assert_eq!(relay(network, &export).await, ExitCode::SUCCESS);
    let manifest = network.vendor.issuer().unwrap().manifest();
    let mut leaves = 0;
    for entry in std::fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        let receipt = BatchReceipt::decode(&std::fs::read(&path).unwrap()).unwrap();
        let name = format!("{}.receipt", batch_digest(&receipt.batch));
        assert_eq!(path.file_name().unwrap().to_str(), Some(name.as_str()));
        let batch = SignedBatch::decode(&receipt.batch).unwrap();
        let operator = OperatorId::of(network.relays[0].operator_key());
        assert_eq!(batch.operator_id(), operator);
        let outcome = RedemptionOutcome::open(&receipt.outcome, manifest.receipt_keys()).unwrap();
        assert_eq!(encode_base64url(outcome.batch_digest.as_bytes()), batch.digest().to_string());
        leaves += outcome.leaves.len();
    }
    assert!(leaves > 0);
}

/// What `dispute verify` gives, as the library gives it.
fn judged(network: &Network, dispute: &Path) -> Vec<(String, String)> {
    let vendor = network.vendor.address().id;
    let judgements =
        scrip_relay::earnings::dispute::verify(&std::fs::read(dispute).unwrap(), &vendor).unwrap();
    let one =
        |one: scrip_relay::earnings::dispute::Judgement| (format!("{:?}", one.verdict), one.claim);
    judgements.into_iter().map(one).collect()
}

#[track_caller]
fn assert_judged(judged: &[(String, String)], verdict: &str, words: &str) {
    let found = judged.iter().any(|(found, claim)| found == verdict && claim.contains(words));
    assert!(found, "no {verdict} {words:?} in {judged:#?}");
}

/// The vendor halves the price in its database, without a leaf.
async fn cheats_on_the_price(
    network: &Network,
    wallet: &scrip_wallet::Wallet,
    check: &str,
    dispute: &Path,
) {
    trade(network, wallet).await;
    tamper(network, "UPDATE contracts SET price = 1000").await;
    issuer(network, "statement make --all").await;
    tamper(network, "UPDATE contracts SET price = 2000").await;
    integrate(network).await;
    assert_eq!(relay(network, check).await, ExitCode::from(3));
    let found = judged(network, dispute);
    assert_judged(&found, "Proven", "statement 3 is wrong: its total is");
    assert_eq!(found.len(), 1, "and nothing else: {found:?}");
    let vendor = network.vendor.address();
    let verify = format!("dispute verify {} --vendor {vendor}", dispute.display());
    assert_eq!(relay(network, &verify).await, ExitCode::SUCCESS);
}

/// The vendor leaves a batch out of what it shows the operator, and of the statement.
async fn cheats_on_the_leaves(
    network: &Network,
    wallet: &scrip_wallet::Wallet,
    check: &str,
    dispute: &Path,
) {
    trade(network, wallet).await;
    tamper(
        network,
        "UPDATE ledger_ranges SET operator = NULL WHERE what = 1 AND first =
            (SELECT MAX(first) FROM ledger_ranges WHERE what = 1)",
    )
    .await;
    issuer(network, "statement adjust relay-0 --amount 0.01 --reason hush").await;
    issuer(network, "statement make --all").await;
    integrate(network).await;
    assert_eq!(relay(network, check).await, ExitCode::from(3));
    let found = judged(network, dispute);
    assert_judged(&found, "Open", "did not show the redemption at leaf");
    assert_judged(&found, "Proven", "statement 4 is wrong: contract 1, epoch 1");
}
