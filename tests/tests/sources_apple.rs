//! The App Store, end to end: a wallet orders, pays in a store of tests and gets its certificates; refunds; and `kill -9` at every step.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;

use scrip_issuer::testing::apple::{AppleStore, Transaction};
use scrip_protocol::credits::Credits;
use scrip_protocol::problem::ProblemType;
use scrip_protocol::purchase::{GrantRequest, OrderId};
use scrip_runtime::clock::{Clock, SystemClock};
use scrip_tests::network::{APPLE_PRODUCT, Network, PRODUCT, PRODUCT_CREDITS, Plan, app_store};
use scrip_tests::process::{Launcher, Process};
use scrip_wallet::{Bought, Doubtful, NewQueue, Wallet, WalletError};

/// A network whose vendor sells in a store.
struct World {
    network: Network,
    store: AppleStore,
}

impl World {
    async fn start() -> Self {
        Self::planned(Plan::default()).await
    }

    async fn planned(plan: Plan) -> Self {
        // The clock of the test must be that of the processes.
        let plan = Plan { start: SystemClock.now(), ..plan };
        let mut network = Network::planned(plan).await.unwrap();
        let store = AppleStore::new();
        std::fs::write(network.dir().join("root.cer"), store.root()).unwrap();
        network.vendor.stop().await.unwrap();
        network.vendor.sources().add(app_store(store.root()));
        network.vendor.start().await.unwrap();
        Self { network, store }
    }

    async fn wallet(&self, name: &str) -> Wallet {
        self.network.wallet(name).await.unwrap()
    }

    /// What StoreKit does when the app has given it the order: it takes the money.
    fn bought(&self, id: u64, order: &OrderId) -> Transaction {
        Transaction::of(id, APPLE_PRODUCT, &order.to_string(), self.network.clock.now())
    }

    /// What the app has then.
    fn proof(&self, bought: &Transaction) -> GrantRequest {
        GrantRequest::Apple { transaction: self.store.transaction(bought) }
    }

    /// The same in a file, for the program.
    fn file(&self, bought: &Transaction) -> String {
        let path = self.network.dir().join("transaction.jws");
        std::fs::write(&path, format!("{}\n", self.store.transaction(bought))).unwrap();
        path.into_os_string().into_string().unwrap()
    }

    /// The store tells the vendor.
    async fn tell(&self, kind: &str, uuid: &str, about: &Transaction) {
        let body = self.store.notification(kind, uuid, about);
        let issuer = self.network.vendor.issuer().unwrap();
        issuer.notified("apple", &http::HeaderMap::new(), body.as_bytes()).await.unwrap();
    }

    async fn issued(&self) -> Credits {
        self.network.vendor.issuer().unwrap().status().await.unwrap().credits_issued
    }

    /// Credits that were signed and then refunded.
    async fn lost(&self) -> u64 {
        let losses = self.network.vendor.issuer().unwrap().store().losses().await.unwrap();
        losses.iter().map(|loss| loss.credits.0).sum()
    }

    fn launcher(&self) -> Launcher {
        Launcher::new(env!("CARGO_BIN_EXE_scrip-crash-node"), self.network.dir())
            .with_app_store(self.network.dir().join("root.cer"))
    }

    async fn issuer_to_die_at(&mut self, step: &str) -> Process {
        self.network.vendor.stop().await.unwrap();
        let directory: PathBuf = self.network.issuer_dir();
        let arguments = ["--dir".into(), directory.into_os_string(), "start".into()];
        let mut process = self.launcher().start("issuer", arguments, Some(step)).unwrap();
        process.listening().await.unwrap();
        process
    }

    fn wallet_process(&self, arguments: &[&str], step: Option<&str>) -> Process {
        let directory = self.network.wallet_dir("alice").into_os_string();
        let mut all = vec!["--wallet".into(), directory];
        all.extend(arguments.iter().map(std::ffi::OsString::from));
        self.launcher().start("wallet", all, step).unwrap()
    }

