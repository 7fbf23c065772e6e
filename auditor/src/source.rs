//! Where a ledger is read from: a directory, or the vendor's server (ledger.md, "What there is to read").

mod directory;
mod http;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use scrip_runtime::client::{ClientError, TransportError};

pub use self::{directory::DirectoryLedger, http::HttpLedger};

/// Something that has the files of a ledger.
pub trait Ledger: Send + Sync {
    /// The file at `path` (such as `tile/entries/000`), of at most `max` bytes; `None` where there is none.
    fn get<'a>(
        &'a self,
        path: &'a str,
        max: usize,
    ) -> BoxFuture<'a, Result<Option<Bytes>, SourceError>>;

    /// Where this is, for messages and the report.
    fn place(&self) -> String;
}

/// Why a file of the ledger could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// There is no checkpoint: it is no ledger.
    #[error("{place} is no ledger: there is no file `checkpoint`; {hint}")]
    NoLedger {
        /// Where.
        place: String,
        /// What a ledger's place looks like.
        hint: &'static str,
    },
    /// A file that the checkpoint promises is not there.
    #[error(
        "{place} has no {path}, although its checkpoint covers it; copy the whole ledger, or ask whoever serves it"
    )]
    Missing {
        /// Where.
        place: String,
        /// Which file.
        path: String,
    },
    /// No token, and one is needed.
    #[error(
        "{place} shows leaves to auditors only; get a token from the vendor and give its file with --token-file"
    )]
    TokenNeeded {
        /// Where.
        place: String,
    },
    /// The token is not one of the vendor's.
    #[error(
        "{place} refuses the token; ask the vendor whether it is still good, and check the file given with --token-file"
    )]
    TokenRefused {
        /// Where.
        place: String,
    },
    /// The server answers something else than the file.
    #[error("{place}/{path} answers with status {status}; check the address, and try again later")]
    Status {
        /// Where.
        place: String,
        /// Which file.
        path: String,
        /// The HTTP status.
        status: u16,
    },
    /// There is no answer.
    #[error("cannot read {place}/{path}: {source}")]
    Transport {
        /// Where.
        place: String,
        /// Which file.
        path: String,
        /// Why.
        source: TransportError,
    },
    /// The file system refuses.
    #[error("cannot read {path}: {source}; check the path and its permissions")]
    Io {
        /// Which file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Larger than such a file can be.
    #[error(
        "{place}/{path} is larger than the {max} bytes that it can have; this is not a ledger as it should be"
    )]
    TooLarge {
        /// Where.
        place: String,
        /// Which file.
        path: String,
        /// The limit.
        max: usize,
    },
    /// No client could be made.
    #[error(transparent)]
    Client(#[from] ClientError),
}
