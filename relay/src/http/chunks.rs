//! Chunks.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE},
};
use scrip_protocol::{media, problem::ProblemType};
use tokio_util::io::ReaderStream;

use super::{Shared, command::Received, problem::Failure};
use crate::chunks::LARGEST;

/// Bytes that are read from the disk at once.
const PIECE: usize = 64 * 1024;

/// `PUT /v1/chunks/{owner_id}`
pub(super) async fn upload(
    State(shared): State<Shared>,
    command: Received,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Failure> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|announced: usize| announced > LARGEST) {
        return Err(ProblemType::TooLarge.into());
    }
    shared.core.upload(&command.head, command.address, body.into_data_stream()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/chunks/{reader_id}`
pub(super) async fn download(
    State(shared): State<Shared>,
    command: Received,
) -> Result<Response, Failure> {
    let (file, size) = shared.core.download(&command.head, command.address).await?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(media::BYTES)),
        (CONTENT_LENGTH, HeaderValue::from(size)),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    let bytes = ReaderStream::with_capacity(tokio::fs::File::from_std(file), PIECE);
    Ok((headers, Body::from_stream(bytes)).into_response())
}
