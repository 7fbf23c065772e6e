//! BTCPay Server's source against a server on loopback.

use std::{collections::BTreeMap, time::Duration as StdDuration};

use serde_json::json;

use super::*;
use crate::{
    store::StoreError,
    testing::{
        Failing,
        btcpay::{FakeBtcpay, STORE, btcpay_headers, delivery},
    },
};

const NOW: UnixSeconds = UnixSeconds(1_767_225_600);
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

fn orders() -> Arc<Ordered> {
    Arc::new(Ordered(BTreeMap::from([(ORDER, "starter"), (OrderId::from_random([8; 16]), "gone")])))
}

struct World {
    server: FakeBtcpay,
    source: BtcpaySource,
}

impl World {
    /// With a settled invoice for the order.
    async fn new() -> Self {
        let server = FakeBtcpay::start().await.unwrap();
        let source = BtcpaySource::new(server.config(["starter"]), orders()).unwrap();
        server.invoice("i1", &ORDER, "Settled");
        Self { server, source }
    }

    async fn deliver(&self, kind: &str, invoice: &str) -> Result<Notification, SourceError> {
        let (headers, body) = delivery("d1", None, kind, invoice);
        self.source.notification(&headers, &body, NOW).await
    }
}

#[tokio::test]
async fn a_settled_invoice_pays_for_its_order() {
    let world = World::new().await;
    let notification = world.deliver("InvoiceSettled", "i1").await.unwrap();
    let [Event::Paid { order, purchase }] = notification.events.as_slice() else {
        panic!("{notification:?}");
    };
    assert_eq!((*order, purchase.transaction.to_string()), (ORDER, "i1".to_owned()));
    assert_eq!(
        (purchase.product.as_str(), purchase.quantity, purchase.test),
        ("starter", 1, false)
    );
    for amount in ["4.990", "4.99000000", "04.99"] {
        world.server.set("i1", "amount", json!(amount));
        world.server.set("i1", "currency", json!("eur"));
        assert_eq!(
            world.deliver("InvoiceSettled", "i1").await.unwrap().events.len(),
            1,
            "{amount}"
        );
    }
    let config = BtcpayConfig { test: true, ..world.server.config(["starter"]) };
    let source = BtcpaySource::new(config, orders()).unwrap();
    let (headers, body) = delivery("d1", None, "InvoiceSettled", "i1");
    let events = source.notification(&headers, &body, NOW).await.unwrap().events;
    assert!(matches!(events.as_slice(), [Event::Paid { purchase, .. }] if purchase.test));
}

#[tokio::test]
async fn only_a_settled_invoice_grants() {
    let world = World::new().await;
    for kind in [
        "InvoiceCreated",
        "InvoiceReceivedPayment",
        "InvoicePaymentSettled",
        "InvoiceProcessing",
        "InvoiceExpired",
        "InvoiceInvalid",
    ] {
        assert!(world.deliver(kind, "i1").await.unwrap().events.is_empty(), "{kind}");
    }
    assert_eq!(world.server.server.calls("GET"), 0);
    for status in ["New", "Processing", "Expired", "Invalid"] {
        world.server.set("i1", "status", json!(status));
        assert!(world.deliver("InvoiceSettled", "i1").await.unwrap().events.is_empty(), "{status}");
    }
}

#[tokio::test]
async fn what_is_not_the_price_of_the_order_pays_nothing() {
    let order = |n: u8| json!({ "orderId": OrderId::from_random([n; 16]).to_string() });
    for (field, value, complaint) in [
        ("amount", json!("4.98"), true),
        ("amount", json!("499"), true),
        ("amount", json!("0"), true),
        ("currency", json!("USD"), true),
        ("currency", json!("BTC"), true),
        ("metadata", order(9), true),
        ("metadata", order(8), true),
        ("metadata", json!({ "orderId": "shirt-17" }), false),
        ("metadata", json!({ "orderId": null }), false),
        ("metadata", json!({}), false),
    ] {
        let world = World::new().await;
        world.server.set("i1", field, value.clone());
        let notification = world.deliver("InvoiceSettled", "i1").await.unwrap();
        match notification.events.as_slice() {
            [] => assert!(!complaint, "{field} = {value}"),
            [Event::Complaint(text)] => assert!(complaint && text.contains("i1"), "{text}"),
            other => panic!("{field} = {value}: {other:?}"),
        }
    }
    let world = World::new().await;
    for unknown in ["i2", "", "..", "i1/../../x", "i1?x"] {
        assert!(
            world.deliver("InvoiceSettled", unknown).await.unwrap().events.is_empty(),
            "{unknown}"
        );
    }
    assert_eq!(world.server.server.calls("GET"), 1, "odd ids are not asked for");
}

