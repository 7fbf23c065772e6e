//! The command line.

mod arguments;
mod earnings;
mod error;
mod init;
mod print;
mod start;

use std::{ffi::OsString, path::PathBuf, process::ExitCode, sync::Arc};

#[expect(
    clippy::disallowed_types,
    reason = "the entry point of the program: from here on it is a parameter"
)]
use rand_core::OsRng;
use scrip_runtime::{
    clock::SharedClock, passphrase::passphrase, program, random::RngFactory, steps::Steps,
};

use self::{
    arguments::{Arguments, ClockCommand, Command},
    error::CliError,
    print::Printer,
};
use crate::{
    config::{Config, ENV_PREFIX, FILE_NAME},
    relay::Relay,
    report,
};

/// Runs the program: parses `args` (the program's name first), does what they say and returns the exit code: 0 where it
/// worked, 1 where it failed, 2 where the arguments or the configuration are wrong, 3 where a vendor's books differ. `env` is the
/// environment.
pub fn main_with(
    args: Vec<OsString>,
    env: Vec<(String, String)>,
    clock: SharedClock,
    steps: Steps,
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
        rng: Arc::new(|| Box::new(OsRng)),
        printer: Printer { json: arguments.json },
    };
    match runtime.block_on(session.run(arguments.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error::report(&error),
    }
}

/// What every command needs.
struct Session {
    directory: PathBuf,
    env: Vec<(String, String)>,
    clock: SharedClock,
    steps: Steps,
    rng: RngFactory,
    printer: Printer,
}

impl Session {
    async fn run(self, command: Command) -> Result<(), CliError> {
        match command {
            Command::Init(arguments) => init::run(&self, arguments).await,
            Command::Start => start::run(&self).await,
            Command::Status => {
                let status = report::status(&self.config()?, self.clock.now()).await?;
                self.printer.status(&status)
            }
            Command::Earnings(arguments) => earnings::run(&self, &arguments).await,
            Command::Receipts(command) => earnings::receipts(&self, &command).await,
            Command::Dispute(command) => earnings::dispute(&self, &command).await,
            Command::Conflicts => {
                self.printer.conflicts(&report::conflicts(&self.config()?).await?)
            }
            Command::Redeem => self.redeem().await,
            Command::AcceptLoss => {
                let lost = Relay::accept_loss(&self.config()?, self.clock.now()).await?;
                self.printer.accepted_loss(&lost)
            }
            Command::Clock(command) => {
                if let ClockCommand::Confirm { day } = &command {
                    report::confirm_clock(&self.config()?, day, self.clock.now())?;
                }
                self.printer.clock(&report::clock(&self.config()?, self.clock.now())?)
            }
            Command::Key => self.printer.key(&report::operator_key(&self.config()?)?),
            Command::Address => self.printer.address(&report::address(&self.config()?)?),
        }
    }

    async fn redeem(&self) -> Result<(), CliError> {
        let relay = self.open().await?;
        relay.refresh_manifests().await;
        let redeemed = relay.redeem_now().await;
        relay.close().await;
        let redeemed = redeemed?;
        self.printer.redeemed(&redeemed)?;
        if redeemed.unanswered.is_empty() {
            return Ok(());
        }
        let reasons: Vec<String> = redeemed
            .unanswered
            .iter()
            .map(|(vendor, error)| format!("{vendor}: {error}"))
            .collect();
        Err(CliError::Unanswered { reasons: reasons.join("; ") })
    }

    async fn open(&self) -> Result<Relay, CliError> {
        let config = self.config()?;
        let passphrase = passphrase(ENV_PREFIX, self.env.iter().cloned(), true)?;
        let (clock, steps, rng) = (self.clock.clone(), self.steps.clone(), self.rng.clone());
        Ok(Relay::open(config, passphrase, clock, steps, rng).await?)
    }

    fn config_path(&self) -> PathBuf {
        self.directory.join(FILE_NAME)
    }

    fn config(&self) -> Result<Config, CliError> {
        let path = self.config_path();
        if !path.exists() {
            return Err(CliError::NoConfig { path });
        }
        Ok(Config::read(&path, self.env.iter().cloned())?)
    }
}
