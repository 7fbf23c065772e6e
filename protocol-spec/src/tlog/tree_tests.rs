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

/// Every way to spoil one hash of a proof, to shorten it and to lengthen it.
fn spoilt(proof: &[TreeHash]) -> Vec<Vec<TreeHash>> {
    let mut all = Vec::new();
    for at in 0..proof.len() {
        let mut other = proof.to_vec();
        other[at] = leaf_hash(b"another");
        all.push(other);
        let mut fewer = proof.to_vec();
        fewer.remove(at);
        all.push(fewer);
    }
    for at in 0..=proof.len() {
        for more in [leaf_hash(b"another"), TreeHash::EMPTY] {
            let mut longer = proof.to_vec();
            longer.insert(at, more);
            all.push(longer);
        }
    }
    all
}

#[test]
fn an_inclusion_proof_is_for_one_leaf_one_place_and_one_tree() {
    let leaves = leaves(40);
    let stored = stored(&leaves, 40);
    let nodes = read(&stored, stored.keys().copied().collect());
    for size in 1..=40_u64 {
        let root = definition(&leaves[..size as usize]);
        for index in 0..size {
            let leaf = leaves[index as usize];
            let proof = inclusion_proof(&nodes, index, size).unwrap();
            let verify = |index, size, leaf: &TreeHash, proof: &[TreeHash], root: &TreeHash| {
                verify_inclusion(index, size, leaf, &InclusionProof(proof.to_vec()), root)
            };
            assert_eq!(verify(index, size, &leaf, &proof.0, &root), Ok(()));
            for other in spoilt(&proof.0) {
                assert!(verify(index, size, &leaf, &other, &root).is_err(), "{index} of {size}");
            }
            assert_eq!(
                verify(index, size, &leaf_hash(b"another"), &proof.0, &root),
                Err(ProofError::Root)
            );
            assert_eq!(
                verify(index, size, &leaf, &proof.0, &leaf_hash(b"another")),
                Err(ProofError::Root)
            );
            for other in (0..size).filter(|other| *other != index) {
                assert!(verify(other, size, &leaf, &proof.0, &root).is_err());
            }
            assert_eq!(
                verify(size, size, &leaf, &proof.0, &root),
                Err(ProofError::OutOfRange(size, size))
            );
        }
    }
    let none = InclusionProof(vec![]);
    assert_eq!(
        verify_inclusion(0, 0, &TreeHash::EMPTY, &none, &TreeHash::EMPTY),
        Err(ProofError::OutOfRange(0, 0))
    );
    let long = InclusionProof(vec![TreeHash::EMPTY; 64]);
    let last = u64::MAX - 1;
    assert!(verify_inclusion(last, u64::MAX, &leaves[0], &long, &leaves[0]).is_err());
}

#[test]
fn a_consistency_proof_is_for_two_trees() {
    let leaves = leaves(40);
    let stored = stored(&leaves, 40);
    let nodes = read(&stored, stored.keys().copied().collect());
    let another = leaf_hash(b"another");
    for size in 0..=40_u64 {
        let root = definition(&leaves[..size as usize]);
        for old in 0..=size {
            let old_root = definition(&leaves[..old as usize]);
            let proof = consistency_proof(&nodes, old, size).unwrap();
            let verify = |old_root: &TreeHash, root: &TreeHash, proof: &[TreeHash]| {
                verify_consistency(old, old_root, size, root, &ConsistencyProof(proof.to_vec()))
            };
            assert_eq!(verify(&old_root, &root, &proof.0), Ok(()));
            for other in spoilt(&proof.0) {
                assert!(verify(&old_root, &root, &other).is_err(), "{old} in {size}");
            }
            assert!(verify(&another, &root, &proof.0).is_err());
            // Every tree begins with the empty one; all else is refused.
            assert_eq!(verify(&old_root, &another, &proof.0).is_err(), old > 0 || size == 0);
        }
    }
    let (a, none) = (leaves[0], ConsistencyProof(vec![]));
    assert_eq!(verify_consistency(3, &a, 2, &a, &none), Err(ProofError::OutOfRange(3, 2)));
    assert_eq!(verify_consistency(3, &a, 3, &another, &none), Err(ProofError::Root));
    assert_eq!(verify_consistency(3, &a, 5, &another, &none), Err(ProofError::Length));
    assert_eq!(verify_consistency(0, &a, 5, &another, &none), Err(ProofError::OldRoot));
    let long = ConsistencyProof(vec![a; 70]);
    assert!(verify_consistency(u64::MAX - 3, &a, u64::MAX, &a, &long).is_err());
}

