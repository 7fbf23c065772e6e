//! What every scrip program needs around its use cases: the clock, configuration,
//! secrets at rest, an HTTP server and an HTTP client.
//!
//! In scope: what touches the operating system and is the same for every program.
//! Out of scope: anything that knows a certificate, a store or an endpoint. Only the
//! points of time come from `scrip-protocol`.
//!
//! Nothing here reads the time or draws randomness on its own: [`clock::SystemClock`] is
//! the one place that asks the system for the time, and generators are parameters.

#![forbid(unsafe_code)]
// They panic where standard output or error takes nothing.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod client;
pub mod clock;
pub mod config;
pub mod files;
pub mod log;
pub mod passphrase;
pub mod plausible;
pub mod program;
pub mod random;
pub mod sealed;
pub mod serve;
pub mod signals;
pub mod steps;
pub mod tasks;
pub mod words;
