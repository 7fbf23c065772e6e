//! Answers to issuance requests for whole packs, each stored before it is sent.

use scrip_protocol::{id::GrantId, time::Day};
use sqlx::Row;

use super::{GrantRow, IssuedKind, Minted, Store, StoreError, Tx, TxError, ledger, rows};

/// The stored answer of a minted grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPack {
    /// The digest of the request that it answers.
    pub request_digest: [u8; 32],
    /// The answer, byte for byte.
    pub answer: Vec<u8>,
}

impl Store {
    /// A grant, and its stored answer where the pack was minted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn grant_with_pack(
        &self,
        grant_id: &GrantId,
    ) -> Result<Option<(GrantRow, Option<StoredPack>)>, StoreError> {
        self.read("grant_with_pack", |tx| {
            Box::pin(async move {
                let Some(grant) = tx.grant(grant_id).await? else { return Ok(None) };
                let pack = tx.pack(grant_id).await?;
                Ok(Some((grant, pack)))
            })
        })
        .await
    }

    /// Stores the answer and marks the grant, in one transaction. `false` where the grant was minted in between:
    /// then nothing is stored. `counts` are the numbers of certificates by epoch and exponent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn store_pack(
        &self,
        grant_id: &GrantId,
        pack: &StoredPack,
        counts: &[((u32, u8), i64)],
        today: Day,
    ) -> Result<bool, StoreError> {
        self.run_tx("store_pack", |tx| {
            Box::pin(async move {
                if !tx.mark_minted(grant_id, Minted::Pack).await? {
                    return Ok(false);
                }
                tx.insert_pack(grant_id, pack).await?;
                for ((epoch, exponent), certificates) in counts {
                    tx.insert_issued(grant_id, 0, *epoch, *exponent, *certificates).await?;
                }
                let entry = ledger::entry(&[b"pack", grant_id.as_bytes()]);
                tx.enqueue_issued(IssuedKind::Sold, entry, today, counts).await?;
                Ok(true)
            })
        })
        .await
    }
}

impl Tx<'_> {
    async fn pack(&mut self, grant_id: &GrantId) -> Result<Option<StoredPack>, TxError> {
        let sql = "-- pack()
            SELECT request_digest, answer FROM packs WHERE grant_id = $1";
        let row = sqlx::query(sql)
            .bind(grant_id.as_bytes().as_slice())
            .fetch_optional(self.connection())
            .await?;
        let Some(row) = row else { return Ok(None) };
        let request_digest = rows::bytes(&row, "request_digest", "packs")?;
        Ok(Some(StoredPack { request_digest, answer: row.try_get("answer")? }))
    }

    async fn insert_pack(&mut self, grant_id: &GrantId, pack: &StoredPack) -> Result<(), TxError> {
        let sql = "-- insert_pack()
            INSERT INTO packs (grant_id, request_digest, answer) VALUES ($1, $2, $3)";
        sqlx::query(sql)
            .bind(grant_id.as_bytes().as_slice())
            .bind(pack.request_digest.as_slice())
            .bind(pack.answer.as_slice())
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
