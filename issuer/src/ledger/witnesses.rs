//! Cosignatures of witnesses (ledger.md, "Checkpoints"): each newest checkpoint is sent to them, with the proof that it follows from the one
//! that they have seen last, and what they answer is kept beside it.
//!
//! The ledger does not wait for them: batches are answered under the vendor's signature alone. Nothing is lost with the file of the
//! cosignatures, which a witness gives again to whoever asks; a crash at any point costs a request.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use scrip_protocol::{
    encoding::parse_decimal,
    time::UnixSeconds,
    tlog::{
        checkpoint::Checkpoint,
        note::{KeyName, Note, NoteSignature, VerifierKey},
        policy::{BadPolicy, WitnessPolicy},
        tile::{TilePath, Tiles},
        tree::{BuildError, ConsistencyProof, consistency_proof, consistency_tiles},
        witness::AddCheckpoint,
    },
};
use scrip_runtime::client::{
    ClientError, ClientOptions, HttpClient, Request, Response, TransportError, check_url,
};
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};

use super::{LedgerError, Storage, StorageError, files::CHECKPOINT};
use crate::issuer::Issuer;

/// The name of the newest checkpoint that witnesses have cosigned, with their cosignatures.
const COSIGNED: &str = "cosigned";
/// How long a witness has for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a witness that did not cosign is left alone.
const PAUSE: Duration = Duration::from_secs(10);
/// How long somebody who asks for the checkpoint waits for its cosignatures.
const PATIENCE: Duration = Duration::from_secs(6);
/// How often the storage is asked for them where another process collects them.
const POLL: Duration = Duration::from_millis(100);
/// Requests for one cosignature: the first size may be wrong, and the one that is answered may be overtaken.
const ATTEMPTS: usize = 3;
/// Witnesses of a vendor: more cosignatures would make a checkpoint too large for those who read it.
const MAX_WITNESSES: usize = 32;
/// Bytes of a witness's answer.
const MAX_ANSWER: usize = 16_384;

/// A witness that is asked for cosignatures.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessConfig {
    /// Its key, as `scrip-witness key` prints it.
    pub key: VerifierKey,
    /// Its submission prefix: what `/add-checkpoint` is appended to.
    pub url: String,
}

/// Why witnesses cannot be asked as they are configured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessSetupError {
    /// The keys.
    #[error("`ledger.witnesses`: {0}; correct the keys")]
    Keys(#[from] BadPolicy),
    /// There are too many.
    #[error(
        "`ledger.witnesses` has {0} witnesses; {MAX_WITNESSES} are the most, and five are plenty"
    )]
    TooMany(usize),
    /// A URL.
    #[error("`ledger.witnesses`: the URL of {witness} cannot be used: {source}")]
    Url {
        /// Whose.
        witness: KeyName,
        /// Why.
        source: TransportError,
    },
    /// The client.
    #[error("the witnesses cannot be asked: {0}")]
    Client(#[from] ClientError),
}

/// Why a witness did not cosign.
#[derive(Debug, thiserror::Error)]
enum NoCosignature {
    #[error("no answer: {0}")]
    NoAnswer(#[from] TransportError),
    #[error("the answer has the status {0}")]
    Status(u16),
    #[error("the answer is no cosignature of the checkpoint by its key")]
    BadAnswer,
    /// It holds a checkpoint that this ledger does not continue.
    #[error(
        "it has cosigned another history of this ledger, up to {0} leaves: was the database restored from a backup, or does another \
         issuer run with a copy of it? Operators and auditors will take this ledger for a fork"
    )]
    Fork(u64),
    #[error("it is {0} leaves ahead")]
    Ahead(u64),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("no proof can be made: {0}")]
    Proof(#[from] BuildError),
}

/// The witnesses that are asked.
pub(crate) struct Witnesses {
    client: HttpClient,
    all: Vec<Asked>,
    /// Held while they are asked.
    asking: tokio::sync::Mutex<()>,
}

