#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::tlog::hash::leaf_hash;
use crate::tlog::tile::Tiles;
use crate::tlog::tree::{Frontier, append};

fn grown(leaves: u64) -> (Tiles, Vec<TreeHash>) {
    let hashes: Vec<TreeHash> = (0..leaves).map(|n| leaf_hash(&n.to_be_bytes())).collect();
    let mut tiles = Tiles::new();
    for (path, bytes) in append(&Tiles::new(), 0, &hashes).unwrap() {
        tiles.insert(&path, &bytes).unwrap();
    }
    (tiles, hashes)
}

fn root(hashes: &[TreeHash]) -> TreeHash {
    let mut frontier = Frontier::empty();
    hashes.iter().for_each(|hash| frontier.push(*hash));
    frontier.root()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn it_leads_to_both_roots(new in 1_u64..1_200, at in 0_u64..1_200) {
        let old = at % new + 1;
        let (tiles, hashes) = grown(new);
        let proof = ForkProof::build(&tiles, old, new).unwrap();
        let roots = (root(&hashes[..old as usize]), root(&hashes));
        prop_assert_eq!(proof.roots(old, new), Some(roots));
        let mut longer = proof.clone();
        longer.0.push(TreeHash::EMPTY);
        prop_assert_eq!(longer.roots(old, new), None);
        let mut shorter = proof;
        shorter.0.pop();
        prop_assert_eq!(shorter.roots(old, new), None);
    }
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let (tiles, _) = grown(4);
    assert_eq!(ForkProof::build(&tiles, 0, 4), None);
    assert_eq!(ForkProof::build(&tiles, 5, 4), None);
    let proof = ForkProof(vec![TreeHash::EMPTY]);
    assert_eq!(proof.roots(0, 1), None);
    assert_eq!(proof.roots(2, 1), None);
    assert_eq!(proof.roots(u64::MAX, u64::MAX), None);
}
