//! What the vendor's books say, in sums.

use sqlx::Row;

use super::{OperatorRow, Store, StoreError, Tx, TxError, rows};

/// What became of the certificates of one denomination and epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DenominationCount {
    /// Signed, since the beginning: for grants, and in the place of renewed ones.
    pub issued: u64,
    /// Accepted from operators, since the beginning.
    pub redeemed: u64,
    /// Exchanged for certificates of a later epoch, since the beginning.
    pub renewed: u64,
}

/// How many certificates of one denomination and epoch were accepted from an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedeemedCount {
    /// The epoch.
    pub epoch: u32,
    /// The exponent.
    pub exponent: u8,
    /// How many.
    pub certificates: u64,
}

/// All sums, of one moment.
#[derive(Clone, Debug)]
pub struct StatusRows {
    /// By epoch and exponent.
    pub denominations: Vec<((u32, u8), DenominationCount)>,
    /// Grants in all.
    pub grants: u64,
    /// Grants of which something was signed.
    pub grants_minted: u64,
    /// Vouchers in all.
    pub vouchers: u64,
    /// Vouchers that were used.
    pub vouchers_used: u64,
    /// Each operator, with what was accepted from it.
    pub operators: Vec<(OperatorRow, Vec<RedeemedCount>)>,
}

impl Store {
    /// The sums.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn status(&self) -> Result<StatusRows, StoreError> {
        let operators = self.operators().await?;
        let operators = &operators;
        self.read("status", |tx| {
            Box::pin(async move {
                let (grants, grants_minted) = tx.grant_counts().await?;
                let (vouchers, vouchers_used) = tx.voucher_counts().await?;
                let by_operator = tx.redeemed_by_operator().await?;
                let of = |number: i64| {
                    by_operator.iter().filter(move |row| row.0 == number).map(|row| row.1)
                };
                Ok(StatusRows {
                    denominations: tx.denomination_counts().await?,
                    grants,
                    grants_minted,
                    vouchers,
                    vouchers_used,
                    operators: operators
                        .iter()
                        .map(|operator| (operator.clone(), of(operator.number).collect()))
                        .collect(),
                })
            })
        })
        .await
    }
}

impl Tx<'_> {
    async fn denomination_counts(
        &mut self,
    ) -> Result<Vec<((u32, u8), DenominationCount)>, TxError> {
        let sql = "-- denomination_counts()
            SELECT epoch, exponent,
                CAST(SUM(issued) AS BIGINT) AS issued, CAST(SUM(redeemed) AS BIGINT) AS redeemed,
                CAST(SUM(renewed) AS BIGINT) AS renewed
            FROM (
                SELECT epoch, exponent, certificates AS issued, 0 AS redeemed, 0 AS renewed
                FROM issued
                UNION ALL
                SELECT epoch, exponent, 0 AS issued, certificates AS redeemed, 0 AS renewed
                FROM redeemed
                UNION ALL
                SELECT epoch, exponent, 0 AS issued, 0 AS redeemed, certificates AS renewed
                FROM renewed
                UNION ALL
                SELECT new_epoch AS epoch, exponent, certificates AS issued, 0 AS redeemed,
                    0 AS renewed
                FROM renewed
            ) AS moves
            GROUP BY epoch, exponent ORDER BY epoch, exponent";
        let found = sqlx::query(sql).fetch_all(self.connection()).await?;
        let count = |row: &sqlx::any::AnyRow| {
            let key =
                (rows::integer(row, "epoch", "issued")?, rows::integer(row, "exponent", "issued")?);
            let issued = rows::integer(row, "issued", "issued")?;
            let redeemed = rows::integer(row, "redeemed", "redeemed")?;
            let renewed = rows::integer(row, "renewed", "renewed")?;
            Ok((key, DenominationCount { issued, redeemed, renewed }))
        };
        found.iter().map(count).collect()
    }

    async fn grant_counts(&mut self) -> Result<(u64, u64), TxError> {
        let sql = "-- grant_counts()
            SELECT COUNT(*) AS every, COUNT(CASE WHEN minted <> 0 THEN 1 END) AS used FROM grants";
        self.two_counts(sql, "grants").await
    }

    async fn voucher_counts(&mut self) -> Result<(u64, u64), TxError> {
        let sql = "-- voucher_counts()
            SELECT (SELECT COUNT(*) FROM vouchers) AS every,
                (SELECT COUNT(*) FROM purchases WHERE source = 'voucher' AND grant_id IS NOT NULL) AS used";
        self.two_counts(sql, "vouchers").await
    }

    async fn two_counts(
        &mut self,
        sql: &'static str,
        table: &'static str,
    ) -> Result<(u64, u64), TxError> {
        let row = sqlx::query(sql).fetch_one(self.connection()).await?;
        Ok((rows::integer(&row, "every", table)?, rows::integer(&row, "used", table)?))
    }

    /// What was accepted, with the number of the operator.
    async fn redeemed_by_operator(&mut self) -> Result<Vec<(i64, RedeemedCount)>, TxError> {
        let sql = "-- redeemed_by_operator()
            SELECT operator, epoch, exponent, CAST(SUM(certificates) AS BIGINT) AS certificates
            FROM redeemed GROUP BY operator, epoch, exponent ORDER BY operator, epoch, exponent";
        let found = sqlx::query(sql).fetch_all(self.connection()).await?;
        let count = |row: &sqlx::any::AnyRow| {
            let count = RedeemedCount {
                epoch: rows::integer(row, "epoch", "redeemed")?,
                exponent: rows::integer(row, "exponent", "redeemed")?,
                certificates: rows::integer(row, "certificates", "redeemed")?,
            };
            Ok((row.try_get("operator")?, count))
        };
        found.iter().map(count).collect()
    }
}
