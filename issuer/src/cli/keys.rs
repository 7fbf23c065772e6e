//! `keys list`, `keys rotate`, `keys revoke`, `keys receipt`

use scrip_runtime::passphrase::passphrase;

use super::{Session, arguments::KeysCommand, error::CliError};
use crate::{
    config::{Config, ENV_PREFIX},
    epochs::Change,
    rotation::Rotation,
    schedule::{self, Schedule},
    store::Store,
};

pub(super) async fn run(session: &Session, command: KeysCommand) -> Result<(), CliError> {
    let (config, store) = session.open_store().await?;
    let shown = show_or_change(session, command, &config, &store).await;
    store.close().await;
    session.printer.schedule(&shown?)
}

async fn show_or_change(
    session: &Session,
    command: KeysCommand,
    config: &Config,
    store: &Store,
) -> Result<Schedule, CliError> {
    let change = match command {
        KeysCommand::List => return Ok(schedule::read(store, config, session.clock.now()).await?),
        KeysCommand::Rotate => Some(Change::Rotate),
        KeysCommand::Revoke { epoch } => Some(Change::Revoke { epoch }),
        KeysCommand::Receipt => None,
    };
    // What is signed here is never taken back.
    let now = session.certain(store).await?;
    let passphrase = passphrase(ENV_PREFIX, session.env.iter().cloned(), true)?;
    let rotation = Rotation::unlock(store, config, passphrase, &session.steps, &session.rng);
    let rotation = rotation.await?;
    match change {
        Some(change) => drop(rotation.change(change, now).await?),
        None => drop(rotation.change_receipt_key(now).await?),
    }
    Ok(schedule::read(store, config, now).await?)
}
