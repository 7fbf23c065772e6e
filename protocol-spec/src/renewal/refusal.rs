//! Refusals of renewals (renewal.md, "Refusals"): a vendor's signed promise that what a certificate's holder signed for a renewal was
//! never taken and never will be.

use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Label;
use crate::id::{VendorId, decode_base64url, encode_base64url};
use crate::keys::{PublicKey, Signature, SigningKey, verify_by_one_of};
use crate::ledger::Leaf;
use crate::limits::MAX_RENEWAL_REFUSAL;
use crate::problem::{Problem, ProblemType};
use crate::redemption::ConflictProof;
use crate::spend::{Binding, SpendIdentity, SpendKind};
use crate::time::Day;

/// A vendor's promise: nothing that this key signed over this binding was taken, and nothing ever will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenewalRefusal {
    /// Who promises.
    pub vendor_id: VendorId,
    /// `P` of the certificate that was to be renewed.
    pub certificate_key: PublicKey,
    /// `B` of the renewal, and with it the certificate's denomination key and what it was to become.
    pub binding: Binding,
    /// The vendor's day, on which it refused.
    pub day: Day,
    /// The version of the manifest whose windows it refused by.
    pub manifest_version: u64,
    /// Why: one of [`RenewalRefusal::REASONS`].
    pub problem: ProblemType,
}

/// Why a refusal is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenewalRefusalError {
    /// It does not parse.
    #[error("the refusal does not parse: {0}")]
    Decode(#[from] DecodeError),
    /// Its signature does not verify.
    #[error("the refusal is not signed by the vendor")]
    Signature,
}

impl RenewalRefusal {
    /// The reasons that never pass: a window is over, or the request could at no time have been taken.
    pub const REASONS: [ProblemType; 4] = [
        ProblemType::RenewalClosed,
        ProblemType::KeyOutsideWindow,
        ProblemType::Malformed,
        ProblemType::BlindedMessageOutOfRange,
    ];

    /// The signed refusal. The promise must be on disk before it leaves.
    pub fn sign(&self, receipt_key: &SigningKey) -> Vec<u8> {
        let mut writer = Writer::with_capacity(MAX_RENEWAL_REFUSAL);
        writer
            .put(self.vendor_id.as_bytes())
            .put(self.certificate_key.as_bytes())
            .put(self.binding.as_bytes())
            .u32(self.day.0)
            .u64(self.manifest_version)
            .vec8(self.problem.name().as_bytes());
        let signature = receipt_key.sign(Label::RenewalRefusal, writer.as_bytes());
        writer.put(signature.as_bytes());
        writer.into_bytes()
    }

    /// Parses a refusal and checks that one of the vendor's `receipt_keys` signed it.
    ///
    /// # Errors
    /// [`RenewalRefusalError`].
    pub fn open<'k>(
        bytes: &[u8],
        receipt_keys: impl IntoIterator<Item = &'k PublicKey>,
    ) -> Result<Self, RenewalRefusalError> {
        let mut reader = Reader::capped(bytes, MAX_RENEWAL_REFUSAL)?;
        let refusal = Self {
            vendor_id: VendorId::from_bytes(reader.array()?),
            certificate_key: reader.key("certificate_key")?,
            binding: Binding::from_bytes(reader.array()?),
            day: Day(reader.u32()?),
            manifest_version: reader.u64()?,
            problem: reason_of(reader.vec8()?)?,
        };
        let signed = &bytes[..bytes.len() - reader.remaining()];
        let signature = Signature::from_bytes(reader.array()?);
        reader.finish()?;
        verify_by_one_of(receipt_keys, Label::RenewalRefusal, signed, &signature)
            .map_err(|_| RenewalRefusalError::Signature)?;
        Ok(refusal)
    }

    /// The problem document that says the same, with the signed refusal in it.
    pub fn problem(&self, receipt_key: &SigningKey) -> Problem {
        let mut problem = Problem::new(self.problem);
        problem.refusal = Some(encode_base64url(&self.sign(receipt_key)));
        problem
    }

    /// The refusal of `asked` that a problem document carries, with its bytes, if one of the vendor's `receipt_keys` signed it and
    /// it gives the document's own reason. Without one a document promises nothing.
    pub fn of<'k>(
        problem: &Problem,
        receipt_keys: impl IntoIterator<Item = &'k PublicKey>,
        vendor: &VendorId,
        asked: &SpendIdentity,
    ) -> Option<(Self, Vec<u8>)> {
        let bytes = decode_base64url(problem.refusal.as_deref()?)?;
        let refusal = Self::open(&bytes, receipt_keys).ok()?;
        let fits = refusal.is_of(vendor, asked) && refusal.problem == problem.problem;
        fits.then_some((refusal, bytes))
    }

    /// Whether it refuses what `asked` stands for.
    pub fn is_of(&self, vendor: &VendorId, asked: &SpendIdentity) -> bool {
        self.vendor_id == *vendor
            && *self.certificate_key.as_bytes() == asked.certificate_key
            && self.binding == asked.binding
    }

    /// Whether this leaf of the vendor's ledger is what it refused. Then the vendor has broken its promise.
    pub fn is_broken_by(&self, leaf: &Leaf) -> bool {
        match leaf {
            Leaf::Renewal(renewal) => {
                let identity = renewal.identity();
                self.concerns(SpendKind::Renewal, &identity.certificate_key, &identity.binding)
            }
            _ => false,
        }
    }

    /// Whether this is the use that it refused, shown as one that was recorded. Where the vendor signed that it was (in an outcome,
    /// as the winner of a double spend), it has broken its promise; a proof that nobody signed shows that to the certificate's
    /// holder alone, who could have made it.
    pub fn is_shown_by(&self, proof: &ConflictProof) -> bool {
        self.concerns(proof.kind, proof.certificate_key.as_bytes(), &proof.other_binding)
    }

    /// Whether it refused this use. The binding says of which epoch and denomination it is.
    pub fn concerns(&self, kind: SpendKind, certificate_key: &[u8; 32], binding: &Binding) -> bool {
        kind == SpendKind::Renewal
            && self.certificate_key.as_bytes() == certificate_key
            && self.binding == *binding
    }
}

/// The problem of this name, if it is one that never passes.
fn reason_of(name: &[u8]) -> Result<ProblemType, DecodeError> {
    let named = |problem: &ProblemType| problem.name().as_bytes() == name;
    let found = RenewalRefusal::REASONS.into_iter().find(named);
    found.ok_or(DecodeError::BadValue("problem"))
}
