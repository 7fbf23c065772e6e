//! The ledger from outside: what is in it after what happened, who may read what, and what faults and crashes leave.

mod faults;
mod reading;
mod storage;
mod voided;

use std::{collections::BTreeMap, time::Duration};

use scrip_protocol::{
    id::VendorId,
    ledger::{Leaf, TallyKind},
    redemption::RedemptionOutcome,
    tlog::{
        checkpoint::SignedCheckpoint,
        note::{KeyName, VerifierKey},
        policy::WitnessPolicy,
    },
};
use scrip_runtime::{clock::Clock, plausible::KEPT};

use super::support::*;
use crate::{
    ledger::{Scope, Verified, verify},
    testing::{Setup, TestIssuer},
};

/// Every leaf of the files, after the whole ledger was checked.
pub(super) async fn leaves(vendor: &TestIssuer) -> (Verified, Vec<Leaf>) {
    let issuer = &vendor.issuer;
    let (storage, manifest) = (issuer.ledger_storage(), issuer.manifest());
    let id = issuer.vendor_id();
    let mut leaves = Vec::new();
    let verified = verify(storage, &id, manifest.receipt_keys(), |index, leaf| {
        assert_eq!(index, leaves.len() as u64);
        leaves.push(leaf.clone());
    });
    let verified = verified.await.unwrap();
    assert_eq!(verified.size, leaves.len() as u64);
    (verified, leaves)
}

fn size_of(vendor: &TestIssuer, checkpoint: &[u8]) -> u64 {
    let (id, key): (VendorId, _) =
        (vendor.issuer.vendor_id(), vendor.issuer.manifest().receipt_keys().newest().key);
    let (origin, key) = (KeyName::of_ledger(&id), VerifierKey::of_ledger(&id, key));
    let signed = SignedCheckpoint::open(checkpoint, &origin, [&key], &WitnessPolicy::none());
    signed.unwrap().checkpoint().size
}

/// Each credited item of the answer has the leaf that the answer says, and a checkpoint that has it.
fn stands_in(vendor: &TestIssuer, outcome: &RedemptionOutcome, keys: &[[u8; 32]], all: &[Leaf]) {
    outcome.check_leaves().unwrap();
    for (position, index) in outcome.credited() {
        let Leaf::Redemption(leaf) = &all[index as usize] else { panic!("no redemption") };
        assert_eq!(leaf.item.token.nonce, keys[position]);
        assert_eq!(leaf.operator_id, outcome.operator_id);
        assert!(index < size_of(vendor, &outcome.checkpoint));
    }
}

/// What the tallies say, by kind and epoch, in certificates.
fn tallies(leaves: &[Leaf]) -> BTreeMap<(TallyKind, u32), u64> {
    let mut sums = BTreeMap::new();
    for leaf in leaves {
        if let Leaf::Tally(tally) = leaf {
            let certificates: u64 = tally.counts.iter().map(|count| count.certificates).sum();
            *sums.entry((tally.kind, tally.epoch)).or_default() += certificates;
        }
    }
    sums
}

pub(super) fn redeemed_keys(leaves: &[Leaf]) -> Vec<[u8; 32]> {
    let redeemed = leaves.iter().filter_map(|leaf| match leaf {
        Leaf::Redemption(leaf) => Some(leaf.item.token.nonce),
        _ => None,
    });
    redeemed.collect()
}

