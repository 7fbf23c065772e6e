//! A vendor that shows this wallet another manifest than everybody else.

use scrip_protocol::{id::ManifestDigest, time::SECONDS_PER_DAY};

use crate::{
    Doubtful, Wallet, WalletError,
    testing::{FakeVendor, World},
};

const WRONG: ManifestDigest = ManifestDigest::from_bytes([7; 32]);

async fn knowing_all(world: &World) -> Wallet {
    let wallet = world.create("wallet").await;
    for relay in &world.relays {
        wallet.add_relay(&relay.address()).await.unwrap();
    }
    wallet
}

fn asked(world: &World) -> usize {
    world.relays.iter().map(|relay| relay.asked()).sum()
}

#[tokio::test]
async fn without_relays_nothing_is_bought_unless_the_user_says_so() {
    let world = World::new(0).await;
    let wallet = world.create("wallet").await;
    wallet.set_agreement(2).await.unwrap();
    let error = wallet.buy("GOOD").await.unwrap_err();
    assert!(matches!(error, WalletError::TooFewWitnesses { needed: 2, known: 0 }), "{error}");
    assert!(error.remedy().contains("--agreement"), "{}", error.remedy());
    assert!(wallet.history().await.unwrap().is_empty(), "nothing was begun");
    wallet.set_agreement(0).await.unwrap();
    wallet.buy("GOOD").await.unwrap();
    wallet.close().await.unwrap();
    assert_eq!(world.open("wallet").await.agreement().await, 0);
}

#[tokio::test]
async fn two_operators_are_asked_once_for_each_version() {
    let world = World::new(5).await;
    let wallet = knowing_all(&world).await;
    let before = asked(&world);
    wallet.buy("GOOD-1").await.unwrap();
    assert_eq!(asked(&world), before, "what they said when they were added is enough");
    world.vendor.set_version(2, "vendor.test");
    wallet.buy("GOOD-2").await.unwrap();
    assert_eq!(asked(&world), before + 2, "no more than needed");
    wallet.buy("GOOD-3").await.unwrap();
    wallet.close().await.unwrap();
    world.open("wallet").await.buy("GOOD-4").await.unwrap();
    assert_eq!(asked(&world), before + 2, "the answer is remembered");
}

#[tokio::test]
async fn an_operator_with_two_relays_is_one_witness() {
    let mut world = World::new(1).await;
    world.add(0).await;
    let wallet = knowing_all(&world).await;
    let error = wallet.buy("GOOD").await.unwrap_err();
    assert!(matches!(error, WalletError::TooFewWitnesses { needed: 2, known: 1 }), "{error}");
}

#[tokio::test]
async fn one_liar_does_not_make_two_witnesses() {
    let world = World::new(2).await;
    let wallet = world.create("wallet").await;
    world.relays[1].freeze_manifest();
    // Only this wallet, and the relay that works with the vendor, have it.
    world.vendor.set_version(2, "vendor.test");
    for relay in &world.relays {
        wallet.add_relay(&relay.address()).await.unwrap();
    }
    let error = wallet.buy("GOOD").await.unwrap_err();
    let confirmed = match &error {
        WalletError::ManifestUnconfirmed { version: 2, confirmed, needed: 2, .. } => *confirmed,
        other => panic!("{other}"),
    };
    assert_eq!(confirmed, 1);
    let place = world.relays[1].address().authority;
    assert!(error.to_string().contains(&format!("{place} still has version 1")), "{error}");
    assert!(error.remedy().contains("scrip resume"));
    assert_eq!(world.vendor.vouchers_used(), 0, "the voucher was not shown");

    world.relays[1].thaw_manifest();
    let resumed = wallet.resume(Doubtful::Keep).await.unwrap();
    assert_eq!((resumed.purchases.len(), resumed.errors.len()), (1, 0), "relays catch up");
}

