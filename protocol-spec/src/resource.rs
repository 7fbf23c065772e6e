//! Queues, chunks, leases and commands of `scrip-relay` (resources.md).

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::address::VendorAddress;
use crate::codec::{DecodeError, Reader, Writer};
use crate::credits::Credits;
use crate::hash::Label;
use crate::id::{OperatorId, ResourceId, VendorId, decode_base64url, encode_base64url};
use crate::keys::{BadSignature, PublicKey, Signature, SigningKey};
use crate::limits::{COMMAND_SKEW, MAX_LEASE_STATUS, MAX_RESOURCE_REQUEST};
use crate::time::UnixSeconds;

/// The header of a signed command.
pub const COMMAND_HEADER: &str = "scrip-command";
/// The header of a signed information document.
pub const SIGNATURE_HEADER: &str = "scrip-signature";

/// The sizes that a chunk may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SizeClass {
    /// 64 KiB
    K64,
    /// 256 KiB
    K256,
    /// 1 MiB
    M1,
    /// 4 MiB
    M4,
}

impl SizeClass {
    /// All classes, ascending.
    pub const ALL: [Self; 4] = [Self::K64, Self::K256, Self::M1, Self::M4];

    /// The chunk's exact size in bytes.
    pub const fn bytes(self) -> usize {
        64 << (10 + 2 * self.code() as usize)
    }

    /// Its number on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::K64 => 0,
            Self::K256 => 1,
            Self::M1 => 2,
            Self::M4 => 3,
        }
    }

    /// The class with this number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// What is asked for, besides for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourceKind {
    /// A message queue.
    Queue {
        /// Reads, acknowledges, extends and deletes.
        recipient_key: PublicKey,
        /// Sends.
        sender_key: PublicKey,
    },
    /// Space for one chunk.
    Chunk {
        /// Uploads, extends and deletes.
        owner_key: PublicKey,
        /// Downloads.
        reader_key: PublicKey,
        /// The chunk's size.
        size_class: SizeClass,
        /// SHA-256 of the chunk.
        digest: [u8; 32],
    },
    /// More time for a lease.
    Extension {
        /// The lease.
        lease_id: ResourceId,
    },
}

/// A resource request of `scrip-relay`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceRequest {
    /// Days asked for; at least 1.
    pub days: u16,
    /// What for.
    pub kind: ResourceKind,
}

impl ResourceRequest {
    /// The encoded request.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match &self.kind {
            ResourceKind::Queue { recipient_key, sender_key } => {
                writer.u8(1).u16(self.days).put(recipient_key.as_bytes()).put(sender_key.as_bytes())
            }
            ResourceKind::Chunk { owner_key, reader_key, size_class, digest } => writer
                .u8(2)
                .u16(self.days)
                .put(owner_key.as_bytes())
                .put(reader_key.as_bytes())
                .u8(size_class.code())
                .put(digest),
            ResourceKind::Extension { lease_id } => {
                writer.u8(3).u16(self.days).put(lease_id.as_bytes())
            }
        };
        writer.into_bytes()
    }

    /// Parses a request.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::capped(bytes, MAX_RESOURCE_REQUEST)?;
        let code = reader.u8()?;
        let days = reader.u16()?;
        if days == 0 {
            return Err(DecodeError::BadValue("days"));
        }
        let kind = match code {
            1 => ResourceKind::Queue {
                recipient_key: reader.key("recipient_key")?,
                sender_key: reader.key("sender_key")?,
            },
            2 => ResourceKind::Chunk {
                owner_key: reader.key("owner_key")?,
                reader_key: reader.key("reader_key")?,
                size_class: SizeClass::from_code(reader.u8()?)
                    .ok_or(DecodeError::BadValue("size_class"))?,
                digest: reader.array()?,
            },
            3 => ResourceKind::Extension { lease_id: ResourceId::from_bytes(reader.array()?) },
            _ => return Err(DecodeError::BadValue("kind")),
        };
        reader.finish()?;
        Ok(Self { days, kind })
    }
}

/// What a command's signature covers, besides its time and nonce.
pub struct Command<'a> {
    /// The relay's operator: a command cannot be carried to another relay.
    pub operator_id: &'a OperatorId,
    /// The HTTP method, upper case.
    pub method: &'a str,
    /// The path as sent, from the first slash.
    pub path: &'a str,
    /// SHA-256 of the body.
    pub body_digest: [u8; 32],
}

