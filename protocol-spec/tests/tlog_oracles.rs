//! Our log against other people's: `tlog_tiles` for tiles, `ct-merkle` for roots and proofs, `signed_note` for signatures. All of them
//! were written from the same texts by others.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof as CtConsistency, InclusionProof as CtInclusion};
use proptest::prelude::*;
use scrip_protocol::id::VendorId;
use scrip_protocol::keys::SigningKey;
use scrip_protocol::tlog::checkpoint::{Checkpoint, SignedCheckpoint};
use scrip_protocol::tlog::hash::{TreeHash, leaf_hash, node_hash};
use scrip_protocol::tlog::note::{KeyName, Note, VerifierKey};
use scrip_protocol::tlog::policy::WitnessPolicy;
use scrip_protocol::tlog::tile::{TileKind, TilePath, Tiles, new_tiles};
use scrip_protocol::tlog::tree::{
    ConsistencyProof, Frontier, InclusionProof, append, consistency_proof, consistency_tiles,
    frontier_tiles, inclusion_proof, inclusion_tiles, verify_consistency, verify_inclusion,
};
use sha2::Sha256;
use signed_note::{StandardSigner, StandardVerifier, VerifierList};
use tlog_tiles::{Hash, HashReader};

type CtTree = MemoryBackedTree<Sha256, Vec<u8>>;

fn leaf(i: u64) -> Vec<u8> {
    format!("leaf {i}").into_bytes()
}

/// A log of ours on a "disk" that keeps every tile, also partial ones.
#[derive(Default)]
struct Log {
    size: u64,
    disk: BTreeMap<TilePath, Vec<u8>>,
}

impl Log {
    fn of(size: u64, step: u64) -> Self {
        let mut log = Self::default();
        while log.size < size {
            log.grow(step.min(size - log.size));
        }
        log
    }

    fn grow(&mut self, by: u64) {
        let hashes: Vec<_> = (self.size..self.size + by).map(|i| leaf_hash(&leaf(i))).collect();
        let tiles = append(&self.read(frontier_tiles(self.size)), self.size, &hashes).unwrap();
        self.disk.extend(tiles);
        self.size += by;
    }

    fn read(&self, paths: Vec<TilePath>) -> Tiles {
        let mut tiles = Tiles::new();
        for path in paths {
            // As a reader of a log must: the full tile where the partial one is gone.
            let found = [path, path.full()].into_iter().find_map(|p| Some((p, self.disk.get(&p)?)));
            let (path, bytes) = found.expect("the tile is on the disk");
            tiles.insert(&path, bytes).unwrap();
        }
        tiles
    }

    fn inclusion(&self, index: u64, size: u64) -> InclusionProof {
        inclusion_proof(&self.read(inclusion_tiles(index, size)), index, size).unwrap()
    }

    fn consistency(&self, old: u64, size: u64) -> ConsistencyProof {
        consistency_proof(&self.read(consistency_tiles(old, size)), old, size).unwrap()
    }
}

fn bytes(hashes: &[TreeHash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

/// The hashes as `tlog_tiles` wants them stored.
#[derive(Default)]
struct GoHashes(Vec<Hash>);

impl HashReader for GoHashes {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|i| self.0[usize::try_from(*i).unwrap()]).collect())
    }
}

impl GoHashes {
    fn of(size: u64) -> Self {
        let mut all = Self::default();
        for i in 0..size {
            let more = tlog_tiles::stored_hashes(i, &leaf(i), &all).unwrap();
            all.0.extend(more);
        }
        all
    }
}

fn ours(hash: Hash) -> TreeHash {
    TreeHash::from_bytes(hash.0)
}

#[test]
fn hashes_are_those_of_tlog_tiles() {
    assert_eq!(ours(tlog_tiles::EMPTY_HASH), TreeHash::EMPTY);
    let (a, b) = (tlog_tiles::record_hash(b"a"), tlog_tiles::record_hash(b""));
    assert_eq!((ours(a), ours(b)), (leaf_hash(b"a"), leaf_hash(b"")));
    assert_eq!(ours(tlog_tiles::node_hash(a, b)), node_hash(&ours(a), &ours(b)));
    assert_eq!(Hash::parse_hash(&ours(a).to_string()).unwrap().0, a.0);
}

