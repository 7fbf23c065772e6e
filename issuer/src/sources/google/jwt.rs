//! JSON Web Tokens (RFC 7519) with one algorithm, RS256 (RFC 7518, section 3.3): what Google's OAuth takes and gives.
//!
//! The algorithm is fixed, and a token that names another is refused.

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeyPair,
    signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaPublicKeyComponents},
};
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 8_192;

#[derive(Serialize)]
struct SignedHeader<'a> {
    alg: &'static str,
    typ: &'static str,
    kid: &'a str,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

/// A public key by its parts, as JWK sets give it (RFC 7517).
pub(crate) struct PublicKey {
    pub(crate) modulus: Vec<u8>,
    pub(crate) exponent: Vec<u8>,
}

/// A signed token; `None` where the library fails.
pub(crate) fn sign(key: &KeyPair, key_id: &str, claims: &impl Serialize) -> Option<String> {
    let header = SignedHeader { alg: "RS256", typ: "JWT", kid: key_id };
    let encode = |json: Vec<u8>| BASE64URL_NOPAD.encode(&json);
    let header = encode(serde_json::to_vec(&header).ok()?);
    let mut token = format!("{header}.{}", encode(serde_json::to_vec(claims).ok()?));
    let mut signature = vec![0; key.public_modulus_len()];
    // The padding has no random part; the library asks for a generator all the same.
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature).ok()?;
    token.push('.');
    token.push_str(&encode(signature));
    Some(token)
}

/// The id of the key that a token says it is signed with.
pub(crate) fn key_id(token: &str) -> Option<String> {
    let header = token.get(..MAX_TOKEN.min(token.len()))?.split('.').next()?;
    let header: Header = decode(header)?;
    (header.alg == "RS256" && token.len() <= MAX_TOKEN).then_some(header.kid)
}

/// The claims of a token that `key` has signed. What they say is not checked.
pub(crate) fn verify<C: DeserializeOwned>(token: &str, key: &PublicKey) -> Option<C> {
    key_id(token)?;
    let (signed, signature) = token.rsplit_once('.')?;
    let (_, claims) = signed.split_once('.')?;
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).ok()?;
    let key = RsaPublicKeyComponents { n: &key.modulus, e: &key.exponent };
    key.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature).ok()?;
    decode(claims)
}

fn decode<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).ok()?).ok()
}
