//! Stripe, as far as its source knows it: signed webhooks.

use http::{HeaderMap, HeaderName, HeaderValue};
use scrip_protocol::{purchase::OrderId, time::UnixSeconds};
use serde_json::{Value, json};

use crate::sources::secret;

/// An event with its signature at `now`: headers and body.
pub fn signed_event(event: &Value, secret: &str, now: UnixSeconds) -> (HeaderMap, Vec<u8>) {
    let body = event.to_string().into_bytes();
    let signature = signature(&body, secret, now);
    (stripe_headers(&format!("t={},v1={signature}", now.0)), body)
}

/// The signature of `body` at `now`, in hexadecimal digits.
pub fn signature(body: &[u8], secret: &str, now: UnixSeconds) -> String {
    secret::sign(secret, &[format!("{}.", now.0).as_bytes(), body].concat())
}

/// The headers of a webhook with this `Stripe-Signature`.
pub fn stripe_headers(value: &str) -> HeaderMap {
    let value = HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static(""));
    HeaderMap::from_iter([(HeaderName::from_static("stripe-signature"), value)])
}

/// An event about `object`, of live mode.
pub fn event(id: &str, kind: &str, object: &Value) -> Value {
    json!({
        "id": id, "object": "event", "api_version": "2025-09-30.clover", "type": kind,
        "livemode": true, "data": { "object": object },
    })
}

/// A Checkout session that is paid: 499 cents for `order`, by the payment intent `intent`.
pub fn paid_session(order: &OrderId, intent: &str) -> Value {
    json!({
        "id": "cs_1", "object": "checkout.session", "payment_status": "paid", "status": "complete",
        "client_reference_id": order.to_string(), "payment_intent": intent,
        "amount_total": 499, "currency": "eur", "customer": null, "mode": "payment",
    })
}
