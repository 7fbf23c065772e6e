//! How an operator reads its own leaves (ledger.md, "An operator's own leaves").

use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Label;
use crate::id::{OperatorId, VendorId};
use crate::keys::{BadSignature, PublicKey, Signature, SigningKey};
use crate::limits::{LEDGER_QUERY, MAX_OWN_LEAVES, MAX_OWN_LEAVES_ANSWER};
use crate::time::UnixSeconds;

/// What an operator asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LedgerQuery {
    /// The vendor.
    pub vendor_id: VendorId,
    /// Who asks.
    pub operator_id: OperatorId,
    /// When.
    pub time: UnixSeconds,
    /// The smallest index that is asked for.
    pub from: u64,
}

/// A query as it was received: parsed, and not yet known to be its operator's.
pub struct SignedLedgerQuery {
    query: LedgerQuery,
    signed: Vec<u8>,
    signature: Signature,
}

/// A leaf in its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnLeaf {
    /// Its index.
    pub index: u64,
    /// Its bytes, not parsed.
    pub leaf: Vec<u8>,
}

/// The answer to a query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnLeaves {
    /// Of the tree that this was read from.
    pub size: u64,
    /// Where to go on; `size` where nothing follows.
    pub next: u64,
    /// At most `MAX_OWN_LEAVES`, ascending.
    pub leaves: Vec<OwnLeaf>,
}

impl LedgerQuery {
    /// The signed query.
    pub fn sign(&self, operator_key: &SigningKey) -> Vec<u8> {
        let mut writer = Writer::with_capacity(LEDGER_QUERY);
        writer
            .put(self.vendor_id.as_bytes())
            .put(self.operator_id.as_bytes())
            .u64(self.time.0)
            .u64(self.from);
        let signature = operator_key.sign(Label::LedgerQuery, writer.as_bytes());
        writer.put(signature.as_bytes());
        writer.into_bytes()
    }
}

impl SignedLedgerQuery {
    /// Parses a signed query.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::capped(bytes, LEDGER_QUERY)?;
        let query = LedgerQuery {
            vendor_id: VendorId::from_bytes(reader.array()?),
            operator_id: OperatorId::from_bytes(reader.array()?),
            time: UnixSeconds(reader.u64()?),
            from: reader.u64()?,
        };
        let signed = bytes[..bytes.len() - reader.remaining()].to_vec();
        let signature = Signature::from_bytes(reader.array()?);
        reader.finish()?;
        Ok(Self { query, signed, signature })
    }

    /// What it says, before the signature is verified.
    pub fn unverified(&self) -> &LedgerQuery {
        &self.query
    }

    /// The query, if it is signed by `operator_key`, whose hash must be the operator id.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(self, operator_key: &PublicKey) -> Result<LedgerQuery, BadSignature> {
        if OperatorId::of(operator_key) != self.query.operator_id {
            return Err(BadSignature);
        }
        operator_key.verify(Label::LedgerQuery, &self.signed, &self.signature)?;
        Ok(self.query)
    }
}

impl OwnLeaves {
    /// The answer. Its leaves have to fit: at most `MAX_OWN_LEAVES`, and 2^24 - 1 bytes with their heads of 10 bytes each.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u64(self.size).u64(self.next).nested(3, |writer| {
            for own in &self.leaves {
                writer.u64(own.index).vec16(&own.leaf);
            }
        });
        writer.into_bytes()
    }

    /// Parses an answer.
    ///
    /// # Errors
    /// [`DecodeError`]; also where the leaves are not in order, or outside of `next` and `size`.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::capped(bytes, MAX_OWN_LEAVES_ANSWER)?;
        let (size, next) = (reader.u64()?, reader.u64()?);
        let leaves = Reader::elements(reader.vec24()?, |reader| {
            Ok(OwnLeaf { index: reader.u64()?, leaf: reader.vec16()?.to_vec() })
        })?;
        reader.finish()?;
        let ascending = leaves.windows(2).all(|pair| pair[0].index < pair[1].index);
        let inside = leaves.last().is_none_or(|last| last.index < next) && next <= size;
        if !ascending || !inside || leaves.len() > MAX_OWN_LEAVES {
            return Err(DecodeError::BadValue("leaves"));
        }
        Ok(Self { size, next, leaves })
    }
}
