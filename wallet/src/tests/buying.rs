use scrip_protocol::{
    problem::{Problem, ProblemType},
    time::SECONDS_PER_DAY,
};

use crate::{
    Doubtful, WalletError,
    testing::{FakeVendor, Fault, World},
};

#[tokio::test]
async fn a_voucher_becomes_certificates() {
    let world = World::new(0).await;
    let wallet = world.create("wallet").await;
    let bought = wallet.buy("GOOD").await.unwrap();
    assert_eq!((bought.credits, bought.certificates), (FakeVendor::pack_value(), 13));
    let balance = wallet.balance().await.unwrap();
    assert_eq!(balance.spendable, FakeVendor::pack_value());
    assert_eq!(balance.denominations.len(), 4);
    assert!(matches!(wallet.buy("GOOD").await, Err(WalletError::VoucherUsedHere)));
    wallet.close().await.unwrap();
    let reopened = world.open("wallet").await.balance().await.unwrap();
    assert_eq!(reopened, balance);
}

#[tokio::test]
async fn a_refused_voucher_leaves_nothing() {
    let world = World::new(0).await;
    let wallet = world.create("wallet").await;
    let error = wallet.buy("BAD").await.unwrap_err();
    assert_eq!(error.problem(), Some(ProblemType::VoucherUnknown));
    assert!(wallet.history().await.unwrap().is_empty());
    wallet.buy("GOOD").await.unwrap();
    let restored = world.create("restored").await.restore(1).await.unwrap();
    assert_eq!(restored.purchases, 1, "the refused voucher left no gap");
}

#[tokio::test]
async fn lost_answers_are_asked_for_again() {
    let world = World::new(0).await;
    let wallet = world.create("wallet").await;
    for path in ["POST /v1/grants", "GET /v1/manifest", "POST /v1/issuance"] {
        world.vendor.faults.add(path, Fault::DoneAndLost);
    }
    for _ in 0..3 {
        let error = wallet.buy("GOOD").await.unwrap_err();
        assert!(matches!(error, WalletError::PurchaseOpen { .. }), "{error}");
        assert!(error.remedy().contains("scrip resume"));
        assert_eq!(wallet.balance().await.unwrap().spendable.0, 0);
    }
    assert_eq!(world.vendor.grants_minted(), 1);
    assert_eq!(wallet.balance().await.unwrap().pending, FakeVendor::pack_value());
    let resumed = wallet.resume(Doubtful::Keep).await.unwrap();
    assert_eq!((resumed.purchases.len(), resumed.errors.len()), (1, 0));
    assert_eq!(world.vendor.grants_minted(), 1);
    assert_eq!(wallet.balance().await.unwrap().spendable, FakeVendor::pack_value());
}

#[tokio::test]
async fn keys_that_went_out_of_their_window_are_chosen_anew() {
    let world = World::new(0).await;
    let wallet = world.create("wallet").await;
    world.vendor.faults.add("POST /v1/issuance", Fault::NotDone);
    assert!(wallet.buy("GOOD").await.is_err());
    world.vendor.set_version(2, "vendor.test");
    world.clock.advance(31 * SECONDS_PER_DAY);
    wallet.buy("GOOD").await.unwrap();
    assert_eq!(wallet.balance().await.unwrap().spendable, FakeVendor::pack_value());
    assert_eq!(world.vendor.grants_minted(), 1);
}

#[tokio::test]
async fn a_vendor_that_refuses_its_own_keys_is_not_asked_for_ever() {
    let world = World::new(0).await;
    let wallet = world.create("wallet").await;
    let refused = Problem::new(ProblemType::KeyOutsideWindow);
    for _ in 0..3 {
        world.vendor.faults.add("POST /v1/issuance", Fault::Problem(refused.clone()));
    }
    assert!(matches!(wallet.buy("GOOD").await, Err(WalletError::KeysRefused)));
    wallet.buy("GOOD").await.unwrap();
}

#[tokio::test]
async fn a_grant_index_that_a_twin_used_is_skipped() {
    let world = World::new(0).await;
    let (wallet, twin) = (world.create("wallet").await, world.create("twin").await);
    wallet.buy("GOOD-1").await.unwrap();
    twin.buy("GOOD-2").await.unwrap();
    assert_eq!(world.vendor.grants_minted(), 2);
    assert_eq!(twin.balance().await.unwrap().spendable, FakeVendor::pack_value());
}

