//! The tree against its definition: roots, proofs and tiles of every small size.

use std::collections::BTreeMap;

use super::*;
use crate::tlog::hash::leaf_hash;
use crate::tlog::tile::{TilePath, Tiles, new_tiles};

fn leaves(n: u64) -> Vec<TreeHash> {
    (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

/// RFC 6962, section 2.1, word for word.
fn definition(leaves: &[TreeHash]) -> TreeHash {
    match leaves {
        [] => TreeHash::EMPTY,
        [leaf] => *leaf,
        _ => {
            let k = leaves.len().next_power_of_two() / 2;
            node_hash(&definition(&leaves[..k]), &definition(&leaves[k..]))
        }
    }
}

/// All tiles of a tree that grew by `step` leaves at a time.
fn stored(leaves: &[TreeHash], step: usize) -> BTreeMap<TilePath, Vec<u8>> {
    let mut stored: BTreeMap<TilePath, Vec<u8>> = BTreeMap::new();
    for (n, some) in leaves.chunks(step).enumerate() {
        let size = (n * step) as u64;
        let edge = read(&stored, frontier_tiles(size));
        let added = append(&edge, size, some).unwrap();
        let paths: Vec<_> = added.iter().map(|(path, _)| *path).collect();
        assert_eq!(paths, new_tiles(size, size + some.len() as u64));
        for (path, bytes) in added {
            assert_eq!(bytes.len(), 32 * usize::from(path.width()));
            assert_eq!(stored.insert(path, bytes), None, "{path} was there");
        }
    }
    stored
}

fn read(stored: &BTreeMap<TilePath, Vec<u8>>, paths: Vec<TilePath>) -> Tiles {
    let mut tiles = Tiles::new();
    for path in paths {
        tiles.insert(&path, &stored[&path]).unwrap();
    }
    tiles
}

#[test]
fn roots_are_the_definition_s() {
    let leaves = leaves(300);
    let mut frontier = Frontier::empty();
    for n in 0..=300 {
        assert_eq!(frontier.size(), n as u64);
        assert_eq!(frontier.root(), definition(&leaves[..n]), "{n}");
        assert_eq!(Frontier::decode(&frontier.encode()), Ok(frontier.clone()));
        if let Some(leaf) = leaves.get(n) {
            frontier.push(*leaf);
        }
    }
}

#[test]
fn every_proof_verifies_and_is_made_from_the_tiles_that_are_named() {
    let leaves = leaves(600);
    let stored = stored(&leaves, 1);
    for size in [1, 2, 3, 7, 8, 255, 256, 257, 300, 511, 512, 513, 600_u64] {
        let root = definition(&leaves[..size as usize]);
        let edge = read(&stored, frontier_tiles(size));
        assert_eq!(frontier(&edge, size).unwrap().root(), root);
        for index in 0..size {
            let tiles = read(&stored, inclusion_tiles(index, size));
            let proof = inclusion_proof(&tiles, index, size).unwrap();
            verify_inclusion(index, size, &leaves[index as usize], &proof, &root).unwrap();
        }
        for old in 0..=size {
            let tiles = read(&stored, consistency_tiles(old, size));
            let proof = consistency_proof(&tiles, old, size).unwrap();
            let old_root = definition(&leaves[..old as usize]);
            verify_consistency(old, &old_root, size, &root, &proof).unwrap();
        }
    }
}
