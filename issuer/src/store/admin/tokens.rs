//! Admin tokens, by their hashes.

use scrip_protocol::time::UnixSeconds;
use sqlx::{Row, any::AnyRow};

use super::Act;
use crate::store::{Store, StoreError, Tx, TxError, rows};

/// An admin token as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminTokenRow {
    /// What it is called in the log.
    pub name: String,
    /// When it was made.
    pub made_at: UnixSeconds,
    /// The first second in which it is no longer good.
    pub valid_until: UnixSeconds,
    /// When it was revoked.
    pub revoked_at: Option<UnixSeconds>,
}

impl AdminTokenRow {
    /// Whether one can log in with it.
    pub fn is_good_at(&self, now: UnixSeconds) -> bool {
        self.revoked_at.is_none() && now < self.valid_until
    }
}

/// What became of the attempt to add a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddedToken {
    /// It is there now.
    Added,
    /// Another one has this name, or had it.
    NameTaken,
}

impl Store {
    /// Adds a token, and logs it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_admin_token(
        &self,
        token_hash: &[u8; 32],
        token: &AdminTokenRow,
        act: &Act,
    ) -> Result<AddedToken, StoreError> {
        self.run_tx("add_admin_token", |tx| {
            Box::pin(async move {
                if tx.admin_tokens().await?.iter().any(|other| other.name == token.name) {
                    return Ok(AddedToken::NameTaken);
                }
                let sql = "-- add_admin_token()
                    INSERT INTO admin_tokens (token_hash, name, made_at, valid_until)
                    VALUES ($1, $2, $3, $4)";
                sqlx::query(sql)
                    .bind(token_hash.as_slice())
                    .bind(token.name.as_str())
                    .bind(seconds(token.made_at))
                    .bind(seconds(token.valid_until))
                    .execute(tx.connection())
                    .await?;
                tx.log_admin(act).await?;
                Ok(AddedToken::Added)
            })
        })
        .await
    }

    /// All tokens, by the time at which they were made.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn admin_tokens(&self) -> Result<Vec<AdminTokenRow>, StoreError> {
        self.read("admin_tokens", |tx| Box::pin(async move { tx.admin_tokens().await })).await
    }

    /// Revokes the token of this name, ends its sessions, and logs it. Returns whether there is such a token.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoke_admin_token(
        &self,
        name: &str,
        now: UnixSeconds,
        act: &Act,
    ) -> Result<bool, StoreError> {
        self.run_tx("revoke_admin_token", |tx| {
            Box::pin(async move {
                let sql = "-- end_sessions_of()
                    DELETE FROM admin_sessions WHERE token_hash IN
                    (SELECT token_hash FROM admin_tokens WHERE name = $1)";
                sqlx::query(sql).bind(name).execute(tx.connection()).await?;
                let sql = "-- revoke_admin_token()
                    UPDATE admin_tokens SET revoked_at = $2 WHERE name = $1 AND revoked_at IS NULL";
                let revoked =
                    sqlx::query(sql).bind(name).bind(seconds(now)).execute(tx.connection()).await?;
                if revoked.rows_affected() == 1 {
                    tx.log_admin(act).await?;
                    return Ok(true);
                }
                Ok(tx.admin_tokens().await?.iter().any(|token| token.name == name))
            })
        })
        .await
    }
}

impl Tx<'_> {
    async fn admin_tokens(&mut self) -> Result<Vec<AdminTokenRow>, TxError> {
        let sql = "-- admin_tokens()
            SELECT name, made_at, valid_until, revoked_at FROM admin_tokens ORDER BY made_at, name";
        let found = sqlx::query(sql).fetch_all(self.connection()).await?;
        found.iter().map(token).collect()
    }

    /// The token with this hash.
    pub(super) async fn admin_token(
        &mut self,
        token_hash: &[u8; 32],
    ) -> Result<Option<AdminTokenRow>, TxError> {
        let sql = "-- admin_token()
            SELECT name, made_at, valid_until, revoked_at FROM admin_tokens WHERE token_hash = $1";
        let found =
            sqlx::query(sql).bind(token_hash.as_slice()).fetch_optional(self.connection()).await?;
        found.as_ref().map(token).transpose()
    }
}

fn token(row: &AnyRow) -> Result<AdminTokenRow, TxError> {
    let revoked_at: Option<i64> = row.try_get("revoked_at")?;
    Ok(AdminTokenRow {
        name: row.try_get("name")?,
        made_at: UnixSeconds(rows::integer(row, "made_at", "admin_tokens")?),
        valid_until: UnixSeconds(rows::integer(row, "valid_until", "admin_tokens")?),
        revoked_at: revoked_at.and_then(|at| u64::try_from(at).ok()).map(UnixSeconds),
    })
}

/// A time as a column holds it.
pub(super) fn seconds(time: UnixSeconds) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}
