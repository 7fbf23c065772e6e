//! Renewals, and the end of doubt after a restore.

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
    Doubtful, NewQueue, Wallet, WalletError,
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
async fn renewing(relays: u8) -> World {
    let world = World::new(relays).await;
    world.vendor.set_version(10, "vendor.test");
    world
}

/// Certificates of the first epoch can be renewed.
async fn in_the_window(world: &World) {
    world.clock.advance(101 * SECONDS_PER_DAY);
}

#[tokio::test]
async fn certificates_are_renewed_in_their_window() {
    let world = renewing(1).await;
    let wallet = world.funded("wallet").await;
    world.clock.advance(99 * SECONDS_PER_DAY);
    let nothing = wallet.tend().await.unwrap();
    assert!(nothing.renewed.is_none() && nothing.inquired.is_none());
    assert_eq!(wallet.renew(Doubtful::Keep).await.unwrap().certificates, 0);

    world.clock.advance(3 * SECONDS_PER_DAY);
    assert!(!wallet.balance().await.unwrap().expiring.is_empty());
    let renewed = wallet.tend().await.unwrap().renewed.unwrap();
    assert!(renewed.errors.is_empty(), "{:?}", renewed.errors);
    assert_eq!((renewed.certificates, renewed.renewed), (CERTIFICATES, pack()));
    assert_eq!(world.vendor.renewed(), CERTIFICATES);
    assert!(world.vendor.largest_renewal() <= 8);
    let balance = wallet.balance().await.unwrap();
    assert_eq!((balance.spendable, balance.renewing), (pack(), Credits::ZERO));
    assert!(balance.expiring.is_empty(), "a new year");
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
async fn what_is_being_renewed_is_not_spent_and_is_asked_for_again() {
    let world = renewing(1).await;
    let wallet = world.funded("wallet").await;
    in_the_window(&world).await;
    for fault in [Fault::DoneAndLost, Fault::NotDone] {
        world.vendor.faults.add("POST /v1/renewals", fault);
    }
    let renewed = wallet.renew(Doubtful::Keep).await.unwrap();
    assert_eq!((renewed.certificates, renewed.errors.len()), (0, 2));
    let balance = wallet.balance().await.unwrap();
    assert_eq!((balance.spendable, balance.renewing), (Credits::ZERO, pack()));
    assert!(wallet.create_queue(queue()).await.unwrap_err().is_shortage());
    wallet.close().await.unwrap();

    let wallet = world.open("wallet").await;
    let resumed = wallet.resume(Doubtful::Keep).await.unwrap();
    assert!(resumed.errors.is_empty());
    assert_eq!(resumed.tended.renewed.unwrap().certificates, CERTIFICATES);
    assert_eq!(world.vendor.renewed(), CERTIFICATES);
    assert_eq!(wallet.balance().await.unwrap().spendable, pack());
}

#[tokio::test]
async fn a_failing_vendor_is_not_asked_at_every_command() {
    let world = renewing(0).await;
    let wallet = world.funded("wallet").await;
    in_the_window(&world).await;
    for _ in 0..2 {
        world.vendor.faults.add("POST /v1/renewals", Fault::NotDone);
    }
    assert_eq!(wallet.tend().await.unwrap().renewed.unwrap().certificates, 0);
    assert!(wallet.tend().await.unwrap().renewed.is_none(), "later");
    world.clock.advance(6 * 3_600);
    assert_eq!(wallet.tend().await.unwrap().renewed.unwrap().certificates, CERTIFICATES);
}

#[tokio::test]
async fn a_refusal_gives_back_only_what_is_certainly_not_recorded() {
    let world = renewing(1).await;
    let wallet = world.funded("wallet").await;
    in_the_window(&world).await;
    let refused = |problem| Fault::Problem(Problem::new(problem));
    // The first request is done and its answer lost; when it is repeated, one of its certificates is refused.
    world.vendor.faults.add("POST /v1/renewals", Fault::DoneAndLost);
    wallet.renew(Doubtful::Keep).await.unwrap();
    assert!(wallet.balance().await.unwrap().renewing.0 > 0);
    for problem in [ProblemType::RenewalClosed, ProblemType::RenewalClosed] {
        world.vendor.faults.add("POST /v1/renewals", refused(problem));
    }
    let renewed = wallet.renew(Doubtful::Keep).await.unwrap();
    assert_eq!(renewed.errors.len(), 1, "{:?}", renewed.errors);
    assert_eq!(renewed.errors[0].problem(), Some(ProblemType::RenewalClosed));
    let balance = wallet.balance().await.unwrap();
    assert_eq!((balance.spendable, balance.renewing), (pack(), Credits::ZERO));
    assert_eq!(world.vendor.renewed(), CERTIFICATES, "the next round exchanged it after all");
}

#[tokio::test]
async fn other_keys_are_chosen_where_the_first_are_refused() {
    let world = renewing(0).await;
    let wallet = world.funded("wallet").await;
    in_the_window(&world).await;
    let refused = || Fault::Problem(Problem::new(ProblemType::KeyOutsideWindow));
    world.vendor.faults.add("POST /v1/renewals", refused());
    world.vendor.faults.add("POST /v1/renewals", refused());
    let renewed = wallet.renew(Doubtful::Keep).await.unwrap();
    assert!(renewed.errors.is_empty(), "{:?}", renewed.errors);
    assert_eq!(renewed.certificates, CERTIFICATES);
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
async fn what_a_copy_has_renewed_long_ago_is_in_doubt() {
    let world = renewing(1).await;
    world.funded("wallet").await.close().await.unwrap();
    crate::testing::copy_directory(&world.path("wallet"), &world.path("copy"));
    in_the_window(&world).await;
    let copy = world.open("copy").await;
    assert_eq!(copy.renew(Doubtful::Keep).await.unwrap().certificates, CERTIFICATES);
    world.clock.advance(3 * SECONDS_PER_DAY);
    let wallet = world.open("wallet").await;
    let renewed = wallet.renew(Doubtful::Keep).await.unwrap();
    assert!(renewed.errors.is_empty(), "{:?}", renewed.errors);
    let balance = wallet.balance().await.unwrap();
    assert_eq!((balance.in_doubt, balance.spendable), (pack(), Credits::ZERO));
    assert_eq!(world.vendor.renewed(), CERTIFICATES);
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

    let restored = world.create("restored").await;
    restored.restore(1).await.unwrap();
    world.vendor.lie(true);
    let inquired = restored.inquire().await.unwrap();
    assert_eq!((inquired.errors.len(), inquired.spent), (CERTIFICATES, Credits::ZERO));
    assert_eq!(restored.balance().await.unwrap().in_doubt, pack());
}

#[tokio::test]
async fn doubt_ends_when_every_relay_has_had_time_to_redeem() {
    let world = renewing(1).await;
    let lost = world.funded("lost").await;
    for _ in 0..2 {
        lost.create_queue(queue()).await.unwrap();
        if world.taken() == 2 {
            world.relays[0].redeem();
        }
    }
    let wallet = world.create("restored").await;
    wallet.restore(Wallet::GAP_LIMIT).await.unwrap();
    let first = wallet.inquire().await.unwrap();
    assert!(first.errors.is_empty(), "{:?}", first.errors);
    assert_eq!((first.asked, first.spent), (CERTIFICATES, Credits(2)));
    assert_eq!((first.settled, first.in_doubt.0), (Credits::ZERO, pack().0 - 2));
    let again_at = first.again_at.unwrap();
    assert_eq!(again_at, scrip_runtime::clock::Clock::now(&world.clock).plus(8 * SECONDS_PER_DAY));

    // Too early, nothing is asked by itself; and whoever asks learns nothing new.
    let asked = world.vendor.inquiries();
    assert!(wallet.tend().await.unwrap().inquired.is_none());
    assert_eq!(world.vendor.inquiries(), asked);
    world.clock.advance(7 * SECONDS_PER_DAY);
    assert_eq!(wallet.inquire().await.unwrap().settled, Credits::ZERO);
    // The relay redeems what the lost wallet had paid, at the last moment.
    assert_eq!(world.relays[0].redeem(), 0);
    world.clock.advance(SECONDS_PER_DAY);
    let second = wallet.tend().await.unwrap().inquired.unwrap();
    assert_eq!((second.spent, second.settled.0), (Credits(2), pack().0 - 4));
    let balance = wallet.balance().await.unwrap();
    assert_eq!((balance.spendable.0, balance.in_doubt.0), (pack().0 - 4, 0));

    wallet.add_relay(&world.relays[0].address()).await.unwrap();
    wallet.create_queue(queue()).await.unwrap();
    assert_eq!(world.relays[0].redeem(), 0, "no double spend");
}

#[tokio::test]
async fn a_restored_wallet_finds_what_was_renewed() {
    let world = renewing(1).await;
    let lost = world.funded("lost").await;
    in_the_window(&world).await;
    lost.renew(Doubtful::Keep).await.unwrap();
    lost.create_queue(queue()).await.unwrap();
    world.relays[0].redeem();
    // The old certificates have long expired when the wallet is lost.
    world.clock.advance(40 * SECONDS_PER_DAY);

    let wallet = world.create("restored").await;
    wallet.restore(3).await.unwrap();
    assert_eq!(wallet.balance().await.unwrap().expired, pack());
    let inquired = wallet.inquire().await.unwrap();
    assert!(inquired.errors.is_empty(), "{:?}", inquired.errors);
    assert_eq!((inquired.found, inquired.spent), (pack(), Credits(2)));
    let balance = wallet.balance().await.unwrap();
    assert_eq!((balance.in_doubt.0, balance.expired.0), (pack().0 - 2, 0));
    world.clock.advance(8 * SECONDS_PER_DAY);
    wallet.tend().await.unwrap();
    assert_eq!(wallet.balance().await.unwrap().spendable.0, pack().0 - 2);
    // A second restore changes nothing of what is known now.
    wallet.restore(3).await.unwrap();
    assert_eq!(wallet.balance().await.unwrap().spendable.0, pack().0 - 2);
}

#[tokio::test]
async fn in_the_window_doubt_is_waited_for_as_long_as_there_is_time() {
    let world = renewing(1).await;
    let lost = world.funded("lost").await;
    lost.create_queue(queue()).await.unwrap();
    in_the_window(&world).await;
    let wallet = world.create("restored").await;
    wallet.add_relay(&world.relays[0].address()).await.unwrap();
    wallet.set_inquiries(false).await.unwrap();
    wallet.restore(3).await.unwrap();
    // A relay that was paid and has not redeemed would lose.
    let renewed = wallet.renew(Doubtful::Keep).await.unwrap();
    assert_eq!((renewed.certificates, renewed.waiting), (0, pack()));
    world.relays[0].redeem();
    world.clock.advance(8 * SECONDS_PER_DAY);
    let renewed = wallet.renew(Doubtful::Keep).await.unwrap();
    assert_eq!((renewed.renewed.0, renewed.waiting.0), (pack().0 - 2, 0));
    assert_eq!(wallet.balance().await.unwrap().spendable.0, pack().0 - 2);

    // Another, five days before the end: waiting would lose all.
    let world = renewing(1).await;
    world.funded("lost").await.create_queue(queue()).await.unwrap();
    world.clock.advance(125 * SECONDS_PER_DAY);
    let wallet = world.create("restored").await;
    wallet.add_relay(&world.relays[0].address()).await.unwrap();
    wallet.restore(3).await.unwrap();
    let renewed = wallet.tend().await.unwrap().renewed.unwrap();
    assert_eq!((renewed.renewed, renewed.waiting), (pack(), Credits::ZERO));
    assert_eq!(wallet.balance().await.unwrap().spendable, pack(), "certain at once");
    assert_eq!(world.relays[0].redeem(), 2 - 1, "and the relay that waited so long loses");
}

#[tokio::test]
async fn each_request_about_certificates_has_a_connection_of_its_own() {
    let world = renewing(1).await;
    world.funded("lost").await.close().await.unwrap();
    in_the_window(&world).await;
    let wallet = world.create("restored").await;
    wallet.add_relay(&world.relays[0].address()).await.unwrap();
    wallet.restore(2).await.unwrap();
    wallet.inquire().await.unwrap();
    world.clock.advance(8 * SECONDS_PER_DAY);
    let tended = wallet.tend().await.unwrap();
    assert_eq!(tended.renewed.unwrap().certificates, CERTIFICATES);
    let (of_certificates, others) = world.vendor.connections();
    assert_eq!(of_certificates.len(), 2 * CERTIFICATES + 2, "two inquiries each, two requests");
    let mut different = of_certificates.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), of_certificates.len());
    assert!(others.len() > 5 && others.iter().all(|other| !different.contains(other)));
}

