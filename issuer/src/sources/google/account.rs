//! The service account: its key, and the access tokens that Google's OAuth gives for it (RFC 7523).

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_lc_rs::rsa::KeyPair;
use http::header;
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use scrip_protocol::time::UnixSeconds;
use scrip_runtime::{
    client::{HttpClient, Request, check_url},
    clock::SharedClock,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::{NAME, jwt};
use crate::sources::{SetupError, SourceError, secret};

/// What the tokens allow.
const SCOPE: &str = "https://www.googleapis.com/auth/androidpublisher";
/// For how long an assertion is good, in seconds: the most that Google takes.
const ASSERTION_LIFE: u64 = 3_600;
/// How long before its end a token is not used any more, in seconds.
const MARGIN: u64 = 60;
/// The longest answer of the token endpoint, in bytes.
const MAX_ANSWER: usize = 16_384;

/// The file that Google gives for a service account.
#[derive(Deserialize)]
struct KeyFile {
    client_email: String,
    private_key_id: String,
    private_key: String,
    token_uri: String,
}

#[derive(Serialize)]
struct Assertion<'a> {
    iss: &'a str,
    scope: &'static str,
    aud: &'a str,
    iat: u64,
    exp: u64,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: u64,
}

/// An access token.
pub(super) type AccessToken = Arc<Zeroizing<String>>;

enum Cached {
    Nothing,
    Token { token: AccessToken, until: UnixSeconds },
    Failed { reason: String },
}

/// Gets access tokens and keeps them until a minute before their end.
pub(super) struct Account {
    email: String,
    key_id: String,
    key: KeyPair,
    token_uri: String,
    client: HttpClient,
    clock: SharedClock,
    attempts: AtomicU64,
    cached: Mutex<Cached>,
}

impl Account {
    /// Reads the key file at `path`.
    pub(super) fn read(
        path: &Path,
        client: HttpClient,
        clock: SharedClock,
    ) -> Result<Self, SetupError> {
        let wrong = |what: &str| SetupError::new(NAME, format!("{}: {what}", path.display()));
        let text = secret::read(NAME, path)?;
        // serde's message may show what it stumbled over, which may be the key.
        let file: KeyFile = serde_json::from_str(&text)
            .map_err(|_| wrong("not the JSON key file of a service account"))?;
        let pem = Zeroizing::new(file.private_key);
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes());
        let key = match &der {
            Ok(PrivateKeyDer::Pkcs8(der)) => KeyPair::from_pkcs8(der.secret_pkcs8_der()).ok(),
            _ => None,
        };
        let key = key.ok_or_else(|| wrong("its `private_key` is no RSA key in PKCS#8"))?;
        check_url(&file.token_uri).map_err(|error| wrong(&format!("its `token_uri`: {error}")))?;
        Ok(Self {
            email: file.client_email,
            key_id: file.private_key_id,
            key,
            token_uri: file.token_uri,
            client,
            clock,
            attempts: AtomicU64::new(0),
            cached: Mutex::new(Cached::Nothing),
        })
    }

    /// A token that is good for a minute at least.
    pub(super) async fn token(&self) -> Result<AccessToken, SourceError> {
        let before = self.attempts.load(Ordering::SeqCst);
        let mut cached = self.cached.lock().await;
        match &*cached {
            Cached::Token { token, until } if self.clock.now() < *until => return Ok(token.clone()),
            // Who waited while somebody else tried in vain does not try again: the attempts would queue up.
            Cached::Failed { reason } if self.attempts.load(Ordering::SeqCst) > before => {
                return Err(SourceError::Unavailable(reason.clone()));
            }
            _ => {}
        }
        let fetched = self.fetch().await;
        self.attempts.fetch_add(1, Ordering::SeqCst);
        match fetched {
            Ok((token, until)) => {
                *cached = Cached::Token { token: token.clone(), until };
                Ok(token)
            }
            Err(reason) => {
                *cached = Cached::Failed { reason: reason.clone() };
                Err(SourceError::Unavailable(reason))
            }
        }
    }

    /// Forgets `refused`, and no token that was got after it.
    pub(super) async fn forget(&self, refused: &AccessToken) {
        let mut cached = self.cached.lock().await;
        if matches!(&*cached, Cached::Token { token, .. } if Arc::ptr_eq(token, refused)) {
            *cached = Cached::Nothing;
        }
    }

    async fn fetch(&self) -> Result<(AccessToken, UnixSeconds), String> {
        let now = self.clock.now();
        let assertion = Assertion {
            iss: &self.email,
            scope: SCOPE,
            aud: &self.token_uri,
            iat: now.0,
            exp: now.plus(ASSERTION_LIFE).0,
        };
        let assertion = jwt::sign(&self.key, &self.key_id, &assertion)
            .ok_or("the service account's key does not sign")?;
        // A token is of characters that need no escape.
        let grant_type = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
        let form = format!("grant_type={grant_type}&assertion={assertion}");
        let request = Request::post(self.token_uri.clone(), form, MAX_ANSWER)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = self.client.send(request).await.map_err(|error| error.to_string())?;
        if answer.status != 200 {
            return Err(format!(
                "Google's OAuth answered {} to the service account; check that its key is not deleted and the clock is right",
                answer.status
            ));
        }
        let answer: TokenAnswer = serde_json::from_slice(&answer.body)
            .map_err(|_| "Google's OAuth answered with something that is no token")?;
        let until = now.plus(answer.expires_in).minus(MARGIN);
        Ok((Arc::new(Zeroizing::new(answer.access_token)), until))
    }
}
