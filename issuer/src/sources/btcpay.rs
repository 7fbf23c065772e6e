//! BTCPay Server: orders that are paid with an invoice of the vendor's own store.
//!
//! A webhook is a hint, though a signed one: the invoice is fetched, and it is settled or it is not. It must name the order
//! as `metadata.orderId`, and be over the price of what was ordered. The invoice is the key. BTCPay takes no money back by
//! itself, so that there are no refunds to learn of.
//!
//! BTCPay delivers a webhook again for about an hour. A wallet that asks for an order later than that finds it all the same:
//! the order's invoices are looked up.

mod amount;
mod api;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use data_encoding::HEXLOWER_PERMISSIVE;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use scrip_protocol::{purchase::OrderId, time::UnixSeconds};
use scrip_runtime::{
    client::{ClientOptions, HttpClient, check_url},
    config::HumanDuration,
};
use serde::Deserialize;

pub use self::amount::{Amount, ParseAmountError};
use self::api::{Api, Invoice, is_id};
use super::{
    Asked, Event, Notification, SetupError, Source, SourceError, TransactionId, Verified,
    orders::Orders,
    secret::{self, Secret},
};

const NAME: &str = "btcpay";
const SIGNATURE: &str = "btcpay-sig";

/// `[sources.btcpay]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BtcpayConfig {
    /// The server's address.
    pub server: String,
    /// The store's id.
    pub store: String,
    /// An API key that may see the store's invoices, and make them where wallets are to be given one.
    #[serde(default)]
    pub api_key: Option<Secret>,
    /// A file that holds it.
    #[serde(default)]
    pub api_key_file: Option<PathBuf>,
    /// The webhook's secrets: more than one while they are changed.
    #[serde(default)]
    pub webhook_secrets: Vec<Secret>,
    /// A file with more of them, one a line.
    #[serde(default)]
    pub webhook_secrets_file: Option<PathBuf>,
    /// What is sold, by our names.
    pub products: BTreeMap<String, BtcpayPrice>,
    /// Whether wallets that order are given an invoice.
    #[serde(default = "default_invoices")]
    pub invoices: bool,
    /// Whether the store is on a test network: its payments are worth nothing.
    #[serde(default)]
    pub test: bool,
    /// How long the server may take to answer.
    #[serde(default = "default_timeout")]
    pub timeout: HumanDuration,
}

/// What a product costs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BtcpayPrice {
    /// `"4.99"`
    pub amount: Amount,
    /// As BTCPay Server names it.
    pub currency: String,
}

fn default_invoices() -> bool {
    true
}

fn default_timeout() -> HumanDuration {
    HumanDuration(10)
}

/// What a webhook's body holds.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delivery {
    delivery_id: String,
    original_delivery_id: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    store_id: Option<String>,
    invoice_id: Option<String>,
}

/// BTCPay Server.
pub struct BtcpaySource {
    api: Api,
    store: String,
    secrets: Vec<Secret>,
    products: BTreeMap<String, BtcpayPrice>,
    invoices: bool,
    test: bool,
    orders: Arc<dyn Orders>,
}

impl BtcpaySource {
    /// Reads the secrets; asks nobody.
    ///
    /// # Errors
    /// [`SetupError`] where one is missing, or an address or a price cannot be used.
    pub fn new(config: BtcpayConfig, orders: Arc<dyn Orders>) -> Result<Self, SetupError> {
        let wrong = |reason: String| SetupError::new(NAME, reason);
        check_url(&config.server).map_err(|error| wrong(error.to_string()))?;
        if !is_id(&config.store) {
            return Err(wrong("`store` is no store id".into()));
        }
        if let Some((product, _)) = config.products.iter().find(|(_, price)| price.amount.is_zero())
        {
            return Err(wrong(format!("the product `{product}` costs nothing")));
        }
        let file = config.webhook_secrets_file.as_deref();
        let secrets = secret::gather(NAME, "webhook_secrets", &config.webhook_secrets, file)?;
        let given: Vec<Secret> = config.api_key.into_iter().collect();
        let keys = secret::gather(NAME, "api_key", &given, config.api_key_file.as_deref())?;
        let [key] = keys.as_slice() else {
            return Err(wrong("there is more than one `api_key`".into()));
        };
        let timeout = Duration::from_secs(config.timeout.0);
        let client = HttpClient::new(ClientOptions { timeout, ..ClientOptions::default() })
            .map_err(|error| wrong(error.to_string()))?;
        let server = config.server.trim_end_matches('/');
        let invoices = format!("{server}/api/v1/stores/{}/invoices", config.store);
        Ok(Self {
            api: Api { client, invoices, key: key.clone() },
            store: config.store,
            secrets,
            products: config.products,
            invoices: config.invoices,
            test: config.test,
            orders,
        })
    }

