//! Dropping what can be neither spent nor redeemed any more.

use scrip_protocol::time::UnixSeconds;
use sqlx::{Row as _, SqliteConnection};

use super::{
    refuse,
    sql::{SqlResult, list, many, number},
};

/// How many certificates are dropped in one transaction.
const SLICE: i64 = 4_096;

/// For how many days the answer to a batch is kept, whatever became of its certificates: until long after it was settled.
const RECEIPTS_KEPT: i64 = 2 * 366;

/// Drops some certificates of closed epochs. What the vendor has not decided yet stays: it is money.
pub(super) async fn slice(tx: &mut SqliteConnection, now: UnixSeconds) -> SqlResult<u64> {
    let sql = "-- prune()
        SELECT s.vendor, s.epoch, s.certificate_key, s.item, e.payment
        FROM epochs AS c
        CROSS JOIN spent AS s ON s.vendor = c.vendor AND s.epoch = c.epoch
        CROSS JOIN evidence AS e ON e.number = s.item
        WHERE c.redeem_until <= ? AND e.state > 2 LIMIT ?";
    let found = sqlx::query(sql).bind(number(now.0)).bind(SLICE).fetch_all(&mut *tx).await?;
    let mut items: Vec<i64> = Vec::with_capacity(found.len());
    let mut payments: Vec<i64> = Vec::with_capacity(found.len());
    for row in &found {
        items.push(row.try_get("item")?);
        payments.push(row.try_get("payment")?);
        let sql = "-- prune()
            DELETE FROM spent WHERE vendor = ? AND epoch = ? AND certificate_key = ?";
        sqlx::query(sql)
            .bind(row.try_get::<i64, _>("vendor")?)
            .bind(row.try_get::<i64, _>("epoch")?)
            .bind(row.try_get::<&[u8], _>("certificate_key")?)
            .execute(&mut *tx)
            .await?;
    }
    payments.sort_unstable();
    payments.dedup();
    if !items.is_empty() {
        delete(tx, "DELETE FROM evidence WHERE number IN", &items, "").await?;
        let empty =
            "AND NOT EXISTS (SELECT 1 FROM evidence WHERE number BETWEEN first_item AND last_item)";
        delete(tx, "DELETE FROM payments WHERE number IN", &payments, empty).await?;
        return Ok(items.len() as u64);
    }
    let refusals = refuse::prune(tx, now).await?;
    if refusals > 0 {
        return Ok(refusals);
    }
    let sql = "-- prune()
        DELETE FROM batches WHERE outcome IS NOT NULL AND answered_day < ?
          AND NOT EXISTS (SELECT 1 FROM evidence WHERE batch = batches.number)";
    let kept = i64::from(now.day().0) - RECEIPTS_KEPT;
    sqlx::query(sql).bind(kept).execute(&mut *tx).await?;
    let sql = "-- prune()
        DELETE FROM epochs WHERE redeem_until <= ? AND NOT EXISTS
          (SELECT 1 FROM spent WHERE spent.vendor = epochs.vendor AND spent.epoch = epochs.epoch)";
    sqlx::query(sql).bind(number(now.0)).execute(tx).await?;
    Ok(0)
}

async fn delete(
    tx: &mut SqliteConnection,
    statement: &'static str,
    numbers: &[i64],
    condition: &'static str,
) -> SqlResult<()> {
    let mut query = many(format!("{statement} ({}) {condition}", list(numbers.len())));
    for number in numbers {
        query = query.bind(*number);
    }
    query.execute(tx).await?;
    Ok(())
}
