//! The manifests of the accepted vendors, kept on disk: a relay works while its vendors are down.
//!
//! Every version that was ever held is kept, each in a file of its own: what a vendor said under one is proven by it, also when the
//! vendor shows another. The highest version is the one that is held.
//!
//! A manifest never goes back in version and never takes back what it promised, and two digests of one version are kept
//! as evidence that a vendor shows different keys to different people (keys.md). The proof that the vendor's ledger has it is kept
//! beside it, for wallets that ask; where the operator demands witnesses, no newer manifest is taken without one.

mod equivocation;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use scrip_protocol::{
    address::VendorAddress,
    id::{ManifestDigest, VendorId},
    keys::PublicKey,
    manifest::{
        Manifest, ManifestError, NotProven, ProvenManifest, ProvenManifestError, SuccessionError,
    },
    time::{Day, SECONDS_PER_DAY, UnixSeconds},
    tlog::{policy::WitnessPolicy, proof::LogProof},
};
use scrip_runtime::files::{FileError, create_private_dir, replace_atomically};
use tokio::sync::Notify;

use crate::link::{NoAnswer, VendorLink};

/// What the names of held manifests end with.
const SUFFIX: &str = ".manifest";
/// Seconds of which one moment is noted on disk.
const SEEN_EVERY: u64 = 3_600;

/// Why the stored manifests cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestsError {
    /// The operating system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// A stored manifest cannot be read.
    #[error("cannot read the stored manifest {path}: {source}; check its owner and permissions")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A stored manifest is damaged.
    #[error(
        "the stored manifest {path} is damaged: {source}; restore it from a backup, or delete it: the newest is fetched again from \
         the vendor, and what is older is at its `/ledger/manifest/` and the version"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The rule that it breaks.
        source: ManifestError,
    },
}

/// What came of asking a vendor for its manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// It is the one that is held.
    Unchanged,
    /// A first or a newer one is held now.
    Updated {
        /// Its version.
        version: u64,
    },
}

/// Why the manifest that is held stays.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// The vendor is none of those that are accepted.
    #[error("this vendor is not in the configuration")]
    UnknownVendor,
    /// There is no answer. The vendor may be down.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// What came is no manifest of this vendor's.
    #[error("{0}; the stored manifest stays in use")]
    Manifest(#[from] ProvenManifestError),
    /// Witnesses are demanded, and did not stand for the newer manifest. They may need a moment.
    #[error(
        "version {offered} of the vendor's manifest is not proven to be everybody's: {reason}; what is held stays in use, and \
         the vendor is asked again"
    )]
    Unproven {
        /// The version that was offered.
        offered: u64,
        /// What is missing.
        reason: NotProven,
    },
    /// The vendor's server offers an older manifest than is held, as a copy that lags behind does.
    #[error(
        "the vendor offers version {offered} of its manifest, version {held} is held and stays in use"
    )]
    Older {
        /// The version that is held.
        held: u64,
        /// The version that was offered.
        offered: u64,
    },
    /// The vendor signed two manifests of one version: it may be tracing its users.
    #[error(
        "the vendor signed two different manifests of version {version}; both are kept as evidence, the first \
         stays in use; ask the vendor, and warn others"
    )]
    Equivocation {
        /// The version of both.
        version: u64,
        /// The digest of the one that is held.
        held: ManifestDigest,
        /// The digest of the other one.
        offered: ManifestDigest,
    },
    /// The vendor signed a newer manifest that takes back what the held one promises.
    #[error(
        "the vendor's manifest of version {offered} breaks what version {held} promises: {rule}; both are kept as \
         evidence, version {held} stays in use; ask the vendor"
    )]
    Broken {
        /// The version that is held.
        held: u64,
        /// The version that was offered.
        offered: u64,
        /// What it breaks.
        rule: SuccessionError,
    },
    /// The new manifest could not be stored, and is not used.
    #[error(transparent)]
    File(#[from] FileError),
}

struct Slot {
    address: VendorAddress,
    /// Whose cosignatures a newer manifest needs.
    policy: WitnessPolicy,
    held: RwLock<Option<Held>>,
    /// When it was last seen to be the vendor's newest, in seconds since 1970; 0 where that is not known. On disk too: a vendor that
    /// waits for a restart must not be able to take back what was good before.
    seen: AtomicU64,
    /// Serialises refreshes, so that what is in memory is what is on disk.
    refreshing: tokio::sync::Mutex<()>,
}

