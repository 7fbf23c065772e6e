//! `/v1/renewals`, `/v1/inquiries` (renewal.md).

use axum::{
    extract::{Request, State},
    response::Response,
};
use scrip_protocol::{
    inquiry::Inquiry,
    limits::{INQUIRY, MAX_RENEWAL_REQUEST},
    media,
    problem::ProblemType,
    renewal::RenewalRequest,
};

use super::{answer, refusal::Refusal, request::body};
use crate::issuer::Issuer;

const MALFORMED: Refusal = Refusal::Surface(ProblemType::Malformed);

/// `POST /v1/renewals`
pub(super) async fn renew(
    State(issuer): State<Issuer>,
    request: Request,
) -> Result<Response, Refusal> {
    let body = body(request, media::RENEWAL_REQUEST, MAX_RENEWAL_REQUEST).await?;
    let request = RenewalRequest::decode(&body).map_err(|_| MALFORMED)?;
    Ok(answer(media::RENEWAL_ANSWER, issuer.renew(request).await?))
}

/// `POST /v1/inquiries`
pub(super) async fn inquire(
    State(issuer): State<Issuer>,
    request: Request,
) -> Result<Response, Refusal> {
    let body = body(request, media::INQUIRY, INQUIRY).await?;
    let inquiry = Inquiry::decode(&body).map_err(|_| MALFORMED)?;
    Ok(answer(media::INQUIRY_ANSWER, issuer.inquire(&inquiry).await?))
}
