//! Recorded renewals: the first use of a certificate wins, by the primary key of `spent`, whether it is a redemption or a
//! renewal.

use scrip_protocol::{
    credits::Exponent, id::KeyId, keys::Signature, renewal::Renewal, spend::Binding, time::Day,
    token::Token,
};
use scrip_runtime::steps::Steps;

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
}

impl NewRenewal {
    fn key(&self) -> SpendKey {
        (self.epoch, self.token.nonce)
    }
}

impl Store {
    /// What is recorded of a certificate, given by its epoch and its key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn recorded(&self, name: &(u32, [u8; 32])) -> Result<Option<Recorded>, StoreError> {
        self.read("recorded", |tx| Box::pin(async move { tx.recorded(name).await })).await
    }

    /// Records a certificate as renewed unless it is recorded already, in one transaction, and returns what is
    /// recorded of it afterwards.
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
                if tx.insert_voided(item).await? {
                    tx.insert_renewal(item).await?;
                    steps.at("issuer.renewal.in_transaction");
                    tx.count_renewed(item).await?;
                    tx.enqueue_renewal(item.number, item.day, (item.epoch, item.exponent)).await?;
                    let entry = ledger::entry(&[b"renewal", &item.number.to_be_bytes()]);
                    let reissued = [((item.new_epoch, item.exponent.get()), 1)];
                    tx.enqueue_issued(IssuedKind::Reissued, entry, item.day, &reissued).await?;
                }
                tx.recorded(&item.key()).await
            })
        })
        .await
    }
}

impl Tx<'_> {
    async fn recorded(&mut self, name: &SpendKey) -> Result<Option<Recorded>, TxError> {
        // Renewed certificates are in both tables, until their epoch is dropped from `spent`.
        if let Some(renewal) = self.renewal_of(name).await? {
            return Ok(Some(Recorded::Renewed(renewal)));
        }
        let spent = self.recorded_spends(std::slice::from_ref(name)).await?;
        Ok(spent.into_iter().next().map(|(_, spend)| Recorded::Spent(spend)))
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
