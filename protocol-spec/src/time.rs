//! Points in time, as coarse as each use allows.
//!
//! The vendor must never learn a time finer than the day from a redemption
//! (spec, "Redemption"), so [`Day`] is a type of its own and not a rounding habit.

use serde::{Deserialize, Serialize};

/// Seconds of one day.
pub const SECONDS_PER_DAY: u64 = 86_400;

/// Seconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixSeconds(pub u64);

impl UnixSeconds {
    /// The UTC day that this second lies in. Days past `u32::MAX` saturate.
    pub const fn day(self) -> Day {
        let day = self.0 / SECONDS_PER_DAY;
        Day(if day > u32::MAX as u64 { u32::MAX } else { day as u32 })
    }

    /// This time plus `seconds`; saturates at the end of time.
    pub const fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// This time less `seconds`; saturates at the epoch.
    pub const fn minus(self, seconds: u64) -> Self {
        Self(self.0.saturating_sub(seconds))
    }

    /// Seconds from `earlier` to this time; zero where `earlier` is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A UTC day, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Day(pub u32);

impl Day {
    /// The first second of the day.
    pub const fn start(self) -> UnixSeconds {
        UnixSeconds(self.0 as u64 * SECONDS_PER_DAY)
    }

    /// Whether `self` is `today`, the day before or the day after: what a relay
    /// accepts as the day of a payment (spec, "Verification", check 5).
    pub const fn is_adjacent_to(self, today: Self) -> bool {
        self.0.abs_diff(today.0) <= 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_adjacent_to_itself_and_its_neighbours_only() {
        let today = Day(20_000);
        let accepted: Vec<u32> =
            (19_995..20_005).filter(|d| Day(*d).is_adjacent_to(today)).collect();
        assert_eq!(accepted, [19_999, 20_000, 20_001]);
        assert!(!Day(u32::MAX).is_adjacent_to(Day(0)), "no wrap-around");
    }

    #[test]
    fn the_last_second_of_a_day_belongs_to_it() {
        assert_eq!(UnixSeconds(SECONDS_PER_DAY - 1).day(), Day(0));
        assert_eq!(UnixSeconds(SECONDS_PER_DAY).day(), Day(1));
        assert_eq!(UnixSeconds(u64::MAX).day(), Day(u32::MAX));
    }
}
