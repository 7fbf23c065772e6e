//! Giving leaves their places: the transaction that decides, and the one that says that they are in the storage.

use scrip_protocol::{ledger::Leaf, time::Day};
use scrip_runtime::steps::Steps;

use super::{IssuedRow, RangeRow, SalesRow, Store, StoreError, Tx, TxError, What, column};

/// What one integration adds.
#[derive(Clone)]
pub struct Sequenced {
    /// Who sequences.
    pub holder: [u8; 16],
    /// The size before.
    pub from: u64,
    /// The unfinished tiles of the tree before.
    pub from_edge: Vec<u8>,
    /// The size after.
    pub size: u64,
    /// The unfinished tiles of the new tree.
    pub edge: Vec<u8>,
    /// Its signed checkpoint.
    pub note: Vec<u8>,
    /// What lies where from `from` to `size`.
    pub ranges: Vec<RangeRow>,
    /// Rows of the queue that have their place now.
    pub taken: Vec<(What, i64)>,
    /// Of what was signed.
    pub issued: Vec<IssuedRow>,
    /// Of what was granted.
    pub sales: Vec<SalesRow>,
    /// Renewals that have their place now.
    pub renewals: Option<LoggedRenewals>,
    /// Epochs that nothing follows any more.
    pub ended: Vec<u32>,
}

/// The first renewals of a day, by certificate key, that had no place.
#[derive(Clone)]
pub struct LoggedRenewals {
    /// The day.
    pub day: Day,
    /// How many.
    pub count: u64,
    /// The last of them.
    pub last: ([u8; 32], u32),
    /// The index of the first leaf of the range.
    pub first: u64,
}

impl Store {
    /// Gives leaves their places, all of them or none. `false` where the tree is not as it was, or somebody else sequences: then
    /// nothing is changed. Where two processes believe to be the one that sequences, the row of the state lets one of them commit.
    ///
    /// # Errors
    /// [`StoreError`]: then nothing was recorded, or all of it, and the state says which.
    pub async fn sequence(&self, new: &Sequenced, steps: &Steps) -> Result<bool, StoreError> {
        self.run_tx_next("sequence", |tx| {
            Box::pin(async move {
                if !tx.advance_ledger(new).await? {
                    return Ok(false);
                }
                let damaged = |table| Err(TxError::from(StoreError::Damaged { table }));
                tx.insert_ranges(&new.ranges).await?;
                tx.insert_manifest_leaves(&new.ranges).await?;
                tx.insert_checkpoint(new.size, &new.note).await?;
                steps.at("issuer.ledger.in_sequence");
                // Whoever has the state's row is the only one that takes from these tables.
                if !tx.dequeue(&new.taken).await? {
                    return damaged("ledger_queue");
                }
                if !tx.dequeue_issued(&new.issued).await? {
                    return damaged("ledger_issued");
                }
                if !tx.dequeue_sales(&new.sales).await? {
                    return damaged("ledger_sales");
                }
                if let Some(renewals) = &new.renewals
                    && !tx.log_renewals(renewals).await?
                {
                    return Err(TxError::Overtaken);
                }
                for epoch in &new.ended {
                    tx.end_epoch(*epoch, new.size).await?;
                }
                Ok(true)
            })
        })
        .await
    }

    /// Notes that all tiles and the checkpoint of the tree of `size` leaves are in the storage.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn mark_ledger_stored(&self, size: u64) -> Result<(), StoreError> {
        self.run_tx_next("mark_ledger_stored", |tx| {
            Box::pin(async move {
                let sql = "-- mark_ledger_stored()
                    UPDATE ledger_state SET stored = size, stored_edge = edge
                    WHERE id = 1 AND size = $1 AND stored < $1";
                sqlx::query(sql).bind(column(size)).execute(tx.connection()).await?;
                Ok(())
            })
        })
        .await
    }
}

impl Tx<'_> {
    /// Only from a tree that is stored as a whole: what is sequenced and not stored is never more than one integration.
    async fn advance_ledger(&mut self, new: &Sequenced) -> Result<bool, TxError> {
        let sql = "-- advance_ledger()
            UPDATE ledger_state SET size = $1, edge = $2, beat = beat + 1
            WHERE id = 1 AND size = $3 AND stored = $3 AND holder = $4 AND edge = $5";
        let advanced = sqlx::query(sql)
            .bind(column(new.size))
            .bind(new.edge.as_slice())
            .bind(column(new.from))
            .bind(new.holder.as_slice())
            .bind(new.from_edge.as_slice())
            .execute(self.connection())
            .await?;
        Ok(advanced.rows_affected() == 1)
    }

    /// Notes which of these ranges are versions of the manifest.
    async fn insert_manifest_leaves(&mut self, ranges: &[RangeRow]) -> Result<(), TxError> {
        for range in ranges.iter().filter(|range| range.what == What::Leaf) {
            let leaf = range.body.as_deref().map(Leaf::decode);
            let Some(Ok(Leaf::Manifest(manifest))) = leaf else { continue };
            let sql = "-- insert_manifest_leaves()
                INSERT INTO ledger_manifests (version, leaf) VALUES ($1, $2)";
            sqlx::query(sql)
                .bind(column(manifest.version))
                .bind(column(range.first))
                .execute(self.connection())
                .await?;
        }
        Ok(())
    }

    async fn insert_checkpoint(&mut self, size: u64, note: &[u8]) -> Result<(), TxError> {
        let sql = "-- insert_checkpoint()
            INSERT INTO ledger_checkpoints (size, note) VALUES ($1, $2)";
        sqlx::query(sql).bind(column(size)).bind(note).execute(self.connection()).await?;
        Ok(())
    }

    /// `false` where there are not as many as were read: one came in between.
    async fn log_renewals(&mut self, renewals: &LoggedRenewals) -> Result<bool, TxError> {
        let (key, epoch) = &renewals.last;
        let sql = "-- log_renewals()
            UPDATE renewals SET logged = $1 WHERE day = $2 AND logged = 0
            AND epoch NOT IN (SELECT epoch FROM ledger_ended)
            AND (certificate_key < $3 OR (certificate_key = $3 AND epoch <= $4))";
        let logged = sqlx::query(sql)
            .bind(column(renewals.first + 1))
            .bind(i64::from(renewals.day.0))
            .bind(key.as_slice())
            .bind(i64::from(*epoch))
            .execute(self.connection())
            .await?;
        Ok(logged.rows_affected() == renewals.count)
    }
}
