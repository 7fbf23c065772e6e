//! `/admin`: the page on which a vendor runs its business, rendered here, without scripts and without anything from
//! elsewhere.
//!
//! - [`access`]: who may see it. Tokens are made on the command line, sessions lie in the database, so that every
//!   issuer on it knows them;
//! - `limit`: how often somebody may try to log in;
//! - `figures`: what the page shows, read from the books;
//! - `http`: paths, forms, cookies, headers; `pages`: the HTML. Every text is escaped by `maud`, also names that
//!   operators and products were given; nothing else writes HTML.

pub mod access;
mod figures;
mod http;
mod limit;
mod pages;
pub mod token;

pub(crate) use self::{http::router, limit::Attempts};
