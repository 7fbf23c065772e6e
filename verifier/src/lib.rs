//! What an operator needs to be paid with scrip certificates, for `scrip-relay` and any other server.
//!
//! - [`check`], the pure check of a payment (verification.md, checks 1–10): no I/O, no clock;
//! - [`spent`], the spent store: reserve → commit | release, with the evidence that is redeemed later;
//! - [`PaymentLayer`], a `tower` layer that any axum or hyper server puts before a priced route;
//! - [`Redeemer`], which sends the evidence to the vendors in shuffled batches, for as long as it takes, and reports
//!   double spends to the server behind the layer ([`Provisions`]);
//! - [`Verifier`], all of it wired together: vendors, their manifests ([`manifests`]) and the operator's risk policy.
//!
//! Money is never lost or doubled because every step is durable before the next, and because one rule makes each of them
//! repeatable: the same certificate with the same binding is a retry, with another binding a double spend. Recovery after
//! a crash is the normal path run again.

#![forbid(unsafe_code)]
// They panic where standard output or error takes nothing.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod inflight;
mod pay;

pub mod check;
pub mod layer;
pub mod link;
pub mod manifests;
pub mod policy;
pub mod price;
pub mod provisions;
pub mod redeemer;
pub mod spent;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod verifier;

#[cfg(test)]
mod tests;

pub use self::{
    layer::PaymentLayer,
    policy::{Risk, VendorPolicy},
    price::{Price, Quote},
    provisions::{Paid, PaidCertificate, Provisions, ProvisionsError, StoredAnswer},
    redeemer::{Redeemer, Schedule},
    verifier::{Environment, OpenError, Verifier, VerifierConfig},
};
