//! The Google Play Developer API (androidpublisher v3): what is asked, and what is read of the answers.
//!
//! Nothing here logs or returns a purchase token.

use http::{Method, header};
use scrip_protocol::time::UnixSeconds;
use scrip_runtime::client::{HttpClient, Request, Response};
use serde::{Deserialize, de::DeserializeOwned, de::IgnoredAny};

use super::account::Account;
use crate::sources::SourceError;

/// The longest answer about one purchase, in bytes.
const MAX_PURCHASE: usize = 65_536;
/// The longest page of voided purchases, in bytes.
const MAX_PAGE: usize = 4 << 20;
/// Voided purchases of a page: the most that Google gives.
const PAGE: u32 = 1_000;
/// The longest purchase token, in bytes. Google promises nothing of it; those seen have some 150.
const MAX_TOKEN: usize = 2_048;

/// `ProductPurchaseV2`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Purchase {
    #[serde(default)]
    pub(super) product_line_item: Vec<LineItem>,
    purchase_state_context: Option<StateContext>,
    test_purchase_context: Option<IgnoredAny>,
    pub(super) obfuscated_external_account_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StateContext {
    purchase_state: State,
}

/// `PurchaseState`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum State {
    Purchased,
    Cancelled,
    Pending,
    #[serde(other)]
    Unknown,
}

/// `ProductLineItem`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LineItem {
    pub(super) product_id: String,
    product_offer_details: Option<OfferDetails>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfferDetails {
    quantity: Option<u16>,
    refundable_quantity: Option<u16>,
    consumption_state: Option<String>,
}

impl Purchase {
    pub(super) fn state(&self) -> State {
        self.purchase_state_context
            .as_ref()
            .map_or(State::Unknown, |context| context.purchase_state)
    }

    /// Whether a licence tester bought it: no money was taken.
    pub(super) const fn is_test(&self) -> bool {
        self.test_purchase_context.is_some()
    }
}

impl LineItem {
    /// How many were bought and not refunded.
    pub(super) fn quantity(&self) -> u16 {
        let details = self.product_offer_details.as_ref();
        let bought = details.and_then(|details| details.quantity).unwrap_or(1);
        details
            .and_then(|details| details.refundable_quantity)
            .map_or(bought, |left| left.min(bought))
    }

    pub(super) fn is_consumed(&self) -> bool {
        let state = self
            .product_offer_details
            .as_ref()
            .and_then(|details| details.consumption_state.as_deref());
        state == Some("CONSUMPTION_STATE_CONSUMED")
    }
}

/// A page of `VoidedPurchasesListResponse`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VoidedPage {
    #[serde(default)]
    pub(super) voided_purchases: Vec<Voided>,
    token_pagination: Option<Pagination>,
}

/// `VoidedPurchase`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Voided {
    pub(super) purchase_token: String,
    #[serde(default)]
    pub(super) voided_time_millis: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pagination {
    next_page_token: Option<String>,
}

impl VoidedPage {
    pub(super) fn next(&self) -> Option<String> {
        let next = self.token_pagination.as_ref()?.next_page_token.clone()?;
        (!next.is_empty()).then_some(next)
    }
}

/// The API, for one app.
pub(super) struct Api {
    pub(super) client: HttpClient,
    /// With the app's package in it, and no slash at its end.
    pub(super) base: String,
    pub(super) account: Account,
}

impl Api {
    /// The base of all paths of `package` at `origin`.
    pub(super) fn base(origin: &str, package: &str) -> String {
        let origin = origin.trim_end_matches('/');
        format!("{origin}/androidpublisher/v3/applications/{}", encoded(package))
    }

    /// `purchases.productsv2.getproductpurchasev2`; `None` where Google knows no such purchase.
    pub(super) async fn purchase(&self, token: &str) -> Result<Option<Purchase>, SourceError> {
        let path = format!("/purchases/productsv2/tokens/{}", encoded(token));
        let answer = self.call(Method::GET, &path, MAX_PURCHASE).await?;
        match answer.status {
            200 => parse(&answer).map(Some),
            // 410: the purchase is so old that Google has forgotten it.
            400 | 404 | 410 => Ok(None),
            status => Err(refused(status)),
        }
    }

    /// `purchases.products.consume`, which acknowledges too: there is no second version of it.
    pub(super) async fn consume(&self, product: &str, token: &str) -> Result<(), SourceError> {
        let (product, token) = (encoded(product), encoded(token));
        let path = format!("/purchases/products/{product}/tokens/{token}:consume");
        let answer = self.call(Method::POST, &path, MAX_PURCHASE).await?;
        if (200..300).contains(&answer.status) { Ok(()) } else { Err(refused(answer.status)) }
    }

    /// `purchases.voidedpurchases.list`: one page of what was voided since `since`.
    pub(super) async fn voided(
        &self,
        since: UnixSeconds,
        page: Option<&str>,
    ) -> Result<VoidedPage, SourceError> {
        let since = since.0.saturating_mul(1_000);
        let mut path =
            format!("/purchases/voidedpurchases?type=0&maxResults={PAGE}&startTime={since}");
        if let Some(page) = page {
            path.push_str("&token=");
            path.push_str(&encoded(page));
        }
        let answer = self.call(Method::GET, &path, MAX_PAGE).await?;
        if answer.status == 200 { parse(&answer) } else { Err(refused(answer.status)) }
    }

    /// Calls with an access token, and once again with a new one where it is refused.
    async fn call(
        &self,
        method: Method,
        path: &str,
        max_response: usize,
    ) -> Result<Response, SourceError> {
        let url = format!("{}{path}", self.base);
        let mut request = Request::get(url, max_response);
        request.method = method;
        let token = self.account.token().await?;
        let answer = self.send(request.clone(), &token).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        self.account.forget(&token).await;
        let token = self.account.token().await?;
        self.send(request, &token).await
    }

    async fn send(&self, request: Request, token: &str) -> Result<Response, SourceError> {
        let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        let answer = self.client.send(request).await;
        answer.map_err(|error| SourceError::Unavailable(error.to_string()))
    }
}

/// Whether this may be a purchase token: of the characters that Google uses, so that it can be part of a path.
pub(super) fn is_token(text: &str) -> bool {
    let usual =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'~');
    (8..=MAX_TOKEN).contains(&text.len())
        && text.bytes().all(usual)
        && text.bytes().any(|byte| byte.is_ascii_alphanumeric())
}

fn parse<T: DeserializeOwned>(answer: &Response) -> Result<T, SourceError> {
    // serde's message may show what it stumbled over.
    serde_json::from_slice(&answer.body).map_err(|_| {
        SourceError::Unavailable(
            "Google Play answered with something else than its API promises".into(),
        )
    })
}

fn refused(status: u16) -> SourceError {
    let remedy = match status {
        401 | 403 => "; check the rights of the service account in the Play Console",
        429 => "; the quota is used up",
        _ => "",
    };
    SourceError::Unavailable(format!("Google Play answered {status}{remedy}"))
}

/// Percent-encoded for a path segment or a query (RFC 3986, section 2.3).
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}
