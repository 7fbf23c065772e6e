//! `init`

use std::path::Path;

use scrip_runtime::{
    files::{create_private_dir, write_new_private},
    passphrase::new_passphrase,
    sealed::SealParams,
};

use super::{Session, arguments::InitArguments, error::CliError, print::Initialisation};
use crate::{
    config::{self, Config, ENV_PREFIX},
    relay::{InitOptions, Relay},
};

pub(super) async fn run(session: &Session, arguments: InitArguments) -> Result<(), CliError> {
    let passphrase = new_passphrase(ENV_PREFIX, session.env.iter().cloned())?;
    create_private_dir(&session.directory)?;
    let path = session.config_path();
    let written = write_config(&path, arguments)?;
    let made = async {
        let config = session.config()?;
        let options = InitOptions { config, seal_params: SealParams::interactive() };
        let mut rng = (session.rng)();
        let made = Relay::init(&options, &passphrase, &mut &mut *rng).await?;
        Ok(Initialisation { made, name: options.config.name })
    };
    let made: Result<Initialisation, CliError> = made.await;
    if made.is_err() && written {
        // So that `init` can be run again with other options; a file that cannot be removed is reported then.
        let _ = std::fs::remove_file(&path);
    }
    session.printer.initialised(&made?, &session.directory)
}

/// Writes the configuration, unless the operator prepared one, or the same `init` was interrupted; returns whether it was written.
fn write_config(path: &Path, arguments: InitArguments) -> Result<bool, CliError> {
    let InitArguments { vendor, listen, name, public_authority } = arguments;
    let has_options =
        !vendor.is_empty() || listen.is_some() || name.is_some() || public_authority.is_some();
    let there = std::fs::read(path).ok();
    if path.exists() && !has_options {
        return Ok(false);
    }
    let default = Config::new(".", []);
    let name = name.unwrap_or(default.name);
    let listen = listen.unwrap_or(default.listen);
    let text = config::template(&name, listen, public_authority.as_deref(), &vendor);
    if path.exists() {
        let is_same = there.is_some_and(|there| there == text.as_bytes());
        return if is_same { Ok(false) } else { Err(CliError::ConfigExists { path: path.into() }) };
    }
    if vendor.is_empty() {
        return Err(CliError::NoVendor);
    }
    write_new_private(path, text.as_bytes())?;
    Ok(true)
}
