//! What `keys list` shows: the epochs with their windows, and what comes next.

use scrip_protocol::{
    credits::Exponent,
    id::ManifestDigest,
    keys::PublicKey,
    manifest::{Epoch, KeyUse, Manifest, Windows},
    time::UnixSeconds,
};
use serde::Serialize;

use crate::{config::Config, epochs::upcoming, error::StartError, store::Store};

/// The epochs of a manifest.
#[derive(Clone, Debug, Serialize)]
pub struct Schedule {
    /// The version of the manifest.
    pub manifest_version: u64,
    /// Its digest.
    pub manifest_digest: ManifestDigest,
    /// The version since which the present receipt key signs.
    pub receipt_key_since: u64,
    /// The receipt key.
    pub receipt_key: PublicKey,
    /// Every epoch, by number.
    pub epochs: Vec<EpochStatus>,
    /// The production epoch after the last one.
    pub next: NextEpoch,
}

/// An epoch.
#[derive(Clone, Debug, Serialize)]
pub struct EpochStatus {
    /// Its number.
    pub epoch: u32,
    /// What its keys sign.
    #[serde(rename = "use")]
    pub key_use: KeyUse,
    /// What can be done with its keys now.
    pub state: EpochState,
    /// The first second in which its keys sign.
    pub issue_from: UnixSeconds,
    /// The first second in which they no longer do.
    pub issue_until: UnixSeconds,
    /// The first second in which its certificates can be exchanged for new ones.
    pub renew_from: UnixSeconds,
    /// The first second in which relays no longer accept its certificates.
    pub spend_until: UnixSeconds,
    /// The first second in which they can no longer be redeemed.
    pub redeem_until: UnixSeconds,
    /// Its denominations, ascending.
    pub exponents: Vec<Exponent>,
}

/// What can be done with the keys of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EpochState {
    /// Nothing yet.
    Waiting,
    /// They sign.
    Issuing,
    /// Their certificates can be spent.
    Spending,
    /// Their certificates can be redeemed.
    Redeeming,
    /// Nothing any more.
    Ended,
}

/// The epoch that is made next, as the configuration has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct NextEpoch {
    /// When a running issuer makes its keys.
    pub made_at: UnixSeconds,
    /// When it begins to issue.
    pub issue_from: UnixSeconds,
}

/// Reads the schedule. Needs no passphrase.
///
/// # Errors
/// [`StartError`] where the database or the manifest in it cannot be read.
pub async fn read(
    store: &Store,
    config: &Config,
    now: UnixSeconds,
) -> Result<Schedule, StartError> {
    let (vendor_id, manifest) = store.manifest().await?;
    Ok(of(&Manifest::open(&manifest, &vendor_id)?, config, now))
}

/// The schedule of a manifest.
pub(crate) fn of(manifest: &Manifest, config: &Config, now: UnixSeconds) -> Schedule {
    let epochs = manifest.epochs();
    let (made_at, issue_from) = upcoming(epochs, &config.epoch, now);
    let status = |epoch: &Epoch| {
        let windows = &epoch.windows;
        let of_epoch = manifest.keys().filter(|key| key.epoch() == epoch.number);
        let mut exponents: Vec<Exponent> = of_epoch.map(|key| key.exponent()).collect();
        exponents.sort_unstable();
        EpochStatus {
            epoch: epoch.number,
            key_use: epoch.key_use,
            state: state(windows, now),
            issue_from: windows.issue_from,
            issue_until: windows.issue_until,
            renew_from: windows.renew_from,
            spend_until: windows.spend_until,
            redeem_until: windows.redeem_until,
            exponents,
        }
    };
    Schedule {
        manifest_version: manifest.version(),
        manifest_digest: manifest.digest(),
        receipt_key_since: manifest.receipt_keys().newest().since_version,
        receipt_key: manifest.receipt_keys().newest().key,
        epochs: epochs.iter().map(status).collect(),
        next: NextEpoch { made_at, issue_from },
    }
}

fn state(windows: &Windows, now: UnixSeconds) -> EpochState {
    if now < windows.issue_from {
        EpochState::Waiting
    } else if windows.issues_at(now) {
        EpochState::Issuing
    } else if windows.spends_at(now) {
        EpochState::Spending
    } else if windows.redeems_at(now) {
        EpochState::Redeeming
    } else {
        EpochState::Ended
    }
}
