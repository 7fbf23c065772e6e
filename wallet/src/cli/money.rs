//! What there is, and what became of it.

use scrip_protocol::credits::Credits;

use super::{
    arguments::{ExtendArguments, LeasesArguments},
    care,
    error::CliError,
    output::{counted, note, table},
    session::Session,
};
use crate::{Balance, Culprit, HistoryEntry, HistoryKind, LeaseReport, Subject, When};

pub(super) async fn balance(session: &Session) -> Result<(), CliError> {
    let wallet = session.open().await?;
    care::tend(&wallet).await;
    let balance = wallet.balance().await?;
    wallet.close().await?;
    session.output.show(&balance, show_balance)
}

fn show_balance(balance: &Balance) -> String {
    let mut lines = vec![format!("{} to spend", balance.spendable)];
    for one in &balance.denominations {
        lines.push(format!(
            "  {:>5} × {:<10} = {}",
            one.count,
            one.exponent.value().0,
            one.credits.0
        ));
    }
    for seen in &balance.seen {
        lines.push(format!(
            "{} were seen by {}, which refused the payment: they pay there, and elsewhere once they are renewed",
            seen.credits, seen.relay
        ));
    }
    if let Some(at) = balance.ripe {
        lines.push(format!(
            "{} ripen, each certificate for a time of its own, the last until {at}; --now pays with them before",
            balance.ripening
        ));
    }
    let rest = [
        (balance.pending, "bought and not here yet: run `scrip resume`"),
        (balance.in_flight, "in payments without an answer: run `scrip resume`"),
        (balance.renewing, "being renewed: run `scrip renew`"),
        (balance.in_doubt, "in doubt since the restore; --spend-doubtful spends them"),
        (balance.spent_elsewhere, "gone: spent before the restore, or by a copy of this wallet"),
        (balance.expired, "expired"),
        (
            balance.test,
            "of test purchases, worth nothing; --test pays with them, at relays for tests",
        ),
    ];
    for (credits, what) in rest.into_iter().filter(|(credits, _)| credits.0 > 0) {
        lines.push(format!("{credits} {what}"));
    }
    match balance.unconfirmed {
        0 => {}
        1 => lines
            .push("1 purchase is not confirmed by the vendor yet: run `scrip resume`".to_owned()),
        n => lines
            .push(format!("{n} purchases are not confirmed by the vendor yet: run `scrip resume`")),
    }
    for later in &balance.later {
        lines.push(format!(
            "{} more from {} on, the second part of a purchase",
            later.credits, later.at
        ));
    }
    for expiring in &balance.expiring {
        lines.push(format!("{} expire on {}", expiring.credits, expiring.at));
    }
    lines.join("\n")
}

pub(super) async fn history(session: &Session) -> Result<(), CliError> {
    let wallet = session.open().await?;
    care::tend(&wallet).await;
    let history = wallet.history().await?;
    wallet.close().await?;
    session.output.show(&history, |history| {
        if history.is_empty() {
            return "Nothing yet.".to_owned();
        }
        let rows: Vec<Vec<String>> = history.iter().map(history_row).collect();
        table(&["when", "what", "credits", "state", "where"], &rows)
    })
}

fn history_row(entry: &HistoryEntry) -> Vec<String> {
    let (what, state, place) = match &entry.kind {
        HistoryKind::Purchase { product, state } => {
            (format!("bought {}", product.as_deref().unwrap_or("?")), *state, String::new())
        }
        HistoryKind::Payment { relay, subject, state, .. } => {
            let what = match subject {
                Subject::Queue { name } => format!("queue {name}"),
                Subject::File { upload } => format!("file {upload}"),
                Subject::Extension { lease } => format!("more time for {lease}"),
            };
            (what, *state, relay.authority.clone())
        }
    };
    vec![entry.at.to_string(), what, entry.credits.0.to_string(), state.to_owned(), place]
}

