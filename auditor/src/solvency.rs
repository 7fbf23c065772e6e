//! The public check (solvency.md, "Checks"): what everybody can read of a ledger, and the vendor's proof about it.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, pin::pin};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use rand_core::{CryptoRng, RngCore};
use scrip_protocol::{
    DecodeError,
    id::VendorId,
    ledger::{CommitmentKind, Leaf, ManifestVersion},
    limits::{MAX_CHECKPOINT, MAX_MANIFEST, MAX_SOLVENCY},
    manifest::{KeyUse, Manifest, ManifestError},
    solvency::{Claim, PublicBooks, Solvency, SolvencyError},
    tlog::{
        checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint},
        hash::{TreeHash, leaf_hash},
        note::{KeyName, Note, VerifierKey},
        policy::WitnessPolicy,
        tile::{
            MAX_HASH_TILE, MAX_PUBLIC_BUNDLE, PublicBundle, TILE_WIDTH, TileKind, TilePath,
            decode_hashes,
        },
        tree::Frontier,
    },
};
use serde::Serialize;

use crate::source::{Ledger, SourceError};

/// Files that are asked for at one time.
const AHEAD: usize = 8;

/// Why nothing was proven.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A file cannot be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The vendor published no proof.
    #[error("{place} has no proof of solvency; ask the vendor for one, or come back later")]
    NoProof {
        /// Where.
        place: String,
    },
    /// The books are refuted, or the proof is none.
    #[error(transparent)]
    Refuted(#[from] Refutation),
}

/// What is wrong with what the vendor published. Whoever serves the files may have damaged them; if the vendor itself does, it is the
/// vendor's fault.
#[derive(Debug, thiserror::Error)]
pub enum Refutation {
    /// The document does not parse.
    #[error("the proof of solvency does not parse: {0}")]
    Document(DecodeError),
    /// Its checkpoint is not the vendor's, or has too few witnesses.
    #[error("the checkpoint of the proof does not count: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// A tile is not what it should be.
    #[error("{path} is no tile: {error}")]
    Tile {
        /// Which.
        path: String,
        /// Why.
        error: DecodeError,
    },
    /// The tiles are not those of the checkpoint.
    #[error("the hash tiles have another root than the checkpoint of {size} leaves")]
    Root {
        /// The checkpoint's size.
        size: u64,
    },
    /// The tree of the proof is not the beginning of the newest one.
    #[error(
        "the tree of {proven} leaves that the proof is about is not the beginning of the newest one, of {size}"
    )]
    NotContinued {
        /// Leaves of the proof's tree.
        proven: u64,
        /// Leaves of the newest one.
        size: u64,
    },
    /// A public leaf is not in the tree.
    #[error("the public leaf {index} is not the one that the tree has there")]
    Leaf {
        /// Its index.
        index: u64,
    },
    /// A public leaf is none that may be public, or does not parse.
    #[error("the public leaf {index} is neither a commitment nor a manifest")]
    Kind {
        /// Its index.
        index: u64,
    },
    /// A commitment is no point.
    #[error("the commitment at leaf {index} is no point of ristretto255")]
    Point {
        /// Its index.
        index: u64,
    },
    /// No manifest is in the ledger.
    #[error("the ledger names no manifest, so that nothing says which key signs its checkpoints")]
    NoManifest,
    /// A manifest is not the one that the ledger names.
    #[error("manifest/{version} is not the manifest that the ledger names")]
    OtherManifest {
        /// Its version.
        version: u64,
    },
    /// A manifest is not the vendor's.
    #[error("manifest/{version} does not count: {error}")]
    Manifest {
        /// Its version.
        version: u64,
        /// Why.
        error: ManifestError,
    },
    /// Commitments to an epoch that no manifest has, or that is for tests.
    #[error("there are commitments to epoch {epoch}, which is no production epoch of any manifest")]
    Epoch {
        /// The epoch.
        epoch: u32,
    },
    /// The proof does not verify.
    #[error(transparent)]
    Proof(#[from] SolvencyError),
}

