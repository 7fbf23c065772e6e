//! Messages of a queue, sealed for its recipient.
//!
//! A block of 16,384 bytes is `nonce (24) ‖ XChaCha20-Poly1305(length (u16) ‖ text ‖ zeros)`, with the associated data
//! `scrip message v1`. The key is in the queue's link: whoever may send can also read what others with the same link sent
//! and the relay keeps; give each sender a queue.

use chacha20poly1305::{AeadInPlace, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use scrip_protocol::limits::MESSAGE_BLOCK;

use crate::{entropy::Entropy, secret::Secret};

const NONCE: usize = 24;
const TAG: usize = 16;
const LENGTH: usize = 2;
const LABEL: &[u8] = b"scrip message v1";
/// The longest message, in bytes.
pub const MAX_MESSAGE: usize = MESSAGE_BLOCK - NONCE - TAG - LENGTH;

/// Why a message is not sealed, or does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Too long to be sent in one block.
    #[error("the message has {found} bytes, and a queue takes {MAX_MESSAGE}")]
    TooLong {
        /// How long it is.
        found: usize,
    },
    /// Not sealed with the queue's key, or changed on the way.
    #[error("a message in the queue was not sealed with the queue's key, or was changed")]
    DoesNotOpen,
}

/// Seals `text` into a block of exactly [`MESSAGE_BLOCK`] bytes.
///
/// # Errors
/// [`MessageError::TooLong`].
#[allow(clippy::expect_used, reason = "the cipher refuses only messages of 256 GiB and more")]
pub(crate) fn seal(key: &Secret, text: &[u8], entropy: &Entropy) -> Result<Vec<u8>, MessageError> {
    let too_long = MessageError::TooLong { found: text.len() };
    let length = u16::try_from(text.len()).ok().filter(|_| text.len() <= MAX_MESSAGE);
    let length = length.ok_or(too_long)?;
    let nonce = entropy.bytes::<NONCE>();
    let mut block = nonce.to_vec();
    block.extend_from_slice(&length.to_be_bytes());
    block.extend_from_slice(text);
    block.resize(MESSAGE_BLOCK - TAG, 0);
    let tag = XChaCha20Poly1305::new(key.as_bytes().into())
        .encrypt_in_place_detached(&nonce.into(), LABEL, &mut block[NONCE..])
        .expect("a block has 16 KiB");
    block.extend_from_slice(&tag);
    Ok(block)
}

/// Opens a block.
///
/// # Errors
/// [`MessageError::DoesNotOpen`].
pub(crate) fn open(key: &Secret, block: &[u8]) -> Result<Vec<u8>, MessageError> {
    let (nonce, sealed) = block
        .split_first_chunk::<NONCE>()
        .filter(|_| block.len() == MESSAGE_BLOCK)
        .ok_or(MessageError::DoesNotOpen)?;
    let (content, tag) = sealed.split_at(sealed.len() - TAG);
    let mut content = content.to_vec();
    XChaCha20Poly1305::new(key.as_bytes().into())
        .decrypt_in_place_detached(
            XNonce::from_slice(nonce),
            LABEL,
            &mut content,
            Tag::from_slice(tag),
        )
        .map_err(|_| MessageError::DoesNotOpen)?;
    let (length, rest) = content.split_first_chunk::<LENGTH>().ok_or(MessageError::DoesNotOpen)?;
    let text = rest.get(..usize::from(u16::from_be_bytes(*length)));
    text.map(<[u8]>::to_vec).ok_or(MessageError::DoesNotOpen)
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    fn entropy() -> Entropy {
        Entropy::new(ChaCha20Rng::from_seed([1; 32]))
    }

    #[test]
    fn blocks_have_one_size_and_come_back() {
        let key = Secret::from_bytes([2; 32]);
        for text in [b"".as_slice(), b"hello", &[255; MAX_MESSAGE]] {
            let block = seal(&key, text, &entropy()).unwrap();
            assert_eq!(block.len(), MESSAGE_BLOCK);
            assert_eq!(open(&key, &block).unwrap(), text);
        }
        let too_long = seal(&key, &[0; MAX_MESSAGE + 1], &entropy());
        assert_eq!(too_long, Err(MessageError::TooLong { found: MAX_MESSAGE + 1 }));
        assert!(seal(&key, &[0; 70_000], &entropy()).is_err());
    }

    #[test]
    fn other_keys_and_changed_blocks_do_not_open() {
        let key = Secret::from_bytes([2; 32]);
        let block = seal(&key, b"hello", &entropy()).unwrap();
        assert_eq!(open(&Secret::from_bytes([3; 32]), &block), Err(MessageError::DoesNotOpen));
        for at in [0, 24, 9_000, MESSAGE_BLOCK - 1] {
            let mut changed = block.clone();
            changed[at] ^= 1;
            assert_eq!(open(&key, &changed), Err(MessageError::DoesNotOpen));
        }
        for length in [0, 23, 40, MESSAGE_BLOCK - 1] {
            assert_eq!(open(&key, &block[..length]), Err(MessageError::DoesNotOpen));
        }
    }
}
