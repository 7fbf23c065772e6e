//! Google Play: one-time products, verified with Google's Developer API.
//!
//! The purchase token is the key. A purchase must name, as `obfuscatedExternalAccountId`, the order that the vendor made for
//! the grant, so that a token that somebody else gets hold of is worth nothing to him. When the grant is on disk the
//! purchase is consumed, which acknowledges it too; Google gives back the money of what is not acknowledged in three days.
//! Refunds are polled; notifications only make it sooner.

mod account;
mod api;
pub(crate) mod jwt;
mod push;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use futures_util::future::BoxFuture;
use http::HeaderMap;
use scrip_protocol::{
    purchase::{GrantRequest, OrderId},
    time::{SECONDS_PER_DAY, UnixSeconds},
};
use scrip_runtime::{
    client::{ClientOptions, HttpClient, check_url},
    clock::SharedClock,
    config::HumanDuration,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use self::{
    account::Account,
    api::{Api, Purchase, State, Voided},
    push::{Hinted, PushReader},
};
use super::{
    Asked, Event, Notification, Settling, SetupError, Source, SourceError, TransactionId, Verified,
};

const NAME: &str = "google";
/// The oldest voided purchases that Google lists.
const OLDEST: u64 = 30 * SECONDS_PER_DAY;
/// How far each list of voided purchases reaches back before the one that came before it, as entries may appear late.
const OVERLAP: u64 = 3 * SECONDS_PER_DAY;
/// How often the list is asked for, in seconds.
const EVERY: u64 = 600;
/// Pages of one list.
const MAX_PAGES: u32 = 1_000;

/// `[sources.google]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoogleConfig {
    /// The app's package name.
    pub package: String,
    /// The JSON key file of a service account that may see and consume the app's orders.
    pub service_account: PathBuf,
    /// From Google's product ids to ours.
    pub products: BTreeMap<String, String>,
    /// Real-time developer notifications.
    #[serde(default)]
    pub push: Option<PushConfig>,
    /// The Developer API.
    #[serde(default = "default_api")]
    pub api: String,
    /// How long Google may take to answer.
    #[serde(default = "default_timeout")]
    pub timeout: HumanDuration,
}

/// `[sources.google.push]`: what the push subscription of Pub/Sub is set up with.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushConfig {
    /// The audience of its tokens.
    pub audience: String,
    /// The e-mail address of the service account that it is set up with.
    pub account: String,
    /// Where Google publishes the keys that sign the tokens, as a JWK set.
    #[serde(default = "default_keys")]
    pub keys: String,
}

fn default_api() -> String {
    "https://androidpublisher.googleapis.com".into()
}

fn default_keys() -> String {
    "https://www.googleapis.com/oauth2/v3/certs".into()
}

/// A wallet waits for up to four calls.
fn default_timeout() -> HumanDuration {
    HumanDuration(5)
}

/// Google Play.
pub struct GoogleSource {
    products: BTreeMap<String, String>,
    api: Api,
    push: Option<PushReader>,
    /// When a list of voided purchases was last read to its end.
    listed: Mutex<Option<UnixSeconds>>,
}

impl GoogleSource {
    /// Reads the service account's key; asks nobody.
    ///
    /// # Errors
    /// [`SetupError`] where the key or a URL cannot be used.
    pub fn new(config: GoogleConfig, clock: SharedClock) -> Result<Self, SetupError> {
        let wrong = |reason: String| SetupError::new(NAME, reason);
        let urls = [Some(&config.api), config.push.as_ref().map(|push| &push.keys)];
        for url in urls.into_iter().flatten() {
            check_url(url).map_err(|error| wrong(error.to_string()))?;
        }
        let timeout = Duration::from_secs(config.timeout.0);
        let client = HttpClient::new(ClientOptions { timeout, ..ClientOptions::default() })
            .map_err(|error| wrong(error.to_string()))?;
        let account = Account::read(&config.service_account, client.clone(), clock)?;
        let base = Api::base(&config.api, &config.package);
        let push =
            config.push.map(|push| PushReader::new(push, config.package.clone(), client.clone()));
        let api = Api { client, base, account };
        Ok(Self { products: config.products, api, push, listed: Mutex::new(None) })
    }

    async fn verified(&self, asked: &Asked<'_>) -> Result<Verified, SourceError> {
        let GrantRequest::Google { product, token } = asked.request else {
            return Err(SourceError::Unknown);
        };
        let ours = self.products.get(product).ok_or(SourceError::ProductUnknown)?;
        if !api::is_token(token) {
            return Err(SourceError::Unverified("the token is none of Google Play's"));
        }
        let purchase = self.api.purchase(token).await?;
        let purchase =
            purchase.ok_or(SourceError::Unverified("Google Play knows no such purchase"))?;
        let lapsed = match purchase.state() {
            State::Purchased => None,
            State::Pending => return Err(SourceError::Pending),
            State::Cancelled => Some(SourceError::Refunded),
            State::Unknown => {
                let reason = "Google Play answered with a state of a purchase that is not known";
                return Err(SourceError::Unavailable(reason.into()));
            }
        };
        let [item] = purchase.product_line_item.as_slice() else {
            return Err(SourceError::Unverified("the purchase is not of one product"));
        };
        if item.product_id != *product {
            return Err(SourceError::Unverified("the purchase is of another product"));
        }
        let order = order(&purchase)
            .ok_or(SourceError::Unverified("the purchase names no order of this vendor"))?;
        let left = item.quantity();
        let lapsed = lapsed.or_else(|| (left == 0).then_some(SourceError::Refunded));
        Ok(Verified {
            quantity: left.max(1),
            lapsed,
            test: purchase.is_test(),
            order: Some(order),
            settles: true,
            ..Verified::new(transaction(token), ours)
        })
    }

