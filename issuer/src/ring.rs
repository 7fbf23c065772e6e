//! The keys that a running issuer works with, as one version of the manifest lists them.
//!
//! A request takes the ring once and keeps it to its end; a newer version replaces the ring as a whole, so that nobody
//! ever sees half of one.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use scrip_protocol::{
    id::{KeyId, VendorId},
    manifest::{DenominationKey, KeyUse, Manifest},
    time::UnixSeconds,
};

use scrip_runtime::plausible::Reading;

use crate::{
    error::StartError,
    issuer::Issuer,
    keys::{DENOMINATION, RECEIPT, Receipt, Vault, denomination},
    signer::raw,
    store::{SealedKey, Store},
};

/// A manifest and the private keys of it that can still be asked for a signature.
pub(crate) struct Ring {
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) receipt: Receipt,
    private: BTreeMap<KeyId, Arc<raw::PrivateKey>>,
}

impl Ring {
    /// The latest manifest in `store`, with its keys opened away from the async runtime. Those that `held` has are not
    /// opened again.
    pub(crate) async fn read(
        store: &Store,
        vault: &Arc<Vault>,
        held: Option<Arc<Self>>,
        now: Reading,
    ) -> Result<Self, StartError> {
        let sealed = SealedRing::read(store).await?;
        let vault = vault.clone();
        let opened = tokio::task::spawn_blocking(move || sealed.open(&vault, held.as_deref(), now));
        opened.await.map_err(|_| StartError::Interrupted)?
    }

    /// The private key with this id, if it can still be asked for a signature.
    pub(crate) fn private(&self, id: &KeyId) -> Option<&Arc<raw::PrivateKey>> {
        self.private.get(id)
    }

    /// Whether the vendor signs with this key at `now` (keys.md, "The schedule").
    pub(crate) fn signs(&self, id: &KeyId, now: UnixSeconds) -> bool {
        self.manifest.key(id).is_some_and(|key| key.windows().signs_at(now))
    }

    /// The production key that a request of RFC 9578 means by the last byte of its id. Where two epochs are asked for at a time,
    /// around the end of one, that is the one that issues.
    pub(crate) fn truncated(&self, last_byte: u8, now: UnixSeconds) -> Option<&DenominationKey> {
        let ends_so = |key: &&DenominationKey| key.id().as_bytes().last() == Some(&last_byte);
        let issuing = self.manifest.issuing_at(KeyUse::Production, now).find(ends_so);
        issuing.or_else(|| {
            let production = |key: &&DenominationKey| key.key_use() == KeyUse::Production;
            let signs = |key: &&DenominationKey| key.windows().signs_at(now);
            self.manifest.keys().filter(production).filter(signs).find(ends_so)
        })
    }
}

/// What the database holds of a ring, still sealed.
struct SealedRing {
    vendor_id: VendorId,
    manifest: Vec<u8>,
    receipt: Vec<SealedKey>,
    denominations: Vec<SealedKey>,
}

impl SealedRing {
    /// The manifest first: a version that is published meanwhile only adds keys.
    async fn read(store: &Store) -> Result<Self, StartError> {
        let (vendor_id, manifest) = store.manifest().await?;
        Ok(Self {
            vendor_id,
            manifest,
            receipt: store.sealed_keys(RECEIPT).await?,
            denominations: store.sealed_keys(DENOMINATION).await?,
        })
    }

    /// Opens the keys and checks that they are the manifest's.
    fn open(self, vault: &Vault, held: Option<&Ring>, now: Reading) -> Result<Ring, StartError> {
        let manifest = Manifest::open(&self.manifest, &self.vendor_id)?;
        let receipt = Receipt::open(vault, &self.receipt, &manifest)?;
        let mut private = BTreeMap::new();
        // A clock that is ahead is set right again some time: what will sign then is opened now.
        for key in manifest.keys().filter(|key| may_sign_from(key, now.earlier())) {
            let id = key.id();
            let open = match held.and_then(|held| held.private(&id)) {
                Some(open) => open.clone(),
                None => match self.open_denomination(vault, key) {
                    Ok(open) => Arc::new(open),
                    // For a clock that is behind: this one was deleted when it was past by the believed time.
                    Err(StartError::KeyMissing { .. }) if !may_sign_from(key, now.believed) => {
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            private.insert(id, open);
        }
        Ok(Ring { manifest: Arc::new(manifest), receipt, private })
    }

    fn open_denomination(
        &self,
        vault: &Vault,
        key: &DenominationKey,
    ) -> Result<raw::PrivateKey, StartError> {
        let name = denomination(key.epoch(), key.exponent());
        let sealed = self.denominations.iter().find(|sealed| sealed.name == name);
        match sealed.map(|sealed| vault.open_rsa(sealed)).transpose()? {
            Some((id, private)) if id == key.id() => Ok(private),
            Some(_) | None => Err(StartError::KeyMissing { name }),
        }
    }
}

/// Whether there is a moment from `now` on at which the vendor signs with this key.
fn may_sign_from(key: &DenominationKey, now: UnixSeconds) -> bool {
    key.windows().signs_at(now.max(key.windows().issue_from))
}

/// The ring that is in use.
pub(crate) struct CurrentRing {
    ring: RwLock<Arc<Ring>>,
    /// So that many requests that miss a key read the database once.
    reading: tokio::sync::Mutex<()>,
}

impl CurrentRing {
    pub(crate) fn new(ring: Ring) -> Self {
        Self { ring: RwLock::new(Arc::new(ring)), reading: tokio::sync::Mutex::default() }
    }

    fn held(&self) -> Arc<Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, ring: Ring) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
    }
}

impl Issuer {
    /// The keys and the manifest of this moment.
    pub(crate) fn ring(&self) -> Arc<Ring> {
        self.inner.ring.held()
    }

    /// The ring that is in use if it `knows` what a request names, and otherwise the newest: another process may have
    /// published it a moment ago.
    pub(crate) async fn ring_that(&self, knows: impl Fn(&Ring) -> bool + Send) -> Arc<Ring> {
        let ring = self.ring();
        if knows(&ring) {
            return ring;
        }
        self.newest_ring().await
    }

    /// The newest ring; the one that is in use where the database gives no answer.
    pub(crate) async fn newest_ring(&self) -> Arc<Ring> {
        if let Err(error) = self.reload().await {
            tracing::error!(%error, "no newer manifest was read; the held one stays in use");
        }
        self.ring()
    }

    /// Takes over the newest version of the manifest, which any process on the same database may have published. Returns
    /// whether there was one.
    ///
    /// # Errors
    /// [`StartError`]: the ring that is in use stays.
    pub async fn reload(&self) -> Result<bool, StartError> {
        let current = &self.inner.ring;
        let latest = self.inner.store.manifest_version().await?;
        if latest <= current.held().manifest.version() {
            return Ok(false);
        }
        let _reading = current.reading.lock().await;
        let held = current.held();
        if latest <= held.manifest.version() {
            return Ok(false);
        }
        let now = self.inner.believed.read();
        let ring = Ring::read(&self.inner.store, &self.inner.vault, Some(held), now).await?;
        tracing::info!(version = ring.manifest.version(), "using a new manifest");
        current.replace(ring);
        Ok(true)
    }
}
