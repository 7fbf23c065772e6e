//! One integration: from what is in line to leaves that everybody can read. See the head of [`super`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use scrip_protocol::{
    credits::Exponent,
    id::OperatorId,
    ledger::{Count, ManifestVersion},
    manifest::Manifest,
    time::Day,
    tlog::{
        checkpoint::Checkpoint,
        hash::TreeHash,
        note::{KeyName, Note},
    },
};

use tokio::time::timeout;

use super::{
    Ended, LedgerError, Rounds,
    edge::Edge,
    files::{self, CHECKPOINT, bundle_start},
    plan::{self, Frame, Line, TakenBatch, TakenRenewals},
};
use crate::{
    issuer::Issuer,
    ring::Ring,
    store::{LedgerState, LoggedRenewals, QueuedRow, Seen, Sequenced, StoreError, What},
};

/// How long a server that stops waits for an integration.
const PATIENCE: Duration = Duration::from_secs(10);
/// Rows of the queue that one integration takes.
const ROWS: u16 = 64;
/// Leaves after which an integration takes no further batch.
const LEAVES: usize = 8_192;
/// Renewals that one integration takes.
const RENEWALS: u64 = 8_192;
/// Seconds after midnight until a day's renewals are taken: all of them together, those of the last request before midnight too.
const DAY_MARGIN: u64 = 3_600;

/// How far an integration came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integrated {
    /// Everything that was in line before is in the ledger.
    Everything,
    /// Another process does it.
    Elsewhere,
}

/// What is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What is due. Sums of what was sold wait for the next redemption or for the end of their day.
    Due,
    /// These sums as well.
    Everything,
}

/// What was read, with what says where to go on.
struct Taken {
    line: Line,
    /// Rows of the queue.
    rows: Vec<(What, i64)>,
    ended: Vec<u32>,
    /// Whether more is in line than was read.
    more: bool,
}

impl Issuer {
    /// Integrates what is in line, unless another process does. Those who ask while one is under way share the next.
    ///
    /// # Errors
    /// [`LedgerError`]: what is in line stays there.
    pub async fn integrate(&self, scope: Scope) -> Result<Integrated, LedgerError> {
        let ticket = self.inner.ledger.arrivals.fetch_add(1, Ordering::SeqCst) + 1;
        let issuer = self.clone();
        // A task of its own: it goes on where the client that waits for it goes away.
        let task = tokio::spawn(async move {
            let ledger = &issuer.inner.ledger;
            let mut rounds = ledger.rounds.lock().await;
            if rounds.stopped {
                return Err(LedgerError::Interrupted);
            }
            if rounds.covered >= ticket && scope == Scope::Due {
                return Ok(Integrated::Everything);
            }
            let arrived = ledger.arrivals.load(Ordering::SeqCst);
            let done = issuer.run_rounds(&mut rounds, scope).await?;
            if done == Integrated::Everything {
                rounds.covered = arrived;
            }
            Ok(done)
        });
        task.await.map_err(|_| LedgerError::Interrupted)?
    }

    /// Lets an integration that is under way come to its end, for a while, and begins no other: integrations are tasks of their own,
    /// and would go on writing when the server has stopped. What this does not wait for is as after a crash.
    pub(crate) async fn stop_integrating(&self) {
        if let Ok(mut rounds) = timeout(PATIENCE, self.inner.ledger.rounds.lock()).await {
            rounds.stopped = true;
        }
    }

    async fn run_rounds(
        &self,
        rounds: &mut Rounds,
        scope: Scope,
    ) -> Result<Integrated, LedgerError> {
        loop {
            self.compare_now().await?;
            let mut state = self.inner.store.ledger_state().await?;
            if !self.leads(rounds, &state).await? {
                return Ok(Integrated::Elsewhere);
            }
            if state.stored < state.size {
                self.recover_ledger(&state).await?;
                state = self.inner.store.ledger_state().await?;
            }
            let Some(taken) = self.take_line(rounds, scope).await? else {
                return Ok(Integrated::Everything);
            };
            let more = taken.more;
            if !self.append_line(rounds, &state, taken).await? {
                tracing::info!("another process sequenced at the same time");
                continue;
            }
            if !more {
                return Ok(Integrated::Everything);
            }
        }
    }

