use std::sync::Arc;

use super::*;
use crate::clock::{Clock, ManualClock};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const DAY: u64 = SECONDS_PER_DAY;

fn clock() -> (ManualClock, PlausibleClock) {
    let clock = ManualClock::new(NOW);
    let plausible = PlausibleClock::new(Arc::new(clock.clone()), None);
    (clock, plausible)
}

/// Lets time pass in steps, as a program that looks at the clock does.
fn pass(clock: &ManualClock, plausible: &PlausibleClock, seconds: u64) {
    for _ in 0..seconds / 60 {
        clock.advance(60);
        plausible.read();
    }
    clock.advance(seconds % 60);
    plausible.read();
}

#[test]
fn a_steady_clock_is_believed_to_the_second() {
    let (clock, plausible) = clock();
    for seconds in [0, 1, 59, 86_400, 400 * DAY] {
        clock.advance(seconds);
        let reading = plausible.read();
        assert_eq!((reading.wall, reading.believed), (clock.now(), clock.now()));
        assert_eq!(reading.certain(), Ok(clock.now()));
        assert_eq!(reading.deletable(), clock.now().minus(KEPT));
    }
}

#[test]
fn a_jump_gains_no_more_than_the_time_that_it_lasts() {
    for days in [1, 2, 40, 420] {
        for lasts in [0, 2, 60, 3_600, KEPT - STEP] {
            let (clock, plausible) = clock();
            let before = NOW.plus(10 * DAY);
            clock.set(before);
            // Nobody looked for ten days: that must not count for the jump.
            clock.jump(before.plus(days * DAY));
            let lied = plausible.read();
            assert!(lied.earlier() <= before.plus(STEP), "{days} {lasts}");
            assert_eq!(lied.is_in_doubt(), days > 1, "{days} {lasts}");
            pass(&clock, &plausible, lasts);
            let right = before.plus(lasts);
            assert!(plausible.earlier() <= right.plus(lasts + STEP), "{days} {lasts}");
            assert!(plausible.read().deletable() <= right, "nothing is deleted: {days} {lasts}");
            clock.jump(right);
            let again = plausible.read();
            assert_eq!(again.earlier(), right, "{days} {lasts}");
            // What was gained is given back in as long.
            pass(&clock, &plausible, lasts + STEP + 60);
            assert_eq!(plausible.read().believed, clock.now(), "{days} {lasts}");
        }
    }
}

#[test]
fn a_clock_that_goes_back_is_in_doubt_and_deletes_nothing_more() {
    for days in [1, 2, 40, 420] {
        let (clock, plausible) = clock();
        clock.jump(NOW.minus(days * DAY));
        let reading = plausible.read();
        assert_eq!(reading.earlier(), NOW.minus(days * DAY));
        assert_eq!(reading.is_in_doubt(), days > 1);
        pass(&clock, &plausible, 60);
        clock.jump(NOW.plus(60));
        assert_eq!(plausible.read().certain(), Ok(NOW.plus(60)));
    }
}

#[test]
fn many_small_steps_gain_no_more_than_a_large_one() {
    let (clock, plausible) = clock();
    for _ in 0..60 {
        clock.jump(clock.now().plus(3_000));
        clock.advance(60);
        plausible.read();
    }
    let reading = plausible.read();
    assert_eq!(reading.believed, NOW.plus(2 * 3_600));
    assert!(reading.is_in_doubt());
}

#[test]
fn a_wrong_clock_at_boot_is_a_jump_like_any_other() {
    let remembered = Remembered { believed: NOW, confirmations: 3 };
    for (days, doubt) in [(1, false), (2, true), (40, true), (420, true)] {
        for wall in [NOW.plus(days * DAY), NOW.minus(days * DAY)] {
            let clock = ManualClock::new(wall);
            let plausible = PlausibleClock::new(Arc::new(clock.clone()), Some(remembered));
            pass(&clock, &plausible, 60);
            let reading = plausible.read();
            assert!(reading.earlier() <= NOW.plus(120));
            assert_eq!(reading.is_in_doubt(), doubt, "{days}");
        }
    }
}

#[test]
fn a_downtime_is_made_up_for_in_as_long() {
    let remembered = Remembered { believed: NOW, confirmations: 0 };
    let clock = ManualClock::new(NOW.plus(2 * DAY));
    let plausible = PlausibleClock::new(Arc::new(clock.clone()), Some(remembered));
    assert!(plausible.is_in_doubt());
    pass(&clock, &plausible, DAY + 60);
    assert!(!plausible.is_in_doubt());
    pass(&clock, &plausible, DAY);
    assert_eq!(plausible.read().believed, clock.now());
}

