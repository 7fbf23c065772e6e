//! Public bundles that were not there when their leaves were read, to be looked for again.

use std::collections::BTreeSet;

use scrip_protocol::tlog::{
    hash::leaf_hash,
    tile::{MAX_ENTRY_BUNDLE, MAX_PUBLIC_BUNDLE, TILE_WIDTH, TileKind, TilePath},
};
use serde::{Deserialize, Serialize};

use super::{
    proofs::{Head, get_or_full, has_leaf, tiles_of_bundle},
    unit::{PublicCheck, compare_public, split_entries},
};
use crate::source::{Ledger, SourceError};

/// Bundles that are remembered. Of those beyond, only how many there are is known, and they are not looked for again.
const MOST: usize = 1 << 14;

/// Bundles of which something is not there.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Missing {
    bundles: BTreeSet<u64>,
    more: u64,
}

impl Missing {
    /// Notes whether it is there: of a bundle that was read in part before, again.
    pub(super) fn note(&mut self, bundle: u64, is_missing: bool, read_before: bool) {
        if !is_missing {
            self.bundles.remove(&bundle);
        } else if self.bundles.len() < MOST {
            self.bundles.insert(bundle);
        } else if !self.bundles.contains(&bundle) && !read_before {
            self.more += 1;
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.bundles.len() as u64 + self.more
    }

    /// Those whose leaves were all read: no other look at them follows.
    pub(super) fn before(&self, read: u64) -> Vec<u64> {
        self.bundles.range(..read / TILE_WIDTH).copied().collect()
    }
}

/// Compares a public bundle with leaves that were read before, and are there still by the hash tiles. Missing where either is not.
pub(super) async fn look_again(
    ledger: &dyn Ledger,
    now: &Head,
    bundle: u64,
) -> Result<PublicCheck, SourceError> {
    let path = |kind| TilePath::at(kind, bundle, now.size);
    let (Some(public), Some(entries)) = (path(TileKind::Public), path(TileKind::Entries)) else {
        return Ok(PublicCheck::Missing);
    };
    let Some((public, _)) = get_or_full(ledger, public, MAX_PUBLIC_BUNDLE).await? else {
        return Ok(PublicCheck::Missing);
    };
    let Some((entries, _)) = get_or_full(ledger, entries, MAX_ENTRY_BUNDLE).await? else {
        return Ok(PublicCheck::Missing);
    };
    let (start, entries) = (bundle * TILE_WIDTH, split_entries(&entries));
    let tiles = tiles_of_bundle(ledger, now, bundle).await?;
    let is_there = |(index, entry): (u64, &Option<&[u8]>)| {
        entry.is_some_and(|entry| has_leaf(&tiles, now, index, &leaf_hash(entry)))
    };
    let is_whole = entries.len() == TILE_WIDTH as usize;
    if !is_whole || !(start..).zip(&entries).all(is_there) {
        return Ok(PublicCheck::Missing);
    }
    Ok(compare_public(Some(&public), start, TILE_WIDTH as u16, &entries))
}
