//! Tiles (C2SP `tlog-tiles`): the tree's hashes and leaves as files that never change, and their paths.
//!
//! A hash tile of level L has up to 256 neighbouring nodes of height 8 L. Leaves are in bundles of up to 256. `tile/public/` is
//! ours: of a bundle, only those leaves that anybody may read (ledger.md, "Access").

mod bundle;
mod path;

pub use bundle::{EntryBundle, MAX_ENTRY, MAX_ENTRY_BUNDLE, MAX_PUBLIC_BUNDLE, PublicBundle};
pub use path::{ParseTilePathError, TileKind, TilePath};

use std::collections::BTreeMap;

use super::MAX_SIZE;
use super::hash::TreeHash;
use super::tree::{Nodes, perfect_root};
use crate::codec::DecodeError;

/// Hashes or leaves of a full tile.
pub const TILE_WIDTH: u64 = 256;
/// Bytes of a full hash tile.
pub const MAX_HASH_TILE: usize = TILE_WIDTH as usize * 32;

/// The hash tiles that a tree of `new_size` leaves has and one of `old_size` has not: all levels, each from left to right, the last one
/// partial where it is. None where the tree did not grow.
pub fn new_tiles(old_size: u64, new_size: u64) -> Vec<TilePath> {
    let mut all = Vec::new();
    for level in 0..8 {
        let count = |size: u64| size.min(MAX_SIZE) >> (8 * u32::from(level));
        if count(new_size) <= count(old_size) {
            break;
        }
        all.extend(changed(TileKind::Hash(level), count(old_size), count(new_size)));
    }
    all
}

/// The bundles of this kind that a tree of `new_size` leaves has and one of `old_size` has not, from left to right.
/// For [`TileKind::Entries`] and [`TileKind::Public`].
pub fn new_bundles(kind: TileKind, old_size: u64, new_size: u64) -> Vec<TilePath> {
    changed(kind, old_size, new_size.min(MAX_SIZE)).collect()
}

/// The tiles of a row that grows from `old` elements to `new`.
fn changed(kind: TileKind, old: u64, new: u64) -> impl Iterator<Item = TilePath> {
    let end = if new > old { new.div_ceil(TILE_WIDTH) } else { 0 };
    (old / TILE_WIDTH..end).filter_map(move |index| TilePath::at(kind, index, new))
}

/// The bytes of a hash tile.
pub fn encode_hashes(hashes: &[TreeHash]) -> Vec<u8> {
    hashes.iter().flat_map(TreeHash::as_bytes).copied().collect()
}

/// The hashes of a tile of this `width`.
///
/// # Errors
/// [`DecodeError::BadLength`] where the bytes are not exactly as many hashes.
pub fn decode_hashes(bytes: &[u8], width: u16) -> Result<Vec<TreeHash>, DecodeError> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() || hashes.len() != usize::from(width) {
        return Err(DecodeError::BadLength);
    }
    Ok(hashes.iter().map(|hash| TreeHash::from_bytes(*hash)).collect())
}

/// The root over the hashes of a full tile: a hash of the level above.
pub fn full_tile_hash(hashes: &[TreeHash; TILE_WIDTH as usize]) -> TreeHash {
    perfect_root(hashes).unwrap_or(TreeHash::EMPTY)
}

/// Hash tiles that were read, to make proofs from. Of a tile that is held in two widths the wider one counts, as it begins with the
/// other: where the partial tile of an old size is gone, the full one does.
#[derive(Clone, Debug, Default)]
pub struct Tiles {
    rows: BTreeMap<(u8, u64), Vec<TreeHash>>,
}

impl Tiles {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the hash tile of this path. Bundles are not kept.
    ///
    /// # Errors
    /// [`DecodeError`] where the bytes are not a tile of the path's kind and width.
    pub fn insert(&mut self, path: &TilePath, bytes: &[u8]) -> Result<(), DecodeError> {
        let TileKind::Hash(level) = path.kind() else {
            return Err(DecodeError::BadValue("kind"));
        };
        let hashes = decode_hashes(bytes, path.width())?;
        let held = self.rows.entry((level, path.index())).or_default();
        if hashes.len() > held.len() {
            *held = hashes;
        }
        Ok(())
    }

    /// The hashes of this tile, as many as it is wide, if they are held.
    pub fn hashes(&self, path: &TilePath) -> Option<&[TreeHash]> {
        let TileKind::Hash(level) = path.kind() else { return None };
        self.rows.get(&(level, path.index()))?.get(..usize::from(path.width()))
    }
}

impl Nodes for Tiles {
    fn node(&self, level: u8, index: u64) -> Option<TreeHash> {
        let within = level % 8;
        let first = index.checked_mul(1 << within)?;
        let row = self.rows.get(&(level / 8, first / TILE_WIDTH))?;
        let start = (first % TILE_WIDTH) as usize;
        perfect_root(row.get(start..start + (1 << within))?)
    }
}

#[cfg(test)]
#[path = "tile_tests.rs"]
mod tests;
