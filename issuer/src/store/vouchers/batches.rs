//! Batches of vouchers: made at once, listed, and cancelled as far as they were not used.

use scrip_protocol::{credits::Credits, time::Day};
use serde::Serialize;
use sqlx::Row;

use super::NewVoucher;
use crate::store::{Act, Store, StoreError, Tx, TxError, rows};

/// A batch to make.
#[derive(Clone, Debug)]
pub struct NewVoucherBatch {
    /// A random name, drawn before. The same one again makes nothing.
    pub nonce: [u8; 16],
    /// The product's name.
    pub product: String,
    /// What each voucher is worth.
    pub credits: Credits,
    /// The number of the operator that sells them on the vendor's behalf.
    pub operator: Option<i64>,
    /// Today.
    pub made: Day,
    /// The last UTC day on which they can be used.
    pub last_day: Day,
}

/// What became of the attempt to make a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddedBatch {
    /// It was made now and has this number.
    Added(u64),
    /// It was made before, with other codes, and has this number.
    Before(u64),
}

/// A batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VoucherBatchRow {
    /// Its number, from 1 on.
    pub batch: u64,
    /// The product's name.
    pub product: String,
    /// What each voucher is worth.
    pub credits: Credits,
    /// How many there are.
    pub vouchers: u64,
    /// How many of them were used.
    pub used: u64,
    /// The UTC day on which they were made.
    pub made: Day,
    /// The last UTC day on which they can be used.
    pub last_day: Day,
    /// The UTC day on which those that were not used then were cancelled.
    pub cancelled: Option<Day>,
    /// The name of the operator that sells them on the vendor's behalf.
    pub operator: Option<String>,
}

impl Store {
    /// Makes a batch of vouchers, and logs it.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was made then.
    pub async fn add_vouchers(
        &self,
        new: &NewVoucherBatch,
        vouchers: &[NewVoucher],
        act: &Act,
    ) -> Result<AddedBatch, StoreError> {
        self.run_tx("add_vouchers", |tx| {
            Box::pin(async move {
                if let Some(before) = tx.voucher_batch_of(&new.nonce).await? {
                    return Ok(AddedBatch::Before(before));
                }
                let batch = tx.insert_voucher_batch(new, vouchers.len()).await?;
                for voucher in vouchers {
                    tx.insert_voucher(voucher, batch).await?;
                }
                let act = Act { subject: format!("batch {batch}"), ..act.clone() };
                tx.log_admin(&act).await?;
                Ok(AddedBatch::Added(u64::try_from(batch).unwrap_or_default()))
            })
        })
        .await
    }

