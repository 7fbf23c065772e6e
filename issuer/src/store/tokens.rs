//! Single tokens (RFC 9578) taken from a grant.

use scrip_protocol::{credits::Exponent, id::GrantId, time::Day};
use sqlx::Row;

use super::{GrantRow, IssuedKind, Minted, Store, StoreError, Tx, TxError, ledger, rows};

/// What became of the attempt to take one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenTaken {
    /// Stored now.
    Stored,
    /// The same request was answered before, with these bytes.
    Before(Vec<u8>),
    /// The grant has none of this denomination left, or was minted as a pack.
    GrantUsed,
}

impl Store {
    /// A grant, and the stored answer to this very request.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn grant_with_token(
        &self,
        grant_id: &GrantId,
        request_digest: &[u8; 32],
    ) -> Result<Option<(GrantRow, Option<Vec<u8>>)>, StoreError> {
        self.read("grant_with_token", |tx| {
            Box::pin(async move {
                let Some(grant) = tx.grant(grant_id).await? else { return Ok(None) };
                let answer = tx.token(grant_id, request_digest).await?;
                Ok(Some((grant, answer)))
            })
        })
        .await
    }

    /// How many tokens of a denomination were taken from a grant.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn tokens_taken(
        &self,
        grant_id: &GrantId,
        exponent: Exponent,
    ) -> Result<u16, StoreError> {
        self.read("tokens_taken", |tx| {
            Box::pin(async move { Ok(tx.token_counts(grant_id, exponent).await?.0) })
        })
        .await
    }

    /// Takes one of at most `limit` tokens of a denomination and stores its answer, in one transaction.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take_token(
        &self,
        grant_id: &GrantId,
        request_digest: &[u8; 32],
        (epoch, exponent): (u32, Exponent),
        limit: u16,
        answer: &[u8],
        today: Day,
    ) -> Result<TokenTaken, StoreError> {
        self.run_tx("take_token", |tx| {
            Box::pin(async move {
                // From here on whoever takes from the same grant waits, so that the counts below stay true.
                if !tx.mark_minted(grant_id, Minted::Tokens).await? {
                    return Ok(TokenTaken::GrantUsed);
                }
                if let Some(before) = tx.token(grant_id, request_digest).await? {
                    return Ok(TokenTaken::Before(before));
                }
                let (of_denomination, all) = tx.token_counts(grant_id, exponent).await?;
                if of_denomination >= limit {
                    return Ok(TokenTaken::GrantUsed);
                }
                tx.insert_token(grant_id, request_digest, exponent, answer).await?;
                tx.insert_issued(grant_id, all, epoch, exponent.get(), 1).await?;
                let entry = ledger::entry(&[b"token", grant_id.as_bytes(), &all.to_be_bytes()]);
                let count = [((epoch, exponent.get()), 1)];
                tx.enqueue_issued(IssuedKind::Sold, entry, today, &count).await?;
                Ok(TokenTaken::Stored)
            })
        })
        .await
    }
}

impl Tx<'_> {
    async fn token(
        &mut self,
        grant_id: &GrantId,
        request_digest: &[u8; 32],
    ) -> Result<Option<Vec<u8>>, TxError> {
        let sql = "-- token()
            SELECT answer FROM tokens WHERE grant_id = $1 AND request_digest = $2";
        let row = sqlx::query(sql)
            .bind(grant_id.as_bytes().as_slice())
            .bind(request_digest.as_slice())
            .fetch_optional(self.connection())
            .await?;
        Ok(row.map(|row| row.try_get("answer")).transpose()?)
    }

    /// How many tokens were taken: of one denomination, and in all.
    async fn token_counts(
        &mut self,
        grant_id: &GrantId,
        exponent: Exponent,
    ) -> Result<(u16, i64), TxError> {
        let sql = "-- token_counts()
            SELECT COUNT(*) AS taken, COUNT(CASE WHEN exponent = $2 THEN 1 END) AS of_denomination
            FROM tokens WHERE grant_id = $1";
        let row = sqlx::query(sql)
            .bind(grant_id.as_bytes().as_slice())
            .bind(i64::from(exponent.get()))
            .fetch_one(self.connection())
            .await?;
        Ok((rows::integer(&row, "of_denomination", "tokens")?, row.try_get("taken")?))
    }

    async fn insert_token(
        &mut self,
        grant_id: &GrantId,
        request_digest: &[u8; 32],
        exponent: Exponent,
        answer: &[u8],
    ) -> Result<(), TxError> {
        let sql = "-- insert_token()
            INSERT INTO tokens (grant_id, request_digest, exponent, answer) VALUES ($1, $2, $3, $4)";
        sqlx::query(sql)
            .bind(grant_id.as_bytes().as_slice())
            .bind(request_digest.as_slice())
            .bind(i64::from(exponent.get()))
            .bind(answer)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