    /// Consumes what was granted. Done where it is consumed, cancelled or forgotten.
    async fn consumed(&self, purchase: &Settling) -> Result<(), SourceError> {
        let Ok(token) = std::str::from_utf8(purchase.transaction.as_bytes()) else {
            return Ok(()); // none of our records
        };
        let Some(state) = self.api.purchase(token).await? else {
            tracing::warn!("Google Play has forgotten a purchase before it was consumed");
            return Ok(());
        };
        if state.state() == State::Cancelled {
            return Ok(());
        }
        for item in state.product_line_item.iter().filter(|item| !item.is_consumed()) {
            self.api.consume(&item.product_id, token).await?;
        }
        Ok(())
    }

    async fn hinted(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: UnixSeconds,
    ) -> Result<Notification, SourceError> {
        let push = self.push.as_ref().ok_or(SourceError::Unknown)?;
        let hint = push.read(headers, body, now).await?;
        let events = match hint.about {
            Hinted::Purchase(token) => self.cancelled(&token).await?.into_iter().collect(),
            Hinted::Voided(token) => match self.cancelled(&token).await? {
                Some(event) => vec![event],
                // Refunded without being taken back: the purchase does not say so, the list does.
                None => self.listed(now.minus(OVERLAP)).await?.iter().map(refunded).collect(),
            },
            Hinted::Nothing => Vec::new(),
        };
        Ok(Notification { id: hint.id, events })
    }

    async fn cancelled(&self, token: &str) -> Result<Option<Event>, SourceError> {
        if !api::is_token(token) {
            return Ok(None);
        }
        let state = self.api.purchase(token).await?.map(|purchase| purchase.state());
        let event = Event::Refunded { transaction: transaction(token) };
        Ok((state == Some(State::Cancelled)).then_some(event))
    }

    async fn polled(&self, now: UnixSeconds) -> Result<Vec<Notification>, SourceError> {
        let mut listed = self.listed.lock().await;
        if listed.is_some_and(|last| last <= now && now.since(last) < EVERY) {
            return Ok(Vec::new());
        }
        // Not on disk: after a start the list is read from its beginning, and each entry has its effects once.
        let since =
            listed.map_or(now.minus(OLDEST), |last| last.minus(OVERLAP).max(now.minus(OLDEST)));
        let voided = self.listed(since).await?;
        *listed = Some(now);
        let notification = |voided: &Voided| Notification {
            id: format!("voided:{}:{}", digest(&voided.purchase_token), voided.voided_time_millis),
            events: vec![refunded(voided)],
        };
        Ok(voided.iter().map(notification).collect())
    }

    async fn listed(&self, since: UnixSeconds) -> Result<Vec<Voided>, SourceError> {
        let (mut all, mut next) = (Vec::new(), None);
        for _ in 0..MAX_PAGES {
            let mut page = self.api.voided(since, next.as_deref()).await?;
            all.append(&mut page.voided_purchases);
            match page.next() {
                None => return Ok(all),
                same if same == next => break,
                other => next = other,
            }
        }
        Err(SourceError::Unavailable("Google Play's list of voided purchases has no end".into()))
    }
}

impl Source for GoogleSource {
    fn name(&self) -> &'static str {
        NAME
    }

    fn products(&self) -> Option<Vec<&str>> {
        Some(self.products.values().map(String::as_str).collect())
    }

    fn verify<'a>(&'a self, asked: &'a Asked<'a>) -> BoxFuture<'a, Result<Verified, SourceError>> {
        Box::pin(self.verified(asked))
    }

    fn settle<'a>(&'a self, purchase: &'a Settling) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(self.consumed(purchase))
    }

    fn notification<'a>(
        &'a self,
        headers: &'a HeaderMap,
        body: &'a [u8],
        now: UnixSeconds,
    ) -> BoxFuture<'a, Result<Notification, SourceError>> {
        Box::pin(self.hinted(headers, body, now))
    }

    fn poll(&self, now: UnixSeconds) -> BoxFuture<'_, Result<Vec<Notification>, SourceError>> {
        Box::pin(self.polled(now))
    }
}

fn transaction(token: &str) -> TransactionId {
    TransactionId::new(token.as_bytes())
}

fn refunded(voided: &Voided) -> Event {
    Event::Refunded { transaction: transaction(&voided.purchase_token) }
}

fn order(purchase: &Purchase) -> Option<OrderId> {
    purchase.obfuscated_external_account_id.as_ref()?.parse().ok()
}

/// A purchase token is good for asking about a purchase, and is not written where it need not be.
fn digest(token: &str) -> String {
    data_encoding::BASE64URL_NOPAD.encode(&Sha256::digest(token))
}
