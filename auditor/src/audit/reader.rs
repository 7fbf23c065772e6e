//! Reads the bundles of a ledger ahead, with what was published beside them, and keeps up the keys that it shows.

use std::sync::{Arc, mpsc};

use futures_util::{StreamExt, TryStreamExt, stream};
use scrip_protocol::{
    id::VendorId,
    ledger::{Leaf, ManifestVersion},
    limits::MAX_MANIFEST,
    time::Day,
    tlog::tile::{
        MAX_ENTRY_BUNDLE, MAX_HASH_TILE, MAX_PUBLIC_BUNDLE, TILE_WIDTH, TileKind, TilePath,
    },
};
use tokio::sync::Semaphore;

use super::{
    proofs::get_or_full,
    unit::{Unit, split_entries},
};
use crate::{
    finding::Finding,
    keyring::{Keyring, LoggedManifest},
    source::{Ledger, SourceError},
};

/// Bundles that are asked for at once.
const AHEAD: usize = 8;
/// Memory that bundles between reading and accounting may take, in KiB.
const BUDGET: usize = 64 << 10;
/// What a bundle counts at least, in KiB: its leaves take room too once they are parsed.
const LEAST: usize = 256;

/// How much there may be between reading and accounting.
pub(super) struct Budget(Semaphore);

impl Budget {
    pub(super) fn new() -> Self {
        Self(Semaphore::new(BUDGET))
    }

    /// Gives back what the bundle took.
    pub(super) fn give_back(&self, cost: usize) {
        self.0.add_permits(cost);
    }

    /// Nothing more is wanted.
    pub(super) fn close(&self) {
        self.0.close();
    }

    async fn take(&self, cost: usize) -> bool {
        match self.0.acquire_many(cost as u32).await {
            Ok(permit) => {
                permit.forget();
                true
            }
            Err(_) => false,
        }
    }
}

/// What the ledger has shown so far, as the reader knows it.
pub(super) struct Shown {
    pub(super) vendor: VendorId,
    pub(super) keyring: Arc<Keyring>,
    pub(super) newest_day: u32,
}

/// Reads the leaves `from..size` and sends their bundles, in order. Ends early where nobody takes them any more.
pub(super) async fn read(
    ledger: &dyn Ledger,
    mut shown: Shown,
    from: u64,
    size: u64,
    budget: &Budget,
    to: mpsc::Sender<(Unit, usize)>,
) -> Result<(), SourceError> {
    let numbers = from / TILE_WIDTH..size.div_ceil(TILE_WIDTH);
    let fetched = stream::iter(numbers).map(|number| fetch(ledger, number, size)).buffered(AHEAD);
    let mut fetched = std::pin::pin!(fetched);
    while let Some(mut unit) = fetched.try_next().await? {
        let skip = from.saturating_sub(unit.number * TILE_WIDTH);
        shown.look_at(ledger, &mut unit, skip as usize).await?;
        let bytes = unit.entries.len() + unit.public.as_ref().map_or(0, |bytes| bytes.len());
        let cost = (bytes / 1024).clamp(LEAST, BUDGET);
        if !budget.take(cost).await || to.send((unit, cost)).is_err() {
            break;
        }
    }
    Ok(())
}

async fn fetch(ledger: &dyn Ledger, number: u64, size: u64) -> Result<Unit, SourceError> {
    let missing = |path: String| SourceError::Missing { place: ledger.place(), path };
    let path = |kind| TilePath::at(kind, number, size);
    let (Some(entries_path), Some(tile_path), Some(public_path)) =
        (path(TileKind::Entries), path(TileKind::Hash(0)), path(TileKind::Public))
    else {
        return Err(missing(format!("bundle {number}")));
    };
    let (entries, tile, public) = tokio::try_join!(
        get_or_full(ledger, entries_path, MAX_ENTRY_BUNDLE),
        get_or_full(ledger, tile_path, MAX_HASH_TILE),
        get_or_full(ledger, public_path, MAX_PUBLIC_BUNDLE),
    )?;
    let width = entries_path.width();
    let (mut entries, full) = entries.ok_or_else(|| missing(entries_path.to_string()))?;
    if full && !entries_path.is_full() {
        let used = split_entries(&entries).into_iter().take(width.into());
        let used: usize = used.map(|entry| 2 + entry.map_or(0, <[u8]>::len)).sum();
        entries.truncate(used);
    }
    let mut upper = Vec::new();
    for path in tiles_that_end(number, size) {
        let bytes = get_or_full(ledger, path, MAX_HASH_TILE).await?;
        upper.push((path, bytes.map(|(bytes, _)| bytes)));
    }
    Ok(Unit {
        number,
        width,
        entries,
        tile: tile.map(|(bytes, _)| bytes),
        public: public.map(|(bytes, _)| bytes),
        upper,
        keyring: Arc::default(),
        findings: Vec::new(),
    })
}

