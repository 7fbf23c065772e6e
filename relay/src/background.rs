//! What runs beside the server: expiry, redemption, manifests.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet, time::sleep};

use crate::{core::Core, relay::Relay};

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

/// Takes away what has ended, at intervals and soon after something was ended early.
async fn collect(core: Arc<Core>, every: Duration, stopped: Stopped) {
    let mut stop = std::pin::pin!(until_stopped(stopped));
    loop {
        tokio::select! {
            () = &mut stop => return,
            () = sleep(every) => {}
            () = core.ended.notified() => {}
        }
        if let Err(error) = core.collect().await {
            tracing::error!(%error, "what has ended was not taken away; trying again later");
        }
    }
}

/// Without a manifest nothing of a vendor is accepted: those that are missing are asked for until they are there.
async fn manifests(relay: Relay, stopped: Stopped) {
    let interval = relay.config().redemption.manifests_every.duration();
    let first = async {
        let mut pause = FIRST_RETRY;
        loop {
            relay.refresh_manifests().await;
            if relay.holds_all_manifests() {
                return;
            }
            sleep(pause).await;
            pause = (pause * 2).min(interval);
        }
    };
    tokio::select! {
        () = until_stopped(stopped.clone()) => return,
        () = first => {}
    }
    relay.verifier().keep_manifests_fresh(interval, until_stopped(stopped)).await;
}

async fn redeem(relay: Relay, stopped: Stopped) {
    relay.redeemer().run(until_stopped(stopped)).await;
}
