//! Redemption batches: stored before they are sent, decided when they are answered.

use std::collections::BTreeMap;

use scrip_protocol::{credits::Credits, redemption::ItemResult, time::Day};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use super::sql::{SqlResult, list, many, number, owed, rows_per_statement, take_numbers};
use crate::spent::{ConflictNumber, EvidenceState, NewBatch, OutcomeRecord, StoreError};

/// Stores batches, all or none.
pub(super) async fn put(
    tx: &mut SqliteConnection,
    batches: &[NewBatch],
) -> SqlResult<Result<(), StoreError>> {
    for batch in batches {
        if unsent(tx, batch).await? != batch.members.len() {
            return Ok(Err(StoreError::AlreadyInBatch));
        }
    }
    let mut next = take_numbers(tx, "batches", batches.len()).await?;
    for batch in batches {
        insert(tx, next, batch).await?;
        next += 1;
    }
    Ok(Ok(()))
}

/// How many of the members are in no batch yet.
async fn unsent(tx: &mut SqliteConnection, batch: &NewBatch) -> SqlResult<usize> {
    let mut query = many(format!(
        "SELECT COUNT(*) FROM evidence WHERE state IN (0, 1) AND number IN ({})",
        list(batch.members.len())
    ));
    for member in &batch.members {
        query = query.bind(member.0);
    }
    let count: i64 = query.fetch_one(tx).await?.try_get(0)?;
    Ok(usize::try_from(count).unwrap_or(0))
}

