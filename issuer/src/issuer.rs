//! The running issuer: everything that its use cases need.

use std::{collections::BTreeMap, sync::Arc};

use rand_core::{CryptoRng, RngCore};
use scrip_protocol::{
    address::VendorAddress,
    id::{KeyId, VendorId},
    keys::SigningKey,
    manifest::Manifest,
    time::UnixSeconds,
};
use scrip_runtime::{
    clock::{Clock, SharedClock},
    passphrase::Passphrase,
    random::RngFactory,
    serve::{Bound, ServeError, bind},
    steps::Steps,
};
use tokio::sync::Semaphore;

use crate::{
    config::Config,
    error::{InitError, StartError},
    http,
    init::{self, InitOptions},
    keys::{KeyRing, SealedRing},
    signer::{Signer, raw},
    store::Store,
};

/// A vendor's server, in this process. Clones are the same issuer.
#[derive(Clone)]
pub struct Issuer {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) receipt_key: SigningKey,
    pub(crate) keys: BTreeMap<KeyId, Arc<raw::PrivateKey>>,
    pub(crate) signer: Signer,
    /// As many checks of redemption batches as there are signing threads; more wait.
    pub(crate) checks: Semaphore,
    pub(crate) clock: SharedClock,
    pub(crate) steps: Steps,
    pub(crate) rng: RngFactory,
}

impl Issuer {
    /// Makes a vendor in the configured database and returns its address. See [`init::init`].
    ///
    /// # Errors
    /// [`InitError`].
    pub async fn init(
        options: &InitOptions,
        passphrase: &Passphrase,
        clock: &dyn Clock,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<VendorAddress, InitError> {
        init::init(options, passphrase, clock.now(), rng).await
    }

    /// Opens the database and the keys in it, and starts the signer.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn open(
        config: Config,
        passphrase: Passphrase,
        clock: SharedClock,
        steps: Steps,
        rng: RngFactory,
    ) -> Result<Self, StartError> {
        let store = Store::open(&config.database, config.database_connections, false).await?;
        let sealed = SealedRing::read(&store).await?;
        // Deriving the sealing key takes a good part of a second.
        let opened = tokio::task::spawn_blocking(move || sealed.open(&passphrase));
        let ring = opened.await.map_err(|_| StartError::Interrupted)??;
        check_products(&config, &ring.manifest)?;
        warn_of_expiry(&ring.manifest, clock.now());
        let KeyRing { manifest, receipt, denominations } = ring;
        let threads = config.signer.thread_count();
        let signer = Signer::start(threads, config.signer.queue).map_err(StartError::Threads)?;
        let inner = Inner {
            config,
            store,
            manifest: Arc::new(manifest),
            receipt_key: receipt,
            keys: denominations,
            signer,
            checks: Semaphore::new(threads.get()),
            clock,
            steps,
            rng,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The vendor's id.
    pub fn vendor_id(&self) -> VendorId {
        self.inner.manifest.vendor_id()
    }

    /// The vendor's address as configured.
    pub fn address(&self) -> VendorAddress {
        VendorAddress { id: self.vendor_id(), authority: self.inner.config.authority() }
    }

    /// The signed manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.inner.manifest
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The signer, for benches.
    pub fn signer(&self) -> &Signer {
        &self.inner.signer
    }

    /// The private key with this id, for benches.
    pub fn private_key(&self, id: &KeyId) -> Option<&Arc<raw::PrivateKey>> {
        self.inner.keys.get(id)
    }

    /// All routes of this issuer.
    pub fn router(&self) -> axum::Router {
        http::router(self.clone())
    }

    /// Starts to listen as configured.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn bind(&self) -> Result<Bound, ServeError> {
        bind(&self.inner.config.listen()).await
    }

    /// Serves on `bound` until `shutdown` resolves.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn serve(
        &self,
        bound: Bound,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        bound.serve(self.router(), self.inner.config.limits(), shutdown).await
    }
}

/// A pack that no key can sign would be sold and never delivered.
fn check_products(config: &Config, manifest: &Manifest) -> Result<(), StartError> {
    for (name, product) in &config.products {
        let unsigned = product
            .pack
            .entries()
            .map(|(exponent, _)| exponent)
            .find(|exponent| manifest.keys().all(|key| key.exponent() != *exponent));
        if let Some(exponent) = unsigned {
            return Err(StartError::ProductWithoutKey { product: name.clone(), exponent });
        }
    }
    Ok(())
}

fn warn_of_expiry(manifest: &Manifest, now: UnixSeconds) {
    const NOTICE: u64 = 14 * 86_400;
    if manifest.issuing_at(now).next().is_none() {
        tracing::warn!("no key issues now: redemptions are accepted, purchases are refused");
    } else if manifest.issuing_at(now.plus(NOTICE)).next().is_none() {
        tracing::warn!("the keys stop issuing within 14 days");
    }
}
