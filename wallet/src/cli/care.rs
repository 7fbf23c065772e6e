//! Certificates that expire or are in doubt: what the user asks for, and what the program does by itself.

use super::{
    error::CliError,
    output::{counted, note},
    session::Session,
};
use crate::{Inquired, Renewed, Tended, Wallet, WalletError};

pub(super) async fn renew(session: &Session) -> Result<(), CliError> {
    let wallet = session.open().await?;
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

pub(super) async fn inquire(session: &Session) -> Result<(), CliError> {
    let wallet = session.open().await?;
    wallet.set_inquiries(true).await?;
    let inquired = wallet.inquire().await?;
    wallet.close().await?;
    session.output.show(&inquired, |inquired| {
        let lines = inquired_lines(inquired);
        if lines.is_empty() && inquired.errors.is_empty() {
            return "Nothing is in doubt.".to_owned();
        }
        lines.join("\n")
    })?;
    session.complain_all(&inquired.errors)
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
    let inquired = tended.inquired.iter().flat_map(|inquired| &inquired.errors);
    let renewed = tended.renewed.iter().flat_map(|renewed| &renewed.errors);
    inquired.chain(renewed).chain(&tended.errors)
}

pub(super) fn tended_lines(tended: &Tended) -> Vec<String> {
    let mut lines: Vec<String> = tended.inquired.iter().flat_map(inquired_lines).collect();
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

pub(super) fn inquired_lines(inquired: &Inquired) -> Vec<String> {
    let mut lines = Vec::new();
    let sums = [
        (inquired.settled, "are no longer in doubt and can be spent"),
        (inquired.found, "had been renewed, and were found again"),
        (inquired.spent, "had been spent before"),
    ];
    for (credits, what) in sums.into_iter().filter(|(credits, _)| credits.0 > 0) {
        lines.push(format!("{credits} {what}."));
    }
    match inquired.again_at {
        Some(at) if inquired.in_doubt.0 > 0 => lines.push(format!(
            "{} stay in doubt: the vendor has heard of no use, but relays may still tell it. On {at} or \
             later, `scrip balance` asks again.",
            inquired.in_doubt
        )),
        _ if inquired.in_doubt.0 > 0 => {
            lines.push(format!("{} stay in doubt.", inquired.in_doubt));
        }
        _ => {}
    }
    lines
}
