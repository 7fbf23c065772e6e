//! What a request costs: the one thing that the server behind the layer knows and the verifier does not.

use scrip_protocol::{
    credits::Credits,
    problem::{Price as PriceDocument, Problem},
};

/// The price of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The least that is accepted, in credits. Never zero: what is free needs no layer.
    pub credits: Credits,
    /// How long the lease is for each credit paid, in seconds.
    pub seconds_per_credit: u64,
}

impl From<Quote> for PriceDocument {
    fn from(quote: Quote) -> Self {
        Self { credits: quote.credits, seconds_per_credit: quote.seconds_per_credit }
    }
}

/// Sets prices.
pub trait Price: Send + Sync + 'static {
    /// What the resource request with these bytes costs now. A request that does not parse, or asks for something that
    /// is not provided, is refused here, before anything is paid; the problem must be one that takes nothing.
    fn quote(&self, request: &[u8]) -> impl Future<Output = Result<Quote, Problem>> + Send;
}
