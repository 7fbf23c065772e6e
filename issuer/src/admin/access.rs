//! Who may see the page: admin tokens and sessions.

use rand_core::{CryptoRng, RngCore};
use scrip_protocol::time::{SECONDS_PER_DAY, UnixSeconds};

use super::token::{AdminToken, Cookie};
use crate::{
    issuer::Issuer,
    store::{
        Act, Action, AddedToken, AdminTokenRow, NewSession, SessionLimits, SessionRow, Store,
        StoreError,
    },
};

/// For how many days a token is good where nothing else is said.
pub const DEFAULT_VALID_DAYS: u32 = 365;
/// The longest name of a token.
const MAX_NAME: usize = 40;

/// An hour without a request ends a session, and so do twelve hours in all: a working day.
const LIMITS: SessionLimits = SessionLimits { idle: 3_600, longest: 12 * 3_600, noted_every: 60 };

/// Why there is no new token, or none was revoked.
#[derive(Debug, thiserror::Error)]
pub enum AdminTokenError {
    /// The name is empty, too long, has other characters, or stands for something else in the log.
    #[error(
        "a token's name has from 1 to {MAX_NAME} letters, digits, `.`, `-`, `_` and `@`; choose another one"
    )]
    Name,
    /// Another token has this name, or had it: the log must tell them apart.
    #[error(
        "a token called `{name}` was made before; choose another name, so that the log tells them apart"
    )]
    NameTaken {
        /// The name.
        name: String,
    },
    /// It would be good for no time.
    #[error("a token is good for at least a day; correct --valid-days")]
    ValidDays,
    /// There is no token of this name.
    #[error("no token is called `{name}`; `scrip-issuer admin token list` shows them")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why nobody was logged in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    /// No token is good, this one is none, or it was revoked, or is too old. Which of these it is, is not said.
    #[error("this token is not good")]
    Token,
    /// Too many attempts failed.
    #[error("too many attempts failed; the next is answered in {seconds} seconds")]
    TooMany {
        /// In how many seconds.
        seconds: u64,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes a token, which is stored as its hash alone.
///
/// # Errors
/// [`AdminTokenError`].
pub async fn create_token(
    store: &Store,
    name: &str,
    valid_days: u32,
    now: UnixSeconds,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<(AdminToken, AdminTokenRow), AdminTokenError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@');
    let is_word = (1..=MAX_NAME).contains(&name.len()) && name.chars().all(allowed);
    if !is_word || name == Act::BY_ITSELF {
        return Err(AdminTokenError::Name);
    }
    if valid_days == 0 {
        return Err(AdminTokenError::ValidDays);
    }
    let token = AdminToken::generate(rng);
    let row = AdminTokenRow {
        name: name.to_owned(),
        made_at: now,
        valid_until: now.plus(u64::from(valid_days) * SECONDS_PER_DAY),
        revoked_at: None,
    };
    let act = Act::by_command(now, Action::TokenCreate, name)
        .detail(format!("good until {}", row.valid_until));
    match store.add_admin_token(&token.hash(), &row, &act).await? {
        AddedToken::Added => Ok((token, row)),
        AddedToken::NameTaken => Err(AdminTokenError::NameTaken { name: name.to_owned() }),
    }
}

/// Revokes a token and ends its sessions. Revoking it again changes nothing.
///
/// # Errors
/// [`AdminTokenError`].
pub async fn revoke_token(
    store: &Store,
    name: &str,
    now: UnixSeconds,
) -> Result<(), AdminTokenError> {
    let act = Act::by_command(now, Action::TokenRevoke, name);
    let found = store.revoke_admin_token(name, now, &act).await?;
    if found { Ok(()) } else { Err(AdminTokenError::Unknown { name: name.to_owned() }) }
}

impl Issuer {
    /// Whether the page is on: whether one can log in with any token.
    pub(crate) async fn has_admin(&self) -> Result<bool, StoreError> {
        let now = self.inner.clock.now();
        let tokens = self.inner.store.admin_tokens().await?;
        Ok(tokens.iter().any(|token| token.is_good_at(now)))
    }

    /// Begins a session for whoever has this token, and returns its cookie.
    pub(crate) async fn log_in(&self, token: &str) -> Result<Cookie, LoginError> {
        let now = self.inner.clock.now();
        let attempts = &self.inner.attempts;
        attempts.check(now).map_err(|seconds| LoginError::TooMany { seconds })?;
        let Ok(token) = token.parse::<AdminToken>() else {
            attempts.failed(now);
            return Err(LoginError::Token);
        };
        let cookie = Cookie::generate(&mut &mut *(self.inner.rng)());
        let (session_hash, token_hash) = (cookie.session_hash(), token.hash());
        let new = NewSession { session_hash: &session_hash, token_hash: &token_hash };
        if self.inner.store.begin_session(&new, now, LIMITS).await?.is_none() {
            attempts.failed(now);
            return Err(LoginError::Token);
        }
        Ok(cookie)
    }

    /// The session that a cookie belongs to, if it is not over.
    pub(crate) async fn admin_session(
        &self,
        cookie: &Cookie,
    ) -> Result<Option<SessionRow>, StoreError> {
        let now = self.inner.clock.now();
        self.inner.store.session(&cookie.session_hash(), now, LIMITS).await
    }

    /// Ends a session.
    pub(crate) async fn log_out(&self, cookie: &Cookie) -> Result<(), StoreError> {
        self.inner.store.end_session(&cookie.session_hash()).await
    }
}
