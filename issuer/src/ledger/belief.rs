//! Whether the database is to be believed (ledger.md, "A database that went back").
//!
//! What is compared, and with what:
//!
//! - the database's ledger with the newest checkpoint in the storage and the largest that this process has signed or seen: before
//!   each request that may bind the vendor, and in each round of the ledger, once for all that wait at that moment;
//! - the marks of this process's own transactions with what it remembers of them: in each of its transactions ([`crate::store::memory`]);
//! - the sum of all marks and the server's history with the file [`FILE`] in the storage: at the start and then each second.
//!
//! What is found wrong stops everything but reads, in this process at once and in others as soon as they compare. It ends when a
//! database is there that has everything; nobody has to say so.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use scrip_protocol::tlog::checkpoint::Checkpoint;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{LedgerError, Storage, StorageError, files::CHECKPOINT, witnesses::parse};
use crate::{
    issuer::Issuer,
    store::{Doubt, Memory, Seen, Server, Store, StoreError, Tally, memory::lacks},
};

/// The name of the file that says how far the database was.
pub(crate) const FILE: &str = "database";
/// How long the database has to answer before it cannot be reached.
const REACH: Duration = Duration::from_secs(1);
/// Bytes of it that are read.
const MAX_FILE: usize = 1 << 16;

/// How far the database was, as issuers have left it beside the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Left {
    /// The server, for PostgreSQL.
    server: Option<Server>,
    /// The sum of all marks.
    total: u64,
    /// Marks that must be there: of issuers that missed them, or that could not reach the database.
    needed: Vec<Needed>,
}

/// Marks of one writer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Needed {
    writer: [u8; 16],
    /// By slot, from 0 on.
    committed: Vec<i64>,
}

/// Comparisons that several wait for.
#[derive(Default)]
pub(crate) struct Comparisons {
    arrivals: AtomicU64,
    /// Of those who asked, how many came before the last comparison.
    covered: tokio::sync::Mutex<u64>,
}

/// Who compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    /// It has just begun, and knows nothing but what is in the storage.
    Start,
    /// It believed the database before, and remembers.
    Before,
}

/// What the storage's files have against this database.
///
/// # Errors
/// [`LedgerError`] where either cannot be read.
pub(crate) async fn doubt_of(
    store: &Store,
    storage: &Storage,
) -> Result<Option<Doubt>, LedgerError> {
    if let Some(doubt) = compare_ledger(store, storage, None).await? {
        return Ok(Some(doubt));
    }
    let left = read(storage).await?;
    let tally = store.tally().await?;
    compare_rest(store, storage, left, &tally, Since::Start).await
}

/// Says that the server on which the database is now has everything that the one before had.
///
/// # Errors
/// [`StoreError::Doubted`] where it provably has not, unless `with_losses` and the ledger lost nothing.
pub(crate) async fn accept(
    store: &Store,
    storage: &Storage,
    with_losses: bool,
) -> Result<(), LedgerError> {
    if let Some(doubt) = compare_ledger(store, storage, None).await? {
        return Err(StoreError::Doubted(doubt).into());
    }
    let left = read(storage).await?;
    let tally = store.tally().await?;
    let rest = compare_rest(store, storage, left, &tally, Since::Start).await?;
    match rest {
        Some(Doubt::Lost) if !with_losses => return Err(StoreError::Doubted(Doubt::Lost).into()),
        _ => {}
    }
    leave(storage, &Left { server: tally.server, total: tally.total, needed: Vec::new() }).await
}

/// Compares the database's ledger with the storage's newest checkpoint, and with the largest that is remembered.
async fn compare_ledger(
    store: &Store,
    storage: &Storage,
    memory: Option<&Memory>,
) -> Result<Option<Doubt>, LedgerError> {
    // The storage first: what is in it is in the database before.
    let bytes = storage.get(CHECKPOINT).await?;
    let published = bytes.and_then(|bytes| {
        let (_, Checkpoint { size, root, .. }) = parse(&bytes)?;
        Some(Seen { size, root, note: bytes })
    });
    let remembered = memory.and_then(Memory::newest);
    let place = || storage.place().to_owned();
    if let (Some(published), Some(remembered)) = (&published, &remembered)
        && published.size == remembered.size
        && published.root != remembered.root
    {
        return Ok(Some(Doubt::Differs { place: place(), size: published.size }));
    }
    let newest = match (published, remembered) {
        (Some(published), Some(remembered)) if published.size > remembered.size => Some(published),
        (published, remembered) => remembered.or(published),
    };
    let Some(newest) = newest else { return Ok(None) };
    let standing = store.standing(newest.size).await?;
    let (size, known) = (newest.size, standing.size);
    if known < size {
        return Ok(Some(Doubt::Behind { place: place(), stored: size, known }));
    }
    let held = standing.note.as_deref().and_then(parse).map(|(_, checkpoint)| checkpoint.root);
    if held != Some(newest.root) {
        return Ok(Some(Doubt::Differs { place: place(), size }));
    }
    if let Some(memory) = memory {
        memory.saw(newest);
    }
    Ok(None)
}

