//! Chunks on disk.
//!
//! A chunk is first a file in `incoming/`, and gets its name, the number of its lease, only when it is complete, has the
//! right digest and is synced. What a crash leaves behind is a file in `incoming/`, which the next start removes, or a
//! named file that the database knows nothing of, which [`ChunkFiles::numbers_in`] shows. The latter is kept in `aside/`, under the
//! day on which it was put there, since the database may be an old one. All work with files is done
//! on threads that may block, in pieces that are short, so that a slow client holds none of them.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use scrip_protocol::time::Day;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

use crate::store::LeaseNumber;

/// Leases whose chunks share a directory.
pub(crate) const PER_DIRECTORY: i64 = 1_024;

/// The directory of all chunks. Clones are the same directory.
#[derive(Clone, Debug)]
pub(crate) struct ChunkFiles(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    incoming: PathBuf,
    stored: PathBuf,
    aside: PathBuf,
    /// Tells the files in `incoming` apart.
    next: AtomicU64,
}

/// A chunk that was put aside.
#[derive(Debug)]
pub(crate) struct Aside {
    /// The lease that had it.
    pub(crate) lease: LeaseNumber,
    path: PathBuf,
}

/// What the operating system refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkFileError {
    /// The disk, or the quota of this user on it, is full.
    #[error("the disk is full: {0}; free some space, or lower `storage.chunks`")]
    Full(#[source] io::Error),
    /// Something else.
    #[error("cannot {action}: {source}; check the disk, and the owner of the data directory")]
    Io {
        /// What was tried.
        action: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The runtime is ending.
    #[error("the file was not worked on: the relay is ending")]
    Interrupted,
}

/// A chunk that is being received. Its file goes when this is dropped before [`Incoming::keep`].
pub(crate) struct Incoming {
    file: File,
    path: TemporaryPath,
    stored: PathBuf,
    hash: Sha256,
    written: usize,
}

struct TemporaryPath(PathBuf);

impl Drop for TemporaryPath {
    fn drop(&mut self) {
        // Where it was renamed it is not there; where this fails the next start tries again.
        let _ = fs::remove_file(&self.0);
    }
}

impl ChunkFiles {
    /// Uses the directory `root`, which is made where it does not exist, and forgets what was being received when the
    /// relay ended last.
    pub(crate) fn open(root: &Path) -> Result<Self, ChunkFileError> {
        let incoming = root.join("incoming");
        let stored = root.join("stored");
        let aside = root.join("aside");
        let prepare = || {
            if incoming.exists() {
                fs::remove_dir_all(&incoming)?;
            }
            create_private_dir(&incoming)?;
            create_private_dir(&stored)?;
            create_private_dir(&aside)?;
            sync_directory(root)
        };
        prepare().map_err(io_error("prepare the directory of chunks"))?;
        Ok(Self(Arc::new(Inner { incoming, stored, aside, next: AtomicU64::new(0) })))
    }

    /// Starts to receive a chunk.
    pub(crate) async fn receive(&self) -> Result<Incoming, ChunkFileError> {
        let inner = self.0.clone();
        blocking("create a file for a chunk", move || {
            let name = inner.next.fetch_add(1, Ordering::Relaxed).to_string();
            let path = inner.incoming.join(name);
            let file = private(OpenOptions::new().write(true).create_new(true)).open(&path)?;
            let path = TemporaryPath(path);
            Ok(Incoming {
                file,
                path,
                stored: inner.stored.clone(),
                hash: Sha256::new(),
                written: 0,
            })
        })
        .await
    }

    /// Opens the chunk of a lease; `None` where there is no such file.
    pub(crate) async fn open_chunk(
        &self,
        lease: LeaseNumber,
    ) -> Result<Option<File>, ChunkFileError> {
        let path = path_of(&self.0.stored, lease);
        blocking("open a chunk", move || match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    /// Removes the chunk of a lease; nothing happens where there is none.
    pub(crate) async fn remove(&self, lease: LeaseNumber) -> Result<(), ChunkFileError> {
        let path = path_of(&self.0.stored, lease);
        blocking("remove a chunk", move || match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        })
        .await
    }

    /// Moves the chunk of a lease to where it is kept for some days from `today` on; nothing happens where there is none.
    pub(crate) async fn put_aside(
        &self,
        lease: LeaseNumber,
        today: Day,
    ) -> Result<(), ChunkFileError> {
        let inner = self.0.clone();
        blocking("put a chunk aside", move || put_aside(&inner, lease, today)).await
    }

    /// The chunks that were put aside, the latest first.
    pub(crate) async fn aside(&self) -> Result<Vec<Aside>, ChunkFileError> {
        let aside = self.0.aside.clone();
        blocking("list the chunks that were put aside", move || {
            let mut found = Vec::new();
            for day in numbers(&aside)?.into_iter().rev() {
                for entry in fs::read_dir(aside.join(day.to_string()))? {
                    let path = entry?.path();
                    let name = path.file_stem().and_then(|name| name.to_str());
                    if let Some(lease) = name.and_then(|name| name.parse().ok()) {
                        found.push(Aside { lease: LeaseNumber(lease), path });
                    }
                }
            }
            Ok(found)
        })
        .await
    }

    /// Puts one of them back, if it has this digest; a chunk that is in its place is put aside. Whether it was.
    pub(crate) async fn take_back(
        &self,
        aside: Aside,
        digest: [u8; 32],
        today: Day,
    ) -> Result<bool, ChunkFileError> {
        let inner = self.0.clone();
        blocking("take a chunk back", move || {
            if digest_of(&aside.path)? != Some(digest) {
                return Ok(false);
            }
            put_aside(&inner, aside.lease, today)?;
            name(&inner.stored, &aside.path, aside.lease)?;
            Ok(true)
        })
        .await
    }

    /// The digest of the chunk of a lease; `None` where there is none.
    pub(crate) async fn digest(
        &self,
        lease: LeaseNumber,
    ) -> Result<Option<[u8; 32]>, ChunkFileError> {
        let path = path_of(&self.0.stored, lease);
        blocking("read a chunk", move || digest_of(&path)).await
    }

    /// Removes what was put aside on `day` or before.
    pub(crate) async fn drop_aside(&self, day: Day) -> Result<(), ChunkFileError> {
        let aside = self.0.aside.clone();
        blocking("remove chunks that were put aside", move || {
            for old in numbers(&aside)?.into_iter().filter(|old| *old <= i64::from(day.0)) {
                fs::remove_dir_all(aside.join(old.to_string()))?;
            }
            Ok(())
        })
        .await
    }

    /// The directories that hold chunks, ascending: the one numbered n has those of the leases from
    /// `n * PER_DIRECTORY`.
    pub(crate) async fn directories(&self) -> Result<Vec<i64>, ChunkFileError> {
        let stored = self.0.stored.clone();
        blocking("list the directories of chunks", move || numbers(&stored)).await
    }

    /// The leases whose chunks lie in a directory, ascending; none where there is no such directory.
    pub(crate) async fn numbers_in(
        &self,
        directory: i64,
    ) -> Result<Vec<LeaseNumber>, ChunkFileError> {
        let path = self.0.stored.join(directory.to_string());
        let found = blocking("list the chunks", move || numbers(&path)).await?;
        Ok(found.into_iter().map(LeaseNumber).collect())
    }

    /// Removes a directory of chunks that holds nothing. A chunk that needs it makes it anew.
    pub(crate) async fn remove_if_empty(&self, directory: i64) -> Result<(), ChunkFileError> {
        use io::ErrorKind::{DirectoryNotEmpty, NotFound};
        let path = self.0.stored.join(directory.to_string());
        blocking("remove a directory of chunks", move || match fs::remove_dir(&path) {
            Err(error) if !matches!(error.kind(), DirectoryNotEmpty | NotFound) => Err(error),
            Ok(()) | Err(_) => Ok(()),
        })
        .await
    }
}

impl Incoming {
    /// How many bytes have been received.
    pub(crate) fn written(&self) -> usize {
        self.written
    }

    /// Writes some more bytes.
    pub(crate) async fn append(mut self, bytes: bytes::Bytes) -> Result<Self, ChunkFileError> {
        blocking("write a chunk", move || {
            self.file.write_all(&bytes)?;
            self.hash.update(&bytes);
            self.written += bytes.len();
            Ok(self)
        })
        .await
    }

    /// The digest of what was received.
    pub(crate) fn digest(mut self) -> (Self, [u8; 32]) {
        let digest = self.hash.finalize_reset().into();
        (self, digest)
    }

    /// Waits until the bytes are on the disk.
    pub(crate) async fn sync(self) -> Result<Self, ChunkFileError> {
        blocking("sync a chunk", move || self.file.sync_all().map(|()| self)).await
    }

    /// Gives the file its name, which is durable when this returns. The same chunk may have been stored before.
    pub(crate) async fn keep(self, lease: LeaseNumber) -> Result<(), ChunkFileError> {
        blocking("store a chunk", move || name(&self.stored, &self.path.0, lease)).await
    }
}

/// Gives the file at `from` the name of the chunk of a lease, durably.
fn name(stored: &Path, from: &Path, lease: LeaseNumber) -> io::Result<()> {
    let path = path_of(stored, lease);
    let directory = path.parent().unwrap_or(stored);
    if !directory.is_dir() {
        create_private_dir(directory)?;
        sync_directory(stored)?;
    }
    fs::rename(from, &path)?;
    sync_directory(directory)
}

fn put_aside(inner: &Inner, lease: LeaseNumber, today: Day) -> io::Result<()> {
    let directory = inner.aside.join(today.0.to_string());
    create_private_dir(&directory)?;
    // Two databases may have given one number to two chunks.
    let names = std::iter::once(lease.0.to_string());
    let names = names.chain((2..).map(|n: u32| format!("{}.{n}", lease.0)));
    let mut places = names.map(|name| directory.join(name));
    let free = places.find(|path| !path.exists()).ok_or(io::ErrorKind::AlreadyExists)?;
    match fs::rename(path_of(&inner.stored, lease), free) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => sync_directory(&directory),
    }
}

fn digest_of(path: &Path) -> io::Result<Option<[u8; 32]>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let (mut hash, mut piece) = (Sha256::new(), vec![0; 64 * 1024]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(Some(hash.finalize().into())),
            read => hash.update(piece.get(..read).unwrap_or_default()),
        }
    }
}

fn path_of(stored: &Path, lease: LeaseNumber) -> PathBuf {
    stored.join((lease.0 / PER_DIRECTORY).to_string()).join(lease.0.to_string())
}

/// The names in a directory that are numbers, ascending. Others are not ours and are left alone.
fn numbers(directory: &Path) -> io::Result<Vec<i64>> {
    let mut numbers = Vec::new();
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(numbers),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.parse::<i64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

async fn blocking<T: Send + 'static>(
    action: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ChunkFileError> {
    let done = spawn_blocking(work).await.map_err(|_| ChunkFileError::Interrupted)?;
    done.map_err(io_error(action))
}

fn io_error(action: &'static str) -> impl FnOnce(io::Error) -> ChunkFileError {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    move |source| match source.kind() {
        StorageFull | QuotaExceeded => ChunkFileError::Full(source),
        _ => ChunkFileError::Io { action, source },
    }
}

fn create_private_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Other systems cannot open a directory to sync it; their file systems journal names.
#[cfg(not(unix))]
fn sync_directory(_path: &Path) -> io::Result<()> {
    Ok(())
}
