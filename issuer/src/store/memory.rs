//! What a process remembers of its database: the largest tree of the ledger that it has seen, and how many transactions it has
//! committed. A database that knows less went back: a replica that lacks the last commits was promoted, or an older file was put
//! in its place.
//!
//! Every transaction that binds the vendor carries a mark: it raises the number of its slot, and first reads all numbers of its
//! writer. A slot has one transaction at a time, so that nobody waits for another's mark. What a promoted replica has is all that was
//! committed before some moment; so where every number is there, every transaction is.
//!
//! Each transaction also looks at the server's timeline. Where it is another one, there was a promotion, and everybody waits until all
//! issuers have had the time to say what they had committed.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use scrip_protocol::tlog::hash::TreeHash;

use sqlx::Row;
use tokio::time::Instant;

use super::{Backend, Doubt, Server, StoreError, Tx, TxError, rows};

/// How long nothing is done in a database that was found on a promoted server: an issuer that cannot reach it any more leaves its marks
/// beside the ledger meanwhile.
const SETTLE: Duration = Duration::from_secs(5);

/// Who marks transactions: a process. On SQLite, which one issuer has open, it is always the same.
pub(crate) type Writer = [u8; 16];

/// A signed tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) size: u64,
    pub(crate) root: TreeHash,
    pub(crate) note: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Memory {
    writer: Writer,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    doubt: Option<Doubt>,
    /// Whether it was ever believed.
    established: bool,
    /// The largest signed tree.
    newest: Option<Seen>,
    /// The sum of all marks of all writers, as it was read last.
    total: u64,
    /// Where the database was when it was believed last.
    server: Option<Server>,
    /// Where it is since when, if that is elsewhere.
    moved: Option<(Server, Instant)>,
    slots: Vec<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    /// How many transactions were committed in it.
    committed: i64,
    busy: bool,
}

/// What a database must at least know.
pub(crate) struct Floor {
    timeline: Option<i64>,
    size: u64,
    committed: Vec<i64>,
}

/// The slot of a transaction that is under way.
pub(crate) struct Held<'m> {
    memory: &'m Memory,
    slot: usize,
    number: i64,
}

impl Memory {
    pub(crate) fn new(writer: Writer) -> Self {
        Self { writer, known: Mutex::default() }
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.writer
    }

    pub(crate) fn doubt(&self) -> Option<Doubt> {
        self.known().doubt.clone()
    }

    /// Returns what was in doubt before.
    pub(crate) fn set_doubt(&self, doubt: Option<Doubt>) -> Option<Doubt> {
        std::mem::replace(&mut self.known().doubt, doubt)
    }

    /// It was compared with everything, and has everything. Returns what was in doubt before.
    pub(crate) fn believed(&self, server: Option<Server>) -> Option<Doubt> {
        let known = &mut *self.known();
        known.established = true;
        known.server = server;
        known.moved = None;
        known.doubt.take()
    }

    /// Whether the database is where it was, or has been elsewhere for as long as all issuers need to say what they know.
    pub(crate) fn has_settled(&self, server: Option<&Server>) -> bool {
        let known = &mut *self.known();
        let (Some(now), Some(before)) = (server, &known.server) else { return true };
        if now == before {
            return true;
        }
        match &known.moved {
            Some((server, since)) if server == now => since.elapsed() >= SETTLE,
            _ => {
                known.moved = Some((now.clone(), Instant::now()));
                false
            }
        }
    }

    /// Whether it was ever believed.
    pub(crate) fn is_established(&self) -> bool {
        self.known().established
    }

    pub(crate) fn newest(&self) -> Option<Seen> {
        self.known().newest.clone()
    }

