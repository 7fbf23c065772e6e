//! Denomination public keys: RSA-2048 with e = 65537, and the verification of RSABSSA-SHA384-PSS-Deterministic
//! (RFC 9474), which is RSASSA-PSS with SHA-384, MGF1 with SHA-384 and a salt of 48 bytes.
//!
//! Natively aws-lc verifies (four times as fast); on wasm32 the pure-Rust `rsa` does. Both accept the same set, see the tests.

use sha2::{Digest, Sha256};

use crate::blind::{BlindError, Blinded, Modulus};
use crate::id::KeyId;
use crate::limits::RSA;

/// What comes before the modulus in the SubjectPublicKeyInfo of RFC 9578, section 6.5; the modulus and exponent have fixed
/// sizes, so that this is constant.
const SPKI_PREFIX: [u8; 81] = *b"\
\x30\x82\x01\x52\x30\x3d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x30\xa0\x0d\x30\x0b\x06\x09\x60\x86\
\x48\x01\x65\x03\x04\x02\x02\xa1\x1a\x30\x18\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\x30\x0b\x06\x09\x60\
\x86\x48\x01\x65\x03\x04\x02\x02\xa2\x03\x02\x01\x30\x03\x82\x01\x0f\x00\x30\x82\x01\x0a\x02\x82\x01\x01\x00";

/// What comes after it: INTEGER 65537.
const SPKI_SUFFIX: [u8; 5] = [0x02, 0x03, 0x01, 0x00, 0x01];

/// Bytes that are no RSA-2048 modulus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a modulus has 2048 bits and is odd")]
pub struct BadModulus;

/// The signature does not verify under the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the RSA signature does not verify")]
pub struct BadRsaSignature;

/// The public half of a denomination key, parsed once.
#[derive(Clone)]
pub struct TokenPublicKey {
    bytes: [u8; RSA],
    id: KeyId,
    modulus: Modulus,
    verifier: backend::Verifier,
}

impl TokenPublicKey {
    /// The key with this modulus, big-endian.
    ///
    /// # Errors
    /// [`BadModulus`] unless the top bit and the lowest bit are set.
    pub fn from_modulus(bytes: [u8; RSA]) -> Result<Self, BadModulus> {
        if bytes[0] & 0x80 == 0 || bytes[RSA - 1] & 1 == 0 {
            return Err(BadModulus);
        }
        let modulus = Modulus::new(&bytes).ok_or(BadModulus)?;
        let verifier = backend::Verifier::new(&bytes)?;
        let id = KeyId::from_bytes(Sha256::digest(spki(&bytes)).into());
        Ok(Self { bytes, id, modulus, verifier })
    }

    /// The key of a SubjectPublicKeyInfo in the one encoding that RFC 9578 makes.
    ///
    /// # Errors
    /// [`BadModulus`] for every other encoding.
    pub fn from_spki(spki: &[u8]) -> Result<Self, BadModulus> {
        let modulus = spki
            .strip_prefix(&SPKI_PREFIX)
            .and_then(|rest| rest.strip_suffix(&SPKI_SUFFIX))
            .and_then(|modulus| modulus.try_into().ok())
            .ok_or(BadModulus)?;
        Self::from_modulus(modulus)
    }

    /// The modulus, big-endian.
    pub fn modulus(&self) -> &[u8; RSA] {
        &self.bytes
    }

    /// The SubjectPublicKeyInfo (RFC 9578, section 6.5).
    pub fn spki(&self) -> Vec<u8> {
        spki(&self.bytes)
    }

    /// SHA-256 of the SubjectPublicKeyInfo.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Whether a blinded message can be signed (RFC 9474, section 4.3): above 1, and below the modulus less 1.
    pub fn contains(&self, blinded_message: &[u8; RSA]) -> bool {
        let (mut one, mut less_1) = ([0; RSA], self.bytes);
        (one[RSA - 1], less_1[RSA - 1]) = (1, less_1[RSA - 1] & !1);
        // Big-endian numbers of one length compare as their bytes do; a modulus is odd.
        one < *blinded_message && *blinded_message < less_1
    }