#[tokio::test]
async fn trouble_at_the_server_lets_the_webhook_come_again() {
    let world = World::new().await;
    for failing in [
        Failing::Status(500),
        Failing::Status(401),
        Failing::Status(403),
        Failing::Garbage,
        Failing::Late(StdDuration::from_secs(3)),
    ] {
        world.server.server.fail("invoices", failing, 1);
        let result = world.deliver("InvoiceSettled", "i1").await;
        assert!(matches!(result, Err(SourceError::Unavailable(_))), "{failing:?}: {result:?}");
        assert_eq!(world.deliver("InvoiceSettled", "i1").await.unwrap().events.len(), 1);
    }
    for (field, value) in
        [("id", json!("i2")), ("storeId", json!("other")), ("amount", json!(4.99))]
    {
        let world = World::new().await;
        world.server.set("i1", field, value);
        let result = world.deliver("InvoiceSettled", "i1").await;
        assert!(matches!(result, Err(SourceError::Unavailable(_))), "{field}: {result:?}");
    }
    let World { source, server } = world;
    drop(server);
    let (headers, body) = delivery("d1", None, "InvoiceSettled", "i1");
    let result = source.notification(&headers, &body, NOW).await;
    assert!(matches!(result, Err(SourceError::Unavailable(_))), "{result:?}");
}

#[tokio::test]
async fn what_is_delivered_again_has_the_id_of_the_first() {
    let world = World::new().await;
    let (headers, body) = delivery("d2", Some("d1"), "InvoiceSettled", "i1");
    let again = world.source.notification(&headers, &body, NOW).await.unwrap();
    assert_eq!(again.id, world.deliver("InvoiceSettled", "i1").await.unwrap().id);
}

#[tokio::test]
async fn only_what_the_server_signed_is_taken() {
    let world = World::new().await;
    let (good, body) = delivery("d1", None, "InvoiceSettled", "i1");
    let tag = good["btcpay-sig"].to_str().unwrap().to_owned();
    let (other, other_body) = delivery("d1", None, "InvoiceSettled", "i2");
    let [cut, long] = [tag[..69].to_owned(), format!("{tag}00")];
    let hex = tag.replacen("sha256=", "", 1);
    for headers in [
        HeaderMap::new(),
        other.clone(),
        btcpay_headers(&cut),
        btcpay_headers(&long),
        btcpay_headers(&hex),
        btcpay_headers(&format!("sha1={hex}")),
        btcpay_headers("sha256="),
        btcpay_headers("sha256=zz"),
    ] {
        let result = world.source.notification(&headers, &body, NOW).await;
        assert!(matches!(result, Err(SourceError::NotificationUnverified(_))), "{headers:?}");
    }
    let changed = world.source.notification(&good, &other_body, NOW).await;
    assert!(matches!(changed, Err(SourceError::NotificationUnverified(_))));
    assert_eq!(world.server.server.calls("GET"), 0);
    let upper = btcpay_headers(&format!("sha256={}", hex.to_uppercase()));
    world.source.notification(&upper, &body, NOW).await.unwrap();
    let config = BtcpayConfig {
        webhook_secrets: vec![Secret::new("other")],
        ..world.server.config(["starter"])
    };
    let source = BtcpaySource::new(config, orders()).unwrap();
    let result = source.notification(&good, &body, NOW).await;
    assert!(matches!(result, Err(SourceError::NotificationUnverified(_))));
}

#[tokio::test]
async fn a_delivery_of_another_store_is_none_of_ours() {
    let server = FakeBtcpay::start().await.unwrap();
    let config = BtcpayConfig { store: format!("{STORE}x"), ..server.config(["starter"]) };
    let source = BtcpaySource::new(config, orders()).unwrap();
    let (headers, body) = delivery("d1", None, "InvoiceSettled", "i1");
    assert!(source.notification(&headers, &body, NOW).await.unwrap().events.is_empty());
    assert_eq!(server.server.calls("GET"), 0);
}