/// The tiles above level 0 that are complete with this bundle: full ones, and the partial ones of the tree with the last.
fn tiles_that_end(number: u64, size: u64) -> Vec<TilePath> {
    let mut all = Vec::new();
    let end = (number + 1) * TILE_WIDTH;
    let is_last = end >= size;
    let mut below_ended = end <= size;
    let mut row = end.min(size) / TILE_WIDTH;
    for level in 1..8 {
        let ended = below_ended && row > 0 && row.is_multiple_of(TILE_WIDTH);
        if ended {
            let index = row / TILE_WIDTH - 1;
            all.extend(TilePath::new(TileKind::Hash(level), index, TILE_WIDTH as u16));
        } else if is_last {
            all.extend(TilePath::at(TileKind::Hash(level), row / TILE_WIDTH, row));
        } else {
            break;
        }
        below_ended = ended;
        row /= TILE_WIDTH;
    }
    all
}

impl Shown {
    /// Notes which manifests and days the bundle shows, beyond the first `skip` leaves, and gives it the keys.
    async fn look_at(
        &mut self,
        ledger: &dyn Ledger,
        unit: &mut Unit,
        skip: usize,
    ) -> Result<(), SourceError> {
        let mut named: Vec<(LoggedManifest, ManifestVersion)> = Vec::new();
        for (at, entry) in split_entries(&unit.entries).into_iter().enumerate().skip(skip) {
            match entry {
                // A tally's kind is followed by its day.
                Some([3, _, a, b, c, d, ..]) => {
                    self.newest_day = self.newest_day.max(u32::from_be_bytes([*a, *b, *c, *d]));
                }
                Some(bytes @ [6, ..]) => {
                    let Ok(Leaf::Manifest(leaf)) = Leaf::decode(bytes) else { continue };
                    let index = unit.number * TILE_WIDTH + at as u64;
                    let held_on = Day(self.newest_day);
                    named.push((LoggedManifest { index, version: leaf.version, held_on }, leaf));
                }
                _ => {}
            }
        }
        for (logged, leaf) in named {
            self.add(ledger, logged, &leaf, &mut unit.findings).await?;
        }
        unit.keyring = self.keyring.clone();
        Ok(())
    }

    async fn add(
        &mut self,
        ledger: &dyn Ledger,
        logged: LoggedManifest,
        leaf: &ManifestVersion,
        findings: &mut Vec<Finding>,
    ) -> Result<(), SourceError> {
        let file = ledger.get(&manifest_path(logged.version), MAX_MANIFEST).await?;
        let keyring = Arc::make_mut(&mut self.keyring);
        keyring.add(&self.vendor, leaf, logged, file.as_deref(), findings);
        Ok(())
    }

    /// The keys of the manifests that an earlier audit has seen, which is where what is wrong with them was said.
    pub(super) async fn restore(
        ledger: &dyn Ledger,
        vendor: VendorId,
        manifests: &[LoggedManifest],
        newest_day: u32,
    ) -> Result<Self, SourceError> {
        let mut shown = Self { vendor, keyring: Arc::default(), newest_day };
        for logged in manifests {
            let file = ledger.get(&manifest_path(logged.version), MAX_MANIFEST).await?;
            let Some(file) = file else { continue };
            let Ok(manifest) = scrip_protocol::manifest::Manifest::open(&file, &vendor) else {
                continue;
            };
            let leaf = ManifestVersion { version: logged.version, digest: manifest.digest() };
            let keyring = Arc::make_mut(&mut shown.keyring);
            keyring.add(&vendor, &leaf, *logged, Some(&file), &mut Vec::new());
        }
        Ok(shown)
    }
}

/// Where a version of the manifest is.
pub(super) fn manifest_path(version: u64) -> String {
    format!("manifest/{version}")
}

#[cfg(test)]
mod tests {
    use scrip_protocol::tlog::tile::new_tiles;

    use super::*;

    #[test]
    fn every_tile_above_the_leaves_is_compared_once() {
        for size in [1, 255, 256, 257, 65_535, 65_536, 65_537, 65_792, 131_072, 200_000] {
            let mut ended: Vec<TilePath> =
                (0..size_of(size)).flat_map(|number| tiles_that_end(number, size)).collect();
            let mut all = new_tiles(0, size);
            all.retain(|path| path.kind() != TileKind::Hash(0));
            ended.sort_unstable();
            all.sort_unstable();
            assert_eq!(ended, all, "{size}");
        }
        fn size_of(size: u64) -> u64 {
            size.div_ceil(TILE_WIDTH)
        }
    }
}
