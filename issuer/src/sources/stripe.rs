//! Stripe: orders that are paid in Checkout, most simply with a payment link.
//!
//! Stripe tells of payments, refunds and disputes by webhook, and its signature over the raw body is all the proof there
//! is. The Checkout session names our order as `client_reference_id`, which the buyer can change: so the order must exist,
//! and what was paid must be the price of what was ordered. The payment intent is the key.

mod event;
mod signature;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use futures_util::future::BoxFuture;
use http::HeaderMap;
use scrip_protocol::{purchase::OrderId, time::UnixSeconds};
use serde::{Deserialize, de::DeserializeOwned};

use self::event::{Movement, Session, StripeEvent};
use super::{
    AccountId, Asked, Event, Notification, SetupError, Source, SourceError, TransactionId,
    Verified,
    orders::Orders,
    secret::{self, Secret},
};

const NAME: &str = "stripe";

/// `[sources.stripe]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StripeConfig {
    /// The signing secrets of the webhook endpoint, `whsec_…`: more than one while they are changed.
    #[serde(default)]
    pub webhook_secrets: Vec<Secret>,
    /// A file with more of them, one a line.
    #[serde(default)]
    pub webhook_secrets_file: Option<PathBuf>,
    /// What is sold, by our names.
    pub products: BTreeMap<String, StripePrice>,
}

/// What a product costs in Stripe.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StripePrice {
    /// In the currency's smallest unit, as Stripe counts: cents.
    pub amount: u64,
    /// Three letters.
    pub currency: String,
    /// The payment link, where there is one; wallets are sent there with their order.
    #[serde(default)]
    pub payment_link: Option<String>,
}

/// Stripe.
pub struct StripeSource {
    secrets: Vec<Secret>,
    products: BTreeMap<String, StripePrice>,
    orders: Arc<dyn Orders>,
}

impl StripeSource {
    /// Reads the secrets.
    ///
    /// # Errors
    /// [`SetupError`] where there is none, or a price cannot be meant.
    pub fn new(config: StripeConfig, orders: Arc<dyn Orders>) -> Result<Self, SetupError> {
        let file = config.webhook_secrets_file.as_deref();
        let secrets = secret::gather(NAME, "webhook_secrets", &config.webhook_secrets, file)?;
        for (product, price) in &config.products {
            let wrong =
                |what: &str| SetupError::new(NAME, format!("the product `{product}`: {what}"));
            if price.amount == 0 {
                return Err(wrong(
                    "`amount` is 0; free credits are an allowance, `[sources.free]`",
                ));
            }
            let link = price.payment_link.as_deref();
            if link.is_some_and(|link| !link.starts_with("https://") || link.contains('#')) {
                return Err(wrong("`payment_link` is no https:// address"));
            }
        }
        Ok(Self { secrets, products: config.products, orders })
    }

    async fn read(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: UnixSeconds,
    ) -> Result<Notification, SourceError> {
        signature::check(headers, body, &self.secrets, now)
            .map_err(SourceError::NotificationUnverified)?;
        let event: StripeEvent = serde_json::from_slice(body)
            .map_err(|_| SourceError::NotificationUnverified("not an event of Stripe's"))?;
        let happened = match event.kind.as_str() {
            "checkout.session.completed" | "checkout.session.async_payment_succeeded" => {
                self.paid(&event).await?
            }
            kind if kind.starts_with("charge.") || kind.starts_with("refund.") => moved(&event),
            _ => None,
        };
        Ok(Notification { id: event.id, events: happened.into_iter().collect() })
    }

    /// A Checkout session that is paid, if it pays for what was ordered.
    async fn paid(&self, event: &StripeEvent) -> Result<Option<Event>, SourceError> {
        let Some(session) = object::<Session>(event) else { return Ok(None) };
        if session.payment_status != "paid" {
            return Ok(None); // it will be, or not: there is another event for that
        }
        let complain = |what: &str| {
            let event = &event.id;
            Ok(Some(Event::Complaint(format!(
                "the payment of event {event} gives nothing: {what}; refund it"
            ))))
        };
        let order = session.client_reference_id.and_then(|text| text.parse::<OrderId>().ok());
        let Some(order) = order else { return complain("it names no order") };
        let Some(intent) = session.payment_intent else {
            return complain("it has no payment intent");
        };
        let Some(product) = self.orders.product(&order).await? else {
            return complain("there is no such order");
        };
        let Some(price) = self.products.get(&product) else {
            return complain("what was ordered is not sold at Stripe");
        };
        let currency = session.currency.unwrap_or_default();
        if session.amount_total != Some(price.amount)
            || !currency.eq_ignore_ascii_case(&price.currency)
        {
            return complain("it is not the price of what was ordered");
        }
        let purchase = Verified {
            test: !event.livemode,
            account: session.customer.map(|customer| AccountId::of(NAME, &customer)),
            ..Verified::new(TransactionId::new(intent), product)
        };
        Ok(Some(Event::Paid { order, purchase }))
    }
}

impl Source for StripeSource {
    fn name(&self) -> &'static str {
        NAME
    }

    fn products(&self) -> Option<Vec<&str>> {
        Some(self.products.keys().map(String::as_str).collect())
    }

    /// Wallets send nothing of Stripe's: they ask for their order.
    fn verify<'a>(&'a self, _: &'a Asked<'a>) -> BoxFuture<'a, Result<Verified, SourceError>> {
        Box::pin(async { Err(SourceError::Unknown) })
    }

    fn notification<'a>(
        &'a self,
        headers: &'a HeaderMap,
        body: &'a [u8],
        now: UnixSeconds,
    ) -> BoxFuture<'a, Result<Notification, SourceError>> {
        Box::pin(self.read(headers, body, now))
    }

    fn checkout<'a>(
        &'a self,
        order: &'a OrderId,
        product: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, SourceError>> {
        let link = self.products.get(product).and_then(|price| price.payment_link.as_deref());
        let url = link.map(|link| {
            let separator = if link.contains('?') { '&' } else { '?' };
            format!("{link}{separator}client_reference_id={order}")
        });
        Box::pin(async { Ok(url) })
    }
}

/// What the event is about. What cannot be read is in the log, and does not come again for days.
fn object<T: DeserializeOwned>(event: &StripeEvent) -> Option<T> {
    let object = T::deserialize(&event.data.object);
    if object.is_err() {
        tracing::error!(event = %event.id, kind = %event.kind, "an event of Stripe's is not of the form that is known");
    }
    object.ok()
}

/// Money that went back to the buyer, or came back from him.
fn moved(event: &StripeEvent) -> Option<Event> {
    let movement: Movement = object(event)?;
    let refunded = match (event.kind.as_str(), movement.status.as_str()) {
        ("charge.refunded", _) if movement.refunded => true,
        // An inquiry moves no money; where it becomes a dispute the funds are withdrawn.
        ("charge.dispute.created", status) if !status.starts_with("warning_") => true,
        ("charge.dispute.funds_withdrawn", _) => true,
        ("charge.dispute.funds_reinstated" | "refund.failed", _) => false,
        ("charge.dispute.closed", "won") => false,
        _ => return None,
    };
    let transaction = TransactionId::new(movement.payment_intent?);
    Some(if refunded {
        Event::Refunded { transaction }
    } else {
        Event::RefundReversed { transaction }
    })
}
