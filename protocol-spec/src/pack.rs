//! Packs (keys.md, "Products"): how many certificates of which denomination belong together.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::codec::{DecodeError, Reader, Writer};
use crate::credits::{Credits, Exponent};
use crate::encoding::parse_decimal;
use crate::limits::MAX_PACK;

/// How many certificates of a denomination a pack holds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct PackEntry {
    /// The denomination.
    pub exponent: Exponent,
    /// How many certificates.
    pub count: u16,
}

/// The counts per exponent, listed ascending by exponent. Never empty, never more than [`MAX_PACK`] certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<PackEntry>", into = "Vec<PackEntry>")]
pub struct Pack(BTreeMap<Exponent, u16>);

/// Why counts are no pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// An exponent or a count is none, or they are not in order.
    #[error("a pack lists exponents from 0 to 31, ascending, with counts of at least 1")]
    BadEntry,
    /// No certificate at all, or more than the protocol allows.
    #[error("a pack has from 1 to {MAX_PACK} certificates")]
    BadSize,
}

impl Pack {
    /// A pack with these counts; entries of zero are left out.
    ///
    /// # Errors
    /// [`PackError::BadSize`].
    pub fn new(counts: impl IntoIterator<Item = (Exponent, u16)>) -> Result<Self, PackError> {
        let mut pack = BTreeMap::new();
        for (exponent, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            let sum: &mut u16 = pack.entry(exponent).or_default();
            *sum = sum.checked_add(count).ok_or(PackError::BadSize)?;
        }
        let size: usize = pack.values().map(|count| usize::from(*count)).sum();
        if (1..=MAX_PACK).contains(&size) { Ok(Self(pack)) } else { Err(PackError::BadSize) }
    }

    /// The entries, ascending by exponent.
    pub fn entries(&self) -> impl Iterator<Item = (Exponent, u16)> + '_ {
        self.0.iter().map(|(exponent, count)| (*exponent, *count))
    }

    /// How many certificates of one denomination.
    pub fn count(&self, exponent: Exponent) -> u16 {
        self.0.get(&exponent).copied().unwrap_or(0)
    }

    /// How many certificates in all.
    pub fn size(&self) -> usize {
        self.0.values().map(|count| usize::from(*count)).sum()
    }

    /// What all its certificates together are worth.
    pub fn credits(&self) -> Credits {
        let amount = |(exponent, count): (Exponent, u16)| {
            Credits(exponent.value().0.saturating_mul(count.into()))
        };
        Credits::total(self.entries().map(amount))
    }

    /// This pack, `quantity` times.
    ///
    /// # Errors
    /// [`PackError::BadSize`] where that is nothing, or too much.
    pub fn times(&self, quantity: u16) -> Result<Self, PackError> {
        let entries = self.entries().map(|(exponent, count)| {
            Ok((exponent, count.checked_mul(quantity).ok_or(PackError::BadSize)?))
        });
        Self::new(entries.collect::<Result<Vec<_>, PackError>>()?)
    }

    /// Whether `exponents`, in any order, are exactly this pack.
    pub fn matches(&self, exponents: impl IntoIterator<Item = Exponent>) -> bool {
        let mut counts: BTreeMap<Exponent, usize> = BTreeMap::new();
        for exponent in exponents {
            *counts.entry(exponent).or_default() += 1;
        }
        let wanted = self.entries().map(|(exponent, count)| (exponent, usize::from(count)));
        counts.into_iter().eq(wanted)
    }

    /// As the content of a vector.
    pub(crate) fn write(&self, writer: &mut Writer) {
        for (exponent, count) in self.entries() {
            writer.u8(exponent.get()).u16(count);
        }
    }

    /// The pack that this content of a vector lists; `None` where it lists nothing.
    pub(crate) fn read(content: &[u8]) -> Result<Option<Self>, DecodeError> {
        let entries = Reader::elements(content, |reader| {
            let exponent = Exponent::new(reader.u8()?).ok_or(DecodeError::BadValue("exponent"))?;
            Ok(PackEntry { exponent, count: reader.u16()? })
        })?;
        let listed = !entries.is_empty();
        let pack = listed.then(|| Self::try_from(entries)).transpose();
        pack.map_err(|_| DecodeError::BadValue("pack"))
    }
}

