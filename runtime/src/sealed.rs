//! Secrets encrypted at rest under a passphrase.
//!
//! Argon2id makes a key of the passphrase, XChaCha20-Poly1305 seals with it. Two forms:
//!
//! - [`seal`] and [`open`] for one secret: `header ‖ nonce ‖ ciphertext`, with
//!   `header ‖ context` authenticated besides;
//! - [`seal_with_key`] and [`open_with_key`] for a store of many, which derives a
//!   [`SealingKey`] once from one [`KdfHeader`]: `nonce ‖ ciphertext` for each record, with
//!   a label and `context` authenticated besides.
//!
//! The context says which secret it is (`b"issuer root key"`, a record's id), so that
//! nobody who can write to the disk can put one in the place of another.
//!
//! The header, 37 bytes, integers big-endian:
//! `"scripkdf" ‖ version 1 (u8) ‖ memory in KiB (u32) ‖ passes (u32) ‖ lanes (u32) ‖ salt (16)`.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use rand_core::{CryptoRng, RngCore};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::passphrase::Passphrase;

const MAGIC: [u8; 8] = *b"scripkdf";
const VERSION: u8 = 1;
const RECORD_LABEL: &[u8] = b"scrip sealed record v1\0";
const SALT_LEN: usize = 16;
const NONCE_LEN: usize = 24;
const KEY_LEN: usize = 32;

/// The most memory that a header may ask for: 1 GiB. Whoever can write a file must not be
/// able to exhaust the machine that reads it.
pub const MAX_MEMORY_KIB: u32 = 1 << 20;
/// The most passes that a header may ask for.
pub const MAX_PASSES: u32 = 16;
/// The most lanes that a header may ask for.
pub const MAX_LANES: u32 = 16;

/// What deriving a key costs (Argon2id, RFC 9106).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealParams {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl SealParams {
    /// 64 MiB, 3 passes, 1 lane: a fraction of a second, for programs that unlock at start.
    pub const fn interactive() -> Self {
        Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 }
    }

    /// The least that Argon2 allows. Protects nothing.
    pub const fn for_tests() -> Self {
        Self { memory_kib: 8, passes: 1, lanes: 1 }
    }

    /// What a header asks for, within Argon2's bounds and ours.
    fn checked(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, SealedError> {
        let sane = (1..=MAX_LANES).contains(&lanes)
            && (1..=MAX_PASSES).contains(&passes)
            && (8 * lanes..=MAX_MEMORY_KIB).contains(&memory_kib);
        if sane {
            Ok(Self { memory_kib, passes, lanes })
        } else {
            Err(SealedError::Excessive { memory_kib, passes, lanes })
        }
    }
}

/// Why a sealed secret was not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealedError {
    /// The bytes do not start as a sealed secret does, or end too early.
    #[error("not a sealed secret, or cut short; restore the file from a backup")]
    Malformed,
    /// A newer program wrote it.
    #[error("sealed in format {version}, which this program does not know; use a newer release")]
    UnknownVersion {
        /// The version found.
        version: u8,
    },
    /// The header asks for more than any honest program writes.
    #[error(
        "the header asks for {memory_kib} KiB, {passes} passes and {lanes} lanes, which is out of \
         bounds: the file was damaged or forged; restore it from a backup"
    )]
    Excessive {
        /// Memory in KiB.
        memory_kib: u32,
        /// Passes over the memory.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
    /// It does not decrypt. Which of the causes it is cannot be told.
    #[error(
        "the secret does not open: the passphrase is wrong, or the data was changed or belongs \
         to another place; try the passphrase again, else restore from a backup"
    )]
    DoesNotOpen,
}

/// How a key is derived: written once for a store, beside its sealed records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KdfHeader {
    params: SealParams,
    salt: [u8; SALT_LEN],
}

impl KdfHeader {
    /// Bytes of an encoded header.
    pub const LEN: usize = MAGIC.len() + 1 + 3 * 4 + SALT_LEN;

    /// A header with a fresh salt from `rng`.
    pub fn generate(params: SealParams, rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut salt = [0; SALT_LEN];
        rng.fill_bytes(&mut salt);
        Self { params, salt }
    }

