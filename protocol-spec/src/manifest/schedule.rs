//! Keys on schedule (keys.md, "On schedule"): one key for everybody who buys the same at the same time.

use super::{Epoch, EpochBody, KeyUse, Manifest, ManifestError};
use crate::limits::{MAX_ROTATIONS, ROTATION_PERIOD};
use crate::time::UnixSeconds;

/// More epochs began than a schedule has use for, so that each has few buyers. The vendor's doing: it may be tracing them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the vendor began {} epochs within {} days ({}), {MAX_ROTATIONS} is the most",
    epochs.len(), ROTATION_PERIOD / 86_400, list(epochs)
)]
pub struct OffSchedule {
    /// The numbers of the epochs.
    pub epochs: Vec<u32>,
}

fn list(epochs: &[u32]) -> String {
    epochs.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

impl Manifest {
    /// Whether its keys may be used at `now` by whoever does not want to be told from others by them.
    ///
    /// # Errors
    /// [`OffSchedule`]: nothing should be signed under this manifest.
    pub fn is_on_schedule(&self, now: UnixSeconds) -> Result<(), OffSchedule> {
        let begun = self.epochs.iter().filter(|epoch| epoch.key_use == KeyUse::Production);
        let begun = begun.filter(|epoch| epoch.began_within_period(now));
        let epochs: Vec<u32> = begun.map(|epoch| epoch.number).collect();
        if epochs.len() > MAX_ROTATIONS { Err(OffSchedule { epochs }) } else { Ok(()) }
    }
}

impl Epoch {
    /// Whether it began within [`ROTATION_PERIOD`] before `now`. Also one that was revoked: it may have been used before.
    fn began_within_period(&self, now: UnixSeconds) -> bool {
        let from = self.windows.issue_from;
        from <= now && now < from.plus(ROTATION_PERIOD)
    }
}

/// Epochs of one use issue one after the other, in the order of their numbers. Those that never issue are in nobody's way.
pub(super) fn check_order(epochs: &[EpochBody]) -> Result<(), ManifestError> {
    for key_use in [KeyUse::Production, KeyUse::Test] {
        let issuing =
            |epoch: &&EpochBody| epoch.key_use == key_use && !epoch.windows.never_issues();
        let issuing: Vec<&EpochBody> = epochs.iter().filter(issuing).collect();
        let follows =
            |pair: &&[&EpochBody]| pair[0].windows.issue_until <= pair[1].windows.issue_from;
        if let Some(pair) = issuing.windows(2).find(|pair| !follows(pair)) {
            return Err(ManifestError::Overlap { epoch: pair[1].number });
        }
    }
    Ok(())
}
