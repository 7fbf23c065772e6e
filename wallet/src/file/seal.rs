//! Sealing and opening chunks.

use chacha20poly1305::{AeadInPlace, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use scrip_protocol::{keys::SigningKey, resource::SizeClass};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::secret::Secret;

const LENGTH: usize = 4;
const TAG: usize = 16;

/// How many bytes of content a chunk of this size holds.
pub(crate) const fn capacity(class: SizeClass) -> usize {
    class.bytes() - LENGTH - TAG
}

/// Why a chunk does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenChunkError {
    /// It is not as long as its size says.
    #[error("the chunk has another size than it should")]
    Size,
    /// It was changed, belongs to another place, or the key is another.
    #[error("the chunk was changed, belongs to another place, or the link's key is wrong")]
    Unauthentic,
    /// It opens, and its content is not of the right form: whoever stored it made it so.
    #[error("the chunk opens, but was not made as the format says")]
    Malformed,
}

/// The keys of one copy of a file.
pub(crate) struct FileKeys<'a> {
    file: &'a Secret,
    copy: u8,
}

impl<'a> FileKeys<'a> {
    pub(crate) const fn new(file: &'a Secret, copy: u8) -> Self {
        Self { file, copy }
    }

    /// Seals the content of a chunk.
    pub(crate) fn seal_chunk(
        &self,
        index: u32,
        last: bool,
        class: SizeClass,
        content: &[u8],
    ) -> Vec<u8> {
        seal(&self.derive("scrip file v1 chunk", &[]), &nonce(index, last), class, content)
    }

    /// Opens a chunk that is at this place.
    pub(crate) fn open_chunk(
        &self,
        index: u32,
        last: bool,
        class: SizeClass,
        chunk: Vec<u8>,
    ) -> Result<Vec<u8>, OpenChunkError> {
        open(&self.derive("scrip file v1 chunk", &[]), &nonce(index, last), class, chunk)
    }

    /// Seals a descriptor.
    pub(crate) fn seal_descriptor(&self, class: SizeClass, content: &[u8]) -> Vec<u8> {
        seal(&self.derive("scrip file v1 descriptor", &[]), &nonce(0, true), class, content)
    }

    /// Opens a descriptor.
    pub(crate) fn open_descriptor(
        &self,
        class: SizeClass,
        chunk: Vec<u8>,
    ) -> Result<Vec<u8>, OpenChunkError> {
        open(&self.derive("scrip file v1 descriptor", &[]), &nonce(0, true), class, chunk)
    }

    /// The key that reads the chunk `index`.
    pub(crate) fn reader(&self, index: u32) -> SigningKey {
        SigningKey::from_seed(&self.derive("scrip file v1 reader", &index.to_be_bytes()))
    }

    /// The key that reads the descriptor.
    pub(crate) fn descriptor_reader(&self) -> SigningKey {
        SigningKey::from_seed(&self.derive("scrip file v1 descriptor reader", &[]))
    }

    fn derive(&self, label: &str, rest: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        let expanded = Hkdf::<Sha256>::new(None, self.file.as_bytes())
            .expand_multi_info(&[label.as_bytes(), &[self.copy], rest], &mut *key);
        debug_assert!(expanded.is_ok(), "HKDF-SHA-256 gives up to 8,160 bytes");
        key
    }
}

fn nonce(index: u32, last: bool) -> XNonce {
    let mut nonce = [0; 24];
    nonce[..4].copy_from_slice(&index.to_be_bytes());
    nonce[4] = last.into();
    nonce.into()
}

/// Content above the capacity is cut by the caller; what does not fit here would be lost, so it is cut visibly: the
/// length that is sealed is that of the content that is there.
#[allow(clippy::expect_used, reason = "the cipher refuses only messages of 256 GiB and more")]
fn seal(key: &[u8; 32], nonce: &XNonce, class: SizeClass, content: &[u8]) -> Vec<u8> {
    let length = content.len().min(capacity(class));
    debug_assert_eq!(length, content.len(), "a piece fits its chunk");
    let mut sealed = Vec::with_capacity(class.bytes());
    sealed.extend_from_slice(&(length as u32).to_be_bytes());
    sealed.extend_from_slice(&content[..length]);
    sealed.resize(class.bytes() - TAG, 0);
    let tag = XChaCha20Poly1305::new(key.into())
        .encrypt_in_place_detached(nonce, &[class.code()], &mut sealed)
        .expect("a chunk has at most 4 MiB");
    sealed.extend_from_slice(&tag);
    sealed
}

