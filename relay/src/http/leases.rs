//! Leases.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use scrip_protocol::media;

use super::{Shared, command::Received, problem::Failure};

/// `GET /v1/leases/{lease_id}`
pub(super) async fn status(
    State(shared): State<Shared>,
    command: Received,
) -> Result<Response, Failure> {
    let status = shared.core.lease_status(&command.head, command.address).await?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(media::LEASE)),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, status.encode()).into_response())
}

/// `DELETE /v1/leases/{lease_id}`
pub(super) async fn delete(
    State(shared): State<Shared>,
    command: Received,
) -> Result<StatusCode, Failure> {
    shared.core.delete_lease(&command.head, command.address).await?;
    Ok(StatusCode::NO_CONTENT)
}
