//! `start`

use std::time::Duration;

use scrip_runtime::{log, passphrase::passphrase, signals};
use tokio::time::timeout;

use super::{Session, error::CliError};
use crate::{config::ENV_PREFIX, issuer::Issuer};

/// How long closing the database may take.
const CLOSING: Duration = Duration::from_secs(30);

pub(super) async fn run(session: &Session) -> Result<(), CliError> {
    let _logging = log::init(ENV_PREFIX)?;
    let config = session.config()?;
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
