//! The program `scrip`.
//!
//! Exit codes: 0 it worked; 1 it failed; 2 the arguments or the passphrase must be corrected first; 3 the wallet cannot pay;
//! 4 something is still open, and `scrip resume` finishes it.

mod arguments;
mod backup;
mod care;
mod doctor;
mod error;
mod evidence;
mod files;
mod manifest;
mod money;
mod output;
mod progress;
mod purchases;
mod queues;
mod session;
mod setup;
mod ways;

use std::{ffi::OsString, process::ExitCode};

use scrip_runtime::{clock::SharedClock, program, steps::Steps};

use self::{
    arguments::{Arguments, Command, QueueCommand, RelayCommand},
    error::CliError,
    session::Session,
};

/// Runs the program: parses `args` (the program's name first), does what they say and returns the exit code. `env` is the
/// environment: `SCRIP_WALLET`, `SCRIP_PASSPHRASE_FILE`, `SCRIP_PASSPHRASE`, `SCRIP_PROXY`, `SCRIP_PROXY_BUY`,
/// `SCRIP_PROXY_SPEND`, `SCRIP_CA_FILE`, `HOME` and `XDG_DATA_HOME` are read from it.
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
    let Arguments { common, command } = arguments;
    let result = Session::new(common, env, clock, steps)
        .and_then(|session| runtime.block_on(run(&session, command)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error::report(&error),
    }
}

async fn run(session: &Session, command: Command) -> Result<(), CliError> {
    match command {
        Command::Init(arguments) => setup::init(session, arguments).await,
        Command::Restore(arguments) => setup::restore(session, arguments).await,
        Command::Doctor(arguments) => doctor::doctor(session, arguments).await,
        Command::Backup { file, force } => backup::backup(session, &file, force).await,
        Command::Settings(arguments) => setup::settings(session, arguments).await,
        Command::Relay(RelayCommand::Add { address }) => setup::add_relay(session, &address).await,
        Command::Relay(RelayCommand::List) => setup::list_relays(session).await,
        Command::Relay(RelayCommand::Remove { relay }) => {
            setup::remove_relay(session, &relay).await
        }
        Command::Relay(RelayCommand::Forgive { relay }) => {
            setup::forgive_relay(session, &relay).await
        }
        Command::Relay(RelayCommand::Evidence { relay, output }) => {
            evidence::of_relay(session, &relay, output.as_deref()).await
        }
        Command::Witness(command) => manifest::witness(session, command).await,
        Command::Manifest => manifest::show(session).await,
        Command::Buy(arguments) => purchases::buy(session, arguments).await,
        Command::Offer => purchases::offer(session).await,
        Command::Order(arguments) => purchases::order(session, arguments).await,
        Command::Balance => money::balance(session).await,
        Command::History => money::history(session).await,
        Command::Resume => money::resume(session).await,
        Command::Check(arguments) => care::check(session, arguments).await,
        Command::Renew => care::renew(session).await,
        Command::Evidence { all, output } => {
            evidence::of_vendor(session, all, output.as_deref()).await
        }
        Command::Restock(arguments) => purchases::restock(session, arguments).await,
        Command::Tend => care::tend_alone(session).await,
        Command::Privacy { level } => setup::privacy(session, level).await,
        Command::Leases(arguments) => money::leases(session, arguments).await,
        Command::Extend(arguments) => money::extend(session, arguments).await,
        Command::Queue(QueueCommand::Create(arguments)) => queues::create(session, arguments).await,
        Command::Queue(QueueCommand::Send { link, text }) => {
            queues::send(session, &link, text).await
        }
        Command::Queue(QueueCommand::Receive { queue, all }) => {
            queues::receive(session, &queue, all).await
        }
        Command::Queue(QueueCommand::Delete { queue }) => queues::delete(session, &queue).await,
        Command::Queue(QueueCommand::List) => queues::list(session).await,
        Command::Put(arguments) => files::put(session, arguments).await,
        Command::Get(arguments) => files::get(session, arguments).await,
        Command::Files => files::list(session).await,
    }
}

#[cfg(test)]
mod tests;