#[test]
fn a_person_who_states_the_day_is_believed_at_once() {
    let (clock, plausible) = clock();
    clock.jump(NOW.plus(40 * DAY));
    assert!(plausible.is_in_doubt());
    let stored = plausible.remember(None).unwrap();
    assert_eq!(plausible.remember(Some(stored)), None, "it did not move");
    let confirmed = Remembered::confirmed(Some(stored), clock.now());
    assert_eq!(plausible.remember(Some(confirmed)), None);
    assert_eq!(plausible.certain(), Ok(clock.now()));

    assert_eq!(check_stated(&NOW.day().to_string(), NOW), Ok(()));
    let other = check_stated(&NOW.day().to_string(), clock.now()).unwrap_err();
    assert_eq!(other, OtherDay { stated: NOW.day().to_string(), shown: clock.now().day() });
}

#[test]
fn signed_times_count_up_to_the_wall_clock_and_never_back() {
    let (clock, plausible) = clock();
    plausible.not_before(NOW.plus(400 * DAY));
    assert_eq!(plausible.read().believed, NOW, "nobody alone brings it forward");
    clock.jump(NOW.plus(40 * DAY));
    plausible.not_before(NOW.plus(39 * DAY + 5));
    assert_eq!(plausible.read().believed, NOW.plus(39 * DAY + 5));
    assert!(!plausible.is_in_doubt());
    plausible.not_before(NOW);
    assert_eq!(plausible.read().believed, NOW.plus(39 * DAY + 5));
}

/// A clock that shows what other machines show.
#[derive(Clone)]
struct Shared(ManualClock);

impl Clock for Shared {
    fn now(&self) -> UnixSeconds {
        self.0.now()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }
}

#[test]
fn the_clock_of_the_database_holds_back_one_that_is_ahead() {
    let clock = ManualClock::new(NOW);
    let plausible = PlausibleClock::new(Arc::new(Shared(clock.clone())), None);
    plausible.compare(NOW);
    clock.jump(NOW.plus(40 * DAY));
    // Not even for as long as it lasts, nor for a signed time.
    pass(&clock, &plausible, 5 * DAY);
    plausible.not_before(NOW.plus(40 * DAY));
    let reading = plausible.read();
    assert_eq!((reading.believed, reading.is_in_doubt()), (NOW.plus(5 * DAY), true));
    // And one that is behind brings doubt, and no work forward.
    let plausible = PlausibleClock::new(Arc::new(Shared(clock.clone())), None);
    plausible.compare(clock.now().plus(40 * DAY));
    assert!(plausible.is_in_doubt());
    assert_eq!(plausible.earlier(), clock.now());
    // The clock of a test is nobody else's.
    let plausible = PlausibleClock::new(Arc::new(clock.clone()), None);
    plausible.compare(NOW.minus(400 * DAY));
    assert!(!plausible.is_in_doubt());
}

#[test]
fn it_is_remembered_in_a_file_seldom_and_a_damaged_one_is_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("clock");
    assert_eq!(Remembered::read(&path).unwrap(), None);
    let (clock, plausible) = clock();
    plausible.remember_in(&path).unwrap();
    let written = Remembered { believed: NOW, confirmations: 0 };
    assert_eq!(Remembered::read(&path).unwrap(), Some(written));
    clock.advance(REMEMBER_EVERY - 1);
    plausible.remember_in(&path).unwrap();
    assert_eq!(Remembered::read(&path).unwrap(), Some(written));
    clock.advance(1);
    plausible.remember_in(&path).unwrap();
    let later = Remembered { believed: NOW.plus(REMEMBER_EVERY), confirmations: 0 };
    assert_eq!(Remembered::read(&path).unwrap(), Some(later));

    for damaged in [b"".as_slice(), b"\xff\xfe", b"many\n1\n", b"-1\n"] {
        fs::write(&path, damaged).unwrap();
        let remembered = Remembered::read(&path).unwrap();
        let plausible = PlausibleClock::new(Arc::new(clock.clone()), remembered);
        assert!(plausible.is_in_doubt() && plausible.earlier() < UnixSeconds(1_000), "{damaged:?}");
    }
}

#[test]
fn no_reading_overflows() {
    let clock = ManualClock::new(UnixSeconds(u64::MAX));
    let plausible = PlausibleClock::new(Arc::new(clock.clone()), None);
    clock.advance(u64::MAX);
    plausible.read();
    clock.jump(UnixSeconds(0));
    let reading = plausible.read();
    assert_eq!(reading.deletable(), UnixSeconds(0));
    assert!(reading.is_in_doubt());
}
