//! Under which manifest a wallet buys, and how it comes to it: a vendor that shows this wallet another one than everybody else.

use scrip_protocol::{
    id::VendorId,
    keys::SigningKey,
    manifest::{ProvenManifest, SuccessionError},
    time::SECONDS_PER_DAY,
    tlog::policy::WitnessPolicy,
};
use scrip_runtime::clock::Clock;

use crate::{
    Doubtful, NewQueue, ReceiptKeyChange, Wallet, WalletError,
    testing::{FakeVendor, World, witness},
};

const DAY: u64 = SECONDS_PER_DAY;

/// A wallet that knows all relays, and has asked none for the manifest.
async fn knowing_all(world: &World) -> Wallet {
    let wallet = world.create_careful("wallet").await;
    for relay in &world.relays {
        wallet.add_relay(&relay.address()).await.unwrap();
    }
    wallet
}

async fn with_witnesses(world: &World, witnesses: &[u8], quorum: usize) -> Wallet {
    let wallet = knowing_all(world).await;
    let keys = witnesses.iter().map(|number| witness(*number).1).collect();
    wallet.set_witnesses(WitnessPolicy::new(keys, quorum).unwrap()).await.unwrap();
    wallet
}

fn asked(world: &World) -> usize {
    world.relays.iter().map(|relay| relay.asked()).sum()
}

#[tokio::test]
async fn without_relays_and_witnesses_nothing_is_bought_unless_the_user_says_so() {
    let world = World::new(0).await;
    let wallet = world.create_careful("wallet").await;
    let error = wallet.buy("GOOD").await.unwrap_err();
    assert!(matches!(error, WalletError::TooFewOperators { needed: 2, known: 0 }), "{error}");
    assert!(error.remedy().contains("--agreement"), "{}", error.remedy());
    // It is the manifest that lists the relays: that is what to get, and not relays one by one.
    let error =
        wallet.create_queue(NewQueue { days: 30, ..NewQueue::default() }).await.unwrap_err();
    assert!(matches!(error, WalletError::NoManifest), "{error}");
    assert!(error.remedy().contains("scrip manifest --now"), "{}", error.remedy());
    assert!(wallet.history().await.unwrap().is_empty(), "nothing was begun");
    wallet.set_agreement(0).await.unwrap();
    wallet.look_now().await.unwrap();
    wallet.buy("GOOD").await.unwrap();
    wallet.close().await.unwrap();
    assert_eq!(world.open("wallet").await.agreement().await, 0);
}

#[tokio::test]
async fn a_purchase_asks_no_relay_and_waits() {
    let world = World::new(3).await;
    let wallet = knowing_all(&world).await;
    wallet.meet_vendor().await.unwrap();
    let error = wallet.buy("GOOD").await.unwrap_err();
    assert!(matches!(error, WalletError::NotAgreedYet { found: 0, needed: 2, .. }), "{error}");
    assert!(error.remedy().contains("--now"), "{}", error.remedy());
    assert_eq!((asked(&world), world.vendor.vouchers_used()), (0, 0), "nobody was shown anything");
    let report = wallet.look_now().await.unwrap();
    assert!(report.agreed);
    assert_eq!(asked(&world), 2, "no more than needed");
    let resumed = wallet.resume(Doubtful::Keep).await.unwrap();
    assert_eq!((resumed.purchases.len(), resumed.errors.len()), (1, 0), "{:?}", resumed.errors);
    wallet.buy("GOOD-2").await.unwrap();
    assert_eq!(asked(&world), 2, "nor beside a later one");
}

#[tokio::test]
async fn an_operator_with_two_relays_is_one_operator() {
    let mut world = World::new(1).await;
    world.add(0).await;
    let wallet = knowing_all(&world).await;
    assert!(!wallet.look_now().await.unwrap().agreed);
    let error = wallet.buy("GOOD").await.unwrap_err();
    assert!(matches!(error, WalletError::TooFewOperators { needed: 2, known: 1 }), "{error}");
}

