//! Every error of the use cases as a problem document (errors.md), in one place.

use axum::response::{IntoResponse, Response};
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use scrip_protocol::{
    media,
    problem::{Problem, ProblemType},
};

use crate::{
    access::AccessError,
    chunk_files::ChunkFileError,
    chunks::{DownloadError, UploadError},
    queues::SendError,
    store::StoreError,
};

/// An answer that is a problem document.
#[derive(Debug)]
pub(super) struct Failure(Box<Problem>);

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<ProblemType> for Failure {
    fn from(problem: ProblemType) -> Self {
        Problem::new(problem).into()
    }
}

impl Failure {
    pub(super) fn with_detail(problem: ProblemType, detail: impl Into<String>) -> Self {
        Problem::new(problem).detail(detail).into()
    }

    /// Our own fault: the operator finds it in the log, the client learns nothing of it.
    pub(super) fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, "a request was not answered");
        ProblemType::Internal.into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static(media::PROBLEM)),
            (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        (status, headers, self.0.to_json()).into_response()
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::internal(&error)
    }
}

impl From<AccessError> for Failure {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Stale => ProblemType::CommandStale.into(),
            AccessError::NotFound => ProblemType::ResourceNotFound.into(),
            AccessError::Ended => ProblemType::LeaseEnded.into(),
            AccessError::Store(error) => error.into(),
        }
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Access(error) => error.into(),
            SendError::Full => ProblemType::QueueFull.into(),
        }
    }
}

impl From<UploadError> for Failure {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Access(error) => error.into(),
            UploadError::Mismatch => ProblemType::DigestMismatch.into(),
            UploadError::Busy => ProblemType::Overloaded.into(),
            UploadError::TooLarge => ProblemType::TooLarge.into(),
            UploadError::Cut => Self::with_detail(ProblemType::Malformed, error.to_string()),
            UploadError::File(error) => error.into(),
        }
    }
}

impl From<DownloadError> for Failure {
    fn from(error: DownloadError) -> Self {
        match error {
            DownloadError::Access(error) => error.into(),
            DownloadError::NotUploaded => ProblemType::ChunkNotUploaded.into(),
            DownloadError::File(error) => error.into(),
        }
    }
}

impl From<ChunkFileError> for Failure {
    fn from(error: ChunkFileError) -> Self {
        match error {
            ChunkFileError::Full(_) => {
                tracing::error!(%error, "a chunk was not stored");
                ProblemType::StorageFull.into()
            }
            ChunkFileError::Io { .. } | ChunkFileError::Interrupted => Self::internal(&error),
        }
    }
}
