//! What the user is told without asking, once a day at most.

use scrip_protocol::{
    credits::Credits,
    manifest::Manifest,
    time::{SECONDS_PER_DAY, UnixSeconds},
};
use serde::Serialize;

use super::{Wallet, balance::WARN_DAYS};
use crate::{
    error::WalletError,
    records::{CertificateRecord, CertificateState, ManifestRecord, NoticesRecord},
    store::Changes,
};

/// Certificates that expire soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ExpiryNotice {
    /// What they are worth.
    pub credits: Credits,
    /// When the first of them expire.
    pub at: UnixSeconds,
    /// From when on the vendor exchanges those for new ones, as its manifest says.
    pub renewed_from: Option<UnixSeconds>,
}

impl Wallet {
    /// Whether certificates expire within 30 days or can be renewed already; at most once a day, which is remembered.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub async fn expiry_notice(&self) -> Result<Option<ExpiryNotice>, WalletError> {
        let now = self.now();
        let notices = self.store.get::<NoticesRecord>(&[]).await?.unwrap_or_default();
        let told = |at: UnixSeconds| at <= now && now < at.plus(SECONDS_PER_DAY);
        if notices.expiry.is_some_and(told) {
            return Ok(None);
        }
        let notice = self.expiring_soon(now).await?;
        if notice.is_some() {
            let notices = NoticesRecord { expiry: Some(now), ..notices };
            self.store.commit(Changes::default().put(&notices)).await?;
        }
        Ok(notice)
    }

    async fn expiring_soon(&self, now: UnixSeconds) -> Result<Option<ExpiryNotice>, WalletError> {
        let purse = self.purse.lock().await;
        let ours: Vec<&CertificateRecord> = purse
            .all()
            .filter(|one| matches!(one.state, CertificateState::Held | CertificateState::InDoubt))
            .filter(|one| now < one.spend_until && !one.test)
            .collect();
        if ours.is_empty() {
            return Ok(None);
        }
        let manifest = self.store.get::<ManifestRecord>(&[]).await?;
        let manifest =
            manifest.and_then(|held| Manifest::open(&held.manifest.0, &self.vendor.id).ok());
        let renewed_from = |one: &CertificateRecord| {
            let key = manifest.as_ref()?.key(&one.key_id)?;
            Some(key.windows().renew_from)
        };
        let soon = now.plus(WARN_DAYS * SECONDS_PER_DAY);
        let is_near = |one: &&&CertificateRecord| {
            one.spend_until <= soon || renewed_from(one).is_some_and(|from| from <= now)
        };
        let near: Vec<&&CertificateRecord> = ours.iter().filter(is_near).collect();
        let first = near.iter().min_by_key(|one| one.spend_until);
        Ok(first.map(|first| ExpiryNotice {
            credits: Credits::total(near.iter().map(|one| one.value())),
            at: first.spend_until,
            renewed_from: renewed_from(first),
        }))
    }
}