    /// All batches, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn voucher_batches(&self) -> Result<Vec<VoucherBatchRow>, StoreError> {
        self.read("voucher_batches", |tx| {
            Box::pin(async move {
                let sql = "-- voucher_batches()
                    SELECT voucher_batches.batch, voucher_batches.product, voucher_batches.credits,
                        voucher_batches.vouchers, voucher_batches.made_day,
                        voucher_batches.last_day, voucher_batches.cancelled_day,
                        operators.name AS operator, COUNT(purchases.transaction_id) AS used
                    FROM voucher_batches
                    JOIN vouchers ON vouchers.batch = voucher_batches.batch
                    LEFT JOIN operators ON operators.number = voucher_batches.operator
                    LEFT JOIN purchases ON purchases.source = 'voucher'
                        AND purchases.transaction_id = vouchers.code_hash
                    GROUP BY voucher_batches.batch, voucher_batches.product,
                        voucher_batches.credits, voucher_batches.vouchers,
                        voucher_batches.made_day, voucher_batches.last_day,
                        voucher_batches.cancelled_day, operators.name
                    ORDER BY voucher_batches.batch DESC";
                let found = sqlx::query(sql).fetch_all(tx.connection()).await?;
                found.iter().map(batch_row).collect()
            })
        })
        .await
    }

    /// Cancels the vouchers of a batch that were not used, and logs it. They count as expired from then on; one that is
    /// being used in this very moment may still become a grant. Returns how many there were; `None` where there is no
    /// such batch. Cancelling again changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn cancel_vouchers(
        &self,
        batch: u64,
        today: Day,
        act: &Act,
    ) -> Result<Option<u64>, StoreError> {
        let Ok(batch) = i64::try_from(batch) else { return Ok(None) };
        self.run_tx("cancel_vouchers", |tx| {
            Box::pin(async move {
                let sql = "-- mark_batch_cancelled()
                    UPDATE voucher_batches SET cancelled_day = COALESCE(cancelled_day, $2)
                    WHERE batch = $1";
                let marked = sqlx::query(sql)
                    .bind(batch)
                    .bind(i64::from(today.0))
                    .execute(tx.connection())
                    .await?;
                if marked.rows_affected() == 0 {
                    return Ok(None);
                }
                let sql = "-- cancel_vouchers()
                    UPDATE vouchers SET last_day = 0 WHERE batch = $1 AND last_day > 0
                    AND NOT EXISTS (SELECT 1 FROM purchases WHERE purchases.source = 'voucher'
                    AND purchases.transaction_id = vouchers.code_hash)";
                let cancelled = sqlx::query(sql).bind(batch).execute(tx.connection()).await?;
                let cancelled = cancelled.rows_affected();
                if cancelled > 0 {
                    tx.log_admin(&act.clone().detail(format!("{cancelled} unused vouchers")))
                        .await?;
                }
                Ok(Some(cancelled))
            })
        })
        .await
    }
}

impl Tx<'_> {
    async fn voucher_batch_of(&mut self, nonce: &[u8; 16]) -> Result<Option<u64>, TxError> {
        let sql = "-- voucher_batch_of()
            SELECT batch FROM voucher_batches WHERE nonce = $1";
        let found =
            sqlx::query(sql).bind(nonce.as_slice()).fetch_optional(self.connection()).await?;
        found.map(|row| rows::integer(&row, "batch", "voucher_batches")).transpose()
    }

    /// Not a hot path: where two processes choose one number, the primary key makes one start again.
    async fn insert_voucher_batch(
        &mut self,
        new: &NewVoucherBatch,
        vouchers: usize,
    ) -> Result<i64, TxError> {
        let sql = "-- next_voucher_batch()
            SELECT COALESCE(MAX(batch), 0) + 1 AS batch FROM voucher_batches";
        let batch: i64 = sqlx::query(sql).fetch_one(self.connection()).await?.try_get("batch")?;
        let sql = "-- insert_voucher_batch()
            INSERT INTO voucher_batches
            (batch, nonce, product, credits, vouchers, made_day, last_day, operator)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        sqlx::query(sql)
            .bind(batch)
            .bind(new.nonce.as_slice())
            .bind(new.product.as_str())
            .bind(i64::try_from(new.credits.0).unwrap_or(i64::MAX))
            .bind(i64::try_from(vouchers).unwrap_or(i64::MAX))
            .bind(i64::from(new.made.0))
            .bind(i64::from(new.last_day.0))
            .bind(new.operator)
            .execute(self.connection())
            .await?;
        Ok(batch)
    }
}

fn batch_row(row: &sqlx::any::AnyRow) -> Result<VoucherBatchRow, TxError> {
    const TABLE: &str = "voucher_batches";
    let cancelled: Option<i64> = row.try_get("cancelled_day")?;
    Ok(VoucherBatchRow {
        batch: rows::integer(row, "batch", TABLE)?,
        product: row.try_get("product")?,
        credits: Credits(rows::integer(row, "credits", TABLE)?),
        vouchers: rows::integer(row, "vouchers", TABLE)?,
        used: rows::integer(row, "used", TABLE)?,
        made: Day(rows::integer(row, "made_day", TABLE)?),
        last_day: Day(rows::integer(row, "last_day", TABLE)?),
        operator: row.try_get("operator")?,
        cancelled: cancelled.and_then(|day| u32::try_from(day).ok()).map(Day),
    })
}
