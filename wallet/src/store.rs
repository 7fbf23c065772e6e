//! The wallet file: a SQLite database of sealed records.
//!
//! Nothing in it can be read without the passphrase but how many records of each kind there are and how large each is. A
//! record is a JSON document, sealed with its kind and its name as authenticated context, so that a record cannot be put in
//! the place of another. Its name on disk is a keyed hash of its natural name: a payment id or a lease id in the clear
//! would tie the file to a relay's books.
//!
//! A directory holds the file (`wallet.db`) and a lock (`wallet.lock`) that one process at a time takes.
//! [`Store::commit`] is one transaction, and durable when it returns (`synchronous = FULL`).

mod database;
mod lock;
mod record;
mod snapshot;

use std::path::{Path, PathBuf};

use scrip_runtime::{
    files::{self, FileError},
    passphrase::Passphrase,
    sealed::{KdfHeader, SealParams, SealedError, SealingKey, open_with_key, seal_with_key},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use self::{database::Database, lock::Lock, snapshot::PlainRow};
use crate::{entropy::Entropy, secret::Secret};

pub(crate) use self::{
    record::{Changes, Kind, Record},
    snapshot::{OpenBackup, Snapshot},
};

/// The database within the wallet's directory.
pub(crate) const DATABASE: &str = "wallet.db";
/// The lock within the wallet's directory.
const LOCK: &str = "wallet.lock";
/// A database that is being made.
pub(crate) const UNFINISHED: &str = "wallet.db.unfinished";
pub(crate) const UNFINISHED_JOURNAL: &str = "wallet.db.unfinished-journal";

/// Why the wallet file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is a wallet already.
    #[error("there is a wallet in {0} already")]
    Exists(PathBuf),
    /// There is no wallet.
    #[error("there is no wallet in {0}")]
    Missing(PathBuf),
    /// Another process has it open.
    #[error("another process uses the wallet in {0}")]
    InUse(PathBuf),
    /// The passphrase is not the one that the wallet was made with, or the file was damaged.
    #[error("the wallet in {0} does not open with this passphrase")]
    WrongPassphrase(PathBuf),
    /// A newer release wrote it.
    #[error("the wallet was written by a newer release (format {found}, this one knows {known})")]
    Newer {
        /// The format that was found.
        found: i64,
        /// The newest format that this program knows.
        known: i64,
    },
    /// A record was changed, or put in the place of another.
    #[error("a record of the kind `{kind}` in the wallet is damaged: {reason}")]
    Damaged {
        /// Which kind.
        kind: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The file is damaged.
    #[error("the wallet file {path} is damaged: {damage}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        damage: String,
    },
    /// The header that says how the key is derived is damaged.
    #[error("the wallet's header is damaged: {0}")]
    Header(#[source] SealedError),
    /// A directory or file cannot be made.
    #[error(transparent)]
    File(#[from] FileError),
    /// The lock cannot be made.
    #[error("cannot make the lock {path}: {source}")]
    Lock {
        /// The lock.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The database cannot be read or written.
    #[error("the wallet's database cannot be used: {0}")]
    Database(#[from] sqlx::Error),
    /// A file is not a backup that this release can read.
    #[error("{path} is no backup that can be used: {reason}")]
    Backup {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A task of the runtime was lost.
    #[error("the program is shutting down")]
    ShuttingDown,
}

/// An open wallet file.
pub(crate) struct Store {
    database: Database,
    key: SealingKey,
    /// How the key follows from the passphrase.
    header: KdfHeader,
    names: Secret,
    entropy: Entropy,
    directory: PathBuf,
    /// Held for as long as the store is; `None` for one that only reads.
    _lock: Option<Lock>,
}

/// The key that the names of records are hashed with. Sealed first, and the check of the passphrase.
#[derive(Serialize, Deserialize)]
struct NameKey {
    key: Secret,
}

/// A wallet file that is about to be made.
struct NewStore<'a> {
    directory: &'a Path,
    header: KdfHeader,
    key: SealingKey,
    names: Secret,
}

const NAME_KEY: [u8; 16] = [0; 16];

impl Store {
    /// Makes a wallet file in `directory` with `first` in it: all of it, or nothing.
    ///
    /// # Errors
    /// [`StoreError::Exists`] where there is one.
    pub(crate) async fn create(
        directory: &Path,
        passphrase: Passphrase,
        params: SealParams,
        mut entropy: Entropy,
        first: Changes,
    ) -> Result<Self, StoreError> {
        let names = Secret::generate(&mut entropy);
        let header = KdfHeader::generate(params, &mut entropy);
        let key = derive(passphrase, header.clone()).await?;
        let new = NewStore { directory, header, key, names };
        Self::fill(new, entropy, Vec::new(), first).await
    }

    /// Makes a wallet file in `directory`, under the same passphrase, with the records of a backup in it, and `more`: all of
    /// it, or nothing.
    ///
    /// # Errors
    /// [`StoreError::Exists`] where there is one.
    pub(crate) async fn create_from(
        directory: &Path,
        entropy: Entropy,
        backup: OpenBackup,
        more: Changes,
    ) -> Result<Self, StoreError> {
        let OpenBackup { snapshot, header, key } = backup;
        let (names, rows) = snapshot.into_rows()?;
        let new = NewStore { directory, header, key, names };
        Self::fill(new, entropy, rows, more).await
    }

    async fn fill(
        new: NewStore<'_>,
        entropy: Entropy,
        rows: Vec<PlainRow>,
        changes: Changes,
    ) -> Result<Self, StoreError> {
        let NewStore { directory, header, key, names } = new;
        files::create_private_dir(directory)?;
        let lock = Lock::take(directory, LOCK)?;
        let path = directory.join(DATABASE);
        if path.exists() {
            return Err(StoreError::Exists(directory.to_owned()));
        }
        let unfinished = directory.join(UNFINISHED);
        remove_unfinished(directory)?;
        files::write_new_private(&unfinished, b"")?;
        let database = Database::create(&unfinished, &header.encode()).await?;
        let mut store = Self {
            database,
            key,
            header,
            names,
            entropy,
            directory: directory.to_owned(),
            _lock: Some(lock),
        };
        store.write_name_key().await?;
        let seal = |(kind, id, plain): PlainRow| {
            let context = context(kind, &id);
            let sealed = seal_with_key(&store.key, &context, &plain, &mut store.entropy.clone());
            (kind, id, Some(sealed))
        };
        store.database.write(rows.into_iter().map(seal).collect()).await?;
        store.commit(changes).await?;
        store.database.close().await?;
        // Only now is it a wallet.
        std::fs::rename(&unfinished, &path).map_err(|source| FileError::Io {
            action: "rename",
            path: unfinished,
            source,
        })?;
        // SQLite leaves its journal behind, empty; under this name nobody looks for it.
        remove_unfinished(directory)?;
        (store.database, _) = Database::open(&path).await?;
        Ok(store)
    }

    /// Opens the wallet file in `directory` for this process alone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn open(
        directory: &Path,
        passphrase: Passphrase,
        entropy: Entropy,
    ) -> Result<Self, StoreError> {
        if !directory.join(DATABASE).exists() {
            return Err(StoreError::Missing(directory.to_owned()));
        }
        let lock = Lock::wait(directory, LOCK).await?;
        Self::unlock(directory, passphrase, entropy, Some(lock)).await
    }

    /// Opens the wallet file to read from it, also while another process uses it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn open_to_read(
        directory: &Path,
        passphrase: Passphrase,
        entropy: Entropy,
    ) -> Result<Self, StoreError> {
        Self::unlock(directory, passphrase, entropy, None).await
    }

    /// Whether there is a wallet in `directory`.
    pub(crate) fn exists(directory: &Path) -> bool {
        directory.join(DATABASE).exists()
    }

    async fn unlock(
        directory: &Path,
        passphrase: Passphrase,
        entropy: Entropy,
        lock: Option<Lock>,
    ) -> Result<Self, StoreError> {
        let (database, header) = Database::open(&directory.join(DATABASE)).await?;
        let header = KdfHeader::decode(&header).map_err(StoreError::Header)?;
        let key = derive(passphrase, header.clone()).await?;
        let wrong = || StoreError::WrongPassphrase(directory.to_owned());
        let sealed = database.get(Kind::NameKey, &NAME_KEY).await?.ok_or_else(wrong)?;
        let opened = open_with_key(&key, &context(Kind::NameKey, &NAME_KEY), &sealed);
        let NameKey { key: names } =
            parse(Kind::NameKey, &opened.map_err(|_: SealedError| wrong())?)?;
        let directory = directory.to_owned();
        Ok(Self { database, key, header, names, entropy, directory, _lock: lock })
    }

    /// The wallet's directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The record with this natural name.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::Database`].
    pub(crate) async fn get<R: Record>(&self, name: &[u8]) -> Result<Option<R>, StoreError> {
        let id = self.name_on_disk(R::KIND, name);
        let sealed = self.database.get(R::KIND, &id).await?;
        sealed.map(|sealed| self.open_record(&id, &sealed)).transpose()
    }

    /// All records of a kind, in no order that means anything.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::Database`].
    pub(crate) async fn all<R: Record>(&self) -> Result<Vec<R>, StoreError> {
        let rows = self.database.all(R::KIND).await?;
        rows.iter().map(|(id, sealed)| self.open_record(id, sealed)).collect()
    }

    /// Makes all changes or none; durable on return.
    ///
    /// # Errors
    /// [`StoreError::Database`]: then nothing was changed, or, if the machine failed in the middle, either nothing or all.
    pub(crate) async fn commit(&self, changes: Changes) -> Result<(), StoreError> {
        let mut entropy = self.entropy.clone();
        let rows = changes.into_rows()?.into_iter().map(|(kind, name, plain)| {
            let id = self.name_on_disk(kind, &name);
            let sealed = plain
                .map(|plain| seal_with_key(&self.key, &context(kind, &id), &plain, &mut entropy));
            (kind, id, sealed)
        });
        Ok(self.database.write(rows.collect()).await?)
    }

    /// How many records of each kind do not open, or were put in the place of others.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub(crate) async fn damaged(&self) -> Result<Vec<(Kind, usize)>, StoreError> {
        let mut counts: Vec<(Kind, usize)> = Vec::new();
        for (kind, id, sealed) in self.database.everything().await? {
            // One of a kind that only a newer release knows is not ours to judge.
            let Some(kind) = u8::try_from(kind).ok().and_then(Kind::from_code) else { continue };
            if self.opens(kind, &id, &sealed) {
                continue;
            }
            match counts.iter_mut().find(|(other, _)| *other == kind) {
                Some((_, count)) => *count += 1,
                None => counts.push((kind, 1)),
            }
        }
        Ok(counts)
    }

    /// Removes the records of these kinds that do not open.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub(crate) async fn remove_damaged(&self, kinds: &[Kind]) -> Result<(), StoreError> {
        for (kind, id, sealed) in self.database.everything().await? {
            let Some(kind) = u8::try_from(kind).ok().and_then(Kind::from_code) else { continue };
            if kinds.contains(&kind) && !self.opens(kind, &id, &sealed) {
                self.database.remove(kind, &id).await?;
            }
        }
        Ok(())
    }

    fn opens(&self, kind: Kind, id: &[u8], sealed: &[u8]) -> bool {
        let id: Result<[u8; 16], _> = id.try_into();
        id.is_ok_and(|id| open_with_key(&self.key, &context(kind, &id), sealed).is_ok())
    }

    /// Waits until the file is closed.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub(crate) async fn close(&self) -> Result<(), StoreError> {
        Ok(self.database.close().await?)
    }

    async fn write_name_key(&mut self) -> Result<(), StoreError> {
        let plain = record::encode(Kind::NameKey, &NameKey { key: self.names.duplicate() })?;
        let context = context(Kind::NameKey, &NAME_KEY);
        let sealed = seal_with_key(&self.key, &context, &plain, &mut self.entropy);
        Ok(self.database.write(vec![(Kind::NameKey, NAME_KEY, Some(sealed))]).await?)
    }

    fn open_record<R: Record>(&self, id: &[u8; 16], sealed: &[u8]) -> Result<R, StoreError> {
        let plain = open_with_key(&self.key, &context(R::KIND, id), sealed)
            .map_err(|error| damaged(R::KIND, &error))?;
        parse(R::KIND, &plain)
    }

    fn name_on_disk(&self, kind: Kind, name: &[u8]) -> [u8; 16] {
        let mut id = [0; 16];
        let hash = hkdf::Hkdf::<sha2::Sha256>::new(None, self.names.as_bytes());
        let expanded = hash.expand_multi_info(&[&[kind.code()], name], &mut id);
        debug_assert!(expanded.is_ok(), "HKDF-SHA-256 gives up to 8,160 bytes");
        id
    }
}