    /// Verifies an authenticator over `message` (RFC 9474, section 4.5).
    ///
    /// # Errors
    /// [`BadRsaSignature`] where it does not verify.
    pub fn verify(&self, message: &[u8], signature: &[u8; RSA]) -> Result<(), BadRsaSignature> {
        self.verifier.verify(message, signature)
    }

    pub(crate) fn blind(
        &self,
        message: &[u8],
        salt: &[u8],
        r: &[u8],
    ) -> Result<Blinded, BlindError> {
        self.modulus.blind(message, salt, r)
    }

    pub(crate) fn unblind(&self, blind_signature: &[u8], blinded: &Blinded) -> Option<Vec<u8>> {
        self.modulus.unblind(blind_signature, blinded)
    }
}

fn spki(modulus: &[u8; RSA]) -> Vec<u8> {
    [&SPKI_PREFIX[..], modulus, &SPKI_SUFFIX].concat()
}

#[cfg(not(target_arch = "wasm32"))]
mod backend {
    use std::sync::Arc;

    use aws_lc_rs::signature::{ParsedPublicKey, RSA_PSS_2048_8192_SHA384};

    use super::{BadModulus, BadRsaSignature, RSA};

    #[derive(Clone)]
    pub(super) struct Verifier(Arc<ParsedPublicKey>);

    impl Verifier {
        pub(super) fn new(modulus: &[u8; RSA]) -> Result<Self, BadModulus> {
            // aws-lc wants the bare RSAPublicKey (RFC 8017, appendix A.1.1), which the SPKI of
            // RFC 9578 wraps: its last 270 bytes.
            let spki = super::spki(modulus);
            let rsa_public_key = spki.get(72..).ok_or(BadModulus)?;
            ParsedPublicKey::new(&RSA_PSS_2048_8192_SHA384, rsa_public_key)
                .map(|key| Self(Arc::new(key)))
                .map_err(|_| BadModulus)
        }

        pub(super) fn verify(
            &self,
            message: &[u8],
            signature: &[u8; RSA],
        ) -> Result<(), BadRsaSignature> {
            self.0.verify_sig(message, signature).map_err(|_| BadRsaSignature)
        }
    }
}

#[cfg(any(target_arch = "wasm32", test))]
#[cfg_attr(not(target_arch = "wasm32"), allow(dead_code))]
mod portable {
    use rsa::BoxedUint;
    use rsa::RsaPublicKey;
    use rsa::pss::{Signature, VerifyingKey};
    use rsa::signature::Verifier as _;
    use sha2::Sha384;

    use super::{BadModulus, BadRsaSignature, RSA};

    #[derive(Clone)]
    pub(super) struct Verifier(VerifyingKey<Sha384>);

    impl Verifier {
        pub(super) fn new(modulus: &[u8; RSA]) -> Result<Self, BadModulus> {
            let n = BoxedUint::from_be_slice(modulus, 2048).map_err(|_| BadModulus)?;
            let key = RsaPublicKey::new(n, BoxedUint::from(65_537_u32)).map_err(|_| BadModulus)?;
            Ok(Self(VerifyingKey::new_with_salt_len(key, 48)))
        }

        pub(super) fn verify(
            &self,
            message: &[u8],
            signature: &[u8; RSA],
        ) -> Result<(), BadRsaSignature> {
            let signature = Signature::try_from(&signature[..]).map_err(|_| BadRsaSignature)?;
            self.0.verify(message, &signature).map_err(|_| BadRsaSignature)
        }
    }
}
#[cfg(target_arch = "wasm32")]
use portable as backend;

#[cfg(test)]
#[path = "rsa_tests.rs"]
mod tests;
