//! What the commands print.

mod statements;

use std::{fmt::Write as _, io::Write as _, net::SocketAddr, path::Path};

use scrip_protocol::{
    address::VendorAddress, credits::Credits, id::OperatorId, manifest::KeyUse, time::UnixSeconds,
    tlog::note::VerifierKey,
};
use scrip_runtime::{plausible::Reading, words::counted};
use serde_json::{Value, json};

use super::error::CliError;
use crate::{
    admin::token::AdminToken,
    alerts::Alert,
    ledger::{ProvenSolvency, Verified, auditors::AuditorToken},
    schedule::{EpochState, Schedule},
    status::{LedgerStatus, Status},
    store::{AdminTokenRow, AuditorRow, LogEntry, OperatorRow, Refund, VoucherBatchRow},
    vouchers::NewVouchers,
};

/// Prints for people, or JSON for programs.
pub(super) struct Printer {
    pub(super) json: bool,
}

impl Printer {
    pub(super) fn initialised(
        &self,
        address: &VendorAddress,
        directory: &Path,
    ) -> Result<(), CliError> {
        let directory = directory.display();
        let text = format!(
            "{address}\n\n\
             That is the vendor's address: wallets and relays need it. Next:\n  \
             scrip-issuer --dir {directory} operator add --name NAME --key KEY --address HOST[:PORT]\n  \
             scrip-issuer --dir {directory} voucher create --product starter --count 1\n  \
             scrip-issuer --dir {directory} start"
        );
        self.print(json!({ "address": address, "directory": directory.to_string() }), &text)
    }

    pub(super) fn database_accepted(&self, with_losses: bool) -> Result<(), CliError> {
        let text = match with_losses {
            false => "the database is accepted as it is; issuers go on within seconds",
            true => "the database is accepted as it is, without what it lost",
        };
        self.print(json!({ "accepted": true, "with_losses": with_losses }), text)
    }

    pub(super) fn address(&self, address: &VendorAddress) -> Result<(), CliError> {
        self.print(json!({ "address": address }), &address.to_string())
    }

    pub(super) fn clock(&self, reading: &Reading) -> Result<(), CliError> {
        let Reading { wall, believed, other } = *reading;
        let doubt = reading.is_in_doubt();
        let mut text = format!("the clock shows {wall}\nbelieved is     {believed}");
        if let Some(other) = other {
            // Writing to a string does not fail.
            let _ = write!(text, "\nthe database's   {other}");
        }
        if doubt {
            text.push_str("\n\nThe clock is in doubt: what cannot be undone waits. See `scrip-issuer status`.");
        }
        let value = json!({
            "clock": wall, "believed": believed, "database": other, "in_doubt": doubt
        });
        self.print(value, &text)
    }

    pub(super) fn listening(&self, scheme: &str, address: SocketAddr) -> Result<(), CliError> {
        let url = format!("{scheme}://{address}");
        self.print(json!({ "listening": url }), &format!("scrip-issuer listening on {url}"))
    }

    /// What is written as it is, and has its line ends.
    pub(super) fn raw(&self, text: &str) -> Result<(), CliError> {
        let mut out = std::io::stdout().lock();
        let written = out.write_all(text.as_bytes());
        written.and_then(|()| out.flush()).map_err(CliError::Output)
    }

    pub(super) fn vouchers_written(&self, made: &NewVouchers, out: &Path) -> Result<(), CliError> {
        let (batch, count, out) = (made.batch, made.codes.len(), out.display().to_string());
        let text = format!(
            "batch {batch}: {count} vouchers for {}, until {}; their codes are in {out}",
            made.product, made.last_day
        );
        self.print(json!({ "batch": batch, "vouchers": count, "file": out }), &text)
    }