/// What is held of a vendor.
#[derive(Clone)]
struct Held {
    manifest: Arc<Manifest>,
    /// That the vendor's ledger has it, by the newest checkpoint that was seen with it; satisfies the policy.
    proof: Option<Arc<LogProof>>,
}

impl Held {
    /// The proof among these files that holds for the manifest, if there is one.
    fn read(manifest: Manifest, proof: Option<Vec<u8>>, policy: &WitnessPolicy) -> Self {
        let proof = proof.and_then(|text| LogProof::parse(&text).ok());
        let proven = ProvenManifest::new(manifest, proof);
        let proof = proven.verify(policy).is_ok().then(|| proven.proof().cloned()).flatten();
        Self { manifest: Arc::new(proven.into_manifest()), proof: proof.map(Arc::new) }
    }
}

/// The manifests of all accepted vendors.
pub struct Manifests {
    directory: PathBuf,
    slots: BTreeMap<VendorId, Slot>,
    wanted: Notify,
}

impl Manifests {
    /// Reads what is stored in `directory`, which is created where there is none.
    ///
    /// # Errors
    /// [`ManifestsError`].
    pub fn open<'a>(
        directory: &Path,
        vendors: impl IntoIterator<Item = &'a VendorAddress>,
    ) -> Result<Self, ManifestsError> {
        create_private_dir(directory)?;
        let mut slots = BTreeMap::new();
        for address in vendors {
            let newest = versions(directory, &address.id)?.pop();
            let manifest = newest
                .map(|version| read(&path_of(directory, &address.id, version), &address.id))
                .transpose()?;
            let proof = read_file(&proof_of(directory, &address.id))?;
            let policy = WitnessPolicy::none();
            let held = manifest.map(|manifest| Held::read(manifest, proof, &policy));
            let slot = Slot {
                address: address.clone(),
                policy,
                held: RwLock::new(held),
                seen: AtomicU64::new(read_seen(directory, &address.id)?),
                refreshing: tokio::sync::Mutex::default(),
            };
            slots.insert(address.id, slot);
        }
        Ok(Self { directory: directory.to_owned(), slots, wanted: Notify::new() })
    }

    /// Demands that a newer manifest of this vendor is proven to be in its ledger, by a checkpoint that `policy` is content with.
    /// One that is held already stays in use.
    #[must_use]
    pub fn demanding(mut self, vendor: &VendorId, policy: WitnessPolicy) -> Self {
        if let Some(slot) = self.slots.get_mut(vendor) {
            let held = slot.held.get_mut().unwrap_or_else(PoisonError::into_inner);
            if let Some(held) = held {
                let proof = held.proof.take().map(|proof| proof.encode().into_bytes());
                *held = Held::read(held.manifest.as_ref().clone(), proof, &policy);
            }
            slot.policy = policy;
        }
        self
    }

    /// The manifest of a vendor with its proof, for whoever asks (`GET /v1/manifests/{vendor_id}`); `None` as for
    /// [`Manifests::held`].
    pub fn proven(&self, vendor: &VendorId) -> Option<ProvenManifest> {
        let Held { manifest, proof } = self.slots.get(vendor)?.read()?;
        let proof = proof.map(|proof| proof.as_ref().clone());
        Some(ProvenManifest::new(manifest.as_ref().clone(), proof))
    }

    /// The manifest of a vendor; `None` where the vendor is not accepted, or none could be fetched yet.
    pub fn held(&self, vendor: &VendorId) -> Option<Arc<Manifest>> {
        Some(self.slots.get(vendor)?.read()?.manifest)
    }

    /// Every manifest of `vendor` that was ever held, and every one that contradicts one of these, by their versions: all that the
    /// vendor's root key is known to have signed. Read from the disk.
    ///
    /// # Errors
    /// [`ManifestsError`].
    pub fn kept(&self, vendor: &VendorId) -> Result<Vec<Manifest>, ManifestsError> {
        let versions = versions(&self.directory, vendor)?;
        let paths = versions.into_iter().map(|version| path_of(&self.directory, vendor, version));
        let paths = paths.chain(equivocation::paths(&self.directory, vendor)?);
        let mut kept: Vec<Manifest> = Vec::new();
        for path in paths {
            let manifest = read(&path, vendor)?;
            if kept.iter().all(|other| other.digest() != manifest.digest()) {
                kept.push(manifest);
            }
        }
        kept.sort_by_key(Manifest::version);
        Ok(kept)
    }

    /// The digests of all manifests that contradict each other: two of one version, or a newer one that breaks what an
    /// older one promised. The manifests themselves lie in the directory.
    ///
    /// # Errors
    /// [`ManifestsError::Read`].
    pub fn equivocations(&self, vendor: &VendorId) -> Result<Vec<ManifestDigest>, ManifestsError> {
        equivocation::stored(&self.directory, vendor)
    }

    /// Asks for a refresh soon, because somebody paid with a key that is not in the manifest.
    pub fn want_refresh(&self) {
        self.wanted.notify_one();
    }

    /// Returns when [`Manifests::want_refresh`] was called.
    pub async fn refresh_wanted(&self) {
        self.wanted.notified().await;
    }

    /// Asks a vendor for its manifest at `now`, and keeps it if it is newer.
    ///
    /// # Errors
    /// [`RefreshError`]: the manifest that is held stays in use.
    pub async fn refresh(
        &self,
        vendor: &VendorId,
        link: &dyn VendorLink,
        now: UnixSeconds,
    ) -> Result<Refreshed, RefreshError> {
        let slot = self.slots.get(vendor).ok_or(RefreshError::UnknownVendor)?;
        let _guard = slot.refreshing.lock().await;
        let bytes = link.manifest(&slot.address).await?;
        let proven = ProvenManifest::open(&bytes, vendor)?;
        let checked = proven.verify(&slot.policy);
        let proof = checked.is_ok().then(|| proven.proof().cloned()).flatten();
        let offered = proven.into_manifest();
        let held = slot.read();
        if let Some(held) = held.as_ref().map(|held| &held.manifest) {
            if offered.digest() == held.digest() {
                self.saw(slot, now)?;
                self.keep_proof(slot, held, proof)?;
                return Ok(Refreshed::Unchanged);
            }
            if offered.version() == held.version() {
                equivocation::keep(&self.directory, &offered, held)?;
                return Err(RefreshError::Equivocation {
                    version: held.version(),
                    held: held.digest(),
                    offered: offered.digest(),
                });
            }
            if offered.version() < held.version() {
                let (held, offered) = (held.version(), offered.version());
                return Err(RefreshError::Older { held, offered });
            }
            let held_at = slot.seen_by(now);
            if let Err(rule) = offered.may_follow(held, held_at) {
                equivocation::keep(&self.directory, &offered, held)?;
                let (held, offered) = (held.version(), offered.version());
                return Err(RefreshError::Broken { held, offered, rule });
            }
        }
        let version = offered.version();
        if let Err(reason) = checked {
            if slot.policy.quorum() > 0 {
                return Err(RefreshError::Unproven { offered: version, reason });
            }
            tracing::debug!(%vendor, version, %reason, "a manifest is taken without its proof");
        }
        // On disk first: after a crash an older version must not be what is held. A proof of another version is none.
        replace_atomically(&path_of(&self.directory, vendor, version), offered.bytes())?;
        if held.is_some_and(|held| held.manifest.receipt_keys() != offered.receipt_keys()) {
            let (key, since) = newest_receipt_key(&offered);
            tracing::warn!(%vendor, version, %key, since, "the vendor changed its receipt key, and the key before endorses the new one; ask the vendor whether it was its doing");
        }
        let held = Held { manifest: Arc::new(offered), proof: None };
        slot.set(held.clone());
        self.saw(slot, now)?;
        self.keep_proof(slot, &held.manifest, proof)?;
        Ok(Refreshed::Updated { version })
    }

    /// A time that has come, as all of a quorum of at least two witnesses say in the newest proof: one alone must not be able to
    /// bring the believed time forward together with a wrong clock here.
    pub fn vouched(&self, vendor: &VendorId) -> Option<UnixSeconds> {
        let slot = self.slots.get(vendor)?;
        let quorum = slot.policy.quorum();
        let proof = slot.read()?.proof.filter(|_| quorum > 1)?;
        let mut times: Vec<UnixSeconds> =
            slot.policy.check(&proof.checkpoint).ok()?.into_iter().map(|(_, time)| time).collect();
        times.sort_unstable();
        times.into_iter().rev().nth(quorum - 1)
    }

    /// The day on which the version that is held was last seen to be the vendor's newest, if that is known.
    pub fn seen_on(&self, vendor: &VendorId, now: UnixSeconds) -> Option<Day> {
        let seen = self.slots.get(vendor)?.seen_by(now);
        (seen.0 > 0).then(|| seen.day())
    }

    /// Whether a manifest of this version was refused because it contradicts one that is held, and is kept as evidence.
    ///
    /// # Errors
    /// [`ManifestsError::Read`].
    pub fn has_refused(&self, vendor: &VendorId, version: u64) -> Result<bool, ManifestsError> {
        let held = self.held(vendor).is_some_and(|held| held.version() == version);
        Ok(!held && equivocation::has_version(&self.directory, vendor, version)?)
    }

    /// Notes that what is held is the vendor's newest now; on disk, at most once an hour.
    fn saw(&self, slot: &Slot, now: UnixSeconds) -> Result<(), FileError> {
        let before = slot.seen_by(now);
        if now <= before {
            return Ok(());
        }
        slot.seen.store(now.0, Ordering::Relaxed);
        if before.0 / SEEN_EVERY == now.0 / SEEN_EVERY {
            return Ok(());
        }
        let path = seen_of(&self.directory, &slot.address.id);
        replace_atomically(&path, now.0.to_string().as_bytes())
    }

    /// Keeps a proof that holds for the manifest that is held.
    fn keep_proof(
        &self,
        slot: &Slot,
        manifest: &Arc<Manifest>,
        proof: Option<LogProof>,
    ) -> Result<(), FileError> {
        let Some(proof) = proof else { return Ok(()) };
        let path = proof_of(&self.directory, &manifest.vendor_id());
        replace_atomically(&path, proof.encode().as_bytes())?;
        slot.set(Held { manifest: manifest.clone(), proof: Some(Arc::new(proof)) });
        Ok(())
    }
}