    /// One pack was bought and is in the wallet, once.
    async fn one_pack(&self, wallet: &Wallet, step: &str) {
        assert_eq!(self.issued().await, Credits(PRODUCT_CREDITS), "{step}");
        let balance = wallet.balance().await.unwrap();
        assert_eq!(balance.spendable, Credits(PRODUCT_CREDITS), "{step}");
        let status = self.network.vendor.issuer().unwrap().status().await.unwrap();
        assert_eq!((status.grants.total, status.grants.used), (1, 1), "{step}");
    }
}

fn died(result: Result<(), scrip_tests::Failure>, step: &str) {
    result.unwrap_or_else(|error| panic!("{step}: {error}"));
}

async fn order(wallet: &Wallet) -> OrderId {
    wallet.order(PRODUCT).await.unwrap().order
}

async fn resume(wallet: &Wallet, step: &str) {
    let resumed = wallet.resume(Doubtful::Keep).await.unwrap();
    assert!(resumed.errors.is_empty(), "{step}: {:?}", resumed.errors);
}

#[track_caller]
fn problem(result: Result<Bought, WalletError>) -> ProblemType {
    match result.unwrap_err() {
        WalletError::Call { error, .. } | WalletError::PurchaseOpen { error, .. } => {
            error.problem().expect("a problem").problem
        }
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_pays_for_a_queue_and_nobody_else_can_use_it() {
    let world = World::start().await;
    let alice = world.wallet("alice").await;
    let bought = world.bought(1, &order(&alice).await);
    let pack = alice.buy_with(world.proof(&bought), None).await.unwrap();
    assert_eq!((pack.product.as_str(), pack.credits), (PRODUCT, Credits(PRODUCT_CREDITS)));
    world.one_pack(&alice, "bought").await;

    // The same again buys nothing, and takes nothing away.
    assert!(alice.buy_with(world.proof(&bought), None).await.is_err());
    world.one_pack(&alice, "again").await;

    // Whoever else gets hold of it: it is no order of his, and not good for one of his.
    let bob = world.wallet("bob").await;
    let stolen = bob.buy_with(world.proof(&bought), None).await;
    assert!(matches!(stolen, Err(WalletError::OrderNotHere(_))), "{stolen:?}");
    let his = Some(order(&bob).await);
    let stolen = bob.buy_with(world.proof(&bought), his).await;
    assert_eq!(problem(stolen), ProblemType::OrderUnknown);
    world.one_pack(&alice, "stolen").await;

    let relay = Some(world.network.relays[0].address().clone());
    let queue = NewQueue { name: Some("inbox".into()), relay, days: 30, ..NewQueue::default() };
    alice.create_queue(queue).await.unwrap();
    world.network.redeem_all().await.unwrap();
    let status = world.network.vendor.issuer().unwrap().status().await.unwrap();
    let left = alice.balance().await.unwrap().spendable.0;
    assert!(status.credits_redeemed.0 > 0);
    assert_eq!(left + status.credits_redeemed.0, PRODUCT_CREDITS);
}

/// A lost telephone: the phrase alone gives back what was bought.
#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_is_found_again_by_the_seed() {
    let world = World::start().await;
    let alice = world.network.wallet_of_seed("alice", [7; 32]).await.unwrap();
    let bought = world.bought(1, &order(&alice).await);
    alice.buy_with(world.proof(&bought), None).await.unwrap();
    let again = world.network.wallet_of_seed("again", [7; 32]).await.unwrap();
    let restored = again.restore(Wallet::GAP_LIMIT).await.unwrap();
    assert_eq!((restored.purchases, restored.failed), (1, 0));
    assert_eq!(world.issued().await, Credits(PRODUCT_CREDITS));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_purchase_leaves_the_order_open() {
    let world = World::start().await;
    let alice = world.wallet("alice").await;
    let id = order(&alice).await;
    let bought = world.bought(1, &id);
    for (field, value, expected) in [
        ("bundleId", "example.other.app", ProblemType::PurchaseUnverified),
        ("productId", "credits.other", ProblemType::ProductUnknown),
        ("environment", "Xcode", ProblemType::PurchaseUnverified),
        // This vendor has no test keys (and see below).
        ("environment", "Sandbox", ProblemType::PurchaseUnverified),
        ("type", "Non-Consumable", ProblemType::PurchaseUnverified),
    ] {
        let wrong = bought.clone().with(field, value);
        let result = alice.buy_with(world.proof(&wrong), Some(id)).await;
        assert_eq!(problem(result), expected, "{field}: {value}");
    }
    let stranger = AppleStore::new().transaction(&bought);
    let result = alice.buy_with(GrantRequest::Apple { transaction: stranger }, Some(id)).await;
    assert_eq!(problem(result), ProblemType::PurchaseUnverified);
    assert_eq!(world.issued().await, Credits(0));
    // The money was taken: the true one is as good as before.
    alice.buy_with(world.proof(&bought), None).await.unwrap();
    world.one_pack(&alice, "after").await;
}

/// Testers of an app get certificates that no relay takes for money.
#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_purchase_gives_test_certificates() {
    let world = World::planned(Plan { test_keys: true, ..Plan::default() }).await;
    let alice = world.wallet("alice").await;
    let bought = world.bought(1, &order(&alice).await).with("environment", "Sandbox");
    let pack = alice.buy_with(world.proof(&bought), None).await.unwrap();
    assert!(pack.test);
    assert_eq!(pack.credits, Credits(PRODUCT_CREDITS));
    let balance = alice.balance().await.unwrap();
    assert_eq!((balance.spendable, balance.test), (Credits(0), Credits(PRODUCT_CREDITS)));
    assert_eq!(world.issued().await, Credits(0), "nobody paid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_before_the_certificates_ends_the_purchase_until_it_is_reversed() {
    let world = World::start().await;
    let alice = world.wallet("alice").await;
    let bought = world.bought(1, &order(&alice).await);
    let file = world.file(&bought);
    drop(alice);
    let process = world.wallet_process(&["buy", "--apple", &file], Some("wallet.grant.stored"));
    died(process.killed_at_its_step().await, "wallet.grant.stored");
    let alice = world.network.open_wallet("alice").await.unwrap();

    world.tell("REFUND", "first", &bought).await;
    let resumed = alice.resume(Doubtful::Keep).await.unwrap();
    assert!(resumed.purchases.is_empty());
    assert_eq!((world.issued().await, world.lost().await), (Credits(0), 0));

    world.tell("REFUND_REVERSED", "second", &bought).await;
    // A notification that got no answer is sent again, whatever was said since.
    world.tell("REFUND", "first", &bought).await;
    alice.buy_with(world.proof(&bought), None).await.unwrap();
    world.one_pack(&alice, "reversed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_before_the_wallet_asks_is_remembered() {
    let world = World::start().await;
    let alice = world.wallet("alice").await;
    let bought = world.bought(1, &order(&alice).await);
    world.tell("REFUND", "first", &bought).await;
    let refused = alice.buy_with(world.proof(&bought), None).await;
    assert_eq!(problem(refused), ProblemType::PurchaseRefunded);
    assert_eq!((world.issued().await, world.lost().await), (Credits(0), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_after_the_certificates_is_booked_once() {
    let world = World::start().await;
    let alice = world.wallet("alice").await;
    let bought = world.bought(1, &order(&alice).await);
    alice.buy_with(world.proof(&bought), None).await.unwrap();
    for uuid in ["first", "first", "second"] {
        world.tell("REFUND", uuid, &bought).await;
        assert_eq!(world.lost().await, PRODUCT_CREDITS);
    }
    // Certificates cannot be told apart: they stay good.
    world.one_pack(&alice, "refunded").await;
    world.tell("REFUND_REVERSED", "third", &bought).await;
    assert_eq!(world.lost().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_issuer_dies_at_each_step_of_a_purchase() {
    for step in [
        "issuer.grant.before",
        "issuer.grant.after",
        "issuer.answer.before_store",
        "issuer.answer.after_store",
    ] {
        let mut world = World::start().await;
        let alice = world.wallet("alice").await;
        let bought = world.bought(1, &order(&alice).await);
        let proof = world.proof(&bought);
        let issuer = world.issuer_to_die_at(step).await;
        let (result, dead) = tokio::join!(alice.buy_with(proof, None), issuer.killed_at_its_step());
        died(dead, step);
        assert!(result.is_err(), "{step}: nobody answered");
        world.network.vendor.start().await.unwrap();
        resume(&alice, step).await;
        world.one_pack(&alice, step).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_issuer_dies_while_it_takes_an_order() {
    for step in ["issuer.order.before", "issuer.order.after"] {
        let mut world = World::start().await;
        let alice = world.wallet("alice").await;
        let issuer = world.issuer_to_die_at(step).await;
        let (result, dead) = tokio::join!(alice.order(PRODUCT), issuer.killed_at_its_step());
        died(dead, step);
        assert!(result.is_err(), "{step}: nobody answered");
        world.network.vendor.start().await.unwrap();
        let bought = world.bought(1, &order(&alice).await);
        alice.buy_with(world.proof(&bought), None).await.unwrap();
        world.one_pack(&alice, step).await;
    }
}

/// Apple gets no answer and tells again: the refund has its effect once.
#[tokio::test(flavor = "multi_thread")]
async fn the_issuer_dies_while_it_takes_a_notification() {
    for step in ["issuer.notification.before", "issuer.notification.after"] {
        let mut world = World::start().await;
        let alice = world.wallet("alice").await;
        let bought = world.bought(1, &order(&alice).await);
        alice.buy_with(world.proof(&bought), None).await.unwrap();
        let issuer = world.issuer_to_die_at(step).await;
        let body = world.store.notification("REFUND", "uuid", &bought);
        let at = world.network.vendor.listens_at();
        let (_, dead) = tokio::join!(send(at, &body), issuer.killed_at_its_step());
        died(dead, step);
        world.network.vendor.start().await.unwrap();
        let before = if step.ends_with("before") { 0 } else { PRODUCT_CREDITS };
        assert_eq!(world.lost().await, before, "{step}");
        assert!(send(at, &body).await.starts_with("HTTP/1.1 200 "), "{step}");
        assert_eq!(world.lost().await, PRODUCT_CREDITS, "{step}");
        world.one_pack(&alice, step).await;
    }
}

/// Posts a notification as Apple does; empty where there was no answer.
async fn send(at: std::net::SocketAddr, body: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(at).await.unwrap();
    let head = format!(
        "POST /v1/notifications/apple HTTP/1.1\r\nHost: vendor\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await; // the server may be killed meanwhile
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wallet_dies_at_each_step_of_a_purchase() {
    for step in [
        "wallet.grant.paid",
        "wallet.grant.before_send",
        "wallet.grant.after_answer",
        "wallet.grant.stored",
        "wallet.issuance.recorded",
        "wallet.issuance.before_send",
        "wallet.issuance.after_answer",
        "wallet.issuance.stored",
    ] {
        let world = World::start().await;
        let alice = world.wallet("alice").await;
        let bought = world.bought(1, &order(&alice).await);
        drop(alice);
        let file = world.file(&bought);
        let process = world.wallet_process(&["buy", "--apple", &file], Some(step));
        died(process.killed_at_its_step().await, step);
        let alice = world.network.open_wallet("alice").await.unwrap();
        resume(&alice, step).await;
        world.one_pack(&alice, step).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wallet_dies_while_it_orders() {
    for step in [
        "wallet.grant.recorded",
        "wallet.order.before_send",
        "wallet.order.after_answer",
        "wallet.order.stored",
    ] {
        let world = World::start().await;
        drop(world.wallet("alice").await);
        let process = world.wallet_process(&["order", "--product", PRODUCT], Some(step));
        died(process.killed_at_its_step().await, step);
        let alice = world.network.open_wallet("alice").await.unwrap();
        let bought = world.bought(1, &order(&alice).await);
        alice.buy_with(world.proof(&bought), None).await.unwrap();
        assert!(alice.orders().await.unwrap().is_empty(), "{step}: one order was made");
        world.one_pack(&alice, step).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_buys_with_a_file() {
    let world = World::start().await;
    let alice = world.wallet("alice").await;
    let bought = world.bought(1, &order(&alice).await);
    drop(alice);
    let file = world.file(&bought);
    let buy = || world.wallet_process(&["buy", "--apple", &file], None);
    assert!(buy().finish().await.unwrap().success());
    assert!(!buy().finish().await.unwrap().success(), "nothing is bought twice");
    let alice = world.network.open_wallet("alice").await.unwrap();
    world.one_pack(&alice, "by the program").await;
}
