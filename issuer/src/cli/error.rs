//! What the command line reports.

use std::{path::PathBuf, process::ExitCode};

use scrip_runtime::{
    config::ConfigError,
    files::FileError,
    log::LogError,
    passphrase::PassphraseError,
    plausible::ClockInDoubt,
    program::{self, RuntimeError},
    serve::ServeError,
};

use crate::{
    admin::access::AdminTokenError,
    believed::ConfirmError,
    contracts::ContractError,
    error::{InitError, RotateError, StartError},
    ledger::{LedgerError, ProveSolvencyError, VerifyError, auditors::AuditorError},
    operators::AddOperatorError,
    statements::StatementError,
    store::StoreError,
    vouchers::CreateVouchersError,
};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error(
        "there is no {path}; run `scrip-issuer init` first, or give the data directory with --dir"
    )]
    NoConfig { path: PathBuf },
    #[error("{path} exists; edit it and run `init` without options, or give another --dir")]
    ConfigExists { path: PathBuf },
    #[error("`{authority}` is no host[:port]; correct --public-authority")]
    Authority { authority: String },
    #[error(
        "batch {batch} was made, and its codes could not be written: {source}; \
         run `scrip-issuer voucher cancel --batch {batch}`, and make another one"
    )]
    CodesLost { batch: u64, source: FileError },
    #[error("there is no batch {batch}; see `scrip-issuer voucher list`")]
    NoBatch { batch: u64 },
    #[error(
        "nothing with the id `{purchase}` was bought at `{source_name}`; check both, and for a voucher give its code"
    )]
    NoPurchase { purchase: String, source_name: String },
    #[error(transparent)]
    Auditor(#[from] AuditorError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    Prove(#[from] ProveSolvencyError),
    #[error(transparent)]
    Config(#[from] ConfigError),
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
    Rotate(#[from] RotateError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Vouchers(#[from] CreateVouchersError),
    #[error(transparent)]
    Operators(#[from] AddOperatorError),
    #[error(transparent)]
    Contract(#[from] ContractError),
    #[error(transparent)]
    Statement(#[from] StatementError),
    #[error(transparent)]
    AdminToken(#[from] AdminTokenError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Confirm(#[from] ConfirmError),
    #[error(transparent)]
    Clock(#[from] ClockInDoubt),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("cannot write the output: {0}")]
    Output(#[source] std::io::Error),
}

impl CliError {
    /// 2 for what the caller must change before trying again, 1 for what failed.
    fn exit_code(&self) -> u8 {
        match self {
            Self::NoConfig { .. }
            | Self::ConfigExists { .. }
            | Self::Authority { .. }
            | Self::NoBatch { .. }
            | Self::NoPurchase { .. }
            | Self::Config(_)
            | Self::Passphrase(_)
            | Self::Log(_)
            | Self::Vouchers(
                CreateVouchersError::UnknownProduct { .. }
                | CreateVouchersError::Count
                | CreateVouchersError::ValidDays
                | CreateVouchersError::TwoParts
                | CreateVouchersError::NoOperator { .. },
            )
            | Self::AdminToken(
                AdminTokenError::Name
                | AdminTokenError::NameTaken { .. }
                | AdminTokenError::ValidDays
                | AdminTokenError::Unknown { .. },
            )
            | Self::Contract(
                ContractError::UnknownOperator { .. }
                | ContractError::Negative
                | ContractError::OtherCurrency { .. }
                | ContractError::NoCurrency,
            )
            | Self::Statement(
                StatementError::Operator(ContractError::UnknownOperator { .. })
                | StatementError::NoContract { .. }
                | StatementError::Reason
                | StatementError::Unknown { .. },
            )
            | Self::Auditor(
                AuditorError::Name
                | AuditorError::NameTaken { .. }
                | AuditorError::ValidDays
                | AuditorError::Unknown { .. },
            )
            | Self::Operators(
                AddOperatorError::Name
                | AddOperatorError::Key
                | AddOperatorError::Address
                | AddOperatorError::Unknown { .. },
            )
            | Self::Init(InitError::Manifest(_))
            | Self::Start(StartError::Product(_) | StartError::Witnesses(_))
            | Self::Rotate(RotateError::Change(_))
            | Self::Confirm(ConfirmError::OtherDay(_))
            | Self::Serve(ServeError::PlainHttp { .. }) => 2,
            Self::File(_)
            | Self::Auditor(_)
            | Self::Verify(_)
            | Self::Prove(_)
            | Self::Init(_)
            | Self::Start(_)
            | Self::Rotate(_)
            | Self::Serve(_)
            | Self::CodesLost { .. }
            | Self::Vouchers(
                CreateVouchersError::Store(_)
                | CreateVouchersError::Manifest(_)
                | CreateVouchersError::MadeBefore { .. },
            )
            | Self::Operators(_)
            | Self::Contract(ContractError::Store(_))
            | Self::Statement(_)
            | Self::AdminToken(AdminTokenError::Store(_))
            | Self::Store(_)
            | Self::Ledger(_)
            | Self::Confirm(_)
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
