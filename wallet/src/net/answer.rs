//! Sorting answers: what was asked for, a problem of the protocol, or something else.

use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use scrip_protocol::{DecodeError, media, problem::Problem};
use scrip_runtime::client::{Response, TransportError};

/// Why a call gave nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No answer. Nobody's fault that could be proved.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A problem document: the server understood, and says what is wrong.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// Something that no scrip server says; often a proxy or another server in between.
    #[error("an unexpected answer with the status {status}")]
    Unexpected {
        /// The HTTP status.
        status: u16,
    },
    /// The right status, and a body that is not what it should be. The server's fault.
    #[error("the answer is not what it should be: {0}")]
    Malformed(#[from] DecodeError),
    /// The right status, and a body that is not what it should be. The server's fault.
    #[error("the answer is not what it should be: {0}")]
    Invalid(&'static str),
}

impl CallError {
    /// The problem, if the server named one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// What an answer that is not the one hoped for says.
    pub(super) fn of(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let is_problem = content_type(headers) == Some(media::PROBLEM);
        match Problem::from_json(body).filter(|_| is_problem) {
            Some(problem) => Self::Problem(Box::new(problem)),
            None => Self::Unexpected { status },
        }
    }
}

/// The body of an answer with this status, and with this content type where it has one to check.
pub(super) fn body_of(
    response: Response,
    status: u16,
    media_type: Option<&str>,
) -> Result<Bytes, CallError> {
    if response.status != status {
        return Err(CallError::of(response.status, &response.headers, &response.body));
    }
    match media_type {
        Some(expected) if content_type(&response.headers) != Some(expected) => {
            Err(CallError::Invalid("its content type is another"))
        }
        _ => Ok(response.body),
    }
}

/// The media type without its parameters.
fn content_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    value.split(';').next().map(str::trim)
}
