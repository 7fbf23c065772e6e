//! The command line of `scrip-auditor`.

mod arguments;
mod audit;
mod error;
mod solvency;

use std::{ffi::OsString, process::ExitCode, sync::Arc};

#[expect(
    clippy::disallowed_types,
    reason = "the entry point of the program: from here on it is a parameter"
)]
use rand_core::OsRng;
use scrip_runtime::{clock::SharedClock, program, random::RngFactory};

use self::arguments::{Arguments, Command};

/// Runs the program: parses `args` (the program's name first), does what they say and returns the exit code, which `--help` explains.
pub fn main_with(args: Vec<OsString>, clock: SharedClock) -> ExitCode {
    let arguments: Arguments = match program::arguments(args) {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let rng: RngFactory = Arc::new(|| Box::new(OsRng));
    let done = match arguments.command {
        Command::Audit(audit) => audit::run(*audit, clock.now(), rng, arguments.json),
        Command::Solvency(solvency) => solvency::run(solvency, &rng, arguments.json),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            program::complain(&error);
            ExitCode::from(error.exit_code())
        }
    }
}
