//! The command line.

mod admin;
mod arguments;
mod database;
mod error;
mod init;
mod keys;
mod ledger;
mod print;
mod selling;
mod start;
mod statements;

use std::{ffi::OsString, path::PathBuf, process::ExitCode, sync::Arc};

#[expect(clippy::disallowed_types, reason = "this is the entry point of the program")]
use rand_core::OsRng;
use scrip_protocol::{keys::PublicKey, time::UnixSeconds};
use scrip_runtime::{
    clock::SharedClock, config, plausible::Reading, program, random::RngFactory, steps::Steps,
};

use self::{
    arguments::{
        AdminCommand, Arguments, ClockCommand, Command, DatabaseCommand, ListedArguments,
        OperatorCommand,
    },
    error::CliError,
    print::Printer,
};
use crate::{
    alerts, believed,
    config::{Config, ENV_PREFIX, FILE_NAME},
    ledger::{LedgerError, Storage, belief, beside},
    operators,
    sources::Sources,
    status,
    store::{Act, Doubt, NewOperator, Store},
};

/// Under which name commands mark what they write.
const COMMANDS: [u8; 16] = [1; 16];

/// Runs the program: parses `args` (the program's name first), does what they say and returns the exit code: 0 where it
/// worked, 1 where it failed, 2 where the arguments or the configuration are wrong. `env` is the environment.
pub fn main_with(
    args: Vec<OsString>,
    env: Vec<(String, String)>,
    clock: SharedClock,
    steps: Steps,
) -> ExitCode {
    run(args, env, clock, steps, Sources::default())
}

/// The same, with other sources besides those of the configuration: for the programs of tests.
#[cfg(feature = "testing")]
pub fn main_with_sources(
    args: Vec<OsString>,
    env: Vec<(String, String)>,
    clock: SharedClock,
    steps: Steps,
    sources: Sources,
) -> ExitCode {
    run(args, env, clock, steps, sources)
}