#[test]
fn tiles_have_the_coordinates_and_bytes_of_tlog_tiles() {
    let go = GoHashes::of(1_500);
    for (old, new) in [
        (0, 1),
        (0, 255),
        (255, 256),
        (256, 257),
        (1, 300),
        (256, 512),
        (300, 301),
        (511, 769),
        (0, 1_500),
        (700, 1_500),
        (9, 9),
    ] {
        let theirs = tlog_tiles::Tile::new_tiles(8, old, new);
        let mut log = Log::of(old, 97);
        let before: Vec<_> = log.disk.keys().copied().collect();
        log.grow(new - old);
        let mine = new_tiles(old, new);
        assert_eq!(mine.len(), theirs.len(), "{old} to {new}");
        for (mine, theirs) in mine.iter().zip(theirs) {
            assert_eq!(mine.kind(), TileKind::Hash(theirs.level()));
            assert_eq!(
                (mine.index(), u32::from(mine.width())),
                (theirs.level_index(), theirs.width())
            );
            assert!(!before.contains(mine), "{mine} was there before");
            assert_eq!(log.disk[mine], theirs.read_data(&go).unwrap(), "{mine}");
            // They write the height of tiles into the path, and we do not; the rest is the same.
            assert_eq!(mine.to_string().replacen("tile/", "tile/8/", 1), theirs.path());
        }
    }
}

#[test]
fn paths_of_large_indexes_are_those_of_tlog_tiles() {
    for index in [0, 999, 1_000, 1_234_067, 999_999_999, 1_000_000_000, (1 << 55) - 1] {
        for width in [1_u16, 99, 255, 256] {
            let mine = TilePath::new(TileKind::Hash(3), index, width).unwrap();
            let theirs = tlog_tiles::Tile::new(8, 3, index, width.into(), false);
            assert_eq!(mine.to_string().replacen("tile/", "tile/8/", 1), theirs.path());
        }
    }
}

#[test]
fn proofs_are_those_of_tlog_tiles() {
    let go = GoHashes::of(700);
    // One leaf at a time, so that there is a partial tile of every size.
    let log = Log::of(700, 1);
    for size in (1..=700).step_by(7).chain([255, 256, 257, 511, 512, 513]) {
        let root = tlog_tiles::tree_hash(size, &go).unwrap();
        for index in (0..size).step_by(11).chain([size - 1]) {
            let theirs = tlog_tiles::prove_record(size, index, &go).unwrap();
            let mine = log.inclusion(index, size);
            assert_eq!(mine.0, theirs.iter().copied().map(ours).collect::<Vec<_>>());
            verify_inclusion(index, size, &leaf_hash(&leaf(index)), &mine, &ours(root)).unwrap();
        }
        for old in (1..size).step_by(17) {
            let old_root = tlog_tiles::tree_hash(old, &go).unwrap();
            let theirs = tlog_tiles::prove_tree(size, old, &go).unwrap();
            let mine = log.consistency(old, size);
            assert_eq!(mine.0, theirs.iter().copied().map(ours).collect::<Vec<_>>());
            verify_consistency(old, &ours(old_root), size, &ours(root), &mine).unwrap();
        }
    }
}

