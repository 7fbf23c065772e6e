//! `scrip-issuer`, the vendor's server: sells packs of certificates, signs them blindly, accepts redemptions and detects
//! double spends. `protocol-spec/` fixes what it says; this crate is laid out as
//!
//! - use cases, one module each: [`vouchers`], [`grants`], [`packs`], [`tokens`], [`redemption`], [`renewal`],
//!   [`operators`], [`contracts`], [`statements`],
//!   [`status`], [`alerts`], and the keys' life ([`Change`], [`Rotation`]); they make the checks of the specification in its order and know neither HTTP nor SQL;
//! - [`store`], the database, and [`signer`], the only holder of private RSA keys;
//! - [`http`], which parses and encodes; [`admin`], the vendor's own page; [`cli`], the program; [`Issuer`], all of it together in one process.
//!
//! Private keys lie in the database, sealed under a passphrase: several issuers on one PostgreSQL need nothing but its
//! URL and that passphrase.

#![deny(unsafe_code)]
// They panic where standard output or error takes nothing.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod background;
mod epochs;
mod error;
mod issuer;
mod keys;
mod listing;
mod pack;
mod past;
mod random;
mod ring;
mod rotation;

pub mod admin;
pub mod alerts;
pub mod believed;
pub mod cli;
pub mod config;
pub mod contracts;
pub mod grants;
pub mod http;
pub mod init;
pub mod ledger;
pub mod operators;
pub mod packs;
pub mod purchases;
pub mod redemption;
pub mod renewal;
pub mod schedule;
pub mod signer;
pub mod sources;
pub mod statements;
pub mod status;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tokens;
pub mod vouchers;

#[cfg(test)]
mod tests;

pub use self::{
    config::Config,
    epochs::{Change, ChangeError, EpochsTooShort},
    error::{InitError, RotateError, StartError},
    init::InitOptions,
    issuer::Issuer,
    listing::{Listing, ProductChanged},
    pack::{Pack, PackError},
    past::Dropped,
    rotation::Rotation,
};
