//! Google Play, Stripe and BTCPay Server, end to end: a wallet orders, somebody pays, and the purchase becomes certificates; replays,
//! refunds, and `kill -9` at every step on the way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use http::HeaderMap;
use scrip_issuer::sources::secret::Secret;
use scrip_issuer::sources::stripe::{StripeConfig, StripePrice};
use scrip_issuer::testing::btcpay::{FakeBtcpay, KEY, STORE, WEBHOOK, delivery};
use scrip_issuer::testing::google::{FakeGoogle, PACKAGE, voided_notification};
use scrip_issuer::testing::stripe::{event, paid_session, signed_event};
use scrip_protocol::credits::Credits;
use scrip_protocol::problem::ProblemType;
use scrip_protocol::purchase::{GrantRequest, OrderId};
use scrip_runtime::client::{ClientOptions, HttpClient, Request, TransportError};
use scrip_runtime::clock::{Clock, SystemClock};
use scrip_tests::network::{Network, PRODUCT, PRODUCT_CREDITS, Plan};
use scrip_tests::process::{Launcher, Process};
use scrip_tests::wire::{Wire, requests};
use scrip_wallet::{Bought, Doubtful, NewQueue, Wallet, WalletError};
use serde_json::{Value, json};

const WHSEC: &str = "whsec_test";
const TOKEN: &str = "abcdefgh.AO-J1Oxyz_123";
/// What [`PRODUCT`] is called in Google Play.
const PLAY_PRODUCT: &str = "play_pack";

/// A network whose vendor sells at all three places.
struct Shop {
    network: Network,
    google: FakeGoogle,
    btcpay: FakeBtcpay,
}

impl Shop {
    async fn open() -> Self {
        // The clock of the test must be that of the processes.
        let plan = Plan { start: SystemClock.now(), relays: 1, ..Plan::default() };
        let mut network = Network::planned(plan).await.unwrap();
        let google = FakeGoogle::start().await.unwrap();
        let btcpay = FakeBtcpay::start().await.unwrap();
        let price = StripePrice { amount: 499, currency: "eur".into(), payment_link: None };
        network.vendor.stop().await.unwrap();
        let sources = &mut network.vendor.config().sources;
        sources.stripe = Some(StripeConfig {
            webhook_secrets: vec![Secret::new(WHSEC)],
            webhook_secrets_file: None,
            products: [(PRODUCT.into(), price)].into(),
        });
        sources.btcpay = Some(btcpay.config([PRODUCT]));
        let play = google.config(network.dir(), [(PLAY_PRODUCT, PRODUCT)]).unwrap();
        network.vendor.config().sources.google = Some(play);
        let shop = Self { network, google, btcpay };
        shop.write_configuration();
        let mut shop = shop;
        shop.network.vendor.start().await.unwrap();
        shop
    }

    /// The same for an issuer in a process of its own.
    fn write_configuration(&self) {
        let path = self.network.issuer_dir().join(scrip_issuer::config::FILE_NAME);
        let mut text = std::fs::read_to_string(&path).unwrap();
        let (google, btcpay) = (self.google.server.url(), self.btcpay.server.url());
        let key = self.network.dir().join("google.json");
        text.push_str(&format!(
            r#"
[sources.google]
package = "{PACKAGE}"
service_account = "{}"
products = {{ {PLAY_PRODUCT} = "{PRODUCT}" }}
api = "{google}"

[sources.stripe]
webhook_secrets = ["{WHSEC}"]
[sources.stripe.products.{PRODUCT}]
amount = 499
currency = "eur"

[sources.btcpay]
server = "{btcpay}"
store = "{STORE}"
api_key = "{KEY}"
webhook_secrets = ["{WEBHOOK}"]
[sources.btcpay.products.{PRODUCT}]
amount = "4.99"
currency = "EUR"
"#,
            key.display()
        ));
        std::fs::write(&path, text).unwrap();
    }

    async fn wallet(&self, name: &str) -> Wallet {
        self.network.wallet(name).await.unwrap()
    }

