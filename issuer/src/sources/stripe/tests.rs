//! Stripe's events, signed as Stripe signs them.

use std::collections::BTreeMap;

use http::HeaderValue;
use serde_json::{Value, json};

use super::{signature::TOLERANCE, *};
use crate::{
    store::StoreError,
    testing::stripe::{event, paid_session, signature, signed_event, stripe_headers},
};

const NOW: UnixSeconds = UnixSeconds(1_767_225_600);
const OLD: &str = "whsec_old";
const SECRET: &str = "whsec_new";
const ORDER: OrderId = OrderId::from_random([7; 16]);

/// Orders of a test.
struct Ordered(BTreeMap<OrderId, &'static str>);

impl Orders for Ordered {
    fn product<'a>(
        &'a self,
        order: &'a OrderId,
    ) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        let product = self.0.get(order).map(ToString::to_string);
        Box::pin(async { Ok(product) })
    }
}

fn config() -> StripeConfig {
    let price = |amount, payment_link| StripePrice { amount, currency: "EUR".into(), payment_link };
    let link = Some("https://buy.stripe.com/test".to_owned());
    StripeConfig {
        webhook_secrets: vec![Secret::new(OLD), Secret::new(SECRET)],
        webhook_secrets_file: None,
        products: BTreeMap::from([
            ("starter".into(), price(499, link)),
            ("large".into(), price(999, None)),
        ]),
    }
}

fn source() -> StripeSource {
    let orders = BTreeMap::from([(ORDER, "starter"), (OrderId::from_random([8; 16]), "gone")]);
    StripeSource::new(config(), Arc::new(Ordered(orders))).unwrap()
}

/// What the source makes of an event that is rightly signed.
async fn told(event: &Value) -> Notification {
    let (headers, body) = signed_event(event, SECRET, NOW);
    source().notification(&headers, &body, NOW).await.unwrap()
}

async fn paid(change: impl FnOnce(&mut Value)) -> Option<Event> {
    let mut session = paid_session(&ORDER, "pi_1");
    change(&mut session);
    told(&event("evt_1", "checkout.session.completed", &session)).await.events.pop()
}

#[track_caller]
fn short(event: Option<&Event>) -> String {
    match event {
        None => "nothing".into(),
        Some(Event::Paid { .. }) => "paid".into(),
        Some(Event::Complaint(_)) => "complaint".into(),
        Some(Event::Refunded { transaction }) => format!("refunded {transaction}"),
        Some(Event::RefundReversed { transaction }) => format!("reversed {transaction}"),
    }
}

#[tokio::test]
async fn a_paid_session_pays_for_its_order() {
    for kind in ["checkout.session.completed", "checkout.session.async_payment_succeeded"] {
        let mut session = paid_session(&ORDER, "pi_1");
        session["customer"] = json!("cus_1");
        let notification = told(&event("evt_1", kind, &session)).await;
        assert_eq!(notification.id, "evt_1");
        let [Event::Paid { order, purchase }] = notification.events.as_slice() else {
            panic!("{notification:?}");
        };
        assert_eq!((*order, purchase.transaction.to_string()), (ORDER, "pi_1".to_owned()));
        assert_eq!(
            (purchase.product.as_str(), purchase.quantity, purchase.test),
            ("starter", 1, false)
        );
        assert_eq!(purchase.account, Some(AccountId::of("stripe", "cus_1")));
    }
    let mut test = event("evt_2", "checkout.session.completed", &paid_session(&ORDER, "pi_1"));
    test["livemode"] = json!(false);
    let events = told(&test).await.events;
    assert!(matches!(events.as_slice(), [Event::Paid { purchase, .. }] if purchase.test));
}

