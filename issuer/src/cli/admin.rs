//! `admin token create`, `admin token list`, `admin token revoke`, `log`

use super::{Session, arguments::TokenCommand, error::CliError};
use crate::{
    admin::access,
    config::Config,
    store::{AdminTokenRow, Store},
};

pub(super) async fn run(session: &Session, command: TokenCommand) -> Result<(), CliError> {
    let (config, store) = session.open_store().await?;
    let done = match command {
        TokenCommand::Create { name, valid_days } => {
            create(session, &config, &store, &name, valid_days).await
        }
        TokenCommand::List => list(session, &store).await,
        TokenCommand::Revoke { name } => revoke(session, &store, &name).await,
    };
    store.close().await;
    done
}

async fn create(
    session: &Session,
    config: &Config,
    store: &Store,
    name: &str,
    valid_days: u32,
) -> Result<(), CliError> {
    let mut rng = (session.rng)();
    let (now, rng) = (session.clock.now(), &mut &mut *rng);
    let (token, row) = access::create_token(store, name, valid_days, now, rng).await?;
    session.printer.admin_token(&token, &row, &page(config))
}

async fn list(session: &Session, store: &Store) -> Result<(), CliError> {
    let tokens: Vec<AdminTokenRow> = store.admin_tokens().await?;
    session.printer.admin_tokens(&tokens, session.clock.now())
}

async fn revoke(session: &Session, store: &Store, name: &str) -> Result<(), CliError> {
    access::revoke_token(store, name, session.clock.now()).await?;
    list(session, store).await
}

pub(super) async fn log(session: &Session, last: u16) -> Result<(), CliError> {
    let (_, store) = session.open_store().await?;
    let entries = store.admin_log(None, last).await;
    store.close().await;
    session.printer.admin_log(&entries?)
}

fn page(config: &Config) -> String {
    let scheme = if config.has_tls() { "https" } else { "http" };
    format!("{scheme}://{}/admin", config.authority())
}