    async fn read(&self, headers: &HeaderMap, body: &[u8]) -> Result<Notification, SourceError> {
        let refused = SourceError::NotificationUnverified;
        let value = headers.get(SIGNATURE).and_then(|value| value.to_str().ok());
        let tag = value.and_then(|value| value.strip_prefix("sha256="));
        let tag = tag.ok_or(refused("there is no `BTCPay-Sig`"))?;
        let tag = HEXLOWER_PERMISSIVE.decode(tag.as_bytes());
        if !tag.is_ok_and(|tag| secret::authenticates(&self.secrets, body, &tag)) {
            return Err(refused("the signature is wrong"));
        }
        let delivery: Delivery =
            serde_json::from_slice(body).map_err(|_| refused("not a delivery of BTCPay Server"))?;
        let settled =
            delivery.kind == "InvoiceSettled" && delivery.store_id.as_ref() == Some(&self.store);
        let event = match delivery.invoice_id {
            Some(invoice) if settled => self.settled(&invoice).await?,
            _ => None,
        };
        // What is delivered again has a new id, and names the first.
        let id = delivery.original_delivery_id.unwrap_or(delivery.delivery_id);
        Ok(Notification { id, events: event.into_iter().collect() })
    }

    /// An invoice that is settled, if it pays for what was ordered.
    async fn settled(&self, id: &str) -> Result<Option<Event>, SourceError> {
        let Some(invoice) = self.api.invoice(id).await? else { return Ok(None) };
        if invoice.id != id || invoice.store_id != self.store {
            let reason = "BTCPay Server answered with another invoice than it was asked for";
            return Err(SourceError::Unavailable(reason.into()));
        }
        if invoice.status != "Settled" {
            return Ok(None);
        }
        let order =
            invoice.metadata.order_id.as_ref().and_then(|text| text.parse::<OrderId>().ok());
        let Some(order) = order else { return Ok(None) }; // the store sells other things too
        let Some(product) = self.orders.product(&order).await? else {
            return Ok(complaint(id, "there is no such order"));
        };
        if !self.is_price(&product, &invoice) {
            return Ok(complaint(id, "it is not over the price of what was ordered"));
        }
        let purchase =
            Verified { test: self.test, ..Verified::new(TransactionId::new(id), product) };
        Ok(Some(Event::Paid { order, purchase }))
    }

    /// The first invoice of `order` that pays for it. What is settled and pays for nothing is the webhook's to complain of:
    /// wallets ask again and again.
    async fn paid(&self, order: &OrderId) -> Result<Option<Notification>, SourceError> {
        for id in self.api.settled_of(order).await? {
            if let Some(event @ Event::Paid { order: paid, .. }) = self.settled(&id).await?
                && paid == *order
            {
                return Ok(Some(Notification { id: format!("settled:{id}"), events: vec![event] }));
            }
        }
        Ok(None)
    }

    fn is_price(&self, product: &str, invoice: &Invoice) -> bool {
        self.products.get(product).is_some_and(|price| {
            price.amount == invoice.amount && price.currency.eq_ignore_ascii_case(&invoice.currency)
        })
    }

    async fn page_of(&self, order: &OrderId, product: &str) -> Result<Option<String>, SourceError> {
        match self.products.get(product).filter(|_| self.invoices) {
            Some(price) => self.api.page(order, &price.amount, &price.currency).await,
            None => Ok(None),
        }
    }
}

fn complaint(invoice: &str, what: &str) -> Option<Event> {
    Some(Event::Complaint(format!(
        "the settled invoice {invoice} gives nothing: {what}; pay it back"
    )))
}

impl Source for BtcpaySource {
    fn name(&self) -> &'static str {
        NAME
    }

    fn products(&self) -> Option<Vec<&str>> {
        Some(self.products.keys().map(String::as_str).collect())
    }

    /// Wallets send nothing of BTCPay's: they ask for their order.
    fn verify<'a>(&'a self, _: &'a Asked<'a>) -> BoxFuture<'a, Result<Verified, SourceError>> {
        Box::pin(async { Err(SourceError::Unknown) })
    }

    fn notification<'a>(
        &'a self,
        headers: &'a HeaderMap,
        body: &'a [u8],
        _now: UnixSeconds,
    ) -> BoxFuture<'a, Result<Notification, SourceError>> {
        Box::pin(self.read(headers, body))
    }

    fn recheck<'a>(
        &'a self,
        order: &'a OrderId,
    ) -> BoxFuture<'a, Result<Option<Notification>, SourceError>> {
        Box::pin(self.paid(order))
    }

    fn checkout<'a>(
        &'a self,
        order: &'a OrderId,
        product: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, SourceError>> {
        Box::pin(self.page_of(order, product))
    }
}
