//! The rules of a manifest, each broken on its own.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod world;

use scrip_protocol::DecodeError;
use scrip_protocol::credits::{Credits, Exponent};
use scrip_protocol::hash::Label;
use scrip_protocol::id::VendorId;
use scrip_protocol::issuance::{GrantAnswer, OtherGrant, Rest, Wanted};
use scrip_protocol::keys::SigningKey;
use scrip_protocol::limits::ISSUE_GRACE;
use scrip_protocol::limits::{
    MAX_ADDRESSES, MAX_PRODUCTS, MAX_RECEIPT_KEYS, MAX_ROTATIONS, ROTATION_PERIOD,
};
use scrip_protocol::manifest::{
    EpochBody, KeyUse, Manifest, ManifestBody, ManifestError, Operator, Product, ProductRest,
    ReceiptKeys, SuccessionError, Windows,
};
use scrip_protocol::pack::Pack;
use scrip_protocol::time::{Day, UnixSeconds};
use world::{World, windows};

fn open(body: &ManifestBody, world: &World) -> Result<(), ManifestError> {
    Manifest::open(&body.sign(&world.root), &world.vendor_id()).map(drop)
}

/// A key under which everybody can sign would make the vendor's signatures nobody's.
#[test]
fn a_manifest_names_no_key_of_small_order_and_none_in_another_encoding() {
    let world = World::new();
    let signed = world.body.sign(&world.root);
    let receipt = world.body.receipt_keys.newest().key;
    let at = signed.windows(32).position(|bytes| bytes == receipt.as_bytes()).unwrap();
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut unreduced = [0xff; 32];
    unreduced[31] = 0x7f;
    for (field, at) in [("root_key", 2), ("receipt_key", at)] {
        for bad in [[0; 32], identity, unreduced, [0xff; 32]] {
            let mut bytes = signed.clone();
            bytes[at..at + 32].copy_from_slice(&bad);
            let length = bytes.len() - 64;
            let signature = world.root.sign(Label::Manifest, &bytes[..length]);
            bytes[length..].copy_from_slice(signature.as_bytes());
            let opened = Manifest::open(&bytes, &world.vendor_id()).map(drop);
            assert_eq!(opened, Err(ManifestError::Decode(DecodeError::BadKey(field))));
        }
    }
}

/// A body with another receipt key from version `since` on, endorsed by `by`.
fn with_another_key(body: &ManifestBody, since: u64, seed: u8, by: &SigningKey) -> ManifestBody {
    let vendor = VendorId::of(&body.root_key);
    let mut next = ManifestBody { version: since, ..body.clone() };
    let key = SigningKey::from_seed(&[seed; 32]).public();
    next.receipt_keys.change(&vendor, since, key, by);
    next
}

#[test]
fn a_receipt_key_is_endorsed_by_the_one_before() {
    let world = World::new();
    let bad = |since| Err(ManifestError::ReceiptKey { since_version: since });
    let second = SigningKey::from_seed(&[40; 32]);
    let two = with_another_key(&world.body, 2, 40, &world.receipt);
    assert_eq!(open(&two, &world), Ok(()));
    let three = with_another_key(&two, 9, 41, &second);
    assert_eq!(open(&three, &world), Ok(()));
    let opened = Manifest::open(&three.sign(&world.root), &world.vendor_id()).unwrap();
    assert_eq!(opened.receipt_keys(), &three.receipt_keys);
    let newest_first: Vec<_> = opened.receipt_keys().into_iter().copied().collect();
    let third = SigningKey::from_seed(&[41; 32]).public();
    assert_eq!(newest_first, [third, second.public(), world.receipt.public()]);
    assert_eq!(opened.body().sign(&world.root), opened.bytes());

    // By another key, by the one before the one before, for another version, twice the same, out of order, of the future.
    assert_eq!(open(&with_another_key(&world.body, 2, 40, &second), &world), bad(2));
    assert_eq!(open(&with_another_key(&two, 9, 41, &world.receipt), &world), bad(9));
    assert_eq!(open(&with_another_key(&two, 2, 41, &second), &world), bad(2));
    assert_eq!(open(&with_another_key(&two, 9, 2, &second), &world), bad(9), "the first one again");
    assert_eq!(open(&ManifestBody { version: 8, ..three }, &world), bad(9));
    // Nor is the endorsement of another vendor's key one.
    let mut foreign = ManifestBody { version: 2, ..world.body.clone() };
    let other = VendorId::from_bytes([9; 32]);
    foreign.receipt_keys.change(&other, 2, second.public(), &world.receipt);
    assert_eq!(open(&foreign, &world), bad(2));
}

