//! The command line of `scrip-witness`.

use std::{ffi::OsString, io::Write as _, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
#[expect(
    clippy::disallowed_types,
    reason = "the entry point of the program: from here on it is a parameter"
)]
use rand_core::OsRng;
use scrip_protocol::tlog::note::{Algorithm, KeyName, VerifierKey};
use scrip_runtime::{
    clock::SharedClock,
    files::{FileError, create_private_dir, write_new_private},
    log::{self, LogError},
    passphrase::{PassphraseError, new_passphrase, passphrase},
    program::{self, RuntimeError},
    sealed::SealParams,
    serve::{ServeError, bind},
    signals,
    steps::Steps,
    tasks::Tasks,
};

use super::config::{ENV_PREFIX, FILE_NAME, template};
use super::{BadConfig, Config, StateError, Witness, identity, router};

/// Cosigns the checkpoints of logs that only grow.
#[derive(Debug, Parser)]
#[command(
    name = "scrip-witness",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong arguments or configuration."
)]
struct Arguments {
    /// The witness's directory, with witness.toml in it.
    #[arg(long, global = true, value_name = "DIR", default_value = "witness-data")]
    dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a witness: its key and its configuration. Prints the key for logs, relays and auditors.
    Init {
        /// The witness's name, by custom a URL without its scheme: witness.example/w1
        #[arg(long)]
        name: KeyName,
        /// Where to listen [default: 127.0.0.1:7700].
        #[arg(long, value_name = "IP:PORT")]
        listen: Option<SocketAddr>,
    },
    /// Print the key for logs, relays and auditors.
    Key,
    /// Cosign until SIGTERM or Ctrl-C.
    Start,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(
        "there is no {path}; run `scrip-witness init` first, or give the witness's directory with --dir"
    )]
    NoConfig { path: PathBuf },
    #[error(transparent)]
    Config(#[from] BadConfig),
    #[error("no log to watch; add a [[logs]] entry to {path}")]
    NoLogs { path: PathBuf },
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Identity(#[from] identity::IdentityError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("cannot write the output: {0}")]
    Output(#[source] std::io::Error),
}

/// Runs the program: parses `args` (the program's name first), does what they say and returns the exit code. `env` is the environment.
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
    let session = Session { directory: arguments.dir, env, clock, steps };
    let done = match arguments.command {
        Command::Init { name, listen } => session.init(&name, listen),
        Command::Key => session.key(),
        Command::Start => session.start(),
    };
    let Err(error) = done else { return ExitCode::SUCCESS };
    program::complain(&error);
    ExitCode::from(match error {
        CliError::NoConfig { .. }
        | CliError::Config(_)
        | CliError::NoLogs { .. }
        | CliError::Passphrase(_)
        | CliError::Log(_)
        | CliError::Serve(ServeError::PlainHttp { .. }) => 2,
        _ => 1,
    })
}

struct Session {
    directory: PathBuf,
    env: Vec<(String, String)>,
    clock: SharedClock,
    steps: Steps,
}

impl Session {
    fn init(&self, name: &KeyName, listen: Option<SocketAddr>) -> Result<(), CliError> {
        let passphrase = new_passphrase(ENV_PREFIX, self.env.iter().cloned())?;
        create_private_dir(&self.directory)?;
        let path = self.directory.join(FILE_NAME);
        if path.exists() {
            return Err(FileError::Exists { path }.into());
        }
        let params = SealParams::interactive();
        let key = match identity::create(&self.directory, &passphrase, params, &mut OsRng) {
            // An attempt before this one ended between the two files.
            Err(identity::IdentityError::Write(FileError::Exists { .. })) => {
                identity::unseal(&self.directory, &passphrase)?
            }
            made => made?,
        };
        write_new_private(&path, template(name, listen).as_bytes())?;
        print(&VerifierKey::new(name.clone(), Algorithm::CosignatureV1, key.public()).to_string())
    }

    fn key(&self) -> Result<(), CliError> {
        let (config, key) = self.open()?;
        print(&VerifierKey::new(config.name, Algorithm::CosignatureV1, key.public()).to_string())
    }

    fn start(&self) -> Result<(), CliError> {
        let _logging = log::init(ENV_PREFIX)?;
        let (config, key) = self.open()?;
        if config.logs.is_empty() {
            return Err(CliError::NoLogs { path: self.directory.join(FILE_NAME) });
        }
        let witness = Witness::open(&config, key, self.clock.clone(), self.steps.clone())?;
        program::runtime()?.block_on(async {
            let bound = bind(&config.listen()).await?;
            let scheme = if config.tls.is_some() { "https" } else { "http" };
            let listening =
                print(&format!("scrip-witness listening on {scheme}://{}", bound.address()));
            if let Err(error) = listening {
                // Nobody has to hear of it: it serves all the same.
                tracing::warn!(%error, "listening");
            }
            let shutdown = signals::terminated();
            Tasks::new().serve(bound, router(witness), config.limits(), shutdown).await?;
            Ok(())
        })
    }

    fn open(&self) -> Result<(Config, scrip_protocol::keys::SigningKey), CliError> {
        let path = self.directory.join(FILE_NAME);
        if !path.exists() {
            return Err(CliError::NoConfig { path });
        }
        let config = Config::read(&path, self.env.iter().cloned())?;
        let passphrase = passphrase(ENV_PREFIX, self.env.iter().cloned(), true)?;
        let key = identity::unseal(&config.data_dir, &passphrase)?;
        Ok((config, key))
    }
}

fn print(line: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(CliError::Output)
}
