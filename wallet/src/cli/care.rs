//! Certificates that expire: what the user asks for, and what the program does by itself.

use scrip_protocol::time::UnixSeconds;
use serde::Serialize;

use super::{
    arguments::CheckArguments,
    error::CliError,
    output::{counted, note},
    session::Session,
};
use crate::{Looked, Renewed, Restored, Tended, Wallet, WalletError, When};

pub(super) async fn renew(session: &Session) -> Result<(), CliError> {
    let wallet = session.open().await?;
    if session.when == When::InTime {
        let (certificates, next_at) = wallet.renewals_to_come().await?;
        wallet.close().await?;
        return session.output.show(&ToCome { certificates, next_at }, |to_come| {
            let when = to_come.next_at.map(|at| format!(", the next from {at} on"));
            format!(
                "{} to be renewed by `scrip balance` and the like, each at a moment of its own{}.",
                counted(to_come.certificates, "certificate"),
                when.unwrap_or_default()
            )
        });
    }
    note("note: the vendor sees that what is renewed now belongs to one wallet");
    let renewed = wallet.renew(session.doubtful).await?;
    wallet.close().await?;
    session.output.show(&renewed, |renewed| {
        let lines = renewed_lines(renewed);
        if lines.is_empty() && renewed.errors.is_empty() {
            return "Nothing can be renewed now.".to_owned();
        }
        lines.join("\n")
    })?;
    session.complain_all(&renewed.errors)
}

/// Renewals that the wallet makes by itself.
#[derive(Serialize)]
struct ToCome {
    certificates: usize,
    next_at: Option<UnixSeconds>,
}

pub(super) async fn check(session: &Session, arguments: CheckArguments) -> Result<(), CliError> {
    let wallet = session.open().await?;
    let source = arguments.voided.unwrap_or_default();
    let looked = wallet.look_up(&source, arguments.whole).await?;
    wallet.close().await?;
    session.output.show(&looked, |looked| {
        let lines = looked_lines(looked);
        if lines.is_empty() && looked.errors.is_empty() {
            return "Nothing is in doubt, so that no list was read.".to_owned();
        }
        lines.join("\n")
    })?;
    session.complain_all(&looked.errors)
}

/// What is due at the vendor, beside a command that calls nobody else. It never fails the command.
pub(super) async fn tend(wallet: &Wallet) {
    match wallet.tend().await {
        Ok(tended) => {
            tended_lines(&tended).iter().for_each(|line| note(&format!("note: {line}")));
            errors_of(&tended).for_each(warn);
        }
        Err(error) => warn(&error),
    }
}

fn warn(error: &WalletError) {
    note(&format!("warning: what was due could not be done: {error}"));
}

/// The next thing that is due, and nothing else.
pub(super) async fn tend_alone(session: &Session) -> Result<(), CliError> {
    let wallet = session.open().await?;
    let tended = wallet.tend().await?;
    wallet.close().await?;
    session.output.show(&tended, |tended| {
        let mut lines = tended_lines(tended);
        if lines.is_empty() && errors_of(tended).next().is_none() {
            lines.push("Nothing is due.".to_owned());
        }
        lines.extend(tended.next.map(|at| format!("The next thing is due on {at} or later.")));
        lines.join("\n")
    })?;
    session.complain_all(errors_of(&tended))
}

pub(super) fn errors_of(tended: &Tended) -> impl Iterator<Item = &WalletError> {
    let looked = tended.looked.iter().flat_map(|looked| &looked.errors);
    let renewed = tended.renewed.iter().flat_map(|renewed| &renewed.errors);
    looked.chain(renewed).chain(&tended.errors)
}

pub(super) fn tended_lines(tended: &Tended) -> Vec<String> {
    let mut lines: Vec<String> = tended.restored.iter().flat_map(restored_lines).collect();
    lines.extend(tended.looked.iter().flat_map(looked_lines));
    lines.extend(tended.renewed.iter().flat_map(renewed_lines));
    for bought in &tended.purchases {
        lines.push(format!("Bought {}: {}.", bought.product, bought.credits));
    }
    for file in &tended.files {
        lines.push(format!("Stored {}:\n{}", file.name, file.link));
    }
    if let Some((name, done, parts)) = &tended.storing {
        lines.push(format!("Stored {done} of {parts} parts of {name}."));
    }
    for lease in &tended.leases {
        lines.push(format!("Paid for {} until {}.", lease.name, lease.until));
    }
    if let Some(relay) = &tended.offer {
        lines.push(format!("Asked {} for its prices.", relay.authority));
    }
    lines
}

fn renewed_lines(renewed: &Renewed) -> Vec<String> {
    let mut lines = Vec::new();
    if renewed.certificates > 0 {
        let certificates = counted(renewed.certificates, "certificate");
        lines.push(format!("Renewed {} in {certificates}.", renewed.renewed));
    }
    if renewed.spent_elsewhere.0 > 0 {
        lines.push(format!(
            "{} cannot be renewed: a copy of this wallet, or its life before the restore, has spent them. \
             There is a proof of each.",
            renewed.spent_elsewhere
        ));
    }
    if renewed.waiting.0 > 0 {
        lines.push(format!(
            "{} in doubt are renewed when that is settled; --spend-doubtful renews them now.",
            renewed.waiting
        ));
    }
    lines
}

/// What a restore found in its last steps, and what comes when.
pub(super) fn restored_lines(restored: &Restored) -> Vec<String> {
    let Restored { purchases, in_doubt, newly_issued, unusable, failed, asked, goes_on } = restored;
    let found = match purchases {
        0 => format!("The restore has asked for {asked} purchases so far."),
        1 => {
            format!("Found 1 purchase: {in_doubt} in doubt, {newly_issued} fresh from the vendor.")
        }
        n => format!(
            "Found {n} purchases: {in_doubt} in doubt, {newly_issued} fresh from the vendor."
        ),
    };
    let mut lines = vec![found];
    if *unusable > 0 {
        lines.push(format!("{unusable} purchases were used up by another program."));
    }
    if *failed > 0 {
        lines.push(format!(
            "{failed} purchases could not be restored; `scrip resume` tries again what was found of them."
        ));
    }
    lines.push(match goes_on {
        true => "Purchases are asked for one at a time, hours apart, so that the vendor does not see that they are one wallet's: \
                 `scrip balance` and the like go on with it, or `scrip tend` on a timer."
            .to_owned(),
        false => "The restore is over.".to_owned(),
    });
    lines
}

fn looked_lines(looked: &Looked) -> Vec<String> {
    let mut lines = Vec::new();
    let sums = [
        (looked.settled, "are no longer in doubt and can be spent"),
        (
            looked.renewed,
            "had been renewed: what they became is asked for one by one, over the next days",
        ),
        (looked.spent, "had been spent before"),
    ];
    for (credits, what) in sums.into_iter().filter(|(credits, _)| credits.0 > 0) {
        lines.push(format!("{credits} {what}."));
    }
    match looked.again_on {
        Some(day) if looked.in_doubt.0 > 0 => lines.push(format!(
            "{} stay in doubt: no list has them, but relays may still redeem them. The lists of {day} or later say so for sure, and \
             `scrip balance` gets them then.",
            looked.in_doubt
        )),
        _ if looked.in_doubt.0 > 0 => {
            lines.push(format!("{} stay in doubt.", looked.in_doubt));
        }
        _ => {}
    }
    lines
}
