//! The keys that a ledger has shown so far (keys.md, "From one version to the next" and "On schedule").

use std::{collections::HashMap, sync::Arc};

use scrip_protocol::{
    id::{KeyId, VendorId},
    keys::PublicKey,
    ledger::ManifestVersion,
    manifest::{DenominationKey, KeyUse, Manifest},
    time::Day,
};
use serde::{Deserialize, Serialize};

use crate::finding::{Finding, FindingKind};

/// A version of the manifest as the ledger names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LoggedManifest {
    /// The leaf.
    pub(crate) index: u64,
    /// The version.
    pub(crate) version: u64,
    /// The newest day that leaves before it speak of: the version before was the newest then.
    pub(crate) held_on: Day,
}

/// A key that was in the ledger before a leaf.
#[derive(Clone)]
struct Known {
    key: DenominationKey,
    since: u64,
}

/// All keys of the manifests that the ledger has shown up to a place in it.
#[derive(Clone, Default)]
pub(crate) struct Keyring {
    keys: HashMap<KeyId, Known>,
    newest: Option<Arc<Manifest>>,
    receipt_keys: Vec<PublicKey>,
    /// The leaf from which on each receipt key holds, in their order.
    receipt_since: Vec<u64>,
    /// The leaf that showed each epoch first.
    epochs_since: HashMap<u32, u64>,
}

impl Keyring {
    /// The key with this id, if a manifest at a leaf before `index` has it.
    pub(crate) fn key(&self, id: &KeyId, index: u64) -> Option<&DenominationKey> {
        self.keys.get(id).filter(|known| known.since < index).map(|known| &known.key)
    }

    /// The newest manifest.
    pub(crate) fn newest(&self) -> Option<&Manifest> {
        self.newest.as_deref()
    }

    /// The receipt keys of all manifests, the newest last.
    pub(crate) fn receipt_keys(&self) -> &[PublicKey] {
        &self.receipt_keys
    }

    /// The receipt keys of the manifests at leaves before `index`, the newest first.
    pub(crate) fn receipt_keys_before(&self, index: u64) -> impl Iterator<Item = &PublicKey> {
        let keys = self.receipt_keys.iter().zip(&self.receipt_since).rev();
        keys.filter(move |(_, since)| **since < index).map(|(key, _)| key)
    }

    /// [`Self::epoch`], if a manifest at a leaf before `index` has it.
    pub(crate) fn epoch_before(
        &self,
        number: u32,
        index: u64,
    ) -> Option<&scrip_protocol::manifest::Epoch> {
        let since = self.epochs_since.get(&number)?;
        if *since < index { self.epoch(number) } else { None }
    }

    /// What the keys of an epoch sign, and their windows.
    pub(crate) fn epoch(&self, number: u32) -> Option<&scrip_protocol::manifest::Epoch> {
        self.newest()?.epochs().iter().find(|epoch| epoch.number == number)
    }

    /// Adds the manifest that a leaf names. `file` is what is at `manifest/<version>`, if anything is. Whatever is wrong with it is found
    /// here; its keys count all the same where it is signed, so that one fault does not make a thousand.
    pub(crate) fn add(
        &mut self,
        vendor: &VendorId,
        leaf: &ManifestVersion,
        logged: LoggedManifest,
        file: Option<&[u8]>,
        findings: &mut Vec<Finding>,
    ) {
        let mut find =
            |kind, detail: String| findings.push(Finding::new(kind, detail).at(logged.index));
        let version = logged.version;
        let Some(file) = file else {
            find(FindingKind::ManifestMissing, format!("there is no file for version {version}"));
            return;
        };
        let manifest = match Manifest::open(file, vendor) {
            Ok(manifest) => manifest,
            Err(error) => {
                find(FindingKind::ManifestInvalid, format!("version {version}: {error}"));
                return;
            }
        };
        if manifest.version() != version || manifest.digest() != leaf.digest {
            let detail = format!(
                "the leaf names version {version} with the digest {}, the file is version {} with the digest {}",
                leaf.digest,
                manifest.version(),
                manifest.digest()
            );
            find(FindingKind::ManifestInvalid, detail);
        }
        if let Some(held) = self.newest()
            && let Err(error) = manifest.may_follow(held, logged.held_on.start())
        {
            let detail = format!("version {version} after version {}: {error}", held.version());
            find(FindingKind::ManifestBroken, detail);
        }
        if let Some(error) = self.off_schedule(&manifest) {
            find(FindingKind::OffSchedule, format!("version {version}: {error}"));
        }
        self.take(manifest, logged.index);
    }

    /// Where a new epoch of this manifest is one too many within the period, at the time when it begins.
    fn off_schedule(&self, manifest: &Manifest) -> Option<String> {
        let is_new = |number| self.epoch(number).is_none();
        let mut begins: Vec<_> = manifest
            .epochs()
            .iter()
            .filter(|epoch| epoch.key_use == KeyUse::Production && is_new(epoch.number))
            .map(|epoch| epoch.windows.issue_from)
            .collect();
        begins.sort_unstable();
        begins
            .into_iter()
            .find_map(|at| manifest.is_on_schedule(at).err())
            .map(|error| error.to_string())
    }

    fn take(&mut self, manifest: Manifest, index: u64) {
        for key in manifest.keys() {
            let since = self.keys.get(&key.id()).map_or(index, |known| known.since);
            self.keys.insert(key.id(), Known { key: key.clone(), since });
        }
        for epoch in manifest.epochs() {
            self.epochs_since.entry(epoch.number).or_insert(index);
        }
        for one in manifest.receipt_keys().all() {
            let mut since = index;
            if let Some(at) = self.receipt_keys.iter().position(|held| *held == one.key) {
                self.receipt_keys.remove(at);
                since = self.receipt_since.remove(at);
            }
            self.receipt_keys.push(one.key);
            self.receipt_since.push(since);
        }
        self.newest = Some(Arc::new(manifest));
    }
}

#[cfg(test)]
mod tests {
    use scrip_protocol::keys::SigningKey;

    use super::*;
    use crate::testing::Forger;

    #[test]
    fn a_receipt_key_holds_from_the_manifest_that_names_it_first() {
        let mut forger = Forger::new();
        forger.sign_manifest(&[]);
        let manifest = forger.manifest();
        let first = manifest.receipt_keys().newest().key;
        let mut keyring = Keyring::default();
        keyring.take(manifest.clone(), 5);
        let second = SigningKey::from_seed(&[77; 32]).public();
        keyring.receipt_keys.push(second);
        keyring.receipt_since.push(9);
        let held = |keyring: &Keyring, index| -> Vec<PublicKey> {
            keyring.receipt_keys_before(index).copied().collect()
        };
        assert_eq!(held(&keyring, 5), []);
        assert_eq!(held(&keyring, 6), [first]);
        assert_eq!(held(&keyring, 10), [second, first]);
        // Named again, it is the newest, and has been there all along.
        keyring.take(manifest, 12);
        assert_eq!(held(&keyring, 6), [first]);
        assert_eq!(held(&keyring, 13), [first, second]);
    }
}
