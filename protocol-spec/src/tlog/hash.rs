//! The hashes of the Merkle tree (RFC 6962, section 2.1): SHA-256 with one prefix for leaves and one for nodes, so that no node
//! can pass for a leaf.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::encoding::{decode_base64, encode_base64};

/// A hash of the tree: of a leaf, of a node, or the root. As text it is standard base64 with padding, as in the C2SP formats.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeHash([u8; 32]);

/// Text that is not the standard base64 form of 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the base64 form (with padding) of a hash of 32 bytes")]
pub struct ParseTreeHashError;

impl TreeHash {
    /// The root of the tree without leaves: SHA-256 of nothing.
    pub const EMPTY: Self = Self([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9,
        0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52,
        0xb8, 0x55,
    ]);

    /// The hash with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The hash of a leaf: `SHA-256(0x00 ‖ leaf)`.
pub fn leaf_hash(leaf: &[u8]) -> TreeHash {
    let mut sha = Sha256::new();
    sha.update([0]);
    sha.update(leaf);
    TreeHash(sha.finalize().into())
}

/// The hash of a node: `SHA-256(0x01 ‖ left ‖ right)`.
pub fn node_hash(left: &TreeHash, right: &TreeHash) -> TreeHash {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(&left.0);
    bytes[33..].copy_from_slice(&right.0);
    TreeHash(Sha256::digest(bytes).into())
}

impl std::fmt::Display for TreeHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&encode_base64(&self.0))
    }
}

impl std::fmt::Debug for TreeHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TreeHash({})", HEXLOWER.encode(&self.0))
    }
}

impl std::str::FromStr for TreeHash {
    type Err = ParseTreeHashError;
    fn from_str(text: &str) -> Result<Self, ParseTreeHashError> {
        let bytes = decode_base64(text).ok_or(ParseTreeHashError)?;
        bytes.try_into().map(Self).map_err(|_| ParseTreeHashError)
    }
}

impl serde::Serialize for TreeHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for TreeHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
