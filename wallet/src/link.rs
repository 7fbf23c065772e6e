//! Links: all that somebody needs to fetch a file or to write to a queue, and nothing that pays or deletes.
//!
//! ```text
//! scrip-file:<base64url(FileLocations)>#<base64url(file key, 32 bytes)>
//!     FileLocations = 1 (u8) ‖ size class of the descriptor (u8) ‖ number of copies (u8) ‖ copies
//!     copy          = operator id (32) ‖ reader id (24) ‖ length of the authority (u8) ‖ authority
//! scrip-queue:<base64url(QueueAddress)>#<base64url(sender key seed, 32 ‖ message key, 32)>
//!     QueueAddress  = 1 (u8) ‖ operator id (32) ‖ sender id (24) ‖ length of the authority (u8) ‖ authority
//! ```
//!
//! The keys are behind the `#`, as the part of a URL that is sent to nobody. Whoever has a link has the rights that it
//! carries: it is as secret as what it leads to.

use std::{fmt, str::FromStr};

use scrip_protocol::{
    address::RelayAddress,
    id::{OperatorId, ResourceId, decode_base64url, encode_base64url},
    resource::SizeClass,
};
use zeroize::Zeroizing;

use crate::{
    bytes::{Rest, fits_text8, put_text8},
    secret::Secret,
};

const FILE_SCHEME: &str = "scrip-file:";
const QUEUE_SCHEME: &str = "scrip-queue:";
const VERSION: u8 = 1;
/// The longest link that is looked at.
const MAX_LINK: usize = 16 * 1024;

/// Why text is not a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It starts otherwise.
    #[error("a link of this kind starts with `{scheme}`")]
    Scheme {
        /// How it should start.
        scheme: &'static str,
    },
    /// There is no `#`, and so no key.
    #[error("the link has no key: the part from the `#` on is missing")]
    NoKey,
    /// The key is not of the right form.
    #[error("the key in the link (the part after the `#`) is damaged")]
    Key,
    /// A newer release made it.
    #[error("the link is of version {found}, which this program does not know")]
    Version {
        /// The version found.
        found: u8,
    },
    /// The part before the key is not of the right form.
    #[error("the link is damaged before the `#`")]
    Damaged,
}

/// Where one copy of a file's descriptor lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The relay.
    pub relay: RelayAddress,
    /// The reader's address there.
    pub reader_id: ResourceId,
}

/// A file: where its descriptor lies, and the key of everything.
pub struct FileLink {
    /// The descriptor's size.
    pub size_class: SizeClass,
    /// Its copies, 1 to 255; the place in this list is the number of the copy.
    pub copies: Vec<Location>,
    /// The file key.
    pub key: Secret,
}

/// The sending end of a queue.
pub struct QueueLink {
    /// The relay.
    pub relay: RelayAddress,
    /// The sender's address there.
    pub sender_id: ResourceId,
    /// The seed of the key that signs what is sent.
    pub sender_key: Secret,
    /// The key that messages are sealed with.
    pub message_key: Secret,
}

impl FileLink {
    /// Whether a link to copies at these relays is short enough to be read again.
    pub(crate) fn fits(relays: &[RelayAddress]) -> bool {
        let copy = |relay: &RelayAddress| 32 + 24 + 1 + relay.authority.len();
        let bytes = 3 + relays.iter().map(copy).sum::<usize>();
        let text = |bytes: usize| (bytes * 4).div_ceil(3);
        text(bytes) + "#".len() + text(32) <= MAX_LINK
    }
}

/// Whether links can name the relay.
pub(crate) const fn fits_link(relay: &RelayAddress) -> bool {
    fits_text8(relay.authority.as_str())
}

impl fmt::Display for FileLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![VERSION, self.size_class.code(), self.copies.len() as u8];
        for copy in &self.copies {
            put_location(&mut bytes, &copy.relay, &copy.reader_id);
        }
        let key = Zeroizing::new(encode_base64url(self.key.as_bytes()));
        write!(f, "{FILE_SCHEME}{}#{}", encode_base64url(&bytes), *key)
    }
}

impl FromStr for FileLink {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let (bytes, keys) = split(text, FILE_SCHEME)?;
        let key = keys.as_slice().try_into().map(Secret::from_bytes).map_err(|_| LinkError::Key)?;
        let mut rest = versioned(&bytes)?;
        let locations = |rest: &mut Rest<'_>| {
            let size_class = SizeClass::from_code(rest.u8()?)?;
            let count = rest.u8()?;
            let copies: Option<Vec<Location>> = (0..count).map(|_| location(rest)).collect();
            (count > 0 && rest.is_empty()).then_some((size_class, copies?))
        };
        let (size_class, copies) = locations(&mut rest).ok_or(LinkError::Damaged)?;
        Ok(Self { size_class, copies, key })
    }
}

impl fmt::Display for QueueLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![VERSION];
        put_location(&mut bytes, &self.relay, &self.sender_id);
        let keys =
            Zeroizing::new([*self.sender_key.as_bytes(), *self.message_key.as_bytes()].concat());
        let keys = Zeroizing::new(encode_base64url(&keys));
        write!(f, "{QUEUE_SCHEME}{}#{}", encode_base64url(&bytes), *keys)
    }
}

impl FromStr for QueueLink {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let (bytes, keys) = split(text, QUEUE_SCHEME)?;
        let (sender_key, message_key) = match keys.as_chunks::<32>() {
            ([sender, message], []) => (Secret::from_bytes(*sender), Secret::from_bytes(*message)),
            _ => return Err(LinkError::Key),
        };
        let mut rest = versioned(&bytes)?;
        let Location { relay, reader_id: sender_id } =
            location(&mut rest).filter(|_| rest.is_empty()).ok_or(LinkError::Damaged)?;
        Ok(Self { relay, sender_id, sender_key, message_key })
    }
}

/// The bytes before and after the `#`.
fn split(text: &str, scheme: &'static str) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>), LinkError> {
    let text = text.trim();
    let rest = text.strip_prefix(scheme).ok_or(LinkError::Scheme { scheme })?;
    if rest.len() > MAX_LINK {
        return Err(LinkError::Damaged);
    }
    let (place, keys) = rest.split_once('#').ok_or(LinkError::NoKey)?;
    let keys = decode_base64url(keys).map(Zeroizing::new).ok_or(LinkError::Key)?;
    let place = decode_base64url(place).ok_or(LinkError::Damaged)?;
    Ok((place, keys))
}

fn versioned(bytes: &[u8]) -> Result<Rest<'_>, LinkError> {
    let mut rest = Rest::of(bytes);
    match rest.u8() {
        Some(VERSION) => Ok(rest),
        Some(found) => Err(LinkError::Version { found }),
        None => Err(LinkError::Damaged),
    }
}

pub(crate) fn put_location(out: &mut Vec<u8>, relay: &RelayAddress, id: &ResourceId) {
    out.extend_from_slice(relay.id.as_bytes());
    out.extend_from_slice(id.as_bytes());
    put_text8(out, &relay.authority);
}

fn location(rest: &mut Rest<'_>) -> Option<Location> {
    let id = OperatorId::from_bytes(rest.array()?);
    let reader_id = ResourceId::from_bytes(rest.array()?);
    Some(Location { relay: relay_address(id, rest.text8()?)?, reader_id })
}

/// The address with these parts, if the authority is one: it will be pasted into a URL.
pub(crate) fn relay_address(id: OperatorId, authority: &str) -> Option<RelayAddress> {
    RelayAddress { id, authority: authority.to_owned() }.to_string().parse().ok()
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
