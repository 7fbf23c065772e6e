//! Google, as far as Google Play's source knows it: OAuth, the Developer API and the pushes of Pub/Sub.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Arc, Mutex},
};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use axum::{
    Router,
    body::Bytes,
    extract::{Path as Parts, RawQuery, State},
    response::Response,
    routing::{get, post},
};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use http::{HeaderMap, HeaderValue, header};
use scrip_protocol::{purchase::OrderId, time::UnixSeconds};
use serde_json::{Value, json};

use super::fake::{FakeServer, answer, locked, parameter};
use crate::sources::google::{GoogleConfig, PushConfig, jwt};

/// The app.
pub const PACKAGE: &str = "test.scrip";
const ACCOUNT: &str = "issuer@test.iam.gserviceaccount.com";
const PUSH_ACCOUNT: &str = "push@test.iam.gserviceaccount.com";
const AUDIENCE: &str = "https://vendor.test/v1/notifications/google";
const KEY_ID: &str = "key-1";

/// A purchase as Google knows it.
#[derive(Clone, Debug)]
pub struct FakePurchase {
    /// `PURCHASED`, `PENDING`, `CANCELLED`
    pub state: &'static str,
    /// Google's ids of what was bought: one, in practice.
    pub products: Vec<String>,
    /// How many of each.
    pub quantity: u16,
    /// How many of each were not refunded.
    pub refundable: u16,
    /// What the app gave as `obfuscatedExternalAccountId`.
    pub account: Option<String>,
    /// Whether a licence tester bought it.
    pub test: bool,
    /// Whether it was consumed.
    pub consumed: bool,
}

#[derive(Default)]
struct World {
    purchases: BTreeMap<String, FakePurchase>,
    voided: Vec<(String, UnixSeconds)>,
    page: usize,
    issued: u32,
    life: u64,
    valid: Option<String>,
    account_key: Option<jwt::PublicKey>,
    push_key: Option<(Vec<u8>, Vec<u8>)>,
}

type Shared = Arc<Mutex<World>>;

/// Google, on loopback.
pub struct FakeGoogle {
    /// The server, to be made to fail.
    pub server: FakeServer,
    world: Shared,
    account_key: KeyPair,
    push_key: KeyPair,
}

impl FakeGoogle {
    /// Starts with nothing bought.
    ///
    /// # Errors
    /// Where there is no port, or no key can be made.
    pub async fn start() -> io::Result<Self> {
        let key = || KeyPair::generate(KeySize::Rsa2048).map_err(io::Error::other);
        let (account_key, push_key) = (key()?, key()?);
        let (modulus, exponent) = parts(&account_key);
        let world = World {
            page: 2,
            life: 3_600,
            account_key: Some(jwt::PublicKey { modulus, exponent }),
            push_key: Some(parts(&push_key)),
            ..World::default()
        };
        let world = Arc::new(Mutex::new(world));
        let app = "/androidpublisher/v3/applications/{package}/purchases";
        let router = Router::new()
            .route("/token", post(token))
            .route("/certs", get(certificates))
            .route(&format!("{app}/productsv2/tokens/{{token}}"), get(purchase))
            .route(&format!("{app}/products/{{product}}/tokens/{{token}}"), post(consume))
            .route(&format!("{app}/voidedpurchases"), get(voided))
            .with_state(world.clone());
        Ok(Self { server: FakeServer::start(router).await?, world, account_key, push_key })
    }

