//! Who may read private leaves: auditors, each with a token of its own.

use std::{fmt, str::FromStr};

use data_encoding::BASE64URL_NOPAD;
use rand_core::{CryptoRng, RngCore};
use scrip_protocol::time::{SECONDS_PER_DAY, UnixSeconds};
use sha2::{Digest, Sha256};
use zeroize::ZeroizeOnDrop;

use crate::{
    issuer::Issuer,
    store::{Act, Action, AddedToken, AuditorRow, Store, StoreError},
};

/// For how many days a token is good where nothing else is said.
pub const DEFAULT_VALID_DAYS: u32 = 365;
/// The longest name of an auditor.
const MAX_NAME: usize = 40;
/// What the text of a token begins with, so that people and scanners for leaked secrets know what it is.
const PREFIX: &str = "scrip-auditor-";
/// What the hash begins with, so that it equals no other hash.
const LABEL: &[u8] = b"scrip-issuer auditor token\0";

/// An auditor's token: 256 random bits. With that many, a plain hash is as good at rest as a slow one.
#[derive(ZeroizeOnDrop)]
pub struct AuditorToken([u8; 32]);

/// Text that is no auditor's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an auditor's token: it begins with `{PREFIX}` and has 43 characters after that")]
pub struct ParseAuditorTokenError;

impl AuditorToken {
    fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// What is stored instead of the token.
    fn hash(&self) -> [u8; 32] {
        Sha256::new().chain_update(LABEL).chain_update(self.0).finalize().into()
    }
}

impl fmt::Display for AuditorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", BASE64URL_NOPAD.encode(&self.0))
    }
}

/// As pasted: space around it does not matter.
impl FromStr for AuditorToken {
    type Err = ParseAuditorTokenError;

    fn from_str(text: &str) -> Result<Self, ParseAuditorTokenError> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(ParseAuditorTokenError)?;
        let bytes =
            BASE64URL_NOPAD.decode(encoded.as_bytes()).map_err(|_| ParseAuditorTokenError)?;
        bytes.try_into().map(Self).map_err(|_| ParseAuditorTokenError)
    }
}

/// Why there is no new auditor, or none was revoked.
#[derive(Debug, thiserror::Error)]
pub enum AuditorError {
    /// The name is empty, too long, or has other characters.
    #[error(
        "an auditor's name has from 1 to {MAX_NAME} letters, digits, `.`, `-`, `_` and `@`; choose another one"
    )]
    Name,
    /// Another auditor has this name, or had it: the log must tell them apart.
    #[error(
        "an auditor called `{name}` was added before; choose another name, so that the log tells them apart"
    )]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The token would be good for no time.
    #[error("a token is good for at least a day; correct --valid-days")]
    ValidDays,
    /// There is no auditor of this name.
    #[error("no auditor is called `{name}`; `scrip-issuer auditor list` shows them")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Adds an auditor. Its token is stored as its hash alone.
///
/// # Errors
/// [`AuditorError`].
pub async fn add_auditor(
    store: &Store,
    name: &str,
    valid_days: u32,
    now: UnixSeconds,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<(AuditorToken, AuditorRow), AuditorError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@');
    if !(1..=MAX_NAME).contains(&name.len()) || !name.chars().all(allowed) {
        return Err(AuditorError::Name);
    }
    if valid_days == 0 {
        return Err(AuditorError::ValidDays);
    }
    let token = AuditorToken::generate(rng);
    let row = AuditorRow {
        name: name.to_owned(),
        made_at: now,
        valid_until: now.plus(u64::from(valid_days) * SECONDS_PER_DAY),
        revoked_at: None,
    };
    let act = Act::by_command(now, Action::AuditorAdd, name)
        .detail(format!("good until {}", row.valid_until));
    match store.add_auditor(&token.hash(), &row, &act).await? {
        AddedToken::Added => Ok((token, row)),
        AddedToken::NameTaken => Err(AuditorError::NameTaken { name: name.to_owned() }),
    }
}

/// Revokes an auditor's token. Revoking it again changes nothing.
///
/// # Errors
/// [`AuditorError`].
pub async fn revoke_auditor(
    store: &Store,
    name: &str,
    now: UnixSeconds,
) -> Result<(), AuditorError> {
    let act = Act::by_command(now, Action::AuditorRevoke, name);
    let found = store.revoke_auditor(name, now, &act).await?;
    if found { Ok(()) } else { Err(AuditorError::Unknown { name: name.to_owned() }) }
}

impl Issuer {
    /// Whether this is the value of an `Authorization` header with a good token.
    pub(crate) async fn is_auditor(&self, authorization: Option<&str>) -> Result<bool, StoreError> {
        let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
        let Some(Ok(token)) = token.map(str::parse::<AuditorToken>) else { return Ok(false) };
        let auditor = self.inner.store.auditor(&token.hash()).await?;
        Ok(auditor.is_some_and(|auditor| auditor.is_good_at(self.inner.clock.now())))
    }
}