#[test]
fn a_vendor_has_no_more_than_so_many_receipt_keys() {
    let world = World::new();
    let mut body = world.body.clone();
    let key = |at: u64| match at {
        1 => SigningKey::from_seed(&[2; 32]),
        _ => SigningKey::from_seed(&[100 + at as u8; 32]),
    };
    for at in 2..=MAX_RECEIPT_KEYS as u64 {
        body = with_another_key(&body, at, 100 + at as u8, &key(at - 1));
    }
    assert_eq!(open(&body, &world), Ok(()));
    let at = MAX_RECEIPT_KEYS as u64 + 1;
    let body = with_another_key(&body, at, 100 + at as u8, &key(at - 1));
    assert_eq!(open(&body, &world), Err(ManifestError::Decode(DecodeError::BadLength)));
}

#[test]
fn a_newer_manifest_has_all_receipt_keys_of_the_older() {
    let world = World::new();
    let second = SigningKey::from_seed(&[40; 32]);
    let manifest =
        |body: &ManifestBody| Manifest::open(&body.sign(&world.root), &world.vendor_id()).unwrap();
    let one = manifest(&world.body);
    let two = with_another_key(&world.body, 2, 40, &world.receipt);
    let three = with_another_key(&two, 3, 41, &second);
    let follow = |offered: &ManifestBody, held: &Manifest| {
        manifest(offered).may_follow(held, UnixSeconds(0))
    };
    assert_eq!(follow(&two, &one), Ok(()));
    assert_eq!(follow(&three, &one), Ok(()), "a version may be missed");
    assert_eq!(follow(&three, &manifest(&two)), Ok(()));
    let broken = Err(SuccessionError::ReceiptKeys);
    // Without the first key; with another one in its place; with one that is said to have been there before.
    let mut replaced = ManifestBody { version: 2, ..world.body.clone() };
    replaced.receipt_keys = ReceiptKeys::first(second.public());
    assert_eq!(follow(&replaced, &one), broken);
    let gone = ManifestBody { version: 4, ..world.body.clone() };
    assert_eq!(follow(&gone, &manifest(&two)), broken);
    let other = with_another_key(&world.body, 2, 42, &world.receipt);
    assert_eq!(follow(&ManifestBody { version: 4, ..other }, &manifest(&two)), broken);
    let late = ManifestBody { version: 5, ..world.body.clone() };
    let backdated = ManifestBody { version: 6, ..two };
    assert_eq!(follow(&backdated, &manifest(&late)), broken);
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
        change(&|b| b.epochs[0].windows.issue_until = b.epochs[0].windows.issue_from.minus(1)),
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
fn products_and_operators_have_their_rules() {
    let world = World::new();
    let change = |change: &dyn Fn(&mut ManifestBody)| {
        let mut body = world.body.clone();
        change(&mut body);
        open(&body, &world)
    };
    let k = |k| Exponent::new(k).unwrap();
    // Every key has a product, in its first part or its second.
    let unused = Err(ManifestError::UnusedKey { epoch: 7, exponent: k(2) });
    let two_and = |rest| Product { rest: Some(rest), ..world::product(2) };
    let later = |after, exponent| {
        two_and(ProductRest { after, pack: Pack::new([(k(exponent), 1)]).unwrap() })
    };
    assert_eq!(change(&|b| b.products = vec![world::product(2)]), unused);
    assert_eq!(change(&|b| b.products = vec![later(1, 1)]), unused);
    assert_eq!(change(&|b| b.products = vec![later(1, 2)]), Ok(()));
    let undated = ManifestError::Decode(DecodeError::BadValue("rest_after"));
    assert_eq!(change(&|b| b.products = vec![later(0, 2)]), Err(undated));
    let named = |name: &str| Product { name: name.into(), ..world::product(3) };
    assert_eq!(change(&|b| b.products.push(named("a"))), Err(ManifestError::Products));
    assert_eq!(change(&|b| b.products.push(named("starter"))), Err(ManifestError::Products));
    let many = |n: usize| (0..n).map(|at| named(&format!("p{at:03}"))).collect();
    assert_eq!(change(&|b| b.products = many(MAX_PRODUCTS)), Ok(()));
    assert_eq!(change(&|b| b.products = many(MAX_PRODUCTS + 1)), Err(ManifestError::Products));
    for name in ["", "A", "a b", "x\u{202e}"] {
        let wrong = Err(ManifestError::ProductName { name: name.into() });
        assert_eq!(change(&|b| b.products = vec![named(name)]), wrong);
    }
    let id = world.operator_id();
    let wrong = Err(ManifestError::Operator { id });
    assert_eq!(change(&|b| b.operators[0].name = "Relay \u{200b}One".into()), wrong);
    assert_eq!(change(&|b| b.operators[0].name = "\u{1b}[2J".into()), wrong);
    assert_eq!(change(&|b| b.operators[0].addresses.clear()), wrong);
    let addresses = |n: usize| (0..n).map(|at| format!("relay-{at}.example")).collect();
    assert_eq!(change(&|b| b.operators[0].addresses = addresses(MAX_ADDRESSES)), Ok(()));
    assert_eq!(change(&|b| b.operators[0].addresses = addresses(MAX_ADDRESSES + 1)), wrong);
    assert_eq!(change(&|b| b.operators[0].addresses = vec!["a".into(), "a".into()]), wrong);
    for address in ["", "a/b", "user@a", "a:0", "https://a"] {
        assert_eq!(change(&|b| b.operators[0].addresses[0] = address.into()), wrong, "{address}");
    }
    let operators = |names: &[&str]| {
        let named = |(seed, name): (u8, &&str)| Operator {
            name: (*name).into(),
            ..world::listed(&SigningKey::from_seed(&[seed; 32]))
        };
        let mut all: Vec<Operator> = (10..).zip(names).map(named).collect();
        all.sort_by_key(|operator| *operator.key.as_bytes());
        all
    };
    assert_eq!(change(&|b| b.operators = operators(&["One", "Two"])), Ok(()));
    let same = change(&|b| b.operators = operators(&["One", "oNE"]));
    assert!(matches!(same, Err(ManifestError::Operator { .. })), "{same:?}");
    let unordered = change(&|b| {
        b.operators = operators(&["One", "Two"]);
        b.operators.reverse();
    });
    assert_eq!(unordered, Err(ManifestError::Operators));
}

#[test]
fn what_is_not_defined_is_refused() {
    let world = World::new();
    let good = world.manifest.bytes();
    let at = |needle: &[u8]| good.windows(needle.len()).position(|part| part == needle).unwrap();
    let (on_sale, classes) = (at(b"starter") + 7, at(b"Relay One") + 9 + 32);
    for (at, values, field) in [(on_sale, 2..=255, "on_sale"), (classes, 4..=255, "classes")] {
        for value in [*values.start(), 7, *values.end()] {
            let mut bytes = good[..good.len() - 64].to_vec();
            bytes[at] = value;
            let signature = world.root.sign(Label::Manifest, &bytes);
            bytes.extend_from_slice(signature.as_bytes());
            let wrong = Err(ManifestError::Decode(DecodeError::BadValue(field)));
            assert_eq!(Manifest::open(&bytes, &world.vendor_id()).map(drop), wrong);
        }
    }
}

#[test]
fn a_product_is_what_it_was_and_operators_come_and_go() {
    let world = World::new();
    let held = Manifest::open(&two_epochs(&world).sign(&world.root), &world.vendor_id()).unwrap();
    let follow = |change: &dyn Fn(&mut ManifestBody)| {
        successor(&world, change).may_follow(&held, UnixSeconds(0))
    };
    let broken = Err(SuccessionError::Product { name: "starter".into() });
    let other = |name: &str| Product { name: name.into(), ..world::product(4) };
    assert_eq!(follow(&|b| b.products[0].on_sale = false), Ok(()));
    assert_eq!(follow(&|b| b.products.insert(0, other("new"))), Ok(()));
    assert_eq!(follow(&|b| b.products = vec![other("new")]), broken);
    assert_eq!(follow(&|b| b.products = vec![other("starter")]), broken);
    assert_eq!(follow(&|b| b.products[0].rest = Some(world::rest(1))), broken);
    assert_eq!(follow(&|b| b.operators.clear()), Ok(()));
    assert_eq!(follow(&|b| b.operators[0].addresses[0] = "elsewhere.example".into()), Ok(()));
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

/// The world's manifest with its third key in an epoch that follows the first, ten seconds after it.
fn two_epochs(world: &World) -> ManifestBody {
    let mut body = world.body.clone();
    let key = body.epochs[0].keys.pop().unwrap();
    let next = windows(body.epochs[0].windows.issue_until.day());
    body.epochs[0].windows.issue_until = next.issue_from.minus(10);
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
        successor(&world, &change).may_follow(&held, UnixSeconds(0))
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
    let follow = |change: &dyn Fn(&mut ManifestBody)| {
        successor(&world, change).may_follow(&held, UnixSeconds(0))
    };
    let stranger = |number: u32, last: u8| {
        let mut modulus = world.body.epochs[0].keys[0].1;
        modulus[200] = last;
        let keys = vec![(Exponent::new(0).unwrap(), modulus)];
        let windows = windows(Day(world::TODAY.0 + 400));
        EpochBody { number, key_use: KeyUse::Production, windows, keys }
    };
    assert_eq!(follow(&|b| b.epochs.push(stranger(10, 1))), Ok(()));
    assert_eq!(
        follow(&|b| b.epochs.insert(1, EpochBody { key_use: KeyUse::Test, ..stranger(8, 1) })),
        Err(SuccessionError::Inserted { epoch: 8 })
    );
    let gone = |epoch| Err(SuccessionError::Keys { epoch });
    assert_eq!(follow(&|b| drop(b.epochs.pop())), gone(9));
    assert_eq!(follow(&|b| b.epochs[0].keys.truncate(1)), gone(7));
    assert_eq!(follow(&|b| drop(b.epochs[1].keys.splice(0..0, stranger(0, 1).keys))), gone(9));
    assert_eq!(follow(&|b| b.epochs[1].keys[0].0 = Exponent::new(1).unwrap()), gone(9));
    assert_eq!(follow(&|b| b.epochs[1].key_use = KeyUse::Test), gone(9));
    assert_eq!(follow(&|b| b.issuer_name = "other".into()), Err(SuccessionError::IssuerName));
    let same = Err(SuccessionError::Version { held: 1, offered: 1 });
    assert_eq!(follow(&|b| b.version = 1), same);
}

/// The world's keys, one in each of these epochs: use, and the day from today on which it begins to issue for a day.
fn epochs_of(world: &World, list: &[(KeyUse, i64)]) -> ManifestBody {
    let mut body = world.body.clone();
    let epoch = |(number, (key_use, day)): (u32, &(KeyUse, i64))| {
        let from = Day(world::TODAY.0.checked_add_signed(*day as i32).unwrap());
        let issue_until = from.start().plus(86_400);
        let mut modulus = world.body.epochs[0].keys[0].1;
        modulus[200] = number as u8;
        let keys = vec![(Exponent::new(0).unwrap(), modulus)];
        EpochBody {
            number,
            key_use: *key_use,
            windows: Windows { issue_until, ..windows(from) },
            keys,
        }
    };
    body.epochs = (1..).zip(list).map(epoch).collect();
    body
}

#[test]
fn epochs_of_one_use_issue_one_after_the_other() {
    use KeyUse::{Production as P, Test as T};
    let world = World::new();
    let good =
        [vec![(P, 0), (P, 1)], vec![(P, 0), (T, 0), (P, 7), (T, 7)], vec![(T, 5), (P, 0), (P, 1)]];
    for list in good {
        assert_eq!(open(&epochs_of(&world, &list), &world), Ok(()), "{list:?}");
    }
    let overlap = |epoch| Err(ManifestError::Overlap { epoch });
    assert_eq!(open(&epochs_of(&world, &[(P, 0), (T, 0), (P, 0)]), &world), overlap(3));
    assert_eq!(open(&epochs_of(&world, &[(T, 3), (P, 0), (T, 3)]), &world), overlap(3));
    assert_eq!(open(&epochs_of(&world, &[(P, 9), (P, 0)]), &world), overlap(2), "nothing before");
    // One that was revoked while it waited is in nobody's way.
    let mut body = epochs_of(&world, &[(P, 0), (P, 0), (P, 1)]);
    let now = world.now();
    let windows = Windows {
        issue_from: now,
        issue_until: now,
        renew_from: now,
        spend_until: now,
        ..body.epochs[1].windows
    };
    body.epochs[1].windows = windows;
    assert_eq!(open(&body, &world), Ok(()));
    assert!(!windows.issues_at(now) && !windows.signs_at(now) && !windows.spends_at(now));
}

#[test]
fn many_epochs_in_a_month_are_off_schedule() {
    use KeyUse::{Production as P, Test as T};
    let world = World::new();
    let at = |list: &[(KeyUse, i64)], now: UnixSeconds| {
        let body = epochs_of(&world, list);
        let manifest = Manifest::open(&body.sign(&world.root), &world.vendor_id()).unwrap();
        manifest.is_on_schedule(now).map_err(|off| off.epochs)
    };
    let noon = world.now();
    let usual = [(P, -90), (P, -60), (P, -30), (P, 0), (P, 30)];
    assert_eq!(at(&usual, noon), Ok(()));
    let often = [(P, -29), (T, -29), (P, -9), (P, -8), (T, -8), (P, -1), (P, 0)];
    assert_eq!(at(&often, noon), Err(vec![1, 3, 4, 6, 7]));
    assert_eq!(at(&often[..6], noon), Ok(()), "{MAX_ROTATIONS} are not too many");
    let first_ends = Day(world::TODAY.0 - 29).start().plus(ROTATION_PERIOD);
    assert!(at(&often, first_ends.minus(1)).is_err());
    assert_eq!(at(&often, first_ends), Ok(()), "it passes");
    assert_eq!(at(&often, noon.minus(86_400)), Ok(()), "one that waits does not count yet");
}

#[test]
fn what_has_begun_stays_where_it_was() {
    let world = World::new();
    let held = Manifest::open(&two_epochs(&world).sign(&world.root), &world.vendor_id()).unwrap();
    let begins = held.epochs()[1].windows.issue_from;
    let moved = |days: u64| {
        let change = |body: &mut ManifestBody| {
            let second = &mut body.epochs[1].windows;
            second.issue_from = second.issue_from.minus(days * 86_400);
            second.issue_until = second.issue_until.minus(days * 86_400);
            let begins = second.issue_from;
            let first = &mut body.epochs[0].windows;
            first.issue_until = first.issue_until.min(begins);
        };
        successor(&world, &change)
    };
    let rewritten = Err(SuccessionError::Rewritten { epoch: 9 });
    let five_days_ago = begins.minus(5 * 86_400);
    assert_eq!(moved(5).may_follow(&held, UnixSeconds(0)), Ok(()));
    assert_eq!(moved(5).may_follow(&held, five_days_ago), Ok(()), "called forward since");
    assert_eq!(moved(5).may_follow(&held, five_days_ago.plus(86_400)), Ok(()), "clocks differ");
    assert_eq!(moved(5).may_follow(&held, five_days_ago.plus(86_401)), rewritten);
    assert_eq!(moved(5).may_follow(&held, begins.plus(40 * 86_400)), rewritten);
    assert_eq!(moved(0).may_follow(&held, begins.plus(40 * 86_400)), Ok(()));
    // Nor is anything new put into the past.
    let late = |body: &mut ManifestBody| {
        let mut modulus = world.body.epochs[0].keys[0].1;
        modulus[200] = 77;
        let windows = windows(Day(world::TODAY.0 + 100));
        let keys = vec![(Exponent::new(0).unwrap(), modulus)];
        body.epochs.push(EpochBody { number: 10, key_use: KeyUse::Production, windows, keys });
    };
    let new = successor(&world, &late);
    let begins = new.epochs()[2].windows.issue_from;
    assert_eq!(new.may_follow(&held, begins), Ok(()));
    let seen = begins.plus(2 * 86_400);
    assert_eq!(new.may_follow(&held, seen), Err(SuccessionError::Rewritten { epoch: 10 }));
}

#[test]
fn nothing_ends_before_the_day_on_which_it_was_still_good() {
    let world = World::new();
    let held = &Manifest::open(&two_epochs(&world).sign(&world.root), &world.vendor_id()).unwrap();
    let seen = held.epochs()[0].windows.issue_from.plus(200 * 86_400);
    let ended = |change: &dyn Fn(&mut Windows)| {
        successor(&world, &|body: &mut ManifestBody| change(&mut body.epochs[0].windows))
    };
    let backdated = Err(SuccessionError::Backdated { epoch: 7 });
    let margin = seen.minus(86_400);
    let revoked = |at: UnixSeconds| {
        ended(&|windows| {
            windows.issue_until = windows.issue_until.min(at);
            (windows.renew_from, windows.spend_until) = (at, at);
        })
    };
    assert_eq!(revoked(seen).may_follow(held, seen), Ok(()));
    assert_eq!(revoked(margin).may_follow(held, seen), Ok(()), "clocks differ");
    assert_eq!(revoked(margin.minus(1)).may_follow(held, seen), backdated);
    assert_eq!(revoked(margin.minus(1)).may_follow(held, UnixSeconds(0)), Ok(()), "nobody saw");
    let stopped = ended(&|windows| windows.issue_until = windows.issue_until.minus(1));
    assert_eq!(stopped.may_follow(held, seen), backdated, "it was bought then");
    let opened = ended(&|windows| windows.renew_from = windows.issue_until);
    assert_eq!(opened.may_follow(held, seen), backdated, "nothing was renewed then");
    // What had ended by itself before is no change.
    assert_eq!(ended(&|_| ()).may_follow(held, seen), Ok(()));
}

#[test]
fn a_grant_is_what_the_manifest_says_and_nothing_else() {
    let mut world = World::new();
    let two_parts =
        Product { name: "two".into(), rest: Some(world::rest(1_000)), ..world::product(2) };
    world.body.products.push(two_parts);
    let manifest = Manifest::open(&world.body.sign(&world.root), &world.vendor_id()).unwrap();
    let now = world.now();
    let pack = |text: &str| text.parse::<Pack>().unwrap();
    let answer = |product: &str, text: &str| GrantAnswer {
        product: product.into(),
        pack: pack(text),
        credits: pack(text).credits(),
        minted: false,
        test: false,
        rest: None,
    };
    let check = |answer: &GrantAnswer, wanted: Wanted| answer.check(&manifest, &wanted, now);
    let times = |quantity, product: &str| Wanted { quantity, ..Wanted::one(product) };
    let starter = answer("starter", "0:1,1:1,2:1");
    assert_eq!(check(&starter, times(1, "starter")), Ok(()));
    assert_eq!(check(&answer("starter", "0:3,1:3,2:3"), times(3, "starter")), Ok(()));
    for other in ["0:1,1:1", "0:3,1:2", "0:2,1:1,2:1", "0:2,1:2,2:2", "0:1,1:1,2:1,9:1", "0:7"] {
        let refused = check(&answer("starter", other), times(1, "starter"));
        assert!(matches!(refused, Err(OtherGrant::Pack { .. })), "{other}");
    }
    let other = OtherGrant::Product { granted: "two".into() };
    assert_eq!(check(&answer("two", "0:1,1:1,2:1"), times(1, "starter")), Err(other));
    assert_eq!(check(&answer("none", "0:1"), times(1, "none")), Err(OtherGrant::NotListed));
    assert_eq!(check(&starter, times(0, "starter")), Err(OtherGrant::Quantity));
    assert_eq!(check(&starter, times(400, "starter")), Err(OtherGrant::Quantity));
    let worth = GrantAnswer { credits: Credits(8), ..starter.clone() };
    assert_eq!(check(&worth, times(1, "starter")), Err(OtherGrant::Credits));
    // The second part is promised with the first, at no later time.
    let with = |credits, from| GrantAnswer {
        rest: Some(Rest { credits: Credits(credits), from }),
        ..answer("two", "0:1,1:1")
    };
    let due = now.plus(1_000);
    assert_eq!(check(&with(2, due), times(1, "two")), Ok(()));
    assert_eq!(check(&with(2, now), times(1, "two")), Ok(()));
    let late = check(&with(2, due.plus(86_401)), times(1, "two"));
    assert_eq!(late, Err(OtherGrant::Rest));
    assert_eq!(check(&with(4, due), times(1, "two")), Err(OtherGrant::Rest));
    assert_eq!(check(&answer("two", "0:1,1:1"), times(1, "two")), Err(OtherGrant::Rest));
    let rest = GrantAnswer { rest: Some(Rest { credits: Credits(2), from: due }), ..starter };
    assert_eq!(check(&rest, times(1, "starter")), Err(OtherGrant::Rest));
    let second = |quantity, product: &str| Wanted { rest: true, ..times(quantity, product) };
    assert_eq!(check(&answer("two", "0:2"), second(1, "two")), Ok(()));
    assert_eq!(check(&answer("two", "0:6"), second(3, "two")), Ok(()));
    let refused = check(&answer("two", "0:1,1:1"), second(1, "two"));
    assert!(matches!(refused, Err(OtherGrant::Pack { .. })));
    assert_eq!(check(&answer("starter", "0:2"), second(1, "starter")), Err(OtherGrant::NotListed));
    // Who does not know what was ordered finds what it can have been.
    assert_eq!(answer("two", "0:6").of(&manifest, now), Some(second(3, "two")));
    assert_eq!(answer("starter", "0:2,1:2,2:2").of(&manifest, now), Some(times(2, "starter")));
    assert_eq!(answer("starter", "0:2,1:2").of(&manifest, now), None);
}
