//! The way to a vendor. Whatever goes wrong on it is [`NoAnswer`], which says nothing about anybody's honesty.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::CONTENT_TYPE;
use scrip_protocol::{
    address::VendorAddress,
    limits::{MAX_PROVEN_MANIFEST, MAX_REDEMPTION_OUTCOME},
    media,
    problem::{Problem, ProblemType},
};
use scrip_runtime::client::{HttpClient, Request, Response, TransportError};

/// Why there is no answer of a vendor. Never evidence against anybody: the same request is sent again later.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// Nothing came, or not all of it.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The vendor, or what stands before it, refused the whole request.
    #[error(
        "the vendor answered with status {status}{}; the same request is sent again later",
        problem.map(|problem| format!(" ({}: {})", problem.name(), problem.title())).unwrap_or_default()
    )]
    Status {
        /// The HTTP status.
        status: u16,
        /// The problem, where the answer is a problem document of scrip's.
        problem: Option<ProblemType>,
    },
}

/// Sends requests to vendors.
pub trait VendorLink: Send + Sync + 'static {
    /// The bytes that the vendor publishes as its manifest with its proof, not yet checked.
    fn manifest<'a>(&'a self, vendor: &'a VendorAddress) -> BoxFuture<'a, Result<Bytes, NoAnswer>>;

    /// The bytes that the vendor answers a batch with, not yet checked.
    fn redeem<'a>(
        &'a self,
        vendor: &'a VendorAddress,
        batch: Bytes,
    ) -> BoxFuture<'a, Result<Bytes, NoAnswer>>;
}

/// The way over HTTP.
#[derive(Clone, Debug)]
pub struct HttpLink(HttpClient);

impl HttpLink {
    /// Sends with `client`.
    pub const fn new(client: HttpClient) -> Self {
        Self(client)
    }

    async fn send(&self, request: Request) -> Result<Bytes, NoAnswer> {
        body_of(self.0.send(request).await?)
    }
}

fn body_of(answer: Response) -> Result<Bytes, NoAnswer> {
    if answer.status == 200 {
        return Ok(answer.body);
    }
    let problem = Problem::from_json(&answer.body).map(|problem| problem.problem);
    Err(NoAnswer::Status { status: answer.status, problem })
}

impl VendorLink for HttpLink {
    fn manifest<'a>(&'a self, vendor: &'a VendorAddress) -> BoxFuture<'a, Result<Bytes, NoAnswer>> {
        let url = format!("{}/v1/manifest", vendor.base_url());
        Box::pin(self.send(Request::get(url, MAX_PROVEN_MANIFEST)))
    }

    fn redeem<'a>(
        &'a self,
        vendor: &'a VendorAddress,
        batch: Bytes,
    ) -> BoxFuture<'a, Result<Bytes, NoAnswer>> {
        let url = format!("{}/v1/redemptions", vendor.base_url());
        let request = Request::post(url, batch, MAX_REDEMPTION_OUTCOME)
            .header(CONTENT_TYPE, media::REDEMPTION_BATCH);
        Box::pin(self.send(request))
    }
}
