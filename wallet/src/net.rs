//! What the wallet says to vendors and relays.
//!
//! Buying and spending must not meet on the network: each has a proxy setting of its own, and every [`Network::vendor`]
//! and [`Network::relay`] is a new client with connections of its own. One client serves one purchase, one queue or one
//! file at one relay, so that connections tie together only what is tied together anyway.

mod answer;
mod lists;
mod network;
mod relay;
mod vendor;

pub(crate) use self::lists::ListReader;
pub use self::{
    answer::CallError,
    lists::ListSource,
    network::{Network, NetworkOptions, ProxyError, ProxySetting},
    relay::{ChunkStream, RelayClient, Route, Statement},
    vendor::VendorClient,
};