/// What the public data show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The vendor.
    pub vendor: VendorId,
    /// Leaves of the tree that the proof is about.
    pub size: u64,
    /// The root over them.
    pub root: TreeHash,
    /// Leaves of the newest tree that the vendor shows, which begins with that one. Nothing is shown of the leaves between.
    pub ledger_size: u64,
    /// Whether what operators redeemed before some point is exactly what they were settled for: the index of that point.
    pub settled_until: Option<u64>,
    /// The epochs, and how many commitments each has.
    pub epochs: Vec<ShownEpoch>,
}

impl Shown {
    /// Leaves that the ledger has grown by since the proof.
    pub fn lag(&self) -> u64 {
        self.ledger_size.saturating_sub(self.size)
    }
}

/// An epoch whose books add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ShownEpoch {
    /// Its number.
    pub epoch: u32,
    /// Commitments to what was issued.
    pub issued: u64,
    /// Commitments to what was redeemed, renewed or expired.
    pub voided: u64,
    /// Commitments to what was settled.
    pub settled: u64,
}

/// Checks the vendor's newest proof, from what everybody may read.
///
/// # Errors
/// [`CheckError`].
pub async fn check(
    ledger: &dyn Ledger,
    vendor: &VendorId,
    policy: &WitnessPolicy,
    rng: &mut (impl RngCore + CryptoRng + Send),
) -> Result<Shown, CheckError> {
    let document = ledger.get("solvency", MAX_SOLVENCY).await?;
    let document = document.ok_or_else(|| CheckError::NoProof { place: ledger.place() })?;
    let proof = Solvency::decode(&document).map_err(Refutation::Document)?;
    let note = Note::parse(&proof.checkpoint).map_err(CheckpointError::from).map_err(refute)?;
    let claimed = Checkpoint::parse(note.text()).map_err(CheckpointError::from).map_err(refute)?;

    let mut read = read_public(ledger, &claimed, proof.settled_until).await?;
    let newest = ledger.get("checkpoint", MAX_CHECKPOINT).await?;
    let missing = || SourceError::Missing { place: ledger.place(), path: "checkpoint".into() };
    let newest = newest.ok_or_else(missing)?;
    let ledger_size = read.grow(ledger, &newest).await?;
    let keys = read_manifests(ledger, vendor, &read).await?;
    let origin = KeyName::of_ledger(vendor);
    let unwitnessed = WitnessPolicy::none();
    let signed = SignedCheckpoint::open(&proof.checkpoint, &origin, &keys, &unwitnessed);
    let signed = signed.map_err(refute)?;
    let checkpoint = signed.checkpoint();
    // Cosignatures come later than the proof, and are on the newest checkpoint.
    SignedCheckpoint::open(&newest, &origin, &keys, policy).map_err(refute)?;
    let claim =
        Claim { vendor_id: vendor, checkpoint_text: note.text(), checkpoint: &proof.checkpoint };
    proof.verify(&claim, &read.books, rng).map_err(refute)?;
    Ok(Shown {
        vendor: *vendor,
        size: checkpoint.size,
        root: checkpoint.root,
        ledger_size,
        settled_until: (proof.settled_until != 0).then_some(proof.settled_until),
        epochs: read.epochs.into_values().collect(),
    })
}

fn refute(why: impl Into<Refutation>) -> CheckError {
    CheckError::Refuted(why.into())
}

/// What the public part of a tree says.
struct Public {
    frontier: Frontier,
    books: PublicBooks,
    epochs: BTreeMap<u32, ShownEpoch>,
    manifests: BTreeMap<u64, ManifestVersion>,
}

