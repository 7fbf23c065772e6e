//! A ledger as files, as they lie in the vendor's store.

use std::{
    fs::File,
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};

use super::{Ledger, SourceError};

/// A ledger in a directory.
pub struct DirectoryLedger {
    root: PathBuf,
}

impl DirectoryLedger {
    /// The ledger in `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

impl Ledger for DirectoryLedger {
    fn get<'a>(
        &'a self,
        path: &'a str,
        max: usize,
    ) -> BoxFuture<'a, Result<Option<Bytes>, SourceError>> {
        let file = self.root.join(path);
        let place = self.place();
        async move {
            let read = move || read(&file, max);
            match tokio::task::spawn_blocking(read).await {
                Ok(Ok(Some(bytes))) if bytes.len() > max => {
                    Err(SourceError::TooLarge { place, path: path.to_owned(), max })
                }
                Ok(Ok(bytes)) => Ok(bytes.map(Bytes::from)),
                Ok(Err(source)) => {
                    let path = self.root.join(path).display().to_string();
                    Err(SourceError::Io { path, source })
                }
                Err(stopped) => {
                    let source = std::io::Error::other(stopped);
                    Err(SourceError::Io { path: path.to_owned(), source })
                }
            }
        }
        .boxed()
    }

    fn place(&self) -> String {
        self.root.display().to_string()
    }
}

/// The file, or so much of it that it is seen to be too large; `None` where there is none.
fn read(path: &Path, max: usize) -> std::io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(max).min(max));
    file.take(max as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
