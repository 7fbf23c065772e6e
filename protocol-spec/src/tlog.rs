//! The log formats that the redemption ledger is written in (ledger.md).

pub mod hash;
