//! What the wallet does by itself: renewals that are due, and inquiries that may end a doubt.
//!
//! It rides on commands that call nobody else (`scrip balance` and the like). A call to the vendor beside a payment would tie the buyer
//! to the spender, and beside a purchase it would show the vendor how much is left of an earlier one.

use scrip_protocol::manifest::Manifest;
use serde::Serialize;

use super::{Doubtful, Inquired, Renewed, Wallet, inquire::SETTLES_AFTER, renew::renews};
use crate::{
    error::WalletError,
    records::{CertificateRecord, CertificateState, ManifestRecord, TendingRecord},
    store::Changes,
};

/// Seconds between two attempts: without a network, commands should not wait for one each time.
const PAUSE: u64 = 6 * 3_600;

/// What was done.
#[derive(Debug, Default, Serialize)]
pub struct Tended {
    /// What the vendor said about certificates in doubt, if any were asked about.
    pub inquired: Option<Inquired>,
    /// What was renewed, if anything was due.
    pub renewed: Option<Renewed>,
}

impl Wallet {
    /// Renews what is due and asks about what may be settled, at most every six hours. Calls nobody where nothing is due.
    ///
    /// # Errors
    /// [`WalletError`]; nothing is lost, and the next time goes on.
    pub async fn tend(&self) -> Result<Tended, WalletError> {
        let record = self.tending().await?;
        let now = self.now();
        let rested = record.tried.is_none_or(|tried| now < tried || tried.plus(PAUSE) <= now);
        if !rested || !(self.inquiries_are_due().await? || self.renewals_are_due().await?) {
            return Ok(Tended::default());
        }
        let tried = TendingRecord { tried: Some(now), ..record };
        self.store.commit(Changes::default().put(&tried)).await?;
        self.tend_now(Doubtful::Keep).await
    }

    /// The same, at any time.
    pub(super) async fn tend_now(&self, doubtful: Doubtful) -> Result<Tended, WalletError> {
        let mut tended = Tended::default();
        if self.inquiries_are_due().await? {
            tended.inquired = Some(self.inquire_where(may_be_settled).await?);
        }
        if self.renewals_are_due().await? {
            tended.renewed = Some(self.renew(doubtful).await?);
        }
        Ok(tended)
    }

    /// Whether certificates in doubt are asked about without being asked to.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub async fn set_inquiries(&self, inquiries: bool) -> Result<(), WalletError> {
        let record = TendingRecord { inquiries, ..self.tending().await? };
        Ok(self.store.commit(Changes::default().put(&record)).await?)
    }

    async fn tending(&self) -> Result<TendingRecord, WalletError> {
        Ok(self.store.get(&[]).await?.unwrap_or_default())
    }

    async fn inquiries_are_due(&self) -> Result<bool, WalletError> {
        Ok(self.tending().await?.inquiries && !self.in_doubt(may_be_settled).await.is_empty())
    }

    /// By the manifest that the wallet has.
    async fn renewals_are_due(&self) -> Result<bool, WalletError> {
        let Some(record) = self.store.get::<ManifestRecord>(&[]).await? else { return Ok(false) };
        let manifest = Manifest::open(&record.manifest.0, &self.vendor.id)?;
        let now = self.now();
        let purse = self.purse.lock().await;
        let is_due = |one: &CertificateRecord| match one.state {
            CertificateState::Renewing { .. } => true,
            CertificateState::Held | CertificateState::InDoubt => renews(&manifest, one, now),
            _ => false,
        };
        Ok(purse.all().any(is_due))
    }
}

/// Whether an answer about it would tell something new: it was never asked about, or long enough ago. One that has expired may have been
/// renewed, and is asked about once.
fn may_be_settled(one: &CertificateRecord, now: scrip_protocol::time::UnixSeconds) -> bool {
    match one.unrecorded {
        None => true,
        Some(first) => first.plus(SETTLES_AFTER) <= now && now < one.spend_until,
    }
}
