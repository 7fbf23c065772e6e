//! Proofs, right edges and further tiles, made from stored tiles. Each comes in two halves: which tiles it takes, so that the caller
//! can read them in any way it likes, and the making of it once they are there.
//!
//! Nothing here trusts a tile or checks it: what comes out is as right as the tiles, and the verifying functions tell.

use std::collections::{BTreeMap, BTreeSet};

use super::{ConsistencyProof, Frontier, InclusionProof, fold};
use crate::tlog::MAX_SIZE;
use crate::tlog::hash::TreeHash;
use crate::tlog::tile::{TILE_WIDTH, TileKind, TilePath, Tiles, encode_hashes, new_tiles};

/// What has the hashes of a tree's nodes.
pub trait Nodes {
    /// The root of the perfect subtree over the leaves `index * 2^level .. (index + 1) * 2^level`, if it is at hand.
    fn node(&self, level: u8, index: u64) -> Option<TreeHash>;
}

/// Why something could not be made from the tiles that are there. The caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A leaf that is not in the tree, or an older tree that is the larger one.
    #[error("index or size {0} is beyond the tree of {1} leaves")]
    OutOfRange(u64, u64),
    /// A tile is missing.
    #[error("the tile {0} is needed and not there")]
    Missing(TilePath),
}

/// A perfect subtree, by its height and its place among those of that height.
type Node = (u8, u64);

/// The tiles that [`inclusion_proof`] reads for this leaf of a tree with `size` leaves, as wide as they are in that tree. None where the
/// leaf is not in it.
pub fn inclusion_tiles(index: u64, size: u64) -> Vec<TilePath> {
    tiles_of(inclusion_ranges(index, size).into_iter().flat_map(subtrees), size)
}

/// Makes the proof that the leaf number `index` is in the tree of the first `size` leaves (RFC 6962, section 2.1.1).
///
/// # Errors
/// [`BuildError`].
pub fn inclusion_proof(
    nodes: &impl Nodes,
    index: u64,
    size: u64,
) -> Result<InclusionProof, BuildError> {
    if index >= size || size > MAX_SIZE {
        return Err(BuildError::OutOfRange(index, size));
    }
    hashes(nodes, inclusion_ranges(index, size), size).map(InclusionProof)
}

/// The tiles that [`consistency_proof`] reads for these two sizes, as wide as they are in the newer tree.
pub fn consistency_tiles(old_size: u64, new_size: u64) -> Vec<TilePath> {
    tiles_of(consistency_ranges(old_size, new_size).into_iter().flat_map(subtrees), new_size)
}

/// Makes the proof that the tree of the first `new_size` leaves begins with the first `old_size` (RFC 6962, section 2.1.2); an empty one
/// where `old_size` is zero or `new_size`.
///
/// # Errors
/// [`BuildError`].
pub fn consistency_proof(
    nodes: &impl Nodes,
    old_size: u64,
    new_size: u64,
) -> Result<ConsistencyProof, BuildError> {
    if old_size > new_size || new_size > MAX_SIZE {
        return Err(BuildError::OutOfRange(old_size, new_size));
    }
    hashes(nodes, consistency_ranges(old_size, new_size), new_size).map(ConsistencyProof)
}

/// The tiles that [`frontier`] and [`append`] read: the partial ones of a tree with `size` leaves, at most one of each level.
pub fn frontier_tiles(size: u64) -> Vec<TilePath> {
    tiles_of(subtrees((0, size)).into_iter(), size)
}

/// The right edge of the tree of the first `size` leaves.
///
/// # Errors
/// [`BuildError`].
pub fn frontier(nodes: &impl Nodes, size: u64) -> Result<Frontier, BuildError> {
    let all = subtrees((0, size)).into_iter().map(|node| read(nodes, node, size));
    let all = all.collect::<Result<_, _>>()?;
    Frontier::new(size, all).ok_or(BuildError::OutOfRange(size, MAX_SIZE))
}

