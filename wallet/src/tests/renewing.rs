//! Renewals.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use scrip_protocol::{
    credits::Credits,
    problem::{Problem, ProblemType},
    time::SECONDS_PER_DAY,
};
use scrip_runtime::steps::Steps;

use crate::{
    Doubtful, NewQueue, Privacy, Wallet, WalletError,
    testing::{FakeVendor, Fault, World},
};

const CERTIFICATES: usize = 13;

fn queue() -> NewQueue {
    NewQueue { days: 30, ..NewQueue::default() }
}

fn pack() -> Credits {
    FakeVendor::pack_value()
}

/// A world whose manifest has an epoch that the first one's certificates can be renewed into.
pub(super) async fn renewing(relays: u8) -> World {
    let world = World::new(relays).await;
    world.vendor.set_version(10, "vendor.test");
    world
}

/// Certificates of the first epoch can be renewed.
pub(super) async fn in_the_window(world: &World) {
    world.clock.advance(101 * SECONDS_PER_DAY);
}

/// A month of commands that call nobody, four a day: what each of them renewed.
async fn a_month(world: &World, wallet: &Wallet) -> Vec<usize> {
    let mut renewed = Vec::new();
    for _ in 0..4 * 28 {
        world.clock.advance(SECONDS_PER_DAY / 4);
        let tended = wallet.tend().await.unwrap().renewed.unwrap_or_default();
        assert!(tended.errors.is_empty(), "{:?}", tended.errors);
        renewed.push(tended.certificates);
    }
    renewed
}

#[tokio::test]
async fn each_certificate_is_renewed_at_a_moment_of_its_own() {
    let world = renewing(1).await;
    let wallet = world.funded("wallet").await;
    wallet.set_privacy(Privacy::Normal).await.unwrap();
    world.clock.advance(99 * SECONDS_PER_DAY);
    assert!(wallet.tend().await.unwrap().renewed.is_none());
    assert_eq!(wallet.renew(Doubtful::Keep).await.unwrap().certificates, 0);

    world.clock.advance(3 * SECONDS_PER_DAY);
    assert!(!wallet.balance().await.unwrap().expiring.is_empty());
    let renewed = a_month(&world, &wallet).await;
    assert_eq!(renewed.iter().sum::<usize>(), CERTIFICATES);
    // Those whose moments came within one quarter of a day follow each other, one at a time.
    assert!(renewed.iter().all(|certificates| *certificates <= 1), "{renewed:?}");
    let spread: Vec<usize> = (0..renewed.len()).filter(|at| renewed[*at] > 0).collect();
    assert!(spread.last().unwrap() - spread[0] > 20, "over days: {spread:?}");
    assert_eq!(world.vendor.renewed(), CERTIFICATES);
    let balance = wallet.balance().await.unwrap();
    // The last ones may not be ripe yet.
    let there = Credits::total([balance.spendable, balance.ripening]);
    assert_eq!((there, balance.renewing), (pack(), Credits::ZERO));
    assert!(balance.expiring.is_empty(), "a new year");
    wallet.set_privacy(Privacy::Off).await.unwrap();
    wallet.create_queue(queue()).await.unwrap();
    assert_eq!(world.relays[0].redeem(), 0);
    wallet.close().await.unwrap();
    let wallet = world.open("wallet").await;
    assert_eq!(wallet.balance().await.unwrap().spendable, Credits(pack().0 - 2));
    // Nothing is due any more, and nobody is called.
    world.vendor.faults.add("POST /v1/renewals", Fault::NotDone);
    world.clock.advance(SECONDS_PER_DAY);
    assert!(wallet.tend().await.unwrap().renewed.is_none());
}

#[tokio::test]
async fn what_would_expire_is_not_kept_waiting() {
    let world = renewing(1).await;
    let wallet = world.funded("wallet").await;
    world.clock.advance(126 * SECONDS_PER_DAY);
    let renewed = wallet.tend().await.unwrap().renewed.unwrap();
    assert_eq!(renewed.certificates, CERTIFICATES);
}

