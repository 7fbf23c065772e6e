//! Recorded renewals: the first use of a certificate wins, by the primary key of `spent`, whether it is a redemption or a
//! renewal. What one request asked for is taken or refused, and never both, by the primary key of `renewal_requests`.

use scrip_protocol::{
    credits::Exponent,
    id::KeyId,
    keys::Signature,
    limits::MAX_RENEWAL_REFUSALS,
    problem::ProblemType,
    renewal::{Renewal, RenewalRefusal},
    spend::Binding,
    time::Day,
    token::Token,
};
use scrip_runtime::steps::Steps;
use sqlx::Row;

use super::{
    IssuedKind, RecordedSpend, Store, StoreError, Tx, TxError, ledger, redemptions::SpendKey, rows,
};

/// What stands in `spent` for the batch of a certificate that no operator redeemed.
const NO_BATCH: i64 = -1;

/// A certificate with what it is renewed into: checked and signed, ready to be recorded.
pub struct NewRenewal {
    /// A random number, not negative: its name while it waits for its place in the ledger.
    pub number: i64,
    /// The UTC day.
    pub day: Day,
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
    /// It was neither, and the renewal that was asked for is refused for ever.
    Refused(RefusedRenewal),
}

/// The refusal of a renewal, but for what it is signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedRenewal {
    /// The UTC day.
    pub day: Day,
    /// The version of the manifest that it was refused by.
    pub manifest_version: u64,
    /// Why: one of [`RenewalRefusal::REASONS`].
    pub problem: ProblemType,
}

impl NewRenewal {
    fn key(&self) -> SpendKey {
        (self.epoch, self.token.nonce)
    }
}

impl Store {
    /// What is recorded of a certificate, given by its epoch and its key, and of the renewal of it that `binding` stands for.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn recorded(
        &self,
        name: &(u32, [u8; 32]),
        binding: &Binding,
    ) -> Result<Option<Recorded>, StoreError> {
        self.read("recorded", |tx| Box::pin(async move { tx.recorded(name, binding).await })).await
    }

    /// Records a certificate as renewed unless it is recorded already or this renewal was refused, in one transaction, and returns
    /// what is recorded of it afterwards.
    ///
    /// # Errors
    /// [`StoreError`]: then nothing was recorded, or all of it, and the same request finds out which.
    pub async fn record_renewal(
        &self,
        item: &NewRenewal,
        steps: &Steps,
    ) -> Result<Option<Recorded>, StoreError> {
        self.run_tx("record_renewal", |tx| {
            Box::pin(async move {
                if !tx.insert_request(&item.key(), &item.binding, None).await? {
                    return tx.recorded(&item.key(), &item.binding).await;
                }
                if tx.insert_voided(item).await? {
                    tx.insert_renewal(item).await?;
                    steps.at("issuer.renewal.in_transaction");
                    tx.count_renewed(item).await?;
                    tx.enqueue_renewal(item.number, item.day, (item.epoch, item.exponent)).await?;
                    let entry = ledger::entry(&[b"renewal", &item.number.to_be_bytes()]);
                    let reissued = [((item.new_epoch, item.exponent.get()), 1)];
                    tx.enqueue_issued(IssuedKind::Reissued, entry, item.day, &reissued).await?;
                } else {
                    tx.delete_request(&item.key(), &item.binding).await?;
                }
                tx.recorded(&item.key(), &item.binding).await
            })
        })
        .await
    }

    /// Refuses a renewal for ever unless its certificate is recorded already, and returns what is recorded afterwards: nothing where
    /// as many renewals of one certificate were refused as are remembered.
    ///
    /// # Errors
    /// [`StoreError`]: then it was refused, or not, and the same request finds out which.
    pub async fn refuse_renewal(
        &self,
        name: &(u32, [u8; 32]),
        binding: &Binding,
        refused: RefusedRenewal,
        steps: &Steps,
    ) -> Result<Option<Recorded>, StoreError> {
        self.run_tx("refuse_renewal", |tx| {
            Box::pin(async move {
                let recorded = tx.recorded(name, binding).await?;
                if recorded.is_some() || tx.refusals_of(name).await? >= MAX_RENEWAL_REFUSALS {
                    return Ok(recorded);
                }
                // Where the same request is being taken, PostgreSQL waits here until that has ended.
                tx.insert_request(name, binding, Some(&refused)).await?;
                steps.at("issuer.renewal.refusing_in_transaction");
                tx.recorded(name, binding).await
            })
        })
        .await
    }
}

