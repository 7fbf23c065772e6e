//! What the doctor finds that no crash of the story leaves.

use std::sync::{Arc, Mutex};

use scrip_protocol::time::SECONDS_PER_DAY;
use scrip_runtime::steps::Steps;
use sqlx::Connection;

use crate::{
    Diagnosis, Doubtful, NewQueue, Wallet, When,
    testing::{FakeVendor, Fault, World, passphrase},
};

fn queue() -> NewQueue {
    NewQueue { name: Some("inbox".to_owned()), days: 30, ..NewQueue::default() }
}

fn open(found: &Diagnosis) -> Vec<&'static str> {
    found.findings.iter().filter(|one| one.open).map(|one| one.name).collect()
}

async fn edit(world: &World, sql: &'static str) {
    let url = format!("sqlite:{}", world.path("wallet").join("wallet.db").display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_wallet_in_use_is_healthy_and_nobody_is_called() {
    let world = World::new(2).await;
    let wallet = world.funded("wallet").await;
    wallet.create_queue(queue()).await.unwrap();
    let before: usize = world.relays.iter().map(|relay| relay.asked()).sum();
    let found = wallet.diagnose().await.unwrap();
    assert!(found.healthy && found.findings.is_empty(), "{:?}", found.findings);
    assert_eq!(world.relays.iter().map(|relay| relay.asked()).sum::<usize>(), before);
}

#[tokio::test]
async fn each_kind_of_open_payment_is_named_and_settled() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    let lost = |path| (0..3).for_each(|_| world.relays[0].faults.add(path, Fault::DoneAndLost));
    lost("POST /v1/queues");
    assert!(wallet.create_queue(queue()).await.is_err());
    assert_eq!(open(&wallet.diagnose().await.unwrap()), ["payment.queue"]);
    assert!(wallet.repair(Doubtful::Keep).await.unwrap().errors.is_empty());
    lost("POST /v1/extensions");
    assert!(wallet.extend("inbox", 30, Doubtful::Keep, false, When::InTime).await.is_err());
    let found = wallet.diagnose().await.unwrap();
    assert_eq!(open(&found), ["payment.extension"]);
    let place = world.relays[0].address().authority;
    assert!(found.findings[0].what.contains(&place), "{:?}", found.findings);
    assert!(wallet.repair(Doubtful::Keep).await.unwrap().errors.is_empty());
    assert!(wallet.diagnose().await.unwrap().healthy);
    let balance = wallet.balance().await.unwrap();
    assert_eq!(balance.spendable.0 + world.taken(), FakeVendor::pack_value().0);
}

#[tokio::test]
async fn a_relay_that_does_not_answer_leaves_something_open() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    (0..6).for_each(|_| world.relays[0].faults.add("POST /v1/queues", Fault::NotDone));
    assert!(wallet.create_queue(queue()).await.is_err());
    assert_eq!(wallet.repair(Doubtful::Keep).await.unwrap().errors.len(), 1);
    assert_eq!(open(&wallet.diagnose().await.unwrap()), ["payment.queue"]);
    assert!(wallet.repair(Doubtful::Keep).await.unwrap().errors.is_empty());
    assert!(wallet.diagnose().await.unwrap().healthy);
}

#[tokio::test]
async fn a_restore_that_died_goes_on() {
    let world = World::new(0).await;
    world.create("lost").await.buy("GOOD").await.unwrap();
    let wallet = world.create("restored").await;
    world.vendor.faults.add("GET /v1/grants", Fault::NotDone);
    assert!(wallet.restore(2).await.is_err());
    assert_eq!(open(&wallet.diagnose().await.unwrap()), ["restore.open"]);
    wallet.repair(Doubtful::Keep).await.unwrap();
    let found = wallet.diagnose().await.unwrap();
    assert!(found.healthy);
    assert_eq!(found.findings[0].name, "certificates.in_doubt");
}

#[cfg(unix)]
#[tokio::test]
async fn files_that_were_left_or_that_others_may_read() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new(0).await;
    let wallet = world.create("wallet").await;
    let database = world.path("wallet").join("wallet.db");
    std::fs::set_permissions(&database, std::fs::Permissions::from_mode(0o644)).unwrap();
    let left = world.path("wallet").join("wallet.db.unfinished");
    std::fs::write(&left, b"half").unwrap();
    assert_eq!(open(&wallet.diagnose().await.unwrap()), ["file.left", "file.mode"]);
    wallet.repair(Doubtful::Keep).await.unwrap();
    assert!(wallet.diagnose().await.unwrap().healthy);
    assert!(!left.exists());
    assert_eq!(std::fs::metadata(&database).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_clock_that_goes_behind_is_named() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    world.clock.set(crate::testing::START.minus(3 * SECONDS_PER_DAY));
    assert_eq!(open(&wallet.diagnose().await.unwrap()), ["clock.behind"]);
}

#[tokio::test]
async fn a_damaged_record_is_named_and_replaced_where_it_can_be() {
    let world = World::new(1).await;
    world.funded("wallet").await.close().await.unwrap();
    edit(&world, "UPDATE record SET sealed = zeroblob(99) WHERE kind = 4").await;
    let wallet = world.open("wallet").await;
    let found = wallet.diagnose().await.unwrap();
    assert_eq!(open(&found), ["record.damaged"]);
    assert!(found.findings[0].what.contains("`relay`"), "{:?}", found.findings);
    wallet.repair(Doubtful::Keep).await.unwrap();
    assert!(wallet.diagnose().await.unwrap().healthy);
    assert!(wallet.relays().await.unwrap().is_empty());
    wallet.close().await.unwrap();

    edit(&world, "UPDATE record SET sealed = zeroblob(99) WHERE kind = 6").await;
    let opened =
        Wallet::open(&world.path("wallet"), passphrase(), world.environment(Steps::none())).await;
    assert!(opened.is_err(), "it is not opened as if nothing were missing");
    let entropy = world.environment(Steps::none()).entropy;
    let found = Wallet::damage_of(&world.path("wallet"), passphrase(), entropy).await.unwrap();
    assert_eq!(open(&found), ["record.damaged"]);
    assert!(found.findings[0].todo.contains("scrip restore"), "{:?}", found.findings);
}

#[tokio::test]
async fn a_repair_that_dies_is_made_again() {
    let world = World::new(1).await;
    let steps: Arc<Mutex<Vec<&str>>> = Arc::default();
    let seen = steps.clone();
    let observer = Steps::observe(move |step| seen.lock().unwrap().push(step));
    let wallet = world.create_observed("wallet", observer).await;
    world.fund(&wallet).await;
    wallet.repair(Doubtful::Keep).await.unwrap();
    wallet.repair(Doubtful::Keep).await.unwrap();
    assert!(steps.lock().unwrap().contains(&"wallet.doctor.cleaned"));
    assert!(wallet.diagnose().await.unwrap().healthy);
}
