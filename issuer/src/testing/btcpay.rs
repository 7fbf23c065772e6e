//! BTCPay Server, as far as its source knows it: invoices, and signed webhooks.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, RawQuery, State},
    response::Response,
    routing::get,
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use scrip_protocol::purchase::OrderId;
use scrip_runtime::config::HumanDuration;
use serde_json::{Value, json};

use super::fake::{FakeServer, answer, locked, parameter};
use crate::sources::{
    btcpay::{BtcpayConfig, BtcpayPrice},
    secret::{self, Secret},
};

/// The store.
pub const STORE: &str = "Hf9GvFK2dHJehm9J8A6k";
/// The API key that the server takes.
pub const KEY: &str = "btcpay-api-key";
/// What it signs its webhooks with.
pub const WEBHOOK: &str = "btcpay-webhook-secret";

type Invoices = Arc<Mutex<BTreeMap<String, Value>>>;

/// BTCPay Server, on loopback.
pub struct FakeBtcpay {
    /// The server, to be made to fail.
    pub server: FakeServer,
    invoices: Invoices,
}

impl FakeBtcpay {
    /// Starts with no invoice.
    ///
    /// # Errors
    /// Where there is no port.
    pub async fn start() -> io::Result<Self> {
        let invoices = Invoices::default();
        let router = Router::new()
            .route("/api/v1/stores/{store}/invoices", get(list).post(create))
            .route("/api/v1/stores/{store}/invoices/{id}", get(show))
            .with_state(invoices.clone());
        Ok(Self { server: FakeServer::start(router).await?, invoices })
    }

    /// A configuration for it that sells these products for 4.99 EUR.
    pub fn config<'a>(&self, products: impl IntoIterator<Item = &'a str>) -> BtcpayConfig {
        let price = |product: &str| {
            let amount = "4.99".parse().ok()?;
            Some((product.to_owned(), BtcpayPrice { amount, currency: "EUR".into() }))
        };
        BtcpayConfig {
            server: self.server.url(),
            store: STORE.into(),
            api_key: Some(Secret::new(KEY)),
            api_key_file: None,
            webhook_secrets: vec![Secret::new(WEBHOOK)],
            webhook_secrets_file: None,
            products: products.into_iter().filter_map(price).collect(),
            invoices: true,
            test: false,
            timeout: HumanDuration(1),
        }
    }

    /// Makes an invoice over 4.99 EUR for `order`.
    pub fn invoice(&self, id: &str, order: &OrderId, status: &str) {
        let invoice = invoice(id, &json!("4.99"), &json!("EUR"), &json!(order.to_string()), status);
        locked(&self.invoices).insert(id.into(), invoice);
    }

    /// Sets a field of an invoice.
    pub fn set(&self, id: &str, field: &str, value: Value) {
        if let Some(invoice) = locked(&self.invoices).get_mut(id) {
            invoice[field] = value;
        }
    }

    /// The invoices for `order`, by id.
    pub fn invoices_of(&self, order: &OrderId) -> Vec<String> {
        let order = json!(order.to_string());
        let invoices = locked(&self.invoices);
        let found = invoices.iter().filter(|(_, invoice)| invoice["metadata"]["orderId"] == order);
        found.map(|(id, _)| id.clone()).collect()
    }
}

/// A delivery of a webhook about an invoice: headers and body.
pub fn delivery(
    id: &str,
    original: Option<&str>,
    kind: &str,
    invoice: &str,
) -> (HeaderMap, Vec<u8>) {
    let body = json!({
        "deliveryId": id, "webhookId": "w", "originalDeliveryId": original.unwrap_or(id),
        "isRedelivery": original.is_some(), "type": kind, "timestamp": 1_767_225_600,
        "storeId": STORE, "invoiceId": invoice, "manuallyMarked": false,
    });
    let body = body.to_string().into_bytes();
    (btcpay_headers(&format!("sha256={}", secret::sign(WEBHOOK, &body))), body)
}

/// The headers of a webhook with this `BTCPay-Sig`.
pub fn btcpay_headers(value: &str) -> HeaderMap {
    let value = HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static(""));
    HeaderMap::from_iter([(HeaderName::from_static("btcpay-sig"), value)])
}

fn invoice(id: &str, amount: &Value, currency: &Value, order: &Value, status: &str) -> Value {
    json!({
        "id": id, "storeId": STORE, "amount": amount, "currency": currency, "type": "Standard",
        "status": status, "additionalStatus": "None", "metadata": { "orderId": order },
        "checkoutLink": format!("https://pay.test/i/{id}"),
    })
}

fn refused(store: &str, headers: &HeaderMap) -> Option<Response> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let admitted = store == STORE && given == Some(&format!("token {KEY}"));
    (!admitted).then(|| answer(401, "{}"))
}

async fn show(
    State(invoices): State<Invoices>,
    Path((store, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    refused(&store, &headers).unwrap_or_else(|| match locked(&invoices).get(&id) {
        Some(invoice) => answer(200, invoice.to_string()),
        None => answer(404, "{}"),
    })
}

async fn list(
    State(invoices): State<Invoices>,
    Path(store): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if let Some(refused) = refused(&store, &headers) {
        return refused;
    }
    let query = query.unwrap_or_default();
    let order = parameter(&query, "orderId");
    let invoices = locked(&invoices);
    let found: Vec<&Value> = invoices
        .values()
        .filter(|invoice| invoice["metadata"]["orderId"].as_str() == order)
        .collect();
    answer(200, json!(found).to_string())
}

async fn create(
    State(invoices): State<Invoices>,
    Path(store): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refused) = refused(&store, &headers) {
        return refused;
    }
    let Ok(asked) = serde_json::from_slice::<Value>(&body) else { return answer(400, "{}") };
    let mut invoices = locked(&invoices);
    let id = format!("invoice{}", invoices.len());
    let order = &asked["metadata"]["orderId"];
    let made = invoice(&id, &asked["amount"], &asked["currency"], order, "New");
    invoices.insert(id, made.clone());
    answer(200, made.to_string())
}
