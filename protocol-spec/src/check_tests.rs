//! The byte rules for certificate keys against the curve itself, and single against batch.

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
fn no_encoding_of_a_point_of_small_order_is_a_certificate_key() {
    let all = small_order_encodings();
    assert!(all.len() >= 18);
    for encoding in all {
        assert_eq!(
            check_key_encoding(&encoding),
            Err(Rejection::CertificateKey),
            "{encoding:02x?}"
        );
    }
}

#[test]
fn y_must_be_reduced() {
    for low in 0xed..=0xff_u8 {
        let mut y = P;
        y[0] = low;
        assert!(check_key_encoding(&y).is_err(), "p + {}", low - 0xed);
        y[31] |= 0x80;
        assert!(check_key_encoding(&y).is_err());
    }
    let mut largest = P;
    largest[0] = 0xeb; // p − 2
    assert!(check_key_encoding(&largest).is_ok());
}

#[test]
fn honest_keys_pass() {
    for seed in 0..200 {
        let key = crate::keys::SigningKey::from_seed(&[seed; 32]);
        assert!(check_key_encoding(key.public().as_bytes()).is_ok());
    }
}
