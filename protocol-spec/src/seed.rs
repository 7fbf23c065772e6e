//! What a wallet derives from its seed (keys.md): grants, certificate keys, salts and blinds.

use hkdf::Hkdf;
use rand_core::{CryptoRng, RngCore};
use sha2::Sha256;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::hash::{Label, hash};
use crate::id::{GrantId, KeyId, VendorId, decode_base64url, encode_base64url};
use crate::keys::SigningKey;

const SALT: &[u8] = b"scrip/v1 wallet";

/// Bytes of the number that is reduced to a blind: 16 more than the modulus, so that the result is close to uniform.
const BLIND: usize = 272;

/// The 32 bytes that a wallet's money can be restored from.
#[derive(ZeroizeOnDrop)]
pub struct WalletSeed([u8; 32]);

/// The bearer secret of a grant.
#[derive(ZeroizeOnDrop)]
pub struct GrantSecret([u8; 32]);

/// Which certificate of a key is derived: the grant that it is issued under, and its place in the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counter(u64);

impl Counter {
    /// The item at `position` of the issuance request for the wallet's grant `grant_index`.
    pub const fn new(grant_index: u32, position: u16) -> Self {
        Self((grant_index as u64) << 16 | position as u64)
    }

    /// As it enters the derivation.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// The three secrets of one certificate.
pub(crate) struct CertificateSecrets {
    pub(crate) key: SigningKey,
    pub(crate) pss_salt: Zeroizing<[u8; 48]>,
    pub(crate) blind: Zeroizing<[u8; BLIND]>,
}

impl WalletSeed {
    /// The wallet with this seed.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A new wallet.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut seed = Self([0; 32]);
        rng.fill_bytes(&mut seed.0);
        seed
    }

    /// The seed, to be sealed and stored, or shown as words.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The secret of the wallet's grant number `index` at `vendor`.
    pub fn grant_secret(&self, vendor: &VendorId, index: u32) -> GrantSecret {
        let mut secret = GrantSecret([0; 32]);
        self.derive("grant", &[vendor.as_bytes(), &index.to_be_bytes()], &mut secret.0);
        secret
    }

    /// The key that asks `vendor` for free allowances (purchases.md).
    pub fn installation_key(&self, vendor: &VendorId) -> SigningKey {
        let mut seed = Zeroizing::new([0; 32]);
        self.derive("installation", &[vendor.as_bytes()], &mut *seed);
        SigningKey::from_seed(&seed)
    }

    /// The private key of a certificate.
    pub fn certificate_key(&self, key: &KeyId, counter: Counter) -> SigningKey {
        let mut seed = Zeroizing::new([0; 32]);
        self.derive("certificate key", &[key.as_bytes(), &counter.0.to_be_bytes()], &mut *seed);
        SigningKey::from_seed(&seed)
    }

    pub(crate) fn certificate_secrets(&self, key: &KeyId, counter: Counter) -> CertificateSecrets {
        let context: [&[u8]; 2] = [key.as_bytes(), &counter.0.to_be_bytes()];
        let mut pss_salt = Zeroizing::new([0; 48]);
        let mut blind = Zeroizing::new([0; BLIND]);
        self.derive("pss salt", &context, &mut *pss_salt);
        self.derive("blind", &context, &mut *blind);
        CertificateSecrets { key: self.certificate_key(key, counter), pss_salt, blind }
    }

    fn derive(&self, label: &str, context: &[&[u8]], out: &mut [u8]) {
        let length = [label.len() as u8];
        let mut info: Vec<&[u8]> = vec![&length, label.as_bytes()];
        info.extend_from_slice(context);
        let expanded = Hkdf::<Sha256>::new(Some(SALT), &self.0).expand_multi_info(&info, out);
        debug_assert!(expanded.is_ok(), "HKDF-SHA-256 gives up to 8,160 bytes");
    }
}

impl GrantSecret {
    /// The secret with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What the vendor stores.
    pub fn grant_id(&self) -> GrantId {
        GrantId::from_bytes(hash(Label::GrantId, &[&self.0]))
    }

    /// The value of the `Authorization` header.
    pub fn to_bearer(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("Bearer {}", encode_base64url(&self.0)))
    }

    /// The secret in an `Authorization` header, or `None` where there is none of 32 bytes.
    pub fn from_bearer(header: &str) -> Option<Self> {
        let (scheme, text) = header.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let bytes = Zeroizing::new(decode_base64url(text.trim())?);
        bytes.as_slice().try_into().ok().map(Self)
    }
}