#[test]
fn roots_and_proofs_of_all_small_trees_are_those_of_ct_merkle() {
    const MOST: u64 = 300;
    let log = Log::of(MOST, 1);
    let mut tree = CtTree::new();
    let mut frontier = Frontier::empty();
    let mut roots = Vec::new();
    for size in 1..=MOST {
        tree.push(leaf(size - 1));
        frontier.push(leaf_hash(&leaf(size - 1)));
        let root = tree.root();
        assert_eq!(frontier.root().as_bytes()[..], root.as_bytes()[..]);
        roots.push((frontier.root(), root));
        // All sizes against all others, and every leaf of every seventh size: the rest has no other shape.
        for index in (0..size).filter(|i| size % 7 == 0 || size - i < 3 || *i < 2) {
            let mine = log.inclusion(index, size);
            let theirs = tree.prove_inclusion(index as usize);
            assert_eq!(bytes(&mine.0), theirs.as_bytes());
            let theirs = CtInclusion::<Sha256>::try_from_bytes(bytes(&mine.0)).unwrap();
            tree.root().verify_inclusion(&leaf(index), index, &theirs).unwrap();
            verify_inclusion(index, size, &leaf_hash(&leaf(index)), &mine, &frontier.root())
                .unwrap();
        }
        for old in 1..size {
            let (old_root, their_old_root) = &roots[old as usize - 1];
            let mine = log.consistency(old, size);
            let theirs = tree.prove_consistency((size - old) as usize);
            assert_eq!(bytes(&mine.0), theirs.as_bytes(), "{old} in {size}");
            let theirs = CtConsistency::<Sha256>::try_from_bytes(bytes(&mine.0)).unwrap();
            tree.root().verify_consistency(their_old_root, &theirs).unwrap();
            verify_consistency(old, old_root, size, &frontier.root(), &mine).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn larger_trees_too(size in 301..9_000_u64, step in 1..700_u64, at in any::<[prop::sample::Index; 4]>()) {
        let log = Log::of(size, step);
        let mut tree = CtTree::new();
        (0..size).for_each(|i| tree.push(leaf(i)));
        let root = TreeHash::from_bytes((*tree.root().as_bytes()).into());
        for at in at {
            let index = at.index(size as usize);
            let mine = log.inclusion(index as u64, size);
            let theirs = tree.prove_inclusion(index);
            prop_assert_eq!(bytes(&mine.0), theirs.as_bytes());
            verify_inclusion(index as u64, size, &leaf_hash(&leaf(index as u64)), &mine, &root).unwrap();
            let old = 1 + index as u64;
            if old < size {
                let mine = log.consistency(old, size);
                let theirs = tree.prove_consistency((size - old) as usize);
                prop_assert_eq!(bytes(&mine.0), theirs.as_bytes());
            }
        }
    }
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        origin: KeyName::of_ledger(&VendorId::from_bytes([9; 32])),
        size: 20_852_163,
        root: leaf_hash(b"root"),
    }
}

#[test]
fn signed_note_verifies_our_checkpoints() {
    let key = SigningKey::from_seed(&[7; 32]);
    let vkey = VerifierKey::of_ledger(&VendorId::from_bytes([9; 32]), key.public());
    let note = checkpoint().sign(&key).unwrap();

    let verifier = StandardVerifier::new(&vkey.to_string()).unwrap();
    let list = VerifierList::new(vec![Box::new(verifier)]);
    let theirs = signed_note::Note::from_bytes(note.encode().as_bytes()).unwrap();
    let (verified, others) = theirs.verify(&list).unwrap();
    assert_eq!((verified.len(), others.len()), (1, 0));
    assert_eq!(verified[0].id(), vkey.id());
    assert_eq!(theirs.to_bytes(), note.encode().as_bytes());

    let read = tlog_tiles::Checkpoint::from_bytes(theirs.text()).unwrap();
    assert_eq!(read.origin(), checkpoint().origin.as_str());
    assert_eq!((read.size(), ours(*read.hash())), (checkpoint().size, checkpoint().root));

    let changed = note.encode().replace("20852163", "20852164");
    let theirs = signed_note::Note::from_bytes(changed.as_bytes()).unwrap();
    assert!(theirs.verify(&list).is_err());
}

#[test]
fn we_verify_the_checkpoints_of_signed_note() {
    let key = SigningKey::from_seed(&[7; 32]);
    let vkey = VerifierKey::of_ledger(&VendorId::from_bytes([9; 32]), key.public());
    let mut secret = vec![1];
    secret.extend_from_slice(key.seed());
    let secret = data_encoding::BASE64.encode(&secret);
    let skey = format!("PRIVATE+KEY+{}+{:08x}+{secret}", vkey.name(), vkey.id());
    let signer = StandardSigner::new(&skey).unwrap();

    let text = tlog_tiles::Checkpoint::new(
        checkpoint().origin.as_str(),
        checkpoint().size,
        Hash(*checkpoint().root.as_bytes()),
        "",
    );
    let mut note = signed_note::Note::new(&text.unwrap().to_bytes(), &[]).unwrap();
    note.add_sigs(&[&signer]).unwrap();
    let opened = SignedCheckpoint::open(
        &note.to_bytes(),
        &checkpoint().origin,
        [&vkey],
        &WitnessPolicy::none(),
    )
    .unwrap();
    assert_eq!(*opened.checkpoint(), checkpoint());
    // Ed25519 signatures are deterministic: ours is the same to the byte.
    assert_eq!(checkpoint().sign(&key).unwrap().encode().as_bytes(), note.to_bytes());
}

#[test]
fn the_example_of_the_go_package_is_a_note() {
    let vkey: VerifierKey =
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
    let note = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    let read = Note::parse(note.as_bytes()).unwrap();
    assert_eq!(read.open([&vkey]).unwrap().len(), 1);
    assert_eq!(read.encode(), note);
    let changed = note.replace("answer", "Answer");
    assert!(Note::parse(changed.as_bytes()).unwrap().open([&vkey]).is_err());
}
