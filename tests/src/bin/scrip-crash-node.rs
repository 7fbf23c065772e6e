//! One program of the network, to be killed at a chosen step: `scrip-crash-node issuer|relay|wallet|witness ARGUMENTS…`.
//!
//! With `SCRIP_CRASH_AT=STEP` it stops for good when it reaches the step (every `SCRIP_CRASH_SKIP` + 1st time), after it has written a line
//! to the file `SCRIP_CRASH_MARK`; the test then sends SIGKILL. With `SCRIP_CRASH_PANIC` what takes the step panics instead. The programs themselves have no such switch: they take an observer of
//! their durable steps, and only this binary gives them one. In the same way `SCRIP_CRASH_APP_STORE` names the root certificate of an App
//! Store of tests, which the issuer trusts, and with `SCRIP_CRASH_CLOCK` it is always that second since 1970.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use scrip_issuer::sources::Sources;
use scrip_protocol::time::UnixSeconds;
use scrip_runtime::clock::{ManualClock, SharedClock, SystemClock};
use scrip_runtime::config::environment;
use scrip_runtime::steps::Steps;
use scrip_tests::network::app_store;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let role = args.next().unwrap_or_default();
    let program: Vec<OsString> = std::iter::once(role.clone()).chain(args).collect();
    let env: Vec<(String, String)> = environment().collect();
    let stopped = std::env::var("SCRIP_CRASH_CLOCK").ok().and_then(|n| n.parse().ok());
    let clock: SharedClock = match stopped {
        Some(second) => Arc::new(ManualClock::new(UnixSeconds(second))),
        None => Arc::new(SystemClock),
    };
    match role.to_str() {
        Some("issuer") => {
            scrip_issuer::cli::main_with_sources(program, env, clock, steps(), sources())
        }
        Some("relay") => scrip_relay::cli::main_with(program, env, clock, steps()),
        Some("wallet") => scrip_wallet::cli::main_with(program, env, clock, steps()),
        Some("witness") => scrip_auditor::witness::cli::main_with(program, env, clock, steps()),
        _ => {
            eprintln!("usage: scrip-crash-node issuer|relay|wallet|witness ARGUMENTS");
            ExitCode::from(2)
        }
    }
}

fn sources() -> Sources {
    let mut sources = Sources::default();
    if let Some(root) = std::env::var_os("SCRIP_CRASH_APP_STORE") {
        match std::fs::read(&root) {
            Ok(root) => sources.add(app_store(root)),
            Err(error) => eprintln!("{}: {error}", root.display()),
        }
    }
    sources
}

fn steps() -> Steps {
    let Ok(wanted) = std::env::var("SCRIP_CRASH_AT") else { return Steps::none() };
    let skip: usize =
        std::env::var("SCRIP_CRASH_SKIP").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let mark = std::env::var_os("SCRIP_CRASH_MARK").unwrap_or_default();
    let panics = std::env::var_os("SCRIP_CRASH_PANIC").is_some();
    let seen = AtomicUsize::new(0);
    Steps::observe(move |step| {
        if step == wanted && seen.fetch_add(1, Ordering::SeqCst) >= skip {
            assert!(!panics, "a fault of a test at {step}");
            // The parent waits for this file and kills the process; nothing runs on from here.
            let _ = std::fs::write(&mark, step);
            loop {
                std::thread::park();
            }
        }
    })
}
