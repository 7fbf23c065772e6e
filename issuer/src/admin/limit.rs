//! How often somebody may try to log in.

use std::sync::{Mutex, PoisonError};

use scrip_protocol::time::UnixSeconds;

/// Failed attempts that are answered in a row.
const BURST: u64 = 10;
/// Seconds after which one more is.
const REFILL: u64 = 6;

/// A bucket of failed attempts, one for the whole process: no address of anybody is kept. Whoever empties it keeps the
/// vendor from logging in as well, and not from working in sessions that are open; the proxy in front is the place to
/// let only known addresses come to `/admin`.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<Bucket>);

#[derive(Debug, Default)]
struct Bucket {
    spent: u64,
    /// The second up to which it was refilled.
    since: u64,
}

impl Attempts {
    /// Whether an attempt is answered at `now`; otherwise after how many seconds one is.
    pub(crate) fn check(&self, now: UnixSeconds) -> Result<(), u64> {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.refill(now.0);
        if bucket.spent < BURST { Ok(()) } else { Err(REFILL.saturating_sub(now.0 - bucket.since)) }
    }

    /// Notes that an attempt failed.
    pub(crate) fn failed(&self, now: UnixSeconds) {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.refill(now.0);
        bucket.spent = (bucket.spent + 1).min(BURST);
    }
}

impl Bucket {
    fn refill(&mut self, now: u64) {
        let refilled = now.saturating_sub(self.since) / REFILL;
        if now < self.since || refilled >= self.spent {
            // A clock that was set back must not lock anybody out for as long as it was ahead.
            self.spent = if now < self.since { self.spent } else { 0 };
            self.since = now;
        } else {
            self.spent -= refilled;
            self.since += refilled * REFILL;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_limited_and_forgiven() {
        let attempts = Attempts::default();
        let at = |second| UnixSeconds(1_000_000 + second);
        for _ in 0..BURST {
            assert_eq!(attempts.check(at(0)), Ok(()));
            attempts.failed(at(0));
        }
        assert_eq!(attempts.check(at(0)), Err(REFILL));
        assert_eq!(attempts.check(at(2)), Err(REFILL - 2));
        assert_eq!(attempts.check(at(REFILL)), Ok(()));
        attempts.failed(at(REFILL));
        assert_eq!(attempts.check(at(REFILL)), Err(REFILL), "one more, not ten");
        for _ in 0..BURST {
            assert_eq!(attempts.check(at(REFILL * 30)), Ok(()), "all of them after a while");
            attempts.failed(at(REFILL * 30));
        }
        assert!(attempts.check(at(REFILL * 30)).is_err());
        let earlier = UnixSeconds(5);
        assert!(attempts.check(earlier).is_err(), "setting the clock back opens nothing");
        assert_eq!(attempts.check(UnixSeconds(5 + REFILL)), Ok(()), "and locks nobody out");
    }
}
