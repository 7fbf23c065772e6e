//! Where the ledger's files are: a directory, or an S3-compatible store.
//!
//! The contract that the sequencer relies on, and all of it: `put` is atomic, and durable when it returns; a later `get` sees it; a
//! `put` that failed may have happened; and another `put` of the same bytes under the same name changes nothing.

use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{
    ClientOptions, ObjectStore, ObjectStoreExt, RetryConfig, aws::AmazonS3Builder,
    local::LocalFileSystem, path::Path as Name, prefix::PrefixStore,
};

use scrip_runtime::files::{FileError, Tree, create_private_dir};

use crate::config::LedgerConfig;

/// Files that are written to an S3-compatible store at the same time.
const AT_A_TIME: usize = 8;
/// How long a store that is asked over the network has for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where the ledger's files are.
#[derive(Clone, Debug)]
pub struct Storage {
    store: Arc<dyn ObjectStore>,
    /// Where it is a directory: files are written there by this program, since that syncs a directory once for all of them.
    directory: Option<Arc<Tree>>,
    place: String,
    #[cfg(any(test, feature = "testing"))]
    faults: Faults,
}

/// How a write fails.
#[cfg(any(test, feature = "testing"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It did not happen.
    Lost,
    /// It happened, and nobody is told.
    Kept,
}

/// For tests: the writes that fail, all from the given one on until they are told to work again.
#[cfg(any(test, feature = "testing"))]
type Faults = Arc<std::sync::Mutex<Option<(usize, Fault)>>>;

/// Why there is no storage.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageSetupError {
    /// The directory cannot be used.
    #[error(
        "the ledger's directory {path} cannot be used: {source}; correct `store` under `[ledger]`"
    )]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: FileError,
    },
    /// Nothing says where it is to be.
    #[error(
        "`store` under `[ledger]` must name a directory or `s3://BUCKET/PREFIX` that all issuers of this database share"
    )]
    Missing,
    /// The store cannot be used as it is configured.
    #[error(
        "the ledger's store {place} cannot be used: {source}; correct the keys under `[ledger]`"
    )]
    Store {
        /// Where it is.
        place: String,
        /// What is wrong.
        source: object_store::Error,
    },
}

/// Why the storage did not do what it should. Never the fault of a client.
#[derive(Debug, thiserror::Error)]
#[error("the ledger's storage {place} failed: {source}")]
pub struct StorageError {
    /// Where it is.
    place: String,
    /// What it says, and of which file.
    source: Box<dyn Error + Send + Sync>,
}

impl Storage {
    /// The configured storage. `beside` is the directory that the default is in.
    ///
    /// # Errors
    /// [`StorageSetupError`].
    pub fn open(config: &LedgerConfig, beside: Option<&Path>) -> Result<Self, StorageSetupError> {
        let place = match (&config.store, beside) {
            (Some(place), _) => place.clone(),
            (None, Some(beside)) => beside.join("ledger").to_string_lossy().into_owned(),
            (None, None) => return Err(StorageSetupError::Missing),
        };
        match place.strip_prefix("s3://") {
            Some(bucket) => Self::open_s3(bucket, &place, config),
            None => Self::open_directory(Path::new(&place)),
        }
    }

    /// A directory, which is made where there is none.
    fn open_directory(path: &Path) -> Result<Self, StorageSetupError> {
        let place = path.display().to_string();
        let refused = |source| StorageSetupError::Directory { path: path.to_owned(), source };
        create_private_dir(path).map_err(refused)?;
        let unusable = |source| StorageSetupError::Store { place: place.clone(), source };
        // Where it is now, for whoever reads and for whoever writes.
        let path = path.canonicalize().map_err(|source| {
            refused(FileError::Io { action: "find", path: path.to_owned(), source })
        })?;
        let store = LocalFileSystem::new_with_prefix(&path).map_err(unusable)?;
        Ok(Self::at(Arc::new(store), Some(Arc::new(Tree::new(path))), place))
    }

