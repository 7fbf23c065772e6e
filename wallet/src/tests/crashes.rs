//! A wallet that dies at each of its steps, and what is left of it.
//!
//! The observer of steps panics, as if the process were killed: what comes after is not run, and the file is opened anew.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use scrip_protocol::problem::ProblemType;
use scrip_runtime::steps::Steps;

use crate::{
    Doubtful, NewQueue, PutOptions, Wallet, When,
    testing::{FakeVendor, World},
};

/// The story that is interrupted: everything that takes money in or out.
async fn story(world: &World, steps: Steps, file: PathBuf) {
    let wallet = match Wallet::exists(&world.path("wallet")) {
        true => world.open_observed("wallet", steps).await,
        false => world.create_observed("wallet", steps).await,
    };
    // What a user does after a crash: the same again.
    wallet.settle_payments().await.unwrap();
    for relay in &world.relays {
        wallet.add_relay(&relay.address()).await.unwrap();
    }
    match wallet.buy("GOOD").await {
        Ok(_) | Err(crate::WalletError::VoucherUsedHere) => {}
        Err(error) => panic!("{error}"),
    }
    if wallet.queues().await.unwrap().is_empty() {
        let new = NewQueue { days: 30, ..NewQueue::default() };
        wallet.create_queue(new).await.unwrap();
    }
    if wallet.files().await.unwrap().iter().all(|file| file.link.is_none()) {
        wallet.put_file(&file, PutOptions { copies: 2, ..PutOptions::default() }).await.unwrap();
    }
    if world.leases() == wallet.leases(None).await.unwrap().len() && world.taken() < 9 {
        wallet.extend("queue-1", 30, Doubtful::Keep, false, When::InTime).await.unwrap();
    }
    wallet.close().await.unwrap();
}

/// Runs the story until the `nth` step named `name`, and says whether that was reached.
async fn die_at(world: Arc<World>, name: &'static str, nth: usize, file: PathBuf) -> bool {
    let count = Arc::new(Mutex::new(0));
    let steps = Steps::observe(move |step| {
        if step != name {
            return;
        }
        let reached = {
            let mut count = count.lock().unwrap();
            *count += 1;
            *count
        };
        assert_ne!(reached, nth, "killed here");
    });
    tokio::spawn(async move { story(&world, steps, file).await }).await.is_err()
}

fn file_of(world: &World) -> PathBuf {
    let path = world.path("file");
    std::fs::write(&path, vec![7; 100_000]).unwrap();
    path
}

/// Each lease is paid for once, everything that was paid for is there, and no credit is missing.
async fn check_books(world: &World, at: &str) {
    let wallet = world.open("wallet").await;
    let balance = wallet.balance().await.unwrap();
    assert_eq!(world.vendor.grants_minted(), 1, "{at}");
    assert_eq!(balance.in_flight.0 + balance.pending.0 + balance.in_doubt.0, 0, "{at}");
    assert_eq!(balance.spendable.0 + world.taken(), FakeVendor::pack_value().0, "{at}");
    assert_eq!(wallet.leases(None).await.unwrap().len(), world.leases(), "{at}");
    assert_eq!(
        world.leases(),
        1 + 2 * 3,
        "{at}: one queue, two copies of two chunks and a descriptor"
    );
    assert!(wallet.files().await.unwrap()[0].link.is_some(), "{at}");
    assert_eq!(wallet.files().await.unwrap().len(), 1, "{at}");
}

