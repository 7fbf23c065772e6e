//! When to send: pure decisions, given the time.

use std::{collections::BTreeMap, time::Duration};

use rand_core::RngCore;
use scrip_protocol::{id::VendorId, time::UnixSeconds};

use super::sending::Turn;
use crate::spent::{BatchNumber, Waiting};

/// When evidence is redeemed. Fixed times and least numbers keep the vendor from telling when, and with what else, a
/// certificate was spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Batches are made at whole multiples of this since 1970.
    pub interval: Duration,
    /// Not before so many certificates of a vendor wait …
    pub least_items: u64,
    /// … or the oldest of them waits so long.
    pub deadline: Duration,
    /// The longest wait after the first attempt that got no answer; it doubles with each.
    pub retry_first: Duration,
    /// What it doubles up to.
    pub retry_most: Duration,
    /// Reservations of this age that nobody works on are settled: their clients never came back.
    pub abandon_after: Duration,
}

impl Default for Schedule {
    /// Every six hours, from 256 certificates or two days on; retries after 30 seconds to one hour; reservations are
    /// settled after one day.
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(6 * 3_600),
            least_items: 256,
            deadline: Duration::from_secs(2 * 86_400),
            retry_first: Duration::from_secs(30),
            retry_most: Duration::from_secs(3_600),
            abandon_after: Duration::from_secs(86_400),
        }
    }
}

impl Schedule {
    /// Whether what waits is sent at a sending time.
    pub(super) fn is_enough(&self, waiting: &Waiting, now: UnixSeconds) -> bool {
        let deadline = self.deadline.as_secs();
        // What was reserved by a clock that was far ahead would wait until that time.
        let is_old = waiting
            .oldest
            .is_some_and(|oldest| now.since(oldest) >= deadline || oldest.since(now) > deadline);
        // The last sending time but one before it is too late, so that there is time for a vendor that is down.
        let soon = now.plus(self.interval.as_secs().saturating_mul(2));
        let is_urgent = waiting.redeem_until.is_some_and(|until| soon >= until);
        waiting.items > 0 && (waiting.items >= self.least_items || is_old || is_urgent)
    }

    fn next_sending_after(&self, now: UnixSeconds) -> UnixSeconds {
        let interval = self.interval.as_secs().max(1);
        UnixSeconds((now.0 / interval).saturating_add(1).saturating_mul(interval))
    }

    /// Seconds until the next attempt after `failures` in a row: between half of the doubled time and all of it, so that
    /// the relays of a vendor that was down do not all come back at once.
    fn back_off(&self, failures: u32, rng: &mut dyn RngCore) -> u64 {
        let doubled = self.retry_first.as_secs().saturating_mul(1 << failures.min(32));
        let longest = doubled.min(self.retry_most.as_secs()).max(1);
        let shortest = longest.div_ceil(2);
        shortest + rng.next_u64() % (longest - shortest + 1)
    }
}

/// Whether it is time for what is due `at`. The clock may have been wrong when that was decided: what lies further ahead
/// than anybody ever waits, in seconds, is due too.
fn is_due(at: UnixSeconds, longest: Duration, now: UnixSeconds) -> bool {
    now >= at || at.since(now) > longest.as_secs().max(1)
}

#[derive(Clone, Copy)]
struct Retry {
    failures: u32,
    at: UnixSeconds,
}

/// What is due when.
pub(super) struct Timetable {
    next_sending: UnixSeconds,
    retries: BTreeMap<VendorId, Retry>,
    /// The batch at which a vendor's last turn ended early.
    stopped: BTreeMap<VendorId, BatchNumber>,
    reports: Option<Retry>,
}

impl Timetable {
    /// Batches that were stored before a restart are due at once, new ones are made at the next sending time.
    pub(super) fn new(schedule: &Schedule, now: UnixSeconds) -> Self {
        let next_sending = schedule.next_sending_after(now);
        Self { next_sending, retries: BTreeMap::new(), stopped: BTreeMap::new(), reports: None }
    }

    pub(super) fn sending_is_due(&self, schedule: &Schedule, now: UnixSeconds) -> bool {
        is_due(self.next_sending, schedule.interval, now)
    }

    pub(super) fn sending_was_done(&mut self, schedule: &Schedule, now: UnixSeconds) {
        self.next_sending = schedule.next_sending_after(now);
    }

    /// The batches could not be stored: once more after a while, and not only at the next sending time.
    pub(super) fn sending_failed(&mut self, schedule: &Schedule, now: UnixSeconds) {
        let pause = schedule.retry_most.min(schedule.interval);
        self.next_sending = now.plus(pause.as_secs().max(1));
    }

    pub(super) fn vendor_is_due(
        &self,
        schedule: &Schedule,
        vendor: &VendorId,
        now: UnixSeconds,
    ) -> bool {
        let retry = self.retries.get(vendor);
        retry.is_none_or(|retry| is_due(retry.at, schedule.retry_most, now))
    }

    /// Where the vendor's last turn ended before its last batch: the next one begins after it.
    pub(super) fn stopped_at(&self, vendor: &VendorId) -> Option<BatchNumber> {
        self.stopped.get(vendor).copied()
    }

    pub(super) fn vendor_was_tried(
        &mut self,
        schedule: &Schedule,
        turn: &Turn,
        now: UnixSeconds,
        rng: &mut dyn RngCore,
    ) {
        let vendor = turn.vendor;
        match turn.stopped_at {
            Some(batch) => self.stopped.insert(vendor, batch),
            None => self.stopped.remove(&vendor),
        };
        match next_try(schedule, self.retries.get(&vendor), now, turn.all_answered, rng) {
            Some(retry) => self.retries.insert(vendor, retry),
            None => self.retries.remove(&vendor),
        };
    }

