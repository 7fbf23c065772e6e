//! The schedule of epochs (keys.md, "The schedule"): when keys are made, and how an epoch begins or ends before its time.
//!
//! Nothing here makes a key or looks at a clock: these are changes of windows, within what keys.md allows.

use scrip_protocol::{
    limits::{MAX_ROTATIONS, ROTATION_PERIOD},
    manifest::{Epoch, EpochBody, KeyUse, Manifest, Windows},
    time::{Day, SECONDS_PER_DAY, UnixSeconds},
};

use crate::config::EpochConfig;

/// What is to become of the epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The next epoch is made ahead of its time, if it is time for that.
    Next,
    /// The next epoch begins now, and those that issue stop.
    Rotate,
    /// An epoch neither issues nor is spent from now on; another one issues.
    Revoke {
        /// Its number.
        epoch: u32,
    },
}

/// Why windows cannot be changed so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// An epoch began in this very second.
    #[error("epoch {epoch} has begun in this very second; there is nothing to rotate")]
    JustBegun {
        /// Its number.
        epoch: u32,
    },
    /// Wallets would have nothing signed any more (keys.md, "On schedule").
    #[error(
        "that would be more than {MAX_ROTATIONS} epochs within {} days, and wallets would refuse to buy: a vendor that \
         rotates whenever a certain wallet buys could trace it; rotate on {again} or later, and if keys were stolen, \
         revoke their epoch instead",
        ROTATION_PERIOD / SECONDS_PER_DAY
    )]
    TooOften {
        /// The first day on which it would be one of [`MAX_ROTATIONS`].
        again: Day,
    },
    /// No epoch has this number.
    #[error("there is no epoch {epoch}; see `scrip-issuer keys list`")]
    Unknown {
        /// The number.
        epoch: u32,
    },
    /// Nothing of this epoch can be spent any more.
    #[error("epoch {epoch} can be spent no more: there is nothing to revoke")]
    Ended {
        /// Its number.
        epoch: u32,
    },
}

/// What has to be made for a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// There is nothing to change.
    Nothing,
    /// A new version, with new keys for these epochs, if any.
    Version(Vec<NewEpoch>),
}

/// An epoch whose keys are to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NewEpoch {
    /// What they sign.
    pub(crate) key_use: KeyUse,
    /// When.
    pub(crate) windows: Windows,
}

/// Makes `change` in the windows of `epochs`.
///
/// # Errors
/// [`ChangeError`]; then the epochs are to be thrown away.
pub(crate) fn apply(
    change: Change,
    epochs: &mut [EpochBody],
    config: &EpochConfig,
    now: UnixSeconds,
) -> Result<Needs, ChangeError> {
    let production = match change {
        Change::Next => next(epochs, config, now),
        Change::Rotate => {
            for epoch in epochs.iter_mut().filter(|epoch| epoch.windows.issues_at(now)) {
                if epoch.windows.issue_from == now {
                    return Err(ChangeError::JustBegun { epoch: epoch.number });
                }
                epoch.windows.issue_until = now;
            }
            start(epochs, KeyUse::Test, now);
            let new = (!start(epochs, KeyUse::Production, now)).then(|| windows(config, now));
            let begins = begins(epochs).chain(new.map(|windows| windows.issue_from));
            if !is_on_schedule(begins.collect(), config, now) {
                return Err(ChangeError::TooOften { again: first_day_for_another(epochs, now) });
            }
            new
        }
        Change::Revoke { epoch } => match revoke(epochs, epoch, now)? {
            KeyUse::Production if !issues(epochs, KeyUse::Production, now) => {
                (!start(epochs, KeyUse::Production, now)).then(|| windows(config, now))
            }
            KeyUse::Test if !issues(epochs, KeyUse::Test, now) => {
                start(epochs, KeyUse::Test, now);
                None
            }
            KeyUse::Production | KeyUse::Test => None,
        },
    };
    let of_use = |windows| NewEpoch { key_use: KeyUse::Production, windows };
    let mut new: Vec<NewEpoch> = production.into_iter().map(of_use).collect();
    if config.test_keys {
        let known = epochs.iter().map(EpochBody::epoch);
        let known = known.map(|epoch| NewEpoch { key_use: epoch.key_use, windows: epoch.windows });
        new.extend(missing_test_epochs(known.chain(new.clone()), now));
    }
    Ok(if change == Change::Next && new.is_empty() { Needs::Nothing } else { Needs::Version(new) })
}

