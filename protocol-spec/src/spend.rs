//! What a certificate is bound to when it is spent (spending.md, "Payment").

use crate::hash::{Label, hash};
use crate::id::{OperatorId, PaymentId, VendorId, identifier};
use crate::time::Day;

use crate::id::{ParseIdError, encode_base64url, parse};

identifier!(
    /// `C_i`: hides the resource and the salt from the vendor.
    Commitment,
    32
);
identifier!(
    /// `B_i`: what the certificate key signs. With the certificate key it is the spend identity.
    Binding,
    32
);
identifier!(
    /// `R`: the hash of the bytes of a resource request.
    RequestDigest,
    32
);

/// The random value of a payment; known to the wallet and the relay alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub [u8; 32]);

/// `R` of these request bytes.
pub fn request_digest(resource_request: &[u8]) -> RequestDigest {
    RequestDigest::from_bytes(hash(Label::ResourceRequest, &[resource_request]))
}

/// `C_i` of the certificate with key `certificate_key`.
pub fn commitment(salt: &Salt, certificate_key: &[u8; 32], request: &RequestDigest) -> Commitment {
    Commitment::from_bytes(hash(Label::Commitment, &[&salt.0, certificate_key, request.as_bytes()]))
}

/// `B_i`.
pub fn binding(
    vendor: &VendorId,
    operator: &OperatorId,
    day: Day,
    commitment: &Commitment,
) -> Binding {
    Binding::from_bytes(hash(
        Label::Binding,
        &[vendor.as_bytes(), operator.as_bytes(), &day.0.to_be_bytes(), commitment.as_bytes()],
    ))
}

/// The name that wallet and relay give a payment.
pub fn payment_id(vendor: &VendorId, bindings: &[Binding]) -> PaymentId {
    let mut parts: Vec<&[u8]> = vec![vendor.as_bytes()];
    parts.extend(bindings.iter().map(|binding| binding.as_bytes().as_slice()));
    PaymentId::from_bytes(hash(Label::PaymentId, &parts))
}
