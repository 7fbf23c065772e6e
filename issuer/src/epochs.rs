//! The schedule of epochs (keys.md, "The schedule"): when keys are made, and how an epoch begins or ends before its time.
//!
//! Nothing here makes a key or looks at a clock: these are changes of windows, within what keys.md allows.

use scrip_protocol::{
    manifest::{EpochBody, Windows},
    time::UnixSeconds,
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

/// What a change needs besides the new windows of known epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// There is nothing to change.
    Nothing,
    /// The windows are all.
    Windows,
    /// New keys, with these windows.
    Epoch(Windows),
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
    match change {
        Change::Next => Ok(next(epochs, config, now)),
        Change::Rotate => {
            for epoch in epochs.iter_mut().filter(|epoch| epoch.windows.issues_at(now)) {
                if epoch.windows.issue_from == now {
                    return Err(ChangeError::JustBegun { epoch: epoch.number });
                }
                epoch.windows.issue_until = now;
            }
            Ok(start(epochs, config, now))
        }
        Change::Revoke { epoch } => {
            revoke(epochs, epoch, now)?;
            let issues = epochs.iter().any(|epoch| epoch.windows.issues_at(now));
            Ok(if issues { Needs::Windows } else { start(epochs, config, now) })
        }
    }
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

/// When the next epoch's keys are made, and when it begins. After a pause, in which nothing issued, it begins with the
/// day, as the first one did.
pub(crate) fn upcoming<'a>(
    epochs: impl IntoIterator<Item = &'a Windows>,
    config: &EpochConfig,
    now: UnixSeconds,
) -> (UnixSeconds, UnixSeconds) {
    let last = epochs.into_iter().map(|windows| windows.issue_until).max().unwrap_or(now);
    (last.minus(config.ahead.0), last.max(now.day().start()))
}

fn next(epochs: &[EpochBody], config: &EpochConfig, now: UnixSeconds) -> Needs {
    let (made_at, begins) = upcoming(epochs.iter().map(|epoch| &epoch.windows), config, now);
    if now < made_at { Needs::Nothing } else { Needs::Epoch(windows(config, begins)) }
}

/// Lets an epoch issue from now on: the one that waits, or else a new one. All that wait come forward by as much, so
/// that no gap opens behind the first.
fn start(epochs: &mut [EpochBody], config: &EpochConfig, now: UnixSeconds) -> Needs {
    let waiting = |epoch: &EpochBody| epoch.windows.issue_from > now;
    let first = epochs.iter().filter(|epoch| waiting(epoch)).map(|e| e.windows.issue_from).min();
    let Some(first) = first else { return Needs::Epoch(windows(config, now)) };
    let by = first.0 - now.0;
    for epoch in epochs.iter_mut().filter(|epoch| waiting(epoch)) {
        epoch.windows.issue_from = epoch.windows.issue_from.minus(by);
        epoch.windows.issue_until = epoch.windows.issue_until.minus(by);
    }
    Needs::Windows
}

/// Ends issuing and spending. An epoch that had not begun gets the second that has just passed: windows are never empty.
fn revoke(epochs: &mut [EpochBody], number: u32, now: UnixSeconds) -> Result<(), ChangeError> {
    let found = epochs.iter_mut().find(|epoch| epoch.number == number);
    let windows = &mut found.ok_or(ChangeError::Unknown { epoch: number })?.windows;
    if windows.spend_until <= now {
        return Err(ChangeError::Ended { epoch: number });
    }
    windows.issue_until = windows.issue_until.min(now);
    windows.issue_from = windows.issue_from.min(windows.issue_until.minus(1));
    windows.renew_from = windows.renew_from.min(now);
    windows.spend_until = now;
    Ok(())
}

#[cfg(test)]
mod tests;