    fn open_s3(
        bucket: &str,
        place: &str,
        config: &LedgerConfig,
    ) -> Result<Self, StorageSetupError> {
        let (bucket, prefix) = bucket.split_once('/').unwrap_or((bucket, ""));
        let plain = config.endpoint.as_deref().is_some_and(|url| url.starts_with("http://"));
        let client = ClientOptions::new().with_timeout(TIMEOUT).with_allow_http(plain);
        // The sequencer tries again by itself; a short retry here bridges what passes within a second.
        let retry =
            RetryConfig { max_retries: 2, retry_timeout: TIMEOUT, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(config.region.as_deref().unwrap_or("us-east-1"))
            // Not every compatible store knows it, and there is little to delete.
            .with_disable_bulk_delete(true)
            .with_client_options(client)
            .with_retry(retry);
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(key) = &config.access_key_id {
            builder = builder.with_access_key_id(key);
        }
        if let Some(secret) = &config.secret_access_key {
            builder = builder.with_secret_access_key(secret.expose());
        }
        let store = builder
            .build()
            .map_err(|source| StorageSetupError::Store { place: place.to_owned(), source })?;
        let store = PrefixStore::new(store, Name::from(prefix));
        Ok(Self::at(Arc::new(store), None, place.to_owned()))
    }

    fn at(store: Arc<dyn ObjectStore>, directory: Option<Arc<Tree>>, place: String) -> Self {
        Self {
            store,
            directory,
            place,
            #[cfg(any(test, feature = "testing"))]
            faults: Faults::default(),
        }
    }

    /// For tests: after `works` more writes every write fails so, until [`Storage::works_again`].
    #[cfg(any(test, feature = "testing"))]
    pub fn fail_after(&self, works: usize, fault: Fault) {
        *self.faults.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
            Some((works, fault));
    }

    /// For tests: no write fails any more.
    #[cfg(any(test, feature = "testing"))]
    pub fn works_again(&self) {
        *self.faults.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    }

    /// How many of the next writes work, and how the one after them fails, if it is one of them.
    #[cfg(any(test, feature = "testing"))]
    fn fault(&self, writes: usize) -> Option<(usize, Fault)> {
        let mut faults = self.faults.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (works, fault) = faults.as_mut()?;
        let working = (*works).min(writes);
        *works -= working;
        (working < writes).then_some((working, *fault))
    }

    /// Where it is.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Writes a file.
    ///
    /// # Errors
    /// [`StorageError`]: it may have happened.
    pub async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), StorageError> {
        self.put_all(vec![(name.to_owned(), bytes)]).await
    }

    /// Writes files, in no order. All of them are there when it returns.
    ///
    /// # Errors
    /// [`StorageError`]: any of them may have happened.
    pub async fn put_all(&self, files: Vec<(String, Vec<u8>)>) -> Result<(), StorageError> {
        #[cfg(any(test, feature = "testing"))]
        if let Some((working, fault)) = self.fault(files.len()) {
            let happen = working + usize::from(fault == Fault::Kept);
            self.write(files.into_iter().take(happen).collect()).await?;
            return Err(self.failed(format!("a fault of a test: {fault:?}")));
        }
        self.write(files).await
    }

    async fn write(&self, files: Vec<(String, Vec<u8>)>) -> Result<(), StorageError> {
        let Some(directory) = &self.directory else {
            let puts = stream::iter(files).map(|(name, bytes)| async move {
                self.store.put(&Name::from(name), bytes.into()).await.map(drop)
            });
            let done = puts.buffer_unordered(AT_A_TIME).try_collect().await;
            return done.map_err(|source| self.failed(source));
        };
        let directory = directory.clone();
        let written = tokio::task::spawn_blocking(move || directory.replace_all(&files)).await;
        written.map_err(|stopped| self.failed(stopped))?.map_err(|source| self.failed(source))
    }

    /// Removes what killed processes left behind of files that they were writing; only a directory has such. How many.
    pub(crate) async fn collect_strays(&self, now: scrip_protocol::time::UnixSeconds) -> usize {
        let Some(directory) = self.directory.clone() else { return 0 };
        let collected = tokio::task::spawn_blocking(move || directory.collect_strays(now)).await;
        collected.unwrap_or(0) // at the shutdown; the next start collects
    }

    /// The file of this name, if there is one.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let read = async { self.store.get(&Name::from(name)).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.failed(source)),
        }
    }

    /// Deletes all files under a prefix that ends at a `/`; none where there is no such.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn delete_under(&self, prefix: &str) -> Result<(), StorageError> {
        let listed = self.store.list(Some(&Name::from(prefix)));
        let names = listed.map_ok(|found| found.location).boxed();
        let deleted = self.store.delete_stream(names);
        let deleted: Result<Vec<_>, _> = deleted.try_collect().await;
        match deleted {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.failed(source)),
        }
    }

    fn failed(&self, source: impl Into<Box<dyn Error + Send + Sync>>) -> StorageError {
        StorageError { place: self.place.clone(), source: source.into() }
    }
}
