//! Files that survive a crash and that only their owner can read.
//!
//! A write goes to a temporary file in the same directory, is synced, and only then gets
//! its name; the directory is synced last. A crash leaves either the old state or the new
//! one, and at worst a stray `.name.*.tmp` that nothing reads.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::UNIX_EPOCH,
};

use scrip_protocol::time::UnixSeconds;

/// Threads that write files at the same time.
const SYNCED_AT_A_TIME: usize = 4;

/// Why a private file or directory could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// A file of that name exists and is left as it was.
    #[error("{path} exists already; move it away first, or choose another place")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The path ends in no file name.
    #[error("{path} does not name a file; give a path that ends in a file name")]
    NoFileName {
        /// The path.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error(
        "cannot {action} {path}: {source}; check the owner, the permissions and the free space"
    )]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Writes a new file that only its owner can read (mode 0600), durably.
///
/// # Errors
///
/// [`FileError::Exists`] where there is a file already, which stays untouched, also when
/// two processes race; else [`FileError::Io`].
pub fn write_new_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let temporary = write_temporary(path, bytes)?;
    // A hard link, unlike a rename, fails where the name is taken.
    let linked = fs::hard_link(&temporary, path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => FileError::Exists { path: path.into() },
        _ => FileError::Io { action: "create", path: path.into(), source },
    });
    let removed = fs::remove_file(&temporary).map_err(io_error("remove", &temporary));
    linked?;
    removed?;
    sync_directory_of(path)
}

/// Replaces a file, or creates it, durably and with mode 0600. Readers see the whole old
/// content or the whole new one.
///
/// # Errors
///
/// [`FileError::Io`]; the old content is then still in place, except where only the last
/// sync of the directory failed.
pub fn replace_atomically(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace_unsynced(path, bytes)?;
    sync_directory_of(path)
}

/// Removes a file, durably. One that is not there is removed already.
///
/// # Errors
///
/// [`FileError::Io`].
pub fn remove_durably(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io_error("remove", path)(error));
        }
        _ => {}
    }
    sync_directory_of(path)
}

/// How old a temporary file is, in seconds, that nobody writes any more.
const STRAY: u64 = 86_400;

/// A directory in which many files are written, in directories below it too.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    /// Directories below the root of which this process has seen the name durable.
    known: Mutex<BTreeSet<PathBuf>>,
}

impl Tree {
    /// Everything below `root`, which exists.
    pub const fn new(root: PathBuf) -> Self {
        Self { root, known: Mutex::new(BTreeSet::new()) }
    }

    /// Replaces files, or creates them with their directories, like [`replace_atomically`] each, in no order. Each directory is
    /// synced once.
    ///
    /// # Errors
    ///
    /// [`FileError::Io`], and [`FileError::NoFileName`]: any of them may have been replaced.
    pub fn replace_all(&self, files: &[(String, Vec<u8>)]) -> Result<(), FileError> {
        let files: Vec<(PathBuf, &[u8])> =
            files.iter().map(|(name, bytes)| (self.root.join(name), bytes.as_slice())).collect();
        let directories: BTreeSet<&Path> =
            files.iter().filter_map(|(path, _)| path.parent()).collect();
        let replaced = directories
            .iter()
            .try_for_each(|directory| self.ensure(directory))
            .and_then(|()| replace_unsynced_all(&files))
            .and_then(|()| directories.iter().try_for_each(|directory| sync_directory(directory)));
        if replaced.is_err() {
            // Perhaps somebody removed one.
            self.known().clear();
        }
        replaced
    }

