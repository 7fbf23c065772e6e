//! One connection, from its handshake to its end.

use axum::{Router, body::Body};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::Watcher,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::{
    ConnectionLimits,
    stall::{GuardedBody, StallGuard},
};

/// Serves `router` on `stream` until the client or `watcher` ends it. What goes wrong is the
/// client's doing or the network's, and of interest only while one looks for a fault.
pub(super) async fn run(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    limits: ConnectionLimits,
    watcher: Watcher,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot switch off Nagle's algorithm");
    }
    let stream = StallGuard::new(stream, limits.stall);
    match acceptor {
        None => http(stream, router, limits, watcher).await,
        Some(acceptor) => match timeout(limits.tls_handshake, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => http(stream, router, limits, watcher).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        },
    }
}

async fn http(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    router: Router,
    limits: ConnectionLimits,
    watcher: Watcher,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let request = request.map(|body| Body::new(GuardedBody::new(body, limits.stall)));
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read)
        .max_header_size(limits.header_bytes)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "connection ended early");
    }
}