#[tokio::test]
async fn one_liar_does_not_make_two_operators() {
    let world = World::new(2).await;
    let wallet = knowing_all(&world).await;
    world.relays[1].freeze_manifest();
    // Only this wallet, and the relay that works with the vendor, are shown it.
    world.vendor.set_version(2, "vendor.test");
    assert!(!wallet.look_now().await.unwrap().agreed);
    let error = wallet.buy("GOOD").await.unwrap_err();
    assert!(matches!(error, WalletError::NotAgreedYet { found: 1, needed: 2, .. }), "{error}");
    assert_eq!(world.vendor.vouchers_used(), 0, "the voucher was not shown");
    world.relays[1].thaw_manifest();
    assert!(wallet.look_now().await.unwrap().agreed, "relays catch up");
    let resumed = wallet.resume(Doubtful::Keep).await.unwrap();
    assert_eq!((resumed.purchases.len(), resumed.errors.len()), (1, 0));
}

#[tokio::test]
async fn two_manifests_of_one_version_are_evidence_with_the_operators_word() {
    let world = World::new(3).await;
    let wallet = knowing_all(&world).await;
    assert!(wallet.look_now().await.unwrap().agreed);
    let agreed = world.vendor.manifest().digest();
    world.vendor.set_version(1, "another.name");
    let tag = world.vendor.manifest().digest();
    // Whichever is asked, and however often.
    for _ in 0..2 {
        let error = wallet.look_now().await.unwrap_err();
        let WalletError::ManifestSplit { version: 1, one, other } = error else {
            panic!("{error}")
        };
        assert_eq!((one, other), (agreed, tag));
    }
    let evidence = wallet.evidence().await.unwrap();
    assert_eq!(evidence.len(), 1);
    assert_eq!(evidence[0].manifests.len(), 2);
    assert!(evidence[0].relay.is_some() && evidence[0].relay_word.is_some());
    wallet.buy("GOOD").await.unwrap();
    assert_eq!(wallet.manifest_report().await.unwrap().digest, Some(agreed), "the first stays");
}

#[tokio::test]
async fn two_relays_that_hand_out_two_manifests_are_not_agreed() {
    let world = World::new(2).await;
    let wallet = knowing_all(&world).await;
    world.relays[0].freeze_manifest();
    world.vendor.set_version(1, "another.name");
    let error = wallet.look_now().await.unwrap_err();
    assert!(matches!(error, WalletError::ManifestSplit { version: 1, .. }), "{error}");
    assert_eq!(wallet.evidence().await.unwrap()[0].manifests.len(), 2);
    assert!(matches!(wallet.buy("GOOD").await, Err(WalletError::NotAgreedYet { found: 1, .. })));
}

#[tokio::test]
async fn a_manifest_keeps_what_an_older_one_promised() {
    let world = World::new(0).await;
    let wallet = world.create("wallet").await;
    world.vendor.set_version(2, "another.name");
    let error = wallet.look_now().await.unwrap_err();
    assert!(matches!(error, WalletError::ManifestBroken { held: 1, offered: 2, .. }), "{error}");
    world.vendor.set_version(2, "vendor.test");
    wallet.look_now().await.unwrap();
    world.vendor.set_version(1, "vendor.test");
    wallet.look_now().await.unwrap();
    assert_eq!(wallet.manifest_report().await.unwrap().version, Some(2), "it never goes back");
}

/// What the wallet saw stand on a day is not ended before that day by a manifest that comes later.
#[tokio::test]
async fn a_manifest_that_takes_days_back_is_refused() {
    let world = World::new(0).await;
    let wallet = world.create("wallet").await;
    world.clock.advance(5 * DAY);
    wallet.look_now().await.unwrap();
    world.vendor.set_version(2, "vendor.test");
    world.vendor.amend(|body| {
        let windows = &mut body.epochs[0].windows;
        windows.issue_until = windows.issue_from.plus(3 * DAY);
        (windows.renew_from, windows.spend_until) = (windows.issue_until, windows.issue_until);
    });
    let error = wallet.look_now().await.unwrap_err();
    let rule = SuccessionError::Backdated { epoch: 1 };
    assert!(
        matches!(&error, WalletError::ManifestBroken { rule: found, .. } if *found == rule),
        "{error}"
    );
    assert_eq!(wallet.evidence().await.unwrap()[0].manifests.len(), 2);
    assert_eq!(wallet.manifest_report().await.unwrap().version, Some(1), "the first stays");
}

