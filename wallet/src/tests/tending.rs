//! What a wallet does by itself: when, in which order, and after which failures.

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
    Doubtful, NewQueue, Privacy, PutOptions, Shortage, Wallet, WalletError, When,
    testing::{FakeVendor, Fault, World},
};

const HOUR: u64 = 3_600;

fn queue() -> NewQueue {
    NewQueue { days: 30, ..NewQueue::default() }
}

#[tokio::test]
async fn a_moment_is_kept_and_what_fails_is_put_off() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    wallet.set_privacy(Privacy::Normal).await.unwrap();
    for _ in 0..6 {
        world.relays[0].faults.add("POST /v1/queues", Fault::DoneAndLost);
    }
    assert!(matches!(wallet.create_queue(queue()).await, Err(WalletError::PaymentOpen { .. })));
    let first = wallet.tend().await.unwrap();
    assert!(first.leases.is_empty() && first.errors.is_empty(), "not in the same second");
    let at = first.next.unwrap();
    assert!((600..=2 * HOUR).contains(&(at.0 - crate::testing::START.0)), "{at}");
    wallet.close().await.unwrap();
    let wallet = world.open("wallet").await;
    assert_eq!(wallet.tend().await.unwrap().next, Some(at), "the next command remembers it");

    world.clock.set(at);
    let failed = wallet.tend().await.unwrap();
    assert!(matches!(failed.errors[..], [WalletError::PaymentOpen { .. }]), "{failed:?}");
    let later = wallet.tend().await.unwrap();
    assert!(later.errors.is_empty() && later.next.unwrap() >= at.plus(600));
    world.clock.set(later.next.unwrap());
    assert_eq!(wallet.tend().await.unwrap().leases.len(), 1);
    assert_eq!((world.leases(), world.taken()), (1, 2));
}

/// What a wallet does by itself in some days: an open payment, the rest of a file and of its extension, a purchase.
async fn some_days(world: &World, steps: Steps) {
    let wallet = match Wallet::exists(&world.path("wallet")) {
        true => world.open_observed("wallet", steps).await,
        false => world.create_observed("wallet", steps).await,
    };
    let path = world.path("file");
    if wallet.relays().await.unwrap().len() < 2 || wallet.history().await.unwrap().is_empty() {
        world.fund(&wallet).await;
    }
    wallet.set_privacy(Privacy::Normal).await.unwrap();
    for turn in 0..20 * 8 {
        if turn == 0 && wallet.files().await.unwrap().is_empty() {
            // What was bought just now is ripe, as the level was off.
            let options = PutOptions { copies: 2, ..PutOptions::default() };
            let code = vec!["GOOD-2".to_owned()];
            wallet.restock(Some(Credits(75)), false, code).await.unwrap();
            assert!(wallet.put_file(&path, options).await.is_err());
        }
        let tended = wallet.tend().await.unwrap();
        assert!(tended.errors.is_empty(), "{:?}", tended.errors);
        if let Some(stored) = tended.files.first() {
            let file = stored.upload.to_string();
            wallet.extend(&file, 30, Doubtful::Keep, true, When::InTime).await.unwrap();
        }
        world.clock.advance(3 * HOUR);
        let stored = wallet.files().await.unwrap().iter().all(|file| file.link.is_some());
        let extended = wallet.leases(None).await.unwrap().iter().all(|one| one.wanted.is_none());
        if stored
            && extended
            && wallet.restocking().await.unwrap().is_none_or(|one| one.vouchers == 0)
        {
            break;
        }
    }
    wallet.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_step_of_what_is_done_by_itself_loses_or_doubles_anything() {
    let seen: Arc<Mutex<BTreeMap<&'static str, usize>>> = Arc::default();
    let sink = seen.clone();
    let world = World::new(2).await;
    std::fs::write(world.path("file"), vec![7; 100_000]).unwrap();
    let observe = Steps::observe(move |name| *sink.lock().unwrap().entry(name).or_default() += 1);
    some_days(&world, observe).await;
    let steps = seen.lock().unwrap().clone();
    assert!(steps.contains_key("wallet.tending.planned"), "{steps:?}");
    assert!(steps.contains_key("wallet.restock.used"), "{steps:?}");
    // The steps between these have their turn in the story of a user.
    let fatal_ones = [
        "wallet.tending.planned",
        "wallet.payment.recorded",
        "wallet.payment.settled",
        "wallet.chunk.stored",
        "wallet.upload.stored",
        "wallet.issuance.stored",
        "wallet.restock.used",
    ];
    for name in fatal_ones {
        let world = Arc::new(World::new(2).await);
        std::fs::write(world.path("file"), vec![7; 100_000]).unwrap();
        // The second time is in the middle of something, where there is one.
        let fatal = steps[name].min(2);
        let count = Arc::new(Mutex::new(0));
        let dying = Steps::observe(move |step| {
            let reached = {
                let mut count = count.lock().unwrap();
                *count += usize::from(step == name);
                *count
            };
            assert!(step != name || reached != fatal, "killed here");
        });
        let doomed = world.clone();
        let died = tokio::spawn(async move { some_days(&doomed, dying).await }).await.is_err();
        assert!(died, "{name} was not reached");
        some_days(&world, Steps::none()).await;

        let wallet = world.open("wallet").await;
        wallet.resume_now(Doubtful::Keep).await.unwrap();
        let balance = wallet.balance().await.unwrap();
        let bought = world.vendor.grants_minted() as u64 * FakeVendor::pack_value().0;
        let held = Credits::total([balance.spendable, balance.ripening]);
        assert_eq!(held.0 + world.taken(), bought, "{name}");
        assert_eq!((balance.in_flight, balance.pending), (Credits::ZERO, Credits::ZERO), "{name}");
        assert_eq!(world.leases(), wallet.leases(None).await.unwrap().len(), "{name}");
        let files = wallet.files().await.unwrap();
        assert!(files.len() <= 1 && files.iter().all(|file| file.link.is_some()), "{name}");
        assert!(world.vendor.grants_minted() <= 2, "{name}: each voucher once");
    }
}

#[tokio::test]
async fn a_clock_that_was_wrong_puts_nothing_off_for_long() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    wallet.set_privacy(Privacy::Normal).await.unwrap();
    world.clock.advance(1_000 * SECONDS_PER_DAY);
    let wrong = wallet.tend().await.unwrap().next.unwrap();
    world.clock.set(crate::testing::START);
    let next = wallet.tend().await.unwrap().next.unwrap();
    assert!(next < wrong && next <= crate::testing::START.plus(7 * SECONDS_PER_DAY), "{next}");
}