impl Slot {
    fn read(&self) -> Option<Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was noted by a clock that was far ahead counts for nothing: it would refuse every change for ever.
    fn seen_by(&self, now: UnixSeconds) -> UnixSeconds {
        let seen = UnixSeconds(self.seen.load(Ordering::Relaxed));
        if seen > now.plus(SECONDS_PER_DAY) { UnixSeconds(0) } else { seen }
    }

    fn set(&self, held: Held) {
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Some(held);
    }
}

fn newest_receipt_key(manifest: &Manifest) -> (PublicKey, u64) {
    let newest = manifest.receipt_keys().newest();
    (newest.key, newest.since_version)
}

/// The text of the proof that came with the manifest, or, after a crash, with the one before.
fn proof_of(directory: &Path, vendor: &VendorId) -> PathBuf {
    directory.join(format!("{vendor}.proof"))
}

fn seen_of(directory: &Path, vendor: &VendorId) -> PathBuf {
    directory.join(format!("{vendor}.seen"))
}

/// When the held version was last noted to be the newest; 0 where nothing is noted.
fn read_seen(directory: &Path, vendor: &VendorId) -> Result<u64, ManifestsError> {
    let text = read_file(&seen_of(directory, vendor))?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&text).parse().unwrap_or(0))
}

fn read_file(path: &Path) -> Result<Option<Vec<u8>>, ManifestsError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ManifestsError::Read { path: path.into(), source }),
    }
}

fn path_of(directory: &Path, vendor: &VendorId, version: u64) -> PathBuf {
    directory.join(format!("{vendor}.{version}{SUFFIX}"))
}

/// The versions that were held of a vendor, ascending.
fn versions(directory: &Path, vendor: &VendorId) -> Result<Vec<u64>, ManifestsError> {
    let failed = |source| ManifestsError::Read { path: directory.into(), source };
    let prefix = format!("{vendor}.");
    let mut versions: Vec<u64> = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let version: Option<u64> = name
            .to_str()
            .and_then(|name| name.strip_prefix(&prefix)?.strip_suffix(SUFFIX)?.parse().ok());
        versions.extend(version);
    }
    versions.sort_unstable();
    Ok(versions)
}

fn read(path: &Path, vendor: &VendorId) -> Result<Manifest, ManifestsError> {
    let bytes =
        std::fs::read(path).map_err(|source| ManifestsError::Read { path: path.into(), source })?;
    Manifest::open(&bytes, vendor)
        .map_err(|source| ManifestsError::Damaged { path: path.into(), source })
}
