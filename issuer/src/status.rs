//! What the vendor sees of its own books.

use std::collections::HashSet;

use scrip_protocol::{
    address::VendorAddress,
    credits::{Credits, Exponent},
    id::{ManifestDigest, OperatorId},
    manifest::{KeyUse, Manifest},
    time::{Day, UnixSeconds},
};
use serde::Serialize;

use crate::{
    config::Config,
    error::StartError,
    issuer::Issuer,
    store::{DenominationCount, RedeemedCount, Store, StoreError, Waiting},
};

/// The vendor's books, in sums.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The vendor's address.
    pub address: VendorAddress,
    /// The version of the manifest.
    pub manifest_version: u64,
    /// Its digest.
    pub manifest_digest: ManifestDigest,
    /// Each denomination of each epoch.
    pub denominations: Vec<DenominationStatus>,
    /// Worth of all certificates that were issued, those in the place of renewed ones included. This sum and those that
    /// follow are without certificates of test keys.
    pub credits_issued: Credits,
    /// Worth of all certificates that operators redeemed.
    pub credits_redeemed: Credits,
    /// Worth of all certificates that were exchanged for ones of a later epoch.
    pub credits_renewed: Credits,
    /// Worth of all certificates that nobody can use any more.
    pub credits_expired: Credits,
    /// Worth of all others: the vendor's liability.
    pub credits_outstanding: Credits,
    /// What would be the worth of all certificates of test keys that were issued. Nobody paid for them.
    pub test_credits_issued: Credits,
    /// What would be the worth of all certificates of test keys that operators redeemed. Nobody is paid for them.
    pub test_credits_redeemed: Credits,
    /// Grants.
    pub grants: Used,
    /// Vouchers.
    pub vouchers: Used,
    /// Operators.
    pub operators: Vec<OperatorStatus>,
    /// The ledger; none before the issuer was started for the first time.
    pub ledger: Option<LedgerStatus>,
}

/// How far the ledger is.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LedgerStatus {
    /// Leaves that have their places.
    pub size: u64,
    /// Leaves that everybody can read.
    pub stored: u64,
    /// What is in line.
    pub waiting: Waiting,
}

/// Reads how far the ledger is.
///
/// # Errors
/// [`StoreError`].
pub async fn read_ledger(store: &Store) -> Result<Option<LedgerStatus>, StoreError> {
    let waiting = store.ledger_waiting().await?;
    match store.ledger_state().await {
        Ok(state) => Ok(Some(LedgerStatus { size: state.size, stored: state.stored, waiting })),
        Err(StoreError::NotInitialised) => Ok(None),
        Err(error) => Err(error),
    }
}

/// One denomination of one epoch.
#[derive(Clone, Debug, Serialize)]
pub struct DenominationStatus {
    /// The epoch.
    pub epoch: u32,
    /// What its keys sign.
    #[serde(rename = "use")]
    pub key_use: KeyUse,
    /// The exponent.
    pub exponent: Exponent,
    /// What one certificate is worth.
    pub credits: Credits,
    /// Certificates that were signed.
    pub issued: u64,
    /// Certificates that were redeemed.
    pub redeemed: u64,
    /// Certificates that were exchanged for ones of a later epoch.
    pub renewed: u64,
    /// Certificates that nobody can use any more, since their redemption window has passed.
    pub expired: u64,
    /// All others: issued − redeemed − renewed − expired. Below 0 where more were redeemed than issued.
    pub outstanding: i64,
    /// Whether its key signs now.
    pub issuing: bool,
    /// The first second in which it no longer does.
    pub issue_until: UnixSeconds,
    /// The first second in which its certificates can no longer be redeemed.
    pub redeem_until: UnixSeconds,
}

/// How many there are, and how many of them were used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Used {
    /// All.
    pub total: u64,
    /// Grants of which something was signed; vouchers that became a grant.
    pub used: u64,
}

/// An operator and what it redeemed.
#[derive(Clone, Debug, Serialize)]
pub struct OperatorStatus {
    /// Its id.
    pub id: OperatorId,
    /// Its name.
    pub name: String,
    /// The UTC day on which it was added.
    pub added: Day,
    /// Certificates that were accepted from it, without those of test keys.
    pub certificates: u64,
    /// What they are worth.
    pub credits: Credits,
    /// Certificates of test keys that were accepted from it. It is owed nothing for them.
    pub test_certificates: u64,
}

