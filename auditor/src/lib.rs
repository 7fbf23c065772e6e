//! Audits of a vendor's redemption ledger, and a witness of its checkpoints.
//!
//! In scope: to read a ledger from anywhere and to judge it by the specification alone (`protocol-spec/ledger.md`). Nothing here believes the
//! vendor's database, and nothing here depends on the vendor's program.

#![forbid(unsafe_code)]
// They panic where standard output or error takes nothing.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod audit;
pub mod cli;
pub mod finding;
mod keyring;
pub mod report;
pub mod solvency;
mod sort;
pub mod source;
#[cfg(feature = "testing")]
pub mod testing;
pub mod witness;
