//! Whose relays take the vendor's certificates (keys.md, "Operators"): one list for all wallets.

use super::ManifestError;
use crate::address::{RelayAddress, is_authority};
use crate::codec::{DecodeError, Reader, Writer};
use crate::id::OperatorId;
use crate::keys::PublicKey;
use crate::limits::{MAX_ADDRESSES, MAX_OPERATORS};
use crate::text::is_name;

/// An operator under contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// What the vendor calls it. Nobody else vouches for that.
    pub name: String,
    /// Its key.
    pub key: PublicKey,
    /// What its relay serves.
    pub classes: Classes,
    /// Where its relay is, `host[:port]` each; the first is tried first.
    pub addresses: Vec<String>,
}

/// What a relay serves: one of the two at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classes {
    /// Queues.
    pub queues: bool,
    /// Chunks.
    pub chunks: bool,
}

impl Classes {
    /// Everything.
    pub const ALL: Self = Self { queues: true, chunks: true };

    const QUEUES: u8 = 1;
    const CHUNKS: u8 = 2;

    /// As in the manifest.
    pub const fn to_wire(self) -> u8 {
        let queues = if self.queues { Self::QUEUES } else { 0 };
        queues | if self.chunks { Self::CHUNKS } else { 0 }
    }

    /// What this byte of a manifest means.
    pub const fn from_wire(byte: u8) -> Option<Self> {
        match byte {
            1..=3 => {
                Some(Self { queues: byte & Self::QUEUES != 0, chunks: byte & Self::CHUNKS != 0 })
            }
            _ => None,
        }
    }
}

impl Operator {
    /// The hash of its key.
    pub fn id(&self) -> OperatorId {
        OperatorId::of(&self.key)
    }

    /// Its addresses, the first first.
    pub fn relays(&self) -> impl Iterator<Item = RelayAddress> + '_ {
        let id = self.id();
        self.addresses
            .iter()
            .map(move |authority| RelayAddress { id, authority: authority.clone() })
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer
            .vec8(self.name.as_bytes())
            .put(self.key.as_bytes())
            .u8(self.classes.to_wire())
            .nested(2, |writer| {
                for address in &self.addresses {
                    writer.vec8(address.as_bytes());
                }
            });
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let text = |bytes, field| {
            let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::BadValue(field))?;
            Ok::<_, DecodeError>(text.to_owned())
        };
        let name = text(reader.vec8()?, "name")?;
        let key = reader.key("key")?;
        let classes = Classes::from_wire(reader.u8()?).ok_or(DecodeError::BadValue("classes"))?;
        let addresses =
            Reader::elements(reader.vec16()?, |reader| text(reader.vec8()?, "address"))?;
        Ok(Self { name, key, classes, addresses })
    }
}

pub(super) fn check(operators: &[Operator]) -> Result<(), ManifestError> {
    let ascending = operators.is_sorted_by(|a, b| a.key.as_bytes() < b.key.as_bytes());
    if operators.len() > MAX_OPERATORS || !ascending {
        return Err(ManifestError::Operators);
    }
    let mut names = std::collections::HashSet::new();
    for operator in operators {
        let wrong = || ManifestError::Operator { id: operator.id() };
        // Two that differ in case alone are read as one.
        if !is_name(&operator.name) || !names.insert(operator.name.to_lowercase()) {
            return Err(wrong());
        }
        let addresses = &operator.addresses;
        let distinct = (1..addresses.len()).all(|at| !addresses[..at].contains(&addresses[at]));
        let fine = |address: &String| address.len() <= 255 && is_authority(address);
        if !(1..=MAX_ADDRESSES).contains(&addresses.len())
            || !distinct
            || !addresses.iter().all(fine)
        {
            return Err(wrong());
        }
    }
    Ok(())
}