    /// Removes temporary files that processes left behind when they were killed: those that were written more than a day
    /// before `now`. Others may be at work. Gives how many there were; what cannot be read is passed over.
    pub fn collect_strays(&self, now: UnixSeconds) -> usize {
        let (mut removed, mut directories) = (0, vec![self.root.clone()]);
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    directories.push(entry.path());
                } else if is_temporary(&entry.file_name()) && is_stray(&entry, now) {
                    removed += usize::from(fs::remove_file(entry.path()).is_ok());
                }
            }
        }
        removed
    }

    /// That a directory is there, and that its name is durable: also where one who made it has died before that.
    fn ensure(&self, directory: &Path) -> Result<(), FileError> {
        if directory == self.root || self.known().contains(directory) {
            return Ok(());
        }
        if let Some(above) = directory.parent() {
            self.ensure(above)?;
        }
        create_private_dir(directory)?;
        sync_directory_of(directory)?;
        self.known().insert(directory.to_owned());
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Creates a directory, with its parents, that only its owner can enter (mode 0700).
/// A directory that exists already is left as it is.
///
/// # Errors
///
/// [`FileError::Io`].
pub fn create_private_dir(path: &Path) -> Result<(), FileError> {
    if path.is_dir() {
        return Ok(());
    }
    // One after the other, so that the name of each is synced.
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_private_dir(parent)?;
    }
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        created => created.map_err(io_error("create the directory", path))?,
    }
    sync_directory_of(path)
}

/// Gives `path` this content, durably but for its name.
fn replace_unsynced(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let temporary = write_temporary(path, bytes)?;
    if let Err(source) = fs::rename(&temporary, path) {
        let _ = fs::remove_file(&temporary); // the rename's error is the one to report
        return Err(FileError::Io { action: "replace", path: path.into(), source });
    }
    Ok(())
}

