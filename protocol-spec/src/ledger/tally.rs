//! Tallies and the commitments to their values (ledger.md, "Leaves"), and versions of the manifest.

use crate::codec::{DecodeError, Reader, Writer};
use crate::credits::{Credits, Exponent};
use crate::id::{ManifestDigest, OperatorId};
use crate::time::Day;
use crate::tlog::hash::TreeHash;

/// What happened to certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TallyKind {
    /// They were signed for grants.
    Sold,
    /// They were signed in the place of renewed ones.
    Reissued,
    /// An operator redeemed them.
    Redeemed,
    /// They were exchanged for new ones.
    Renewed,
    /// Nothing, and it is too late.
    Expired,
}

impl TallyKind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Sold, Self::Reissued, Self::Redeemed, Self::Renewed, Self::Expired];

    /// Its number on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::Sold => 1,
            Self::Reissued => 2,
            Self::Redeemed => 3,
            Self::Renewed => 4,
            Self::Expired => 5,
        }
    }

    /// The kind with this number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Whether it brings certificates into being, rather than out of it.
    pub const fn issues(self) -> bool {
        matches!(self, Self::Sold | Self::Reissued)
    }

    /// The name, for people and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sold => "sold",
            Self::Reissued => "reissued",
            Self::Redeemed => "redeemed",
            Self::Renewed => "renewed",
            Self::Expired => "expired",
        }
    }
}

/// What a commitment is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CommitmentKind {
    /// The worth of a tally.
    Tally(TallyKind),
    /// What a statement settles of an epoch.
    Settled,
}

impl CommitmentKind {
    const SETTLED: u8 = 6;

    /// Its number on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::Tally(kind) => kind.code(),
            Self::Settled => Self::SETTLED,
        }
    }

    /// The kind with this number.
    pub fn from_code(code: u8) -> Option<Self> {
        if code == Self::SETTLED {
            return Some(Self::Settled);
        }
        TallyKind::from_code(code).map(Self::Tally)
    }
}

/// Certificates of one denomination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The denomination.
    pub exponent: Exponent,
    /// How many, more than 0.
    pub certificates: u64,
}

/// How many certificates of an epoch something happened to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tally {
    /// What happened.
    pub kind: TallyKind,
    /// The vendor's day.
    pub day: Day,
    /// Who redeemed; `None` for every other kind.
    pub operator_id: Option<OperatorId>,
    /// The epoch.
    pub epoch: u32,
    /// By denomination, ascending.
    pub counts: Vec<Count>,
    /// The blinding of the commitment: a canonical scalar, little-endian. Also in tallies of test keys, where it keeps
    /// the hash from being guessed.
    pub blinding: [u8; 32],
}

/// A commitment to the credits of a private leaf.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ValueCommitment {
    /// What to.
    pub kind: CommitmentKind,
    /// The epoch.
    pub epoch: u32,
    /// A compressed point of ristretto255.
    pub commitment: [u8; 32],
    /// The leaf that it speaks for.
    pub leaf_hash: TreeHash,
}

/// A version of the key manifest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ManifestVersion {
    /// The version.
    pub version: u64,
    /// Its digest (keys.md).
    pub digest: ManifestDigest,
}

pub(super) fn write_operator(writer: &mut Writer, operator: Option<&OperatorId>) {
    writer.put(operator.map_or(&[0; 32], |operator| operator.as_bytes()));
}

pub(super) fn read_operator(reader: &mut Reader<'_>) -> Result<Option<OperatorId>, DecodeError> {
    let bytes: [u8; 32] = reader.array()?;
    Ok((bytes != [0; 32]).then(|| OperatorId::from_bytes(bytes)))
}

impl Count {
    /// What they are worth; `None` beyond 2^64 - 1.
    pub fn credits(&self) -> Option<Credits> {
        self.exponent.value().0.checked_mul(self.certificates).map(Credits)
    }
}

impl Tally {
    /// What all of them are worth; `None` beyond 2^64 - 1.
    pub fn credits(&self) -> Option<Credits> {
        let values = self.counts.iter().map(Count::credits);
        values.into_iter().try_fold(0_u64, |sum, value| sum.checked_add(value?.0)).map(Credits)
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.u8(self.kind.code()).u32(self.day.0);
        write_operator(writer, self.operator_id.as_ref());
        writer
            .u32(self.epoch)
            .nested(2, |writer| {
                for count in &self.counts {
                    writer.u8(count.exponent.get()).u64(count.certificates);
                }
            })
            .put(&self.blinding);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = TallyKind::from_code(reader.u8()?).ok_or(DecodeError::BadValue("kind"))?;
        let day = Day(reader.u32()?);
        let operator_id = read_operator(reader)?;
        if operator_id.is_some() != (kind == TallyKind::Redeemed) {
            return Err(DecodeError::BadValue("operator_id"));
        }
        let epoch = reader.u32()?;
        let counts = Reader::elements(reader.vec16()?, |reader| {
            let exponent = Exponent::new(reader.u8()?).ok_or(DecodeError::BadValue("exponent"))?;
            Ok(Count { exponent, certificates: reader.u64()? })
        })?;
        let ascending = counts.windows(2).all(|pair| pair[0].exponent < pair[1].exponent);
        if counts.is_empty() || !ascending || counts.iter().any(|count| count.certificates == 0) {
            return Err(DecodeError::BadValue("counts"));
        }
        Ok(Self { kind, day, operator_id, epoch, counts, blinding: reader.array()? })
    }
}

impl ValueCommitment {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer
            .u8(self.kind.code())
            .u32(self.epoch)
            .put(&self.commitment)
            .put(self.leaf_hash.as_bytes());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            kind: CommitmentKind::from_code(reader.u8()?).ok_or(DecodeError::BadValue("kind"))?,
            epoch: reader.u32()?,
            commitment: reader.array()?,
            leaf_hash: TreeHash::from_bytes(reader.array()?),
        })
    }
}

impl ManifestVersion {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.u64(self.version).put(self.digest.as_bytes());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { version: reader.u64()?, digest: ManifestDigest::from_bytes(reader.array()?) })
    }
}