#[tokio::test]
async fn what_happened_is_in_the_ledger() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let certificates = Wallet::new(1).buy(issuer).await;
    let mut operator = Operator::new(&vendor, 1).await;
    let items: Vec<_> = certificates.iter().map(|c| operator.item(&vendor, c, 1)).collect();
    let keys: Vec<_> = items.iter().map(|item| item.token.nonce).collect();
    let batch = operator.batch(&vendor, items.clone());
    let answer = send_batch(issuer, batch.clone()).await;
    assert_eq!(send_batch(issuer, batch.clone()).await, answer, "the same bytes again");
    let first = outcome(&vendor, &batch, answer);
    let again = operator.batch(&vendor, items[2..4].to_vec());
    let again = outcome(&vendor, &again.clone(), send_batch(issuer, again).await);
    assert_eq!(again.leaves, first.leaves[2..4], "what was accepted before has its leaf");
    assert_eq!(again.checkpoint, first.checkpoint);

    let (verified, all) = leaves(&vendor).await;
    assert_eq!(verified.size, 256, "one integration, filled up");
    stands_in(&vendor, &first, &keys, &all);
    assert_eq!(redeemed_keys(&all), keys, "in the batch's order, each once");
    let public = all.iter().take_while(|leaf| leaf.is_public()).count();
    assert!(all[public..].iter().all(|leaf| !leaf.is_public()), "public leaves first");
    assert!(matches!(&all[0], Leaf::Manifest(manifest) if manifest.version == 1));
    assert_eq!(verified.kinds[&4], 2, "a commitment for each tally");
    let sums = BTreeMap::from([((TallyKind::Sold, 1), 7), ((TallyKind::Redeemed, 1), 7)]);
    assert_eq!(tallies(&all), sums);
    let sales: Vec<_> = all
        .iter()
        .filter_map(|leaf| match leaf {
            Leaf::Sales(sales) => Some((sales.source.as_str(), sales.purchases, sales.credits.0)),
            _ => None,
        })
        .collect();
    assert_eq!(sales, [("voucher", 1, 12)]);
    let status = issuer.status().await.unwrap().ledger.unwrap();
    assert_eq!((status.size, status.stored, status.waiting.entries), (256, 256, 0));
}

/// Batches that came while nothing was sequenced have their places by numbers that the issuer draws: which came first does not show in
/// the ledger. Within a batch the order is the relay's, which mixed the items of many payments. Renewals stand by their keys.
#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_leaves_tells_nothing_of_the_order_in_which_batches_came() {
    const BATCHES: usize = 7;
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::sqlite(directory.path()).unwrap();
    // Nobody waits for a place, and so nobody sequences before all are there.
    setup.config.ledger.wait = Duration::ZERO;
    let vendor = setup.init().await.unwrap();
    let issuer = &vendor.issuer;
    let mut operator = Operator::new(&vendor, 1).await;
    let (mut pairs_in_order, mut rounds) = (0, 0);
    for wallet in 1..=12_u8 {
        let certificates = Wallet::new(wallet).buy(issuer).await;
        let mut arrived = Vec::new();
        for certificate in &certificates {
            let item = operator.item(&vendor, certificate, 1);
            arrived.push(item.token.nonce);
            let batch = operator.batch(&vendor, vec![item]);
            let answer = send_batch(issuer, batch).await;
            assert_eq!(answer.status, 503, "recorded, and without a place");
        }
        issuer.integrate(Scope::Due).await.unwrap();
        let (_, all) = leaves(&vendor).await;
        let keys = redeemed_keys(&all);
        let place = |key: &[u8; 32]| keys.iter().position(|one| one == key).unwrap();
        let places: Vec<usize> = arrived.iter().map(place).collect();
        for later in 1..BATCHES {
            pairs_in_order += places[..later].iter().filter(|at| **at < places[later]).count();
        }
        rounds += 1;
    }
    // Of 252 pairs half are in order, with a standard deviation of 12 (Kendall): six of these are no accident.
    let pairs = rounds * BATCHES * (BATCHES - 1) / 2;
    assert!(pairs_in_order.abs_diff(pairs / 2) < 72, "{pairs_in_order} of {pairs}");
}

/// Sums of what was sold wait for a redemption or for the end of their day; nothing of a single purchase is in the ledger.
#[tokio::test]
async fn sums_of_sales_wait() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    issuer.integrate(Scope::Due).await.unwrap();
    for number in 1..=3 {
        Wallet::new(number).buy(issuer).await;
    }
    issuer.integrate(Scope::Due).await.unwrap();
    assert_eq!(tallies(&leaves(&vendor).await.1), BTreeMap::new());
    vendor.clock.advance(86_400);
    issuer.integrate(Scope::Due).await.unwrap();
    let (_, all) = leaves(&vendor).await;
    assert_eq!(tallies(&all), BTreeMap::from([((TallyKind::Sold, 1), 21)]));
    let sales = all.iter().find_map(|leaf| match leaf {
        Leaf::Sales(sales) => Some((sales.purchases, sales.day)),
        _ => None,
    });
    assert_eq!(sales, Some((3, scrip_protocol::time::Day(vendor.clock.today().0 - 1))));
}

