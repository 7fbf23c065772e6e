//! What is in line for the ledger: rows that stand beside what happened, in the same transaction.

use scrip_protocol::{
    credits::Exponent,
    keys::Signature,
    ledger::{Leaf, ValueCommitment},
    redemption::RedemptionItem,
    spend::Commitment,
    time::Day,
    token::Token,
};
use sha2::{Digest, Sha256};
use sqlx::{Row, any::AnyRow};

use super::{Store, StoreError, Tx, TxError, column, day, rows};
use crate::store::many::{ROWS, statement};

/// What the hash of an entry's name begins with, so that it equals no other hash.
const ENTRY_LABEL: &[u8] = b"scrip-issuer ledger entry\0";

/// What a row of the queue, or a range of leaves, is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The redemptions of a batch.
    Redemptions,
    /// One leaf, as it is.
    Leaf,
    /// Renewals.
    Renewals,
    /// A version of the manifest. Only in the queue.
    Manifest,
    /// Covers. Only in ranges.
    Covers,
}

/// A row of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedRow {
    /// What it is about.
    pub what: What,
    /// Which: the number of a batch, or of a version.
    pub entry: i64,
    /// When it was recorded.
    pub day: Day,
    /// The operator's number.
    pub operator: Option<i64>,
    /// Of a leaf, the public leaves in front of it.
    pub commitments: Vec<Vec<u8>>,
    /// Of a leaf, its bytes.
    pub body: Option<Vec<u8>>,
}

/// How certificates came into being.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IssuedKind {
    /// They were signed for grants.
    Sold,
    /// They were signed for renewed ones.
    Reissued,
}

/// A row of what was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IssuedRow {
    /// How.
    pub kind: IssuedKind,
    /// A name that tells nothing.
    pub entry: i64,
    /// When.
    pub day: Day,
    /// The epoch.
    pub epoch: u32,
    /// The denomination.
    pub exponent: Exponent,
    /// How many.
    pub certificates: u64,
}

/// A row of what was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SalesRow {
    /// A name that tells nothing.
    pub entry: i64,
    /// When.
    pub day: Day,
    /// Where it was bought.
    pub source: String,
    /// Whether in a test environment.
    pub test: bool,
    /// The number of the operator that sold it on the vendor's behalf.
    pub operator: Option<i64>,
    /// How many purchases.
    pub purchases: u64,
    /// What they grant.
    pub credits: u64,
}

/// The evidence of a redeemed certificate.
#[derive(Clone)]
pub struct EvidenceRow {
    /// Its position in the batch.
    pub position: u16,
    /// What the operator sent.
    pub item: RedemptionItem,
}

/// How much is in line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Waiting {
    /// Batches, leaves and versions of the manifest.
    pub entries: u64,
    /// Rows of the sums that go in with the next batch, or when their day is over.
    pub sums: u64,
}

impl What {
    pub(super) const fn number(self) -> i64 {
        match self {
            Self::Redemptions => 1,
            Self::Leaf => 2,
            Self::Renewals => 3,
            Self::Manifest => 4,
            Self::Covers => 5,
        }
    }

    pub(super) fn read(row: &AnyRow, table: &'static str) -> Result<Self, TxError> {
        Ok(match rows::integer::<u8>(row, "what", table)? {
            1 => Self::Redemptions,
            2 => Self::Leaf,
            3 => Self::Renewals,
            4 => Self::Manifest,
            5 => Self::Covers,
            _ => return Err(StoreError::Damaged { table }.into()),
        })
    }
}

impl IssuedKind {
    const fn number(self) -> i64 {
        match self {
            Self::Sold => 1,
            Self::Reissued => 2,
        }
    }
}

/// A name for a row that says nothing of what it was made of, to whoever does not have that.
pub(in crate::store) fn entry(parts: &[&[u8]]) -> i64 {
    let hash = parts.iter().fold(Sha256::new().chain_update(ENTRY_LABEL), |hash, part| {
        hash.chain_update((part.len() as u64).to_be_bytes()).chain_update(part)
    });
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash.finalize()[..8]);
    i64::from_be_bytes(bytes) & i64::MAX
}

