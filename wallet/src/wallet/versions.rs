//! Every version of the manifest that the wallet held: what the vendor signed once stays its word, and can be shown (keys.md, "Receipt
//! keys").

use scrip_protocol::{
    keys::PublicKey,
    limits::MAX_MANIFEST,
    manifest::{Manifest, ReceiptKey},
    time::UnixSeconds,
};
use serde::Serialize;

use super::Wallet;
use crate::{
    error::WalletError,
    records::{Blob, HeldRecord, ManifestRecord, NoticesRecord},
    store::Changes,
};

/// Bytes of all versions together, beside those that are kept for ever.
const MOST: usize = 8 * MAX_MANIFEST;

/// That the vendor signs receipts with another key than it did when this wallet knew it first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReceiptKeyChange {
    /// The first version of the manifest that has the key.
    pub version: u64,
    /// The key.
    pub key: PublicKey,
    /// Since when this wallet holds such a version.
    pub since: UnixSeconds,
}

impl Wallet {
    /// The latest change of the vendor's receipt key, if there was one while this wallet knew the vendor.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn receipt_key_change(&self) -> Result<Option<ReceiptKeyChange>, WalletError> {
        let Some(held) = self.store.get::<ManifestRecord>(&[]).await? else { return Ok(None) };
        let manifest = Manifest::open(&held.manifest.0, &self.vendor.id)?;
        let ReceiptKey { since_version: version, key, .. } = *manifest.receipt_keys().newest();
        let is_news = held.digests.keys().next().is_some_and(|first| *first < version);
        if !is_news {
            return Ok(None);
        }
        let kept = self.store.all::<HeldRecord>().await?;
        let since = kept.iter().filter(|one| one.version >= version).map(|one| one.since).min();
        Ok(Some(ReceiptKeyChange { version, key, since: since.unwrap_or(held.since) }))
    }

    /// The same, once for each change, which is remembered.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn receipt_key_notice(&self) -> Result<Option<ReceiptKeyChange>, WalletError> {
        let Some(change) = self.receipt_key_change().await? else { return Ok(None) };
        let notices = self.store.get::<NoticesRecord>(&[]).await?.unwrap_or_default();
        if notices.receipt_key.is_some_and(|told| told >= change.version) {
            return Ok(None);
        }
        let notices = NoticesRecord { receipt_key: Some(change.version), ..notices };
        self.store.commit(Changes::default().put(&notices)).await?;
        Ok(Some(change))
    }

    /// The bytes of a version that was held, if they are still kept.
    pub(super) async fn held_version(&self, version: u64) -> Result<Option<Blob>, WalletError> {
        let kept = self.store.get::<HeldRecord>(&version.to_be_bytes()).await?;
        Ok(kept.map(|kept| kept.manifest))
    }

    /// Keeps a version that is held from now on, and gives up the oldest where there are too many.
    pub(super) async fn keep_version(
        &self,
        changes: Changes,
        manifest: &Manifest,
    ) -> Result<Changes, WalletError> {
        let mut kept = self.store.all::<HeldRecord>().await?;
        kept.sort_by_key(|one| one.version);
        let blob = Blob(manifest.bytes().to_vec());
        let new = HeldRecord { version: manifest.version(), manifest: blob, since: self.now() };
        let mut changes = changes.put(&new);
        kept.push(new);
        let sizes: Vec<(u64, usize)> =
            kept.iter().map(|one| (one.version, one.manifest.0.len())).collect();
        for version in too_many(&sizes, manifest, MOST) {
            changes = changes.delete::<HeldRecord>(&version.to_be_bytes());
        }
        Ok(changes)
    }
}

/// Versions to give up of these, ascending, with their sizes: the oldest, until the others have `most` bytes at most. Those in which
/// a receipt key came, and those before them, stay: they show the change.
fn too_many(kept: &[(u64, usize)], newest: &Manifest, most: usize) -> Vec<u64> {
    let came = |version: u64| newest.receipt_keys().all().any(|key| key.since_version == version);
    let stays = |at: usize| {
        let version = kept[at].0;
        let next = kept.get(at + 1).map(|(next, _)| *next);
        version == newest.version() || came(version) || next.is_some_and(came)
    };
    let mut left: usize = kept.iter().map(|(_, size)| *size).sum();
    let mut gone = Vec::new();
    for at in (0..kept.len()).filter(|at| !stays(*at)) {
        if left <= most {
            break;
        }
        left -= kept[at].1;
        gone.push(kept[at].0);
    }
    gone
}

#[cfg(test)]
mod tests {
    use scrip_protocol::{
        id::VendorId,
        keys::SigningKey,
        manifest::{ManifestBody, ReceiptKeys},
    };

    use super::*;

    #[test]
    fn the_oldest_versions_go_first_and_those_of_a_change_stay() {
        let (root, first) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
        let vendor = VendorId::of(&root.public());
        let mut receipt_keys = ReceiptKeys::first(first.public());
        receipt_keys.change(&vendor, 4, SigningKey::from_seed(&[3; 32]).public(), &first);
        let body = ManifestBody {
            root_key: root.public(),
            version: 9,
            issuer_name: "vendor.test".into(),
            receipt_keys,
            products: Vec::new(),
            operators: Vec::new(),
            epochs: Vec::new(),
        };
        let newest = Manifest::open(&body.sign(&root), &vendor).unwrap();
        let kept: Vec<(u64, usize)> = (1..=9).map(|version| (version, 10)).collect();
        assert!(too_many(&kept, &newest, 90).is_empty());
        assert_eq!(too_many(&kept, &newest, 89), [2]);
        assert_eq!(too_many(&kept, &newest, 60), [2, 5, 6]);
        assert_eq!(too_many(&kept, &newest, 0), [2, 5, 6, 7, 8], "1, 3, 4 and the newest stay");
    }
}
