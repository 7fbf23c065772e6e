//! Grants: the right to have one pack signed.

use scrip_protocol::{id::GrantId, manifest::KeyUse, time::UnixSeconds};
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
    /// Whether it was bought in a test environment, so that only test keys sign it.
    pub test: bool,
    /// Whether the purchase was refunded, so that nothing more is signed.
    pub cancelled: bool,
    /// The pack of the purchase's second part, and from when on it can be had.
    pub rest: Option<(Pack, UnixSeconds)>,
}

impl GrantRow {
    /// What the keys that sign it are for.
    pub const fn key_use(&self) -> KeyUse {
        if self.test { KeyUse::Test } else { KeyUse::Production }
    }

    /// A new grant.
    pub fn new(product: impl Into<String>, pack: Pack) -> Self {
        Self {
            product: product.into(),
            pack,
            minted: Minted::Nothing,
            test: false,
            cancelled: false,
            rest: None,
        }
    }
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
            SELECT product, pack, minted, test, cancelled, rest, rest_from FROM grants
            WHERE grant_id = $1";
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
        let rest = match row.try_get::<Option<&str>, _>("rest")? {
            Some(pack) => {
                let from = UnixSeconds(rows::integer(&row, "rest_from", "grants")?);
                Some((pack.parse().map_err(|_| damaged())?, from))
            }
            None => None,
        };
        Ok(Some(GrantRow {
            product: row.try_get("product")?,
            pack,
            minted,
            test: rows::integer::<u8>(&row, "test", "grants")? != 0,
            cancelled: rows::integer::<u8>(&row, "cancelled", "grants")? != 0,
            rest,
        }))
    }

    /// Adds a grant; `false` where there is one of this id already.
    pub(super) async fn insert_grant(
        &mut self,
        grant_id: &GrantId,
        grant: &GrantRow,
    ) -> Result<bool, TxError> {
        let sql = "-- insert_grant()
            INSERT INTO grants (grant_id, product, pack, minted, test, cancelled, rest, rest_from)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
        let rest = grant.rest.as_ref();
        let seconds = |from: &UnixSeconds| i64::try_from(from.0).unwrap_or(i64::MAX);
        let inserted = sqlx::query(sql)
            .bind(grant_id.as_bytes().as_slice())
            .bind(grant.product.as_str())
            .bind(grant.pack.to_string())
            .bind(grant.minted.number())
            .bind(i64::from(grant.test))
            .bind(i64::from(grant.cancelled))
            .bind(rest.map(|(pack, _)| pack.to_string()))
            .bind(rest.map(|(_, from)| seconds(from)))
            .execute(self.connection())
            .await?;
        Ok(inserted.rows_affected() == 1)
    }

    /// Marks a grant as used in the way `to`; `false` where it was used in a way that excludes that, or was cancelled. Holds
    /// the grant's row until the end of the transaction, so that whoever uses or cancels the same grant waits here.
    pub(super) async fn mark_minted(
        &mut self,
        grant_id: &GrantId,
        to: Minted,
    ) -> Result<bool, TxError> {
        let sql = "-- mark_minted()
            UPDATE grants SET minted = $2
            WHERE grant_id = $1 AND minted IN (0, $3) AND cancelled = 0";
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

    /// Holds a grant that is not cancelled until the end of the transaction; `false` where it is, or where there is none.
    pub(super) async fn hold_grant(&mut self, grant_id: &GrantId) -> Result<bool, TxError> {
        let sql = "-- hold_grant()
            UPDATE grants SET cancelled = 0 WHERE grant_id = $1 AND cancelled = 0";
        let held = sqlx::query(sql)
            .bind(grant_id.as_bytes().as_slice())
            .execute(self.connection())
            .await?;
        Ok(held.rows_affected() == 1)
    }

    /// Cancels a grant, so that nothing more is signed under it, or takes that back.
    pub(super) async fn set_cancelled(
        &mut self,
        grant_id: &GrantId,
        cancelled: bool,
    ) -> Result<(), TxError> {
        let sql = "-- set_cancelled()
            UPDATE grants SET cancelled = $2 WHERE grant_id = $1";
        sqlx::query(sql)
            .bind(grant_id.as_bytes().as_slice())
            .bind(i64::from(cancelled))
            .execute(self.connection())
            .await?;
        Ok(())
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