impl Store {
    /// Queues one leaf, with the commitments that stand in front of it, for what is recorded elsewhere.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn enqueue_leaf(
        &self,
        today: Day,
        operator: Option<i64>,
        commitments: &[ValueCommitment],
        leaf: &[u8],
    ) -> Result<(), StoreError> {
        self.run_tx("enqueue_leaf", |tx| {
            Box::pin(async move { tx.enqueue_leaf(today, operator, commitments, leaf).await })
        })
        .await
    }

    /// At most `limit` rows of the queue: manifests, then leaves in the order in which they came, then batches, by their days. Renewals are
    /// not among them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ledger_queue(&self, limit: u16) -> Result<Vec<QueuedRow>, StoreError> {
        self.read("ledger_queue", |tx| {
            Box::pin(async move {
                let sql = "-- ledger_queue()
                    SELECT what, entry, day, operator, commitments, body FROM ledger_queue
                    WHERE what IN (1, 2, 4) ORDER BY what DESC, day, entry LIMIT $1";
                let found =
                    sqlx::query(sql).bind(i64::from(limit)).fetch_all(tx.connection()).await?;
                found.iter().map(queued).collect()
            })
        })
        .await
    }

    /// How much is in line.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ledger_waiting(&self) -> Result<Waiting, StoreError> {
        self.read("ledger_waiting", |tx| {
            Box::pin(async move {
                let sql = "-- ledger_waiting()
                    SELECT (SELECT COUNT(*) FROM ledger_queue WHERE what <> 3) AS entries,
                        (SELECT COUNT(*) FROM ledger_issued)
                        + (SELECT COUNT(*) FROM ledger_sales) AS sums";
                let row = sqlx::query(sql).fetch_one(tx.connection()).await?;
                let entries = rows::integer(&row, "entries", "ledger_queue")?;
                Ok(Waiting { entries, sums: rows::integer(&row, "sums", "ledger_issued")? })
            })
        })
        .await
    }

    /// The evidence of what was accepted of a batch, in its order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn evidence(&self, batch: i64) -> Result<Vec<EvidenceRow>, StoreError> {
        self.read("evidence", |tx| {
            Box::pin(async move {
                let sql = "-- evidence()
                    SELECT position, day, token, commitment, signature FROM evidence
                    WHERE batch = $1 ORDER BY position";
                let found = sqlx::query(sql).bind(batch).fetch_all(tx.connection()).await?;
                found.iter().map(evidence).collect()
            })
        })
        .await
    }

    /// What was signed and is not in the ledger yet, of days before `before`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ledger_issued(&self, before: Day) -> Result<Vec<IssuedRow>, StoreError> {
        self.read("ledger_issued", |tx| {
            Box::pin(async move {
                let sql = "-- ledger_issued()
                    SELECT kind, entry, day, epoch, exponent, certificates FROM ledger_issued
                    WHERE day < $1";
                let found =
                    sqlx::query(sql).bind(i64::from(before.0)).fetch_all(tx.connection()).await?;
                found.iter().map(issued).collect()
            })
        })
        .await
    }

    /// What was granted and is not in the ledger yet, of days before `before`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ledger_sales(&self, before: Day) -> Result<Vec<SalesRow>, StoreError> {
        self.read("ledger_sales", |tx| {
            Box::pin(async move {
                let sql = "-- ledger_sales()
                    SELECT entry, day, source, test, operator, purchases, credits FROM ledger_sales
                    WHERE day < $1";
                let found =
                    sqlx::query(sql).bind(i64::from(before.0)).fetch_all(tx.connection()).await?;
                found.iter().map(sales).collect()
            })
        })
        .await
    }
}