/// The hash tiles that change when leaves with these hashes are appended to a tree of `size` leaves: those of [`new_tiles`], with their
/// bytes. `tiles` has those of [`frontier_tiles`].
///
/// # Errors
/// [`BuildError`].
pub fn append(
    tiles: &Tiles,
    size: u64,
    leaf_hashes: &[TreeHash],
) -> Result<Vec<(TilePath, Vec<u8>)>, BuildError> {
    let new_size = size
        .checked_add(leaf_hashes.len() as u64)
        .filter(|new| *new <= MAX_SIZE)
        .ok_or(BuildError::OutOfRange(size, MAX_SIZE))?;
    // Of each level, the hashes of the tiles that change, from the start of the first one on.
    let mut levels: BTreeMap<u8, (u64, Vec<TreeHash>)> = BTreeMap::new();
    let mut added = leaf_hashes.to_vec();
    for level in 0.. {
        if added.is_empty() {
            break;
        }
        let count = size >> (8 * u32::from(level));
        let mut row = Vec::new();
        if let Some(path) = TilePath::at(TileKind::Hash(level), count / TILE_WIDTH, count) {
            let present = tiles.hashes(&path).ok_or(BuildError::Missing(path))?;
            row.extend_from_slice(present);
        }
        row.append(&mut added);
        added = row.chunks_exact(TILE_WIDTH as usize).filter_map(perfect_root).collect();
        levels.insert(level, (count / TILE_WIDTH, row));
    }
    let bytes = |path: TilePath| {
        let TileKind::Hash(level) = path.kind() else { return None };
        let (first, row) = levels.get(&level)?;
        let start = usize::try_from((path.index() - first) * TILE_WIDTH).ok()?;
        Some((path, encode_hashes(row.get(start..start + usize::from(path.width()))?)))
    };
    Ok(new_tiles(size, new_size).into_iter().filter_map(bytes).collect())
}

/// The root of the perfect subtree over these hashes, whose number is a power of two. `None` for none.
pub(crate) fn perfect_root(hashes: &[TreeHash]) -> Option<TreeHash> {
    let mut frontier = Frontier::empty();
    hashes.iter().for_each(|hash| frontier.push(*hash));
    fold(&frontier.subtrees)
}

/// The ranges of leaves whose roots are the inclusion proof (RFC 6962, section 2.1.1: `PATH`), the leaf's sibling first.
fn inclusion_ranges(index: u64, size: u64) -> Vec<(u64, u64)> {
    let mut ranges = Vec::new();
    if index >= size || size > MAX_SIZE {
        return ranges;
    }
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            ranges.push((middle, end));
            end = middle;
        } else {
            ranges.push((start, middle));
            start = middle;
        }
    }
    ranges.reverse();
    ranges
}

/// The ranges of leaves whose roots are the consistency proof (RFC 6962, section 2.1.2: `PROOF`).
fn consistency_ranges(old_size: u64, new_size: u64) -> Vec<(u64, u64)> {
    let mut ranges = Vec::new();
    if old_size == 0 || old_size >= new_size || new_size > MAX_SIZE {
        return ranges;
    }
    let (mut start, mut end) = (0, new_size);
    while old_size < end {
        let middle = start + split(end - start);
        if old_size <= middle {
            ranges.push((middle, end));
            end = middle;
        } else {
            ranges.push((start, middle));
            start = middle;
        }
    }
    // Where the walk ends at the older tree as a whole, its root is known to whoever has the older checkpoint.
    if start != 0 {
        ranges.push((start, end));
    }
    ranges.reverse();
    ranges
}

/// The largest power of two below `n`, which is at least 2.
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// The perfect subtrees that a range of leaves is made of, the largest first. The range starts where a subtree of its size may start.
fn subtrees((start, end): (u64, u64)) -> Vec<Node> {
    let mut all = Vec::new();
    let mut at = start;
    while at < end {
        let level = (end - at).ilog2();
        all.push((level as u8, at >> level));
        at += 1 << level;
    }
    all
}

/// The tile that has what it takes to know this node, in a tree of `size` leaves.
fn tile_of((level, index): Node, size: u64) -> Option<TilePath> {
    let tile_level = level / 8;
    let first = index << (level % 8);
    TilePath::at(
        TileKind::Hash(tile_level),
        first / TILE_WIDTH,
        size >> (8 * u32::from(tile_level)),
    )
}

fn tiles_of(nodes: impl Iterator<Item = Node>, size: u64) -> Vec<TilePath> {
    if size > MAX_SIZE {
        return Vec::new();
    }
    let all: BTreeSet<TilePath> = nodes.filter_map(|node| tile_of(node, size)).collect();
    all.into_iter().collect()
}

fn read(nodes: &impl Nodes, node: Node, size: u64) -> Result<TreeHash, BuildError> {
    nodes.node(node.0, node.1).ok_or_else(|| match tile_of(node, size) {
        Some(path) => BuildError::Missing(path),
        None => BuildError::OutOfRange(node.1, size),
    })
}

/// The root of each range.
fn hashes(
    nodes: &impl Nodes,
    ranges: Vec<(u64, u64)>,
    size: u64,
) -> Result<Vec<TreeHash>, BuildError> {
    let root = |range| {
        let all = subtrees(range).into_iter().map(|node| read(nodes, node, size));
        let all = all.collect::<Result<Vec<_>, _>>()?;
        fold(&all).ok_or(BuildError::OutOfRange(size, size))
    };
    ranges.into_iter().map(root).collect()
}
