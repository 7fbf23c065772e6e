//! What the command line reports.

use std::{path::PathBuf, process::ExitCode};

use scrip_protocol::tlog::{note::KeyName, policy::BadPolicy};
use scrip_runtime::{files::FileError, passphrase::PassphraseError, program::RuntimeError};

use super::output::note;
use crate::{StoreError, WalletError};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error(transparent)]
    Wallet(#[from] WalletError),
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the variable {variable} names no proxy")]
    Variable { variable: &'static str },
    #[error("--google takes the product's id, a colon, and the purchase token")]
    GooglePurchase,
    #[error("no place for the wallet is known")]
    NoHome,
    #[error("no vendor was named")]
    NoVendor,
    #[error("the witnesses cannot be what they are said to be: {0}")]
    Witnesses(#[source] BadPolicy),
    #[error("this wallet names no witness {0}")]
    WitnessUnknown(KeyName),
    #[error("{0} of what was begun could not be finished")]
    StillOpen(usize),
    #[error("something has to be done: {0} of the findings are open")]
    Unhealthy(usize),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("cannot write the output: {0}")]
    Output(#[source] std::io::Error),
    #[error("nobody reads the output")]
    Closed,
}

impl CliError {
    /// What to do now, in one line.
    fn remedy(&self) -> String {
        match self {
            Self::Wallet(error) => return error.remedy(),
            Self::Passphrase(_) | Self::File(_) | Self::Runtime(_) => return String::new(), // they say it themselves
            Self::Closed => "", // nobody is told
            Self::Read { .. } => "check that it exists and that you may read it",
            Self::Variable { .. } => "set it to socks5h://host:port or tor://host:port",
            Self::GooglePurchase => "correct it",
            Self::NoHome => "name its directory with --wallet",
            Self::Unhealthy(_) => {
                "do what each of them says; most of it, `scrip doctor --repair` does"
            }
            Self::Witnesses(_) => "correct the keys or the quorum",
            Self::WitnessUnknown(_) => "`scrip witness list` shows them",
            Self::NoVendor => "name it with --vendor, or a backup with --backup",
            Self::StillOpen(_) => "do what each of them says above, then run `scrip resume` again",
            Self::Output(_) => "check the free space, or where the output goes",
        }
        .to_owned()
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Wallet(WalletError::Store(
                StoreError::WrongPassphrase(_)
                | StoreError::Missing(_)
                | StoreError::Exists(_)
                | StoreError::Backup { .. },
            ))
            | Self::Wallet(
                WalletError::Link(_)
                | WalletError::Words(_)
                | WalletError::Client(_)
                | WalletError::NotAVoucher
                | WalletError::TooFewOperators { .. },
            )
            | Self::Witnesses(_)
            | Self::WitnessUnknown(_)
            | Self::Passphrase(_)
            | Self::Variable { .. }
            | Self::GooglePurchase
            | Self::NoHome
            | Self::NoVendor => 2,
            Self::Wallet(error) if error.is_shortage() => 3,
            Self::Wallet(
                WalletError::PaymentOpen { .. }
                | WalletError::PurchaseOpen { .. }
                | WalletError::StillStoring { .. }
                | WalletError::BadReceipt { .. }
                | WalletError::ManifestUnproven { .. }
                | WalletError::NotAgreedYet { .. }
                | WalletError::NotProvenYet { .. }
                | WalletError::OffSchedule(_)
                | WalletError::NoIssuingKey(_)
                | WalletError::KeysRefused
                | WalletError::Finish(_)
                | WalletError::OtherAnswer,
            )
            | Self::StillOpen(_) => 4,
            Self::Wallet(_)
            | Self::File(_)
            | Self::Read { .. }
            | Self::Unhealthy(_)
            | Self::Runtime(_)
            | Self::Output(_)
            | Self::Closed => 1,
        }
    }
}

/// Writes the error and what to do about it to standard error.
pub(super) fn report(error: &CliError) -> ExitCode {
    // Whoever closed the pipe knows that.
    match error {
        CliError::Closed => {}
        // It waits, as it was asked to.
        CliError::Wallet(waits @ WalletError::StillStoring { .. }) => {
            note(&waits.to_string());
            note(&format!("  {}", waits.remedy()));
        }
        _ => complain(&error.to_string(), &error.remedy()),
    }
    ExitCode::from(error.exit_code())
}

/// `error: …`, and in a second line what to do.
pub(super) fn complain(error: &str, remedy: &str) {
    note(&format!("error: {error}"));
    if !remedy.is_empty() {
        note(&format!("  {remedy}"));
    }
}
