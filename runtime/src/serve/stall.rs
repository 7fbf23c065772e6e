//! Clients that are too slow: guards that turn waiting for them into an error.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::Body as AnswerBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::pace::{Pace, Patience, Way};

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client is too slow")
}

/// A connection whose writes fail when the client takes too little for too long. Reads may
/// wait: a handler that takes its time leaves the client with nothing to send.
pub(super) struct StallGuard<S> {
    inner: S,
    pace: Arc<Pace>,
    patience: Patience,
}

impl<S> StallGuard<S> {
    pub(super) fn new(inner: S, pace: Arc<Pace>) -> Self {
        Self { inner, pace, patience: Patience::new(Way::Answer) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallGuard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> StallGuard<S> {
    fn guarded(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let result = poll(Pin::new(&mut self.inner), cx);
        match &result {
            Poll::Pending => {
                return self.patience.poll_exhausted(&self.pace, cx).map(|()| Err(too_slow()));
            }
            Poll::Ready(Ok(bytes)) => self.patience.moved(&self.pace, *bytes),
            Poll::Ready(Err(_)) => {}
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StallGuard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.guarded(cx, |inner, cx| inner.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.guarded(cx, |inner, cx| inner.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// A request body that fails when the client sends too little for too long while a handler
/// waits for more of it.
pub(super) struct GuardedBody {
    inner: Incoming,
    pace: Arc<Pace>,
    patience: Patience,
}

impl GuardedBody {
    pub(super) fn new(inner: Incoming, pace: Arc<Pace>) -> Self {
        Self { inner, pace, patience: Patience::new(Way::Body) }
    }
}

impl Drop for GuardedBody {
    fn drop(&mut self) {
        self.pace.body_is_over();
    }
}

impl Body for GuardedBody {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Pending => {
                let exhausted = this.patience.poll_exhausted(&this.pace, cx);
                exhausted.map(|()| Some(Err(too_slow().into())))
            }
            Poll::Ready(frame) => {
                let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
                this.patience.moved(&this.pace, data.map_or(0, Bytes::len));
                Poll::Ready(frame.map(|result| result.map_err(Into::into)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// An answer that tells when it has been handed over.
pub(super) struct Answer {
    inner: AnswerBody,
    pace: Arc<Pace>,
}

impl Answer {
    pub(super) fn new(inner: AnswerBody, pace: Arc<Pace>) -> Self {
        Self { inner, pace }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.pace.end(Instant::now());
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
