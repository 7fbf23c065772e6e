//! The log formats that the redemption ledger is written in (ledger.md, "Formats"): RFC 6962 hashing and the C2SP specifications
//! `tlog-tiles`, `signed-note`, `tlog-checkpoint`, `tlog-cosignature`, `tlog-witness` and `tlog-proof`.
//!
//! What a leaf means is not known here: leaves are bytes. Storage and fetching are the caller's; where something has to be read,
//! a function first names the tiles, and another one works on them once they are there.

pub mod checkpoint;
pub mod cosignature;
pub mod hash;
pub mod note;
pub mod policy;
pub mod proof;
pub mod tile;
pub mod tree;
pub mod witness;

/// The most leaves of a tree: sizes fit a signed 64-bit integer, as they must in the databases and in other people's programs.
pub const MAX_SIZE: u64 = i64::MAX as u64;

/// A decimal number without sign or leading zeros, as every text format here writes sizes and indexes; at most [`MAX_SIZE`].
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    crate::encoding::parse_decimal(text).filter(|n| *n <= MAX_SIZE)
}
