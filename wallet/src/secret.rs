//! 32 secret bytes that records and links hold.

use rand_core::{CryptoRng, RngCore};
use scrip_protocol::id::{decode_base64url, encode_base64url};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// A secret key or seed. Wiped when dropped; cannot be printed or compared, and is copied only where the code says so.
#[derive(ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl Secret {
    /// The secret with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A new secret.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut secret = Self([0; 32]);
        rng.fill_bytes(&mut secret.0);
        secret
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A second copy, which is wiped on its own.
    #[must_use]
    pub const fn duplicate(&self) -> Self {
        Self(self.0)
    }
}

/// As base64url. Records are sealed before they reach the disk.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(encode_base64url(&self.0)))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = decode_base64url(&text).map(Zeroizing::new);
        bytes
            .and_then(|bytes| bytes.as_slice().try_into().ok())
            .map(Self)
            .ok_or_else(|| de::Error::custom("not a secret of 32 bytes"))
    }
}
