//! What the vendor signed about this wallet's renewals (renewal.md, "Refusals", "Spent"), and a vendor that uses what it refused.
//!
//! What a certificate's key signed for a renewal goes to the vendor alone. A conflict proof over it shows the wallet that the vendor took
//! it, or gave it away; where the vendor had refused it under its signature, that is what the wallet shows to others. Whether the use is
//! in the ledger, or in what the vendor answered to a relay, is for them to see.

use scrip_protocol::{
    redemption::ConflictProof, renewal::Complaint, spend::SpendKind, time::UnixSeconds,
};
use serde::Serialize;

use super::Wallet;
use crate::{
    error::WalletError,
    records::{Answer, AnsweredRecord, Blob, Used},
    store::Changes,
};

/// An answer to a renewal that the vendor signed.
#[derive(Clone, Debug, Serialize)]
pub struct ComplaintReport {
    /// When it came.
    pub at: UnixSeconds,
    /// Of a refusal: when it was found that the vendor had used what it refused.
    pub used: Option<UnixSeconds>,
    /// What can be shown to others.
    pub complaint: Complaint,
}

impl ComplaintReport {
    /// Whether there is something to complain about, as far as the wallet can tell: a refused renewal that was used, or a certificate
    /// that is said to be spent.
    pub const fn is_grave(&self) -> bool {
        self.used.is_some() || self.complaint.spent.is_some()
    }
}

impl Wallet {
    /// Every answer to a renewal that the vendor signed and that took the certificate or refused it, the oldest first.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub async fn complaints(&self) -> Result<Vec<ComplaintReport>, WalletError> {
        let mut answered = self.store.all::<AnsweredRecord>().await?;
        answered.sort_by_key(|one| (one.at, one.binding));
        let report = |one: AnsweredRecord| ComplaintReport {
            at: one.at,
            used: one.used_at(),
            complaint: one.complaint(self.vendor.id),
        };
        Ok(answered.into_iter().map(report).collect())
    }

    /// What a conflict proof of one of this wallet's certificates, which was verified, says about a renewal of it: whether the vendor
    /// had refused that under its signature.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub(super) async fn catch_vendor(&self, proof: &ConflictProof) -> Result<bool, WalletError> {
        if proof.kind != SpendKind::Renewal {
            return Ok(false);
        }
        let name = proof.other_binding.as_bytes();
        let Some(mut answered) = self.store.get::<AnsweredRecord>(name).await? else {
            return Ok(false);
        };
        let key = answered.key;
        let Answer::Refused { used, .. } = &mut answered.answer else { return Ok(false) };
        if key != proof.certificate_key {
            return Ok(false);
        }
        if used.is_none() {
            *used = Some(Used { at: self.now(), proof: Blob(proof.encode()) });
            self.store.commit(Changes::default().put(&answered)).await?;
            self.at("wallet.vendor.caught");
            self.watch().warn(
                "the vendor used a renewal that it had refused under its signature: see `scrip evidence`"
                    .to_owned(),
            );
        }
        Ok(true)
    }
}
