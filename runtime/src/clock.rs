//! The clock as a parameter, so that tests can move time and `main` alone reads it.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
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

    /// How much time has passed since some moment before. It never jumps, goes on where the clock is set, and says nothing
    /// of the time of day.
    fn monotonic(&self) -> Duration;

    /// Whether the clocks of other machines show the same time, as those of tests do not.
    fn is_shared(&self) -> bool {
        true
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

    fn monotonic(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }
}

/// A clock that moves only when it is told to. Clones show the same time.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Hands>);

#[derive(Debug)]
struct Hands {
    wall: AtomicU64,
    /// Seconds that have passed.
    passed: AtomicU64,
}

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn new(now: UnixSeconds) -> Self {
        Self(Arc::new(Hands { wall: AtomicU64::new(now.0), passed: AtomicU64::new(0) }))
    }

    /// `seconds` pass; stops at the end of time.
    pub fn advance(&self, seconds: u64) {
        for hand in [&self.0.wall, &self.0.passed] {
            // The closure always returns `Some`, so that the update cannot be refused.
            let _ = hand.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| {
                Some(now.saturating_add(seconds))
            });
        }
    }

    /// Time passes until `now`; where that is past, the clock is set back, see [`ManualClock::jump`].
    pub fn set(&self, now: UnixSeconds) {
        let wall = self.0.wall.load(Ordering::SeqCst);
        match now.0.checked_sub(wall) {
            Some(ahead) => self.advance(ahead),
            None => self.jump(now),
        }
    }

    /// Somebody sets the clock to `now`, and no time passes.
    pub fn jump(&self, now: UnixSeconds) {
        self.0.wall.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixSeconds {
        UnixSeconds(self.0.wall.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.passed.load(Ordering::SeqCst))
    }

    fn is_shared(&self) -> bool {
        false
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
    fn time_passes_where_a_manual_clock_goes_on_and_not_where_it_is_set() {
        let clock = ManualClock::new(UnixSeconds(100));
        clock.advance(10);
        clock.set(UnixSeconds(150));
        assert_eq!(clock.monotonic(), Duration::from_secs(50));
        clock.set(UnixSeconds(20));
        clock.jump(UnixSeconds(1_000));
        assert_eq!((clock.now(), clock.monotonic()), (UnixSeconds(1_000), Duration::from_secs(50)));
    }

    #[test]
    fn the_systems_monotonic_clock_does_not_go_back() {
        assert!(SystemClock.monotonic() <= SystemClock.monotonic());
    }

    #[test]
    fn the_system_clock_is_past_the_year_2020() {
        assert!(SystemClock.now() > UnixSeconds(1_577_836_800));
    }
}
