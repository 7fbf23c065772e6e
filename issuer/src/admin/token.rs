//! The bearer secrets of the administration: tokens, which people keep, and session cookies, which browsers keep.

use std::{fmt, str::FromStr};

use data_encoding::BASE64URL_NOPAD;
use rand_core::{CryptoRng, RngCore};
use sha2::{Digest, Sha256};
use zeroize::ZeroizeOnDrop;

/// What the text of a token begins with, so that people and scanners for leaked secrets know what it is.
const PREFIX: &str = "scrip-admin-";
/// What hashes begin with, so that they equal no other hash.
const TOKEN_LABEL: &[u8] = b"scrip-issuer admin token\0";
const SESSION_LABEL: &[u8] = b"scrip-issuer admin session\0";
const FORM_LABEL: &[u8] = b"scrip-issuer admin form\0";

/// An admin token: 256 random bits. With that many, a plain hash is as good at rest as a slow one.
#[derive(ZeroizeOnDrop)]
pub struct AdminToken([u8; 32]);

/// Text that is no admin token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an admin token: it begins with `{PREFIX}` and has 43 characters after that")]
pub struct ParseTokenError;

impl AdminToken {
    /// A new token.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// What is stored instead of the token.
    pub fn hash(&self) -> [u8; 32] {
        hash(TOKEN_LABEL, &self.0)
    }
}

impl fmt::Display for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", BASE64URL_NOPAD.encode(&self.0))
    }
}

/// As pasted: space around it does not matter.
impl FromStr for AdminToken {
    type Err = ParseTokenError;

    fn from_str(text: &str) -> Result<Self, ParseTokenError> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(ParseTokenError)?;
        decode(encoded).map(Self).ok_or(ParseTokenError)
    }
}

/// What a cookie holds: 256 random bits.
#[derive(ZeroizeOnDrop)]
pub(crate) struct Cookie([u8; 32]);

impl Cookie {
    pub(crate) fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        decode(text).map(Self)
    }

    pub(crate) fn encode(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }

    /// What is stored instead of a session's cookie.
    pub(crate) fn session_hash(&self) -> [u8; 32] {
        hash(SESSION_LABEL, &self.0)
    }

    /// What every form that belongs to this cookie carries: a page elsewhere cannot know it.
    pub(crate) fn form_token(&self) -> String {
        BASE64URL_NOPAD.encode(&hash(FORM_LABEL, &self.0))
    }

    /// Whether a form carries the right one.
    pub(crate) fn fits(&self, form_token: &str) -> bool {
        let mine = self.form_token();
        aws_lc_rs::constant_time::verify_slices_are_equal(mine.as_bytes(), form_token.as_bytes())
            .is_ok()
    }
}

fn hash(label: &[u8], secret: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update(label).chain_update(secret).finalize().into()
}

fn decode(text: &str) -> Option<[u8; 32]> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_shown() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let token = AdminToken::generate(&mut rng);
        let text = token.to_string();
        assert_eq!(text.len(), PREFIX.len() + 43);
        assert_eq!(format!(" {text}\n").parse::<AdminToken>().unwrap().hash(), token.hash());
        assert_ne!(AdminToken::generate(&mut rng).hash(), token.hash());
        for bad in ["", PREFIX, &text[1..], &text[..text.len() - 1], &format!("{text}A"), "scrip"] {
            assert!(bad.parse::<AdminToken>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_form_belongs_to_one_cookie() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let (one, two) = (Cookie::generate(&mut rng), Cookie::generate(&mut rng));
        assert!(one.fits(&one.form_token()));
        assert!(!one.fits(&two.form_token()) && !one.fits("") && !one.fits(&one.encode()));
        assert_eq!(Cookie::parse(&one.encode()).unwrap().session_hash(), one.session_hash());
        assert_ne!(one.session_hash(), AdminToken(one.0).hash(), "a cookie is no token");
    }
}
