//! Dropping what is past: records of epochs that nobody can redeem any more, and private keys that sign no more. The
//! sums in `issued`, `redeemed` and `renewed` stay for ever, and so do the answers that a restored wallet may ask for:
//! packs, tokens and renewals.

use scrip_protocol::time::Day;
use sqlx::Row;

use super::{
    Store, StoreError, Tx, TxError,
    many::{ROWS, statement},
};

/// A row of `spent`, with where its evidence lies.
struct Recorded {
    certificate_key: Vec<u8>,
    batch: i64,
    position: i64,
}

impl Store {
    /// Drops at most `limit` recorded spends of an epoch, with their evidence, and returns how many there were. A spend
    /// never stays without its evidence, nor the reverse: it is a transaction, and names the rows that it read, so that
    /// two processes may do it at once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn drop_spent(&self, epoch: u32, limit: u16) -> Result<usize, StoreError> {
        self.run_tx("drop_spent", |tx| {
            Box::pin(async move {
                let recorded = tx.some_spent(epoch, limit).await?;
                for chunk in recorded.chunks(ROWS) {
                    tx.delete_evidence(chunk).await?;
                    tx.delete_spent(epoch, chunk).await?;
                }
                Ok(recorded.len())
            })
        })
        .await
    }

    /// Drops at most `limit` answers to batches of days before `day`, and returns how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn drop_batches(&self, day: Day, limit: u16) -> Result<u64, StoreError> {
        self.run_tx("drop_batches", |tx| {
            Box::pin(async move {
                let sql = "-- drop_batches()
                    DELETE FROM batches WHERE batch IN
                    (SELECT batch FROM batches WHERE day < $1 ORDER BY day, batch LIMIT $2)";
                let deleted = sqlx::query(sql)
                    .bind(i64::from(day.0))
                    .bind(i64::from(limit))
                    .execute(tx.connection())
                    .await?;
                Ok(deleted.rows_affected())
            })
        })
        .await
    }

    /// Deletes private keys by their names, and returns how many there were.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn drop_keys(&self, names: &[String]) -> Result<u64, StoreError> {
        self.run_tx("drop_keys", |tx| {
            Box::pin(async move {
                let sql = "-- drop_keys()
                    DELETE FROM sealed_keys WHERE name = $1";
                let mut deleted = 0;
                for name in names {
                    let one = sqlx::query(sql).bind(name.as_str()).execute(tx.connection()).await?;
                    deleted += one.rows_affected();
                }
                Ok(deleted)
            })
        })
        .await
    }
}

impl Tx<'_> {
    async fn some_spent(&mut self, epoch: u32, limit: u16) -> Result<Vec<Recorded>, TxError> {
        let sql = "-- some_spent()
            SELECT certificate_key, batch, position FROM spent WHERE epoch = $1
            ORDER BY certificate_key LIMIT $2";
        let found = sqlx::query(sql)
            .bind(i64::from(epoch))
            .bind(i64::from(limit))
            .fetch_all(self.connection())
            .await?;
        let recorded = |row: &sqlx::any::AnyRow| {
            Ok(Recorded {
                certificate_key: row.try_get("certificate_key")?,
                batch: row.try_get("batch")?,
                position: row.try_get("position")?,
            })
        };
        found.iter().map(recorded).collect()
    }

    async fn delete_evidence(&mut self, chunk: &[Recorded]) -> Result<(), TxError> {
        let sql = format!(
            "-- delete_evidence()
            DELETE FROM evidence WHERE (batch, position) IN (VALUES {})",
            self.placeholders(chunk.len(), 2)
        );
        let mut query = statement(sql, chunk.len());
        for recorded in chunk {
            query = query.bind(recorded.batch).bind(recorded.position);
        }
        query.execute(self.connection()).await?;
        Ok(())
    }

    async fn delete_spent(&mut self, epoch: u32, chunk: &[Recorded]) -> Result<(), TxError> {
        let sql = format!(
            "-- delete_spent()
            DELETE FROM spent WHERE (epoch, certificate_key) IN (VALUES {})",
            self.placeholders(chunk.len(), 2)
        );
        let mut query = statement(sql, chunk.len());
        for recorded in chunk {
            query = query.bind(i64::from(epoch)).bind(recorded.certificate_key.as_slice());
        }
        query.execute(self.connection()).await?;
        Ok(())
    }
}
