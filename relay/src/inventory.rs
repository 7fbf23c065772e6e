//! What a relay's directory must hold. A database that is missing must not be made anew in silence: the relay would forget what
//! it took, take the same certificates again, and never redeem them.

use std::path::{Path, PathBuf};

use scrip_runtime::files::{FileError, remove_durably, write_new_private};

use crate::{error::InitError, identity, relay::DATABASE};

/// A relay's directory is not as it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InventoryError {
    /// Something of a relay is there already.
    #[error(
        "{path} is there already, so that this directory belongs to a relay; restore what it has lost from a backup, \
         or give another directory"
    )]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// `init` was interrupted.
    #[error(
        "`scrip-relay init` was interrupted in {directory}; run it again with the same options, which finishes it"
    )]
    Unfinished {
        /// The directory.
        directory: PathBuf,
    },
    /// Something that the relay had is gone.
    #[error("{path} is missing; restore it from a backup: {loss}")]
    Missing {
        /// The file.
        path: PathBuf,
        /// What is lost without it.
        loss: &'static str,
    },
}

/// Everything that `init` makes, with what is lost where it is lost.
const FILES: [(&str, &str); 4] = [
    (identity::SEALED_FILE, "without it nothing that the vendors owe can be claimed"),
    (identity::PUBLIC_FILE, "without it nothing that the vendors owe can be claimed"),
    (DATABASE, "without it every lease is forgotten"),
    (scrip_verifier::verifier::DATABASE, "without it everything that is not redeemed yet is lost"),
];

/// Is there from before `init` makes the first of these files until all are there.
const UNFINISHED: &str = "init.unfinished";

/// Begins an `init` in `directory`, or goes on with one that was interrupted: what is there is that one's, and is kept.
pub(crate) fn begin(directory: &Path) -> Result<(), InitError> {
    let mark = directory.join(UNFINISHED);
    if !mark.exists() {
        check_empty(directory)?;
        write_new_private(&mark, b"")?;
    }
    Ok(())
}

/// Ends an `init`.
pub(crate) fn finish(directory: &Path) -> Result<(), FileError> {
    remove_durably(&directory.join(UNFINISHED))
}

/// Checks that nothing of a relay is in `directory`.
fn check_empty(directory: &Path) -> Result<(), InventoryError> {
    match FILES.iter().map(|(name, _)| directory.join(name)).find(|path| path.exists()) {
        Some(path) => Err(InventoryError::Taken { path }),
        None => Ok(()),
    }
}

/// Checks that all of a relay is in `directory`. The public key alone can be made again.
pub(crate) fn check_complete(directory: &Path) -> Result<(), InventoryError> {
    if directory.join(UNFINISHED).exists() {
        return Err(InventoryError::Unfinished { directory: directory.into() });
    }
    let needed = FILES.iter().filter(|(name, _)| *name != identity::PUBLIC_FILE);
    for (name, loss) in needed {
        let path = directory.join(name);
        if !path.exists() {
            return Err(InventoryError::Missing { path, loss });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_empty_or_complete() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        assert!(check_empty(path).is_ok() && check_complete(path).is_err());
        for (name, _) in FILES {
            std::fs::write(path.join(name), b"x").unwrap();
            assert!(matches!(check_empty(path), Err(InventoryError::Taken { .. })));
        }
        assert!(check_complete(path).is_ok());
        for (name, _) in FILES.iter().filter(|(name, _)| *name != identity::PUBLIC_FILE) {
            std::fs::remove_file(path.join(name)).unwrap();
            let missing = check_complete(path).unwrap_err();
            assert!(missing.to_string().contains(name), "{missing}");
            std::fs::write(path.join(name), b"x").unwrap();
        }
    }
}