struct Asked {
    config: WitnessConfig,
    /// The size that it has cosigned last, as far as is known.
    seen: AtomicU64,
    failing: AtomicBool,
    not_before: Mutex<Option<Instant>>,
}

impl Witnesses {
    pub(crate) fn new(configs: &[WitnessConfig]) -> Result<Self, WitnessSetupError> {
        if configs.len() > MAX_WITNESSES {
            return Err(WitnessSetupError::TooMany(configs.len()));
        }
        // The same rules as where cosignatures are demanded.
        let keys = configs.iter().map(|config| config.key.clone()).collect();
        WitnessPolicy::new(keys, configs.len())?;
        for WitnessConfig { key, url } in configs {
            check_url(url)
                .map_err(|source| WitnessSetupError::Url { witness: key.name().clone(), source })?;
        }
        let client =
            HttpClient::new(ClientOptions { timeout: TIMEOUT, ..ClientOptions::default() })?;
        let asked = |config: &WitnessConfig| Asked {
            config: config.clone(),
            seen: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            not_before: Mutex::default(),
        };
        let asking = tokio::sync::Mutex::new(());
        Ok(Self { client, all: configs.iter().map(asked).collect(), asking })
    }

    /// Whether nobody is asked.
    pub(super) fn are_none(&self) -> bool {
        self.all.is_empty()
    }

    /// How many of them say to have signed this note.
    pub(super) fn count(&self, note: &Note) -> usize {
        let has = |asked: &&Asked| note.signatures().iter().any(|one| one.is_by(&asked.config.key));
        self.all.iter().filter(has).count()
    }
}

impl Issuer {
    /// Asks the witnesses that have not cosigned the newest checkpoint, and stores what they answer. Only the process that sequences
    /// does. Returns how many have cosigned it now.
    ///
    /// # Errors
    /// [`LedgerError`]. A witness that does not answer is no error.
    pub async fn collect_cosignatures(&self) -> Result<usize, LedgerError> {
        let (witnesses, storage) = (&self.inner.ledger.witnesses, &self.inner.ledger.storage);
        if witnesses.all.is_empty() || !self.sequences().await {
            return Ok(0);
        }
        let _asking = witnesses.asking.lock().await;
        let Some((newest, checkpoint)) = read(storage, CHECKPOINT).await? else { return Ok(0) };
        let held = read(storage, COSIGNED).await?.map(|(note, _)| note);
        let mut note = held.filter(|held| held.text() == newest.text()).unwrap_or(newest);
        let has = |note: &Note, asked: &Asked| {
            note.signatures().iter().any(|signature| signature.is_by(&asked.config.key))
        };
        let missing = witnesses.all.iter().filter(|asked| !has(&note, asked) && asked.is_due());
        let answers = missing.map(|asked| async {
            let answer = asked.ask(&witnesses.client, storage, &note, &checkpoint).await;
            asked.note_outcome(&answer);
            answer.ok()
        });
        let added: Vec<NoteSignature> = join_all(answers).await.into_iter().flatten().collect();
        let any = !added.is_empty();
        for signature in added {
            // A hundred witnesses are more than a note holds.
            if note.add(signature).is_err() {
                break;
            }
        }
        if let Some(vouched) = vouched(&witnesses.all, &note) {
            self.inner.believed.not_before(vouched);
        }
        if any {
            storage.put(COSIGNED, note.encode().into_bytes()).await?;
            self.inner.steps.at("issuer.ledger.cosigned");
        }
        Ok(witnesses.all.iter().filter(|asked| has(&note, asked)).count())
    }