/// An endorsed change of the receipt key is taken, and said: once without being asked, and by the doctor for as long as it is known.
#[tokio::test]
async fn a_change_of_the_receipt_key_is_said_and_every_version_stays() {
    let world = World::new(0).await;
    let wallet = world.create("wallet").await;
    let findings = async |wallet: &Wallet| {
        let found = wallet.diagnose().await.unwrap().findings;
        found.into_iter().filter(|one| one.name == "manifest.receipt_key").collect::<Vec<_>>()
    };
    assert_eq!(wallet.receipt_key_notice().await.unwrap(), None);
    world.clock.advance(DAY);
    world.vendor.set_version(3, "vendor.test");
    world.vendor.amend(|body| {
        let vendor = VendorId::of(&body.root_key);
        let (first, second) = (SigningKey::from_seed(&[2; 32]), SigningKey::from_seed(&[3; 32]));
        body.receipt_keys.change(&vendor, 2, second.public(), &first);
    });
    wallet.look_now().await.unwrap();
    wallet.close().await.unwrap();
    let wallet = world.open("wallet").await;
    let change = ReceiptKeyChange {
        version: 2,
        key: SigningKey::from_seed(&[3; 32]).public(),
        since: world.clock.now(),
    };
    assert_eq!(wallet.receipt_key_notice().await.unwrap(), Some(change.clone()));
    assert_eq!(wallet.receipt_key_notice().await.unwrap(), None, "once");
    let found = findings(&wallet).await;
    assert!(found.len() == 1 && found[0].what.contains(&change.key.to_string()), "{found:?}");
    // Another manifest of a version that is long past is shown with the one that was held.
    world.vendor.set_version(1, "another.name");
    world.vendor.amend(|_| ());
    let error = wallet.look_now().await.unwrap_err();
    assert!(matches!(error, WalletError::ManifestSplit { version: 1, .. }), "{error}");
    assert_eq!(wallet.evidence().await.unwrap()[0].manifests.len(), 2);
    // Who met the vendor later has seen no change.
    world.vendor.set_version(3, "vendor.test");
    world.vendor.amend(|body| {
        let vendor = VendorId::of(&body.root_key);
        let (first, second) = (SigningKey::from_seed(&[2; 32]), SigningKey::from_seed(&[3; 32]));
        body.receipt_keys.change(&vendor, 2, second.public(), &first);
    });
    let late = world.create("late").await;
    assert_eq!(late.receipt_key_notice().await.unwrap(), None);
    assert!(findings(&late).await.is_empty());
}

#[tokio::test]
async fn a_relay_that_does_not_answer_is_replaced_by_another() {
    let world = World::new(4).await;
    let wallet = knowing_all(&world).await;
    for relay in &world.relays[..2] {
        relay.faults.add("GET /v1/manifests", crate::testing::Fault::NotDone);
    }
    assert!(wallet.look_now().await.unwrap().agreed);
}

/// Whoever is shown a later manifest first is not told from those who have not heard of it.
#[tokio::test]
async fn keys_of_a_manifest_that_came_a_moment_ago_are_not_used() {
    let world = World::new(2).await;
    let wallet = world.create("wallet").await;
    let older = world.vendor.manifest().version();
    // Another epoch issues in the later one: the first was called to its end on day 30, and it is day 31.
    world.clock.advance(31 * DAY);
    world.vendor.set_version(2, "vendor.test");
    wallet.meet_vendor().await.unwrap();
    assert_eq!(wallet.manifest_report().await.unwrap().version, Some(older + 1));
    // Where the one before issues nothing any more, there is no other way.
    wallet.buy("GOOD").await.unwrap();
}

#[tokio::test]
async fn with_witnesses_a_manifest_is_everybodys_at_once() {
    let world = World::new(1).await;
    world.vendor.cosigned_by(&[1, 2]);
    let wallet = with_witnesses(&world, &[1, 2, 3], 2).await;
    assert!(matches!(wallet.buy("GOOD").await, Err(WalletError::NotProvenYet { .. })));
    wallet.meet_vendor().await.unwrap();
    assert!(wallet.manifest_report().await.unwrap().agreed);
    wallet.resume(Doubtful::Keep).await.unwrap();
    assert_eq!(asked(&world), 0);
    assert_eq!(wallet.balance().await.unwrap().spendable, FakeVendor::pack_value());
    wallet.close().await.unwrap();
    let wallet = world.open("wallet").await;
    assert_eq!(wallet.witness_policy().await.quorum(), 2);
    wallet.buy("GOOD-2").await.unwrap();
}

