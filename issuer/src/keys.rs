//! Making, sealing and opening the issuer's keys.

use std::collections::BTreeSet;

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
};
use rand_core::{CryptoRng, RngCore};
use scrip_protocol::{
    credits::Exponent,
    id::KeyId,
    keys::SigningKey,
    limits::RSA,
    manifest::{EpochBody, Manifest, ReceiptKey},
    rsa::TokenPublicKey,
};
use scrip_runtime::{
    passphrase::Passphrase,
    sealed::{KdfHeader, SealedError, SealingKey, open_with_key, seal_with_key},
};
use zeroize::Zeroizing;

use crate::{
    epochs::NewEpoch,
    error::{InitError, StartError},
    signer::{BadKey, Operations, raw},
    store::{SealedKey, Store},
};

/// The name of the root key, which signs manifests, and is opened for nothing else.
pub(crate) const ROOT: &str = "root";
/// What the names of keys begin with that sign outcomes, statements and checkpoints.
pub(crate) const RECEIPT: &str = "receipt/";
/// What the names of denomination keys begin with.
pub(crate) const DENOMINATION: &str = "denomination/";

/// The name of a denomination key.
pub(crate) fn denomination(epoch: u32, exponent: Exponent) -> String {
    format!("{DENOMINATION}{epoch}/{}", exponent.get())
}

/// The name of the receipt key that the manifest has since this version.
pub(crate) fn receipt(since_version: u64) -> String {
    format!("{RECEIPT}{since_version}")
}

/// The private receipt keys that still sign.
pub(crate) struct Receipt {
    /// Signs everything.
    pub(crate) newest: SigningKey,
    /// Signs checkpoints too, until the next change, so that witnesses that know it alone can follow.
    pub(crate) before: Option<SigningKey>,
}

impl Receipt {
    /// Opens those of `manifest` among the `sealed` ones.
    pub(crate) fn open(
        vault: &Vault,
        sealed: &[SealedKey],
        manifest: &Manifest,
    ) -> Result<Self, StartError> {
        let open = |of: &ReceiptKey| {
            let name = receipt(of.since_version);
            let found = sealed.iter().find(|sealed| sealed.name == name);
            let key = found.map(|sealed| vault.open_signing_key(sealed)).transpose()?;
            let key = key.filter(|key| key.public() == of.key);
            key.ok_or(StartError::KeyMissing { name })
        };
        let keys = manifest.receipt_keys();
        Ok(Self { newest: open(keys.newest())?, before: keys.before().map(open).transpose()? })
    }
}

/// A new RSA-2048 key.
pub(crate) struct NewRsaKey {
    pub(crate) modulus: [u8; RSA],
    /// PKCS#1
    pub(crate) private: Zeroizing<Vec<u8>>,
}

/// Makes an RSA-2048 key with e = 65537. AWS-LC draws its own randomness: its generator is part of what it certifies.
pub(crate) fn generate_rsa() -> Result<NewRsaKey, InitError> {
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| InitError::KeyGeneration)?;
    let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(|_| InitError::KeyGeneration)?;
    let private = pkcs1_of_pkcs8(pkcs8.as_ref()).ok_or(InitError::KeyGeneration)?;
    // Read back as the signer will read it, so that no key is stored that cannot be used.
    let read = raw::PrivateKey::from_pkcs1(private).map_err(|_| InitError::KeyGeneration)?;
    let modulus = read.modulus().try_into().map_err(|_| InitError::KeyGeneration)?;
    Ok(NewRsaKey { modulus, private: Zeroizing::new(private.to_vec()) })
}

/// Makes a key whose id ends in a byte that is not among `last_bytes`, and adds it: RFC 9578 requests name a key by that
/// byte alone.
pub(crate) fn generate_distinct(last_bytes: &mut [bool; 256]) -> Result<NewRsaKey, InitError> {
    loop {
        let key = generate_rsa()?;
        let public =
            TokenPublicKey::from_modulus(key.modulus).map_err(|_| InitError::KeyGeneration)?;
        let last = usize::from(public.id().as_bytes()[31]);
        if !std::mem::replace(&mut last_bytes[last], true) {
            return Ok(key);
        }
    }
}

