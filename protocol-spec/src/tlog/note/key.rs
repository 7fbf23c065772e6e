//! Who signs notes: names, and verifier keys in the text form that other programs take (`name+hash+base64`).

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::encoding::{decode_base64, encode_base64};
use crate::id::{VendorId, serde_as_text};
use crate::keys::{BadKey, PublicKey};

/// The name of a log or a witness: by custom a URL without its scheme. 1 to 255 bytes, without white space, control characters and plus.
///
/// C2SP asks this of key names and recommends it for the origins of checkpoints; here it holds for both, as they are the same.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(Arc<str>);

/// Text that cannot be the name of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a name of 1 to 255 bytes without white space, control characters and plus")]
pub struct KeyNameError;

/// How a key signs, by the byte that C2SP `signed-note` gives the algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ed25519 over the note's text: what logs sign with.
    Ed25519,
    /// Ed25519 over a time and the note's text: what witnesses sign with (C2SP `tlog-cosignature`, v1).
    CosignatureV1,
}

/// A key that notes are verified with, and the name that it signs under.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    name: KeyName,
    algorithm: Algorithm,
    key: PublicKey,
    id: u32,
}

/// Why text is not a verifier key. The fault of whoever wrote the configuration, as a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseVerifierKeyError {
    /// Not of the form `name+hash+base64`.
    #[error(
        "not a verifier key of the form name+hash+base64; copy it as the log or witness prints it"
    )]
    Form,
    /// An algorithm that is not known here.
    #[error(
        "the verifier key is of an algorithm that is not known (Ed25519 is 1, its cosignature 4)"
    )]
    Algorithm,
    /// Nobody's key: everybody could sign for it, or it has another form too.
    #[error(
        "the verifier key is not the canonical encoding of a point of large order; do not trust whoever gave it"
    )]
    Key,
    /// The hash is not that of the name and the key: it was changed on its way.
    #[error("the verifier key's hash does not fit its name and key; copy it anew")]
    Hash,
}

impl KeyName {
    /// The origin of a vendor's ledger, which is also the name that its key signs under (ledger.md, "Checkpoints").
    pub fn of_ledger(vendor_id: &VendorId) -> Self {
        Self(format!("scrip.ledger/v1/{vendor_id}").into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for KeyName {
    type Err = KeyNameError;

    fn from_str(text: &str) -> Result<Self, KeyNameError> {
        let sized = (1..=255).contains(&text.len());
        let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
        if sized && text.chars().all(plain) { Ok(Self(text.into())) } else { Err(KeyNameError) }
    }
}

impl std::fmt::Display for KeyName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Debug for KeyName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyName({})", self.0)
    }
}

impl Algorithm {
    const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 1,
            Self::CosignatureV1 => 4,
        }
    }
}

impl VerifierKey {
    /// The key under this name.
    pub fn new(name: KeyName, algorithm: Algorithm, key: PublicKey) -> Self {
        let mut sha = Sha256::new();
        sha.update(name.as_str());
        sha.update([b'\n', algorithm.byte()]);
        sha.update(key.as_bytes());
        let [a, b, c, d, ..] = <[u8; 32]>::from(sha.finalize());
        Self { name, algorithm, key, id: u32::from_be_bytes([a, b, c, d]) }
    }

    /// A key of a vendor's ledger: a receipt key of its manifest.
    pub fn of_ledger(vendor_id: &VendorId, receipt_key: PublicKey) -> Self {
        Self::new(KeyName::of_ledger(vendor_id), Algorithm::Ed25519, receipt_key)
    }

    /// The keys of a vendor's ledger, of which one signs: all receipt keys.
    pub fn all_of_ledger<'k>(
        vendor_id: &VendorId,
        receipt_keys: impl IntoIterator<Item = &'k PublicKey>,
    ) -> Vec<Self> {
        let key = |key: &PublicKey| Self::of_ledger(vendor_id, *key);
        receipt_keys.into_iter().map(key).collect()
    }

    /// The name that it signs under.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// How it signs.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key itself.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The short identifier of name, algorithm and key, for finding the key and for nothing else.
    pub fn id(&self) -> u32 {
        self.id
    }
}

impl std::fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut key = vec![self.algorithm.byte()];
        key.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{:08x}+{}", self.name, self.id, encode_base64(&key))
    }
}

impl std::fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

impl std::str::FromStr for VerifierKey {
    type Err = ParseVerifierKeyError;

    fn from_str(text: &str) -> Result<Self, ParseVerifierKeyError> {
        use ParseVerifierKeyError as E;
        // base64 may have a plus, a name may not.
        let mut parts = text.splitn(3, '+');
        let mut part = || parts.next().ok_or(E::Form);
        let (name, hash, key) = (part()?, part()?, part()?);
        let name: KeyName = name.parse().map_err(|_| E::Form)?;
        let key = decode_base64(key).ok_or(E::Form)?;
        let (algorithm, key) = key.split_first().ok_or(E::Form)?;
        let algorithm = match algorithm {
            1 => Algorithm::Ed25519,
            4 => Algorithm::CosignatureV1,
            _ => return Err(E::Algorithm),
        };
        let key = PublicKey::from_bytes(key.try_into().map_err(|_| E::Form)?);
        let key = key.map_err(|BadKey| E::Key)?;
        let this = Self::new(name, algorithm, key);
        if format!("{:08x}", this.id) == hash { Ok(this) } else { Err(E::Hash) }
    }
}

serde_as_text!(KeyName);
serde_as_text!(VerifierKey);
