use scrip_runtime::config::HumanDuration;

use super::*;

const NOW: UnixSeconds = UnixSeconds(20_500 * 86_400 + 5);

/// A hundredth of 30 days.
const UNIT: u64 = 25_920;

/// In units: issue for 100, spend for 1,000 more, redeem for 50 more; made 20 ahead.
fn config() -> EpochConfig {
    EpochConfig {
        issue_for: HumanDuration(100 * UNIT),
        spend_for: HumanDuration(1_000 * UNIT),
        redeem_for: HumanDuration(50 * UNIT),
        ahead: HumanDuration(20 * UNIT),
        ..EpochConfig::default()
    }
}

/// Epochs that begin so many units from now.
fn epochs(from: &[i64]) -> Vec<EpochBody> {
    let begins = |from: i64| UnixSeconds(NOW.0.checked_add_signed(from * UNIT as i64).unwrap());
    let epoch = |(number, from): (u32, &i64)| EpochBody {
        number,
        key_use: KeyUse::Production,
        windows: windows(&config(), begins(*from)),
        keys: Vec::new(),
    };
    (1..).zip(from).map(epoch).collect()
}

/// One new production epoch that begins at `from`.
fn production(from: UnixSeconds) -> Needs {
    let windows = windows(&config(), from);
    Needs::Version(vec![NewEpoch { key_use: KeyUse::Production, windows }])
}

/// From when until when they issue, in units from now.
fn issuing(epochs: &[EpochBody]) -> Vec<(i64, i64)> {
    let units = |time: UnixSeconds| (time.0 as i64 - NOW.0 as i64) / UNIT as i64;
    let window = |e: &EpochBody| (units(e.windows.issue_from), units(e.windows.issue_until));
    epochs.iter().map(window).collect()
}

#[test]
fn the_next_epoch_is_made_ahead_and_begins_where_the_last_one_ends() {
    let config = config();
    let mut early = epochs(&[-79]);
    assert_eq!(apply(Change::Next, &mut early, &config, NOW), Ok(Needs::Nothing));
    let mut due = epochs(&[-80]);
    assert_eq!(apply(Change::Next, &mut due, &config, NOW), Ok(production(NOW.plus(20 * UNIT))));
    let mut made = epochs(&[-80, 20]);
    assert_eq!(apply(Change::Next, &mut made, &config, NOW), Ok(Needs::Nothing));
    let today = production(NOW.day().start());
    assert_eq!(apply(Change::Next, &mut epochs(&[-900]), &config, NOW), Ok(today));
}

#[test]
fn a_rotation_begins_now() {
    let config = config();
    let new = production(NOW);
    let mut alone = epochs(&[-30]);
    assert_eq!(apply(Change::Rotate, &mut alone, &config, NOW), Ok(new.clone()));
    assert_eq!(issuing(&alone), [(-30, 0)]);

    let mut waiting = epochs(&[-30, 70, 170]);
    let spend_until = waiting[1].windows.spend_until;
    assert_eq!(apply(Change::Rotate, &mut waiting, &config, NOW), Ok(Needs::Version(Vec::new())));
    let expected = [(-30, 0), (0, 100), (100, 200)];
    assert_eq!(issuing(&waiting), expected);
    assert_eq!(waiting[1].windows.spend_until, spend_until);

    let again = apply(Change::Rotate, &mut waiting, &config, NOW);
    assert_eq!(again, Err(ChangeError::JustBegun { epoch: 2 }));
    assert_eq!(apply(Change::Rotate, &mut epochs(&[-900]), &config, NOW), Ok(new));
}

