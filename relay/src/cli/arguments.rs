//! The arguments.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use scrip_protocol::address::VendorAddress;

/// Leases message queues and space for file chunks, for prepaid certificates.
#[derive(Debug, Parser)]
#[command(
    name = "scrip-relay",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong arguments or configuration."
)]
pub(super) struct Arguments {
    /// The relay's directory, with relay.toml in it.
    #[arg(long, global = true, value_name = "DIR", default_value = "relay-data")]
    pub(super) dir: PathBuf,
    /// Print JSON.
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a relay: its key, its database and its configuration.
    Init(InitArguments),
    /// Serve clients until SIGTERM or Ctrl-C.
    Start,
    /// Show what the relay holds and how it stands with its vendors.
    Status,
    /// Show what was earned from each vendor: accepted, pending and lost.
    Earnings,
    /// Show the double spends with their proofs, and which leases they shortened or ended.
    Conflicts,
    /// Redeem at once what a relay that is stopped has taken. It tells the vendor more than the schedule of `start` does.
    Redeem,
    /// Show the relay's address, which wallets need.
    Address,
    /// Show the operator's key, which vendors need.
    Key,
}

#[derive(Args, Debug)]
pub(super) struct InitArguments {
    /// A vendor whose certificates are accepted; may be given more than once.
    #[arg(long, value_name = "scrip://…")]
    pub(super) vendor: Vec<VendorAddress>,
    /// Where to listen [default: 127.0.0.1:7500].
    #[arg(long, value_name = "IP:PORT")]
    pub(super) listen: Option<SocketAddr>,
    /// The relay's name, for people [default: scrip-relay].
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// Where clients reach the relay [default: where it listens].
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(super) public_authority: Option<String>,
}
