//! Renewals wait for the end of their day, so that nothing says which came one after the other.

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

use super::{Store, StoreError, Tx, TxError, What, day, rows};

/// A day that is over and has renewals that are not in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewalDay {
    /// The day.
    pub day: Day,
    /// The numbers of its renewals that are in the queue.
    pub renewals: Vec<i64>,
    /// How many they are, by epoch and denomination.
    pub sums: Vec<RenewedRow>,
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
                    SELECT entry, day, body FROM ledger_queue WHERE what = $1 AND day =
                        (SELECT MIN(day) FROM ledger_queue WHERE what = $1 AND day < $2)";
                let found = sqlx::query(sql)
                    .bind(What::Renewals.number())
                    .bind(i64::from(today.0))
                    .fetch_all(tx.connection())
                    .await?;
                let Some(first) = found.first() else { return Ok(None) };
                let renewals = found.iter().map(|row| row.try_get("entry"));
                Ok(Some(RenewalDay {
                    day: day(first, "ledger_queue")?,
                    renewals: renewals.collect::<Result<_, _>>()?,
                    sums: sums(&found)?,
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
}

impl Tx<'_> {
    /// Puts a renewal in line, in the transaction that records it.
    pub(in crate::store) async fn enqueue_renewal(
        &mut self,
        number: i64,
        today: Day,
        (epoch, exponent): (u32, Exponent),
    ) -> Result<(), TxError> {
        let mut body = epoch.to_be_bytes().to_vec();
        body.push(exponent.get());
        let sql = "-- enqueue_renewal()
            INSERT INTO ledger_queue (what, entry, day, body) VALUES ($1, $2, $3, $4)
            ON CONFLICT DO NOTHING";
        sqlx::query(sql)
            .bind(What::Renewals.number())
            .bind(number)
            .bind(i64::from(today.0))
            .bind(body)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

fn renewal(row: &AnyRow, vendor: &VendorId) -> Result<RenewalRow, TxError> {
    let table = "renewals";
    let token: &[u8] = row.try_get("token")?;
    let token = Token::decode(token).map_err(|_| StoreError::Damaged { table })?;
    let key_id = KeyId::from_bytes(rows::bytes(row, "key_id", table)?);
    let blinded_message = rows::bytes(row, "blinded_message", table)?;
    let evidence = RenewalEvidence {
        day: day(row, table)?,
        binding: renewal_binding(vendor, &token.key_id, &key_id, &blinded_message),
        signature: Signature::from_bytes(rows::bytes(row, "signature", table)?),
        token,
    };
    Ok(RenewalRow { epoch: rows::integer(row, "epoch", table)?, evidence })
}

/// How many certificates these rows of the queue stand for.
fn sums(queued: &[AnyRow]) -> Result<Vec<RenewedRow>, TxError> {
    let damaged = || StoreError::Damaged { table: "ledger_queue" };
    let mut sums: BTreeMap<(u32, Exponent), u64> = BTreeMap::new();
    for row in queued {
        let body: [u8; 5] = rows::bytes(row, "body", "ledger_queue")?;
        let [a, b, c, d, exponent] = body;
        let exponent = Exponent::new(exponent).ok_or_else(damaged)?;
        *sums.entry((u32::from_be_bytes([a, b, c, d]), exponent)).or_default() += 1;
    }
    let row = |((epoch, exponent), certificates)| RenewedRow { epoch, exponent, certificates };
    Ok(sums.into_iter().map(row).collect())
}
