//! The published vectors, from the client's side and, with the private keys that they publish, from the issuer's.

use blind_rsa_signatures::{Deterministic, PSS, SecretKey, Sha384};
use serde_json::Value;

use super::*;
use crate::rsa::TokenPublicKey;
use crate::token::{Token, TokenRequest};

fn vectors(name: &str) -> Vec<Value> {
    let path = format!("{}/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn hex(vector: &Value, field: &str) -> Vec<u8> {
    let text = vector[field].as_str().unwrap();
    let text = text.strip_prefix("0x").unwrap_or(text);
    let text = if text.len() % 2 == 1 { format!("0{text}") } else { text.to_owned() };
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// The blind whose inverse is `inverse`: RFC 9474 publishes the inverse.
fn blind_of(inverse: &[u8], modulus: &Modulus) -> Vec<u8> {
    let inverse = modulus.reduce(inverse);
    let r: BoxedUint = Option::from(inverse.invert_mod(&modulus.n)).unwrap();
    r.to_be_bytes().to_vec()
}

#[test]
fn rfc_9474_vectors_blind_and_finalize() {
    let all = vectors("rfc9474.json");
    assert_eq!(all.len(), 4);
    for vector in &all {
        assert_eq!(hex(vector, "e"), [1, 0, 1]);
        let modulus = Modulus::new(&hex(vector, "n")).unwrap();
        let r = blind_of(&hex(vector, "inv"), &modulus);
        let salt = hex(vector, "salt");
        assert_eq!([salt.len() as u8], *hex(vector, "sLen"));
        let blinded = modulus.blind(&hex(vector, "input_msg"), &salt, &r).unwrap();
        assert_eq!(blinded.message(), hex(vector, "blinded_msg"), "{}", vector["name"]);
        let signature = modulus.unblind(&hex(vector, "blind_sig"), &blinded).unwrap();
        assert_eq!(signature, hex(vector, "sig"), "{}", vector["name"]);
    }
}

#[test]
fn rfc_9578_vectors_request_and_finalize() {
    let all = [vectors("rfc9578-type2.go.json"), vectors("rfc9578-type2.rust.json")].concat();
    assert_eq!(all.len(), 10);
    for vector in &all {
        let key = TokenPublicKey::from_spki(&hex(vector, "pkS")).unwrap();
        let token = Token::decode(&hex(vector, "token")).unwrap();
        assert_eq!(token.key_id, key.id());
        assert_eq!(token.nonce, *hex(vector, "nonce"));
        use sha2::Sha256;
        let challenge_digest = Sha256::digest(hex(vector, "token_challenge"));
        assert_eq!(token.challenge_digest, *challenge_digest);

        let blinded =
            key.blind(&token.signed_part(), &hex(vector, "salt"), &hex(vector, "blind")).unwrap();
        let request = TokenRequest {
            truncated_key_id: key.id().as_bytes()[31],
            blinded_message: blinded.message().try_into().unwrap(),
        };
        assert_eq!(request.encode(), hex(vector, "token_request"));
        assert!(TokenRequest::decode(&hex(vector, "token_request")).unwrap() == request);

        let signature = key.unblind(&hex(vector, "token_response"), &blinded).unwrap();
        assert_eq!(signature, token.authenticator);
        key.verify(&token.signed_part(), &token.authenticator).unwrap();
        assert_eq!(token.encode(), *hex(vector, "token"));
    }
}

#[test]
fn rfc_9578_vectors_from_the_issuers_side() {
    for vector in vectors("rfc9578-type2.go.json") {
        let pem = String::from_utf8(hex(&vector, "skS")).unwrap();
        let secret = SecretKey::<Sha384, PSS, Deterministic>::from_pem(&pem).unwrap();
        let request = TokenRequest::decode(&hex(&vector, "token_request")).unwrap();
        let response = secret.blind_sign(request.blinded_message).unwrap();
        assert_eq!(response.0, hex(&vector, "token_response"));
    }
}

#[test]
fn hostile_answers_give_no_signature() {
    let vector = &vectors("rfc9474.json")[0];
    let modulus = Modulus::new(&hex(vector, "n")).unwrap();
    let blinded = modulus.blind(b"message", &[0; 48], &[7; 528]).unwrap();
    assert!(modulus.unblind(&hex(vector, "n"), &blinded).is_none(), "not below the modulus");
    assert!(modulus.unblind(&[1; 511], &blinded).is_none(), "too short");
    assert!(modulus.unblind(&[], &blinded).is_none());
}

#[test]
fn malformed_keys_are_named_and_do_not_panic() {
    assert!(Modulus::new(&[0x80, 2]).is_none(), "even");
    assert!(Modulus::new(&[]).is_none());
    let tiny = Modulus::new(&[0xff, 0xff]).unwrap();
    assert!(matches!(tiny.blind(b"", &[], &[3]), Err(BlindError::ModulusTooShort)));
    // 3^1024 and the blind 3 have a common factor.
    let mut power = vec![0xff; 256];
    power[0] = 0xff;
    let modulus = Modulus::new(&power).unwrap(); // 2^2048 − 1 is divisible by 3
    assert!(matches!(modulus.blind(b"m", &[0; 48], &[3]), Err(BlindError::NoInverse)));
    assert!(matches!(modulus.blind(b"m", &[0; 48], &[0]), Err(BlindError::NoInverse)));
}
