//! `earnings`, `receipts export`, `dispute verify`

use std::{fs::File, io::Read as _, path::Path};

use scrip_protocol::{id::VendorId, ledger::export::StatementReport};
use scrip_runtime::{files::replace_atomically, passphrase::passphrase};

use super::{
    Session,
    arguments::{DisputeCommand, EarningsArguments, ReceiptsCommand},
    error::CliError,
};
use crate::{
    config::{Config, ENV_PREFIX},
    earnings::{
        self, CheckError,
        compare::Checked,
        dispute::{self, Dispute, MAX_DISPUTE},
        fetch::HttpLedger,
    },
    relay, report,
};

/// Characters of the longest token that is tried.
const MAX_TOKEN: usize = 4_096;

pub(super) async fn run(session: &Session, arguments: &EarningsArguments) -> Result<(), CliError> {
    let config = session.config()?;
    let mut earnings = report::earnings(&config).await?;
    if let Some(vendor) = &arguments.vendor {
        earnings.vendors.retain(|one| one.vendor_id == *vendor);
        earnings.decided.retain(|one| one.vendor_id == *vendor);
    }
    if !arguments.check {
        return session.printer.earnings(&earnings);
    }
    let vendors: Vec<VendorId> = match arguments.vendor {
        Some(vendor) => vec![vendor],
        None => config.vendors.iter().map(|vendor| vendor.address.id).collect(),
    };
    let checked = check_all(session, &config, &vendors).await?;
    if let Some(path) = &arguments.csv {
        replace_atomically(path, statements(&checked).as_bytes())?;
    }
    let differences = checked.iter().map(|one| one.differences.len()).sum();
    if let (Some(path), [one]) = (&arguments.dispute, &checked[..])
        && (differences > 0 || !one.unseen.is_empty())
    {
        replace_atomically(path, Dispute::of(one).to_json().as_bytes())?;
    }
    session.printer.checked(&earnings, &checked)?;
    if differences > 0 { Err(CliError::Differs { differences }) } else { Ok(()) }
}

async fn check_all(
    session: &Session,
    config: &Config,
    vendors: &[VendorId],
) -> Result<Vec<Checked>, CliError> {
    let mut all = Vec::with_capacity(vendors.len());
    for vendor in vendors {
        let passphrase = passphrase(ENV_PREFIX, session.env.iter().cloned(), true)?;
        all.push(earnings::check(config, vendor, passphrase, session.clock.now()).await?);
    }
    Ok(all)
}

/// The statements as a table. Those that cannot be added up are among the differences.
fn statements(checked: &[Checked]) -> String {
    let mut text = StatementReport::CSV_HEAD.to_owned();
    for one in checked {
        for placed in &one.statements {
            let contract = |number| one.contract(number);
            if let Ok(report) = StatementReport::new(placed.signed.unverified(), contract) {
                text.push_str(&report.to_csv());
            }
        }
    }
    text
}

pub(super) async fn receipts(session: &Session, command: &ReceiptsCommand) -> Result<(), CliError> {
    let ReceiptsCommand::Export { directory } = command;
    let written = earnings::export_receipts(&session.config()?, directory).await;
    session.printer.receipts(written?, directory)
}

pub(super) async fn dispute(session: &Session, command: &DisputeCommand) -> Result<(), CliError> {
    let DisputeCommand::Verify { file, vendor, token_file } = command;
    let failed = |source| CliError::Dispute { path: file.clone(), source };
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|file| file.take(MAX_DISPUTE + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_DISPUTE {
        return Err(CliError::DisputeTooLarge { path: file.clone() });
    }
    let mut file = Dispute::parse(&bytes)?;
    if let Some(path) = token_file {
        let token = token(path)?;
        // Whoever judges need not have a relay.
        let config = session.config().map(|config| config.client).unwrap_or_default();
        let client = relay::client(&config).map_err(CheckError::from)?;
        let link = HttpLedger::new(client, Some(token));
        file.look_up(vendor, &link).await.map_err(CheckError::from)?;
    }
    session.printer.judged(&dispute::judge(&file, &vendor.id)?)
}

/// An auditor's token, which is one line of visible characters.
fn token(path: &Path) -> Result<String, CliError> {
    let failed = |source| CliError::Dispute { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(failed)?.trim().to_owned();
    let is_token =
        (1..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_token { Ok(text) } else { Err(CliError::Token { path: path.to_owned() }) }
}
