//! `scrip-demo`: a vendor, two relays and wallets do real work with a real file, on this machine.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use scrip_tests::demo::{self, Options};

/// Tells the story of scrip on this machine: buys with a voucher, passes messages, stores a file on two relays, pays while the vendor
/// is down, redeems, and finds a certificate that was spent twice.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The file to store; one of 6 MiB is made where none is given
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Print a summary as JSON, and nothing else
    #[arg(long)]
    json: bool,
    /// Leave the network up at the end, and print commands to play with it
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let options = Options { file: arguments.file, quiet: arguments.json, keep: arguments.keep };
    let runtime = match scrip_runtime::program::runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(demo::run(options)) {
        Ok(summary) if arguments.json => match serde_json::to_string_pretty(&summary) {
            Ok(json) => {
                println!("{json}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("error: the summary is no JSON: {error}");
                ExitCode::FAILURE
            }
        },
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