#[tokio::test]
async fn what_is_not_the_price_of_the_order_pays_nothing() {
    assert_eq!(short(paid(|_| ()).await.as_ref()), "paid");
    let other = OrderId::from_random([9; 16]).to_string();
    let no_longer_sold = OrderId::from_random([8; 16]).to_string();
    for status in ["unpaid", "no_payment_required"] {
        let event = paid(|session| session["payment_status"] = json!(status)).await;
        assert_eq!(short(event.as_ref()), "nothing", "{status}");
    }
    for odd in [json!(-499), json!("499")] {
        let event = paid(|session| session["amount_total"] = odd.clone()).await;
        assert_eq!(short(event.as_ref()), "nothing", "{odd}: not of the form that is known");
    }
    for (field, value) in [
        ("amount_total", json!(498)),
        ("amount_total", json!(999)),
        ("amount_total", json!(0)),
        ("amount_total", json!(null)),
        ("currency", json!("usd")),
        ("currency", json!(null)),
        ("client_reference_id", json!(null)),
        ("client_reference_id", json!("user-7")),
        ("client_reference_id", json!(other)),
        ("client_reference_id", json!(no_longer_sold)),
        ("payment_intent", json!(null)),
    ] {
        let event = paid(|session| session[field] = value.clone()).await;
        assert_eq!(short(event.as_ref()), "complaint", "{field} = {value}");
    }
    let expired =
        told(&event("evt_1", "checkout.session.expired", &paid_session(&ORDER, "pi_1"))).await;
    let failed = "checkout.session.async_payment_failed";
    let failed = told(&event("evt_1", failed, &paid_session(&ORDER, "pi_1"))).await;
    assert!(expired.events.is_empty() && failed.events.is_empty());
}

#[tokio::test]
async fn refunds_and_disputes_are_told() {
    for (kind, object, expected) in [
        ("charge.refunded", json!({ "refunded": true, "status": "succeeded" }), "refunded pi_1"),
        ("charge.refunded", json!({ "refunded": false, "amount_refunded": 1 }), "nothing"),
        ("refund.created", json!({ "status": "pending" }), "nothing"),
        ("refund.failed", json!({ "status": "failed" }), "reversed pi_1"),
        ("charge.dispute.created", json!({ "status": "needs_response" }), "refunded pi_1"),
        ("charge.dispute.created", json!({ "status": "warning_needs_response" }), "nothing"),
        ("charge.dispute.funds_withdrawn", json!({ "status": "needs_response" }), "refunded pi_1"),
        ("charge.dispute.updated", json!({ "status": "under_review" }), "nothing"),
        ("charge.dispute.closed", json!({ "status": "lost" }), "nothing"),
        ("charge.dispute.closed", json!({ "status": "warning_closed" }), "nothing"),
        ("charge.dispute.closed", json!({ "status": "won" }), "reversed pi_1"),
        ("charge.dispute.funds_reinstated", json!({ "status": "won" }), "reversed pi_1"),
        ("charge.succeeded", json!({ "status": "succeeded" }), "nothing"),
        ("customer.created", json!({}), "nothing"),
    ] {
        let mut object = object;
        object["payment_intent"] = json!("pi_1");
        let told_of = told(&event("evt_1", kind, &object)).await;
        assert_eq!(short(told_of.events.first()), expected, "{kind} {object}");
        object["payment_intent"] = json!(null);
        assert!(
            told(&event("evt_1", kind, &object)).await.events.is_empty(),
            "{kind}: none of ours"
        );
    }
}

