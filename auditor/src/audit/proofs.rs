//! What is checked with the published hash tiles alone: leaves and trees that an earlier audit has read.

use bytes::Bytes;
use scrip_protocol::{
    ledger::fork::ForkProof,
    tlog::{
        hash::TreeHash,
        tile::{MAX_HASH_TILE, TILE_WIDTH, TileKind, TilePath, Tiles},
        tree::{
            consistency_tiles, frontier_tiles, inclusion_proof, inclusion_tiles, verify_inclusion,
        },
    },
};

use crate::source::{Ledger, SourceError};

/// A tile or bundle, or the full one that it has grown into; `None` where there is neither. `true` where it is the full one.
pub(super) async fn get_or_full(
    ledger: &dyn Ledger,
    path: TilePath,
    max: usize,
) -> Result<Option<(Bytes, bool)>, SourceError> {
    if let Some(bytes) = ledger.get(&path.to_string(), max).await? {
        return Ok(Some((bytes, path.is_full())));
    }
    if path.is_full() {
        return Ok(None);
    }
    let full = ledger.get(&path.full().to_string(), max).await?;
    Ok(full.map(|bytes| (bytes, true)))
}

/// The tree that a checkpoint is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) size: u64,
    pub(super) root: TreeHash,
}

/// What tiles say of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Holds,
    /// The tiles lead to the signed root, and show that it does not hold.
    Refuted,
    /// The tiles are missing, or are not those of the signed root.
    Unknown,
}

async fn read(ledger: &dyn Ledger, paths: Vec<TilePath>, size: u64) -> Result<Tiles, SourceError> {
    let mut tiles = Tiles::new();
    for path in paths {
        let TileKind::Hash(level) = path.kind() else { continue };
        let count = size >> (8 * u32::from(level));
        let Some(path) = TilePath::at(path.kind(), path.index(), count) else { continue };
        if let Some((bytes, full)) = get_or_full(ledger, path, MAX_HASH_TILE).await? {
            let path = if full { path.full() } else { path };
            let _ = tiles.insert(&path, &bytes); // what has not the right size is as good as missing
        }
    }
    Ok(tiles)
}

/// Whether the tree `now` begins with the tree `earlier`.
pub(super) async fn begins_with(
    ledger: &dyn Ledger,
    now: &Head,
    earlier: &Head,
) -> Result<Judgement, SourceError> {
    if earlier.size == 0 || earlier == now {
        return Ok(Judgement::Holds);
    }
    if earlier.size == now.size {
        return Ok(Judgement::Refuted);
    }
    let mut paths = consistency_tiles(earlier.size, now.size);
    paths.extend(frontier_tiles(earlier.size));
    let tiles = read(ledger, paths, now.size).await?;
    let proof = ForkProof::build(&tiles, earlier.size, now.size);
    let roots = proof.and_then(|proof| proof.roots(earlier.size, now.size));
    Ok(match roots {
        Some((old, new)) if new == now.root => {
            if old == earlier.root {
                Judgement::Holds
            } else {
                Judgement::Refuted
            }
        }
        _ => Judgement::Unknown,
    })
}

/// The tiles that say which leaves are in a bundle of the tree `now`.
pub(super) async fn tiles_of_bundle(
    ledger: &dyn Ledger,
    now: &Head,
    bundle: u64,
) -> Result<Tiles, SourceError> {
    read(ledger, inclusion_tiles(bundle * TILE_WIDTH, now.size), now.size).await
}

/// Whether by these tiles the leaf at `index` of the tree `now` has this hash.
pub(super) fn has_leaf(tiles: &Tiles, now: &Head, index: u64, leaf_hash: &TreeHash) -> bool {
    let proof = inclusion_proof(tiles, index, now.size);
    proof.is_ok_and(|proof| verify_inclusion(index, now.size, leaf_hash, &proof, &now.root).is_ok())
}