    pub(super) fn reports_are_due(&self, schedule: &Schedule, now: UnixSeconds) -> bool {
        self.reports.is_none_or(|retry| is_due(retry.at, schedule.retry_most, now))
    }

    pub(super) fn reports_were_made(
        &mut self,
        schedule: &Schedule,
        now: UnixSeconds,
        all_done: bool,
        rng: &mut dyn RngCore,
    ) {
        self.reports = next_try(schedule, self.reports.as_ref(), now, all_done, rng);
    }
}

/// When to try again, or `None` where there is no need to.
fn next_try(
    schedule: &Schedule,
    last: Option<&Retry>,
    now: UnixSeconds,
    succeeded: bool,
    rng: &mut dyn RngCore,
) -> Option<Retry> {
    let failures = last.map_or(0, |retry| retry.failures);
    (!succeeded).then(|| Retry {
        failures: failures.saturating_add(1),
        at: now.plus(schedule.back_off(failures, rng)),
    })
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_700_000_000);

    #[test]
    fn batches_are_made_at_fixed_times() {
        let schedule = Schedule::default();
        let timetable = Timetable::new(&schedule, NOW);
        let next = timetable.next_sending;
        assert!(next > NOW && next.0.is_multiple_of(6 * 3_600) && next.since(NOW) <= 6 * 3_600);
        assert!(!timetable.sending_is_due(&schedule, next.minus(1)));
        assert!(timetable.sending_is_due(&schedule, next));
        assert_eq!(schedule.next_sending_after(next).since(next), 6 * 3_600);
    }

    #[test]
    fn few_certificates_wait_for_the_deadline() {
        let schedule = Schedule::default();
        let waiting = |items, age| Waiting {
            items,
            oldest: Some(NOW.minus(age)),
            redeem_until: Some(NOW.plus(90 * 86_400)),
        };
        assert!(!schedule.is_enough(&Waiting::default(), NOW));
        assert!(!schedule.is_enough(&waiting(255, 2 * 86_400 - 1), NOW));
        assert!(schedule.is_enough(&waiting(255, 2 * 86_400), NOW));
        assert!(schedule.is_enough(&waiting(256, 0), NOW));
        assert!(schedule.is_enough(&waiting(1, 0), NOW.minus(365 * 86_400)), "the clock was ahead");
    }

    #[test]
    fn attempts_back_off_with_jitter_up_to_a_limit() {
        let schedule = Schedule::default();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut timetable = Timetable::new(&schedule, NOW);
        let vendor = VendorId::from_bytes([1; 32]);
        let mut longest = 30;
        for _ in 0..40 {
            assert!(timetable.vendor_is_due(&schedule, &vendor, NOW.plus(7_200)));
            timetable.vendor_was_tried(&schedule, &turn(false), NOW, &mut rng);
            let wait = timetable.retries[&vendor].at.since(NOW);
            assert!((longest / 2..=longest).contains(&wait), "{wait} of {longest}");
            assert!(!timetable.vendor_is_due(&schedule, &vendor, NOW.plus(wait - 1)));
            longest = (2 * longest).min(3_600);
        }
        timetable.vendor_was_tried(&schedule, &turn(true), NOW, &mut rng);
        assert!(timetable.vendor_is_due(&schedule, &vendor, NOW));
    }

    #[test]
    fn few_certificates_are_sent_before_it_is_too_late() {
        let schedule = Schedule::default();
        let until = |seconds| Waiting {
            items: 1,
            oldest: Some(NOW),
            redeem_until: Some(NOW.plus(seconds)),
        };
        assert!(!schedule.is_enough(&until(12 * 3_600 + 1), NOW));
        assert!(schedule.is_enough(&until(12 * 3_600), NOW));
        assert!(!schedule.is_enough(&Waiting { items: 1, ..Waiting::default() }, NOW));
        assert!(!schedule.is_enough(&Waiting { items: 0, ..until(0) }, NOW));
    }

    /// A clock that was years ahead for a moment must not stop redemption for years.
    #[test]
    fn a_clock_that_was_set_back_holds_nothing_up() {
        let schedule = Schedule::default();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let ahead = NOW.plus(3 * 365 * 86_400);
        let mut timetable = Timetable::new(&schedule, NOW);
        timetable.sending_was_done(&schedule, ahead);
        timetable.vendor_was_tried(&schedule, &turn(false), ahead, &mut rng);
        timetable.reports_were_made(&schedule, ahead, false, &mut rng);
        assert!(!timetable.sending_is_due(&schedule, ahead));
        assert!(!timetable.vendor_is_due(&schedule, &turn(false).vendor, ahead));
        assert!(!timetable.reports_are_due(&schedule, ahead));
        assert!(timetable.sending_is_due(&schedule, NOW));
        assert!(timetable.vendor_is_due(&schedule, &turn(false).vendor, NOW));
        assert!(timetable.reports_are_due(&schedule, NOW));
    }

    #[test]
    fn what_could_not_be_stored_is_stored_before_the_next_sending_time() {
        let schedule = Schedule::default();
        let mut timetable = Timetable::new(&schedule, NOW);
        timetable.sending_failed(&schedule, NOW);
        assert!(!timetable.sending_is_due(&schedule, NOW));
        assert!(timetable.sending_is_due(&schedule, NOW.plus(3_600)));
    }

    fn turn(all_answered: bool) -> Turn {
        Turn { vendor: VendorId::from_bytes([1; 32]), all_answered, stopped_at: None }
    }
}
