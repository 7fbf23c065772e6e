//! What runs beside the server: the keys' schedule, the sources of purchases, and dropping what is past.

use std::{convert::Infallible, time::Duration};

use scrip_runtime::tasks::Tasks;
use tokio::time::{Instant, sleep};

use crate::{
    alerts,
    config::Statements,
    issuer::Issuer,
    ledger::{Integrated, LedgerError, ProveSolvencyError, Scope},
    store::{Backend, StoreError},
};

/// How often the database is asked for a newer manifest: one small query.
const ROUND: Duration = Duration::from_secs(2);
/// Rounds from one dropping of what is past to the next: an hour. The first comes after a minute.
const DROP: u32 = 1_800;
/// From one look after the sources to the next.
const SOURCES: Duration = Duration::from_secs(60);
/// From one look for what is in line for the ledger to the next: what other processes recorded waits so long at most.
const LEDGER: Duration = Duration::from_millis(250);
/// From one look whether a proof of solvency is due to the next.
const PROOFS: Duration = Duration::from_secs(60);
/// From one look whether lists of voided certificates are due to the next.
const LISTS: Duration = Duration::from_secs(60);
/// From one look for a checkpoint that witnesses have not cosigned to the next.
const WITNESSES: Duration = Duration::from_secs(1);
/// From one look whether a month is over to the next.
const STATEMENTS: Duration = Duration::from_secs(3_600);
/// From one comparison of the whole database with the ledger's storage to the next.
const COMPARE: Duration = Duration::from_secs(1);
/// From one comparison of the clock to the next.
const CLOCK: Duration = Duration::from_secs(30);
/// How long the ledger is left alone where it failed.
const LEDGER_PAUSE: Duration = Duration::from_secs(1);
/// Rounds without an attempt to make keys after one that failed.
const PAUSE: u32 = 30;

/// Starts all tasks. They are broken off when the server ends. Sources are other people's servers, which may be slow: everything has a
/// task of its own, so that the keys do not wait for them.
pub(crate) fn start(issuer: &Issuer) -> Tasks {
    let mut tasks = Tasks::new();
    tasks.spawn_endless("the care for the keys", keys(issuer.clone()));
    tasks.spawn_endless("the care for the clock", clock(issuer.clone()));
    tasks.spawn_endless("the care for the sources", sources(issuer.clone()));
    tasks.spawn_endless("the ledger's sequencer", ledger(issuer.clone()));
    tasks.spawn_endless("the comparison of database and ledger", comparisons(issuer.clone()));
    tasks.spawn_endless("the proofs of solvency", proofs(issuer.clone()));
    tasks.spawn_endless("the lists of voided certificates", lists(issuer.clone()));
    tasks.spawn_endless("the collection of cosignatures", witnesses(issuer.clone()));
    tasks.spawn_endless("the monthly statements", statements(issuer.clone()));
    tasks
}

