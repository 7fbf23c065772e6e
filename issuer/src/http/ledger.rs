//! `/ledger/…` and `/v1/ledger/own` (ledger.md).

use axum::{
    extract::{Path, Request, State},
    response::Response,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use scrip_protocol::{
    encoding::parse_decimal,
    ledger::SignedLedgerQuery,
    limits::LEDGER_QUERY,
    media,
    problem::ProblemType,
    tlog::tile::{TileKind, TilePath},
};

use super::{answer, refusal::Refusal, request::body, respond};
use crate::{issuer::Issuer, ledger::LedgerError};

/// What never changes.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// The same, of what not everybody may read.
const PRIVATE_FOR_EVER: HeaderValue =
    HeaderValue::from_static("private, max-age=31536000, immutable");
/// What goes away when the full tile is there.
const SHORT: HeaderValue = HeaderValue::from_static("public, max-age=60");
const PRIVATE_SHORT: HeaderValue = HeaderValue::from_static("private, max-age=60");
/// What changes.
const NOT: HeaderValue = HeaderValue::from_static("no-store");

const OCTETS: &str = "application/octet-stream";
const TEXT: &str = "text/plain; charset=utf-8";
const NOT_FOUND: Refusal = Refusal::Surface(ProblemType::NotFound);

/// `GET /ledger/checkpoint`
pub(super) async fn checkpoint(State(issuer): State<Issuer>) -> Result<Response, Refusal> {
    let shown = issuer.shown_checkpoint().await?;
    Ok(cached(TEXT, shown.ok_or(NOT_FOUND)?, NOT))
}

/// `GET /ledger/solvency`
pub(super) async fn solvency(State(issuer): State<Issuer>) -> Result<Response, Refusal> {
    file(&issuer, "solvency", OCTETS, NOT).await
}

/// `GET /ledger/voided/{epoch}/newest`
pub(super) async fn voided(
    State(issuer): State<Issuer>,
    Path(epoch): Path<String>,
) -> Result<Response, Refusal> {
    let epoch = decimal(&epoch)?;
    file(&issuer, &format!("voided/{epoch}/newest"), media::VOIDED, NOT).await
}

/// `GET /ledger/voided/{epoch}/{edition}/{bucket}`
pub(super) async fn voided_bucket(
    State(issuer): State<Issuer>,
    Path((epoch, edition, bucket)): Path<(String, String, String)>,
) -> Result<Response, Refusal> {
    let (epoch, edition, bucket) = (decimal(&epoch)?, decimal(&edition)?, decimal(&bucket)?);
    file(&issuer, &format!("voided/{epoch}/{edition}/{bucket}"), OCTETS, FOR_EVER).await
}

/// A number in its one form.
fn decimal(text: &str) -> Result<u32, Refusal> {
    parse_decimal(text).ok_or(NOT_FOUND)
}

/// `GET /ledger/tile/…`
pub(super) async fn tile(
    State(issuer): State<Issuer>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    // What is not the one form of a tile's path names no file.
    let path: TilePath = format!("tile/{path}").parse().map_err(|_| NOT_FOUND)?;
    let private = path.kind() == TileKind::Entries;
    if private {
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if !issuer.is_auditor(shown).await.map_err(LedgerError::Store)? {
            return Err(Refusal::Surface(ProblemType::AuditorUnknown));
        }
    }
    let cache = match (path.is_full(), private) {
        (true, false) => FOR_EVER,
        (true, true) => PRIVATE_FOR_EVER,
        (false, false) => SHORT,
        (false, true) => PRIVATE_SHORT,
    };
    file(&issuer, &path.to_string(), OCTETS, cache).await
}

/// `GET /ledger/manifest/{version}`
pub(super) async fn manifest(
    State(issuer): State<Issuer>,
    Path(version): Path<String>,
) -> Result<Response, Refusal> {
    let number = parse_decimal::<u64>(&version).ok_or(NOT_FOUND)?;
    let found = issuer.store().manifest_of(number).await.map_err(LedgerError::Store)?;
    Ok(cached(OCTETS, found.ok_or(NOT_FOUND)?, FOR_EVER))
}

/// `POST /v1/ledger/own`
pub(super) async fn own(
    State(issuer): State<Issuer>,
    request: Request,
) -> Result<Response, Refusal> {
    let body = body(request, media::LEDGER_QUERY, LEDGER_QUERY).await?;
    let query =
        SignedLedgerQuery::decode(&body).map_err(|_| Refusal::Surface(ProblemType::Malformed))?;
    Ok(answer(media::LEDGER_LEAVES, issuer.own_leaves(query).await?))
}

async fn file(
    issuer: &Issuer,
    name: &str,
    media_type: &'static str,
    cache: HeaderValue,
) -> Result<Response, Refusal> {
    let found = issuer.ledger_file(name).await?;
    Ok(cached(media_type, found.ok_or(NOT_FOUND)?, cache))
}

fn cached(media_type: &'static str, body: Vec<u8>, cache: HeaderValue) -> Response {
    let mut response = respond(StatusCode::OK, media_type, body);
    response.headers_mut().insert(header::CACHE_CONTROL, cache);
    response
}
