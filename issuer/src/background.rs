//! What runs beside the server: the keys' schedule, the sources of purchases, and dropping what is past.

use std::{convert::Infallible, time::Duration};

use tokio::time::sleep;

use crate::issuer::Issuer;

/// How often the database is asked for a newer manifest: one small query.
const ROUND: Duration = Duration::from_secs(2);
/// Rounds from one dropping of what is past to the next: an hour. The first comes after a minute.
const DROP: u32 = 1_800;
/// From one look after the sources to the next.
const SOURCES: Duration = Duration::from_secs(60);
/// Rounds without an attempt to make keys after one that failed.
const PAUSE: u32 = 30;

/// Runs until it is dropped. Sources are other people's servers, which may be slow: they have rounds of their own, so that the
/// keys do not wait for them.
pub(crate) async fn run(issuer: Issuer) -> Infallible {
    let (never, _) = tokio::join!(keys(&issuer), sources(&issuer));
    never
}

async fn keys(issuer: &Issuer) -> Infallible {
    let (mut pause, mut until_drop) = (0_u32, PAUSE);
    loop {
        let tended = match pause {
            0 => issuer.tend_keys().await,
            _ => issuer.reload().await.map(drop).map_err(Into::into),
        };
        match tended {
            Ok(()) => pause = pause.saturating_sub(1),
            Err(error) => {
                if pause == 0 {
                    tracing::error!(%error, "the keys were not tended; trying again in a minute");
                }
                pause = PAUSE;
            }
        }
        until_drop -= 1;
        if until_drop == 0 {
            until_drop = DROP;
            if let Err(error) = issuer.drop_past().await {
                tracing::error!(%error, "what is past was not dropped; trying again in an hour");
            }
        }
        sleep(ROUND).await;
    }
}

async fn sources(issuer: &Issuer) -> Infallible {
    loop {
        if let Err(error) = issuer.tend_sources().await {
            tracing::error!(%error, "the sources were not looked after; trying again in a minute");
        }
        sleep(SOURCES).await;
    }
}
