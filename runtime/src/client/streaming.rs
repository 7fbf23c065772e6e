//! Bodies too large to hold in memory.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, header::CONTENT_LENGTH};
use tokio::time::{sleep, timeout};

use super::{HttpClient, Request, Response, TransportError, collect, refuse_announced_excess, url};

/// The largest piece, in bytes, that is handed to the HTTP library at once: the clock that
/// finds stalled uploads sees pieces, and a slow link must get each through in time.
const PIECE: usize = 64 * 1024;

/// The body of an answer, piece by piece. It ends after the first error.
pub type BodyStream = Pin<Box<dyn Stream<Item = Result<Bytes, TransportError>> + Send>>;

impl HttpClient {
    /// Sends `request` with `body`, which must have exactly `content_length` bytes, in the
    /// place of its own, and reads the whole answer. Gives up when nothing moves for the
    /// client's timeout.
    ///
    /// # Errors
    ///
    /// [`TransportError`]; [`TransportError::Interrupted`] also where `body` fails or has
    /// another length, as a part of it was sent by then.
    pub async fn send_streaming_body(
        &self,
        mut request: Request,
        body: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
        content_length: u64,
    ) -> Result<Response, TransportError> {
        let host = url::host_for_messages(&request.url);
        if !request.body.is_empty() {
            let reason = "it has a body besides the streamed one".to_owned();
            return Err(TransportError::Refused { reason });
        }
        request.headers.retain(|(name, _)| name != CONTENT_LENGTH);
        let limit = request.max_response;
        request.headers.push((CONTENT_LENGTH, content_length.to_string()));
        let sent = Arc::new(AtomicU64::new(0));
        let body = reqwest::Body::wrap_stream(measured(body, content_length, sent.clone()));
        let exchange = async {
            let answer = self.execute(request, Some(body)).await?;
            collect(answer, limit, &host).await
        };
        tokio::select! {
            result = exchange => result,
            () = stalled(&sent, self.timeout) => {
                Err(TransportError::no_answer_in(&host, self.timeout))
            }
        }
    }

    /// Sends `request` and returns the status, the headers and the body of the answer while
    /// it arrives. The client's timeout bounds the wait for the header and for each piece.
    ///
    /// # Errors
    ///
    /// [`TransportError`], here or as an item of the stream; [`TransportError::TooLarge`] as
    /// soon as more than `request.max_response` bytes have come.
    pub async fn get_streaming(
        &self,
        request: Request,
    ) -> Result<(u16, HeaderMap, BodyStream), TransportError> {
        let host = url::host_for_messages(&request.url);
        let limit = request.max_response;
        let mut answer = match timeout(self.timeout, self.execute(request, None)).await {
            Ok(answer) => answer?,
            Err(_) => return Err(TransportError::no_answer_in(&host, self.timeout)),
        };
        refuse_announced_excess(&answer, limit)?;
        let status = answer.status().as_u16();
        let headers = std::mem::take(answer.headers_mut());
        let download = Download { answer, host, left: limit, limit, patience: self.timeout };
        Ok((status, headers, download.into_stream()))
    }
}

/// An answer that is being read.
struct Download {
    answer: reqwest::Response,
    host: String,
    left: usize,
    limit: usize,
    patience: Duration,
}

impl Download {
    fn into_stream(self) -> BodyStream {
        let pieces = stream::unfold(Some(self), |state| async {
            let mut download = state?;
            match download.next_piece().await {
                Ok(Some(piece)) => Some((Ok(piece), Some(download))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        Box::pin(pieces)
    }

    async fn next_piece(&mut self) -> Result<Option<Bytes>, TransportError> {
        let piece = match timeout(self.patience, self.answer.chunk()).await {
            Ok(Ok(piece)) => piece,
            Ok(Err(error)) => return Err(TransportError::of(error, &self.host)),
            Err(_) => return Err(TransportError::no_answer_in(&self.host, self.patience)),
        };
        let length = piece.as_ref().map_or(0, Bytes::len);
        self.left =
            self.left.checked_sub(length).ok_or(TransportError::TooLarge { limit: self.limit })?;
        Ok(piece)
    }
}

/// `body` in small pieces, counted in `sent`. Fails where it is longer than announced: the
/// HTTP library would drop the rest silently. A body that is shorter it notices itself.
fn measured(
    body: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    content_length: u64,
    sent: Arc<AtomicU64>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    body.flat_map(|item| stream::iter(split(item))).map(move |item| {
        let piece = item?;
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        let before = sent.fetch_add(length, Ordering::Relaxed);
        if before.saturating_add(length) > content_length {
            return Err(io::Error::other("the body is longer than was announced"));
        }
        Ok(piece)
    })
}

/// The same bytes, or the same error, in pieces of at most [`PIECE`] bytes.
fn split(item: io::Result<Bytes>) -> impl Iterator<Item = io::Result<Bytes>> {
    let mut rest = Some(item);
    std::iter::from_fn(move || match rest.take()? {
        Ok(mut bytes) if bytes.len() > PIECE => {
            let piece = bytes.split_to(PIECE);
            rest = Some(Ok(bytes));
            Some(Ok(piece))
        }
        last => Some(last),
    })
}

/// Resolves when `sent` has not changed for `patience`, at most twice as late.
async fn stalled(sent: &AtomicU64, patience: Duration) {
    loop {
        let before = sent.load(Ordering::Relaxed);
        sleep(patience).await;
        if sent.load(Ordering::Relaxed) == before {
            return;
        }
    }
}