/// Compares everything but the ledger with the file that issuers left, which was read before the database: what is in it is in the
/// database then.
async fn compare_rest(
    store: &Store,
    storage: &Storage,
    left: Result<Option<Left>, Unreadable>,
    tally: &Tally,
    since: Since,
) -> Result<Option<Doubt>, LedgerError> {
    let left = match left {
        Ok(left) => left.unwrap_or_default(),
        Err(Unreadable) => return Ok(Some(Doubt::Damaged { place: storage.place().to_owned() })),
    };
    if tally.total < left.total {
        return Ok(Some(Doubt::Lost));
    }
    for needed in &left.needed {
        let marks = store.marks_of(&needed.writer).await?;
        if lacks(&marks, needed.committed.iter().copied()) {
            return Ok(Some(Doubt::Lost));
        }
    }
    match (left.server, tally.server.clone()) {
        // Who ran all the time knows that a promoted server has everything, by its marks. None goes back to an older one, on which
        // somebody else may still write.
        (Some(before), Some(now))
            if before != now && !(since == Since::Before && now.follows(&before)) =>
        {
            Ok(Some(Doubt::OtherServer { before, now }))
        }
        _ => Ok(None),
    }
}

struct Unreadable;

async fn read(storage: &Storage) -> Result<Result<Option<Left>, Unreadable>, StorageError> {
    let Some(bytes) = storage.get(FILE).await? else { return Ok(Ok(None)) };
    let left = (bytes.len() <= MAX_FILE).then(|| serde_json::from_slice(&bytes).ok()).flatten();
    Ok(left.map(Some).ok_or(Unreadable))
}

async fn leave(storage: &Storage, left: &Left) -> Result<(), LedgerError> {
    // Numbers and text always are JSON.
    let bytes = serde_json::to_vec(left).map_err(|_| LedgerError::Damaged("marks"))?;
    Ok(storage.put(FILE, bytes).await?)
}

impl Issuer {
    /// What is in doubt about the database, as far as this process has found out.
    pub fn doubt(&self) -> Option<Doubt> {
        self.inner.store.doubt()
    }

    /// Compares the database with the ledger, before something is done that binds the vendor. Those who ask while a comparison is
    /// under way share the next.
    ///
    /// # Errors
    /// [`StoreError::Doubted`] where it is not to be believed, and where it cannot be read. A storage that cannot be read stops nobody
    /// who has read it before: what was in it then is remembered.
    pub(crate) async fn believe(&self) -> Result<(), StoreError> {
        let comparisons = &self.inner.ledger.comparisons;
        let ticket = comparisons.arrivals.fetch_add(1, Ordering::SeqCst) + 1;
        let mut covered = comparisons.covered.lock().await;
        if *covered < ticket {
            let arrived = comparisons.arrivals.load(Ordering::SeqCst);
            match self.compare_now().await {
                Ok(()) | Err(LedgerError::Storage(_)) => *covered = arrived,
                Err(LedgerError::Store(error)) => return Err(error),
                Err(_) => {}
            }
        }
        self.doubt().map_or(Ok(()), |doubt| Err(StoreError::Doubted(doubt)))
    }

    /// Compares the database with the ledger now.
    ///
    /// # Errors
    /// [`StoreError::Doubted`] where it is not to be believed, and where either cannot be read.
    pub(super) async fn compare_now(&self) -> Result<(), LedgerError> {
        let Some(memory) = self.inner.store.memory() else { return Ok(()) };
        let (store, storage) = (&self.inner.store, &self.inner.ledger.storage);
        if let Some(doubt) = compare_ledger(store, storage, Some(memory)).await? {
            self.doubts(doubt);
        }
        // Only a full comparison ends a doubt.
        memory.doubt().map_or(Ok(()), |doubt| Err(StoreError::Doubted(doubt).into()))
    }

    /// Whether a checkpoint that the database names in an answer is of the ledger that this process knows.
    ///
    /// # Errors
    /// As [`Self::compare_now`].
    pub(crate) async fn vouch(&self, checkpoint: &[u8]) -> Result<(), LedgerError> {
        let Some(memory) = self.inner.store.memory() else { return Ok(()) };
        let Some((_, Checkpoint { size, root, .. })) = parse(checkpoint) else { return Ok(()) };
        match memory.newest() {
            // What is smaller was compared with the largest when that was.
            Some(newest) if newest.size > size || (newest.size == size && newest.root == root) => {
                memory.doubt().map_or(Ok(()), |doubt| Err(StoreError::Doubted(doubt).into()))
            }
            _ => self.compare_now().await,
        }
    }

