//! What was decided, counted by operator and day: what the vendor can know of how an operator does. The answers to
//! batches themselves are dropped with their epochs, these sums stay.

use scrip_protocol::{id::BatchDigest, redemption::ItemResult, time::Day};
use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::Row;

use super::{BatchRecord, Decision};
use crate::store::{Store, StoreError, Tx, TxError, rows};

/// What the hash of an entry's name begins with, so that it equals no other hash.
const ENTRY_LABEL: &[u8] = b"scrip-issuer outcomes\0";

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
                    SELECT operator, day, COUNT(*) AS batches,
                        CAST(SUM(accepted) AS BIGINT) AS accepted,
                        CAST(SUM(repeated) AS BIGINT) AS repeated,
                        CAST(SUM(double_spent) AS BIGINT) AS double_spent,
                        CAST(SUM(expired) AS BIGINT) AS expired,
                        CAST(SUM(invalid) AS BIGINT) AS invalid,
                        CAST(SUM(days_waited) AS BIGINT) AS days_waited,
                        MAX(longest_wait) AS longest_wait
                    FROM outcomes WHERE day >= $1 GROUP BY operator, day ORDER BY operator, day";
                let found =
                    sqlx::query(sql).bind(i64::from(day.0)).fetch_all(tx.connection()).await?;
                found.iter().map(outcome_day).collect()
            })
        })
        .await
    }
}

impl Tx<'_> {
    /// Appends the counts of a batch.
    pub(super) async fn insert_outcomes(
        &mut self,
        batch: &BatchRecord,
        counts: &OutcomeCounts,
    ) -> Result<(), TxError> {
        let sql = "-- insert_outcomes()
            INSERT INTO outcomes (operator, day, entry, accepted, repeated, double_spent, expired,
                invalid, days_waited, longest_wait)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let mut query = sqlx::query(sql)
            .bind(batch.operator)
            .bind(i64::from(batch.day.0))
            .bind(entry(&batch.digest));
        for count in [
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

/// A name for the counts of a batch that is not the batch's own number, under which other tables keep what they have of
/// it for longer.
fn entry(digest: &BatchDigest) -> i64 {
    let hash = Sha256::new().chain_update(ENTRY_LABEL).chain_update(digest.as_bytes()).finalize();
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash[..8]);
    i64::from_be_bytes(bytes) & i64::MAX
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
