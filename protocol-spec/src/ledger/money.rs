//! Amounts of money as text: decimal fractions, exactly, in millionths of a currency. Never a binary fraction.

use std::{fmt, str::FromStr};

use super::Contract;

/// Millionths of one unit.
const UNIT: u64 = 1_000_000;
/// Digits after the point that an amount can have.
const DIGITS: usize = 6;

/// An amount in millionths of a currency, to be read and shown. As text at least two digits follow the point, and
/// no more than are needed: `0.002`, `12.50`, `-3.00`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(pub i64);

/// Text that is no [`Money`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an amount: digits, with a point and at most six more digits where there is a fraction, such as 0.002"
)]
pub struct ParseMoneyError;

/// A part of a price in ten-thousandths. As text a percentage, such as `70%` or `12.5%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u16);

/// Text that is no [`Share`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a share: a percentage from 0% to 100% with at most two digits after the point")]
pub struct ParseShareError;

impl Money {
    /// An amount that is not negative; `None` where it is too large.
    pub fn of(millionths: u64) -> Option<Self> {
        i64::try_from(millionths).ok().map(Self)
    }

    /// The millionths, if the amount is not negative.
    pub fn unsigned(self) -> Option<u64> {
        u64::try_from(self.0).ok()
    }
}

impl FromStr for Money {
    type Err = ParseMoneyError;

    fn from_str(text: &str) -> Result<Self, ParseMoneyError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let value = decimal(digits, DIGITS).ok_or(ParseMoneyError)?;
        let value = if negative { -i128::from(value) } else { i128::from(value) };
        i64::try_from(value).map(Self).map_err(|_| ParseMoneyError)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, rest) = (self.0.unsigned_abs() / UNIT, self.0.unsigned_abs() % UNIT);
        let fraction = format!("{rest:06}");
        let (first, more) = fraction.split_at(2);
        f.pad(&format!("{sign}{whole}.{first}{}", more.trim_end_matches('0')))
    }
}

impl Share {
    /// So many ten-thousandths; `None` above the whole.
    pub const fn new(ten_thousandths: u16) -> Option<Self> {
        if ten_thousandths <= Contract::WHOLE { Some(Self(ten_thousandths)) } else { None }
    }

    /// The ten-thousandths.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl FromStr for Share {
    type Err = ParseShareError;

    fn from_str(text: &str) -> Result<Self, ParseShareError> {
        let value = text.strip_suffix('%').and_then(|digits| decimal(digits.trim_end(), 2));
        let value = value.and_then(|value| u16::try_from(value).ok());
        value.and_then(Self::new).ok_or(ParseShareError)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => f.pad(&format!("{whole}%")),
            (whole, rest) if rest % 10 == 0 => f.pad(&format!("{whole}.{}%", rest / 10)),
            (whole, rest) => f.pad(&format!("{whole}.{rest:02}%")),
        }
    }
}

/// A decimal number without a sign as a whole number of 10^-`places`. `None` where it is none, has more places or is too large.
fn decimal(text: &str, places: usize) -> Option<u64> {
    let (whole, fraction) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (text, ""),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || fraction.len() > places || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    format!("{whole}{fraction:0<places$}").parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_read_exactly() {
        for (text, millionths) in [
            ("0.002", 2_000),
            ("12.50", 12_500_000),
            ("-3.50", -3_500_000),
            ("7", 7_000_000),
            ("0.000001", 1),
            ("9223372036854.775807", i64::MAX),
            ("-9223372036854.775808", i64::MIN),
        ] {
            assert_eq!(text.parse(), Ok(Money(millionths)), "{text}");
        }
        for text in [
            "",
            ".",
            ".5",
            "1.",
            "1,5",
            "+1",
            "1e3",
            "0.0000001",
            " 1",
            "--1",
            "9223372036854.775808",
        ] {
            assert_eq!(text.parse::<Money>(), Err(ParseMoneyError), "{text}");
        }
        assert_eq!(Money(2_000).to_string(), "0.002");
        assert_eq!(Money(-3_500_000).to_string(), "-3.50");
    }

    #[test]
    fn shares_are_percentages() {
        for (text, share) in
            [("70%", 7_000), ("12.5%", 1_250), ("0%", 0), ("100%", 10_000), ("0.01%", 1)]
        {
            assert_eq!(text.parse::<Share>().map(Share::get), Ok(share), "{text}");
            assert_eq!(Share::new(share).unwrap().to_string(), text);
        }
        for text in ["70", "100.01%", "-1%", "0.001%", "%"] {
            assert_eq!(text.parse::<Share>(), Err(ParseShareError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_again(millionths: i64, share in 0_u16..=10_000) {
            prop_assert_eq!(Money(millionths).to_string().parse(), Ok(Money(millionths)));
            let share = Share::new(share).unwrap();
            prop_assert_eq!(share.to_string().parse(), Ok(share));
        }
    }
}
