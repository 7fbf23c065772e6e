//! Google Play, Stripe and BTCPay Server through the whole issuer: what becomes of what they say.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request};
use scrip_protocol::{
    issuance::GrantAnswer,
    media,
    problem::ProblemType,
    purchase::{OrderAnswer, OrderId},
    seed::GrantSecret,
    time::UnixSeconds,
};
use scrip_runtime::passphrase::Passphrase;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::*;
use crate::{
    Change, Config, Issuer,
    sources::{
        Asked, Notification, Source, SourceError, Verified,
        secret::Secret,
        stripe::{StripeConfig, StripePrice},
    },
    testing::{
        Failing, PASSPHRASE, Setup, TestIssuer,
        btcpay::{FakeBtcpay, delivery},
        google::{FakeGoogle, voided_notification},
        rng_factory,
        stripe::{event, paid_session, signed_event},
    },
};

const SECRET: &str = "whsec_test";
const TOKEN: &str = "abcdefgh.AO-J1Oxyz_123";

/// A vendor that sells `starter` everywhere for 4.99 EUR.
struct World {
    vendor: TestIssuer,
    google: FakeGoogle,
    btcpay: FakeBtcpay,
    wallet: Wallet,
    setup: Setup,
    _directory: TempDir,
}

impl World {
    async fn new() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = TempDir::new().unwrap();
        let google = FakeGoogle::start().await.unwrap();
        let btcpay = FakeBtcpay::start().await.unwrap();
        let mut setup = Setup::sqlite(directory.path()).unwrap();
        let sources = &mut setup.config.sources;
        sources.google =
            Some(google.config(directory.path(), [("play_starter", "starter")]).unwrap());
        sources.btcpay = Some(btcpay.config(["starter"]));
        let payment_link = Some("https://buy.stripe.com/test".into());
        let price = StripePrice { amount: 499, currency: "eur".into(), payment_link };
        sources.stripe = Some(StripeConfig {
            webhook_secrets: vec![Secret::new(SECRET)],
            webhook_secrets_file: None,
            products: [("starter".to_owned(), price)].into(),
        });
        change(&mut setup.config);
        let vendor = setup.init().await.unwrap();
        Self { vendor, google, btcpay, wallet: Wallet::new(1), setup, _directory: directory }
    }

    fn secret(&self, index: u32) -> GrantSecret {
        self.wallet.secret(&self.vendor.issuer, index)
    }

    fn now(&self) -> UnixSeconds {
        scrip_runtime::clock::Clock::now(&self.vendor.clock)
    }

    async fn order(&self, index: u32) -> OrderAnswer {
        let body = json!({ "product": "starter" }).to_string();
        let secret = self.secret(index);
        let answer =
            post(&self.vendor.issuer, "/v1/orders", media::JSON, Some(&secret), body).await;
        serde_json::from_slice(&answer.success(media::JSON)).unwrap()
    }

    async fn ask(&self, index: u32, body: Value) -> Answer {
        let secret = self.secret(index);
        post(&self.vendor.issuer, "/v1/grants", media::JSON, Some(&secret), body.to_string()).await
    }

    async fn ask_google(&self, index: u32) -> Answer {
        self.ask(index, json!({ "source": "google", "product": "play_starter", "token": TOKEN }))
            .await
    }

    async fn ask_order(&self, index: u32, order: &OrderId) -> Answer {
        self.ask(index, json!({ "source": "order", "order": order.to_string() })).await
    }

    /// Lets the wallet have its pack signed.
    async fn mint(&self, index: u32) -> Answer {
        let (_, request) = self.wallet.blind(&self.vendor.issuer, index, &STARTER);
        let (path, secret) = ("/v1/issuance", self.secret(index));
        post(&self.vendor.issuer, path, media::ISSUANCE_REQUEST, Some(&secret), request.encode())
            .await
    }

    async fn webhook(&self, source: &str, (headers, body): (HeaderMap, Vec<u8>)) -> Answer {
        let path = format!("/v1/notifications/{source}");
        let mut request = Request::builder().method(Method::POST).uri(path);
        request.headers_mut().unwrap().extend(headers);
        send(&self.vendor.issuer, request.body(Body::from(body)).unwrap()).await
    }

    /// Stripe tells of `object` in the event `id`.
    async fn stripe(&self, id: &str, kind: &str, object: &Value) {
        let signed = signed_event(&event(id, kind, object), SECRET, self.now());
        self.webhook("stripe", signed).await.success(media::JSON);
    }

    async fn pay(&self, id: &str, order: &OrderId, intent: &str) {
        self.stripe(id, "checkout.session.completed", &paid_session(order, intent)).await;
    }

    async fn losses(&self) -> u64 {
        let losses = self.vendor.issuer.store().losses().await.unwrap();
        losses.iter().map(|loss| loss.credits.0).sum()
    }

    async fn issued(&self) -> u64 {
        self.vendor.issuer.status().await.unwrap().credits_issued.0
    }

    /// What somebody is asked to look at.
    async fn complaints(&self) -> Vec<String> {
        let failures = self.vendor.issuer.store().source_failures().await.unwrap();
        failures.into_iter().map(|failure| failure.message).collect()
    }
}

