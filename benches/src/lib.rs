//! What the benches share: certificates to check, and a way to compare two pieces of work that a noisy machine does not spoil.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used)] // a bench that cannot set up has nothing to measure

pub mod fixture;
pub mod paired;
