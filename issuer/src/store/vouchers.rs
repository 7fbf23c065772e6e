//! Vouchers: what each was sold for. What became of one is a purchase.

mod batches;

use scrip_protocol::time::Day;
use sqlx::Row;

pub use self::batches::{AddedBatch, NewVoucherBatch, VoucherBatchRow};
use super::{Store, StoreError, Tx, TxError, rows};

/// A voucher as it is stored: by the hash of its code, with what it was sold for.
#[derive(Clone, Debug)]
pub struct NewVoucher {
    /// The hash of the code; the code itself is stored nowhere.
    pub code_hash: [u8; 32],
    /// The product's name.
    pub product: String,
    /// The last UTC day on which it can be used.
    pub last_day: Day,
}

/// A voucher as it is found.
#[derive(Clone, Debug)]
pub struct VoucherRow {
    /// What it was sold for.
    pub voucher: NewVoucher,
    /// The number of the operator that sold it on the vendor's behalf.
    pub operator: Option<i64>,
}

impl Store {
    /// The voucher whose code has this hash.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn voucher(&self, code_hash: &[u8; 32]) -> Result<Option<VoucherRow>, StoreError> {
        self.read("voucher", |tx| Box::pin(async move { tx.voucher(code_hash).await })).await
    }
}

impl Tx<'_> {
    async fn insert_voucher(&mut self, voucher: &NewVoucher, batch: i64) -> Result<(), TxError> {
        let sql = "-- insert_voucher()
            INSERT INTO vouchers (code_hash, product, last_day, batch)
            VALUES ($1, $2, $3, $4)";
        sqlx::query(sql)
            .bind(voucher.code_hash.as_slice())
            .bind(voucher.product.as_str())
            .bind(i64::from(voucher.last_day.0))
            .bind(batch)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    async fn voucher(&mut self, code_hash: &[u8; 32]) -> Result<Option<VoucherRow>, TxError> {
        let sql = "-- voucher()
            SELECT vouchers.product, vouchers.last_day, voucher_batches.operator
            FROM vouchers LEFT JOIN voucher_batches ON voucher_batches.batch = vouchers.batch
            WHERE vouchers.code_hash = $1";
        let row =
            sqlx::query(sql).bind(code_hash.as_slice()).fetch_optional(self.connection()).await?;
        let Some(row) = row else { return Ok(None) };
        let voucher = NewVoucher {
            code_hash: *code_hash,
            product: row.try_get("product")?,
            last_day: Day(rows::integer(&row, "last_day", "vouchers")?),
        };
        Ok(Some(VoucherRow { voucher, operator: row.try_get("operator")? }))
    }
}