#[tokio::test]
async fn while_relays_catch_up_the_keys_that_everybody_knows_are_used() {
    let world = World::new(2).await;
    let wallet = knowing_all(&world).await;
    wallet.buy("GOOD-1").await.unwrap();
    world.relays.iter().for_each(|relay| relay.freeze_manifest());
    world.vendor.set_version(2, "vendor.test");
    wallet.buy("GOOD-2").await.unwrap();
    world.clock.advance(31 * SECONDS_PER_DAY);
    let error = wallet.buy("GOOD-3").await.unwrap_err();
    assert!(matches!(error, WalletError::ManifestUnconfirmed { version: 2, .. }), "{error}");
    assert_eq!(world.vendor.grants_minted(), 2, "nothing is signed under keys that nobody has");
    world.relays.iter().for_each(|relay| relay.thaw_manifest());
    assert!(wallet.resume(Doubtful::Keep).await.unwrap().errors.is_empty());
    assert_eq!(wallet.balance().await.unwrap().spendable.0, 3 * FakeVendor::pack_value().0);
}

#[tokio::test]
async fn another_digest_of_the_same_version_is_evidence() {
    let world = World::new(3).await;
    let wallet = knowing_all(&world).await;
    world.relays.iter().for_each(|relay| relay.report_digest(Some(WRONG)));
    world.vendor.set_version(2, "vendor.test");
    let error = wallet.buy("GOOD").await.unwrap_err();
    let text = error.to_string();
    let ours = world.vendor.manifest().digest();
    assert!(matches!(error, WalletError::ManifestContradicted { version: 2, .. }), "{text}");
    for said in [&WRONG.to_string(), &ours.to_string(), &"keys of its own".to_owned()] {
        assert!(text.contains(said), "{text}");
    }
    assert_eq!(world.vendor.vouchers_used(), 0, "the voucher was not shown");
    let evidence = wallet.evidence().await.unwrap();
    assert!(!evidence.is_empty());
    assert!(evidence.iter().all(|one| one.version == 2 && one.manifests.len() == 1));
    assert!(evidence.iter().all(|one| one.relay_statement.is_some()));
}

#[tokio::test]
async fn a_relay_that_has_a_later_version_than_the_vendor_shows_is_heard() {
    let world = World::new(3).await;
    let wallet = knowing_all(&world).await;
    wallet.buy("GOOD-1").await.unwrap();
    world.vendor.set_version(2, "vendor.test");
    world.relays.iter().for_each(|relay| relay.freeze_manifest());
    // The vendor keeps this wallet on the old version.
    world.vendor.set_version(1, "vendor.test");
    wallet.leases(None).await.unwrap();
    wallet.add_relay(&world.relays[0].address()).await.unwrap();
    let error = wallet.buy("GOOD-2").await.unwrap_err();
    assert!(matches!(error, WalletError::ManifestWithheld { theirs: 2, ours: 1, .. }), "{error}");
    assert_eq!(world.vendor.vouchers_used(), 1);
}

#[tokio::test]
async fn a_relay_that_does_not_answer_is_replaced_by_another() {
    let world = World::new(4).await;
    let wallet = knowing_all(&world).await;
    world.vendor.set_version(2, "vendor.test");
    for relay in &world.relays[..2] {
        relay.faults.add("GET /v1/relay", crate::testing::Fault::NotDone);
    }
    wallet.buy("GOOD").await.unwrap();
}

/// A vendor that rotates whenever somebody buys makes crowds of one, in front of everybody's eyes.
#[tokio::test]
async fn nothing_is_signed_by_a_vendor_that_rotates_all_the_time() {
    let world = World::new(2).await;
    world.vendor.rotate_often(4);
    let wallet = world.create("wallet").await;
    for relay in &world.relays {
        wallet.add_relay(&relay.address()).await.unwrap();
    }
    let error = wallet.buy("GOOD").await.unwrap_err();
    let WalletError::OffSchedule(off) = &error else { panic!("{error}") };
    assert_eq!(off.epochs, [1, 2, 3, 4, 5]);
    assert!(error.to_string().contains("5 epochs within 30 days (1, 2, 3, 4, 5)"), "{error}");
    assert_eq!(world.vendor.vouchers_used(), 0, "the voucher was shown to nobody");
    // When the first of them is a month old, it goes on.
    world.clock.advance(26 * SECONDS_PER_DAY);
    let resumed = wallet.resume(Doubtful::Keep).await.unwrap();
    assert_eq!((resumed.purchases.len(), resumed.errors.len()), (1, 0), "{:?}", resumed.errors);
}

#[tokio::test]
async fn a_few_rotations_are_nobodys_business() {
    let world = World::new(2).await;
    world.vendor.rotate_often(3);
    world.funded("wallet").await;
}
