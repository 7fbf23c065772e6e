//! The answer that a certificate which was to be renewed was spent at a relay (renewal.md, "Spent"): signed, and with the leaf
//! that shows it, as in an outcome.

use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Label;
use crate::id::{KeyId, VendorId};
use crate::keys::{PublicKey, Signature, SigningKey, verify_by_one_of};
use crate::limits::{MAX_CHECKPOINT, MAX_RENEWAL_SPENT};
use crate::redemption::{ConflictProof, DoubleSpend, Winner};
use crate::spend::{Binding, SpendIdentity};
use crate::tlog::checkpoint::{CheckpointError, SignedCheckpoint};
use crate::tlog::note::{KeyName, VerifierKey};
use crate::tlog::policy::WitnessPolicy;

/// What the vendor says that a certificate was spent for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RenewalSpent {
    /// The vendor.
    pub vendor_id: VendorId,
    /// The key that signed the certificate.
    pub key_id: KeyId,
    /// `B` of the renewal that was asked for.
    pub binding: Binding,
    /// What is recorded, of kind `spend`.
    pub proof: ConflictProof,
    /// The index of its leaf.
    pub leaf: u64,
    /// A signed checkpoint of a size above it.
    pub checkpoint: Vec<u8>,
}

/// The same as it came: parsed, and not yet known to be the vendor's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedRenewalSpent {
    spent: RenewalSpent,
    signature: Signature,
}

/// Why it counts as no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenewalSpentError {
    /// It does not parse.
    #[error("the vendor's answer does not parse: {0}")]
    Decode(#[from] DecodeError),
    /// None of the vendor's keys signed it.
    #[error("the answer is not signed by the vendor")]
    Signature,
    /// The checkpoint is not the vendor's.
    #[error("the checkpoint in the answer is not the vendor's: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint's tree does not have the leaf.
    #[error("the answer names leaf {leaf}, and has a checkpoint of {size} leaves")]
    Leaf {
        /// The leaf.
        leaf: u64,
        /// The size of the tree.
        size: u64,
    },
}

impl RenewalSpent {
    /// The signed answer.
    pub fn sign(self, receipt_key: &SigningKey) -> SignedRenewalSpent {
        let mut writer = Writer::default();
        self.write(&mut writer);
        let signature = receipt_key.sign(Label::RenewalSpent, writer.as_bytes());
        SignedRenewalSpent { spent: self, signature }
    }

    /// What was asked for.
    pub fn asked(&self) -> SpendIdentity {
        SpendIdentity {
            certificate_key: *self.proof.certificate_key.as_bytes(),
            key_id: self.key_id,
            binding: self.binding,
        }
    }

    /// The use that won over it, and where it is recorded.
    pub const fn double_spend(&self) -> DoubleSpend {
        DoubleSpend::new(self.proof, Winner::Leaf(self.leaf))
    }

    /// The checkpoint, if it is one of the vendor's whose tree has the leaf.
    ///
    /// # Errors
    /// [`RenewalSpentError`]: then the vendor can be held to nothing, and it is no answer.
    pub fn checkpoint<'k>(
        &self,
        receipt_keys: impl IntoIterator<Item = &'k PublicKey>,
    ) -> Result<SignedCheckpoint, RenewalSpentError> {
        let keys = receipt_keys.into_iter();
        let keys: Vec<VerifierKey> =
            keys.map(|key| VerifierKey::of_ledger(&self.vendor_id, *key)).collect();
        let origin = KeyName::of_ledger(&self.vendor_id);
        let signed =
            SignedCheckpoint::open(&self.checkpoint, &origin, &keys, &WitnessPolicy::none())?;
        let (leaf, size) = (self.leaf, signed.checkpoint().size);
        if size > leaf { Ok(signed) } else { Err(RenewalSpentError::Leaf { leaf, size }) }
    }

    fn write(&self, writer: &mut Writer) {
        writer
            .put(self.vendor_id.as_bytes())
            .put(self.key_id.as_bytes())
            .put(self.binding.as_bytes());
        self.proof.write(writer);
        writer.u64(self.leaf).vec16(&self.checkpoint);
    }
}

impl SignedRenewalSpent {
    /// What is said, if one of the vendor's `receipt_keys` signed it.
    ///
    /// # Errors
    /// [`RenewalSpentError::Signature`].
    pub fn verify<'k>(
        &self,
        receipt_keys: impl IntoIterator<Item = &'k PublicKey>,
    ) -> Result<&RenewalSpent, RenewalSpentError> {
        let mut writer = Writer::default();
        self.spent.write(&mut writer);
        verify_by_one_of(receipt_keys, Label::RenewalSpent, writer.as_bytes(), &self.signature)
            .map_err(|_| RenewalSpentError::Signature)?;
        Ok(&self.spent)
    }

    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        self.write(&mut writer);
        writer.into_bytes()
    }

    /// Parses the bytes.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::capped(bytes, MAX_RENEWAL_SPENT)?;
        let signed = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(signed)
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        self.spent.write(writer);
        writer.put(self.signature.as_bytes());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let spent = RenewalSpent {
            vendor_id: VendorId::from_bytes(reader.array()?),
            key_id: KeyId::from_bytes(reader.array()?),
            binding: Binding::from_bytes(reader.array()?),
            proof: ConflictProof::read_spend(reader)?,
            leaf: reader.u64()?,
            checkpoint: reader.vec16()?.to_vec(),
        };
        if spent.checkpoint.len() > MAX_CHECKPOINT {
            return Err(DecodeError::TooLarge { limit: MAX_CHECKPOINT });
        }
        Ok(Self { spent, signature: Signature::from_bytes(reader.array()?) })
    }
}
