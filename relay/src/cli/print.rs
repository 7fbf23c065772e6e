//! What the commands print.

use std::{fmt::Write as _, io::Write as _, net::SocketAddr, path::Path};

use scrip_protocol::{
    address::RelayAddress,
    keys::PublicKey,
    ledger::{
        Money,
        export::{StatementReport, pays},
    },
};
use scrip_runtime::{config::HumanSize, plausible::Reading, words::counted};
use scrip_verifier::redeemer::Redeemed;
use serde::Serialize;
use serde_json::{Value, json};

use super::error::CliError;
use crate::{
    earnings::{
        compare::{Checked, PlacedStatement},
        dispute::{Judgement, Verdict, in_words},
    },
    moment::Difference,
    relay::Initialised,
    report::{ConflictReport, Earnings, Status, VendorReport},
};

/// Prints for people, or JSON for programs.
pub(super) struct Printer {
    pub(super) json: bool,
}

/// What `init` made.
pub(super) struct Initialisation {
    pub(super) made: Initialised,
    pub(super) name: String,
}

impl Printer {
    pub(super) fn initialised(
        &self,
        initialisation: &Initialisation,
        directory: &Path,
    ) -> Result<(), CliError> {
        let Initialisation { made: Initialised { operator_key, address }, name } = initialisation;
        let directory = directory.display().to_string();
        let shown = shell_quoted(&directory);
        let add = format!(
            "scrip-issuer operator add --name {} --key {operator_key} --address {}",
            shell_quoted(name),
            address.authority
        );
        let text = format!(
            "{address}\n\n\
             That is the relay's address: wallets find it in the vendor's manifest. The operator's key is {operator_key}.\n\
             Before the vendor pays for anything, it has to run\n  \
             {add}\n\
             Then\n  \
             scrip-relay --dir {shown} start"
        );
        let value = json!({
            "address": address,
            "operator_key": operator_key,
            "operator_id": address.id,
            "vendor_command": add,
            "directory": directory,
        });
        self.print(&value, &text)
    }

    pub(super) fn address(&self, address: &RelayAddress) -> Result<(), CliError> {
        self.print(&json!({ "address": address }), &address.to_string())
    }

    pub(super) fn key(&self, key: &PublicKey) -> Result<(), CliError> {
        self.print(&json!({ "operator_key": key }), &key.to_string())
    }

    pub(super) fn accepted_loss(&self, lost: &Difference) -> Result<(), CliError> {
        let (payments, provisions) = (lost.payments.len() as u64, lost.provisions.len() as u64);
        let mut lines = Vec::new();
        if payments > 0 {
            let bought = counted(payments, "payment", "payments");
            lines.push(format!(
                "What {bought} bought is given up; their wallets find nothing here."
            ));
        }
        if provisions > 0 {
            let paid = counted(provisions, "lease or extension", "leases and extensions");
            lines.push(format!("{paid} stay; what was paid for them is never claimed."));
        }
        if lines.is_empty() {
            lines.push("relay.db and spent.sqlite agree: nothing was lost.".to_owned());
        }
        self.print(&json!({ "payments": payments, "provisions": provisions }), &lines.join("\n"))
    }

    pub(super) fn listening(&self, scheme: &str, address: SocketAddr) -> Result<(), CliError> {
        let url = format!("{scheme}://{address}");
        self.print(&json!({ "listening": url }), &format!("scrip-relay listening on {url}"))
    }

    pub(super) fn clock(&self, reading: &Reading) -> Result<(), CliError> {
        let Reading { wall, believed, .. } = *reading;
        let mut text = format!("the clock shows {wall}\nbelieved is     {believed}");
        if let Err(doubt) = reading.certain() {
            // Writing to a string does not fail.
            let _ = write!(text, "\n\n{doubt}");
        }
        let in_doubt = reading.is_in_doubt();
        let value = json!({ "clock": wall, "believed": believed, "in_doubt": in_doubt });
        self.print(&value, &text)
    }

