//! `start`

use std::time::Duration;

use scrip_runtime::{log, signals};
use tokio::time::{sleep, timeout};

use super::{Session, error::CliError};
use crate::{config::ENV_PREFIX, relay::Relay};

/// How long the first start waits for the vendors. Without their manifests nothing can be paid, and the relay asks on.
const FIRST_MANIFESTS: Duration = Duration::from_secs(10);

/// How soon it asks again: relay and vendor are often started together.
const PAUSE: Duration = Duration::from_millis(500);

/// How long closing the databases may take.
const CLOSING: Duration = Duration::from_secs(30);

pub(super) async fn run(session: &Session) -> Result<(), CliError> {
    let _logging = log::init(ENV_PREFIX)?;
    let relay = session.open().await?;
    let bound = relay.bind().await?;
    if !relay.holds_all_manifests() {
        // Whether it succeeds is seen in the log; the background task goes on asking.
        let _ = timeout(FIRST_MANIFESTS, first_manifests(&relay)).await;
    }
    let scheme = if relay.config().tls.is_some() { "https" } else { "http" };
    if let Err(error) = session.printer.listening(scheme, bound.address()) {
        // Nobody has to hear of it: it serves all the same.
        tracing::warn!(%error, "listening");
    }
    let served = relay.serve(bound, signals::terminated()).await;
    if timeout(CLOSING, relay.close()).await.is_err() {
        tracing::warn!("the databases were not closed in time; the next start recovers");
    }
    Ok(served?)
}

async fn first_manifests(relay: &Relay) {
    loop {
        relay.refresh_manifests().await;
        if relay.holds_all_manifests() {
            return;
        }
        sleep(PAUSE).await;
    }
}
