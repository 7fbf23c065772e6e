//! Reading the wallet's own binary forms (links, descriptors), front to back.

/// What is left to read. Every step gives `None` where the bytes end too early.
pub(crate) struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    pub(crate) const fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Text that one byte of length precedes.
    pub(crate) fn text8(&mut self) -> Option<&'a str> {
        let n = self.u8()?;
        std::str::from_utf8(self.take(n.into())?).ok()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) const fn remaining(&self) -> usize {
        self.0.len()
    }
}

/// Appends text that one byte of length precedes. An authority that is longer than that is left empty, which nobody takes
/// for another address; callers refuse it before anything is paid ([`fits_text8`]).
pub(crate) fn put_text8(out: &mut Vec<u8>, text: &str) {
    let text = if fits_text8(text) { text } else { "" };
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

/// Whether one byte counts the text's bytes.
pub(crate) const fn fits_text8(text: &str) -> bool {
    text.len() <= u8::MAX as usize
}
