//! The end of a reservation: commit or release.

use scrip_protocol::id::PaymentId;
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use super::{
    rows,
    sql::{SqlResult, number, owed},
};
use crate::{
    provisions::StoredAnswer,
    spent::{EvidenceState, StoreError},
};

/// The answer to a payment.
pub(super) struct Commit {
    pub(super) payment: PaymentId,
    pub(super) answer: StoredAnswer,
}

/// The row of a payment, as far as its end goes.
async fn row_of(tx: &mut SqliteConnection, payment: &PaymentId) -> SqlResult<Option<SqliteRow>> {
    let sql = "-- settle()
        SELECT number, vendor, state, first_item, last_item, status, content_type, answer
        FROM payments WHERE payment_id = ?";
    let query = sqlx::query(sql).bind(payment.as_bytes().as_slice());
    Ok(query.fetch_optional(tx).await?)
}

/// Stores the answer, unless there is one.
pub(super) async fn commit(
    tx: &mut SqliteConnection,
    commit: &Commit,
) -> SqlResult<Result<StoredAnswer, StoreError>> {
    let Some(row) = row_of(tx, &commit.payment).await? else {
        return Ok(Err(StoreError::NotReserved));
    };
    if row.try_get::<i64, _>("state")? == rows::COMMITTED {
        return Ok(Ok(rows::answer(&row)?));
    }
    let sql = "-- commit()
        UPDATE payments SET state = 1, status = ?, content_type = ?, answer = ? WHERE number = ?";
    sqlx::query(sql)
        .bind(i64::from(commit.answer.status))
        .bind(&commit.answer.content_type)
        .bind(&commit.answer.body)
        .bind(row.try_get::<i64, _>("number")?)
        .execute(&mut *tx)
        .await?;
    // What the vendor was asked about first is in a batch, or decided, and stays so.
    let sql = "-- commit()
        UPDATE evidence SET state = ? WHERE number BETWEEN ? AND ? AND state = ?";
    sqlx::query(sql)
        .bind(EvidenceState::Waiting.code())
        .bind(row.try_get::<i64, _>("first_item")?)
        .bind(row.try_get::<i64, _>("last_item")?)
        .bind(EvidenceState::Reserved.code())
        .execute(tx)
        .await?;
    Ok(Ok(commit.answer.clone()))
}

/// Deletes the reservation with all that belongs to it.
pub(super) async fn release(
    tx: &mut SqliteConnection,
    payment: &PaymentId,
) -> SqlResult<Result<(), StoreError>> {
    let Some(row) = row_of(tx, payment).await? else { return Ok(Ok(())) };
    let first: i64 = row.try_get("first_item")?;
    let last: i64 = row.try_get("last_item")?;
    let vendor: i64 = row.try_get("vendor")?;
    let sql = "-- release()
        SELECT epoch, exponent, test, state, token FROM evidence WHERE number BETWEEN ? AND ?";
    let items = sqlx::query(sql).bind(first).bind(last).fetch_all(&mut *tx).await?;
    let mut free = row.try_get::<i64, _>("state")? == rows::RESERVED;
    for item in &items {
        free &= item.try_get::<i64, _>("state")? == EvidenceState::Reserved.code();
    }
    if !free {
        return Ok(Err(StoreError::NotReleasable));
    }
    let mut credits = 0;
    for item in &items {
        credits += owed(item, "evidence")?.0;
        let sql = "-- release()
            DELETE FROM spent WHERE vendor = ? AND epoch = ? AND certificate_key = ?";
        sqlx::query(sql)
            .bind(vendor)
            .bind(item.try_get::<i64, _>("epoch")?)
            .bind(rows::token(item)?.nonce.to_vec())
            .execute(&mut *tx)
            .await?;
    }
    let sql = "-- release()
        DELETE FROM evidence WHERE number BETWEEN ? AND ?";
    sqlx::query(sql).bind(first).bind(last).execute(&mut *tx).await?;
    let sql = "-- release()
        DELETE FROM payments WHERE number = ?";
    sqlx::query(sql).bind(row.try_get::<i64, _>("number")?).execute(&mut *tx).await?;
    let sql = "-- release()
        UPDATE vendors SET unredeemed = unredeemed - ? WHERE number = ?";
    sqlx::query(sql).bind(number(credits)).bind(vendor).execute(tx).await?;
    Ok(Ok(()))
}
