//! What every program begins with.

use std::{ffi::OsString, io, process::ExitCode};

use clap::Parser;
use tokio::runtime::{Builder, Runtime};

/// The system gave no threads to the program.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the runtime: {0}; raise the limit of processes")]
pub struct RuntimeError(#[source] io::Error);

/// Parses the arguments, the program's name first. What is wrong with them, or the help that they ask for, is printed.
///
/// # Errors
///
/// The exit code: 2 where they are wrong, 0 after help.
pub fn arguments<A: Parser>(args: Vec<OsString>) -> Result<A, ExitCode> {
    A::try_parse_from(args).map_err(|error| {
        let _ = error.print(); // there is nowhere else to say it
        ExitCode::from(if error.use_stderr() { 2 } else { 0 })
    })
}

/// Threads for the program's tasks.
///
/// # Errors
///
/// [`RuntimeError`].
pub fn runtime() -> Result<Runtime, RuntimeError> {
    Builder::new_multi_thread().enable_all().build().map_err(RuntimeError)
}
