//! For tests, here and in other crates: a small issuer in this process, a throw-away PostgreSQL cluster, and the places
//! where money is taken, played on loopback.

pub mod apple;
pub mod btcpay;
mod fake;
pub mod google;
mod issuer;
pub mod postgres;
pub mod s3;
pub mod stripe;

pub use self::{
    fake::{Failing, FakeServer},
    issuer::{PASSPHRASE, Setup, TestIssuer, TestIssuerError, rng_factory},
};
