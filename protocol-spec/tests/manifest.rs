//! The rules of a manifest, each broken on its own.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod world;

use scrip_protocol::credits::Exponent;
use scrip_protocol::id::VendorId;
use scrip_protocol::keys::SigningKey;
use scrip_protocol::limits::ISSUE_GRACE;
use scrip_protocol::manifest::{
    EpochBody, KeyUse, Manifest, ManifestBody, ManifestError, SuccessionError, Windows,
};
use scrip_protocol::time::Day;
use world::{World, windows};

fn open(body: &ManifestBody, world: &World) -> Result<(), ManifestError> {
    Manifest::open(&body.sign(&world.root), &world.vendor_id()).map(drop)
}

#[test]
fn each_rule_has_its_error() {
    let world = World::new();
    let change = |change: &dyn Fn(&mut ManifestBody)| {
        let mut body = world.body.clone();
        change(&mut body);
        open(&body, &world)
    };
    assert_eq!(change(&|_| ()), Ok(()));
    assert_eq!(change(&|b| b.issuer_name = String::new()), Err(ManifestError::IssuerName));
    assert_eq!(change(&|b| b.issuer_name = "a b".into()), Err(ManifestError::IssuerName));
    assert_eq!(change(&|b| b.issuer_name = "é".into()), Err(ManifestError::IssuerName));
    assert_eq!(
        change(&|b| b.epochs.push(b.epochs[0].clone())),
        Err(ManifestError::Order { epoch: 7 })
    );
    assert_eq!(change(&|b| b.epochs[0].keys.swap(0, 1)), Err(ManifestError::Order { epoch: 7 }));
    assert_eq!(
        change(&|b| b.epochs[0].windows.issue_until = b.epochs[0].windows.issue_from),
        Err(ManifestError::Windows { epoch: 7 })
    );
    assert_eq!(
        change(&|b| b.epochs[0].windows.redeem_until = b.epochs[0].windows.issue_until),
        Err(ManifestError::Windows { epoch: 7 })
    );
    let wrong_order = Err(ManifestError::Windows { epoch: 7 });
    assert_eq!(change(&|b| b.epochs[0].windows.renew_from.0 -= 336 * 86_400), wrong_order);
    assert_eq!(change(&|b| b.epochs[0].windows.renew_from.0 += 31 * 86_400), wrong_order);
    assert_eq!(
        change(&|b| b.epochs[0].keys[1].1[255] &= 0xfe),
        Err(ManifestError::Modulus { epoch: 7 })
    );
    assert_eq!(
        change(&|b| b.epochs[0].keys[1].1 = b.epochs[0].keys[0].1),
        Err(ManifestError::Collision { epoch: 7 })
    );
    assert_eq!(
        change(&|b| {
            let mut later = b.epochs[0].clone();
            later.number = 8;
            later.windows = windows(Day(world::TODAY.0 + 400));
            b.epochs.push(later);
        }),
        Err(ManifestError::Collision { epoch: 8 }),
        "the same key in another epoch"
    );
}

#[test]
fn a_manifest_signed_again_is_the_same() {
    let world = World::new();
    let body = two_epochs(&world);
    let manifest = Manifest::open(&body.sign(&world.root), &world.vendor_id()).unwrap();
    assert_eq!(manifest.body().sign(&world.root), manifest.bytes());
}

#[test]
fn only_the_vendors_own_manifest_opens() {
    let world = World::new();
    let bytes = world.body.sign(&world.root);
    let other = SigningKey::from_seed(&[99; 32]);
    assert_eq!(
        Manifest::open(&bytes, &VendorId::of(&other.public())).err(),
        Some(ManifestError::OtherVendor)
    );
    assert_eq!(open_signed_by(&world, &other), Err(ManifestError::Signature));
}

fn open_signed_by(world: &World, key: &SigningKey) -> Result<(), ManifestError> {
    Manifest::open(&world.body.sign(key), &world.vendor_id()).map(drop)
}

#[test]
fn windows_contain_their_first_second_and_not_their_last() {
    let world = World::new();
    let key =
        world.manifest.issuing(KeyUse::Production, Exponent::new(0).unwrap(), world.now()).unwrap();
    let w = key.windows();
    assert!(w.issues_at(w.issue_from) && !w.issues_at(w.issue_from.minus(1)));
    assert!(!w.issues_at(w.issue_until) && w.issues_at(w.issue_until.minus(1)));
    assert!(!w.spends_at(w.spend_until) && w.spends_at(w.issue_until));
    assert!(w.renews_at(w.renew_from) && !w.renews_at(w.renew_from.minus(1)));
    assert!(w.renews_at(w.spend_until.minus(1)) && !w.renews_at(w.spend_until));
    assert!(!w.redeems_at(w.redeem_until) && w.redeems_at(w.spend_until));
    let issuing = |key_use, k| {
        world.manifest.issuing(key_use, Exponent::new(k).unwrap(), world.now()).is_some()
    };
    assert!(issuing(KeyUse::Production, 0) && !issuing(KeyUse::Production, 9));
    assert!(!issuing(KeyUse::Test, 0));
}

