//! Conflicts (redemption.md, "Outcome"): that a certificate was used for something else before, and where that is recorded.

use crate::codec::{DecodeError, Reader, Writer};
use crate::keys::{PublicKey, Signature};
use crate::spend::{Binding, SpendIdentity, SpendKind};
use crate::time::Day;

/// Proof that a certificate was used elsewhere: another binding, signed by its key. The binding is a hiding hash
/// and tells nothing of where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConflictProof {
    /// `P`
    pub certificate_key: PublicKey,
    /// Whether it was spent or renewed. The signature is made under another label for each, so that neither serves as the other.
    pub kind: SpendKind,
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
            .verify(self.kind.label(), self.other_binding.as_bytes(), &self.other_signature)
            .map_err(|_| ConflictProofError::Signature)
    }

    /// The 129 bytes of the proof.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        self.write(&mut writer);
        writer.into_bytes()
    }

    /// Parses 129 bytes.
    ///
    /// # Errors
    /// [`DecodeError`] for another length or kind.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::capped(bytes, crate::limits::CONFLICT_PROOF)?;
        let proof = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(proof)
    }

    /// Reads the proof that a certificate was spent at an operator, where a renewal is no answer: the certificate's holder may have
    /// signed one that was never recorded.
    pub(crate) fn read_spend(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let proof = Self::read(reader)?;
        match proof.kind {
            SpendKind::Spend => Ok(proof),
            SpendKind::Renewal => Err(DecodeError::BadValue("kind")),
        }
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer
            .put(self.certificate_key.as_bytes())
            .u8(self.kind.code())
            .put(self.other_binding.as_bytes())
            .put(self.other_signature.as_bytes());
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            certificate_key: reader.key("certificate_key")?,
            kind: SpendKind::from_code(reader.u8()?).ok_or(DecodeError::BadValue("kind"))?,
            other_binding: Binding::from_bytes(reader.array()?),
            other_signature: Signature::from_bytes(reader.array()?),
        })
    }
}

/// Where the use that was recorded first lies, so that anybody who may read the ledger can look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Winner {
    /// The index of the leaf of a redemption. Any smaller than the size of the outcome's checkpoint.
    Leaf(u64),
    /// The day of a renewal. Its leaf follows when that day is over (ledger.md, "Order"), at an index that is not known yet.
    Renewed(Day),
}

/// A double spend as the vendor answers it: what its certificate was used for before, and where that is recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DoubleSpend {
    /// `P`
    pub certificate_key: PublicKey,
    /// `B'`
    pub other_binding: Binding,
    /// The signature over it, under the label of the winner's kind.
    pub other_signature: Signature,
    /// Where it is recorded.
    pub winner: Winner,
}

impl Winner {
    /// What the certificate was used for.
    pub const fn kind(&self) -> SpendKind {
        match self {
            Self::Leaf(_) => SpendKind::Spend,
            Self::Renewed(_) => SpendKind::Renewal,
        }
    }
}

impl DoubleSpend {
    /// The part that anybody can check at once.
    pub const fn proof(&self) -> ConflictProof {
        ConflictProof {
            certificate_key: self.certificate_key,
            kind: self.winner.kind(),
            other_binding: self.other_binding,
            other_signature: self.other_signature,
        }
    }

    /// The index of the winning leaf, where it is a redemption.
    pub const fn leaf(&self) -> Option<u64> {
        match self.winner {
            Winner::Leaf(leaf) => Some(leaf),
            Winner::Renewed(_) => None,
        }
    }

    /// Whether a leaf with this identity, of this kind, is the use that the proof shows. That its key is of the same epoch is for
    /// the caller to check.
    pub fn is_won_by(&self, kind: SpendKind, identity: &SpendIdentity) -> bool {
        self.winner.kind() == kind
            && self.certificate_key.as_bytes() == &identity.certificate_key
            && self.other_binding == identity.binding
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        self.proof().write(writer);
        match self.winner {
            Winner::Leaf(leaf) => writer.u64(leaf),
            Winner::Renewed(day) => writer.u32(day.0),
        };
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let proof = ConflictProof::read(reader)?;
        let winner = match proof.kind {
            SpendKind::Spend => Winner::Leaf(reader.u64()?),
            SpendKind::Renewal => Winner::Renewed(Day(reader.u32()?)),
        };
        Ok(Self::new(proof, winner))
    }

    /// What the proof shows, recorded at `winner`, which has to be of its kind.
    pub const fn new(proof: ConflictProof, winner: Winner) -> Self {
        Self {
            certificate_key: proof.certificate_key,
            other_binding: proof.other_binding,
            other_signature: proof.other_signature,
            winner,
        }
    }
}
