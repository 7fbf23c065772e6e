//! What sources tell by themselves: payments of orders, refunds and their reversals. Each notification has its effects once.

use http::HeaderMap;

use super::PurchaseError;
use crate::{
    issuer::Issuer,
    sources::{Event, Notification, SourceError, TransactionId},
    store::{Act, Effect, Outcome, PurchaseRecorded, Refund, StoreError},
};

/// Why a notification is refused. Nothing was changed, and the source may send it again.
#[derive(Debug, thiserror::Error)]
pub enum NotificationError {
    /// There is no such source, or it sends nothing.
    #[error("no source of this name sends notifications")]
    SourceUnknown,
    /// The source refuses it.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Issuer {
    /// `POST /v1/notifications/{source}`
    ///
    /// # Errors
    /// [`NotificationError`].
    pub async fn notified(
        &self,
        source: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(), NotificationError> {
        let source = self.inner.sources.get(source).ok_or(NotificationError::SourceUnknown)?;
        let now = self.inner.clock.now();
        let said = source.notification(headers, body, now).await;
        let said = match self.watched(&**source, said).await {
            Err(SourceError::Unknown) => return Err(NotificationError::SourceUnknown),
            said => said?,
        };
        Ok(self.take(source.name(), said).await?)
    }

    /// Takes a notification.
    pub(super) async fn take(
        &self,
        source: &'static str,
        notification: Notification,
    ) -> Result<(), StoreError> {
        let now = self.inner.clock.now();
        let mut effects = Vec::new();
        for event in notification.events {
            match event {
                Event::Paid { order, purchase } => {
                    let Some(made) = self.inner.store.order_by_id(&order).await? else {
                        let payment = &purchase.transaction;
                        let what = format!("payment {payment} names no order; refund it");
                        effects.push(Effect::Complaint(what));
                        continue;
                    };
                    match self.new_purchase(source, made.grant_id, purchase, false).await {
                        Ok(mut new) => {
                            new.order = Some(order);
                            effects.push(Effect::Paid(new));
                        }
                        Err(PurchaseError::Store(error)) => return Err(error),
                        Err(error) => {
                            let what = format!("order {order} was paid, but {error}");
                            effects.push(Effect::Complaint(what));
                        }
                    }
                }
                Event::Complaint(what) => effects.push(Effect::Complaint(what)),
                Event::Refunded { transaction } => {
                    effects.push(Effect::Refund(transaction, true));
                }
                Event::RefundReversed { transaction } => {
                    effects.push(Effect::Refund(transaction, false));
                }
            }
        }
        self.inner.steps.at("issuer.notification.before");
        let store = &self.inner.store;
        let outcomes = store.take_notification(source, &notification.id, now, &effects).await?;
        self.inner.steps.at("issuer.notification.after");
        for (effect, outcome) in effects.iter().zip(outcomes.unwrap_or_default()) {
            match (effect, outcome) {
                (Effect::Paid(_), Outcome::Paid(PurchaseRecorded::Granted(..))) => {}
                (Effect::Paid(new), Outcome::Paid(other)) => {
                    let payment = &new.transaction;
                    let what = format!("payment {payment} gave no grant ({other:?}); refund it");
                    self.alert(source, &what).await?;
                }
                (Effect::Refund(transaction, refunded), outcome) => {
                    let (transaction, reversed) = (transaction.shown(source), !refunded);
                    tracing::info!(source, transaction, reversed, ?outcome, "a refund");
                }
                (Effect::Complaint(what), _) => self.alert(source, what).await?,
                (Effect::Paid(_), _) => {}
            }
        }
        Ok(())
    }

    /// Money was taken and nothing given: it is in the log already, and from now on an alert.
    async fn alert(&self, source: &'static str, what: &str) -> Result<(), StoreError> {
        tracing::error!(source, what, "money was taken for nothing");
        self.inner.store.source_failed(source, self.inner.clock.now(), what).await
    }

    /// Takes a purchase back, or takes that back.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn refund(
        &self,
        source: &str,
        transaction: &TransactionId,
        reverse: bool,
    ) -> Result<Refund, StoreError> {
        let now = self.inner.clock.now();
        self.inner.store.refund(source, transaction, !reverse, Act::BY_ITSELF, now).await
    }
}
