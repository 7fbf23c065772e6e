//! The whole ledger, checked from its files alone: for the command `ledger verify`, and for tests of what a crash leaves.

use std::collections::BTreeMap;

use scrip_protocol::{
    id::VendorId,
    ledger::Leaf,
    manifest::ReceiptKeys,
    tlog::{
        checkpoint::{CheckpointError, SignedCheckpoint},
        hash::TreeHash,
        note::{KeyName, VerifierKey},
        policy::WitnessPolicy,
        tile::{EntryBundle, PublicBundle, TILE_WIDTH, TileKind, TilePath},
    },
};
use serde::Serialize;

use super::{
    Storage, StorageError,
    edge::Edge,
    files::{CHECKPOINT, tiles},
};

/// What a good ledger has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Leaves under the checkpoint.
    pub size: u64,
    /// Its root.
    pub root: TreeHash,
    /// How many leaves of each kind, by the kind's number.
    pub kinds: BTreeMap<u8, u64>,
}

/// What is wrong with a ledger.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// There is none.
    #[error(
        "there is no checkpoint; start the issuer, which writes one, or correct `store` under `[ledger]`"
    )]
    Empty,
    /// The checkpoint does not count.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A file is missing, or is not what it should be.
    #[error(
        "{path} {what}; restore the storage from a backup, and keep this one as it is until you know why"
    )]
    File {
        /// Its name.
        path: String,
        /// What is wrong.
        what: &'static str,
    },
    /// The leaves are not those that were signed.
    #[error(
        "the leaves have the root {found}, and the checkpoint says {signed}; restore the storage from a backup"
    )]
    Root {
        /// That of the leaves.
        found: TreeHash,
        /// That of the checkpoint.
        signed: TreeHash,
    },
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Hashes every leaf again and compares every tile and the root under the checkpoint. `each` sees every leaf with its index.
///
/// # Errors
/// [`VerifyError`], of the first thing that is wrong.
pub async fn verify(
    storage: &Storage,
    vendor: &VendorId,
    receipt_keys: &ReceiptKeys,
    mut each: impl FnMut(u64, &Leaf),
) -> Result<Verified, VerifyError> {
    let note = storage.get(CHECKPOINT).await?.ok_or(VerifyError::Empty)?;
    let origin = KeyName::of_ledger(vendor);
    let keys = VerifierKey::all_of_ledger(vendor, receipt_keys);
    let signed = SignedCheckpoint::open(&note, &origin, &keys, &WitnessPolicy::none())?;
    let size = signed.checkpoint().size;
    let (mut edge, mut kinds) = (Edge::decode(0, &[]), BTreeMap::new());
    for index in 0..size.div_ceil(TILE_WIDTH) {
        let leaves = entries(storage, index, size).await?;
        for (at, leaf) in (index * TILE_WIDTH..).zip(&leaves) {
            let path = format!("leaf {at}");
            let what = "does not parse";
            let parsed = Leaf::decode(leaf).map_err(|_| VerifyError::File { path, what })?;
            *kinds.entry(leaf[0]).or_insert(0) += 1;
            each(at, &parsed);
        }
        let from = index * TILE_WIDTH;
        let held = edge.take().and_then(|edge| tiles(&edge, from, &leaves).ok());
        let (grown, files) =
            held.ok_or_else(|| wrong(&format!("leaves from {from}"), "cannot be hashed"))?;
        // Of hash tiles above, those that are unfinished at this point but not at the end need not be there.
        for (name, bytes) in files {
            compare(storage, &name, &bytes, size).await?;
        }
        edge = Some(grown);
    }
    let found = edge.and_then(|edge| edge.root().ok()).unwrap_or(TreeHash::EMPTY);
    let root = signed.checkpoint().root;
    if found == root {
        Ok(Verified { size, root, kinds })
    } else {
        Err(VerifyError::Root { found, signed: root })
    }
}

/// The leaves of a bundle, as many as there are under the checkpoint. Where its partial tile is gone, the full one is there.
async fn entries(storage: &Storage, index: u64, size: u64) -> Result<Vec<Vec<u8>>, VerifyError> {
    let path = TilePath::at(TileKind::Entries, index, size);
    let path = path.ok_or_else(|| wrong("the checkpoint", "has no size"))?;
    let (found, bytes) = match storage.get(&path.to_string()).await? {
        Some(bytes) => (path, bytes),
        None => {
            let full = storage.get(&path.full().to_string()).await?;
            (path.full(), full.ok_or_else(|| wrong(&path.to_string(), "is missing"))?)
        }
    };
    let bundle = EntryBundle::decode(&bytes, found.width());
    let mut entries =
        bundle.map_err(|_| wrong(&found.to_string(), "does not parse"))?.into_entries();
    entries.truncate(usize::from(path.width()));
    Ok(entries)
}

async fn compare(
    storage: &Storage,
    name: &str,
    expected: &[u8],
    size: u64,
) -> Result<(), VerifyError> {
    let path: TilePath = name.parse().map_err(|_| wrong(name, "is no tile"))?;
    let count = match path.kind() {
        TileKind::Hash(level) => size >> (8 * u32::from(level)),
        TileKind::Entries | TileKind::Public => size,
    };
    let at_the_end = TilePath::at(path.kind(), path.index(), count) == Some(path);
    match storage.get(name).await? {
        Some(found) if found == expected => Ok(()),
        Some(_) => Err(wrong(name, "is not what the leaves say")),
        None if !at_the_end => Ok(()),
        None => compare_with_full(storage, &path, expected).await,
    }
}

/// A partial tile that is gone begins the full one.
async fn compare_with_full(
    storage: &Storage,
    path: &TilePath,
    expected: &[u8],
) -> Result<(), VerifyError> {
    let name = path.to_string();
    let full = storage.get(&path.full().to_string()).await?;
    let full = full.ok_or_else(|| wrong(&name, "is missing"))?;
    let begins = match path.kind() {
        TileKind::Public => PublicBundle::decode(&full, path.full().width())
            .is_ok_and(|_| full.starts_with(expected)),
        TileKind::Hash(_) | TileKind::Entries => full.starts_with(expected),
    };
    if begins { Ok(()) } else { Err(wrong(&name, "is not what the leaves say")) }
}

fn wrong(path: &str, what: &'static str) -> VerifyError {
    VerifyError::File { path: path.to_owned(), what }
}