    /// Remembers a signed tree if it is the largest.
    pub(crate) fn saw(&self, seen: Seen) {
        let newest = &mut self.known().newest;
        if newest.as_ref().is_none_or(|newest| newest.size < seen.size) {
            *newest = Some(seen);
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.known().total
    }

    pub(crate) fn saw_total(&self, total: u64) {
        let known = &mut *self.known();
        known.total = known.total.max(total);
    }

    /// The marks of what was committed, by slot.
    pub(crate) fn marks(&self) -> Vec<(i64, i64)> {
        let known = self.known();
        let marks = (0..).zip(&known.slots).filter(|(_, slot)| slot.committed > 0);
        marks.map(|(at, slot)| (at, slot.committed)).collect()
    }

    /// Forgets its own marks, which go.
    pub(crate) fn forget_marks(&self) {
        self.known().slots.iter_mut().for_each(|slot| slot.committed = 0);
    }

    pub(crate) fn floor(&self) -> Floor {
        let known = self.known();
        Floor {
            timeline: known.server.as_ref().map(Server::timeline_number),
            size: known.newest.as_ref().map_or(0, |newest| newest.size),
            committed: known.slots.iter().map(|slot| slot.committed).collect(),
        }
    }

    fn hold(&self) -> Held<'_> {
        let known = &mut *self.known();
        let slot = known.slots.iter().position(|slot| !slot.busy).unwrap_or_else(|| {
            known.slots.push(Slot::default());
            known.slots.len() - 1
        });
        known.slots[slot].busy = true;
        Held { memory: self, slot, number: 0 }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Every change is one assignment.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held<'_> {
    /// The transaction was committed.
    pub(crate) fn committed(self) {
        let known = &mut *self.memory.known();
        let slot = &mut known.slots[self.slot];
        slot.committed = slot.committed.max(self.number);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.memory.known().slots[self.slot].busy = false;
    }
}

impl Tx<'_> {
    /// Marks a transaction, which was just begun, in a database that knows all that `memory` knows; refused in any other.
    pub(super) async fn mark<'m>(&mut self, memory: &'m Memory) -> Result<Held<'m>, TxError> {
        if let Some(doubt) = memory.doubt() {
            return Err(StoreError::Doubted(doubt).into());
        }
        let mut held = memory.hold();
        // Before the database is asked: what is committed meanwhile need not be in the answer.
        let floor = memory.floor();
        let Found { size, timeline, marks } = self.known(memory.writer()).await?;
        if let (Some(before), Some(now)) = (floor.timeline, timeline)
            && before != now
        {
            let doubt = Doubt::Promoted { now: format!("timeline {now}") };
            memory.set_doubt(Some(doubt.clone()));
            return Err(StoreError::Doubted(doubt).into());
        }
        if size < floor.size || lacks(&marks, floor.committed.iter().copied()) {
            memory.set_doubt(Some(Doubt::Lost));
            return Err(StoreError::Doubted(Doubt::Lost).into());
        }
        let slot = i64::try_from(held.slot).unwrap_or(i64::MAX);
        held.number = number_of(&marks, slot) + 1;
        let sql = "-- mark()
            INSERT INTO marks (writer, slot, number) VALUES ($1, $2, $3)
            ON CONFLICT (writer, slot) DO UPDATE SET number = $3";
        sqlx::query(sql)
            .bind(memory.writer().as_slice())
            .bind(slot)
            .bind(held.number)
            .execute(self.connection())
            .await?;
        Ok(held)
    }

    /// The size of the ledger's tree, and the marks of a writer by slot.
    pub(super) async fn known(&mut self, writer: &Writer) -> Result<Found, TxError> {
        let sql = match self.backend {
            Backend::Sqlite => {
                "-- known()
                SELECT slot, number FROM marks WHERE writer = $1
                UNION ALL SELECT -1 AS slot, size AS number FROM ledger_state WHERE id = 1"
            }
            // The control file has a new timeline only after a checkpoint; the name of the file that is written to has it at once.
            Backend::Postgres => {
                "-- known()
                SELECT slot, number FROM marks WHERE writer = $1
                UNION ALL SELECT -1 AS slot, size AS number FROM ledger_state WHERE id = 1
                UNION ALL SELECT -2 AS slot, CASE WHEN pg_is_in_recovery() THEN NULL ELSE
                    CAST(CAST('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) AS bit(32)) AS bigint)
                    END AS number"
            }
        };
        let found = sqlx::query(sql).bind(writer.as_slice()).fetch_all(self.connection()).await?;
        let mut known = Found::default();
        for row in &found {
            let number: Option<i64> = row.try_get("number")?;
            match (row.try_get("slot")?, number) {
                (-1_i64, _) => known.size = rows::integer(row, "number", "ledger_state")?,
                (-2, timeline) => known.timeline = timeline,
                (slot, number) => known.marks.push((slot, number.unwrap_or_default())),
            }
        }
        Ok(known)
    }
}

/// What a database knows.
#[derive(Default)]
pub(crate) struct Found {
    size: u64,
    /// Of a PostgreSQL server that takes writes.
    timeline: Option<i64>,
    pub(super) marks: Marks,
}

/// Slots and their numbers.
pub(crate) type Marks = Vec<(i64, i64)>;

fn number_of(marks: &Marks, slot: i64) -> i64 {
    marks.iter().find(|(at, _)| *at == slot).map_or(0, |(_, number)| *number)
}

/// Whether `marks` do not have what was committed, by slot from 0 on.
pub(crate) fn lacks(marks: &Marks, committed: impl IntoIterator<Item = i64>) -> bool {
    (0..).zip(committed).any(|(slot, committed)| number_of(marks, slot) < committed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_used_again() {
        let memory = Memory::new([0; 16]);
        let (first, second) = (memory.hold(), memory.hold());
        assert_eq!((first.slot, second.slot), (0, 1));
        drop(first);
        let mut again = memory.hold();
        assert_eq!(again.slot, 0);
        again.number = 7;
        again.committed();
        assert_eq!(memory.marks(), [(0, 7)]);
        assert_eq!(memory.hold().slot, 0);
    }

    #[test]
    fn a_number_that_is_lower_or_gone_is_missed() {
        assert!(!lacks(&vec![(1, 5), (0, 3)], [3, 5]));
        assert!(!lacks(&vec![(1, 5)], [0, 5]));
        assert!(lacks(&vec![(1, 5)], [1, 5]));
        assert!(lacks(&vec![(0, 3), (1, 4)], [3, 5]));
    }
}
