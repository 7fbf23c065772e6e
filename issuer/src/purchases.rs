//! Purchases (purchases.md): verified by their source, recorded once with their grant, and then settled.
//!
//! What is durable, in which order: the purchase and its grant are one transaction; the source is told afterwards, and again
//! by [`Issuer::tend_sources`] until it knows. Whatever dies in between, the same request, or the same notification, goes on.

mod notifications;
mod offer;
mod orders;

use std::sync::Arc;

use scrip_protocol::{
    id::GrantId,
    issuance::{GrantAnswer, OtherGrant, Wanted},
    manifest::KeyUse,
    purchase::GrantRequest,
    seed::GrantSecret,
};

pub(crate) use self::orders::{KEEP_UNPAID, Rechecked};
pub use self::{notifications::NotificationError, orders::OrderError};
use crate::{
    grants::answer,
    issuer::Issuer,
    ring::Ring,
    sources::{Asked, Settling, Source, SourceError, Verified, source_of},
    store::{GrantRow, NewPurchase, PurchaseRecorded, StoreError},
};

/// Purchases that are settled in one round.
const ROUND: u16 = 64;

/// Why there is no grant. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum PurchaseError {
    /// The vendor takes no purchases of this kind.
    #[error("the vendor takes no purchases of this kind")]
    SourceUnknown,
    /// The source did not verify it.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// No order of this secret has this id.
    #[error("the order was not made with this secret")]
    OrderUnknown,
    /// The purchase became another grant.
    #[error("the {source_name} purchase became another grant")]
    Used {
        /// The source.
        source_name: &'static str,
    },
    /// The grant secret belongs to another purchase.
    #[error("the grant secret belongs to another purchase")]
    GrantUsed,
    /// Nothing more is given away today.
    #[error("nothing more is given away today")]
    BudgetSpent,
    /// It is of a test environment, and this vendor has no test keys.
    #[error("the purchase is of a test environment, and this vendor has no keys for tests")]
    NoTestKeys,
    /// So many at once make no pack.
    #[error("the quantity is too large")]
    Quantity,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the manifest has no grant for.
impl From<OtherGrant> for PurchaseError {
    fn from(error: OtherGrant) -> Self {
        match error {
            OtherGrant::Quantity => Self::Quantity,
            _ => SourceError::ProductUnknown.into(),
        }
    }
}

impl Issuer {
    /// `POST /v1/grants`: the checks from the fourth on.
    ///
    /// # Errors
    /// [`PurchaseError`].
    pub async fn grant(
        &self,
        secret: &GrantSecret,
        request: &GrantRequest,
    ) -> Result<GrantAnswer, PurchaseError> {
        let grant_id = secret.grant_id();
        if let GrantRequest::Order { order } = request {
            return self.paid_order(&grant_id, order).await;
        }
        let source = source_of(request).and_then(|name| self.inner.sources.get(name));
        let source = source.ok_or(PurchaseError::SourceUnknown)?;
        // What an app store sold names an order. Without one, nobody is asked anything: it costs, and counts against a limit.
        if matches!(request, GrantRequest::Google { .. })
            && self.inner.store.order_of(&grant_id).await?.is_none()
        {
            return Err(PurchaseError::OrderUnknown);
        }
        let asked = Asked { request, grant_id, now: self.inner.clock.now() };
        let mut verified = self.watched(&**source, source.verify(&asked).await).await?;
        let lapsed = verified.lapsed.take();
        let transaction = verified.transaction.clone();
        let new = self.new_purchase(source.name(), grant_id, verified, lapsed.is_some()).await?;
        self.inner.steps.at("issuer.grant.before");
        let recorded = self.inner.store.record_purchase(&new).await?;
        self.inner.steps.at("issuer.grant.after");
        match recorded {
            PurchaseRecorded::Granted(grant, settled) => {
                if !settled {
                    let product = grant.product.clone();
                    self.settle(source, Settling { transaction, product }).await?;
                }
                Ok(answer(&grant))
            }
            PurchaseRecorded::Lapsed => Err(lapsed.unwrap_or(SourceError::Refunded).into()),
            PurchaseRecorded::Used => Err(PurchaseError::Used { source_name: source.name() }),
            PurchaseRecorded::Refunded => Err(SourceError::Refunded.into()),
            PurchaseRecorded::OrderUnknown => Err(PurchaseError::OrderUnknown),
            PurchaseRecorded::GrantUsed => Err(PurchaseError::GrantUsed),
            PurchaseRecorded::ParentCancelled => Err(SourceError::Cancelled.into()),
            PurchaseRecorded::BudgetSpent => Err(PurchaseError::BudgetSpent),
        }
    }

