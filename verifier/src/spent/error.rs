//! What can go wrong with the spent store. Never the fault of a client.

use std::{path::PathBuf, sync::Arc};

/// Why the store did not do what it should. Whether a write that failed happened all the same is not known.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database cannot be opened.
    #[error(
        "cannot open the database {path}: {source}; check that the file is yours and that the disk has space, or restore a backup where it is damaged"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// What the driver says.
        source: Arc<sqlx::Error>,
    },
    /// The file is damaged.
    #[error(
        "the database {path} is damaged ({damage}); keep it aside, and restore the newest backup of it"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite says of it first.
        damage: String,
    },
    /// A newer release wrote this database.
    #[error(
        "the database {path} is at version {found}, this program knows {known}; use the newer release"
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// The version of the database.
        found: i64,
        /// The latest that this program knows.
        known: i64,
    },
    /// Another process writes to this database.
    #[error("another process has {path} open for writing; stop it first")]
    InUse {
        /// The file that is locked.
        path: PathBuf,
    },
    /// A statement failed, or the commit did.
    #[error("`{transaction}` failed: {source}; check the free space and the disk's health")]
    Failed {
        /// The name of the transaction or query.
        transaction: &'static str,
        /// What the driver says.
        source: Arc<sqlx::Error>,
    },
    /// A row holds what this program never writes.
    #[error("the table `{table}` holds a damaged row; restore the database from a backup")]
    Damaged {
        /// The table.
        table: &'static str,
    },
    /// The writer has stopped; the program is shutting down.
    #[error("the store is closed")]
    Closed,
    /// The payment is not reserved.
    #[error("the payment is not reserved (any more); nothing was changed")]
    NotReserved,
    /// The payment was committed, or shown to the vendor: its certificates are taken.
    #[error(
        "the payment was committed or shown to the vendor, and cannot be released; nothing was changed"
    )]
    NotReleasable,
    /// An item of a new batch is in a batch already.
    #[error("an item of the batch is in another batch, or was released; nothing was changed")]
    AlreadyInBatch,
    /// No batch has this number, or it has another number of items.
    #[error("the outcome belongs to no batch; nothing was changed")]
    UnknownBatch,
    /// A store of tests that was told to fail.
    #[cfg(any(test, feature = "testing"))]
    #[error("told to fail")]
    Injected,
}