fn granted(answer: Answer) -> GrantAnswer {
    serde_json::from_slice(&answer.success(media::JSON)).unwrap()
}

#[tokio::test]
async fn a_purchase_in_google_play_is_granted_and_then_consumed() {
    let world = World::new().await;
    let order = world.order(0).await;
    world.google.buy(TOKEN, "play_starter", Some(&order.order));
    world.google.server.fail(":consume", Failing::Status(500), 1);
    let first = granted(world.ask_google(0).await);
    assert_eq!((first.product.as_str(), first.credits.0, first.test), ("starter", 12, false));
    assert!(
        !world.google.purchase(TOKEN).unwrap().consumed,
        "Google's trouble keeps nobody waiting"
    );
    world.vendor.issuer.tend_sources().await.unwrap();
    assert!(world.google.purchase(TOKEN).unwrap().consumed, "it is told again, without the wallet");
    world.vendor.issuer.tend_sources().await.unwrap();
    assert_eq!(world.google.server.calls(":consume"), 2);

    world.mint(0).await.success(media::ISSUANCE_ANSWER);
    assert!(granted(world.ask_google(0).await).minted, "the same request, the same grant");
    // Whoever gets hold of the token has not made the order.
    assert_eq!(world.ask_google(1).await.problem(), ProblemType::OrderUnknown);
    world.order(2).await;
    assert_eq!(world.ask_google(2).await.problem(), ProblemType::OrderUnknown);
    assert_eq!(world.issued().await, 12);
}

#[tokio::test]
async fn what_google_does_not_confirm_is_refused_with_its_reason() {
    let world = World::new().await;
    let order = world.order(0).await.order;
    assert_eq!(world.ask_google(0).await.problem(), ProblemType::PurchaseUnverified);
    world.google.buy(TOKEN, "play_starter", Some(&order));
    world.google.change(TOKEN, |purchase| purchase.state = "PENDING");
    assert_eq!(world.ask_google(0).await.problem(), ProblemType::PurchasePending);
    world.google.change(TOKEN, |purchase| purchase.state = "CANCELLED");
    assert_eq!(world.ask_google(0).await.problem(), ProblemType::PurchaseRefunded);
    world.google.change(TOKEN, |purchase| (purchase.state, purchase.test) = ("PURCHASED", true));
    assert_eq!(
        world.ask_google(0).await.problem(),
        ProblemType::PurchaseUnverified,
        "no test keys"
    );
    world.google.change(TOKEN, |purchase| purchase.test = false);
    let other = json!({ "source": "google", "product": "play_large", "token": TOKEN });
    assert_eq!(world.ask(0, other).await.problem(), ProblemType::ProductUnknown);
    world.google.server.fail("productsv2", Failing::Status(500), 1);
    assert_eq!(world.ask_google(0).await.problem(), ProblemType::SourceUnavailable);
    assert_eq!(world.complaints().await.len(), 1);
    granted(world.ask_google(0).await);
    assert!(world.complaints().await.is_empty(), "it works again");
}

