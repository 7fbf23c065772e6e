//! Which time may be believed by work that cannot be undone.
//!
//! Whoever sets the clock of a server, by a mistake, by an empty battery or by forged NTP, must not be able to delete a key, end
//! a lease, write an epoch off or have a refusal signed that is final. Such work asks here, and not the clock. There are two times:
//!
//! - the *wall clock*, which ordinary work goes by;
//! - the *believed time*. It goes on with the monotonic clock, which nobody sets. Where the wall clock is elsewhere it follows,
//!   in either direction, by one second for each second that passes. It is remembered across restarts, so that a wrong clock
//!   at boot is a jump like any other.
//!
//! Work that cannot be undone goes by the [`Reading::earlier`] of the two, and what deletes waits for [`KEPT`] more. So a clock
//! that is wrong for a while brings what is final forward by that while at most, however far it is ahead; and one that is right
//! again before [`KEPT`] have passed has deleted nothing. What would be dated wrongly for ever, and signed, waits while the two
//! differ by more than [`DOUBT`].
//!
//! What lets the believed time go at once: a person who states the date ([`Remembered::confirmed`]), and signed times of others,
//! who vouch that it is *not earlier* ([`PlausibleClock::not_before`]): these count only up to the wall clock, so that nobody alone
//! can bring it forward. The clock of a database that several programs share holds it back where it is behind ([`PlausibleClock::compare`]).
//!
//! Out of scope: a clock that is wrong for days while the alert is not read; the first start, at which there is nothing to compare with.

use std::{
    fs, io,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use scrip_protocol::time::{Day, SECONDS_PER_DAY, UnixSeconds};

use crate::{
    clock::SharedClock,
    files::{FileError, replace_atomically},
};

/// From which difference on, in seconds, the clock is in doubt. Windows and days bear smaller ones.
pub const DOUBT: u64 = SECONDS_PER_DAY;
/// How long what is to be deleted is kept after it is due, in seconds of the believed time.
pub const KEPT: u64 = 3 * SECONDS_PER_DAY;
/// How far the believed time goes on until it is remembered anew, in seconds. So much of it is lost by a crash, and made up for in
/// as long.
pub const REMEMBER_EVERY: u64 = 600;

/// How much one reading closes of the difference at most, in seconds: a moment of a wrong clock must not count for all the time
/// since somebody last looked.
const STEP: u64 = 600;

/// What outlasts the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The believed time.
    pub believed: UnixSeconds,
    /// How often a person has said what time it is. A running program takes over what comes with a number that it does not know.
    pub confirmations: u64,
}

impl Remembered {
    /// What is remembered after a person said that it is `now`.
    pub fn confirmed(before: Option<Self>, now: UnixSeconds) -> Self {
        let confirmations = before.map_or(0, |before| before.confirmations);
        Self { believed: now, confirmations: confirmations.saturating_add(1) }
    }

    /// What the file at `path` says. What is damaged says that nothing is believed. `None` where there is no file.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn read(path: &Path) -> Result<Option<Self>, FileError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
            Err(source) => {
                return Err(FileError::Io { action: "read", path: path.into(), source });
            }
        };
        let mut numbers = text.lines().map(|line| line.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        Ok(Some(Self { believed: UnixSeconds(next()), confirmations: next() }))
    }

    /// Writes the file at `path`, durably.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        let text = format!("{}\n{}\n", self.believed.0, self.confirmations);
        replace_atomically(path, text.as_bytes())
    }
}

/// Both times, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What the wall clock shows.
    pub wall: UnixSeconds,
    /// The believed time.
    pub believed: UnixSeconds,
    /// What the other clock shows that this one was compared with.
    pub other: Option<UnixSeconds>,
}

impl Reading {
    /// What a command sees beside a program that may run: the wall clock and what is remembered, which is some minutes old.
    pub fn beside(wall: UnixSeconds, remembered: Option<Remembered>) -> Self {
        Self { wall, believed: remembered.map_or(wall, |it| it.believed), other: None }
    }

    /// What is past by this time is past: for work that cannot be undone.
    pub fn earlier(&self) -> UnixSeconds {
        self.wall.min(self.believed)
    }

    /// What was due by this time may be deleted.
    pub fn deletable(&self) -> UnixSeconds {
        self.earlier().minus(KEPT)
    }

    /// What stands against the wall clock.
    fn others(&self) -> UnixSeconds {
        self.other.map_or(self.believed, |other| other.min(self.believed))
    }

    /// Whether what is dated and signed for good has to wait.
    pub fn is_in_doubt(&self) -> bool {
        let other = self.other.unwrap_or(self.wall);
        self.wall.0.abs_diff(self.believed.0) > DOUBT || self.wall.0.abs_diff(other.0) > DOUBT
    }

    /// The wall clock, for what is dated and signed for good.
    ///
    /// # Errors
    /// [`ClockInDoubt`].
    pub fn certain(&self) -> Result<UnixSeconds, ClockInDoubt> {
        if self.is_in_doubt() { Err(ClockInDoubt(*self)) } else { Ok(self.wall) }
    }
}

/// The clock cannot be believed at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the clock of this machine shows {}, and the time that is believed is {}; what cannot be undone waits. Set the clock, or, \
     where it is right, say so: `clock confirm {}`",
    .0.wall, .0.others(), .0.wall.day()
)]
pub struct ClockInDoubt(pub Reading);

