//! Recorded renewals: the first use of a certificate wins, by the primary key of `spent`, whether it is a redemption or a
//! renewal.

use std::collections::{BTreeMap, HashMap};

use scrip_protocol::{
    credits::Exponent, id::KeyId, keys::Signature, renewal::Renewal, spend::Binding, time::Day,
    token::Token,
};
use scrip_runtime::steps::Steps;

use super::{
    IssuedKind, RecordedSpend, Store, StoreError, Tx, TxError, What, ledger, redemptions::SpendKey,
    rows,
};
use crate::store::many::statement;

/// What stands in `spent` for the batch of a certificate that no operator redeemed.
const NO_BATCH: i64 = -1;

/// Checked and signed renewals of one request, ready to be recorded.
pub struct RenewalRecord {
    /// A random number; not negative.
    pub number: i64,
    /// The UTC day.
    pub day: Day,
    /// Its items.
    pub items: Vec<NewRenewal>,
}

/// A certificate with what it is renewed into.
pub struct NewRenewal {
    /// The old certificate.
    pub token: Token,
    /// The epoch of its key.
    pub epoch: u32,
    /// The epoch of the new key.
    pub new_epoch: u32,
    /// The denomination of both.
    pub exponent: Exponent,
    /// What the old certificate's key signed.
    pub binding: Binding,
    /// What is answered from now on.
    pub renewal: Renewal,
}

/// What is recorded of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a few at a time")]
pub enum Recorded {
    /// It was spent at a relay.
    Spent(RecordedSpend),
    /// It was renewed.
    Renewed(Renewal),
}

/// Records by epoch and certificate key.
pub type Records = HashMap<(u32, [u8; 32]), Recorded>;

impl NewRenewal {
    fn key(&self) -> SpendKey {
        (self.epoch, self.token.nonce)
    }
}

impl Store {
    /// What is recorded of these certificates, each given by its epoch and its key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn recorded(&self, keys: &[(u32, [u8; 32])]) -> Result<Records, StoreError> {
        self.read("recorded", |tx| Box::pin(async move { tx.recorded(keys).await })).await
    }

    /// Records each certificate as renewed unless it is recorded already, in one transaction, and returns what is
    /// recorded of all of them afterwards.
    ///
    /// # Errors
    /// [`StoreError`]: then nothing was recorded, or all of it, and the same request finds out which.
    pub async fn record_renewals(
        &self,
        record: &RenewalRecord,
        steps: &Steps,
    ) -> Result<Records, StoreError> {
        // In the order of the primary key, as redemptions take their rows, so that none waits for another in a circle.
        let items: BTreeMap<SpendKey, &NewRenewal> =
            record.items.iter().map(|item| (item.key(), item)).collect();
        let items = &items;
        self.run_tx("record_renewals", |tx| {
            Box::pin(async move {
                let mut counts = BTreeMap::new();
                for item in items.values() {
                    if tx.insert_voided(item).await? {
                        let count = (item.epoch, item.exponent.get(), item.new_epoch);
                        *counts.entry(count).or_default() += 1;
                        tx.insert_renewal(item).await?;
                    }
                }
                steps.at("issuer.renewal.in_transaction");
                tx.insert_renewed(record, &counts).await?;
                if !counts.is_empty() {
                    tx.enqueue(What::Renewals, record.number, record.day, None).await?;
                    let entry = ledger::entry(&[b"renewal", &record.number.to_be_bytes()]);
                    let reissued = reissued(&counts);
                    tx.enqueue_issued(IssuedKind::Reissued, entry, record.day, &reissued).await?;
                }
                let keys: Vec<SpendKey> = items.keys().copied().collect();
                tx.recorded(&keys).await
            })
        })
        .await
    }
}

/// How many certificates came into being, by their epoch and exponent.
fn reissued(counts: &BTreeMap<(u32, u8, u32), i64>) -> Vec<((u32, u8), i64)> {
    let mut reissued: BTreeMap<(u32, u8), i64> = BTreeMap::new();
    for ((_, exponent, new_epoch), certificates) in counts {
        *reissued.entry((*new_epoch, *exponent)).or_default() += certificates;
    }
    reissued.into_iter().collect()
}

