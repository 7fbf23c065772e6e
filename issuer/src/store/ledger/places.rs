//! What lies where in the ledger.

use std::collections::{BTreeSet, HashMap};

use scrip_protocol::redemption::ItemResult;
use sqlx::{Row, any::AnyRow};

use super::{Store, StoreError, Tx, TxError, What, column, rows};
use crate::store::many::{ROWS, statement};
use crate::store::redemptions::{SpendKey, decode_results};

/// Leaves that follow each other and are about one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeRow {
    /// The index of the first.
    pub first: u64,
    /// How many.
    pub leaves: u64,
    /// What they are about.
    pub what: What,
    /// Of redemptions, the batch.
    pub batch: Option<i64>,
    /// The number of the operator whose leaves they are.
    pub operator: Option<i64>,
    /// The leaf, or, for a batch of which not all evidence was there any more, the positions of that which was.
    pub body: Option<Vec<u8>>,
}

/// The result of an item, and the certificate that it names, by epoch and key.
pub type DecidedItem = (ItemResult, Option<(u32, [u8; 32])>);

/// Where the credited items of a batch lie, and the spends that won over others of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeafPlaces {
    /// The index of the leaf of each credited item, in order.
    pub leaves: Vec<u64>,
    /// Of each item that another spend won, its position and the index of that one's leaf.
    pub winners: Vec<(usize, u64)>,
    /// The note of the smallest stored tree that has them all; empty where there are none.
    pub checkpoint: Vec<u8>,
    /// Positions of items that were credited or lost before, and of which the record was dropped since, or before there was a ledger:
    /// nothing says any more where it lies.
    pub gone: Vec<usize>,
}

impl Store {
    /// What lies in `from..to`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ledger_ranges(&self, from: u64, to: u64) -> Result<Vec<RangeRow>, StoreError> {
        self.read("ledger_ranges", |tx| {
            Box::pin(async move {
                let sql = "-- ledger_ranges()
                    SELECT first, leaves, what, batch, operator, body FROM ledger_ranges
                    WHERE first < $2 AND first >=
                        (SELECT COALESCE(MAX(first), 0) FROM ledger_ranges WHERE first <= $1)
                    ORDER BY first";
                let found = sqlx::query(sql)
                    .bind(column(from))
                    .bind(column(to))
                    .fetch_all(tx.connection())
                    .await?;
                found.iter().map(range).collect()
            })
        })
        .await
    }

    /// At most `limit` ranges of an operator that begin in `from..to`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ledger_ranges_of(
        &self,
        operator: i64,
        from: u64,
        to: u64,
        limit: u16,
    ) -> Result<Vec<RangeRow>, StoreError> {
        self.read("ledger_ranges_of", |tx| {
            Box::pin(async move {
                let sql = "-- ledger_ranges_of()
                    SELECT first, leaves, what, batch, operator, body FROM ledger_ranges
                    WHERE operator = $1 AND first >= $2 AND first < $3 ORDER BY first LIMIT $4";
                let found = sqlx::query(sql)
                    .bind(operator)
                    .bind(column(from))
                    .bind(column(to))
                    .bind(i64::from(limit))
                    .fetch_all(tx.connection())
                    .await?;
                found.iter().map(range).collect()
            })
        })
        .await
    }

    /// The signed note of the smallest tree of at least `size` leaves.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ledger_note(&self, size: u64) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        self.read("ledger_note", |tx| Box::pin(async move { tx.ledger_note(size).await })).await
    }

    /// Where the credited items of a batch lie, and what won over others. `None` while one of them is not in the storage.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn leaf_places(
        &self,
        batch: i64,
        results: &[DecidedItem],
    ) -> Result<Option<LeafPlaces>, StoreError> {
        self.read("leaf_places", |tx| Box::pin(async move { tx.leaf_places(batch, results).await }))
            .await
    }

    /// The signed manifest of this version.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn manifest_of(&self, version: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.read("manifest_of", |tx| {
            Box::pin(async move {
                let sql = "-- manifest_of()
                    SELECT manifest FROM manifests WHERE version = $1";
                let row =
                    sqlx::query(sql).bind(column(version)).fetch_optional(tx.connection()).await?;
                Ok(row.map(|row| row.try_get("manifest")).transpose()?)
            })
        })
        .await
    }

    /// The index of the leaf of this version of the manifest, where it has one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn manifest_leaf(&self, version: u64) -> Result<Option<u64>, StoreError> {
        self.read("manifest_leaf", |tx| {
            Box::pin(async move {
                let sql = "-- manifest_leaf()
                    SELECT leaf FROM ledger_manifests WHERE version = $1";
                let row =
                    sqlx::query(sql).bind(column(version)).fetch_optional(tx.connection()).await?;
                row.map(|row| rows::integer(&row, "leaf", "ledger_manifests")).transpose()
            })
        })
        .await
    }

    /// The epochs that nothing follows any more, with the size of the tree that their last leaf is in.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ledger_ended(&self) -> Result<HashMap<u32, u64>, StoreError> {
        self.read("ledger_ended", |tx| {
            Box::pin(async move {
                let sql = "-- ledger_ended()
                    SELECT epoch, size FROM ledger_ended";
                let found = sqlx::query(sql).fetch_all(tx.connection()).await?;
                let ended = |row: &AnyRow| {
                    let epoch = rows::integer(row, "epoch", "ledger_ended")?;
                    Ok((epoch, rows::integer(row, "size", "ledger_ended")?))
                };
                found.iter().map(ended).collect()
            })
        })
        .await
    }
}

