//! The check of a spent certificate that relays, the vendor and auditors share: whatever one of them accepts, all do.

use ed25519_zebra as zebra;
use rand_core::{CryptoRng, RngCore};

use crate::keys::{BadKey, PublicKey, Signature, message};
use crate::manifest::DenominationKey;
use crate::spend::{Binding, SpendKind};
use crate::token::Token;

/// A certificate with the signature that spends it, and the key that it names.
pub struct Spend<'a> {
    /// The certificate.
    pub token: &'a Token,
    /// The denomination key that [`Token::key_id`] names.
    pub key: &'a DenominationKey,
    /// Whether it was spent or renewed, and so what its key signed under.
    pub kind: SpendKind,
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

impl From<BadKey> for Rejection {
    fn from(BadKey: BadKey) -> Self {
        Self::CertificateKey
    }
}

/// The certificate's key, once that and the vendor's signature over it are known to be good.
fn check_certificate(token: &Token, key: &DenominationKey) -> Result<PublicKey, Rejection> {
    let certificate_key = token.certificate_key()?;
    key.public()
        .verify(&token.signed_part(), &token.authenticator)
        .map_err(|_| Rejection::CertificateSignature)?;
    Ok(certificate_key)
}

/// Checks one certificate.
///
/// # Errors
/// The first [`Rejection`], in the order of verification.md.
pub fn check_one(spend: &Spend<'_>) -> Result<(), Rejection> {
    check_certificate(spend.token, spend.key)?
        .verify(spend.kind.label(), spend.binding.as_bytes(), spend.signature)
        .map_err(|_| Rejection::SpendSignature)
}

/// Checks many certificates: each RSA signature on its own, the Ed25519 signatures together. The result of each is that
/// of [`check_one`]; where the batch fails, its signatures are checked one by one. `rng` draws the batch's coefficients,
/// which whoever made the signatures must not be able to guess.
pub fn check_batch(
    spends: &[Spend<'_>],
    rng: &mut (impl RngCore + CryptoRng),
) -> Vec<Result<(), Rejection>> {
    let checked = |spend: &Spend<'_>| check_certificate(spend.token, spend.key).map(|_| ());
    let mut results: Vec<_> = spends.iter().map(checked).collect();
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
    let message = message(spend.kind.label(), spend.binding.as_bytes());
    zebra::batch::Item::from((key, signature, &message))
}
