//! Blinding and unblinding (RFC 9474, sections 4.2 and 4.4), with the salt and the blind as inputs.
//!
//! `blind-rsa-signatures` draws both from a generator, in an order that is its own affair; the protocol fixes them by derivation from the wallet's
//! seed (keys.md), so that a lost wallet can be restored. The arithmetic is that of `crypto-bigint`, in constant time for everything secret.

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, NonZero, Odd, Resize};
use sha2::{Digest, Sha384};
use zeroize::{Zeroize, Zeroizing};

const HASH: usize = 48;

/// Why a message cannot be blinded under a key: the key is malformed. No honest key gives one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlindError {
    /// The modulus is too short for the encoding.
    #[error("the modulus is too short for this encoding")]
    ModulusTooShort,
    /// The blind or the encoded message has a factor in common with the modulus.
    #[error("the blind has no inverse under this key: the key is malformed")]
    NoInverse,
}

/// A blinded message, and what unblinds its signature.
pub struct Blinded {
    message: Vec<u8>,
    inverse: BoxedUint,
}

impl Blinded {
    /// What the vendor signs; as long as the modulus.
    pub fn message(&self) -> &[u8] {
        &self.message
    }
}

impl Drop for Blinded {
    fn drop(&mut self) {
        self.inverse.zeroize();
    }
}

/// An RSA modulus of any size, with e = 65537.
#[derive(Clone)]
pub struct Modulus {
    params: BoxedMontyParams,
    n: NonZero<BoxedUint>,
    bytes: usize,
}

impl Modulus {
    /// The modulus with these big-endian bytes, or `None` where it is even.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let n = BoxedUint::from_be_slice(bytes, 8 * u32::try_from(bytes.len()).ok()?).ok()?;
        let odd: Odd<BoxedUint> = Option::from(Odd::new(n.clone()))?;
        let n = Option::from(NonZero::new(n))?;
        Some(Self { params: BoxedMontyParams::new_vartime(odd), n, bytes: bytes.len() })
    }

    /// RFC 9474, section 4.2 (Blind), of an already prepared `message`; `salt` has the length of the variant, `r` is any
    /// big-endian number, which is reduced modulo n.
    ///
    /// # Errors
    /// [`BlindError`], only under malformed keys.
    pub fn blind(&self, message: &[u8], salt: &[u8], r: &[u8]) -> Result<Blinded, BlindError> {
        let bits = self.n.bits_precision();
        let encoded = Zeroizing::new(emsa_pss_encode(message, salt, self.bytes)?);
        let m =
            BoxedUint::from_be_slice(&encoded, bits).map_err(|_| BlindError::ModulusTooShort)?;
        let mut r = self.reduce(r);
        let inverse =
            Option::<BoxedUint>::from(r.invert_mod(&self.n)).ok_or(BlindError::NoInverse)?;
        if r.is_zero().into() {
            return Err(BlindError::NoInverse);
        }
        let blind = BoxedMontyForm::new(r.clone(), &self.params)
            .pow_bounded_exp(&BoxedUint::from(65_537_u32), 17);
        let blinded = BoxedMontyForm::new(m, &self.params) * blind;
        r.zeroize();
        Ok(Blinded { message: self.to_bytes(&blinded.retrieve()), inverse })
    }

    /// RFC 9474, section 4.4 (Finalize) without its verification: the caller verifies. `None` where the answer has another length than the modulus,
    /// or is not below it.
    pub fn unblind(&self, blind_signature: &[u8], blinded: &Blinded) -> Option<Vec<u8>> {
        if blind_signature.len() != self.bytes {
            return None;
        }
        let z = BoxedUint::from_be_slice(blind_signature, self.n.bits_precision()).ok()?;
        if z >= *self.n.as_ref() {
            return None;
        }
        Some(self.to_bytes(&z.mul_mod(&blinded.inverse, &self.n)))
    }

    fn reduce(&self, number: &[u8]) -> BoxedUint {
        let bits = 8 * number.len().max(self.bytes) as u32;
        let wide = BoxedUint::from_be_slice_truncated(number, bits);
        wide.rem(&self.n).resize(self.n.bits_precision())
    }

    fn to_bytes(&self, number: &BoxedUint) -> Vec<u8> {
        let bytes = number.to_be_bytes();
        bytes[bytes.len() - self.bytes..].to_vec()
    }
}

/// EMSA-PSS-ENCODE (RFC 8017, section 9.1.1) with SHA-384 and MGF1-SHA-384, for a modulus of `size` whole bytes.
fn emsa_pss_encode(message: &[u8], salt: &[u8], size: usize) -> Result<Vec<u8>, BlindError> {
    let db_len = size.checked_sub(HASH + 1).ok_or(BlindError::ModulusTooShort)?;
    let zeros = db_len.checked_sub(salt.len() + 1).ok_or(BlindError::ModulusTooShort)?;
    let h = Sha384::new()
        .chain_update([0; 8])
        .chain_update(Sha384::digest(message))
        .chain_update(salt)
        .finalize();
    let mut encoded = vec![0; zeros];
    encoded.push(1);
    encoded.extend_from_slice(salt);
    mgf1_xor(&h, &mut encoded);
    // The encoded message has one bit less than the modulus.
    encoded[0] &= 0x7f;
    encoded.extend_from_slice(&h);
    encoded.push(0xbc);
    Ok(encoded)
}

/// MGF1 (RFC 8017, appendix B.2.1) with SHA-384, added to `target`.
fn mgf1_xor(seed: &[u8], target: &mut [u8]) {
    for (counter, block) in target.chunks_mut(HASH).enumerate() {
        let mask = Sha384::new()
            .chain_update(seed)
            .chain_update((counter as u32).to_be_bytes())
            .finalize();
        for (byte, mask) in block.iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }
}

#[cfg(test)]
#[path = "blind_tests.rs"]
mod tests;
