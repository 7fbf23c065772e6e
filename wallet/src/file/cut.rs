//! How a file is cut into chunks of the four sizes.

use scrip_protocol::resource::SizeClass;

use super::capacity;

/// One chunk's share of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Its place among the chunks.
    pub(crate) index: u32,
    /// Whether it is the last.
    pub(crate) last: bool,
    /// Where its content starts in the file.
    pub(crate) offset: u64,
    /// How many bytes of content it has.
    pub(crate) length: usize,
    /// The size of the chunk that holds it.
    pub(crate) class: SizeClass,
}

/// The pieces of a file of `size` bytes; `None` where they cannot be counted in 32 bits. An empty file has none.
///
/// A chunk is of the largest size that the rest of the file fills to more than three quarters, and of the smallest where
/// there is none: what is paid for is mostly filled, and the sizes tell the file's size to a quarter at best.
pub(crate) fn pieces(size: u64) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut offset = 0;
    while offset < size {
        let rest = size - offset;
        let class = class_for(rest);
        let length = usize::try_from(rest).unwrap_or(usize::MAX).min(capacity(class));
        let index = u32::try_from(pieces.len()).ok()?;
        let last = length as u64 == rest;
        pieces.push(Piece { index, last, offset, length, class });
        offset += length as u64;
    }
    Some(pieces)
}

fn class_for(rest: u64) -> SizeClass {
    let filled = |class: &SizeClass| rest > capacity(*class) as u64 / 4 * 3;
    SizeClass::ALL.into_iter().rev().find(filled).unwrap_or(SizeClass::K64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn classes(size: u64) -> Vec<SizeClass> {
        pieces(size).unwrap().iter().map(|piece| piece.class).collect()
    }

    #[test]
    fn large_files_use_large_chunks() {
        use SizeClass::{K64, K256, M1, M4};
        assert_eq!(classes(0), []);
        assert_eq!(classes(1), [K64]);
        assert_eq!(classes(200_000), [K256]);
        assert_eq!(classes(1_000_000), [M1]);
        assert_eq!(classes(4_000_000), [M4]);
        assert_eq!(classes(4_500_000), [M4, K256, K64]);
        assert_eq!(classes(1 << 30).len(), 257);
    }

    proptest! {
        #[test]
        fn the_pieces_are_the_file(size in 1_u64..100_000_000) {
            let pieces = pieces(size).unwrap();
            let mut offset = 0;
            for (index, piece) in pieces.iter().enumerate() {
                prop_assert_eq!(piece.index as usize, index);
                prop_assert_eq!(piece.offset, offset);
                prop_assert!(piece.length > 0 && piece.length <= capacity(piece.class));
                prop_assert_eq!(piece.last, index + 1 == pieces.len());
                offset += piece.length as u64;
            }
            prop_assert_eq!(offset, size);
        }
    }
}
