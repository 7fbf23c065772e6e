//! Parties that lie: HTTP proxies in front of a vendor and of relays, which write down every exchange, and answer what a test tells them to.
//!
//! [`Adversary`] stands before one server. Without a rule it only writes down; with one it answers instead of the server, changes the server's answer, or
//! lets it get lost. All of a network's adversaries share one [`Recording`], so that what they saw is in one order. [`Stage`] is a network with an
//! adversary before everybody. [`keys`] finds certificates in what was recorded, [`shape`] compares what two wallets did.
//!
//! ```no_run
//! # async fn run() -> Result<(), scrip_tests::Failure> {
//! use scrip_protocol::problem::ProblemType;
//! use scrip_tests::adversary::{Act, Answer, Stage};
//! use scrip_tests::network::Plan;
//!
//! let stage = Stage::set(Plan::default()).await?;
//! // The relay takes the payment and says that it took nothing.
//! stage.relays[0].lie(|request| match request.is("POST", "/v1/queues") {
//!     true => Act::rewrite(|_truth| Answer::problem(ProblemType::StorageFull)),
//!     false => Act::Honest,
//! });
//! # Ok(()) }
//! ```

pub mod keys;
mod message;
mod proxy;
mod recording;
pub mod shape;
mod stage;

pub use message::{Answer, Request};
pub use proxy::{Act, Adversary, send};
pub use recording::{Exchange, Recording};
pub use stage::{REDEEMING, SELLING, Stage};
