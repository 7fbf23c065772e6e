use scrip_protocol::{
    credits::Credits,
    problem::{Problem, ProblemType},
};

use crate::{
    Doubtful, NewQueue, Shortage, Wallet, WalletError,
    testing::{FakeVendor, Fault, World},
};

fn queue() -> NewQueue {
    NewQueue { days: 30, ..NewQueue::default() }
}

#[tokio::test]
async fn restored_certificates_are_in_doubt() {
    let world = World::new(1).await;
    let lost = world.funded("lost").await;
    lost.buy("GOOD-2").await.unwrap();
    lost.create_queue(queue()).await.unwrap();

    let wallet = world.create("restored").await;
    let restored = wallet.restore(Wallet::GAP_LIMIT).await.unwrap();
    let all = Credits(2 * FakeVendor::pack_value().0);
    assert_eq!((restored.purchases, restored.in_doubt), (2, all));
    let balance = wallet.balance().await.unwrap();
    assert_eq!((balance.spendable, balance.in_doubt), (Credits::ZERO, all));

    wallet.add_relay(&world.relays[0].address()).await.unwrap();
    let error = wallet.create_queue(queue()).await.unwrap_err();
    assert!(matches!(error, WalletError::Shortage(Shortage::OnlyDoubtful { .. })), "{error}");
    assert!(error.remedy().contains("--spend-doubtful"));
    let risky = NewQueue { doubtful: Doubtful::Spend, ..queue() };
    // The first try may meet the certificate that the lost wallet spent; it is then known as spent.
    let mut tries = 0;
    while wallet.create_queue(risky.clone()).await.is_err() {
        tries += 1;
        assert!(tries < 3);
    }
    assert_eq!(world.leases(), 2);
    // New money is certain, and goes under an index of its own.
    wallet.buy("GOOD-3").await.unwrap();
    assert_eq!(wallet.balance().await.unwrap().spendable, FakeVendor::pack_value());
}

#[tokio::test]
async fn what_was_bought_and_not_issued_is_certain() {
    let world = World::new(0).await;
    let lost = world.create("lost").await;
    world.vendor.faults.add("POST /v1/issuance", Fault::NotDone);
    assert!(lost.buy("GOOD").await.is_err());
    let wallet = world.create("restored").await;
    let restored = wallet.restore(3).await.unwrap();
    assert_eq!(restored.newly_issued, FakeVendor::pack_value());
    assert_eq!(wallet.balance().await.unwrap().spendable, FakeVendor::pack_value());
    // The lost wallet comes back: it finds its pack issued, and cannot know what became of it.
    lost.resume(Doubtful::Keep).await.unwrap();
    assert_eq!(world.vendor.grants_minted(), 1);
}

#[tokio::test]
async fn an_interrupted_restore_goes_on_and_doubles_nothing() {
    let world = World::new(0).await;
    let lost = world.create("lost").await;
    for code in ["GOOD-1", "GOOD-2", "GOOD-3"] {
        lost.buy(code).await.unwrap();
    }
    let wallet = world.create("restored").await;
    world.vendor.faults.add("GET /v1/grants", Fault::NotDone);
    assert!(wallet.restore(2).await.is_err());
    let resumed = wallet.resume(Doubtful::Keep).await.unwrap();
    assert!(resumed.errors.is_empty(), "{:?}", resumed.errors);
    let again = wallet.restore(2).await.unwrap();
    assert_eq!(again.in_doubt, Credits::ZERO, "nothing is found twice");
    assert_eq!(wallet.balance().await.unwrap().in_doubt.0, 3 * FakeVendor::pack_value().0);
}

#[tokio::test]
async fn one_bad_grant_does_not_end_a_restore() {
    let world = World::new(0).await;
    let lost = world.create("lost").await;
    for code in ["GOOD-1", "GOOD-2", "GOOD-3"] {
        lost.buy(code).await.unwrap();
    }
    let wallet = world.create("restored").await;
    let problem = Problem::new(ProblemType::GrantUnknown);
    world.vendor.faults.add("GET /v1/issuance", Fault::Problem(problem));
    let restored = wallet.restore(2).await.unwrap();
    let packs = |n: u64| Credits(n * FakeVendor::pack_value().0);
    assert_eq!((restored.purchases, restored.failed, restored.in_doubt), (3, 1, packs(2)));
    assert_eq!(wallet.balance().await.unwrap().pending, packs(1));
    // What comes later was minted before just as well, and is no more certain.
    let resumed = wallet.resume(Doubtful::Keep).await.unwrap();
    assert!(resumed.errors.is_empty(), "{:?}", resumed.errors);
    let balance = wallet.balance().await.unwrap();
    assert_eq!((balance.in_doubt, balance.spendable), (packs(3), Credits::ZERO));
}
