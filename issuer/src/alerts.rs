//! What needs somebody, on the admin page and in `status`. Each says what happened and what to do.

use scrip_protocol::{
    manifest::KeyUse,
    time::{Day, SECONDS_PER_DAY, UnixSeconds},
};
use scrip_runtime::plausible::{ClockInDoubt, Reading};
use serde::Serialize;

use crate::{
    config::Config,
    error::StartError,
    ledger::{LedgerError, Storage, belief::doubt_of, beside},
    schedule::{self, EpochState, Schedule},
    status::{self, Status},
    store::{
        Action, Doubt, OperatorRow, OutcomeCounts, OutcomeDay, Sale, SourceFailure, Store,
        StoreError,
    },
};

/// How many days back rates are taken from, today included.
pub(crate) const RECENT_DAYS: u32 = 30;
/// Keys that were not made so many seconds after they were due are worth a word: a running issuer tries every minute.
const KEYS_LATE: u64 = 15 * 60;
/// Refunds in a hundred purchases of a product …
const REFUNDS_PERCENT: u64 = 5;
/// … that are at least this many.
const REFUNDS_LEAST: u64 = 3;
/// Double spends in a hundred certificates of an operator …
const DOUBLE_SPENDS_PERCENT: u64 = 1;
/// … that are at least this many.
const DOUBLE_SPENDS_LEAST: u64 = 5;

/// The name under which failures of the ledger are counted, beside those of the sources.
pub(crate) const LEDGER: &str = "ledger";

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Money is being lost, or nothing can be sold: now.
    Bad,
    /// It will get bad if nobody looks.
    Warning,
}

/// Something that needs somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// How much it matters.
    pub severity: Severity,
    /// What happened.
    pub what: String,
    /// What to do. Commands are between backticks.
    pub remedy: String,
}

/// Reads the books and finds what needs somebody. Needs no passphrase.
///
/// # Errors
/// [`StartError`] where the database or the manifest in it cannot be read.
pub async fn read(
    store: &Store,
    config: &Config,
    now: UnixSeconds,
    clock: Option<ClockInDoubt>,
) -> Result<Vec<Alert>, StartError> {
    let doubt = doubt(store, config).await?;
    let since = Day(now.day().0.saturating_sub(RECENT_DAYS - 1));
    let books = Books {
        status: &status::read(store, config, now).await?,
        schedule: &schedule::read(store, config, now).await?,
        failures: &store.source_failures().await?,
        sales: &store.sales(since).await?,
        operators: &store.operators().await?,
        outcomes: &store.outcomes_from(since).await?,
        receipt_key: store.last_done(Action::KeysReceipt).await?,
        doubt: doubt.as_ref(),
        clock,
    };
    Ok(of(books, now))
}

/// What alerts are found in: the books, and what happened in the last days.
#[derive(Clone)]
pub struct Books<'a> {
    /// The sums.
    pub status: &'a Status,
    /// The keys.
    pub schedule: &'a Schedule,
    /// Sources that fail.
    pub failures: &'a [SourceFailure],
    /// Sales of the last days.
    pub sales: &'a [Sale],
    /// The operators.
    pub operators: &'a [OperatorRow],
    /// What was decided in the last days.
    pub outcomes: &'a [OutcomeDay],
    /// When the receipt key was last changed, and by which version of the manifest.
    pub receipt_key: Option<(UnixSeconds, String)>,
    /// Why all this is not to be believed.
    pub doubt: Option<&'a Doubt>,
    /// What keeps the clock from being believed.
    pub clock: Option<ClockInDoubt>,
}

/// What the ledger's storage has against this database. Where it cannot be read, other alerts say so.
async fn doubt(store: &Store, config: &Config) -> Result<Option<Doubt>, StoreError> {
    if let Some(doubt) = store.doubt() {
        return Ok(Some(doubt));
    }
    let Ok(storage) = Storage::open(&config.ledger, beside(&config.database).as_deref()) else {
        return Ok(None);
    };
    match doubt_of(store, &storage).await {
        Ok(doubt) => Ok(doubt),
        Err(LedgerError::Store(error)) => Err(error),
        Err(_) => Ok(None),
    }
}

