//! Making batches: the items of many payments, shuffled.

use rand_core::RngCore;
use scrip_protocol::{
    id::{BatchId, VendorId},
    limits::MAX_BATCH_ITEMS,
    redemption::RedemptionBatch,
};

use crate::{
    spent::{NewBatch, RedeemableItem},
    verifier::Verifier,
};

/// A signed batch of these items, in this order.
pub(crate) fn new_batch(
    verifier: &Verifier,
    vendor: VendorId,
    items: Vec<RedeemableItem>,
) -> NewBatch {
    let mut batch_id = [0; 16];
    (verifier.rng)().fill_bytes(&mut batch_id);
    let members = items.iter().map(|item| item.number).collect();
    let batch = RedemptionBatch {
        vendor_id: vendor,
        operator_id: verifier.operator_id(),
        batch_id: BatchId::from_bytes(batch_id),
        items: items.into_iter().map(|item| item.item).collect(),
    };
    let bytes = batch.sign(&verifier.operator_key);
    NewBatch { vendor_id: vendor, bytes, members, at: verifier.now() }
}

/// Batches of all these items, mixed: neither order nor batch says which were paid together.
pub(super) fn mixed(
    verifier: &Verifier,
    vendor: VendorId,
    mut items: Vec<RedeemableItem>,
) -> Vec<NewBatch> {
    shuffle(&mut items, &mut *(verifier.rng)());
    let sizes = even_sizes(items.len(), MAX_BATCH_ITEMS);
    let mut items = items.into_iter();
    sizes.map(|size| new_batch(verifier, vendor, items.by_ref().take(size).collect())).collect()
}

/// The sizes of as few batches as hold `items`, as even as can be: a small last one would tell more.
fn even_sizes(items: usize, most: usize) -> impl Iterator<Item = usize> {
    let batches = items.div_ceil(most);
    (0..batches).map(move |at| items / batches + usize::from(at < items % batches))
}

/// Fisher and Yates: every order is equally likely.
fn shuffle<T>(items: &mut [T], rng: &mut dyn RngCore) {
    for end in (2..=items.len()).rev() {
        items.swap(end - 1, below(end, rng));
    }
}

/// A number below `bound`, all of them equally likely.
fn below(bound: usize, rng: &mut dyn RngCore) -> usize {
    let bound = bound as u64;
    let unfair = (u64::MAX % bound + 1) % bound; // so many numbers at the top would favour some results
    loop {
        let drawn = rng.next_u64();
        if drawn <= u64::MAX - unfair {
            return (drawn % bound) as usize;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    #[test]
    fn batches_are_as_few_and_as_even_as_can_be() {
        let sizes = |items| even_sizes(items, 1_024).collect::<Vec<_>>();
        assert_eq!(sizes(0), [] as [usize; 0]);
        assert_eq!(sizes(1_024), [1_024]);
        assert_eq!(sizes(1_025), [513, 512]);
        assert_eq!(sizes(5_000).iter().sum::<usize>(), 5_000);
    }

    #[test]
    fn every_order_occurs_about_as_often() {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let mut seen = std::collections::BTreeMap::new();
        for _ in 0..6_000 {
            let mut items = [0, 1, 2];
            shuffle(&mut items, &mut rng);
            *seen.entry(items).or_insert(0) += 1;
        }
        assert_eq!(seen.len(), 6);
        assert!(seen.values().all(|count| (850..1_150).contains(count)), "{seen:?}");
    }
}
