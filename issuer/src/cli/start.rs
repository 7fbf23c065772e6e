//! `start`

use scrip_runtime::{log, passphrase::passphrase, signals};

use super::{Session, error::CliError};
use crate::{config::ENV_PREFIX, issuer::Issuer};

pub(super) async fn run(session: &Session) -> Result<(), CliError> {
    log::init(ENV_PREFIX)?;
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
    session.printer.listening(scheme, bound.address())?;
    issuer.serve(bound, signals::terminated()).await?;
    issuer.store().close().await;
    Ok(())
}