#[tokio::test]
async fn resume_goes_on_with_one_thing_and_says_how_many_wait() {
    let world = World::new(2).await;
    let wallet = world.funded("wallet").await;
    wallet.set_privacy(Privacy::Normal).await.unwrap();
    for n in 0..2 {
        for _ in 0..3 {
            world.relays[n].faults.add("POST /v1/queues", Fault::DoneAndLost);
        }
        let relay = Some(world.relays[n].address());
        assert!(wallet.create_queue(NewQueue { relay, ..queue() }).await.is_err());
    }
    let resumed = wallet.resume(Doubtful::Keep).await.unwrap();
    assert_eq!((resumed.leases.len(), resumed.waiting), (1, 1));
    let resumed = wallet.resume(Doubtful::Keep).await.unwrap();
    assert_eq!((resumed.leases.len(), resumed.waiting), (1, 0));
    assert_eq!(world.leases(), 2);
}

#[tokio::test]
async fn an_offer_is_heard_again_and_a_silent_relay_comes_last() {
    let world = World::new(2).await;
    let wallet = world.funded("wallet").await;
    let asked = || world.relays.iter().map(|relay| relay.asked()).collect::<Vec<_>>();
    let before = asked();
    for _ in 0..14 * 24 {
        world.clock.advance(HOUR);
        wallet.tend().await.unwrap();
    }
    let after = asked();
    assert!(before.iter().zip(&after).all(|(before, after)| after >= &(before + 2)), "{after:?}");
    // One of them is gone without a trace; it is chosen at most once, and then the other one is.
    let gone = world.relays[0].address();
    for _ in 0..20 {
        world.relays[0].faults.add("POST /v1/queues", Fault::NotDone);
    }
    let mut made = 0;
    for _ in 0..4 {
        if let Ok(queue) = wallet.create_queue(queue()).await {
            assert_ne!(queue.relay, gone);
            made += 1;
        }
    }
    assert!(made >= 3, "{made}");
}

#[tokio::test]
async fn a_low_stock_is_said_once_a_day_by_what_a_month_used() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    assert_eq!(wallet.stock_notice().await.unwrap(), None, "nothing was used");
    let mut used = 0;
    let low = loop {
        used += wallet.create_queue(queue()).await.unwrap().paid.0;
        match wallet.stock_notice().await.unwrap() {
            Some(low) => break low,
            None => assert!(used < FakeVendor::pack_value().0, "it ran out without a word"),
        }
    };
    assert_eq!((low.used, low.left), (Credits(used), Credits(FakeVendor::pack_value().0 - used)));
    assert!(low.left < low.used || low.certificates < low.certificates_used, "{low:?}");
    assert_eq!(wallet.stock_notice().await.unwrap(), None, "once a day");
    world.clock.advance(SECONDS_PER_DAY);
    assert!(wallet.stock_notice().await.unwrap().is_some());
    world.clock.advance(30 * SECONDS_PER_DAY);
    assert_eq!(wallet.low_stock().await.unwrap(), None, "a quiet month needs little");
}

