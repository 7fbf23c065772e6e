//! Packs as the configuration writes them: a table of counts by exponent.

use std::collections::BTreeMap;

use scrip_protocol::credits::Exponent;
use serde::{Deserialize, Deserializer, de};

pub use scrip_protocol::pack::{Pack, PackError};

/// `{ 0 = 8, 1 = 4 }`; TOML's keys are strings.
///
/// # Errors
/// The deserializer's; of counts that are no pack too.
pub(crate) fn from_table<'de, D: Deserializer<'de>>(from: D) -> Result<Pack, D::Error> {
    let table = BTreeMap::<String, u16>::deserialize(from)?;
    let entries = table.into_iter().map(|(exponent, count)| {
        let exponent = exponent.parse().ok().and_then(Exponent::new);
        Ok((exponent.ok_or(PackError::BadEntry)?, count))
    });
    let entries: Result<Vec<_>, PackError> = entries.collect();
    entries.and_then(Pack::new).map_err(de::Error::custom)
}