#[tokio::test]
async fn what_is_being_renewed_is_not_spent_and_is_asked_for_again() {
    let world = renewing(1).await;
    let wallet = world.funded("wallet").await;
    in_the_window(&world).await;
    for at in 0..CERTIFICATES {
        let fault = if at % 2 == 0 { Fault::DoneAndLost } else { Fault::NotDone };
        world.vendor.faults.add("POST /v1/renewals", fault);
    }
    let renewed = wallet.renew(Doubtful::Keep).await.unwrap();
    assert_eq!((renewed.certificates, renewed.errors.len()), (0, CERTIFICATES));
    let balance = wallet.balance().await.unwrap();
    assert_eq!((balance.spendable, balance.renewing), (Credits::ZERO, pack()));
    assert!(wallet.create_queue(queue()).await.unwrap_err().is_shortage());
    wallet.close().await.unwrap();

    let wallet = world.open("wallet").await;
    let renewed = wallet.renew(Doubtful::Keep).await.unwrap();
    assert!(renewed.errors.is_empty());
    assert_eq!(renewed.certificates, CERTIFICATES);
    assert_eq!(world.vendor.renewed(), CERTIFICATES);
    assert_eq!(wallet.balance().await.unwrap().spendable, pack());
}

#[tokio::test]
async fn a_failing_vendor_is_not_asked_at_every_command() {
    let world = renewing(0).await;
    let wallet = world.funded("wallet").await;
    wallet.set_privacy(Privacy::Normal).await.unwrap();
    in_the_window(&world).await;
    world.clock.advance(25 * SECONDS_PER_DAY);
    for _ in 0..CERTIFICATES {
        world.vendor.faults.add("POST /v1/renewals", Fault::NotDone);
    }
    assert_eq!(wallet.tend().await.unwrap().renewed.unwrap().certificates, 0);
    assert!(wallet.tend().await.unwrap().renewed.is_none(), "later");
    world.clock.advance(6 * 3_600);
    assert_eq!(wallet.tend().await.unwrap().renewed.unwrap().certificates, CERTIFICATES);
}

#[tokio::test]
async fn a_problem_that_nobody_signed_gives_nothing_back() {
    let world = renewing(1).await;
    let wallet = world.funded("wallet").await;
    in_the_window(&world).await;
    let refused = |problem| Fault::Problem(Problem::new(problem));
    // The first request is done and its answer lost; when it is repeated, it is refused.
    world.vendor.faults.add("POST /v1/renewals", Fault::DoneAndLost);
    wallet.renew(Doubtful::Keep).await.unwrap();
    let renewing = wallet.balance().await.unwrap().renewing;
    assert!(renewing.0 > 0);
    for problem in [
        ProblemType::RenewalClosed,
        ProblemType::KeyUnknown,
        ProblemType::KeyOutsideWindow,
        ProblemType::NotFound,
    ] {
        world.vendor.faults.add("POST /v1/renewals", refused(problem));
        let renewed = wallet.renew(Doubtful::Keep).await.unwrap();
        assert_eq!(renewed.errors.len(), 1, "{:?}", renewed.errors);
        assert_eq!(renewed.errors[0].problem(), Some(problem));
        assert!(renewed.errors[0].to_string().contains("not signed"), "{}", renewed.errors[0]);
        assert_eq!(wallet.balance().await.unwrap().renewing, renewing, "{problem:?}");
    }
    assert_eq!(wallet.renew(Doubtful::Keep).await.unwrap().certificates, 1);
    let balance = wallet.balance().await.unwrap();
    assert_eq!((balance.spendable, balance.renewing), (pack(), Credits::ZERO));
    assert_eq!(world.vendor.renewed(), CERTIFICATES);
}

#[tokio::test]
async fn what_a_copy_has_spent_is_a_loss_with_a_proof() {
    let world = renewing(1).await;
    world.funded("wallet").await.close().await.unwrap();
    crate::testing::copy_directory(&world.path("wallet"), &world.path("copy"));
    let copy = world.open("copy").await;
    copy.create_queue(queue()).await.unwrap();
    assert_eq!(world.relays[0].redeem(), 0);
    let wallet = world.open("wallet").await;
    in_the_window(&world).await;
    let renewed = wallet.renew(Doubtful::Keep).await.unwrap();
    assert!(renewed.errors.is_empty(), "{:?}", renewed.errors);
    assert_eq!((renewed.spent_elsewhere, renewed.renewed), (Credits(2), Credits(pack().0 - 2)));
    let balance = wallet.balance().await.unwrap();
    assert_eq!((balance.spendable.0, balance.spent_elsewhere.0), (pack().0 - 2, 2));
}

