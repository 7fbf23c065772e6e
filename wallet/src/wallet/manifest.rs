//! The vendor's manifest: fetched, checked, and compared with what relays hold.

use std::collections::BTreeMap;

use scrip_protocol::{
    address::RelayAddress,
    id::ManifestDigest,
    manifest::Manifest,
    resource::{AcceptedVendor, RelayInfo},
};

use super::Wallet;
use crate::{
    error::WalletError,
    net::VendorClient,
    records::{Blob, ManifestRecord, RelayRecord},
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
        let mut digests = BTreeMap::new();
        if let Some(held) = held {
            digests = held.digests;
            refuse_step_back(&digests, &manifest)?;
            let held = Manifest::open(&held.manifest.0, &self.vendor.id)?;
            refuse_broken_promise(&held, &manifest)?;
        }
        self.compare_with_relays(&manifest).await?;
        if digests.insert(manifest.version(), manifest.digest()).is_none() {
            let record = ManifestRecord { manifest: Blob(bytes), digests };
            self.store.commit(Changes::default().put(&record)).await?;
            self.at("wallet.manifest.stored");
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
    pub(super) async fn check_relay(
        &self,
        relay: &RelayAddress,
        info: &RelayInfo,
    ) -> Result<(), WalletError> {
        let Some(accepted) = self.entry_of(info) else {
            return Err(WalletError::NotAccepted(relay.clone().into()));
        };
        let known = self.store.get::<ManifestRecord>(&[]).await?;
        let ours = known.and_then(|record| record.digests.get(&accepted.manifest_version).copied());
        compare(relay, accepted, ours)
    }

    /// The vendor's new manifest against what the relays said when they were last asked. They are not asked again here:
    /// that would show the relays when this wallet buys.
    async fn compare_with_relays(&self, manifest: &Manifest) -> Result<(), WalletError> {
        for relay in self.store.all::<RelayRecord>().await? {
            let entry = relay.info.as_ref().and_then(|info| self.entry_of(info));
            if let Some(entry) = entry.filter(|e| e.manifest_version == manifest.version()) {
                compare(&relay.address, entry, Some(manifest.digest()))?;
            }
        }
        Ok(())
    }

    fn entry_of<'a>(&self, info: &'a RelayInfo) -> Option<&'a AcceptedVendor> {
        info.vendors.iter().find(|vendor| vendor.vendor_id == self.vendor.id)
    }
}

fn compare(
    relay: &RelayAddress,
    entry: &AcceptedVendor,
    ours: Option<ManifestDigest>,
) -> Result<(), WalletError> {
    match (ours, entry.manifest_digest) {
        (Some(ours), Some(theirs)) if ours != theirs => Err(WalletError::ManifestContradicted {
            relay: relay.clone().into(),
            version: entry.manifest_version,
            ours,
            theirs,
        }),
        _ => Ok(()),
    }
}

fn refuse_broken_promise(held: &Manifest, manifest: &Manifest) -> Result<(), WalletError> {
    if held.version() == manifest.version() {
        return Ok(());
    }
    manifest.may_follow(held).map_err(|rule| WalletError::ManifestBroken {
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
