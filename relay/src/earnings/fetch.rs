//! What a vendor shows of its ledger (ledger.md, "What there is to read").

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use scrip_protocol::{
    DecodeError,
    address::VendorAddress,
    ledger::{OwnLeaf, OwnLeaves},
    limits::{MAX_CHECKPOINT, MAX_OWN_LEAVES_ANSWER},
    media,
    problem::Problem,
    tlog::{
        checkpoint::{CheckpointError, SignedCheckpoint},
        note::KeyName,
        tile::{MAX_ENTRY_BUNDLE, MAX_HASH_TILE, TileKind, TilePath, Tiles},
    },
};
use scrip_runtime::client::{HttpClient, Request};
use scrip_verifier::link::NoAnswer;

use super::Known;

/// Why the vendor's books cannot be seen. A vendor that keeps at it hides something, but this alone proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No answer.
    #[error("the vendor's ledger cannot be read: {0}")]
    NoAnswer(#[from] NoAnswer),
    /// The checkpoint does not count.
    #[error("the vendor's checkpoint does not count: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The leaves do not parse.
    #[error("the vendor's answer with this operator's leaves does not parse: {0}")]
    Own(DecodeError),
    /// The answer goes back, or ends before the checkpoint does.
    #[error(
        "the vendor shows this operator's leaves up to {shown} only, and its checkpoint has {size}"
    )]
    Short {
        /// How far the answers went.
        shown: u64,
        /// The size of the checkpoint.
        size: u64,
    },
    /// A tile does not parse.
    #[error("the vendor's {path} is no tile: {source}")]
    Tile {
        /// Which.
        path: TilePath,
        /// Why.
        source: DecodeError,
    },
}

/// The way to a vendor's ledger.
pub trait LedgerLink: Send + Sync {
    /// The newest checkpoint.
    fn checkpoint<'a>(
        &'a self,
        vendor: &'a VendorAddress,
    ) -> BoxFuture<'a, Result<Bytes, NoAnswer>>;

    /// A hash tile, or a bundle of entries for whoever is an auditor.
    fn tile<'a>(
        &'a self,
        vendor: &'a VendorAddress,
        path: TilePath,
    ) -> BoxFuture<'a, Result<Bytes, NoAnswer>>;

    /// The answer to a signed query for an operator's own leaves.
    fn own<'a>(
        &'a self,
        vendor: &'a VendorAddress,
        query: Vec<u8>,
    ) -> BoxFuture<'a, Result<Bytes, NoAnswer>>;
}

/// The way over HTTP.
pub struct HttpLedger {
    client: HttpClient,
    auditor: Option<String>,
}

impl HttpLedger {
    /// Asks with `client`, as whoever has this auditor's token.
    pub const fn new(client: HttpClient, auditor: Option<String>) -> Self {
        Self { client, auditor }
    }

    async fn send(&self, request: Request) -> Result<Bytes, NoAnswer> {
        let answer = self.client.send(request).await?;
        if answer.status == 200 {
            return Ok(answer.body);
        }
        let problem = Problem::from_json(&answer.body).map(|problem| problem.problem);
        Err(NoAnswer::Status { status: answer.status, problem })
    }
}

impl LedgerLink for HttpLedger {
    fn checkpoint<'a>(
        &'a self,
        vendor: &'a VendorAddress,
    ) -> BoxFuture<'a, Result<Bytes, NoAnswer>> {
        let url = format!("{}/ledger/checkpoint", vendor.base_url());
        Box::pin(self.send(Request::get(url, MAX_CHECKPOINT)))
    }

    fn tile<'a>(
        &'a self,
        vendor: &'a VendorAddress,
        path: TilePath,
    ) -> BoxFuture<'a, Result<Bytes, NoAnswer>> {
        let url = format!("{}/ledger/{path}", vendor.base_url());
        let most = match path.kind() {
            TileKind::Entries => MAX_ENTRY_BUNDLE,
            TileKind::Hash(_) | TileKind::Public => MAX_HASH_TILE,
        };
        let mut request = Request::get(url, most);
        if let Some(token) = &self.auditor {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        Box::pin(self.send(request))
    }

    fn own<'a>(
        &'a self,
        vendor: &'a VendorAddress,
        query: Vec<u8>,
    ) -> BoxFuture<'a, Result<Bytes, NoAnswer>> {
        let url = format!("{}/v1/ledger/own", vendor.base_url());
        let request = Request::post(url, query, MAX_OWN_LEAVES_ANSWER)
            .header(CONTENT_TYPE, media::LEDGER_QUERY);
        Box::pin(self.send(request))
    }
}

/// The newest checkpoint, with its signatures verified.
///
/// # Errors
/// [`FetchError`].
pub async fn checkpoint(
    link: &dyn LedgerLink,
    known: &Known<'_>,
) -> Result<SignedCheckpoint, FetchError> {
    let bytes = link.checkpoint(known.address).await?;
    let (origin, keys) = (KeyName::of_ledger(&known.keys.vendor_id()), known.keys.of_ledger());
    Ok(SignedCheckpoint::open(&bytes, &origin, &keys, known.policy)?)
}

/// The operator's own leaves in the first `size` of the ledger, unverified.
///
/// # Errors
/// [`FetchError`].
pub async fn own_leaves(
    link: &dyn LedgerLink,
    known: &Known<'_>,
    size: u64,
    query: impl Fn(u64) -> Vec<u8>,
) -> Result<Vec<OwnLeaf>, FetchError> {
    let mut all: Vec<OwnLeaf> = Vec::new();
    let mut from = 0;
    while from < size {
        let bytes = link.own(known.address, query(from)).await?;
        let answer = OwnLeaves::decode(&bytes).map_err(FetchError::Own)?;
        let goes_back = answer.leaves.first().is_some_and(|first| first.index < from);
        if goes_back || answer.next <= from {
            return Err(FetchError::Short { shown: from, size });
        }
        all.extend(answer.leaves.into_iter().filter(|own| own.index < size));
        if answer.next < size && answer.next >= answer.size {
            return Err(FetchError::Short { shown: answer.next, size });
        }
        from = answer.next;
    }
    Ok(all)
}

/// These tiles, unverified. Where a partial one is gone the full one is there.
///
/// # Errors
/// [`FetchError`].
pub async fn tiles(
    link: &dyn LedgerLink,
    known: &Known<'_>,
    paths: BTreeSet<TilePath>,
) -> Result<Tiles, FetchError> {
    let mut tiles = Tiles::new();
    for path in paths {
        let (path, bytes) = match link.tile(known.address, path).await {
            Ok(bytes) => (path, bytes),
            Err(NoAnswer::Status { status: 404, .. }) if !path.is_full() => {
                let full = path.full();
                (full, link.tile(known.address, full).await?)
            }
            Err(error) => return Err(error.into()),
        };
        tiles.insert(&path, &bytes).map_err(|source| FetchError::Tile { path, source })?;
    }
    Ok(tiles)
}
