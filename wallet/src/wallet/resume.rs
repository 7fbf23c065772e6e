//! Finishing what was begun.

use serde::{Serialize, Serializer};

use super::{Bought, Doubtful, LeaseReport, Restored, Stored, Tended, Wallet};
use crate::{
    error::WalletError,
    privacy::{Privacy, When},
};

/// What a resumption finished, and what it could not.
#[derive(Debug, Default, Serialize)]
pub struct Resumed {
    /// Purchases whose certificates are here now.
    pub purchases: Vec<Bought>,
    /// A restore that has come to its end.
    pub restored: Option<Restored>,
    /// Certificates that were exchanged or asked about.
    pub tended: Tended,
    /// Leases that open payments made or extended.
    pub leases: Vec<LeaseReport>,
    /// Files that are stored now.
    pub files: Vec<Stored>,
    /// How many things wait for their own time, after the one that was gone on with.
    pub waiting: usize,
    /// What is still open or failed for good, each with its reason.
    #[serde(serialize_with = "messages")]
    pub errors: Vec<WalletError>,
}

fn messages<S: Serializer>(errors: &[WalletError], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(errors.iter().map(ToString::to_string))
}

impl Wallet {
    /// Goes on with one thing that was begun, so that no two parties are called beside each other; with everything where the level
    /// of privacy is [`Privacy::Off`].
    ///
    /// # Errors
    /// [`WalletError::Store`]; all else is in the answer.
    pub async fn resume(&self, doubtful: Doubtful) -> Result<Resumed, WalletError> {
        if self.privacy().await == Privacy::Off {
            return self.resume_now(doubtful).await;
        }
        match self.resume_restore().await {
            Ok(None) => {}
            Ok(restored) => return Ok(Resumed { restored, ..Resumed::default() }),
            Err(error) => return Ok(Resumed { errors: vec![error], ..Resumed::default() }),
        }
        let (mut tended, waiting) = self.tend_awaited().await?;
        Ok(Resumed {
            purchases: std::mem::take(&mut tended.purchases),
            leases: std::mem::take(&mut tended.leases),
            files: std::mem::take(&mut tended.files),
            errors: std::mem::take(&mut tended.errors),
            tended,
            waiting,
            ..Resumed::default()
        })
    }

    /// Finishes every payment, purchase, restore and upload that was begun, one after the other: whoever sees the times of several
    /// parties sees that they are one wallet's.
    ///
    /// # Errors
    /// [`WalletError::Store`]; all else is in the answer, so that one failure keeps nothing else from its end.
    pub async fn resume_now(&self, doubtful: Doubtful) -> Result<Resumed, WalletError> {
        let mut resumed = self.settle_open_payments(true).await?;
        let bought = self.settle_purchases().await?;
        resumed.purchases = bought.purchases;
        resumed.errors.extend(bought.errors);
        match self.resume_restore().await {
            Ok(restored) => resumed.restored = restored,
            Err(error) => resumed.errors.push(error),
        }
        match self.resume_renewals().await {
            Ok(renewed) => resumed.tended.renewed = renewed,
            Err(error) => resumed.errors.push(error),
        }
        for result in self.resume_uploads(doubtful, When::Now).await? {
            match result {
                Ok(stored) => resumed.files.push(stored),
                Err(error) => resumed.errors.push(error),
            }
        }
        Ok(resumed)
    }

    /// Finishes open payments alone. Where none is open, no relay is called; and no vendor ever is, because a call there and a payment
    /// at the same moment would tie the buyer to the spender.
    ///
    /// # Errors
    /// As [`Wallet::resume`].
    pub async fn settle_payments(&self) -> Result<Resumed, WalletError> {
        self.settle_open_payments(false).await
    }

    async fn settle_open_payments(&self, asked_for: bool) -> Result<Resumed, WalletError> {
        let (settled, errors) = self.resume_payments(asked_for).await?;
        let leases = self.reports(settled).await?;
        Ok(Resumed { leases, errors, ..Resumed::default() })
    }

    /// Finishes open purchases alone: the other half of [`Wallet::settle_payments`], which calls no relay.
    ///
    /// # Errors
    /// As [`Wallet::resume`].
    pub async fn settle_purchases(&self) -> Result<Resumed, WalletError> {
        let (purchases, errors) = self.resume_purchases().await?;
        Ok(Resumed { purchases, errors, ..Resumed::default() })
    }
}
