//! The arguments.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use scrip_protocol::{address::VendorAddress, id::VendorId};

/// Leases message queues and space for file chunks, for prepaid certificates.
#[derive(Debug, Parser)]
#[command(
    name = "scrip-relay",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong arguments or configuration, 3 the vendor's books differ."
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
    /// Show what was earned from each vendor: accepted, pending and lost. With --check, compare that with the vendor's ledger and
    /// statements; exit code 3 where they differ.
    Earnings(EarningsArguments),
    /// Hand over what vendors credited.
    #[command(subcommand)]
    Receipts(ReceiptsCommand),
    /// Judge what an operator says of a vendor's books.
    #[command(subcommand)]
    Dispute(DisputeCommand),
    /// Show the double spends with their proofs, and which leases they shortened or ended.
    Conflicts,
    /// Redeem at once what a relay that is stopped has taken. It tells the vendor more than the schedule of `start` does.
    Redeem,
    /// Go on where relay.db and spent.sqlite are not of one moment, because one of them came back from a backup and the newer one is
    /// lost for good. `start` says when that is so, and changes nothing until then.
    AcceptLoss,
    /// Show what is believed of the time, and say that the clock is right.
    #[command(subcommand)]
    Clock(ClockCommand),
    /// Show the relay's address, which wallets need.
    Address,
    /// Show the operator's key, which vendors need.
    Key,
}

#[derive(Args, Debug)]
pub(super) struct EarningsArguments {
    /// Of this vendor alone.
    #[arg(long, value_name = "ID")]
    pub(super) vendor: Option<VendorId>,
    /// Ask the vendors for their ledgers, and compare.
    #[arg(long)]
    pub(super) check: bool,
    /// Write the statements that were checked as comma-separated values.
    #[arg(long, value_name = "FILE", requires = "check")]
    pub(super) csv: Option<PathBuf>,
    /// Write what proves the differences, and the double spends that only an auditor can look at, where there are any; asks for
    /// one vendor.
    #[arg(long, value_name = "FILE", requires = "check", requires = "vendor")]
    pub(super) dispute: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum ClockCommand {
    /// Show what the clock shows, and which time is believed.
    Show,
    /// Say that the clock of this machine is right. What waited because it was in doubt goes on within a minute.
    Confirm {
        /// Today in UTC, such as 2026-01-31: what the clock has to show as well.
        #[arg(value_name = "DATE")]
        day: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ReceiptsCommand {
    /// Write each answered batch to a file of its own, for an auditor.
    Export {
        /// Where to.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum DisputeCommand {
    /// Judge a dispute file. Asks nobody, unless an auditor's token is given.
    Verify {
        /// The file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The vendor.
        #[arg(long, value_name = "scrip://…")]
        vendor: VendorAddress,
        /// A file with an auditor's token: the leaves that the file lacks are read from the vendor's ledger.
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
    },
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