/// The content of the `Scrip-Command` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandAuth {
    /// When the command was made, in steps of [`crate::limits::COMMAND_STEP`].
    pub time: UnixSeconds,
    /// Random; tells a message from another.
    pub nonce: [u8; 16],
    /// The resource key's signature.
    pub signature: Signature,
}

/// Why a command is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// There is no `Scrip-Command` header of the right form.
    #[error("the Scrip-Command header is missing or malformed")]
    Malformed,
    /// Its time is too far from the relay's.
    #[error("the command's time differs from the relay's by more than {COMMAND_SKEW} seconds")]
    Stale,
    /// Its signature does not verify under the resource's key.
    #[error("the command is not signed by the resource's key")]
    Unauthorized,
}

impl Command<'_> {
    /// SHA-256 of a body, as a command covers it.
    pub fn digest_of(body: &[u8]) -> [u8; 32] {
        Sha256::digest(body).into()
    }

    fn signed_bytes(&self, time: UnixSeconds, nonce: &[u8; 16]) -> Vec<u8> {
        let mut writer = Writer::default();
        writer
            .put(self.operator_id.as_bytes())
            .vec8(self.method.as_bytes())
            .vec16(self.path.as_bytes())
            .u64(time.0)
            .put(nonce)
            .put(&self.body_digest);
        writer.into_bytes()
    }

    /// Signs the command with a key of the resource. Its time is `now` in steps of [`crate::limits::COMMAND_STEP`], rounded down: to the second it would
    /// show how far the signer's clock is off, in everything that it signs.
    pub fn sign(&self, key: &SigningKey, now: UnixSeconds, nonce: [u8; 16]) -> CommandAuth {
        let time = now.step();
        let signature = key.sign(Label::Command, &self.signed_bytes(time, &nonce));
        CommandAuth { time, nonce, signature }
    }

    /// Checks a command: its time first, then its signature.
    ///
    /// # Errors
    /// [`CommandError::Stale`] or [`CommandError::Unauthorized`].
    pub fn verify(
        &self,
        auth: &CommandAuth,
        key: &PublicKey,
        now: UnixSeconds,
    ) -> Result<(), CommandError> {
        if auth.time.0.abs_diff(now.0) > COMMAND_SKEW {
            return Err(CommandError::Stale);
        }
        key.verify(Label::Command, &self.signed_bytes(auth.time, &auth.nonce), &auth.signature)
            .map_err(|BadSignature| CommandError::Unauthorized)
    }
}

impl CommandAuth {
    /// The value of the header.
    pub fn to_header(&self) -> String {
        let mut writer = Writer::default();
        writer.u64(self.time.0).put(&self.nonce).put(self.signature.as_bytes());
        encode_base64url(writer.as_bytes())
    }

    /// Parses the value of the header.
    ///
    /// # Errors
    /// [`CommandError::Malformed`].
    pub fn from_header(value: &str) -> Result<Self, CommandError> {
        let bytes = decode_base64url(value).ok_or(CommandError::Malformed)?;
        Self::decode(&bytes).map_err(|_| CommandError::Malformed)
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::capped(bytes, 88)?;
        let auth = Self {
            time: UnixSeconds(reader.u64()?),
            nonce: reader.array()?,
            signature: Signature::from_bytes(reader.array()?),
        };
        reader.finish()?;
        if auth.time != auth.time.step() {
            return Err(DecodeError::BadValue("time"));
        }
        Ok(auth)
    }
}

/// What a relay says of a lease to its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseStatus {
    /// Whether the lease lives.
    pub live: bool,
    /// Whether the bytes of a chunk whose lease lives are not here: they were not uploaded yet, or the relay has lost them.
    pub missing: bool,
    /// When it ends, or ended.
    pub lease_until: UnixSeconds,
    /// All signed receipts, oldest first; to be opened with the operator's key.
    pub receipts: Vec<Vec<u8>>,
}