    /// The header's bytes, as the module describes them.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        let fields: [&[u8]; 6] = [
            &MAGIC,
            &[VERSION],
            &self.params.memory_kib.to_be_bytes(),
            &self.params.passes.to_be_bytes(),
            &self.params.lanes.to_be_bytes(),
            &self.salt,
        ];
        let bytes = fields.into_iter().flatten();
        out.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        out
    }

    /// Reads a header and nothing else.
    ///
    /// # Errors
    ///
    /// [`SealedError::Malformed`], [`SealedError::UnknownVersion`], or
    /// [`SealedError::Excessive`] where its parameters are out of bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, SealedError> {
        match Self::split(bytes)? {
            (header, []) => Ok(header),
            _ => Err(SealedError::Malformed),
        }
    }

    /// Reads a header from the start of `bytes` and returns the rest.
    fn split(bytes: &[u8]) -> Result<(Self, &[u8]), SealedError> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or(SealedError::Malformed)?;
        let (version, rest) = take::<1>(rest)?;
        if version != [VERSION] {
            return Err(SealedError::UnknownVersion { version: version[0] });
        }
        let (memory_kib, rest) = take::<4>(rest)?;
        let (passes, rest) = take::<4>(rest)?;
        let (lanes, rest) = take::<4>(rest)?;
        let (salt, rest) = take::<SALT_LEN>(rest)?;
        let params = SealParams::checked(
            u32::from_be_bytes(memory_kib),
            u32::from_be_bytes(passes),
            u32::from_be_bytes(lanes),
        )?;
        Ok((Self { params, salt }, rest))
    }
}

/// The key that a passphrase and a header make. Wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SealingKey([u8; KEY_LEN]);

impl SealingKey {
    /// Runs Argon2id, which takes as long as the header's parameters make it: away from
    /// the threads of an async runtime, please.
    #[allow(clippy::expect_used, reason = "a `KdfHeader` holds only what Argon2 accepts")]
    pub fn derive(passphrase: &Passphrase, header: &KdfHeader) -> Self {
        let SealParams { memory_kib, passes, lanes } = header.params;
        let params = Params::new(memory_kib, passes, lanes, Some(KEY_LEN))
            .expect("parameters are checked where a header is made");
        let mut key = Self([0; KEY_LEN]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.as_bytes(), &header.salt, &mut key.0)
            .expect("a passphrase is shorter than 4 GiB, salt and key have fixed sizes");
        key
    }
}

/// Seals one secret under a passphrase. Runs Argon2id; see [`SealingKey::derive`].
pub fn seal(
    passphrase: &Passphrase,
    params: SealParams,
    context: &[u8],
    plaintext: &[u8],
    rng: &mut (impl RngCore + CryptoRng),
) -> Vec<u8> {
    let header = KdfHeader::generate(params, rng);
    let key = SealingKey::derive(passphrase, &header);
    let encoded = header.encode();
    let mut sealed = encoded.to_vec();
    sealed.extend(encrypt(&key, &[&encoded, context], plaintext, rng));
    sealed
}

