//! Why an issuer is not made, does not start, or does not change its keys.

use scrip_protocol::{
    limits::MAX_RECEIPT_KEYS,
    manifest::{ManifestError, SuccessionError},
};
use scrip_runtime::{sealed::SealedError, serve::ServeError};

use crate::{
    epochs::{ChangeError, EpochsTooShort},
    ledger::{StorageSetupError, WitnessSetupError},
    listing::ProductChanged,
    signer::BadKey,
    sources::SetupError,
    store::StoreError,
};

/// Why `init` made nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// The database has an issuer in it.
    #[error("the database has an issuer in it already; use it, or give another `database`")]
    AlreadyInitialised,
    /// The epochs are too short.
    #[error(transparent)]
    EpochsTooShort(#[from] EpochsTooShort),
    /// The RSA library made no key.
    #[error("the RSA library made no key; check that the machine has entropy and memory")]
    KeyGeneration,
    /// What was configured makes no valid manifest.
    #[error(
        "no manifest can be made of this: {0}; correct `--name`, the durations under `[epoch]`, or the `[products]`"
    )]
    Manifest(#[from] ManifestError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an issuer does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The database failed, or has no issuer in it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys do not open.
    #[error("the issuer's keys: {0}")]
    Sealed(#[from] SealedError),
    /// The stored manifest breaks a rule.
    #[error("the stored manifest is not valid: {0}; restore the database from a backup")]
    Manifest(#[from] ManifestError),
    /// A sealed key is no key.
    #[error(transparent)]
    Key(#[from] BadKey),
    /// A key of the manifest has no private half, or the reverse.
    #[error(
        "the private key `{name}` is missing or is not the manifest's; restore the database from a backup"
    )]
    KeyMissing {
        /// Its name.
        name: String,
    },
    /// A product of the configuration is another one than was published.
    #[error(transparent)]
    Product(#[from] ProductChanged),
    /// What is sold could not be published.
    #[error("cannot publish what is sold: {0}")]
    Publish(Box<RotateError>),
    /// A source cannot be used as it is configured.
    #[error(transparent)]
    Source(#[from] SetupError),
    /// A source sells what is no product.
    #[error(
        "`[sources.{source_name}]` sells `{product}`, which is no product; correct it, or add `[products.{product}]`"
    )]
    SourceWithoutProduct {
        /// The source.
        source_name: &'static str,
        /// What it sells.
        product: String,
    },
    /// The ledger's storage cannot be used.
    #[error(transparent)]
    Storage(#[from] StorageSetupError),
    /// The ledger's witnesses cannot be asked.
    #[error(transparent)]
    Witnesses(#[from] WitnessSetupError),
    /// The epochs are too short.
    #[error(transparent)]
    EpochsTooShort(#[from] EpochsTooShort),
    /// The system gave no thread.
    #[error("cannot start the signer's threads: {0}; raise the limit of processes")]
    Threads(#[source] std::io::Error),
    /// The thread that opens the keys ended early.
    #[error("the keys were not opened: the program is shutting down")]
    Interrupted,
    /// The server cannot listen.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

impl From<RotateError> for StartError {
    fn from(error: RotateError) -> Self {
        match error {
            RotateError::Keys(error) => error,
            other => Self::Publish(Box::new(other)),
        }
    }
}

/// Why there is no new version of the manifest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotateError {
    /// The windows cannot be changed so.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The keys do not open.
    #[error(transparent)]
    Keys(#[from] StartError),
    /// No keys were made, or what was made breaks a rule.
    #[error(transparent)]
    Make(#[from] InitError),
    /// What was made takes back what the manifest before promises. Nobody would accept it.
    #[error("{0}; the manifest stays as it is: correct the durations under `[epoch]`")]
    Promise(#[from] SuccessionError),
    /// The manifest has as many receipt keys as readers accept.
    #[error(
        "the manifest has {MAX_RECEIPT_KEYS} receipt keys, which is the most; found a new vendor"
    )]
    TooManyReceiptKeys,
    /// Others published a version every time.
    #[error(
        "other processes changed the manifest {attempts} times meanwhile; see `scrip-issuer keys list`, and try again"
    )]
    Overtaken {
        /// How often it was tried.
        attempts: u32,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
