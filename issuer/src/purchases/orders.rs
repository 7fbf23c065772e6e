//! Orders: a payment that is made elsewhere finds its grant by them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use scrip_protocol::{
    id::GrantId,
    issuance::GrantAnswer,
    purchase::{OrderAnswer, OrderId, PayAt},
    seed::GrantSecret,
    time::UnixSeconds,
};

use super::PurchaseError;
use crate::{
    grants::answer,
    issuer::Issuer,
    ring::Ring,
    sources::SourceError,
    store::{OrderRow, StoreError},
};

/// For how many days an order that nobody pays is kept.
pub(crate) const KEEP_UNPAID: u32 = 90;

/// How long, in seconds, an order is not looked up again where it is paid. Wallets ask for it more often than that.
const RECHECK_EVERY: u64 = 30;

/// Which orders this process looked up of late where they are paid, and when.
#[derive(Default)]
pub(crate) struct Rechecked(Mutex<BTreeMap<OrderId, UnixSeconds>>);

impl Rechecked {
    /// Whether the order is due; it is not for a while then.
    fn is_due(&self, order: &OrderId, now: UnixSeconds) -> bool {
        // Times are as good after a panic as before.
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.retain(|_, time| now.since(*time) < RECHECK_EVERY);
        times.insert(*order, now).is_none()
    }
}

/// Why there is no order. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// No such product is sold by order.
    #[error("the product is not sold by order")]
    ProductUnknown,
    /// The grant secret belongs to another purchase, or ordered something else.
    #[error("the grant secret belongs to another purchase")]
    GrantUsed,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Issuer {
    /// `POST /v1/orders`: the checks from the fourth on.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn order(
        &self,
        secret: &GrantSecret,
        product: &str,
    ) -> Result<OrderAnswer, OrderError> {
        let on_sale =
            |ring: &Ring| ring.manifest.product(product).is_some_and(|listed| listed.on_sale);
        if !on_sale(&*self.ring_that(on_sale).await) {
            return Err(OrderError::ProductUnknown);
        }
        let sources: Vec<_> =
            self.inner.sources.iter().filter(|source| source.takes_orders_for(product)).collect();
        if sources.is_empty() {
            return Err(OrderError::ProductUnknown);
        }
        let mut random = [0; 16];
        (self.inner.rng)().fill_bytes(&mut random);
        let order = OrderRow {
            id: OrderId::from_random(random),
            grant_id: secret.grant_id(),
            product: product.to_owned(),
            day: self.inner.clock.today(),
        };
        self.inner.steps.at("issuer.order.before");
        let order = self.inner.store.order(&order).await?.ok_or(OrderError::GrantUsed)?;
        self.inner.steps.at("issuer.order.after");
        let mut pay = Vec::new();
        // What is paid is not to be paid again.
        let paid = self.inner.store.grant(&order.grant_id).await?.is_some();
        for source in sources.into_iter().filter(|_| !paid) {
            match self.watched(&**source, source.checkout(&order.id, product).await).await {
                Ok(Some(url)) => pay.push(PayAt { source: source.name().into(), url }),
                Ok(None) => {}
                // The order stands, and the same request asks again.
                Err(error) => {
                    tracing::warn!(source = source.name(), %error, "no page to pay at");
                }
            }
        }
        Ok(OrderAnswer { order: order.id, product: order.product, pay })
    }

    /// `POST /v1/grants` with an order: the grant that its payment became.
    pub(super) async fn paid_order(
        &self,
        grant_id: &GrantId,
        order: &OrderId,
    ) -> Result<GrantAnswer, PurchaseError> {
        let made = self.inner.store.order_by_id(order).await?;
        let made = made.filter(|made| made.grant_id == *grant_id);
        let made = made.ok_or(PurchaseError::OrderUnknown)?;
        if let Some(grant) = self.inner.store.grant(grant_id).await? {
            return Ok(answer(&grant));
        }
        self.recheck(&made).await?;
        match self.inner.store.grant(grant_id).await? {
            Some(grant) => Ok(answer(&grant)),
            None => Err(SourceError::Pending.into()),
        }
    }

    /// Asks where an order is paid whether it was: the notification that says so may be lost.
    async fn recheck(&self, order: &OrderRow) -> Result<(), StoreError> {
        if !self.inner.rechecked.is_due(&order.id, self.inner.clock.now()) {
            return Ok(());
        }
        let sources = self.inner.sources.iter();
        for source in sources.filter(|source| source.takes_orders_for(&order.product)) {
            match self.watched(&**source, source.recheck(&order.id).await).await {
                Ok(Some(said)) => self.take(source.name(), said).await?,
                Ok(None) => {}
                // The order is as it was, and the same request asks again.
                Err(error) => {
                    tracing::warn!(source = source.name(), %error, "an order cannot be looked up");
                }
            }
        }
        Ok(())
    }
}