    /// Reads what is in line. Redemptions first, then what was issued, then what was granted: what is redeemed in a tree has then been
    /// issued in it, and what is issued has been granted.
    async fn take_line(
        &self,
        rounds: &mut Rounds,
        scope: Scope,
    ) -> Result<Option<Taken>, LedgerError> {
        // What is over is over for good: a clock that is ahead ends neither a day nor an epoch.
        let believed = self.inner.believed.earlier();
        let (store, today) = (&self.inner.store, believed.day());
        let queue = store.ledger_queue(ROWS).await?;
        let ended = self.ended_epochs(rounds).await?;
        let mut line = Line::default();
        let (mut rows, mut read, mut leaves) = (Vec::new(), 0, 0);
        let operators = self.operator_ids(&queue).await?;
        for row in &queue {
            match row.what {
                What::Redemptions if leaves >= LEAVES => break,
                What::Redemptions => {
                    let batch = self.take_batch(row, &operators, ended).await?;
                    leaves += batch.evidence.len();
                    line.batches.push(batch);
                }
                What::Leaf => line.leaves.push(row.clone()),
                What::Manifest => line.manifests.push(self.take_manifest(row).await?),
                What::Renewals | What::Covers => {}
            }
            rows.push((row.what, row.entry));
            read += 1;
        }
        let mut more = read < queue.len() || queue.len() == usize::from(ROWS);
        let closed = believed.minus(DAY_MARGIN).day();
        more |= self.take_renewals(closed, ended, &mut line, &mut rows).await?;
        let over = if more { Vec::new() } else { self.epochs_over(ended) };
        if !over.is_empty() {
            line.expired = self.unused(&over).await?;
        }
        let nothing = rows.is_empty() && line.renewals.is_none() && over.is_empty();
        let before = if nothing && scope == Scope::Due { today } else { Day(u32::MAX) };
        line.issued = store.ledger_issued(before).await?;
        line.sales = store.ledger_sales(before).await?;
        let nothing = nothing && line.issued.is_empty() && line.sales.is_empty();
        Ok((!nothing).then_some(Taken { line, rows, ended: over, more }))
    }

    async fn operator_ids(
        &self,
        queue: &[QueuedRow],
    ) -> Result<BTreeMap<i64, OperatorId>, LedgerError> {
        if queue.iter().all(|row| row.operator.is_none()) {
            return Ok(BTreeMap::new());
        }
        let all = self.inner.store.operators().await?;
        Ok(all.into_iter().map(|operator| (operator.number, operator.id)).collect())
    }

    async fn take_batch(
        &self,
        row: &QueuedRow,
        operators: &BTreeMap<i64, OperatorId>,
        ended: &Ended,
    ) -> Result<TakenBatch, LedgerError> {
        let operator = row.operator.ok_or(LedgerError::Damaged("ledger_queue"))?;
        let operator_id = operators.get(&operator).ok_or(LedgerError::Damaged("operators"))?;
        let mut evidence = match self.inner.ledger.fresh.take(row.entry) {
            Some(evidence) => evidence,
            None => self.inner.store.evidence(row.entry).await?,
        };
        if ended.before {
            let manifest = self.manifest();
            evidence.retain(|row| {
                let key = manifest.key(&row.item.token.key_id);
                key.is_none_or(|key| !ended.epochs.contains(&key.epoch()))
            });
        }
        Ok(TakenBatch {
            number: row.entry,
            day: row.day,
            operator,
            operator_id: *operator_id,
            evidence,
            complete: !ended.before,
        })
    }

    async fn take_manifest(&self, row: &QueuedRow) -> Result<ManifestVersion, LedgerError> {
        let damaged = || LedgerError::Damaged("manifests");
        let version = u64::try_from(row.entry).map_err(|_| damaged())?;
        let bytes = self.inner.store.manifest_of(version).await?.ok_or_else(damaged)?;
        let manifest = Manifest::open(&bytes, &self.vendor_id()).map_err(|_| damaged())?;
        Ok(ManifestVersion { version, digest: manifest.digest() })
    }

