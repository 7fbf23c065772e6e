//! What every handler needs of a request.

use axum::extract::Request;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use scrip_protocol::{problem::ProblemType, seed::GrantSecret};

use super::refusal::Refusal;

/// The body of a request of `media_type`, of at most `limit` bytes. More is not read.
pub(super) async fn body(
    request: Request,
    media_type: &'static str,
    limit: usize,
) -> Result<Vec<u8>, Refusal> {
    if !is_of_type(request.headers(), media_type) {
        return Err(Refusal::Surface(ProblemType::UnsupportedMediaType));
    }
    any_body(request, limit).await
}

/// The body of a request of any media type, of at most `limit` bytes.
pub(super) async fn any_body(request: Request, limit: usize) -> Result<Vec<u8>, Refusal> {
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(Refusal::Surface(ProblemType::TooLarge));
    }
    match Limited::new(request.into_body(), limit).collect().await {
        Ok(body) => Ok(body.to_bytes().into()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Refusal::Surface(ProblemType::TooLarge))
        }
        // The client sent less than it announced; it will hardly read this.
        Err(_) => Err(Refusal::Surface(ProblemType::Malformed)),
    }
}

/// Compares without parameters: `application/json; charset=utf-8` is JSON.
fn is_of_type(headers: &HeaderMap, media_type: &str) -> bool {
    let sent = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = sent.map(|sent| sent.split(';').next().unwrap_or_default().trim());
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case(media_type))
}

/// The grant secret in the `Authorization` header.
pub(super) fn grant_secret(headers: &HeaderMap) -> Option<GrantSecret> {
    GrantSecret::from_bearer(headers.get(header::AUTHORIZATION)?.to_str().ok()?)
}
