//! The unfinished tiles of a tree: all that appending to it needs.
//!
//! They lie in the database beside the size, at most 255 hashes of each level, so that nothing has to be read back from the
//! storage, and nothing in the storage has to be believed.

use scrip_protocol::tlog::{
    hash::TreeHash,
    tile::{TilePath, Tiles},
    tree::{BuildError, append, frontier, frontier_tiles},
};

/// The unfinished tiles of the tree of `size` leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    size: u64,
    tiles: Vec<(TilePath, Vec<u8>)>,
}

/// A tree that has grown.
pub(super) struct Grown {
    /// Its unfinished tiles.
    pub(super) edge: Edge,
    /// The tiles that it has and the one before has not.
    pub(super) tiles: Vec<(TilePath, Vec<u8>)>,
}

impl Edge {
    /// Of the tree without leaves.
    #[cfg(test)]
    pub(super) const fn empty() -> Self {
        Self { size: 0, tiles: Vec::new() }
    }

    /// The tiles of [`frontier_tiles`] one after the other; `None` where they are not as long as this size says.
    pub(super) fn decode(size: u64, mut bytes: &[u8]) -> Option<Self> {
        let mut tiles = Vec::new();
        for path in frontier_tiles(size) {
            let (tile, rest) = bytes.split_at_checked(usize::from(path.width()) * 32)?;
            tiles.push((path, tile.to_vec()));
            bytes = rest;
        }
        bytes.is_empty().then_some(Self { size, tiles })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        self.tiles.iter().flat_map(|(_, tile)| tile).copied().collect()
    }

    /// The root of the tree.
    pub(super) fn root(&self) -> Result<TreeHash, BuildError> {
        Ok(frontier(&self.held(), self.size)?.root())
    }

    /// Adds leaves with these hashes.
    pub(super) fn append(&self, leaf_hashes: &[TreeHash]) -> Result<Grown, BuildError> {
        let tiles = append(&self.held(), self.size, leaf_hashes)?;
        let size = self.size + leaf_hashes.len() as u64;
        let tile = |path: TilePath| {
            let known = tiles.iter().chain(&self.tiles).find(|(other, _)| *other == path);
            known.cloned().ok_or(BuildError::Missing(path))
        };
        let edge = frontier_tiles(size).into_iter().map(tile).collect::<Result<_, _>>()?;
        Ok(Grown { edge: Self { size, tiles: edge }, tiles })
    }

    fn held(&self) -> Tiles {
        let mut held = Tiles::new();
        for (path, tile) in &self.tiles {
            // Their lengths are those of their paths.
            let _ = held.insert(path, tile);
        }
        held
    }
}

#[cfg(test)]
mod tests {
    use scrip_protocol::tlog::{hash::leaf_hash, tree::Frontier};

    use super::*;

    #[test]
    fn a_tree_grows_alike_in_any_steps() {
        let hashes: Vec<TreeHash> = (0..70_000_u32).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let whole = Edge::empty().append(&hashes).unwrap();
        let mut edge = Edge::empty();
        let mut tiles = std::collections::BTreeMap::new();
        let mut frontier = Frontier::empty();
        let steps = [1, 254, 1, 256, 300, 65_000, 4_188];
        let mut rest = hashes.as_slice();
        for step in steps {
            let (some, later) = rest.split_at(step);
            let grown = edge.append(some).unwrap();
            tiles.extend(grown.tiles);
            edge = Edge::decode(grown.edge.size, &grown.edge.encode()).unwrap();
            assert_eq!(edge, grown.edge);
            some.iter().for_each(|hash| frontier.push(*hash));
            assert_eq!(edge.root().unwrap(), frontier.root());
            rest = later;
        }
        assert!(rest.is_empty());
        assert_eq!(edge, whole.edge);
        for (path, tile) in whole.tiles {
            assert_eq!(tiles[&path], tile, "{path}");
        }
    }

    #[test]
    fn other_lengths_are_refused() {
        assert_eq!(Edge::decode(0, &[]), Some(Edge::empty()));
        assert!(Edge::decode(0, &[1]).is_none());
        assert!(Edge::decode(1, &[1; 31]).is_none());
        assert!(Edge::decode(257, &[1; 64]).is_some());
        assert!(Edge::decode(257, &[1; 96]).is_none());
        assert_eq!(Edge::empty().root().unwrap(), TreeHash::EMPTY);
    }
}
