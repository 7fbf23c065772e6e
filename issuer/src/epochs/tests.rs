use scrip_runtime::config::HumanDuration;

use scrip_protocol::manifest::KeyUse;

use super::*;

const NOW: UnixSeconds = UnixSeconds(20_500 * 86_400 + 5);

/// Issue for 100 s, spend for 1,000 more, redeem for 50 more; made 20 s ahead.
fn config() -> EpochConfig {
    EpochConfig {
        issue_for: HumanDuration(100),
        spend_for: HumanDuration(1_000),
        redeem_for: HumanDuration(50),
        ahead: HumanDuration(20),
        ..EpochConfig::default()
    }
}

/// Epochs that begin so many seconds from now.
fn epochs(from: &[i64]) -> Vec<EpochBody> {
    let begins = |from: i64| UnixSeconds(NOW.0.checked_add_signed(from).unwrap());
    let epoch = |(number, from): (u32, &i64)| EpochBody {
        number,
        key_use: KeyUse::Production,
        windows: windows(&config(), begins(*from)),
        keys: Vec::new(),
    };
    (1..).zip(from).map(epoch).collect()
}

fn issuing(epochs: &[EpochBody]) -> Vec<(u64, u64)> {
    let window = |e: &EpochBody| (e.windows.issue_from.0, e.windows.issue_until.0);
    epochs.iter().map(window).collect()
}

#[test]
fn the_next_epoch_is_made_ahead_and_begins_where_the_last_one_ends() {
    let config = config();
    let mut early = epochs(&[-79]);
    assert_eq!(apply(Change::Next, &mut early, &config, NOW), Ok(Needs::Nothing));
    let mut due = epochs(&[-80]);
    let expected = Needs::Epoch(windows(&config, NOW.plus(20)));
    assert_eq!(apply(Change::Next, &mut due, &config, NOW), Ok(expected));
    let mut made = epochs(&[-80, 20]);
    assert_eq!(apply(Change::Next, &mut made, &config, NOW), Ok(Needs::Nothing));
    let today = Needs::Epoch(windows(&config, NOW.day().start()));
    assert_eq!(apply(Change::Next, &mut epochs(&[-900]), &config, NOW), Ok(today));
}

#[test]
fn a_rotation_begins_now() {
    let config = config();
    let new = Needs::Epoch(windows(&config, NOW));
    let mut alone = epochs(&[-30]);
    assert_eq!(apply(Change::Rotate, &mut alone, &config, NOW), Ok(new));
    assert_eq!(issuing(&alone), [(NOW.0 - 30, NOW.0)]);

    let mut waiting = epochs(&[-30, 70, 170]);
    let spend_until = waiting[1].windows.spend_until;
    assert_eq!(apply(Change::Rotate, &mut waiting, &config, NOW), Ok(Needs::Windows));
    let expected = [(NOW.0 - 30, NOW.0), (NOW.0, NOW.0 + 100), (NOW.0 + 100, NOW.0 + 200)];
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
    assert_eq!(revoke(1, &mut one), Ok(Needs::Epoch(windows(&config, NOW))));
    let windows = one[0].windows;
    assert_eq!((windows.issue_until, windows.spend_until), (NOW, NOW));
    assert_eq!(windows.redeem_until, redeem_until);
    assert_eq!(revoke(1, &mut one), Err(ChangeError::Ended { epoch: 1 }));
    assert_eq!(revoke(2, &mut one), Err(ChangeError::Unknown { epoch: 2 }));

    // One that has ended issuing, one that waits, one that has just begun.
    let mut old = epochs(&[-150, -50]);
    assert_eq!(revoke(1, &mut old), Ok(Needs::Windows));
    assert_eq!(issuing(&old), [(NOW.0 - 150, NOW.0 - 50), (NOW.0 - 50, NOW.0 + 50)]);
    let mut waiting = epochs(&[-50, 50]);
    assert_eq!(revoke(2, &mut waiting), Ok(Needs::Windows));
    assert_eq!(issuing(&waiting), [(NOW.0 - 50, NOW.0 + 50), (NOW.0 - 1, NOW.0)]);
    let mut begun = epochs(&[0, 100]);
    assert_eq!(revoke(1, &mut begun), Ok(Needs::Windows));
    assert_eq!(issuing(&begun), [(NOW.0 - 1, NOW.0), (NOW.0, NOW.0 + 100)]);
}
