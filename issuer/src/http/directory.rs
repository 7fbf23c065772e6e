//! The issuer directory of RFC 9578, section 4, so that any Privacy Pass client finds the keys.

use axum::{extract::State, response::Response};
use data_encoding::BASE64URL;
use http::{HeaderValue, header};
use scrip_protocol::{
    manifest::{DenominationKey, KeyUse},
    media,
    problem::ProblemType,
};
use serde::Serialize;

use super::{answer, refusal::Refusal};
use crate::issuer::Issuer;

/// Blind RSA (2048 bits), RFC 9578, section 8.2.1.
const TOKEN_TYPE: u16 = 0x0002;
/// The path in the directory is relative to the directory's own host.
const REQUEST_URI: &str = "/v1/token-request";
/// Clients may keep the directory for this long: less than the vendor signs on after a window's end.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("max-age=600");

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Directory {
    issuer_request_uri: &'static str,
    token_keys: Vec<TokenKey>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct TokenKey {
    token_type: u16,
    /// base64url *with* padding: here the RFC differs from what scrip does elsewhere.
    token_key: String,
    not_before: u64,
}

/// `GET /.well-known/private-token-issuer-directory`: the keys that issue now, by exponent.
pub(super) async fn directory(State(issuer): State<Issuer>) -> Result<Response, Refusal> {
    let manifest = issuer.newest_ring().await.manifest.clone();
    let now = issuer.inner.clock.now();
    let mut keys: Vec<&DenominationKey> = manifest.issuing_at(KeyUse::Production, now).collect();
    keys.sort_by_key(|key| (key.exponent(), key.epoch()));
    let token_key = |key: &&DenominationKey| TokenKey {
        token_type: TOKEN_TYPE,
        token_key: BASE64URL.encode(&key.public().spki()),
        not_before: key.windows().issue_from.0,
    };
    let directory = Directory {
        issuer_request_uri: REQUEST_URI,
        token_keys: keys.iter().map(token_key).collect(),
    };
    let json =
        serde_json::to_vec(&directory).map_err(|_| Refusal::Surface(ProblemType::Internal))?; // numbers and text always are JSON
    let mut response = answer(media::ISSUER_DIRECTORY, json);
    response.headers_mut().insert(header::CACHE_CONTROL, CACHE_CONTROL);
    Ok(response)
}
