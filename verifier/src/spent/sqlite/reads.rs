//! Queries, and the books that may be read while another process writes.

use std::{
    path::Path,
    sync::atomic::{AtomicI64, Ordering},
};

use scrip_protocol::{
    id::{PaymentId, VendorId},
    time::UnixSeconds,
};
use sqlx::{Row as _, SqlitePool, pool::PoolConnection, sqlite::SqliteRow};

use super::{
    open_error, readers,
    rows::{
        answered_batch, conflict, earnings_row, find, pending_batch, redeemable_item, reserved_at,
        reserved_payment, vendor_totals,
    },
    sql::{SqlResult, bytes, integer, number},
};
use crate::spent::{
    AnsweredBatch, BatchNumber, Conflict, EarningsRow, KnownPayment, PendingBatch, RedeemableItem,
    ReservedPayment, StoreError, VendorTotals, Waiting,
};

/// The spent store as one reads it: what is owed, earned and lost. Any number of processes may have it open, beside
/// the one that writes.
pub struct Books {
    pool: SqlitePool,
    /// The highest number of a damaged conflict that was logged.
    damaged: AtomicI64,
}

impl Books {
    /// Opens the database at `path` for reading. It must exist.
    ///
    /// # Errors
    /// [`StoreError::Open`].
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(open_error(path, missing.into()));
        }
        Ok(Self { pool: readers(path).await?, damaged: AtomicI64::new(0) })
    }

    /// Waits until every connection is closed.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    async fn connection(&self) -> SqlResult<PoolConnection<sqlx::Sqlite>> {
        Ok(self.pool.acquire().await?)
    }

    pub(super) async fn find(
        &self,
        payment: PaymentId,
    ) -> Result<Option<KnownPayment>, StoreError> {
        named("find", async { find(&mut *self.connection().await?, &payment).await }).await
    }

    pub(super) async fn reserved(
        &self,
        until: UnixSeconds,
    ) -> Result<Vec<ReservedPayment>, StoreError> {
        named("reserved", async {
            let mut connection = self.connection().await?;
            let sql = "-- reserved()
                SELECT p.*, v.vendor_id FROM payments AS p JOIN vendors AS v ON v.number = p.vendor
                WHERE p.state = 0 AND p.reserved_at <= ?
                ORDER BY p.reserved_at, p.number";
            let query = sqlx::query(sql).bind(number(until.0));
            let mut reserved = Vec::new();
            for row in query.fetch_all(&mut *connection).await? {
                reserved.push(reserved_payment(&mut connection, &row).await?);
            }
            Ok(reserved)
        })
        .await
    }

    pub(super) async fn waiting(&self, vendor: VendorId) -> Result<Waiting, StoreError> {
        named("waiting", async {
            let sql = "-- waiting()
                SELECT COUNT(*) AS items, MIN(e.number) AS oldest, MIN(c.redeem_until) AS redeem_until
                FROM evidence AS e
                LEFT JOIN epochs AS c ON c.vendor = e.vendor AND c.epoch = e.epoch
                WHERE e.state = 1 AND e.vendor = (SELECT number FROM vendors WHERE vendor_id = ?)";
            let mut connection = self.connection().await?;
            let query = sqlx::query(sql).bind(vendor.as_bytes().as_slice());
            let row = query.fetch_one(&mut *connection).await?;
            let oldest = match row.try_get::<Option<i64>, _>("oldest")? {
                Some(item) => Some(reserved_at(&mut connection, item).await?),
                None => None,
            };
            let redeem_until = row.try_get::<Option<i64>, _>("redeem_until")?;
            Ok(Waiting {
                items: integer(&row, "items", "evidence")?,
                oldest,
                redeem_until: redeem_until.and_then(|at| u64::try_from(at).ok()).map(UnixSeconds),
            })
        })
        .await
    }

    pub(super) async fn redeemable(
        &self,
        vendor: VendorId,
        most: usize,
    ) -> Result<Vec<RedeemableItem>, StoreError> {
        named("redeemable", async {
            let sql = "-- redeemable()
                SELECT number, token, day, commitment, signature FROM evidence
                WHERE state = 1 AND vendor = (SELECT number FROM vendors WHERE vendor_id = ?)
                ORDER BY number LIMIT ?";
            let query = sqlx::query(sql).bind(vendor.as_bytes().as_slice());
            let query = query.bind(number(most as u64));
            let rows = query.fetch_all(&mut *self.connection().await?).await?;
            rows.iter().map(redeemable_item).collect()
        })
        .await
    }

    pub(super) async fn unshown(
        &self,
        payment: PaymentId,
    ) -> Result<Vec<RedeemableItem>, StoreError> {
        named("unshown", async {
            let sql = "-- unshown()
                SELECT e.number, e.token, e.day, e.commitment, e.signature
                FROM payments AS p
                JOIN evidence AS e ON e.number BETWEEN p.first_item AND p.last_item
                WHERE p.payment_id = ? AND p.state = 0 AND e.state = 0 ORDER BY e.number";
            let query = sqlx::query(sql).bind(payment.as_bytes().as_slice());
            let rows = query.fetch_all(&mut *self.connection().await?).await?;
            rows.iter().map(redeemable_item).collect()
        })
        .await
    }

    pub(super) async fn pending_batches(&self) -> Result<Vec<PendingBatch>, StoreError> {
        named("pending_batches", async {
            let sql = "-- pending_batches()
                SELECT b.number, v.vendor_id
                FROM batches AS b JOIN vendors AS v ON v.number = b.vendor
                WHERE b.outcome IS NULL ORDER BY b.number";
            let rows = sqlx::query(sql).fetch_all(&mut *self.connection().await?).await?;
            rows.iter().map(pending_batch).collect()
        })
        .await
    }

    pub(super) async fn batch_bytes(&self, batch: BatchNumber) -> Result<Vec<u8>, StoreError> {
        let bytes = named("batch_bytes", async {
            let sql = "-- batch_bytes()
                SELECT bytes FROM batches WHERE number = ?";
            let query = sqlx::query(sql).bind(batch.0);
            let row = query.fetch_optional(&mut *self.connection().await?).await?;
            Ok(row.map(|row| row.try_get("bytes")).transpose()?)
        });
        bytes.await?.ok_or(StoreError::UnknownBatch)
    }

    pub(super) async fn pending_batches_of(
        &self,
        payment: PaymentId,
    ) -> Result<Vec<PendingBatch>, StoreError> {
        named("pending_batches_of", async {
            let sql = "-- pending_batches_of()
                SELECT DISTINCT b.number, v.vendor_id
                FROM payments AS p
                JOIN vendors AS v ON v.number = p.vendor
                JOIN evidence AS e ON e.number BETWEEN p.first_item AND p.last_item
                JOIN batches AS b ON b.number = e.batch
                WHERE p.payment_id = ? AND b.outcome IS NULL ORDER BY b.number";
            let query = sqlx::query(sql).bind(payment.as_bytes().as_slice());
            let rows = query.fetch_all(&mut *self.connection().await?).await?;
            rows.iter().map(pending_batch).collect()
        })
        .await
    }

    pub(super) async fn unreported(&self) -> Result<Vec<Conflict>, StoreError> {
        named("unreported", async {
            let sql = "-- unreported()
                SELECT c.*, v.vendor_id FROM conflicts AS c JOIN vendors AS v ON v.number = c.vendor
                WHERE c.reported = 0 ORDER BY c.number";
            let rows = sqlx::query(sql).fetch_all(&mut *self.connection().await?).await?;
            Ok(rows.iter().filter_map(|row| self.readable(row)).collect())
        })
        .await
    }

    /// A conflict, unless its row is damaged: the others must be reported all the same. That is logged once, since this
    /// is asked all the time.
    fn readable(&self, row: &SqliteRow) -> Option<Conflict> {
        let error = match conflict(row) {
            Ok(conflict) => return Some(conflict),
            Err(error) => error.named("unreported"),
        };
        let number: i64 = row.try_get("number").ok()?;
        if self.damaged.fetch_max(number, Ordering::Relaxed) < number {
            tracing::error!(number, %error, "a double spend cannot be told to the server");
        }
        None
    }

    pub(super) async fn conflicts_of(
        &self,
        payment: PaymentId,
    ) -> Result<Vec<Conflict>, StoreError> {
        named("conflicts_of", async {
            let sql = "-- conflicts_of()
                SELECT c.*, v.vendor_id FROM conflicts AS c JOIN vendors AS v ON v.number = c.vendor
                WHERE c.payment_id = ? ORDER BY c.number";
            let query = sqlx::query(sql).bind(payment.as_bytes().as_slice());
            let rows = query.fetch_all(&mut *self.connection().await?).await?;
            rows.iter().map(conflict).collect()
        })
        .await
    }

    /// The newest payments that were taken, those after number `after`, at most `most`, the newest first, each with its number and
    /// when it was reserved.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn newest_taken(
        &self,
        after: i64,
        most: u32,
    ) -> Result<Vec<(i64, PaymentId, UnixSeconds)>, StoreError> {
        named("newest_taken", async {
            let sql = "-- newest_taken()
                SELECT number, payment_id, reserved_at FROM payments
                WHERE number > ? AND state = 1 AND status BETWEEN 200 AND 299
                ORDER BY number DESC LIMIT ?";
            let query = sqlx::query(sql).bind(after).bind(most);
            let rows = query.fetch_all(&mut *self.connection().await?).await?;
            let payment = |row: &SqliteRow| {
                let id = PaymentId::from_bytes(bytes(row, "payment_id", "payments")?);
                let at = UnixSeconds(integer(row, "reserved_at", "payments")?);
                Ok((row.try_get("number")?, id, at))
            };
            rows.iter().map(payment).collect()
        })
        .await
    }

    /// All conflicts that were ever found, the newest first, at most `most`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn conflicts(&self, most: usize) -> Result<Vec<Conflict>, StoreError> {
        named("conflicts", async {
            let sql = "-- conflicts()
                SELECT c.*, v.vendor_id FROM conflicts AS c JOIN vendors AS v ON v.number = c.vendor
                ORDER BY c.number DESC LIMIT ?";
            let query = sqlx::query(sql).bind(number(most as u64));
            let rows = query.fetch_all(&mut *self.connection().await?).await?;
            rows.iter().map(conflict).collect()
        })
        .await
    }

    /// What vendors decided, per day and kind of result, the newest day first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn earnings(&self) -> Result<Vec<EarningsRow>, StoreError> {
        named("earnings", async {
            let sql = "-- earnings()
                SELECT e.*, v.vendor_id FROM earnings AS e JOIN vendors AS v ON v.number = e.vendor
                ORDER BY e.day DESC, e.vendor, e.test, e.state";
            let rows = sqlx::query(sql).fetch_all(&mut *self.connection().await?).await?;
            rows.iter().map(earnings_row).collect()
        })
        .await
    }

    /// At most `most` batches of a vendor that were answered, in the order in which they were made, those after `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn answered(
        &self,
        vendor: VendorId,
        after: Option<BatchNumber>,
        most: usize,
    ) -> Result<Vec<AnsweredBatch>, StoreError> {
        named("answered", async {
            let sql = "-- answered()
                SELECT number, bytes, outcome, answered_day FROM batches
                WHERE outcome IS NOT NULL AND number > ?
                  AND vendor = (SELECT number FROM vendors WHERE vendor_id = ?)
                ORDER BY number LIMIT ?";
            let query = sqlx::query(sql)
                .bind(after.map_or(i64::MIN, |after| after.0))
                .bind(vendor.as_bytes().as_slice())
                .bind(number(most as u64));
            let rows = query.fetch_all(&mut *self.connection().await?).await?;
            rows.iter().map(answered_batch).collect()
        })
        .await
    }

    /// What is owed by, and was earned from, each vendor.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn totals(&self) -> Result<Vec<VendorTotals>, StoreError> {
        named("totals", async {
            let sql = "-- totals()
                SELECT v.vendor_id, v.unredeemed,
                  (SELECT MIN(p.reserved_at) FROM payments AS p
                     WHERE p.state = 0 AND p.vendor = v.number) AS oldest_reserved,
                  (SELECT p.reserved_at FROM payments AS p WHERE p.number =
                     (SELECT payment FROM evidence WHERE number =
                       (SELECT MIN(e.number) FROM evidence AS e
                        WHERE e.state = 1 AND e.vendor = v.number))) AS oldest_waiting,
                  (SELECT p.reserved_at FROM payments AS p WHERE p.number =
                     (SELECT payment FROM evidence WHERE number =
                       (SELECT MIN(e.number) FROM batches AS b JOIN evidence AS e ON e.batch = b.number
                        WHERE b.outcome IS NULL AND b.vendor = v.number))) AS oldest_sent,
                  (SELECT COUNT(*) FROM evidence AS e WHERE e.state = 1 AND e.vendor = v.number) AS waiting,
                  (SELECT COUNT(*) FROM batches AS b WHERE b.outcome IS NULL AND b.vendor = v.number) AS pending,
                  (SELECT COALESCE(SUM(credits), 0) FROM earnings AS e
                     WHERE e.vendor = v.number AND e.state IN (3, 4)) AS accepted,
                  (SELECT COALESCE(SUM(items), 0) FROM earnings AS e
                     WHERE e.vendor = v.number AND e.state IN (3, 4) AND e.test) AS test_certificates,
                  (SELECT COALESCE(SUM(credits), 0) FROM earnings AS e
                     WHERE e.vendor = v.number AND e.state >= 5) AS lost,
                  (SELECT COUNT(*) FROM conflicts AS c WHERE c.vendor = v.number) AS conflicts
                FROM vendors AS v ORDER BY v.number";
            let rows = sqlx::query(sql).fetch_all(&mut *self.connection().await?).await?;
            rows.iter().map(vendor_totals).collect()
        })
        .await
    }
}

/// A query, by whose name an error is known.
async fn named<T>(
    name: &'static str,
    query: impl Future<Output = SqlResult<T>>,
) -> Result<T, StoreError> {
    query.await.map_err(|error| error.named(name))
}
