//! Commitments to values (solvency.md), opened.

use scrip_protocol::{
    credits::Credits,
    solvency::{Blinding, commit},
};

/// The commitment to `credits` under this blinding; `None` where the blinding is no canonical scalar.
pub(super) fn open_commitment(credits: Credits, blinding: &[u8; 32]) -> Option<[u8; 32]> {
    Some(commit(credits, &Blinding::from_bytes(blinding)?))
}
