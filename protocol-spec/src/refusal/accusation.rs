//! What a wallet hands to others about an operator that broke its promise, and what it is judged by.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Refusal, RefusalError};
use crate::hash::Label;
use crate::id::{OperatorId, VendorId, decode_base64url, encode_base64url};
use crate::keys::PublicKey;
use crate::ledger::Redemption;
use crate::limits::{MAX_JSON_ANSWER, MAX_PAYMENT_ITEMS};
use crate::redemption::{ConflictProof, RedemptionBatch, RedemptionItem, RedemptionOutcome};
use crate::spend::{Binding, payment_id};

/// A refusal, and the certificates of the payment that it names. JSON; what the wallet shows to others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accusation {
    /// [`Accusation::FORMAT`]
    pub format: String,
    /// Whose certificates these are.
    pub vendor_id: VendorId,
    /// Who refused.
    pub operator_key: PublicKey,
    /// The signed [`Refusal`], base64url.
    pub refusal: String,
    /// The certificates of the payment, in its order.
    pub certificates: Vec<RefusedCertificate>,
    /// The conflict proof that showed its holder that one of them was spent in that payment, base64url. It proves nothing to
    /// others, for its holder can make it: they find the redemption in the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<String>,
}

/// One certificate of a refused payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedCertificate {
    /// `P_i`
    pub certificate_key: PublicKey,
    /// `B_i`
    pub binding: Binding,
}

/// Why an accusation is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccusationError {
    /// It is no JSON of this format.
    #[error("this is no accusation: it does not parse, or is of another format")]
    Format,
    /// The refusal does not hold.
    #[error(transparent)]
    Refusal(#[from] RefusalError),
    /// The refusal is of another payment.
    #[error("the refusal is not of the payment with these certificates")]
    OtherPayment,
}

/// A refusal that holds, and what must not be credited since.
#[derive(Clone, Debug)]
pub struct Accused {
    vendor_id: VendorId,
    refusal: Refusal,
    bindings: BTreeSet<Binding>,
}

impl Accusation {
    /// What [`Accusation::format`] says.
    pub const FORMAT: &str = "scrip/v1 refused and redeemed";

    /// What the names of files with an accusation end in.
    pub const EXTENSION: &str = "refusal";

    /// The accusation with these parts.
    pub fn new(
        vendor_id: VendorId,
        operator_key: PublicKey,
        refusal: &[u8],
        certificates: Vec<RefusedCertificate>,
        conflict: Option<&ConflictProof>,
    ) -> Self {
        Self {
            format: Self::FORMAT.to_owned(),
            vendor_id,
            operator_key,
            refusal: encode_base64url(refusal),
            certificates,
            conflict: conflict.map(|proof| encode_base64url(&proof.encode())),
        }
    }

    /// Parses a file.
    ///
    /// # Errors
    /// [`AccusationError::Format`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, AccusationError> {
        if bytes.len() > MAX_JSON_ANSWER {
            return Err(AccusationError::Format);
        }
        let accusation: Self =
            serde_json::from_slice(bytes).map_err(|_| AccusationError::Format)?;
        let fits = (1..=MAX_PAYMENT_ITEMS).contains(&accusation.certificates.len());
        if accusation.format != Self::FORMAT || !fits {
            return Err(AccusationError::Format);
        }
        Ok(accusation)
    }

    /// Checks that the operator refused the payment of exactly these certificates, and no more than that.
    ///
    /// # Errors
    /// [`AccusationError`]: it is no evidence, and nothing may follow from it.
    pub fn open(&self) -> Result<Accused, AccusationError> {
        let refusal = decode_base64url(&self.refusal).ok_or(AccusationError::Format)?;
        let refusal = Refusal::open(&refusal, &self.operator_key)?;
        let bindings: Vec<Binding> = self.certificates.iter().map(|one| one.binding).collect();
        if payment_id(&self.vendor_id, &bindings) != refusal.payment_id {
            return Err(AccusationError::OtherPayment);
        }
        Ok(Accused { vendor_id: self.vendor_id, refusal, bindings: bindings.into_iter().collect() })
    }
}

impl Accused {
    /// Who refused.
    pub fn operator_id(&self) -> OperatorId {
        self.refusal.operator_id
    }

    /// The vendor whose ledger shows what was redeemed.
    pub fn vendor_id(&self) -> VendorId {
        self.vendor_id
    }

    /// What it promised.
    pub fn refusal(&self) -> &Refusal {
        &self.refusal
    }

    /// Whether this leaf of the vendor's ledger credits the operator for a certificate of the payment that it refused.
    ///
    /// Then one of two has lied: the operator redeemed what it refused; or the vendor wrote down a redemption that it was never
    /// sent, which it can only with the help of whoever holds the certificate's key.
    pub fn is_credited_by(&self, redemption: &Redemption) -> bool {
        redemption.operator_id == self.refusal.operator_id && self.is_item(&redemption.item)
    }

    /// The same of a redemption whose signature is known to be good.
    pub fn concerns(&self, operator: &OperatorId, binding: &Binding) -> bool {
        *operator == self.refusal.operator_id && self.bindings.contains(binding)
    }

    /// The first item of the operator's own batch, which is verified, that redeems of the payment and was credited by the
    /// outcome, which answers that batch and is verified. Then the operator has broken its promise: it signed both.
    pub fn redeemed_in(
        &self,
        batch: &RedemptionBatch,
        outcome: &RedemptionOutcome,
    ) -> Option<usize> {
        let own = batch.vendor_id == self.vendor_id
            && batch.operator_id == self.refusal.operator_id
            && outcome.vendor_id == self.vendor_id
            && outcome.operator_id == self.refusal.operator_id;
        let results = outcome.results.iter().map(|result| result.is_credited());
        let mut items = batch.items.iter().zip(results);
        items.position(|(item, credited)| own && credited && self.is_item(item))
    }

    fn is_item(&self, item: &RedemptionItem) -> bool {
        let binding = item.binding(&self.vendor_id, &self.refusal.operator_id);
        self.bindings.contains(&binding)
            && item.token.certificate_key().is_ok_and(|key| {
                key.verify(Label::Spend, binding.as_bytes(), &item.signature).is_ok()
            })
    }
}
