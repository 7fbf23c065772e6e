//! A clock that jumps and is set right again, and what cannot be undone. The clock of these tests is set by nobody else, so that
//! no time passes but what they let pass.

use scrip_protocol::{
    credits::Credits,
    ledger::Leaf,
    problem::ProblemType,
    redemption::ItemResult,
    time::{SECONDS_PER_DAY, UnixSeconds},
};
use scrip_runtime::{clock::Clock, plausible::KEPT};

use super::{ledger::leaves, support::*};
use crate::{
    alerts,
    ledger::Scope,
    store::dump::{Dump, dump},
    testing::{Setup, TestIssuer},
};

const DAY: u64 = SECONDS_PER_DAY;
/// Days ahead.
const JUMPS: [u64; 4] = [1, 2, 40, 420];

/// What must be as it was.
#[derive(Debug, PartialEq)]
struct State {
    books: Dump,
    keys: Dump,
    leaves: usize,
}

async fn state(vendor: &TestIssuer) -> State {
    let keys = dump(vendor.issuer.store(), &["sealed_keys", "manifests"]).await;
    let (_, leaves) = leaves(vendor).await;
    let written = leaves.iter().filter(|leaf| !matches!(leaf, Leaf::Cover(_))).count();
    State { books: database(&vendor.issuer).await, keys, leaves: written }
}

/// All that runs by itself, as often as in a minute.
async fn a_minute_of_work(vendor: &TestIssuer, seconds: u64) {
    for _ in 0..3 {
        let issuer = &vendor.issuer;
        issuer.tend_clock().await.unwrap();
        issuer.tend_keys().await.unwrap();
        issuer.integrate(Scope::Due).await.unwrap();
        issuer.drop_past().await.unwrap();
        issuer.publish_voided().await.unwrap();
        issuer.tend_statements().await.unwrap();
        vendor.clock.advance(seconds / 3);
    }
}

/// Seven certificates were sold and two are redeemed; the ledger has it.
async fn at_work(
    setup: &Setup,
) -> (TestIssuer, Operator, Vec<scrip_protocol::issuance::Certificate>) {
    let vendor = setup.init().await.unwrap();
    let mut operator = Operator::new(&vendor, 1).await;
    let certificates = Wallet::new(1).buy(&vendor.issuer).await;
    let items = certificates[..2].iter().map(|c| operator.item(&vendor, c, 1)).collect();
    assert_eq!(operator.redeem(&vendor, items).await, [ItemResult::Accepted; 2]);
    a_minute_of_work(&vendor, 3).await;
    // Sums wait for the next redemption otherwise.
    vendor.issuer.integrate(Scope::Everything).await.unwrap();
    (vendor, operator, certificates)
}

/// While it runs: nothing is lost, made or written, nothing final is signed; and then everything works.
#[tokio::test]
async fn a_clock_that_jumps_while_it_runs_leaves_everything_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::sqlite(directory.path()).unwrap();
    let (vendor, mut operator, _) = at_work(&setup).await;
    let mut wallets = 2..;
    for days in JUMPS {
        for (ahead, lasts) in [(true, 2), (true, 60), (false, 2), (false, 60)] {
            let certificates = Wallet::new(wallets.next().unwrap()).buy(&vendor.issuer).await;
            vendor.issuer.integrate(Scope::Everything).await.unwrap();
            let (before, right) = (state(&vendor).await, vendor.clock.now());
            vendor.clock.jump(moved(right, days, ahead));
            a_minute_of_work(&vendor, lasts).await;
            // What is past by the clock and not by the believed time is not decided.
            let item = operator.item_of_day(&vendor, &certificates[2], 1, right.day());
            let late = operator.batch(&vendor, vec![item]);
            if ahead && days == 420 {
                let answer = send_batch(&vendor.issuer, late.clone()).await;
                assert_eq!(answer.problem(), ProblemType::Overloaded);
            }
            vendor.clock.jump(right.plus(lasts));
            a_minute_of_work(&vendor, 60).await;
            assert_eq!(state(&vendor).await, before, "{days} {ahead} {lasts}");

            let decided = outcome(&vendor, &late, send_batch(&vendor.issuer, late.clone()).await);
            assert_eq!((decided.results, decided.day), (vec![ItemResult::Accepted], right.day()));
            assert_eq!(vendor.issuer.clock_in_doubt(), None);
        }
    }
    drop(setup.open().await.unwrap());
}