    pub(super) fn voucher_batches(&self, batches: &[VoucherBatchRow]) -> Result<(), CliError> {
        let mut text =
            String::from("batch  vouchers     used  credits  made        last day    product");
        for batch in batches {
            let cancelled =
                batch.cancelled.map_or(String::new(), |day| format!(" (cancelled {day})"));
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "\n{:>5}  {:>8}  {:>7}  {:>7}  {}  {}  {}{cancelled}",
                batch.batch,
                batch.vouchers,
                batch.used,
                batch.credits.0,
                batch.made,
                batch.last_day,
                batch.product,
            );
        }
        if batches.is_empty() {
            text = String::from("no vouchers; make some with `scrip-issuer voucher create`");
        }
        self.print(json!({ "batches": batches }), &text)
    }

    pub(super) fn vouchers_cancelled(&self, batch: u64, cancelled: u64) -> Result<(), CliError> {
        let text = format!("batch {batch}: {cancelled} unused vouchers are cancelled");
        self.print(json!({ "batch": batch, "cancelled": cancelled }), &text)
    }

    pub(super) fn refunded(&self, refund: Refund) -> Result<(), CliError> {
        let (word, text) = match refund {
            Refund::Cancelled => ("cancelled", "nothing had been signed, and nothing will be"),
            Refund::Lost => {
                ("lost", "certificates had been signed: they stay good, and are your loss")
            }
            Refund::Noted => ("noted", "nothing had been granted for it"),
            Refund::Nothing => ("nothing", "nothing was to be done: it was so before"),
        };
        self.print(json!({ "refund": word }), text)
    }

    pub(super) fn operator_added(&self, name: &str, id: &OperatorId) -> Result<(), CliError> {
        self.print(json!({ "name": name, "operator_id": id }), &id.to_string())
    }

    pub(super) fn operators(&self, operators: &[OperatorRow]) -> Result<(), CliError> {
        let value = operators.iter().map(|operator| {
            json!({
                "name": operator.name,
                "operator_id": operator.id,
                "key": operator.key,
                "added": operator.added.to_string(),
                "addresses": operator.addresses,
                "queues": operator.classes.queues,
                "chunks": operator.classes.chunks,
            })
        });
        let text = match operators {
            [] => String::from("no operators; add one with `scrip-issuer operator add`"),
            some => {
                let line = |operator: &OperatorRow| {
                    let at = match operator.addresses.as_slice() {
                        [] => String::from("not listed: it has no address"),
                        addresses => addresses.join(", "),
                    };
                    format!("{}  {}  {}  {at}", operator.id, operator.added, operator.name)
                };
                some.iter().map(line).collect::<Vec<_>>().join("\n")
            }
        };
        self.print(json!({ "operators": value.collect::<Vec<_>>() }), &text)
    }

    pub(super) fn schedule(&self, schedule: &Schedule) -> Result<(), CliError> {
        let value = serde_json::to_value(schedule).unwrap_or(Value::Null); // numbers and text always are JSON
        self.print(value, &schedule_text(schedule))
    }

    pub(super) fn status(&self, status: &Status, alerts: &[Alert]) -> Result<(), CliError> {
        let mut value = serde_json::to_value(status).unwrap_or(Value::Null); // numbers and text always are JSON
        if let Value::Object(fields) = &mut value {
            fields.insert("alerts".into(), json!(alerts));
        }
        let mut text = status_text(status);
        for alert in alerts {
            // Writing to a string does not fail. Names of operators and messages of sources come from others.
            let _ =
                write!(text, "\n\n! {}\n  {}", printable(&alert.what), printable(&alert.remedy));
        }
        self.print(value, &text)
    }

    pub(super) fn admin_token(
        &self,
        token: &AdminToken,
        row: &AdminTokenRow,
        page: &str,
    ) -> Result<(), CliError> {
        let text = format!(
            "{token}\n\n\
             That is the token of {}, good until {}. It is shown this once and stored nowhere: keep it in a\n\
             password manager. Log in with it at {page}",
            row.name, row.valid_until
        );
        let value = json!({
            "token": token.to_string(),
            "name": row.name,
            "valid_until": row.valid_until,
            "page": page,
        });
        self.print(value, &text)
    }

    pub(super) fn admin_tokens(
        &self,
        tokens: &[AdminTokenRow],
        now: UnixSeconds,
    ) -> Result<(), CliError> {
        let none = "no tokens; make one with `scrip-issuer admin token create`";
        self.print(json!({ "tokens": tokens_json(tokens, now) }), &tokens_text(tokens, now, none))
    }

    pub(super) fn auditor(
        &self,
        token: &AuditorToken,
        row: &AuditorRow,
        ledger: &str,
    ) -> Result<(), CliError> {
        let text = format!(
            "{token}\n\n\
             That is the token of the auditor {}, good until {}. It is shown this once and stored nowhere. With it\n\
             everything under {ledger} can be read.",
            row.name, row.valid_until
        );
        let value = json!({
            "token": token.to_string(),
            "name": row.name,
            "valid_until": row.valid_until,
            "ledger": ledger,
        });
        self.print(value, &text)
    }

    pub(super) fn auditors(&self, all: &[AuditorRow], now: UnixSeconds) -> Result<(), CliError> {
        let none = "no auditors; add one with `scrip-issuer auditor add`";
        self.print(json!({ "auditors": tokens_json(all, now) }), &tokens_text(all, now, none))
    }

    pub(super) fn ledger_status(
        &self,
        status: Option<LedgerStatus>,
        place: &str,
    ) -> Result<(), CliError> {
        let text = match status {
            Some(LedgerStatus { size, stored, waiting }) => format!(
                "{size} leaves, {stored} of them stored in {place}\n\
                 in line: {} batches and other entries, {} rows of sums",
                waiting.entries, waiting.sums
            ),
            None => String::from("no ledger yet; `scrip-issuer start` begins it"),
        };
        self.print(json!({ "ledger": status, "place": place }), &text)
    }

    pub(super) fn ledger_key(&self, key: &VerifierKey) -> Result<(), CliError> {
        self.print(json!({ "key": key }), &key.to_string())
    }

    pub(super) fn ledger_verified(&self, good: &Verified, place: &str) -> Result<(), CliError> {
        let text = format!("{} leaves in {place} are as signed: root {}", good.size, good.root);
        self.print(json!({ "verified": good, "place": place }), &text)
    }

    pub(super) fn ledger_proven(
        &self,
        proven: &ProvenSolvency,
        place: &str,
    ) -> Result<(), CliError> {
        let settled = match proven.settled_until {
            Some(until) => format!("everything redeemed before leaf {until} is settled"),
            None => String::from("operators are not settled up to one point"),
        };
        let size = proven.size;
        let epochs = counted(proven.epochs.len() as u64, "epoch", "epochs");
        let text = format!(
            "the books add up at {size} leaves, in {epochs}; {settled}\npublished as {place}/solvency"
        );
        self.print(json!({ "proven": proven, "place": place }), &text)
    }

    pub(super) fn admin_log(&self, entries: &[LogEntry]) -> Result<(), CliError> {
        let line = |entry: &LogEntry| {
            let LogEntry { number, at, actor, action, subject, detail } = entry;
            let line = format!("{number:>5}  {at}  {actor:<14}  {action:<18}  {subject}  {detail}");
            line.trim_end().to_owned()
        };
        let line = |entry| printable(&line(entry));
        let text = match entries {
            [] => String::from("nothing was done yet"),
            some => some.iter().rev().map(line).collect::<Vec<_>>().join("\n"),
        };
        self.print(json!({ "log": entries }), &text)
    }

    fn print(&self, value: Value, text: &str) -> Result<(), CliError> {
        let mut out = std::io::stdout().lock();
        let written = if self.json { writeln!(out, "{value}") } else { writeln!(out, "{text}") };
        written.and_then(|()| out.flush()).map_err(CliError::Output)
    }
}

