//! Stripe's events, as far as they are read. Fields that are not ours are skipped: Stripe adds some with every version.

use serde::Deserialize;

/// What a webhook's body holds.
#[derive(Deserialize)]
pub(super) struct StripeEvent {
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) livemode: bool,
    pub(super) data: Data,
}

#[derive(Deserialize)]
pub(super) struct Data {
    pub(super) object: serde_json::Value,
}

/// A Checkout session.
#[derive(Deserialize)]
pub(super) struct Session {
    pub(super) payment_status: String,
    pub(super) client_reference_id: Option<String>,
    pub(super) payment_intent: Option<String>,
    /// In the currency's smallest unit.
    pub(super) amount_total: Option<u64>,
    pub(super) currency: Option<String>,
    pub(super) customer: Option<String>,
}

/// A charge, a refund or a dispute.
#[derive(Deserialize)]
pub(super) struct Movement {
    pub(super) payment_intent: Option<String>,
    #[serde(default)]
    pub(super) status: String,
    /// Of a charge: whether all of it was.
    #[serde(default)]
    pub(super) refunded: bool,
}
