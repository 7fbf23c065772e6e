//! What the page shows, read from the books at one moment.

use scrip_protocol::{
    credits::Credits,
    id::OperatorId,
    manifest::KeyUse,
    time::{Day, UnixSeconds},
};

use crate::{
    alerts::{self, Alert, RECENT_DAYS},
    error::StartError,
    issuer::Issuer,
    schedule::{self, EpochState, EpochStatus, Schedule},
    status::{self, DenominationStatus, Status},
    store::{Action, Loss, OperatorRow, OutcomeCounts, OutcomeDay, Sale},
};

/// How many days back the page looks, today included.
pub(super) const DAYS: u32 = RECENT_DAYS;

/// The source of what belongs to a purchase that was counted before.
const REST: &str = "rest";

/// Everything that the pages choose from.
pub(super) struct Books {
    pub(super) now: UnixSeconds,
    pub(super) schedule: Schedule,
    /// Those of production, newest first.
    pub(super) epochs: Vec<EpochBooks>,
    /// Those of test keys, which count in no sum.
    pub(super) test_epochs: Vec<EpochBooks>,
    /// Of production.
    pub(super) total: Sums,
    pub(super) operators: Vec<OperatorBooks>,
    pub(super) sales: Sales,
    /// The worst first.
    pub(super) alerts: Vec<Alert>,
}

/// What was sold and taken back.
pub(super) struct Sales {
    /// The last [`DAYS`], oldest first.
    pub(super) days: Vec<Day>,
    /// What was sold on them.
    pub(super) rows: Vec<Sale>,
    /// What was lost by refunds since the beginning, the greatest loss first.
    pub(super) losses: Vec<Loss>,
}

impl Sales {
    /// Sales of the last days, without those of test environments, and without the second parts of earlier ones.
    pub(super) fn real(&self) -> impl Iterator<Item = &Sale> {
        self.rows.iter().filter(|sale| !sale.test && sale.source != REST)
    }

    /// The sources that something was bought at, by name.
    pub(super) fn sources(&self) -> Vec<&str> {
        let mut sources: Vec<&str> = self.real().map(|sale| sale.source.as_str()).collect();
        sources.sort_unstable();
        sources.dedup();
        sources
    }
}

/// Where the credits of some certificates are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) issued: u64,
    pub(super) redeemed: u64,
    /// What was exchanged for certificates of a later epoch, where it counts as issued.
    pub(super) renewed: u64,
    /// What nobody can redeem any more.
    pub(super) expired: u64,
    /// What the vendor still owes operators, if it is spent.
    pub(super) outstanding: u64,
}

/// An epoch, its windows and its credits.
pub(super) struct EpochBooks {
    pub(super) epoch: EpochStatus,
    pub(super) sums: Sums,
    pub(super) denominations: Vec<(DenominationStatus, Sums)>,
}

/// An operator, and what it did in the last [`DAYS`].
pub(super) struct OperatorBooks {
    pub(super) id: OperatorId,
    pub(super) name: String,
    pub(super) added: Day,
    /// Since the beginning.
    pub(super) certificates: u64,
    pub(super) credits: Credits,
    pub(super) recent: OutcomeCounts,
    /// The day of its last batch, if it was in these days.
    pub(super) last_batch: Option<Day>,
}

impl Sums {
    fn of(row: &DenominationStatus) -> Self {
        let worth = |certificates: u64| row.credits.0.saturating_mul(certificates);
        Self {
            issued: worth(row.issued),
            redeemed: worth(row.redeemed),
            renewed: worth(row.renewed),
            expired: worth(row.expired),
            outstanding: worth(u64::try_from(row.outstanding).unwrap_or_default()),
        }
    }

    fn add(self, other: Self) -> Self {
        Self {
            issued: self.issued.saturating_add(other.issued),
            redeemed: self.redeemed.saturating_add(other.redeemed),
            renewed: self.renewed.saturating_add(other.renewed),
            expired: self.expired.saturating_add(other.expired),
            outstanding: self.outstanding.saturating_add(other.outstanding),
        }
    }
}

