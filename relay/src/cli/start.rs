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

pub(super) async fn run(session: &Session) -> Result<(), CliError> {
    log::init(ENV_PREFIX)?;
    let relay = session.open().await?;
    let bound = relay.bind().await?;
    if !relay.holds_all_manifests() {
        // Whether it succeeds is seen in the log; the background task goes on asking.
        let _ = timeout(FIRST_MANIFESTS, first_manifests(&relay)).await;
    }
    let scheme = if relay.config().tls.is_some() { "https" } else { "http" };
    session.printer.listening(scheme, bound.address())?;
    relay.serve(bound, signals::terminated()).await?;
    relay.close().await;
    Ok(())
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
