//! The ledger (ledger.md): an append-only Merkle log of what was redeemed, and of all that is needed to judge the vendor's books.
//!
//! What happened is recorded with a narrow row that puts it in line, in one transaction ([`crate::store`]). One process at a time,
//! the holder of a lease in the database, takes what is in line and *integrates* it. What is durable, in which order:
//!
//! 1. nothing: the line is read, leaves are made, the new root is computed and the checkpoint signed
//!    (`issuer.ledger.collected`, `issuer.ledger.signed`). A crash leaves the line as it was. The checkpoint was shown to
//!    nobody, so that the next one may differ.
//! 2. *sequence*, one transaction: the size grows from n to m if it still was n, every range of leaves gets its place, the signed
//!    checkpoint is stored, and what was in line is taken from it (`issuer.ledger.in_sequence`, `issuer.ledger.sequenced`). From here on the
//!    leaves and the checkpoint of m are fixed. A crash before the commit leaves the line as it was, one after it leaves
//!    `stored < size`, and whoever sequences next derives the same bytes from the database alone and goes on at step 3.
//! 3. the tiles, in no order (`issuer.ledger.tiles_partly`, `issuer.ledger.tiles`). A crash leaves some of them; writing them again
//!    writes the same bytes. Nothing refers to them yet.
//! 4. the file `checkpoint` (`issuer.ledger.checkpoint`): from here on the leaves are published. A crash leaves `stored < size`, and
//!    the steps 3 and 4 are done again, with the same bytes.
//! 5. *stored*, one transaction: `stored` becomes m (`issuer.ledger.stored`). Answers to batches wait for it.
//!
//! Then partial tiles that are full now are removed; what a crash leaves of these is never read and costs a little space.
//!
//! That one process sequences is a matter of order, not of safety: where two believe to be the one, the row of the state lets one of
//! them commit step 2, and in steps 3 to 5 both write the same. Only the file `checkpoint` can go back for a moment, to
//! an older one that is true as well, where a process stalls at step 4 for longer than its lease.

mod answer;
pub mod auditors;
pub(crate) mod belief;
mod edge;
pub(crate) mod entries;
mod files;
mod fresh;
mod lease;
mod own;
mod plan;
mod proven;
mod round;
mod solvency;
mod storage;
mod verify;
mod voided;
mod witnesses;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::atomic::AtomicU64,
};

use scrip_runtime::random::RngFactory;

pub use self::answer::NotPlaced;
pub(crate) use self::fresh::Fresh;
pub(crate) use self::lease::Seen;
pub use self::own::OwnLeavesError;
pub use self::round::{Integrated, Scope};
pub(crate) use self::solvency::prove;
pub use self::solvency::{ProveSolvencyError, ProvenSolvency};
#[cfg(any(test, feature = "testing"))]
pub use self::storage::Fault;
pub use self::storage::{Storage, StorageError, StorageSetupError};
pub use self::verify::{Verified, VerifyError, verify};
pub(crate) use self::witnesses::Witnesses;
pub use self::witnesses::{WitnessConfig, WitnessSetupError};
use crate::{issuer::Issuer, store::StoreError};

/// What the issuer has of its ledger in memory: nothing that is not in the database or the storage as well.
pub(crate) struct Ledger {
    pub(crate) storage: Storage,
    /// The name under which this process holds the lease.
    pub(crate) holder: [u8; 16],
    /// What lies ready for the next integration.
    pub(crate) fresh: Fresh,
    /// How many have asked for an integration.
    pub(crate) arrivals: AtomicU64,
    pub(crate) rounds: tokio::sync::Mutex<Rounds>,
    /// Comparisons of the database with the storage.
    pub(crate) comparisons: belief::Comparisons,
    /// Who cosigns.
    pub(crate) witnesses: Witnesses,
    /// The manifest with its proof, as it was shown last.
    pub(crate) shown: proven::Shown,
}

/// What is kept from one integration to the next.
#[derive(Default)]
pub(crate) struct Rounds {
    /// Whether nothing is integrated any more: the server has stopped.
    pub(crate) stopped: bool,
    /// Of those who asked, how many came before an integration that has ended well.
    pub(crate) covered: u64,
    /// Who else held the lease, and since when nothing has been seen of it.
    pub(crate) seen: Option<Seen>,
    /// Epochs that nothing follows any more, as far as they have been read.
    pub(crate) ended: Option<Ended>,
}

/// Epochs that nothing follows any more.
#[derive(Default)]
pub(crate) struct Ended {
    pub(crate) epochs: BTreeSet<u32>,
    /// Whether some had ended before the ledger began, so that not all evidence of a batch may be there.
    pub(crate) before: bool,
}

/// Why the ledger did not grow. Never the fault of a client; what is in line stays there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The database holds what does not fit together.
    #[error(
        "the ledger cannot go on: what `{0}` holds does not fit the rest; restore the database from a backup"
    )]
    Damaged(&'static str),
    /// A leaf is not in the storage, which should have it.
    #[error(
        "the ledger's storage does not have leaf {index}, which it should have; restore it from a backup"
    )]
    Lost {
        /// Its index.
        index: u64,
    },
    /// The storage is not the one that the ledger was written to.
    #[error(
        "{place} does not have the ledger, of which {stored} leaves were stored; issuers of one database share one storage: \
         correct `store` under `[ledger]`, or restore the files from a backup"
    )]
    OtherStorage {
        /// The storage.
        place: String,
        /// How many leaves were stored.
        stored: u64,
    },
    /// The server is shutting down.
    #[error("the server is shutting down")]
    Interrupted,
}

impl Ledger {
    pub(crate) fn new(storage: Storage, witnesses: Witnesses, rng: &RngFactory) -> Self {
        let mut holder = [0; 16];
        rng().fill_bytes(&mut holder);
        Self {
            storage,
            holder,
            witnesses,
            fresh: Fresh::default(),
            arrivals: AtomicU64::new(0),
            rounds: tokio::sync::Mutex::default(),
            comparisons: belief::Comparisons::default(),
            shown: proven::Shown::default(),
        }
    }
}

impl Issuer {
    /// Where the ledger's files are.
    pub fn ledger_storage(&self) -> &Storage {
        &self.inner.ledger.storage
    }

    /// A file of the ledger.
    pub(crate) async fn ledger_file(&self, name: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(self.inner.ledger.storage.get(name).await?)
    }
}

/// The directory in which a SQLite database of this URL lies.
pub(crate) fn beside(database: &str) -> Option<PathBuf> {
    let path = database.strip_prefix("sqlite://").or_else(|| database.strip_prefix("sqlite:"))?;
    // What `sqlite_url` encodes.
    let path = path.split('?').next()?.replace("%3F", "?").replace("%23", "#").replace("%25", "%");
    Path::new(&path).parent().map(Path::to_owned)
}
