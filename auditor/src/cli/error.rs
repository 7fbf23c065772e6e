//! What the command line reports.

use std::path::PathBuf;

use scrip_protocol::tlog::policy::BadPolicy;
use scrip_runtime::files::FileError;

use crate::{audit::AuditError, source::SourceError};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error("cannot read {path}: {source}; give the path of a file that you may read")]
    Read { path: PathBuf, source: std::io::Error },
    #[error(
        "{path} has no token: a token is one line of printable characters; ask the vendor for another"
    )]
    Token { path: PathBuf },
    #[error(
        "{ledger} is neither a directory nor a URL that begins with https://; give one of the two with --ledger"
    )]
    NoSuchLedger { ledger: String },
    #[error("the witnesses cannot be used: {0}; check --witness and --quorum")]
    Policy(#[from] BadPolicy),
    #[error(
        "{path} does not end in .html, which the JSON file beside it would take the name from; give another --report"
    )]
    ReportName { path: PathBuf },
    #[error(transparent)]
    File(#[from] FileError),
    #[error("cannot write {path}: {source}; check the directory and the free space")]
    Write { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error("cannot start the runtime: {0}; raise the limit of processes")]
    Runtime(#[source] std::io::Error),
    #[error("cannot write the output: {0}")]
    Output(#[source] std::io::Error),
}

impl CliError {
    /// 2 for what the caller must change before trying again, 1 for what failed.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Token { .. }
            | Self::NoSuchLedger { .. }
            | Self::Policy(_)
            | Self::ReportName { .. } => 2,
            Self::Audit(error) if error.is_usage() => 2,
            Self::Read { .. }
            | Self::File(_)
            | Self::Write { .. }
            | Self::Source(_)
            | Self::Audit(_)
            | Self::Runtime(_)
            | Self::Output(_) => 1,
        }
    }
}
