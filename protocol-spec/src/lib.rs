//! The scrip protocol: types, codecs and cryptography.
//!
//! The specification is the prose beside this crate (`protocol-spec/*.md`); each module names the page that it implements.
//! In scope: what goes over the wire, what is signed, and the checks that more than one party must make alike. Out of scope:
//! stores, configuration, HTTP and the price of anything. There is no I/O here, no clock and no generator of
//! randomness, and the crate builds for `wasm32-unknown-unknown`.

#![forbid(unsafe_code)]

mod codec;

pub mod address;
pub mod blind;
pub mod check;
pub mod credits;
pub mod encoding;
pub mod hash;
pub mod id;
pub mod issuance;
pub mod judge;
pub mod keys;
pub mod ledger;
pub mod limits;
pub mod manifest;
pub mod media;
pub mod pack;
pub mod payment;
pub mod problem;
pub mod purchase;
pub mod receipt;
pub mod redemption;
pub mod refusal;
pub mod renewal;
pub mod resource;
pub mod rsa;
pub mod seed;
#[cfg(feature = "solvency")]
pub mod solvency;
pub mod spend;
pub mod text;
pub mod time;
pub mod tlog;
pub mod token;
pub mod voided;

pub use codec::DecodeError;
