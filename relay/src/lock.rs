//! One process works on a data directory at a time.

use std::{
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
};

const FILE: &str = "relay.lock";

/// Why this process may not use the data directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another one does.
    #[error("another scrip-relay uses {directory}; stop it first, or give another directory")]
    Held {
        /// The directory.
        directory: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot lock {path}: {source}; check its owner and permissions")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// The right to use a data directory, until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    pub(crate) fn acquire(directory: &Path) -> Result<Self, LockError> {
        let path = directory.join(FILE);
        let refused = |source| LockError::Io { path: path.clone(), source };
        let file = File::create(&path).map_err(refused)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Held { directory: directory.into() }),
            Err(TryLockError::Error(source)) => Err(LockError::Io { path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_user() {
        let directory = tempfile::tempdir().unwrap();
        let first = DirectoryLock::acquire(directory.path()).unwrap();
        let second = DirectoryLock::acquire(directory.path());
        assert!(matches!(second, Err(LockError::Held { .. })));
        drop(first);
        DirectoryLock::acquire(directory.path()).unwrap();
    }
}
