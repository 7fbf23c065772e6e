//! For tests, here and in other crates: a small issuer in this process, a throw-away PostgreSQL cluster, and the places
//! where money is taken, played on loopback.

pub mod apple;
pub mod btcpay;
mod fake;
pub mod google;
mod issuer;
#[expect(clippy::print_stderr, reason = "tests say what they leave out")]
pub mod postgres;
pub mod s3;
pub mod stripe;

pub use self::{
    fake::{Failing, FakeServer},
    issuer::{PASSPHRASE, Setup, TestIssuer, TestIssuerError, rng_factory},
};

/// Where a process can die while it sequences for the first time, in their order; [`crate::ledger`] says what each leaves.
pub const LEDGER_STEPS: [&str; 9] = [
    "issuer.ledger.lease",
    "issuer.ledger.collected",
    "issuer.ledger.signed",
    "issuer.ledger.in_sequence",
    "issuer.ledger.sequenced",
    "issuer.ledger.tiles_partly",
    "issuer.ledger.tiles",
    "issuer.ledger.checkpoint",
    "issuer.ledger.stored",
];

/// The same while it publishes a list of voided certificates.
pub const VOIDED_STEPS: [&str; 6] = [
    "issuer.voided.listed",
    "issuer.voided.in_transaction",
    "issuer.voided.recorded",
    "issuer.voided.buckets",
    "issuer.voided.newest",
    "issuer.voided.published",
];