fn tokens_json(tokens: &[AdminTokenRow], now: UnixSeconds) -> Vec<Value> {
    let token = |token: &AdminTokenRow| {
        json!({
            "name": token.name,
            "made_at": token.made_at,
            "valid_until": token.valid_until,
            "revoked_at": token.revoked_at,
            "good": token.is_good_at(now),
        })
    };
    tokens.iter().map(token).collect()
}

fn tokens_text(tokens: &[AdminTokenRow], now: UnixSeconds, none: &str) -> String {
    let state = |token: &AdminTokenRow| match token.revoked_at {
        Some(at) => format!("revoked {at}"),
        None if token.is_good_at(now) => format!("good until {}", token.valid_until),
        None => format!("ended {}", token.valid_until),
    };
    let line = |token: &AdminTokenRow| {
        format!("{:<20}  made {}  {}", token.name, token.made_at, state(token))
    };
    match tokens {
        [] => none.to_owned(),
        some => some.iter().map(line).collect::<Vec<_>>().join("\n"),
    }
}

/// The codes and what they are for.
pub(super) fn vouchers_json(made: &NewVouchers) -> Value {
    let codes: Vec<String> = made.texts().collect();
    json!({
        "batch": made.batch,
        "product": made.product,
        "credits": made.credits,
        "last_day": made.last_day.to_string(),
        "codes": codes,
    })
}

