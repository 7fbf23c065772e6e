//! What can go wrong with the database. Never the fault of a client.

use std::{path::PathBuf, sync::Arc};

/// Why the database did not do what it should.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file is missing, or not readable, or no database.
    #[error(
        "cannot open the database {path}: {source}; check the owner of the file, or restore a backup where it is damaged"
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
    /// A statement failed: what it belonged to was rolled back.
    #[error("the transaction `{transaction}` failed: {source}; check the disk and its free space")]
    Failed {
        /// The transaction's name.
        transaction: &'static str,
        /// What the driver says.
        source: Arc<sqlx::Error>,
    },
    /// The commit of a group of transactions failed. They may be on the disk all the same.
    #[error("a commit failed: {source}; check the disk and its free space")]
    Commit {
        /// What the driver says.
        source: Arc<sqlx::Error>,
    },
    /// The database was closed, or the group that the transaction belonged to was rolled back before its turn came.
    #[error(
        "the transaction `{transaction}` was not run; the relay is ending, or its log says why"
    )]
    NotRun {
        /// The transaction's name.
        transaction: &'static str,
    },
    /// A row holds what this program never writes.
    #[error("the table `{table}` holds a damaged row; restore the database from a backup")]
    Damaged {
        /// The table.
        table: &'static str,
    },
    /// A newer release wrote this database.
    #[error(
        "the database is at version {found}, this program knows {known}; use the newer release"
    )]
    TooNew {
        /// The version of the database.
        found: i64,
        /// The latest that this program knows.
        known: i64,
    },
    /// An older release wrote this database, and only `start` brings it up to date.
    #[error(
        "the database is at version {found}, this program needs {known}; run `scrip-relay start` once"
    )]
    TooOld {
        /// The version of the database.
        found: i64,
        /// The version that is needed.
        known: i64,
    },
}

/// Why the body of a transaction failed; [`StoreError`] adds which transaction it was.
#[derive(Debug)]
pub(crate) enum TxError {
    Sql(sqlx::Error),
    Damaged { table: &'static str },
}

impl From<sqlx::Error> for TxError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl TxError {
    pub(super) fn named(self, transaction: &'static str) -> StoreError {
        match self {
            Self::Sql(source) => StoreError::Failed { transaction, source: Arc::new(source) },
            Self::Damaged { table } => StoreError::Damaged { table },
        }
    }
}