/// Renewals come when their day is over, by certificate key; what nobody used comes when its epoch is over; then nothing more.
#[tokio::test]
async fn renewals_and_ends_are_in_the_ledger() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let holder = super::renewal::Holder::new(1, issuer).await;
    let lost = super::renewal::Holder::new(2, issuer).await;
    drop(lost);
    super::renewal::open_the_window(&vendor).await;
    let (_, items) = holder.items(&vendor);
    super::renewal::ask_all(issuer, &items).await;
    issuer.integrate(Scope::Due).await.unwrap();
    let (before, _) = leaves(&vendor).await;
    assert_eq!(before.kinds.get(&2), None, "their day is not over");
    vendor.clock.set(vendor.clock.today().start().plus(86_400 + 3_599));
    issuer.integrate(Scope::Due).await.unwrap();
    let (before, _) = leaves(&vendor).await;
    assert_eq!(before.kinds.get(&2), None, "the last of them may be on its way");
    vendor.clock.advance(1);
    issuer.integrate(Scope::Due).await.unwrap();
    let (_, all) = leaves(&vendor).await;
    let renewed: Vec<[u8; 32]> = all
        .iter()
        .filter_map(|leaf| match leaf {
            Leaf::Renewal(renewal) => Some(renewal.token.nonce),
            _ => None,
        })
        .collect();
    assert_eq!(renewed.len(), 7);
    assert!(renewed.is_sorted(), "by certificate key, whatever was asked for together");
    let sums = tallies(&all);
    assert_eq!(sums[&(TallyKind::Renewed, 1)], 7);
    assert_eq!(sums.iter().find(|((kind, _), _)| *kind == TallyKind::Reissued).unwrap().1, &7);

    let end = first_windows(issuer).redeem_until;
    vendor.clock.set(end.plus(KEPT));
    issuer.integrate(Scope::Due).await.unwrap();
    issuer.integrate(Scope::Due).await.unwrap();
    let (_, all) = leaves(&vendor).await;
    let sums = tallies(&all);
    assert_eq!(sums[&(TallyKind::Expired, 1)], 7, "once");
    assert_eq!(sums[&(TallyKind::Sold, 1)], 14);
}

/// A database of before the ledger puts what it has in line.
#[tokio::test]
async fn an_older_database_has_its_books_in_the_ledger() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::sqlite(directory.path()).unwrap();
    let vendor = setup.init().await.unwrap();
    let certificates = Wallet::new(1).buy(&vendor.issuer).await;
    let mut operator = Operator::new(&vendor, 1).await;
    let items: Vec<_> = certificates[..3].iter().map(|c| operator.item(&vendor, c, 1)).collect();
    let keys: Vec<_> = items.iter().map(|item| item.token.nonce).collect();
    let batch = operator.batch(&vendor, items);
    send_batch(&vendor.issuer, batch.clone()).await;
    // As it was before the migration: nothing of the ledger.
    let store = vendor.issuer.store();
    let emptied = "DELETE FROM ledger_state; DELETE FROM ledger_queue; DELETE FROM ledger_issued;
        DELETE FROM ledger_sales; DELETE FROM ledger_ranges; DELETE FROM ledger_checkpoints;
        DELETE FROM ledger_manifests; DELETE FROM voided_editions;";
    store.execute_raw(emptied).await.unwrap();
    std::fs::remove_dir_all(directory.path().join("ledger")).unwrap();
    drop(vendor);

    let vendor = setup.open().await.unwrap();
    let answer = send_batch(&vendor.issuer, batch.clone()).await;
    let decided = outcome(&vendor, &batch, answer.clone());
    let (_, all) = leaves(&vendor).await;
    stands_in(&vendor, &decided, &keys, &all);
    assert_eq!(redeemed_keys(&all), keys);
    let sums = BTreeMap::from([((TallyKind::Sold, 1), 7), ((TallyKind::Redeemed, 1), 3)]);
    assert_eq!(tallies(&all), sums);
    assert_eq!(send_batch(&vendor.issuer, batch).await, answer);
}
