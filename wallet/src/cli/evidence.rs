//! What shows to others that somebody signed what it must not: files for auditors.

use std::path::{Path, PathBuf};

use scrip_protocol::{refusal::Accusation, renewal::Complaint};
use serde::Serialize;

use super::{
    error::CliError,
    output::{counted, note},
    session::Session,
};
use crate::{ComplaintReport, WalletError};

/// Of a relay: one for each payment.
pub(super) async fn of_relay(
    session: &Session,
    relay: &str,
    output: Option<&Path>,
) -> Result<(), CliError> {
    let wallet = session.open().await?;
    let accusations = wallet.accusations(relay).await?;
    wallet.close().await?;
    hand_out(session, &accusations, output, ("refusal", Accusation::EXTENSION))
}

/// Of the vendor: one for each renewal.
pub(super) async fn of_vendor(
    session: &Session,
    all: bool,
    output: Option<&Path>,
) -> Result<(), CliError> {
    let wallet = session.open().await?;
    let reports = wallet.complaints().await?;
    wallet.close().await?;
    let chosen = reports.into_iter().filter(|one| all || ComplaintReport::is_grave(one));
    let complaints: Vec<Complaint> = chosen.map(|one| one.complaint).collect();
    let certificates = counted(complaints.len(), "certificate");
    if complaints.is_empty() {
        note("note: there is nothing to complain about");
    } else if complaints.len() > 1 {
        note(&format!("note: whoever gets this sees that {certificates} were one wallet's"));
    }
    hand_out(session, &complaints, output, ("renewal", Complaint::EXTENSION))
}

/// To standard output, or one file for each.
fn hand_out<T: Serialize>(
    session: &Session,
    documents: &[T],
    output: Option<&Path>,
    (name, extension): (&str, &str),
) -> Result<(), CliError> {
    let Some(directory) = output else {
        // Each is a line of JSON: it is for programs, and for people to hand on.
        return session.output.show(&documents, |documents| {
            let line = |one| serde_json::to_string(one).unwrap_or_default();
            documents.iter().map(line).collect::<Vec<_>>().join("\n")
        });
    };
    let mut written = Vec::new();
    for (number, document) in documents.iter().enumerate() {
        let path = directory.join(format!("{name}-{}.{extension}", number + 1));
        let json = serde_json::to_vec_pretty(document).unwrap_or_default();
        std::fs::write(&path, json).map_err(WalletError::io("write", &path))?;
        written.push(path);
    }
    session.output.show(&written, |written| {
        let line = |path: &PathBuf| format!("Wrote {}.", path.display());
        written.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}
