//! Amounts as decimal text, compared as numbers: `5`, `5.0` and `5.00` are one.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};

/// The longest amount, in characters.
const MAX: usize = 40;

/// An amount of money, in the unit that its currency is named after.
#[derive(Clone, PartialEq, Eq)]
pub struct Amount {
    /// Without zeros at its beginning.
    whole: String,
    /// Without zeros at its end.
    fraction: String,
}

/// Text that is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an amount such as \"4.99\"")]
pub struct ParseAmountError;

impl Amount {
    /// Whether it is nothing.
    pub(super) fn is_zero(&self) -> bool {
        self.whole.is_empty() && self.fraction.is_empty()
    }
}

impl FromStr for Amount {
    type Err = ParseAmountError;

    fn from_str(text: &str) -> Result<Self, ParseAmountError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if text.len() > MAX || !digits(whole) || !digits(fraction) {
            return Err(ParseAmountError);
        }
        let whole = whole.trim_start_matches('0').to_owned();
        Ok(Self { whole, fraction: fraction.trim_end_matches('0').to_owned() })
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.whole.is_empty() { "0" } else { &self.whole })?;
        if self.fraction.is_empty() { Ok(()) } else { write!(f, ".{}", self.fraction) }
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Amount({self})")
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_equal_where_the_numbers_are() {
        let amount = |text: &str| text.parse::<Amount>().unwrap();
        for text in ["5", "5.0", "05.00", "5.000000000000000000"] {
            assert_eq!(amount(text), amount("5"), "{text}");
            assert_eq!(amount(text).to_string(), "5");
        }
        assert_eq!(amount("0.50").to_string(), "0.5");
        for text in ["50", "5.01", "0.5", "0"] {
            assert_ne!(amount(text), amount("5"), "{text}");
        }
        assert!(amount("0.00").is_zero() && !amount("0.01").is_zero());
    }

    #[test]
    fn other_text_is_no_amount() {
        for text in
            ["", ".", "5.", ".5", "-5", "+5", "5e3", "5,0", " 5", "1.2.3", "٥", &"1".repeat(41)]
        {
            assert_eq!(text.parse::<Amount>(), Err(ParseAmountError), "{text}");
        }
    }
}
