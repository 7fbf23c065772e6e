//! What an audit found, as data: the JSON twin of the page that people read ([`html`]).

mod chart;
pub mod html;

use std::{collections::BTreeMap, time::Duration};

use scrip_protocol::{
    id::{OperatorId, VendorId},
    ledger::Money,
    manifest::KeyUse,
    time::{Day, UnixSeconds},
    tlog::hash::TreeHash,
};
use serde::{Serialize, Serializer};

use crate::{
    audit::{Accounts, Flow, OperatorAccount},
    finding::{Check, Finding, FindingKind, Findings, Verdict},
    keyring::Keyring,
};

/// The exit code of an audit in which everything passed.
pub const PASSED: u8 = 0;
/// The exit code of an audit that found fraud or an inconsistency.
pub const FOUND: u8 = 3;
/// The exit code of an audit in which everything that was checked passed, and something was not checked.
pub const INCOMPLETE: u8 = 4;

/// A report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Of this JSON.
    pub format: u32,
    /// `pass`, `fail` or `incomplete`.
    pub verdict: &'static str,
    /// What `scrip-auditor` exits with.
    pub exit_code: u8,
    /// The vendor.
    pub vendor: VendorId,
    /// Where the ledger was read.
    pub ledger: String,
    /// When.
    pub audited_at: UnixSeconds,
    /// Leaves of the ledger.
    pub size: u64,
    /// The signed root.
    pub root: Option<TreeHash>,
    /// The checkpoint, as it was signed.
    pub checkpoint: String,
    /// The size of the earlier checkpoint that this one was held against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// How many witnesses were named.
    pub witnesses: usize,
    /// How many of them had to have cosigned.
    pub quorum: usize,
    /// The verdict of each check.
    pub checks: Vec<CheckReport>,
    /// What was found.
    pub findings: Vec<FindingReport>,
    /// How many there are of each kind, those included that are not listed.
    pub finding_counts: BTreeMap<&'static str, u64>,
    /// Leaves by what they are.
    pub leaves: BTreeMap<String, u64>,
    /// By epoch and denomination.
    pub keys: Vec<KeyReport>,
    /// Grants and what was signed for them, of production keys and of test keys.
    pub books: [BookReport; 2],
    /// Operators, the largest first.
    pub operators: Vec<OperatorReport>,
    /// What operators redeemed with production keys, by day.
    pub redemptions: Vec<DailyReport>,
    /// Versions of the manifest that the ledger names.
    pub manifests: Vec<u64>,
    /// What operators handed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipts: Option<Receipts>,
    /// How the audit went.
    pub run: Run,
}

/// One check.
#[derive(Debug, Serialize)]
pub struct CheckReport {
    /// Which.
    #[serde(serialize_with = "slug")]
    pub check: Check,
    /// What holds where it passes.
    pub title: &'static str,
    /// How it ended.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// How many findings it has.
    pub findings: u64,
}

fn slug<S: Serializer>(check: &Check, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(check.slug())
}

/// A finding, with what people need to understand it.
#[derive(Debug, Serialize)]
pub struct FindingReport {
    /// What was found, and where.
    #[serde(flatten)]
    pub finding: Finding,
    /// In a few words.
    pub title: &'static str,
    /// Whose fault it can be.
    pub fault: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

/// What happened to the certificates of one key.
#[derive(Debug, Serialize)]
pub struct KeyReport {
    /// The epoch.
    pub epoch: u32,
    /// What its keys sign; `None` where no manifest has the epoch.
    pub key_use: Option<KeyUse>,
    /// Credits of one certificate.
    pub credits: u64,
    /// Certificates that were signed for grants.
    pub sold: u64,
    /// Certificates that were signed in the place of renewed ones.
    pub reissued: u64,
    /// Certificates.
    pub redeemed: u64,
    /// Certificates.
    pub renewed: u64,
    /// Certificates.
    pub expired: u64,
    /// Certificates that may still come back; below 0 where more came back than was issued.
    pub outstanding: i64,
}

/// Grants and what was signed for them.
#[derive(Debug, Default, Serialize)]
pub struct BookReport {
    /// Purchases.
    pub purchases: u64,
    /// Credits that they granted.
    pub granted: u64,
    /// Credits that were signed for grants.
    pub sold: u64,
}

/// An operator.
#[derive(Debug, Serialize)]
pub struct OperatorReport {
    /// Who.
    pub id: OperatorId,
    /// Contracts.
    pub contracts: usize,
    /// What its contracts are in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// Certificates that it redeemed, those of test keys too.
    pub redeemed: u64,
    /// What those of production keys are worth, in credits.
    pub credits: u64,
    /// Credits that it sold on the vendor's behalf.
    pub resold: u64,
    /// Statements.
    pub statements: u32,
    /// The sum of their totals, in millionths of the currency.
    pub settled: i64,
}

impl OperatorReport {
    /// The sum of the statements, for people.
    pub fn settled_text(&self) -> String {
        match &self.currency {
            Some(currency) => format!("{} {currency}", Money(self.settled)),
            None => "–".to_owned(),
        }
    }
}

/// What was redeemed on one day.
#[derive(Debug, Serialize)]
pub struct DailyReport {
    /// `2026-01-31`
    #[serde(serialize_with = "day_text")]
    pub day: Day,
    /// The operator.
    pub operator: OperatorId,
    /// Credits.
    pub credits: u64,
}

fn day_text<S: Serializer>(day: &Day, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(day)
}

/// What operators handed in.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Receipts {
    /// Files.
    pub files: u64,
    /// Certificates that they say were credited.
    pub certificates: u64,
    /// Of those, in a part of the ledger that is newer than what was audited.
    pub later: u64,
}