/// Everything that needs somebody, the worst first.
pub fn of(books: Books<'_>, now: UnixSeconds) -> Vec<Alert> {
    if let Some(doubt) = books.doubt {
        // What else would be found in books that are not to be believed would mislead.
        return vec![Alert::bad(
            format!(
                "The database is not to be believed: {doubt}. Everything but reading is refused."
            ),
            doubt.remedy(),
        )];
    }
    let mut alerts = Vec::new();
    clock(books.clock, &mut alerts);
    over_redeemed(books.status, &mut alerts);
    keys(books.schedule, now, &mut alerts);
    receipt_key(books.receipt_key.as_ref(), now, &mut alerts);
    ledger(books.failures, books.status, &mut alerts);
    sources(books.failures, &mut alerts);
    refunds(books.sales, &mut alerts);
    double_spends(books.operators, books.outcomes, &mut alerts);
    alerts.sort_by_key(|alert| alert.severity);
    alerts
}

impl Alert {
    fn bad(what: String, remedy: impl Into<String>) -> Self {
        Self { severity: Severity::Bad, what, remedy: remedy.into() }
    }

    fn warning(what: String, remedy: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, what, remedy: remedy.into() }
    }
}

/// Whoever sets the clock could have keys deleted and epochs written off.
fn clock(doubt: Option<ClockInDoubt>, alerts: &mut Vec<Alert>) {
    let Some(ClockInDoubt(Reading { wall, believed, other })) = doubt else { return };
    let other = other.map(|shown| format!(", and the database server's shows {shown}"));
    let other = other.unwrap_or_default();
    alerts.push(Alert::bad(
        format!(
            "The clock of this machine shows {wall}, and the last time that an issuer believed is {believed}{other}. Nothing is              deleted, written off or dated for good meanwhile: no statement, no list of voided certificates, no keys of a new \
             epoch; and what may have expired is not decided."
        ),
        format!(
            "Where the clock is wrong, set it: nothing is lost. Where it is right, and the issuer was off or its clock wrong \
             before, say so: `scrip-issuer clock confirm {}`. Otherwise it is believed after as long as the difference is.",
            wall.day()
        ),
    ));
}

/// More came back than was ever given out: somebody else has the key.
fn over_redeemed(status: &Status, alerts: &mut Vec<Alert>) {
    for row in &status.denominations {
        let used = row.redeemed.saturating_add(row.renewed);
        if used > row.issued {
            let (epoch, worth, issued) = (row.epoch, row.credits.0, row.issued);
            alerts.push(Alert::bad(
                format!(
                    "Epoch {epoch}, worth {worth}: {used} certificates were redeemed or renewed and {issued} issued. Its \
                     key was stolen, or the database was restored from an older backup."
                ),
                format!(
                    "If no backup was restored: `scrip-issuer keys revoke --epoch {epoch}` ends it; make new vouchers for \
                     users who lose by it."
                ),
            ));
        }
    }
}

fn keys(schedule: &Schedule, now: UnixSeconds, alerts: &mut Vec<Alert>) {
    let issues = |key_use| {
        let mut of_use = schedule.epochs.iter().filter(move |epoch| epoch.key_use == key_use);
        of_use.any(|epoch| epoch.state == EpochState::Issuing)
    };
    if !issues(KeyUse::Production) {
        alerts.push(Alert::bad(
            "No epoch issues now: nothing can be bought.".into(),
            "Start the issuer and read its log for `the keys were not tended`, or make keys by hand: \
             `scrip-issuer keys rotate`.",
        ));
    } else if schedule.next.made_at.plus(KEYS_LATE) < now {
        let (made_at, issue_from) = (schedule.next.made_at, schedule.next.issue_from);
        alerts.push(Alert::warning(
            format!(
                "The keys of the next epoch were to be made at {made_at} and are not; purchases stop at {issue_from}."
            ),
            "The issuer's log says why, at `the keys were not tended`.",
        ));
    }
}