/// Opens what [`seal`] made with the same passphrase and context.
///
/// # Errors
///
/// [`SealedError`].
pub fn open(
    passphrase: &Passphrase,
    context: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealedError> {
    let (header, body) = KdfHeader::split(sealed)?;
    let key = SealingKey::derive(passphrase, &header);
    decrypt(&key, &[&header.encode(), context], body)
}

/// Seals one record of a store.
pub fn seal_with_key(
    key: &SealingKey,
    context: &[u8],
    plaintext: &[u8],
    rng: &mut (impl RngCore + CryptoRng),
) -> Vec<u8> {
    encrypt(key, &[RECORD_LABEL, context], plaintext, rng)
}

/// Opens what [`seal_with_key`] made with the same key and context.
///
/// # Errors
///
/// [`SealedError::Malformed`] or [`SealedError::DoesNotOpen`].
pub fn open_with_key(
    key: &SealingKey,
    context: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealedError> {
    decrypt(key, &[RECORD_LABEL, context], sealed)
}

/// `nonce ‖ ciphertext ‖ tag`. The first part of `authenticated` has a fixed length or end,
/// so that its parts cannot be shifted against each other.
#[allow(clippy::expect_used, reason = "the cipher refuses only messages of 256 GiB and more")]
fn encrypt(
    key: &SealingKey,
    authenticated: &[&[u8]; 2],
    plaintext: &[u8],
    rng: &mut (impl RngCore + CryptoRng),
) -> Vec<u8> {
    let mut nonce = [0; NONCE_LEN];
    rng.fill_bytes(&mut nonce);
    let payload = Payload { msg: plaintext, aad: &authenticated.concat() };
    let ciphertext = XChaCha20Poly1305::new(&key.0.into())
        .encrypt(XNonce::from_slice(&nonce), payload)
        .expect("a secret is shorter than 256 GiB");
    [nonce.as_slice(), &ciphertext].concat()
}

fn decrypt(
    key: &SealingKey,
    authenticated: &[&[u8]; 2],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealedError> {
    let (nonce, ciphertext) = take::<NONCE_LEN>(sealed)?;
    let payload = Payload { msg: ciphertext, aad: &authenticated.concat() };
    XChaCha20Poly1305::new(&key.0.into())
        .decrypt(&nonce.into(), payload)
        .map(Zeroizing::new)
        .map_err(|_| SealedError::DoesNotOpen)
}

fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), SealedError> {
    let (head, rest) = bytes.split_first_chunk::<N>().ok_or(SealedError::Malformed)?;
    Ok((*head, rest))
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::from_seed([7; 32])
    }

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text.to_owned())
    }

    fn sealed() -> Vec<u8> {
        seal(&passphrase("right"), SealParams::for_tests(), b"root key", b"secret", &mut rng())
    }

    fn error(passphrase_text: &str, context: &[u8], sealed: &[u8]) -> SealedError {
        open(&passphrase(passphrase_text), context, sealed).unwrap_err()
    }

    #[test]
    fn what_was_sealed_opens() {
        let opened = open(&passphrase("right"), b"root key", &sealed()).unwrap();
        assert_eq!(opened.as_slice(), b"secret");
        assert_eq!(sealed().len(), KdfHeader::LEN + NONCE_LEN + b"secret".len() + 16);
    }

    #[test]
    fn another_passphrase_or_context_does_not_open_it() {
        assert_eq!(error("wrong", b"root key", &sealed()), SealedError::DoesNotOpen);
        assert_eq!(error("right", b"other key", &sealed()), SealedError::DoesNotOpen);
        assert_eq!(error("right", b"", &sealed()), SealedError::DoesNotOpen);
    }

    #[test]
    fn nothing_short_of_the_whole_opens() {
        let sealed = sealed();
        for len in 0..sealed.len() {
            assert!(open(&passphrase("right"), b"root key", &sealed[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn no_flipped_bit_goes_unseen() {
        for index in 0..sealed().len() {
            // The sizes are skipped: a flip there may ask for a gigabyte, see below.
            if (9..21).contains(&index) {
                continue;
            }
            let mut damaged = sealed();
            damaged[index] ^= 1;
            assert!(open(&passphrase("right"), b"root key", &damaged).is_err(), "{index}");
        }
        let mut more_passes = sealed();
        more_passes[16] = 2;
        assert_eq!(error("right", b"root key", &more_passes), SealedError::DoesNotOpen);
    }

    #[test]
    fn hostile_parameters_are_refused_before_any_work() {
        let hostile: [(u32, u32, u32); 7] = [
            (u32::MAX, 1, 1),
            (MAX_MEMORY_KIB + 1, 1, 1),
            (8, MAX_PASSES + 1, 1),
            (8, 0, 1),
            (8, 1, 0),
            (7, 1, 1),
            (MAX_MEMORY_KIB, 1, u32::MAX),
        ];
        for (memory_kib, passes, lanes) in hostile {
            let mut forged = sealed();
            forged[9..13].copy_from_slice(&memory_kib.to_be_bytes());
            forged[13..17].copy_from_slice(&passes.to_be_bytes());
            forged[17..21].copy_from_slice(&lanes.to_be_bytes());
            assert_eq!(
                error("right", b"root key", &forged),
                SealedError::Excessive { memory_kib, passes, lanes }
            );
        }
    }

    #[test]
    fn foreign_and_newer_files_are_told_apart() {
        assert_eq!(error("right", b"", b"-----BEGIN"), SealedError::Malformed);
        let mut newer = sealed();
        newer[8] = 2;
        assert_eq!(error("right", b"", &newer), SealedError::UnknownVersion { version: 2 });
    }

    #[test]
    fn one_header_serves_many_records() {
        let mut rng = rng();
        let header = KdfHeader::generate(SealParams::for_tests(), &mut rng);
        let first = SealingKey::derive(&passphrase("right"), &header);
        let one = seal_with_key(&first, b"1", b"one", &mut rng);
        let two = seal_with_key(&first, b"2", b"two", &mut rng);

        let header = KdfHeader::decode(&header.encode()).unwrap();
        let key = SealingKey::derive(&passphrase("right"), &header);
        assert_eq!(open_with_key(&key, b"1", &one).unwrap().as_slice(), b"one");
        assert_eq!(open_with_key(&key, b"2", &two).unwrap().as_slice(), b"two");
        assert_eq!(open_with_key(&key, b"1", &two), Err(SealedError::DoesNotOpen), "swapped");
        assert_eq!(open_with_key(&key, b"1", &one[..20]), Err(SealedError::Malformed));
        let wrong = SealingKey::derive(&passphrase("wrong"), &header);
        assert_eq!(open_with_key(&wrong, b"1", &one), Err(SealedError::DoesNotOpen));
    }

    #[test]
    fn a_header_followed_by_anything_is_not_a_header() {
        let header = KdfHeader::generate(SealParams::interactive(), &mut rng());
        let mut bytes = header.encode().to_vec();
        assert_eq!(KdfHeader::decode(&bytes), Ok(header));
        bytes.push(0);
        assert_eq!(KdfHeader::decode(&bytes), Err(SealedError::Malformed));
    }

    #[test]
    fn the_format_does_not_change_by_accident() {
        let header = KdfHeader { params: SealParams::interactive(), salt: [0xab; SALT_LEN] };
        let mut expected = b"scripkdf\x01\x00\x01\x00\x00\x00\x00\x00\x03\x00\x00\x00\x01".to_vec();
        expected.extend([0xab; SALT_LEN]);
        assert_eq!(header.encode().as_slice(), expected);
    }
}
