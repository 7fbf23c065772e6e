//! Where a fetched file goes: first under a name of its own, in the end under the right one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use scrip_protocol::id::encode_base64url;
use sha2::{Digest, Sha256};

use super::FetchOptions;
use crate::{error::WalletError, file::is_plain_name, wallet::apart};

/// The name that the file will have.
pub(super) struct Target(PathBuf);

impl Target {
    /// Decides on the name. The one that came with the file is used only within a directory that the user named.
    pub(super) fn choose(options: &FetchOptions, stored_name: &str) -> Result<Self, WalletError> {
        let path = if options.output.is_dir() {
            if !is_plain_name(stored_name) {
                return Err(WalletError::FileName(PathBuf::from(stored_name)));
            }
            options.output.join(stored_name)
        } else {
            options.output.clone()
        };
        if path.file_name().is_none() {
            return Err(WalletError::FileName(path));
        }
        if !options.overwrite && fs::symlink_metadata(&path).is_ok() {
            return Err(WalletError::FileExists(path));
        }
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

/// A file that is being written. Removed where it is dropped unfinished.
pub(super) struct Unfinished {
    path: PathBuf,
    file: File,
    sha: Sha256,
    written: u64,
    keep: bool,
}

impl Unfinished {
    pub(super) fn create(target: &Target, random: [u8; 6]) -> Result<Self, WalletError> {
        let name = target.0.file_name().unwrap_or_default().to_string_lossy();
        // A long name with the addition would be too long for the file system.
        let short: String = name.chars().take(40).collect();
        let path = target.0.with_file_name(format!(".{short}.{}.part", encode_base64url(&random)));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(WalletError::io("create", &path))?;
        Ok(Self { path, file, sha: Sha256::new(), written: 0, keep: false })
    }

    pub(super) async fn append(self, content: Vec<u8>) -> Result<Self, WalletError> {
        apart(move || {
            let mut this = self;
            this.file.write_all(&content).map_err(WalletError::io("write", &this.path))?;
            this.sha.update(&content);
            this.written += content.len() as u64;
            Ok(this)
        })
        .await?
    }

    pub(super) const fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn digest(&self) -> [u8; 32] {
        self.sha.clone().finalize().into()
    }

    /// Gives the file its name, durably.
    pub(super) async fn finish(self, target: &Target, overwrite: bool) -> Result<(), WalletError> {
        let to = target.0.clone();
        apart(move || {
            let mut this = self;
            this.file.sync_all().map_err(WalletError::io("write", &this.path))?;
            if overwrite {
                fs::rename(&this.path, &to).map_err(WalletError::io("rename", &this.path))?;
                this.keep = true;
                return Ok(());
            }
            // A hard link, unlike a rename, fails where the name was taken meanwhile. The other name goes with `this`.
            match fs::hard_link(&this.path, &to) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    Err(WalletError::FileExists(to))
                }
                Err(_) if fs::symlink_metadata(&to).is_err() => {
                    // A file system without hard links.
                    fs::rename(&this.path, &to).map_err(WalletError::io("rename", &this.path))?;
                    this.keep = true;
                    Ok(())
                }
                other => other.map_err(WalletError::io("rename", &this.path)),
            }
        })
        .await?
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs::remove_file(&self.path); // what is left is a hidden file that nothing reads
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(output: &Path, overwrite: bool) -> FetchOptions {
        FetchOptions { output: output.to_owned(), overwrite }
    }

    async fn written(target: &Target, content: &[u8]) -> Unfinished {
        let file = Unfinished::create(target, [1; 6]).unwrap();
        file.append(content.to_vec()).await.unwrap()
    }

    #[tokio::test]
    async fn a_file_appears_whole_and_alone() {
        let directory = tempfile::tempdir().unwrap();
        let target = Target::choose(&options(directory.path(), false), "name.bin").unwrap();
        let file = written(&target, b"content").await;
        assert!(!target.path().exists());
        file.finish(&target, false).await.unwrap();
        assert_eq!(fs::read(directory.path().join("name.bin")).unwrap(), b"content");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn an_unfinished_file_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let target = Target::choose(&options(directory.path(), false), "name").unwrap();
        drop(written(&target, b"half").await);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn existing_files_stay_unless_they_are_to_be_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("old");
        fs::write(&path, b"old").unwrap();
        let refused = Target::choose(&options(&path, false), "x").err().unwrap();
        assert!(matches!(refused, WalletError::FileExists(_)));

        let fresh = directory.path().join("fresh");
        let target = Target::choose(&options(&fresh, false), "x").unwrap();
        let file = written(&target, b"new").await;
        fs::write(&fresh, b"came in between").unwrap();
        let raced = file.finish(&target, false).await.unwrap_err();
        assert!(matches!(raced, WalletError::FileExists(_)), "{raced}");
        assert_eq!(fs::read(&fresh).unwrap(), b"came in between");

        let target = Target::choose(&options(&path, true), "x").unwrap();
        written(&target, b"new").await.finish(&target, true).await.unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_stored_name_leads_nowhere_else() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["../up", "/etc/passwd", "..", ""] {
            assert!(Target::choose(&options(directory.path(), true), name).is_err(), "{name}");
        }
    }
}