pub(super) async fn resume(session: &Session) -> Result<(), CliError> {
    let wallet = session.open().await?;
    session.warn_of_now(&wallet).await;
    let resumed = match session.when {
        When::InTime => wallet.resume(session.doubtful).await?,
        When::Now => wallet.resume_now(session.doubtful).await?,
    };
    wallet.close().await?;
    session.output.show(&resumed, |resumed| {
        let mut lines = Vec::new();
        for bought in &resumed.purchases {
            lines.push(format!("Bought {}: {}.", bought.product, bought.credits));
        }
        if let Some(restored) = &resumed.restored {
            lines.push(format!("Restored {} purchases.", restored.purchases));
            if restored.failed > 0 {
                lines.push(format!("{} purchases could not be restored.", restored.failed));
            }
        }
        lines.extend(care::tended_lines(&resumed.tended));
        for lease in &resumed.leases {
            lines.push(format!("Paid for {} until {}.", lease.name, lease.until));
        }
        for file in &resumed.files {
            lines.push(format!("Stored {}:\n{}", file.name, file.link));
        }
        let failed = resumed.errors.iter().chain(care::errors_of(&resumed.tended)).count();
        if lines.is_empty() && failed == 0 {
            lines.push("Nothing was open.".to_owned());
        }
        if resumed.waiting > 0 {
            lines.push(format!(
                "{} more wait for times of their own, so that they are not seen together: `scrip tend` on a timer does what is \
                 due, and `scrip resume --now` all at once.",
                resumed.waiting
            ));
        }
        lines.join("\n")
    })?;
    session.complain_all(resumed.errors.iter().chain(care::errors_of(&resumed.tended)))
}

pub(super) async fn leases(session: &Session, arguments: LeasesArguments) -> Result<(), CliError> {
    let leases = if arguments.check {
        let wallet = session.open_online().await?;
        let target = arguments.lease.as_deref();
        let relay = match &arguments.relay {
            Some(relay) => Some(wallet.find_relay(relay).await?),
            None => None,
        };
        let (leases, others) = match arguments.all {
            true => (wallet.check_leases(target).await?, 0),
            false => wallet.check_one_relay(target, relay.as_ref()).await?,
        };
        wallet.close().await?;
        if others > 0 {
            note(&format!(
                "note: one relay was asked; there are leases at {}: ask again some other time, or all with --all",
                counted(others, "other")
            ));
        }
        leases
    } else {
        let wallet = session.open().await?;
        care::tend(&wallet).await;
        let leases = wallet.leases(arguments.lease.as_deref()).await?;
        wallet.close().await?;
        leases
    };
    session.output.show(&leases, |leases| show_leases(leases))
}

pub(super) async fn extend(session: &Session, arguments: ExtendArguments) -> Result<(), CliError> {
    let wallet = session.open_online().await?;
    let ExtendArguments { lease, days } = arguments;
    let before = paid(&wallet.leases(Some(&lease)).await?);
    let (doubtful, excess) = (session.doubtful, session.accept_excess);
    let leases = wallet.extend(&lease, days, doubtful, excess, session.when).await?;
    wallet.close().await?;
    let cost = Credits(paid(&leases).0.saturating_sub(before.0));
    let waiting = leases.iter().filter(|lease| lease.wanted.is_some()).count();
    session.output.show(&leases, |leases| {
        let mut text = format!("{}Paid {cost}.", show_leases(leases));
        if waiting > 0 {
            text += &format!(
                "\n{waiting} at other relays follow at times of their own; `scrip tend` on a timer does what is due."
            );
        }
        text
    })
}

/// What was paid for all of them, extensions included.
fn paid(leases: &[LeaseReport]) -> Credits {
    Credits::total(leases.iter().map(|lease| lease.paid))
}

fn show_leases(leases: &[LeaseReport]) -> String {
    if leases.is_empty() {
        return "No leases.".to_owned();
    }
    let rows: Vec<Vec<String>> = leases
        .iter()
        .map(|lease| {
            let state = if lease.live { "live" } else { "ended" };
            vec![
                lease.until.to_string(),
                state.to_owned(),
                lease.kind.to_owned(),
                lease.name.clone(),
                lease.relay.authority.clone(),
                lease.lease.to_string(),
            ]
        })
        .collect();
    let mut text = table(&["until", "state", "kind", "name", "relay", "lease"], &rows);
    for lease in leases {
        for conflict in &lease.conflicts {
            let verdict = match (&conflict.culprit, conflict.proven) {
                (Some(Culprit::Relay(redeemer)), _) => {
                    format!(
                        "{redeemer} redeemed it after it had refused the payment under its signature"
                    )
                }
                (Some(Culprit::Vendor), _) => {
                    "the vendor used its renewal, which it had refused under its signature"
                        .to_owned()
                }
                (None, true) => {
                    "the proof holds: a copy of this wallet spent it for something else".to_owned()
                }
                (None, false) => {
                    "the proof does NOT hold: the relay signed a false claim".to_owned()
                }
            };
            text += &format!(
                "{}: the relay says that a certificate was spent before ({}); {verdict}\n",
                lease.name, conflict.credits
            );
        }
    }
    text
}
