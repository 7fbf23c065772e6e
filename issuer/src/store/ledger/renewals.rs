//! Renewals wait for the end of their day, so that nothing ties those of one request together.

use std::collections::BTreeMap;

use scrip_protocol::{
    credits::Exponent,
    id::{KeyId, VendorId},
    keys::Signature,
    ledger::RenewalEvidence,
    renewal::renewal_binding,
    time::Day,
    token::Token,
};
use sqlx::{Row, any::AnyRow};

use super::{Store, StoreError, TxError, What, day, rows};
use crate::store::many::{ROWS, statement};

/// A day that is over and has renewals that are not in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewalDay {
    /// The day.
    pub day: Day,
    /// The numbers of its requests that are in the queue.
    pub requests: Vec<i64>,
}

/// A renewal without what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewalRow {
    /// The epoch of the old certificate.
    pub epoch: u32,
    /// The evidence.
    pub evidence: RenewalEvidence,
}

/// How many certificates were renewed out of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenewedRow {
    /// The epoch that they were of.
    pub epoch: u32,
    /// The denomination.
    pub exponent: Exponent,
    /// How many.
    pub certificates: u64,
}

impl Store {
    /// The first day before `today` that has renewals in line.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn renewal_day(&self, today: Day) -> Result<Option<RenewalDay>, StoreError> {
        self.read("renewal_day", |tx| {
            Box::pin(async move {
                let sql = "-- renewal_day()
                    SELECT entry, day FROM ledger_queue WHERE what = $1 AND day =
                        (SELECT MIN(day) FROM ledger_queue WHERE what = $1 AND day < $2)";
                let found = sqlx::query(sql)
                    .bind(What::Renewals.number())
                    .bind(i64::from(today.0))
                    .fetch_all(tx.connection())
                    .await?;
                let Some(first) = found.first() else { return Ok(None) };
                let requests = found.iter().map(|row| row.try_get("entry"));
                Ok(Some(RenewalDay {
                    day: day(first, "ledger_queue")?,
                    requests: requests.collect::<Result<_, _>>()?,
                }))
            })
        })
        .await
    }

    /// The renewals of a day that have `logged` for their place, by certificate key; at most `limit`. For 0 they are those that have
    /// none and whose epoch has not ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn renewals_logged(
        &self,
        vendor: &VendorId,
        of: Day,
        logged: u64,
        limit: u64,
    ) -> Result<Vec<RenewalRow>, StoreError> {
        self.read("renewals_logged", |tx| {
            Box::pin(async move {
                let sql = "-- renewals_logged()
                    SELECT epoch, day, token, key_id, blinded_message, signature FROM renewals
                    WHERE day = $1 AND logged = $2
                    AND (logged > 0 OR epoch NOT IN (SELECT epoch FROM ledger_ended))
                    ORDER BY certificate_key, epoch LIMIT $3";
                let found = sqlx::query(sql)
                    .bind(i64::from(of.0))
                    .bind(super::column(logged))
                    .bind(super::column(limit))
                    .fetch_all(tx.connection())
                    .await?;
                found.iter().map(|row| renewal(row, vendor)).collect()
            })
        })
        .await
    }

    /// How many certificates the requests with these numbers renewed, by epoch and exponent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn renewed_by(&self, requests: &[i64]) -> Result<Vec<RenewedRow>, StoreError> {
        let mut sums: BTreeMap<(u32, u8), u64> = BTreeMap::new();
        for chunk in requests.chunks(ROWS) {
            let some = self.read("renewed_by", |tx| {
                Box::pin(async move {
                    let sql = format!(
                        "-- renewed_by()
                        SELECT epoch, exponent, certificates FROM renewed WHERE renewal IN {}",
                        tx.placeholders(1, chunk.len())
                    );
                    let mut query = statement(sql, chunk.len());
                    for request in chunk {
                        query = query.bind(*request);
                    }
                    let found = query.fetch_all(tx.connection()).await?;
                    found.iter().map(renewed).collect::<Result<Vec<_>, _>>()
                })
            });
            for row in some.await? {
                *sums.entry((row.epoch, row.exponent.get())).or_default() += row.certificates;
            }
        }
        let row = |((epoch, exponent), certificates)| {
            Some(RenewedRow { epoch, exponent: Exponent::new(exponent)?, certificates })
        };
        Ok(sums.into_iter().filter_map(row).collect())
    }
}

fn renewal(row: &AnyRow, vendor: &VendorId) -> Result<RenewalRow, TxError> {
    let table = "renewals";
    let token: &[u8] = row.try_get("token")?;
    let key_id = KeyId::from_bytes(rows::bytes(row, "key_id", table)?);
    let blinded_message = rows::bytes(row, "blinded_message", table)?;
    let evidence = RenewalEvidence {
        token: Token::decode(token).map_err(|_| StoreError::Damaged { table })?,
        day: day(row, table)?,
        binding: renewal_binding(vendor, &key_id, &blinded_message),
        signature: Signature::from_bytes(rows::bytes(row, "signature", table)?),
    };
    Ok(RenewalRow { epoch: rows::integer(row, "epoch", table)?, evidence })
}

fn renewed(row: &AnyRow) -> Result<RenewedRow, TxError> {
    let table = "renewed";
    let exponent = Exponent::new(rows::integer(row, "exponent", table)?);
    Ok(RenewedRow {
        epoch: rows::integer(row, "epoch", table)?,
        exponent: exponent.ok_or(StoreError::Damaged { table })?,
        certificates: rows::integer(row, "certificates", table)?,
    })
}
