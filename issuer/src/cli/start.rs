//! `start`

use std::time::Duration;

use scrip_runtime::{log, passphrase::passphrase, signals};
use tokio::time::{Instant, sleep, timeout};

use super::{Session, error::CliError};
use crate::{
    config::ENV_PREFIX,
    issuer::Issuer,
    store::{Store, StoreError},
};

/// How long closing the database may take.
const CLOSING: Duration = Duration::from_secs(30);

/// How long a database is waited for that is not there: issuers and their database are often started together.
const DATABASE: Duration = Duration::from_secs(60);
/// How soon it is tried again.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn run(session: &Session) -> Result<(), CliError> {
    let _logging = log::init(ENV_PREFIX)?;
    let config = session.config()?;
    let (url, connections) = (&config.database, 1);
    patiently(DATABASE, PAUSE, async || Store::open(url, connections, false).await)
        .await?
        .close()
        .await;
    let passphrase = passphrase(ENV_PREFIX, session.env.iter().cloned(), true)?;
    let issuer = Issuer::open_with(
        config,
        passphrase,
        session.clock.clone(),
        session.steps.clone(),
        session.rng.clone(),
        |sources, _| sources.add_all(&session.sources),
    );
    let issuer = issuer.await?;
    let bound = issuer.bind().await?;
    let scheme = if issuer.config().tls.is_some() { "https" } else { "http" };
    if let Err(error) = session.printer.listening(scheme, bound.address()) {
        // Nobody has to hear of it: it serves all the same.
        tracing::warn!(%error, "listening");
    }
    let served = issuer.serve(bound, signals::terminated()).await;
    if timeout(CLOSING, issuer.store().close()).await.is_err() {
        tracing::warn!("the database was not closed in time; the next start recovers");
    }
    Ok(served?)
}

/// Tries until it works, where what fails may pass; not for ever.
async fn patiently<T>(
    patience: Duration,
    pause: Duration,
    mut open: impl AsyncFnMut() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let begun = Instant::now();
    let mut said = false;
    loop {
        match open().await {
            Err(error) if error.may_pass() && begun.elapsed() < patience => {
                if !said {
                    tracing::warn!(%error, "waiting up to a minute for the database");
                }
                said = true;
                sleep(pause).await;
            }
            opened => return opened,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> StoreError {
        StoreError::Open(sqlx::Error::Io(std::io::ErrorKind::ConnectionRefused.into()))
    }

    #[tokio::test]
    async fn a_database_that_restarts_is_waited_for_and_one_that_is_wrong_is_not() {
        let pause = Duration::from_millis(1);
        let mut tries = 0;
        let opened = patiently(DATABASE, pause, async || {
            tries += 1;
            if tries < 10 { Err(refused()) } else { Ok(()) }
        });
        opened.await.unwrap();
        assert_eq!(tries, 10);

        let never = patiently(20 * pause, pause, async || Err::<(), _>(refused())).await;
        assert!(never.unwrap_err().may_pass());

        let mut tries = 0;
        let wrong = patiently(DATABASE, DATABASE, async || {
            tries += 1;
            Err::<(), _>(StoreError::UnknownScheme)
        });
        assert!(matches!(wrong.await, Err(StoreError::UnknownScheme)));
        assert_eq!(tries, 1);
    }
}
