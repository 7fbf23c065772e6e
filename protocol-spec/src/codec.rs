//! The TLS presentation language (RFC 8446, section 3), as far as the protocol uses it.

use crate::keys::{BadKey, PublicKey};

/// Why bytes are not the structure that they should be. The sender's fault, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the structure does.
    #[error("the bytes end too early")]
    Truncated,
    /// The structure ends before the bytes do.
    #[error("there are bytes after the end")]
    TrailingBytes,
    /// Larger than the limit that the specification sets for this structure.
    #[error("larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A vector whose length is outside of its bounds, or is no whole number of elements.
    #[error("a vector has a length that it must not have")]
    BadLength,
    /// A value that the specification does not define.
    #[error("the field `{0}` has a value that is not defined")]
    BadValue(&'static str),
    /// 32 bytes that nobody's key can be (keys.md, "Public keys").
    #[error("the field `{0}` is no key: not the canonical encoding of a point of large order")]
    BadKey(&'static str),
}

/// Reads a structure from its bytes, front to back.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of `bytes`, which must not be longer than `limit`.
    pub(crate) fn capped(bytes: &'a [u8], limit: usize) -> Result<Self, DecodeError> {
        if bytes.len() > limit {
            return Err(DecodeError::TooLarge { limit });
        }
        Ok(Self { rest: bytes })
    }

    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    /// A public key, in the field of this name.
    pub(crate) fn key(&mut self, field: &'static str) -> Result<PublicKey, DecodeError> {
        PublicKey::from_bytes(self.array()?).map_err(|BadKey| DecodeError::BadKey(field))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    fn u24(&mut self) -> Result<usize, DecodeError> {
        let [a, b, c] = self.array::<3>()?;
        Ok(usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c))
    }

    /// `opaque x<0..2^8-1>`
    pub(crate) fn vec8(&mut self) -> Result<&'a [u8], DecodeError> {
        let n = self.u8()?;
        self.take(n.into())
    }

    /// `opaque x<0..2^16-1>`
    pub(crate) fn vec16(&mut self) -> Result<&'a [u8], DecodeError> {
        let n = self.u16()?;
        self.take(n.into())
    }

    /// `opaque x<0..2^24-1>`
    pub(crate) fn vec24(&mut self) -> Result<&'a [u8], DecodeError> {
        let n = self.u24()?;
        self.take(n)
    }

    /// A vector of elements of varying size, given its content.
    pub(crate) fn elements<T>(
        content: &'a [u8],
        mut element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let mut reader = Self { rest: content };
        let mut all = Vec::new();
        while !reader.rest.is_empty() {
            all.push(element(&mut reader)?);
        }
        Ok(all)
    }

    /// A vector of one to `most` elements of `size` bytes each, given its content.
    pub(crate) fn fixed_elements<T>(
        content: &'a [u8],
        size: usize,
        most: usize,
        element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let n = content.len() / size;
        if n == 0 || n > most || !content.len().is_multiple_of(size) {
            return Err(DecodeError::BadLength);
        }
        Self::elements(content, element)
    }

    /// How many bytes are left.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes) }
    }
}

/// Writes a structure to bytes.
///
/// Vectors are written by types that bound their length when they are made; one that is longer than its
/// length field can say is cut by the assertion in debug builds and by every decoder in release builds.
#[derive(Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn with_capacity(n: usize) -> Self {
        Self { bytes: Vec::with_capacity(n) }
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.put(&[value])
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Self {
        self.put(&value.to_be_bytes())
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.put(&value.to_be_bytes())
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.put(&value.to_be_bytes())
    }

    fn length(&mut self, n: usize, width: usize) {
        debug_assert!(n < 1 << (8 * width), "{n} does not fit a length of {width} bytes");
        let n = (n as u64).to_be_bytes();
        self.put(&n[8 - width..]);
    }

    pub(crate) fn vec8(&mut self, content: &[u8]) -> &mut Self {
        self.length(content.len(), 1);
        self.put(content)
    }

    pub(crate) fn vec16(&mut self, content: &[u8]) -> &mut Self {
        self.length(content.len(), 2);
        self.put(content)
    }

    /// Writes a vector with a length of `width` bytes, its content written by `content`.
    pub(crate) fn nested(&mut self, width: usize, content: impl FnOnce(&mut Self)) -> &mut Self {
        let mut inner = Self::default();
        content(&mut inner);
        self.length(inner.bytes.len(), width);
        self.put(&inner.bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
