//! `scrip-relay`, an operator's server: message queues and file chunks, leased for prepaid certificates.
//!
//! `protocol-spec/resources.md` fixes what it says; payments are taken by `scrip-verifier`. This crate is laid out as
//!
//! - use cases, which know neither HTTP nor SQL: `requests` (what may be asked for, and its price), `provisioning` (from a
//!   payment to a lease), `access` (signed commands), `queues`, `chunks`, `leases`, `conflicts` (what follows from a double
//!   spend) and `collector` (expiry);
//! - [`earnings`], which checks what vendors say is owed against what was redeemed here;
//! - [`store`], the database, and `chunk_files`, the bytes of chunks;
//! - `http`, which parses and encodes; [`cli`], the program; [`Relay`], all of it together in one process.
//!
//! A payment buys once, however often it is sent: its row in the database is what says so, and everything that a crash can
//! interrupt is run again from there.

#![forbid(unsafe_code)]
// They panic where standard output or error takes nothing.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod access;
mod background;
mod chunk_files;
mod chunks;
mod collector;
mod conflicts;
mod core;
mod error;
mod http;
mod identity;
mod inventory;
mod leases;
mod lock;
mod moment;
mod provisioning;
mod queues;
mod relay;
mod requests;
mod uploads;

pub mod cli;
pub mod config;
pub mod earnings;
pub mod report;
pub mod store;

#[cfg(test)]
mod tests;

pub use self::{
    chunk_files::ChunkFileError,
    collector::CollectError,
    config::Config,
    error::{InitError, StartError},
    identity::IdentityError,
    lock::LockError,
    relay::{InitOptions, Initialised, Relay},
};
