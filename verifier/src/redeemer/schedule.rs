//! When to send: pure decisions, given the time.

use std::{collections::BTreeMap, time::Duration};

use rand_core::RngCore;
use scrip_protocol::{id::VendorId, time::UnixSeconds};

use crate::spent::Waiting;

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
        let waits = waiting.oldest.map_or(0, |oldest| now.since(oldest));
        waiting.items > 0 && (waiting.items >= self.least_items || waits >= self.deadline.as_secs())
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

#[derive(Clone, Copy)]
struct Retry {
    failures: u32,
    at: UnixSeconds,
}

/// What is due when.
pub(super) struct Timetable {
    next_sending: UnixSeconds,
    retries: BTreeMap<VendorId, Retry>,
    reports: Option<Retry>,
}

impl Timetable {
    /// Batches that were stored before a restart are due at once, new ones are made at the next sending time.
    pub(super) fn new(schedule: &Schedule, now: UnixSeconds) -> Self {
        let next_sending = schedule.next_sending_after(now);
        Self { next_sending, retries: BTreeMap::new(), reports: None }
    }

    pub(super) fn sending_is_due(&self, now: UnixSeconds) -> bool {
        now >= self.next_sending
    }

    pub(super) fn sending_was_done(&mut self, schedule: &Schedule, now: UnixSeconds) {
        self.next_sending = schedule.next_sending_after(now);
    }

    pub(super) fn vendor_is_due(&self, vendor: &VendorId, now: UnixSeconds) -> bool {
        self.retries.get(vendor).is_none_or(|retry| now >= retry.at)
    }

    pub(super) fn vendor_was_tried(
        &mut self,
        schedule: &Schedule,
        vendor: VendorId,
        now: UnixSeconds,
        all_answered: bool,
        rng: &mut dyn RngCore,
    ) {
        match next_try(schedule, self.retries.get(&vendor), now, all_answered, rng) {
            Some(retry) => self.retries.insert(vendor, retry),
            None => self.retries.remove(&vendor),
        };
    }

    pub(super) fn reports_are_due(&self, now: UnixSeconds) -> bool {
        self.reports.is_none_or(|retry| now >= retry.at)
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
        assert!(!timetable.sending_is_due(next.minus(1)));
        assert!(timetable.sending_is_due(next));
        assert_eq!(schedule.next_sending_after(next).since(next), 6 * 3_600);
    }

    #[test]
    fn few_certificates_wait_for_the_deadline() {
        let schedule = Schedule::default();
        let waiting = |items, age| Waiting { items, oldest: Some(NOW.minus(age)) };
        assert!(!schedule.is_enough(&Waiting::default(), NOW));
        assert!(!schedule.is_enough(&waiting(255, 2 * 86_400 - 1), NOW));
        assert!(schedule.is_enough(&waiting(255, 2 * 86_400), NOW));
        assert!(schedule.is_enough(&waiting(256, 0), NOW));
    }

    #[test]
    fn attempts_back_off_with_jitter_up_to_a_limit() {
        let schedule = Schedule::default();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut timetable = Timetable::new(&schedule, NOW);
        let vendor = VendorId::from_bytes([1; 32]);
        let mut longest = 30;
        for _ in 0..40 {
            assert!(timetable.vendor_is_due(&vendor, NOW.plus(7_200)));
            timetable.vendor_was_tried(&schedule, vendor, NOW, false, &mut rng);
            let wait = timetable.retries[&vendor].at.since(NOW);
            assert!((longest / 2..=longest).contains(&wait), "{wait} of {longest}");
            assert!(!timetable.vendor_is_due(&vendor, NOW.plus(wait - 1)));
            longest = (2 * longest).min(3_600);
        }
        timetable.vendor_was_tried(&schedule, vendor, NOW, true, &mut rng);
        assert!(timetable.vendor_is_due(&vendor, NOW));
    }
}
