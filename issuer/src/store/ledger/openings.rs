//! Leaves whose bytes the ledger's tables keep: those of one leaf, public and private.

use sqlx::Row;

use super::{Store, StoreError, What, column, rows};

impl Store {
    /// At most `limit` leaves in `from..to` that are neither redemptions, renewals nor covers, with their indexes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ledger_single_leaves(
        &self,
        from: u64,
        to: u64,
        limit: u16,
    ) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.read("ledger_single_leaves", |tx| {
            Box::pin(async move {
                let sql = "-- ledger_single_leaves()
                    SELECT first, body FROM ledger_ranges
                    WHERE what = $1 AND first >= $2 AND first < $3 ORDER BY first LIMIT $4";
                let found = sqlx::query(sql)
                    .bind(What::Leaf.number())
                    .bind(column(from))
                    .bind(column(to))
                    .bind(i64::from(limit))
                    .fetch_all(tx.connection())
                    .await?;
                let leaf = |row: &sqlx::any::AnyRow| {
                    Ok((rows::integer(row, "first", "ledger_ranges")?, row.try_get("body")?))
                };
                found.iter().map(leaf).collect()
            })
        })
        .await
    }
}
