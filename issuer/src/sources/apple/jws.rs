//! Signed data of the App Store: a JWS in compact form (RFC 7515) with the signer's certificates in its header.
//!
//! The order of the checks matters: nothing is decoded before its size is known, and what is signed is read as such only
//! after the signature was checked. The one exception is the time of signing, at which the certificates must be valid.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use data_encoding::BASE64URL_NOPAD;
use scrip_protocol::{encoding::decode_base64, time::UnixSeconds};
use serde::{Deserialize, de::DeserializeOwned};

use super::{chain::Root, untrusted::Untrusted};

/// How far the clock of this machine may be behind Apple's, in seconds.
const CLOCK_SKEW: u64 = 3_600;

/// What Apple writes there. `kid`, `typ` and the like are ignored: nothing is chosen by them.
#[derive(Deserialize)]
struct Header {
    alg: String,
    x5c: Vec<String>,
    /// Extensions that a reader must know to understand the rest: there are none.
    crit: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dated {
    /// Milliseconds since 1970.
    signed_date: u64,
}

/// What is signed in `compact`, which has at most `limit` bytes.
///
/// # Errors
/// [`Untrusted`].
pub(super) fn open<T: DeserializeOwned>(
    root: &Root,
    compact: &str,
    limit: usize,
    now: UnixSeconds,
) -> Result<T, Untrusted> {
    if compact.len() > limit {
        return Err(Untrusted::TooLarge);
    }
    let (signed, signature) = compact.rsplit_once('.').ok_or(Untrusted::Encoding)?;
    let (header, payload) = signed.split_once('.').ok_or(Untrusted::Encoding)?;
    let header: Header =
        serde_json::from_slice(&base64url(header)?).map_err(|_| Untrusted::Header)?;
    let payload = base64url(payload)?;
    let signature = base64url(signature)?;

    if header.alg != "ES256" {
        return Err(Untrusted::Algorithm);
    }
    if header.crit.is_some() {
        return Err(Untrusted::Header);
    }
    // The third is the root, which is here already: believing the one that is sent would be believing anybody.
    let [leaf, intermediate, _root] = &header.x5c[..] else {
        return Err(Untrusted::CertificateCount);
    };
    let (leaf, intermediate) = (certificate(leaf)?, certificate(intermediate)?);

    let Dated { signed_date } = parse(&payload)?;
    let signed_at = UnixSeconds(signed_date / 1_000);
    if signed_at > now.plus(CLOCK_SKEW) {
        return Err(Untrusted::Future);
    }
    let key = root.signer(&leaf, &intermediate, signed_at)?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.0)
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| Untrusted::Signature)?;
    parse(&payload)
}

fn parse<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Untrusted> {
    serde_json::from_slice(payload).map_err(|_| Untrusted::Payload)
}

fn base64url(part: &str) -> Result<Vec<u8>, Untrusted> {
    BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| Untrusted::Encoding)
}

/// Certificates are in plain base64 (RFC 7515, 4.1.6).
fn certificate(text: &str) -> Result<Vec<u8>, Untrusted> {
    decode_base64(text).ok_or(Untrusted::Header)
}
