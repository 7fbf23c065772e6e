//! The vendor's manifest: what the wallet has of it, and who has to stand for it.

use scrip_protocol::tlog::{note::VerifierKey, policy::WitnessPolicy};

use super::{
    arguments::{WitnessArguments, WitnessCommand},
    error::CliError,
    output::{counted, note},
    session::Session,
};
use crate::{ManifestReport, Wallet, When};

pub(super) async fn show(session: &Session) -> Result<(), CliError> {
    let wallet = session.open().await?;
    let report = match session.when {
        When::Now => look_now(&wallet).await?,
        When::InTime => wallet.manifest_report().await?,
    };
    wallet.close().await?;
    session.output.show(&report, in_words)
}

/// Asks now, and says what that shows.
pub(super) async fn look_now(wallet: &Wallet) -> Result<ManifestReport, CliError> {
    note(
        "note: relays are asked for the vendor's manifest now; whoever compares their times with the vendor's sees who asks \
         before he buys",
    );
    Ok(wallet.look_now().await?)
}

fn in_words(report: &ManifestReport) -> String {
    let held = match (report.version, &report.digest, report.seen) {
        (Some(version), Some(digest), Some(seen)) => {
            format!("version {version}, digest {digest}, last seen on {}", seen.day())
        }
        _ => "none is known to be everybody's yet".to_owned(),
    };
    let demanded = match report.quorum {
        0 => format!(
            "{} of {} shown it; no witnesses are named",
            report.operators,
            counted_have(report.agreement)
        ),
        quorum => {
            format!("{quorum} of {} must have cosigned", counted(report.witnesses.len(), "witness"))
        }
    };
    let use_of = if report.agreed { "buys under it" } else { "waits" };
    format!("manifest: {held}\ndemanded: {demanded}\nthe wallet {use_of}")
}

fn counted_have(operators: usize) -> String {
    match operators {
        1 => "1 operator has".to_owned(),
        n => format!("{n} operators have"),
    }
}

pub(super) async fn witness(session: &Session, command: WitnessCommand) -> Result<(), CliError> {
    let wallet = session.open().await?;
    let policy = wallet.witness_policy().await;
    let changed = match command {
        WitnessCommand::List => None,
        WitnessCommand::Add { witnesses } => {
            let mut keys = policy.witnesses().to_vec();
            keys.extend(witnesses.witness);
            Some(policy_of(keys, witnesses.quorum)?)
        }
        WitnessCommand::Remove { name, quorum } => {
            let mut keys = policy.witnesses().to_vec();
            let before = keys.len();
            keys.retain(|key| *key.name() != name);
            if keys.len() == before {
                return Err(CliError::WitnessUnknown(name));
            }
            Some(policy_of(keys, quorum)?)
        }
    };
    if let Some(policy) = &changed {
        wallet.set_witnesses(policy.clone()).await?;
        warn_of_few(policy);
    }
    let report = wallet.manifest_report().await?;
    wallet.close().await?;
    session.output.show(&report, |report| {
        let mut lines: Vec<String> = report.witnesses.iter().map(VerifierKey::to_string).collect();
        lines.push(match report.quorum {
            0 => format!(
                "No witnesses: relays of {} operators must hand out the same manifest.",
                report.agreement
            ),
            quorum => format!("{quorum} of them must have cosigned what the wallet buys under."),
        });
        lines.join("\n")
    })
}

/// More than half of the witnesses where nothing is said: fewer than that could stand for two histories.
pub(super) fn policy_of(
    witnesses: Vec<VerifierKey>,
    quorum: Option<usize>,
) -> Result<WitnessPolicy, CliError> {
    let most = witnesses.len() / 2 + usize::from(!witnesses.is_empty());
    WitnessPolicy::new(witnesses, quorum.unwrap_or(most)).map_err(CliError::Witnesses)
}

/// The same of what was given at the command line.
pub(super) fn given(arguments: WitnessArguments) -> Result<WitnessPolicy, CliError> {
    let policy = policy_of(arguments.witness, arguments.quorum)?;
    warn_of_few(&policy);
    Ok(policy)
}

fn warn_of_few(policy: &WitnessPolicy) {
    let (quorum, all) = (policy.quorum(), policy.witnesses().len());
    if all > 0 && quorum * 2 <= all {
        note(&format!(
            "warning: two groups of {quorum} of these {all} witnesses can stand for two histories of the vendor's ledger; \
             --quorum {} rules that out",
            all / 2 + 1
        ));
    }
}