    /// Sends a webhook over the network, as the service would.
    async fn webhook(
        &self,
        source: &str,
        (headers, body): (HeaderMap, Vec<u8>),
    ) -> Result<u16, TransportError> {
        let vendor = self.network.vendor.listens_at();
        let mut request =
            Request::post(format!("http://{vendor}/v1/notifications/{source}"), body, 65_536);
        for (name, value) in &headers {
            request = request.header(name.clone(), value.to_str().unwrap());
        }
        let client = HttpClient::new(ClientOptions::default()).unwrap();
        client.send(request).await.map(|answer| answer.status)
    }

    async fn stripe(&self, id: &str, kind: &str, object: &Value) -> Result<u16, TransportError> {
        let now = self.network.clock.now();
        self.webhook("stripe", signed_event(&event(id, kind, object), WHSEC, now)).await
    }

    /// Stripe tells that `order` is paid.
    async fn paid_at_stripe(&self, order: &OrderId) -> Result<u16, TransportError> {
        self.stripe("evt_paid", "checkout.session.completed", &paid_session(order, "pi_1")).await
    }

    async fn settled_at_btcpay(&self, order: &OrderId) -> Result<u16, TransportError> {
        let invoice = self.btcpay.invoices_of(order).pop().expect("an invoice of the order");
        self.btcpay.set(&invoice, "status", json!("Settled"));
        self.webhook("btcpay", delivery("d1", None, "InvoiceSettled", &invoice)).await
    }

    /// The vendor stops, and a process that dies at `step` takes its place.
    async fn vendor_to_die_at(&mut self, step: &str) -> Process {
        self.network.vendor.stop().await.unwrap();
        let arguments =
            ["--dir".into(), self.network.issuer_dir().into_os_string(), "start".into()];
        let mut process = self.launcher().start("issuer", arguments, Some(step)).unwrap();
        process.listening().await.unwrap();
        process
    }

    async fn wallet_to_die_at(&self, arguments: &[&str], step: &str) {
        let dir = self.network.wallet_dir("alice").into_os_string();
        let mut all = vec!["--wallet".into(), dir];
        all.extend(arguments.iter().map(std::ffi::OsString::from));
        let process = self.launcher().start("wallet", all, Some(step)).unwrap();
        process.killed_at_its_step().await.unwrap_or_else(|error| panic!("{step}: {error}"));
    }

    fn launcher(&self) -> Launcher {
        Launcher::new(env!("CARGO_BIN_EXE_scrip-crash-node"), self.network.dir())
    }

    /// One pack was issued, once, and the wallet has it.
    async fn sold_once(&self, wallet: &Wallet, step: &str) {
        let status = self.network.vendor.issuer().unwrap().status().await.unwrap();
        assert_eq!(status.credits_issued, Credits(PRODUCT_CREDITS), "{step}: issued");
        assert_eq!((status.grants.total, status.grants.used), (1, 1), "{step}: grants");
        let balance = wallet.balance().await.unwrap();
        assert_eq!(balance.spendable, Credits(PRODUCT_CREDITS), "{step}: {balance:?}");
        assert!(wallet.orders().await.unwrap().is_empty(), "{step}: nothing is open");
    }

    async fn losses(&self) -> u64 {
        let store = self.network.vendor.issuer().unwrap().store();
        store.losses().await.unwrap().iter().map(|loss| loss.credits.0).sum()
    }

