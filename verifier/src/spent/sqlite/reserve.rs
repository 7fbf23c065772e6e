//! Reservations, all of a transaction together: a few statements with many rows, and decisions in between.

use std::collections::{HashMap, HashSet};

use scrip_protocol::{
    credits::Credits,
    id::{PaymentId, VendorId},
    keys::Signature,
    manifest::KeyUse,
    redemption::ConflictProof,
    spend::{Binding, SpendKind},
};
use sqlx::{Row as _, SqliteConnection};

use super::{
    refuse,
    sql::{SqlResult, bytes, integer, list, many, number, rows, rows_per_statement, take_numbers},
    writer::Pending,
};
use crate::spent::{
    EvidenceState, KnownPayment, Reservation, ReserveOutcome, ReservedCertificate, ReservedItem,
    ReservedPayment,
};

type Job<'a> = &'a mut Pending<Reservation, ReserveOutcome>;

/// A certificate as the primary key of `spent` names it: vendor, epoch, certificate key.
type SpendKey = (i64, u32, [u8; 32]);

/// What a certificate was spent for.
#[derive(Clone, Copy)]
struct Spent {
    binding: Binding,
    signature: Signature,
}

/// A vendor's row.
#[derive(Clone, Copy)]
struct Vendor {
    number: i64,
    unredeemed: Credits,
}

/// Everything that decides, read before and brought up to date with each decision.
struct Ledger {
    vendors: HashMap<VendorId, Vendor>,
    payments: HashMap<PaymentId, KnownPayment>,
    spent: HashMap<SpendKey, Spent>,
    /// Bindings that can never be taken.
    refused: HashSet<Binding>,
}

