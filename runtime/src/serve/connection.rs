//! One connection, from its handshake to its end.

use std::sync::Arc;

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
    pace::Pace,
    stall::{Answer, GuardedBody, StallGuard},
};

/// What every connection of a server has.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) router: Router,
    pub(super) limits: ConnectionLimits,
}

/// Serves on `stream` until the client or `watcher` ends it, or its place is needed for another.
/// What goes wrong is the client's doing or the network's, and of interest only while one looks
/// for a fault.
pub(super) async fn run(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    served: Served,
    pace: Arc<Pace>,
    watcher: Watcher,
) {
    tokio::select! {
        biased;
        () = pace.dropped() => tracing::debug!("a connection made room for another"),
        () = secured(stream, acceptor, served, Arc::clone(&pace), watcher) => {}
    }
}

async fn secured(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    served: Served,
    pace: Arc<Pace>,
    watcher: Watcher,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot switch off Nagle's algorithm");
    }
    let stream = StallGuard::new(stream, Arc::clone(&pace));
    let patience = served.limits.tls_handshake;
    match acceptor {
        None => http(stream, served, pace, watcher).await,
        Some(acceptor) => match timeout(patience, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => http(stream, served, pace, watcher).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        },
    }
}

async fn http(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    served: Served,
    pace: Arc<Pace>,
    watcher: Watcher,
) {
    let Served { router, limits } = served;
    let service = service_fn(move |request: Request<Incoming>| {
        pace.begin();
        let pace = Arc::clone(&pace);
        let body = Arc::clone(&pace);
        let request = request.map(|incoming| Body::new(GuardedBody::new(incoming, body)));
        let answering = router.clone().oneshot(request);
        async move {
            let Ok(answer) = answering.await;
            Ok::<_, std::convert::Infallible>(answer.map(|body| Answer::new(body, pace)))
        }
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
