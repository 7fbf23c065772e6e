//! What the ledger says of lists of voided certificates (voided.md).

use crate::codec::{DecodeError, Reader, Writer};
use crate::time::Day;

/// A commitment to an edition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VoidedCommitment {
    /// The epoch of the certificates.
    pub epoch: u32,
    /// The number of the edition.
    pub edition: u32,
    /// It has everything that was recorded before this day.
    pub day: Day,
    /// It has the redemptions and renewals of the leaves before this one.
    pub covered: u64,
    /// The hash of its index.
    pub digest: [u8; 32],
}

/// What auditors make an edition again with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VoidedSalt {
    /// The epoch.
    pub epoch: u32,
    /// The number of the edition.
    pub edition: u32,
    /// Random.
    pub salt: [u8; 32],
}

impl VoidedCommitment {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer
            .u32(self.epoch)
            .u32(self.edition)
            .u32(self.day.0)
            .u64(self.covered)
            .put(&self.digest);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: reader.u32()?,
            edition: reader.u32()?,
            day: Day(reader.u32()?),
            covered: reader.u64()?,
            digest: reader.array()?,
        })
    }
}

impl VoidedSalt {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.u32(self.epoch).u32(self.edition).put(&self.salt);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { epoch: reader.u32()?, edition: reader.u32()?, salt: reader.array()? })
    }
}
