//! Audits of a vendor's redemption ledger, and a witness of its checkpoints.

#![forbid(unsafe_code)]

pub mod witness;
