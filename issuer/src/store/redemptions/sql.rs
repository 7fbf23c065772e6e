//! The statements of a redemption.

use std::collections::{BTreeMap, HashMap};

use scrip_protocol::{id::BatchDigest, keys::Signature, spend::Binding, time::Day};
use sqlx::Row;

use super::{BatchRecord, Decided, RecordedSpend, SpendKey, StoreError, outcome};
use crate::store::{
    Tx, TxError,
    many::{ROWS, statement},
    rows,
};

impl Tx<'_> {
    /// What was decided of this batch before.
    pub(super) async fn decided_before(
        &mut self,
        digest: &BatchDigest,
    ) -> Result<Option<Decided>, TxError> {
        let sql = "-- decided_before()
            SELECT batch, day, manifest_version, results FROM batches WHERE batch_digest = $1";
        let row = sqlx::query(sql)
            .bind(digest.as_bytes().as_slice())
            .fetch_optional(self.connection())
            .await?;
        let Some(row) = row else { return Ok(None) };
        let results: Vec<u8> = row.try_get("results")?;
        Ok(Some(Decided {
            number: row.try_get("batch")?,
            day: Day(rows::integer(&row, "day", "batches")?),
            manifest_version: rows::integer(&row, "manifest_version", "batches")?,
            results: outcome::decode(&results)?,
        }))
    }

    /// Records each spend unless its certificate is recorded already, and returns those that it recorded. Where
    /// another transaction is recording the same certificate, PostgreSQL waits here until that one has ended.
    pub(super) async fn insert_spent(
        &mut self,
        batch: &BatchRecord,
        firsts: &BTreeMap<SpendKey, usize>,
    ) -> Result<BTreeMap<SpendKey, usize>, TxError> {
        let firsts: Vec<(SpendKey, usize)> = firsts.iter().map(|(key, at)| (*key, *at)).collect();
        let mut accepted = BTreeMap::new();
        for chunk in firsts.chunks(ROWS) {
            let sql = format!(
                "-- insert_spent()
                INSERT INTO spent (epoch, certificate_key, batch, position, binding) VALUES {}
                ON CONFLICT DO NOTHING RETURNING position",
                self.placeholders(chunk.len(), 5)
            );
            let mut query = statement(sql, chunk.len());
            for ((epoch, certificate_key), position) in chunk {
                let spend = batch.spend(*position).ok_or(StoreError::Damaged { table: "spent" })?;
                query = query
                    .bind(i64::from(*epoch))
                    .bind(certificate_key.to_vec())
                    .bind(batch.number)
                    .bind(*position as i64)
                    .bind(spend.binding.as_bytes().to_vec());
            }
            for row in query.fetch_all(self.connection()).await? {
                let position = rows::integer(&row, "position", "spent")?;
                let spend = batch.spend(position).ok_or(StoreError::Damaged { table: "spent" })?;
                accepted.insert(spend.key(), position);
            }
        }
        Ok(accepted)
    }

    /// The spends that are recorded for these certificates, at an operator or by a renewal.
    pub(in crate::store) async fn recorded_spends(
        &mut self,
        keys: &[SpendKey],
    ) -> Result<HashMap<SpendKey, RecordedSpend>, TxError> {
        let mut recorded = HashMap::with_capacity(keys.len());
        for chunk in keys.chunks(ROWS) {
            let sql = format!(
                "-- recorded_spends()
                SELECT spent.epoch, spent.certificate_key, spent.binding, renewals.day AS renewed,
                    COALESCE(evidence.signature, renewals.signature) AS signature
                FROM spent LEFT JOIN evidence
                ON evidence.batch = spent.batch AND evidence.position = spent.position
                LEFT JOIN renewals
                ON renewals.epoch = spent.epoch AND renewals.certificate_key = spent.certificate_key
                WHERE (spent.epoch, spent.certificate_key) IN (VALUES {})",
                self.placeholders(chunk.len(), 2)
            );
            let mut query = statement(sql, chunk.len());
            for (epoch, certificate_key) in chunk {
                query = query.bind(i64::from(*epoch)).bind(certificate_key.to_vec());
            }
            for row in query.fetch_all(self.connection()).await? {
                let epoch = rows::integer(&row, "epoch", "spent")?;
                let certificate_key = rows::bytes(&row, "certificate_key", "spent")?;
                let spend = RecordedSpend {
                    binding: Binding::from_bytes(rows::bytes(&row, "binding", "spent")?),
                    signature: Signature::from_bytes(rows::bytes(&row, "signature", "evidence")?),
                    renewed: rows::optional(&row, "renewed", "renewals")?.map(Day),
                };
                recorded.insert((epoch, certificate_key), spend);
            }
        }
        Ok(recorded)
    }

    /// Appends the evidence of accepted spends.
    pub(super) async fn insert_evidence(
        &mut self,
        batch: &BatchRecord,
        accepted: &BTreeMap<SpendKey, usize>,
    ) -> Result<(), TxError> {
        let mut positions: Vec<usize> = accepted.values().copied().collect();
        positions.sort_unstable(); // the order of the primary key, so that rows are appended
        for chunk in positions.chunks(ROWS) {
            let sql = format!(
                "-- insert_evidence()
                INSERT INTO evidence (batch, position, day, token, commitment, signature) VALUES {}",
                self.placeholders(chunk.len(), 6)
            );
            let mut query = statement(sql, chunk.len());
            for position in chunk {
                let spend =
                    batch.spend(*position).ok_or(StoreError::Damaged { table: "evidence" })?;
                query = query
                    .bind(batch.number)
                    .bind(*position as i64)
                    .bind(i64::from(spend.item.day.0))
                    .bind(spend.item.token.encode().to_vec())
                    .bind(spend.item.commitment.as_bytes().to_vec())
                    .bind(spend.item.signature.as_bytes().to_vec());
            }
            query.execute(self.connection()).await?;
        }
        Ok(())
    }

    /// Counts what was accepted, by epoch and exponent.
    pub(super) async fn insert_redeemed(
        &mut self,
        batch: &BatchRecord,
        counts: &BTreeMap<(u32, u8), i64>,
    ) -> Result<(), TxError> {
        let sql = "-- insert_redeemed()
            INSERT INTO redeemed (batch, operator, epoch, exponent, certificates)
            VALUES ($1, $2, $3, $4, $5)";
        for ((epoch, exponent), certificates) in counts {
            sqlx::query(sql)
                .bind(batch.number)
                .bind(batch.operator)
                .bind(i64::from(*epoch))
                .bind(i64::from(*exponent))
                .bind(*certificates)
                .execute(self.connection())
                .await?;
        }
        Ok(())
    }

    /// Stores the batch's results. Where the same batch was decided at the same time, its digest is taken: this
    /// transaction is rolled back, and the next attempt finds the results.
    pub(super) async fn insert_batch(
        &mut self,
        batch: &BatchRecord,
        results: &[u8],
    ) -> Result<(), TxError> {
        let sql = "-- insert_batch()
            INSERT INTO batches (batch, batch_digest, operator, day, manifest_version, results)
            VALUES ($1, $2, $3, $4, $5, $6)";
        sqlx::query(sql)
            .bind(batch.number)
            .bind(batch.digest.as_bytes().as_slice())
            .bind(batch.operator)
            .bind(i64::from(batch.day.0))
            .bind(batch.manifest_version as i64)
            .bind(results)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