#[test]
fn a_revoked_epoch_is_followed_at_once() {
    let config = config();
    let revoke =
        |epoch, epochs: &mut [EpochBody]| apply(Change::Revoke { epoch }, epochs, &config, NOW);
    let mut one = epochs(&[-30]);
    let redeem_until = one[0].windows.redeem_until;
    assert_eq!(revoke(1, &mut one), Ok(production(NOW)));
    let windows = one[0].windows;
    assert_eq!((windows.issue_until, windows.spend_until), (NOW, NOW));
    assert_eq!(windows.redeem_until, redeem_until);
    assert_eq!(revoke(1, &mut one), Err(ChangeError::Ended { epoch: 1 }));
    assert_eq!(revoke(2, &mut one), Err(ChangeError::Unknown { epoch: 2 }));

    // One that has ended issuing, one that waits, one that has just begun.
    let mut old = epochs(&[-150, -50]);
    assert_eq!(revoke(1, &mut old), Ok(Needs::Version(Vec::new())));
    assert_eq!(issuing(&old), [(-150, -50), (-50, 50)]);
    let mut waiting = epochs(&[-50, 50]);
    assert_eq!(revoke(2, &mut waiting), Ok(Needs::Version(Vec::new())));
    assert_eq!(issuing(&waiting), [(-50, 50), (0, 0)]);
    let mut begun = epochs(&[0, 100]);
    assert_eq!(revoke(1, &mut begun), Ok(Needs::Version(Vec::new())));
    assert_eq!(issuing(&begun), [(0, 0), (0, 100)]);
}

/// The same epochs with these new ones behind them.
fn with(mut epochs: Vec<EpochBody>, needs: &Needs) -> Vec<EpochBody> {
    let Needs::Version(new) = needs else { return epochs };
    for new in new {
        let number = epochs.last().map_or(1, |epoch| epoch.number + 1);
        let NewEpoch { key_use, windows } = *new;
        epochs.push(EpochBody { number, key_use, windows, keys: Vec::new() });
    }
    epochs
}

fn of_use(epochs: &[EpochBody], key_use: KeyUse) -> Vec<Windows> {
    epochs.iter().filter(|epoch| epoch.key_use == key_use).map(|epoch| epoch.windows).collect()
}

#[test]
fn test_epochs_stand_beside_the_others() {
    let config = EpochConfig { test_keys: true, ..config() };
    let new = first(&config, NOW);
    assert_eq!((new.len(), new[0].windows), (2, new[1].windows));
    let apply = |change, epochs: &mut Vec<EpochBody>, now| {
        let needs = apply(change, epochs, &config, now).unwrap();
        *epochs = with(std::mem::take(epochs), &needs);
        needs != Needs::Nothing
    };
    let same = |epochs: &[EpochBody]| {
        let (production, test) = (of_use(epochs, KeyUse::Production), of_use(epochs, KeyUse::Test));
        assert_eq!(production, test);
        production.len()
    };
    // Switched on where there are none: beside those that issue now or later, and not beside those of before.
    let mut epochs = epochs(&[-150, -50, 50]);
    assert!(apply(Change::Next, &mut epochs, NOW) && !apply(Change::Next, &mut epochs, NOW));
    assert_eq!(of_use(&epochs, KeyUse::Test), of_use(&epochs, KeyUse::Production)[1..]);
    epochs.remove(0);
    // Both rotate, with an epoch that waits and without.
    let now = NOW.plus(10 * UNIT);
    assert!(apply(Change::Rotate, &mut epochs, now) && same(&epochs) == 2);
    let now = now.plus(10 * UNIT);
    assert!(apply(Change::Rotate, &mut epochs, now) && same(&epochs) == 3);
    // Both get their next epoch.
    assert!(apply(Change::Next, &mut epochs, now.plus(85 * UNIT)) && same(&epochs) == 4);
    // One of them is revoked: the other goes on, and each still has exactly one that issues.
    let now = now.plus(90 * UNIT);
    let last = |epochs: &[EpochBody], key_use| {
        let issues = |epoch: &&EpochBody| epoch.key_use == key_use && epoch.windows.issues_at(now);
        let numbers: Vec<u32> = epochs.iter().filter(issues).map(|epoch| epoch.number).collect();
        assert_eq!(numbers.len(), 1, "{key_use:?}");
        numbers[0]
    };
    for key_use in [KeyUse::Test, KeyUse::Production] {
        let epoch = last(&epochs, key_use);
        let before = of_use(&epochs, other(key_use));
        assert!(apply(Change::Revoke { epoch }, &mut epochs, now));
        assert_ne!(last(&epochs, key_use), epoch);
        let unchanged = of_use(&epochs, other(key_use));
        assert_eq!(unchanged[..before.len()], before, "{key_use:?}");
    }
    let covered = |key_use| of_use(&epochs, key_use).iter().map(|w| w.issue_until).max();
    assert!(covered(KeyUse::Test) >= covered(KeyUse::Production));
}

