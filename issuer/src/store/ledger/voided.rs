//! Lists of voided certificates (voided.md): which editions there are, and what they are made of.

use scrip_protocol::{time::Day, voided::Voided};
use sqlx::{Row, any::AnyRow};

use super::{Store, StoreError, TxError, What, column, day, rows};

/// Certificates that are read at once.
const PAGE: i64 = 10_000;

/// An edition of an epoch's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditionRow {
    /// The epoch.
    pub epoch: u32,
    /// Its number.
    pub number: u32,
    /// It has everything that was recorded before this day.
    pub day: Day,
    /// It has what the first `covered` leaves of the ledger have.
    pub covered: u64,
    /// The public leaf that commits to it.
    pub commitment: Vec<u8>,
    /// Whether it is known to be published.
    pub published: bool,
}

impl Store {
    /// The newest edition of an epoch.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn newest_edition(&self, epoch: u32) -> Result<Option<EditionRow>, StoreError> {
        self.read("newest_edition", |tx| {
            Box::pin(async move {
                let sql = "-- newest_edition()
                    SELECT epoch, number, day, covered, commitment, published FROM voided_editions
                    WHERE epoch = $1 ORDER BY number DESC LIMIT 1";
                let found =
                    sqlx::query(sql).bind(i64::from(epoch)).fetch_optional(tx.connection()).await?;
                found.as_ref().map(edition).transpose()
            })
        })
        .await
    }

    /// Records an edition and puts its leaves in line, in one transaction. `false` where there is one of its number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record_edition(
        &self,
        edition: &EditionRow,
        salt_leaf: &[u8],
        today: Day,
        in_transaction: impl Fn() + Sync,
    ) -> Result<bool, StoreError> {
        let in_transaction = &in_transaction;
        self.run_tx("record_edition", |tx| {
            Box::pin(async move {
                let sql = "-- insert_edition()
                    INSERT INTO voided_editions (epoch, number, day, covered, commitment, published)
                    VALUES ($1, $2, $3, $4, $5, 0) ON CONFLICT DO NOTHING";
                let inserted = sqlx::query(sql)
                    .bind(i64::from(edition.epoch))
                    .bind(i64::from(edition.number))
                    .bind(i64::from(edition.day.0))
                    .bind(column(edition.covered))
                    .bind(edition.commitment.as_slice())
                    .execute(tx.connection())
                    .await?;
                if inserted.rows_affected() == 0 {
                    return Ok(false);
                }
                in_transaction();
                let public = [edition.commitment.clone()];
                tx.enqueue_leaves(today, None, &public, salt_leaf).await?;
                Ok(true)
            })
        })
        .await
    }

    /// Notes that an edition is published.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn mark_edition_published(&self, edition: &EditionRow) -> Result<(), StoreError> {
        let (epoch, number) = (i64::from(edition.epoch), i64::from(edition.number));
        self.run_tx("mark_edition_published", |tx| {
            Box::pin(async move {
                let sql = "-- mark_edition_published()
                    UPDATE voided_editions SET published = 1 WHERE epoch = $1 AND number = $2";
                sqlx::query(sql).bind(epoch).bind(number).execute(tx.connection()).await?;
                Ok(())
            })
        })
        .await
    }

    /// Where the leaf with these bytes lies, at `from` or after it, if it has its place.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn place_of_leaf(&self, leaf: &[u8], from: u64) -> Result<Option<u64>, StoreError> {
        self.read("place_of_leaf", |tx| {
            Box::pin(async move {
                let sql = "-- place_of_leaf()
                    SELECT first FROM ledger_ranges
                    WHERE first >= $1 AND what = $2 AND body = $3 ORDER BY first LIMIT 1";
                let found = sqlx::query(sql)
                    .bind(column(from))
                    .bind(What::Leaf.number())
                    .bind(leaf)
                    .fetch_optional(tx.connection())
                    .await?;
                found.as_ref().map(|row| rows::integer(row, "first", "ledger_ranges")).transpose()
            })
        })
        .await
    }

    /// Whether redemptions or renewals of a day before `day` wait for their places.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn waits_from_before(&self, day: Day) -> Result<bool, StoreError> {
        self.read("waits_from_before", |tx| {
            Box::pin(async move {
                let sql = "-- waits_from_before()
                    SELECT COUNT(*) AS waiting FROM ledger_queue WHERE what IN (1, 3) AND day < $1";
                let row =
                    sqlx::query(sql).bind(i64::from(day.0)).fetch_one(tx.connection()).await?;
                Ok(rows::integer::<u64>(&row, "waiting", "ledger_queue")? > 0)
            })
        })
        .await
    }

    /// The certificates of an epoch that the first `covered` leaves of the ledger say were voided.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn voided_before(
        &self,
        epoch: u32,
        covered: u64,
    ) -> Result<Vec<([u8; 32], Voided)>, StoreError> {
        let redeemed = "-- redeemed_before()
            SELECT spent.certificate_key AS certificate_key,
                COALESCE(ledger_ranges.first, $2) AS place
            FROM spent LEFT JOIN ledger_ranges ON ledger_ranges.batch = spent.batch
            WHERE spent.epoch = $1 AND spent.certificate_key > $3
            ORDER BY spent.certificate_key LIMIT $4";
        // `logged` is one more than the place.
        let renewed = "-- renewed_before()
            SELECT certificate_key, CASE WHEN logged = 0 THEN $2 ELSE logged - 1 END AS place
            FROM renewals WHERE epoch = $1 AND certificate_key > $3
            ORDER BY certificate_key LIMIT $4";
        let mut voided = Vec::new();
        for (sql, what) in [(redeemed, Voided::Redeemed), (renewed, Voided::Renewed)] {
            let mut last = Vec::new();
            loop {
                let after = last.clone();
                let page = self.read("voided_before", |tx| {
                    let after = after.clone();
                    Box::pin(async move {
                        let found = sqlx::query(sql)
                            .bind(i64::from(epoch))
                            .bind(column(covered))
                            .bind(after)
                            .bind(PAGE)
                            .fetch_all(tx.connection())
                            .await?;
                        found.iter().map(place).collect::<Result<Vec<_>, _>>()
                    })
                });
                let page = page.await?;
                let Some((key, _)) = page.last() else { break };
                last = key.to_vec();
                let before = page.iter().filter(|(_, place)| *place < covered);
                voided.extend(before.map(|(key, _)| (*key, what)));
                if page.len() < PAGE as usize {
                    break;
                }
            }
        }
        Ok(voided)
    }
}

fn place(row: &AnyRow) -> Result<([u8; 32], u64), TxError> {
    let key = rows::bytes(row, "certificate_key", "spent")?;
    Ok((key, rows::integer(row, "place", "ledger_ranges")?))
}

fn edition(row: &AnyRow) -> Result<EditionRow, TxError> {
    let table = "voided_editions";
    Ok(EditionRow {
        epoch: rows::integer(row, "epoch", table)?,
        number: rows::integer(row, "number", table)?,
        day: day(row, table)?,
        covered: rows::integer(row, "covered", table)?,
        commitment: row.try_get("commitment")?,
        published: rows::integer::<u8>(row, "published", table)? == 1,
    })
}
