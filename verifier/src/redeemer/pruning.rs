//! When certificates of closed epochs may be forgotten: never because of one look at a clock that is wrong.

use std::time::Instant;

use scrip_protocol::time::UnixSeconds;
use scrip_runtime::plausible::PlausibleClock;

use super::Schedule;

/// Compares the readings of the clock at sending times.
#[derive(Default)]
pub(super) struct Pruning {
    clock: PlausibleClock,
    read_at: Option<Instant>,
}

impl Pruning {
    /// Whether `wall`, read at `monotonic`, may be relied on: it agrees with the reading of about one interval before. A
    /// reading that comes much sooner, as after a jump, is left out.
    pub(super) fn is_safe(
        &mut self,
        schedule: &Schedule,
        wall: UnixSeconds,
        monotonic: Instant,
    ) -> bool {
        let elapsed = self.read_at.map(|last| monotonic.saturating_duration_since(last));
        if elapsed.is_some_and(|elapsed| elapsed < schedule.interval / 2) {
            return false;
        }
        self.read_at = Some(monotonic);
        self.clock.check(wall, monotonic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_700_000_000);

    #[test]
    fn a_jump_must_last_for_an_interval() {
        let schedule = Schedule::default();
        let interval = schedule.interval;
        let (seconds, year) = (interval.as_secs(), 365 * 86_400);
        let start = Instant::now();
        let mut pruning = Pruning::default();
        assert!(!pruning.is_safe(&schedule, NOW, start), "the first reading");
        assert!(pruning.is_safe(&schedule, NOW.plus(seconds), start + interval));
        let at = start + 2 * interval;
        assert!(!pruning.is_safe(&schedule, NOW.plus(year), at), "a jump");
        let soon = at + std::time::Duration::from_secs(1);
        assert!(!pruning.is_safe(&schedule, NOW.plus(year + 1), soon), "too soon after it");
        let later = at + interval;
        assert!(pruning.is_safe(&schedule, NOW.plus(year + seconds), later));
    }
}
