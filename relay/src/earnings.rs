//! Checking a vendor's books against what this relay redeemed (ledger.md, "An operator's receipts").
//!
//! [`fetch`] reads what the vendor shows, [`compare`] finds where that and the relay's receipts differ, and [`dispute`] keeps what
//! proves it, for whoever has to decide. Only the first talks to anybody.

pub mod compare;
pub mod dispute;
pub mod fetch;
pub mod keys;

#[cfg(test)]
mod tests;

use std::path::Path;

use scrip_protocol::{
    address::VendorAddress,
    id::VendorId,
    ledger::{BatchReceipt, LedgerQuery},
    redemption::batch_digest,
    time::UnixSeconds,
    tlog::policy::WitnessPolicy,
};
use scrip_runtime::{
    files::{FileError, create_private_dir, replace_atomically},
    passphrase::Passphrase,
};
use scrip_verifier::{
    manifests::Manifests,
    spent::{AnsweredBatch, BatchNumber, StoreError as SpentError, sqlite::Books},
    verifier,
};

use self::{
    compare::{Checked, Comparison},
    fetch::{FetchError, HttpLedger, LedgerLink},
    keys::VendorKeys,
};
use crate::{
    config::{BadConfig, Config},
    error::StartError,
    identity, relay,
    report::ReportError,
};

/// How many batches are read from the disk at once.
const PAGE: usize = 64;

/// Why books could not be checked. Says nothing of whether they are right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// There is no such vendor in the configuration.
    #[error(
        "the vendor {0} is not in the configuration; add it, with its address, to check its books"
    )]
    UnknownVendor(VendorId),
    /// No manifest of it is held.
    #[error("no manifest of the vendor is held yet; run `scrip-relay start` until it is")]
    NoManifest,
    /// What the relay has cannot be read.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The witnesses of the configuration are not usable.
    #[error(transparent)]
    Config(#[from] BadConfig),
    /// The client cannot be made.
    #[error(transparent)]
    Client(#[from] StartError),
    /// The vendor does not show what has to be seen.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The check was broken off.
    #[error("the check was broken off")]
    Interrupted,
}

impl From<SpentError> for CheckError {
    fn from(error: SpentError) -> Self {
        Self::Report(error.into())
    }
}

/// Checks the books of a vendor of the configuration.
///
/// # Errors
/// [`CheckError`].
pub async fn check(
    config: &Config,
    vendor: &VendorId,
    passphrase: Passphrase,
    now: UnixSeconds,
) -> Result<Checked, CheckError> {
    let found = config.vendors.iter().find(|one| one.address.id == *vendor);
    let vendor_config = found.ok_or(CheckError::UnknownVendor(*vendor))?;
    let (address, policy) = (&vendor_config.address, vendor_config.witness_policy()?);
    let directory = config.data_dir.clone();
    let unseal = move || identity::unseal(&directory, &passphrase);
    let operator =
        tokio::task::spawn_blocking(unseal).await.map_err(|_| CheckError::Interrupted)?;
    let operator = operator.map_err(ReportError::from)?;
    let manifests = Manifests::open(&config.data_dir.join(verifier::MANIFESTS), [address]);
    let manifests = manifests.and_then(|manifests| manifests.kept(vendor));
    let manifests = manifests.map_err(ReportError::from)?;
    let keys = VendorKeys::new(manifests).ok_or(CheckError::NoManifest)?;
    let link = HttpLedger::new(relay::client(&config.client)?, None);
    let operator_id = scrip_protocol::id::OperatorId::of(&operator.public());
    let query = |from| {
        LedgerQuery { vendor_id: *vendor, operator_id, time: now.step(), from }.sign(&operator)
    };
    let path = config.data_dir.join(verifier::DATABASE);
    let books = if path.exists() { Some(Books::open(&path).await?) } else { None };
    let known = Known { address, keys: &keys, operator_key: operator.public(), policy: &policy };
    let checked = check_with(&known, &link, query, books.as_ref()).await;
    if let Some(books) = books {
        books.close().await;
    }
    checked
}

/// What is known before the vendor is asked.
pub struct Known<'a> {
    /// Where the vendor is.
    pub address: &'a VendorAddress,
    /// Its keys.
    pub keys: &'a VendorKeys,
    /// The operator's key.
    pub operator_key: scrip_protocol::keys::PublicKey,
    /// Whose cosignatures a checkpoint needs.
    pub policy: &'a WitnessPolicy,
}

/// The same with another way to the vendor. `query` signs a question for the operator's own leaves.
///
/// # Errors
/// [`CheckError`].
pub async fn check_with(
    known: &Known<'_>,
    link: &dyn LedgerLink,
    query: impl Fn(u64) -> Vec<u8>,
    books: Option<&Books>,
) -> Result<Checked, CheckError> {
    let newest = fetch::checkpoint(link, known).await?;
    let own = fetch::own_leaves(link, known, newest.checkpoint().size, query).await?;
    let mut comparison = Comparison::new(known.keys, known.operator_key, newest, own);
    let mut after = None;
    while let Some(page) = page(books, &known.address.id, after).await? {
        after = page.last().map(|one| one.number);
        for batch in page {
            let is_old = batch.day.0 == 0;
            let receipt = BatchReceipt { batch: batch.bytes, outcome: batch.outcome };
            comparison.add_receipt(receipt, is_old);
        }
    }
    let tiles = fetch::tiles(link, known, comparison.tiles()).await?;
    Ok(comparison.finish(&tiles))
}

/// The next batches; `None` where there are no more.
async fn page(
    books: Option<&Books>,
    vendor: &VendorId,
    after: Option<BatchNumber>,
) -> Result<Option<Vec<AnsweredBatch>>, SpentError> {
    let Some(books) = books else { return Ok(None) };
    let page = books.answered(*vendor, after, PAGE).await?;
    Ok((!page.is_empty()).then_some(page))
}

/// Writes the receipt of every batch that was answered into `directory`, which is made where there is none. Returns how many there
/// are.
///
/// # Errors
/// [`CheckError`].
pub async fn export_receipts(config: &Config, directory: &Path) -> Result<u64, CheckError> {
    create_private_dir(directory)?;
    let path = config.data_dir.join(verifier::DATABASE);
    if !path.exists() {
        return Ok(0);
    }
    let books = Books::open(&path).await?;
    let mut written = 0;
    for vendor in books.totals().await?.into_iter().map(|totals| totals.vendor_id) {
        let mut after = None;
        while let Some(page) = page(Some(&books), &vendor, after).await? {
            after = page.last().map(|one| one.number);
            for AnsweredBatch { bytes, outcome, .. } in page {
                let name = format!("{}.{}", batch_digest(&bytes), BatchReceipt::EXTENSION);
                let receipt = BatchReceipt { batch: bytes, outcome }.encode();
                replace_atomically(&directory.join(name), &receipt)?;
                written += 1;
            }
        }
    }
    books.close().await;
    Ok(written)
}
