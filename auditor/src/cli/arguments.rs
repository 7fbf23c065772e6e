//! The arguments.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use scrip_protocol::{address::VendorAddress, tlog::note::VerifierKey};

/// Replays a vendor's redemption ledger, and proves or refutes its books.
#[derive(Debug, Parser)]
#[command(name = "scrip-auditor", version)]
#[command(
    after_help = "Exit codes: 0 all checks passed, 1 could not be completed (files, network), 2 wrong arguments, \
                  3 fraud or an inconsistency was found, 4 everything that was checked passed, and something was not checked."
)]
pub(super) struct Arguments {
    /// Print JSON.
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check everything that the vendor's ledger says, leaf by leaf.
    Audit(Box<AuditArguments>),
    /// Check from public data alone, without a token, that no more was redeemed than issued and that what was settled was redeemed.
    /// Without a proof of the vendor's, or with one that is older than --max-lag allows, the exit code is 4.
    Solvency(SolvencyArguments),
}

#[derive(Args, Debug)]
pub(super) struct SolvencyArguments {
    /// The ledger: the URL at which the vendor serves it (it ends in /ledger), or a directory with a copy of its public part.
    #[arg(long, value_name = "URL|DIR")]
    pub(super) ledger: String,
    /// The vendor's address, which says whose signatures count.
    #[arg(long, value_name = "scrip://…")]
    pub(super) vendor: VendorAddress,
    /// The key of a witness; may be given more than once.
    #[arg(long, value_name = "VKEY")]
    pub(super) witness: Vec<VerifierKey>,
    /// How many of the witnesses must have cosigned the checkpoint [default: all that are named].
    #[arg(long, value_name = "N", requires = "witness")]
    pub(super) quorum: Option<usize>,
    /// How many leaves the ledger may have grown by since the proof; with more the exit code is 4 [default: any number].
    #[arg(long, value_name = "LEAVES")]
    pub(super) max_lag: Option<u64>,
}

#[derive(Args, Debug)]
pub(super) struct AuditArguments {
    /// The ledger: the URL at which the vendor serves it (it ends in /ledger), or a directory with a copy.
    #[arg(long, value_name = "URL|DIR")]
    pub(super) ledger: String,
    /// The vendor's address, which says whose signatures count.
    #[arg(long, value_name = "scrip://…")]
    pub(super) vendor: VendorAddress,
    /// A file with the token that the vendor gave to the auditor.
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// A file with a checkpoint that was shown before, which the ledger must continue. That of the last audit with this --state must be continued in any case.
    #[arg(long, value_name = "CHECKPOINT")]
    pub(super) since: Option<PathBuf>,
    /// A directory with receipts of operators (`scrip-relay receipts export`), all of which must be in the ledger.
    #[arg(long, value_name = "DIR")]
    pub(super) receipts: Option<PathBuf>,
    /// A directory with refusals of operators that wallets handed in (`scrip relay evidence`), none of which may have been credited
    /// since. With --receipts beside it, operators' own batches are looked through, too.
    #[arg(long, value_name = "DIR")]
    pub(super) refusals: Option<PathBuf>,
    /// The key of a witness; may be given more than once.
    #[arg(long, value_name = "VKEY")]
    pub(super) witness: Vec<VerifierKey>,
    /// How many of the witnesses must have cosigned the checkpoint [default: all that are named].
    #[arg(long, value_name = "N", requires = "witness")]
    pub(super) quorum: Option<usize>,
    /// Where to keep what the next audit needs, so that it reads new leaves only. An audit that was interrupted goes on from there.
    #[arg(long, value_name = "DIR")]
    pub(super) state: Option<PathBuf>,
    /// Write the report as a page to this file, and as JSON to the one beside it that ends in .json.
    #[arg(long, value_name = "FILE.html")]
    pub(super) report: Option<PathBuf>,
    /// How many threads check certificates [default: one for each core].
    #[arg(long, value_name = "N")]
    pub(super) workers: Option<usize>,
    /// Save the state after as many bundles of 256 leaves.
    #[arg(long, value_name = "N", default_value_t = 1_024)]
    pub(super) save_every: u64,
}