    /// A configuration for it, with the key file in `directory`.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn config<'a>(
        &self,
        directory: &Path,
        products: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> io::Result<GoogleConfig> {
        let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&self.account_key).map_err(io::Error::other)?;
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            BASE64.encode(der.as_ref())
        );
        let file = json!({
            "type": "service_account", "client_email": ACCOUNT, "private_key_id": KEY_ID,
            "private_key": pem, "token_uri": format!("{}/token", self.server.url()),
        });
        let service_account = directory.join("google.json");
        std::fs::write(&service_account, file.to_string())?;
        let own = |(theirs, ours): (&str, &str)| (theirs.to_owned(), ours.to_owned());
        Ok(GoogleConfig {
            package: PACKAGE.into(),
            service_account,
            products: products.into_iter().map(own).collect(),
            push: Some(PushConfig {
                audience: AUDIENCE.into(),
                account: PUSH_ACCOUNT.into(),
                keys: format!("{}/certs", self.server.url()),
            }),
            api: self.server.url(),
            timeout: scrip_runtime::config::HumanDuration(1),
        })
    }

    /// Somebody buys one `product` (Google's id) for `order`.
    pub fn buy(&self, token: &str, product: &str, order: Option<&OrderId>) {
        let purchase = FakePurchase {
            state: "PURCHASED",
            products: vec![product.to_owned()],
            quantity: 1,
            refundable: 1,
            account: order.map(ToString::to_string),
            test: false,
            consumed: false,
        };
        locked(&self.world).purchases.insert(token.to_owned(), purchase);
    }

    /// Changes a purchase.
    pub fn change(&self, token: &str, change: impl FnOnce(&mut FakePurchase)) {
        if let Some(purchase) = locked(&self.world).purchases.get_mut(token) {
            change(purchase);
        }
    }

    /// A purchase, as it is now.
    pub fn purchase(&self, token: &str) -> Option<FakePurchase> {
        locked(&self.world).purchases.get(token).cloned()
    }

    /// Lists a purchase as voided at `time`.
    pub fn void(&self, token: &str, time: UnixSeconds) {
        locked(&self.world).voided.push((token.to_owned(), time));
    }

    /// For how long access tokens are good from now on, in seconds.
    pub fn token_life(&self, seconds: u64) {
        locked(&self.world).life = seconds;
    }

    /// No access token that was given so far is good any more.
    pub fn revoke_tokens(&self) {
        locked(&self.world).valid = None;
    }

    /// A push of a notification about our app: headers and body.
    pub fn push(&self, id: &str, about: &Value, now: UnixSeconds) -> (HeaderMap, Vec<u8>) {
        let mut notification =
            json!({ "version": "1.0", "packageName": PACKAGE, "eventTimeMillis": "1" });
        if let (Some(whole), Some(part)) = (notification.as_object_mut(), about.as_object()) {
            whole.extend(part.clone());
        }
        let data = BASE64.encode(notification.to_string().as_bytes());
        let body = json!({
            "message": { "attributes": {}, "data": data, "messageId": id, "message_id": id },
            "subscription": "projects/test/subscriptions/play",
        });
        (self.authorization(now, |_| {}), body.to_string().into_bytes())
    }

    /// The headers of a push at `now`, after `change` changed the claims of its token.
    pub fn authorization(&self, now: UnixSeconds, change: impl FnOnce(&mut Value)) -> HeaderMap {
        let mut claims = json!({
            "iss": "https://accounts.google.com", "aud": AUDIENCE, "email": PUSH_ACCOUNT,
            "email_verified": true, "iat": now.0, "exp": now.0 + 3_600, "sub": "1",
        });
        change(&mut claims);
        bearer(&self.push_key, &claims)
    }

    /// The same, signed with a key that is not the one it names.
    pub fn forged_authorization(&self, now: UnixSeconds) -> HeaderMap {
        let mut claims = Value::Null;
        drop(self.authorization(now, |true_claims| claims = true_claims.clone()));
        bearer(&self.account_key, &claims)
    }
}

/// `{"oneTimeProductNotification": …}`
pub fn one_time(token: &str, kind: u8) -> Value {
    let about =
        json!({ "version": "1.0", "notificationType": kind, "purchaseToken": token, "sku": "x" });
    json!({ "oneTimeProductNotification": about })
}

/// `{"voidedPurchaseNotification": …}`
pub fn voided_notification(token: &str) -> Value {
    let about =
        json!({ "purchaseToken": token, "orderId": "GPA.1", "productType": 2, "refundType": 1 });
    json!({ "voidedPurchaseNotification": about })
}

fn bearer(key: &KeyPair, claims: &Value) -> HeaderMap {
    let token = jwt::sign(key, KEY_ID, claims).unwrap_or_default();
    let value = HeaderValue::from_str(&format!("Bearer {token}"));
    let value = value.unwrap_or(HeaderValue::from_static(""));
    HeaderMap::from_iter([(header::AUTHORIZATION, value)])
}

/// Modulus and exponent: where a DER `RSAPublicKey` of 2,048 bits has them.
fn parts(key: &KeyPair) -> (Vec<u8>, Vec<u8>) {
    let der = key.public_key().as_ref();
    let part = |range| der.get::<std::ops::Range<usize>>(range).unwrap_or_default().to_vec();
    (part(9..265), part(267..270))
}

