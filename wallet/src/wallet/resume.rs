//! Finishing what was begun.

use serde::{Serialize, Serializer};

use super::{Bought, Doubtful, LeaseReport, Restored, Stored, Wallet};
use crate::error::WalletError;

/// What a resumption finished, and what it could not.
#[derive(Debug, Default, Serialize)]
pub struct Resumed {
    /// Purchases whose certificates are here now.
    pub purchases: Vec<Bought>,
    /// A restore that has come to its end.
    pub restored: Option<Restored>,
    /// Leases that open payments made or extended.
    pub leases: Vec<LeaseReport>,
    /// Files that are stored now.
    pub files: Vec<Stored>,
    /// What is still open or failed for good, each with its reason.
    #[serde(serialize_with = "messages")]
    pub errors: Vec<WalletError>,
}

fn messages<S: Serializer>(errors: &[WalletError], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(errors.iter().map(ToString::to_string))
}

impl Wallet {
    /// Finishes every purchase, restore, payment and upload that was begun.
    ///
    /// # Errors
    /// [`WalletError::Store`]; all else is in the answer, so that one failure keeps nothing else from its end.
    pub async fn resume(&self, doubtful: Doubtful) -> Result<Resumed, WalletError> {
        let mut resumed = self.settle_open().await?;
        match self.resume_restore().await {
            Ok(restored) => resumed.restored = restored,
            Err(error) => resumed.errors.push(error),
        }
        for result in self.resume_uploads(doubtful).await? {
            match result {
                Ok(stored) => resumed.files.push(stored),
                Err(error) => resumed.errors.push(error),
            }
        }
        Ok(resumed)
    }

    /// Finishes purchases and payments alone: what every command that uses the network does first. Where nothing is open,
    /// nobody is called.
    ///
    /// # Errors
    /// As [`Wallet::resume`].
    pub async fn settle_open(&self) -> Result<Resumed, WalletError> {
        let mut resumed = Resumed::default();
        if self.has_open_purchases().await? {
            match self.resume_purchases().await {
                Ok(purchases) => resumed.purchases = purchases,
                Err(error) => resumed.errors.push(error),
            }
        }
        let (settled, open) = self.resume_payments().await?;
        resumed.leases = self.reports(settled).await?;
        resumed.errors.extend(open);
        Ok(resumed)
    }
}
