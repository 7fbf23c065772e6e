//! Publishing the proof that the books add up (solvency.md).

use std::collections::{BTreeMap, HashMap};

use scrip_protocol::{
    DecodeError,
    id::{OperatorId, VendorId},
    ledger::{CommitmentKind, Leaf, TallyKind},
    solvency::{Blinding, Claim, PrivateBooks, ProveError, Solvency},
    tlog::{
        hash::{TreeHash, leaf_hash},
        note::Note,
    },
};

use scrip_runtime::random::RngFactory;

use super::{LedgerError, Storage, StorageError};
use crate::{
    issuer::Issuer,
    store::{Store, StoreError},
};

/// The name of the file.
pub(crate) const FILE: &str = "solvency";
/// Leaves that are read at once.
const LEAVES: u16 = 1_000;

/// Why there is no new proof. None of it is a client's fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProveSolvencyError {
    /// The ledger has no leaf yet.
    #[error("the ledger is empty: there is nothing to prove yet")]
    Empty,
    /// The books do not add up. Somebody signs beside them, or a key was stolen.
    #[error(
        "there is no proof of solvency to be had: {0}; keep the ledger as it is, and look for a key that was stolen"
    )]
    Books(#[from] ProveError),
    /// The ledger has a commitment without the leaf that it speaks for, or the reverse.
    #[error(
        "the ledger's tables do not fit together at leaf {index}; restore the database from a backup"
    )]
    Damaged {
        /// The index.
        index: u64,
    },
    /// A leaf does not parse.
    #[error("leaf {index} does not parse: {error}; restore the database from a backup")]
    Leaf {
        /// The index.
        index: u64,
        /// Why.
        error: DecodeError,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The server is shutting down.
    #[error("the server is shutting down")]
    Interrupted,
}

/// What was published.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ProvenSolvency {
    /// Leaves of the tree that the proof is about.
    pub size: u64,
    /// Its epochs.
    pub epochs: Vec<u32>,
    /// Where all that was redeemed before some index is settled exactly: that index.
    pub settled_until: Option<u64>,
}

impl Issuer {
    /// Whether this process is the one that sequences, as far as the database can say.
    pub(crate) async fn sequences(&self) -> bool {
        let state = self.inner.store.ledger_state().await;
        state.is_ok_and(|state| state.holder == self.inner.ledger.holder)
    }

    /// Proves that the books add up as of the newest published checkpoint, and publishes that.
    ///
    /// # Errors
    /// [`ProveSolvencyError`].
    pub async fn prove_solvency(&self) -> Result<ProvenSolvency, ProveSolvencyError> {
        let (store, storage) = (&self.inner.store, &self.inner.ledger.storage);
        prove(store, storage, self.vendor_id(), &self.inner.rng).await
    }
}

/// Proves that the books add up as of the newest published checkpoint, and publishes that. No private key is needed.
///
/// # Errors
/// [`ProveSolvencyError`]; the proof of before stays.
pub(crate) async fn prove(
    store: &Store,
    storage: &Storage,
    vendor: VendorId,
    rng: &RngFactory,
) -> Result<ProvenSolvency, ProveSolvencyError> {
    let size = store.ledger_state().await?.stored;
    let note = match size {
        0 => None,
        _ => store.ledger_note(size).await?,
    };
    let (_, note) = note.filter(|(at, _)| *at == size).ok_or(ProveSolvencyError::Empty)?;
    let text = Note::parse(&note).map_err(|_| ProveSolvencyError::Damaged { index: size })?;
    let text = text.text().to_owned();

    let settled = read_settled(store, size).await?;
    let mut books = read_books(store, size, settled.unwrap_or(0)).await?;
    // Operators were settled up to different points: then no more is claimed than that nobody got too much.
    let settled = settled.filter(|_| books.is_settled_exactly());
    if settled.is_none() {
        books = read_books(store, size, 0).await?;
    }
    let mut rng = rng();
    let prove = move || {
        let claim = Claim { vendor_id: &vendor, checkpoint_text: &text, checkpoint: &note };
        books.prove(&claim, &mut &mut *rng)
    };
    let proof: Solvency =
        tokio::task::spawn_blocking(prove).await.map_err(|_| ProveSolvencyError::Interrupted)??;
    storage.put(FILE, proof.encode()).await?;
    Ok(ProvenSolvency { size, epochs: proof.epochs, settled_until: settled })
}

