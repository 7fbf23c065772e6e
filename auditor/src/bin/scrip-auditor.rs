//! The program `scrip-auditor`; everything is in the library.

#![forbid(unsafe_code)]

use std::{process::ExitCode, sync::Arc};

use scrip_runtime::clock::SystemClock;

fn main() -> ExitCode {
    scrip_auditor::cli::main_with(std::env::args_os().collect(), Arc::new(SystemClock))
}
