//! The program `scrip-witness`; everything is in the library.

#![forbid(unsafe_code)]

use std::{process::ExitCode, sync::Arc};

use scrip_runtime::{clock::SystemClock, config::environment, steps::Steps};

fn main() -> ExitCode {
    let args = std::env::args_os().collect();
    let env = environment().collect();
    scrip_auditor::witness::cli::main_with(args, env, Arc::new(SystemClock), Steps::none())
}
