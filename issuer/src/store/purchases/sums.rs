//! What was sold, and what was lost by refunds.

use scrip_protocol::{credits::Credits, time::Day};
use sqlx::Row;

use super::super::{Store, StoreError, rows};
use crate::sources::AccountId;

/// What was sold of a product at one source on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sale {
    /// The source's name.
    pub source: String,
    /// The UTC day; day 0 for what was sold before days were recorded.
    pub day: Day,
    /// The product.
    pub product: String,
    /// Whether it is of a test environment.
    pub test: bool,
    /// How many purchases.
    pub purchases: u64,
    /// What they are worth.
    pub credits: Credits,
    /// How many of them were refunded.
    pub refunded: u64,
}

/// What was lost by refunds after certificates had been signed: of a product, to a buyer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The source's name.
    pub source: String,
    /// The product.
    pub product: String,
    /// The buyer, where the source tells buyers apart.
    pub account: Option<AccountId>,
    /// How many refunds.
    pub refunds: u64,
    /// What had been signed.
    pub credits: Credits,
}

impl Store {
    /// What was sold from the day `from` on, by day, source and product.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sales(&self, from: Day) -> Result<Vec<Sale>, StoreError> {
        self.read("sales", |tx| {
            Box::pin(async move {
                let sql = "-- sales()
                    SELECT day, source, product, test, COUNT(*) AS purchases,
                        COUNT(refunded_day) AS refunded, CAST(SUM(credits) AS BIGINT) AS credits
                    FROM purchases JOIN grants ON grants.grant_id = purchases.grant_id
                    WHERE day >= $1 GROUP BY day, source, product, test
                    ORDER BY day, source, product, test";
                let found =
                    sqlx::query(sql).bind(i64::from(from.0)).fetch_all(tx.connection()).await?;
                let sale = |row: &sqlx::any::AnyRow| {
                    Ok(Sale {
                        source: row.try_get("source")?,
                        day: Day(rows::integer(row, "day", "purchases")?),
                        product: row.try_get("product")?,
                        test: rows::integer::<u8>(row, "test", "grants")? != 0,
                        purchases: rows::integer(row, "purchases", "purchases")?,
                        credits: Credits(rows::integer(row, "credits", "purchases")?),
                        refunded: rows::integer(row, "refunded", "purchases")?,
                    })
                };
                found.iter().map(sale).collect()
            })
        })
        .await
    }

    /// What was lost by refunds, the greatest loss first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn losses(&self) -> Result<Vec<Loss>, StoreError> {
        self.read("losses", |tx| {
            Box::pin(async move {
                let sql = "-- losses()
                    SELECT source, product, account, COUNT(*) AS refunds,
                        CAST(SUM(credits) AS BIGINT) AS credits
                    FROM purchases JOIN grants ON grants.grant_id = purchases.grant_id
                    WHERE refunded_day IS NOT NULL AND minted <> 0 AND test = 0
                    GROUP BY source, product, account ORDER BY 5 DESC, source, product";
                let found = sqlx::query(sql).fetch_all(tx.connection()).await?;
                let loss = |row: &sqlx::any::AnyRow| {
                    let account: Option<Vec<u8>> = row.try_get("account")?;
                    let damaged = || StoreError::Damaged { table: "purchases" };
                    let account = account
                        .map(|bytes| bytes.try_into().map(AccountId::from_bytes))
                        .transpose()
                        .map_err(|_| damaged())?;
                    Ok(Loss {
                        source: row.try_get("source")?,
                        product: row.try_get("product")?,
                        account,
                        refunds: rows::integer(row, "refunds", "purchases")?,
                        credits: Credits(rows::integer(row, "credits", "purchases")?),
                    })
                };
                found.iter().map(loss).collect()
            })
        })
        .await
    }
}