    /// The checkpoint that everybody is shown: with cosignatures, for which it waits a little where it is new. It is never older than what
    /// was there when it was asked for: who has seen that in an answer to a batch would take an older one for a ledger that shrank.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub(crate) async fn shown_checkpoint(&self) -> Result<Option<Vec<u8>>, LedgerError> {
        let storage = &self.inner.ledger.storage;
        // From the database: a file that was written late can be older than what operators were told.
        let stored = self.inner.store.ledger_state().await?.stored;
        let held = self.inner.store.ledger_note(stored).await?;
        let held = held.as_ref().and_then(|(_, bytes)| parse(bytes));
        let Some((newest, checkpoint)) = self.not_older(held).await? else { return Ok(None) };
        if self.inner.ledger.witnesses.all.is_empty() {
            return Ok(Some(newest.encode().into_bytes()));
        }
        let cosigned = async {
            let mut collected = false;
            loop {
                if let Some((note, held)) = read(storage, COSIGNED).await?
                    && (held.size > checkpoint.size || note.text() == newest.text())
                {
                    return Ok::<_, LedgerError>(Some(note));
                }
                if collected {
                    return Ok(None);
                }
                if self.sequences().await {
                    self.collect_cosignatures().await?;
                    collected = true;
                } else {
                    // One looks at a time, however many ask.
                    let _one = self.inner.ledger.witnesses.asking.lock().await;
                    sleep(POLL).await;
                }
            }
        };
        let cosigned = timeout(PATIENCE, cosigned).await.unwrap_or(Ok(None))?;
        Ok(Some(cosigned.unwrap_or(newest).encode().into_bytes()))
    }
}

impl Issuer {
    /// The published checkpoint, or what the database `held` where that is newer. A database that went back may have less, or another
    /// tree of the same size, and nobody is shown that.
    async fn not_older(
        &self,
        held: Option<(Note, Checkpoint)>,
    ) -> Result<Option<(Note, Checkpoint)>, LedgerError> {
        let published = match read(&self.inner.ledger.storage, CHECKPOINT).await {
            Ok(published) => published,
            Err(error) if self.doubt().is_some() => return Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "the published checkpoint cannot be read");
                None
            }
        };
        let size = |one: &Option<(Note, Checkpoint)>| one.as_ref().map(|(_, head)| head.size);
        Ok(if size(&held) > size(&published) && self.doubt().is_none() { held } else { published })
    }
}

/// The time that at least two witnesses put into their cosignatures of this note, or a later one: one alone must not be able to bring
/// the believed time forward together with a wrong clock here.
fn vouched(witnesses: &[Asked], note: &Note) -> Option<UnixSeconds> {
    let verified = note.open(witnesses.iter().map(|asked| &asked.config.key)).ok()?;
    let mut times: Vec<UnixSeconds> = verified.iter().filter_map(|one| one.time).collect();
    times.sort_unstable();
    times.pop()?;
    times.pop()
}

/// The newest checkpoint that witnesses have cosigned.
pub(super) async fn read_cosigned(
    storage: &Storage,
) -> Result<Option<(Note, Checkpoint)>, StorageError> {
    read(storage, COSIGNED).await
}

/// A stored checkpoint. None where there is none, or what is there is none: the sequencer writes it anew.
async fn read(storage: &Storage, name: &str) -> Result<Option<(Note, Checkpoint)>, StorageError> {
    Ok(storage.get(name).await?.as_deref().and_then(parse))
}

pub(super) fn parse(bytes: &[u8]) -> Option<(Note, Checkpoint)> {
    let note = Note::parse(bytes).ok()?;
    let checkpoint = Checkpoint::parse(note.text()).ok()?;
    Some((note, checkpoint))
}

impl Asked {
    fn is_due(&self) -> bool {
        let not_before = self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        not_before.is_none_or(|time| time <= Instant::now())
    }

    fn note_outcome(&self, outcome: &Result<NoteSignature, NoCosignature>) {
        let witness = self.config.key.name();
        let not_before = outcome.as_ref().err().map(|_| Instant::now() + PAUSE);
        *self.not_before.lock().unwrap_or_else(PoisonError::into_inner) = not_before;
        let was_failing = self.failing.swap(outcome.is_err(), Ordering::Relaxed);
        match outcome {
            Ok(_) if was_failing => tracing::info!(%witness, "the witness cosigns again"),
            Err(error @ NoCosignature::Fork(_)) if !was_failing => {
                tracing::error!(%witness, %error, "the witness refuses the checkpoint");
            }
            Err(error) if !was_failing => {
                tracing::warn!(%witness, %error, "the witness did not cosign; it is asked again");
            }
            _ => {}
        }
    }