/// The wall clock and the believed time.
pub struct PlausibleClock {
    clock: SharedClock,
    state: Mutex<State>,
}

struct State {
    believed: UnixSeconds,
    /// When `believed` was right, by the monotonic clock.
    at: Duration,
    /// Another clock, and when it showed that.
    other: Option<(UnixSeconds, Duration)>,
    confirmations: u64,
    in_doubt: bool,
}

impl PlausibleClock {
    /// A clock that goes on from what is remembered. Where nothing is, the present reading is believed.
    pub fn new(clock: SharedClock, remembered: Option<Remembered>) -> Self {
        let at = clock.monotonic();
        let state = State {
            believed: remembered.map_or_else(|| clock.now(), |it| it.believed),
            at,
            other: None,
            confirmations: remembered.map_or(0, |it| it.confirmations),
            in_doubt: false,
        };
        Self { clock, state: Mutex::new(state) }
    }

    /// Both times. Says once when the clock comes into doubt, and once when it is believed again.
    pub fn read(&self) -> Reading {
        let reading = self.read_in(&mut self.state());
        self.say(&reading);
        reading
    }

    /// [`Reading::earlier`] of now.
    pub fn earlier(&self) -> UnixSeconds {
        self.read().earlier()
    }

    /// [`Reading::is_in_doubt`] of now.
    pub fn is_in_doubt(&self) -> bool {
        self.read().is_in_doubt()
    }

    /// [`Reading::certain`] of now.
    ///
    /// # Errors
    /// [`ClockInDoubt`].
    pub fn certain(&self) -> Result<UnixSeconds, ClockInDoubt> {
        self.read().certain()
    }

    /// Takes in what another clock shows at this moment, which is set by somebody else: the believed time follows the one that is behind.
    pub fn compare(&self, other: UnixSeconds) {
        if !self.clock.is_shared() {
            return;
        }
        let mut state = self.state();
        self.read_in(&mut state);
        state.other = Some((other, self.clock.monotonic()));
    }

    /// Takes in that it is `signed` or later, as others have vouched who do not depend on this machine. It counts up to the wall clock.
    pub fn not_before(&self, signed: UnixSeconds) {
        let mut state = self.state();
        let reading = self.read_in(&mut state);
        let most = reading.wall.min(reading.other.unwrap_or(reading.wall));
        state.believed = state.believed.max(signed.min(most));
    }

    /// Takes over what somebody else wrote where a person has confirmed it since. Gives what is to be written, if it is time for that.
    pub fn remember(&self, stored: Option<Remembered>) -> Option<Remembered> {
        let mut state = self.state();
        self.read_in(&mut state);
        if let Some(stored) = stored
            && stored.confirmations != state.confirmations
        {
            state.believed = stored.believed;
            state.confirmations = stored.confirmations;
            return None;
        }
        let moved = stored
            .is_none_or(|stored| stored.believed.0.abs_diff(state.believed.0) >= REMEMBER_EVERY);
        let next = Remembered { believed: state.believed, confirmations: state.confirmations };
        moved.then_some(next)
    }

    /// [`PlausibleClock::remember`] with a file that this process and commands of the same program write.
    ///
    /// # Errors
    /// [`FileError`]: what was remembered before stays.
    pub fn remember_in(&self, path: &Path) -> Result<(), FileError> {
        match self.remember(Remembered::read(path)?) {
            Some(next) => next.write(path),
            None => Ok(()),
        }
    }

    fn read_in(&self, state: &mut State) -> Reading {
        let (wall, monotonic) = (self.clock.now(), self.clock.monotonic());
        let passed = monotonic.saturating_sub(state.at).as_secs();
        let other =
            state.other.map(|(shown, at)| shown.plus(monotonic.saturating_sub(at).as_secs()));
        let target = wall.min(other.unwrap_or(wall));
        let (expected, step) = (state.believed.plus(passed), passed.min(STEP));
        state.believed = if target > expected {
            target.min(expected.plus(step))
        } else {
            target.max(state.believed.minus(step))
        };
        // What is less than a second counts the next time.
        state.at = state.at.saturating_add(Duration::from_secs(passed));
        Reading { wall, believed: state.believed, other }
    }

    fn say(&self, reading: &Reading) {
        let doubt = reading.is_in_doubt();
        if std::mem::replace(&mut self.state().in_doubt, doubt) == doubt {
            return;
        }
        match reading.certain() {
            Err(error) => tracing::warn!("{error}"),
            Ok(now) => tracing::info!(%now, "the clock is believed again"),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever confirms the clock states the day, so that a machine with a wrong clock cannot be told that it is right.
///
/// # Errors
/// [`OtherDay`].
pub fn check_stated(stated: &str, now: UnixSeconds) -> Result<(), OtherDay> {
    let shown = now.day();
    if stated == shown.to_string() {
        return Ok(());
    }
    Err(OtherDay { stated: stated.chars().filter(|c| !c.is_control()).take(40).collect(), shown })
}

/// A person says another day than the clock.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the clock of this machine shows {shown} (UTC), and not `{stated}`; set the clock first, with `timedatectl` or the like"
)]
pub struct OtherDay {
    /// What was said.
    pub stated: String,
    /// What the clock shows.
    pub shown: Day,
}

#[cfg(test)]
mod tests;
