//! The witness over HTTP (C2SP `tlog-witness`): `POST /add-checkpoint`, and `GET /` for people and monitors.

use ::http::{StatusCode, header::CONTENT_TYPE};
use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Request, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use scrip_protocol::tlog::witness::{MAX_ADD_CHECKPOINT, SIZE_MEDIA_TYPE};
use serde_json::json;

use super::{Refused, Witness};

const TEXT: &str = "text/plain; charset=utf-8";

/// The routes of a witness.
pub fn router(witness: Witness) -> Router {
    Router::new()
        .route("/", get(status))
        .route("/add-checkpoint", post(add_checkpoint))
        .layer(DefaultBodyLimit::max(MAX_ADD_CHECKPOINT))
        .with_state(witness)
}

async fn add_checkpoint(State(witness): State<Witness>, request: Request<Body>) -> Response {
    let Ok(body) = axum::body::to_bytes(request.into_body(), MAX_ADD_CHECKPOINT).await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large, or was cut off");
    };
    match witness.add_checkpoint(&body).await {
        Ok(line) => text(StatusCode::OK, &line.to_string()),
        Err(refused) => refusal(&refused),
    }
}

/// The status of each refusal, as the specification gives it.
fn refusal(refused: &Refused) -> Response {
    let status = match refused {
        Refused::Malformed(_) | Refused::Backwards { .. } => StatusCode::BAD_REQUEST,
        Refused::UnknownLog(_) => StatusCode::NOT_FOUND,
        Refused::Unsigned(_) => StatusCode::FORBIDDEN,
        Refused::Stale { size } | Refused::Fork { size } => {
            let body = format!("{size}\n");
            return (StatusCode::CONFLICT, [(CONTENT_TYPE, SIZE_MEDIA_TYPE)], body).into_response();
        }
        Refused::NotConsistent(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Refused::State(error) => {
            tracing::error!(%error, "a checkpoint could not be stored");
            return text(StatusCode::INTERNAL_SERVER_ERROR, "the checkpoint could not be stored");
        }
        Refused::Clock => StatusCode::INTERNAL_SERVER_ERROR,
    };
    text(status, &refused.to_string())
}

fn text(status: StatusCode, text: &str) -> Response {
    (status, [(CONTENT_TYPE, TEXT)], format!("{text}\n")).into_response()
}

async fn status(State(witness): State<Witness>) -> Response {
    match witness.status() {
        Ok(logs) => {
            let json = json!({ "key": witness.verifier_key(), "logs": logs }).to_string();
            ([(CONTENT_TYPE, "application/json")], json).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the state cannot be read");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the state cannot be read")
        }
    }
}