async fn token(State(world): State<Shared>, body: Bytes) -> Response {
    let mut world = locked(&world);
    let form = String::from_utf8_lossy(&body).into_owned();
    let assertion = parameter(&form, "assertion").unwrap_or_default();
    let claims: Option<Value> =
        world.account_key.as_ref().and_then(|key| jwt::verify(assertion, key));
    let genuine = claims.is_some_and(|claims| {
        let number = |name: &str| claims[name].as_u64().unwrap_or_default();
        claims["iss"] == ACCOUNT
            && claims["scope"] == "https://www.googleapis.com/auth/androidpublisher"
            && claims["aud"].as_str().is_some_and(|aud| aud.ends_with("/token"))
            && number("exp") == number("iat") + 3_600
    });
    let wanted = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
    if !genuine || parameter(&form, "grant_type") != Some(wanted) {
        return answer(400, r#"{"error":"invalid_grant"}"#);
    }
    world.issued += 1;
    let token = format!("ya29.token-{}", world.issued);
    world.valid = Some(token.clone());
    let life = world.life;
    let body = json!({ "access_token": token, "expires_in": life, "token_type": "Bearer" });
    answer(200, body.to_string())
}

async fn certificates(State(world): State<Shared>) -> Response {
    let (n, e) = locked(&world).push_key.clone().unwrap_or_default();
    let encode = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let key = json!({ "kty": "RSA", "alg": "RS256", "use": "sig", "kid": KEY_ID, "n": encode(&n), "e": encode(&e) });
    answer(200, json!({ "keys": [{ "kty": "EC", "kid": "other" }, key] }).to_string())
}

impl World {
    fn admits(&self, headers: &HeaderMap, package: &str) -> bool {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let valid = self.valid.as_ref().map(|token| format!("Bearer {token}"));
        package == PACKAGE && valid.is_some() && given == valid.as_deref()
    }
}

async fn purchase(
    State(world): State<Shared>,
    Parts((package, token)): Parts<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let world = locked(&world);
    if !world.admits(&headers, &package) {
        return answer(401, "{}");
    }
    let Some(purchase) = world.purchases.get(&token) else { return answer(404, "{}") };
    let consumed = if purchase.consumed { "CONSUMED" } else { "YET_TO_BE_CONSUMED" };
    let item = |product: &String| {
        json!({
            "productId": product,
            "productOfferDetails": {
                "quantity": purchase.quantity,
                "refundableQuantity": purchase.refundable,
                "consumptionState": format!("CONSUMPTION_STATE_{consumed}"),
            },
        })
    };
    let mut body = json!({
        "kind": "androidpublisher#productPurchaseV2",
        "productLineItem": purchase.products.iter().map(item).collect::<Vec<_>>(),
        "purchaseStateContext": { "purchaseState": purchase.state },
        "orderId": "GPA.1",
        "regionCode": "DE",
    });
    if let Some(account) = &purchase.account {
        body["obfuscatedExternalAccountId"] = json!(account);
    }
    if purchase.test {
        body["testPurchaseContext"] = json!({ "fopType": "TEST" });
    }
    answer(200, body.to_string())
}

async fn consume(
    State(world): State<Shared>,
    Parts((package, product, token)): Parts<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    let mut world = locked(&world);
    if !world.admits(&headers, &package) {
        return answer(401, "{}");
    }
    let token = token.strip_suffix(":consume").unwrap_or_default();
    match world.purchases.get_mut(token) {
        Some(purchase) if purchase.consumed || !purchase.products.contains(&product) => {
            answer(400, "{}")
        }
        Some(purchase) => {
            purchase.consumed = true;
            answer(204, "")
        }
        None => answer(404, "{}"),
    }
}

async fn voided(
    State(world): State<Shared>,
    Parts(package): Parts<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let world = locked(&world);
    if !world.admits(&headers, &package) {
        return answer(401, "{}");
    }
    let query = query.unwrap_or_default();
    let number = |name| parameter(&query, name).and_then(|value| value.parse::<u64>().ok());
    let since = number("startTime").unwrap_or_default() / 1_000;
    let (start, page) = (number("token").unwrap_or_default(), world.page);
    let start = usize::try_from(start).unwrap_or_default();
    let all: Vec<_> = world.voided.iter().filter(|(_, time)| time.0 >= since).collect();
    let entry = |(token, time): &&(String, UnixSeconds)| json!({ "purchaseToken": token, "voidedTimeMillis": (time.0 * 1_000).to_string(), "orderId": "GPA.1" });
    let shown: Vec<Value> = all.iter().skip(start).take(page).map(entry).collect();
    let mut body = json!({ "voidedPurchases": shown });
    if start + page < all.len() {
        body["tokenPagination"] = json!({ "nextPageToken": (start + page).to_string() });
    }
    answer(200, body.to_string())
}