    /// The background tells Google within seconds of the start.
    async fn consumed(&self, step: &str) {
        for _ in 0..200 {
            if self.google.purchase(TOKEN).unwrap().consumed {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{step}: Google was not told");
    }
}

fn play(product: &str, token: &str) -> GrantRequest {
    GrantRequest::Google { product: product.into(), token: token.into() }
}

/// What the app does when Google says that the money was taken.
async fn buy_in_play(wallet: &Wallet, order: OrderId) -> Result<Bought, WalletError> {
    wallet.buy_with(play(PLAY_PRODUCT, TOKEN), Some(order)).await
}

async fn buy_order(wallet: &Wallet, order: OrderId) -> Result<Bought, WalletError> {
    wallet.buy_with(GrantRequest::Order { order }, None).await
}

async fn resume(wallet: &Wallet, step: &str) {
    let resumed = wallet.resume(Doubtful::Keep).await.unwrap();
    assert!(resumed.errors.is_empty(), "{step}: {:?}", resumed.errors);
}

#[track_caller]
fn problem(result: Result<Bought, WalletError>) -> ProblemType {
    match result.unwrap_err() {
        WalletError::Call { error, .. } | WalletError::PurchaseOpen { error, .. } => {
            error.problem().unwrap_or_else(|| panic!("no problem: {error}")).problem
        }
        other => panic!("{other}"),
    }
}

/// What was bought is worth a queue, and the relay gets it redeemed.
async fn spends(shop: &Shop, wallet: &Wallet) {
    let relay = Some(shop.network.relays[0].address().clone());
    let queue = NewQueue { name: Some("inbox".into()), relay, days: 30, ..NewQueue::default() };
    wallet.create_queue(queue).await.unwrap();
    shop.network.redeem_all().await.unwrap();
    let left = wallet.balance().await.unwrap().spendable.0;
    let status = shop.network.vendor.issuer().unwrap().status().await.unwrap();
    assert!(status.credits_redeemed.0 > 0);
    assert_eq!(left + status.credits_redeemed.0, status.credits_issued.0);
}

/// An order that is asked for again is shown as a purchase is: nothing is asked beside it. Paid meanwhile, it is bought, and a new one made.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_open_is_asked_for_without_a_request_beside_it() {
    let mut shop = Shop::open().await;
    let wire = Wire::to(shop.network.vendor.listens_at()).await.unwrap();
    shop.network.vendor.seen_at(wire.address());
    let alice = shop.wallet("alice").await;
    let order = alice.order(PRODUCT).await.unwrap().order;
    let since = |before: usize| -> Vec<String> {
        let sent = requests(&wire.sent());
        let asked = sent.iter().filter(|one| !one.head.contains("/v1/manifest"));
        asked.skip(before).map(|one| one.head.lines().next().unwrap().to_owned()).collect()
    };
    let of = |lines: &[String]| -> Vec<String> {
        let route = |line: &String| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
        lines.iter().map(route).collect()
    };
    let before = since(0).len();
    assert_eq!(alice.order(PRODUCT).await.unwrap().order, order, "the same one");
    assert_eq!(of(&since(before)), ["POST /v1/grants", "POST /v1/orders"]);
    let before = since(0).len();
    shop.paid_at_stripe(&order).await.unwrap();
    assert_ne!(alice.order(PRODUCT).await.unwrap().order, order, "another one");
    assert_eq!(of(&since(before)), ["POST /v1/grants", "POST /v1/issuance", "POST /v1/orders"]);
    assert_eq!(alice.balance().await.unwrap().spendable.0, PRODUCT_CREDITS);
    // Where nothing is known of it, nobody is led to pay.
    shop.network.vendor.stop().await.unwrap();
    assert!(matches!(alice.order(PRODUCT).await, Err(WalletError::PurchaseOpen { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_in_google_play_pays_for_a_queue() {
    let shop = Shop::open().await;
    let alice = shop.wallet("alice").await;
    let order = alice.order(PRODUCT).await.unwrap().order;
    assert_eq!(problem(buy_in_play(&alice, order).await), ProblemType::PurchaseUnverified);
    shop.google.buy(TOKEN, PLAY_PRODUCT, Some(&order));
    let wrong = alice.buy_with(play("play_large", TOKEN), Some(order)).await;
    assert_eq!(problem(wrong), ProblemType::ProductUnknown);
    shop.google.change(TOKEN, |purchase| purchase.state = "PENDING");
    assert_eq!(problem(buy_in_play(&alice, order).await), ProblemType::PurchasePending);
    shop.google.change(TOKEN, |purchase| purchase.state = "PURCHASED");
    let bought = buy_in_play(&alice, order).await.unwrap();
    assert_eq!((bought.product.as_str(), bought.credits), (PRODUCT, Credits(PRODUCT_CREDITS)));
    assert!(shop.google.purchase(TOKEN).unwrap().consumed);

    // The same again is the same purchase, and worth nothing to anybody else.
    assert!(buy_in_play(&alice, order).await.is_err());
    let bob = shop.wallet("bob").await;
    let other = bob.order(PRODUCT).await.unwrap().order;
    assert_eq!(problem(buy_in_play(&bob, other).await), ProblemType::OrderUnknown);
    shop.sold_once(&alice, "bought").await;
    spends(&shop, &alice).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_are_paid_at_stripe_and_btcpay_pay_for_queues() {
    for at_stripe in [true, false] {
        let shop = Shop::open().await;
        let pay = async |order: &OrderId| match at_stripe {
            true => shop.paid_at_stripe(order).await,
            false => shop.settled_at_btcpay(order).await,
        };
        let alice = shop.wallet("alice").await;
        let order = alice.order(PRODUCT).await.unwrap().order;
        assert_eq!(problem(buy_order(&alice, order).await), ProblemType::PurchasePending);
        for _ in 0..2 {
            assert_eq!(pay(&order).await.unwrap(), 200, "what comes twice has its effects once");
        }
        let bob = shop.wallet("bob").await;
        let stolen = buy_order(&bob, order).await;
        assert!(matches!(stolen, Err(WalletError::OrderNotHere(_))), "{stolen:?}");
        let bought = buy_order(&alice, order).await.unwrap();
        assert_eq!((bought.product.as_str(), bought.credits), (PRODUCT, Credits(PRODUCT_CREDITS)));
        assert!(buy_order(&alice, order).await.is_err(), "it is paid and had");
        pay(&order).await.unwrap();
        shop.sold_once(&alice, "bought").await;
        spends(&shop, &alice).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refunded_before_is_not_issued() {
    let shop = Shop::open().await;
    let alice = shop.wallet("alice").await;
    let order = alice.order(PRODUCT).await.unwrap().order;

    // At Google, before the wallet asked: nothing.
    shop.google.buy(TOKEN, PLAY_PRODUCT, Some(&order));
    shop.google.change(TOKEN, |purchase| purchase.state = "CANCELLED");
    assert_eq!(problem(buy_in_play(&alice, order).await), ProblemType::PurchaseRefunded);

    // At Stripe, after the grant was made and before it was minted: cancelled, and given back when the refund fails.
    shop.paid_at_stripe(&order).await.unwrap();
    let refund = json!({ "payment_intent": "pi_1", "refunded": true });
    shop.stripe("evt_refund", "charge.refunded", &refund).await.unwrap();
    let cancelled = buy_order(&alice, order).await;
    assert!(matches!(cancelled, Err(WalletError::PurchaseCancelled)), "{cancelled:?}");
    let cancelled = buy_order(&alice, order).await;
    assert!(matches!(cancelled, Err(WalletError::PurchaseCancelled)), "{cancelled:?}");
    let issuer = shop.network.vendor.issuer().unwrap();
    assert_eq!(
        (issuer.status().await.unwrap().credits_issued, shop.losses().await),
        (Credits(0), 0)
    );
    let failed = json!({ "payment_intent": "pi_1", "status": "failed" });
    shop.stripe("evt_failed", "refund.failed", &failed).await.unwrap();
    assert_eq!(buy_order(&alice, order).await.unwrap().credits, Credits(PRODUCT_CREDITS));
    shop.sold_once(&alice, "the refund failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refunded_after_is_a_loss_and_the_certificates_stay_good() {
    let shop = Shop::open().await;
    let alice = shop.wallet("alice").await;
    let order = alice.order(PRODUCT).await.unwrap().order;
    shop.google.buy(TOKEN, PLAY_PRODUCT, Some(&order));
    buy_in_play(&alice, order).await.unwrap();
    shop.google.change(TOKEN, |purchase| purchase.state = "CANCELLED");
    let now = shop.network.clock.now();
    for _ in 0..2 {
        let push = shop.google.push("m1", &voided_notification(TOKEN), now);
        assert_eq!(shop.webhook("google", push).await.unwrap(), 200);
    }
    assert_eq!(shop.losses().await, PRODUCT_CREDITS);
    shop.sold_once(&alice, "refunded").await;
    spends(&shop, &alice).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_issuer_dies_while_it_turns_a_play_purchase_into_certificates() {
    for (step, granted) in [
        ("issuer.grant.before", false),
        ("issuer.grant.after", true),
        ("issuer.purchase.before_settle", true),
        ("issuer.purchase.after_settle", true),
        ("issuer.answer.before_store", true),
        ("issuer.answer.after_store", true),
    ] {
        let mut shop = Shop::open().await;
        let alice = shop.wallet("alice").await;
        let order = alice.order(PRODUCT).await.unwrap().order;
        shop.google.buy(TOKEN, PLAY_PRODUCT, Some(&order));
        let vendor = shop.vendor_to_die_at(step).await;
        let (bought, died) = tokio::join!(buy_in_play(&alice, order), vendor.killed_at_its_step());
        died.unwrap_or_else(|error| panic!("{step}: {error}"));
        assert!(bought.is_err(), "{step}: nobody answered");
        shop.network.vendor.start().await.unwrap();
        if granted {
            shop.consumed(step).await; // the wallet has not come back yet
        }
        resume(&alice, step).await;
        shop.consumed(step).await;
        assert_eq!(shop.google.server.calls(":consume"), 1, "{step}: told once");
        shop.sold_once(&alice, step).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_issuer_dies_while_it_takes_an_order_and_its_payment() {
    for step in ["issuer.order.before", "issuer.order.after"] {
        let mut shop = Shop::open().await;
        let alice = shop.wallet("alice").await;
        let vendor = shop.vendor_to_die_at(step).await;
        let (ordered, died) = tokio::join!(alice.order(PRODUCT), vendor.killed_at_its_step());
        died.unwrap_or_else(|error| panic!("{step}: {error}"));
        assert!(ordered.is_err(), "{step}: nobody answered");
        shop.network.vendor.start().await.unwrap();
        let order = alice.order(PRODUCT).await.unwrap().order;
        assert_eq!(shop.paid_at_stripe(&order).await.unwrap(), 200);
        buy_order(&alice, order).await.unwrap();
        shop.sold_once(&alice, step).await;
    }
    for step in ["issuer.notification.before", "issuer.notification.after"] {
        for at_stripe in [true, false] {
            let mut shop = Shop::open().await;
            let alice = shop.wallet("alice").await;
            let order = alice.order(PRODUCT).await.unwrap().order;
            let vendor = shop.vendor_to_die_at(step).await;
            let pay = async || match at_stripe {
                true => shop.paid_at_stripe(&order).await,
                false => shop.settled_at_btcpay(&order).await,
            };
            let (told, died) = tokio::join!(pay(), vendor.killed_at_its_step());
            died.unwrap_or_else(|error| panic!("{step}: {error}"));
            assert!(told.is_err(), "{step}: nobody answered, so that it is sent again");
            shop.network.vendor.start().await.unwrap();
            let again = match at_stripe {
                true => shop.paid_at_stripe(&order).await,
                false => shop.settled_at_btcpay(&order).await,
            };
            assert_eq!(again.unwrap(), 200, "{step}");
            buy_order(&alice, order).await.unwrap();
            shop.sold_once(&alice, step).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wallet_dies_while_it_orders_and_buys() {
    for step in [
        "wallet.grant.recorded",
        "wallet.order.before_send",
        "wallet.order.after_answer",
        "wallet.order.stored",
    ] {
        let shop = Shop::open().await;
        shop.wallet("alice").await.close().await.unwrap();
        shop.wallet_to_die_at(&["order", "--product", PRODUCT], step).await;
        let alice = shop.network.open_wallet("alice").await.unwrap();
        let order = alice.order(PRODUCT).await.unwrap().order;
        shop.paid_at_stripe(&order).await.unwrap();
        buy_order(&alice, order).await.unwrap();
        shop.sold_once(&alice, step).await;
    }
    for step in [
        "wallet.grant.paid",
        "wallet.grant.before_send",
        "wallet.grant.after_answer",
        "wallet.grant.stored",
        "wallet.issuance.after_answer",
    ] {
        let shop = Shop::open().await;
        let alice = shop.wallet("alice").await;
        let order = alice.order(PRODUCT).await.unwrap().order;
        alice.close().await.unwrap();
        shop.google.buy(TOKEN, PLAY_PRODUCT, Some(&order));
        let (purchase, order) = (format!("{PLAY_PRODUCT}:{TOKEN}"), order.to_string());
        let arguments = ["buy", "--google", &purchase, "--order", &order];
        shop.wallet_to_die_at(&arguments, step).await;
        let alice = shop.network.open_wallet("alice").await.unwrap();
        resume(&alice, step).await;
        shop.sold_once(&alice, step).await;
        assert!(shop.google.purchase(TOKEN).unwrap().consumed, "{step}");
        assert_eq!(shop.google.server.calls(":consume"), 1, "{step}: told once");
    }
}