#[tokio::test]
async fn a_refund_in_google_play_cancels_or_is_a_loss() {
    let world = World::new().await;
    let order = world.order(0).await.order;
    world.google.buy(TOKEN, "play_starter", Some(&order));
    granted(world.ask_google(0).await);
    world.google.change(TOKEN, |purchase| purchase.state = "CANCELLED");
    world.google.void(TOKEN, world.now());
    for _ in 0..2 {
        world.vendor.issuer.tend_sources().await.unwrap();
        world.vendor.clock.advance(600);
    }
    assert_eq!(world.mint(0).await.problem(), ProblemType::GrantCancelled);
    assert_eq!((world.issued().await, world.losses().await), (0, 0));

    // The same after it was minted; told by a push.
    let (other, order) = ("another.token-1", world.order(1).await.order);
    world.google.buy(other, "play_starter", Some(&order));
    let request = json!({ "source": "google", "product": "play_starter", "token": other });
    granted(world.ask(1, request.clone()).await);
    world.mint(1).await.success(media::ISSUANCE_ANSWER);
    world.google.change(other, |purchase| purchase.state = "CANCELLED");
    for _ in 0..2 {
        let push = world.google.push("m1", &voided_notification(other), world.now());
        world.webhook("google", push).await.success(media::JSON);
    }
    assert_eq!((world.issued().await, world.losses().await), (12, 12));
    assert!(granted(world.ask(1, request).await).minted, "what it became is shown all the same");
    world.mint(1).await.success(media::ISSUANCE_ANSWER);

    // And before the wallet has asked for it.
    let (third, order) = ("a-third.token-1", world.order(2).await.order);
    world.google.buy(third, "play_starter", Some(&order));
    world.google.void(third, world.now());
    world.vendor.clock.advance(600);
    world.vendor.issuer.tend_sources().await.unwrap();
    let request = json!({ "source": "google", "product": "play_starter", "token": third });
    assert_eq!(world.ask(2, request).await.problem(), ProblemType::PurchaseRefunded);
}

#[tokio::test]
async fn a_forged_push_refunds_nothing() {
    let world = World::new().await;
    let order = world.order(0).await.order;
    world.google.buy(TOKEN, "play_starter", Some(&order));
    granted(world.ask_google(0).await);
    let (_, body) = world.google.push("m1", &voided_notification(TOKEN), world.now());
    let forged = world.google.forged_authorization(world.now());
    let refused = world.webhook("google", (forged, body)).await;
    assert_eq!(refused.problem(), ProblemType::NotificationUnverified);
    let push = world.google.push("m1", &voided_notification(TOKEN), world.now());
    world.webhook("google", push).await.success(media::JSON);
    world.mint(0).await.success(media::ISSUANCE_ANSWER);
}

#[tokio::test]
async fn an_order_that_is_paid_at_stripe_becomes_a_grant() {
    let world = World::new().await;
    let order = world.order(0).await;
    let link = order.pay.iter().find(|pay| pay.source == "stripe").unwrap();
    assert!(link.url.ends_with(&format!("client_reference_id={}", order.order)), "{}", link.url);
    assert_eq!(world.ask_order(0, &order.order).await.problem(), ProblemType::PurchasePending);
    world.pay("evt_1", &order.order, "pi_1").await;
    world.pay("evt_1", &order.order, "pi_1").await;
    world.pay("evt_2", &order.order, "pi_1").await;
    let grant = granted(world.ask_order(0, &order.order).await);
    assert_eq!((grant.product.as_str(), grant.credits.0), ("starter", 12));
    assert_eq!(world.ask_order(1, &order.order).await.problem(), ProblemType::OrderUnknown);
    world.mint(0).await.success(media::ISSUANCE_ANSWER);
    assert_eq!((world.issued().await, world.complaints().await.len()), (12, 0));

    // It is paid once more by mistake: somebody has to give that back.
    world.pay("evt_3", &order.order, "pi_2").await;
    assert!(world.complaints().await[0].contains("pi_2"));
    assert_eq!(world.issued().await, 12);
}

