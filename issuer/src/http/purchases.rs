//! `/v1/offer`, `/v1/orders`, `/v1/grants`, `/v1/notifications` (purchases.md).

use axum::{
    extract::{Path, Request, State},
    response::Response,
};
use http::StatusCode;
use scrip_protocol::{
    limits::{MAX_GRANT_REQUEST, MAX_JSON},
    media,
    problem::ProblemType,
    purchase::{GrantRequest, OrderRequest},
};
use serde::Serialize;

use super::{
    answer,
    issuance::grant_answer,
    refusal::Refusal,
    request::{any_body, body, grant_secret},
    respond,
};
use crate::{grants::GrantError, issuer::Issuer};

const MALFORMED: Refusal = Refusal::Surface(ProblemType::Malformed);
/// Bytes of a notification: those of the app stores carry signed transactions.
const MAX_NOTIFICATION: usize = 1 << 18;

/// `GET /v1/offer`
pub(super) async fn offer(State(issuer): State<Issuer>) -> Result<Response, Refusal> {
    json(&issuer.offer())
}

/// `POST /v1/orders`
pub(super) async fn order(
    State(issuer): State<Issuer>,
    request: Request,
) -> Result<Response, Refusal> {
    let secret = grant_secret(request.headers());
    let body = body(request, media::JSON, MAX_JSON).await?;
    let secret = secret.ok_or(GrantError::Unknown)?;
    let request: OrderRequest = serde_json::from_slice(&body).map_err(|_| MALFORMED)?;
    json(&issuer.order(&secret, &request.product).await?)
}

/// `POST /v1/grants`
pub(super) async fn make_grant(
    State(issuer): State<Issuer>,
    request: Request,
) -> Result<Response, Refusal> {
    let secret = grant_secret(request.headers());
    let body = body(request, media::JSON, MAX_GRANT_REQUEST).await?;
    let secret = secret.ok_or(GrantError::Unknown)?;
    let request: GrantRequest = serde_json::from_slice(&body).map_err(|_| MALFORMED)?;
    grant_answer(&issuer.grant(&secret, &request).await?)
}

/// `POST /v1/notifications/{source}`
pub(super) async fn notified(
    State(issuer): State<Issuer>,
    Path(source): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let headers = request.headers().clone();
    let body = any_body(request, MAX_NOTIFICATION).await?;
    issuer.notified(&source, &headers, &body).await?;
    Ok(respond(StatusCode::OK, media::JSON, b"{}".to_vec()))
}

fn json(value: &impl Serialize) -> Result<Response, Refusal> {
    // Numbers and text, which always are JSON.
    let json = serde_json::to_vec(value);
    Ok(answer(media::JSON, json.map_err(|_| Refusal::Surface(ProblemType::Internal))?))
}
