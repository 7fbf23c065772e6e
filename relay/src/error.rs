//! Why a relay is not made, or does not start.

use scrip_runtime::{client::ClientError, files::FileError};
use scrip_verifier::{OpenError, spent::StoreError as SpentError, verifier::RecoverError};

use crate::{
    chunk_files::ChunkFileError, collector::CollectError, config::BadConfig,
    identity::IdentityError, inventory::InventoryError, lock::LockError, moment::MomentError,
    store::StoreError,
};

/// Why `init` made nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// The configuration makes no sense.
    #[error(transparent)]
    Config(#[from] BadConfig),
    /// The directory could not be made.
    #[error(transparent)]
    Directory(#[from] FileError),
    /// Another process uses the directory.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The directory is a relay's already.
    #[error(transparent)]
    Inventory(#[from] InventoryError),
    /// The spent store could not be made.
    #[error(transparent)]
    Spent(#[from] scrip_verifier::spent::StoreError),
    /// The key could not be made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The database could not be made.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a relay does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration makes no sense.
    #[error(transparent)]
    Config(#[from] BadConfig),
    /// Another process uses the directory.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Something of the relay is gone.
    #[error(transparent)]
    Inventory(#[from] InventoryError),
    /// The key does not open.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The database does not open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The directory of chunks cannot be used.
    #[error(transparent)]
    Files(#[from] ChunkFileError),
    /// The databases are not of one moment.
    #[error(transparent)]
    Moment(#[from] MomentError),
    /// Chunks and rows could not be compared.
    #[error("cannot clean up after the last run: {0}")]
    Collect(#[from] CollectError),
    /// The file of additional roots cannot be read.
    #[error("cannot read `client.extra_roots`: {0}; correct the path, or remove the key")]
    ExtraRoots(#[source] std::io::Error),
    /// The way to the vendors cannot be set up.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The verifier does not open.
    #[error(transparent)]
    Verifier(#[from] OpenError),
    /// The spent store does not open.
    #[error(transparent)]
    Spent(#[from] SpentError),
    /// Payments that a crash interrupted could not be settled.
    #[error("cannot settle the payments of the last run: {0}")]
    Recover(#[from] RecoverError),
    /// The program is ending.
    #[error("the start was interrupted")]
    Interrupted,
}