impl Tx<'_> {
    async fn ledger_note(&mut self, size: u64) -> Result<Option<(u64, Vec<u8>)>, TxError> {
        let sql = "-- ledger_note()
            SELECT size, note FROM ledger_checkpoints WHERE size >= $1 ORDER BY size LIMIT 1";
        let row = sqlx::query(sql).bind(column(size)).fetch_optional(self.connection()).await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some((rows::integer(&row, "size", "ledger_checkpoints")?, row.try_get("note")?)))
    }

    async fn leaf_places(
        &mut self,
        batch: i64,
        results: &[DecidedItem],
    ) -> Result<Option<LeafPlaces>, TxError> {
        let before = results.iter().filter(|(result, _)| is_elsewhere(result));
        let before: Vec<SpendKey> = before.filter_map(|(_, key)| *key).collect();
        let recorded = self.spent_places(&before).await?;
        let mut places: Vec<(usize, i64, usize)> = Vec::with_capacity(results.len());
        let mut gone = Vec::new();
        for (at, (result, key)) in results.iter().enumerate() {
            if *result == ItemResult::Accepted {
                places.push((at, batch, at));
            } else if is_elsewhere(result) {
                match key.and_then(|key| recorded.get(&key)) {
                    Some((batch, position)) => places.push((at, *batch, *position)),
                    None => gone.push(at),
                }
            }
        }
        let batches: BTreeSet<i64> = places.iter().map(|(_, batch, _)| *batch).collect();
        let batches = self.batch_places(&batches.into_iter().collect::<Vec<_>>()).await?;
        let (mut leaves, mut winners) = (Vec::with_capacity(places.len()), Vec::new());
        for (at, batch, position) in places {
            let Some(place) = batches.get(&batch) else { return Ok(None) };
            match place.leaf(position) {
                Some(leaf) if results[at].0.is_credited() => leaves.push(leaf),
                Some(leaf) => winners.push((at, leaf)),
                None => gone.push(at),
            }
        }
        let last = leaves.iter().chain(winners.iter().map(|(_, leaf)| leaf)).max().copied();
        let Some(last) = last else {
            return Ok(Some(LeafPlaces { leaves, winners, checkpoint: Vec::new(), gone }));
        };
        let stored = self.ledger_stored().await?;
        match self.ledger_note(last + 1).await? {
            Some((size, checkpoint)) if size <= stored => {
                Ok(Some(LeafPlaces { leaves, winners, checkpoint, gone }))
            }
            Some(_) | None => Ok(None),
        }
    }

    pub(in crate::store) async fn ledger_stored(&mut self) -> Result<u64, TxError> {
        let sql = "-- ledger_stored()
            SELECT stored FROM ledger_state WHERE id = 1";
        let row = sqlx::query(sql).fetch_one(self.connection()).await?;
        rows::integer(&row, "stored", "ledger_state")
    }

    /// The batch and the position in it of recorded spends.
    async fn spent_places(
        &mut self,
        keys: &[SpendKey],
    ) -> Result<HashMap<SpendKey, (i64, usize)>, TxError> {
        let mut places = HashMap::with_capacity(keys.len());
        for chunk in keys.chunks(ROWS) {
            let sql = format!(
                "-- spent_places()
                SELECT epoch, certificate_key, batch, position FROM spent
                WHERE (epoch, certificate_key) IN (VALUES {})",
                self.placeholders(chunk.len(), 2)
            );
            let mut query = statement(sql, chunk.len());
            for (epoch, certificate_key) in chunk {
                query = query.bind(i64::from(*epoch)).bind(certificate_key.to_vec());
            }
            for row in query.fetch_all(self.connection()).await? {
                let epoch = rows::integer(&row, "epoch", "spent")?;
                let key = (epoch, rows::bytes(&row, "certificate_key", "spent")?);
                let position = rows::integer(&row, "position", "spent")?;
                places.insert(key, (row.try_get("batch")?, position));
            }
        }
        Ok(places)
    }

    async fn batch_places(&mut self, batches: &[i64]) -> Result<HashMap<i64, BatchPlace>, TxError> {
        let mut places = HashMap::with_capacity(batches.len());
        for chunk in batches.chunks(ROWS) {
            let sql = format!(
                "-- batch_places()
                SELECT batches.batch, batches.results, ledger_ranges.first, ledger_ranges.body
                FROM batches JOIN ledger_ranges ON ledger_ranges.batch = batches.batch
                WHERE batches.batch IN {}",
                self.placeholders(1, chunk.len())
            );
            let mut query = statement(sql, chunk.len());
            for batch in chunk {
                query = query.bind(*batch);
            }
            for row in query.fetch_all(self.connection()).await? {
                let results: Vec<u8> = row.try_get("results")?;
                let body: Option<Vec<u8>> = row.try_get("body")?;
                let positions = match body {
                    Some(body) => positions(&body),
                    None => accepted(&decode_results(&results)?),
                };
                let first = rows::integer(&row, "first", "ledger_ranges")?;
                places.insert(row.try_get("batch")?, BatchPlace { first, positions });
            }
        }
        Ok(places)
    }

    pub(super) async fn insert_ranges(&mut self, ranges: &[RangeRow]) -> Result<(), TxError> {
        for chunk in ranges.chunks(ROWS) {
            let sql = format!(
                "-- insert_ranges()
                INSERT INTO ledger_ranges (first, leaves, what, batch, operator, body) VALUES {}",
                self.placeholders(chunk.len(), 6)
            );
            let mut query = statement(sql, chunk.len());
            for range in chunk {
                query = query
                    .bind(column(range.first))
                    .bind(column(range.leaves))
                    .bind(range.what.number())
                    .bind(range.batch)
                    .bind(range.operator)
                    .bind(range.body.as_deref());
            }
            query.execute(self.connection()).await?;
        }
        Ok(())
    }
}

