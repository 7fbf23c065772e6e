//! What an operator wants to see. Everything is read from the databases, beside a relay that runs or without one, and
//! needs no passphrase.

use scrip_protocol::{
    address::{RelayAddress, VendorAddress},
    credits::Credits,
    id::{ManifestDigest, OperatorId, PaymentId, ResourceId, VendorId, encode_base64url},
    keys::PublicKey,
    time::{Day, UnixSeconds},
};
use scrip_runtime::{
    files::FileError,
    plausible::{OtherDay, Reading, Remembered, check_stated},
};
use scrip_verifier::{
    manifests::{Manifests, ManifestsError},
    spent::{StoreError as SpentError, VendorTotals, sqlite::Books},
    verifier,
};
use serde::Serialize;

use crate::{
    config::Config,
    identity::{self, IdentityError},
    relay::DATABASE,
    store::{ConflictEvent, ConflictRow, Reader, StoreError, Usage},
};

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// There is no key.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The relay's database cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The spent store cannot be read.
    #[error(transparent)]
    Spent(#[from] SpentError),
    /// The remembered time cannot be read.
    #[error(transparent)]
    Clock(#[from] FileError),
    /// The manifests cannot be read.
    #[error(transparent)]
    Manifests(#[from] ManifestsError),
}

/// Why the clock was not confirmed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClockError {
    /// The clock shows another day.
    #[error(transparent)]
    OtherDay(#[from] OtherDay),
    /// It could not be written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// How the relay stands.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: RelayAddress,
    /// The operator's key, which vendors have to know.
    pub operator_key: PublicKey,
    /// What it holds.
    pub usage: Usage,
    /// How many queues may be leased at one time.
    pub queues_limit: u64,
    /// How many bytes may be promised to chunks.
    pub chunk_bytes_limit: u64,
    /// How it stands with each vendor.
    pub vendors: Vec<VendorReport>,
    /// What keeps the clock from being believed, so that nothing is taken away or refused for good because of it.
    pub clock: Option<String>,
}

/// How the relay stands with one vendor.
#[derive(Clone, Debug, Serialize)]
pub struct VendorReport {
    /// The vendor.
    pub vendor_id: VendorId,
    /// Its address; `None` where it is not in the configuration any more, so that nothing is redeemed.
    pub address: Option<VendorAddress>,
    /// The version of the manifest that is held; `None` where there is none, so that nothing is accepted.
    pub manifest_version: Option<u64>,
    /// Its digest.
    pub manifest_digest: Option<ManifestDigest>,
    /// The version since which the vendor's present receipt key signs, where it is not the first one.
    pub receipt_key_changed: Option<u64>,
    /// Manifests of the vendor's that contradict each other, kept as evidence; none of an honest vendor.
    pub contradictions: Vec<ManifestDigest>,
    /// What was accepted by the vendor, ever.
    pub accepted: Credits,
    /// What was taken and is not decided by the vendor.
    pub pending: Credits,
    /// Double spent, expired or invalid, ever.
    pub lost: Credits,
    /// Certificates that wait for a batch.
    pub waiting: u64,
    /// Batches that the vendor has not answered.
    pub unanswered_batches: u64,
    /// When the oldest pending certificate was taken.
    pub oldest_pending: Option<UnixSeconds>,
    /// Certificates that were double spent, ever.
    pub double_spent: u64,
    /// Certificates of test keys that the vendor accepted, ever: worth nothing, and in none of the sums above.
    pub test_certificates: u64,
}

/// What was earned.
#[derive(Clone, Debug, Serialize)]
pub struct Earnings {
    /// In all, by vendor.
    pub vendors: Vec<VendorReport>,
    /// What the vendors decided, the newest day first.
    pub decided: Vec<DecidedReport>,
}

/// What a vendor decided on one day.
#[derive(Clone, Debug, Serialize)]
pub struct DecidedReport {
    /// The vendor.
    pub vendor_id: VendorId,
    /// The UTC day, counted from 1970-01-01.
    pub day: Day,
    /// Whether these are certificates of test keys, which are worth nothing.
    pub test: bool,
    /// `accepted`, `already-accepted`, `double-spent`, `expired` or `invalid`.
    pub result: &'static str,
    /// How many certificates.
    pub certificates: u64,
    /// What they are worth together.
    pub credits: Credits,
}

/// A double spend, and what followed.
#[derive(Clone, Debug, Serialize)]
pub struct ConflictReport {
    /// What happened to the lease: `shortened`, `ended`, or `had-ended` where it was over already.
    pub event: &'static str,
    /// The lease; `None` where it was forgotten already.
    pub lease_id: Option<ResourceId>,
    /// When it ends, or ended, since.
    pub lease_until: Option<UnixSeconds>,
    /// What the certificate was worth.
    pub value: Credits,
    /// The payment that it was part of.
    pub payment_id: PaymentId,
    /// When the vendor's answer was acted upon.
    pub learned_at: UnixSeconds,
    /// The certificate key.
    pub certificate_key: PublicKey,
    /// The `ConflictProof`, base64url: anybody can check it.
    pub proof: String,
}

/// The relay's address.
///
/// # Errors
/// [`ReportError`] where there is no key.
pub fn address(config: &Config) -> Result<RelayAddress, ReportError> {
    let id = OperatorId::of(&identity::public(&config.data_dir)?);
    Ok(RelayAddress { id, authority: config.authority() })
}

/// The operator's key.
///
/// # Errors
/// [`ReportError`] where there is none.
pub fn operator_key(config: &Config) -> Result<PublicKey, ReportError> {
    Ok(identity::public(&config.data_dir)?)
}

/// How the relay stands.
///
/// # Errors
/// [`ReportError`].
pub async fn status(config: &Config, now: UnixSeconds) -> Result<Status, ReportError> {
    let operator_key = identity::public(&config.data_dir)?;
    let reader = Reader::open(&config.data_dir.join(DATABASE)).await?;
    let usage = reader.usage(now).await;
    reader.close().await;
    Ok(Status {
        name: config.name.clone(),
        address: address(config)?,
        operator_key,
        usage: usage?,
        queues_limit: config.storage.queues,
        chunk_bytes_limit: config.storage.chunks.0,
        vendors: vendors(config).await?,
        clock: clock(config, now)?.certain().err().map(|doubt| doubt.to_string()),
    })
}

/// What the clock shows, and what is believed.
///
/// # Errors
/// [`FileError`].
pub fn clock(config: &Config, now: UnixSeconds) -> Result<Reading, FileError> {
    Ok(Reading::beside(now, Remembered::read(&config.data_dir.join(verifier::CLOCK))?))
}

/// A person says that the clock is right, and which day it is. A running relay takes it over within a minute.
///
/// # Errors
/// [`ClockError`].
pub fn confirm_clock(config: &Config, day: &str, now: UnixSeconds) -> Result<(), ClockError> {
    check_stated(day, now)?;
    let path = config.data_dir.join(verifier::CLOCK);
    Ok(Remembered::confirmed(Remembered::read(&path)?, now).write(&path)?)
}

/// What was earned from each vendor, and when.
///
/// # Errors
/// [`ReportError`].
pub async fn earnings(config: &Config) -> Result<Earnings, ReportError> {
    let vendors = vendors(config).await?;
    let path = config.data_dir.join(verifier::DATABASE);
    if !path.exists() {
        return Ok(Earnings { vendors, decided: Vec::new() });
    }
    let books = Books::open(&path).await?;
    let rows = books.earnings().await;
    books.close().await;
    let decided = rows?.into_iter().map(|row| DecidedReport {
        vendor_id: row.vendor_id,
        day: row.day,
        test: row.test,
        result: row.state.name(),
        certificates: row.items,
        credits: row.credits,
    });
    Ok(Earnings { vendors, decided: decided.collect() })
}

/// How the relay stands with the vendors of the configuration, and with those that were in it once.
async fn vendors(config: &Config) -> Result<Vec<VendorReport>, ReportError> {
    let addresses = config.vendors.iter().map(|vendor| &vendor.address);
    let manifests = Manifests::open(&config.data_dir.join(verifier::MANIFESTS), addresses.clone())?;
    let mut totals = totals(config).await?;
    let mut reports = Vec::new();
    for address in addresses {
        let at = totals.iter().position(|totals| totals.vendor_id == address.id);
        let found = at.map(|at| totals.swap_remove(at));
        let found = found.unwrap_or_else(|| VendorTotals::none(address.id));
        reports.push(VendorReport::new(found, Some(address), &manifests)?);
    }
    for left in totals {
        reports.push(VendorReport::new(left, None, &manifests)?);
    }
    Ok(reports)
}

/// Nothing where the relay never ran.
async fn totals(config: &Config) -> Result<Vec<VendorTotals>, ReportError> {
    let path = config.data_dir.join(verifier::DATABASE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let books = Books::open(&path).await?;
    let totals = books.totals().await;
    books.close().await;
    Ok(totals?)
}

impl VendorReport {
    fn new(
        totals: VendorTotals,
        address: Option<&VendorAddress>,
        manifests: &Manifests,
    ) -> Result<Self, ManifestsError> {
        let manifest = manifests.held(&totals.vendor_id);
        let keys = manifest.as_ref().map(|manifest| manifest.receipt_keys());
        Ok(Self {
            receipt_key_changed: keys
                .and_then(|keys| keys.before().is_some().then_some(keys.newest().since_version)),
            contradictions: manifests.equivocations(&totals.vendor_id)?,
            vendor_id: totals.vendor_id,
            address: address.cloned(),
            manifest_version: manifest.as_ref().map(|manifest| manifest.version()),
            manifest_digest: manifest.as_ref().map(|manifest| manifest.digest()),
            accepted: totals.accepted,
            pending: totals.unredeemed,
            lost: totals.lost,
            waiting: totals.waiting,
            unanswered_batches: totals.pending_batches,
            oldest_pending: totals.oldest,
            double_spent: totals.conflicts,
            test_certificates: totals.test_certificates,
        })
    }
}

/// The double spends, oldest first.
///
/// # Errors
/// [`ReportError`].
pub async fn conflicts(config: &Config) -> Result<Vec<ConflictReport>, ReportError> {
    let reader = Reader::open(&config.data_dir.join(DATABASE)).await?;
    let rows = reader.conflicts().await;
    reader.close().await;
    Ok(rows?.into_iter().map(ConflictReport::from).collect())
}

impl From<ConflictRow> for ConflictReport {
    fn from(row: ConflictRow) -> Self {
        Self {
            event: match row.event {
                ConflictEvent::HadEnded => "had-ended",
                ConflictEvent::Shortened => "shortened",
                ConflictEvent::Ended => "ended",
            },
            lease_id: row.lease_id,
            lease_until: row.lease_until,
            value: row.value,
            payment_id: row.payment_id,
            learned_at: row.learned_at,
            certificate_key: row.proof.certificate_key,
            proof: encode_base64url(&row.proof.encode()),
        }
    }
}
