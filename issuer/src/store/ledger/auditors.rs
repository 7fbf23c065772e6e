//! Auditors, by the hashes of their tokens.

use scrip_protocol::time::UnixSeconds;
use sqlx::{Row, any::AnyRow};

use crate::store::{Act, AddedToken, AdminTokenRow, Store, StoreError, Tx, TxError, rows};

/// An auditor's token as it is stored: what is known of any token.
pub type AuditorRow = AdminTokenRow;

impl Store {
    /// Adds an auditor, and logs it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_auditor(
        &self,
        token_hash: &[u8; 32],
        auditor: &AuditorRow,
        act: &Act,
    ) -> Result<AddedToken, StoreError> {
        self.run_tx("add_auditor", |tx| {
            Box::pin(async move {
                if tx.auditors().await?.iter().any(|other| other.name == auditor.name) {
                    return Ok(AddedToken::NameTaken);
                }
                let sql = "-- add_auditor()
                    INSERT INTO auditors (token_hash, name, made_at, valid_until)
                    VALUES ($1, $2, $3, $4)";
                sqlx::query(sql)
                    .bind(token_hash.as_slice())
                    .bind(auditor.name.as_str())
                    .bind(seconds(auditor.made_at))
                    .bind(seconds(auditor.valid_until))
                    .execute(tx.connection())
                    .await?;
                tx.log_admin(act).await?;
                Ok(AddedToken::Added)
            })
        })
        .await
    }

    /// All auditors, by the time at which they were added.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn auditors(&self) -> Result<Vec<AuditorRow>, StoreError> {
        self.read("auditors", |tx| Box::pin(async move { tx.auditors().await })).await
    }

    /// The auditor whose token has this hash.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn auditor(&self, token_hash: &[u8; 32]) -> Result<Option<AuditorRow>, StoreError> {
        self.read("auditor", |tx| {
            Box::pin(async move {
                let sql = "-- auditor()
                    SELECT name, made_at, valid_until, revoked_at FROM auditors
                    WHERE token_hash = $1";
                let found = sqlx::query(sql)
                    .bind(token_hash.as_slice())
                    .fetch_optional(tx.connection())
                    .await?;
                found.as_ref().map(auditor).transpose()
            })
        })
        .await
    }

    /// Revokes the token of the auditor of this name, and logs it. Returns whether there is such an auditor.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoke_auditor(
        &self,
        name: &str,
        now: UnixSeconds,
        act: &Act,
    ) -> Result<bool, StoreError> {
        self.run_tx("revoke_auditor", |tx| {
            Box::pin(async move {
                let sql = "-- revoke_auditor()
                    UPDATE auditors SET revoked_at = $2 WHERE name = $1 AND revoked_at IS NULL";
                let revoked =
                    sqlx::query(sql).bind(name).bind(seconds(now)).execute(tx.connection()).await?;
                if revoked.rows_affected() == 1 {
                    tx.log_admin(act).await?;
                    return Ok(true);
                }
                Ok(tx.auditors().await?.iter().any(|auditor| auditor.name == name))
            })
        })
        .await
    }
}

impl Tx<'_> {
    async fn auditors(&mut self) -> Result<Vec<AuditorRow>, TxError> {
        let sql = "-- auditors()
            SELECT name, made_at, valid_until, revoked_at FROM auditors ORDER BY made_at, name";
        let found = sqlx::query(sql).fetch_all(self.connection()).await?;
        found.iter().map(auditor).collect()
    }
}

fn auditor(row: &AnyRow) -> Result<AuditorRow, TxError> {
    let revoked_at: Option<i64> = row.try_get("revoked_at")?;
    Ok(AuditorRow {
        name: row.try_get("name")?,
        made_at: UnixSeconds(rows::integer(row, "made_at", "auditors")?),
        valid_until: UnixSeconds(rows::integer(row, "valid_until", "auditors")?),
        revoked_at: revoked_at.and_then(|at| u64::try_from(at).ok()).map(UnixSeconds),
    })
}

fn seconds(time: UnixSeconds) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}