#[tokio::test]
async fn what_stripe_did_not_sign_or_was_not_the_price_pays_nothing() {
    let world = World::new().await;
    let order = world.order(0).await.order;
    let mut session = paid_session(&order, "pi_1");
    let (headers, mut body) =
        signed_event(&event("evt_1", "checkout.session.completed", &session), SECRET, world.now());
    body.push(b' ');
    let changed = world.webhook("stripe", (headers, body)).await;
    assert_eq!(changed.problem(), ProblemType::NotificationUnverified);
    let old = world.now().minus(301);
    let old = signed_event(&event("evt_1", "checkout.session.completed", &session), SECRET, old);
    assert_eq!(world.webhook("stripe", old).await.problem(), ProblemType::NotificationUnverified);
    session["amount_total"] = json!(1);
    world.stripe("evt_2", "checkout.session.completed", &session).await;
    assert!(world.complaints().await[0].contains("evt_2"));
    let mut test = event("evt_3", "checkout.session.completed", &paid_session(&order, "pi_3"));
    test["livemode"] = json!(false);
    let signed = signed_event(&test, SECRET, world.now());
    world.webhook("stripe", signed).await.success(media::JSON);
    assert_eq!(world.ask_order(0, &order).await.problem(), ProblemType::PurchasePending);
    let nobody = world.webhook("paypal", (HeaderMap::new(), Vec::new())).await;
    assert_eq!(nobody.problem(), ProblemType::SourceUnknown);
}

#[tokio::test]
async fn refunds_and_disputes_at_stripe() {
    let world = World::new().await;
    let refund = |intent: &str| json!({ "payment_intent": intent, "refunded": true });
    let dispute =
        |intent: &str, status: &str| json!({ "payment_intent": intent, "status": status });
    let orders =
        [world.order(0).await.order, world.order(1).await.order, world.order(2).await.order];

    // Refunded before it was minted, and the refund failed.
    world.pay("evt_1", &orders[0], "pi_0").await;
    world.stripe("evt_2", "charge.refunded", &refund("pi_0")).await;
    assert_eq!(world.mint(0).await.problem(), ProblemType::GrantCancelled);
    world.stripe("evt_3", "refund.failed", &dispute("pi_0", "failed")).await;
    world.stripe("evt_2", "charge.refunded", &refund("pi_0")).await;
    world.mint(0).await.success(media::ISSUANCE_ANSWER);

    // Told of the refund before the payment.
    world.stripe("evt_4", "charge.refunded", &refund("pi_1")).await;
    world.pay("evt_5", &orders[1], "pi_1").await;
    assert_eq!(world.ask_order(1, &orders[1]).await.problem(), ProblemType::PurchasePending);

    // Disputed after it was minted: a loss until it is won.
    world.pay("evt_6", &orders[2], "pi_2").await;
    world.mint(2).await.success(media::ISSUANCE_ANSWER);
    world.stripe("evt_7", "charge.dispute.created", &dispute("pi_2", "needs_response")).await;
    world
        .stripe("evt_8", "charge.dispute.funds_withdrawn", &dispute("pi_2", "needs_response"))
        .await;
    assert_eq!(world.losses().await, 12);
    world.stripe("evt_9", "charge.dispute.closed", &dispute("pi_2", "won")).await;
    assert_eq!(world.losses().await, 0);
    assert_eq!(world.issued().await, 24);
}

