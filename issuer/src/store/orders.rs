//! Orders: which grant a payment that is made elsewhere is for.

use scrip_protocol::{id::GrantId, purchase::OrderId, time::Day};
use sqlx::Row;

use super::{Store, StoreError, Tx, TxError, rows};

/// An order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRow {
    /// Its id.
    pub id: OrderId,
    /// The grant that it becomes when it is paid.
    pub grant_id: GrantId,
    /// What was ordered.
    pub product: String,
    /// The UTC day on which it was made.
    pub day: Day,
}

impl Store {
    /// Adds an order, unless the grant has one or exists already: then what there is decides. `None` where the grant is
    /// of another purchase, or ordered something else.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn order(&self, order: &OrderRow) -> Result<Option<OrderRow>, StoreError> {
        self.run_tx("order", |tx| {
            Box::pin(async move {
                if let Some(there) = tx.order_of(&order.grant_id).await? {
                    return Ok((there.product == order.product).then_some(there));
                }
                if tx.grant(&order.grant_id).await?.is_some() {
                    return Ok(None);
                }
                tx.insert_order(order).await?;
                Ok(Some(order.clone()))
            })
        })
        .await
    }

    /// The order of a grant.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn order_of(&self, grant_id: &GrantId) -> Result<Option<OrderRow>, StoreError> {
        self.read("order_of", |tx| Box::pin(async move { tx.order_of(grant_id).await })).await
    }

    /// The order with this id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn order_by_id(&self, order: &OrderId) -> Result<Option<OrderRow>, StoreError> {
        self.read("order_by_id", |tx| Box::pin(async move { tx.order_by_id(order).await })).await
    }

    /// Drops at most `limit` orders from before `day` that nobody paid, and returns how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn drop_orders(&self, day: Day, limit: u16) -> Result<u64, StoreError> {
        self.run_tx("drop_orders", |tx| {
            Box::pin(async move {
                let sql = "-- drop_orders()
                    DELETE FROM orders WHERE order_id IN
                    (SELECT order_id FROM orders WHERE day < $1
                     AND grant_id NOT IN (SELECT grant_id FROM grants) LIMIT $2)";
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
}

impl Tx<'_> {
    pub(super) async fn order_of(
        &mut self,
        grant_id: &GrantId,
    ) -> Result<Option<OrderRow>, TxError> {
        let sql = "-- order_of()
            SELECT order_id, grant_id, product, day FROM orders WHERE grant_id = $1";
        self.one_order(sql, grant_id.as_bytes()).await
    }

    pub(super) async fn order_by_id(&mut self, id: &OrderId) -> Result<Option<OrderRow>, TxError> {
        let sql = "-- order_by_id()
            SELECT order_id, grant_id, product, day FROM orders WHERE order_id = $1";
        self.one_order(sql, id.as_bytes()).await
    }

    async fn one_order(
        &mut self,
        sql: &'static str,
        key: &[u8],
    ) -> Result<Option<OrderRow>, TxError> {
        let row = sqlx::query(sql).bind(key).fetch_optional(self.connection()).await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(OrderRow {
            id: OrderId::from_bytes(rows::bytes(&row, "order_id", "orders")?),
            grant_id: GrantId::from_bytes(rows::bytes(&row, "grant_id", "orders")?),
            product: row.try_get("product")?,
            day: Day(rows::integer(&row, "day", "orders")?),
        }))
    }

    async fn insert_order(&mut self, order: &OrderRow) -> Result<(), TxError> {
        let sql = "-- insert_order()
            INSERT INTO orders (order_id, grant_id, product, day) VALUES ($1, $2, $3, $4)";
        sqlx::query(sql)
            .bind(order.id.as_bytes().as_slice())
            .bind(order.grant_id.as_bytes().as_slice())
            .bind(order.product.as_str())
            .bind(i64::from(order.day.0))
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