/// Some threads at once: file systems sync several files for little more than the price of one.
fn replace_unsynced_all(files: &[(PathBuf, &[u8])]) -> Result<(), FileError> {
    let replace = |some: &[(PathBuf, &[u8])]| {
        some.iter().try_for_each(|(path, bytes)| replace_unsynced(path, bytes))
    };
    let (first, rest) = files.split_at(files.len().div_ceil(SYNCED_AT_A_TIME));
    std::thread::scope(|scope| {
        let share = first.len().max(1);
        let others: Vec<_> =
            rest.chunks(share).map(|some| scope.spawn(move || replace(some))).collect();
        let first = replace(first);
        let others = others
            .into_iter()
            .map(|other| other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        others.fold(first, Result::and)
    })
}

/// Writes `bytes` to a new synced file beside `path` and returns its path.
fn write_temporary(path: &Path, bytes: &[u8]) -> Result<PathBuf, FileError> {
    let (temporary, mut file) = create_temporary(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(source) = written {
        let _ = fs::remove_file(&temporary); // the write's error is the one to report
        return Err(FileError::Io { action: "write", path: path.into(), source });
    }
    Ok(temporary)
}

/// Whether this is a name that [`create_temporary`] gives: `.NAME.PROCESS-NUMBER.tmp`.
fn is_temporary(name: &std::ffi::OsStr) -> bool {
    let parts = || {
        let inner = name.to_str()?.strip_prefix('.')?.strip_suffix(".tmp")?;
        inner.rsplit_once('.')?.1.split_once('-')
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    parts().is_some_and(|(process, number)| digits(process) && digits(number))
}

fn is_stray(entry: &fs::DirEntry, now: UnixSeconds) -> bool {
    let written = entry.metadata().and_then(|about| about.modified()).ok();
    let written = written.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    written.is_some_and(|written| now.0.saturating_sub(written.as_secs()) > STRAY)
}

fn create_temporary(path: &Path) -> Result<(PathBuf, File), FileError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or_else(|| FileError::NoFileName { path: path.into() })?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    loop {
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        // The process and a counter tell writers apart that run at the same time.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        temporary.push(format!(".{}-{number}.tmp", std::process::id()));
        let temporary = path.with_file_name(temporary);
        match options.open(&temporary) {
            // Of a process that died, or of one on another machine that shares the directory and has our number, as the
            // first process of a container always has. It may be at work: its file is left alone.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io_error("create", path)(error)),
            Ok(file) => return Ok((temporary, file)),
        }
    }
}

fn sync_directory_of(path: &Path) -> Result<(), FileError> {
    sync_directory(match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    })
}

#[cfg(unix)]
fn sync_directory(directory: &Path) -> Result<(), FileError> {
    let sync = File::open(directory).and_then(|opened| opened.sync_all());
    sync.map_err(io_error("sync the directory", directory))
}

/// Other systems cannot open a directory to sync it; their file systems journal names.
#[cfg(not(unix))]
fn sync_directory(_directory: &Path) -> Result<(), FileError> {
    Ok(())
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_path_buf();
    move |source| FileError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strays_are_collected_and_nothing_else_is() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("tile/0");
        create_private_dir(&below).unwrap();
        let strays = [directory.path().join(".checkpoint.12-0.tmp"), below.join(".005.7-31.tmp")];
        let others =
            ["checkpoint", ".hidden", ".notes.tmp", ".a.b-c.tmp", "005.7-31.tmp", ".x.1-.tmp"];
        let others = others.map(|name| below.join(name));
        for path in strays.iter().chain(&others) {
            fs::write(path, b"x").unwrap();
        }
        let written = fs::metadata(&strays[0]).unwrap().modified().unwrap();
        let written = written.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let tree = Tree::new(directory.path().to_owned());
        assert_eq!(tree.collect_strays(UnixSeconds(written + STRAY)), 0, "somebody may write them");
        assert_eq!(tree.collect_strays(UnixSeconds(0)), 0, "by a clock that is wrong");
        assert_eq!(tree.collect_strays(UnixSeconds(written + 2 * STRAY)), 2);
        assert!(strays.iter().all(|path| !path.exists()));
        assert!(others.iter().all(|path| path.exists()));
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_file_never_replaces_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seed");
        write_new_private(&path, b"first").unwrap();
        let again = write_new_private(&path, b"second");
        assert!(matches!(again, Err(FileError::Exists { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(names(directory.path()), ["seed"], "no temporary file is left");
    }

    #[test]
    fn replacing_leaves_the_new_content_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        replace_atomically(&path, b"one").unwrap();
        replace_atomically(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(names(directory.path()), ["state"]);
    }

    #[test]
    fn many_files_come_with_their_directories() {
        let root = tempfile::tempdir().unwrap();
        let file = |n: usize| (format!("a/{}/{n}", n % 3), vec![n as u8; n]);
        let mut files: Vec<_> = (0..20).map(file).collect();
        files.push(("top".into(), b"top".to_vec()));
        let tree = Tree::new(root.path().to_owned());
        tree.replace_all(&files).unwrap();
        tree.replace_all(&files[3..9]).unwrap();
        tree.replace_all(&[]).unwrap();
        for (name, bytes) in &files {
            assert_eq!(&fs::read(root.path().join(name)).unwrap(), bytes, "{name}");
        }
        assert_eq!(names(&root.path().join("a/1")).len(), 7, "no temporary file is left");
        let refused = tree.replace_all(&[("top/below".into(), Vec::new())]);
        assert!(matches!(refused, Err(FileError::Io { .. })), "{refused:?}");
        // Who removed a directory gets one failure at most.
        fs::remove_dir_all(root.path().join("a")).unwrap();
        let _ = tree.replace_all(&files);
        tree.replace_all(&files).unwrap();
    }

    /// Processes of two machines can have one number.
    #[test]
    fn a_temporary_file_of_somebody_else_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        let (first, _) = create_temporary(&path).unwrap();
        let first = first.file_name().unwrap().to_string_lossy().into_owned();
        let number: u64 =
            first.trim_end_matches(".tmp").rsplit('-').next().unwrap().parse().unwrap();
        // Other tests take numbers too: one of these is the next here.
        let taken: Vec<PathBuf> = (number + 1..number + 50)
            .map(|n| directory.path().join(format!(".state.{}-{n}.tmp", std::process::id())))
            .collect();
        taken.iter().for_each(|path| fs::write(path, b"theirs").unwrap());
        replace_atomically(&path, b"ours").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"ours");
        assert!(taken.iter().all(|path| fs::read(path).unwrap() == b"theirs"));
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read() {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("a/b");
        create_private_dir(&directory).unwrap();
        create_private_dir(&directory).unwrap();
        assert_eq!(mode(&directory), 0o700);
        for (name, write) in
            [("new", write_new_private as fn(&Path, &[u8]) -> _), ("replaced", replace_atomically)]
        {
            let path = directory.join(name);
            let written: Result<(), FileError> = write(&path, b"secret");
            written.unwrap();
            assert_eq!(mode(&path), 0o600, "{name}");
        }
    }

    #[test]
    fn a_path_without_a_name_is_refused() {
        assert!(matches!(
            replace_atomically(Path::new("/"), b""),
            Err(FileError::NoFileName { .. })
        ));
    }
}
