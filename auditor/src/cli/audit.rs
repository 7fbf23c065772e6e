//! `audit`

use std::{
    io::{self, Write},
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use scrip_protocol::{time::UnixSeconds, tlog::policy::WitnessPolicy};
use scrip_runtime::{client::ClientOptions, random::RngFactory};

use super::{arguments::AuditArguments, error::CliError};
use crate::{
    audit::{AuditOptions, Progress, audit},
    finding::Verdict,
    report::{INCOMPLETE, PASSED, Report, html},
    source::{DirectoryLedger, HttpLedger, Ledger},
};

const TEMPLATE: &str = "{msg} [{bar:30}] {human_pos}/{human_len} leaves, {per_sec}, {eta} left";
/// Bytes of a file with a token.
const MAX_TOKEN: usize = 4_096;

pub(super) fn run(
    arguments: AuditArguments,
    now: UnixSeconds,
    rng: RngFactory,
    json: bool,
) -> Result<u8, CliError> {
    let json_path = match &arguments.report {
        Some(path) => Some(json_beside(path)?),
        None => None,
    };
    let quorum = arguments.quorum.unwrap_or(arguments.witness.len());
    let policy = WitnessPolicy::new(arguments.witness, quorum)?;
    let ledger = open(&arguments.ledger, arguments.token_file.as_deref())?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let options = AuditOptions {
        vendor: arguments.vendor.id,
        since: arguments.since.as_deref().map(read).transpose()?,
        receipts: arguments.receipts,
        refusals: arguments.refusals,
        policy,
        state: arguments.state,
        save_every: arguments.save_every,
        workers: arguments.workers.unwrap_or(cores),
        now,
        rng,
    };
    let report = audit(&*ledger, &options, &bar())?;
    if let (Some(path), Some(json_path)) = (&arguments.report, json_path) {
        write(path, html::page(&report).into_string().as_bytes())?;
        write(&json_path, &to_json(&report))?;
    }
    let mut out = io::stdout().lock();
    let printed = match json {
        true => out.write_all(&to_json(&report)),
        false => print(&report, &mut out),
    };
    printed.and_then(|()| out.flush()).map_err(CliError::Output)?;
    Ok(report.exit_code)
}

fn to_json(report: &Report) -> Vec<u8> {
    // A report is numbers and text, which always have a form in JSON.
    let mut bytes = serde_json::to_vec_pretty(report).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

fn json_beside(path: &Path) -> Result<std::path::PathBuf, CliError> {
    match path.extension() {
        Some(extension) if extension == "html" => Ok(path.with_extension("json")),
        _ => Err(CliError::ReportName { path: path.to_owned() }),
    }
}

pub(super) fn open(place: &str, token_file: Option<&Path>) -> Result<Box<dyn Ledger>, CliError> {
    if Path::new(place).is_dir() {
        return Ok(Box::new(DirectoryLedger::new(place)));
    }
    if !place.starts_with("https://") && !place.starts_with("http://") {
        return Err(CliError::NoSuchLedger { ledger: place.to_owned() });
    }
    let token = token_file.map(token).transpose()?;
    let options = ClientOptions { timeout: Duration::from_secs(60), ..ClientOptions::default() };
    Ok(Box::new(HttpLedger::new(place, token, options)?))
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(|source| CliError::Read { path: path.to_owned(), source })
}

fn token(path: &Path) -> Result<String, CliError> {
    let bytes = read(path)?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default().trim();
    let is_token = !text.is_empty()
        && text.len() <= MAX_TOKEN
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_token { Ok(text.to_owned()) } else { Err(CliError::Token { path: path.to_owned() }) }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    std::fs::write(path, bytes).map_err(|source| CliError::Write { path: path.to_owned(), source })
}

/// A bar on standard error, where that is a terminal.
fn bar() -> impl Fn(Progress) + Sync {
    let bar: Mutex<Option<ProgressBar>> = Mutex::new(None);
    move |progress| {
        // A panic while the bar was locked has at worst left it half drawn.
        let mut bar = bar.lock().unwrap_or_else(PoisonError::into_inner);
        match progress {
            Progress::Leaves { from, done, size } => {
                let bar = bar.get_or_insert_with(|| {
                    let style = ProgressStyle::with_template(TEMPLATE);
                    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
                    let bar = ProgressBar::new(size - from).with_style(style);
                    bar.with_message("auditing")
                });
                bar.set_position(done.saturating_sub(from));
            }
            Progress::Sorting => {
                if let Some(bar) = bar.as_ref() {
                    bar.set_message("sorting");
                }
            }
            Progress::Done => {
                if let Some(bar) = bar.take() {
                    bar.finish_and_clear();
                }
            }
        }
    }
}

/// The report in a few lines.
fn print(report: &Report, out: &mut impl Write) -> io::Result<()> {
    for check in &report.checks {
        let (mark, why) = match &check.verdict {
            Verdict::Pass => ("pass", String::new()),
            Verdict::Fail => ("FAIL", format!(": {} found", check.findings)),
            Verdict::NotChecked(why) => ("not checked", format!(": {why}")),
            Verdict::NotAsked(why) => ("not asked", format!(": {why}")),
        };
        writeln!(out, "{mark:>11}  {}{why}", check.title)?;
    }
    for one in &report.findings {
        let finding = &one.finding;
        let at = finding.index.map_or_else(String::new, |index| format!(" at leaf {index}"));
        let of = finding.operator.map_or_else(String::new, |id| format!(", operator {id}"));
        let statement =
            finding.statement.map_or_else(String::new, |number| format!(", statement {number}"));
        writeln!(out, "\n{}{at}{of}{statement}\n  {}", one.title, finding.detail)?;
        writeln!(out, "  Whose fault it can be: {}.\n  {}", one.fault, one.remedy)?;
    }
    let redemptions = report.leaves_of("redemption");
    let verdict = match report.exit_code {
        PASSED => "Everything passed",
        INCOMPLETE => "What was checked passed, and something was not checked",
        _ => "The books do not hold",
    };
    writeln!(out, "\n{verdict}: {} leaves, {redemptions} redemptions.", report.size)
}
