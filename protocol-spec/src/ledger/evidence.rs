//! What voided a certificate (ledger.md, "Leaves"): enough for anybody to verify it anew.

use crate::codec::{DecodeError, Reader, Writer};
use crate::id::{OperatorId, VendorId};
use crate::keys::Signature;
use crate::redemption::RedemptionItem;
use crate::spend::{Binding, SpendIdentity};
use crate::time::Day;
use crate::token::Token;

/// A certificate that was spent at an operator, and credited to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redemption {
    /// The operator.
    pub operator_id: OperatorId,
    /// The certificate, the day, `C_i` and the signature, as the operator sent them.
    pub item: RedemptionItem,
}

/// A certificate that was exchanged for a new one. What it became is not here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RenewalEvidence {
    /// The old certificate.
    pub token: Token,
    /// The vendor's day.
    pub day: Day,
    /// What the old certificate's key signed (renewal.md).
    pub binding: Binding,
    /// Its signature.
    pub signature: Signature,
}

impl Redemption {
    /// What the certificate key signed.
    pub fn binding(&self, vendor: &VendorId) -> Binding {
        self.item.binding(vendor, &self.operator_id)
    }

    /// Which use of which certificate this is.
    pub fn identity(&self, vendor: &VendorId) -> SpendIdentity {
        self.item.identity(vendor, &self.operator_id)
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        self.item.write(writer.put(self.operator_id.as_bytes()));
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            operator_id: OperatorId::from_bytes(reader.array()?),
            item: RedemptionItem::read(reader)?,
        })
    }
}

impl RenewalEvidence {
    /// Which use of which certificate this is.
    pub fn identity(&self) -> SpendIdentity {
        SpendIdentity {
            certificate_key: self.token.nonce,
            key_id: self.token.key_id,
            binding: self.binding,
        }
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer
            .put(&self.token.encode())
            .u32(self.day.0)
            .put(self.binding.as_bytes())
            .put(self.signature.as_bytes());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            token: Token::read(reader)?,
            day: Day(reader.u32()?),
            binding: Binding::from_bytes(reader.array()?),
            signature: Signature::from_bytes(reader.array()?),
        })
    }
}
