//! What the vendor decided of a batch (redemption.md, "Outcome").

use std::collections::BTreeSet;

use super::DoubleSpend;
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Label;
use crate::id::{BatchDigest, OperatorId, VendorId};
use crate::keys::{PublicKey, Signature, SigningKey, verify_by_one_of};
use crate::limits::{MAX_BATCH_ITEMS, MAX_CHECKPOINT, MAX_REDEMPTION_OUTCOME};
use crate::time::Day;

/// Why a redeemed item is not a valid spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table in redemption.md says what each check is")]
pub enum InvalidReason {
    Challenge,
    Key,
    Day,
    CertificateKey,
    CertificateSignature,
    SpendSignature,
}

impl InvalidReason {
    const ALL: [Self; 6] = [
        Self::Challenge,
        Self::Key,
        Self::Day,
        Self::CertificateKey,
        Self::CertificateSignature,
        Self::SpendSignature,
    ];

    /// Its number on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::Challenge => 1,
            Self::Key => 2,
            Self::Day => 3,
            Self::CertificateKey => 4,
            Self::CertificateSignature => 5,
            Self::SpendSignature => 6,
        }
    }

    /// The reason with this number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

/// What the vendor decided about one item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ItemResult {
    /// The first recorded spend: the operator is credited.
    Accepted,
    /// Recorded before, from this operator, with the same binding: credited then.
    AlreadyAccepted,
    /// Recorded before with another binding.
    DoubleSpent(DoubleSpend),
    /// Its key's redemption window has passed.
    Expired,
    /// No valid spend.
    Invalid(InvalidReason),
}

/// The vendor's signed answer to a batch.
#[derive(Clone, PartialEq, Eq)]
pub struct RedemptionOutcome {
    /// The vendor.
    pub vendor_id: VendorId,
    /// The operator whose batch it was.
    pub operator_id: OperatorId,
    /// The batch.
    pub batch_digest: BatchDigest,
    /// The vendor's day, on which this was decided.
    pub day: Day,
    /// The version of the manifest whose windows it was decided by.
    pub manifest_version: u64,
    /// One result per item, in order.
    pub results: Vec<ItemResult>,
    /// Of each result that is credited, in order, the index of its leaf.
    pub leaves: Vec<u64>,
    /// A signed checkpoint of a size above every leaf that is named; empty where none is.
    pub checkpoint: Vec<u8>,
}

/// Why an outcome counts as no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutcomeError {
    /// It does not parse.
    #[error("the vendor's outcome does not parse: {0}")]
    Decode(#[from] DecodeError),
    /// The receipt key's signature does not verify.
    #[error("the signature on the vendor's outcome does not verify")]
    Signature,
    /// Not every credited result has a leaf of its own, or others have one.
    #[error(
        "the vendor's outcome has {leaves} different leaves for {credited} credited certificates"
    )]
    Leaves {
        /// Results that are credited.
        credited: usize,
        /// Different leaves in the answer.
        leaves: usize,
    },
}

impl ItemResult {
    /// Whether the operator is credited, now or before, so that there is a leaf.
    pub const fn is_credited(&self) -> bool {
        matches!(self, Self::Accepted | Self::AlreadyAccepted)
    }
}

impl RedemptionOutcome {
    /// The signed outcome.
    pub fn sign(&self, receipt_key: &SigningKey) -> Vec<u8> {
        let mut writer = Writer::default();
        writer
            .put(self.vendor_id.as_bytes())
            .put(self.operator_id.as_bytes())
            .put(self.batch_digest.as_bytes())
            .u32(self.day.0)
            .u64(self.manifest_version)
            .nested(3, |writer| {
                self.results.iter().for_each(|result| write_result(writer, result));
            })
            .nested(2, |writer| {
                for leaf in &self.leaves {
                    writer.u64(*leaf);
                }
            })
            .vec16(&self.checkpoint);
        let signature = receipt_key.sign(Label::RedemptionOutcome, writer.as_bytes());
        writer.put(signature.as_bytes());
        writer.into_bytes()
    }

