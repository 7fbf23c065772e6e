//! Whether the wall clock may be believed by work that cannot be undone.
//!
//! What deletes by age would delete everything after one reading of a clock that is wrong by years. Such work asks here
//! first, once per round: the wall clock is compared with the monotonic one, which never jumps.
//! In scope: a single jump, and a clock that is wrong until it is first set. Out of scope: a clock that stays wrong; from
//! the second reading on nothing here tells it from a right one.

use std::time::Instant;

use scrip_protocol::time::UnixSeconds;

/// How much further than the monotonic clock the wall clock may advance between two readings, in seconds.
pub const TOLERANCE: u64 = 3_600;

/// Compares each reading of the wall clock with the one before.
#[derive(Clone, Debug, Default)]
pub struct PlausibleClock {
    last: Option<(UnixSeconds, Instant)>,
}

impl PlausibleClock {
    /// Nothing was read so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the reading `wall`, made at `monotonic`. True where the wall clock advanced since the last call by no more
    /// than the monotonic one plus [`TOLERANCE`]; a step back is no advance. False on the first call, so that what cannot
    /// be undone waits for a second reading. The answer is about this reading; the next call compares with it.
    pub fn check(&mut self, wall: UnixSeconds, monotonic: Instant) -> bool {
        let Some((last_wall, last)) = self.last.replace((wall, monotonic)) else { return false };
        // A computer that slept reads as a jump: its work waits for one more round.
        let elapsed = monotonic.saturating_duration_since(last).as_secs();
        wall.0.saturating_sub(last_wall.0) <= elapsed.saturating_add(TOLERANCE)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const WALL: UnixSeconds = UnixSeconds(1_700_000_000);

    #[test]
    fn the_first_reading_is_not_believed_and_a_steady_clock_is() {
        let start = Instant::now();
        let mut clock = PlausibleClock::new();
        assert!(!clock.check(WALL, start));
        assert!(clock.check(WALL.plus(60), start + Duration::from_secs(60)));
        assert!(clock.check(WALL.plus(60 + 120 + TOLERANCE), start + Duration::from_secs(180)));
        assert!(!clock.check(WALL.plus(181 + 2 * TOLERANCE), start + Duration::from_secs(180)));
    }

    #[test]
    fn a_jump_is_refused_once_and_a_step_back_is_not() {
        let start = Instant::now();
        let mut clock = PlausibleClock::new();
        clock.check(WALL, start);
        let year = 365 * 86_400;
        assert!(!clock.check(WALL.plus(year), start));
        assert!(clock.check(WALL, start), "set right again");
        assert!(!clock.check(WALL.plus(year), start));
        assert!(clock.check(WALL.plus(year), start), "it stays there");
    }

    #[test]
    fn no_reading_overflows() {
        let start = Instant::now();
        let mut clock = PlausibleClock::new();
        clock.check(UnixSeconds(0), start + Duration::from_secs(10));
        assert!(!clock.check(UnixSeconds(u64::MAX), start));
        assert!(clock.check(UnixSeconds(0), start));
    }
}
