//! `solvency`

use std::io::{self, Write};

use scrip_protocol::{id::VendorId, tlog::policy::WitnessPolicy};
use scrip_runtime::{random::RngFactory, words::counted};
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
    let code = exit_code(&checked, arguments.max_lag);
    let mut out = io::stdout().lock();
    let printed = match (checked, json) {
        (Err(CheckError::Source(error)), _) => return Err(error.into()),
        (Ok(shown), true) => writeln!(out, "{}", json!({ "exit_code": code, "shown": shown })),
        (Ok(shown), false) => print(&shown, arguments.max_lag, &mut out),
        (Err(error), true) => {
            let error = error.to_string();
            writeln!(out, "{}", json!({ "exit_code": code, "vendor": vendor, "error": error }))
        }
        (Err(error), false) => print_error(&vendor, &error, &mut out),
    };
    printed.and_then(|()| out.flush()).map_err(CliError::Output)?;
    Ok(code)
}

fn exit_code(checked: &Result<Shown, CheckError>, max_lag: Option<u64>) -> u8 {
    match checked {
        Ok(shown) if max_lag.is_some_and(|most| shown.lag() > most) => INCOMPLETE,
        Ok(_) => PASSED,
        Err(CheckError::NoProof { .. }) => INCOMPLETE,
        Err(CheckError::Refuted(_)) => FOUND,
        Err(CheckError::Source(_)) => 1,
    }
}

fn print(shown: &Shown, max_lag: Option<u64>, out: &mut impl Write) -> io::Result<()> {
    let Shown { vendor, size, ledger_size, .. } = shown;
    writeln!(out, "The books of {vendor} add up, as of {size} of {ledger_size} leaves:")?;
    for epoch in &shown.epochs {
        writeln!(
            out,
            "  epoch {}: no more redeemed, renewed and expired than issued; no more settled than redeemed \
             ({} to what was issued, {} to what was voided, {} to what was settled)",
            epoch.epoch,
            counted(epoch.issued, "commitment", "commitments"),
            epoch.voided,
            epoch.settled
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
    match (shown.lag(), max_lag) {
        (0, _) => {}
        (lag, Some(most)) if lag > most => writeln!(
            out,
            "Not checked: the last {lag} leaves, of which the vendor has published no proof yet, and --max-lag allows {most}. \
             Ask the vendor for a newer one."
        )?,
        (lag, _) => writeln!(out, "Nothing is shown of the last {lag} leaves.")?,
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use scrip_protocol::tlog::hash::TreeHash;

    use super::*;

    #[test]
    fn an_old_proof_says_how_old_it_is_and_is_as_good_as_the_caller_says() {
        let shown = Shown {
            vendor: VendorId::from_bytes([1; 32]),
            size: 550,
            root: TreeHash::from_bytes([2; 32]),
            ledger_size: 850,
            settled_until: None,
            epochs: Vec::new(),
        };
        let printed = |max_lag| {
            let mut out = Vec::new();
            print(&shown, max_lag, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert!(printed(None).contains("as of 550 of 850 leaves"), "{}", printed(None));
        assert!(printed(None).contains("Nothing is shown of the last 300 leaves"));
        assert!(printed(Some(299)).contains("Not checked: the last 300 leaves"));
        let checked = Ok(shown.clone());
        let codes = [None, Some(300), Some(299)].map(|max_lag| exit_code(&checked, max_lag));
        assert_eq!(codes, [PASSED, PASSED, INCOMPLETE]);
    }
}