const fn other(key_use: KeyUse) -> KeyUse {
    match key_use {
        KeyUse::Production => KeyUse::Test,
        KeyUse::Test => KeyUse::Production,
    }
}

#[test]
fn renewal_opens_within_the_time_of_spending() {
    let config = EpochConfig { renew_for: HumanDuration(30 * UNIT), ..config() };
    let of = windows(&config, NOW);
    assert_eq!(of.renew_from, NOW.plus((100 + 1_000 - 30) * UNIT));
    let always = EpochConfig { renew_for: HumanDuration(5_000 * UNIT), ..config };
    assert_eq!(windows(&always, NOW).renew_from, NOW.plus(100 * UNIT), "never while the keys sign");
}

#[test]
fn a_rotation_too_many_is_refused() {
    let config = config();
    let rotate = |from: &[i64]| apply(Change::Rotate, &mut epochs(from), &config, NOW).is_ok();
    assert!(rotate(&[-300, -200, -100]));
    // Epochs in the test end when the next one begins, whatever their windows say.
    let recent = |from: &[i64]| {
        let mut epochs = epochs(from);
        for at in 1..epochs.len() {
            epochs[at - 1].windows.issue_until = epochs[at].windows.issue_from;
        }
        apply(Change::Rotate, &mut epochs, &config, NOW)
    };
    assert!(recent(&[-90, -60, -30]).is_ok(), "the fourth");
    let refused = recent(&[-90, -60, -30, -10]);
    let Err(ChangeError::TooOften { again }) = refused else { panic!("{refused:?}") };
    let ok_again = |day: Day| {
        let mut epochs = with(epochs(&[-90, -60, -30, -10]), &Needs::Nothing);
        for at in 1..epochs.len() {
            epochs[at - 1].windows.issue_until = epochs[at].windows.issue_from;
        }
        apply(Change::Rotate, &mut epochs, &config, day.start()).is_ok()
    };
    assert!(ok_again(again) && !ok_again(Day(again.0 - 2)), "{again}");
    assert!(recent(&[-101, -60, -30, -10]).is_ok(), "the first is over a month ago");
    // One that waits is counted where it would come to issue.
    assert!(recent(&[-90, -60, -30, 70]).is_ok());
    // A theft is no schedule.
    let mut stolen = epochs(&[-90, -60, -30, -10]);
    assert!(apply(Change::Revoke { epoch: 4 }, &mut stolen, &config, NOW).is_ok());
}

/// With short epochs, a rotation today is one too many before the month is over.
#[test]
fn the_epochs_that_follow_by_themselves_are_counted() {
    let config = EpochConfig { issue_for: HumanDuration(25 * UNIT), ..config() };
    assert_eq!(check_length(&config), Ok(()));
    let shorter = EpochConfig { issue_for: HumanDuration(25 * UNIT - 1), ..config.clone() };
    assert_eq!(check_length(&shorter), Err(EpochsTooShort));
    let mut epochs = epochs(&[-10]);
    epochs[0].windows = windows(&config, epochs[0].windows.issue_from);
    let refused = apply(Change::Rotate, &mut epochs, &config, NOW);
    assert!(matches!(refused, Err(ChangeError::TooOften { .. })), "{refused:?}");
}
