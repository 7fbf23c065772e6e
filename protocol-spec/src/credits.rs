//! Amounts.

use serde::{Deserialize, Serialize};

use crate::limits::MAX_EXPONENT;

/// An amount of credits, the unit in which capacity is priced.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Credits(pub u64);

impl Credits {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The sum, or `None` where it does not fit.
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference, or `None` where it would be negative.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }

    /// The sum of all, saturating.
    pub fn total(amounts: impl IntoIterator<Item = Self>) -> Self {
        Self(amounts.into_iter().fold(0, |sum, amount| sum.saturating_add(amount.0)))
    }
}

impl std::fmt::Display for Credits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            1 => f.write_str("1 credit"),
            n => write!(f, "{n} credits"),
        }
    }
}

/// The exponent of a denomination: a certificate of exponent k is worth 2^k credits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Exponent(u8);

/// The exponent is above `MAX_EXPONENT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a denomination's exponent is at most {MAX_EXPONENT}")]
pub struct ExponentTooLarge;

impl Exponent {
    /// The exponent `k`, or `None` above `MAX_EXPONENT`.
    pub const fn new(k: u8) -> Option<Self> {
        if k <= MAX_EXPONENT { Some(Self(k)) } else { None }
    }

    /// The exponent as a number.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// What a certificate of this denomination is worth.
    pub const fn value(self) -> Credits {
        Credits(1 << self.0)
    }
}

impl TryFrom<u8> for Exponent {
    type Error = ExponentTooLarge;
    fn try_from(k: u8) -> Result<Self, ExponentTooLarge> {
        Self::new(k).ok_or(ExponentTooLarge)
    }
}

impl From<Exponent> for u8 {
    fn from(exponent: Exponent) -> u8 {
        exponent.0
    }
}