#[tokio::test]
async fn a_vendor_that_invents_a_spend_is_not_believed() {
    let world = renewing(0).await;
    let wallet = world.funded("wallet").await;
    in_the_window(&world).await;
    world.vendor.lie(true);
    let renewed = wallet.renew(Doubtful::Keep).await.unwrap();
    assert_eq!(renewed.errors.len(), CERTIFICATES);
    assert!(renewed.errors.iter().all(|error| matches!(error, WalletError::OtherAnswer)));
    assert_eq!(wallet.balance().await.unwrap().renewing, pack(), "nothing is given up");
    world.vendor.lie(false);
    assert_eq!(wallet.renew(Doubtful::Keep).await.unwrap().certificates, CERTIFICATES);
    assert_eq!(wallet.balance().await.unwrap().spendable, pack());
}

#[tokio::test]
async fn each_renewal_has_a_connection_of_its_own() {
    let world = renewing(1).await;
    let wallet = world.funded("wallet").await;
    in_the_window(&world).await;
    assert_eq!(wallet.renew(Doubtful::Keep).await.unwrap().certificates, CERTIFICATES);
    let (of_certificates, others) = world.vendor.connections();
    assert_eq!(of_certificates.len(), CERTIFICATES);
    let mut different = of_certificates.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), of_certificates.len());
    assert!(!others.is_empty() && others.iter().all(|other| !different.contains(other)));
}

/// What a user does, and does again after a crash.
async fn story(world: &World, steps: Steps) {
    let wallet = world.open_observed("wallet", steps).await;
    for _ in 0..2 {
        wallet.tend().await.unwrap();
        world.clock.advance(4 * SECONDS_PER_DAY);
    }
    let renewed = wallet.renew(Doubtful::Keep).await.unwrap();
    assert!(renewed.errors.is_empty(), "{:?}", renewed.errors);
    wallet.close().await.unwrap();
}

async fn prepared() -> World {
    let world = renewing(1).await;
    world.funded("wallet").await.close().await.unwrap();
    in_the_window(&world).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn no_step_of_a_renewal_loses_or_doubles_anything() {
    let seen: Arc<Mutex<BTreeMap<&'static str, usize>>> = Arc::default();
    let sink = seen.clone();
    let steps = Steps::observe(move |name| *sink.lock().unwrap().entry(name).or_default() += 1);
    story(&prepared().await, steps).await;
    let ours = |name: &str| name.contains(".renewal.");
    let seen: Vec<_> =
        seen.lock().unwrap().clone().into_iter().filter(|(name, _)| ours(name)).collect();
    assert_eq!(seen.len(), 4, "{seen:?}");
    for (name, count) in seen {
        for nth in [1, count] {
            let world = Arc::new(prepared().await);
            let reached = Mutex::new(0);
            let steps = Steps::observe(move |step| {
                if step == name {
                    let mut reached = reached.lock().unwrap();
                    *reached += 1;
                    let die = *reached == nth;
                    drop(reached);
                    assert!(!die, "killed here");
                }
            });
            let dying = world.clone();
            let died = tokio::spawn(async move { story(&dying, steps).await }).await;
            assert!(died.is_err(), "{name} {nth} was not reached");
            story(&world, Steps::none()).await;
            let wallet = world.open("wallet").await;
            let balance = wallet.balance().await.unwrap();
            assert_eq!(balance.spendable, pack(), "{name} {nth}: {balance:?}");
            assert_eq!((balance.in_doubt.0, balance.renewing.0), (0, 0), "{name} {nth}");
            assert_eq!(world.vendor.renewed(), CERTIFICATES, "{name} {nth}");
        }
    }
}
