//! What the server behind the layer is told, and what it tells the verifier in return.

use scrip_protocol::{
    credits::Credits,
    id::{PaymentId, VendorId},
    media,
    problem::Problem,
    redemption::ConflictProof,
};

/// The extension of a request that was paid for.
///
/// The server provisions *keyed by* [`Paid::payment_id`]: after a crash it may see the same payment again, and doing it
/// twice must be doing it once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paid {
    /// The payment's name, known to the wallet and the relay alone.
    pub payment_id: PaymentId,
    /// Whose certificates paid.
    pub vendor_id: VendorId,
    /// What was paid: the sum of the certificates below.
    ///
    /// Under the online policy this can be less than the price: where some of the certificates turned out to be spent
    /// before, the others are redeemed already and cannot be given back, so that they buy what they are worth.
    pub credits: Credits,
    /// How long the lease is for each credit, in seconds, as it was quoted when the payment came in first.
    pub seconds_per_credit: u64,
    /// The certificates that count.
    pub certificates: Vec<PaidCertificate>,
}

/// One certificate of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaidCertificate {
    /// The certificate key `P`.
    pub key: [u8; 32],
    /// Its worth.
    pub value: Credits,
}

/// An answer that is kept with its payment and sent again, byte for byte, to every retry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The content type; empty where there is none.
    pub content_type: String,
    /// The body, at most `MAX_RECEIPT` bytes.
    pub body: Vec<u8>,
}

impl StoredAnswer {
    /// The answer that is this problem document.
    pub fn problem(problem: &Problem) -> Self {
        let (status, content_type) = (problem.status, media::PROBLEM.to_owned());
        Self { status, content_type, body: problem.to_json() }
    }
}

/// The server could not say or do what it was asked; it is asked again later.
#[derive(Debug, thiserror::Error)]
#[error("the server behind the verifier failed: {0}")]
pub struct ProvisionsError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl ProvisionsError {
    /// With what went wrong. It is logged: no keys, salts or payment ids.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// The server behind the layer, as the verifier sees it apart from requests.
pub trait Provisions: Send + Sync + 'static {
    /// After a crash: the answer to a payment that was provisioned durably, or `None` where nothing was provisioned for
    /// it. `None` releases the certificates, so that it must be certain, and nothing may still be on its way.
    fn answer(
        &self,
        payment: &PaymentId,
    ) -> impl Future<Output = Result<Option<StoredAnswer>, ProvisionsError>> + Send;

    /// A certificate of a committed payment turned out to be spent elsewhere, and the proof was verified: the lease is to
    /// be shortened by `value`, or ended where nothing is left. Called until it returns `Ok`, after a crash also once
    /// more after that: it must be idempotent, keyed by the certificate.
    fn double_spent(
        &self,
        payment: &PaymentId,
        certificate: &[u8; 32],
        value: Credits,
        proof: &ConflictProof,
    ) -> impl Future<Output = Result<(), ProvisionsError>> + Send;
}
