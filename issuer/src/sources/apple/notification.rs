//! What the App Store tells by itself: App Store Server Notifications, version 2.

use serde::Deserialize;

use super::transaction::Environment;

/// Bytes of a notification. They have some 25,000 today: a JWS with two more in it.
pub(super) const MAX_NOTIFICATION: usize = 65_536;

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body {
    /// A JWS of a [`Payload`].
    pub(super) signed_payload: String,
}

/// What is signed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Payload {
    /// What happened.
    pub(super) notification_type: Type,
    /// The same in each try to deliver it.
    #[serde(rename = "notificationUUID")]
    pub(super) uuid: String,
    /// To which purchase. Notifications of other kinds have a `summary`, or a token of a purchase elsewhere.
    pub(super) data: Option<Data>,
}

/// What happened.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Type {
    /// The customer got the money back.
    Refund,
    /// The customer's right was taken away.
    Revoke,
    /// The refund was taken back, on a dispute.
    RefundReversed,
    /// The customer asks for a refund, and Apple how much of the purchase was used up.
    ConsumptionRequest,
    /// Nothing that matters here.
    #[serde(other)]
    Other,
}

/// About which purchase.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Data {
    /// The app.
    pub(super) bundle_id: String,
    /// Where it was bought.
    pub(super) environment: Environment,
    /// A JWS of the transaction.
    pub(super) signed_transaction_info: Option<String>,
}
