//! What a certificate is bound to when it is spent (spending.md, "Payment").

use crate::hash::{Label, hash};
use crate::id::{KeyId, OperatorId, PaymentId, VendorId, identifier};
use crate::time::Day;

use crate::id::{ParseIdError, encode_base64url, parse};

identifier!(
    /// `C_i`: hides the resource and the salt from the vendor.
    Commitment,
    32
);
identifier!(
    /// `B_i`: what the certificate key signs. It stands for the operator, the day, the key that signed the certificate, and with
    /// that its epoch and denomination, and what was paid for.
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

/// `B_i` of a certificate that the denomination key `key_id` signed.
pub fn binding(
    vendor: &VendorId,
    operator: &OperatorId,
    day: Day,
    key_id: &KeyId,
    commitment: &Commitment,
) -> Binding {
    let parts: [&[u8]; 5] = [
        vendor.as_bytes(),
        operator.as_bytes(),
        &day.0.to_be_bytes(),
        key_id.as_bytes(),
        commitment.as_bytes(),
    ];
    Binding::from_bytes(hash(Label::Binding, &parts))
}

/// Which use of which certificate: what vendor, relay, auditor and judge mean by "the same" (spending.md, "The spend identity").
/// Neither the certificate key's signature nor the vendor's on the certificate is part of it: whoever holds the key, or bought the
/// same certificate twice, can make a second of either at will.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SpendIdentity {
    /// `P`
    pub certificate_key: [u8; 32],
    /// The key that signed the certificate: its epoch and denomination.
    pub key_id: KeyId,
    /// `B`, of a spend or of a renewal.
    pub binding: Binding,
}

/// How a certificate was voided, and so under which label its key signed that.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SpendKind {
    /// It was spent at an operator.
    Spend,
    /// It was exchanged for a new one.
    Renewal,
}

impl SpendKind {
    /// What the certificate key's signature over the binding is made under.
    pub const fn label(self) -> Label {
        match self {
            Self::Spend => Label::Spend,
            Self::Renewal => Label::RenewalSpend,
        }
    }

    /// Its number on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::Spend => 1,
            Self::Renewal => 2,
        }
    }

    /// The kind with this number.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Spend),
            2 => Some(Self::Renewal),
            _ => None,
        }
    }
}

/// The name that wallet and relay give a payment.
pub fn payment_id(vendor: &VendorId, bindings: &[Binding]) -> PaymentId {
    let mut parts: Vec<&[u8]> = vec![vendor.as_bytes()];
    parts.extend(bindings.iter().map(|binding| binding.as_bytes().as_slice()));
    PaymentId::from_bytes(hash(Label::PaymentId, &parts))
}