impl Tx<'_> {
    async fn recorded(&mut self, keys: &[SpendKey]) -> Result<Records, TxError> {
        let renewed = self.renewals_of(keys).await?;
        let spent = self.recorded_spends(keys).await?;
        let mut records: Records =
            spent.into_iter().map(|(key, spend)| (key, Recorded::Spent(spend))).collect();
        // Renewed certificates are in both, until their epoch is dropped from `spent`.
        records.extend(renewed.into_iter().map(|(key, one)| (key, Recorded::Renewed(one))));
        Ok(records)
    }

    async fn renewals_of(
        &mut self,
        keys: &[SpendKey],
    ) -> Result<Vec<(SpendKey, Renewal)>, TxError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "-- renewals_of()
            SELECT epoch, certificate_key, day, key_id, blinded_message, blind_signature,
                signature
            FROM renewals WHERE (epoch, certificate_key) IN (VALUES {})",
            self.placeholders(keys.len(), 2)
        );
        let mut query = statement(sql, keys.len());
        for (epoch, certificate_key) in keys {
            query = query.bind(i64::from(*epoch)).bind(certificate_key.to_vec());
        }
        let table = "renewals";
        let found = query.fetch_all(self.connection()).await?;
        let renewal = |row: &sqlx::any::AnyRow| {
            let key =
                (rows::integer(row, "epoch", table)?, rows::bytes(row, "certificate_key", table)?);
            let renewal = Renewal {
                key_id: KeyId::from_bytes(rows::bytes(row, "key_id", table)?),
                blinded_message: rows::bytes(row, "blinded_message", table)?,
                blind_signature: rows::bytes(row, "blind_signature", table)?,
                signature: Signature::from_bytes(rows::bytes(row, "signature", table)?),
                day: Day(rows::integer(row, "day", table)?),
            };
            Ok((key, renewal))
        };
        found.iter().map(renewal).collect()
    }

    /// Voids a certificate unless it is voided already. Where another transaction is doing so, PostgreSQL waits here
    /// until that one has ended.
    async fn insert_voided(&mut self, item: &NewRenewal) -> Result<bool, TxError> {
        let sql = "-- insert_voided()
            INSERT INTO spent (epoch, certificate_key, batch, position, binding)
            VALUES ($1, $2, $3, 0, $4) ON CONFLICT DO NOTHING";
        let inserted = sqlx::query(sql)
            .bind(i64::from(item.epoch))
            .bind(item.token.nonce.as_slice())
            .bind(NO_BATCH)
            .bind(item.binding.as_bytes().as_slice())
            .execute(self.connection())
            .await?;
        Ok(inserted.rows_affected() == 1)
    }

    async fn insert_renewal(&mut self, item: &NewRenewal) -> Result<(), TxError> {
        let sql = "-- insert_renewal()
            INSERT INTO renewals (epoch, certificate_key, day, token, key_id, blinded_message,
                blind_signature, signature)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        sqlx::query(sql)
            .bind(i64::from(item.epoch))
            .bind(item.token.nonce.as_slice())
            .bind(i64::from(item.renewal.day.0))
            .bind(item.token.encode().as_slice())
            .bind(item.renewal.key_id.as_bytes().as_slice())
            .bind(item.renewal.blinded_message.as_slice())
            .bind(item.renewal.blind_signature.as_slice())
            .bind(item.renewal.signature.as_bytes().as_slice())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Counts what was renewed, by epoch, exponent and new epoch.
    async fn insert_renewed(
        &mut self,
        record: &RenewalRecord,
        counts: &BTreeMap<(u32, u8, u32), i64>,
    ) -> Result<(), TxError> {
        let sql = "-- insert_renewed()
            INSERT INTO renewed (renewal, day, epoch, exponent, new_epoch, certificates)
            VALUES ($1, $2, $3, $4, $5, $6)";
        for ((epoch, exponent, new_epoch), certificates) in counts {
            sqlx::query(sql)
                .bind(record.number)
                .bind(i64::from(record.day.0))
                .bind(i64::from(*epoch))
                .bind(i64::from(*exponent))
                .bind(i64::from(*new_epoch))
                .bind(*certificates)
                .execute(self.connection())
                .await?;
        }
        Ok(())
    }
}
