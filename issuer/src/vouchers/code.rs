//! Voucher codes: 130 random bits and a check against typing errors, as 28 characters in groups of four.
//!
//! The alphabet is Crockford's base32: no letter is taken for a digit, and upper and lower case are one. The last two
//! characters make the code a word of a Reed–Solomon code over GF(32), so that one or two wrong characters, and
//! any two that changed places, are always found, before the database is asked.

use std::{fmt, str::FromStr};

use rand_core::{CryptoRng, RngCore};
use scrip_protocol::purchase::VoucherText;
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use zeroize::ZeroizeOnDrop;

const ALPHABET: [u8; 32] = *b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Random characters: 130 bits.
const RANDOM: usize = 26;
/// Characters in all.
const LENGTH: usize = RANDOM + 2;
/// What the hash of a code begins with, so that it equals no other hash.
const HASH_LABEL: &[u8] = b"scrip-issuer voucher code\0";

/// A voucher's code: a bearer secret.
#[derive(ZeroizeOnDrop)]
pub struct VoucherCode([u8; LENGTH]);

/// Text that is no voucher code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a voucher code: it has 28 letters and digits, and a typing error in this one")]
pub struct ParseVoucherError;

impl VoucherCode {
    /// A new code.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut symbols = [0; LENGTH];
        rng.fill_bytes(&mut symbols[..RANDOM]);
        symbols.iter_mut().for_each(|symbol| *symbol &= 31);
        // Two equations, sum = 0 and weighted sum = 0, give the two check symbols.
        let (sum, weighted) = syndromes(&symbols);
        let (a, b) = (power(RANDOM), power(RANDOM + 1));
        let last = multiply(weighted ^ multiply(a, sum), inverse(a ^ b));
        symbols[RANDOM] = sum ^ last;
        symbols[RANDOM + 1] = last;
        Self(symbols)
    }

    /// What is stored instead of the code.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::new().chain_update(HASH_LABEL).chain_update(self.0).finalize().into()
    }
}

/// As typed: upper or lower case, with any dashes and spaces; `O` is read as 0, `I` and `L` as 1. What it buys may stand
/// before it.
impl FromStr for VoucherCode {
    type Err = ParseVoucherError;

    fn from_str(text: &str) -> Result<Self, ParseVoucherError> {
        let mut code = Self([0; LENGTH]);
        let code_alone = VoucherText::split(text).code;
        let typed =
            code_alone.bytes().filter(|byte| !matches!(byte, b'-' | b' ' | b'\t' | b'\r' | b'\n'));
        let mut length = 0;
        for byte in typed {
            let slot = code.0.get_mut(length).ok_or(ParseVoucherError)?;
            *slot = symbol(byte).ok_or(ParseVoucherError)?;
            length += 1;
        }
        let is_word = length == LENGTH && syndromes(&code.0) == (0, 0);
        if is_word { Ok(code) } else { Err(ParseVoucherError) }
    }
}

impl fmt::Display for VoucherCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, symbol) in self.0.iter().enumerate() {
            let dash = if index > 0 && index % 4 == 0 { "-" } else { "" };
            write!(f, "{dash}{}", char::from(ALPHABET[usize::from(*symbol & 31)]))?;
        }
        Ok(())
    }
}

impl Serialize for VoucherCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn symbol(typed: u8) -> Option<u8> {
    let upper = match typed.to_ascii_uppercase() {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        other => other,
    };
    ALPHABET.iter().position(|letter| *letter == upper).and_then(|index| index.try_into().ok())
}

/// The sum of the symbols, and their sum weighted by powers of the generator.
fn syndromes(symbols: &[u8; LENGTH]) -> (u8, u8) {
    let weighted = |(index, symbol): (usize, &u8)| multiply(power(index), *symbol);
    let sum = symbols.iter().fold(0, |sum, symbol| sum ^ symbol);
    (sum, symbols.iter().enumerate().map(weighted).fold(0, |sum, term| sum ^ term))
}

/// Multiplication in GF(32) modulo x^5 + x^2 + 1.
fn multiply(a: u8, b: u8) -> u8 {
    let mut product = 0;
    for bit in (0..5).rev() {
        product <<= 1;
        if product & 32 != 0 {
            product ^= 0b10_0101;
        }
        if b >> bit & 1 == 1 {
            product ^= a;
        }
    }
    product
}

/// x^n; x generates all 31 non-zero elements.
fn power(n: usize) -> u8 {
    (0..n % 31).fold(1, |value, _| multiply(value, 2))
}

/// 1 / a = a^30.
fn inverse(a: u8) -> u8 {
    (0..30).fold(1, |value, _| multiply(value, a))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    fn code(seed: u8) -> VoucherCode {
        VoucherCode::generate(&mut ChaCha20Rng::from_seed([seed; 32]))
    }

    #[test]
    fn what_is_printed_is_read_however_it_is_typed() {
        for seed in 0..50 {
            let code = code(seed);
            let text = code.to_string();
            assert_eq!(text.len(), 28 + 6);
            for typed in [
                text.clone(),
                text.to_lowercase(),
                text.replace('-', ""),
                format!(" {} \n", text.replace('-', " ")),
                format!("starter: {text}"),
                text.replace('0', "o").replace('1', "l"),
            ] {
                assert_eq!(typed.parse::<VoucherCode>().unwrap().hash(), code.hash(), "{typed}");
            }
        }
    }

    #[test]
    fn every_wrong_character_and_every_exchange_is_found() {
        let text: Vec<char> = code(1).to_string().replace('-', "").chars().collect();
        let read = |typed: &[char]| typed.iter().collect::<String>().parse::<VoucherCode>();
        assert!(read(&text).is_ok());
        for at in 0..LENGTH {
            for letter in ALPHABET.map(char::from) {
                let mut wrong = text.clone();
                wrong[at] = letter;
                assert_eq!(read(&wrong).is_ok(), letter == text[at]);
            }
            for other in 0..at {
                let mut exchanged = text.clone();
                exchanged.swap(at, other);
                assert_eq!(read(&exchanged).is_ok(), text[at] == text[other]);
            }
        }
        assert!(read(&text[1..]).is_err() && read(&[&text[..], &['0']].concat()).is_err());
    }

    #[test]
    fn the_field_has_31_powers_and_inverses() {
        assert_eq!((0..31).map(power).collect::<HashSet<_>>().len(), 31);
        for a in 1..32 {
            assert_eq!(multiply(a, inverse(a)), 1);
        }
    }
}
