//! Certificates in what was recorded.
//!
//! A certificate is found by what every token has, whatever message it is in: its type, its key, and the digest of the vendor's challenge behind it
//! (verification.md). So a message that is added to the protocol later is looked through as well.

use std::collections::BTreeSet;

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use scrip_protocol::id::KeyId;
use scrip_protocol::manifest::Manifest;
use scrip_protocol::token::TOKEN_TYPE;

use super::{Exchange, Request};

/// The Ed25519 public key of a certificate.
pub type CertificateKey = [u8; 32];

/// The keys of all certificates in `bytes` and the ids of the denomination keys that they name, in their order.
pub fn tokens_in(bytes: &[u8], manifest: &Manifest) -> Vec<(CertificateKey, KeyId)> {
    let challenge = manifest.challenge_digest();
    bytes
        .windows(2 + 32 + 32 + 32)
        .filter(|window| window[..2] == TOKEN_TYPE.to_be_bytes() && window[34..66] == *challenge)
        .filter_map(|window| {
            let key_id = KeyId::from_bytes(window[66..].try_into().ok()?);
            Some((window[2..34].try_into().ok()?, key_id))
        })
        .collect()
}

/// The certificates in a request, as [`tokens_in`] finds them: in its body, its path and its headers, as bytes or as base64 or hexadecimal text.
pub fn tokens_of(request: &Request, manifest: &Manifest) -> Vec<(CertificateKey, KeyId)> {
    pieces(request).iter().flat_map(|piece| tokens_in(piece, manifest)).collect()
}

/// The keys of all certificates that were shown in these requests.
pub fn keys_shown<'a>(
    exchanges: impl IntoIterator<Item = &'a Exchange>,
    manifest: &Manifest,
) -> BTreeSet<CertificateKey> {
    let requests = exchanges.into_iter().map(|exchange| &exchange.request);
    requests.flat_map(|request| tokens_of(request, manifest)).map(|(key, _)| key).collect()
}

/// Those of `keys` whose bytes are anywhere in these requests, with or without a certificate around them.
pub fn keys_among<'a>(
    exchanges: impl IntoIterator<Item = &'a Exchange>,
    keys: &BTreeSet<CertificateKey>,
) -> BTreeSet<CertificateKey> {
    let requests = exchanges.into_iter().map(|exchange| &exchange.request);
    let pieces: Vec<_> = requests.flat_map(pieces).collect();
    let windows = pieces.iter().flat_map(|piece| piece.windows(32));
    windows.filter_map(|window| keys.get(window).copied()).collect()
}

/// The body, and what every longer word of the request decodes to.
fn pieces(request: &Request) -> Vec<Vec<u8>> {
    let mut all = vec![request.body.to_vec()];
    let headers = request.headers.values().filter_map(|value| value.to_str().ok());
    let body = std::str::from_utf8(&request.body).ok();
    for text in headers.chain([request.path.as_str()]).chain(body) {
        let of_base64 = |c: char| c.is_ascii_alphanumeric() || "-_+=".contains(c);
        for word in text.split(|c| !of_base64(c)).filter(|word| word.len() > 40) {
            all.extend(BASE64URL_NOPAD.decode(word.as_bytes()).ok());
            all.extend(BASE64.decode(word.as_bytes()).ok());
            all.extend(HEXLOWER_PERMISSIVE.decode(word.as_bytes()).ok());
        }
    }
    all
}