#[tokio::test]
async fn an_order_that_is_paid_at_btcpay_becomes_a_grant() {
    let world = World::new().await;
    let order = world.order(0).await;
    let page = order.pay.iter().find(|pay| pay.source == "btcpay").unwrap();
    let invoice = world.btcpay.invoices_of(&order.order).pop().unwrap();
    assert!(page.url.ends_with(&invoice), "{}", page.url);
    assert_eq!(world.order(0).await, order, "the same order again, and the same invoice");

    let told = delivery("d1", None, "InvoiceSettled", &invoice);
    world.webhook("btcpay", told.clone()).await.success(media::JSON);
    let pending = world.ask_order(0, &order.order).await;
    assert_eq!(
        pending.problem(),
        ProblemType::PurchasePending,
        "the server says it is not settled"
    );

    world.btcpay.set(&invoice, "status", json!("Settled"));
    world.btcpay.server.fail("invoices", Failing::Status(500), 1);
    let again = |id: &str| delivery(id, Some("d2"), "InvoiceSettled", &invoice);
    let failed = world.webhook("btcpay", again("d2")).await;
    assert_eq!(failed.problem(), ProblemType::SourceUnavailable);
    world.webhook("btcpay", again("d3")).await.success(media::JSON);
    world.webhook("btcpay", again("d4")).await.success(media::JSON);
    assert_eq!(granted(world.ask_order(0, &order.order).await).credits.0, 12);
    world.mint(0).await.success(media::ISSUANCE_ANSWER);
    assert_eq!((world.issued().await, world.complaints().await.len()), (12, 0));
}

#[tokio::test]
async fn an_order_whose_webhook_is_lost_is_found_paid() {
    let world = World::new().await;
    let order = world.order(0).await.order;
    let invoice = world.btcpay.invoices_of(&order).pop().unwrap();
    let pending = async || {
        assert_eq!(world.ask_order(0, &order).await.problem(), ProblemType::PurchasePending);
    };
    pending().await;
    world.btcpay.set(&invoice, "status", json!("Settled"));
    // BTCPay Server is not asked for each time that a wallet asks, and its trouble is none of the wallet's.
    let calls = world.btcpay.server.calls("GET");
    pending().await;
    assert_eq!(world.btcpay.server.calls("GET"), calls);
    world.vendor.clock.advance(30);
    world.btcpay.server.fail("invoices", Failing::Status(500), 1);
    pending().await;
    assert_eq!(world.complaints().await.len(), 1);

    world.vendor.clock.advance(30);
    assert_eq!(world.ask_order(1, &order).await.problem(), ProblemType::OrderUnknown);
    let grant = granted(world.ask_order(0, &order).await);
    assert_eq!((grant.product.as_str(), grant.credits.0), ("starter", 12));
    world.mint(0).await.success(media::ISSUANCE_ANSWER);

    // The webhook comes after all.
    let told = delivery("d1", None, "InvoiceSettled", &invoice);
    world.webhook("btcpay", told).await.success(media::JSON);
    world.vendor.clock.advance(30);
    assert!(granted(world.ask_order(0, &order).await).minted);
    assert_eq!((world.issued().await, world.complaints().await.len()), (12, 0));
}

#[tokio::test]
async fn an_order_that_was_paid_for_nothing_is_complained_of_once() {
    // Coins of a test network, and a vendor without test keys.
    let world = World::with(|config| {
        config.sources.btcpay.as_mut().unwrap().test = true;
    })
    .await;
    let order = world.order(0).await.order;
    let invoice = world.btcpay.invoices_of(&order).pop().unwrap();
    world.btcpay.set(&invoice, "status", json!("Settled"));
    for complaints in [1, 0] {
        let pending = world.ask_order(0, &order).await;
        assert_eq!(pending.problem(), ProblemType::PurchasePending);
        assert_eq!(world.complaints().await.len(), complaints);
        world.vendor.issuer.store().source_works("btcpay").await.unwrap();
        world.vendor.clock.advance(30);
    }
}