/// Whether the leaf that the answer names is one that was recorded before, perhaps by another batch.
fn is_elsewhere(result: &ItemResult) -> bool {
    match result {
        ItemResult::AlreadyAccepted => true,
        ItemResult::DoubleSpent(spend) => spend.leaf().is_some(),
        ItemResult::Accepted | ItemResult::Expired | ItemResult::Invalid(_) => false,
    }
}

/// Where the leaves of a batch begin, and of which of its items they are.
struct BatchPlace {
    first: u64,
    positions: Vec<usize>,
}

impl BatchPlace {
    fn leaf(&self, position: usize) -> Option<u64> {
        let rank = self.positions.binary_search(&position).ok()?;
        Some(self.first + rank as u64)
    }
}

/// The positions of what was accepted: the leaves of a batch are in their order.
fn accepted(results: &[ItemResult]) -> Vec<usize> {
    let accepted = results.iter().enumerate().filter(|(_, one)| **one == ItemResult::Accepted);
    accepted.map(|(position, _)| position).collect()
}

/// `uint16 positions[]`
fn positions(body: &[u8]) -> Vec<usize> {
    let (positions, _) = body.as_chunks::<2>();
    positions.iter().map(|position| usize::from(u16::from_be_bytes(*position))).collect()
}

fn range(row: &AnyRow) -> Result<RangeRow, TxError> {
    let table = "ledger_ranges";
    Ok(RangeRow {
        first: rows::integer(row, "first", table)?,
        leaves: rows::integer(row, "leaves", table)?,
        what: What::read(row, table)?,
        batch: row.try_get("batch")?,
        operator: row.try_get("operator")?,
        body: row.try_get("body")?,
    })
}