    pub(super) fn status(&self, status: &Status) -> Result<(), CliError> {
        let usage = &status.usage;
        let mut text = format!(
            "{}  {}\noperator key {}\n\n\
             queues  {} of {}, {} messages waiting\n\
             chunks  {}, {} uploaded, {} of {} promised\n\
             double spends  {}\n",
            status.name,
            status.address,
            status.operator_key,
            usage.queues,
            status.queues_limit,
            usage.messages,
            usage.chunks,
            usage.chunks_uploaded,
            HumanSize(usage.chunk_bytes_promised),
            HumanSize(status.chunk_bytes_limit),
            usage.conflicts,
        );
        if let Some(doubt) = &status.clock {
            // Writing to a string does not fail.
            let _ = writeln!(text, "! {doubt}");
        }
        for vendor in &status.vendors {
            // Writing to a string does not fail.
            let _ = write!(text, "\n{}\n  {}\n", name_of(vendor), manifest_of(vendor));
            if let Some(version) = vendor.receipt_key_changed {
                let _ = writeln!(
                    text,
                    "  ! its receipt key was changed with version {version}, with the word of the key before: ask the vendor whether \
                     that was its doing"
                );
            }
            if !vendor.contradictions.is_empty() {
                let digests: Vec<String> =
                    vendor.contradictions.iter().map(ToString::to_string).collect();
                let _ = writeln!(
                    text,
                    "  ! it signed manifests that contradict each other, kept as evidence: {}; see `scrip-relay earnings --check`",
                    digests.join(", ")
                );
            }
            let _ = writeln!(text, "  {}", pending_of(vendor));
        }
        self.print(status, text.trim_end())
    }

    pub(super) fn earnings(&self, earnings: &Earnings) -> Result<(), CliError> {
        let text = earnings_text(earnings);
        self.print(earnings, text.trim_end())
    }

    pub(super) fn checked(&self, earnings: &Earnings, checked: &[Checked]) -> Result<(), CliError> {
        let mut text = earnings_text(earnings);
        for one in checked {
            text.push_str(&checked_text(one));
        }
        let mut value = serde_json::to_value(earnings).unwrap_or(Value::Null);
        value["checked"] = checked.iter().map(checked_json).collect();
        self.print(&value, text.trim_end())
    }

    pub(super) fn receipts(&self, written: u64, directory: &Path) -> Result<(), CliError> {
        let directory = directory.display().to_string();
        let text = format!("{written} receipts are in {directory}");
        self.print(&json!({ "receipts": written, "directory": directory }), &text)
    }

    pub(super) fn judged(&self, judgements: &[Judgement]) -> Result<(), CliError> {
        let mut text = String::new();
        for judgement in judgements {
            let verdict = match judgement.verdict {
                Verdict::Proven => "proven",
                Verdict::Open => "open",
                Verdict::Unfounded => "unfounded",
            };
            let Judgement { claim, reason, .. } = judgement;
            let _ = writeln!(text, "{verdict}: {claim}\n  {reason}");
        }
        if judgements.is_empty() {
            text.push_str("nothing is claimed");
        }
        self.print(&json!({ "judgements": judgements }), text.trim_end())
    }

    pub(super) fn conflicts(&self, conflicts: &[ConflictReport]) -> Result<(), CliError> {
        let mut text = String::new();
        for conflict in conflicts {
            let lease = match &conflict.lease_id {
                Some(id) => format!("lease {id}"),
                None => String::from("a lease that is forgotten"),
            };
            let until = conflict.lease_until.map(|until| format!(", until {}", until));
            let _ = writeln!(
                text,
                "{}  {}  {}{}  {lease}\n  certificate {}\n  proof {}",
                conflict.learned_at,
                conflict.value,
                conflict.event,
                until.unwrap_or_default(),
                conflict.certificate_key,
                conflict.proof,
            );
        }
        if text.is_empty() {
            text.push_str("no double spends");
        }
        self.print(&json!({ "conflicts": conflicts }), text.trim_end())
    }

    pub(super) fn redeemed(&self, redeemed: &Redeemed) -> Result<(), CliError> {
        let value = json!({
            "accepted": redeemed.accepted,
            "already_accepted": redeemed.already_accepted,
            "double_spent": redeemed.double_spent,
            "expired": redeemed.expired,
            "invalid": redeemed.invalid,
            "unanswered_batches": redeemed.unanswered.len(),
        });
        let text = format!(
            "certificates: {} accepted, {} accepted before, {} double spent, {} expired, {} invalid\n\
             batches without an answer: {}",
            redeemed.accepted,
            redeemed.already_accepted,
            redeemed.double_spent,
            redeemed.expired,
            redeemed.invalid,
            redeemed.unanswered.len(),
        );
        self.print(&value, &text)
    }

    fn print(&self, value: &impl Serialize, text: &str) -> Result<(), CliError> {
        let mut out = std::io::stdout().lock();
        let written = if self.json {
            // Numbers, text and lists of them always are JSON.
            writeln!(out, "{}", serde_json::to_value(value).unwrap_or(Value::Null))
        } else {
            writeln!(out, "{text}")
        };
        written.and_then(|()| out.flush()).map_err(CliError::Output)
    }
}

