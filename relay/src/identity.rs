//! The operator's key: sealed in one file, its public half readable in another.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rand_core::{CryptoRng, RngCore};
use scrip_protocol::keys::{PublicKey, SigningKey};
use scrip_runtime::{
    files::{FileError, replace_atomically, write_new_private},
    passphrase::Passphrase,
    sealed::{SealParams, SealedError, open, seal},
};

/// The sealed key.
pub(crate) const SEALED_FILE: &str = "operator.key";
/// Its public half, as text.
pub(crate) const PUBLIC_FILE: &str = "operator.pub";
/// What the sealed bytes are bound to.
const CONTEXT: &[u8] = b"scrip-relay operator key";

/// Why there is no operator's key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A file could not be written, or was there already.
    #[error(transparent)]
    Write(#[from] FileError),
    /// A file could not be read.
    #[error(
        "cannot read {path}: {source}; check the owner of the file, or restore it from a backup (`scrip-relay init` makes a new relay elsewhere)"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The key does not open.
    #[error("the operator's key: {0}")]
    Sealed(#[from] SealedError),
    /// The two files do not belong together.
    #[error(
        "{SEALED_FILE} and {PUBLIC_FILE} are damaged or do not belong together; restore both from a backup"
    )]
    Damaged,
}

/// Makes a key in `directory` and returns its public half.
///
/// # Errors
/// [`IdentityError`]; a key that is there already is left as it is.
pub(crate) fn create(
    directory: &Path,
    passphrase: &Passphrase,
    params: SealParams,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<PublicKey, IdentityError> {
    let key = SigningKey::generate(rng);
    let sealed = seal(passphrase, params, CONTEXT, key.seed(), rng);
    write_new_private(&directory.join(SEALED_FILE), &sealed)?;
    write_public(directory, &key.public())?;
    Ok(key.public())
}

/// The same where there is no key; otherwise the one that is there, which has to open.
///
/// # Errors
/// [`IdentityError`].
pub(crate) fn create_or_keep(
    directory: &Path,
    passphrase: &Passphrase,
    params: SealParams,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<PublicKey, IdentityError> {
    if directory.join(SEALED_FILE).exists() {
        return Ok(unseal(directory, passphrase)?.public());
    }
    create(directory, passphrase, params, rng)
}

/// The key in `directory`. Takes a good part of a second.
///
/// # Errors
/// [`IdentityError`].
pub(crate) fn unseal(
    directory: &Path,
    passphrase: &Passphrase,
) -> Result<SigningKey, IdentityError> {
    let path = directory.join(SEALED_FILE);
    let sealed = fs::read(&path).map_err(|source| IdentityError::Read { path, source })?;
    let seed = open(passphrase, CONTEXT, &sealed)?;
    let seed: &[u8; 32] = seed.as_slice().try_into().map_err(|_| IdentityError::Damaged)?;
    let key = SigningKey::from_seed(seed);
    if !directory.join(PUBLIC_FILE).exists() {
        write_public(directory, &key.public())?; // a crash came between the two files
    }
    if key.public() == public(directory)? { Ok(key) } else { Err(IdentityError::Damaged) }
}

fn write_public(directory: &Path, key: &PublicKey) -> Result<(), IdentityError> {
    Ok(replace_atomically(&directory.join(PUBLIC_FILE), format!("{key}\n").as_bytes())?)
}

/// The public half of the key in `directory`, which needs no passphrase.
///
/// # Errors
/// [`IdentityError`].
pub(crate) fn public(directory: &Path) -> Result<PublicKey, IdentityError> {
    let path = directory.join(PUBLIC_FILE);
    let text = fs::read_to_string(&path).map_err(|source| IdentityError::Read { path, source })?;
    text.trim_end().parse().map_err(|_| IdentityError::Damaged)
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    #[test]
    fn a_key_opens_with_its_passphrase_only_and_is_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let right = Passphrase::new("right".into());
        let params = SealParams::for_tests();
        let made = create(directory.path(), &right, params, &mut rng).unwrap();
        assert_eq!(public(directory.path()).unwrap(), made);
        assert_eq!(unseal(directory.path(), &right).ok().unwrap().public(), made);
        let wrong = unseal(directory.path(), &Passphrase::new("wrong".into()));
        assert!(matches!(wrong, Err(IdentityError::Sealed(SealedError::DoesNotOpen))));
        let again = create(directory.path(), &right, params, &mut rng);
        assert!(matches!(again, Err(IdentityError::Write(FileError::Exists { .. }))));
        assert_eq!(unseal(directory.path(), &right).ok().unwrap().public(), made);
    }

    #[test]
    fn a_public_half_of_another_key_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let passphrase = Passphrase::new("p".into());
        create(directory.path(), &passphrase, SealParams::for_tests(), &mut rng).unwrap();
        let other = SigningKey::generate(&mut rng).public();
        fs::write(directory.path().join(PUBLIC_FILE), other.to_string()).unwrap();
        let opened = unseal(directory.path(), &passphrase);
        assert!(matches!(opened, Err(IdentityError::Damaged)));
        fs::remove_file(directory.path().join(PUBLIC_FILE)).unwrap();
        let key = unseal(directory.path(), &passphrase).ok().unwrap();
        assert_eq!(
            public(directory.path()).unwrap(),
            key.public(),
            "a lost public half is made anew"
        );
    }
}
