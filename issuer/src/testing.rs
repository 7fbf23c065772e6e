//! For tests, here and in other crates: a small issuer in this process, and a throw-away PostgreSQL cluster.

mod issuer;
pub mod postgres;

pub use self::issuer::{PASSPHRASE, Setup, TestIssuer, TestIssuerError, rng_factory};
