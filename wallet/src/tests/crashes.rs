//! A wallet that dies at each of its steps, and what is left of it.
//!
//! The observer of steps panics, as if the process were killed: what comes after is not run, and the file is opened anew.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
};

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