#[tokio::test]
async fn an_order_gets_one_invoice() {
    let world = World::new().await;
    let order = OrderId::from_random([9; 16]);
    let page = world.source.checkout(&order, "starter").await.unwrap().unwrap();
    let ids = world.server.invoices_of(&order);
    assert_eq!((ids.len(), page), (1, format!("https://pay.test/i/{}", ids[0])));
    world.source.checkout(&order, "starter").await.unwrap();
    assert_eq!(world.server.invoices_of(&order), ids, "it is not made again");
    world.server.set(&ids[0], "status", json!("Expired"));
    world.source.checkout(&order, "starter").await.unwrap();
    assert_eq!(world.server.invoices_of(&order).len(), 2, "an expired one is made anew");
    assert_eq!(world.source.checkout(&order, "huge").await.unwrap(), None);
    world.server.server.fail("invoices", Failing::Status(500), 1);
    let result = world.source.checkout(&order, "starter").await;
    assert!(matches!(result, Err(SourceError::Unavailable(_))));
    let config = BtcpayConfig { invoices: false, ..world.server.config(["starter"]) };
    let source = BtcpaySource::new(config, orders()).unwrap();
    assert_eq!(source.checkout(&order, "starter").await.unwrap(), None);
}

#[tokio::test]
async fn an_order_that_is_being_paid_gets_no_second_invoice() {
    let world = World::new().await;
    let order = OrderId::from_random([9; 16]);
    world.source.checkout(&order, "starter").await.unwrap();
    let ids = world.server.invoices_of(&order);
    for status in ["Processing", "Settled"] {
        world.server.set(&ids[0], "status", json!(status));
        assert_eq!(world.source.checkout(&order, "starter").await.unwrap(), None, "{status}");
        assert_eq!(world.server.invoices_of(&order), ids, "{status}");
    }
    // Nor the page of another one that waits.
    world.server.invoice("waits", &order, "New");
    assert_eq!(world.source.checkout(&order, "starter").await.unwrap(), None);
}

#[tokio::test]
async fn an_order_is_looked_up_and_found_paid() {
    let world = World::new().await;
    let told = world.deliver("InvoiceSettled", "i1").await.unwrap();
    let found = world.source.recheck(&ORDER).await.unwrap().unwrap();
    assert_eq!(found.id, "settled:i1");
    assert_eq!(format!("{:?}", found.events), format!("{:?}", told.events));
    let other = OrderId::from_random([8; 16]);
    assert!(world.source.recheck(&other).await.unwrap().is_none());
    // One that pays for nothing hides none that does.
    world.server.invoice("i0", &ORDER, "Settled");
    world.server.set("i0", "amount", json!("4.98"));
    assert_eq!(world.source.recheck(&ORDER).await.unwrap().unwrap().id, "settled:i1");
    for (field, value) in [
        ("status", json!("New")),
        ("status", json!("Processing")),
        ("status", json!("Expired")),
        ("status", json!("Invalid")),
        ("amount", json!("4.98")),
        ("currency", json!("USD")),
        ("metadata", json!({})),
    ] {
        let world = World::new().await;
        world.server.set("i1", field, value.clone());
        assert!(world.source.recheck(&ORDER).await.unwrap().is_none(), "{field} = {value}");
    }
    world.server.server.fail("invoices", Failing::Status(500), 1);
    let result = world.source.recheck(&ORDER).await;
    assert!(matches!(result, Err(SourceError::Unavailable(_))), "{result:?}");
}

#[tokio::test]
async fn a_configuration_that_cannot_be_meant_is_refused() {
    let server = FakeBtcpay::start().await.unwrap();
    let refused = |change: fn(&mut BtcpayConfig)| {
        let mut config = server.config(["starter"]);
        change(&mut config);
        BtcpaySource::new(config, orders()).err().unwrap().to_string()
    };
    assert!(refused(|config| config.server = "http://pay.test".into()).contains("https"));
    assert!(refused(|config| config.store = "a/b".into()).contains("store"));
    assert!(refused(|config| config.api_key = None).contains("api_key"));
    assert!(refused(|config| config.webhook_secrets.clear()).contains("webhook_secrets"));
    let free = refused(|config| {
        config.products.get_mut("starter").unwrap().amount = "0.00".parse().unwrap();
    });
    assert!(free.contains("starter"), "{free}");
    let shown = format!("{:?}", server.config(["starter"]));
    assert!(!shown.contains("secret\"") && !shown.contains("btcpay-api-key"), "{shown}");
}