/// As they are listed: ascending, each once, none of zero.
impl TryFrom<Vec<PackEntry>> for Pack {
    type Error = PackError;

    fn try_from(entries: Vec<PackEntry>) -> Result<Self, PackError> {
        let ascending = entries.is_sorted_by(|a, b| a.exponent < b.exponent);
        if !ascending || entries.iter().any(|entry| entry.count == 0) {
            return Err(PackError::BadEntry);
        }
        Self::new(entries.into_iter().map(|entry| (entry.exponent, entry.count)))
    }
}

impl From<Pack> for Vec<PackEntry> {
    fn from(pack: Pack) -> Self {
        pack.entries().map(|(exponent, count)| PackEntry { exponent, count }).collect()
    }
}

/// `exponent:count`, separated by commas.
impl fmt::Display for Pack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (exponent, count)) in self.entries().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}:{count}", exponent.get())?;
        }
        Ok(())
    }
}

impl FromStr for Pack {
    type Err = PackError;

    fn from_str(text: &str) -> Result<Self, PackError> {
        let entries = text.split(',').map(|entry| {
            let (exponent, count) = entry.split_once(':').ok_or(PackError::BadEntry)?;
            let exponent = parse_decimal(exponent).and_then(Exponent::new);
            let count = parse_decimal(count).ok_or(PackError::BadEntry)?;
            Ok(PackEntry { exponent: exponent.ok_or(PackError::BadEntry)?, count })
        });
        Self::try_from(entries.collect::<Result<Vec<_>, PackError>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn k(exponent: u8) -> Exponent {
        Exponent::new(exponent).unwrap()
    }

    #[test]
    fn a_pack_has_one_text() {
        let pack = Pack::new([(k(3), 1), (k(0), 7), (k(5), 0)]).unwrap();
        assert_eq!(pack.to_string(), "0:7,3:1");
        assert_eq!("0:7,3:1".parse(), Ok(pack.clone()));
        assert_eq!((pack.size(), pack.credits(), pack.count(k(5))), (8, Credits(15), 0));
    }

    #[test]
    fn a_pack_has_one_list() {
        let pack = Pack::new([(k(3), 1), (k(0), 7)]).unwrap();
        let json = r#"[{"exponent":0,"count":7},{"exponent":3,"count":1}]"#;
        assert_eq!(serde_json::to_string(&pack).unwrap(), json);
        assert_eq!(serde_json::from_str::<Pack>(json).unwrap(), pack);
        for wrong in [
            "[]",
            r#"[{"exponent":3,"count":1},{"exponent":0,"count":7}]"#,
            r#"[{"exponent":0,"count":3},{"exponent":0,"count":4}]"#,
            r#"[{"exponent":0,"count":7},{"exponent":3,"count":0}]"#,
            r#"[{"exponent":0,"count":513}]"#,
            r#"[{"exponent":32,"count":1}]"#,
        ] {
            assert!(serde_json::from_str::<Pack>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_the_exact_counts_match() {
        let pack = Pack::new([(k(0), 2), (k(4), 1)]).unwrap();
        assert!(pack.matches([k(4), k(0), k(0)]));
        for other in
            [vec![], vec![k(0), k(0)], vec![k(0), k(4), k(4)], vec![k(0), k(0), k(4), k(1)]]
        {
            assert!(!pack.matches(other));
        }
    }

    #[test]
    fn sizes_and_entries_are_bounded() {
        assert_eq!(Pack::new([]), Err(PackError::BadSize));
        assert_eq!(Pack::new([(k(0), MAX_PACK as u16 + 1)]), Err(PackError::BadSize));
        assert_eq!(Pack::new([(k(0), u16::MAX), (k(0), 1)]), Err(PackError::BadSize));
        for text in
            ["", "0", "32:1", "0:-1", "0:1;1:1", "0:07", "0:+7", "1:1,0:1", "0:0,1:1", "00:1"]
        {
            assert!(text.parse::<Pack>().is_err(), "{text}");
        }
    }
}
