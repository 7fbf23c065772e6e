//! Points in time, as coarse as each use allows.
//!
//! The vendor must never learn a time finer than the day from a redemption
//! (spec, "Redemption"), so [`Day`] is a type of its own and not a rounding habit.

use serde::{Deserialize, Serialize};

use crate::limits::COMMAND_STEP;

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

    /// The last full step of [`COMMAND_STEP`] seconds: what whoever signs a command says of its clock.
    pub const fn step(self) -> Self {
        Self(self.0 - self.0 % COMMAND_STEP)
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

/// `2026-01-31`
impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (year, month, day) = civil(self.0);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// `2026-01-31 07:30 UTC`
impl std::fmt::Display for UnixSeconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let minutes = self.0 % SECONDS_PER_DAY / 60;
        write!(f, "{} {:02}:{:02} UTC", self.day(), minutes / 60, minutes % 60)
    }
}

/// Year, month and day of a number of days since 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms").
const fn civil(days: u32) -> (u64, u64, u64) {
    let shifted = days as u64 + 719_468; // days since 0000-03-01
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153; // 0 is March
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + (month <= 2) as u64;
    (year, month, day)
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
    fn a_step_is_the_last_whole_one() {
        for (time, step) in [(0, 0), (299, 0), (300, 300), (301, 300), (u64::MAX, u64::MAX - 15)] {
            assert_eq!(UnixSeconds(time).step(), UnixSeconds(step));
        }
    }

    #[test]
    fn the_last_second_of_a_day_belongs_to_it() {
        assert_eq!(UnixSeconds(SECONDS_PER_DAY - 1).day(), Day(0));
        assert_eq!(UnixSeconds(SECONDS_PER_DAY).day(), Day(1));
        assert_eq!(UnixSeconds(u64::MAX).day(), Day(u32::MAX));
    }

    #[test]
    fn times_are_shown_by_the_civil_calendar() {
        for (day, text) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (20_484, "2026-01-31"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(Day(day).to_string(), text);
        }
        assert_eq!(UnixSeconds(1_795_246_200).to_string(), "2026-11-21 07:30 UTC");
    }
}
