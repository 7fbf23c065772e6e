//! Checkpoints (C2SP `tlog-checkpoint`): which log, how many leaves, which root, as a note that the log signed.

use crate::keys::SigningKey;
use crate::tlog::hash::TreeHash;
use crate::tlog::note::{KeyName, Note, NoteError, OpenError, VerifierKey};
use crate::tlog::policy::{PolicyError, WitnessPolicy};
use crate::tlog::{note, parse_decimal};

/// The head of a log's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log.
    pub origin: KeyName,
    /// Its leaves.
    pub size: u64,
    /// The root over them.
    pub root: TreeHash,
}

/// Why a note's text is not a checkpoint. The fault of whoever wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not a checkpoint: origin, size and root, a line each")]
pub struct ParseCheckpointError;

/// Why bytes are not a checkpoint that counts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// No note.
    #[error("the checkpoint cannot be read: {0}")]
    Note(#[from] NoteError),
    /// No checkpoint.
    #[error(transparent)]
    Parse(#[from] ParseCheckpointError),
    /// A checkpoint of another log.
    #[error("the checkpoint is of the log {found}, not of {expected}")]
    Origin {
        /// The log that was asked about.
        expected: KeyName,
        /// The log that it is of.
        found: KeyName,
    },
    /// The log has not signed it. Whoever passed it on is at fault.
    #[error("the log has not signed the checkpoint: {0}")]
    Signature(OpenError),
    /// Too few witnesses have cosigned it.
    #[error(transparent)]
    Witnesses(#[from] PolicyError),
}

impl Checkpoint {
    /// The text of the note. No extension lines are written.
    pub fn encode(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root)
    }

    /// Reads the text of a note. Extension lines are passed over: they say nothing about the tree.
    ///
    /// # Errors
    /// [`ParseCheckpointError`].
    pub fn parse(text: &str) -> Result<Self, ParseCheckpointError> {
        let parse = || {
            let mut lines = text.strip_suffix('\n')?.split('\n');
            let origin = lines.next()?.parse().ok()?;
            let size = parse_decimal(lines.next()?)?;
            let root = lines.next()?.parse().ok()?;
            let empty_is_empty = size > 0 || root == TreeHash::EMPTY;
            (empty_is_empty && lines.all(|line| !line.is_empty())).then_some(Self {
                origin,
                size,
                root,
            })
        };
        parse().ok_or(ParseCheckpointError)
    }

    /// The note that the log signs, under its origin as the name of the key.
    ///
    /// # Errors
    /// [`NoteError::NotToBeSigned`] for an origin that does not begin with a letter or what is above the letters.
    pub fn sign(&self, key: &SigningKey) -> Result<Note, NoteError> {
        let mut note = Note::new(self.encode())?;
        note.sign(&self.origin, key)?;
        Ok(note)
    }
}

/// A checkpoint that its log has signed, and as many witnesses as were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl SignedCheckpoint {
    /// Reads a checkpoint of the log `origin`, which one of `log_keys` has signed and `policy` is content with.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn open<'k>(
        bytes: &[u8],
        origin: &KeyName,
        log_keys: impl IntoIterator<Item = &'k VerifierKey>,
        policy: &WitnessPolicy,
    ) -> Result<Self, CheckpointError> {
        let note = Note::parse(bytes)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        if checkpoint.origin != *origin {
            let (expected, found) = (origin.clone(), checkpoint.origin);
            return Err(CheckpointError::Origin { expected, found });
        }
        // Only who signs the text alone can be the log: a witness's key says something else.
        let log_keys = log_keys.into_iter().filter(|k| k.algorithm() == note::Algorithm::Ed25519);
        note.open(log_keys).map_err(CheckpointError::Signature)?;
        policy.check(&note)?;
        Ok(Self { checkpoint, note })
    }

    /// What was signed.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note, with all of its signatures: evidence for whoever keeps it.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// Whether the two are proof that their log shows different trees to different people: the same log, the same size, another root.
    ///
    /// Two of different sizes can be one too, which takes a consistency proof that the log cannot give: its silence is no evidence.
    pub fn contradicts(&self, other: &Self) -> bool {
        let (a, b) = (&self.checkpoint, &other.checkpoint);
        a.origin == b.origin && a.size == b.size && a.root != b.root
    }
}