impl OperatorBooks {
    /// Double spends in a thousand decided certificates of the last days, in tenths of a percent.
    pub(super) fn double_spend_per_mille(&self) -> Option<u64> {
        let OutcomeCounts { accepted, double_spent, .. } = self.recent;
        let decided = accepted + double_spent;
        (decided > 0).then(|| (double_spent * 1_000 + decided / 2) / decided)
    }

    /// Days from payment to redemption, on the average and in tenths.
    pub(super) fn mean_wait_tenths(&self) -> Option<u64> {
        let OutcomeCounts { accepted, days_waited, .. } = self.recent;
        (accepted > 0).then(|| (days_waited * 10 + accepted / 2) / accepted)
    }
}

/// Reads the books.
pub(super) async fn read(issuer: &Issuer) -> Result<Books, StartError> {
    let (store, config, now) = (issuer.store(), issuer.config(), issuer.inner.clock.now());
    let status = status::read(store, config, now).await?;
    let schedule = schedule::read(store, config, now).await?;
    let from = Day(now.day().0.saturating_sub(DAYS - 1));
    let outcomes = store.outcomes_from(from).await?;
    let rows = store.operators().await?;
    let sales = Sales {
        days: (from.0..=now.day().0).map(Day).collect(),
        rows: store.sales(from).await?,
        losses: store.losses().await?,
    };
    let failures = store.source_failures().await?;
    let receipt_key = store.last_done(Action::KeysReceipt).await?;
    let doubt = issuer.doubt();
    let alerts = alerts::of(
        alerts::Books {
            status: &status,
            schedule: &schedule,
            failures: &failures,
            sales: &sales.rows,
            operators: &rows,
            outcomes: &outcomes,
            receipt_key,
            doubt: doubt.as_ref(),
            clock: issuer.clock_in_doubt(),
        },
        now,
    );
    let mut epochs: Vec<EpochBooks> =
        schedule.epochs.iter().map(|epoch| epoch_books(epoch, &status)).collect();
    epochs.reverse();
    let is_test = |books: &EpochBooks| books.epoch.key_use == KeyUse::Test;
    let (test_epochs, epochs): (Vec<_>, Vec<_>) = epochs.into_iter().partition(is_test);
    let total = epochs.iter().fold(Sums::default(), |sums, epoch| sums.add(epoch.sums));
    let operators = operator_books(&status, &rows, &outcomes);
    Ok(Books { now, schedule, epochs, test_epochs, total, operators, sales, alerts })
}

fn epoch_books(epoch: &EpochStatus, status: &Status) -> EpochBooks {
    let of_epoch = status.denominations.iter().filter(|row| row.epoch == epoch.epoch);
    let denominations: Vec<(DenominationStatus, Sums)> =
        of_epoch.map(|row| (row.clone(), Sums::of(row))).collect();
    let sums = denominations.iter().fold(Sums::default(), |sums, (_, one)| sums.add(*one));
    EpochBooks { epoch: epoch.clone(), sums, denominations }
}

fn operator_books(
    status: &Status,
    rows: &[OperatorRow],
    outcomes: &[OutcomeDay],
) -> Vec<OperatorBooks> {
    let books = status.operators.iter().map(|operator| {
        let number = rows.iter().find(|row| row.id == operator.id).map(|row| row.number);
        let days: Vec<&OutcomeDay> =
            outcomes.iter().filter(|day| Some(day.operator) == number).collect();
        OperatorBooks {
            id: operator.id,
            name: operator.name.clone(),
            added: operator.added,
            certificates: operator.certificates,
            credits: operator.credits,
            recent: days.iter().fold(OutcomeCounts::default(), |sum, day| sum.and(day.counts)),
            last_batch: days.iter().map(|day| day.day).max(),
        }
    });
    let mut books: Vec<OperatorBooks> = books.collect();
    books.sort_by_key(|operator| std::cmp::Reverse(operator.credits.0));
    books
}

impl Books {
    /// The epoch whose keys sign now.
    pub(super) fn issuing(&self) -> Option<&EpochBooks> {
        self.epochs.iter().find(|books| books.epoch.state == EpochState::Issuing)
    }
}
