//! Sessions of the admin page, by the hashes of their cookies: every issuer on the database knows them.

use scrip_protocol::time::UnixSeconds;
use sqlx::Row;

use super::{Act, Action, tokens::seconds};
use crate::store::{Store, StoreError, Tx, TxError, rows};

/// For how long a session lasts.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// Seconds without a request after which it ends.
    pub idle: u64,
    /// Seconds from its beginning after which it ends in any case.
    pub longest: u64,
    /// Requests within so many seconds of the last one that was noted are not noted, so that reading writes little.
    pub noted_every: u64,
}

/// A session to begin.
#[derive(Clone, Copy, Debug)]
pub struct NewSession<'a> {
    /// The hash of the cookie.
    pub session_hash: &'a [u8; 32],
    /// The hash of the token that was shown.
    pub token_hash: &'a [u8; 32],
}

/// A session that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// The name of its token.
    pub name: String,
    /// When it began.
    pub began_at: UnixSeconds,
    /// When a request of it was last noted.
    pub seen_at: UnixSeconds,
}

impl SessionLimits {
    fn is_over(&self, session: &SessionRow, now: UnixSeconds) -> bool {
        now.since(session.seen_at) >= self.idle || now.since(session.began_at) >= self.longest
    }
}

impl Store {
    /// Begins a session where the token is good, logs it, and forgets sessions that are over. Returns the token's name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin_session(
        &self,
        new: &NewSession<'_>,
        now: UnixSeconds,
        limits: SessionLimits,
    ) -> Result<Option<String>, StoreError> {
        self.run_tx_minor("begin_session", |tx| {
            Box::pin(async move {
                let token = tx.admin_token(new.token_hash).await?;
                let Some(token) = token.filter(|token| token.is_good_at(now)) else {
                    return Ok(None);
                };
                tx.forget_sessions(now, limits).await?;
                let sql = "-- begin_session()
                    INSERT INTO admin_sessions (session_hash, token_hash, began_at, seen_at)
                    VALUES ($1, $2, $3, $3)";
                sqlx::query(sql)
                    .bind(new.session_hash.as_slice())
                    .bind(new.token_hash.as_slice())
                    .bind(seconds(now))
                    .execute(tx.connection())
                    .await?;
                tx.log_admin(&Act::by(token.name.as_str(), now, Action::Login, "")).await?;
                Ok(Some(token.name))
            })
        })
        .await
    }

    /// The session of this cookie, if it is not over and its token is still good.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn session(
        &self,
        session_hash: &[u8; 32],
        now: UnixSeconds,
        limits: SessionLimits,
    ) -> Result<Option<SessionRow>, StoreError> {
        let found = self.read("session", |tx| {
            Box::pin(async move {
                let sql = "-- session()
                    SELECT admin_tokens.name, admin_sessions.began_at, admin_sessions.seen_at
                    FROM admin_sessions JOIN admin_tokens
                    ON admin_tokens.token_hash = admin_sessions.token_hash
                    WHERE admin_sessions.session_hash = $1
                    AND admin_tokens.revoked_at IS NULL AND admin_tokens.valid_until > $2";
                let found = sqlx::query(sql)
                    .bind(session_hash.as_slice())
                    .bind(seconds(now))
                    .fetch_optional(tx.connection())
                    .await?;
                let session = |row: &sqlx::any::AnyRow| {
                    Ok::<_, TxError>(SessionRow {
                        name: row.try_get("name")?,
                        began_at: UnixSeconds(rows::integer(row, "began_at", "admin_sessions")?),
                        seen_at: UnixSeconds(rows::integer(row, "seen_at", "admin_sessions")?),
                    })
                };
                found.as_ref().map(session).transpose()
            })
        });
        let found = found.await?.filter(|session| !limits.is_over(session, now));
        if found.as_ref().is_some_and(|found| now.since(found.seen_at) >= limits.noted_every) {
            self.note_session(session_hash, now).await?;
        }
        Ok(found)
    }

    async fn note_session(
        &self,
        session_hash: &[u8; 32],
        now: UnixSeconds,
    ) -> Result<(), StoreError> {
        self.run_tx_minor("note_session", |tx| {
            Box::pin(async move {
                let sql = "-- note_session()
                    UPDATE admin_sessions SET seen_at = $2
                    WHERE session_hash = $1 AND seen_at < $2";
                sqlx::query(sql)
                    .bind(session_hash.as_slice())
                    .bind(seconds(now))
                    .execute(tx.connection())
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// Ends a session; nothing happens where there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end_session(&self, session_hash: &[u8; 32]) -> Result<(), StoreError> {
        self.run_tx_minor("end_session", |tx| {
            Box::pin(async move {
                let sql = "-- end_session()
                    DELETE FROM admin_sessions WHERE session_hash = $1";
                sqlx::query(sql).bind(session_hash.as_slice()).execute(tx.connection()).await?;
                Ok(())
            })
        })
        .await
    }
}

impl Tx<'_> {
    async fn forget_sessions(
        &mut self,
        now: UnixSeconds,
        limits: SessionLimits,
    ) -> Result<(), TxError> {
        let sql = "-- forget_sessions()
            DELETE FROM admin_sessions WHERE seen_at <= $1 OR began_at <= $2";
        sqlx::query(sql)
            .bind(seconds(now.minus(limits.idle)))
            .bind(seconds(now.minus(limits.longest)))
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
