//! The wallet: buys certificates, holds them, and spends them at relays.
//!
//! [`Wallet`] is what an app uses; [`cli`] is a thin layer on it. [`net::RelayClient`] and [`net::VendorClient`] speak the
//! protocol and know nothing of certificates that are held; [`fetch_file`] and [`send_to_queue`] need no wallet.
//!
//! In scope: the wallet's file, the choice of certificates, purchases and payments that survive a crash at any point, and
//! how files and messages are sealed. Out of scope: the cryptography of certificates (`scrip-protocol`) and the ways to
//! the network (`scrip-runtime`).
//!
//! The life of a certificate, each arrow one transaction of the file, made before the request that follows from it:
//!
//! ```text
//! grant recorded ─ granted ─ keys recorded ─┬─▶ held ──▶ in flight ──▶ spent            (a receipt)
//!                                           │    ▲           ├───────▶ spent elsewhere  (a conflict proof)
//!                 restored from the seed ───┴─▶ in doubt ◀───┴───────▶ as before        (nothing was taken)
//!
//! held, in doubt ──▶ renewing ──▶ renewed, and a new one is held       (a blind signature)
//!                       ├───────▶ spent elsewhere                      (a conflict proof)
//!                       └───────▶ as before                            (certainly not recorded)
//! in doubt ──▶ held (nothing recorded, twice, long enough apart), spent elsewhere, or renewed (the vendor's signed answer)
//! ```

#![forbid(unsafe_code)]
// They panic where standard output or error takes nothing.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod bytes;
pub mod choice;
pub mod cli;
mod entropy;
mod error;
mod fetch;
pub mod file;
pub mod link;
mod message;
pub mod net;
mod privacy;
mod purse;
mod records;
mod secret;
mod store;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod wallet;
mod watch;
pub mod words;

pub use self::{
    entropy::Entropy,
    error::WalletError,
    fetch::{FetchOptions, Fetched, fetch_file},
    message::{MAX_MESSAGE, MessageError},
    privacy::{Pace, PaceError, Privacy, PrivacyError, When},
    purse::Shortage,
    records::{Subject, UploadId},
    secret::Secret,
    store::StoreError,
    wallet::{
        Balance, Bought, CaughtReport, ComplaintReport, Conflict, CreatedQueue, Culprit,
        Denomination, Diagnosis, Doubtful, Environment, EvidenceReport, Expiring, ExpiryNotice,
        FileReport, Finding, ForSale, FromBackup, HistoryEntry, HistoryKind, Later, LeaseReport,
        Looked, LowStock, Mailbox, ManifestReport, NewQueue, NewWallet, OpenOrder, ProductForSale,
        PutOptions, QueueReport, ReceiptKeyChange, Received, RelayReport, Renewed, Restocking,
        Restored, Resumed, Seen, Stored, Tended, Wallet, send_to_queue,
    },
    watch::{Event, Watch},
};
