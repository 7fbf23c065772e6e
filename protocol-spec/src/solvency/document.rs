//! The document that carries a proof (solvency.md, "The document").

use crate::codec::{DecodeError, Reader, Writer};
use crate::id::VendorId;
use crate::limits::{MAX_CHECKPOINT, MAX_SOLVENCY};

/// A proof of solvency as it is published: parsed, and not verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Solvency {
    /// The vendor.
    pub vendor_id: VendorId,
    /// The signed note of the tree that it is about.
    pub checkpoint: Vec<u8>,
    /// Below this index everything that was redeemed is settled; 0: nothing is claimed.
    pub settled_until: u64,
    /// All epochs with commitments, ascending.
    pub epochs: Vec<u32>,
    /// One aggregated range proof for each 16 of them.
    pub ranges: Vec<Vec<u8>>,
    /// `R` and `s` of the Schnorr proof.
    pub exact: Option<([u8; 32], [u8; 32])>,
}

impl Solvency {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer
            .put(self.vendor_id.as_bytes())
            .vec16(&self.checkpoint)
            .u64(self.settled_until)
            .nested(2, |writer| {
                for epoch in &self.epochs {
                    writer.u32(*epoch);
                }
            })
            .nested(3, |writer| {
                for proof in &self.ranges {
                    writer.vec16(proof);
                }
            })
            .nested(1, |writer| {
                if let Some((point, scalar)) = &self.exact {
                    writer.put(point).put(scalar);
                }
            });
        writer.into_bytes()
    }

    /// Parses a document.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::capped(bytes, MAX_SOLVENCY)?;
        let vendor_id = VendorId::from_bytes(reader.array()?);
        let checkpoint = reader.vec16()?.to_vec();
        if checkpoint.is_empty() || checkpoint.len() > MAX_CHECKPOINT {
            return Err(DecodeError::BadLength);
        }
        let settled_until = reader.u64()?;
        let epochs = Reader::elements(reader.vec16()?, Reader::u32)?;
        if !epochs.is_sorted_by(|a, b| a < b) {
            return Err(DecodeError::BadValue("epochs"));
        }
        let ranges = Reader::elements(reader.vec24()?, |reader| Ok(reader.vec16()?.to_vec()))?;
        let exact = Reader::elements(reader.vec8()?, |reader| {
            Ok((reader.array::<32>()?, reader.array::<32>()?))
        })?;
        reader.finish()?;
        if exact.len() != usize::from(settled_until != 0) {
            return Err(DecodeError::BadValue("exact"));
        }
        Ok(Self {
            vendor_id,
            checkpoint,
            settled_until,
            epochs,
            ranges,
            exact: exact.first().copied(),
        })
    }
}
