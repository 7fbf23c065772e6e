//! One process at a time.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
    time::Duration,
};

use super::StoreError;

/// A wallet that was dropped in the middle of a commit keeps its lock until that is over.
const PAUSE: Duration = Duration::from_millis(25);
const TURNS: u32 = 20;

/// A lock that the system releases when the process ends, however it ends.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, also where it becomes free in a moment.
    pub(super) async fn wait(directory: &Path, name: &str) -> Result<Self, StoreError> {
        for _ in 0..TURNS {
            match Self::take(directory, name) {
                Err(StoreError::InUse(_)) => tokio::time::sleep(PAUSE).await,
                other => return other,
            }
        }
        Self::take(directory, name)
    }

    /// Takes the lock `name` in `directory`.
    pub(super) fn take(directory: &Path, name: &str) -> Result<Self, StoreError> {
        let path = directory.join(name);
        let failed = |source| StoreError::Lock { path: path.clone(), source };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(directory.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}