fn run(
    args: Vec<OsString>,
    env: Vec<(String, String)>,
    clock: SharedClock,
    steps: Steps,
    sources: Sources,
) -> ExitCode {
    let arguments: Arguments = match program::arguments(args) {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let runtime = match program::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return error::report(&error.into()),
    };
    let session = Session {
        directory: arguments.dir,
        env,
        clock,
        steps,
        rng: system_rng(),
        sources,
        printer: Printer { json: arguments.json },
    };
    match runtime.block_on(session.run(arguments.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error::report(&error),
    }
}

/// The operating system's generator, which the whole program draws from.
fn system_rng() -> RngFactory {
    Arc::new(|| Box::new(OsRng))
}

/// What every command needs.
struct Session {
    directory: PathBuf,
    env: Vec<(String, String)>,
    clock: SharedClock,
    steps: Steps,
    rng: RngFactory,
    sources: Sources,
    printer: Printer,
}

impl Session {
    async fn run(self, command: Command) -> Result<(), CliError> {
        match command {
            Command::Init(arguments) => init::run(&self, arguments).await,
            Command::Start => start::run(&self).await,
            Command::Voucher(command) => selling::vouchers(&self, command).await,
            Command::Refund(arguments) => selling::refund(&self, &arguments).await,
            Command::Operator(OperatorCommand::Add { name, key, listed }) => {
                self.add_operator(&name, &key, &listed).await
            }
            Command::Operator(OperatorCommand::Address { name, listed }) => {
                self.list_operator(&name, &listed).await
            }
            Command::Operator(OperatorCommand::List) => self.list_operators().await,
            Command::Operator(
                command @ (OperatorCommand::Contract { .. } | OperatorCommand::Contracts { .. }),
            ) => statements::contracts(&self, command).await,
            Command::Statement(command) => statements::run(&self, command).await,
            Command::Keys(command) => keys::run(&self, command).await,
            Command::Status => self.status().await,
            Command::Clock(command) => self.clock(&command).await,
            Command::Address => self.address().await,
            Command::Admin(AdminCommand::Token(command)) => admin::run(&self, command).await,
            Command::Auditor(command) => ledger::auditors(&self, command).await,
            Command::Ledger(command) => ledger::ledger(&self, command).await,
            Command::Database(DatabaseCommand::Accept { with_losses }) => {
                database::accept(&self, with_losses).await
            }
            Command::Log { last } => admin::log(&self, last).await,
        }
    }

    async fn add_operator(
        &self,
        name: &str,
        key: &PublicKey,
        listed: &ListedArguments,
    ) -> Result<(), CliError> {
        let (_, store) = self.open_store().await?;
        let new =
            NewOperator { name, key, addresses: &listed.addresses, classes: listed.classes() };
        let added = operators::add(&store, new, Act::COMMAND_LINE, &*self.clock).await;
        store.close().await;
        self.printer.operator_added(name, &added?)
    }

    async fn list_operator(&self, name: &str, listed: &ListedArguments) -> Result<(), CliError> {
        let (_, store) = self.open_store().await?;
        let (addresses, classes) = (&listed.addresses, listed.classes());
        let actor = Act::COMMAND_LINE;
        let set = operators::list(&store, name, addresses, classes, actor, &*self.clock).await;
        let operators = store.operators().await;
        store.close().await;
        set?;
        self.printer.operators(&operators?)
    }

    async fn list_operators(&self) -> Result<(), CliError> {
        let (_, store) = self.open_store().await?;
        let operators = store.operators().await;
        store.close().await;
        self.printer.operators(&operators?)
    }

    async fn status(&self) -> Result<(), CliError> {
        let (config, store) = self.open_store().await?;
        let now = self.clock.now();
        let status = status::read(&store, &config, now).await;
        let doubt = believed::doubt(&store, &self.clock).await;
        let alerts = match doubt {
            Ok(doubt) => alerts::read(&store, &config, now, doubt).await,
            Err(error) => Err(error.into()),
        };
        store.close().await;
        self.printer.status(&status?, &alerts?)
    }

    async fn clock(&self, command: &ClockCommand) -> Result<(), CliError> {
        let (_, store) = self.open_store().await?;
        let done = self.show_or_confirm(&store, command).await;
        store.close().await;
        self.printer.clock(&done?)
    }

    async fn show_or_confirm(
        &self,
        store: &Store,
        command: &ClockCommand,
    ) -> Result<Reading, CliError> {
        if let ClockCommand::Confirm { day } = command {
            believed::confirm(store, day, &*self.clock).await?;
        }
        Ok(believed::of(store, &self.clock).await?.read())
    }

    /// The time, for what is signed and dated for good.
    async fn certain(&self, store: &Store) -> Result<UnixSeconds, CliError> {
        Ok(believed::of(store, &self.clock).await?.certain()?)
    }

    async fn address(&self) -> Result<(), CliError> {
        let (config, store) = self.open_store().await?;
        let found = store.manifest().await;
        store.close().await;
        let (id, _) = found?;
        let authority = config.authority();
        self.printer.address(&scrip_protocol::address::VendorAddress { id, authority })
    }

    fn config_path(&self) -> PathBuf {
        self.directory.join(FILE_NAME)
    }

    fn config(&self) -> Result<Config, CliError> {
        let path = self.config_path();
        if !path.exists() {
            return Err(CliError::NoConfig { path });
        }
        let mut config: Config = config::load(&path, ENV_PREFIX, self.env.iter().cloned())?;
        let ledger = || self.directory.join("ledger").to_string_lossy().into_owned();
        config.ledger.store.get_or_insert_with(ledger);
        Ok(config)
    }

    /// The configuration and the database of an issuer that `init` made.
    async fn open_store(&self) -> Result<(Config, Store), CliError> {
        let config = self.config()?;
        let store = Store::open(&config.database, config.database_connections, false).await?;
        // What a command writes to a database that is not to be believed would be lost.
        let store = store.remembering(COMMANDS);
        let storage = Storage::open(&config.ledger, beside(&config.database).as_deref());
        let doubt = match storage {
            Ok(storage) => belief::doubt_of(&store, &storage).await,
            Err(_) => Ok(Some(Doubt::Unread)),
        };
        let doubt = match doubt {
            Ok(doubt) => doubt,
            Err(LedgerError::Store(error)) => return Err(error.into()),
            Err(_) => Some(Doubt::Unread),
        };
        if let Some(memory) = store.memory() {
            memory.set_doubt(doubt);
        }
        Ok((config, store))
    }
}