/// Reads the hashes of all leaves and the public ones among the leaves, and checks both against the checkpoint.
async fn read_public(
    ledger: &dyn Ledger,
    checkpoint: &Checkpoint,
    settled_until: u64,
) -> Result<Public, CheckError> {
    let mut public = Public {
        books: PublicBooks::new(settled_until),
        epochs: BTreeMap::new(),
        manifests: BTreeMap::new(),
        frontier: Frontier::empty(),
    };
    let places = 0..checkpoint.size.div_ceil(TILE_WIDTH);
    let bundles = stream::iter(places).map(|place| read_bundle(ledger, place, checkpoint.size));
    let mut bundles = pin!(bundles.buffered(AHEAD));
    while let Some((hashes, entries)) = bundles.try_next().await? {
        let start = public.frontier.size();
        for (offset, bytes) in entries {
            let index = start + u64::from(offset);
            if hashes.get(usize::from(offset)) != Some(&leaf_hash(&bytes)) {
                return Err(refute(Refutation::Leaf { index }));
            }
            public.add(index, &bytes)?;
        }
        hashes.into_iter().for_each(|hash| public.frontier.push(hash));
    }
    let edge = &public.frontier;
    if edge.size() != checkpoint.size || edge.root() != checkpoint.root {
        return Err(refute(Refutation::Root { size: checkpoint.size }));
    }
    Ok(public)
}

impl Public {
    /// Reads on to the tree of `newest`, which must begin with this one, and says how large it is. Of what came since, manifests
    /// alone are taken: a newer one may have the key that signed it.
    async fn grow(&mut self, ledger: &dyn Ledger, newest: &[u8]) -> Result<u64, CheckError> {
        let note = Note::parse(newest).map_err(CheckpointError::from).map_err(refute)?;
        let claimed = Checkpoint::parse(note.text()).map_err(CheckpointError::from);
        let Checkpoint { size, root, .. } = claimed.map_err(refute)?;
        let proven = self.frontier.size();
        let places = proven / TILE_WIDTH..size.div_ceil(TILE_WIDTH);
        let bundles = stream::iter(places).map(|place| async move {
            Ok::<_, CheckError>((place, read_bundle(ledger, place, size).await?))
        });
        let mut bundles = pin!(bundles.buffered(AHEAD));
        while let Some((place, (hashes, entries))) = bundles.try_next().await? {
            let start = place * TILE_WIDTH;
            for (offset, bytes) in entries {
                let index = start + u64::from(offset);
                if hashes.get(usize::from(offset)) != Some(&leaf_hash(&bytes)) {
                    return Err(refute(Refutation::Leaf { index }));
                }
                if let Ok(Leaf::Manifest(manifest)) = Leaf::decode(&bytes)
                    && index >= proven
                {
                    self.manifests.insert(manifest.version, manifest);
                }
            }
            let known = usize::try_from(proven.saturating_sub(start)).unwrap_or(usize::MAX);
            hashes.into_iter().skip(known).for_each(|hash| self.frontier.push(hash));
        }
        let edge = &self.frontier;
        let follows = size >= proven && edge.size() == size && edge.root() == root;
        if follows { Ok(size) } else { Err(refute(Refutation::NotContinued { proven, size })) }
    }

    fn add(&mut self, index: u64, bytes: &[u8]) -> Result<(), Refutation> {
        match Leaf::decode(bytes) {
            Ok(Leaf::Commitment(commitment)) => {
                self.books.add(index, &commitment).map_err(|_| Refutation::Point { index })?;
                let epoch = commitment.epoch;
                let none = ShownEpoch { epoch, issued: 0, voided: 0, settled: 0 };
                let shown = self.epochs.entry(epoch).or_insert(none);
                match commitment.kind {
                    CommitmentKind::Tally(kind) if kind.issues() => shown.issued += 1,
                    CommitmentKind::Tally(_) => shown.voided += 1,
                    CommitmentKind::Settled => shown.settled += 1,
                }
                Ok(())
            }
            Ok(Leaf::Manifest(manifest)) => {
                self.manifests.insert(manifest.version, manifest);
                Ok(())
            }
            Ok(Leaf::Voided(_)) => Ok(()),
            Ok(_) | Err(_) => Err(Refutation::Kind { index }),
        }
    }
}

