//! The issuer from outside, through its router: what it answers, and what it leaves in the database.

mod admin;
mod alerts;
mod apple;
mod clock;
mod issuance;
mod ledger;
mod listing;
mod payments;
mod privacy;
mod purchases;
mod redemption;
pub(crate) mod renewal;
mod restart;
pub(crate) mod rotation;
mod statements;
mod support;
mod surface;
mod test_keys;
mod tokens;
pub(crate) mod two_issuers;
mod went_back;
