//! What is open or broken, in words; and its repair.

use serde::Serialize;

use super::{
    arguments::DoctorArguments,
    error::CliError,
    session::{Session, report},
};
use crate::{Diagnosis, Resumed, StoreError, Wallet, WalletError};

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    diagnosis: Diagnosis,
    /// What `--repair` brought to its end.
    repaired: Option<Resumed>,
}

pub(super) async fn doctor(session: &Session, arguments: DoctorArguments) -> Result<(), CliError> {
    let wallet = match session.open().await {
        Ok(wallet) => wallet,
        Err(CliError::Wallet(WalletError::Store(error @ StoreError::Damaged { .. }))) => {
            return unopened(session, error).await;
        }
        Err(error) => return Err(error),
    };
    let repaired = match arguments.repair {
        true => Some(wallet.repair(session.doubtful).await?),
        false => None,
    };
    let diagnosis = wallet.diagnose().await?;
    wallet.close().await?;
    if let Some(resumed) = &repaired {
        report(resumed);
    }
    finish(session, &Report { diagnosis, repaired })
}

/// A wallet with a damaged record that it does not open without.
async fn unopened(session: &Session, error: StoreError) -> Result<(), CliError> {
    let entropy = session.environment.entropy.clone();
    let passphrase = session.passphrase()?;
    let diagnosis = Wallet::damage_of(&session.directory, passphrase, entropy).await?;
    if diagnosis.healthy {
        // It opens and does not parse: what is wrong is in the error.
        return Err(WalletError::Store(error).into());
    }
    finish(session, &Report { diagnosis, repaired: None })
}

fn finish(session: &Session, report: &Report) -> Result<(), CliError> {
    session.output.show(report, |report| show(&report.diagnosis))?;
    let open = report.diagnosis.findings.iter().filter(|finding| finding.open).count();
    match open {
        0 => Ok(()),
        open => Err(CliError::Unhealthy(open)),
    }
}

fn show(diagnosis: &Diagnosis) -> String {
    let mut lines = Vec::new();
    for finding in &diagnosis.findings {
        let sign = if finding.open { "!" } else { "-" };
        lines.push(format!("{sign} {}\n    {}", finding.what, finding.todo));
    }
    if diagnosis.healthy {
        lines.push("Nothing has to be done.".to_owned());
    }
    lines.join("\n")
}
