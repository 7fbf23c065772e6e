//! The HTTP surface: parses, calls a use case, encodes.
//!
//! Every answer that is no success is a problem document, also for paths that do not exist. Bodies are capped before they
//! are read.

mod directory;
mod issuance;
mod ledger;
mod purchases;
mod redemptions;
mod refusal;
mod renewals;
mod request;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::{get, post},
};
use http::{HeaderValue, StatusCode, header};
use scrip_protocol::{media, problem::ProblemType};

use self::refusal::Refusal;
use crate::{admin, issuer::Issuer};

/// Where operators ask for their own leaves, which changes nothing.
const OWN_LEAVES: &str = "/v1/ledger/own";

/// All routes of an issuer.
pub fn router(issuer: Issuer) -> Router {
    Router::new()
        .route("/v1/manifest", get(manifest))
        .route("/v1/offer", get(purchases::offer))
        .route("/v1/orders", post(purchases::order))
        .route("/v1/notifications/{source}", post(purchases::notified))
        .route("/v1/grants", post(purchases::make_grant).get(issuance::show_grant))
        .route("/v1/issuance", post(issuance::issue_pack).get(issuance::show_pack))
        .route("/v1/token-request", post(issuance::issue_token))
        .route("/.well-known/private-token-issuer-directory", get(directory::directory))
        .route("/v1/redemptions", post(redemptions::redeem))
        .route("/v1/renewals", post(renewals::renew))
        .route("/ledger/checkpoint", get(ledger::checkpoint))
        .route("/ledger/tile/{*path}", get(ledger::tile))
        .route("/ledger/manifest/{version}", get(ledger::manifest))
        .route("/ledger/solvency", get(ledger::solvency))
        .route("/ledger/voided/{epoch}/newest", get(ledger::voided))
        .route("/ledger/voided/{epoch}/{edition}/{bucket}", get(ledger::voided_bucket))
        .route(OWN_LEAVES, post(ledger::own))
        .layer(from_fn_with_state(issuer.clone(), believing))
        .merge(admin::router(&issuer))
        .fallback(async || Refusal::Surface(ProblemType::NotFound))
        .method_not_allowed_fallback(async || Refusal::Surface(ProblemType::MethodNotAllowed))
        .with_state(issuer)
}

/// Nothing that may bind the vendor is begun in a database that is not to be believed (ledger.md, "A database that went back").
async fn believing(
    State(issuer): State<Issuer>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let only_reads = request.method().is_safe() || request.uri().path() == OWN_LEAVES;
    if !only_reads {
        issuer.believe().await?;
    }
    Ok(next.run(request).await)
}

/// `GET /v1/manifest`
async fn manifest(State(issuer): State<Issuer>) -> Response {
    // The newest of all processes: a wallet that saw it at another one would take an older one for an attack.
    answer(media::MANIFEST, issuer.proven_manifest().await)
}

/// A `200` that nobody between here and the client keeps.
fn answer(media_type: &'static str, body: impl Into<axum::body::Body>) -> Response {
    respond(StatusCode::OK, media_type, body)
}

fn respond(
    status: StatusCode,
    media_type: &'static str,
    body: impl Into<axum::body::Body>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
