//! Ed25519 keys (RFC 8032), verified by the rules of ZIP 215 everywhere.

use ed25519_zebra as zebra;
use rand_core::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use crate::hash::Label;
use crate::id::{ParseIdError, identifier};
use crate::tlog::cosignature;
use crate::tlog::note::may_be_signed;

identifier!(
    /// An Ed25519 public key: 32 bytes, not yet known to be a point.
    PublicKey,
    32
);

/// An Ed25519 signature: 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signature([u8; 64]);

/// The signature does not verify, or the key is no point on the curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify under this key")]
pub struct BadSignature;

/// `uint8(len(label)) ‖ label ‖ data`, the bytes that are signed.
pub(crate) fn message(label: Label, data: &[u8]) -> Vec<u8> {
    let mut message: Vec<u8> = label.prefix().collect();
    message.extend_from_slice(data);
    message
}

use crate::id::{encode_base64url, parse};

impl Signature {
    /// The signature with these bytes.
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl std::fmt::Display for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&encode_base64url(&self.0))
    }
}

impl std::str::FromStr for Signature {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        parse(text).map(Self)
    }
}

impl PublicKey {
    /// Checks `signature` over `data` (ZIP 215).
    ///
    /// # Errors
    /// [`BadSignature`] where it does not verify or this is no key.
    pub fn verify(
        &self,
        label: Label,
        data: &[u8],
        signature: &Signature,
    ) -> Result<(), BadSignature> {
        let key = zebra::VerificationKey::try_from(self.0).map_err(|_| BadSignature)?;
        key.verify(&zebra::Signature::from_bytes(&signature.0), &message(label, data))
            .map_err(|_| BadSignature)
    }

    /// Checks `signature` over a text without a label (ZIP 215): a note's, or what a witness cosigns.
    pub(crate) fn verify_text(
        &self,
        text: &str,
        signature: &Signature,
    ) -> Result<(), BadSignature> {
        let key = zebra::VerificationKey::try_from(self.0).map_err(|_| BadSignature)?;
        key.verify(&zebra::Signature::from_bytes(&signature.0), text.as_bytes())
            .map_err(|_| BadSignature)
    }
}

/// An Ed25519 private key, with its public half.
pub struct SigningKey {
    seed: Zeroizing<[u8; 32]>,
    key: Zeroizing<zebra::SigningKey>,
    public: PublicKey,
}

impl SigningKey {
    /// The key of a 32-byte seed (RFC 8032, section 5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let key = Zeroizing::new(zebra::SigningKey::from(*seed));
        let public = PublicKey::from_bytes(zebra::VerificationKeyBytes::from(&*key).into());
        Self { seed: Zeroizing::new(*seed), key, public }
    }

    /// A new key.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *seed);
        Self::from_seed(&seed)
    }

    /// The seed, to be sealed and stored.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs `data` for the use that `label` names.
    pub fn sign(&self, label: Label, data: &[u8]) -> Signature {
        Signature(self.key.sign(&message(label, data)).into())
    }

    /// Signs a note's text as it is (ledger.md, "Checkpoints"). `None` where the text could be taken for something that is signed under
    /// a label, or for a cosignature.
    pub(crate) fn sign_text(&self, text: &str) -> Option<Signature> {
        may_be_signed(text).then(|| Signature(self.key.sign(text.as_bytes()).into()))
    }

    /// Signs what a witness cosigns. `text` begins with the header of cosignatures.
    pub(crate) fn sign_cosignature(&self, text: &str) -> Signature {
        debug_assert!(text.starts_with(cosignature::HEADER));
        Signature(self.key.sign(text.as_bytes()).into())
    }
}
