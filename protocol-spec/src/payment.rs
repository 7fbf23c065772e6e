//! Payments (spending.md): what a wallet sends a relay, and the evidence that the relay keeps of it.

use crate::codec::{DecodeError, Reader, Writer};
use crate::id::{OperatorId, PaymentId, VendorId};
use crate::issuance::Certificate;
use crate::keys::Signature;
use crate::limits::{MAX_PAID_REQUEST, MAX_PAYMENT_ITEMS, MAX_RESOURCE_REQUEST, PAYMENT_ITEM};
use crate::redemption::RedemptionItem;
use crate::spend::{Binding, Salt, binding, commitment, payment_id, request_digest};
use crate::time::Day;
use crate::token::Token;

/// One certificate of a payment.
#[derive(Clone, PartialEq, Eq)]
pub struct PaymentItem {
    /// The certificate.
    pub token: Token,
    /// Its key's signature over `B_i`.
    pub signature: Signature,
}

/// Certificates spent for one resource.
#[derive(Clone, PartialEq, Eq)]
pub struct Payment {
    /// The vendor whose certificates these are.
    pub vendor_id: VendorId,
    /// The operator who is paid.
    pub operator_id: OperatorId,
    /// The wallet's UTC day.
    pub day: Day,
    /// The payment's random value.
    pub salt: Salt,
    /// 1 to `MAX_PAYMENT_ITEMS` certificates.
    pub items: Vec<PaymentItem>,
}

/// A resource request with its payment.
#[derive(Clone, PartialEq, Eq)]
pub struct PaidRequest {
    /// What is paid for, 1 to `MAX_RESOURCE_REQUEST` bytes that the relay understands.
    pub resource_request: Vec<u8>,
    /// The payment.
    pub payment: Payment,
}

/// What a relay keeps of one certificate of a payment: all that the vendor will be shown, and the binding that follows from it.
#[derive(Clone, PartialEq, Eq)]
pub struct Evidence {
    /// What is redeemed.
    pub item: RedemptionItem,
    /// `B_i`.
    pub binding: Binding,
}

impl Payment {
    /// Spends `certificates` at `operator_id` for `resource_request`. The salt must be new: it is what keeps the vendor from
    /// finding the resource by trial.
    pub fn make<'a>(
        certificates: impl IntoIterator<Item = &'a Certificate>,
        vendor_id: VendorId,
        operator_id: OperatorId,
        day: Day,
        salt: Salt,
        resource_request: &[u8],
    ) -> Self {
        let request = request_digest(resource_request);
        let items = certificates
            .into_iter()
            .map(|certificate| {
                let commitment = commitment(&salt, &certificate.token().nonce, &request);
                let (_, signature) = certificate.spend(&vendor_id, &operator_id, day, &commitment);
                PaymentItem { token: certificate.token().clone(), signature }
            })
            .collect();
        Self { vendor_id, operator_id, day, salt, items }
    }

    /// The evidence of each certificate, in order.
    pub fn evidence(&self, resource_request: &[u8]) -> Vec<Evidence> {
        let request = request_digest(resource_request);
        self.items
            .iter()
            .map(|item| {
                let commitment = commitment(&self.salt, &item.token.nonce, &request);
                Evidence {
                    binding: binding(
                        &self.vendor_id,
                        &self.operator_id,
                        self.day,
                        &item.token.key_id,
                        &commitment,
                    ),
                    item: RedemptionItem {
                        token: item.token.clone(),
                        day: self.day,
                        commitment,
                        signature: item.signature,
                    },
                }
            })
            .collect()
    }
}

impl PaidRequest {
    /// The encoded request.
    pub fn encode(&self) -> Vec<u8> {
        let payment = &self.payment;
        let mut writer = Writer::with_capacity(256 + payment.items.len() * PAYMENT_ITEM);
        writer
            .vec16(&self.resource_request)
            .put(payment.vendor_id.as_bytes())
            .put(payment.operator_id.as_bytes())
            .u32(payment.day.0)
            .put(&payment.salt.0)
            .nested(2, |writer| {
                for item in &payment.items {
                    writer.put(&item.token.encode()).put(item.signature.as_bytes());
                }
            });
        writer.into_bytes()
    }

    /// Parses a paid request.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::capped(bytes, MAX_PAID_REQUEST)?;
        let resource_request = reader.vec16()?.to_vec();
        if resource_request.is_empty() || resource_request.len() > MAX_RESOURCE_REQUEST {
            return Err(DecodeError::BadLength);
        }
        let payment = Payment {
            vendor_id: VendorId::from_bytes(reader.array()?),
            operator_id: OperatorId::from_bytes(reader.array()?),
            day: Day(reader.u32()?),
            salt: Salt(reader.array()?),
            items: Reader::fixed_elements(
                reader.vec16()?,
                PAYMENT_ITEM,
                MAX_PAYMENT_ITEMS,
                |reader| {
                    Ok(PaymentItem {
                        token: Token::read(reader)?,
                        signature: Signature::from_bytes(reader.array()?),
                    })
                },
            )?,
        };
        reader.finish()?;
        Ok(Self { resource_request, payment })
    }

    /// The payment's name.
    pub fn payment_id(&self) -> PaymentId {
        let bindings: Vec<Binding> =
            self.payment.evidence(&self.resource_request).iter().map(|e| e.binding).collect();
        payment_id(&self.payment.vendor_id, &bindings)
    }
}