fn earnings_text(earnings: &Earnings) -> String {
    let mut text = String::from("accepted   pending      lost  vendor\n");
    for vendor in &earnings.vendors {
        let (accepted, pending, lost) = (vendor.accepted.0, vendor.pending.0, vendor.lost.0);
        let _ = writeln!(text, "{accepted:>8}  {pending:>8}  {lost:>8}  {}", name_of(vendor));
    }
    if !earnings.decided.is_empty() {
        text.push_str("\nday         certificates   credits  result            vendor\n");
    }
    for row in &earnings.decided {
        let _ = writeln!(
            text,
            "{}  {:>12}  {:>8}  {:<16}  {}",
            row.day,
            row.certificates,
            row.credits.0,
            if row.test { "test" } else { row.result },
            row.vendor_id,
        );
    }
    text
}

fn checked_text(checked: &Checked) -> String {
    let mut text = format!(
        "\n{}\n  ledger of {} leaves; {} certificates are credited in {} receipts",
        checked.vendor_id,
        checked.checkpoint.checkpoint().size,
        checked.credited,
        checked.receipts.len()
    );
    if checked.without_receipt > 0 {
        let _ = write!(text, "; {} more without a receipt here", checked.without_receipt);
    }
    if checked.before_the_ledger > 0 {
        let _ = write!(text, "; {} batches are older than the ledger", checked.before_the_ledger);
    }
    text.push('\n');
    for placed in &checked.statements {
        let statement = placed.signed.unverified();
        let _ = writeln!(
            text,
            "  statement {}  {}  leaves {} to {}  {:>14} {}  {}",
            statement.number,
            statement.day,
            statement.from,
            statement.until,
            Money(statement.total),
            statement.currency,
            who_pays(statement.total),
        );
    }
    if let (Some(total), Some(first)) = (checked.open_total, checked.contracts.first()) {
        let _ = writeln!(
            text,
            "  not in a statement yet  {} {}",
            Money(total),
            first.contract.currency
        );
    }
    for difference in &checked.differences {
        let _ = writeln!(text, "  DIFFERS: {}", in_words(checked, difference));
    }
    if !checked.unseen.is_empty() {
        let _ = writeln!(
            text,
            "  {} double spends name leaves that only auditors may read: keep them with --dispute, or hand an auditor your receipts",
            checked.unseen.len()
        );
    }
    if checked.agrees() {
        text.push_str("  the vendor's books agree with what was redeemed here\n");
    }
    text
}

fn who_pays(total: i64) -> &'static str {
    match pays(total) {
        "vendor" => "the vendor pays",
        "operator" => "you pay",
        _ => "nobody pays",
    }
}

fn checked_json(checked: &Checked) -> Value {
    let report = |placed: &PlacedStatement| {
        StatementReport::new(placed.signed.unverified(), |number| checked.contract(number)).ok()
    };
    let statements: Vec<_> = checked.statements.iter().map(report).collect();
    let in_words = |difference| in_words(checked, difference);
    json!({
        "vendor_id": checked.vendor_id,
        "agrees": checked.agrees(),
        "size": checked.checkpoint.checkpoint().size,
        "certificates": checked.credited,
        "receipts": checked.receipts.len(),
        "without_receipt": checked.without_receipt,
        "double_spends_unseen": checked.unseen.len(),
        "batches_before_the_ledger": checked.before_the_ledger,
        "statements": statements,
        "not_in_a_statement": checked.open_total.map(|total| Money(total).to_string()),
        "differences": checked.differences.iter().map(in_words).collect::<Vec<_>>(),
    })
}

fn name_of(vendor: &VendorReport) -> String {
    match &vendor.address {
        Some(address) => address.to_string(),
        None => format!("{} (not in the configuration: nothing is redeemed)", vendor.vendor_id),
    }
}

fn manifest_of(vendor: &VendorReport) -> String {
    match (vendor.manifest_version, vendor.manifest_digest) {
        (Some(version), Some(digest)) => format!("manifest version {version}, digest {digest}"),
        _ => String::from("no manifest yet: nothing is accepted"),
    }
}

fn pending_of(vendor: &VendorReport) -> String {
    let mut text = format!(
        "{} accepted, {} pending, {} lost",
        vendor.accepted.0, vendor.pending.0, vendor.lost.0
    );
    if let Some(oldest) = vendor.oldest_pending {
        let _ = write!(text, "; the oldest since {}", oldest);
    }
    if vendor.unanswered_batches > 0 {
        let _ = write!(text, "; {} batches without an answer", vendor.unanswered_batches);
    }
    if vendor.test_certificates > 0 {
        let _ = write!(text, "; and {} test certificates, worth nothing", vendor.test_certificates);
    }
    text
}

/// As one word of a POSIX shell.
fn shell_quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_of_a_shell() {
        assert_eq!(shell_quoted("relay-1.example"), "relay-1.example");
        assert_eq!(shell_quoted("my relay"), "'my relay'");
        assert_eq!(shell_quoted("it's; rm -rf"), r"'it'\''s; rm -rf'");
        assert_eq!(shell_quoted(""), "''");
    }
}