    /// Asks for a cosignature of `checkpoint`, which is that of `note`.
    async fn ask(
        &self,
        client: &HttpClient,
        storage: &Storage,
        note: &Note,
        checkpoint: &Checkpoint,
    ) -> Result<NoteSignature, NoCosignature> {
        let size = checkpoint.size;
        let mut answered = None;
        for _ in 0..ATTEMPTS {
            let old_size = answered.unwrap_or_else(|| self.seen.load(Ordering::Relaxed).min(size));
            if old_size > size {
                return Err(NoCosignature::Ahead(old_size - size));
            }
            let proof = proof(storage, old_size, size).await?;
            let request = AddCheckpoint { old_size, proof, checkpoint: note.clone() };
            let url = format!("{}/add-checkpoint", self.config.url.trim_end_matches('/'));
            let answer = client.send(Request::post(url, request.encode(), MAX_ANSWER)).await?;
            match answer.status {
                200 => {
                    let signature = self.cosignature(note, &answer)?;
                    self.seen.store(size, Ordering::Relaxed);
                    return Ok(signature);
                }
                409 => {
                    let seen = size_of(&answer).ok_or(NoCosignature::BadAnswer)?;
                    // It starts from there, and still will not have it: another tree of the same size.
                    if seen == old_size {
                        return Err(NoCosignature::Fork(seen));
                    }
                    self.seen.store(seen, Ordering::Relaxed);
                    answered = Some(seen);
                }
                // The proof is right for this ledger, so that what the witness holds is not of it.
                422 => return Err(NoCosignature::Fork(old_size)),
                other => return Err(NoCosignature::Status(other)),
            }
        }
        Err(NoCosignature::Status(409))
    }

    /// The verified cosignature in an answer.
    fn cosignature(&self, note: &Note, answer: &Response) -> Result<NoteSignature, NoCosignature> {
        let lines = NoteSignature::parse_lines(&answer.body).unwrap_or_default();
        let own = lines.into_iter().find(|line| line.is_by(&self.config.key));
        let own = own.ok_or(NoCosignature::BadAnswer)?;
        let mut cosigned =
            Note::new(note.text().to_owned()).map_err(|_| NoCosignature::BadAnswer)?;
        cosigned.add(own.clone()).map_err(|_| NoCosignature::BadAnswer)?;
        cosigned.open([&self.config.key]).map_err(|_| NoCosignature::BadAnswer)?;
        Ok(own)
    }
}

/// The size in a `409`.
fn size_of(answer: &Response) -> Option<u64> {
    std::str::from_utf8(&answer.body).ok()?.strip_suffix('\n').and_then(parse_decimal)
}

/// That the tree of `size` leaves begins with the first `old_size`, from the stored tiles.
async fn proof(
    storage: &Storage,
    old_size: u64,
    size: u64,
) -> Result<ConsistencyProof, NoCosignature> {
    let tiles = read_tiles(storage, consistency_tiles(old_size, size)).await?;
    Ok(consistency_proof(&tiles, old_size, size)?)
}

/// Those of these tiles that are there, and are tiles.
pub(super) async fn read_tiles(
    storage: &Storage,
    paths: Vec<TilePath>,
) -> Result<Tiles, StorageError> {
    let mut tiles = Tiles::new();
    for path in paths {
        // A partial tile goes when the full one is there.
        for path in [path, path.full()] {
            if let Some(bytes) = storage.get(&path.to_string()).await?
                && tiles.insert(&path, &bytes).is_ok()
            {
                break;
            }
        }
    }
    Ok(tiles)
}
