//! From rows to records.

use scrip_protocol::{
    credits::Credits,
    id::{PaymentId, VendorId},
    keys::Signature,
    redemption::{ConflictProof, RedemptionItem},
    spend::Commitment,
    time::{Day, UnixSeconds},
    token::Token,
};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use super::{
    refuse,
    sql::{SqlError, SqlResult, bytes, integer, value},
};
use crate::{
    provisions::StoredAnswer,
    spent::{
        AnsweredBatch, BatchNumber, Conflict, ConflictNumber, EarningsRow, EvidenceNumber,
        EvidenceState, KnownPayment, PendingBatch, RedeemableItem, ReservedCertificate,
        ReservedPayment, VendorTotals,
    },
};

/// `payments.state` of a payment without an answer.
pub(super) const RESERVED: i64 = 0;
/// `payments.state` of a payment with an answer.
pub(super) const COMMITTED: i64 = 1;

/// What is known of a payment.
pub(super) async fn find(
    connection: &mut SqliteConnection,
    payment: &PaymentId,
) -> SqlResult<Option<KnownPayment>> {
    let sql = "-- find()
        SELECT p.*, v.vendor_id FROM payments AS p JOIN vendors AS v ON v.number = p.vendor
        WHERE p.payment_id = ?";
    let query = sqlx::query(sql).bind(payment.as_bytes().as_slice());
    let Some(row) = query.fetch_optional(&mut *connection).await? else {
        return Ok(refuse::find(connection, payment).await?.map(KnownPayment::Refused));
    };
    if row.try_get::<i64, _>("state")? == COMMITTED {
        return Ok(Some(KnownPayment::Committed(answer(&row)?)));
    }
    Ok(Some(KnownPayment::Reserved(reserved_payment(connection, &row).await?)))
}

/// The stored answer in a row of `payments`.
pub(super) fn answer(row: &SqliteRow) -> SqlResult<StoredAnswer> {
    Ok(StoredAnswer {
        status: integer(row, "status", "payments")?,
        content_type: row.try_get("content_type")?,
        body: row.try_get("answer")?,
    })
}

/// The certificate in a row of `evidence`.
pub(super) fn token(row: &SqliteRow) -> SqlResult<Token> {
    Token::decode(row.try_get("token")?).map_err(|_| SqlError::Damaged("evidence"))
}

fn state(row: &SqliteRow, table: &'static str) -> SqlResult<EvidenceState> {
    EvidenceState::from_code(row.try_get("state")?).ok_or(SqlError::Damaged(table))
}

pub(super) async fn reserved_payment(
    connection: &mut SqliteConnection,
    row: &SqliteRow,
) -> SqlResult<ReservedPayment> {
    let sql = "-- reserved_payment()
        SELECT token, exponent, state FROM evidence WHERE number BETWEEN ? AND ? ORDER BY number";
    let items = sqlx::query(sql)
        .bind(row.try_get::<i64, _>("first_item")?)
        .bind(row.try_get::<i64, _>("last_item")?)
        .fetch_all(connection)
        .await?;
    let certificate = |item| {
        let (key, value) = (token(item)?.nonce, value(item, "evidence")?);
        Ok(ReservedCertificate { key, value, state: state(item, "evidence")? })
    };
    Ok(ReservedPayment {
        payment_id: PaymentId::from_bytes(bytes(row, "payment_id", "payments")?),
        vendor_id: VendorId::from_bytes(bytes(row, "vendor_id", "vendors")?),
        seconds_per_credit: integer(row, "seconds_per_credit", "payments")?,
        asks_first: row.try_get("asks_first")?,
        certificates: items.iter().map(certificate).collect::<SqlResult<_>>()?,
    })
}

pub(super) async fn reserved_at(
    connection: &mut SqliteConnection,
    item: i64,
) -> SqlResult<UnixSeconds> {
    let sql = "-- waiting()
        SELECT reserved_at FROM payments
        WHERE number = (SELECT payment FROM evidence WHERE number = ?)";
    let row = sqlx::query(sql).bind(item).fetch_one(connection).await?;
    Ok(UnixSeconds(integer(&row, "reserved_at", "payments")?))
}

pub(super) fn redeemable_item(row: &SqliteRow) -> SqlResult<RedeemableItem> {
    let item = RedemptionItem {
        token: token(row)?,
        day: Day(integer(row, "day", "evidence")?),
        commitment: Commitment::from_bytes(bytes(row, "commitment", "evidence")?),
        signature: Signature::from_bytes(bytes(row, "signature", "evidence")?),
    };
    Ok(RedeemableItem { number: EvidenceNumber(row.try_get("number")?), item })
}

pub(super) fn pending_batch(row: &SqliteRow) -> SqlResult<PendingBatch> {
    Ok(PendingBatch {
        number: BatchNumber(row.try_get("number")?),
        vendor_id: VendorId::from_bytes(bytes(row, "vendor_id", "vendors")?),
    })
}

pub(super) fn answered_batch(row: &SqliteRow) -> SqlResult<AnsweredBatch> {
    Ok(AnsweredBatch {
        number: BatchNumber(row.try_get("number")?),
        day: Day(integer(row, "answered_day", "batches")?),
        bytes: row.try_get("bytes")?,
        outcome: row.try_get("outcome")?,
    })
}

pub(super) fn conflict(row: &SqliteRow) -> SqlResult<Conflict> {
    let proof = ConflictProof::decode(row.try_get("proof")?);
    Ok(Conflict {
        number: ConflictNumber(row.try_get("number")?),
        payment_id: PaymentId::from_bytes(bytes(row, "payment_id", "conflicts")?),
        vendor_id: VendorId::from_bytes(bytes(row, "vendor_id", "vendors")?),
        value: value(row, "conflicts")?,
        day: Day(integer(row, "day", "conflicts")?),
        reported: row.try_get("reported")?,
        proof: proof.map_err(|_| SqlError::Damaged("conflicts"))?,
    })
}

pub(super) fn earnings_row(row: &SqliteRow) -> SqlResult<EarningsRow> {
    Ok(EarningsRow {
        vendor_id: VendorId::from_bytes(bytes(row, "vendor_id", "vendors")?),
        day: Day(integer(row, "day", "earnings")?),
        test: row.try_get("test")?,
        state: state(row, "earnings")?,
        items: integer(row, "items", "earnings")?,
        credits: Credits(integer(row, "credits", "earnings")?),
    })
}

pub(super) fn vendor_totals(row: &SqliteRow) -> SqlResult<VendorTotals> {
    let mut oldest = None;
    for column in ["oldest_reserved", "oldest_waiting", "oldest_sent"] {
        let at: Option<i64> = row.try_get(column)?;
        let at = at.and_then(|at| u64::try_from(at).ok()).map(UnixSeconds);
        oldest = [oldest, at].into_iter().flatten().min();
    }
    Ok(VendorTotals {
        vendor_id: VendorId::from_bytes(bytes(row, "vendor_id", "vendors")?),
        unredeemed: Credits(integer(row, "unredeemed", "vendors")?),
        oldest,
        waiting: integer(row, "waiting", "evidence")?,
        pending_batches: integer(row, "pending", "batches")?,
        accepted: Credits(integer(row, "accepted", "earnings")?),
        lost: Credits(integer(row, "lost", "earnings")?),
        conflicts: integer(row, "conflicts", "conflicts")?,
        test_certificates: integer(row, "test_certificates", "earnings")?,
    })
}
