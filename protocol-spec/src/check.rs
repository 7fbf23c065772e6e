//! The check of a spent certificate that relays, the vendor and auditors share: whatever one of them accepts, all do.

use ed25519_zebra as zebra;
use rand_core::{CryptoRng, RngCore};

use crate::hash::Label;
use crate::inquiry::Inquiry;
use crate::keys::{PublicKey, Signature, message};
use crate::manifest::DenominationKey;
use crate::spend::Binding;
use crate::token::Token;

/// A certificate with the signature that spends it, and the key that it names.
pub struct Spend<'a> {
    /// The certificate.
    pub token: &'a Token,
    /// The denomination key that [`Token::key_id`] names.
    pub key: &'a DenominationKey,
    /// What the certificate key is said to have signed.
    pub binding: Binding,
    /// Its signature.
    pub signature: &'a Signature,
}

/// Why a spent certificate is not valid. The wallet's fault, or that of whoever made it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The nonce is not a certificate key.
    #[error("the certificate key is not the canonical encoding of a point of large order")]
    CertificateKey,
    /// The vendor's RSA signature does not verify.
    #[error("the vendor's signature on the certificate does not verify")]
    CertificateSignature,
    /// The certificate key's signature over the binding does not verify.
    #[error("the certificate key's signature over the payment does not verify")]
    SpendSignature,
}

/// The order of curve25519's field, little-endian: 2^255 − 19.
const P: [u8; 32] = {
    let mut p = [0xff; 32];
    p[0] = 0xed;
    p[31] = 0x7f;
    p
};

/// The y coordinates of the points of small order (order 1, 2, 4 and 8), little-endian.
const SMALL_ORDER_Y: [[u8; 32]; 5] = [
    // y = 1, the identity
    {
        let mut y = [0; 32];
        y[0] = 1;
        y
    },
    // y = −1, order 2
    {
        let mut y = P;
        y[0] = 0xec;
        y
    },
    // y = 0, order 4
    [0; 32],
    // order 8
    *b"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
    *b"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
];

/// Whether 32 bytes can be a certificate key: y reduced, and not of small order (keys.md, "The certificate"). Decided by
/// the bytes alone; that they are a point at all is found by the signature check.
///
/// # Errors
/// [`Rejection::CertificateKey`].
pub fn check_key_encoding(key: &[u8; 32]) -> Result<(), Rejection> {
    let mut y = *key;
    y[31] &= 0x7f;
    let reduced = y.iter().rev().lt(P.iter().rev());
    if reduced && !SMALL_ORDER_Y.contains(&y) { Ok(()) } else { Err(Rejection::CertificateKey) }
}

fn check_certificate(token: &Token, key: &DenominationKey) -> Result<(), Rejection> {
    check_key_encoding(&token.nonce)?;
    key.public()
        .verify(&token.signed_part(), &token.authenticator)
        .map_err(|_| Rejection::CertificateSignature)
}

/// Checks one certificate.
///
/// # Errors
/// The first [`Rejection`], in the order of verification.md.
pub fn check_one(spend: &Spend<'_>) -> Result<(), Rejection> {
    check_certificate(spend.token, spend.key)?;
    PublicKey::from_bytes(spend.token.nonce)
        .verify(Label::Spend, spend.binding.as_bytes(), spend.signature)
        .map_err(|_| Rejection::SpendSignature)
}

/// Checks an inquiry's certificate, and that its holder asks. `key` is the denomination key that the certificate names.
///
/// # Errors
/// The first [`Rejection`].
pub fn check_inquiry(inquiry: &Inquiry, key: &DenominationKey) -> Result<(), Rejection> {
    check_certificate(&inquiry.token, key)?;
    PublicKey::from_bytes(inquiry.token.nonce)
        .verify(Label::Inquiry, &inquiry.signed_part(), &inquiry.signature)
        .map_err(|_| Rejection::SpendSignature)
}

/// Checks many certificates: each RSA signature on its own, the Ed25519 signatures together. The result of each is that
/// of [`check_one`]; where the batch fails, its signatures are checked one by one. `rng` draws the batch's coefficients,
/// which whoever made the signatures must not be able to guess.
pub fn check_batch(
    spends: &[Spend<'_>],
    rng: &mut (impl RngCore + CryptoRng),
) -> Vec<Result<(), Rejection>> {
    let mut results: Vec<_> =
        spends.iter().map(|spend| check_certificate(spend.token, spend.key)).collect();
    let queued: Vec<(usize, zebra::batch::Item)> = spends
        .iter()
        .enumerate()
        .filter(|(at, _)| results[*at].is_ok())
        .map(|(at, spend)| (at, batch_item(spend)))
        .collect();
    let mut batch = zebra::batch::Verifier::new();
    for (_, item) in &queued {
        batch.queue(item.clone());
    }
    if batch.verify(rng).is_err() {
        for (at, item) in queued {
            if item.verify_single().is_err() {
                results[at] = Err(Rejection::SpendSignature);
            }
        }
    }
    results
}

fn batch_item(spend: &Spend<'_>) -> zebra::batch::Item {
    let key = zebra::VerificationKeyBytes::from(spend.token.nonce);
    let signature = zebra::Signature::from_bytes(spend.signature.as_bytes());
    let message = message(Label::Spend, spend.binding.as_bytes());
    zebra::batch::Item::from((key, signature, &message))
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
