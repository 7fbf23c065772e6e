//! Files as they lie on relays: sealed chunks and a sealed descriptor.
//!
//! A *file key* of 32 random bytes is made for each file that is stored. From it come, with HKDF-SHA-256 (no salt, the file
//! key as input keying material, `info` = label ‖ number of the copy (u8) ‖ rest),
//!
//! ```text
//! chunk key         label "scrip file v1 chunk"             rest empty
//! descriptor key    label "scrip file v1 descriptor"        rest empty
//! reader key seed   label "scrip file v1 reader"            rest index of the chunk (u32)
//! descriptor reader label "scrip file v1 descriptor reader" rest empty
//! ```
//!
//! A *chunk* is XChaCha20-Poly1305 over `length (u32) ‖ content ‖ zeros`, as long as one of the four sizes allows, with the
//! nonce `index (u32) ‖ 1 for the last chunk, else 0 (u8) ‖ 19 zeros`, and the size class as associated data: a
//! chunk opens in its own place of its own file only, and a file cannot be cut short. The keys of the copies differ, so that
//! two relays that compare what they store see nothing in common. A nonce is used twice only for the same content: a chunk is
//! sent only while its digest is the one that was paid for ([`crate::Wallet::put_file`]).
//!
//! The *descriptor* names the file, its size, its SHA-256 and where each chunk lies; it is a chunk like the others under the
//! descriptor key (index 0, last). A small file is in the descriptor itself. Links name the descriptor: [`crate::link`].

mod cut;
mod descriptor;
mod name;
mod seal;

pub use self::descriptor::{Content, Descriptor, DescriptorError, Placement};
pub use self::seal::OpenChunkError;
pub(crate) use self::{
    cut::{Piece, pieces},
    descriptor::{INLINE_MAX, descriptor_length, fitting_class},
    name::is_plain_name,
    seal::{FileKeys, capacity},
};