/// What may come from others, for a terminal: without control characters.
fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

fn schedule_text(schedule: &Schedule) -> String {
    let mut text = format!(
        "manifest version {}, digest {}\nreceipt key {}, since version {}\n\n",
        schedule.manifest_version,
        schedule.manifest_digest,
        schedule.receipt_key,
        schedule.receipt_key_since
    );
    text.push_str(
        "epoch  use         state      issues from       until             renewed from      \
         spent until       redeemed until\n",
    );
    for epoch in &schedule.epochs {
        let state = match epoch.state {
            EpochState::Waiting => "waiting",
            EpochState::Issuing => "issuing",
            EpochState::Spending => "spending",
            EpochState::Redeeming => "redeeming",
            EpochState::Ended => "ended",
        };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:>5}  {:<10}  {state:<9}  {}  {}  {}  {}  {}",
            epoch.epoch,
            use_name(epoch.key_use),
            minute(epoch.issue_from),
            minute(epoch.issue_until),
            minute(epoch.renew_from),
            minute(epoch.spend_until),
            minute(epoch.redeem_until),
        );
    }
    let next = schedule.next;
    let _ = write!(
        text,
        "\nnext: its keys are made {}, and issue from {} (UTC)",
        minute(next.made_at),
        minute(next.issue_from)
    );
    text
}

const fn use_name(key_use: KeyUse) -> &'static str {
    match key_use {
        KeyUse::Production => "production",
        KeyUse::Test => "test",
    }
}

fn minute(time: UnixSeconds) -> String {
    let of_day = time.0 % 86_400;
    format!("{} {:02}:{:02}", time.day(), of_day / 3_600, of_day / 60 % 60)
}

fn status_text(status: &Status) -> String {
    let mut text = format!(
        "{}\nmanifest version {}, digest {}\n\n",
        status.address, status.manifest_version, status.manifest_digest
    );
    text.push_str(
        "epoch  use         credits    issued  redeemed   renewed   expired  outstanding  issues until  redeemed until\n",);
    for row in &status.denominations {
        let issuing = if row.issuing { "" } else { " (not now)" };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:>5}  {:<10}  {:>7}  {:>8}  {:>8}  {:>8}  {:>8}  {:>11}  {:<12}  {}{issuing}",
            row.epoch,
            use_name(row.key_use),
            row.credits.0,
            row.issued,
            row.redeemed,
            row.renewed,
            row.expired,
            row.outstanding,
            row.issue_until.day(),
            row.redeem_until.day(),
        );
    }
    let Credits(issued) = status.credits_issued;
    let (Credits(redeemed), Credits(renewed)) = (status.credits_redeemed, status.credits_renewed);
    let (Credits(expired), Credits(left)) = (status.credits_expired, status.credits_outstanding);
    let _ = writeln!(
        text,
        "\nissued {issued} credits, redeemed {redeemed}, renewed {renewed}, expired {expired}, outstanding {left}\n\
         vouchers {}, used {}; grants {}, minted {}",
        status.vouchers.total, status.vouchers.used, status.grants.total, status.grants.used,
    );
    if status.test_credits_issued > Credits::ZERO {
        let _ = writeln!(
            text,
            "test keys: issued {}, redeemed {}; nobody paid for these, and nobody is paid",
            status.test_credits_issued, status.test_credits_redeemed
        );
    }
    for operator in &status.operators {
        let test = match operator.test_certificates {
            0 => String::new(),
            some => format!(" (and {some} of test keys, which are worth nothing)"),
        };
        let _ = writeln!(
            text,
            "operator {}: {} certificates, {}{test}",
            operator.name, operator.certificates, operator.credits
        );
    }
    if let Some(LedgerStatus { size, stored, waiting }) = status.ledger {
        let _ = writeln!(
            text,
            "ledger: {size} leaves, {stored} stored, {} entries in line",
            waiting.entries
        );
    }
    text.truncate(text.trim_end().len());
    text
}
