//! Redemption (redemption.md): batches, outcomes and conflict proofs.

use std::collections::BTreeSet;

use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::{Label, hash};
use crate::id::{BatchDigest, BatchId, OperatorId, VendorId};
use crate::keys::{BadSignature, PublicKey, Signature, SigningKey};
use crate::limits::{
    MAX_BATCH_ITEMS, MAX_CHECKPOINT, MAX_REDEMPTION_BATCH, MAX_REDEMPTION_OUTCOME, REDEMPTION_ITEM,
};
use crate::spend::{Binding, Commitment, binding};
use crate::time::Day;
use crate::token::Token;

/// One spent certificate, as the vendor sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedemptionItem {
    /// The certificate.
    pub token: Token,
    /// The day of the payment.
    pub day: Day,
    /// `C_i`.
    pub commitment: Commitment,
    /// The certificate key's signature over `B_i`.
    pub signature: Signature,
}

impl RedemptionItem {
    pub(crate) fn write(&self, writer: &mut Writer) {
        writer
            .put(&self.token.encode())
            .u32(self.day.0)
            .put(self.commitment.as_bytes())
            .put(self.signature.as_bytes());
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            token: Token::read(reader)?,
            day: Day(reader.u32()?),
            commitment: Commitment::from_bytes(reader.array()?),
            signature: Signature::from_bytes(reader.array()?),
        })
    }

    /// `B_i`, if this was spent at `operator`.
    pub fn binding(&self, vendor: &VendorId, operator: &OperatorId) -> Binding {
        binding(vendor, operator, self.day, &self.commitment)
    }
}

/// What an operator redeems at once.
#[derive(Clone, PartialEq, Eq)]
pub struct RedemptionBatch {
    /// The vendor that it is for.
    pub vendor_id: VendorId,
    /// Who redeems.
    pub operator_id: OperatorId,
    /// A random name.
    pub batch_id: BatchId,
    /// 1 to `MAX_BATCH_ITEMS` items, shuffled.
    pub items: Vec<RedemptionItem>,
}

/// A batch as it was received: parsed, and not yet known to be its operator's.
pub struct SignedBatch {
    batch: RedemptionBatch,
    signed: Vec<u8>,
    signature: Signature,
    digest: BatchDigest,
}

impl RedemptionBatch {
    /// The signed batch.
    pub fn sign(&self, operator_key: &SigningKey) -> Vec<u8> {
        let mut writer = Writer::with_capacity(256 + self.items.len() * REDEMPTION_ITEM);
        writer
            .put(self.vendor_id.as_bytes())
            .put(self.operator_id.as_bytes())
            .put(self.batch_id.as_bytes())
            .nested(3, |writer| self.items.iter().for_each(|item| item.write(writer)));
        let signature = operator_key.sign(Label::RedemptionBatch, writer.as_bytes());
        writer.put(signature.as_bytes());
        writer.into_bytes()
    }
}

impl SignedBatch {
    /// Parses a signed batch.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::capped(bytes, MAX_REDEMPTION_BATCH)?;
        let vendor_id = VendorId::from_bytes(reader.array()?);
        let operator_id = OperatorId::from_bytes(reader.array()?);
        let batch_id = BatchId::from_bytes(reader.array()?);
        let items = Reader::fixed_elements(
            reader.vec24()?,
            REDEMPTION_ITEM,
            MAX_BATCH_ITEMS,
            RedemptionItem::read,
        )?;
        let signed = bytes[..bytes.len() - reader.remaining()].to_vec();
        let signature = Signature::from_bytes(reader.array()?);
        reader.finish()?;
        Ok(Self {
            batch: RedemptionBatch { vendor_id, operator_id, batch_id, items },
            signed,
            signature,
            digest: batch_digest(bytes),
        })
    }

    /// The vendor that it is for, before anything is verified.
    pub fn vendor_id(&self) -> VendorId {
        self.batch.vendor_id
    }

    /// Who claims to redeem, before that is verified.
    pub fn operator_id(&self) -> OperatorId {
        self.batch.operator_id
    }

    /// Its items, before anything is verified.
    pub fn items(&self) -> &[RedemptionItem] {
        &self.batch.items
    }

    /// The hash that the outcome repeats.
    pub fn digest(&self) -> BatchDigest {
        self.digest
    }

    /// The batch, if it is signed by `operator_key`, whose hash must be the operator id.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(self, operator_key: &PublicKey) -> Result<RedemptionBatch, BadSignature> {
        if OperatorId::of(operator_key) != self.batch.operator_id {
            return Err(BadSignature);
        }
        operator_key.verify(Label::RedemptionBatch, &self.signed, &self.signature)?;
        Ok(self.batch)
    }
}

