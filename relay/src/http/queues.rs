//! Messages.

use axum::{
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use scrip_protocol::{
    id::{MessageId, ParseIdError},
    limits::MESSAGE_BLOCK,
    media,
    problem::ProblemType,
};

use super::{Shared, command::Received, problem::Failure};

/// `POST /v1/queues/{sender_id}/messages`
pub(super) async fn send(
    State(shared): State<Shared>,
    command: Received,
    body: Body,
) -> Result<StatusCode, Failure> {
    let block = block(body).await?;
    shared.core.send(&command.head, command.address, block).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/queues/{recipient_id}/messages`
pub(super) async fn receive(
    State(shared): State<Shared>,
    command: Received,
) -> Result<Response, Failure> {
    let Some(message) = shared.core.receive(&command.head, command.address).await? else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(media::BYTES)),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    let mut body = message.id.as_bytes().to_vec();
    body.extend_from_slice(&message.block);
    Ok((headers, body).into_response())
}

/// `DELETE /v1/queues/{recipient_id}/messages/{message_id}`
pub(super) async fn acknowledge(
    State(shared): State<Shared>,
    Path((_, message)): Path<(String, String)>,
    command: Received,
) -> Result<StatusCode, Failure> {
    let message: MessageId = message.parse().map_err(|error: ParseIdError| {
        Failure::with_detail(ProblemType::Malformed, format!("the message id is {error}"))
    })?;
    shared.core.acknowledge(&command.head, command.address, message).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A body of exactly one block.
async fn block(body: Body) -> Result<Vec<u8>, Failure> {
    let collected =
        Limited::new(body, MESSAGE_BLOCK).collect().await.map_err(|error| match error
            .downcast_ref::<LengthLimitError>(
        ) {
            Some(_) => Failure::from(ProblemType::TooLarge),
            None => Failure::with_detail(ProblemType::Malformed, "the body was cut off"),
        })?;
    let bytes = collected.to_bytes();
    if bytes.len() == MESSAGE_BLOCK {
        return Ok(bytes.into());
    }
    let detail = format!("a message has exactly {MESSAGE_BLOCK} bytes, not {}", bytes.len());
    Err(Failure::with_detail(ProblemType::Malformed, detail))
}
