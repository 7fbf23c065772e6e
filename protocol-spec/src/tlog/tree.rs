//! The tree itself (RFC 6962, section 2.1; RFC 9162, section 2.1): its right edge, which is all that appending needs, and the
//! proofs that a leaf is in it and that it was only ever added to.

mod build;

pub(crate) use build::perfect_root;
pub use build::{
    BuildError, Nodes, append, consistency_proof, consistency_tiles, frontier, frontier_tiles,
    inclusion_proof, inclusion_tiles,
};

use super::MAX_SIZE;
use super::hash::{TreeHash, node_hash};
use crate::codec::{DecodeError, Reader, Writer};

/// The right edge of a tree: the roots of the perfect subtrees that its size is the sum of, the largest first. It gives the root,
/// and the next leaf can be added to it; nothing more of the tree is needed for either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    subtrees: Vec<TreeHash>,
}

impl Frontier {
    /// That of the tree without leaves.
    pub const fn empty() -> Self {
        Self { size: 0, subtrees: Vec::new() }
    }

    /// That of a tree of `size` leaves with these perfect subtrees, the largest first. `None` where their number is not that of
    /// the ones in the binary form of `size`, or where `size` is above [`MAX_SIZE`].
    pub fn new(size: u64, subtrees: Vec<TreeHash>) -> Option<Self> {
        (size <= MAX_SIZE && subtrees.len() == size.count_ones() as usize)
            .then_some(Self { size, subtrees })
    }

    /// Leaves of the tree.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds the leaf with this hash.
    pub fn push(&mut self, leaf_hash: TreeHash) {
        let mut node = leaf_hash;
        // Each one at the end of the size is a perfect subtree that the new leaf completes to one of twice its size.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.subtrees.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.subtrees.push(node);
        self.size += 1;
    }

    /// The root of the tree.
    pub fn root(&self) -> TreeHash {
        fold(&self.subtrees).unwrap_or(TreeHash::EMPTY)
    }

    /// `uint64 size; TreeHash subtrees[number of ones in size]`
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(8 + 32 * self.subtrees.len());
        writer.u64(self.size);
        for subtree in &self.subtrees {
            writer.put(subtree.as_bytes());
        }
        writer.into_bytes()
    }

    /// The frontier of these bytes.
    ///
    /// # Errors
    /// Where they are not what [`Self::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::capped(bytes, 8 + 32 * 63)?;
        let size = reader.u64()?;
        if size > MAX_SIZE {
            return Err(DecodeError::BadValue("size"));
        }
        let subtrees = (0..size.count_ones())
            .map(|_| reader.array().map(TreeHash::from_bytes))
            .collect::<Result<_, _>>()?;
        reader.finish()?;
        Ok(Self { size, subtrees })
    }
}

/// The root over perfect subtrees that stand side by side, the largest first. `None` where there are none.
fn fold(subtrees: &[TreeHash]) -> Option<TreeHash> {
    let (last, rest) = subtrees.split_last()?;
    Some(rest.iter().rev().fold(*last, |right, left| node_hash(left, &right)))
}

/// That a leaf is in a tree (RFC 9162, section 2.1.3): the hashes beside the path from the leaf to the root, the leaf's sibling first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof(pub Vec<TreeHash>);

/// That a tree begins with the leaves of an older one (RFC 9162, section 2.1.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof(pub Vec<TreeHash>);

/// Why a proof does not prove what it should. The fault of whoever made the proof, or of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The leaf is not within the tree, or the older tree is the larger one.
    #[error("index or size {0} is beyond the tree of {1} leaves")]
    OutOfRange(u64, u64),
    /// The proof has more or fewer hashes than these sizes call for.
    #[error("the proof has not the number of hashes that these sizes call for")]
    Length,
    /// The proof does not lead to the root of the older tree.
    #[error("the proof does not lead to the root of the older tree")]
    OldRoot,
    /// The proof does not lead to the root of the tree.
    #[error("the proof does not lead to the root of the tree")]
    Root,
}

/// Checks that the leaf number `index` (from 0) of the tree with `size` leaves and this `root` has the hash `leaf_hash`
/// (RFC 9162, section 2.1.3.2).
///
/// # Errors
/// [`ProofError`], saying what does not fit.
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf_hash: &TreeHash,
    proof: &InclusionProof,
    root: &TreeHash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange(index, size));
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf_hash;
    for sibling in &proof.0 {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            // A node without a right sibling moves up unchanged, as far as it is a left child.
            (node, last) = up_to_right_child(node, last);
        } else {
            hash = node_hash(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if hash == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// Checks that the tree with `new_size` leaves and `new_root` begins with all leaves of the one with `old_size` and `old_root`
/// (RFC 9162, section 2.1.4.2). Every tree begins with the empty one, and with itself: there the proof must be empty.
///
/// # Errors
/// [`ProofError`], saying what does not fit. [`ProofError::OldRoot`] with a right number of hashes says that one of the two trees is
/// not an honest log's.
pub fn verify_consistency(
    old_size: u64,
    old_root: &TreeHash,
    new_size: u64,
    new_root: &TreeHash,
    proof: &ConsistencyProof,
) -> Result<(), ProofError> {
    if old_size > new_size {
        return Err(ProofError::OutOfRange(old_size, new_size));
    }
    if old_size == 0 || old_size == new_size {
        if !proof.0.is_empty() {
            return Err(ProofError::Length);
        }
        if old_size == 0 && *old_root != TreeHash::EMPTY {
            return Err(ProofError::OldRoot);
        }
        if old_size == new_size && old_root != new_root {
            return Err(ProofError::Root);
        }
        return Ok(());
    }
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    let shift = node.trailing_ones();
    (node, last) = (node >> shift, last >> shift);
    let mut hashes = proof.0.iter();
    // A perfect older tree is a node of the new one, and its own root stands for the first hash.
    let first = if old_size.is_power_of_two() { Some(old_root) } else { hashes.next() };
    let mut old = *first.ok_or(ProofError::Length)?;
    let mut new = old;
    for sibling in hashes {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            (node, last) = up_to_right_child(node, last);
        } else {
            new = node_hash(&new, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if old != *old_root {
        return Err(ProofError::OldRoot);
    }
    if new == *new_root { Ok(()) } else { Err(ProofError::Root) }
}

/// From a node that is the last of its level up to where it is a right child, or the root.
fn up_to_right_child(node: u64, last: u64) -> (u64, u64) {
    // The root has only zeros, and no level to go up to.
    let shift = if node == 0 { 0 } else { node.trailing_zeros() };
    (node >> shift, last >> shift)
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
