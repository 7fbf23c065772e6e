//! The vendor's manifest: fetched, checked, and compared with what relays hold.

use std::collections::{BTreeMap, BTreeSet};

use scrip_protocol::{
    id::ManifestDigest,
    manifest::Manifest,
    resource::{AcceptedVendor, RelayInfo},
    time::{SECONDS_PER_DAY, UnixSeconds},
};

use super::Wallet;
use crate::{
    error::WalletError,
    net::VendorClient,
    records::{Blob, Evidence, ManifestRecord, RelayRecord},
    store::Changes,
};

impl Wallet {
    /// Fetches the manifest, and refuses one that goes back, that says something else than another of its version, or
    /// that takes back what an older one promised (keys.md, "From one version to the next").
    pub(super) async fn refresh_manifest(
        &self,
        client: &VendorClient,
    ) -> Result<Manifest, WalletError> {
        let bytes = client.manifest().await.map_err(WalletError::call(&self.vendor.authority))?;
        let manifest = Manifest::open(&bytes, &self.vendor.id)?;
        let held = self.store.get::<ManifestRecord>(&[]).await?;
        if let Some(held) = &held {
            self.refuse_bad_successor(held, &manifest).await?;
        }
        for relay in self.store.all::<RelayRecord>().await? {
            self.refuse_other_digest(&relay, &manifest).await?;
        }
        let mut digests = held.as_ref().map(|held| held.digests.clone()).unwrap_or_default();
        if digests.insert(manifest.version(), manifest.digest()).is_none() {
            let agreed = match held {
                Some(held) => self.agreed_until_now(held).await,
                None => None,
            };
            let witnesses = BTreeSet::new();
            let seen = Some(self.now());
            let record = ManifestRecord { manifest: Blob(bytes), digests, witnesses, seen, agreed };
            self.store.commit(Changes::default().put(&record)).await?;
            self.at("wallet.manifest.stored");
        } else if let Some(held) = held.filter(|held| was_seen_before(held, self.now())) {
            let record = ManifestRecord { seen: Some(self.now()), ..held };
            self.store.commit(Changes::default().put(&record)).await?;
        }
        Ok(manifest)
    }

    /// The manifest that the wallet has; fetched where it has none.
    pub(super) async fn manifest(&self, client: &VendorClient) -> Result<Manifest, WalletError> {
        match self.store.get::<ManifestRecord>(&[]).await? {
            Some(record) => Ok(Manifest::open(&record.manifest.0, &self.vendor.id)?),
            None => self.refresh_manifest(client).await,
        }
    }

    /// Refuses a relay that does not take this vendor's certificates, or that holds another manifest of a version that
    /// the wallet knows.
    pub(super) async fn check_relay(&self, relay: &RelayRecord) -> Result<(), WalletError> {
        if relay.info.as_ref().and_then(|info| self.entry_of(info)).is_none() {
            return Err(WalletError::NotAccepted(relay.address.clone().into()));
        }
        self.refuse_contradiction(relay).await
    }

    /// What a relay said against all manifests that the wallet knows.
    pub(super) async fn refuse_contradiction(
        &self,
        relay: &RelayRecord,
    ) -> Result<(), WalletError> {
        let entry = relay.info.as_ref().and_then(|info| self.entry_of(info));
        let known = self.store.get::<ManifestRecord>(&[]).await?;
        let (Some(entry), Some(known)) = (entry, known) else { return Ok(()) };
        let ours = known.digests.get(&entry.manifest_version).copied();
        match compare(relay, entry, ours) {
            Ok(()) => Ok(()),
            Err(error) => {
                let newest = Manifest::open(&known.manifest.0, &self.vendor.id)?;
                let is_newest = newest.version() == entry.manifest_version;
                let manifest = is_newest.then_some(known.manifest);
                self.keep_contradiction(relay, entry.manifest_version, manifest).await?;
                Err(error)
            }
        }
    }

    /// A manifest that is not stored yet against what a relay said of its version.
    async fn refuse_other_digest(
        &self,
        relay: &RelayRecord,
        manifest: &Manifest,
    ) -> Result<(), WalletError> {
        let entry = relay.info.as_ref().and_then(|info| self.entry_of(info));
        let same = entry.filter(|entry| entry.manifest_version == manifest.version());
        let Some(entry) = same else { return Ok(()) };
        match compare(relay, entry, Some(manifest.digest())) {
            Ok(()) => Ok(()),
            Err(error) => {
                let bytes = Blob(manifest.bytes().to_vec());
                self.keep_contradiction(relay, manifest.version(), Some(bytes)).await?;
                Err(error)
            }
        }
    }

    async fn refuse_bad_successor(
        &self,
        held: &ManifestRecord,
        manifest: &Manifest,
    ) -> Result<(), WalletError> {
        let older = Manifest::open(&held.manifest.0, &self.vendor.id)?;
        let rules = refuse_step_back(&held.digests, manifest)
            .and_then(|()| refuse_broken_promise(&older, held.seen, manifest));
        match rules {
            Ok(()) => Ok(()),
            Err(error) => {
                let offered = Blob(manifest.bytes().to_vec());
                let held = held.manifest.clone();
                self.keep_evidence(manifest.version(), Evidence::Manifests { held, offered })
                    .await?;
                Err(error)
            }
        }
    }

    async fn keep_contradiction(
        &self,
        relay: &RelayRecord,
        version: u64,
        manifest: Option<Blob>,
    ) -> Result<(), WalletError> {
        let (relay, said) = (relay.address.clone(), relay.said.clone());
        self.keep_evidence(version, Evidence::Relay { relay, said, manifest }).await
    }

    pub(super) fn entry_of<'a>(&self, info: &'a RelayInfo) -> Option<&'a AcceptedVendor> {
        info.vendors.iter().find(|vendor| vendor.vendor_id == self.vendor.id)
    }
}

fn compare(
    relay: &RelayRecord,
    entry: &AcceptedVendor,
    ours: Option<ManifestDigest>,
) -> Result<(), WalletError> {
    match (ours, entry.manifest_digest) {
        (Some(ours), Some(theirs)) if ours != theirs => Err(WalletError::ManifestContradicted {
            relay: relay.address.clone().into(),
            version: entry.manifest_version,
            ours,
            theirs,
        }),
        _ => Ok(()),
    }
}

/// Whether the manifest was last seen more than a day before: once a day is enough to write that down.
fn was_seen_before(held: &ManifestRecord, now: UnixSeconds) -> bool {
    held.seen.is_none_or(|seen| seen.plus(SECONDS_PER_DAY) <= now)
}

fn refuse_broken_promise(
    held: &Manifest,
    seen: Option<UnixSeconds>,
    manifest: &Manifest,
) -> Result<(), WalletError> {
    if held.version() == manifest.version() {
        return Ok(());
    }
    let held_at = seen.unwrap_or(UnixSeconds(0));
    manifest.may_follow(held, held_at).map_err(|rule| WalletError::ManifestBroken {
        held: held.version(),
        offered: manifest.version(),
        rule,
    })
}

fn refuse_step_back(
    digests: &BTreeMap<u64, ManifestDigest>,
    manifest: &Manifest,
) -> Result<(), WalletError> {
    let (version, other) = (manifest.version(), manifest.digest());
    match digests.get(&version) {
        Some(one) if *one != other => {
            return Err(WalletError::ManifestSplit { version, one: *one, other });
        }
        _ => {}
    }
    match digests.keys().next_back() {
        Some(held) if version < *held => {
            Err(WalletError::ManifestRolledBack { held: *held, offered: version })
        }
        _ => Ok(()),
    }
}
