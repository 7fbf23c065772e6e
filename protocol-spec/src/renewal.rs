//! Renewal (renewal.md): a certificate that expires soon for a new one of the same value.

mod complaint;
mod refusal;
mod spent;

pub use self::complaint::{Complained, Complaint, ComplaintError};
pub use self::refusal::{RenewalRefusal, RenewalRefusalError};
pub use self::spent::{RenewalSpent, RenewalSpentError, SignedRenewalSpent};
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::{Label, hash};
use crate::id::{KeyId, VendorId};
use crate::issuance::{BlindedItem, Certificate, SignedItem};
use crate::keys::{BadSignature, PublicKey, Signature};
use crate::limits::{MAX_RENEWAL_ANSWER, RENEWAL_ITEM, RSA};
use crate::spend::{Binding, SpendIdentity};
use crate::token::Token;

/// What the key of a certificate that `old_key` signed signs to have it renewed: it takes the place of `B_i`. As there, the key
/// is part of it, so that no two certificates of one holder share a binding.
pub fn renewal_binding(
    vendor: &VendorId,
    old_key: &KeyId,
    new_key: &KeyId,
    blinded_message: &[u8; RSA],
) -> Binding {
    let parts: [&[u8]; 4] =
        [vendor.as_bytes(), old_key.as_bytes(), new_key.as_bytes(), blinded_message];
    Binding::from_bytes(hash(Label::Renewal, &parts))
}

/// One certificate to be renewed. A request has one, and nothing else: what comes together is known to belong together.
#[derive(Clone, PartialEq, Eq)]
pub struct RenewalItem {
    /// The old certificate.
    pub token: Token,
    /// What is to be signed in its place, and with which key.
    pub blinded: BlindedItem,
    /// The old certificate key's signature over the binding.
    pub signature: Signature,
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
}

/// What became of a certificate that was to be renewed: the answer to a request.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time")]
pub enum RenewalResult {
    /// It was renewed, now or before, perhaps in another way than was asked for.
    Renewed(Renewal),
    /// It was spent at a relay; what the vendor signed of that is not verified yet.
    Spent(SignedRenewalSpent),
}

impl RenewalItem {
    /// The binding of this item at `vendor`.
    pub fn binding(&self, vendor: &VendorId) -> Binding {
        let BlindedItem { key_id, blinded_message } = &self.blinded;
        renewal_binding(vendor, &self.token.key_id, key_id, blinded_message)
    }

    /// Which use of which certificate this is.
    pub fn identity(&self, vendor: &VendorId) -> SpendIdentity {
        SpendIdentity {
            certificate_key: self.token.nonce,
            key_id: self.token.key_id,
            binding: self.binding(vendor),
        }
    }

    /// The encoded request.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(RENEWAL_ITEM);
        writer
            .put(&self.token.encode())
            .put(self.blinded.key_id.as_bytes())
            .put(&self.blinded.blinded_message)
            .put(self.signature.as_bytes());
        writer.into_bytes()
    }

    /// Parses a request.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::capped(bytes, RENEWAL_ITEM)?;
        let item = Self {
            token: Token::read(&mut reader)?,
            blinded: BlindedItem {
                key_id: KeyId::from_bytes(reader.array()?),
                blinded_message: reader.array()?,
            },
            signature: Signature::from_bytes(reader.array()?),
        };
        reader.finish()?;
        Ok(item)
    }
}

impl Certificate {
    /// Asks for `blinded` in the place of this certificate.
    pub fn renew(&self, vendor: &VendorId, blinded: &BlindedItem) -> RenewalItem {
        let BlindedItem { key_id, blinded_message } = blinded;
        let binding = renewal_binding(vendor, &self.token().key_id, key_id, blinded_message);
        let signature = self.sign(Label::RenewalSpend, binding.as_bytes());
        RenewalItem { token: self.token().clone(), blinded: blinded.clone(), signature }
    }
}

impl Renewal {
    /// The binding that the key of the old certificate, which `old` signed, has signed.
    pub fn binding(&self, vendor: &VendorId, old: &KeyId) -> Binding {
        renewal_binding(vendor, old, &self.key_id, &self.blinded_message)
    }

    /// Checks that whoever holds the key of the old certificate, which `old` signed, asked for this.
    ///
    /// # Errors
    /// [`BadSignature`]: then it is the vendor's invention.
    pub fn verify(
        &self,
        vendor: &VendorId,
        old: &KeyId,
        old_key: &PublicKey,
    ) -> Result<(), BadSignature> {
        let binding = self.binding(vendor, old);
        old_key.verify(Label::RenewalSpend, binding.as_bytes(), &self.signature)
    }

    /// The blind signature as [`crate::issuance::Blinding::finish`] takes it.
    pub fn signed_item(&self) -> SignedItem {
        SignedItem { key_id: self.key_id, blind_signature: self.blind_signature }
    }

    fn write(&self, writer: &mut Writer) {
        writer
            .put(self.key_id.as_bytes())
            .put(&self.blinded_message)
            .put(&self.blind_signature)
            .put(self.signature.as_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            key_id: KeyId::from_bytes(reader.array()?),
            blinded_message: reader.array()?,
            blind_signature: reader.array()?,
            signature: Signature::from_bytes(reader.array()?),
        })
    }
}

impl RenewalResult {
    /// The encoded answer.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(MAX_RENEWAL_ANSWER);
        match self {
            Self::Renewed(renewal) => renewal.write(writer.u8(1)),
            Self::Spent(spent) => spent.write(writer.u8(2)),
        }
        writer.into_bytes()
    }

    /// Parses an answer.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::capped(bytes, MAX_RENEWAL_ANSWER)?;
        let result = match reader.u8()? {
            1 => Self::Renewed(Renewal::read(&mut reader)?),
            2 => Self::Spent(SignedRenewalSpent::read(&mut reader)?),
            _ => return Err(DecodeError::BadValue("kind")),
        };
        reader.finish()?;
        Ok(result)
    }
}