    /// Renewals of the first day that is over; with the last of them, their sums. Returns whether there are more.
    async fn take_renewals(
        &self,
        today: Day,
        ended: &Ended,
        line: &mut Line,
        rows: &mut Vec<(What, i64)>,
    ) -> Result<bool, LedgerError> {
        let store = &self.inner.store;
        let Some(due) = store.renewal_day(today).await? else { return Ok(false) };
        let vendor = self.vendor_id();
        let found = store.renewals_logged(&vendor, due.day, 0, RENEWALS).await?;
        let last = (found.len() as u64) < RENEWALS;
        let mut sums = Vec::new();
        if last {
            sums = due.sums;
            sums.retain(|row| !ended.epochs.contains(&row.epoch));
            rows.extend(due.renewals.iter().map(|renewal| (What::Renewals, *renewal)));
        }
        line.renewals = Some(TakenRenewals { day: due.day, rows: found, sums });
        Ok(true)
    }

    /// Epochs that nothing follows any more.
    async fn ended_epochs<'r>(&self, rounds: &'r mut Rounds) -> Result<&'r Ended, LedgerError> {
        if rounds.ended.is_none() {
            let ended = self.inner.store.ledger_ended().await?;
            let before = ended.values().any(|size| *size == 0);
            rounds.ended = Some(Ended { epochs: ended.into_keys().collect(), before });
        }
        Ok(rounds.ended.get_or_insert_default())
    }

    /// Epochs that end now: nobody can redeem any more, and days have passed by the believed time, by which the clocks of processes
    /// do not differ. What is written here is never taken back.
    fn epochs_over(&self, ended: &Ended) -> Vec<u32> {
        let (manifest, now) = (self.manifest(), self.inner.believed.read().deletable());
        let over = manifest.epochs().iter().filter(|epoch| {
            epoch.windows.redeem_until <= now && !ended.epochs.contains(&epoch.number)
        });
        over.map(|epoch| epoch.number).collect()
    }

    /// What was issued of these epochs and neither redeemed nor renewed.
    async fn unused(&self, epochs: &[u32]) -> Result<Vec<(u32, Vec<Count>)>, LedgerError> {
        let sums = self.inner.store.status().await?.denominations;
        let mut unused: BTreeMap<u32, Vec<Count>> = BTreeMap::new();
        for ((epoch, exponent), sum) in sums {
            let used = sum.redeemed.saturating_add(sum.renewed);
            let certificates = sum.issued.saturating_sub(used);
            if let Some(exponent) = Exponent::new(exponent)
                && certificates > 0
                && epochs.contains(&epoch)
            {
                unused.entry(epoch).or_default().push(Count { exponent, certificates });
            }
        }
        Ok(unused.into_iter().collect())
    }

    /// Epochs whose last leaf is in a finished bundle of the storage, so that nothing of them has to be derived again.
    pub(crate) async fn epochs_in_ledger(&self) -> Result<BTreeSet<u32>, StoreError> {
        let stored = bundle_start(self.inner.store.ledger_state().await?.stored);
        let ended = self.inner.store.ledger_ended().await?;
        Ok(ended.into_iter().filter(|(_, size)| *size <= stored).map(|(epoch, _)| epoch).collect())
    }

    /// Steps 1 to 5. `false` where another process was first.
    async fn append_line(
        &self,
        rounds: &mut Rounds,
        state: &LedgerState,
        taken: Taken,
    ) -> Result<bool, LedgerError> {
        let steps = &self.inner.steps;
        steps.at("issuer.ledger.collected");
        let Taken { line, rows, ended, .. } = taken;
        let ring = self.ring_of(&line).await;
        let operators = self.inner.store.operators().await?;
        let operators = operators.into_iter().map(|one| (one.number, one.id)).collect();
        let frame = Frame {
            secret: &state.secret,
            manifest: &ring.manifest,
            operators: &operators,
            today: self.inner.believed.earlier().day(),
            from: state.size,
            fill: self.inner.config.ledger.fill,
        };
        let plan = plan::plan(&line, frame)?;
        let mut leaves = self.derive_leaves(bundle_start(state.size), state.size, state).await?;
        leaves.extend(plan.leaves);
        let edge = edge(state.size, &state.edge)?;
        let (edge, tiles) = files::tiles(&edge, state.size, &leaves)?;
        let size = bundle_start(state.size) + leaves.len() as u64;
        let root = edge.root().map_err(|_| LedgerError::Damaged("ledger_state"))?;
        let note = self.sign_checkpoint(&ring, size, root)?;
        steps.at("issuer.ledger.signed");
        let sequenced = Sequenced {
            holder: self.inner.ledger.holder,
            from: state.size,
            from_edge: state.edge.clone(),
            size,
            edge: edge.encode(),
            note: note.clone(),
            ranges: plan.ranges,
            taken: rows,
            issued: line.issued,
            sales: line.sales,
            renewals: plan.renewals.and_then(|first| logged(&line.renewals, first)),
            ended: ended.clone(),
        };
        if !self.inner.store.sequence(&sequenced, steps).await? {
            return Ok(false);
        }
        if let Some(memory) = self.inner.store.memory() {
            memory.saw(Seen { size, root, note: note.clone() });
        }
        steps.at("issuer.ledger.sequenced");
        if let Some(known) = &mut rounds.ended {
            known.epochs.extend(ended);
        }
        self.write_files(state.size, size, &leaves, tiles, note).await?;
        Ok(true)
    }

    /// The keys that everything in line is of.
    async fn ring_of(&self, line: &Line) -> Arc<Ring> {
        let redeemed = line.batches.iter().flat_map(|batch| &batch.evidence);
        let keys: BTreeSet<_> = redeemed.map(|row| row.item.token.key_id).collect();
        let epochs: BTreeSet<u32> = line.issued.iter().map(|row| row.epoch).collect();
        self.ring_that(|ring| {
            let known = |epoch: &u32| ring.manifest.epochs().iter().any(|e| e.number == *epoch);
            keys.iter().all(|key| ring.manifest.key(key).is_some()) && epochs.iter().all(known)
        })
        .await
    }

    fn sign_checkpoint(
        &self,
        ring: &Ring,
        size: u64,
        root: TreeHash,
    ) -> Result<Vec<u8>, LedgerError> {
        let origin = KeyName::of_ledger(&self.vendor_id());
        // An origin begins with a letter, so that its note may be signed.
        let damaged = |_| LedgerError::Damaged("manifests");
        let text = Checkpoint { origin: origin.clone(), size, root }.encode();
        let mut note = Note::new(text).map_err(damaged)?;
        for key in ring.receipt.before.iter().chain([&ring.receipt.newest]) {
            note.sign(&origin, key).map_err(damaged)?;
        }
        Ok(note.encode().into_bytes())
    }

    /// Steps 3 to 5 once more, of what was sequenced and is not known to be stored.
    async fn recover_ledger(&self, state: &LedgerState) -> Result<(), LedgerError> {
        let damaged = |table| LedgerError::Damaged(table);
        let leaves = self.derive_leaves(bundle_start(state.stored), state.size, state).await?;
        let edge = edge(state.stored, &state.stored_edge)?;
        let (edge, tiles) = files::tiles(&edge, state.stored, &leaves)?;
        // What is derived must be what was signed: nothing else is ever written.
        if edge.encode() != state.edge {
            return Err(damaged("ledger_ranges"));
        }
        let note = self.inner.store.ledger_note(state.size).await?;
        let (size, note) = note.ok_or_else(|| damaged("ledger_checkpoints"))?;
        if size != state.size {
            return Err(damaged("ledger_checkpoints"));
        }
        tracing::info!(from = state.stored, to = size, "writing what was sequenced before");
        self.write_files(state.stored, size, &leaves, tiles, note).await
    }

    /// Steps 3 to 5.
    async fn write_files(
        &self,
        from: u64,
        size: u64,
        leaves: &[Vec<u8>],
        mut tiles: Vec<(String, Vec<u8>)>,
        note: Vec<u8>,
    ) -> Result<(), LedgerError> {
        let (storage, steps) = (&self.inner.ledger.storage, &self.inner.steps);
        for version in files::manifests(leaves) {
            let bytes = self.inner.store.manifest_of(version).await?;
            let bytes = bytes.ok_or(LedgerError::Damaged("manifests"))?;
            tiles.push((format!("manifest/{version}"), bytes));
        }
        let rest = tiles.split_off(1.min(tiles.len()));
        storage.put_all(tiles).await?;
        steps.at("issuer.ledger.tiles_partly");
        storage.put_all(rest).await?;
        steps.at("issuer.ledger.tiles");
        // It may have taken long, and another process may have gone on in a database that lost what was sequenced here.
        self.compare_now().await?;
        storage.put(CHECKPOINT, note).await?;
        steps.at("issuer.ledger.checkpoint");
        self.inner.store.mark_ledger_stored(size).await?;
        steps.at("issuer.ledger.stored");
        for directory in files::superseded(from, size) {
            if let Err(error) = storage.delete_under(&directory).await {
                tracing::warn!(%error, "partial tiles that are full now were not removed");
            }
        }
        Ok(())
    }

    /// The leaves of `from..to`, made again from the database.
    pub(super) async fn derive_leaves(
        &self,
        from: u64,
        to: u64,
        state: &LedgerState,
    ) -> Result<Vec<Vec<u8>>, LedgerError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let store = &self.inner.store;
        let ranges = store.ledger_ranges(from, to).await?;
        let operators: BTreeMap<i64, OperatorId> =
            store.operators().await?.into_iter().map(|one| (one.number, one.id)).collect();
        let mut leaves = Vec::new();
        for range in ranges {
            let damaged = LedgerError::Damaged("ledger_ranges");
            let some = match (range.what, range.batch, &range.body) {
                (What::Leaf, _, Some(body)) => vec![body.clone()],
                (What::Covers, ..) => (range.first..range.first + range.leaves)
                    .map(|index| plan::cover(&state.secret, index))
                    .collect(),
                (What::Redemptions, Some(batch), body) => {
                    let operator = range.operator.and_then(|number| operators.get(&number));
                    let mut evidence = store.evidence(batch).await?;
                    if let Some(body) = body {
                        let (kept, _) = body.as_chunks::<2>();
                        evidence.retain(|row| kept.contains(&row.position.to_be_bytes()));
                    }
                    plan::redemptions(*operator.ok_or(damaged)?, &evidence)
                }
                (What::Renewals, _, Some(body)) => {
                    let day = <[u8; 4]>::try_from(body.as_slice()).map_err(|_| damaged)?;
                    let (day, logged) = (Day(u32::from_be_bytes(day)), range.first + 1);
                    let vendor = self.vendor_id();
                    let rows = store.renewals_logged(&vendor, day, logged, range.leaves).await?;
                    plan::renewals(&rows)
                }
                _ => return Err(damaged),
            };
            if some.len() as u64 != range.leaves {
                return Err(LedgerError::Damaged("evidence"));
            }
            let inside = (range.first..).zip(some).filter(|(i, _)| (from..to).contains(i));
            leaves.extend(inside.map(|(_, leaf)| leaf));
        }
        if leaves.len() as u64 != to - from {
            return Err(LedgerError::Damaged("ledger_ranges"));
        }
        Ok(leaves)
    }
}

fn edge(size: u64, bytes: &[u8]) -> Result<Edge, LedgerError> {
    Edge::decode(size, bytes).ok_or(LedgerError::Damaged("ledger_state"))
}

fn logged(renewals: &Option<TakenRenewals>, first: u64) -> Option<LoggedRenewals> {
    let taken = renewals.as_ref()?;
    let last = taken.rows.last()?;
    Some(LoggedRenewals {
        day: taken.day,
        count: taken.rows.len() as u64,
        last: (last.evidence.token.nonce, last.epoch),
        first,
    })
}
