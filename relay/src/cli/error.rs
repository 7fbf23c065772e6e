//! What the command line reports.

use std::{path::PathBuf, process::ExitCode};

use scrip_runtime::{
    files::FileError,
    log::LogError,
    passphrase::PassphraseError,
    program::{self, RuntimeError},
    serve::ServeError,
};
use scrip_verifier::spent::StoreError as SpentError;

use crate::{
    config::BadConfig,
    earnings::{CheckError, dispute::VerifyError},
    error::{InitError, StartError},
    report::{ClockError, ReportError},
};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error(
        "there is no {path}; run `scrip-relay init` first, or give the relay's directory with --dir"
    )]
    NoConfig { path: PathBuf },
    #[error("{path} exists; edit it and run `init` without options, or give another --dir")]
    ConfigExists { path: PathBuf },
    #[error("no vendor; give the address of one with --vendor scrip://…")]
    NoVendor,
    #[error(transparent)]
    Config(#[from] BadConfig),
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Init(#[from] InitError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error(transparent)]
    Spent(#[from] SpentError),
    #[error("some batches got no answer, and are sent again by `scrip-relay start`: {reasons}")]
    Unanswered { reasons: String },
    #[error(transparent)]
    Check(#[from] CheckError),
    #[error("cannot read {path}: {source}")]
    Dispute { path: PathBuf, source: std::io::Error },
    #[error("{path} is larger than any dispute file")]
    DisputeTooLarge { path: PathBuf },
    #[error("{path} holds no auditor's token")]
    Token { path: PathBuf },
    #[error(transparent)]
    Judge(#[from] VerifyError),
    #[error(
        "the books of the vendor differ from what was redeemed here, in {differences} points; keep the dispute file, and ask the vendor"
    )]
    Differs { differences: usize },
    #[error(transparent)]
    Clock(#[from] ClockError),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("cannot write the output: {0}")]
    Output(#[source] std::io::Error),
}

impl CliError {
    /// 2 for what the caller must change before trying again, 3 where a vendor's books differ, 1 for what failed.
    fn exit_code(&self) -> u8 {
        match self {
            Self::NoConfig { .. }
            | Self::ConfigExists { .. }
            | Self::NoVendor
            | Self::Config(_)
            | Self::Passphrase(_)
            | Self::Log(_)
            | Self::Init(InitError::Config(_))
            | Self::Start(
                StartError::Config(_) | StartError::ExtraRoots(_) | StartError::Client(_),
            )
            | Self::Check(
                CheckError::UnknownVendor(_) | CheckError::Config(_) | CheckError::Client(_),
            )
            | Self::Clock(ClockError::OtherDay(_))
            | Self::Serve(ServeError::PlainHttp { .. }) => 2,
            Self::Differs { .. } => 3,
            Self::File(_)
            | Self::Init(_)
            | Self::Start(_)
            | Self::Serve(_)
            | Self::Report(_)
            | Self::Spent(_)
            | Self::Unanswered { .. }
            | Self::Check(_)
            | Self::Dispute { .. }
            | Self::DisputeTooLarge { .. }
            | Self::Token { .. }
            | Self::Judge(_)
            | Self::Clock(_)
            | Self::Runtime(_)
            | Self::Output(_) => 1,
        }
    }
}

/// Says what failed and returns the exit code.
pub(super) fn report(error: &CliError) -> ExitCode {
    program::complain(error);
    ExitCode::from(error.exit_code())
}
