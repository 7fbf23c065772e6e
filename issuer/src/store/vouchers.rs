//! Vouchers, and turning one into a grant.

use scrip_protocol::{id::GrantId, time::Day};
use sqlx::Row;

use super::{GrantRow, Minted, Store, StoreError, Tx, TxError, rows};
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

/// What became of the attempt to use a voucher.
#[derive(Clone, Debug)]
pub enum VoucherUse {
    /// The grant, made now or by the same request before.
    Granted(GrantRow),
    /// There is no such voucher.
    Unknown,
    /// It was used for another grant.
    Used,
    /// Its last day has passed.
    Expired,
    /// The grant belongs to another purchase.
    GrantUsed,
}

impl Store {
    /// Adds vouchers.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_vouchers(&self, vouchers: &[NewVoucher]) -> Result<(), StoreError> {
        self.run_tx("add_vouchers", |tx| {
            Box::pin(async move {
                for voucher in vouchers {
                    tx.insert_voucher(voucher).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Uses a voucher for a grant: checks 4 to 8 of issuance.md, "`POST /v1/grants`", in one transaction.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn use_voucher(
        &self,
        code_hash: &[u8; 32],
        grant_id: &GrantId,
        today: Day,
    ) -> Result<VoucherUse, StoreError> {
        self.run_tx("use_voucher", |tx| {
            Box::pin(async move {
                let Some((voucher, used_for)) = tx.voucher(code_hash).await? else {
                    return Ok(VoucherUse::Unknown);
                };
                match used_for {
                    Some(used_for) if used_for == *grant_id => {
                        let grant = tx.grant(grant_id).await?;
                        let grant = grant.ok_or(StoreError::Damaged { table: "vouchers" })?;
                        return Ok(VoucherUse::Granted(grant));
                    }
                    Some(_) => return Ok(VoucherUse::Used),
                    None if voucher.last_day < today => return Ok(VoucherUse::Expired),
                    None => {}
                }
                let grant = GrantRow {
                    product: voucher.product,
                    pack: voucher.pack,
                    minted: Minted::Nothing,
                };
                if !tx.insert_grant(grant_id, &grant).await? {
                    // Somebody has the grant. Where it was this very request, sent twice at one time, PostgreSQL let us
                    // read the voucher before the other one committed, and wait for it here: read it again.
                    let used_for = tx.voucher(code_hash).await?.and_then(|(_, used_for)| used_for);
                    return match used_for {
                        Some(used_for) if used_for == *grant_id => {
                            let grant = tx.grant(grant_id).await?;
                            let grant = grant.ok_or(StoreError::Damaged { table: "vouchers" })?;
                            Ok(VoucherUse::Granted(grant))
                        }
                        _ => Ok(VoucherUse::GrantUsed),
                    };
                }
                tx.mark_voucher_used(code_hash, grant_id).await?;
                Ok(VoucherUse::Granted(grant))
            })
        })
        .await
    }
}

impl Tx<'_> {
    async fn insert_voucher(&mut self, voucher: &NewVoucher) -> Result<(), TxError> {
        let sql = "-- insert_voucher()
            INSERT INTO vouchers (code_hash, product, pack, last_day) VALUES ($1, $2, $3, $4)";
        sqlx::query(sql)
            .bind(voucher.code_hash.as_slice())
            .bind(voucher.product.as_str())
            .bind(voucher.pack.to_string())
            .bind(i64::from(voucher.last_day.0))
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// The voucher, and the grant that it was used for.
    async fn voucher(
        &mut self,
        code_hash: &[u8; 32],
    ) -> Result<Option<(NewVoucher, Option<GrantId>)>, TxError> {
        let sql = "-- voucher()
            SELECT product, pack, last_day, grant_id FROM vouchers WHERE code_hash = $1";
        let row =
            sqlx::query(sql).bind(code_hash.as_slice()).fetch_optional(self.connection()).await?;
        let Some(row) = row else { return Ok(None) };
        let damaged = || StoreError::Damaged { table: "vouchers" };
        let voucher = NewVoucher {
            code_hash: *code_hash,
            product: row.try_get("product")?,
            pack: row.try_get::<&str, _>("pack")?.parse().map_err(|_| damaged())?,
            last_day: Day(rows::integer(&row, "last_day", "vouchers")?),
        };
        let used_for: Option<Vec<u8>> = row.try_get("grant_id")?;
        let used_for = used_for
            .map(|bytes| bytes.try_into().map(GrantId::from_bytes).map_err(|_| damaged()))
            .transpose()?;
        Ok(Some((voucher, used_for)))
    }

    /// Marks the voucher; a transaction that marked it in between makes this one start again.
    async fn mark_voucher_used(
        &mut self,
        code_hash: &[u8; 32],
        grant_id: &GrantId,
    ) -> Result<(), TxError> {
        let sql = "-- mark_voucher_used()
            UPDATE vouchers SET grant_id = $2 WHERE code_hash = $1 AND grant_id IS NULL";
        let marked = sqlx::query(sql)
            .bind(code_hash.as_slice())
            .bind(grant_id.as_bytes().as_slice())
            .execute(self.connection())
            .await?;
        if marked.rows_affected() == 1 { Ok(()) } else { Err(TxError::Overtaken) }
    }
}