    /// Compares everything, at the start and then each second; leaves beside the ledger how far the database is, or what is missed in it.
    ///
    /// # Errors
    /// [`StoreError::Doubted`] where it is not to be believed, and where either cannot be read.
    pub(crate) async fn compare_all(&self) -> Result<(), LedgerError> {
        let Some(memory) = self.inner.store.memory() else { return Ok(()) };
        let (store, storage) = (&self.inner.store, &self.inner.ledger.storage);
        let since = match memory.is_established() {
            true => Since::Before,
            false => Since::Start,
        };
        let floor: Vec<i64> = committed(memory);
        let left = read(storage).await?;
        let Some(tally) = self.reach(memory).await? else { return Ok(()) };
        let mut doubt = compare_ledger(store, storage, Some(memory)).await?;
        if doubt.is_none() {
            doubt = compare_rest(store, storage, left, &tally, since).await?;
        }
        let marks = store.marks_of(memory.writer()).await?;
        if doubt.is_none() && (tally.total < memory.total() || lacks(&marks, floor)) {
            doubt = Some(Doubt::Lost);
        }
        // Last, so that what is found besides is said.
        if !memory.has_settled(tally.server.as_ref())
            && doubt.is_none()
            && let Some(now) = &tally.server
        {
            let doubt = Doubt::Promoted { now: now.to_string() };
            self.doubts(doubt.clone());
            return Err(StoreError::Doubted(doubt).into());
        }
        if let Some(doubt) = doubt {
            self.doubts(doubt.clone());
            self.leave_what_is_needed(memory).await?;
            return Err(StoreError::Doubted(doubt).into());
        }
        memory.saw_total(tally.total);
        if let Some(before) = memory.believed(tally.server.clone())
            && before != Doubt::Unread
        {
            tracing::info!("the database has everything again: selling and redeeming go on");
        }
        self.leave_how_far(&tally).await
    }

    /// Lets the marks of this process become nobody's, where nobody looks for them: a process that ends leaves no rows.
    pub(crate) async fn end_marks(&self) -> Result<(), LedgerError> {
        let left = read(&self.inner.ledger.storage).await?.ok().flatten().unwrap_or_default();
        if self.doubt().is_none() && left.needed.is_empty() {
            self.inner.store.fold_marks().await?;
        }
        Ok(())
    }

    /// Where the database stands. A process that cannot reach it leaves its marks at once: another one may be about to go on without them.
    async fn reach(&self, memory: &Memory) -> Result<Option<Tally>, LedgerError> {
        let asked = timeout(REACH, self.inner.store.tally()).await;
        if !matches!(asked, Ok(Ok(_))) && memory.is_established() {
            self.leave_what_is_needed(memory).await?;
        }
        match asked {
            Ok(tally) => Ok(Some(tally?)),
            // At a start it is waited for, as for everything else.
            Err(_) if !memory.is_established() => Ok(Some(self.inner.store.tally().await?)),
            Err(_) => Ok(None),
        }
    }

    fn doubts(&self, doubt: Doubt) {
        let Some(memory) = self.inner.store.memory() else { return };
        let before = memory.set_doubt(Some(doubt.clone()));
        if matches!(doubt, Doubt::Promoted { .. }) {
            if before != Some(doubt.clone()) {
                tracing::warn!(%doubt, "nothing but reading until it is compared with what all issuers know");
            }
        } else if before
            .is_none_or(|before| matches!(before, Doubt::Unread | Doubt::Promoted { .. }))
        {
            let remedy = doubt.remedy();
            tracing::error!(
                %doubt, remedy,
                "the database is not to be believed; everything but reading is refused"
            );
        }
    }

    /// The process that sequences leaves how far the database is, where that has changed.
    async fn leave_how_far(&self, tally: &Tally) -> Result<(), LedgerError> {
        let storage = &self.inner.ledger.storage;
        let left = read(storage).await?.ok().flatten();
        let new = Left { server: tally.server.clone(), total: tally.total, needed: Vec::new() };
        if left.is_none() || (left.as_ref() != Some(&new) && self.sequences().await) {
            if let Some(Left { server: Some(before), .. }) = left
                && let Some(now) = tally.server.as_ref().filter(|now| **now != before)
            {
                tracing::info!(%before, %now, "the database is on a promoted server, which has everything");
            }
            leave(storage, &new).await?;
        }
        Ok(())
    }

    /// For whoever comes when this process is gone.
    async fn leave_what_is_needed(&self, memory: &Memory) -> Result<(), LedgerError> {
        let storage = &self.inner.ledger.storage;
        let mine = Needed { writer: *memory.writer(), committed: committed(memory) };
        let Ok(left) = read(storage).await? else { return Ok(()) };
        let mut new = left.clone().unwrap_or_default();
        new.total = new.total.max(memory.total());
        if !mine.committed.is_empty() {
            new.needed.retain(|needed| needed.writer != mine.writer);
            new.needed.push(mine);
        }
        if left.as_ref() != Some(&new) {
            leave(storage, &new).await?;
        }
        Ok(())
    }
}

/// How many transactions were committed, by slot from 0 on.
fn committed(memory: &Memory) -> Vec<i64> {
    let mut committed = Vec::new();
    for (slot, number) in memory.marks() {
        let slot = usize::try_from(slot).unwrap_or_default();
        committed.resize(slot, 0);
        committed.push(number);
    }
    committed
}
