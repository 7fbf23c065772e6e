//! `scrip-witness`: cosigns the checkpoints of logs that only grow (C2SP `tlog-witness`), so that a log cannot show one history to some and
//! another one to others without a witness that helps it.
//!
//! It keeps one checkpoint of each log: the largest that it cosigned. Comparing a new one with it and storing the new one are one step
//! under a lock, and the new one is durable before its cosignature leaves; a crash in between costs the log a second request.

pub mod cli;
mod config;
mod http;
mod identity;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use scrip_protocol::keys::SigningKey;
use scrip_protocol::tlog::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use scrip_protocol::tlog::cosignature::cosign;
use scrip_protocol::tlog::note::{Algorithm, KeyName, NoteSignature, VerifierKey};
use scrip_protocol::tlog::tree::{ProofError, verify_consistency};
use scrip_protocol::tlog::witness::AddCheckpoint;
use scrip_runtime::{clock::SharedClock, steps::Steps};
use tokio::task::spawn_blocking;

pub use config::{BadConfig, Config, LogConfig};
pub use http::router;
pub use state::{LogStatus, StateError};

use state::{Compared, Log};

/// A witness. Clones are the same one.
#[derive(Clone)]
pub struct Witness {
    inner: Arc<Inner>,
}

struct Inner {
    name: KeyName,
    key: SigningKey,
    logs: Vec<Log>,
    clock: SharedClock,
    steps: Steps,
}

/// Why a checkpoint was not cosigned.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The request cannot be read. The sender's fault.
    #[error("{0}")]
    Malformed(String),
    /// The old size is larger than the checkpoint's. The sender's fault.
    #[error("the old size {old_size} is larger than the checkpoint's, {size}")]
    Backwards {
        /// The old size of the request.
        old_size: u64,
        /// The size of the checkpoint.
        size: u64,
    },
    /// The witness was not told to watch this log.
    #[error(
        "the log {0} is not one that this witness watches; its operator adds it to the configuration"
    )]
    UnknownLog(KeyName),
    /// The log has not signed the checkpoint.
    #[error("{0}")]
    Unsigned(CheckpointError),
    /// The request starts from another size than the one that was cosigned last.
    #[error("the last checkpoint that was cosigned has {size} leaves; send a proof from there")]
    Stale {
        /// That size.
        size: u64,
    },
    /// Another tree of a size that was cosigned already: the log has two histories, and both checkpoints are kept as evidence.
    #[error("another tree with {size} leaves was cosigned before: the log has two histories")]
    Fork {
        /// The size of both.
        size: u64,
    },
    /// The tree does not begin with the one that was cosigned last, as far as the proof goes.
    #[error("the checkpoint does not follow from the last one that was cosigned: {0}")]
    NotConsistent(ProofError),
    /// The witness cannot store the checkpoint. Its operator's to mend.
    #[error(transparent)]
    State(#[from] StateError),
    /// The witness's clock is beyond all times.
    #[error("the clock of the witness is wrong")]
    Clock,
}

impl Witness {
    /// A witness with this key, for the logs of `config`, with what it has cosigned before.
    ///
    /// # Errors
    /// [`StateError`] where the state cannot be read, or another process uses it.
    pub fn open(
        config: &Config,
        key: SigningKey,
        clock: SharedClock,
        steps: Steps,
    ) -> Result<Self, StateError> {
        let logs = state::open(&config.data_dir, config.logs_by_origin())?;
        let name = config.name.clone();
        Ok(Self { inner: Arc::new(Inner { name, key, logs, clock, steps }) })
    }

    /// The key that its cosignatures are verified with.
    pub fn verifier_key(&self) -> VerifierKey {
        let Inner { name, key, .. } = &*self.inner;
        VerifierKey::new(name.clone(), Algorithm::CosignatureV1, key.public())
    }

    /// Cosigns a checkpoint (C2SP `tlog-witness`, `add-checkpoint`). `body` is the request's.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn add_checkpoint(&self, body: &[u8]) -> Result<NoteSignature, Refused> {
        let malformed = |error: &dyn std::error::Error| Refused::Malformed(error.to_string());
        let request = AddCheckpoint::parse(body).map_err(|error| malformed(&error))?;
        let text = request.checkpoint.text();
        let Checkpoint { origin, size, .. } =
            Checkpoint::parse(text).map_err(|error| malformed(&error))?;
        let at = self.inner.logs.iter().position(|log| *log.origin() == origin);
        let at = at.ok_or_else(|| Refused::UnknownLog(origin.clone()))?;
        let log = &self.inner.logs[at];
        let signed = log.open_checkpoint(&request.checkpoint).map_err(Refused::Unsigned)?;
        if request.old_size > size {
            return Err(Refused::Backwards { old_size: request.old_size, size });
        }
        // On a thread of its own, which goes on when the client goes away: what has begun is not left half done.
        let inner = self.inner.clone();
        let task = spawn_blocking(move || inner.compare_and_cosign(at, &request, &signed));
        task.await.map_err(|_| StateError::Interrupted)?
    }

    /// What it has cosigned of each log.
    ///
    /// # Errors
    /// [`StateError`] where it cannot be read.
    pub fn status(&self) -> Result<Vec<LogStatus>, StateError> {
        self.inner.logs.iter().map(Log::status).collect()
    }
}

impl Inner {
    fn compare_and_cosign(
        &self,
        log: usize,
        request: &AddCheckpoint,
        signed: &SignedCheckpoint,
    ) -> Result<NoteSignature, Refused> {
        let new = signed.checkpoint();
        let held = self.logs[log].lock()?;
        let last = held.last();
        if request.old_size != last.size {
            return Err(Refused::Stale { size: last.size });
        }
        match held.compare(signed) {
            Compared::Same | Compared::Another => {}
            Compared::Fork => {
                tracing::error!(log = %new.origin, size = new.size, "the log has signed two trees of one size; both checkpoints are kept as evidence");
                held.keep_evidence(signed)?;
                return Err(Refused::Fork { size: new.size });
            }
        }
        let proof = &request.proof;
        verify_consistency(last.size, &last.root, new.size, &new.root, proof).map_err(|error| {
            tracing::warn!(log = %new.origin, from = last.size, to = new.size, %error, "a signed checkpoint does not follow from the last one");
            Refused::NotConsistent(error)
        })?;
        let time = self.clock.now();
        self.steps.at("witness.checkpoint.before");
        // Also where it is there already: the attempt that wrote it may have failed before it was durable.
        held.store(signed)?;
        self.steps.at("witness.checkpoint.after");
        cosign(signed.note(), &self.name, &self.key, time).ok_or(Refused::Clock)
    }
}
