//! The witness's key, sealed under a passphrase.

use std::{fs, io, path::Path, path::PathBuf};

use rand_core::{CryptoRng, RngCore};
use scrip_protocol::keys::SigningKey;
use scrip_runtime::{
    files::{FileError, write_new_private},
    passphrase::Passphrase,
    sealed::{SealParams, SealedError, open, seal},
};

const FILE: &str = "witness.key";
/// What the sealed bytes are bound to.
const CONTEXT: &[u8] = b"scrip-witness key";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum IdentityError {
    /// A file could not be written, or was there already.
    #[error(transparent)]
    Write(#[from] FileError),
    /// A file could not be read.
    #[error(
        "cannot read {path}: {source}; check its owner, or make a witness with `scrip-witness init`"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The key does not open.
    #[error("the witness's key: {0}")]
    Sealed(#[from] SealedError),
    /// What was sealed is no key.
    #[error("{FILE} is damaged; restore it from a copy")]
    Damaged,
}

/// Makes a key. One that is there already stays as it is.
pub(super) fn create(
    directory: &Path,
    passphrase: &Passphrase,
    params: SealParams,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<SigningKey, IdentityError> {
    let key = SigningKey::generate(rng);
    let sealed = seal(passphrase, params, CONTEXT, key.seed(), rng);
    write_new_private(&directory.join(FILE), &sealed)?;
    Ok(key)
}

/// The key. Takes a good part of a second.
pub(super) fn unseal(
    directory: &Path,
    passphrase: &Passphrase,
) -> Result<SigningKey, IdentityError> {
    let path = directory.join(FILE);
    let sealed = fs::read(&path).map_err(|source| IdentityError::Read { path, source })?;
    let seed = open(passphrase, CONTEXT, &sealed)?;
    let seed = seed.as_slice().try_into().map_err(|_| IdentityError::Damaged)?;
    Ok(SigningKey::from_seed(seed))
}