async fn insert(tx: &mut SqliteConnection, batch_number: i64, batch: &NewBatch) -> SqlResult<()> {
    let sql = "-- put_batches()
        INSERT INTO batches (number, vendor, items, made_at, bytes)
        SELECT ?, number, ?, ?, ? FROM vendors WHERE vendor_id = ?";
    sqlx::query(sql)
        .bind(batch_number)
        .bind(number(batch.members.len() as u64))
        .bind(number(batch.at.0))
        .bind(&batch.bytes)
        .bind(batch.vendor_id.as_bytes().as_slice())
        .execute(&mut *tx)
        .await?;
    let sql = "-- put_batches()
        UPDATE evidence SET state = ?, batch = ?, place = ? WHERE number = ?";
    for (place, member) in batch.members.iter().enumerate() {
        sqlx::query(sql)
            .bind(EvidenceState::Sent.code())
            .bind(batch_number)
            .bind(number(place as u64))
            .bind(member.0)
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

/// What the results of a batch add up to, by state and whether a test key signed: certificates and credits.
type Sums = BTreeMap<(i64, bool), (u64, Credits)>;

/// Stores the answer to a batch, unless there is one.
pub(super) async fn record(
    tx: &mut SqliteConnection,
    outcome: &OutcomeRecord,
) -> SqlResult<Result<(), StoreError>> {
    let sql = "-- record_outcome()
        SELECT vendor, outcome IS NOT NULL AS answered FROM batches WHERE number = ?";
    let query = sqlx::query(sql).bind(outcome.batch.0);
    let Some(batch) = query.fetch_optional(&mut *tx).await? else {
        return Ok(Err(StoreError::UnknownBatch));
    };
    if batch.try_get("answered")? {
        return Ok(Ok(()));
    }
    let vendor: i64 = batch.try_get("vendor")?;
    let members = members(tx, outcome).await?;
    if members.len() != outcome.results.len() {
        return Ok(Err(StoreError::UnknownBatch));
    }
    let mut sums = Sums::new();
    let mut numbers: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for (member, result) in members.iter().zip(&outcome.results) {
        let owed = owed(member, "evidence")?;
        let state = EvidenceState::of(result).code();
        let (items, credits) = sums.entry((state, member.try_get("test")?)).or_default();
        (*items, *credits) = (*items + 1, Credits::total([*credits, owed]));
        numbers.entry(state).or_default().push(member.try_get("number")?);
        if let ItemResult::DoubleSpent(spend) = result {
            insert_conflict(tx, vendor, member, outcome.day, &spend.proof().encode()).await?;
        }
    }
    set_states(tx, &numbers).await?;
    add_earnings(tx, vendor, outcome.day, &sums).await?;
    let sql = "-- record_outcome()
        UPDATE batches SET outcome = ?, answered_day = ? WHERE number = ?";
    sqlx::query(sql)
        .bind(&outcome.bytes)
        .bind(i64::from(outcome.day.0))
        .bind(outcome.batch.0)
        .execute(tx)
        .await?;
    Ok(Ok(()))
}

async fn members(tx: &mut SqliteConnection, outcome: &OutcomeRecord) -> SqlResult<Vec<SqliteRow>> {
    let sql = "-- record_outcome()
        SELECT e.number, e.exponent, e.test, p.payment_id, p.asks_first
        FROM evidence AS e JOIN payments AS p ON p.number = e.payment
        WHERE e.batch = ? ORDER BY e.place";
    Ok(sqlx::query(sql).bind(outcome.batch.0).fetch_all(tx).await?)
}

/// The server is told of a conflict, unless the payment was asked about before it was provisioned: then the certificate
/// never counted.
async fn insert_conflict(
    tx: &mut SqliteConnection,
    vendor: i64,
    member: &SqliteRow,
    day: Day,
    proof: &[u8],
) -> SqlResult<()> {
    let sql = "-- record_outcome()
        INSERT INTO conflicts (vendor, payment_id, exponent, day, reported, proof)
        VALUES (?, ?, ?, ?, ?, ?)";
    sqlx::query(sql)
        .bind(vendor)
        .bind(member.try_get::<&[u8], _>("payment_id")?)
        .bind(member.try_get::<i64, _>("exponent")?)
        .bind(i64::from(day.0))
        .bind(member.try_get::<i64, _>("asks_first")?)
        .bind(proof)
        .execute(tx)
        .await?;
    Ok(())
}

async fn set_states(tx: &mut SqliteConnection, numbers: &BTreeMap<i64, Vec<i64>>) -> SqlResult<()> {
    for (state, numbers) in numbers {
        for numbers in numbers.chunks(rows_per_statement(1)) {
            let mut query = many(format!(
                "UPDATE evidence SET state = ? WHERE number IN ({})",
                list(numbers.len())
            ))
            .bind(*state);
            for number in numbers {
                query = query.bind(*number);
            }
            query.execute(&mut *tx).await?;
        }
    }
    Ok(())
}

async fn add_earnings(
    tx: &mut SqliteConnection,
    vendor: i64,
    day: Day,
    sums: &Sums,
) -> SqlResult<()> {
    for ((state, test), (items, credits)) in sums {
        let sql = "-- record_outcome()
            INSERT INTO earnings (vendor, day, test, state, items, credits)
            VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (vendor, day, test, state)
            DO UPDATE SET items = items + excluded.items, credits = credits + excluded.credits";
        sqlx::query(sql)
            .bind(vendor)
            .bind(i64::from(day.0))
            .bind(i64::from(*test))
            .bind(*state)
            .bind(number(*items))
            .bind(number(credits.0))
            .execute(&mut *tx)
            .await?;
    }
    let decided = Credits::total(sums.values().map(|(_, credits)| *credits));
    let sql = "-- record_outcome()
        UPDATE vendors SET unredeemed = unredeemed - ? WHERE number = ?";
    sqlx::query(sql).bind(number(decided.0)).bind(vendor).execute(tx).await?;
    Ok(())
}

/// The server was told.
pub(super) async fn reported(tx: &mut SqliteConnection, conflict: ConflictNumber) -> SqlResult<()> {
    let sql = "-- reported()
        UPDATE conflicts SET reported = 1 WHERE number = ?";
    sqlx::query(sql).bind(conflict.0).execute(tx).await?;
    Ok(())
}