    /// The purchase as it is to be recorded: with what the manifest says of its product, times the quantity.
    async fn new_purchase(
        &self,
        source: &'static str,
        grant_id: GrantId,
        verified: Verified,
        lapsed: bool,
    ) -> Result<NewPurchase, PurchaseError> {
        let now = self.inner.clock.now();
        if verified.test && !self.has_test_keys() {
            return Err(PurchaseError::NoTestKeys);
        }
        let (pack, rest) = match &verified.sold {
            Some(sold) => (sold.clone(), None),
            None => {
                let wanted =
                    Wanted { quantity: verified.quantity, ..Wanted::one(&*verified.product) };
                let listed = |ring: &Ring| ring.manifest.product(&wanted.product).is_some();
                let (pack, rest) = wanted.granted(&self.ring_that(listed).await.manifest)?;
                (pack, rest.map(|(pack, after)| (pack, now.plus(after))))
            }
        };
        Ok(NewPurchase {
            source,
            transaction: verified.transaction,
            grant_id,
            grant: GrantRow { test: verified.test, rest, ..GrantRow::new(verified.product, pack) },
            day: now.day(),
            account: verified.account,
            order: verified.order,
            settles: verified.settles,
            parent: verified.parent,
            budget: verified.budget,
            reseller: verified.reseller,
            lapsed,
        })
    }

    /// Tells the source of a delivery. That it cannot be told now keeps nobody from what was paid for.
    async fn settle(&self, source: &Arc<dyn Source>, purchase: Settling) -> Result<(), StoreError> {
        self.inner.steps.at("issuer.purchase.before_settle");
        let settled = self.watched(&**source, source.settle(&purchase).await).await;
        self.inner.steps.at("issuer.purchase.after_settle");
        match settled {
            Ok(()) => self.inner.store.mark_settled(source.name(), &purchase.transaction).await,
            Err(error) => {
                tracing::warn!(source = source.name(), %error, "a delivery could not be reported; trying again");
                Ok(())
            }
        }
    }

    /// What runs beside the server: deliveries that are still to be reported, and sources that have to be asked.
    ///
    /// # Errors
    /// [`StoreError`]; what failed at a source is logged, counted and tried again.
    pub async fn tend_sources(&self) -> Result<(), StoreError> {
        for unsettled in self.inner.store.unsettled(ROUND).await? {
            if let Some(source) = self.inner.sources.get(&unsettled.source) {
                let (transaction, product) = (unsettled.transaction, unsettled.product);
                self.settle(source, Settling { transaction, product }).await?;
            }
        }
        for source in self.inner.sources.iter() {
            let polled = source.poll(self.inner.clock.now()).await;
            match self.watched(&**source, polled).await {
                Ok(notifications) => {
                    for notification in notifications {
                        self.take(source.name(), notification).await?;
                    }
                }
                Err(error) => {
                    tracing::warn!(source = source.name(), %error, "a source cannot be asked")
                }
            }
        }
        Ok(())
    }

    /// Keeps count of a source that fails, and says when it works again.
    async fn watched<T>(
        &self,
        source: &dyn Source,
        result: Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        match &result {
            Err(SourceError::Unavailable(message)) => {
                tracing::error!(source = source.name(), message, "a source of purchases fails");
                let now = self.inner.clock.now();
                self.inner.store.source_failed(source.name(), now, message).await?;
                self.inner.failing.mark(source.name());
            }
            Ok(_) if self.inner.failing.clear(source.name()) => {
                self.inner.store.source_works(source.name()).await?;
                tracing::info!(source = source.name(), "a source of purchases works again");
            }
            _ => {}
        }
        result
    }

    /// Whether purchases of test environments can be granted: test keys are wanted, and issue now.
    fn has_test_keys(&self) -> bool {
        let now = self.inner.clock.now();
        self.inner.config.epoch.test_keys
            && self.manifest().issuing_at(KeyUse::Test, now).next().is_some()
    }
}
