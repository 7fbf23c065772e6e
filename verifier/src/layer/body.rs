//! Reading a body that may not be longer than its limit.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use scrip_protocol::problem::{Problem, ProblemType};

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyError {
    /// It is longer than the limit.
    #[error("the body is too long")]
    TooLarge,
    /// The connection broke, or the body's encoding did.
    #[error("the body ended before its time")]
    Cut,
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => ProblemType::TooLarge.into(),
            BodyError::Cut => Problem::new(ProblemType::Malformed).detail(error.to_string()),
        }
    }
}

/// The whole of `body`, if it has at most `limit` bytes. Not more than that is ever held.
pub(super) async fn read<B: Body>(body: B, limit: usize) -> Result<Bytes, BodyError> {
    let announced = body.size_hint().lower();
    if usize::try_from(announced).map_or(true, |announced| announced > limit) {
        return Err(BodyError::TooLarge);
    }
    let mut body = std::pin::pin!(body);
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Cut)?.into_data() else { continue };
        if data.remaining() > limit - bytes.len() {
            return Err(BodyError::TooLarge);
        }
        bytes.put(data);
    }
    Ok(bytes.freeze())
}
