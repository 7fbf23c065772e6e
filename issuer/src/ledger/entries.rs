//! Reading stored leaves from their bundles.

use scrip_protocol::tlog::tile::{EntryBundle, TILE_WIDTH, TileKind, TilePath};

use super::{LedgerError, Storage};

/// Reads leaves of a stored tree, best in their order: the bundle that was read last is kept.
pub(crate) struct Entries<'a> {
    storage: &'a Storage,
    size: u64,
    held: Option<(u64, Vec<Vec<u8>>)>,
}

impl<'a> Entries<'a> {
    /// Those of the tree of `size` leaves, all of them stored.
    pub(crate) fn new(storage: &'a Storage, size: u64) -> Self {
        Self { storage, size, held: None }
    }

    /// The leaf at `index`.
    ///
    /// # Errors
    /// [`LedgerError::Lost`] where its bundle is not in the storage, and others.
    pub(crate) async fn leaf(&mut self, index: u64) -> Result<Vec<u8>, LedgerError> {
        let lost = || LedgerError::Lost { index };
        let bundle = index / TILE_WIDTH;
        if self.held.as_ref().is_none_or(|(number, _)| *number != bundle) {
            let path = TilePath::at(TileKind::Entries, bundle, self.size).ok_or_else(lost)?;
            let (path, bytes) = match self.storage.get(&path.to_string()).await? {
                Some(bytes) => (path, Some(bytes)),
                None => (path.full(), self.storage.get(&path.full().to_string()).await?),
            };
            let entries = EntryBundle::decode(&bytes.ok_or_else(lost)?, path.width());
            self.held = Some((bundle, entries.map_err(|_| lost())?.into_entries()));
        }
        let offset = (index % TILE_WIDTH) as usize;
        let leaf = self.held.as_ref().and_then(|(_, entries)| entries.get(offset));
        leaf.cloned().ok_or_else(lost)
    }
}
