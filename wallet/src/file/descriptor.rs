//! The descriptor of a stored file.
//!
//! ```text
//! Descriptor = 1 (u8) ‖ name length (u16) ‖ name (UTF-8) ‖ size (u64) ‖ SHA-256 (32) ‖ content
//! content    = 0 (u8) ‖ the bytes themselves
//!            | 1 (u8) ‖ number of copies (u8) ‖ number of relays (u8) ‖ relays ‖ chunks
//! relay      = operator id (32) ‖ length of the authority (u8) ‖ authority
//! chunk      = size class (u8) ‖ for each copy: number of the relay (u8) ‖ reader id (24) ‖ SHA-256 of the chunk (32)
//! ```

use scrip_protocol::{
    address::RelayAddress,
    id::{OperatorId, ResourceId},
    resource::SizeClass,
};

use super::{
    capacity,
    name::{MAX_NAME, is_plain_name},
};
use crate::{
    bytes::{Rest, put_text8},
    link::relay_address,
};

const VERSION: u8 = 1;
const INLINE: u8 = 0;
const CHUNKS: u8 = 1;
/// The longest file that is kept in its descriptor: with the longest name it fills a chunk of the smallest size.
pub(crate) const INLINE_MAX: u64 = 64_000;

/// Why a descriptor is not believed. Whoever stored the file made it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorError {
    /// A newer release made it.
    #[error("the file was stored by a newer release (format {found})")]
    Version {
        /// The format found.
        found: u8,
    },
    /// It is not of the right form.
    #[error("the file's descriptor is not of the form that it should have")]
    Malformed,
    /// Its name is no plain file name.
    #[error("the file's name is a path, or not fit for a file name")]
    Name,
}

/// Where one copy of one chunk lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Which of the descriptor's relays.
    pub relay: u8,
    /// The reader's address there.
    pub reader_id: ResourceId,
    /// SHA-256 of the chunk's bytes.
    pub digest: [u8; 32],
}

/// Where the bytes of a file are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// In the descriptor.
    Inline(Vec<u8>),
    /// On relays.
    Chunks {
        /// The relays that hold any.
        relays: Vec<RelayAddress>,
        /// Size and copies of each chunk, in order. All have the same number of copies.
        chunks: Vec<(SizeClass, Vec<Placement>)>,
    },
}

/// What a file is called and where its bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// A plain file name, without a path.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the file.
    pub digest: [u8; 32],
    /// The bytes, or where they are.
    pub content: Content,
}

