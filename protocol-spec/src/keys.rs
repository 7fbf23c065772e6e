//! Ed25519 keys (RFC 8032), verified by the rules of ZIP 215 everywhere.

use ed25519_zebra as zebra;
use rand_core::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use crate::hash::Label;
use crate::id::{ParseIdError, encode_base64url, parse, serde_as_text};
use crate::tlog::cosignature;
use crate::tlog::note::may_be_signed;

/// An Ed25519 public key: the canonical encoding of a y coordinate, and not that of a point of small order (keys.md, "Public
/// keys"). Whether there is a point with this y shows when a signature is checked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

/// 32 bytes that nobody's key can be. The fault of whoever sent or stored them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no key: not the canonical encoding of a point of large order")]
pub struct BadKey;

/// Text that is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseKeyError {
    /// Not base64url of 32 bytes.
    #[error(transparent)]
    Form(#[from] ParseIdError),
    /// No key.
    #[error(transparent)]
    Encoding(#[from] BadKey),
}

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

impl PublicKey {
    /// The key with these bytes: y reduced, and not of small order. Decided by the bytes alone, in some nanoseconds.
    ///
    /// # Errors
    /// [`BadKey`].
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, BadKey> {
        let mut y = bytes;
        y[31] &= 0x7f;
        let reduced = y.iter().rev().lt(P.iter().rev());
        if reduced && !SMALL_ORDER_Y.contains(&y) { Ok(Self(bytes)) } else { Err(BadKey) }
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

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

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&encode_base64url(&self.0))
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl std::str::FromStr for PublicKey {
    type Err = ParseKeyError;
    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        Ok(Self::from_bytes(parse(text)?)?)
    }
}

serde_as_text!(PublicKey);

/// One key does where one of several must have signed.
impl<'k> IntoIterator for &'k PublicKey {
    type Item = &'k PublicKey;
    type IntoIter = std::iter::Once<&'k PublicKey>;

    fn into_iter(self) -> Self::IntoIter {
        std::iter::once(self)
    }
}

/// Checks that one of `keys` signed `data`.
pub(crate) fn verify_by_one_of<'k>(
    keys: impl IntoIterator<Item = &'k PublicKey>,
    label: Label,
    data: &[u8],
    signature: &Signature,
) -> Result<(), BadSignature> {
    let signed = keys.into_iter().any(|key| key.verify(label, data, signature).is_ok());
    if signed { Ok(()) } else { Err(BadSignature) }
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
        // Canonical, and of large order: the scalar of a seed is no multiple of the group's order (RFC 8032, section 5.1.5).
        let public = PublicKey(zebra::VerificationKeyBytes::from(&*key).into());
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

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
