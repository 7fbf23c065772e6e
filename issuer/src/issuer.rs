//! The running issuer: everything that its use cases need.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use rand_core::{CryptoRng, RngCore};
use scrip_protocol::{
    address::VendorAddress,
    id::{KeyId, VendorId},
    manifest::Manifest,
    time::UnixSeconds,
};
use scrip_runtime::{
    clock::{Clock, SharedClock},
    passphrase::Passphrase,
    plausible::PlausibleClock,
    random::RngFactory,
    serve::{Bound, ServeError, bind},
    steps::Steps,
};
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    admin::Attempts,
    background, believed,
    config::Config,
    epochs::check_length,
    error::{InitError, StartError},
    http,
    init::{self, InitOptions},
    keys::Vault,
    ledger::{self, Ledger, LedgerError, Storage, Witnesses},
    listing::Waiting,
    purchases::Rechecked,
    ring::{CurrentRing, Ring},
    signer::{Signer, raw},
    sources::{Failing, Sources},
    store::{Backend, Doubt, Store, StoreError},
};

/// How long the last work of a server may take that stops.
const ENDING: Duration = Duration::from_secs(5);

/// A vendor's server, in this process. Clones are the same issuer.
#[derive(Clone)]
pub struct Issuer {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) vendor_id: VendorId,
    pub(crate) vault: Arc<Vault>,
    pub(crate) ring: CurrentRing,
    pub(crate) signer: Signer,
    /// As many checks of redemption batches as there are signing threads; more wait.
    pub(crate) checks: Semaphore,
    /// Failed attempts to log in to the admin page.
    pub(crate) attempts: Attempts,
    pub(crate) clock: SharedClock,
    /// For what cannot be undone.
    pub(crate) believed: PlausibleClock,
    pub(crate) sources: Sources,
    pub(crate) failing: Failing,
    pub(crate) rechecked: Rechecked,
    /// Whether what is configured was published.
    pub(crate) listed: AtomicBool,
    /// Products that no key of this epoch signs.
    pub(crate) waiting: Waiting,
    pub(crate) ledger: Ledger,
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
        Self::open_with(config, passphrase, clock, steps, rng, |_, _| {}).await
    }

    /// The same, with other sources besides those of the configuration, or instead of them.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn open_with(
        config: Config,
        passphrase: Passphrase,
        clock: SharedClock,
        steps: Steps,
        rng: RngFactory,
        more: impl FnOnce(&mut Sources, VendorId) + Send,
    ) -> Result<Self, StartError> {
        let store = Store::open(&config.database, config.database_connections, false).await?;
        store.check_integrity().await?;
        let writer = writer(store.backend(), &rng);
        let store = store.remembering(writer);
        if let Some(memory) = store.memory() {
            // Nothing is marked in a database that was not compared.
            memory.set_doubt(Some(Doubt::Unread));
        }
        let vault = Arc::new(Vault::of(&store, passphrase).await?);
        let believed = believed::of(&store, &clock).await?;
        let ring = Ring::read(&store, &vault, None, believed.read()).await?;
        check_length(&config.epoch)?;
        let witnesses = Witnesses::new(&config.ledger.witnesses)?;
        let storage = Storage::open(&config.ledger, ledger::beside(&config.database).as_deref())?;
        begin_ledger(&store, &ring.manifest, believed.earlier(), &rng).await?;
        let threads = config.signer.thread_count();
        let signer = Signer::start(threads, config.signer.queue).map_err(StartError::Threads)?;
        let vendor_id = ring.manifest.vendor_id();
        let mut sources = Sources::new(&config.sources, vendor_id, &store, &clock)?;
        sources.add_own(&store);
        more(&mut sources, vendor_id);
        check_sources(&config, &sources)?;
        let inner = Inner {
            config,
            store,
            vendor_id,
            vault,
            ring: CurrentRing::new(ring),
            signer,
            checks: Semaphore::new(threads.get()),
            attempts: Attempts::default(),
            clock,
            believed,
            sources,
            failing: Failing::default(),
            rechecked: Rechecked::default(),
            listed: AtomicBool::new(false),
            waiting: Waiting::default(),
            ledger: Ledger::new(storage, witnesses, &rng),
            steps,
            rng,
        };
        let issuer = Self { inner: Arc::new(inner) };
        // A database that is not to be believed takes nothing, and is read all the same.
        if let Err(error) = issuer.tend_clock().await {
            tracing::warn!(%error, "the time is not remembered");
        }
        issuer.begin().await?;
        Ok(issuer)
    }

    /// Compares the database with the ledger, and publishes what is configured. With a database that is not to be believed an issuer
    /// runs, and refuses everything but reads until there is another.
    async fn begin(&self) -> Result<(), StartError> {
        match self.compare_all().await {
            Ok(()) => {}
            Err(LedgerError::Store(error)) if !matches!(error, StoreError::Doubted(_)) => {
                return Err(error.into());
            }
            Err(error) => {
                tracing::error!(%error, "the issuer runs, and refuses everything but reads")
            }
        }
        match self.doubt() {
            None => Ok(self.list_configured().await?),
            Some(_) => Ok(()),
        }
    }

    /// The vendor's id.
    pub fn vendor_id(&self) -> VendorId {
        self.inner.vendor_id
    }

    /// The vendor's address as configured.
    pub fn address(&self) -> VendorAddress {
        VendorAddress { id: self.vendor_id(), authority: self.inner.config.authority() }
    }

    /// The signed manifest of this moment.
    pub fn manifest(&self) -> Arc<Manifest> {
        self.ring().manifest.clone()
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
    pub fn private_key(&self, id: &KeyId) -> Option<Arc<raw::PrivateKey>> {
        self.ring().private(id).cloned()
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

    /// Serves on `bound` until `shutdown` resolves. Meanwhile the keys follow their schedule.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn serve(
        &self,
        bound: Bound,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        self.inner.ledger.rounds.lock().await.stopped = false;
        let tasks = background::start(self);
        let served = tasks.serve(bound, self.router(), self.inner.config.limits(), shutdown).await;
        self.stop_integrating().await;
        // So that a restart is no downtime. What is not remembered is made up for.
        if let Err(error) = self.tend_clock().await {
            tracing::warn!(%error, "the time is not remembered");
        }
        // A database that does not answer keeps them, which costs some rows.
        if let Ok(Err(error)) = timeout(ENDING, self.end_marks()).await {
            tracing::debug!(%error, "the marks of this process stay in the database");
        }
        served
    }
}

/// Under which name this process marks what it writes.
fn writer(backend: Backend, rng: &RngFactory) -> [u8; 16] {
    let mut writer = [0; 16];
    if backend == Backend::Postgres {
        rng().fill_bytes(&mut writer);
    }
    writer
}

/// Begins the ledger where the database has none. What ended before it does not come into it.
async fn begin_ledger(
    store: &Store,
    manifest: &Manifest,
    now: UnixSeconds,
    rng: &RngFactory,
) -> Result<(), StoreError> {
    let mut secret = [0; 32];
    rng().fill_bytes(&mut secret);
    let ended = manifest.epochs().iter().filter(|epoch| epoch.windows.redeem_until <= now);
    let ended: Vec<u32> = ended.map(|epoch| epoch.number).collect();
    store.begin_ledger(&secret, &ended).await
}

/// Whether everything that the sources sell is a product.
fn check_sources(config: &Config, sources: &Sources) -> Result<(), StartError> {
    for source in sources.iter() {
        for product in source.products().into_iter().flatten() {
            if !config.products.contains_key(product) {
                let (source, product) = (source.name(), product.to_owned());
                return Err(StartError::SourceWithoutProduct { source_name: source, product });
            }
        }
    }
    Ok(())
}
