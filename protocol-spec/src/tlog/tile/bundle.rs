//! Bundles of leaves (C2SP `tlog-tiles`, "Log entries"), and what of them anybody may read.

use std::collections::BTreeMap;

use crate::codec::{DecodeError, Reader, Writer};
use crate::tlog::tile::TILE_WIDTH;

/// Bytes of a leaf.
pub const MAX_ENTRY: usize = (1 << 16) - 1;
/// Bytes of a full bundle.
pub const MAX_ENTRY_BUNDLE: usize = TILE_WIDTH as usize * (2 + MAX_ENTRY);
/// Bytes of a full bundle of public leaves.
pub const MAX_PUBLIC_BUNDLE: usize = TILE_WIDTH as usize * (3 + MAX_ENTRY);

/// 1 to 256 leaves that follow each other: `opaque entry<0..2^16-1>`, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryBundle {
    entries: Vec<Vec<u8>>,
}

impl EntryBundle {
    /// The bundle of these leaves. `None` where there are none, more than 256, or one is larger than [`MAX_ENTRY`].
    pub fn new(entries: Vec<Vec<u8>>) -> Option<Self> {
        let count = (1..=TILE_WIDTH as usize).contains(&entries.len());
        (count && entries.iter().all(|entry| entry.len() <= MAX_ENTRY)).then_some(Self { entries })
    }

    /// The leaves, from left to right.
    pub fn entries(&self) -> &[Vec<u8>] {
        &self.entries
    }

    /// The leaves, from left to right.
    pub fn into_entries(self) -> Vec<Vec<u8>> {
        self.entries
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        for entry in &self.entries {
            writer.vec16(entry);
        }
        writer.into_bytes()
    }

    /// The bundle of these bytes, which has exactly `width` leaves.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8], width: u16) -> Result<Self, DecodeError> {
        let mut reader = Reader::capped(bytes, MAX_ENTRY_BUNDLE)?;
        let entries = (0..width).map(|_| reader.vec16().map(<[u8]>::to_vec));
        let entries = entries.collect::<Result<_, _>>()?;
        reader.finish()?;
        Self::new(entries).ok_or(DecodeError::BadLength)
    }
}

/// The leaves of a bundle that anybody may read, by their offset in it: `uint8 offset; opaque leaf<1..2^16-1>`, one after the other, with
/// ascending offsets. A bundle without any has no bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicBundle {
    entries: BTreeMap<u8, Vec<u8>>,
}

impl PublicBundle {
    /// The bundle of these leaves. `None` where one is empty or larger than [`MAX_ENTRY`].
    pub fn new(entries: BTreeMap<u8, Vec<u8>>) -> Option<Self> {
        let fits = |entry: &Vec<u8>| (1..=MAX_ENTRY).contains(&entry.len());
        entries.values().all(fits).then_some(Self { entries })
    }

    /// The leaves by their offsets: the number of the leaf is that of the bundle's first one and the offset.
    pub fn entries(&self) -> &BTreeMap<u8, Vec<u8>> {
        &self.entries
    }

    /// The leaves by their offsets.
    pub fn into_entries(self) -> BTreeMap<u8, Vec<u8>> {
        self.entries
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        for (offset, entry) in &self.entries {
            writer.u8(*offset).vec16(entry);
        }
        writer.into_bytes()
    }

    /// The bundle of these bytes, which spans `width` leaves.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8], width: u16) -> Result<Self, DecodeError> {
        Reader::capped(bytes, MAX_PUBLIC_BUNDLE)?;
        let mut next = 0;
        let entries = Reader::elements(bytes, |reader| {
            let offset = reader.u8()?;
            if u16::from(offset) < next || u16::from(offset) >= width {
                return Err(DecodeError::BadValue("offset"));
            }
            next = u16::from(offset) + 1;
            let entry = reader.vec16()?;
            if entry.is_empty() {
                Err(DecodeError::BadLength)
            } else {
                Ok((offset, entry.to_vec()))
            }
        })?;
        Ok(Self { entries: entries.into_iter().collect() })
    }
}
