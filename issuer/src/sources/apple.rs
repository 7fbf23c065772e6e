//! The App Store: purchases as StoreKit 2 signs them, and Apple's notifications of refunds.
//!
//! A signed transaction is good for whoever has it, and devices show it to any app that runs as the customer. So it counts
//! only with the order in it (`appAccountToken`), which belongs to one grant. Apple is never asked anything: its signature
//! is checked here, and how much of a purchase was used up, which Apple would like to know before it refunds, nobody can tell.

mod chain;
mod jws;
mod notification;
mod transaction;
mod untrusted;

use std::{collections::BTreeMap, future::ready};

use futures_util::future::BoxFuture;
use http::HeaderMap;
use scrip_protocol::{purchase::GrantRequest, time::UnixSeconds};
use serde::Deserialize;

use self::{
    chain::Root,
    notification::{Body, MAX_NOTIFICATION, Payload, Type},
    transaction::{Environment, Kind, MAX_TRANSACTION, Ownership, Transaction},
    untrusted::Untrusted,
};
use super::{AccountId, Asked, Event, Notification, Source, SourceError, Verified};

pub(super) const NAME: &str = "apple";

/// `[sources.apple]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppleConfig {
    /// The app's bundle identifier.
    pub bundle_id: String,
    /// What is sold there: the identifier in App Store Connect, a consumable, and our product.
    pub products: BTreeMap<String, String>,
}

/// The App Store.
pub struct AppleSource {
    root: Root,
    config: AppleConfig,
}

impl AppleSource {
    /// Apple's own, for one app.
    pub fn new(config: AppleConfig) -> Self {
        Self { root: Root::apple(), config }
    }

    /// A store of tests. Programs that are built for use have no other root than Apple's, and no switch for one.
    #[cfg(any(test, feature = "testing"))]
    pub fn trusting(root: Vec<u8>, config: AppleConfig) -> Self {
        Self { root: Root::of_tests(root), config }
    }

    /// What the wallet sent is a purchase of one of our products.
    fn verified(&self, signed: &str, now: UnixSeconds) -> Result<Verified, SourceError> {
        let bought: Transaction = jws::open(&self.root, signed, MAX_TRANSACTION, now)
            .map_err(|reason| SourceError::Unverified(reason.detail()))?;
        if bought.bundle_id != self.config.bundle_id {
            return Err(SourceError::Unverified("it was made in another app"));
        }
        let id = bought.id();
        let id = id.ok_or(SourceError::Unverified("it was not made in the App Store"))?;
        if bought.r#type != Kind::Consumable {
            return Err(SourceError::Unverified("what was bought is not a consumable"));
        }
        if bought.in_app_ownership_type != Ownership::Purchased {
            return Err(SourceError::Unverified("it was made by another customer, who shares it"));
        }
        let product = self.config.products.get(&bought.product_id);
        let product = product.ok_or(SourceError::ProductUnknown)?;
        // Without one it would be good for whoever gets hold of it.
        let order = bought.app_account_token.as_deref();
        let order = order.ok_or(SourceError::Unverified("it names no order (appAccountToken)"))?;
        let order = order.parse();
        let order =
            order.map_err(|_| SourceError::Unverified("its appAccountToken is no order"))?;
        let account = bought.app_transaction_id.as_deref();
        Ok(Verified {
            quantity: bought.quantity,
            test: bought.environment == Environment::Sandbox,
            account: account.map(|account| AccountId::of(NAME, account)),
            order: Some(order),
            lapsed: bought.revocation_date.map(|_| SourceError::Refunded),
            ..Verified::new(id, product)
        })
    }

    /// What Apple tells.
    fn told(&self, body: &[u8], now: UnixSeconds) -> Result<Notification, SourceError> {
        let unverified = SourceError::NotificationUnverified;
        let distrusted = |reason: Untrusted| unverified(reason.detail());
        if body.len() > MAX_NOTIFICATION {
            return Err(distrusted(Untrusted::TooLarge));
        }
        let body: Body = serde_json::from_slice(body)
            .map_err(|_| unverified("the body is not what the App Store sends"))?;
        let told: Payload = jws::open(&self.root, &body.signed_payload, MAX_NOTIFICATION, now)
            .map_err(distrusted)?;
        let nothing = Notification { id: told.uuid, events: Vec::new() };
        // Apple has news of other things too, which are about no purchase.
        let Some(data) = told.data else { return Ok(nothing) };
        if data.bundle_id != self.config.bundle_id {
            return Err(unverified("it is about another app"));
        }
        let event = match told.notification_type {
            Type::Refund | Type::Revoke => |transaction| Event::Refunded { transaction },
            Type::RefundReversed => |transaction| Event::RefundReversed { transaction },
            Type::ConsumptionRequest => {
                tracing::info!(
                    "the App Store asks how much of a purchase was used up: not answered, as nobody can know"
                );
                return Ok(nothing);
            }
            Type::Other => return Ok(nothing),
        };
        let signed = data.signed_transaction_info;
        let signed = signed.ok_or(unverified("it does not say which purchase it is about"))?;
        let about: Transaction =
            jws::open(&self.root, &signed, MAX_TRANSACTION, now).map_err(distrusted)?;
        if about.bundle_id != data.bundle_id || about.environment != data.environment {
            return Err(unverified(
                "the purchase in it is another app's, or another environment's",
            ));
        }
        let id = about.id().ok_or(unverified("it is not about the App Store"))?;
        Ok(Notification { events: vec![event(id)], ..nothing })
    }
}

impl Source for AppleSource {
    fn name(&self) -> &'static str {
        NAME
    }

    fn products(&self) -> Option<Vec<&str>> {
        Some(self.config.products.values().map(String::as_str).collect())
    }

    fn verify<'a>(&'a self, asked: &'a Asked<'a>) -> BoxFuture<'a, Result<Verified, SourceError>> {
        Box::pin(ready(match asked.request {
            GrantRequest::Apple { transaction } => self.verified(transaction, asked.now),
            _ => Err(SourceError::Unknown),
        }))
    }

    fn notification<'a>(
        &'a self,
        _: &'a HeaderMap,
        body: &'a [u8],
        now: UnixSeconds,
    ) -> BoxFuture<'a, Result<Notification, SourceError>> {
        Box::pin(ready(self.told(body, now)))
    }
}

#[cfg(test)]
mod tests;
