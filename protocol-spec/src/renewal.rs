//! Renewal (renewal.md): a certificate that expires soon for a new one of the same value.

use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::{Label, hash};
use crate::id::{KeyId, VendorId};
use crate::issuance::{BlindedItem, Certificate, SignedItem};
use crate::keys::{BadSignature, PublicKey, Signature};
use crate::limits::{
    MAX_RENEWAL_ANSWER, MAX_RENEWAL_ITEMS, MAX_RENEWAL_REQUEST, RENEWAL_ITEM, RSA,
};
use crate::redemption::ConflictProof;
use crate::spend::Binding;
use crate::time::Day;
use crate::token::Token;

/// What a certificate key signs to have its certificate renewed: it takes the place of `B_i`.
pub fn renewal_binding(vendor: &VendorId, key: &KeyId, blinded_message: &[u8; RSA]) -> Binding {
    let parts: [&[u8]; 3] = [vendor.as_bytes(), key.as_bytes(), blinded_message];
    Binding::from_bytes(hash(Label::Renewal, &parts))
}

/// One certificate to be renewed.
#[derive(Clone, PartialEq, Eq)]
pub struct RenewalItem {
    /// The old certificate.
    pub token: Token,
    /// What is to be signed in its place, and with which key.
    pub blinded: BlindedItem,
    /// The old certificate key's signature over the binding.
    pub signature: Signature,
}

/// Certificates to be renewed.
#[derive(Clone, PartialEq, Eq)]
pub struct RenewalRequest {
    /// 1 to `MAX_RENEWAL_ITEMS` items.
    pub items: Vec<RenewalItem>,
}

/// A renewal as the vendor recorded it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Renewal {
    /// The key of the new certificate.
    pub key_id: KeyId,
    /// What was signed.
    pub blinded_message: [u8; RSA],
    /// The blind signature over it.
    pub blind_signature: [u8; RSA],
    /// The old certificate key's signature over the binding.
    pub signature: Signature,
    /// When the vendor recorded it, by its own calendar.
    pub day: Day,
}

/// What became of one item.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every result is a renewal")]
pub enum RenewalResult {
    /// It was renewed, now or before, perhaps in another way than was asked for.
    Renewed(Renewal),
    /// It was spent at a relay.
    Spent(ConflictProof),
}

/// The answer to a request for renewals, in its order.
#[derive(Clone, PartialEq, Eq)]
pub struct RenewalAnswer {
    /// One result per item.
    pub results: Vec<RenewalResult>,
}

impl RenewalItem {
    /// The binding of this item at `vendor`.
    pub fn binding(&self, vendor: &VendorId) -> Binding {
        renewal_binding(vendor, &self.blinded.key_id, &self.blinded.blinded_message)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            token: Token::read(reader)?,
            blinded: BlindedItem {
                key_id: KeyId::from_bytes(reader.array()?),
                blinded_message: reader.array()?,
            },
            signature: Signature::from_bytes(reader.array()?),
        })
    }
}

impl Certificate {
    /// Asks for `blinded` in the place of this certificate.
    pub fn renew(&self, vendor: &VendorId, blinded: &BlindedItem) -> RenewalItem {
        let binding = renewal_binding(vendor, &blinded.key_id, &blinded.blinded_message);
        let signature = self.sign(Label::RenewalSpend, binding.as_bytes());
        RenewalItem { token: self.token().clone(), blinded: blinded.clone(), signature }
    }
}

impl RenewalRequest {
    /// The encoded request.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(2 + self.items.len() * RENEWAL_ITEM);
        writer.nested(2, |writer| {
            for item in &self.items {
                writer
                    .put(&item.token.encode())
                    .put(item.blinded.key_id.as_bytes())
                    .put(&item.blinded.blinded_message)
                    .put(item.signature.as_bytes());
            }
        });
        writer.into_bytes()
    }

    /// Parses a request.
    ///
    /// # Errors
    /// [`DecodeError`]; of the length of a vector too, where it is empty or above `MAX_RENEWAL_ITEMS`.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::capped(bytes, MAX_RENEWAL_REQUEST)?;
        let content = reader.vec16()?;
        reader.finish()?;
        let items =
            Reader::fixed_elements(content, RENEWAL_ITEM, MAX_RENEWAL_ITEMS, RenewalItem::read)?;
        Ok(Self { items })
    }
}

impl Renewal {
    /// The binding that the old certificate key signed.
    pub fn binding(&self, vendor: &VendorId) -> Binding {
        renewal_binding(vendor, &self.key_id, &self.blinded_message)
    }

    /// Checks that whoever holds the key of the old certificate asked for this.
    ///
    /// # Errors
    /// [`BadSignature`]: then it is the vendor's invention.
    pub fn verify(&self, vendor: &VendorId, old_key: &PublicKey) -> Result<(), BadSignature> {
        old_key.verify(Label::RenewalSpend, self.binding(vendor).as_bytes(), &self.signature)
    }

    /// The blind signature as [`crate::issuance::Blinding::finish`] takes it.
    pub fn signed_item(&self) -> SignedItem {
        SignedItem { key_id: self.key_id, blind_signature: self.blind_signature }
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer
            .put(self.key_id.as_bytes())
            .put(&self.blinded_message)
            .put(&self.blind_signature)
            .put(self.signature.as_bytes())
            .u32(self.day.0);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            key_id: KeyId::from_bytes(reader.array()?),
            blinded_message: reader.array()?,
            blind_signature: reader.array()?,
            signature: Signature::from_bytes(reader.array()?),
            day: Day(reader.u32()?),
        })
    }
}

impl RenewalAnswer {
    /// The encoded answer.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.nested(2, |writer| {
            for result in &self.results {
                match result {
                    RenewalResult::Renewed(renewal) => renewal.write(writer.u8(1)),
                    RenewalResult::Spent(proof) => proof.write(writer.u8(2)),
                }
            }
        });
        writer.into_bytes()
    }

    /// Parses an answer.
    ///
    /// # Errors
    /// [`DecodeError`], as for the request.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::capped(bytes, MAX_RENEWAL_ANSWER)?;
        let content = reader.vec16()?;
        reader.finish()?;
        let results = Reader::elements(content, |reader| match reader.u8()? {
            1 => Ok(RenewalResult::Renewed(Renewal::read(reader)?)),
            2 => Ok(RenewalResult::Spent(ConflictProof::read_spend(reader)?)),
            _ => Err(DecodeError::BadValue("kind")),
        })?;
        match results.len() {
            1..=MAX_RENEWAL_ITEMS => Ok(Self { results }),
            _ => Err(DecodeError::BadLength),
        }
    }
}