/// At boot: the same, and it starts with the right clock again. That is also what a second issuer does whose clock is wrong.
#[tokio::test]
async fn a_clock_that_is_wrong_at_boot_leaves_everything_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::sqlite(directory.path()).unwrap();
    let (mut vendor, mut operator, _) = at_work(&setup).await;
    let mut wallets = 2..;
    for days in JUMPS {
        for ahead in [true, false] {
            let (before, right) = (state(&vendor).await, vendor.clock.now());
            drop(vendor);
            setup.clock.jump(moved(right, days, ahead));
            let wrong = setup.open().await.unwrap();
            assert!(days == 1 || wrong.issuer.clock_in_doubt().is_some());
            a_minute_of_work(&wrong, 60).await;
            assert_eq!(state(&wrong).await, before, "{days} {ahead}");
            // It still has the keys that sign when the clock is set right under it.
            setup.clock.jump(right);
            let bought = Wallet::new(wallets.next().unwrap()).buy(&wrong.issuer).await;
            assert_eq!(bought.len(), STARTER.len());
            drop(wrong);
            vendor = setup.open().await.unwrap();
            let item = operator.item(&vendor, &bought[3], 1);
            assert_eq!(operator.redeem(&vendor, vec![item]).await, [ItemResult::Accepted]);
            vendor.issuer.integrate(Scope::Everything).await.unwrap();
        }
    }
}

/// Whoever sets the clock back cannot have a certificate credited whose epoch has its end in the ledger.
#[tokio::test]
async fn a_clock_that_goes_back_opens_no_epoch_again() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::sqlite(directory.path()).unwrap();
    let (vendor, mut operator, certificates) = at_work(&setup).await;
    let bought = vendor.clock.now();
    let item = operator.item(&vendor, &certificates[2], 1);
    vendor.clock.set(first_windows(&vendor.issuer).redeem_until.plus(KEPT));
    a_minute_of_work(&vendor, 3).await;
    let (_, all) = leaves(&vendor).await;
    vendor.clock.jump(bought);
    let batch = operator.batch(&vendor, vec![item]);
    let answer = send_batch(&vendor.issuer, batch.clone()).await;
    assert_eq!(answer.problem(), ProblemType::Overloaded);
    assert_eq!(leaves(&vendor).await.1.len(), all.len());
    // Also not by a restart, which does not need the keys that are gone.
    drop(vendor);
    let vendor = setup.open().await.unwrap();
    assert_eq!(send_batch(&vendor.issuer, batch).await.problem(), ProblemType::Overloaded);
    assert_eq!(vendor.issuer.status().await.unwrap().credits_redeemed, Credits(2));
}

/// A long downtime is a jump as well: what cannot be undone waits, and goes on when a person says so, or time has passed.
#[tokio::test]
async fn after_a_downtime_a_person_or_time_lets_it_go_on() {
    for by_command in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let setup = Setup::sqlite(directory.path()).unwrap();
        let (vendor, ..) = at_work(&setup).await;
        let past = first_windows(&vendor.issuer).redeem_until.plus(KEPT + DAY);
        let down_for = past.since(vendor.clock.now());
        drop(vendor);
        setup.clock.jump(past);
        let vendor = setup.open().await.unwrap();
        let issuer = &vendor.issuer;
        a_minute_of_work(&vendor, 60).await;
        assert!(leaves(&vendor).await.1.iter().all(|leaf| !is_expired(leaf)));
        let (now, doubt) = (vendor.clock.now(), issuer.clock_in_doubt());
        let all = alerts::read(issuer.store(), issuer.config(), now, doubt).await.unwrap();
        let command = format!("clock confirm {}", now.day());
        assert!(all.iter().any(|alert| alert.remedy.contains(&command)), "{all:?}");
        if by_command {
            let other = crate::believed::confirm(issuer.store(), "2026-02-30", &vendor.clock).await;
            assert!(other.unwrap_err().to_string().contains("set the clock"));
            let day = now.day().to_string();
            crate::believed::confirm(issuer.store(), &day, &vendor.clock).await.unwrap();
        } else {
            for _ in 0..down_for / 600 {
                vendor.clock.advance(600);
                issuer.inner.believed.read();
            }
        }
        a_minute_of_work(&vendor, 60).await;
        assert_eq!(issuer.clock_in_doubt(), None);
        assert!(leaves(&vendor).await.1.iter().any(is_expired), "{by_command}");
    }
}

fn is_expired(leaf: &Leaf) -> bool {
    use scrip_protocol::ledger::TallyKind;
    matches!(leaf, Leaf::Tally(tally) if tally.kind == TallyKind::Expired)
}

fn moved(right: UnixSeconds, days: u64, ahead: bool) -> UnixSeconds {
    if ahead { right.plus(days * DAY) } else { right.minus(days * DAY) }
}
