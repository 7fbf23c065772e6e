//! Receipts of operators (spending.md, "Receipts").

use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Label;
use crate::id::{OperatorId, PaymentId, ResourceId};
use crate::keys::{PublicKey, Signature, SigningKey};
use crate::limits::MAX_RECEIPT;
use crate::time::UnixSeconds;

/// What happened to the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptEvent {
    /// The resource was provisioned.
    Provisioned,
    /// The lease was extended.
    Extended,
    /// A certificate had been spent before: the lease was shortened by its value.
    Shortened,
    /// The lease has ended.
    Ended,
}

impl ReceiptEvent {
    const fn code(self) -> u8 {
        match self {
            Self::Provisioned => 1,
            Self::Extended => 2,
            Self::Shortened => 3,
            Self::Ended => 4,
        }
    }

    fn from_code(code: u8) -> Result<Self, DecodeError> {
        [Self::Provisioned, Self::Extended, Self::Shortened, Self::Ended]
            .into_iter()
            .find(|event| event.code() == code)
            .ok_or(DecodeError::BadValue("event"))
    }
}

/// An operator's statement about a lease, evidence for its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Whose relay.
    pub operator_id: OperatorId,
    /// The payment that it is about.
    pub payment_id: PaymentId,
    /// What happened.
    pub event: ReceiptEvent,
    /// The lease.
    pub lease_id: ResourceId,
    /// When the lease ends, after this event.
    pub lease_until: UnixSeconds,
    /// What the event added or took away.
    pub credits: u32,
    /// By event: the resource's other address; a conflict proof.
    pub detail: Vec<u8>,
}

/// Why a receipt is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// It does not parse.
    #[error("the relay's receipt does not parse: {0}")]
    Decode(#[from] DecodeError),
    /// It names another operator, or its signature does not verify.
    #[error("the relay's receipt is not signed by its operator")]
    Signature,
}

impl Receipt {
    /// The signed receipt.
    pub fn sign(&self, operator_key: &SigningKey) -> Vec<u8> {
        let mut writer = Writer::with_capacity(256 + self.detail.len());
        writer
            .put(self.operator_id.as_bytes())
            .put(self.payment_id.as_bytes())
            .u8(self.event.code())
            .put(self.lease_id.as_bytes())
            .u64(self.lease_until.0)
            .u32(self.credits)
            .vec16(&self.detail);
        let signature = operator_key.sign(Label::Receipt, writer.as_bytes());
        writer.put(signature.as_bytes());
        writer.into_bytes()
    }

    /// Parses a receipt and checks that the operator with `operator_key` signed it.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub fn open(bytes: &[u8], operator_key: &PublicKey) -> Result<Self, ReceiptError> {
        let mut reader = Reader::capped(bytes, MAX_RECEIPT)?;
        let receipt = Self {
            operator_id: OperatorId::from_bytes(reader.array()?),
            payment_id: PaymentId::from_bytes(reader.array()?),
            event: ReceiptEvent::from_code(reader.u8()?)?,
            lease_id: ResourceId::from_bytes(reader.array()?),
            lease_until: UnixSeconds(reader.u64()?),
            credits: reader.u32()?,
            detail: reader.vec16()?.to_vec(),
        };
        let signed = &bytes[..bytes.len() - reader.remaining()];
        let signature = Signature::from_bytes(reader.array()?);
        reader.finish()?;
        if OperatorId::of(operator_key) != receipt.operator_id {
            return Err(ReceiptError::Signature);
        }
        operator_key
            .verify(Label::Receipt, signed, &signature)
            .map_err(|_| ReceiptError::Signature)?;
        Ok(receipt)
    }
}