#[tokio::test]
async fn an_order_can_be_made_while_btcpay_is_down() {
    let world = World::new().await;
    world.btcpay.server.fail("invoices", Failing::Status(500), 1);
    let order = world.order(0).await;
    assert_eq!(order.pay.iter().map(|pay| pay.source.as_str()).collect::<Vec<_>>(), ["stripe"]);
    assert_eq!(world.order(0).await.pay.len(), 2, "the same request asks again");
}

#[tokio::test]
async fn test_purchases_are_granted_where_there_are_test_keys() {
    let world = World::with(|config| config.epoch.test_keys = true).await;
    let order = world.order(0).await.order;
    world.google.buy(TOKEN, "play_starter", Some(&order));
    world.google.change(TOKEN, |purchase| purchase.test = true);
    assert!(granted(world.ask_google(0).await).test);
    let order = world.order(1).await.order;
    let mut test = event("evt_1", "checkout.session.completed", &paid_session(&order, "pi_1"));
    test["livemode"] = json!(false);
    let signed = signed_event(&test, SECRET, world.now());
    world.webhook("stripe", signed).await.success(media::JSON);
    assert!(granted(world.ask_order(1, &order).await).test);
    for index in [0, 1] {
        let real_keys = world.mint(index).await;
        assert_ne!(real_keys.status, 200, "keys that are worth money sign nothing of it");
    }
    let order = world.order(2).await.order;
    world.pay("evt_2", &order, "pi_2").await;
    assert!(!granted(world.ask_order(2, &order).await).test);
    world.mint(2).await.success(media::ISSUANCE_ANSWER);
}

/// A place that never answers.
struct Hanging;

impl Source for Hanging {
    fn name(&self) -> &'static str {
        "hanging"
    }

    fn verify<'a>(&'a self, _: &'a Asked<'a>) -> BoxFuture<'a, Result<Verified, SourceError>> {
        Box::pin(std::future::pending())
    }

    fn poll(&self, _: UnixSeconds) -> BoxFuture<'_, Result<Vec<Notification>, SourceError>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn keys_are_followed_while_a_source_hangs() {
    let directory = TempDir::new().unwrap();
    let setup = Setup::sqlite(directory.path()).unwrap();
    let other = setup.init().await.unwrap().issuer;
    let issuer = Issuer::open_with(
        setup.config.clone(),
        Passphrase::new(PASSPHRASE.into()),
        Arc::new(setup.clock.clone()),
        setup.steps.clone(),
        rng_factory(),
        |sources, _| sources.add(Hanging),
    );
    let issuer = issuer.await.unwrap();
    let bound = issuer.bind().await.unwrap();
    let server = issuer.clone();
    let serving = tokio::spawn(async move { server.serve(bound, std::future::pending()).await });
    tokio::time::sleep(Duration::from_millis(100)).await; // the first look after the sources has begun
    assert!(other.change_epochs(Change::Rotate).await.unwrap());
    let followed = async {
        while issuer.manifest().version() < 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), followed).await.expect("the new keys");
    serving.abort();
}

/// "Granted, died before Google was told": whoever starts next tells it.
#[tokio::test]
async fn a_restart_tells_google_what_was_delivered() {
    let world = World::new().await;
    let order = world.order(0).await.order;
    world.google.buy(TOKEN, "play_starter", Some(&order));
    world.google.server.fail(":consume", Failing::Status(503), 1);
    granted(world.ask_google(0).await);
    let World { setup, google, vendor, .. } = world;
    drop(vendor);
    let restarted = setup.open().await.unwrap();
    assert!(!google.purchase(TOKEN).unwrap().consumed);
    restarted.issuer.tend_sources().await.unwrap();
    assert!(google.purchase(TOKEN).unwrap().consumed);
}
