//! What was decided, counted by operator and day: what the vendor can know of how an operator does. The answers to
//! batches themselves are dropped with their epochs, these sums stay.

use scrip_protocol::{redemption::ItemResult, time::Day};
use serde::Serialize;
use sqlx::Row;

use super::{BatchRecord, Decision};
use crate::store::{Store, StoreError, Tx, TxError, rows};

/// How the items of some batches were decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OutcomeCounts {
    /// Batches.
    pub batches: u64,
    /// Certificates that were accepted.
    pub accepted: u64,
    /// Those that had been accepted from the same operator before.
    pub repeated: u64,
    /// Those that had been spent elsewhere.
    pub double_spent: u64,
    /// Those that came too late.
    pub expired: u64,
    /// Those that were no good certificate or no good spend.
    pub invalid: u64,
    /// Days from payment to redemption, added up over all that were accepted.
    pub days_waited: u64,
    /// The most days that one of them waited.
    pub longest_wait: u64,
}

/// What was decided for one operator on one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutcomeDay {
    /// The operator's number.
    pub operator: i64,
    /// The UTC day.
    pub day: Day,
    /// The counts.
    pub counts: OutcomeCounts,
}

impl OutcomeCounts {
    /// The two together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            batches: self.batches + other.batches,
            accepted: self.accepted + other.accepted,
            repeated: self.repeated + other.repeated,
            double_spent: self.double_spent + other.double_spent,
            expired: self.expired + other.expired,
            invalid: self.invalid + other.invalid,
            days_waited: self.days_waited + other.days_waited,
            longest_wait: self.longest_wait.max(other.longest_wait),
        }
    }
}

/// Counts the results of a batch.
pub(super) fn of(batch: &BatchRecord, results: &[ItemResult]) -> OutcomeCounts {
    let mut counts = OutcomeCounts { batches: 1, ..OutcomeCounts::default() };
    for (item, result) in batch.items.iter().zip(results) {
        match result {
            ItemResult::Accepted => {
                counts.accepted += 1;
                if let Decision::Spend(spend) = item {
                    // A payment may bear the date of tomorrow, where the clocks differ.
                    let waited = u64::from(batch.day.0.saturating_sub(spend.item.day.0));
                    counts.days_waited += waited;
                    counts.longest_wait = counts.longest_wait.max(waited);
                }
            }
            ItemResult::AlreadyAccepted => counts.repeated += 1,
            ItemResult::DoubleSpent(_) => counts.double_spent += 1,
            ItemResult::Expired => counts.expired += 1,
            ItemResult::Invalid(_) => counts.invalid += 1,
        }
    }
    counts
}

impl Store {
    /// What was decided from `day` on, by operator and day.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn outcomes_from(&self, day: Day) -> Result<Vec<OutcomeDay>, StoreError> {
        self.read("outcomes_from", |tx| {
            Box::pin(async move {
                let sql = "-- outcomes_from()
                    SELECT operator, day, batches, accepted, repeated, double_spent, expired, invalid,
                        days_waited, longest_wait
                    FROM outcomes WHERE day >= $1 ORDER BY operator, day";
                let found =
                    sqlx::query(sql).bind(i64::from(day.0)).fetch_all(tx.connection()).await?;
                found.iter().map(outcome_day).collect()
            })
        })
        .await
    }
}

impl Tx<'_> {
    /// Adds the counts of a batch to those of its operator and day.
    pub(super) async fn add_outcomes(
        &mut self,
        batch: &BatchRecord,
        counts: &OutcomeCounts,
    ) -> Result<(), TxError> {
        let sql = "-- add_outcomes()
            INSERT INTO outcomes (operator, day, batches, accepted, repeated, double_spent, expired,
                invalid, days_waited, longest_wait)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            ON CONFLICT (operator, day) DO UPDATE SET
                batches = outcomes.batches + excluded.batches,
                accepted = outcomes.accepted + excluded.accepted,
                repeated = outcomes.repeated + excluded.repeated,
                double_spent = outcomes.double_spent + excluded.double_spent,
                expired = outcomes.expired + excluded.expired,
                invalid = outcomes.invalid + excluded.invalid,
                days_waited = outcomes.days_waited + excluded.days_waited,
                longest_wait = CASE WHEN outcomes.longest_wait < excluded.longest_wait
                    THEN excluded.longest_wait ELSE outcomes.longest_wait END";
        let mut query = sqlx::query(sql).bind(batch.operator).bind(i64::from(batch.day.0));
        for count in [
            counts.batches,
            counts.accepted,
            counts.repeated,
            counts.double_spent,
            counts.expired,
            counts.invalid,
            counts.days_waited,
            counts.longest_wait,
        ] {
            query = query.bind(i64::try_from(count).unwrap_or(i64::MAX));
        }
        query.execute(self.connection()).await?;
        Ok(())
    }
}

fn outcome_day(row: &sqlx::any::AnyRow) -> Result<OutcomeDay, TxError> {
    let count = |column| rows::integer(row, column, "outcomes");
    Ok(OutcomeDay {
        operator: row.try_get("operator")?,
        day: Day(rows::integer(row, "day", "outcomes")?),
        counts: OutcomeCounts {
            batches: count("batches")?,
            accepted: count("accepted")?,
            repeated: count("repeated")?,
            double_spent: count("double_spent")?,
            expired: count("expired")?,
            invalid: count("invalid")?,
            days_waited: count("days_waited")?,
            longest_wait: count("longest_wait")?,
        },
    })
}
