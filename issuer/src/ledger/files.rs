//! The files that a grown tree needs (ledger.md, "What there is to read").

use std::collections::BTreeMap;

use scrip_protocol::{
    ledger::Leaf,
    tlog::{
        hash::leaf_hash,
        tile::{EntryBundle, PublicBundle, TILE_WIDTH, TileKind, TilePath, new_bundles},
    },
};

use super::{LedgerError, edge::Edge};

/// A file's name and its bytes.
pub(super) type File = (String, Vec<u8>);

/// The name of the signed head of the tree.
pub(super) const CHECKPOINT: &str = "checkpoint";

/// The leaves of the first bundle that is not finished at this size, up to it.
pub(super) const fn bundle_start(size: u64) -> u64 {
    size - size % TILE_WIDTH
}

/// All tiles that the tree of `from + new.len()` leaves has and the one of `from` has not, and its edge. `leaves` begins at
/// [`bundle_start`] of `from`.
pub(super) fn tiles(
    edge: &Edge,
    from: u64,
    leaves: &[Vec<u8>],
) -> Result<(Edge, Vec<File>), LedgerError> {
    let start = bundle_start(from);
    let old = usize::try_from(from - start).unwrap_or_default();
    let hashes: Vec<_> = leaves[old.min(leaves.len())..].iter().map(|l| leaf_hash(l)).collect();
    let grown = edge.append(&hashes).map_err(|_| LedgerError::Damaged("ledger_state"))?;
    let size = start + leaves.len() as u64;
    let mut files: Vec<File> =
        grown.tiles.into_iter().map(|(path, tile)| (path.to_string(), tile)).collect();
    for path in new_bundles(TileKind::Entries, from, size) {
        let entries = bundle(leaves, start, &path);
        let public = entries.iter().enumerate().filter(|(_, leaf)| is_public(leaf));
        let public: BTreeMap<u8, Vec<u8>> =
            public.map(|(offset, leaf)| (offset as u8, leaf.clone())).collect();
        let too_large = || LedgerError::Damaged("ledger_ranges");
        let public = PublicBundle::new(public).ok_or_else(too_large)?;
        let entries = EntryBundle::new(entries.to_vec()).ok_or_else(too_large)?;
        let beside = TilePath::new(TileKind::Public, path.index(), path.width());
        files.push((path.to_string(), entries.encode()));
        files.extend(beside.map(|beside| (beside.to_string(), public.encode())));
    }
    Ok((grown.edge, files))
}

/// The versions of the manifest among these leaves.
pub(super) fn manifests(leaves: &[Vec<u8>]) -> Vec<u64> {
    let version = |leaf: &Vec<u8>| match Leaf::decode(leaf) {
        Ok(Leaf::Manifest(manifest)) => Some(manifest.version),
        _ => None,
    };
    leaves.iter().filter_map(version).collect()
}

/// Directories whose files are superseded: of partial tiles that are full in the tree of `size` leaves and were not at `from`.
pub(super) fn superseded(from: u64, size: u64) -> Vec<String> {
    let mut all = Vec::new();
    let mut finished = |kind, from: u64, size: u64| {
        let finished = from / TILE_WIDTH..size / TILE_WIDTH;
        // All but the first were never partial, or only within this very integration.
        if let Some(path) = finished.clone().next().and_then(|i| TilePath::new(kind, i, 256))
            && !from.is_multiple_of(TILE_WIDTH)
        {
            all.push(format!("{path}.p"));
        }
    };
    finished(TileKind::Entries, from, size);
    finished(TileKind::Public, from, size);
    for level in 0..8 {
        let at = |size: u64| size >> (8 * u32::from(level));
        finished(TileKind::Hash(level), at(from), at(size));
    }
    all
}

fn bundle<'l>(leaves: &'l [Vec<u8>], start: u64, path: &TilePath) -> &'l [Vec<u8>] {
    let first = usize::try_from(path.start() - start).unwrap_or(usize::MAX);
    leaves.get(first..first + usize::from(path.width())).unwrap_or_default()
}

fn is_public(leaf: &[u8]) -> bool {
    Leaf::decode(leaf).is_ok_and(|leaf| leaf.is_public())
}