/// Removes what a process left that died while it made a wallet; the lock says that nobody else is here. A journal of
/// another database must not be played back.
fn remove_unfinished(directory: &Path) -> Result<(), FileError> {
    for left in [UNFINISHED_JOURNAL, UNFINISHED].map(|name| directory.join(name)) {
        match std::fs::remove_file(&left) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(FileError::Io { action: "remove", path: left, source });
            }
            _ => {}
        }
    }
    Ok(())
}

/// What a sealed record is authenticated with.
fn context(kind: Kind, id: &[u8; 16]) -> [u8; 17] {
    let mut context = [kind.code(); 17];
    context[1..].copy_from_slice(id);
    context
}

fn parse<T: serde::de::DeserializeOwned>(kind: Kind, plain: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(plain).map_err(|error| damaged(kind, &error))
}

fn damaged(kind: Kind, error: &dyn std::error::Error) -> StoreError {
    StoreError::Damaged { kind: kind.name(), reason: error.to_string() }
}

/// Argon2 takes a fraction of a second: not on a thread of the runtime.
async fn derive(passphrase: Passphrase, header: KdfHeader) -> Result<SealingKey, StoreError> {
    tokio::task::spawn_blocking(move || SealingKey::derive(&passphrase, &header))
        .await
        .map_err(|_| StoreError::ShuttingDown)
}

/// A record's JSON, wiped when dropped.
pub(crate) type Plain = Zeroizing<Vec<u8>>;

#[cfg(test)]
mod tests;
