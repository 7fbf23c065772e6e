//! A whole network in one process: a vendor, relays and wallets on loopback, with a clock that the caller moves.
//!
//! [`network`] starts and stops its parts, [`wire`] stands between two of them and spoils what goes through, [`adversary`] reads and answers what goes
//! through. The end-to-end tests and `scrip-demo` are built on these.
#![forbid(unsafe_code)]

pub mod adversary;
pub mod demo;
pub mod failover;
pub mod network;
pub mod node;
pub mod process;
pub mod socks;
pub mod two_faces;
pub mod wire;

/// Whatever a test or the demo trips over; it is shown, and ends the run.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
