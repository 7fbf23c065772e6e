//! BTCPay Server's Greenfield API: invoices of one store.

use http::header;
use scrip_protocol::purchase::OrderId;
use scrip_runtime::client::{HttpClient, Request, Response};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;

use super::amount::Amount;
use crate::sources::{SourceError, secret::Secret};

/// The longest invoice, in bytes.
const MAX_INVOICE: usize = 262_144;

/// An invoice.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Invoice {
    pub(super) id: String,
    pub(super) store_id: String,
    pub(super) status: String,
    pub(super) amount: Amount,
    pub(super) currency: String,
    #[serde(default)]
    pub(super) metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) order_id: Option<String>,
}

/// An invoice in the list of an order's.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    id: String,
    status: String,
    checkout_link: String,
}

/// The API, for one store.
pub(super) struct Api {
    pub(super) client: HttpClient,
    /// `…/api/v1/stores/{store}/invoices`
    pub(super) invoices: String,
    pub(super) key: Secret,
}

impl Api {
    /// The invoice `id`; `None` where the store has none.
    pub(super) async fn invoice(&self, id: &str) -> Result<Option<Invoice>, SourceError> {
        if !is_id(id) {
            return Ok(None);
        }
        let answer =
            self.send(Request::get(format!("{}/{id}", self.invoices), MAX_INVOICE)).await?;
        if answer.status == 404 { Ok(None) } else { parse(&answer).map(Some) }
    }

    /// The ids of the settled invoices of `order`.
    pub(super) async fn settled_of(&self, order: &OrderId) -> Result<Vec<String>, SourceError> {
        let found = self.list(order).await?.into_iter();
        Ok(found.filter(|one| one.status == "Settled").map(|one| one.id).collect())
    }

    /// The page where `order` is paid: of the invoice that waits for it, or of a new one. Two invoices of one order could
    /// both be paid, so that there is none where money came in already.
    pub(super) async fn page(
        &self,
        order: &OrderId,
        amount: &Amount,
        currency: &str,
    ) -> Result<Option<String>, SourceError> {
        let found = self.list(order).await?;
        if found.iter().any(|one| matches!(one.status.as_str(), "Processing" | "Settled")) {
            return Ok(None);
        }
        if let Some(open) = found.into_iter().find(|one| one.status == "New") {
            return Ok(Some(open.checkout_link));
        }
        let invoice = json!({
            "amount": amount.to_string(),
            "currency": currency,
            "metadata": { "orderId": order.to_string() },
        });
        let request = Request::post(self.invoices.clone(), invoice.to_string(), MAX_INVOICE)
            .header(header::CONTENT_TYPE, "application/json");
        let created: Listed = parse(&self.send(request).await?)?;
        Ok(Some(created.checkout_link))
    }

    /// The invoices that name `order`.
    async fn list(&self, order: &OrderId) -> Result<Vec<Listed>, SourceError> {
        let url = format!("{}?orderId={order}", self.invoices);
        parse(&self.send(Request::get(url, MAX_INVOICE)).await?)
    }

    async fn send(&self, request: Request) -> Result<Response, SourceError> {
        let request = request.header(header::AUTHORIZATION, format!("token {}", self.key.expose()));
        let answer = self.client.send(request).await;
        answer.map_err(|error| SourceError::Unavailable(error.to_string()))
    }
}

/// Whether this may be an id of BTCPay's: letters and digits, so that it can be part of a path.
pub(super) fn is_id(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn parse<T: DeserializeOwned>(answer: &Response) -> Result<T, SourceError> {
    if answer.status != 200 {
        return Err(refused(answer.status));
    }
    serde_json::from_slice(&answer.body).map_err(|_| {
        SourceError::Unavailable(
            "BTCPay Server answered with something else than its API promises".into(),
        )
    })
}

fn refused(status: u16) -> SourceError {
    let remedy = match status {
        401 | 403 => "; check the API key and its rights",
        _ => "",
    };
    SourceError::Unavailable(format!("BTCPay Server answered {status}{remedy}"))
}
