//! `solvency`

use std::io::{self, Write};

use scrip_protocol::{id::VendorId, tlog::policy::WitnessPolicy};
use scrip_runtime::random::RngFactory;
use serde_json::json;

use super::{arguments::SolvencyArguments, audit::open, error::CliError};
use crate::{
    report::{FOUND, INCOMPLETE, PASSED},
    solvency::{CheckError, Shown, check},
};

pub(super) fn run(
    arguments: SolvencyArguments,
    rng: &RngFactory,
    json: bool,
) -> Result<u8, CliError> {
    let quorum = arguments.quorum.unwrap_or(arguments.witness.len());
    let policy = WitnessPolicy::new(arguments.witness, quorum)?;
    let ledger = open(&arguments.ledger, None)?;
    let vendor = arguments.vendor.id;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(CliError::Runtime)?;
    let mut rng = rng();
    let checked = runtime.block_on(check(&*ledger, &vendor, &policy, &mut &mut *rng));
    let code = match &checked {
        Ok(_) => PASSED,
        Err(CheckError::NoProof { .. }) => INCOMPLETE,
        Err(CheckError::Refuted(_)) => FOUND,
        Err(CheckError::Source(_)) => 1,
    };
    let mut out = io::stdout().lock();
    let printed = match (checked, json) {
        (Err(CheckError::Source(error)), _) => return Err(error.into()),
        (Ok(shown), true) => writeln!(out, "{}", json!({ "exit_code": code, "shown": shown })),
        (Ok(shown), false) => print(&shown, &mut out),
        (Err(error), true) => {
            let error = error.to_string();
            writeln!(out, "{}", json!({ "exit_code": code, "vendor": vendor, "error": error }))
        }
        (Err(error), false) => print_error(&vendor, &error, &mut out),
    };
    printed.and_then(|()| out.flush()).map_err(CliError::Output)?;
    Ok(code)
}

fn print(shown: &Shown, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "The books of {} add up, at {} leaves:", shown.vendor, shown.size)?;
    for epoch in &shown.epochs {
        writeln!(
            out,
            "  epoch {}: no more redeemed, renewed and expired than issued; no more settled than redeemed \
             ({} commitments to what was issued, {} to what was voided, {} to what was settled)",
            epoch.epoch, epoch.issued, epoch.voided, epoch.settled
        )?;
    }
    match shown.settled_until {
        Some(until) => writeln!(
            out,
            "What operators redeemed before leaf {until} is exactly what they were settled for, all together."
        )?,
        None => {
            writeln!(out, "Nothing is claimed of all operators being settled up to one point.")?
        }
    }
    writeln!(
        out,
        "How much any of it is stays hidden. What this does not show: protocol-spec/solvency.md"
    )
}

fn print_error(vendor: &VendorId, error: &CheckError, out: &mut impl Write) -> io::Result<()> {
    match error {
        CheckError::Refuted(_) => {
            writeln!(out, "The books of {vendor} are not shown to add up: {error}.")?;
            writeln!(
                out,
                "Try again in a minute; if it stays so, keep a copy of the ledger's public files, and ask an auditor."
            )
        }
        CheckError::NoProof { .. } | CheckError::Source(_) => {
            writeln!(out, "Not checked: {error}.")
        }
    }
}
