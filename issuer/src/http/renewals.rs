//! `/v1/renewals` (renewal.md).

use axum::{
    extract::{Request, State},
    response::Response,
};
use scrip_protocol::{limits::RENEWAL_ITEM, media, problem::ProblemType, renewal::RenewalItem};

use super::{answer, refusal::Refusal, request::body};
use crate::issuer::Issuer;

const MALFORMED: Refusal = Refusal::Surface(ProblemType::Malformed);

/// `POST /v1/renewals`
pub(super) async fn renew(
    State(issuer): State<Issuer>,
    request: Request,
) -> Result<Response, Refusal> {
    let body = body(request, media::RENEWAL_REQUEST, RENEWAL_ITEM).await?;
    let item = RenewalItem::decode(&body).map_err(|_| MALFORMED)?;
    Ok(answer(media::RENEWAL_ANSWER, issuer.renew(item).await?))
}
