//! The manifest with the proof that the ledger has it (keys.md, "The proven manifest"): what `GET /v1/manifest` answers.
//!
//! Nothing of it is stored: it is made of the database's row that says where the leaf is, a checkpoint, and hash tiles. With witnesses
//! configured the checkpoint is one that they cosigned; once a version has been shown with cosignatures, this process does not show
//! it with fewer of them because a newer checkpoint is still on its way to them.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use scrip_protocol::{
    manifest::{Manifest, ProvenManifest},
    tlog::{
        checkpoint::Checkpoint,
        note::Note,
        proof::LogProof,
        tree::{inclusion_proof, inclusion_tiles},
    },
};

use super::{LedgerError, Scope, witnesses};
use crate::issuer::Issuer;

/// What was answered last.
#[derive(Default)]
pub(crate) struct Shown(Mutex<Option<Last>>);

#[derive(Clone)]
struct Last {
    version: u64,
    /// The index of the version's leaf.
    index: u64,
    /// The text of the checkpoint.
    checkpoint: String,
    /// By how many of the configured witnesses it is cosigned.
    cosignatures: usize,
    bytes: Bytes,
}

impl Last {
    /// Whether it is at least as good as what `note` would give.
    fn will_do(&self, note: &Note, cosignatures: usize) -> bool {
        let same = self.checkpoint == note.text();
        self.cosignatures > cosignatures || (same && self.cosignatures == cosignatures)
    }
}

impl Shown {
    fn of(&self, version: u64) -> Option<Last> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        last.filter(|last| last.version == version)
    }

    fn keep(&self, last: Last) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }
}

impl Issuer {
    /// The newest manifest of all processes, with its proof; without one until the ledger has it, or while the ledger cannot be read.
    pub(crate) async fn proven_manifest(&self) -> Bytes {
        let manifest = self.newest_ring().await.manifest.clone();
        match self.prove_manifest(&manifest).await {
            Ok(Some(bytes)) => return bytes,
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, "the manifest could not be proven to be in the ledger");
                if let Some(last) = self.inner.ledger.shown.of(manifest.version()) {
                    return last.bytes;
                }
            }
        }
        ProvenManifest::new(manifest.as_ref().clone(), None).encode().into()
    }

    async fn prove_manifest(&self, manifest: &Manifest) -> Result<Option<Bytes>, LedgerError> {
        let version = manifest.version();
        let last = self.inner.ledger.shown.of(version);
        let index = match &last {
            Some(last) => Some(last.index),
            None => self.place_of_manifest(version).await?,
        };
        let Some(index) = index else { return Ok(None) };
        let Some((note, checkpoint)) = self.checkpoint_with(index).await? else { return Ok(None) };
        let cosignatures = self.inner.ledger.witnesses.count(&note);
        if let Some(last) = last.filter(|last| last.will_do(&note, cosignatures)) {
            return Ok(Some(last.bytes));
        }
        let paths = inclusion_tiles(index, checkpoint.size);
        let tiles = witnesses::read_tiles(&self.inner.ledger.storage, paths).await?;
        let inclusion = inclusion_proof(&tiles, index, checkpoint.size)
            .map_err(|_| LedgerError::Lost { index })?;
        let text = note.text().to_owned();
        let proof = LogProof { extra: None, index, inclusion, checkpoint: note };
        let bytes: Bytes = ProvenManifest::new(manifest.clone(), Some(proof)).encode().into();
        let shown = Last { version, index, checkpoint: text, cosignatures, bytes: bytes.clone() };
        self.inner.ledger.shown.keep(shown);
        Ok(Some(bytes))
    }

    /// Where the leaf of this version is. One that was published a moment ago gets its place now.
    async fn place_of_manifest(&self, version: u64) -> Result<Option<u64>, LedgerError> {
        let store = &self.inner.store;
        if let Some(index) = store.manifest_leaf(version).await? {
            return Ok(Some(index));
        }
        self.integrate(Scope::Due).await?;
        Ok(store.manifest_leaf(version).await?)
    }

    /// A checkpoint of a tree that has this leaf: the newest that witnesses cosigned, and without witnesses the newest.
    async fn checkpoint_with(&self, index: u64) -> Result<Option<(Note, Checkpoint)>, LedgerError> {
        let ledger = &self.inner.ledger;
        if !ledger.witnesses.are_none()
            && let Some(cosigned) = witnesses::read_cosigned(&ledger.storage).await?
            && cosigned.1.size > index
        {
            return Ok(Some(cosigned));
        }
        // With witnesses it waits for them a little: this version is new.
        let newest = self.shown_checkpoint().await?;
        let newest = newest.as_deref().and_then(witnesses::parse);
        Ok(newest.filter(|(_, checkpoint)| checkpoint.size > index))
    }
}
