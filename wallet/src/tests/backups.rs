//! Backups, and what is not known of a wallet that was made of one.

use std::sync::{Arc, Mutex};

use scrip_protocol::{credits::Credits, id::PaymentId};
use scrip_runtime::steps::Steps;

use crate::{
    Doubtful, FromBackup, HistoryKind, NewQueue, Shortage, StoreError, Wallet, WalletError,
    testing::{FakeVendor, Fault, World, passphrase},
};

fn queue(name: &str) -> NewQueue {
    NewQueue { name: Some(name.to_owned()), days: 30, ..NewQueue::default() }
}

async fn restored(world: &World, name: &str) -> Result<(Wallet, FromBackup), WalletError> {
    let environment = world.environment(Steps::none());
    let (file, directory) = (world.path("backup"), world.path(name));
    Wallet::restore_backup(&file, &directory, passphrase(), environment).await
}

fn payments(history: &[crate::HistoryEntry]) -> Vec<PaymentId> {
    let id = |entry: &crate::HistoryEntry| match entry.kind {
        HistoryKind::Payment { payment, .. } => Some(payment),
        HistoryKind::Purchase { .. } => None,
    };
    history.iter().filter_map(id).collect()
}

#[tokio::test]
async fn everything_comes_back_and_what_may_be_spent_is_in_doubt() {
    let world = World::new(2).await;
    let wallet = world.funded("wallet").await;
    wallet.create_queue(queue("kept")).await.unwrap();
    let before = wallet.balance().await.unwrap();
    wallet.backup(&world.path("backup"), false).await.unwrap();
    // What happens after the backup was made: another purchase, and a certificate of the backup is spent.
    wallet.buy("GOOD-LATER").await.unwrap();
    wallet.create_queue(queue("later")).await.unwrap();
    wallet.close().await.unwrap();

    let (copy, found) = restored(&world, "copy").await.unwrap();
    assert_eq!(found.in_doubt, before.spendable);
    let balance = copy.balance().await.unwrap();
    assert_eq!((balance.spendable, balance.in_doubt), (Credits::ZERO, before.spendable));
    let queues: Vec<String> =
        copy.queues().await.unwrap().into_iter().map(|queue| queue.name).collect();
    assert_eq!(queues, ["kept"]);
    copy.mailbox("kept").await.unwrap().next().await.unwrap();
    let error = copy.create_queue(queue("new")).await.unwrap_err();
    assert!(matches!(error, WalletError::Shortage(Shortage::OnlyDoubtful { .. })), "{error}");

    let resumed = copy.resume(Doubtful::Keep).await.unwrap();
    assert!(resumed.errors.is_empty(), "{:?}", resumed.errors);
    let balance = copy.balance().await.unwrap();
    let all = before.spendable.0 + FakeVendor::pack_value().0;
    assert_eq!((balance.spendable.0, balance.in_doubt.0), (0, all), "what was bought later, too");
    copy.close().await.unwrap();
    world.open("copy").await;
}

#[tokio::test]
async fn a_payment_of_the_backup_is_not_repeated_by_the_way() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    for _ in 0..3 {
        world.relays[0].faults.add("POST /v1/queues", Fault::DoneAndLost);
    }
    assert!(wallet.create_queue(queue("inbox")).await.is_err());
    wallet.backup(&world.path("backup"), false).await.unwrap();
    wallet.resume(Doubtful::Keep).await.unwrap();
    wallet.close().await.unwrap();

    let (copy, found) = restored(&world, "copy").await.unwrap();
    assert_eq!(found.payments, 1);
    let settled = copy.settle_payments().await.unwrap();
    assert!(settled.leases.is_empty() && settled.errors.is_empty());
    assert!(copy.balance().await.unwrap().in_flight.0 > 0, "it waits");
    let resumed = copy.resume(Doubtful::Keep).await.unwrap();
    assert_eq!(resumed.leases.len(), 1, "the same bytes again get the same receipt");
    assert_eq!(world.leases(), 1);
    let open = world.open("wallet").await;
    assert_eq!(payments(&copy.history().await.unwrap()), payments(&open.history().await.unwrap()));
}