/// What a user does, and does again after a crash.
async fn story(world: &World, steps: Steps) {
    let exists = Wallet::exists(&world.path("wallet"));
    let wallet = match exists {
        true => world.open_observed("wallet", steps).await,
        false => world.create_observed("wallet", steps).await,
    };
    wallet.add_relay(&world.relays[0].address()).await.unwrap();
    if !exists {
        wallet.restore(2).await.unwrap();
    }
    let resumed = wallet.resume(Doubtful::Keep).await.unwrap();
    assert!(resumed.errors.is_empty(), "{:?}", resumed.errors);
    wallet.close().await.unwrap();
}

/// Restores a wallet whose certificates were spent, renewed, and neither; ends the doubt; renews.
async fn stories(world: &World, steps: &Steps) {
    story(world, steps.clone()).await;
    world.clock.advance(8 * SECONDS_PER_DAY);
    story(world, steps.clone()).await;
}

async fn prepared() -> World {
    let world = renewing(1).await;
    let lost = world.funded("lost").await;
    lost.create_queue(queue()).await.unwrap();
    world.relays[0].redeem();
    in_the_window(&world).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn no_step_of_a_restore_or_renewal_loses_or_doubles_anything() {
    let seen: Arc<Mutex<BTreeMap<&'static str, usize>>> = Arc::default();
    let sink = seen.clone();
    let steps = Steps::observe(move |name| *sink.lock().unwrap().entry(name).or_default() += 1);
    stories(&prepared().await, &steps).await;
    let ours = |name: &str| name.contains(".renewal.") || name.contains(".inquiry.");
    let seen: Vec<_> =
        seen.lock().unwrap().clone().into_iter().filter(|(name, _)| ours(name)).collect();
    assert_eq!(seen.len(), 7, "{seen:?}");
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
            let died = tokio::spawn(async move { stories(&dying, &steps).await }).await;
            assert!(died.is_err(), "{name} {nth} was not reached");
            stories(&world, &Steps::none()).await;
            let wallet = world.open("wallet").await;
            let balance = wallet.balance().await.unwrap();
            assert_eq!(balance.spendable.0, pack().0 - 2, "{name} {nth}: {balance:?}");
            assert_eq!((balance.in_doubt.0, balance.renewing.0), (0, 0), "{name} {nth}");
            assert_eq!(world.vendor.renewed(), CERTIFICATES - 1, "{name} {nth}");
        }
    }
}
