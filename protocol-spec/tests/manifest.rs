//! The rules of a manifest, each broken on its own.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod world;

use scrip_protocol::credits::Exponent;
use scrip_protocol::id::VendorId;
use scrip_protocol::keys::SigningKey;
use scrip_protocol::manifest::{Manifest, ManifestBody, ManifestError};
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
    let key = world.manifest.issuing(Exponent::new(0).unwrap(), world.now()).unwrap();
    let w = key.windows();
    assert!(w.issues_at(w.issue_from) && !w.issues_at(w.issue_from.minus(1)));
    assert!(!w.issues_at(w.issue_until) && w.issues_at(w.issue_until.minus(1)));
    assert!(!w.spends_at(w.spend_until) && w.spends_at(w.issue_until));
    assert!(!w.redeems_at(w.redeem_until) && w.redeems_at(w.spend_until));
    assert!(world.manifest.issuing(Exponent::new(9).unwrap(), world.now()).is_none());
}
