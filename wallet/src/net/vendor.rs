//! The vendor's side of issuance (issuance.md).

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use scrip_protocol::{
    address::VendorAddress,
    issuance::{GrantAnswer, IssuanceAnswer},
    limits::{MAX_ISSUANCE, MAX_JSON_ANSWER, MAX_PROVEN_MANIFEST},
    media,
    purchase::{GrantRequest, Offer, OrderAnswer, OrderRequest},
    renewal::{RenewalItem, RenewalResult},
    seed::GrantSecret,
};
use scrip_runtime::client::{HttpClient, Request};

use super::answer::{CallError, body_of};

/// Bytes of an answer, whether it is one or a problem document.
const LONGEST_ANSWER: usize = MAX_JSON_ANSWER;

/// Talks to one vendor.
pub struct VendorClient {
    http: HttpClient,
    address: VendorAddress,
}

impl VendorClient {
    pub(super) const fn new(http: HttpClient, address: VendorAddress) -> Self {
        Self { http, address }
    }

    /// The signed manifest with its proof, not yet checked.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn manifest(&self) -> Result<Vec<u8>, CallError> {
        let request = Request::get(self.url("/v1/manifest"), MAX_PROVEN_MANIFEST);
        let body = body_of(self.http.send(request).await?, 200, Some(media::MANIFEST))?;
        Ok(body.into())
    }

    /// Turns a purchase into a grant; the same again gets the same answer.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn create_grant(
        &self,
        secret: &GrantSecret,
        request: &GrantRequest,
    ) -> Result<GrantAnswer, CallError> {
        let body = serde_json::to_vec(request).map_err(|_| CallError::Invalid("no JSON"))?;
        let request = Request::post(self.url("/v1/grants"), body, MAX_JSON_ANSWER)
            .header(CONTENT_TYPE, media::JSON);
        self.grant_answer(authorized(request, secret)).await
    }

    /// What is sold.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn offer(&self) -> Result<Offer, CallError> {
        let request = Request::get(self.url("/v1/offer"), MAX_JSON_ANSWER);
        let body = body_of(self.http.send(request).await?, 200, Some(media::JSON))?;
        serde_json::from_slice(&body).map_err(|_| CallError::Invalid("an offer does not parse"))
    }

    /// Orders a product; the same again gets the same answer.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn order(
        &self,
        secret: &GrantSecret,
        product: &str,
    ) -> Result<OrderAnswer, CallError> {
        let request = OrderRequest { product: product.to_owned() };
        let body = serde_json::to_vec(&request).map_err(|_| CallError::Invalid("no JSON"))?;
        let request = Request::post(self.url("/v1/orders"), body, MAX_JSON_ANSWER)
            .header(CONTENT_TYPE, media::JSON);
        let response = self.http.send(authorized(request, secret)).await?;
        let body = body_of(response, 200, Some(media::JSON))?;
        serde_json::from_slice(&body).map_err(|_| CallError::Invalid("an order does not parse"))
    }

    /// What an existing grant gives.
    ///
    /// # Errors
    /// [`CallError`], with `grant-unknown` where there is no such grant.
    pub async fn grant(&self, secret: &GrantSecret) -> Result<GrantAnswer, CallError> {
        let request = Request::get(self.url("/v1/grants"), MAX_JSON_ANSWER);
        self.grant_answer(authorized(request, secret)).await
    }

    /// Has a whole pack signed; the same bytes again get the same answer.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn issue(
        &self,
        secret: &GrantSecret,
        issuance_request: Vec<u8>,
    ) -> Result<IssuanceAnswer, CallError> {
        let request = Request::post(self.url("/v1/issuance"), issuance_request, MAX_ISSUANCE)
            .header(CONTENT_TYPE, media::ISSUANCE_REQUEST);
        self.issuance_answer(authorized(request, secret)).await
    }

    /// The stored answer of a grant that was issued.
    ///
    /// # Errors
    /// [`CallError`], with `grant-unused` where nothing was issued as a pack.
    pub async fn issued(&self, secret: &GrantSecret) -> Result<IssuanceAnswer, CallError> {
        let request = Request::get(self.url("/v1/issuance"), MAX_ISSUANCE);
        self.issuance_answer(authorized(request, secret)).await
    }

    /// Has a certificate renewed; the same item gets the same answer.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn renew(&self, item: &RenewalItem) -> Result<RenewalResult, CallError> {
        let post = Request::post(self.url("/v1/renewals"), item.encode(), LONGEST_ANSWER)
            .header(CONTENT_TYPE, media::RENEWAL_REQUEST);
        let body = body_of(self.http.send(post).await?, 200, Some(media::RENEWAL_ANSWER))?;
        Ok(RenewalResult::decode(&body)?)
    }

    async fn grant_answer(&self, request: Request) -> Result<GrantAnswer, CallError> {
        let body = body_of(self.http.send(request).await?, 200, Some(media::JSON))?;
        serde_json::from_slice(&body).map_err(|_| CallError::Invalid("a grant does not parse"))
    }

    async fn issuance_answer(&self, request: Request) -> Result<IssuanceAnswer, CallError> {
        let media_type = Some(media::ISSUANCE_ANSWER);
        let body = body_of(self.http.send(request).await?, 200, media_type)?;
        Ok(IssuanceAnswer::decode(&body)?)
    }

    fn url(&self, path: &str) -> String {
        self.address.base_url() + path
    }
}

fn authorized(request: Request, secret: &GrantSecret) -> Request {
    request.header(AUTHORIZATION, secret.to_bearer().as_str())
}