impl Tx<'_> {
    /// Queues the redemptions of a batch, the renewals of a request, or a version of the manifest.
    pub(in crate::store) async fn enqueue(
        &mut self,
        what: What,
        entry: i64,
        today: Day,
        operator: Option<i64>,
    ) -> Result<(), TxError> {
        let sql = "-- enqueue()
            INSERT INTO ledger_queue (what, entry, day, operator) VALUES ($1, $2, $3, $4)
            ON CONFLICT DO NOTHING";
        sqlx::query(sql)
            .bind(what.number())
            .bind(entry)
            .bind(i64::from(today.0))
            .bind(operator)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Queues one leaf, with the commitments that stand in front of it, in the transaction that records what it says. Leaves keep
    /// the order of their transactions: where two take one number, the later one runs again.
    pub(crate) async fn enqueue_leaf(
        &mut self,
        today: Day,
        operator: Option<i64>,
        commitments: &[ValueCommitment],
        leaf: &[u8],
    ) -> Result<(), TxError> {
        let public = commitments.iter().map(|one| Leaf::Commitment(one.clone()).encode());
        self.enqueue_leaves(today, operator, &public.collect::<Vec<_>>(), leaf).await
    }

    /// The same, with any public leaves in front of it.
    pub(crate) async fn enqueue_leaves(
        &mut self,
        today: Day,
        operator: Option<i64>,
        public: &[Vec<u8>],
        leaf: &[u8],
    ) -> Result<(), TxError> {
        let sql = "-- next_leaf()
            SELECT COALESCE(MAX(entry), 0) + 1 AS entry FROM ledger_queue WHERE what = 2";
        let row = sqlx::query(sql).fetch_one(self.connection()).await?;
        let entry: i64 = row.try_get("entry")?;
        let sql = "-- enqueue_leaf()
            INSERT INTO ledger_queue (what, entry, day, operator, commitments, body)
            VALUES (2, $1, $2, $3, $4, $5)";
        sqlx::query(sql)
            .bind(entry)
            .bind(i64::from(today.0))
            .bind(operator)
            .bind(pack(public)?)
            .bind(leaf)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Queues what was signed, in the transaction that stores it.
    pub(in crate::store) async fn enqueue_issued(
        &mut self,
        kind: IssuedKind,
        entry: i64,
        today: Day,
        counts: &[((u32, u8), i64)],
    ) -> Result<(), TxError> {
        for chunk in counts.chunks(ROWS) {
            let sql = format!(
                "-- enqueue_issued()
                INSERT INTO ledger_issued (kind, entry, day, epoch, exponent, certificates)
                VALUES {}",
                self.placeholders(chunk.len(), 6)
            );
            let mut query = statement(sql, chunk.len());
            for ((epoch, exponent), certificates) in chunk {
                query = query
                    .bind(kind.number())
                    .bind(entry)
                    .bind(i64::from(today.0))
                    .bind(i64::from(*epoch))
                    .bind(i64::from(*exponent))
                    .bind(*certificates);
            }
            query.execute(self.connection()).await?;
        }
        Ok(())
    }

    /// Queues what was granted, in the transaction that records it.
    pub(in crate::store) async fn enqueue_sales(&mut self, sold: &SalesRow) -> Result<(), TxError> {
        let sql = "-- enqueue_sales()
            INSERT INTO ledger_sales (entry, day, source, test, operator, purchases, credits)
            VALUES ($1, $2, $3, $4, $5, $6, $7)";
        sqlx::query(sql)
            .bind(sold.entry)
            .bind(i64::from(sold.day.0))
            .bind(sold.source.as_str())
            .bind(i64::from(sold.test))
            .bind(sold.operator.unwrap_or(0))
            .bind(column(sold.purchases))
            .bind(column(sold.credits))
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Deletes rows of the queue; `false` where one of them is gone, so that somebody else gave it its place.
    pub(super) async fn dequeue(&mut self, taken: &[(What, i64)]) -> Result<bool, TxError> {
        for chunk in taken.chunks(ROWS) {
            let sql = format!(
                "-- dequeue()
                DELETE FROM ledger_queue WHERE (what, entry) IN (VALUES {})",
                self.placeholders(chunk.len(), 2)
            );
            let mut query = statement(sql, chunk.len());
            for (what, entry) in chunk {
                query = query.bind(what.number()).bind(*entry);
            }
            let deleted = query.execute(self.connection()).await?.rows_affected();
            if deleted != chunk.len() as u64 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The same of what was signed.
    pub(super) async fn dequeue_issued(&mut self, taken: &[IssuedRow]) -> Result<bool, TxError> {
        for chunk in taken.chunks(ROWS) {
            let sql = format!(
                "-- dequeue_issued()
                DELETE FROM ledger_issued
                WHERE (kind, entry, day, epoch, exponent) IN (VALUES {})",
                self.placeholders(chunk.len(), 5)
            );
            let mut query = statement(sql, chunk.len());
            for row in chunk {
                query = query
                    .bind(row.kind.number())
                    .bind(row.entry)
                    .bind(i64::from(row.day.0))
                    .bind(i64::from(row.epoch))
                    .bind(i64::from(row.exponent.get()));
            }
            let deleted = query.execute(self.connection()).await?.rows_affected();
            if deleted != chunk.len() as u64 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The same of what was granted.
    pub(super) async fn dequeue_sales(&mut self, taken: &[SalesRow]) -> Result<bool, TxError> {
        for chunk in taken.chunks(ROWS) {
            let sql = format!(
                "-- dequeue_sales()
                DELETE FROM ledger_sales
                WHERE (entry, day, source, test, operator) IN (VALUES {})",
                self.placeholders(chunk.len(), 5)
            );
            let mut query = statement(sql, chunk.len());
            for row in chunk {
                query = query
                    .bind(row.entry)
                    .bind(i64::from(row.day.0))
                    .bind(row.source.as_str())
                    .bind(i64::from(row.test))
                    .bind(row.operator.unwrap_or(0));
            }
            let deleted = query.execute(self.connection()).await?.rows_affected();
            if deleted != chunk.len() as u64 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn queued(row: &AnyRow) -> Result<QueuedRow, TxError> {
    let commitments: Option<Vec<u8>> = row.try_get("commitments")?;
    let commitments = commitments.unwrap_or_default();
    let commitments = unpack(&commitments).ok_or(StoreError::Damaged { table: "ledger_queue" })?;
    Ok(QueuedRow {
        what: What::read(row, "ledger_queue")?,
        entry: row.try_get("entry")?,
        day: day(row, "ledger_queue")?,
        operator: row.try_get("operator")?,
        commitments,
        body: row.try_get("body")?,
    })
}

/// Leaves, each after its length.
fn pack(leaves: &[Vec<u8>]) -> Result<Vec<u8>, TxError> {
    let mut packed = Vec::new();
    for leaf in leaves {
        let length = u16::try_from(leaf.len());
        let length = length.map_err(|_| StoreError::Damaged { table: "ledger_queue" })?;
        packed.extend(length.to_be_bytes());
        packed.extend(leaf);
    }
    Ok(packed)
}

fn unpack(mut packed: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut leaves = Vec::new();
    while let Some((length, rest)) = packed.split_first_chunk::<2>() {
        let (leaf, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        leaves.push(leaf.to_vec());
        packed = rest;
    }
    packed.is_empty().then_some(leaves)
}

fn evidence(row: &AnyRow) -> Result<EvidenceRow, TxError> {
    let table = "evidence";
    let token: &[u8] = row.try_get("token")?;
    let item = RedemptionItem {
        token: Token::decode(token).map_err(|_| StoreError::Damaged { table })?,
        day: day(row, table)?,
        commitment: Commitment::from_bytes(rows::bytes(row, "commitment", table)?),
        signature: Signature::from_bytes(rows::bytes(row, "signature", table)?),
    };
    Ok(EvidenceRow { position: rows::integer(row, "position", table)?, item })
}

fn issued(row: &AnyRow) -> Result<IssuedRow, TxError> {
    let table = "ledger_issued";
    let damaged = || StoreError::Damaged { table };
    Ok(IssuedRow {
        kind: match rows::integer::<u8>(row, "kind", table)? {
            1 => IssuedKind::Sold,
            2 => IssuedKind::Reissued,
            _ => return Err(damaged().into()),
        },
        entry: row.try_get("entry")?,
        day: day(row, table)?,
        epoch: rows::integer(row, "epoch", table)?,
        exponent: Exponent::new(rows::integer(row, "exponent", table)?).ok_or_else(damaged)?,
        certificates: rows::integer(row, "certificates", table)?,
    })
}

fn sales(row: &AnyRow) -> Result<SalesRow, TxError> {
    let table = "ledger_sales";
    let operator: i64 = row.try_get("operator")?;
    Ok(SalesRow {
        entry: row.try_get("entry")?,
        day: day(row, table)?,
        source: row.try_get("source")?,
        test: rows::integer::<u8>(row, "test", table)? != 0,
        operator: (operator != 0).then_some(operator),
        purchases: rows::integer(row, "purchases", table)?,
        credits: rows::integer(row, "credits", table)?,
    })
}
