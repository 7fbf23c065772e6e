//! Identifiers: fixed-size byte strings, each with a type of its own, base64url as text.

pub use crate::encoding::{decode_base64url, encode_base64url};
use crate::hash::{Label, hash};
use crate::keys::PublicKey;

/// Text that is not the identifier that it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the base64url form (no padding) of {bytes} bytes")]
pub struct ParseIdError {
    /// How many bytes the identifier has.
    pub bytes: usize,
}

pub(crate) fn parse<const N: usize>(text: &str) -> Result<[u8; N], ParseIdError> {
    decode_base64url(text)
        .and_then(|bytes| <[u8; N]>::try_from(bytes).ok())
        .ok_or(ParseIdError { bytes: N })
}

/// A value is in JSON and in configurations what it is as text.
macro_rules! serde_as_text {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use serde_as_text;

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $n:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $n]);

        impl $name {
            /// The identifier with these bytes.
            pub const fn from_bytes(bytes: [u8; $n]) -> Self {
                Self(bytes)
            }

            /// Its bytes.
            pub const fn as_bytes(&self) -> &[u8; $n] {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&encode_base64url(&self.0))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse(text).map(Self)
            }
        }

        crate::id::serde_as_text!($name);
    };
}
pub(crate) use identifier;

identifier!(
    /// A vendor: the hash of its root key.
    VendorId,
    32
);
identifier!(
    /// An operator: the hash of its key.
    OperatorId,
    32
);
identifier!(
    /// A denomination key: the `token_key_id` of RFC 9578.
    KeyId,
    32
);
identifier!(
    /// A payment: the hash of its bindings. Known to the wallet and the relay, never to the vendor.
    PaymentId,
    32
);
identifier!(
    /// A grant, as the vendor stores it: the hash of the grant secret.
    GrantId,
    32
);
identifier!(
    /// One signed version of a key manifest.
    ManifestDigest,
    32
);
identifier!(
    /// A redemption batch, by its random name.
    BatchId,
    16
);
identifier!(
    /// A redemption batch, by all its bytes.
    BatchDigest,
    32
);
identifier!(
    /// One of the two addresses of a resource at a relay; the owner's or recipient's is the lease id.
    ResourceId,
    24
);
identifier!(
    /// A message in a queue.
    MessageId,
    16
);

impl VendorId {
    /// The vendor with this root key.
    pub fn of(root_key: &PublicKey) -> Self {
        Self(hash(Label::VendorId, &[root_key.as_bytes()]))
    }
}

impl OperatorId {
    /// The operator with this key.
    pub fn of(operator_key: &PublicKey) -> Self {
        Self(hash(Label::OperatorId, &[operator_key.as_bytes()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_identifier_has_one_text() {
        let id = BatchId::from_bytes([0xff; 16]);
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(id));
        // 16 bytes leave four unused bits in the last character; only zeros are the value's form.
        let mut other = text.clone();
        other.replace_range(21..22, "x");
        assert_eq!(other.parse::<BatchId>(), Err(ParseIdError { bytes: 16 }));
        assert!(format!("{text}==").parse::<BatchId>().is_err());
        assert!(format!("{text}A").parse::<BatchId>().is_err());
        assert!(text.replace('_', "/").parse::<BatchId>().is_err());
    }
}