    /// The credited results with their leaves, by their position.
    pub fn credited(&self) -> impl Iterator<Item = (usize, u64)> {
        let credited = self.results.iter().enumerate().filter(|(_, result)| result.is_credited());
        credited.map(|(position, _)| position).zip(self.leaves.iter().copied())
    }

    /// The double spends, by their position.
    pub fn double_spends(&self) -> impl Iterator<Item = (usize, &DoubleSpend)> {
        self.results.iter().enumerate().filter_map(|(position, result)| match result {
            ItemResult::DoubleSpent(spend) => Some((position, spend)),
            _ => None,
        })
    }

    /// The largest index of a leaf that it names, credited or winning: its checkpoint has to be larger.
    pub fn last_leaf(&self) -> Option<u64> {
        let winners = self.double_spends().filter_map(|(_, spend)| spend.leaf());
        self.leaves.iter().copied().chain(winners).max()
    }

    /// Checks that each credited result has a leaf of its own, and no other has one.
    ///
    /// # Errors
    /// [`OutcomeError::Leaves`].
    pub fn check_leaves(&self) -> Result<(), OutcomeError> {
        let credited = self.results.iter().filter(|result| result.is_credited()).count();
        let leaves = self.leaves.iter().collect::<BTreeSet<_>>().len();
        if credited != self.leaves.len() || credited != leaves {
            return Err(OutcomeError::Leaves { credited, leaves });
        }
        Ok(())
    }

    /// Parses an outcome and checks that one of `receipt_keys` signed it. That it answers the batch, and its leaves and
    /// checkpoint, are for the caller to check.
    ///
    /// # Errors
    /// [`OutcomeError`].
    pub fn open<'k>(
        bytes: &[u8],
        receipt_keys: impl IntoIterator<Item = &'k PublicKey>,
    ) -> Result<Self, OutcomeError> {
        let mut reader = Reader::capped(bytes, MAX_REDEMPTION_OUTCOME)?;
        let outcome = Self {
            vendor_id: VendorId::from_bytes(reader.array()?),
            operator_id: OperatorId::from_bytes(reader.array()?),
            batch_digest: BatchDigest::from_bytes(reader.array()?),
            day: Day(reader.u32()?),
            manifest_version: reader.u64()?,
            results: Reader::elements(reader.vec24()?, read_result)?,
            leaves: Reader::elements(reader.vec16()?, Reader::u64)?,
            checkpoint: reader.vec16()?.to_vec(),
        };
        if outcome.checkpoint.len() > MAX_CHECKPOINT {
            return Err(DecodeError::TooLarge { limit: MAX_CHECKPOINT }.into());
        }
        if outcome.results.is_empty() || outcome.results.len() > MAX_BATCH_ITEMS {
            return Err(DecodeError::BadLength.into());
        }
        let signed = &bytes[..bytes.len() - reader.remaining()];
        let signature = Signature::from_bytes(reader.array()?);
        reader.finish()?;
        verify_by_one_of(receipt_keys, Label::RedemptionOutcome, signed, &signature)
            .map_err(|_| OutcomeError::Signature)?;
        Ok(outcome)
    }
}

fn write_result(writer: &mut Writer, result: &ItemResult) {
    match result {
        ItemResult::Accepted => writer.u8(1),
        ItemResult::AlreadyAccepted => writer.u8(2),
        ItemResult::DoubleSpent(spend) => {
            spend.write(writer.u8(3));
            writer
        }
        ItemResult::Expired => writer.u8(4),
        ItemResult::Invalid(reason) => writer.u8(5).u8(reason.code()),
    };
}

fn read_result(reader: &mut Reader<'_>) -> Result<ItemResult, DecodeError> {
    Ok(match reader.u8()? {
        1 => ItemResult::Accepted,
        2 => ItemResult::AlreadyAccepted,
        3 => ItemResult::DoubleSpent(DoubleSpend::read(reader)?),
        4 => ItemResult::Expired,
        5 => ItemResult::Invalid(
            InvalidReason::from_code(reader.u8()?).ok_or(DecodeError::BadValue("reason"))?,
        ),
        _ => return Err(DecodeError::BadValue("kind")),
    })
}
