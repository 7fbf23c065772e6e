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
        self.receipt_keys.retain(|held| held != manifest.receipt_key());
        self.receipt_keys.push(*manifest.receipt_key());
        self.newest = Some(Arc::new(manifest));
    }
}