#[tokio::test]
async fn two_manifests_of_one_version_are_evidence() {
    let world = World::new(0).await;
    let wallet = world.create("wallet").await;
    wallet.buy("GOOD-1").await.unwrap();
    world.vendor.set_version(1, "another.name");
    assert!(matches!(wallet.buy("GOOD-2").await, Err(WalletError::ManifestSplit { .. })));
    assert_eq!(world.vendor.grants_minted(), 1, "nothing is issued under such keys");
}

#[tokio::test]
async fn a_manifest_keeps_what_an_older_one_promised() {
    let world = World::new(0).await;
    let wallet = world.create("wallet").await;
    wallet.buy("GOOD-1").await.unwrap();
    world.vendor.set_version(2, "another.name");
    let error = wallet.buy("GOOD-2").await.unwrap_err();
    assert!(matches!(error, WalletError::ManifestBroken { held: 1, offered: 2, .. }), "{error}");
    world.vendor.set_version(2, "vendor.test");
    wallet.buy("GOOD-2").await.unwrap();
}

#[tokio::test]
async fn a_manifest_never_goes_back() {
    let world = World::new(0).await;
    let wallet = world.create("wallet").await;
    world.vendor.set_version(3, "vendor.test");
    wallet.buy("GOOD-1").await.unwrap();
    world.vendor.set_version(2, "vendor.test");
    let error = wallet.buy("GOOD-2").await.unwrap_err();
    assert!(matches!(error, WalletError::ManifestRolledBack { held: 3, offered: 2 }), "{error}");
}

#[tokio::test]
async fn what_relays_said_is_compared_with_the_first_manifest() {
    let world = World::new(1).await;
    let wallet = world.create("wallet").await;
    let other = world.vendor.manifest().digest();
    let wrong = scrip_protocol::id::ManifestDigest::from_bytes([7; 32]);
    assert_ne!(other, wrong);
    world.relays[0].report_digest(Some(wrong));
    wallet.add_relay(&world.relays[0].address()).await.unwrap();
    let error = wallet.buy("GOOD").await.unwrap_err();
    assert!(matches!(error, WalletError::ManifestContradicted { version: 1, .. }), "{error}");
    assert_eq!(world.vendor.grants_minted(), 0);
}

#[tokio::test]
async fn one_open_purchase_does_not_keep_another_from_its_end() {
    let world = World::new(0).await;
    let wallet = world.create("wallet").await;
    for code in ["GOOD-1", "GOOD-2"] {
        world.vendor.faults.add("POST /v1/grants", Fault::NotDone);
        assert!(matches!(wallet.buy(code).await, Err(WalletError::PurchaseOpen { .. })));
    }
    assert_eq!(wallet.balance().await.unwrap().unconfirmed, 2);
    world.vendor.faults.add("POST /v1/grants", Fault::NotDone);
    let resumed = wallet.settle_purchases().await.unwrap();
    assert_eq!((resumed.purchases.len(), resumed.errors.len()), (1, 1));
    let balance = wallet.balance().await.unwrap();
    assert_eq!((balance.unconfirmed, balance.spendable), (1, FakeVendor::pack_value()));
}

#[tokio::test]
async fn a_skipped_index_overwrites_no_open_purchase() {
    let world = World::new(0).await;
    let (wallet, twin) = (world.create("wallet").await, world.create("twin").await);
    for (code, fault) in [("GOOD-a", Fault::NotDone), ("GOOD-b", Fault::DoneAndLost)] {
        world.vendor.faults.add("POST /v1/grants", fault);
        assert!(wallet.buy(code).await.is_err());
    }
    twin.buy("GOOD-t").await.unwrap();
    for _ in 0..3 {
        world.vendor.faults.add("GET /v1/manifest", Fault::NotDone);
        wallet.settle_purchases().await.unwrap();
        assert_eq!(wallet.history().await.unwrap().len(), 2);
    }
    wallet.settle_purchases().await.unwrap();
    let both = 2 * FakeVendor::pack_value().0;
    assert_eq!(wallet.balance().await.unwrap().spendable.0, both);
    assert_eq!(world.vendor.grants_minted(), 3);
}
