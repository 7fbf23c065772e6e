//! What a log sends to a witness (C2SP `tlog-witness`, `add-checkpoint`): a checkpoint, and the proof that its tree begins with
//! the one that the witness has cosigned last.

use crate::tlog::hash::TreeHash;
use crate::tlog::note::{MAX_NOTE, Note, NoteError};
use crate::tlog::parse_decimal;
use crate::tlog::tree::ConsistencyProof;

/// Hashes of a consistency proof: one for each bit of the largest size.
pub const MAX_PROOF: usize = 63;
/// Bytes of a request.
pub const MAX_ADD_CHECKPOINT: usize = 64 + MAX_PROOF * 45 + MAX_NOTE;
/// The media type of the size that a witness answers a wrong old size with.
pub const SIZE_MEDIA_TYPE: &str = "text/x.tlog.size";

/// The body of an `add-checkpoint` request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size that the log believes the witness has seen last; 0 for none.
    pub old_size: u64,
    /// That the tree begins with the one of the old size.
    pub proof: ConsistencyProof,
    /// The checkpoint, unverified.
    pub checkpoint: Note,
}

/// Why bytes are no `add-checkpoint` request. The sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseAddCheckpointError {
    /// More than [`MAX_ADD_CHECKPOINT`] bytes or [`MAX_PROOF`] hashes.
    #[error("the request is too large")]
    TooLarge,
    /// The lines before the checkpoint are not the old size, hashes and a blank line.
    #[error("the request does not begin with the old size, the proof and a blank line")]
    Head,
    /// The checkpoint is no note.
    #[error(transparent)]
    Checkpoint(NoteError),
}

impl AddCheckpoint {
    /// The body as text.
    pub fn encode(&self) -> String {
        let proof = lines(&self.proof.0);
        format!("old {}\n{proof}\n{}", self.old_size, self.checkpoint.encode())
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`ParseAddCheckpointError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseAddCheckpointError> {
        use ParseAddCheckpointError as E;
        if bytes.len() > MAX_ADD_CHECKPOINT {
            return Err(E::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| E::Head)?;
        let (head, checkpoint) = text.split_once("\n\n").ok_or(E::Head)?;
        let mut head = head.split('\n');
        let old = head.next().and_then(|line| line.strip_prefix("old "));
        let old_size = old.and_then(parse_decimal).ok_or(E::Head)?;
        let proof = parse_hashes(head).ok_or(E::Head)?.ok_or(E::TooLarge)?;
        let checkpoint = Note::parse(checkpoint.as_bytes()).map_err(E::Checkpoint)?;
        Ok(Self { old_size, proof: ConsistencyProof(proof), checkpoint })
    }
}

/// Hashes, a line each.
pub(crate) fn lines(hashes: &[TreeHash]) -> String {
    hashes.iter().map(|hash| format!("{hash}\n")).collect()
}

/// At most [`MAX_PROOF`] hashes, one of each line; nothing within for more. `None` where a line is none.
pub(crate) fn parse_hashes<'a>(
    lines: impl Iterator<Item = &'a str>,
) -> Option<Option<Vec<TreeHash>>> {
    let mut all = Vec::new();
    for line in lines {
        if all.len() == MAX_PROOF {
            return Some(None);
        }
        all.push(line.parse().ok()?);
    }
    Some(Some(all))
}
