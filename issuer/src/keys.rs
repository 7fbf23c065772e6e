//! Making, sealing and opening the issuer's keys.

use std::{collections::BTreeMap, sync::Arc};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
};
use scrip_protocol::{
    credits::Exponent,
    id::{KeyId, VendorId},
    keys::SigningKey,
    limits::RSA,
    manifest::Manifest,
    rsa::TokenPublicKey,
};
use scrip_runtime::{
    passphrase::Passphrase,
    sealed::{KdfHeader, SealingKey, open_with_key},
};
use zeroize::Zeroizing;

use crate::{
    error::{InitError, StartError},
    signer::{BadKey, Operations, raw},
    store::{SealedKey, Store},
};

/// The name of the root key, which signs manifests and stays sealed while the issuer runs.
pub(crate) const ROOT: &str = "root";
/// The name of the key that signs redemption outcomes.
pub(crate) const RECEIPT: &str = "receipt";
const DENOMINATION: &str = "denomination/";

/// The name of a denomination key.
pub(crate) fn denomination(epoch: u32, exponent: Exponent) -> String {
    format!("{DENOMINATION}{epoch}/{}", exponent.get())
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

/// The keys that a running issuer holds: all but the root key.
pub(crate) struct KeyRing {
    pub(crate) manifest: Manifest,
    pub(crate) receipt: SigningKey,
    pub(crate) denominations: BTreeMap<KeyId, Arc<raw::PrivateKey>>,
}

/// What the database holds of the keys, still sealed.
pub(crate) struct SealedRing {
    header: Vec<u8>,
    vendor_id: VendorId,
    manifest: Vec<u8>,
    receipt: Vec<SealedKey>,
    denominations: Vec<SealedKey>,
}

impl SealedRing {
    pub(crate) async fn read(store: &Store) -> Result<Self, StartError> {
        let (vendor_id, manifest) = store.manifest().await?;
        Ok(Self {
            header: store.kdf_header().await?,
            vendor_id,
            manifest,
            receipt: store.sealed_keys(RECEIPT).await?,
            denominations: store.sealed_keys(DENOMINATION).await?,
        })
    }

    /// Opens the keys and checks that they are the manifest's. Takes as long as the passphrase's derivation does.
    pub(crate) fn open(self, passphrase: &Passphrase) -> Result<KeyRing, StartError> {
        let key = SealingKey::derive(passphrase, &KdfHeader::decode(&self.header)?);
        let manifest = Manifest::open(&self.manifest, &self.vendor_id)?;
        let receipt = self.receipt.first().map(|sealed| open_receipt(&key, sealed)).transpose()?;
        let receipt = receipt.filter(|receipt| receipt.public() == *manifest.receipt_key());
        let receipt = receipt.ok_or_else(|| StartError::KeyMissing { name: RECEIPT.into() })?;
        let mut denominations = BTreeMap::new();
        for sealed in &self.denominations {
            let private = open_with_key(&key, sealed.name.as_bytes(), &sealed.sealed)?;
            let private = raw::PrivateKey::from_pkcs1(&private)?;
            let modulus = private.modulus().try_into().map_err(|_| BadKey)?;
            let id = TokenPublicKey::from_modulus(modulus).map_err(|_| BadKey)?.id();
            let listed = manifest.key(&id).map(|key| denomination(key.epoch(), key.exponent()));
            if listed.as_ref() != Some(&sealed.name) {
                return Err(StartError::KeyMissing { name: sealed.name.clone() });
            }
            denominations.insert(id, Arc::new(private));
        }
        let without_private = manifest.keys().find(|key| !denominations.contains_key(&key.id()));
        if let Some(key) = without_private {
            let name = denomination(key.epoch(), key.exponent());
            return Err(StartError::KeyMissing { name });
        }
        Ok(KeyRing { manifest, receipt, denominations })
    }
}

fn open_receipt(key: &SealingKey, sealed: &SealedKey) -> Result<SigningKey, StartError> {
    let seed = open_with_key(key, sealed.name.as_bytes(), &sealed.sealed)?;
    let missing = || StartError::KeyMissing { name: sealed.name.clone() };
    let seed: &[u8; 32] = seed.as_slice().try_into().map_err(|_| missing())?;
    Ok(SigningKey::from_seed(seed))
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
