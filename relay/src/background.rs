//! What runs beside the server: expiry, redemption, manifests.

use std::{sync::Arc, time::Duration};

use scrip_runtime::tasks::{Stopping, Tasks};
use tokio::time::sleep;

use crate::{core::Core, relay::Relay};

/// How soon a vendor that never answered is asked for its manifest again; each further attempt waits twice as long.
const FIRST_RETRY: Duration = Duration::from_secs(2);

/// Starts all tasks. They end soon after the server.
pub(crate) fn start(relay: &Relay) -> Tasks {
    let mut tasks = Tasks::new();
    let stopping = tasks.stopping();
    let core = Arc::clone(relay.core());
    let every = relay.config().storage.collect_every.duration();
    tasks.watch(core.store.writers_life());
    tasks.watch(relay.spent_writers_life());
    tasks.spawn("the collector", collect(core, every, stopping.clone()));
    tasks.spawn("the care for manifests", manifests(relay.clone(), stopping.clone()));
    tasks.spawn("the redeemer", redeem(relay.clone(), stopping));
    tasks
}

/// Collects at intervals, and takes away soon after what was ended early.
async fn collect(core: Arc<Core>, every: Duration, stopped: Stopping) {
    let mut stop = std::pin::pin!(stopped.wait());
    let mut pause = std::pin::pin!(sleep(every));
    loop {
        let collected = tokio::select! {
            () = &mut stop => return,
            () = &mut pause => {
                let collected = core.collect().await;
                pause.set(sleep(every));
                collected
            }
            () = core.ended.notified() => core.take_away_content().await,
        };
        if let Err(error) = collected {
            tracing::error!(%error, "what has ended was not taken away; trying again later");
        }
    }
}

/// Asks for all manifests at intervals and where somebody paid with an unknown key, and more often for those that are
/// missing.
async fn manifests(relay: Relay, stopped: Stopping) {
    let interval = relay.config().redemption.manifests_every.duration();
    let fresh = relay.verifier().keep_manifests_fresh(interval, stopped.clone().wait());
    let missing = async {
        tokio::select! {
            () = stopped.wait() => {}
            () = missing_manifests(&relay, interval) => {}
        }
    };
    tokio::join!(fresh, missing);
}

/// Without a manifest nothing of a vendor is accepted: those that are missing are asked for until they are there.
async fn missing_manifests(relay: &Relay, interval: Duration) {
    let mut pause = FIRST_RETRY;
    loop {
        relay.refresh_manifests().await;
        if relay.holds_all_manifests() {
            return;
        }
        sleep(pause).await;
        pause = (pause * 2).min(interval);
    }
}

async fn redeem(relay: Relay, stopped: Stopping) {
    relay.redeemer().run(stopped.wait()).await;
}
