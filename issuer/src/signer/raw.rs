//! The raw RSA operations of AWS-LC. The one module of the workspace with unsafe code.
//!
//! `aws-lc-rs` signs only what it has hashed and padded itself, so that a blind signature, which is the private
//! operation on a number that the signer must not understand, needs these few calls into `aws-lc-sys`. They are
//! the least that does it: read a key, apply it, apply its public half.

#![allow(unsafe_code, reason = "calls into AWS-LC, each with its reason")]

use std::ptr::NonNull;

use aws_lc_sys as lc;

use super::{BadKey, Operations, RsaFault};

/// An RSA private key in AWS-LC's memory, which AWS-LC wipes when it is freed.
pub struct PrivateKey {
    rsa: NonNull<lc::RSA>,
    modulus: Vec<u8>,
}

// SAFETY: AWS-LC documents (`rsa.h`, "An RSA object represents a public or private RSA key. A given object may be
// used concurrently on multiple threads by non-mutating functions, provided no other thread is concurrently calling
// a mutating function.") and we call none that mutates after construction: signing and verifying take their caches
// (Montgomery contexts, blinding factors) under the object's own lock.
unsafe impl Send for PrivateKey {}
// SAFETY: as above.
unsafe impl Sync for PrivateKey {}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        // SAFETY: `rsa` came from `RSA_private_key_from_bytes`, is owned by this value alone, and is freed once.
        unsafe { lc::RSA_free(self.rsa.as_ptr()) }
    }
}

impl PrivateKey {
    /// Reads a PKCS#1 `RSAPrivateKey` (RFC 8017, appendix A.1.2). AWS-LC checks the numbers against each other, so
    /// that a key with a damaged part is refused here.
    ///
    /// # Errors
    /// [`BadKey`].
    pub fn from_pkcs1(der: &[u8]) -> Result<Self, BadKey> {
        // SAFETY: pointer and length describe `der`, which outlives the call; the result is null or owned by us.
        let rsa = unsafe { lc::RSA_private_key_from_bytes(der.as_ptr(), der.len()) };
        let Some(rsa) = NonNull::new(rsa) else {
            clear_errors();
            return Err(BadKey);
        };
        let mut key = Self { rsa, modulus: Vec::new() };
        // SAFETY: `rsa` is a valid key.
        key.modulus = vec![0; unsafe { lc::RSA_size(rsa.as_ptr()) } as usize];
        // SAFETY: `RSA_get0_n` lends the modulus for as long as the key lives; the buffer has the length that is given.
        let written = unsafe {
            let n = lc::RSA_get0_n(rsa.as_ptr());
            lc::BN_bn2bin_padded(key.modulus.as_mut_ptr(), key.modulus.len(), n)
        };
        if written == 1 { Ok(key) } else { Err(BadKey) }
    }
}

impl Operations for PrivateKey {
    fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    fn private(&self, input: &[u8], output: &mut [u8]) -> Result<(), RsaFault> {
        self.run(lc::RSA_sign_raw, input, output)
    }

    fn public(&self, input: &[u8], output: &mut [u8]) -> Result<(), RsaFault> {
        self.run(lc::RSA_verify_raw, input, output)
    }
}

/// The common signature of `RSA_sign_raw` and `RSA_verify_raw`.
type RawOperation =
    unsafe extern "C" fn(*mut lc::RSA, *mut usize, *mut u8, usize, *const u8, usize, i32) -> i32;

impl PrivateKey {
    fn run(
        &self,
        operation: RawOperation,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<(), RsaFault> {
        if input.len() != self.modulus.len() || output.len() != self.modulus.len() {
            return Err(RsaFault);
        }
        let mut length = 0;
        // SAFETY: the key is valid; `input` and `output` are separate borrows with the lengths that are given, and
        // AWS-LC writes at most `output.len()` bytes. With RSA_NO_PADDING both functions read `input.len()` bytes,
        // which is the key's size, and refuse an input that is not below the modulus.
        let result = unsafe {
            operation(
                self.rsa.as_ptr(),
                &raw mut length,
                output.as_mut_ptr(),
                output.len(),
                input.as_ptr(),
                input.len(),
                lc::RSA_NO_PADDING,
            )
        };
        if result == 1 && length == self.modulus.len() {
            return Ok(());
        }
        output.fill(0);
        clear_errors();
        Err(RsaFault)
    }
}

/// Empties AWS-LC's error queue of this thread, which nobody reads and which would keep the entries.
fn clear_errors() {
    // SAFETY: takes no arguments and touches only this thread's queue.
    unsafe { lc::ERR_clear_error() }
}
