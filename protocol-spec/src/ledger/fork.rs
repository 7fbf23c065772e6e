//! Proof of two histories: two checkpoints of one log, and that the larger tree does not begin with the smaller one.
//!
//! A consistency proof shows that a log is honest; that it gives none is no evidence. This is the other half: hashes that lead to the
//! root of the larger tree, and whose left part leads to another root than the one that was signed for the smaller size. The log's own
//! tiles have them.

use crate::tlog::hash::{TreeHash, node_hash};
use crate::tlog::tree::Nodes;

/// The hashes of the largest perfect subtrees into which `[0, new_size)` falls when it is also cut at `old_size`, from left to right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForkProof(pub Vec<TreeHash>);

/// Where a tree of `size` leaves is cut in two (RFC 6962, section 2.1): the largest power of two below it.
fn cut(size: u64) -> u64 {
    1 << (63 - (size - 1).leading_zeros())
}

/// Whether the range is one node of the walk: perfect, and on one side of `old`.
fn is_node(from: u64, until: u64, old: u64) -> bool {
    (until <= old || from >= old) && (until - from).is_power_of_two()
}

impl ForkProof {
    /// Makes it from the newer tree's nodes; `None` where one is missing, or the sizes are not `0 < old <= new`.
    pub fn build(nodes: &impl Nodes, old_size: u64, new_size: u64) -> Option<Self> {
        fn walk(
            nodes: &impl Nodes,
            at: (u64, u64),
            old: u64,
            all: &mut Vec<TreeHash>,
        ) -> Option<()> {
            let (from, until) = at;
            if is_node(from, until, old) {
                let level = (until - from).trailing_zeros();
                all.push(nodes.node(u8::try_from(level).ok()?, from >> level)?);
                return Some(());
            }
            let middle = from + cut(until - from);
            walk(nodes, (from, middle), old, all)?;
            walk(nodes, (middle, until), old, all)
        }
        if old_size == 0 || old_size > new_size {
            return None;
        }
        let mut all = Vec::new();
        walk(nodes, (0, new_size), old_size, &mut all)?;
        Some(Self(all))
    }

    /// The roots of the first `old_size` and of all `new_size` leaves by this proof; `None` where it has too many or too few hashes.
    pub fn roots(&self, old_size: u64, new_size: u64) -> Option<(TreeHash, TreeHash)> {
        /// The hash of the range, and the hash of what of it lies before `old`.
        fn fold(
            from: u64,
            until: u64,
            old: u64,
            hashes: &mut impl Iterator<Item = TreeHash>,
        ) -> Option<(TreeHash, Option<TreeHash>)> {
            if is_node(from, until, old) {
                let hash = hashes.next()?;
                return Some((hash, (until <= old).then_some(hash)));
            }
            let middle = from + cut(until - from);
            let (left, old_left) = fold(from, middle, old, hashes)?;
            let (right, old_right) = fold(middle, until, old, hashes)?;
            let before = match (old_left, old_right) {
                (Some(left), Some(right)) => Some(node_hash(&left, &right)),
                (left, _) => left,
            };
            Some((node_hash(&left, &right), before))
        }
        if old_size == 0 || old_size > new_size || self.0.len() > 3 * 64 {
            return None;
        }
        let mut hashes = self.0.iter().copied();
        let (new, old) = fold(0, new_size, old_size, &mut hashes)?;
        if hashes.next().is_some() { None } else { Some((old?, new)) }
    }
}

#[cfg(test)]
#[path = "fork_tests.rs"]
mod tests;