#[tokio::test]
async fn a_payment_that_was_refused_since_leaves_its_certificates_in_doubt() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    for _ in 0..3 {
        world.relays[0].faults.add("POST /v1/queues", Fault::NotDone);
    }
    assert!(wallet.create_queue(queue("inbox")).await.is_err());
    let all = FakeVendor::pack_value();
    wallet.backup(&world.path("backup"), false).await.unwrap();
    let (copy, _) = restored(&world, "copy").await.unwrap();
    let refused = scrip_protocol::problem::ProblemType::StorageFull;
    world.relays[0].refuse_next(refused);
    copy.resume(Doubtful::Keep).await.unwrap();
    let balance = copy.balance().await.unwrap();
    assert_eq!((balance.spendable.0, balance.in_doubt), (0, all));
}

#[tokio::test]
async fn what_comes_of_an_open_purchase_is_in_doubt() {
    for fault in ["POST /v1/grants", "POST /v1/issuance"] {
        let world = World::new(2).await;
        let wallet = world.create("wallet").await;
        for relay in &world.relays {
            wallet.add_relay(&relay.address()).await.unwrap();
        }
        world.vendor.faults.add(fault, Fault::DoneAndLost);
        assert!(wallet.buy("GOOD").await.is_err());
        wallet.backup(&world.path("backup"), false).await.unwrap();
        // The wallet goes on, and may spend what it gets.
        wallet.resume(Doubtful::Keep).await.unwrap();
        assert_eq!(wallet.balance().await.unwrap().spendable, FakeVendor::pack_value());
        wallet.create_queue(queue("inbox")).await.unwrap();
        let (copy, found) = restored(&world, "copy").await.unwrap();
        assert_eq!(found.purchases, 1);
        let resumed = copy.resume(Doubtful::Keep).await.unwrap();
        assert!(resumed.errors.is_empty(), "{fault}: {:?}", resumed.errors);
        let balance = copy.balance().await.unwrap();
        assert_eq!((balance.spendable, balance.in_doubt), (Credits(0), FakeVendor::pack_value()));
        assert_eq!(world.vendor.grants_minted(), 1);
    }
}

#[tokio::test]
async fn a_backup_replaces_nothing_unasked_and_opens_with_its_passphrase_alone() {
    let world = World::new(0).await;
    let wallet = world.funded("wallet").await;
    let file = world.path("backup");
    std::fs::write(&file, b"something else").unwrap();
    assert!(wallet.backup(&file, false).await.is_err());
    assert_eq!(std::fs::read(&file).unwrap(), b"something else");
    let error = restored(&world, "copy").await.err().unwrap();
    assert!(matches!(error, WalletError::Store(StoreError::Backup { .. })), "{error}");
    wallet.backup(&file, true).await.unwrap();
    let bytes = std::fs::read(&file).unwrap();
    for readable in ["GOOD", "grant", "state"] {
        assert!(!bytes.windows(readable.len()).any(|window| window == readable.as_bytes()));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    let environment = || world.environment(Steps::none());
    let other = scrip_runtime::passphrase::Passphrase::new("another".to_owned());
    let wrong = Wallet::restore_backup(&file, &world.path("copy"), other, environment()).await;
    assert!(matches!(wrong.err(), Some(WalletError::Store(StoreError::WrongPassphrase(_)))));
    assert!(matches!(
        Wallet::restore_backup(&file, &world.path("wallet"), passphrase(), environment()).await,
        Err(WalletError::Store(StoreError::InUse(_) | StoreError::Exists(_)))
    ));
    for at in [0, 8, 20, 60, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        std::fs::write(&file, &damaged).unwrap();
        assert!(restored(&world, "copy").await.is_err(), "{at}");
        std::fs::write(&file, &bytes[..at]).unwrap();
        assert!(restored(&world, "copy").await.is_err(), "{at}");
    }
    assert!(!Wallet::exists(&world.path("copy")), "nothing is left of what failed");
}

#[tokio::test]
async fn a_backup_that_dies_leaves_the_old_one() {
    let world = World::new(0).await;
    let seen: Arc<Mutex<Vec<&'static str>>> = Arc::default();
    let sink = seen.clone();
    let steps = Steps::observe(move |step| sink.lock().unwrap().push(step));
    let wallet = world.create_observed("wallet", steps).await;
    wallet.backup(&world.path("backup"), false).await.unwrap();
    let first = std::fs::read(world.path("backup")).unwrap();
    assert!(wallet.backup(&world.path("no/such/place"), true).await.is_err());
    assert_eq!(std::fs::read(world.path("backup")).unwrap(), first);
    assert_eq!(seen.lock().unwrap().iter().filter(|s| s.contains("backup")).count(), 1);
}
