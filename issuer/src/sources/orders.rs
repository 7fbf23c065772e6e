//! What was ordered, as payment services need to know it to compare the price.

use futures_util::future::BoxFuture;
use scrip_protocol::purchase::OrderId;

use crate::store::{Store, StoreError};

/// Where orders are looked up.
pub trait Orders: Send + Sync {
    /// The product that was ordered; `None` where there is no such order.
    fn product<'a>(
        &'a self,
        order: &'a OrderId,
    ) -> BoxFuture<'a, Result<Option<String>, StoreError>>;
}

impl Orders for Store {
    fn product<'a>(
        &'a self,
        order: &'a OrderId,
    ) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        Box::pin(async { Ok(self.order_by_id(order).await?.map(|order| order.product)) })
    }
}
