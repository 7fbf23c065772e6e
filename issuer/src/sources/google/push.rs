//! Real-time developer notifications: a push of Cloud Pub/Sub, with an OpenID Connect token of Google's in it.
//!
//! A notification is a hint that something happened to a purchase. It is never believed: what happened is asked.

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;
use http::{HeaderMap, header};
use scrip_protocol::{encoding::decode_base64, time::UnixSeconds};
use scrip_runtime::client::{HttpClient, Request};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::{PushConfig, jwt};
use crate::sources::SourceError;

/// Who may have issued the token.
const ISSUERS: [&str; 2] = ["https://accounts.google.com", "accounts.google.com"];
/// How far the clocks may be apart, in seconds.
const LEEWAY: u64 = 60;
/// The longest set of keys, in bytes.
const MAX_KEYS: usize = 65_536;
/// Google's keys are asked for again after this, in seconds.
const KEYS_LIFE: u64 = 6 * 3_600;
/// And for a key that is not known, no sooner than after this, in seconds.
const KEYS_PAUSE: u64 = 60;

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    exp: u64,
    email: Option<String>,
    #[serde(default)]
    email_verified: bool,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kid: String,
    kty: String,
    n: Option<String>,
    e: Option<String>,
}

/// What Pub/Sub sends.
#[derive(Deserialize)]
struct Push {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    data: String,
    #[serde(rename = "messageId")]
    message_id: String,
}

/// `DeveloperNotification`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Developer {
    package_name: String,
    one_time_product_notification: Option<About>,
    voided_purchase_notification: Option<About>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct About {
    purchase_token: String,
}

/// What a notification hints at.
pub(super) struct Hint {
    /// The same for each time that it is sent.
    pub(super) id: String,
    pub(super) about: Hinted,
}

pub(super) enum Hinted {
    /// Something happened to this purchase.
    Purchase(String),
    /// It was voided.
    Voided(String),
    /// Nothing that concerns us.
    Nothing,
}

#[derive(Default)]
struct Keys {
    by_id: BTreeMap<String, jwt::PublicKey>,
    asked: Option<UnixSeconds>,
}

/// Checks that a push is Google's, and reads it.
pub(super) struct PushReader {
    config: PushConfig,
    package: String,
    client: HttpClient,
    keys: Mutex<Keys>,
}

impl PushReader {
    pub(super) fn new(config: PushConfig, package: String, client: HttpClient) -> Self {
        Self { config, package, client, keys: Mutex::default() }
    }

    pub(super) async fn read(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: UnixSeconds,
    ) -> Result<Hint, SourceError> {
        self.authenticate(headers, now).await?;
        let push: Push = serde_json::from_slice(body)
            .map_err(|_| SourceError::NotificationUnverified("not a push of Pub/Sub"))?;
        let about = self.hinted(&push.message.data);
        Ok(Hint { id: push.message.message_id, about })
    }

    /// The token in `Authorization` is signed by Google for the configured account and audience.
    async fn authenticate(&self, headers: &HeaderMap, now: UnixSeconds) -> Result<(), SourceError> {
        let refused = SourceError::NotificationUnverified;
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = value.and_then(|value| value.strip_prefix("Bearer "));
        let token = token.ok_or(refused("there is no token of Google's"))?;
        let key_id = jwt::key_id(token).ok_or(refused("the token is none of Google's"))?;
        let mut keys = self.keys.lock().await;
        self.refresh(&mut keys, &key_id, now).await?;
        let key =
            keys.by_id.get(&key_id).ok_or(refused("the token is signed by an unknown key"))?;
        let claims: Claims =
            jwt::verify(token, key).ok_or(refused("the token's signature is wrong"))?;
        let ours = ISSUERS.contains(&claims.iss.as_str())
            && claims.aud == self.config.audience
            && claims.email.as_deref() == Some(&self.config.account)
            && claims.email_verified;
        if !ours {
            return Err(refused("the token is for something else"));
        }
        if claims.exp.saturating_add(LEEWAY) <= now.0 {
            return Err(refused("the token has expired"));
        }
        Ok(())
    }

    /// Asks for Google's keys where those at hand are old or have none of this id; not for every token that somebody makes up.
    async fn refresh(
        &self,
        keys: &mut Keys,
        wanted: &str,
        now: UnixSeconds,
    ) -> Result<(), SourceError> {
        let age = keys.asked.map_or(u64::MAX, |asked| now.since(asked));
        let due = if keys.by_id.contains_key(wanted) { KEYS_LIFE } else { KEYS_PAUSE };
        if age < due {
            return Ok(());
        }
        keys.asked = Some(now);
        let request = Request::get(self.config.keys.clone(), MAX_KEYS);
        let answer = self.client.send(request).await;
        let answer = answer.map_err(|error| SourceError::Unavailable(error.to_string()))?;
        let set: Option<KeySet> =
            (answer.status == 200).then(|| serde_json::from_slice(&answer.body).ok()).flatten();
        let Some(set) = set else {
            keys.asked = None; // so that the next one, which Pub/Sub sends soon, asks again
            return Err(SourceError::Unavailable("Google's keys could not be read".into()));
        };
        keys.by_id = set.keys.into_iter().filter_map(Jwk::parse).collect();
        Ok(())
    }

    /// What was signed and cannot be understood concerns nobody, and must not come again for days.
    fn hinted(&self, data: &str) -> Hinted {
        let json = decode_base64(data);
        let developer: Option<Developer> = json.and_then(|json| serde_json::from_slice(&json).ok());
        match developer {
            Some(Developer { package_name, .. }) if package_name != self.package => Hinted::Nothing,
            Some(Developer { voided_purchase_notification: Some(about), .. }) => {
                Hinted::Voided(about.purchase_token)
            }
            Some(Developer { one_time_product_notification: Some(about), .. }) => {
                Hinted::Purchase(about.purchase_token)
            }
            _ => Hinted::Nothing,
        }
    }
}

impl Jwk {
    fn parse(self) -> Option<(String, jwt::PublicKey)> {
        let number = |text: Option<String>| BASE64URL_NOPAD.decode(text?.as_bytes()).ok();
        let key = jwt::PublicKey { modulus: number(self.n)?, exponent: number(self.e)? };
        (self.kty == "RSA").then_some((self.kid, key))
    }
}
