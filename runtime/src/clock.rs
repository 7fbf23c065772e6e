//! The clock as a parameter, so that tests can move time and `main` alone reads it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use scrip_protocol::time::{Day, UnixSeconds};

/// A clock that many tasks share.
pub type SharedClock = Arc<dyn Clock>;

/// Tells the time. It may jump in both directions, as system clocks do.
pub trait Clock: Send + Sync + 'static {
    /// The present second.
    fn now(&self) -> UnixSeconds;

    /// The present UTC day.
    fn today(&self) -> Day {
        self.now().day()
    }
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    /// A system clock that is set before 1970 reads as the epoch.
    #[allow(clippy::disallowed_methods, reason = "the one place where time enters a program")]
    fn now(&self) -> UnixSeconds {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixSeconds(since_epoch.as_secs())
    }
}

/// A clock that moves only when it is told to. Clones show the same time.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn new(now: UnixSeconds) -> Self {
        Self(Arc::new(AtomicU64::new(now.0)))
    }

    /// Moves the clock forward by `seconds`; stops at the end of time.
    pub fn advance(&self, seconds: u64) {
        // The closure always returns `Some`, so that the update cannot be refused.
        let _ = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| {
            Some(now.saturating_add(seconds))
        });
    }

    /// Sets the clock to `now`, which may lie in its past.
    pub fn set(&self, now: UnixSeconds) {
        self.0.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixSeconds {
        UnixSeconds(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_manual_clock_show_the_same_time() {
        let clock = ManualClock::new(UnixSeconds(86_399));
        let shared: SharedClock = Arc::new(clock.clone());
        assert_eq!(shared.today(), Day(0));
        clock.advance(1);
        assert_eq!((shared.now(), shared.today()), (UnixSeconds(86_400), Day(1)));
        clock.set(UnixSeconds(5));
        assert_eq!(shared.now(), UnixSeconds(5));
        clock.advance(u64::MAX);
        assert_eq!(shared.now(), UnixSeconds(u64::MAX));
    }

    #[test]
    fn the_system_clock_is_past_the_year_2020() {
        assert!(SystemClock.now() > UnixSeconds(1_577_836_800));
    }
}
