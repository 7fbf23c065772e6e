//! What was granted (ledger.md, "Leaves").

use super::tally::{read_operator, write_operator};
use crate::codec::{DecodeError, Reader, Writer};
use crate::credits::Credits;
use crate::id::OperatorId;
use crate::time::Day;

/// The name of a source of purchases: 1 to 32 lower-case letters, digits and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceName(String);

impl SourceName {
    /// The name, if it is one.
    pub fn new(name: &str) -> Option<Self> {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        ((1..=32).contains(&name.len()) && name.bytes().all(known)).then(|| Self(name.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What one source granted on a day, since the leaf before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sales {
    /// The vendor's day.
    pub day: Day,
    /// Where it was bought.
    pub source: SourceName,
    /// Whether it was bought in a test environment.
    pub test: bool,
    /// The operator that sold the vouchers on the vendor's behalf, and owes for them.
    pub operator_id: Option<OperatorId>,
    /// How many purchases.
    pub purchases: u64,
    /// What they grant together.
    pub credits: Credits,
    /// Random.
    pub salt: [u8; 32],
}

impl Sales {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.u32(self.day.0).vec8(self.source.as_str().as_bytes()).u8(u8::from(self.test));
        write_operator(writer, self.operator_id.as_ref());
        writer.u64(self.purchases).u64(self.credits.0).put(&self.salt);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let day = Day(reader.u32()?);
        let source = std::str::from_utf8(reader.vec8()?).ok().and_then(SourceName::new);
        let source = source.ok_or(DecodeError::BadValue("source"))?;
        let test = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(DecodeError::BadValue("test")),
        };
        Ok(Self {
            day,
            source,
            test,
            operator_id: read_operator(reader)?,
            purchases: reader.u64()?,
            credits: Credits(reader.u64()?),
            salt: reader.array()?,
        })
    }
}
