//! Proofs that stand alone (C2SP `tlog-proof`): a leaf's place, the hashes up to the root, and a checkpoint with that root.

use crate::encoding::{decode_base64, encode_base64};
use crate::tlog::checkpoint::{CheckpointError, SignedCheckpoint};
use crate::tlog::hash::TreeHash;
use crate::tlog::note::{KeyName, MAX_NOTE, Note, NoteError, VerifierKey};
use crate::tlog::parse_decimal;
use crate::tlog::policy::WitnessPolicy;
use crate::tlog::tree::{InclusionProof, ProofError, verify_inclusion};
use crate::tlog::witness::{MAX_PROOF, lines, parse_hashes};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";
/// Bytes of the extra data.
pub const MAX_EXTRA: usize = 1 << 16;
/// Bytes of a proof.
pub const MAX_LOG_PROOF: usize = 128 + MAX_EXTRA / 3 * 4 + 4 + MAX_PROOF * 45 + MAX_NOTE;

/// That a leaf is in a log, for whoever has the leaf and knows the log's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogProof {
    /// Whatever the two sides agree on. Nothing vouches for it.
    pub extra: Option<Vec<u8>>,
    /// The number of the leaf, from 0.
    pub index: u64,
    /// The hashes up to the root.
    pub inclusion: InclusionProof,
    /// The checkpoint, unverified.
    pub checkpoint: Note,
}

/// Why bytes are no proof. The fault of whoever wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseLogProofError {
    /// More than [`MAX_LOG_PROOF`] bytes, [`MAX_EXTRA`] of extra data or [`MAX_PROOF`] hashes.
    #[error("the proof is too large")]
    TooLarge,
    /// The lines before the checkpoint are not what they should be.
    #[error("the proof does not begin with its kind, the index, hashes and a blank line")]
    Head,
    /// The checkpoint is no note.
    #[error(transparent)]
    Checkpoint(NoteError),
}

/// Why a proof does not prove that a leaf is in a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogProofError {
    /// The checkpoint does not count.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The leaf is not in its tree by this proof.
    #[error("the leaf is not in the log by this proof: {0}")]
    Inclusion(#[from] ProofError),
}

impl LogProof {
    /// The proof as text.
    pub fn encode(&self) -> String {
        let extra = self.extra.as_ref().map(|extra| format!("extra {}\n", encode_base64(extra)));
        format!(
            "{FIRST_LINE}\n{}index {}\n{}\n{}",
            extra.unwrap_or_default(),
            self.index,
            lines(&self.inclusion.0),
            self.checkpoint.encode()
        )
    }

    /// Reads a proof.
    ///
    /// # Errors
    /// [`ParseLogProofError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseLogProofError> {
        use ParseLogProofError as E;
        if bytes.len() > MAX_LOG_PROOF {
            return Err(E::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| E::Head)?;
        let (head, checkpoint) = text.split_once("\n\n").ok_or(E::Head)?;
        let mut head = head.split('\n').peekable();
        if head.next() != Some(FIRST_LINE) {
            return Err(E::Head);
        }
        let extra = head.next_if(|line| line.starts_with("extra ")).map(|line| {
            let extra = decode_base64(&line["extra ".len()..]).ok_or(E::Head)?;
            if extra.len() > MAX_EXTRA { Err(E::TooLarge) } else { Ok(extra) }
        });
        let extra = extra.transpose()?;
        let index = head.next().and_then(|line| line.strip_prefix("index "));
        let index = index.and_then(parse_decimal).ok_or(E::Head)?;
        let hashes = parse_hashes(head).ok_or(E::Head)?.ok_or(E::TooLarge)?;
        let checkpoint = Note::parse(checkpoint.as_bytes()).map_err(E::Checkpoint)?;
        Ok(Self { extra, index, inclusion: InclusionProof(hashes), checkpoint })
    }

    /// Checks that the log `origin` has the leaf with this hash, by a checkpoint that one of `log_keys` has signed and `policy` is
    /// content with. Gives the checkpoint.
    ///
    /// # Errors
    /// [`LogProofError`].
    pub fn verify<'k>(
        &self,
        leaf_hash: &TreeHash,
        origin: &KeyName,
        log_keys: impl IntoIterator<Item = &'k VerifierKey>,
        policy: &WitnessPolicy,
    ) -> Result<SignedCheckpoint, LogProofError> {
        let signed =
            SignedCheckpoint::open(self.checkpoint.encode().as_bytes(), origin, log_keys, policy)?;
        let tree = signed.checkpoint();
        verify_inclusion(self.index, tree.size, leaf_hash, &self.inclusion, &tree.root)?;
        Ok(signed)
    }
}