#[tokio::test]
async fn only_what_stripe_signed_just_now_is_taken() {
    let event = event("evt_1", "checkout.session.completed", &paid_session(&ORDER, "pi_1"));
    let (good, body) = signed_event(&event, SECRET, NOW);
    let taken = async |headers: &HeaderMap, body: &[u8], now: UnixSeconds| match source()
        .notification(headers, body, now)
        .await
    {
        Ok(_) => true,
        Err(SourceError::NotificationUnverified(_)) => false,
        Err(other) => panic!("{other}"),
    };
    assert!(taken(&good, &body, NOW).await);
    let (rotated, _) = signed_event(&event, OLD, NOW);
    assert!(taken(&rotated, &body, NOW).await, "either secret while they are changed");
    for (now, expected) in [
        (NOW.plus(TOLERANCE), true),
        (NOW.plus(TOLERANCE + 1), false),
        (NOW.minus(TOLERANCE), true),
        (NOW.minus(TOLERANCE + 1), false),
    ] {
        assert_eq!(taken(&good, &body, now).await, expected, "{now}");
    }
    let v1 = signature(&body, SECRET, NOW);
    let wrong = signature(&body, "whsec_other", NOW);
    let upper = v1.to_uppercase();
    let t = NOW.0;
    for (header, expected) in [
        (format!("t={t},v1={wrong},v1={v1},v0={wrong}"), true),
        (format!("t={t}, v1={v1}"), true),
        (format!("v1={v1},t={t}"), true),
        (format!("t={t},v1={upper}"), true),
        (format!("t={t},v1={wrong}"), false),
        (format!("t={t},v0={v1}"), false),
        (format!("t={t},v1="), false),
        (format!("t={t},v1={}", &v1[..62]), false),
        (format!("t={t},v1={v1}00"), false),
        (format!("t={t}"), false),
        (format!("v1={v1}"), false),
        (format!("t={},v1={v1}", t + 1), false),
        (format!("t=,v1={v1}"), false),
        (format!("t=now,v1={v1}"), false),
        (String::new(), false),
        (format!("t={t}{}", format!(",v1={wrong}").repeat(8) + ",v1=" + &v1), false),
    ] {
        assert_eq!(taken(&stripe_headers(&header), &body, NOW).await, expected, "{header}");
    }
    assert!(!taken(&HeaderMap::new(), &body, NOW).await);
    let mut twice = good.clone();
    twice.append("stripe-signature", HeaderValue::from_static("t=1,v1=00"));
    assert!(!taken(&twice, &body, NOW).await);
    let mut changed = body.clone();
    let at = changed.windows(3).position(|three| three == b"499").unwrap();
    changed[at] = b'0';
    assert!(!taken(&good, &changed, NOW).await);
    assert!(!taken(&good, &[&body[..], b" "].concat(), NOW).await);
    let junk = b"no JSON".to_vec();
    let signed = stripe_headers(&format!("t={t},v1={}", signature(&junk, SECRET, NOW)));
    assert!(!taken(&signed, &junk, NOW).await);
}

#[tokio::test]
async fn an_order_is_paid_at_the_payment_link() {
    let source = source();
    let link = source.checkout(&ORDER, "starter").await.unwrap();
    let expected = format!("https://buy.stripe.com/test?client_reference_id={ORDER}");
    assert_eq!(link.as_deref(), Some(expected.as_str()));
    assert_eq!(source.checkout(&ORDER, "large").await.unwrap(), None);
    assert_eq!(source.checkout(&ORDER, "huge").await.unwrap(), None);
}

#[test]
fn a_configuration_that_cannot_be_meant_is_refused() {
    let orders = || Arc::new(Ordered(BTreeMap::new()));
    let refused = |change: fn(&mut StripeConfig)| {
        let mut config = config();
        change(&mut config);
        StripeSource::new(config, orders()).err().unwrap().to_string()
    };
    assert!(refused(|config| config.webhook_secrets.clear()).contains("webhook_secrets"));
    assert!(refused(|config| config.webhook_secrets.push(Secret::new(""))).contains("empty"));
    assert!(
        refused(|config| config.products.get_mut("large").unwrap().amount = 0).contains("large")
    );
    let link = refused(|config| {
        config.products.get_mut("starter").unwrap().payment_link = Some("buy.stripe.com/x".into());
    });
    assert!(link.contains("payment_link"), "{link}");
    assert!(!format!("{:?}", config()).contains(SECRET));
}