/// The PKCS#1 key within a PKCS#8 document of an RSA key of 2048 bits or so, whose lengths all take two bytes:
/// `SEQUENCE { INTEGER 0, SEQUENCE { rsaEncryption, NULL }, OCTET STRING { pkcs1 } }`.
fn pkcs1_of_pkcs8(der: &[u8]) -> Option<&[u8]> {
    const INNER: &[u8] =
        b"\x02\x01\x00\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
    let content = long_element(0x30, der)?;
    long_element(0x04, content.strip_prefix(INNER)?)
}

/// The content of an element with this tag and a length of two bytes that fills `der`.
fn long_element(tag: u8, der: &[u8]) -> Option<&[u8]> {
    let (head, content) = der.split_first_chunk::<4>()?;
    let [found, 0x82, high, low] = *head else { return None };
    let length = usize::from(u16::from_be_bytes([high, low]));
    (found == tag && length == content.len()).then_some(content)
}

/// What opens and seals the private keys: derived once from the passphrase, and held as long as the issuer runs.
pub(crate) struct Vault {
    key: SealingKey,
}

impl Vault {
    pub(crate) fn new(passphrase: &Passphrase, header: &KdfHeader) -> Self {
        Self { key: SealingKey::derive(passphrase, header) }
    }

    /// Derives the key for the private keys in `store`, away from the async runtime: it takes a good part of a second.
    /// Whether the passphrase is right shows when a key is opened.
    pub(crate) async fn of(store: &Store, passphrase: Passphrase) -> Result<Self, StartError> {
        let header = KdfHeader::decode(&store.kdf_header().await?)?;
        let derived = tokio::task::spawn_blocking(move || Self::new(&passphrase, &header));
        derived.await.map_err(|_| StartError::Interrupted)
    }

    pub(crate) fn seal(
        &self,
        name: &str,
        secret: &[u8],
        rng: &mut (impl RngCore + CryptoRng),
    ) -> SealedKey {
        let sealed = seal_with_key(&self.key, name.as_bytes(), secret, rng);
        SealedKey { name: name.to_owned(), sealed }
    }

    /// Opens an Ed25519 key.
    pub(crate) fn open_signing_key(&self, sealed: &SealedKey) -> Result<SigningKey, StartError> {
        let seed = self.open(sealed)?;
        let missing = || StartError::KeyMissing { name: sealed.name.clone() };
        let seed: &[u8; 32] = seed.as_slice().try_into().map_err(|_| missing())?;
        Ok(SigningKey::from_seed(seed))
    }

    /// Opens an RSA key, with its id.
    pub(crate) fn open_rsa(
        &self,
        sealed: &SealedKey,
    ) -> Result<(KeyId, raw::PrivateKey), StartError> {
        let private = raw::PrivateKey::from_pkcs1(&self.open(sealed)?)?;
        let modulus = private.modulus().try_into().map_err(|_| BadKey)?;
        let id = TokenPublicKey::from_modulus(modulus).map_err(|_| BadKey)?.id();
        Ok((id, private))
    }

    fn open(&self, sealed: &SealedKey) -> Result<Zeroizing<Vec<u8>>, SealedError> {
        open_with_key(&self.key, sealed.name.as_bytes(), &sealed.sealed)
    }
}

/// The keys of an epoch.
pub(crate) struct MadeEpoch {
    pub(crate) epoch: EpochBody,
    pub(crate) sealed: Vec<SealedKey>,
}

/// Makes and seals the keys of an epoch, whose ids end in none of `last_bytes`, and adds those that they end in.
pub(crate) fn make_epoch(
    number: u32,
    new: NewEpoch,
    exponents: &BTreeSet<Exponent>,
    vault: &Vault,
    last_bytes: &mut [bool; 256],
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<MadeEpoch, InitError> {
    let (mut keys, mut sealed) = (Vec::new(), Vec::new());
    for exponent in exponents.iter().copied() {
        let key = generate_distinct(last_bytes)?;
        sealed.push(vault.seal(&denomination(number, exponent), &key.private, rng));
        keys.push((exponent, key.modulus));
    }
    let NewEpoch { key_use, windows } = new;
    Ok(MadeEpoch { epoch: EpochBody { number, key_use, windows, keys }, sealed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_read_back_with_its_modulus() {
        let key = generate_rsa().unwrap();
        let private = raw::PrivateKey::from_pkcs1(&key.private).unwrap();
        assert_eq!(private.modulus(), key.modulus);
        let der = key.private.as_slice();
        assert!(pkcs1_of_pkcs8(der).is_none(), "PKCS#1 is no PKCS#8");
        assert!(raw::PrivateKey::from_pkcs1(&der[..der.len() - 1]).is_err());
    }
}
