//! Durations and sizes as people write them: `15m`, `64KiB`.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Units in seconds, the largest first.
const DURATION_UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// Units in bytes, the largest first. Decimal units (`MB`) are left out: they invite mistakes.
const SIZE_UNITS: [(&str, u64); 4] =
    [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Why a duration or size was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}; write a whole number and a unit, such as {example}")]
pub struct ParseHumanError {
    text: String,
    what: &'static str,
    example: &'static str,
}

/// A duration in whole seconds, written as `90s`, `15m`, `6h` or `30d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanDuration(
    /// Seconds.
    pub u64,
);

impl HumanDuration {
    /// The same as a [`Duration`].
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

/// A size in bytes, written as `512B`, `64KiB`, `4MiB` or `5GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanSize(
    /// Bytes.
    pub u64,
);

impl FromStr for HumanDuration {
    type Err = ParseHumanError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text, &DURATION_UNITS).map(Self).ok_or_else(|| ParseHumanError {
            text: text.to_owned(),
            what: "duration",
            example: "90s, 15m, 6h or 30d",
        })
    }
}

impl FromStr for HumanSize {
    type Err = ParseHumanError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text, &SIZE_UNITS).map(Self).ok_or_else(|| ParseHumanError {
            text: text.to_owned(),
            what: "size",
            example: "512B, 64KiB, 4MiB or 5GiB",
        })
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0, &DURATION_UNITS)
    }
}

impl fmt::Display for HumanSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0, &SIZE_UNITS)
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for HumanSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for HumanSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Writes `value` in the largest unit that holds it without a rest.
fn write(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let fits = |factor: &u64| value >= *factor && value.is_multiple_of(*factor);
    let unit = units.iter().find(|(_, factor)| fits(factor)).or(units.last());
    let (name, factor) = unit.copied().unwrap_or(("", 1));
    write!(f, "{}{name}", value / factor)
}