/// How an audit went.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Run {
    /// The first leaf that was read in this run.
    pub from: u64,
    /// Leaves that were read in this run.
    pub leaves: u64,
    /// Threads that checked certificates.
    pub workers: usize,
    /// Wall-clock time.
    pub seconds: f64,
    /// The most memory that the process ever held, where the system says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
}

impl Run {
    pub(crate) fn measure(from: u64, size: u64, workers: usize, took: Duration) -> Self {
        let (leaves, seconds) = (size.saturating_sub(from), took.as_secs_f64());
        Self { from, leaves, workers, seconds, peak_memory_bytes: peak_memory() }
    }
}

/// `VmHWM` of `/proc/self/status`: the largest resident set that this process had.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

impl Report {
    pub(crate) fn new(
        verdicts: Vec<(Check, Verdict)>,
        findings: Findings,
        accounts: &Accounts,
        keyring: &Keyring,
    ) -> Self {
        let failed = verdicts.iter().any(|(_, verdict)| *verdict == Verdict::Fail);
        let open = verdicts.iter().any(|(_, verdict)| matches!(verdict, Verdict::NotChecked(_)));
        let (verdict, exit_code) = match (failed, open) {
            (true, _) => ("fail", FOUND),
            (false, true) => ("incomplete", INCOMPLETE),
            (false, false) => ("pass", PASSED),
        };
        let check = |(check, verdict): (Check, Verdict)| CheckReport {
            check,
            title: check.title(),
            verdict,
            findings: findings.of_check(check),
        };
        let finding = |finding: &Finding| FindingReport {
            finding: finding.clone(),
            title: finding.kind.title(),
            fault: finding.kind.fault(),
            remedy: finding.kind.remedy(),
        };
        let key =
            |((epoch, exponent), flow): (&(u32, scrip_protocol::credits::Exponent), &Flow)| {
                KeyReport {
                    epoch: *epoch,
                    key_use: keyring.epoch(*epoch).map(|epoch| epoch.key_use),
                    credits: exponent.value().0,
                    sold: flow.sold,
                    reissued: flow.reissued,
                    redeemed: flow.redeemed,
                    renewed: flow.renewed,
                    expired: flow.expired,
                    outstanding: signed(flow.issued()).saturating_sub(signed(flow.voided())),
                }
            };
        let operators = &accounts.operators;
        let mut operator_reports: Vec<OperatorReport> =
            operators.all().iter().map(operator_report).collect();
        operator_reports.sort_by_key(|operator| std::cmp::Reverse(operator.credits));
        let daily = |((day, operator), credits): (&(u32, u32), &u64)| {
            Some(DailyReport {
                day: Day(*day),
                operator: operators.id(*operator)?,
                credits: *credits,
            })
        };
        let book = |at: usize| {
            let book = &accounts.flows.books[at];
            BookReport { purchases: book.purchases, granted: book.granted, sold: book.sold }
        };
        let mut listed: Vec<FindingReport> = findings.kept().iter().map(finding).collect();
        listed.sort_by_key(|one| (one.finding.kind.check(), one.finding.kind, one.finding.index));
        Self {
            format: 1,
            verdict,
            exit_code,
            vendor: VendorId::from_bytes([0; 32]),
            ledger: String::new(),
            audited_at: UnixSeconds(0),
            size: 0,
            root: None,
            checkpoint: String::new(),
            since: None,
            witnesses: 0,
            quorum: 0,
            checks: verdicts.into_iter().map(check).collect(),
            findings: listed,
            finding_counts: findings.counts().iter().map(|(kind, n)| (kind.slug(), *n)).collect(),
            leaves: accounts.leaves.clone(),
            keys: accounts.flows.keys.iter().map(key).collect(),
            books: [book(0), book(1)],
            operators: operator_reports,
            redemptions: accounts.daily.iter().filter_map(daily).collect(),
            manifests: accounts.manifests.iter().map(|logged| logged.version).collect(),
            receipts: None,
            run: Run::default(),
        }
    }

    /// The findings of this kind.
    pub fn found(&self, kind: FindingKind) -> impl Iterator<Item = &Finding> {
        let findings = self.findings.iter().map(|report| &report.finding);
        findings.filter(move |finding| finding.kind == kind)
    }

    /// How many leaves of this kind the ledger has, such as `redemption`.
    pub fn leaves_of(&self, kind: &str) -> u64 {
        self.leaves.get(kind).copied().unwrap_or(0)
    }

    /// How this check ended.
    pub fn verdict_of(&self, check: Check) -> Option<&Verdict> {
        self.checks.iter().find(|report| report.check == check).map(|report| &report.verdict)
    }
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn operator_report(account: &OperatorAccount) -> OperatorReport {
    OperatorReport {
        id: account.id,
        contracts: account.contracts.len(),
        currency: account.contracts.first().map(|contract| contract.currency.to_string()),
        redeemed: account.redeemed,
        credits: account.credits,
        resold: account.resold,
        statements: account.statements,
        settled: account.settled,
    }
}