/// Reads the books. Needs no passphrase.
///
/// # Errors
/// [`StartError`] where the database or the manifest in it cannot be read.
pub async fn read(store: &Store, config: &Config, now: UnixSeconds) -> Result<Status, StartError> {
    let (vendor_id, manifest) = store.manifest().await?;
    let manifest = Manifest::open(&manifest, &vendor_id)?;
    Ok(collect(store, config, &manifest, now).await?)
}

impl Issuer {
    /// Reads the books.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn status(&self) -> Result<Status, StoreError> {
        let manifest = self.manifest();
        collect(&self.inner.store, &self.inner.config, &manifest, self.inner.clock.now()).await
    }
}

async fn collect(
    store: &Store,
    config: &Config,
    manifest: &Manifest,
    now: UnixSeconds,
) -> Result<Status, StoreError> {
    let rows = store.status().await?;
    let count = |epoch, exponent: Exponent| {
        let found = rows.denominations.iter().find(|(key, _)| *key == (epoch, exponent.get()));
        found.map_or(DenominationCount::default(), |(_, count)| *count)
    };
    let mut denominations: Vec<DenominationStatus> = manifest
        .keys()
        .map(|key| {
            let count = count(key.epoch(), key.exponent());
            let left = signed(count.issued) - signed(count.redeemed) - signed(count.renewed);
            let is_past = !key.windows().redeems_at(now);
            DenominationStatus {
                epoch: key.epoch(),
                key_use: key.key_use(),
                exponent: key.exponent(),
                credits: key.value(),
                issued: count.issued,
                redeemed: count.redeemed,
                renewed: count.renewed,
                expired: if is_past { u64::try_from(left).unwrap_or_default() } else { 0 },
                outstanding: if is_past { left.min(0) } else { left },
                issuing: key.windows().issues_at(now),
                issue_until: key.windows().issue_until,
                redeem_until: key.windows().redeem_until,
            }
        })
        .collect();
    denominations.sort_by_key(|row| (row.epoch, row.exponent));
    let test_epochs = manifest.epochs().iter().filter(|epoch| epoch.key_use == KeyUse::Test);
    let test_epochs: HashSet<u32> = test_epochs.map(|epoch| epoch.number).collect();
    let is_test = |row: &RedeemedCount| test_epochs.contains(&row.epoch);
    let operators = rows.operators.iter().map(|(operator, redeemed)| OperatorStatus {
        id: operator.id,
        name: operator.name.clone(),
        added: operator.added,
        certificates: redeemed.iter().filter(|row| !is_test(row)).map(|row| row.certificates).sum(),
        credits: Credits::total(
            redeemed.iter().filter(|row| !is_test(row)).filter_map(|row| {
                Some(worth(Exponent::new(row.exponent)?.value(), row.certificates))
            }),
        ),
        test_certificates: redeemed
            .iter()
            .filter(|row| is_test(row))
            .map(|row| row.certificates)
            .sum(),
    });
    let sum = |key_use, count: fn(&DenominationStatus) -> u64| {
        let of_use = denominations.iter().filter(|row| row.key_use == key_use);
        Credits::total(of_use.map(|row| worth(row.credits, count(row))))
    };
    Ok(Status {
        address: VendorAddress { id: manifest.vendor_id(), authority: config.authority() },
        manifest_version: manifest.version(),
        manifest_digest: manifest.digest(),
        credits_issued: sum(KeyUse::Production, |row| row.issued),
        credits_redeemed: sum(KeyUse::Production, |row| row.redeemed),
        credits_renewed: sum(KeyUse::Production, |row| row.renewed),
        credits_expired: sum(KeyUse::Production, |row| row.expired),
        credits_outstanding: sum(KeyUse::Production, |row| {
            u64::try_from(row.outstanding).unwrap_or_default()
        }),
        test_credits_issued: sum(KeyUse::Test, |row| row.issued),
        test_credits_redeemed: sum(KeyUse::Test, |row| row.redeemed),
        grants: Used { total: rows.grants, used: rows.grants_minted },
        vouchers: Used { total: rows.vouchers, used: rows.vouchers_used },
        operators: operators.collect(),
        ledger: read_ledger(store).await?,
        denominations,
    })
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn worth(value: Credits, count: u64) -> Credits {
    Credits(value.0.saturating_mul(count))
}