/// Decides about all reservations, in the order in which they came.
pub(super) async fn all(tx: &mut SqliteConnection, jobs: &mut [Job<'_>]) -> SqlResult<()> {
    if jobs.is_empty() {
        return Ok(());
    }
    let vendors = vendors(tx, jobs).await?;
    let payments = known_payments(tx, jobs).await?;
    let spent = spent(tx, jobs, &vendors).await?;
    let refused = refused(tx, jobs).await?;
    let mut ledger = Ledger { vendors, payments, spent, refused };
    let mut accepted = Vec::new();
    for (at, job) in jobs.iter_mut().enumerate() {
        let outcome = ledger.decide(&job.input);
        if matches!(outcome, ReserveOutcome::New(_)) {
            accepted.push(at);
        }
        job.output = Some(Ok(outcome));
    }
    let accepted: Vec<&Reservation> = accepted.into_iter().map(|at| &jobs[at].input).collect();
    insert(tx, &accepted, &ledger.vendors).await?;
    for vendor in ledger.vendors.values() {
        let sql = "-- reserve()
            UPDATE vendors SET unredeemed = ? WHERE number = ?";
        let query = sqlx::query(sql).bind(number(vendor.unredeemed.0)).bind(vendor.number);
        query.execute(&mut *tx).await?;
    }
    Ok(())
}

impl Ledger {
    fn decide(&mut self, reservation: &Reservation) -> ReserveOutcome {
        match self.payments.get(&reservation.payment_id) {
            Some(KnownPayment::Committed(answer)) => {
                return ReserveOutcome::Committed(answer.clone());
            }
            Some(KnownPayment::Refused(answer)) => return ReserveOutcome::Refused(answer.clone()),
            Some(KnownPayment::Reserved(reserved)) => {
                return ReserveOutcome::Retry(reserved.clone());
            }
            None => {}
        }
        if reservation.items.iter().any(|item| self.refused.contains(&item.evidence.binding)) {
            return ReserveOutcome::BindingRefused;
        }
        let Some(vendor) = self.vendors.get_mut(&reservation.vendor_id) else {
            return ReserveOutcome::OverLimit; // cannot be: `vendors` has a row for each reservation
        };
        let keys = reservation.items.iter().map(|item| spend_key(vendor.number, item));
        for (item, key) in reservation.items.iter().zip(keys.clone()) {
            if let Some(spent) = self.spent.get(&key) {
                return ReserveOutcome::SpentElsewhere { proof: conflict(item, spent) };
            }
        }
        let unredeemed = Credits::total([vendor.unredeemed, reservation.credits()]);
        if reservation.limit.is_some_and(|limit| unredeemed > limit) {
            return ReserveOutcome::OverLimit;
        }
        vendor.unredeemed = Credits::total([vendor.unredeemed, reservation.owed()]);
        for (item, key) in reservation.items.iter().zip(keys) {
            let (binding, signature) = (item.evidence.binding, item.evidence.item.signature);
            self.spent.insert(key, Spent { binding, signature });
        }
        let reserved = reserved(reservation);
        let known = KnownPayment::Reserved(reserved.clone());
        self.payments.insert(reservation.payment_id, known);
        ReserveOutcome::New(reserved)
    }
}

fn spend_key(vendor: i64, item: &ReservedItem) -> SpendKey {
    (vendor, item.epoch, item.evidence.item.token.nonce)
}

/// The proof that `item` was spent before, or `None` where it was spent with the very same binding.
fn conflict(item: &ReservedItem, spent: &Spent) -> Option<ConflictProof> {
    let certificate_key = item.evidence.item.token.certificate_key().ok()?;
    (spent.binding != item.evidence.binding).then_some(ConflictProof {
        certificate_key,
        kind: SpendKind::Spend,
        other_binding: spent.binding,
        other_signature: spent.signature,
    })
}

fn reserved(reservation: &Reservation) -> ReservedPayment {
    let certificates = reservation.items.iter().map(|item| ReservedCertificate {
        key: item.evidence.item.token.nonce,
        value: item.exponent.value(),
        state: EvidenceState::Reserved,
    });
    ReservedPayment {
        payment_id: reservation.payment_id,
        vendor_id: reservation.vendor_id,
        seconds_per_credit: reservation.seconds_per_credit,
        asks_first: reservation.asks_first,
        certificates: certificates.collect(),
    }
}

/// The rows of the vendors that are paid with; a vendor that is new gets one.
async fn vendors(
    tx: &mut SqliteConnection,
    jobs: &[Job<'_>],
) -> SqlResult<HashMap<VendorId, Vendor>> {
    let mut vendors = HashMap::new();
    for job in jobs {
        let vendor_id = job.input.vendor_id;
        if vendors.contains_key(&vendor_id) {
            continue;
        }
        let sql = "-- reserve()
            INSERT INTO vendors (vendor_id, unredeemed) VALUES (?, 0)
            ON CONFLICT (vendor_id) DO UPDATE SET unredeemed = unredeemed
            RETURNING number, unredeemed";
        let id = vendor_id.as_bytes().as_slice();
        let row = sqlx::query(sql).bind(id).fetch_one(&mut *tx).await?;
        let unredeemed = Credits(integer(&row, "unredeemed", "vendors")?);
        vendors.insert(vendor_id, Vendor { number: row.try_get("number")?, unredeemed });
    }
    Ok(vendors)
}

/// Those of the bindings that were refused.
async fn refused(tx: &mut SqliteConnection, jobs: &[Job<'_>]) -> SqlResult<HashSet<Binding>> {
    let items = jobs.iter().flat_map(|job| &job.input.items);
    let bindings: Vec<Binding> = items.map(|item| item.evidence.binding).collect();
    refuse::among(tx, &bindings).await
}

/// Those of the payments that have a row.
async fn known_payments(
    tx: &mut SqliteConnection,
    jobs: &[Job<'_>],
) -> SqlResult<HashMap<PaymentId, KnownPayment>> {
    let mut known = HashMap::new();
    let ids = list(jobs.len());
    let sql = format!(
        "SELECT payment_id FROM payments WHERE payment_id IN ({ids})
         UNION ALL SELECT payment_id FROM refusals WHERE payment_id IN ({ids})"
    );
    let mut query = many(sql);
    for job in jobs.iter().chain(jobs) {
        query = query.bind(job.input.payment_id.as_bytes().to_vec());
    }
    for row in query.fetch_all(&mut *tx).await? {
        let payment = PaymentId::from_bytes(bytes(&row, "payment_id", "payments")?);
        if let Some(found) = super::rows::find(&mut *tx, &payment).await? {
            known.insert(payment, found);
        }
    }
    Ok(known)
}

/// Those of the certificates that were spent before.
async fn spent(
    tx: &mut SqliteConnection,
    jobs: &[Job<'_>],
    vendors: &HashMap<VendorId, Vendor>,
) -> SqlResult<HashMap<SpendKey, Spent>> {
    let keys: Vec<SpendKey> = jobs
        .iter()
        .filter_map(|job| Some((vendors.get(&job.input.vendor_id)?.number, &job.input.items)))
        .flat_map(|(vendor, items)| items.iter().map(move |item| spend_key(vendor, item)))
        .collect();
    let mut spent = HashMap::new();
    for keys in keys.chunks(rows_per_statement(3)) {
        // The cross join makes SQLite look up each wanted key by the primary key.
        let mut query = many(format!(
            "WITH wanted (vendor, epoch, certificate_key) AS (VALUES {})
             SELECT s.vendor, s.epoch, s.certificate_key, s.binding, e.signature
             FROM wanted AS w
             CROSS JOIN spent AS s
               ON s.vendor = w.vendor AND s.epoch = w.epoch AND s.certificate_key = w.certificate_key
             CROSS JOIN evidence AS e ON e.number = s.item",
            rows(keys.len(), 3)
        ));
        for (vendor, epoch, key) in keys {
            query = query.bind(*vendor).bind(i64::from(*epoch)).bind(key.to_vec());
        }
        for row in query.fetch_all(&mut *tx).await? {
            let key = (
                row.try_get("vendor")?,
                integer(&row, "epoch", "spent")?,
                bytes(&row, "certificate_key", "spent")?,
            );
            let binding = Binding::from_bytes(bytes(&row, "binding", "spent")?);
            let signature = Signature::from_bytes(bytes(&row, "signature", "evidence")?);
            spent.insert(key, Spent { binding, signature });
        }
    }
    Ok(spent)
}

/// One item of a new payment, with the numbers that it gets.
struct NewItem<'a> {
    number: i64,
    payment: i64,
    vendor: i64,
    item: &'a ReservedItem,
}

async fn insert(
    tx: &mut SqliteConnection,
    accepted: &[&Reservation],
    vendors: &HashMap<VendorId, Vendor>,
) -> SqlResult<()> {
    if accepted.is_empty() {
        return Ok(());
    }
    let count = accepted.iter().map(|reservation| reservation.items.len()).sum();
    let mut payment = take_numbers(tx, "payments", accepted.len()).await?;
    let mut next_item = take_numbers(tx, "evidence", count).await?;
    let mut items = Vec::new();
    let mut payments = Vec::with_capacity(accepted.len());
    for reservation in accepted {
        let Some(vendor) = vendors.get(&reservation.vendor_id) else { continue };
        payments.push((payment, vendor.number, next_item, *reservation));
        for item in &reservation.items {
            items.push(NewItem { number: next_item, payment, vendor: vendor.number, item });
            next_item += 1;
        }
        payment += 1;
    }
    insert_payments(tx, &payments).await?;
    insert_evidence(tx, &items).await?;
    insert_spent(tx, &items).await?;
    insert_epochs(tx, &items).await
}

async fn insert_payments(
    tx: &mut SqliteConnection,
    payments: &[(i64, i64, i64, &Reservation)],
) -> SqlResult<()> {
    for payments in payments.chunks(rows_per_statement(9)) {
        let mut query = many(format!(
            "INSERT INTO payments (number, payment_id, vendor, state, asks_first,
                seconds_per_credit, reserved_at, first_item, last_item) VALUES {}",
            rows(payments.len(), 9)
        ));
        for (row, vendor, first_item, reservation) in payments {
            query = query
                .bind(*row)
                .bind(reservation.payment_id.as_bytes().to_vec())
                .bind(*vendor)
                .bind(0_i64)
                .bind(i64::from(reservation.asks_first))
                .bind(number(reservation.seconds_per_credit))
                .bind(number(reservation.at.0))
                .bind(*first_item)
                .bind(*first_item + number(reservation.items.len() as u64) - 1);
        }
        query.execute(&mut *tx).await?;
    }
    Ok(())
}

async fn insert_evidence(tx: &mut SqliteConnection, items: &[NewItem<'_>]) -> SqlResult<()> {
    for items in items.chunks(rows_per_statement(11)) {
        let mut query = many(format!(
            "INSERT INTO evidence (number, payment, vendor, epoch, exponent, test, state, token,
                day, commitment, signature) VALUES {}",
            rows(items.len(), 11)
        ));
        for new in items {
            let shown = &new.item.evidence.item;
            query = query
                .bind(new.number)
                .bind(new.payment)
                .bind(new.vendor)
                .bind(i64::from(new.item.epoch))
                .bind(i64::from(new.item.exponent.get()))
                .bind(i64::from(new.item.key_use == KeyUse::Test))
                .bind(EvidenceState::Reserved.code())
                .bind(shown.token.encode().to_vec())
                .bind(i64::from(shown.day.0))
                .bind(shown.commitment.as_bytes().to_vec())
                .bind(shown.signature.as_bytes().to_vec());
        }
        query.execute(&mut *tx).await?;
    }
    Ok(())
}

async fn insert_spent(tx: &mut SqliteConnection, items: &[NewItem<'_>]) -> SqlResult<()> {
    for items in items.chunks(rows_per_statement(5)) {
        let mut query = many(format!(
            "INSERT INTO spent (vendor, epoch, certificate_key, binding, item) VALUES {}",
            rows(items.len(), 5)
        ));
        for new in items {
            query = query
                .bind(new.vendor)
                .bind(i64::from(new.item.epoch))
                .bind(new.item.evidence.item.token.nonce.to_vec())
                .bind(new.item.evidence.binding.as_bytes().to_vec())
                .bind(new.number);
        }
        query.execute(&mut *tx).await?;
    }
    Ok(())
}

/// When each epoch may be dropped. A later manifest may set that later, never earlier.
async fn insert_epochs(tx: &mut SqliteConnection, items: &[NewItem<'_>]) -> SqlResult<()> {
    let epochs: HashMap<(i64, u32), u64> =
        items.iter().map(|new| ((new.vendor, new.item.epoch), new.item.redeem_until.0)).collect();
    for ((vendor, epoch), redeem_until) in epochs {
        let sql = "-- reserve()
            INSERT INTO epochs (vendor, epoch, redeem_until) VALUES (?, ?, ?)
            ON CONFLICT (vendor, epoch)
            DO UPDATE SET redeem_until = MAX(redeem_until, excluded.redeem_until)";
        let query = sqlx::query(sql).bind(vendor).bind(i64::from(epoch)).bind(number(redeem_until));
        query.execute(&mut *tx).await?;
    }
    Ok(())
}
