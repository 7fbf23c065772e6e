//! What an operator wants to see.

use scrip_protocol::{
    address::VendorAddress,
    credits::Credits,
    id::{ManifestDigest, VendorId},
};
use serde::Serialize;

use super::Verifier;
use crate::{
    manifests::ManifestsError,
    spent::{StoreError, VendorTotals},
};

/// How the verifier stands with its vendors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// One entry for each vendor of the configuration, and then for those that something is left of in the store.
    pub vendors: Vec<VendorStatus>,
}

/// How the verifier stands with one vendor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VendorStatus {
    /// The vendor.
    pub vendor_id: VendorId,
    /// Its address; `None` where it is not in the configuration any more, so that nothing is redeemed.
    pub address: Option<VendorAddress>,
    /// Version and digest of the manifest that is held.
    pub manifest: Option<(u64, ManifestDigest)>,
    /// Manifests that contradict each other, see [`crate::manifests::Manifests::equivocations`].
    pub equivocations: Vec<ManifestDigest>,
    /// What was taken and is not redeemed yet.
    pub unredeemed: Credits,
    /// The age of the oldest of that, in seconds.
    pub oldest_unredeemed: Option<u64>,
    /// Certificates that wait for a batch.
    pub waiting: u64,
    /// Batches that the vendor has not answered.
    pub pending_batches: u64,
    /// Credited by the vendor, ever.
    pub accepted: Credits,
    /// Double spent, expired or invalid, ever.
    pub lost: Credits,
    /// Certificates that were double spent, ever.
    pub conflicts: u64,
    /// Certificates of test keys that were credited, ever: worth nothing, and in none of the sums above.
    pub test_certificates: u64,
    /// Why the last batch that was sent has no answer, since the program started.
    pub trouble: Option<String>,
}

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The spent store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The directory of manifests cannot be read.
    #[error(transparent)]
    Manifests(#[from] ManifestsError),
}

impl Verifier {
    /// How the verifier stands with its vendors.
    ///
    /// # Errors
    /// [`StatusError`].
    pub async fn status(&self) -> Result<Status, StatusError> {
        let mut totals = self.store.totals().await?;
        let mut vendors = Vec::new();
        for policy in self.policies() {
            let vendor = policy.address.id;
            let at = totals.iter().position(|totals| totals.vendor_id == vendor);
            let totals = at.map(|at| totals.swap_remove(at));
            vendors.push(self.vendor_status(vendor, Some(&policy.address), totals)?);
        }
        for left in totals {
            vendors.push(self.vendor_status(left.vendor_id, None, Some(left))?);
        }
        Ok(Status { vendors })
    }

    fn vendor_status(
        &self,
        vendor: VendorId,
        address: Option<&VendorAddress>,
        totals: Option<VendorTotals>,
    ) -> Result<VendorStatus, ManifestsError> {
        let totals = totals.unwrap_or_else(|| VendorTotals::none(vendor));
        Ok(VendorStatus {
            vendor_id: vendor,
            address: address.cloned(),
            manifest: self
                .manifests
                .held(&vendor)
                .map(|manifest| (manifest.version(), manifest.digest())),
            equivocations: self.manifests.equivocations(&vendor)?,
            unredeemed: totals.unredeemed,
            oldest_unredeemed: totals.oldest.map(|oldest| self.now().since(oldest)),
            waiting: totals.waiting,
            pending_batches: totals.pending_batches,
            accepted: totals.accepted,
            lost: totals.lost,
            conflicts: totals.conflicts,
            test_certificates: totals.test_certificates,
            trouble: self.troubles.of(&vendor),
        })
    }
}
