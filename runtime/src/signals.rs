//! Waiting for the signals that end a program.

/// Resolves at the first SIGINT (Ctrl-C) or SIGTERM after it was first polled.
///
/// Where the system refuses a handler, that is logged and the other signal still counts.
pub async fn terminated() {
    tokio::select! {
        () = interrupt() => {}
        () = terminate() => {}
    }
}

async fn interrupt() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::warn!(%error, "cannot listen for Ctrl-C; stop this program with SIGTERM");
        std::future::pending::<()>().await;
    }
}

#[cfg(unix)]
async fn terminate() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        // `None` would mean that no more signals can arrive: then there is nothing to wait for.
        Ok(mut signals) => {
            if signals.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
        }
        Err(error) => {
            tracing::warn!(%error, "cannot listen for SIGTERM; stop this program with Ctrl-C");
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(not(unix))]
async fn terminate() {
    std::future::pending::<()>().await;
}
