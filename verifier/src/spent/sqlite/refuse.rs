//! Refusing a payment for good.

use std::collections::HashSet;

use scrip_protocol::{id::PaymentId, spend::Binding, time::UnixSeconds};
use sqlx::{Row as _, SqliteConnection};

use super::{
    rows, settle,
    sql::{SqlResult, bytes, list, many, rows as values, rows_per_statement},
};
use crate::{
    provisions::StoredAnswer,
    spent::{KnownPayment, MOST_REFUSALS, NewRefusal, RefuseOutcome, StoreError},
};

/// For how many days after the day of its payment a refusal is kept. The payment itself is refused from the second day on: what is
/// above that is for clocks that are set back.
const REFUSALS_KEPT: i64 = 30;
/// How many refusals, and how many of their bindings, are dropped in one transaction.
const SLICE: i64 = 4_096;

/// Stores the refusal, unless the payment has an answer, a binding is taken, or there are too many.
pub(super) async fn refuse(
    tx: &mut SqliteConnection,
    refusal: &NewRefusal,
) -> SqlResult<Result<RefuseOutcome, StoreError>> {
    match rows::find(tx, &refusal.payment_id).await? {
        Some(KnownPayment::Committed(answer)) => return Ok(Ok(RefuseOutcome::Committed(answer))),
        Some(KnownPayment::Refused(answer)) => return Ok(Ok(RefuseOutcome::Refused(answer))),
        Some(KnownPayment::Reserved(_)) => {
            if let Err(error) = settle::release(tx, &refusal.payment_id).await? {
                return Ok(Err(error));
            }
        }
        None => {}
    }
    if is_any_taken(tx, refusal).await? {
        return Ok(Ok(RefuseOutcome::Taken));
    }
    if is_any_full(tx, refusal).await? {
        return Ok(Ok(RefuseOutcome::Full));
    }
    let sql = "-- refuse()
        INSERT INTO refusals (payment_id, day, status, content_type, answer) VALUES (?, ?, ?, ?, ?)";
    sqlx::query(sql)
        .bind(refusal.payment_id.as_bytes().as_slice())
        .bind(i64::from(refusal.day.0))
        .bind(i64::from(refusal.answer.status))
        .bind(&refusal.answer.content_type)
        .bind(&refusal.answer.body)
        .execute(&mut *tx)
        .await?;
    for bindings in refusal.bindings.chunks(rows_per_statement(3)) {
        // One that another refused payment has, too, stays as it is: it names the same day.
        let mut query = many(format!(
            "INSERT INTO refused (binding, certificate_key, day) VALUES {}
             ON CONFLICT (binding) DO NOTHING",
            values(bindings.len(), 3)
        ));
        for (key, binding) in bindings {
            query = query
                .bind(binding.as_bytes().to_vec())
                .bind(key.to_vec())
                .bind(i64::from(refusal.day.0));
        }
        query.execute(&mut *tx).await?;
    }
    Ok(Ok(RefuseOutcome::Refused(refusal.answer.clone())))
}

/// Whether a certificate was taken here with the very binding that is to be refused.
async fn is_any_taken(tx: &mut SqliteConnection, refusal: &NewRefusal) -> SqlResult<bool> {
    for (key, binding) in &refusal.bindings {
        // By the primary key: there are few vendors and epochs.
        let sql = "-- refuse()
            SELECT 1 FROM epochs AS e
            CROSS JOIN spent AS s
              ON s.vendor = e.vendor AND s.epoch = e.epoch AND s.certificate_key = ?
            WHERE s.binding = ?";
        let query = sqlx::query(sql).bind(key.as_slice()).bind(binding.as_bytes().as_slice());
        if query.fetch_optional(&mut *tx).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn is_any_full(tx: &mut SqliteConnection, refusal: &NewRefusal) -> SqlResult<bool> {
    for (key, _) in &refusal.bindings {
        let sql = "-- refuse()
            SELECT COUNT(*) AS refusals FROM refused WHERE certificate_key = ?";
        let row = sqlx::query(sql).bind(key.as_slice()).fetch_one(&mut *tx).await?;
        if row.try_get::<i64, _>("refusals")? >= MOST_REFUSALS as i64 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The answer to a payment that was refused.
pub(super) async fn find(
    connection: &mut SqliteConnection,
    payment: &PaymentId,
) -> SqlResult<Option<StoredAnswer>> {
    let sql = "-- find()
        SELECT status, content_type, answer FROM refusals WHERE payment_id = ?";
    let query = sqlx::query(sql).bind(payment.as_bytes().as_slice());
    query.fetch_optional(connection).await?.as_ref().map(rows::answer).transpose()
}

/// Those of the bindings that were refused.
pub(super) async fn among(
    connection: &mut SqliteConnection,
    bindings: &[Binding],
) -> SqlResult<HashSet<Binding>> {
    let mut refused = HashSet::new();
    for bindings in bindings.chunks(rows_per_statement(1)) {
        let mut query = many(format!(
            "SELECT binding FROM refused WHERE binding IN ({})",
            list(bindings.len())
        ));
        for binding in bindings {
            query = query.bind(binding.as_bytes().to_vec());
        }
        for row in query.fetch_all(&mut *connection).await? {
            refused.insert(Binding::from_bytes(bytes(&row, "binding", "refused")?));
        }
    }
    Ok(refused)
}

/// Drops some refusals of payments whose day is long past. Gives how many bindings went.
pub(super) async fn prune(tx: &mut SqliteConnection, now: UnixSeconds) -> SqlResult<u64> {
    let before = i64::from(now.day().0) - REFUSALS_KEPT;
    // The bindings first: as long as one is there, what it was part of is.
    let sql = "-- prune()
        DELETE FROM refused WHERE binding IN (SELECT binding FROM refused WHERE day < ? LIMIT ?)";
    let gone = sqlx::query(sql).bind(before).bind(SLICE).execute(&mut *tx).await?;
    let sql = "-- prune()
        DELETE FROM refusals WHERE payment_id IN
          (SELECT payment_id FROM refusals WHERE day < ? LIMIT ?)";
    sqlx::query(sql).bind(before).bind(SLICE).execute(tx).await?;
    Ok(gone.rows_affected())
}