/// Goes through the leaves below `size` that are neither redemptions, renewals nor covers.
async fn each_leaf(
    store: &Store,
    size: u64,
    mut each: impl FnMut(u64, &[u8], Leaf) -> Result<(), ProveSolvencyError> + Send,
) -> Result<(), ProveSolvencyError> {
    let mut next = 0;
    loop {
        let some = store.ledger_single_leaves(next, size, LEAVES).await?;
        let Some((last, _)) = some.last() else { return Ok(()) };
        next = last + 1;
        for (index, bytes) in &some {
            let leaf = Leaf::decode(bytes)
                .map_err(|error| ProveSolvencyError::Leaf { index: *index, error })?;
            each(*index, bytes, leaf)?;
        }
    }
}

/// Up to where every operator that redeemed something was settled.
async fn read_settled(store: &Store, size: u64) -> Result<Option<u64>, ProveSolvencyError> {
    let mut until: BTreeMap<OperatorId, u64> = BTreeMap::new();
    let note = |_: u64, _: &[u8], leaf: Leaf| {
        match leaf {
            Leaf::Tally(tally) if tally.kind == TallyKind::Redeemed => {
                tally.operator_id.map(|operator| until.entry(operator).or_insert(0));
            }
            Leaf::Statement(statement) => {
                let statement = statement.unverified();
                until.insert(statement.operator_id, statement.until);
            }
            _ => {}
        }
        Ok(())
    };
    each_leaf(store, size, note).await?;
    Ok(until.into_values().min().filter(|until| *until > 0))
}

/// The openings of all commitments. Each commitment stands in front of the leaf that it speaks for.
async fn read_books(
    store: &Store,
    size: u64,
    settled_until: u64,
) -> Result<PrivateBooks, ProveSolvencyError> {
    let mut books = PrivateBooks::new(settled_until);
    let mut open: HashMap<(TreeHash, CommitmentKind, u32), u64> = HashMap::new();
    let add = |index: u64, bytes: &[u8], leaf: Leaf| {
        let damaged = ProveSolvencyError::Damaged { index };
        match leaf {
            Leaf::Commitment(commitment) => {
                let key = (commitment.leaf_hash, commitment.kind, commitment.epoch);
                if open.insert(key, index).is_some() {
                    return Err(damaged);
                }
            }
            Leaf::Tally(tally) => {
                // Those of test keys have none.
                let kind = CommitmentKind::Tally(tally.kind);
                if let Some(at) = open.remove(&(leaf_hash(bytes), kind, tally.epoch)) {
                    let blinding = Blinding::from_bytes(&tally.blinding);
                    let (Some(blinding), Some(credits)) = (blinding, tally.credits()) else {
                        return Err(damaged);
                    };
                    books.add(at, kind, tally.epoch, credits, &blinding);
                }
            }
            Leaf::Statement(statement) => {
                for settled in &statement.unverified().settled {
                    let key = (leaf_hash(bytes), CommitmentKind::Settled, settled.epoch);
                    let at = open.remove(&key);
                    let blinding = Blinding::from_bytes(&settled.blinding);
                    let (Some(at), Some(blinding)) = (at, blinding) else { return Err(damaged) };
                    books.add(at, key.1, settled.epoch, settled.credits, &blinding);
                }
            }
            _ => {}
        }
        Ok(())
    };
    each_leaf(store, size, add).await?;
    match open.into_values().next() {
        Some(index) => Err(ProveSolvencyError::Damaged { index }),
        None => Ok(books),
    }
}
