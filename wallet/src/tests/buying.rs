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
async fn what_can_be_no_voucher_is_shown_to_nobody() {
    let world = World::new(0).await;
    // Without a manifest, and without relays to get one from: that is not what is wrong with what was typed.
    let wallet = world.create_careful("wallet").await;
    for typed in ["", "  ", "starter:", ":GOOD", " : "] {
        let error = wallet.buy(typed).await.unwrap_err();
        assert!(matches!(error, WalletError::NotAVoucher), "{typed:?}: {error}");
        let kept = wallet.restock(None, false, vec![typed.to_owned()]).await.unwrap_err();
        assert!(matches!(kept, WalletError::NotAVoucher), "{typed:?}: {kept}");
    }
    assert!(wallet.history().await.unwrap().is_empty());
    assert!(wallet.restocking().await.unwrap().is_none());
    assert_eq!(world.vendor.grants_minted(), 0);
}

#[tokio::test]
async fn lost_answers_are_asked_for_again() {
    let world = World::new(0).await;
    let wallet = world.create("wallet").await;
    for path in ["POST /v1/grants", "POST /v1/issuance"] {
        world.vendor.faults.add(path, Fault::DoneAndLost);
    }
    for _ in 0..2 {
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
    // Beside the purchase nobody is asked for newer ones.
    assert!(matches!(wallet.buy("GOOD").await, Err(WalletError::NoIssuingKey(_))));
    wallet.look_now().await.unwrap();
    wallet.buy("GOOD").await.unwrap();
    assert_eq!(wallet.balance().await.unwrap().spendable, FakeVendor::pack_value());
    assert_eq!(world.vendor.grants_minted(), 1);
}

#[tokio::test]
async fn a_vendor_that_refuses_its_own_keys_is_not_asked_for_ever() {
    let world = World::new(0).await;
    let wallet = world.create("wallet").await;
    let refused = Problem::new(ProblemType::KeyOutsideWindow);
    world.vendor.faults.add("POST /v1/issuance", Fault::Problem(refused));
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
        world.vendor.faults.add("POST /v1/issuance", Fault::NotDone);
        wallet.settle_purchases().await.unwrap();
        assert_eq!(wallet.history().await.unwrap().len(), 2);
    }
    wallet.settle_purchases().await.unwrap();
    let both = 2 * FakeVendor::pack_value().0;
    assert_eq!(wallet.balance().await.unwrap().spendable.0, both);
    assert_eq!(world.vendor.grants_minted(), 3);
}
