//! The beginning of a ledger: everything that the database already has is put in line.
//!
//! It is not part of the migration: it draws a secret, and reads packs, which SQL cannot. Nothing is signed, granted or redeemed
//! between the two, because only an open issuer does so, and it begins the ledger first.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, Row};

use super::{Store, StoreError, Tx, TxError, column, rows};
use crate::pack::Pack;

/// The entry of sums that older programs recorded: no hash is negative.
const OLDER: i64 = -1;

impl Store {
    /// Begins the ledger unless it has begun. `ended` are the epochs that nobody can redeem any more: they stay out of it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin_ledger(&self, secret: &[u8; 32], ended: &[u32]) -> Result<(), StoreError> {
        // Before anything is compared, and so without a mark.
        self.run_tx_minor("begin_ledger", |tx| {
            Box::pin(async move {
                if tx.insert_ledger_state(secret).await? {
                    for epoch in ended {
                        tx.end_epoch(*epoch, 0).await?;
                    }
                    tx.queue_older_rows().await?;
                    tx.queue_older_sales().await?;
                }
                Ok(())
            })
        })
        .await
    }
}

impl Tx<'_> {
    async fn insert_ledger_state(&mut self, secret: &[u8; 32]) -> Result<bool, TxError> {
        let sql = "-- insert_ledger_state()
            INSERT INTO ledger_state (id, secret, size, edge, stored, stored_edge, holder, beat)
            VALUES (1, $1, 0, $2, 0, $2, $3, 0) ON CONFLICT DO NOTHING";
        let inserted = sqlx::query(sql)
            .bind(secret.as_slice())
            .bind([].as_slice())
            .bind([0; 16].as_slice())
            .execute(self.connection())
            .await?;
        Ok(inserted.rows_affected() == 1)
    }

    pub(super) async fn end_epoch(&mut self, epoch: u32, size: u64) -> Result<(), TxError> {
        let sql = "-- end_epoch()
            INSERT INTO ledger_ended (epoch, size) VALUES ($1, $2)";
        sqlx::query(sql)
            .bind(i64::from(epoch))
            .bind(column(size))
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Manifests, batches whose evidence is there, and the sums of what was issued: all that the books have, whatever of it was
    /// in line before. Renewals are in line since there are any.
    async fn queue_older_rows(&mut self) -> Result<(), TxError> {
        for sql in [
            "-- forget_line()
            DELETE FROM ledger_queue WHERE what NOT IN (2, 3)",
            "-- forget_issued()
            DELETE FROM ledger_issued",
            "-- forget_sales()
            DELETE FROM ledger_sales",
            "-- queue_manifests()
            INSERT INTO ledger_queue (what, entry, day) SELECT 4, version, 0 FROM manifests",
            "-- queue_batches()
            INSERT INTO ledger_queue (what, entry, day, operator)
            SELECT 1, batch, day, operator FROM batches
            WHERE EXISTS (SELECT 1 FROM evidence WHERE evidence.batch = batches.batch)",
            "-- queue_sold()
            INSERT INTO ledger_issued (kind, entry, day, epoch, exponent, certificates)
            SELECT 1, $1, 0, epoch, exponent, CAST(SUM(certificates) AS BIGINT) FROM issued
            WHERE epoch NOT IN (SELECT epoch FROM ledger_ended) GROUP BY epoch, exponent",
            "-- queue_reissued()
            INSERT INTO ledger_issued (kind, entry, day, epoch, exponent, certificates)
            SELECT 2, $1, day, new_epoch, exponent, CAST(SUM(certificates) AS BIGINT) FROM renewed
            WHERE new_epoch NOT IN (SELECT epoch FROM ledger_ended)
            GROUP BY day, new_epoch, exponent",
        ] {
            let query = match sql.contains("$1") {
                true => sqlx::query(AssertSqlSafe(sql)).bind(OLDER),
                false => sqlx::query(AssertSqlSafe(sql)),
            };
            query.execute(self.connection()).await?;
        }
        Ok(())
    }

    /// What was granted, by source, all under the day 0. Vouchers of the oldest programs were recorded without their credits, so that
    /// each grant's own pack is read.
    async fn queue_older_sales(&mut self) -> Result<(), TxError> {
        let sql = "-- older_sales()
            SELECT purchases.source, grants.test, grants.pack, COUNT(*) AS purchases
            FROM purchases JOIN grants ON grants.grant_id = purchases.grant_id
            GROUP BY purchases.source, grants.test, grants.pack";
        let found = sqlx::query(sql).fetch_all(self.connection()).await?;
        let mut sums: BTreeMap<(String, i64), (i64, i64)> = BTreeMap::new();
        for row in found {
            let pack: Pack = row
                .try_get::<&str, _>("pack")?
                .parse()
                .map_err(|_| StoreError::Damaged { table: "grants" })?;
            let purchases: i64 = rows::integer(&row, "purchases", "purchases")?;
            let sum = sums.entry((row.try_get("source")?, row.try_get("test")?)).or_default();
            sum.0 += purchases;
            sum.1 += purchases.saturating_mul(column(pack.credits().0));
        }
        for ((source, test), (purchases, credits)) in sums {
            let sql = "-- queue_older_sales()
                INSERT INTO ledger_sales (entry, day, source, test, operator, purchases, credits)
                VALUES ($1, 0, $2, $3, 0, $4, $5)";
            sqlx::query(sql)
                .bind(OLDER)
                .bind(source)
                .bind(test)
                .bind(purchases)
                .bind(credits)
                .execute(self.connection())
                .await?;
        }
        Ok(())
    }
}