/// The hash of a signed batch, which its outcome repeats.
pub fn batch_digest(signed_batch: &[u8]) -> BatchDigest {
    BatchDigest::from_bytes(hash(Label::RedemptionBatchDigest, &[signed_batch]))
}

/// Proof that a certificate was spent elsewhere: another binding, signed by its key. The binding is a hiding hash
/// and tells nothing of where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConflictProof {
    /// `P`
    pub certificate_key: PublicKey,
    /// `B'`
    pub other_binding: Binding,
    /// The signature over it.
    pub other_signature: Signature,
}

/// Why a claimed conflict is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConflictProofError {
    /// It is about another certificate.
    #[error("the proof is about another certificate")]
    OtherCertificate,
    /// It shows the very binding that it should contradict.
    #[error("the proof shows the same binding: that is a retry and no double spend")]
    SameBinding,
    /// Its signature does not verify.
    #[error("the signature of the proof does not verify")]
    Signature,
}

impl ConflictProof {
    /// Checks that the certificate with key `certificate_key`, bound to `own`, was spent under another binding too.
    ///
    /// # Errors
    /// [`ConflictProofError`]: the claim is no evidence, and nothing may follow from it.
    pub fn verify(
        &self,
        certificate_key: &[u8; 32],
        own: &Binding,
    ) -> Result<(), ConflictProofError> {
        if self.other_binding == *own {
            return Err(ConflictProofError::SameBinding);
        }
        self.verify_spend(certificate_key)
    }

    /// Checks that the certificate with key `certificate_key` was spent or renewed at all.
    ///
    /// # Errors
    /// [`ConflictProofError`]: the claim is no evidence, and nothing may follow from it.
    pub fn verify_spend(&self, certificate_key: &[u8; 32]) -> Result<(), ConflictProofError> {
        if self.certificate_key.as_bytes() != certificate_key {
            return Err(ConflictProofError::OtherCertificate);
        }
        self.certificate_key
            .verify(Label::Spend, self.other_binding.as_bytes(), &self.other_signature)
            .map_err(|_| ConflictProofError::Signature)
    }

    /// The 128 bytes of the proof.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        self.write(&mut writer);
        writer.into_bytes()
    }

    /// Parses 128 bytes.
    ///
    /// # Errors
    /// [`DecodeError`] for another length.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::capped(bytes, crate::limits::CONFLICT_PROOF)?;
        let proof = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(proof)
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer
            .put(self.certificate_key.as_bytes())
            .put(self.other_binding.as_bytes())
            .put(self.other_signature.as_bytes());
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            certificate_key: reader.key("certificate_key")?,
            other_binding: Binding::from_bytes(reader.array()?),
            other_signature: Signature::from_bytes(reader.array()?),
        })
    }
}

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
    DoubleSpent(ConflictProof),
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
    /// One result per item, in order.
    pub results: Vec<ItemResult>,
    /// Of each result that is credited, in order, the index of its leaf.
    pub leaves: Vec<u64>,
    /// A signed checkpoint of a size above every leaf; empty where nothing is credited.
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

    /// Parses an outcome and checks its signature. That it answers the batch, and its leaves and checkpoint, are for the
    /// caller to check.
    ///
    /// # Errors
    /// [`OutcomeError`].
    pub fn open(bytes: &[u8], receipt_key: &PublicKey) -> Result<Self, OutcomeError> {
        let mut reader = Reader::capped(bytes, MAX_REDEMPTION_OUTCOME)?;
        let outcome = Self {
            vendor_id: VendorId::from_bytes(reader.array()?),
            operator_id: OperatorId::from_bytes(reader.array()?),
            batch_digest: BatchDigest::from_bytes(reader.array()?),
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
        receipt_key
            .verify(Label::RedemptionOutcome, signed, &signature)
            .map_err(|_| OutcomeError::Signature)?;
        Ok(outcome)
    }
}

fn write_result(writer: &mut Writer, result: &ItemResult) {
    match result {
        ItemResult::Accepted => writer.u8(1),
        ItemResult::AlreadyAccepted => writer.u8(2),
        ItemResult::DoubleSpent(proof) => {
            proof.write(writer.u8(3));
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
        3 => ItemResult::DoubleSpent(ConflictProof::read(reader)?),
        4 => ItemResult::Expired,
        5 => ItemResult::Invalid(
            InvalidReason::from_code(reader.u8()?).ok_or(DecodeError::BadValue("reason"))?,
        ),
        _ => return Err(DecodeError::BadValue("kind")),
    })
}