/// The hashes of a bundle's leaves, and the public ones among its leaves.
async fn read_bundle(
    ledger: &dyn Ledger,
    place: u64,
    size: u64,
) -> Result<(Vec<TreeHash>, BTreeMap<u8, Vec<u8>>), CheckError> {
    let hashes = read_hashes(ledger, place, size).await?;
    let Some(path) = TilePath::at(TileKind::Public, place, size) else {
        return Ok((hashes, BTreeMap::new()));
    };
    let (path, bytes) = read_tile(ledger, path, MAX_PUBLIC_BUNDLE).await?;
    let bundle = PublicBundle::decode(&bytes, path.width()).map_err(|e| bad_tile(path, e))?;
    let mut entries = bundle.into_entries();
    entries.retain(|offset, _| usize::from(*offset) < hashes.len());
    Ok((hashes, entries))
}

/// The hashes of a bundle's leaves.
async fn read_hashes(
    ledger: &dyn Ledger,
    place: u64,
    size: u64,
) -> Result<Vec<TreeHash>, CheckError> {
    let Some(wanted) = TilePath::at(TileKind::Hash(0), place, size) else { return Ok(Vec::new()) };
    let (path, bytes) = read_tile(ledger, wanted, MAX_HASH_TILE).await?;
    let mut hashes = decode_hashes(&bytes, path.width()).map_err(|e| bad_tile(path, e))?;
    hashes.truncate(usize::from(wanted.width()));
    Ok(hashes)
}

fn bad_tile(path: TilePath, error: DecodeError) -> CheckError {
    refute(Refutation::Tile { path: path.to_string(), error })
}

/// A tile, or the full one that it has become part of.
async fn read_tile(
    ledger: &dyn Ledger,
    path: TilePath,
    max: usize,
) -> Result<(TilePath, Bytes), CheckError> {
    for path in [path, path.full()] {
        if let Some(bytes) = ledger.get(&path.to_string(), max).await? {
            return Ok((path, bytes));
        }
    }
    Err(SourceError::Missing { place: ledger.place(), path: path.to_string() }.into())
}

/// The keys that may have signed checkpoints: the receipt keys of all manifests. Finds commitments to epochs that are none.
async fn read_manifests(
    ledger: &dyn Ledger,
    vendor: &VendorId,
    public: &Public,
) -> Result<Vec<VerifierKey>, CheckError> {
    let mut keys = Vec::new();
    let mut newest = None;
    for (version, leaf) in &public.manifests {
        let path = format!("manifest/{version}");
        let bytes = ledger.get(&path, MAX_MANIFEST).await?;
        let bytes = bytes.ok_or_else(|| SourceError::Missing { place: ledger.place(), path })?;
        let manifest = Manifest::open(&bytes, vendor)
            .map_err(|error| Refutation::Manifest { version: *version, error })?;
        if manifest.digest() != leaf.digest || manifest.version() != *version {
            return Err(refute(Refutation::OtherManifest { version: *version }));
        }
        for key in VerifierKey::all_of_ledger(vendor, manifest.receipt_keys()) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        newest = Some(manifest);
    }
    let newest = newest.ok_or(Refutation::NoManifest)?;
    let production = |epoch: &u32| {
        let is = |e: &scrip_protocol::manifest::Epoch| {
            e.number == *epoch && e.key_use == KeyUse::Production
        };
        newest.epochs().iter().any(is)
    };
    match public.epochs.keys().find(|epoch| !production(epoch)) {
        Some(epoch) => Err(refute(Refutation::Epoch { epoch: *epoch })),
        None => Ok(keys),
    }
}
