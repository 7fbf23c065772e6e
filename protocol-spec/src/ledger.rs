//! The leaves of the ledger (ledger.md), and what operators ask about them.
//!
//! In scope: what a leaf says, byte by byte. Out of scope: trees, tiles and checkpoints, which are the same for every
//! log ([`crate::tlog`]), and in which order a vendor appends.

mod contract;
mod evidence;
pub mod export;
pub mod fork;
mod money;
mod own;
mod receipt;
mod sales;
pub mod settlement;
mod statement;
mod tally;
mod voided;

#[cfg(test)]
mod tests;

pub use self::contract::{Contract, Currency, ParseCurrencyError};
pub use self::evidence::{Redemption, RenewalEvidence};
pub use self::money::{Money, ParseMoneyError, ParseShareError, Share};
pub use self::own::{LedgerQuery, OwnLeaf, OwnLeaves, SignedLedgerQuery};
pub use self::receipt::{BatchReceipt, MAX_BATCH_RECEIPT};
pub use self::sales::{Sales, SourceName};
pub use self::statement::{
    Adjustment, EarnedLine, ResoldLine, Settled, SignedStatement, Statement, StatementError,
};
pub use self::tally::{CommitmentKind, Count, ManifestVersion, Tally, TallyKind, ValueCommitment};
pub use self::voided::{VoidedCommitment, VoidedSalt};
use crate::codec::{DecodeError, Reader, Writer};
use crate::id::VendorId;
use crate::limits::MAX_LEAF;
use crate::tlog::hash::{TreeHash, leaf_hash};

/// The origin of a vendor's ledger, which is also the name of the key that signs its checkpoints.
pub fn origin(vendor: &VendorId) -> String {
    format!("scrip.ledger/v1/{vendor}")
}

/// An entry of the ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Leaf {
    /// Nothing: it hides how many others there are.
    Cover([u8; 32]),
    /// A certificate that an operator redeemed.
    Redemption(Box<Redemption>),
    /// A certificate that its holder had renewed.
    Renewal(Box<RenewalEvidence>),
    /// How many certificates of an epoch something happened to.
    Tally(Tally),
    /// A commitment to what a private leaf is worth. Public.
    Commitment(ValueCommitment),
    /// What was granted.
    Sales(Sales),
    /// A version of the key manifest. Public.
    Manifest(ManifestVersion),
    /// The terms of an operator.
    Contract(Contract),
    /// What an operator was told that it earned, signed.
    Statement(SignedStatement),
    /// What a list of voided certificates must be. Public.
    Voided(VoidedCommitment),
    /// What hides in such a list how much it has.
    VoidedSalt(VoidedSalt),
}

impl Leaf {
    /// Whether everybody may read it.
    pub const fn is_public(&self) -> bool {
        matches!(self, Self::Commitment(_) | Self::Manifest(_) | Self::Voided(_))
    }

    /// Its bytes, at most 65,535.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(512);
        match self {
            Self::Cover(random) => {
                writer.u8(0).put(random);
            }
            Self::Redemption(redemption) => redemption.write(writer.u8(1)),
            Self::Renewal(renewal) => renewal.write(writer.u8(2)),
            Self::Tally(tally) => tally.write(writer.u8(3)),
            Self::Commitment(commitment) => commitment.write(writer.u8(4)),
            Self::Sales(sales) => sales.write(writer.u8(5)),
            Self::Manifest(manifest) => manifest.write(writer.u8(6)),
            Self::Contract(contract) => contract.write(writer.u8(7)),
            Self::Statement(statement) => {
                writer.u8(8).put(statement.bytes());
            }
            Self::Voided(voided) => voided.write(writer.u8(9)),
            Self::VoidedSalt(salt) => salt.write(writer.u8(10)),
        }
        writer.into_bytes()
    }

    /// Parses a leaf. Nothing in it is verified.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::capped(bytes, MAX_LEAF)?;
        let leaf = match reader.u8()? {
            0 => Self::Cover(reader.array()?),
            1 => Self::Redemption(Box::new(Redemption::read(&mut reader)?)),
            2 => Self::Renewal(Box::new(RenewalEvidence::read(&mut reader)?)),
            3 => Self::Tally(Tally::read(&mut reader)?),
            4 => Self::Commitment(ValueCommitment::read(&mut reader)?),
            5 => Self::Sales(Sales::read(&mut reader)?),
            6 => Self::Manifest(ManifestVersion::read(&mut reader)?),
            7 => Self::Contract(Contract::read(&mut reader)?),
            8 => {
                let rest = reader.take(reader.remaining())?;
                Self::Statement(SignedStatement::decode(rest)?)
            }
            9 => Self::Voided(VoidedCommitment::read(&mut reader)?),
            10 => Self::VoidedSalt(VoidedSalt::read(&mut reader)?),
            _ => return Err(DecodeError::BadValue("kind")),
        };
        reader.finish()?;
        Ok(leaf)
    }

    /// Its hash in the tree (RFC 6962, section 2.1).
    pub fn hash(&self) -> TreeHash {
        leaf_hash(&self.encode())
    }
}