#[test]
fn signatures_are_made_a_little_around_the_window_but_not_after_a_revocation() {
    let mut w = windows(Day(100));
    assert!(w.signs_at(w.issue_from.minus(ISSUE_GRACE)));
    assert!(!w.signs_at(w.issue_from.minus(ISSUE_GRACE + 1)));
    assert!(w.signs_at(w.issue_until.plus(ISSUE_GRACE - 1)));
    assert!(!w.signs_at(w.issue_until.plus(ISSUE_GRACE)));
    w.spend_until = w.issue_until;
    assert!(w.signs_at(w.issue_until.minus(1)) && !w.signs_at(w.issue_until));
}

/// The manifest that `change` makes of the world's, which has two epochs here.
fn successor(world: &World, change: &dyn Fn(&mut ManifestBody)) -> Manifest {
    let mut body = two_epochs(world);
    body.version += 1;
    change(&mut body);
    Manifest::open(&body.sign(&world.root), &VendorId::of(&body.root_key)).unwrap()
}

/// The world's manifest with its third key in an epoch that follows the first.
fn two_epochs(world: &World) -> ManifestBody {
    let mut body = world.body.clone();
    let key = body.epochs[0].keys.pop().unwrap();
    let next = windows(body.epochs[0].windows.issue_until.day());
    body.epochs.push(EpochBody {
        number: 9,
        key_use: KeyUse::Production,
        windows: next,
        keys: vec![key],
    });
    body
}

#[test]
fn windows_may_be_shortened_and_never_lengthened() {
    let world = World::new();
    let held = Manifest::open(&two_epochs(&world).sign(&world.root), &world.vendor_id()).unwrap();
    let follow = |change: &dyn Fn(&mut Windows)| {
        let change = |body: &mut ManifestBody| change(&mut body.epochs[1].windows);
        successor(&world, &change).may_follow(&held)
    };
    let lengthened = Err(SuccessionError::Lengthened { epoch: 9 });
    assert_eq!(follow(&|_| ()), Ok(()));
    assert_eq!(follow(&|w| w.issue_until = w.issue_until.minus(5)), Ok(()));
    let revoked = |w: &mut Windows| {
        w.renew_from = w.issue_until;
        w.spend_until = w.issue_until;
    };
    assert_eq!(follow(&revoked), Ok(()));
    assert_eq!(follow(&|w| w.renew_from = w.renew_from.minus(5)), Ok(()), "opened earlier");
    assert_eq!(follow(&|w| w.renew_from = w.renew_from.plus(5)), lengthened);
    let earlier = |w: &mut Windows| {
        w.issue_from = w.issue_from.minus(5);
        w.issue_until = w.issue_until.minus(5);
    };
    assert_eq!(follow(&earlier), Ok(()), "called forward");
    assert_eq!(follow(&|w| w.issue_from = w.issue_from.minus(5)), lengthened);
    assert_eq!(follow(&|w| w.issue_from = w.issue_from.plus(5)), lengthened);
    assert_eq!(follow(&|w| w.issue_until = w.issue_until.plus(1)), lengthened);
    assert_eq!(follow(&|w| w.spend_until = w.spend_until.plus(1)), lengthened);
    assert_eq!(follow(&|w| w.redeem_until = w.redeem_until.plus(1)), lengthened);
    assert_eq!(follow(&|w| w.redeem_until = w.redeem_until.minus(1)), lengthened);
}

#[test]
fn epochs_stay_and_new_ones_come_last() {
    let world = World::new();
    let held = Manifest::open(&two_epochs(&world).sign(&world.root), &world.vendor_id()).unwrap();
    let follow = |change: &dyn Fn(&mut ManifestBody)| successor(&world, change).may_follow(&held);
    let stranger = |number: u32, last: u8| {
        let mut modulus = world.body.epochs[0].keys[0].1;
        modulus[200] = last;
        let keys = vec![(Exponent::new(0).unwrap(), modulus)];
        let windows = windows(Day(world::TODAY.0 + 400));
        EpochBody { number, key_use: KeyUse::Production, windows, keys }
    };
    assert_eq!(follow(&|b| b.epochs.push(stranger(10, 1))), Ok(()));
    assert_eq!(follow(&|b| b.receipt_key = world.operator.public()), Ok(()));
    assert_eq!(
        follow(&|b| b.epochs.insert(1, stranger(8, 1))),
        Err(SuccessionError::Inserted { epoch: 8 })
    );
    let gone = |epoch| Err(SuccessionError::Keys { epoch });
    assert_eq!(follow(&|b| drop(b.epochs.pop())), gone(9));
    assert_eq!(follow(&|b| b.epochs[0].keys.truncate(1)), gone(7));
    assert_eq!(follow(&|b| drop(b.epochs[1].keys.splice(0..0, stranger(0, 1).keys))), gone(9));
    assert_eq!(follow(&|b| b.epochs[1].keys[0].0 = Exponent::new(5).unwrap()), gone(9));
    assert_eq!(follow(&|b| b.epochs[1].key_use = KeyUse::Test), gone(9));
    assert_eq!(follow(&|b| b.issuer_name = "other".into()), Err(SuccessionError::IssuerName));
    let same = Err(SuccessionError::Version { held: 1, offered: 1 });
    assert_eq!(follow(&|b| b.version = 1), same);
}
