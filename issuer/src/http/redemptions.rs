//! `/v1/redemptions` (redemption.md).

use axum::{
    extract::{Request, State},
    response::Response,
};
use scrip_protocol::{
    limits::MAX_REDEMPTION_BATCH, media, problem::ProblemType, redemption::SignedBatch,
};

use super::{answer, refusal::Refusal, request::body};
use crate::issuer::Issuer;

/// `POST /v1/redemptions`
pub(super) async fn redeem(
    State(issuer): State<Issuer>,
    request: Request,
) -> Result<Response, Refusal> {
    let body = body(request, media::REDEMPTION_BATCH, MAX_REDEMPTION_BATCH).await?;
    let batch = SignedBatch::decode(&body).map_err(|_| Refusal::Surface(ProblemType::Malformed))?;
    Ok(answer(media::REDEMPTION_OUTCOME, issuer.redeem(batch).await?))
}
