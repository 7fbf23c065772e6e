//! Answers of the layer, and what the answers of the server behind it mean.

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE},
};
use http_body::Body;
use http_body_util::Full;
use scrip_protocol::{
    credits::Credits,
    id::encode_base64url,
    limits::{MAX_JSON_ANSWER, MAX_RECEIPT},
    manifest::{KeyUse, Manifest},
    media,
    problem::{Problem, ProblemType},
    time::UnixSeconds,
};

use super::body;
use crate::{pay::Provisioned, price::Quote, provisions::StoredAnswer, verifier::Verifier};

/// A problem document.
pub(super) fn problem(problem: &Problem) -> Response<Full<Bytes>> {
    stored(StoredAnswer::problem(problem))
}

/// An answer with these bytes.
pub(crate) fn stored(answer: StoredAnswer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(value) = HeaderValue::from_str(&answer.content_type)
        && !value.is_empty()
    {
        response.headers_mut().insert(CONTENT_TYPE, value);
    }
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `402`, with the price and a challenge for each vendor.
pub(super) fn payment_required(verifier: &Verifier, quote: Quote) -> Response<Full<Bytes>> {
    let document = verifier.with_terms(ProblemType::PaymentRequired.into(), quote);
    let mut response = problem(&document);
    let now = verifier.now();
    for manifest in verifier.accepted_manifests() {
        if let Ok(value) = HeaderValue::try_from(challenge(&manifest, quote.credits, now)) {
            response.headers_mut().append(WWW_AUTHENTICATE, value);
        }
    }
    response
}

/// RFC 9577, section 2.2. `token-key` is the largest denomination that issues now and is not above the price; where there
/// is none it is left out, as that section allows.
fn challenge(manifest: &Manifest, price: Credits, now: UnixSeconds) -> String {
    let key = manifest
        .issuing_at(KeyUse::Production, now)
        .filter(|key| key.value() <= price)
        .max_by_key(|key| (key.exponent(), key.epoch()));
    let challenge = padded(&manifest.challenge().encode());
    match key {
        Some(key) => {
            let key = padded(&key.public().spki());
            format!(r#"PrivateToken challenge="{challenge}", token-key="{key}""#)
        }
        None => format!(r#"PrivateToken challenge="{challenge}""#),
    }
}

/// base64url with padding, which RFC 9577 demands of these two parameters.
fn padded(bytes: &[u8]) -> String {
    let mut text = encode_base64url(bytes);
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// Reads what the server behind the layer answered, and decides what it says about the payment.
pub(super) async fn sort<R: Body>(response: Response<R>) -> Provisioned {
    let (parts, body) = response.into_parts();
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    let limit = if parts.status.is_success() { MAX_RECEIPT } else { MAX_JSON_ANSWER };
    let body = match body::read(body, limit).await {
        Ok(bytes) => bytes.to_vec(),
        Err(error) => {
            tracing::error!(status = parts.status.as_u16(), %error, "the server's answer cannot be used");
            return Provisioned::Unknown(ProblemType::ProvisioningFailed.into());
        }
    };
    let answer = StoredAnswer { status: parts.status.as_u16(), content_type, body };
    if parts.status.is_success() {
        return Provisioned::Done(answer);
    }
    let document =
        answer.content_type.starts_with(media::PROBLEM).then(|| Problem::from_json(&answer.body));
    match document.flatten() {
        Some(problem) if problem.problem.nothing_taken() => Provisioned::Nothing(problem),
        Some(problem) => Provisioned::Unknown(problem),
        None if parts.status.is_client_error() => {
            let detail = format!("the server answered {}", parts.status.as_u16());
            Provisioned::Nothing(Problem::new(ProblemType::RequestRefused).detail(detail))
        }
        None => Provisioned::Unknown(ProblemType::ProvisioningFailed.into()),
    }
}
