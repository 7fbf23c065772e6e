//! Requests and answers as an adversary has them: whole, and free to be changed.

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, TRANSFER_ENCODING};
use scrip_protocol::media;
use scrip_protocol::problem::{Problem, ProblemType};

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST` and so on.
    pub method: String,
    /// The path, with the query where there is one.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Its headers. Those that frame the body are made anew when it is sent.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Request {
    /// Whether it has this method and this path; of a path that ends in `/` the beginning counts.
    pub fn is(&self, method: &str, path: &str) -> bool {
        let same = match path.ends_with('/') {
            true => self.path.starts_with(path),
            false => self.path == path,
        };
        self.method == method && same
    }

    /// The value of a header, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether its content type is this one.
    pub fn has_type(&self, media_type: &str) -> bool {
        self.header("content-type") == Some(media_type)
    }
}

impl Answer {
    /// An answer with this status, content type and body.
    pub fn new(status: u16, media_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        Self { status, headers, body: body.into() }
    }

    /// This problem, with the status that belongs to it.
    pub fn problem(problem: impl Into<Problem>) -> Self {
        let problem = problem.into();
        Self::new(problem.status, media::PROBLEM, problem.to_json())
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// The same with another body.
    #[must_use]
    pub fn with_body(self, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// The same with its JSON changed; as it was where it is no JSON.
    #[must_use]
    pub fn with_json(self, change: impl FnOnce(&mut serde_json::Value)) -> Self {
        let Ok(mut value) = serde_json::from_slice(&self.body) else { return self };
        change(&mut value);
        let body = value.to_string();
        self.with_body(body)
    }

    /// The same with its bytes changed.
    #[must_use]
    pub fn with_bytes(self, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut bytes = self.body.to_vec();
        change(&mut bytes);
        self.with_body(bytes)
    }

    /// The problem that it says, where it is one.
    pub fn said(&self) -> Option<ProblemType> {
        Problem::from_json(&self.body).map(|problem| problem.problem)
    }
}

/// Without what belongs to a connection and to the framing of one body.
pub(super) fn without_framing(mut headers: HeaderMap) -> HeaderMap {
    for name in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}
