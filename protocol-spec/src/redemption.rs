//! Redemption (redemption.md): batches, outcomes and conflict proofs.

mod conflict;
mod outcome;

pub use self::conflict::{ConflictProof, ConflictProofError, DoubleSpend, Winner};
pub use self::outcome::{InvalidReason, ItemResult, OutcomeError, RedemptionOutcome};
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::{Label, hash};
use crate::id::{BatchDigest, BatchId, OperatorId, VendorId};
use crate::keys::{BadSignature, PublicKey, Signature, SigningKey};
use crate::limits::{MAX_BATCH_ITEMS, MAX_REDEMPTION_BATCH, REDEMPTION_ITEM};
use crate::spend::{Binding, Commitment, SpendIdentity, binding};
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
        binding(vendor, operator, self.day, &self.token.key_id, &self.commitment)
    }

    /// Which use of which certificate this is, if it was spent at `operator`.
    pub fn identity(&self, vendor: &VendorId, operator: &OperatorId) -> SpendIdentity {
        SpendIdentity {
            certificate_key: self.token.nonce,
            key_id: self.token.key_id,
            binding: self.binding(vendor, operator),
        }
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
