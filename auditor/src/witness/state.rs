//! What a witness remembers: of each log the last checkpoint that it cosigned, in a file of its own, which is replaced as a whole.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use data_encoding::HEXLOWER;
use scrip_protocol::tlog::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use scrip_protocol::tlog::hash::TreeHash;
use scrip_protocol::tlog::note::{KeyName, Note, OpenError, VerifierKey};
use scrip_protocol::tlog::policy::WitnessPolicy;
use scrip_runtime::files::{FileError, create_private_dir, replace_atomically};
use serde::Serialize;
use sha2::{Digest, Sha256};

const LOCK_FILE: &str = "witness.lock";
const LOGS: &str = "logs";
/// Checkpoints that contradict a cosigned one and are kept, of each log. One is proof enough.
const MAX_EVIDENCE: usize = 16;

/// Why the state of a witness cannot be used. Its operator's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another process uses it.
    #[error("another scrip-witness uses {directory}; stop it first, or give another directory")]
    Held {
        /// The directory.
        directory: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot read {path}: {source}; check its owner and permissions")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is no checkpoint of its log.
    #[error(
        "{path} is damaged; a witness that forgets may cosign two histories: restore the file from a copy, or make a witness with another name and key"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] FileError),
    /// The program is ending, or a thread of it failed.
    #[error("the witness was interrupted; send the checkpoint again")]
    Interrupted,
}

/// What a witness knows of a log.
#[derive(Clone, Debug, Serialize)]
pub struct LogStatus {
    /// The log.
    pub origin: KeyName,
    /// The last checkpoint that was cosigned, as the log signed it; none yet.
    pub checkpoint: Option<String>,
}

/// A log and the place of its checkpoint.
#[derive(Debug)]
pub(super) struct Log {
    origin: KeyName,
    keys: Vec<VerifierKey>,
    path: PathBuf,
    /// Held while a checkpoint is compared and stored.
    lock: Mutex<()>,
    /// Held as long as the witness lives, so that no other process uses the directory.
    _directory: Arc<File>,
}

/// A log while nobody else may change what is remembered of it.
pub(super) struct Held<'a> {
    log: &'a Log,
    last: Option<(Checkpoint, Note)>,
    _guard: MutexGuard<'a, ()>,
}

/// A new checkpoint beside the last one.
pub(super) enum Compared {
    /// The same tree.
    Same,
    /// A tree of another size, which may follow from the last one.
    Another,
    /// Another tree of the same size.
    Fork,
}

/// The logs with the files in `directory`, all of which are read once, so that damage is found at the start.
pub(super) fn open(
    directory: &Path,
    logs: Vec<(KeyName, Vec<VerifierKey>)>,
) -> Result<Vec<Log>, StateError> {
    create_private_dir(&directory.join(LOGS))?;
    let lock = Arc::new(lock(directory)?);
    let open = |(origin, keys): (KeyName, Vec<VerifierKey>)| {
        // A hash, as origins have slashes and any length.
        let file = HEXLOWER.encode(&Sha256::digest(origin.as_str()));
        let path = directory.join(LOGS).join(format!("{file}.checkpoint"));
        let log = Log { origin, keys, path, lock: Mutex::new(()), _directory: lock.clone() };
        log.read()?;
        Ok(log)
    };
    logs.into_iter().map(open).collect()
}

fn lock(directory: &Path) -> Result<File, StateError> {
    let path = directory.join(LOCK_FILE);
    let refused = |source| StateError::Read { path: path.clone(), source };
    let file = File::create(&path).map_err(refused)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StateError::Held { directory: directory.into() }),
        Err(TryLockError::Error(source)) => Err(StateError::Read { path, source }),
    }
}

impl Log {
    pub(super) fn origin(&self) -> &KeyName {
        &self.origin
    }

    /// The checkpoint of this note, if it is of this log and the log has signed it. Nothing but the log's signatures is kept of it:
    /// whatever else anybody added is not worth storing.
    pub(super) fn open_checkpoint(&self, note: &Note) -> Result<SignedCheckpoint, CheckpointError> {
        let mut note = note.clone();
        note.retain(|signature| self.keys.iter().any(|key| signature.is_by(key)));
        if note.signatures().is_empty() {
            return Err(CheckpointError::Signature(OpenError::Unsigned));
        }
        let bytes = note.encode();
        let policy = WitnessPolicy::none();
        SignedCheckpoint::open(bytes.as_bytes(), &self.origin, &self.keys, &policy)
    }

    pub(super) fn lock(&self) -> Result<Held<'_>, StateError> {
        // A thread that died with the lock left nothing half done in memory, as nothing is there: the file is read anew each time.
        // After a write that failed, too, only the file knows how far it came.
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Held { log: self, last: self.read()?, _guard: guard })
    }

    pub(super) fn status(&self) -> Result<LogStatus, StateError> {
        let last = self.read()?;
        let checkpoint = last.map(|(_, note)| note.encode());
        Ok(LogStatus { origin: self.origin.clone(), checkpoint })
    }

    fn read(&self) -> Result<Option<(Checkpoint, Note)>, StateError> {
        let path = &self.path;
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StateError::Read { path: path.clone(), source }),
        };
        let parse = || {
            let note = Note::parse(&bytes).ok()?;
            let checkpoint = Checkpoint::parse(note.text()).ok()?;
            (checkpoint.origin == self.origin).then_some((checkpoint, note))
        };
        parse().map(Some).ok_or_else(|| StateError::Damaged { path: path.clone() })
    }
}

impl Held<'_> {
    /// The last checkpoint that was cosigned; that of the empty tree where there is none.
    pub(super) fn last(&self) -> Checkpoint {
        let empty =
            || Checkpoint { origin: self.log.origin.clone(), size: 0, root: TreeHash::EMPTY };
        self.last.as_ref().map_or_else(empty, |(checkpoint, _)| checkpoint.clone())
    }

    pub(super) fn compare(&self, new: &SignedCheckpoint) -> Compared {
        let (last, new) = (self.last(), new.checkpoint());
        match (last.size == new.size, last.root == new.root) {
            (false, _) => Compared::Another,
            (true, true) => Compared::Same,
            (true, false) => Compared::Fork,
        }
    }

    /// Makes `new` the last checkpoint. Durable when this returns.
    pub(super) fn store(&self, new: &SignedCheckpoint) -> Result<(), StateError> {
        Ok(replace_atomically(&self.log.path, new.note().encode().as_bytes())?)
    }

    /// Keeps `other`, which has the size of the last checkpoint and another root, beside that one.
    pub(super) fn keep_evidence(&self, other: &SignedCheckpoint) -> Result<(), StateError> {
        let Some((_, last)) = &self.last else { return Ok(()) };
        for n in 0..MAX_EVIDENCE {
            let path = self.log.path.with_extension(format!("fork-{n}"));
            let both = format!("{}\n{}", last.encode(), other.note().encode());
            match fs::read(&path) {
                Ok(held) if held == both.as_bytes() => return Ok(()),
                Ok(_) => {}
                Err(_) => return Ok(replace_atomically(&path, both.as_bytes())?),
            }
        }
        Ok(())
    }
}