/// Nobody should change the key of the vendor's evidence without others knowing; witnesses have to follow.
fn receipt_key(changed: Option<&(UnixSeconds, String)>, now: UnixSeconds, alerts: &mut Vec<Alert>) {
    let Some((at, version)) = changed else { return };
    if at.plus(u64::from(RECENT_DAYS) * SECONDS_PER_DAY) <= now {
        return;
    }
    alerts.push(Alert::warning(
        format!("The receipt key was changed at {at} ({version})."),
        "Give witnesses the new key, `scrip-issuer ledger key`: they know your checkpoints by the one before until the next \
         change. If none of you did this, somebody has the passphrase and the database: stop the issuer.",
    ));
}

/// Redemptions are recorded and nobody is told.
fn ledger(failures: &[SourceFailure], status: &Status, alerts: &mut Vec<Alert>) {
    let Some(failure) = failures.iter().find(|failure| failure.source == LEDGER) else { return };
    let SourceFailure { at, message, .. } = failure;
    let waiting = status.ledger.map_or(0, |ledger| ledger.waiting.entries);
    alerts.push(Alert::bad(
        format!("The ledger does not grow, last tried at {at}: {message}. {waiting} batches and other entries wait."),
        "Nothing is lost: operators send their batches again. Make the ledger's storage work, `[ledger]` in issuer.toml; \
         `scrip-issuer ledger status` shows how it catches up.",
    ));
}

fn sources(failures: &[SourceFailure], alerts: &mut Vec<Alert>) {
    for failure in failures.iter().filter(|failure| failure.source != LEDGER) {
        let SourceFailure { source, at, failures, message } = failure;
        let times = if *failures == 1 { "once".into() } else { format!("{failures} times") };
        alerts.push(Alert::warning(
            format!("The source `{source}` failed {times}, last at {at}: {message}"),
            format!(
                "Purchases wait and are finished when it works again. If it stays: check `[sources.{source}]` in \
                 issuer.toml, and the place's own status page."
            ),
        ));
    }
}

fn refunds(sales: &[Sale], alerts: &mut Vec<Alert>) {
    let mut products: Vec<(&str, &str)> = sales
        .iter()
        .filter(|sale| !sale.test && sale.source != "rest") // a second part goes the way of the first
        .map(|sale| (sale.source.as_str(), sale.product.as_str()))
        .collect();
    products.sort_unstable();
    products.dedup();
    for (source, product) in products {
        let of_product = || {
            sales
                .iter()
                .filter(|s| !s.test && (s.source.as_str(), s.product.as_str()) == (source, product))
        };
        let purchases: u64 = of_product().map(|sale| sale.purchases).sum();
        let refunded: u64 = of_product().map(|sale| sale.refunded).sum();
        if refunded >= REFUNDS_LEAST && refunded * 100 > purchases * REFUNDS_PERCENT {
            alerts.push(Alert::warning(
                format!("{refunded} of {purchases} purchases of `{product}` at `{source}` were refunded lately."),
                format!(
                    "See who, under `Lost by refunds` of the sales. A part that is delivered later bounds the loss: `rest` under \
                     `[products.{product}]` in issuer.toml."
                ),
            ));
        }
    }
}

fn double_spends(operators: &[OperatorRow], outcomes: &[OutcomeDay], alerts: &mut Vec<Alert>) {
    for operator in operators {
        let of_operator = outcomes.iter().filter(|day| day.operator == operator.number);
        let counts = of_operator.fold(OutcomeCounts::default(), |sum, day| sum.and(day.counts));
        let decided = counts.accepted + counts.double_spent;
        let spent = counts.double_spent;
        if spent >= DOUBLE_SPENDS_LEAST && spent * 100 > decided * DOUBLE_SPENDS_PERCENT {
            alerts.push(Alert::warning(
                format!("{spent} of {decided} certificates that `{}` brought lately had been spent elsewhere.", operator.name),
                "Its clients cheat it, or it brings what others were paid. It bears the loss; `stop_above` and `online_above` \
                 in its relay.toml bound it.",
            ));
        }
    }
}