impl Descriptor {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        let name = &self.name.as_bytes()[..self.name.len().min(MAX_NAME)];
        out.extend_from_slice(&(name.len() as u16).to_be_bytes());
        out.extend_from_slice(name);
        out.extend_from_slice(&self.size.to_be_bytes());
        out.extend_from_slice(&self.digest);
        match &self.content {
            Content::Inline(bytes) => {
                out.push(INLINE);
                out.extend_from_slice(bytes);
            }
            Content::Chunks { relays, chunks } => put_chunks(&mut out, relays, chunks),
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DescriptorError> {
        let mut rest = Rest::of(bytes);
        match rest.u8() {
            Some(VERSION) => {}
            Some(found) => return Err(DescriptorError::Version { found }),
            None => return Err(DescriptorError::Malformed),
        }
        let descriptor = read(&mut rest).ok_or(DescriptorError::Malformed)?;
        if is_plain_name(&descriptor.name) { Ok(descriptor) } else { Err(DescriptorError::Name) }
    }
}

fn put_chunks(out: &mut Vec<u8>, relays: &[RelayAddress], chunks: &[(SizeClass, Vec<Placement>)]) {
    let copies = chunks.first().map_or(0, |(_, copies)| copies.len());
    out.extend_from_slice(&[CHUNKS, copies as u8, relays.len() as u8]);
    for relay in relays {
        out.extend_from_slice(relay.id.as_bytes());
        put_text8(out, &relay.authority);
    }
    for (class, copies) in chunks {
        out.push(class.code());
        for copy in copies {
            out.push(copy.relay);
            out.extend_from_slice(copy.reader_id.as_bytes());
            out.extend_from_slice(&copy.digest);
        }
    }
}

fn read(rest: &mut Rest<'_>) -> Option<Descriptor> {
    let length = rest.u16()?;
    let name = std::str::from_utf8(rest.take(length.into())?).ok()?.to_owned();
    let size = rest.u64()?;
    let digest = rest.array()?;
    let content = match rest.u8()? {
        INLINE if rest.remaining() as u64 == size => {
            Content::Inline(rest.take(rest.remaining())?.to_vec())
        }
        CHUNKS => read_chunks(rest, size)?,
        _ => return None,
    };
    Some(Descriptor { name, size, digest, content })
}

fn read_chunks(rest: &mut Rest<'_>, size: u64) -> Option<Content> {
    let copies = rest.u8().filter(|copies| *copies > 0)?;
    let relay_count = rest.u8()?;
    let mut relays = Vec::new();
    for _ in 0..relay_count {
        let id = OperatorId::from_bytes(rest.array()?);
        relays.push(relay_address(id, rest.text8()?)?);
    }
    let mut chunks = Vec::new();
    let mut room: u64 = 0;
    while !rest.is_empty() {
        let class = SizeClass::from_code(rest.u8()?)?;
        let placements: Option<Vec<Placement>> =
            (0..copies).map(|_| read_placement(rest, relay_count)).collect();
        chunks.push((class, placements?));
        room = room.saturating_add(capacity(class) as u64);
    }
    // Whoever fetches it must not be told of a file that the chunks cannot hold.
    (size <= room).then_some(Content::Chunks { relays, chunks })
}

fn read_placement(rest: &mut Rest<'_>, relays: u8) -> Option<Placement> {
    let relay = rest.u8().filter(|relay| *relay < relays)?;
    Some(Placement {
        relay,
        reader_id: ResourceId::from_bytes(rest.array()?),
        digest: rest.array()?,
    })
}

/// How long the encoded descriptor of a file in `chunks` chunks at each of these relays will be, without the chunks where
/// the descriptor holds the file; `None` where that cannot be counted.
pub(crate) fn descriptor_length(
    name: &str,
    size: u64,
    relays: &[RelayAddress],
    chunks: usize,
) -> Option<usize> {
    let head = 1 + 2 + name.len() + 8 + 32 + 1;
    if chunks == 0 {
        return usize::try_from(size).ok()?.checked_add(head);
    }
    let addresses: usize = relays.iter().map(|relay| 32 + 1 + relay.authority.len()).sum();
    let chunk = 1 + relays.len() * (1 + 24 + 32);
    chunks.checked_mul(chunk)?.checked_add(head + 2 + addresses)
}

/// The smallest chunk that holds `length` bytes, if one does.
pub(crate) fn fitting_class(length: usize) -> Option<SizeClass> {
    SizeClass::ALL.into_iter().find(|class| length <= capacity(*class))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn descriptor(name: &str) -> Descriptor {
        let placement = |relay| Placement {
            relay,
            reader_id: ResourceId::from_bytes([relay; 24]),
            digest: [relay; 32],
        };
        let relay = |seed| RelayAddress {
            id: OperatorId::from_bytes([seed; 32]),
            authority: format!("relay{seed}.example:8443"),
        };
        Descriptor {
            name: name.to_owned(),
            size: 70_000,
            digest: [8; 32],
            content: Content::Chunks {
                relays: vec![relay(1), relay(2)],
                chunks: vec![
                    (SizeClass::K64, vec![placement(0), placement(1)]),
                    (SizeClass::K64, vec![placement(1), placement(0)]),
                ],
            },
        }
    }

    fn inline(content: &[u8]) -> Descriptor {
        Descriptor {
            size: content.len() as u64,
            content: Content::Inline(content.to_vec()),
            ..descriptor("small.txt")
        }
    }

    #[test]
    fn descriptors_come_back() {
        for descriptor in [descriptor("Ein Bild.png"), inline(b"bytes"), inline(b"")] {
            assert_eq!(Descriptor::decode(&descriptor.encode()), Ok(descriptor));
        }
    }

    #[test]
    fn its_length_is_known_before() {
        let large = descriptor("name");
        let Content::Chunks { relays, chunks } = &large.content else { panic!() };
        let length = descriptor_length("name", large.size, relays, chunks.len());
        assert_eq!(length, Some(large.encode().len()));
        let small = inline(b"bytes");
        assert_eq!(descriptor_length(&small.name, 5, relays, 0), Some(small.encode().len()));
        assert_eq!(descriptor_length("name", 1, relays, usize::MAX / 2), None);
    }

    #[test]
    fn names_that_are_not_plain_are_refused() {
        for name in ["", "..", "../x", "a/b", ".bash_profile", "-rf", "nul", "a\u{202e}gpj.exe"] {
            let error = Descriptor::decode(&descriptor(name).encode());
            assert_eq!(error, Err(DescriptorError::Name), "{name:?}");
        }
    }

    #[test]
    fn every_cut_and_every_extra_byte_is_noticed() {
        let whole = descriptor("name").encode();
        for length in 0..whole.len() {
            let cut = Descriptor::decode(&whole[..length]);
            // Whole chunks may be missing from the end; then the size does not fit.
            assert_eq!(cut, Err(DescriptorError::Malformed), "{length}");
        }
        let mut long = whole;
        long.push(0);
        assert_eq!(Descriptor::decode(&long), Err(DescriptorError::Malformed));
        let mut newer = inline(b"x").encode();
        newer[0] = 2;
        assert_eq!(Descriptor::decode(&newer), Err(DescriptorError::Version { found: 2 }));
    }

    #[test]
    fn a_relay_that_is_not_listed_is_refused() {
        let mut descriptor = descriptor("name");
        if let Content::Chunks { chunks, .. } = &mut descriptor.content {
            chunks[1].1[1].relay = 2;
        }
        assert_eq!(Descriptor::decode(&descriptor.encode()), Err(DescriptorError::Malformed));
    }

    #[test]
    fn the_largest_inline_file_fits_the_smallest_chunk() {
        let largest = Descriptor {
            name: "x".repeat(MAX_NAME),
            ..inline(&vec![1; usize::try_from(INLINE_MAX).unwrap()])
        };
        assert_eq!(fitting_class(largest.encode().len()), Some(SizeClass::K64));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Descriptor::decode(&bytes);
        }
    }
}
