//! The byte rules for public keys against the curve itself.

use super::*;

/// Compressed points of small order in every encoding, from the curve's torsion subgroup.
fn small_order_encodings() -> Vec<[u8; 32]> {
    let mut all = Vec::new();
    for point in curve25519_dalek::constants::EIGHT_TORSION {
        let canonical = point.compress().to_bytes();
        all.push(canonical);
        // The same y with the other sign bit: a point of small order too, or a non-canonical zero.
        let mut other = canonical;
        other[31] ^= 0x80;
        all.push(other);
        // y + p still fits 255 bits where y is below 19.
        if canonical[1..31].iter().all(|b| *b == 0) && canonical[31] & 0x7f == 0 {
            let mut unreduced = P;
            unreduced[0] += canonical[0];
            unreduced[31] |= canonical[31] & 0x80;
            all.push(unreduced);
        }
    }
    all
}

#[test]
fn no_encoding_of_a_point_of_small_order_is_a_key() {
    let all = small_order_encodings();
    assert!(all.len() >= 18);
    for encoding in all {
        assert_eq!(PublicKey::from_bytes(encoding), Err(BadKey), "{encoding:02x?}");
        let text = encode_base64url(&encoding);
        assert_eq!(text.parse::<PublicKey>(), Err(ParseKeyError::Encoding(BadKey)));
        assert!(serde_json::from_str::<PublicKey>(&format!("\"{text}\"")).is_err());
    }
}

#[test]
fn y_must_be_reduced() {
    for low in 0xed..=0xff_u8 {
        let mut y = P;
        y[0] = low;
        assert!(PublicKey::from_bytes(y).is_err(), "p + {}", low - 0xed);
        y[31] |= 0x80;
        assert!(PublicKey::from_bytes(y).is_err());
    }
    let mut largest = P;
    largest[0] = 0xeb; // p − 2
    assert!(PublicKey::from_bytes(largest).is_ok());
}

#[test]
fn honest_keys_pass() {
    for seed in 0..200 {
        let key = SigningKey::from_seed(&[seed; 32]).public();
        assert_eq!(PublicKey::from_bytes(*key.as_bytes()), Ok(key));
        assert_eq!(key.to_string().parse(), Ok(key));
    }
}
