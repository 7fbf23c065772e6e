//! The two verifiers accept the same set.

use blind_rsa_signatures::{
    DefaultRng, Deterministic, KeyPair, PSS, PSSZero, Sha256 as Brsa256, Sha384,
};

use super::*;

struct Both(backend::Verifier, portable::Verifier);

impl Both {
    fn of(modulus: &[u8; RSA]) -> Self {
        Self(backend::Verifier::new(modulus).unwrap(), portable::Verifier::new(modulus).unwrap())
    }

    fn verify(&self, message: &[u8], signature: &[u8; RSA]) -> bool {
        let native = self.0.verify(message, signature).is_ok();
        assert_eq!(native, self.1.verify(message, signature).is_ok(), "the backends disagree");
        native
    }
}

fn sign<S: blind_rsa_signatures::SaltMode, H: blind_rsa_signatures::HashAlgorithm>(
    pem: &str,
    message: &[u8],
) -> [u8; RSA] {
    let secret = blind_rsa_signatures::SecretKey::<H, S, Deterministic>::from_pem(pem).unwrap();
    let public = secret.public_key().unwrap();
    let blinding = public.blind(&mut DefaultRng, message).unwrap();
    let signature = secret.blind_sign(&blinding.blind_message).unwrap();
    public.finalize(&signature, &blinding, message).unwrap().0.try_into().unwrap()
}

#[test]
fn both_verifiers_accept_the_same() {
    let pair = KeyPair::<Sha384, PSS, Deterministic>::generate(&mut DefaultRng, 2048).unwrap();
    let pem = pair.sk.to_pem().unwrap();
    let modulus: [u8; RSA] = pair.pk.components().n().try_into().unwrap();
    let both = Both::of(&modulus);

    let good = sign::<PSS, Sha384>(&pem, b"message");
    assert!(both.verify(b"message", &good));
    assert!(!both.verify(b"another", &good));
    assert!(
        !both.verify(b"message", &sign::<PSSZero, Sha384>(&pem, b"message")),
        "salt of no bytes"
    );
    assert!(!both.verify(b"message", &sign::<PSS, Brsa256>(&pem, b"message")), "another hash");
    assert!(!both.verify(b"message", &[0; RSA]));
    assert!(!both.verify(b"message", &modulus), "not below the modulus");
    for bit in [0, 7, 8, 1_000, 2_047] {
        let mut flipped = good;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(!both.verify(b"message", &flipped), "bit {bit}");
    }
    // n − s is the other root of the same number up to sign; it must not pass.
    let negated = subtract(&modulus, &good);
    assert!(!both.verify(b"message", &negated));
}

fn subtract(a: &[u8; RSA], b: &[u8; RSA]) -> [u8; RSA] {
    let mut out = [0; RSA];
    let mut borrow = 0i16;
    for i in (0..RSA).rev() {
        let d = i16::from(a[i]) - i16::from(b[i]) - borrow;
        borrow = i16::from(d < 0);
        out[i] = d.rem_euclid(256) as u8;
    }
    out
}

#[test]
fn only_odd_numbers_of_2048_bits_are_moduli() {
    let mut even = [0xff; RSA];
    even[RSA - 1] = 0xfe;
    let mut short = [0xff; RSA];
    short[0] = 0x7f;
    assert!(TokenPublicKey::from_modulus(even).is_err());
    assert!(TokenPublicKey::from_modulus(short).is_err());
    assert!(TokenPublicKey::from_modulus([0xff; RSA]).is_ok());
    assert!(TokenPublicKey::from_spki(&[]).is_err());
}
