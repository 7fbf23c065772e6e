//! Writes a ledger as files, leaf by leaf: entries, public entries and hash tiles, in the layout of ledger.md.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use scrip_protocol::{
    id::VendorId,
    tlog::{
        hash::{TreeHash, leaf_hash},
        tile::{
            EntryBundle, PublicBundle, TILE_WIDTH, TileKind, TilePath, encode_hashes,
            full_tile_hash,
        },
        tree::Frontier,
    },
};

/// A ledger that is being written.
pub struct LedgerWriter {
    root: PathBuf,
    bundle: Vec<Vec<u8>>,
    rows: Vec<Vec<TreeHash>>,
    written: Vec<u64>,
    tree: Frontier,
}

impl LedgerWriter {
    /// A ledger in `root`.
    pub fn new(root: &Path) -> Self {
        let (bundle, rows, written) = (Vec::new(), Vec::new(), Vec::new());
        Self { root: root.to_owned(), bundle, rows, written, tree: Frontier::empty() }
    }

    /// Leaves so far.
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: Vec<u8>) {
        let hash = leaf_hash(&leaf);
        self.tree.push(hash);
        self.bundle.push(leaf);
        if self.bundle.len() as u64 == TILE_WIDTH {
            self.write_bundle();
        }
        self.roll_up(0, hash);
    }

    fn roll_up(&mut self, level: usize, hash: TreeHash) {
        if self.rows.len() == level {
            self.rows.push(Vec::new());
            self.written.push(0);
        }
        self.rows[level].push(hash);
        if let Ok(full) = <&[TreeHash; TILE_WIDTH as usize]>::try_from(self.rows[level].as_slice())
        {
            let above = full_tile_hash(full);
            self.write_tile(level);
            self.rows[level].clear();
            self.written[level] += 1;
            self.roll_up(level + 1, above);
        }
    }

    fn write_tile(&self, level: usize) {
        let (row, index) = (&self.rows[level], self.written[level]);
        let path = TilePath::new(TileKind::Hash(level as u8), index, row.len() as u16);
        self.put(&path.expect("a tile").to_string(), &encode_hashes(row));
    }

    fn write_bundle(&mut self) {
        let entries = std::mem::take(&mut self.bundle);
        let index = (self.tree.size() - 1) / TILE_WIDTH;
        let path = |kind| TilePath::new(kind, index, entries.len() as u16).expect("a bundle");
        let is_public = |entry: &Vec<u8>| matches!(entry.first(), Some(4 | 6 | 9));
        let public: BTreeMap<u8, Vec<u8>> = (0..=u8::MAX)
            .zip(&entries)
            .filter(|(_, entry)| is_public(entry))
            .map(|(at, entry)| (at, entry.clone()))
            .collect();
        let public = PublicBundle::new(public).expect("small leaves").encode();
        self.put(&path(TileKind::Public).to_string(), &public);
        let entries_path = path(TileKind::Entries).to_string();
        self.put(&entries_path, &EntryBundle::new(entries).expect("small leaves").encode());
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, bytes).expect("a file");
    }

    /// Writes what is partial, and the signed checkpoint.
    pub fn finish(mut self, vendor: &VendorId) {
        if !self.bundle.is_empty() {
            self.write_bundle();
        }
        for level in 0..self.rows.len() {
            if !self.rows[level].is_empty() {
                self.write_tile(level);
            }
        }
        let checkpoint = super::sign_checkpoint(vendor, self.tree.size(), self.tree.root());
        self.put("checkpoint", checkpoint.as_bytes());
    }
}
