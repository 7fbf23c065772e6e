//! What runs beside the server: expiry, redemption, manifests.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinSet, time::sleep};

use crate::{collector::Rounds, core::Core, relay::Relay};

/// How soon a vendor that never answered is asked for its manifest again; each further attempt waits twice as long.
const FIRST_RETRY: Duration = Duration::from_secs(2);

/// Resolves when the server has ended.
pub(crate) type Stopped = watch::Receiver<bool>;

/// Starts all tasks. They end soon after `stopped` says so.
pub(crate) fn start(relay: &Relay, stopped: &Stopped) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let core = Arc::clone(relay.core());
    let every = relay.config().storage.collect_every.duration();
    tasks.spawn(collect(core, every, stopped.clone()));
    tasks.spawn(manifests(relay.clone(), stopped.clone()));
    tasks.spawn(redeem(relay.clone(), stopped.clone()));
    tasks
}

async fn until_stopped(mut stopped: Stopped) {
    // An error says that the sender is gone: the server has ended as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Collects at intervals, and takes away soon after what was ended early.
async fn collect(core: Arc<Core>, every: Duration, stopped: Stopped) {
    let mut stop = std::pin::pin!(until_stopped(stopped));
    let mut rounds = Rounds::new(&core, Instant::now());
    let mut pause = std::pin::pin!(sleep(every));
    loop {
        let collected = tokio::select! {
            () = &mut stop => return,
            () = &mut pause => {
                let collected = rounds.round(&core, Instant::now()).await;
                pause.set(sleep(every));
                collected
            }
            // Not a round: those lie apart, so that a clock that is set right between them was believed in none.
            () = core.ended.notified() => core.take_away_content().await,
        };
        if let Err(error) = collected {
            tracing::error!(%error, "what has ended was not taken away; trying again later");
        }
    }
}

/// Asks for all manifests at intervals and where somebody paid with an unknown key, and more often for those that are
/// missing.
async fn manifests(relay: Relay, stopped: Stopped) {
    let interval = relay.config().redemption.manifests_every.duration();
    let fresh = relay.verifier().keep_manifests_fresh(interval, until_stopped(stopped.clone()));
    let missing = async {
        tokio::select! {
            () = until_stopped(stopped) => {}
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

async fn redeem(relay: Relay, stopped: Stopped) {
    relay.redeemer().run(until_stopped(stopped)).await;
}