/// When the production epochs begin.
fn begins(epochs: &[EpochBody]) -> impl Iterator<Item = UnixSeconds> {
    let production = epochs.iter().filter(|epoch| epoch.key_use == KeyUse::Production);
    production.map(|epoch| epoch.windows.issue_from)
}

/// Whether no more than [`MAX_ROTATIONS`] production epochs begin within [`ROTATION_PERIOD`], now and with those that the
/// schedule puts behind the last one of `begins`.
fn is_on_schedule(mut begins: Vec<UnixSeconds>, config: &EpochConfig, now: UnixSeconds) -> bool {
    begins.sort_unstable();
    let mut last = begins.last().copied().unwrap_or(now);
    while begins.len() <= 2 * MAX_ROTATIONS || last <= now.plus(ROTATION_PERIOD) {
        last = last.plus(config.issue_for.0.max(1));
        begins.push(last);
    }
    // Of so many in a row, the last one begins after the first one's period.
    let too_many = |row: &[UnixSeconds]| {
        row[MAX_ROTATIONS] >= now && row[MAX_ROTATIONS] < row[0].plus(ROTATION_PERIOD)
    };
    !begins.windows(MAX_ROTATIONS + 1).any(too_many)
}

/// The configured epochs are shorter than wallets accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`epoch.issue_for` is so short that more than {MAX_ROTATIONS} epochs would begin within {} days, and wallets would \
     refuse to buy; set it to {}h at least",
    ROTATION_PERIOD / SECONDS_PER_DAY, ROTATION_PERIOD / MAX_ROTATIONS as u64 / 3_600
)]
pub struct EpochsTooShort;

/// Whether the configured schedule alone keeps to what wallets accept.
///
/// # Errors
/// [`EpochsTooShort`].
pub(crate) fn check_length(config: &EpochConfig) -> Result<(), EpochsTooShort> {
    let keeps = config.issue_for.0.saturating_mul(MAX_ROTATIONS as u64) >= ROTATION_PERIOD;
    if keeps { Ok(()) } else { Err(EpochsTooShort) }
}

/// When an epoch that began has left the period, so that there is room for another.
fn first_day_for_another(epochs: &[EpochBody], now: UnixSeconds) -> Day {
    let mut recent: Vec<UnixSeconds> = begins(epochs).filter(|begin| *begin <= now).collect();
    recent.sort_unstable_by(|a, b| b.cmp(a));
    let leaves = recent.get(MAX_ROTATIONS - 1).or(recent.last()).copied().unwrap_or(now);
    Day(leaves.plus(ROTATION_PERIOD).day().0.saturating_add(1))
}

/// Whether a running issuer should make keys now.
pub(crate) fn is_due(manifest: &Manifest, config: &EpochConfig, now: UnixSeconds) -> bool {
    let epochs = manifest.epochs();
    let known = epochs.iter().map(|e| NewEpoch { key_use: e.key_use, windows: e.windows });
    upcoming(epochs, config, now).0 <= now
        || config.test_keys && !missing_test_epochs(known, now).is_empty()
}

/// The epochs of a new vendor: from the day's beginning, so that a wallet whose clock is a little late can buy at once.
pub(crate) fn first(config: &EpochConfig, now: UnixSeconds) -> Vec<NewEpoch> {
    let windows = windows(config, now.day().start());
    let uses = [KeyUse::Production, KeyUse::Test];
    let made = uses.iter().filter(|key_use| **key_use == KeyUse::Production || config.test_keys);
    made.map(|key_use| NewEpoch { key_use: *key_use, windows }).collect()
}