fn open(
    key: &[u8; 32],
    nonce: &XNonce,
    class: SizeClass,
    mut chunk: Vec<u8>,
) -> Result<Vec<u8>, OpenChunkError> {
    if chunk.len() != class.bytes() {
        return Err(OpenChunkError::Size);
    }
    let tag = Tag::clone_from_slice(&chunk.split_off(class.bytes() - TAG));
    XChaCha20Poly1305::new(key.into())
        .decrypt_in_place_detached(nonce, &[class.code()], &mut chunk, &tag)
        .map_err(|_| OpenChunkError::Unauthentic)?;
    let (length, rest) = chunk.split_first_chunk::<LENGTH>().ok_or(OpenChunkError::Malformed)?;
    let length = u32::from_be_bytes(*length) as usize;
    let padding = rest.get(length..).ok_or(OpenChunkError::Malformed)?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(OpenChunkError::Malformed);
    }
    chunk.truncate(LENGTH + length);
    chunk.drain(..LENGTH);
    Ok(chunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASS: SizeClass = SizeClass::K64;

    fn key() -> Secret {
        Secret::from_bytes([4; 32])
    }

    #[test]
    fn a_chunk_has_its_exact_size_and_comes_back() {
        let (key, content) = (key(), vec![7; 1_000]);
        let keys = FileKeys::new(&key, 0);
        for class in SizeClass::ALL {
            let sealed = keys.seal_chunk(3, true, class, &content);
            assert_eq!(sealed.len(), class.bytes());
            assert_eq!(keys.open_chunk(3, true, class, sealed), Ok(content.clone()));
        }
        let full = vec![1; capacity(CLASS)];
        assert_eq!(
            keys.open_chunk(0, true, CLASS, keys.seal_chunk(0, true, CLASS, &full)),
            Ok(full)
        );
        assert_eq!(
            keys.open_chunk(0, true, CLASS, keys.seal_chunk(0, true, CLASS, &[])),
            Ok(vec![])
        );
    }

    #[test]
    fn sealing_again_gives_the_same_bytes() {
        let key = key();
        let keys = FileKeys::new(&key, 1);
        assert_eq!(
            keys.seal_chunk(5, false, CLASS, b"the same"),
            keys.seal_chunk(5, false, CLASS, b"the same")
        );
    }

    #[test]
    fn copies_have_nothing_in_common() {
        let key = key();
        let (one, two) = (FileKeys::new(&key, 0), FileKeys::new(&key, 1));
        let (a, b) = (one.seal_chunk(0, true, CLASS, b"x"), two.seal_chunk(0, true, CLASS, b"x"));
        let equal = a.iter().zip(&b).filter(|(a, b)| a == b).count();
        assert!(equal < CLASS.bytes() / 128, "{equal} bytes are equal by chance");
        assert_ne!(one.reader(0).public(), two.reader(0).public());
        assert_ne!(one.reader(0).public(), one.reader(1).public());
        assert_ne!(one.reader(0).public(), one.descriptor_reader().public());
    }

    #[test]
    fn a_chunk_opens_in_its_own_place_only() {
        let (key, other) = (key(), Secret::from_bytes([5; 32]));
        let keys = FileKeys::new(&key, 0);
        let sealed = keys.seal_chunk(1, false, CLASS, b"content");
        let wrong = Err(OpenChunkError::Unauthentic);
        assert_eq!(keys.open_chunk(2, false, CLASS, sealed.clone()), wrong);
        assert_eq!(keys.open_chunk(1, true, CLASS, sealed.clone()), wrong, "cut short");
        assert_eq!(keys.open_descriptor(CLASS, sealed.clone()), wrong);
        assert_eq!(FileKeys::new(&key, 1).open_chunk(1, false, CLASS, sealed.clone()), wrong);
        assert_eq!(FileKeys::new(&other, 0).open_chunk(1, false, CLASS, sealed.clone()), wrong);
        assert_eq!(keys.open_chunk(1, false, SizeClass::K256, sealed), Err(OpenChunkError::Size));
    }

    #[test]
    fn no_changed_byte_goes_unseen() {
        let key = key();
        let keys = FileKeys::new(&key, 0);
        let sealed = keys.seal_chunk(0, true, CLASS, b"content");
        for at in [0, 3, 4, 10, 60_000, CLASS.bytes() - 17, CLASS.bytes() - 1] {
            let mut damaged = sealed.clone();
            damaged[at] ^= 0x80;
            assert_eq!(keys.open_chunk(0, true, CLASS, damaged), Err(OpenChunkError::Unauthentic));
        }
        let mut short = sealed;
        short.pop();
        assert_eq!(keys.open_chunk(0, true, CLASS, short), Err(OpenChunkError::Size));
    }
}