impl Tx<'_> {
    async fn recorded(
        &mut self,
        name: &SpendKey,
        binding: &Binding,
    ) -> Result<Option<Recorded>, TxError> {
        // Renewed certificates are in both tables, until their epoch is dropped from `spent`.
        if let Some(renewal) = self.renewal_of(name).await? {
            return Ok(Some(Recorded::Renewed(renewal)));
        }
        let spent = self.recorded_spends(std::slice::from_ref(name)).await?;
        if let Some((_, spend)) = spent.into_iter().next() {
            return Ok(Some(match spend.renewed {
                None => Recorded::Spent(spend),
                // Each statement sees what was committed before it: another process has renewed it between the two.
                Some(_) => match self.renewal_of(name).await? {
                    Some(renewal) => Recorded::Renewed(renewal),
                    None => return Err(StoreError::Damaged { table: "renewals" }.into()),
                },
            }));
        }
        Ok(self.refusal_of(name, binding).await?.map(Recorded::Refused))
    }

    async fn refusal_of(
        &mut self,
        name: &SpendKey,
        binding: &Binding,
    ) -> Result<Option<RefusedRenewal>, TxError> {
        let sql = "-- refusal_of()
            SELECT day, manifest_version, refused FROM renewal_requests
            WHERE epoch = $1 AND certificate_key = $2 AND binding = $3 AND refused IS NOT NULL";
        let found = sqlx::query(sql)
            .bind(i64::from(name.0))
            .bind(name.1.as_slice())
            .bind(binding.as_bytes().as_slice())
            .fetch_optional(self.connection())
            .await?;
        let Some(row) = found else { return Ok(None) };
        let (row, table) = (&row, "renewal_requests");
        let reason: &str = row.try_get("refused")?;
        let mut reasons = RenewalRefusal::REASONS.into_iter();
        let problem = reasons.find(|problem| problem.name() == reason);
        Ok(Some(RefusedRenewal {
            day: Day(rows::integer(row, "day", table)?),
            manifest_version: rows::integer(row, "manifest_version", table)?,
            problem: problem.ok_or(StoreError::Damaged { table })?,
        }))
    }

    async fn refusals_of(&mut self, name: &SpendKey) -> Result<usize, TxError> {
        let sql = "-- refusals_of()
            SELECT COUNT(*) AS refusals FROM renewal_requests
            WHERE epoch = $1 AND certificate_key = $2 AND refused IS NOT NULL";
        let row = sqlx::query(sql)
            .bind(i64::from(name.0))
            .bind(name.1.as_slice())
            .fetch_one(self.connection())
            .await?;
        rows::integer(&row, "refusals", "renewal_requests")
    }

    /// Decides a request; `false` where it was decided before. Where another transaction is deciding it, PostgreSQL waits here until
    /// that one has ended.
    async fn insert_request(
        &mut self,
        name: &SpendKey,
        binding: &Binding,
        refused: Option<&RefusedRenewal>,
    ) -> Result<bool, TxError> {
        let sql = "-- insert_request()
            INSERT INTO renewal_requests
                (epoch, certificate_key, binding, day, manifest_version, refused)
            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
        let inserted = sqlx::query(sql)
            .bind(i64::from(name.0))
            .bind(name.1.as_slice())
            .bind(binding.as_bytes().as_slice())
            .bind(refused.map(|refused| i64::from(refused.day.0)))
            .bind(refused.map(|refused| refused.manifest_version as i64))
            .bind(refused.map(|refused| refused.problem.name()))
            .execute(self.connection())
            .await?;
        Ok(inserted.rows_affected() == 1)
    }

    /// Leaves a request undecided again whose certificate was used otherwise, in the transaction that decided it.
    async fn delete_request(&mut self, name: &SpendKey, binding: &Binding) -> Result<(), TxError> {
        let sql = "-- delete_request()
            DELETE FROM renewal_requests
            WHERE epoch = $1 AND certificate_key = $2 AND binding = $3 AND refused IS NULL";
        sqlx::query(sql)
            .bind(i64::from(name.0))
            .bind(name.1.as_slice())
            .bind(binding.as_bytes().as_slice())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    async fn renewal_of(&mut self, name: &SpendKey) -> Result<Option<Renewal>, TxError> {
        let sql = "-- renewal_of()
            SELECT key_id, blinded_message, blind_signature, signature
            FROM renewals WHERE epoch = $1 AND certificate_key = $2";
        let found = sqlx::query(sql)
            .bind(i64::from(name.0))
            .bind(name.1.as_slice())
            .fetch_optional(self.connection())
            .await?;
        let Some(row) = found else { return Ok(None) };
        let (row, table) = (&row, "renewals");
        Ok(Some(Renewal {
            key_id: KeyId::from_bytes(rows::bytes(row, "key_id", table)?),
            blinded_message: rows::bytes(row, "blinded_message", table)?,
            blind_signature: rows::bytes(row, "blind_signature", table)?,
            signature: Signature::from_bytes(rows::bytes(row, "signature", table)?),
        }))
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
            .bind(i64::from(item.day.0))
            .bind(item.token.encode().as_slice())
            .bind(item.renewal.key_id.as_bytes().as_slice())
            .bind(item.renewal.blinded_message.as_slice())
            .bind(item.renewal.blind_signature.as_slice())
            .bind(item.renewal.signature.as_bytes().as_slice())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Adds it to the sum of its day: what was renewed beside it shows in no table.
    async fn count_renewed(&mut self, item: &NewRenewal) -> Result<(), TxError> {
        let sql = "-- count_renewed()
            INSERT INTO renewed (day, epoch, exponent, new_epoch, certificates)
            VALUES ($1, $2, $3, $4, 1)
            ON CONFLICT (day, epoch, exponent, new_epoch)
            DO UPDATE SET certificates = renewed.certificates + 1";
        sqlx::query(sql)
            .bind(i64::from(item.day.0))
            .bind(i64::from(item.epoch))
            .bind(i64::from(item.exponent.get()))
            .bind(i64::from(item.new_epoch))
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
