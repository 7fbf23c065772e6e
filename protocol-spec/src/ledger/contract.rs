//! The terms of an operator (ledger.md, "Leaves").

use std::{fmt, str::FromStr};

use crate::codec::{DecodeError, Reader, Writer};
use crate::id::OperatorId;
use crate::keys::PublicKey;
use crate::time::Day;

/// What amounts are in: 3 to 8 upper-case letters or digits, such as `EUR`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency {
    bytes: [u8; 8],
    length: u8,
}

/// Text that is no [`Currency`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a currency has from 3 to 8 upper-case letters or digits, such as EUR")]
pub struct ParseCurrencyError;

impl Currency {
    /// As text.
    pub fn as_str(&self) -> &str {
        // ASCII, by construction.
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }

    pub(super) fn write(self, writer: &mut Writer) {
        writer.vec8(self.as_str().as_bytes());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let text = std::str::from_utf8(reader.vec8()?).ok().and_then(|text| text.parse().ok());
        text.ok_or(DecodeError::BadValue("currency"))
    }
}

impl FromStr for Currency {
    type Err = ParseCurrencyError;

    fn from_str(text: &str) -> Result<Self, ParseCurrencyError> {
        let known = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        if !(3..=8).contains(&text.len()) || !text.bytes().all(known) {
            return Err(ParseCurrencyError);
        }
        let mut bytes = [0; 8];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self { bytes, length: text.len() as u8 })
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// On which terms an operator is paid, and pays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contract {
    /// The operator's key, whose hash is its id.
    pub operator_key: PublicKey,
    /// 1, 2, ... of this operator.
    pub number: u32,
    /// The vendor's day.
    pub day: Day,
    /// What amounts are in.
    pub currency: Currency,
    /// Of one credit, in millionths of the currency.
    pub price: u64,
    /// The operator's part of the price of what it redeems, in ten-thousandths, at most 10,000.
    pub share: u16,
    /// What the operator pays for each credit of its own sales, in millionths of the currency.
    pub resale_price: u64,
    /// Random.
    pub salt: [u8; 32],
}

impl Contract {
    /// The largest [`Contract::share`].
    pub const WHOLE: u16 = 10_000;

    /// Whose terms these are.
    pub fn operator_id(&self) -> OperatorId {
        OperatorId::of(&self.operator_key)
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.put(self.operator_key.as_bytes()).u32(self.number).u32(self.day.0);
        self.currency.write(writer);
        writer.u64(self.price).u16(self.share).u64(self.resale_price).put(&self.salt);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let contract = Self {
            operator_key: reader.key("operator_key")?,
            number: reader.u32()?,
            day: Day(reader.u32()?),
            currency: Currency::read(reader)?,
            price: reader.u64()?,
            share: reader.u16()?,
            resale_price: reader.u64()?,
            salt: reader.array()?,
        };
        if contract.share > Self::WHOLE {
            return Err(DecodeError::BadValue("share"));
        }
        Ok(contract)
    }
}