#[tokio::test]
async fn the_stock_is_filled_by_itself_with_each_voucher_once() {
    let world = World::new(2).await;
    let wallet = world.funded("wallet").await;
    wallet.set_privacy(Privacy::Normal).await.unwrap();
    let twice = Some(Credits(2 * FakeVendor::pack_value().0));
    wallet.restock(twice, false, vec!["GOOD-2".into(), "GOOD-2".into()]).await.unwrap();
    assert_eq!(wallet.restocking().await.unwrap().unwrap().vouchers, 1);
    let mut bought = 0;
    for _ in 0..20 * 24 {
        bought += wallet.tend().await.unwrap().purchases.len();
        world.clock.advance(HOUR);
    }
    assert_eq!((bought, world.vendor.grants_minted()), (1, 2));
    assert_eq!(wallet.restocking().await.unwrap().unwrap().vouchers, 0);
    // A code that is refused for good is dropped, and said.
    wallet.restock(Some(Credits(10_000)), false, vec!["GOOD-3".into()]).await.unwrap();
    let refused = || Fault::Problem(Problem::new(ProblemType::VoucherUsed));
    world.vendor.faults.add("POST /v1/grants", refused());
    let mut errors = 0;
    for _ in 0..20 * 24 {
        errors += wallet.tend().await.unwrap().errors.len();
        world.clock.advance(HOUR);
    }
    assert_eq!((errors, world.vendor.grants_minted()), (1, 2));
    assert_eq!(wallet.restocking().await.unwrap().unwrap().vouchers, 0);
    wallet.stop_restocking().await.unwrap();
    assert_eq!(wallet.restocking().await.unwrap(), None);
}

#[tokio::test]
async fn renewed_certificates_ripen_too() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    wallet.set_privacy(Privacy::Normal).await.unwrap();
    world.vendor.set_version(10, "vendor.test");
    world.clock.advance(101 * SECONDS_PER_DAY);
    let (mut renewed, before) = (0, FakeVendor::pack_value());
    while renewed == 0 {
        world.clock.advance(HOUR);
        let tended = wallet.tend().await.unwrap();
        renewed = tended.renewed.map_or(0, |renewed| renewed.certificates);
    }
    let balance = wallet.balance().await.unwrap();
    assert_eq!(Credits::total([balance.spendable, balance.ripening]), before);
    assert!(balance.ripening > Credits::ZERO && balance.ripe.is_some());
}

#[tokio::test]
async fn an_upload_that_waits_can_be_finished_at_once() {
    let world = World::new(2).await;
    let wallet = world.funded("wallet").await;
    wallet.set_privacy(Privacy::Normal).await.unwrap();
    let path = world.path("file");
    std::fs::write(&path, vec![3; 100_000]).unwrap();
    let options = PutOptions { copies: 2, ..PutOptions::default() };
    let waits = wallet.put_file(&path, options.clone()).await.unwrap_err();
    assert!(matches!(waits, WalletError::StillStoring { done: 2, parts: 6, .. }), "{waits:?}");
    let paid = world.taken();
    let stored = wallet.put_file(&path, PutOptions { when: When::Now, ..options }).await.unwrap();
    assert!(world.taken() > paid && stored.relays.len() == 2);
    assert_eq!(world.leases(), 6, "each part once");
}

#[tokio::test]
async fn what_is_not_ripe_pays_only_where_that_is_asked_for() {
    let world = World::new(1).await;
    let wallet = world.create("wallet").await;
    wallet.set_privacy(Privacy::High).await.unwrap();
    world.fund(&wallet).await;
    let refused = wallet.create_queue(queue()).await.unwrap_err();
    let WalletError::Shortage(Shortage::Unripe { at, .. }) = refused else { panic!("{refused}") };
    world.clock.set(at.minus(1));
    assert!(wallet.create_queue(queue()).await.unwrap_err().is_shortage());
    assert_eq!(world.taken(), 0);
    wallet.create_queue(NewQueue { when: When::Now, ..queue() }).await.unwrap();
    world.clock.set(at);
    wallet
        .create_queue(queue())
        .await
        .map(|_| ())
        .or_else(|error| match error {
            // The one that is ripe now may have been spent just before.
            WalletError::Shortage(Shortage::Unripe { .. }) => Ok(()),
            other => Err(other),
        })
        .unwrap();
    wallet.set_privacy(Privacy::Off).await.unwrap();
    wallet.create_queue(queue()).await.unwrap();
}