async fn keys(issuer: Issuer) -> Infallible {
    let (mut pause, mut until_drop) = (0_u32, PAUSE);
    loop {
        if issuer.doubt().is_some() {
            sleep(ROUND).await;
            continue;
        }
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

async fn clock(issuer: Issuer) -> Infallible {
    let mut failing = false;
    loop {
        let tended = issuer.tend_clock().await;
        if let Err(error) = &tended
            && !failing
        {
            tracing::error!(%error, "the time is not remembered; trying again every half minute");
        }
        failing = tended.is_err();
        sleep(CLOCK).await;
    }
}

async fn sources(issuer: Issuer) -> Infallible {
    loop {
        if issuer.doubt().is_none()
            && let Err(error) = issuer.tend_sources().await
        {
            tracing::error!(%error, "the sources were not looked after; trying again in a minute");
        }
        sleep(SOURCES).await;
    }
}

/// Makes the statements of months that are over, where they are made by themselves.
async fn statements(issuer: Issuer) -> Infallible {
    sleep(SOURCES).await;
    loop {
        if issuer.config().ledger.statements == Statements::Monthly
            && issuer.doubt().is_none()
            && let Err(error) = issuer.tend_statements().await
        {
            tracing::error!(%error, "no statements were made; trying again in an hour");
        }
        sleep(STATEMENTS).await;
    }
}

/// Integrates what is in line, and shows others that somebody does.
async fn ledger(issuer: Issuer) -> Infallible {
    // Only who was killed leaves any, and a start follows.
    let strays = issuer.ledger_storage().collect_strays(issuer.inner.clock.now()).await;
    if strays > 0 {
        tracing::info!(strays, "temporary files of processes that were killed are removed");
    }
    // Nothing is known of it at the start: a failure of before is over, or comes again.
    let (mut failing, mut beaten) = (None, Instant::now());
    let shared = issuer.store().backend() != Backend::Sqlite;
    let beat_every = issuer.config().ledger.lease / 3;
    loop {
        let integrated = issuer.integrate(Scope::Due).await;
        match &integrated {
            // It was said, and is an alert of its own.
            Err(_) if issuer.doubt().is_some() => failing = None,
            Ok(Integrated::Everything) if failing != Some(false) => {
                failing = Some(false);
                ledger_works(&issuer).await;
            }
            // Said once: what is in line is in the status, and an alert.
            Err(error) if failing != Some(true) => {
                failing = Some(true);
                tracing::error!(%error, "the ledger does not grow; trying again every second");
                ledger_failed(&issuer, error).await;
            }
            _ => {}
        }
        let leads = matches!(integrated, Ok(Integrated::Everything));
        if shared && leads && beaten.elapsed() > beat_every {
            beaten = Instant::now();
            if let Err(error) = issuer.beat().await {
                tracing::warn!(%error, "other issuers may take over the ledger");
            }
        }
        sleep(if integrated.is_err() { LEDGER_PAUSE } else { LEDGER }).await;
    }
}

/// Compares the database with the ledger's storage. Where that does not come about, one of them fails, and what needs them says so.
async fn comparisons(issuer: Issuer) -> Infallible {
    loop {
        sleep(COMPARE).await;
        match issuer.compare_all().await {
            Ok(()) | Err(LedgerError::Store(StoreError::Doubted(_))) => {}
            Err(error) => tracing::warn!(%error, "the database and the ledger were not compared"),
        }
    }
}

/// For `status` and the page. Where the database does not take it, it is the database that fails, and the log says so.
async fn ledger_failed(issuer: &Issuer, error: &LedgerError) {
    let now = issuer.inner.clock.now();
    let _ = issuer.store().source_failed(alerts::LEDGER, now, &error.to_string()).await;
}

async fn ledger_works(issuer: &Issuer) {
    if let Err(error) = issuer.store().source_works(alerts::LEDGER).await {
        tracing::warn!(%error, "the status still says that the ledger fails");
    }
}

/// Proves once a day that the books add up. One process does: the one that sequences.
async fn proofs(issuer: Issuer) -> Infallible {
    let mut proven = None;
    loop {
        let today = issuer.inner.clock.today();
        if proven != Some(today) && issuer.doubt().is_none() && issuer.sequences().await {
            // Tried once a day: books that do not add up today are looked into by people.
            proven = Some(today);
            match issuer.prove_solvency().await {
                Ok(_) | Err(ProveSolvencyError::Empty) => {}
                Err(error) => tracing::error!(%error, "no proof of solvency was made"),
            }
        }
        sleep(PROOFS).await;
    }
}

/// Publishes the lists of voided certificates, once a day. One process does.
async fn lists(issuer: Issuer) -> Infallible {
    let mut failing = false;
    loop {
        let published = issuer.publish_voided().await;
        if let Err(error) = &published
            && !failing
        {
            tracing::error!(%error, "no lists of voided certificates are published; trying again every minute");
        }
        failing = published.is_err();
        sleep(LISTS).await;
    }
}

/// Collects cosignatures. Witnesses are other people's servers: nothing waits for them.
async fn witnesses(issuer: Issuer) -> Infallible {
    let mut failing = false;
    loop {
        let collected = issuer.collect_cosignatures().await;
        if let Err(error) = &collected
            && !failing
        {
            tracing::error!(%error, "no cosignatures are collected; trying again every second");
        }
        failing = collected.is_err();
        sleep(WITNESSES).await;
    }
}
