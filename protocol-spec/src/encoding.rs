//! Binary values and numbers as text (overview.md, "Notation"): what is read has one form, the one that is written.

use data_encoding::{BASE64, BASE64URL_NOPAD};

/// base64url without padding (RFC 4648, section 5).
pub fn encode_base64url(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

/// The bytes of base64url text. Padding, foreign characters and non-zero trailing bits give `None`.
pub fn decode_base64url(text: &str) -> Option<Vec<u8>> {
    one_form(text, &BASE64URL_NOPAD)
}

/// base64 with padding (RFC 4648, section 4), as the C2SP formats have it.
pub fn encode_base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// The bytes of base64 text. Padding that is missing or not at the end, foreign characters and non-zero trailing bits
/// give `None`.
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    one_form(text, &BASE64)
}

/// The library takes several padded pieces in a row for one, as RFC 4648 does not.
fn one_form(text: &str, encoding: &data_encoding::Encoding) -> Option<Vec<u8>> {
    let bytes = encoding.decode(text.as_bytes()).ok()?;
    (encoding.encode(&bytes) == text).then_some(bytes)
}

/// A decimal number without sign or leading zeros. `None` for anything else, and for what is too large for a `T`.
pub fn parse_decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    let canonical = text == "0" || !text.starts_with('0');
    if !canonical || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pieces_in_a_row_are_no_base64() {
        assert_eq!(BASE64.decode(b"AAA=AA==").unwrap(), [0; 3], "that is what the library does");
        for text in ["AAA=AA==", "AA==AA==", "AAAAAA==AAAA", "AA==AAAA", "=", "====", "AA=", "AA"] {
            assert_eq!(decode_base64(text), None, "{text}");
        }
        for text in ["AA==", "AB", "A-", "AA\n", " AA", "A+A/", "A"] {
            assert_eq!(decode_base64url(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_have_one_form() {
        for text in ["", "00", "01", "+1", "-1", " 1", "1 ", "1_0", "0x1", "256", "١"] {
            assert_eq!(parse_decimal::<u8>(text), None, "{text}");
        }
        assert_eq!(parse_decimal("0"), Some(0_u8));
        assert_eq!(parse_decimal("255"), Some(255_u8));
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_is_written(
            bytes: Vec<u8>,
            pieces: Vec<Vec<u8>>,
            text in "[A-Da-d0-3+/=_-]{0,12}",
            number: u64,
        ) {
            prop_assert_eq!(decode_base64(&encode_base64(&bytes)), Some(bytes.clone()));
            prop_assert_eq!(decode_base64url(&encode_base64url(&bytes)), Some(bytes));
            prop_assert_eq!(parse_decimal(&number.to_string()), Some(number));
            let row: String = pieces.iter().map(|piece| encode_base64(piece)).collect();
            for text in [text, row] {
                let again = [
                    decode_base64(&text).map(|read| encode_base64(&read)),
                    decode_base64url(&text).map(|read| encode_base64url(&read)),
                    parse_decimal::<u64>(&text).map(|read| read.to_string()),
                ];
                for written in again.into_iter().flatten() {
                    prop_assert_eq!(&written, &text);
                }
            }
        }
    }
}
