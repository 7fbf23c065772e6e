//! What every program begins with.

use std::{
    any::TypeId,
    ffi::OsString,
    io::{self, Write as _},
    process::ExitCode,
    sync::mpsc,
    time::Duration,
};

use clap::{Arg, Command, Parser};
use scrip_protocol::{
    id::{OperatorId, VendorId},
    keys::PublicKey,
};
use tokio::runtime::{Builder, Runtime};

/// How long saying what failed may take.
const COMPLAINING: Duration = Duration::from_secs(1);

/// The system gave no threads to the program.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the runtime: {0}; raise the limit of processes")]
pub struct RuntimeError(#[source] io::Error);

/// Tells standard error what failed. Where that takes nothing, nobody waits for it.
pub fn complain(error: &dyn std::fmt::Display) {
    let line = format!("error: {error}\n");
    let (done, said) = mpsc::channel();
    let say = move || {
        let _ = io::stderr().write_all(line.as_bytes()); // there is nowhere else to say it
        let _ = done.send(());
    };
    let _ = std::thread::Builder::new().spawn(say); // nor where there is no thread
    let _ = said.recv_timeout(COMPLAINING);
}

/// Parses the arguments, the program's name first. What is wrong with them, or the help that they ask for, is printed.
///
/// # Errors
///
/// The exit code: 2 where they are wrong, 0 after help.
pub fn arguments<A: Parser>(args: Vec<OsString>) -> Result<A, ExitCode> {
    parse(args).map_err(|error| {
        let _ = error.print(); // there is nowhere else to say it
        ExitCode::from(if error.use_stderr() { 2 } else { 0 })
    })
}

fn parse<A: Parser>(args: Vec<OsString>) -> Result<A, clap::Error> {
    let matches = with_ids(A::command()).try_get_matches_from(args)?;
    A::from_arg_matches(&matches)
}

/// The command, with ids and keys taken as they are: one of 64 begins with a hyphen, as base64url has it.
fn with_ids(command: Command) -> Command {
    let id = |argument: &Arg| {
        let value = argument.get_value_parser().type_id();
        [TypeId::of::<VendorId>(), TypeId::of::<OperatorId>(), TypeId::of::<PublicKey>()]
            .iter()
            .any(|id| value == *id)
    };
    command
        .mut_args(|argument| {
            let hyphens = argument.is_allow_hyphen_values_set() || id(&argument);
            argument.allow_hyphen_values(hyphens)
        })
        .mut_subcommands(with_ids)
}

/// Threads for the program's tasks.
///
/// # Errors
///
/// [`RuntimeError`].
pub fn runtime() -> Result<Runtime, RuntimeError> {
    Builder::new_multi_thread().enable_all().build().map_err(RuntimeError)
}

#[cfg(test)]
mod tests {
    use clap::Subcommand;
    use scrip_protocol::keys::SigningKey;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(subcommand)]
        command: Inner,
    }

    #[derive(Debug, Subcommand)]
    enum Inner {
        Show {
            #[arg(long)]
            vendor: Option<VendorId>,
            #[arg(long)]
            key: Option<PublicKey>,
            #[arg(long)]
            name: Option<String>,
            operator: Option<OperatorId>,
        },
    }

    fn parsed(args: &[&str]) -> Result<Inner, clap::Error> {
        let args = ["program", "show"].iter().chain(args).map(OsString::from).collect();
        parse::<Program>(args).map(|program| program.command)
    }

    #[test]
    fn an_id_may_begin_with_a_hyphen() {
        let bytes = [0xf8; 32]; // -Pj4...
        let [vendor, operator] =
            [VendorId::from_bytes(bytes).to_string(), OperatorId::from_bytes(bytes).to_string()];
        let Inner::Show { vendor: Some(read), operator: Some(other), .. } =
            parsed(&["--vendor", &vendor, &operator]).unwrap()
        else {
            panic!("both are read");
        };
        assert!(vendor.starts_with('-') && read.to_string() == vendor);
        assert_eq!(other.to_string(), operator);
    }

    #[test]
    fn a_key_may_begin_with_a_hyphen() {
        let key = (0..=u8::MAX)
            .map(|n| SigningKey::from_seed(&[n; 32]).public())
            .find(|key| key.to_string().starts_with('-'))
            .unwrap();
        let Inner::Show { key: Some(read), .. } = parsed(&["--key", &key.to_string()]).unwrap()
        else {
            panic!("it is read");
        };
        assert_eq!(read, key);
    }

    #[test]
    fn a_forgotten_value_is_still_missed() {
        let error = parsed(&["--name", "--key", "x"]).unwrap_err();
        assert!(error.to_string().contains("a value is required for '--name"), "{error}");
    }
}