#[test]
fn what_is_missing_or_out_of_range_is_said() {
    let leaves = leaves(600);
    let stored = stored(&leaves, 600);
    let mut tiles = Tiles::new();
    let needed = inclusion_tiles(300, 600);
    let texts: Vec<_> = needed.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2"]);
    let mut missing = Vec::new();
    loop {
        match inclusion_proof(&tiles, 300, 600) {
            Ok(_) => break,
            Err(BuildError::Missing(path)) => {
                missing.push(path);
                tiles.insert(&path, &stored[&path]).unwrap();
            }
            Err(other) => panic!("{other}"),
        }
    }
    missing.sort();
    assert_eq!(missing, needed);

    assert_eq!(inclusion_proof(&tiles, 600, 600), Err(BuildError::OutOfRange(600, 600)));
    assert_eq!(consistency_proof(&tiles, 601, 600), Err(BuildError::OutOfRange(601, 600)));
    assert!(inclusion_proof(&tiles, 0, u64::MAX).is_err());
    assert!(consistency_proof(&tiles, 1, u64::MAX).is_err());
    assert!(frontier(&tiles, u64::MAX).is_err());
    assert!(append(&Tiles::new(), u64::MAX, &leaves).is_err());
    assert!(append(&Tiles::new(), 5, &leaves).is_err());
    assert!(inclusion_tiles(7, 7).is_empty() && inclusion_tiles(0, u64::MAX).is_empty());
    assert!(consistency_tiles(8, 7).is_empty() && frontier_tiles(u64::MAX).is_empty());
    // The largest tree there may be: nothing overflows.
    assert_eq!(inclusion_tiles(MAX_SIZE - 1, MAX_SIZE).len(), 8);
    assert!(!consistency_tiles(MAX_SIZE - 1, MAX_SIZE).is_empty());
    assert_eq!(frontier_tiles(MAX_SIZE).len(), 8);
    // A tile that is too short for the tree, as a log that cuts one would serve it.
    let mut short = Tiles::new();
    let path = TilePath::at(crate::tlog::tile::TileKind::Hash(0), 0, 3).unwrap();
    short.insert(&path, &stored[&path.full()][..96]).unwrap();
    assert!(matches!(inclusion_proof(&short, 0, 6), Err(BuildError::Missing(_))));
}

#[test]
fn a_frontier_has_the_subtrees_of_its_size() {
    let mut frontier = Frontier::empty();
    leaves(7).into_iter().for_each(|leaf| frontier.push(leaf));
    let good = frontier.encode();
    assert_eq!(good.len(), 8 + 3 * 32);
    assert_eq!(Frontier::decode(&good[..72]), Err(DecodeError::Truncated));
    assert_eq!(Frontier::decode(&[&good[..], &[0]].concat()), Err(DecodeError::TrailingBytes));
    assert!(Frontier::decode(&[0xff; 8 + 64 * 32]).is_err());
    assert_eq!(
        Frontier::decode(&[&(1_u64 << 63).to_be_bytes()[..], &[0; 32]].concat()),
        Err(DecodeError::BadValue("size"))
    );
    assert_eq!(Frontier::new(3, leaves(1)), None);
}
