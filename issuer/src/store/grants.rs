//! Grants: the right to have one pack signed.

use scrip_protocol::id::GrantId;
use sqlx::Row;

use super::{Store, StoreError, Tx, TxError, rows};
use crate::pack::Pack;

/// How a grant was used. A pack and single tokens do not mix (issuance.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Minted {
    /// Nothing was signed.
    Nothing,
    /// The whole pack was signed at once.
    Pack,
    /// At least one token was signed on its own.
    Tokens,
}

/// A grant, as it is stored under its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRow {
    /// The product's name.
    pub product: String,
    /// What may be signed.
    pub pack: Pack,
    /// What was.
    pub minted: Minted,
}

impl Minted {
    pub(super) const fn number(self) -> i64 {
        match self {
            Self::Nothing => 0,
            Self::Pack => 1,
            Self::Tokens => 2,
        }
    }
}

impl Store {
    /// The grant with this id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn grant(&self, grant_id: &GrantId) -> Result<Option<GrantRow>, StoreError> {
        self.read("grant", |tx| Box::pin(async move { tx.grant(grant_id).await })).await
    }
}

impl Tx<'_> {
    pub(super) async fn grant(&mut self, grant_id: &GrantId) -> Result<Option<GrantRow>, TxError> {
        let sql = "-- grant()
            SELECT product, pack, minted FROM grants WHERE grant_id = $1";
        let row = sqlx::query(sql)
            .bind(grant_id.as_bytes().as_slice())
            .fetch_optional(self.connection())
            .await?;
        let Some(row) = row else { return Ok(None) };
        let damaged = || StoreError::Damaged { table: "grants" };
        let minted = match rows::integer::<u8>(&row, "minted", "grants")? {
            0 => Minted::Nothing,
            1 => Minted::Pack,
            2 => Minted::Tokens,
            _ => return Err(damaged().into()),
        };
        let pack = row.try_get::<&str, _>("pack")?.parse().map_err(|_| damaged())?;
        Ok(Some(GrantRow { product: row.try_get("product")?, pack, minted }))
    }

    /// Adds a grant; `false` where there is one of this id already.
    pub(super) async fn insert_grant(
        &mut self,
        grant_id: &GrantId,
        grant: &GrantRow,
    ) -> Result<bool, TxError> {
        let sql = "-- insert_grant()
            INSERT INTO grants (grant_id, product, pack, minted) VALUES ($1, $2, $3, $4)
            ON CONFLICT DO NOTHING";
        let inserted = sqlx::query(sql)
            .bind(grant_id.as_bytes().as_slice())
            .bind(grant.product.as_str())
            .bind(grant.pack.to_string())
            .bind(grant.minted.number())
            .execute(self.connection())
            .await?;
        Ok(inserted.rows_affected() == 1)
    }

    /// Marks a grant as used in the way `to`; `false` where it was used in a way that excludes that. Holds the grant's row until the
    /// end of the transaction, so that whoever uses the same grant waits here.
    pub(super) async fn mark_minted(
        &mut self,
        grant_id: &GrantId,
        to: Minted,
    ) -> Result<bool, TxError> {
        let sql = "-- mark_minted()
            UPDATE grants SET minted = $2 WHERE grant_id = $1 AND minted IN (0, $3)";
        // Single tokens may follow each other; nothing may follow a pack, and so the pack's row must be unused.
        let also = if to == Minted::Tokens { to } else { Minted::Nothing };
        let marked = sqlx::query(sql)
            .bind(grant_id.as_bytes().as_slice())
            .bind(to.number())
            .bind(also.number())
            .execute(self.connection())
            .await?;
        Ok(marked.rows_affected() == 1)
    }

    /// Counts what was signed, by epoch and exponent.
    pub(super) async fn insert_issued(
        &mut self,
        grant_id: &GrantId,
        sequence: i64,
        epoch: u32,
        exponent: u8,
        certificates: i64,
    ) -> Result<(), TxError> {
        let sql = "-- insert_issued()
            INSERT INTO issued (grant_id, sequence, epoch, exponent, certificates)
            VALUES ($1, $2, $3, $4, $5)";
        sqlx::query(sql)
            .bind(grant_id.as_bytes().as_slice())
            .bind(sequence)
            .bind(i64::from(epoch))
            .bind(i64::from(exponent))
            .bind(certificates)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