impl LeaseStatus {
    /// The encoded status.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        let state = match (self.live, self.missing) {
            (true, false) => 1,
            (false, _) => 2,
            (true, true) => 3,
        };
        writer.u8(state).u64(self.lease_until.0).nested(3, |writer| {
            for receipt in &self.receipts {
                writer.vec16(receipt);
            }
        });
        writer.into_bytes()
    }

    /// Parses a status.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::capped(bytes, MAX_LEASE_STATUS)?;
        let (live, missing) = match reader.u8()? {
            1 => (true, false),
            2 => (false, false),
            3 => (true, true),
            _ => return Err(DecodeError::BadValue("state")),
        };
        let lease_until = UnixSeconds(reader.u64()?);
        let receipts = Reader::elements(reader.vec24()?, |reader| Ok(reader.vec16()?.to_vec()))?;
        reader.finish()?;
        Ok(Self { live, missing, lease_until, receipts })
    }
}

/// Prices of a relay, in credits per 30 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceList {
    /// A queue.
    pub queue: u32,
    /// A chunk of 64 KiB.
    pub chunk_64k: u32,
    /// A chunk of 256 KiB.
    pub chunk_256k: u32,
    /// A chunk of 1 MiB.
    pub chunk_1m: u32,
    /// A chunk of 4 MiB.
    pub chunk_4m: u32,
}

impl PriceList {
    /// Seconds that the prices are for.
    pub const PERIOD: u64 = 30 * 86_400;

    /// Credits per 30 days for a chunk of this size.
    pub const fn chunk(&self, size: SizeClass) -> u32 {
        match size {
            SizeClass::K64 => self.chunk_64k,
            SizeClass::K256 => self.chunk_256k,
            SizeClass::M1 => self.chunk_1m,
            SizeClass::M4 => self.chunk_4m,
        }
    }

    /// The least payment for `days` days at `per_period` credits per 30 days.
    pub fn price(per_period: u32, days: u16) -> Credits {
        Credits((u64::from(per_period) * u64::from(days)).div_ceil(30).max(1))
    }

    /// How long one credit lasts, in seconds. A free resource (0 credits) lasts as if it cost one.
    pub const fn seconds_per_credit(per_period: u32) -> u64 {
        Self::PERIOD / if per_period == 0 { 1 } else { per_period as u64 }
    }
}

/// A vendor that a relay accepts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedVendor {
    /// The vendor.
    pub vendor_id: VendorId,
    /// Where it is.
    pub address: VendorAddress,
    /// Whether the relay takes certificates of its test keys.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
}

/// What a relay says about itself; unknown members are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayInfo {
    /// The operator's key.
    pub operator_key: PublicKey,
    /// A name for people.
    pub name: String,
    /// The most days that a request may ask for.
    pub max_days: u16,
    /// Prices.
    pub prices: PriceList,
    /// Whose certificates it accepts.
    pub vendors: Vec<AcceptedVendor>,
}

/// Why a relay's information is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelayInfoError {
    /// It is not JSON of the right form.
    #[error("the relay's information document does not parse")]
    Malformed,
    /// It is of another operator than the address names, or not signed.
    #[error("the relay's information is not signed by the operator that its address names")]
    Signature,
}

impl RelayInfo {
    /// The document, and the value of its `Scrip-Signature` header.
    ///
    /// # Errors
    /// None in practice: a `RelayInfo` is always representable as JSON.
    pub fn sign(&self, operator_key: &SigningKey) -> Result<(Vec<u8>, String), serde_json::Error> {
        let body = serde_json::to_vec(self)?;
        let signature = operator_key.sign(Label::RelayInfo, &body);
        Ok((body, signature.to_string()))
    }

    /// Parses a document and checks that `operator` signed it.
    ///
    /// # Errors
    /// [`RelayInfoError`].
    pub fn open(
        body: &[u8],
        signature: &str,
        operator: &OperatorId,
    ) -> Result<Self, RelayInfoError> {
        let info: Self = serde_json::from_slice(body).map_err(|_| RelayInfoError::Malformed)?;
        let signature = signature.parse().map_err(|_| RelayInfoError::Signature)?;
        if OperatorId::of(&info.operator_key) != *operator {
            return Err(RelayInfoError::Signature);
        }
        info.operator_key
            .verify(Label::RelayInfo, body, &signature)
            .map_err(|BadSignature| RelayInfoError::Signature)?;
        Ok(info)
    }
}
