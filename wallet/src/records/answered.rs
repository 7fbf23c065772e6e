//! What the vendor signed about renewals: kept for ever, as evidence.

use scrip_protocol::{
    id::{KeyId, VendorId},
    keys::PublicKey,
    redemption::ConflictProof,
    renewal::Complaint,
    spend::Binding,
    time::UnixSeconds,
};
use serde::{Deserialize, Serialize};

use super::Blob;
use crate::store::{Kind, Record};

/// A renewal that was asked for, and the answer that the vendor signed.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct AnsweredRecord {
    /// What the certificate's key signed.
    pub(crate) binding: Binding,
    /// The certificate.
    pub(crate) key: PublicKey,
    /// The key under which it was to be renewed.
    pub(crate) under: KeyId,
    /// The request, as it was sent.
    pub(crate) item: Blob,
    pub(crate) at: UnixSeconds,
    pub(crate) answer: Answer,
}

/// What the vendor signed.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(crate) enum Answer {
    /// It refuses this renewal for ever.
    Refused {
        refusal: Blob,
        /// When and by what it was found that it had used the signature all the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        used: Option<Used>,
    },
    /// The certificate was spent.
    Spent { spent: Blob },
}

/// What showed that a refused renewal was used.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Used {
    pub(crate) at: UnixSeconds,
    /// The conflict proof.
    pub(crate) proof: Blob,
}

impl AnsweredRecord {
    /// When the vendor was found to have used what it had refused, if it was.
    pub(crate) fn used_at(&self) -> Option<UnixSeconds> {
        match &self.answer {
            Answer::Refused { used, .. } => used.as_ref().map(|used| used.at),
            Answer::Spent { .. } => None,
        }
    }

    /// Whether this renewal was refused for ever.
    pub(crate) const fn is_refused(&self) -> bool {
        matches!(self.answer, Answer::Refused { .. })
    }

    /// What can be shown to others.
    pub(crate) fn complaint(&self, vendor: VendorId) -> Complaint {
        match &self.answer {
            Answer::Refused { refusal, used } => {
                let proof =
                    used.as_ref().and_then(|used| ConflictProof::decode(&used.proof.0).ok());
                Complaint::of_refusal(vendor, &self.item.0, &refusal.0, proof.as_ref())
            }
            Answer::Spent { spent } => Complaint::of_spent(vendor, &self.item.0, &spent.0),
        }
    }
}

impl Record for AnsweredRecord {
    const KIND: Kind = Kind::Answered;

    fn name(&self) -> Vec<u8> {
        self.binding.as_bytes().to_vec()
    }
}
