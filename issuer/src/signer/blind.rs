//! One blind signature: range check, private operation, check of the result.

use scrip_protocol::limits::RSA;
use zeroize::Zeroizing;

/// What a private key can do with numbers below its modulus, both of the modulus' length, big-endian.
///
/// A trait so that a test can put a key behind the check that computes wrongly.
pub trait Operations {
    /// The modulus, without leading zeros.
    fn modulus(&self) -> &[u8];

    /// `output = input^d mod n`
    ///
    /// # Errors
    /// [`RsaFault`] where the library refuses or its own check fails; `output` then holds nothing.
    fn private(&self, input: &[u8], output: &mut [u8]) -> Result<(), RsaFault>;

    /// `output = input^e mod n`
    ///
    /// # Errors
    /// [`RsaFault`]
    fn public(&self, input: &[u8], output: &mut [u8]) -> Result<(), RsaFault>;
}

/// The bytes are no RSA private key, or its numbers do not belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored bytes are no valid RSA private key; restore the database from a backup")]
pub struct BadKey;

/// The RSA library refused, or computed wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the RSA library failed; nothing was released")]
pub struct RsaFault;

/// Why there is no blind signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The blinded message is not of the modulus' length, not below the modulus, or one of 0, 1 and n − 1, whose
    /// signatures are known to everybody and which no blinding produces.
    #[error("a blinded message is out of range")]
    OutOfRange,
    /// The result did not verify, or the library refused. A signature with a fault would give the key away
    /// (Boneh, DeMillo, Lipton 1997), so nothing leaves.
    #[error(
        "a signature was computed wrongly and withheld; check this machine's memory and processor"
    )]
    Fault,
    /// More is waiting than the queue holds.
    #[error("too many signatures are waiting")]
    Overloaded,
    /// The signer has been shut down.
    #[error("the signer has been shut down")]
    Closed,
}

/// Whether `message` can be signed under `modulus`: of its length, and from 2 to n − 2.
pub fn in_range(message: &[u8], modulus: &[u8]) -> bool {
    let Some((last, head)) = message.split_last() else { return false };
    let small = *last < 2 && head.iter().all(|byte| *byte == 0);
    // n is odd, so that n − 1 differs from it in the last bit only.
    let n_minus_one =
        modulus.split_last().is_some_and(|(n_last, n_head)| head == n_head && *last == n_last & !1);
    // Of one length, numbers compare as their big-endian bytes do.
    message.len() == modulus.len() && message < modulus && !small && !n_minus_one
}

/// BlindSign of RFC 9474, section 4.3, for a key of any size: `signature = message^d mod n`, released only where
/// `signature^e mod n == message`.
///
/// # Errors
/// [`SignError::OutOfRange`], [`SignError::Fault`]; `signature` is then all zero.
pub fn blind_sign_into(
    key: &impl Operations,
    message: &[u8],
    signature: &mut [u8],
) -> Result<(), SignError> {
    signature.fill(0);
    if !in_range(message, key.modulus()) {
        return Err(SignError::OutOfRange);
    }
    let mut candidate = Zeroizing::new(vec![0; signature.len()]);
    let mut check = vec![0; signature.len()];
    key.private(message, &mut candidate).map_err(|RsaFault| SignError::Fault)?;
    key.public(&candidate, &mut check).map_err(|RsaFault| SignError::Fault)?;
    if check != message {
        return Err(SignError::Fault);
    }
    signature.copy_from_slice(&candidate);
    Ok(())
}

/// [`blind_sign_into`] for RSA-2048.
///
/// # Errors
/// As there.
pub fn blind_sign(key: &impl Operations, message: &[u8; RSA]) -> Result<[u8; RSA], SignError> {
    let mut signature = [0; RSA];
    blind_sign_into(key, message, &mut signature)?;
    Ok(signature)
}
