//! `init`

use std::path::Path;

use scrip_protocol::{address::VendorAddress, id::VendorId};
use scrip_runtime::{
    files::{create_private_dir, write_new_private},
    passphrase::new_passphrase,
    sealed::SealParams,
};

use super::{Session, arguments::InitArguments, error::CliError};
use crate::{
    config::{self, Config, ENV_PREFIX},
    init::InitOptions,
    issuer::Issuer,
};

pub(super) async fn run(session: &Session, arguments: InitArguments) -> Result<(), CliError> {
    let passphrase = new_passphrase(ENV_PREFIX, session.env.iter().cloned())?;
    create_private_dir(&session.directory)?;
    let path = session.config_path();
    let issuer_name = arguments.name.clone();
    let written = write_config(&path, arguments)?;
    let made = async {
        let config = session.config()?;
        check_authority(&config)?;
        let options = InitOptions { config, issuer_name, seal_params: SealParams::interactive() };
        let mut rng = (session.rng)();
        Ok(Issuer::init(&options, &passphrase, &*session.clock, &mut &mut *rng).await?)
    };
    let made: Result<VendorAddress, CliError> = made.await;
    if made.is_err() && written {
        // So that `init` can be run again with other options; a file that cannot be removed is reported then.
        let _ = std::fs::remove_file(&path);
    }
    session.printer.initialised(&made?, &session.directory)
}

/// Writes the configuration, unless the operator prepared one, or the same `init` was interrupted; returns whether it was written.
fn write_config(path: &Path, arguments: InitArguments) -> Result<bool, CliError> {
    let InitArguments { listen, database, name: _, public_authority } = arguments;
    let has_options = listen.is_some() || database.is_some() || public_authority.is_some();
    if path.exists() && !has_options {
        return Ok(false);
    }
    let directory = path.parent().unwrap_or(Path::new("."));
    // Absolute, so that the issuer finds it wherever it is started.
    let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let database = match database {
        Some(url) => url,
        None => {
            let file = directory.join("issuer.db");
            if !file.exists() && !path.exists() {
                write_new_private(&file, b"")?; // an empty file is an empty database
            }
            config::sqlite_url(&file)
        }
    };
    let listen = listen.unwrap_or(Config::new("").listen);
    let text = config::template(listen, public_authority.as_deref(), &database);
    if path.exists() {
        let is_same = std::fs::read(path).is_ok_and(|there| there == text.as_bytes());
        return if is_same { Ok(false) } else { Err(CliError::ConfigExists { path: path.into() }) };
    }
    write_new_private(path, text.as_bytes())?;
    Ok(true)
}

/// The authority becomes part of an address that others must be able to read. Where it is taken from `listen`, it is;
/// with port 0 too, which stands for a port that `start` prints.
fn check_authority(config: &Config) -> Result<(), CliError> {
    let Some(authority) = config.public_authority.clone() else { return Ok(()) };
    let address = VendorAddress { id: VendorId::from_bytes([0; 32]), authority: authority.clone() };
    let readable = address.to_string().parse::<VendorAddress>().is_ok();
    if readable { Ok(()) } else { Err(CliError::Authority { authority }) }
}