/// The doctor explains what is open, its repair brings that to an end, and then the books agree.
async fn ask_the_doctor(world: &World, at: &str) {
    if !Wallet::exists(&world.path("wallet")) {
        return;
    }
    let wallet = world.open("wallet").await;
    let balance = wallet.balance().await.unwrap();
    let unfinished = wallet.files().await.unwrap().iter().filter(|one| one.link.is_none()).count();
    let found = wallet.diagnose().await.unwrap();
    let names: Vec<&str> =
        found.findings.iter().filter(|one| one.open).map(|one| one.name).collect();
    let has = |beginning: &str| names.iter().any(|name| name.starts_with(beginning));
    assert_eq!(
        has("purchase."),
        balance.pending.0 > 0 || balance.unconfirmed > 0,
        "{at}: {names:?}"
    );
    assert_eq!(has("payment."), balance.in_flight.0 > 0, "{at}: {names:?}");
    assert_eq!(has("upload."), unfinished > 0, "{at}: {names:?}");
    assert_eq!(found.healthy, names.is_empty(), "{at}");
    for one in &found.findings {
        assert!(one.what.len() > 20 && one.todo.len() > 20, "{at}: {one:?}");
    }

    let repaired = wallet.repair(Doubtful::Keep).await.unwrap();
    assert!(repaired.errors.is_empty(), "{at}: {:?}", repaired.errors);
    let found = wallet.diagnose().await.unwrap();
    assert!(found.healthy, "{at}: {:?}", found.findings);
    let balance = wallet.balance().await.unwrap();
    assert_eq!(balance.in_flight.0 + balance.pending.0 + balance.in_doubt.0, 0, "{at}");
    let bought = world.vendor.grants_minted() as u64 * FakeVendor::pack_value().0;
    assert_eq!(balance.spendable.0 + world.taken(), bought, "{at}");
    assert_eq!(wallet.leases(None).await.unwrap().len(), world.leases(), "{at}");
    wallet.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_step_loses_or_doubles_anything() {
    let seen: Arc<Mutex<BTreeMap<&'static str, usize>>> = Arc::default();
    let sink = seen.clone();
    let world = World::new(2).await;
    let file = file_of(&world);
    let steps = Steps::observe(move |name| *sink.lock().unwrap().entry(name).or_default() += 1);
    story(&world, steps, file).await;
    check_books(&world, "without a crash").await;

    let steps = seen.lock().unwrap().clone();
    assert!(steps.len() > 12, "{steps:?}");
    for (name, count) in steps {
        for nth in 1..=count {
            let world = Arc::new(World::new(2).await);
            let file = file_of(&world);
            let died = die_at(world.clone(), name, nth, file.clone()).await;
            assert!(died, "{name} {nth} was not reached");
            ask_the_doctor(&world, &format!("{name} {nth}")).await;
            story(&world, Steps::none(), file).await;
            check_books(&world, &format!("{name} {nth}")).await;
        }
    }
}

/// A relay that refuses a payment and takes it all the same, and a wallet that dies at each step of finding out.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_is_caught_once_wherever_the_wallet_dies() {
    let steps = [
        "wallet.payment.recorded",
        "wallet.payment.after_answer",
        "wallet.relay.caught",
        "wallet.payment.released",
    ];
    for (name, nth) in steps.into_iter().flat_map(|name| [(name, 1), (name, 2)]) {
        let at = format!("{name} {nth}");
        let world = Arc::new(World::new(1).await);
        world.funded("wallet").await.close().await.unwrap();
        world.relays[0].betray_next(ProblemType::VendorLimit);
        let count = Arc::new(Mutex::new(0));
        let steps = Steps::observe(move |step| {
            let mut count = count.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *count += usize::from(step == name);
            assert!(step != name || *count != nth, "killed here");
        });
        let shared = world.clone();
        let _ = tokio::spawn(async move {
            let wallet = shared.open_observed("wallet", steps).await;
            for _ in 0..2 {
                let new = NewQueue { days: 30, ..NewQueue::default() };
                let _ = wallet.create_queue(new).await;
            }
        })
        .await;
        let wallet = world.open("wallet").await;
        wallet.resume(Doubtful::Keep).await.unwrap();
        for _ in 0..3 {
            if wallet.caught().await.unwrap().is_empty() {
                let new = NewQueue { days: 30, ..NewQueue::default() };
                let _ = wallet.create_queue(new).await;
            }
        }
        let caught = wallet.caught().await.unwrap();
        assert_eq!((caught.len(), caught[0].accusations.len()), (1, 1), "{at}");
        let balance = wallet.balance().await.unwrap();
        assert_eq!((balance.in_flight.0, balance.in_doubt.0), (0, 0), "{at}");
        let seen: u64 = balance.seen.iter().map(|one| one.credits.0).sum();
        let all = balance.spendable.0 + seen + world.taken();
        assert_eq!(all, FakeVendor::pack_value().0, "{at}");
    }
}