/// The windows of an epoch that issues from `issue_from`.
pub(crate) fn windows(config: &EpochConfig, issue_from: UnixSeconds) -> Windows {
    let issue_until = issue_from.plus(config.issue_for.0);
    let spend_until = issue_until.plus(config.spend_for.0);
    Windows {
        issue_from,
        issue_until,
        renew_from: spend_until.minus(config.renew_for.0).max(issue_until),
        spend_until,
        redeem_until: spend_until.plus(config.redeem_for.0),
    }
}

/// When the next production epoch's keys are made, and when it begins. After a pause, in which nothing issued, it begins
/// with the day, as the first one did.
pub(crate) fn upcoming(
    epochs: &[Epoch],
    config: &EpochConfig,
    now: UnixSeconds,
) -> (UnixSeconds, UnixSeconds) {
    let production = epochs.iter().filter(|epoch| epoch.key_use == KeyUse::Production);
    let last = production.map(|epoch| epoch.windows.issue_until).max().unwrap_or(now);
    (last.minus(config.ahead.0), last.max(now.day().start()))
}

fn next(epochs: &[EpochBody], config: &EpochConfig, now: UnixSeconds) -> Option<Windows> {
    let epochs: Vec<Epoch> = epochs.iter().map(EpochBody::epoch).collect();
    let (made_at, begins) = upcoming(&epochs, config, now);
    (made_at <= now).then(|| windows(config, begins))
}

/// Beside each production epoch there is a test epoch with the same windows. Where one is missing for a part of a
/// production epoch that issues now or later, it is for that part.
fn missing_test_epochs(
    epochs: impl IntoIterator<Item = NewEpoch>,
    now: UnixSeconds,
) -> Vec<NewEpoch> {
    let (mut production, test): (Vec<NewEpoch>, Vec<NewEpoch>) =
        epochs.into_iter().partition(|epoch| epoch.key_use == KeyUse::Production);
    production.sort_by_key(|epoch| epoch.windows.issue_from);
    let until = test.iter().map(|epoch| epoch.windows.issue_until).max();
    let uncovered = production.into_iter().filter_map(|epoch| {
        let windows = epoch.windows;
        let issue_from = windows.issue_from.max(until.unwrap_or(windows.issue_from));
        let windows = Windows { issue_from, ..windows };
        let is_missing = issue_from < windows.issue_until && now < windows.issue_until;
        is_missing.then_some(NewEpoch { key_use: KeyUse::Test, windows })
    });
    uncovered.collect()
}

fn issues(epochs: &[EpochBody], key_use: KeyUse, now: UnixSeconds) -> bool {
    epochs.iter().any(|epoch| epoch.key_use == key_use && epoch.windows.issues_at(now))
}

/// Lets the epoch of this use that waits issue from now on; `false` where none waits. All that wait come forward by as
/// much, so that no gap opens behind the first.
fn start(epochs: &mut [EpochBody], key_use: KeyUse, now: UnixSeconds) -> bool {
    let waits = |epoch: &&mut EpochBody| epoch.key_use == key_use && epoch.windows.issue_from > now;
    let first = epochs.iter_mut().filter(waits).map(|epoch| epoch.windows.issue_from).min();
    let Some(first) = first else { return false };
    let by = first.0 - now.0;
    for epoch in epochs.iter_mut().filter(waits) {
        epoch.windows.issue_from = epoch.windows.issue_from.minus(by);
        epoch.windows.issue_until = epoch.windows.issue_until.minus(by);
    }
    true
}

/// Ends issuing and spending. The issue window of an epoch that had not begun is empty then.
/// Returns what its keys signed.
fn revoke(epochs: &mut [EpochBody], number: u32, now: UnixSeconds) -> Result<KeyUse, ChangeError> {
    let found = epochs.iter_mut().find(|epoch| epoch.number == number);
    let found = found.ok_or(ChangeError::Unknown { epoch: number })?;
    let windows = &mut found.windows;
    if windows.spend_until <= now {
        return Err(ChangeError::Ended { epoch: number });
    }
    windows.issue_until = windows.issue_until.min(now);
    windows.issue_from = windows.issue_from.min(windows.issue_until);
    windows.renew_from = windows.renew_from.min(now);
    windows.spend_until = now;
    Ok(found.key_use)
}

#[cfg(test)]
mod tests;