#[tokio::test]
async fn what_witnesses_do_not_stand_for_is_refused_wherever_it_comes_from() {
    let world = World::new(1).await;
    let wallet = with_witnesses(&world, &[1, 2], 2).await;
    for cosigned in [&[][..], &[1], &[1, 3]] {
        world.vendor.cosigned_by(cosigned);
        for error in [wallet.meet_vendor().await, wallet.look_now().await.map(drop)] {
            let error = error.unwrap_err();
            let WalletError::ManifestUnproven { version: 1, .. } = &error else {
                panic!("{error}")
            };
            assert!(error.to_string().contains("cosignatures"), "{error}");
        }
    }
    let stripped = world.vendor.proven_manifest().without_proof();
    world.relays[0].hand_out(stripped);
    let error = wallet.look_now().await.unwrap_err();
    assert!(error.to_string().contains("no proof"), "{error}");
    assert!(matches!(wallet.buy("GOOD").await, Err(WalletError::NotProvenYet { .. })));
    assert_eq!(world.vendor.vouchers_used(), 0);
}

/// The proof of the manifest that everybody has proves no other one.
#[tokio::test]
async fn a_proof_of_another_manifest_is_none() {
    let world = World::new(1).await;
    world.vendor.cosigned_by(&[1]);
    let wallet = with_witnesses(&world, &[1], 1).await;
    let proof = world.vendor.proven_manifest().proof().cloned();
    world.vendor.set_version(2, "vendor.test");
    world.relays[0].hand_out(ProvenManifest::new(world.vendor.manifest(), proof));
    let error = wallet.look_now().await.unwrap_err();
    assert!(matches!(error, WalletError::ManifestUnproven { version: 2, .. }), "{error}");
}

#[tokio::test]
async fn two_trees_of_one_size_are_evidence() {
    let world = World::new(1).await;
    world.vendor.cosigned_by(&[1]);
    let wallet = with_witnesses(&world, &[1], 1).await;
    wallet.look_now().await.unwrap();
    // The witness helps the vendor, and stands for both.
    world.vendor.keep_the_ledger_small();
    world.vendor.set_version(2, "vendor.test");
    let error = wallet.look_now().await.unwrap_err();
    assert!(matches!(error, WalletError::LedgerForked { size: 1 }), "{error}");
    let evidence = wallet.evidence().await.unwrap();
    assert_eq!(evidence[0].checkpoints.len(), 2);
}

#[tokio::test]
async fn witnesses_that_are_named_later_have_to_stand_for_what_is_held() {
    let world = World::new(1).await;
    world.vendor.cosigned_by(&[1]);
    let wallet = world.create("wallet").await;
    wallet.add_relay(&world.relays[0].address()).await.unwrap();
    wallet.buy("GOOD").await.unwrap();
    let policy = |number| WitnessPolicy::new(vec![witness(number).1], 1).unwrap();
    wallet.set_witnesses(policy(2)).await.unwrap();
    assert!(matches!(wallet.buy("GOOD-2").await, Err(WalletError::NotProvenYet { .. })));
    world.vendor.cosigned_by(&[1, 2]);
    assert!(wallet.look_now().await.unwrap().agreed);
    wallet.set_witnesses(policy(1)).await.unwrap();
    assert!(wallet.manifest_report().await.unwrap().agreed, "its proof has both");
}

/// A vendor that rotates whenever somebody buys makes crowds of one, in front of everybody's eyes.
#[tokio::test]
async fn nothing_is_signed_by_a_vendor_that_rotates_all_the_time() {
    let world = World::new(2).await;
    world.vendor.rotate_often(4);
    let wallet = world.create("wallet").await;
    let error = wallet.buy("GOOD").await.unwrap_err();
    let WalletError::OffSchedule(off) = &error else { panic!("{error}") };
    assert_eq!(off.epochs, [1, 2, 3, 4, 5]);
    assert!(error.to_string().contains("5 epochs within 30 days (1, 2, 3, 4, 5)"), "{error}");
    assert_eq!(world.vendor.vouchers_used(), 0, "the voucher was shown to nobody");
    // When the first of them is a month old, it goes on.
    world.clock.advance(26 * DAY);
    let resumed = wallet.resume(Doubtful::Keep).await.unwrap();
    assert_eq!((resumed.purchases.len(), resumed.errors.len()), (1, 0), "{:?}", resumed.errors);
}

#[tokio::test]
async fn a_few_rotations_are_nobodys_business() {
    let world = World::new(2).await;
    world.vendor.rotate_often(3);
    world.funded("wallet").await;
}
