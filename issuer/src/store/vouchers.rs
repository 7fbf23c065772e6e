//! Vouchers: what each was sold for. What became of one is a purchase.

mod batches;

use scrip_protocol::time::Day;
use sqlx::Row;

pub use self::batches::{AddedBatch, NewVoucherBatch, VoucherBatchRow};
use super::{Store, StoreError, Tx, TxError, rows};
use crate::pack::Pack;

/// A voucher as it is stored: by the hash of its code, with what it was sold for.
#[derive(Clone, Debug)]
pub struct NewVoucher {
    /// The hash of the code; the code itself is stored nowhere.
    pub code_hash: [u8; 32],
    /// The product's name.
    pub product: String,
    /// The product's pack when the voucher was made: what was sold is what is delivered.
    pub pack: Pack,
    /// The last UTC day on which it can be used.
    pub last_day: Day,
}

impl Store {
    /// The voucher whose code has this hash.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn voucher(&self, code_hash: &[u8; 32]) -> Result<Option<NewVoucher>, StoreError> {
        self.read("voucher", |tx| Box::pin(async move { tx.voucher(code_hash).await })).await
    }
}

impl Tx<'_> {
    async fn insert_voucher(&mut self, voucher: &NewVoucher, batch: i64) -> Result<(), TxError> {
        let sql = "-- insert_voucher()
            INSERT INTO vouchers (code_hash, product, pack, last_day, batch)
            VALUES ($1, $2, $3, $4, $5)";
        sqlx::query(sql)
            .bind(voucher.code_hash.as_slice())
            .bind(voucher.product.as_str())
            .bind(voucher.pack.to_string())
            .bind(i64::from(voucher.last_day.0))
            .bind(batch)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    async fn voucher(&mut self, code_hash: &[u8; 32]) -> Result<Option<NewVoucher>, TxError> {
        let sql = "-- voucher()
            SELECT product, pack, last_day FROM vouchers WHERE code_hash = $1";
        let row =
            sqlx::query(sql).bind(code_hash.as_slice()).fetch_optional(self.connection()).await?;
        let Some(row) = row else { return Ok(None) };
        let damaged = || StoreError::Damaged { table: "vouchers" };
        Ok(Some(NewVoucher {
            code_hash: *code_hash,
            product: row.try_get("product")?,
            pack: row.try_get::<&str, _>("pack")?.parse().map_err(|_| damaged())?,
            last_day: Day(rows::integer(&row, "last_day", "vouchers")?),
        }))
    }
}
