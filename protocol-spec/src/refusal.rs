//! Refusals of payments (spending.md, "Refusals"): an operator's signed promise that a payment was not taken and never will
//! be, and what shows that the promise was broken.

mod accusation;

pub use self::accusation::{Accusation, AccusationError, Accused, RefusedCertificate};

use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Label;
use crate::id::{OperatorId, PaymentId, decode_base64url, encode_base64url};
use crate::keys::{PublicKey, Signature, SigningKey};
use crate::limits::MAX_REFUSAL;
use crate::problem::{Problem, ProblemType};

/// An operator's promise: nothing of this payment was taken, and nothing ever will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Who promises.
    pub operator_id: OperatorId,
    /// The payment, and with it the binding of each of its certificates.
    pub payment_id: PaymentId,
    /// Why. Always one that takes nothing.
    pub problem: ProblemType,
}

/// Why a refusal is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusalError {
    /// It does not parse.
    #[error("the refusal does not parse: {0}")]
    Decode(#[from] DecodeError),
    /// It names another operator, or its signature does not verify.
    #[error("the refusal is not signed by its operator")]
    Signature,
}

impl Refusal {
    /// The signed refusal. The promise must be on disk before it leaves.
    pub fn sign(&self, operator_key: &SigningKey) -> Vec<u8> {
        let mut writer = Writer::with_capacity(MAX_REFUSAL);
        writer
            .put(self.operator_id.as_bytes())
            .put(self.payment_id.as_bytes())
            .vec8(self.problem.name().as_bytes());
        let signature = operator_key.sign(Label::Refusal, writer.as_bytes());
        writer.put(signature.as_bytes());
        writer.into_bytes()
    }

    /// Parses a refusal and checks that the operator with `operator_key` signed it.
    ///
    /// # Errors
    /// [`RefusalError`].
    pub fn open(bytes: &[u8], operator_key: &PublicKey) -> Result<Self, RefusalError> {
        let mut reader = Reader::capped(bytes, MAX_REFUSAL)?;
        let refusal = Self {
            operator_id: OperatorId::from_bytes(reader.array()?),
            payment_id: PaymentId::from_bytes(reader.array()?),
            problem: problem_of(reader.vec8()?)?,
        };
        let signed = &bytes[..bytes.len() - reader.remaining()];
        let signature = Signature::from_bytes(reader.array()?);
        reader.finish()?;
        if OperatorId::of(operator_key) != refusal.operator_id {
            return Err(RefusalError::Signature);
        }
        operator_key
            .verify(Label::Refusal, signed, &signature)
            .map_err(|_| RefusalError::Signature)?;
        Ok(refusal)
    }

    /// Puts the signed refusal into the problem document that says the same.
    pub fn attach(&self, operator_key: &SigningKey, problem: &mut Problem) {
        problem.refusal = Some(encode_base64url(&self.sign(operator_key)));
    }

    /// The bytes of the refusal of `payment` that a problem document carries, if the operator with `operator_key` signed it
    /// and it gives the document's own reason. Without one a document promises nothing.
    pub fn of(problem: &Problem, operator_key: &PublicKey, payment: &PaymentId) -> Option<Vec<u8>> {
        let bytes = decode_base64url(problem.refusal.as_deref()?)?;
        let refusal = Self::open(&bytes, operator_key).ok()?;
        (refusal.payment_id == *payment && refusal.problem == problem.problem).then_some(bytes)
    }
}

/// The problem of this name, if it is one that takes nothing: no other is a reason to refuse.
fn problem_of(name: &[u8]) -> Result<ProblemType, DecodeError> {
    let named = |problem: &ProblemType| problem.name().as_bytes() == name;
    let found = ProblemType::ALL.iter().copied().find(named);
    found.filter(|problem| problem.nothing_taken()).ok_or(DecodeError::BadValue("problem"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32])
    }

    fn refusal(problem: ProblemType) -> Refusal {
        let operator_id = OperatorId::of(&key(3).public());
        Refusal { operator_id, payment_id: PaymentId::from_bytes([7; 32]), problem }
    }

    #[test]
    fn a_refusal_holds_for_its_operator_its_payment_and_its_reason() {
        let (one, other) = (PaymentId::from_bytes([7; 32]), PaymentId::from_bytes([8; 32]));
        let refusal = refusal(ProblemType::StorageFull);
        let mut problem = Problem::new(ProblemType::StorageFull);
        assert_eq!(Refusal::of(&problem, &key(3).public(), &one), None, "unsigned");
        refusal.attach(&key(3), &mut problem);
        let bytes = Refusal::of(&problem, &key(3).public(), &one).unwrap();
        assert_eq!(Refusal::open(&bytes, &key(3).public()), Ok(refusal));
        assert_eq!(Refusal::of(&problem, &key(3).public(), &other), None, "another payment");
        assert_eq!(Refusal::of(&problem, &key(4).public(), &one), None, "another operator");
        problem.problem = ProblemType::VendorLimit;
        assert_eq!(Refusal::of(&problem, &key(3).public(), &one), None, "another reason");
        // Who signs in another's name.
        let forged = refusal.sign(&key(4));
        assert_eq!(Refusal::open(&forged, &key(4).public()), Err(RefusalError::Signature));
        assert_eq!(Refusal::open(&forged, &key(3).public()), Err(RefusalError::Signature));
    }

    #[test]
    fn only_what_takes_nothing_is_a_reason() {
        for problem in ProblemType::ALL.iter().copied() {
            let opened = Refusal::open(&refusal(problem).sign(&key(3)), &key(3).public());
            assert_eq!(opened.is_ok(), problem.nothing_taken(), "{problem:?}");
        }
    }
}
