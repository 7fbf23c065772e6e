//! The keys that a vendor's books are judged by: those of every manifest that its root key signed, as far as they are known here.
//!
//! A vendor that changes its receipt key, with or without the word of the key before, has signed both manifests, and so stands
//! for what either key signed.

use std::collections::BTreeSet;

use scrip_protocol::{
    id::{KeyId, VendorId},
    keys::PublicKey,
    ledger::settlement::{KeyBook, KeyFacts},
    manifest::{Manifest, SuccessionError},
    time::UnixSeconds,
    tlog::note::VerifierKey,
};

/// The manifests of one vendor, and the keys in them.
#[derive(Clone)]
pub struct VendorKeys {
    vendor: VendorId,
    /// The newest of those that keep what the ones before promised, as a number.
    held: usize,
    /// Ascending by version; of one version, those that contradict each other.
    manifests: Vec<Manifest>,
    receipt_keys: Vec<PublicKey>,
}

impl std::fmt::Debug for VendorKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let versions: Vec<u64> = self.manifests.iter().map(Manifest::version).collect();
        f.debug_struct("VendorKeys")
            .field("vendor", &self.vendor)
            .field("versions", &versions)
            .finish_non_exhaustive()
    }
}

/// Two manifests of which the second may not be there beside the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// The first, as a number of [`VendorKeys::manifests`].
    pub older: usize,
    /// The second.
    pub newer: usize,
    /// In words.
    pub what: String,
}

impl VendorKeys {
    /// Those of `manifests`, all of one vendor; `None` where there are none. Of two of one version the first is taken for the one
    /// that was there first.
    pub fn new(mut manifests: Vec<Manifest>) -> Option<Self> {
        manifests.sort_by_key(Manifest::version);
        let vendor = manifests.first()?.vendor_id();
        let mut held = 0;
        for (at, manifest) in manifests.iter().enumerate().skip(1) {
            if manifest.may_follow(&manifests[held], UnixSeconds(0)).is_ok() {
                held = at;
            }
        }
        let mut receipt_keys: Vec<PublicKey> = Vec::new();
        for key in manifests.iter().rev().flat_map(Manifest::receipt_keys) {
            if !receipt_keys.contains(key) {
                receipt_keys.push(*key);
            }
        }
        Some(Self { vendor, held, manifests, receipt_keys })
    }

    /// The vendor.
    pub fn vendor_id(&self) -> VendorId {
        self.vendor
    }

    /// The newest manifest that keeps what the ones before it promised: what an honest reader holds.
    pub fn held(&self) -> &Manifest {
        &self.manifests[self.held]
    }

    /// The manifests, by their versions.
    pub fn manifests(&self) -> &[Manifest] {
        &self.manifests
    }

    /// All receipt keys, the newest manifest's first.
    pub fn receipt_keys(&self) -> &[PublicKey] {
        &self.receipt_keys
    }

    /// The same keys as those of the ledger.
    pub fn of_ledger(&self) -> Vec<VerifierKey> {
        VerifierKey::all_of_ledger(&self.vendor, &self.receipt_keys)
    }

    /// The manifests that cannot be left out where something is to be judged by these keys: the newest, which has all receipt keys
    /// before it as long as the vendor keeps its word, and those between which it broke it.
    pub fn needed(&self) -> Vec<&Manifest> {
        self.needed_with(&BTreeSet::new())
    }

    /// The same, and these versions.
    pub fn needed_with(&self, versions: &BTreeSet<u64>) -> Vec<&Manifest> {
        let contradictions = self.contradictions();
        let disputed =
            |at: usize| contradictions.iter().any(|one| one.older == at || one.newer == at);
        let all = self.manifests.iter().enumerate();
        let last = self.manifests.len().saturating_sub(1);
        let needed = |(at, manifest): &(usize, &Manifest)| {
            *at == last || disputed(*at) || versions.contains(&manifest.version())
        };
        all.filter(needed).map(|(_, manifest)| manifest).collect()
    }

    /// Where the vendor broke what it had signed: two manifests of one version, or one that takes back what one before it
    /// promised (keys.md, "From one version to the next"). When somebody saw them is not looked at. What may follow what may follow
    /// may follow, so that neighbours are compared alone.
    pub fn contradictions(&self) -> Vec<Contradiction> {
        let pairs = self.manifests.windows(2).enumerate();
        let contradiction = |(older, pair): (usize, &[Manifest])| {
            let what = contradicts(&pair[0], &pair[1])?;
            Some(Contradiction { older, newer: older + 1, what })
        };
        pairs.filter_map(contradiction).collect()
    }
}

/// Why one vendor may not have signed both.
pub(super) fn contradicts(older: &Manifest, newer: &Manifest) -> Option<String> {
    let versions = (older.version(), newer.version());
    if versions.0 == versions.1 {
        let differ = older.digest() != newer.digest();
        return differ
            .then(|| format!("the vendor signed two manifests of version {}", versions.0));
    }
    let rule = newer.may_follow(older, UnixSeconds(0)).err()?;
    (!matches!(rule, SuccessionError::Version { .. })).then(|| {
        let (held, offered) = versions;
        format!(
            "the vendor's manifest of version {offered} breaks what version {held} promises: {rule}"
        )
    })
}

impl KeyBook for VendorKeys {
    /// As the first manifest that has the key says them.
    fn facts(&self, id: &KeyId) -> Option<KeyFacts> {
        self.manifests.iter().find_map(|manifest| manifest.facts(id))
    }
}
