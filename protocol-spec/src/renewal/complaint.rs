//! What a wallet hands to others about a vendor's answer to a renewal, and what it is judged by.

use serde::{Deserialize, Serialize};

use super::{
    RenewalItem, RenewalRefusal, RenewalRefusalError, RenewalSpent, RenewalSpentError,
    SignedRenewalSpent,
};
use crate::codec::DecodeError;
use crate::id::{VendorId, decode_base64url, encode_base64url};
use crate::keys::PublicKey;
use crate::limits::MAX_JSON_ANSWER;
use crate::redemption::ConflictProof;

/// A renewal that was asked for, and what the vendor signed about it. JSON; what the wallet shows to others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complaint {
    /// [`Complaint::FORMAT`]
    pub format: String,
    /// Who answered.
    pub vendor_id: VendorId,
    /// The request, base64url.
    pub renewal: String,
    /// The signed [`RenewalRefusal`], base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// Or the [`SignedRenewalSpent`], base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<String>,
    /// Of a refusal, the conflict proof that showed the holder that its signature was used all the same, base64url. It proves nothing to
    /// others, for its holder can make it: they find the renewal in the ledger, or in what the vendor answered to a relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<String>,
}

/// Why a complaint is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComplaintError {
    /// It is no JSON of this format, or has not exactly one answer.
    #[error("this is no complaint about a renewal: it does not parse, or is of another format")]
    Format,
    /// The renewal does not parse.
    #[error("the renewal does not parse: {0}")]
    Decode(#[from] DecodeError),
    /// The refusal does not hold.
    #[error(transparent)]
    Refusal(#[from] RenewalRefusalError),
    /// The answer does not hold.
    #[error(transparent)]
    Spent(#[from] RenewalSpentError),
    /// The vendor answered something else.
    #[error("the vendor's answer is about another renewal")]
    OtherRenewal,
}

/// An answer that the vendor signed, with the renewal that it is about.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "one for each file")]
pub enum Complained {
    /// It refused.
    Refused(RenewalItem, RenewalRefusal),
    /// It said that the certificate was spent, by a checkpoint that is its own.
    Spent(RenewalSpent),
}

impl Complaint {
    /// What [`Complaint::format`] says.
    pub const FORMAT: &str = "scrip/v1 renewal answered";

    /// What the names of files with a complaint end in.
    pub const EXTENSION: &str = "renewal";

    /// That this renewal was refused.
    pub fn of_refusal(
        vendor_id: VendorId,
        item: &[u8],
        refusal: &[u8],
        conflict: Option<&ConflictProof>,
    ) -> Self {
        let conflict = conflict.map(|proof| encode_base64url(&proof.encode()));
        let refusal = Some(encode_base64url(refusal));
        Self { refusal, spent: None, conflict, ..Self::about(vendor_id, item) }
    }

    /// That the certificate of this renewal was said to be spent.
    pub fn of_spent(vendor_id: VendorId, item: &[u8], spent: &[u8]) -> Self {
        Self { spent: Some(encode_base64url(spent)), ..Self::about(vendor_id, item) }
    }

    fn about(vendor_id: VendorId, item: &[u8]) -> Self {
        Self {
            format: Self::FORMAT.to_owned(),
            vendor_id,
            renewal: encode_base64url(item),
            refusal: None,
            spent: None,
            conflict: None,
        }
    }

    /// Parses a file.
    ///
    /// # Errors
    /// [`ComplaintError::Format`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, ComplaintError> {
        if bytes.len() > MAX_JSON_ANSWER {
            return Err(ComplaintError::Format);
        }
        let complaint: Self = serde_json::from_slice(bytes).map_err(|_| ComplaintError::Format)?;
        match complaint.format == Self::FORMAT {
            true => Ok(complaint),
            false => Err(ComplaintError::Format),
        }
    }

    /// Checks that the vendor gave this answer to this renewal, and no more than that.
    ///
    /// # Errors
    /// [`ComplaintError`]: it is no evidence, and nothing may follow from it.
    pub fn open(&self, receipt_keys: &[PublicKey]) -> Result<Complained, ComplaintError> {
        let bytes = |text: &str| decode_base64url(text).ok_or(ComplaintError::Format);
        let item = RenewalItem::decode(&bytes(&self.renewal)?)?;
        let asked = item.identity(&self.vendor_id);
        match (&self.refusal, &self.spent) {
            (Some(refusal), None) => {
                let refusal = RenewalRefusal::open(&bytes(refusal)?, receipt_keys)?;
                match refusal.is_of(&self.vendor_id, &asked) {
                    true => Ok(Complained::Refused(item, refusal)),
                    false => Err(ComplaintError::OtherRenewal),
                }
            }
            (None, Some(spent)) => {
                let signed = SignedRenewalSpent::decode(&bytes(spent)?)?;
                let spent = signed.verify(receipt_keys)?;
                if spent.vendor_id != self.vendor_id || spent.asked() != asked {
                    return Err(ComplaintError::OtherRenewal);
                }
                spent.checkpoint(receipt_keys)?;
                Ok(Complained::Spent(spent.clone()))
            }
            _ => Err(ComplaintError::Format),
        }
    }
}
