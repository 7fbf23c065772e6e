//! `/v1/issuance`, `/v1/token-request` (issuance.md).

use axum::{
    extract::{Request, State},
    response::Response,
};
use http::HeaderMap;
use scrip_protocol::{
    issuance::{GrantAnswer, IssuanceRequest},
    limits::MAX_ISSUANCE,
    media,
    problem::ProblemType,
    token::TokenRequest,
};

use super::{
    answer,
    refusal::Refusal,
    request::{body, grant_secret},
};
use crate::{grants::GrantError, issuer::Issuer, packs::PackIssueError};

const MALFORMED: Refusal = Refusal::Surface(ProblemType::Malformed);

/// `GET /v1/grants`
pub(super) async fn show_grant(
    State(issuer): State<Issuer>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let secret = grant_secret(&headers).ok_or(GrantError::Unknown)?;
    grant_answer(&issuer.show_grant(&secret).await?)
}

pub(super) fn grant_answer(grant: &GrantAnswer) -> Result<Response, Refusal> {
    // A `GrantAnswer` is numbers and text, which always are JSON.
    let json = serde_json::to_vec(grant);
    Ok(answer(media::JSON, json.map_err(|_| Refusal::Surface(ProblemType::Internal))?))
}

/// `POST /v1/issuance`
pub(super) async fn issue_pack(
    State(issuer): State<Issuer>,
    request: Request,
) -> Result<Response, Refusal> {
    let secret = grant_secret(request.headers());
    let body = body(request, media::ISSUANCE_REQUEST, MAX_ISSUANCE).await?;
    let request = IssuanceRequest::decode(&body).map_err(|_| MALFORMED)?;
    let pack = issuer.issue_pack(secret.as_ref(), &request).await?;
    Ok(answer(media::ISSUANCE_ANSWER, pack))
}

/// `GET /v1/issuance`
pub(super) async fn show_pack(
    State(issuer): State<Issuer>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let secret = grant_secret(&headers).ok_or(PackIssueError::GrantUnknown)?;
    Ok(answer(media::ISSUANCE_ANSWER, issuer.issued_pack(&secret).await?))
}

/// `POST /v1/token-request`
pub(super) async fn issue_token(
    State(issuer): State<Issuer>,
    request: Request,
) -> Result<Response, Refusal> {
    let secret = grant_secret(request.headers());
    let body = body(request, media::TOKEN_REQUEST, TokenRequest::SIZE).await?;
    let request = TokenRequest::decode(&body).map_err(|_| MALFORMED)?;
    let token = issuer.issue_token(secret.as_ref(), &request).await?;
    Ok(answer(media::TOKEN_RESPONSE, token))
}
