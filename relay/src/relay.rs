//! The running relay: leases, chunks and payments together.

use std::{sync::Arc, time::Duration};

use rand_core::{CryptoRng, RngCore};
use scrip_protocol::{
    address::RelayAddress,
    id::OperatorId,
    keys::{PublicKey, SigningKey},
    time::UnixSeconds,
};
use scrip_runtime::{
    client::{ClientOptions, HttpClient},
    clock::SharedClock,
    files::create_private_dir,
    passphrase::Passphrase,
    random::RngFactory,
    sealed::SealParams,
    serve::{Bound, ServeError, bind},
    steps::Steps,
    tasks::Life,
};
use scrip_verifier::{
    Environment, Redeemer, Verifier, VerifierConfig,
    link::HttpLink,
    redeemer::Redeemed,
    spent::{SpentStore, SqliteStore, StoreError as SpentError},
    verifier::{self, Recovered},
};
use tokio::sync::Notify;

use crate::{
    background,
    chunk_files::ChunkFiles,
    collector::{CollectError, DAYS_ASIDE, Found},
    config::{ClientConfig, Config, VendorConfig},
    core::Core,
    error::{InitError, StartError},
    http::{self, Shared},
    identity, inventory,
    lock::DirectoryLock,
    moment::{self, Difference},
    store::{Capacity, Store},
    uploads::Uploads,
};

/// The name of the database in the data directory.
pub(crate) const DATABASE: &str = "relay.db";
/// The name of the directory of chunks in the data directory.
const CHUNKS: &str = "chunks";
/// How long a request waits for another one that carries the same payment.
const PATIENCE: Duration = Duration::from_secs(20);

/// What `init` needs to know.
pub struct InitOptions {
    /// The configuration.
    pub config: Config,
    /// What deriving the sealing key from the passphrase costs.
    pub seal_params: SealParams,
}

/// What `init` made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initialised {
    /// The operator's key, which the vendor has to know.
    pub operator_key: PublicKey,
    /// Where clients find the relay.
    pub address: RelayAddress,
}

/// An operator's server, in this process. Clones are the same relay.
#[derive(Clone)]
pub struct Relay(Arc<Inner>);

struct Inner {
    config: Config,
    core: Arc<Core>,
    spent: Arc<SqliteStore>,
    verifier: Arc<Verifier>,
    redeemer: Redeemer<Core>,
    /// Held as long as the relay is.
    _lock: DirectoryLock,
}

impl Relay {
    /// Makes a relay in the configured directory: its key and its databases. Where that was interrupted, it is finished
    /// with what is there.
    ///
    /// # Errors
    /// [`InitError`]; a key that is there already is left as it is.
    pub async fn init(
        options: &InitOptions,
        passphrase: &Passphrase,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<Initialised, InitError> {
        let InitOptions { config, seal_params } = options;
        config.check()?;
        let directory = &config.data_dir;
        create_private_dir(directory)?;
        let _lock = DirectoryLock::acquire(directory)?;
        inventory::begin(directory)?;
        Store::open(&directory.join(DATABASE), true).await?.close().await;
        let spent = SqliteStore::open(&directory.join(verifier::DATABASE)).await?;
        spent.close().await;
        let operator_key = identity::create_or_keep(directory, passphrase, *seal_params, rng)?;
        inventory::finish(directory)?;
        let address = address_of(&operator_key, config.authority());
        Ok(Initialised { operator_key, address })
    }

    /// Opens what [`Relay::init`] made, and settles what the last run left unfinished.
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
        config.check()?;
        let link = Arc::new(HttpLink::new(client(&config.client)?));
        Self::open_with(config, passphrase, Environment { clock, rng, steps, link }).await
    }

    /// The same with another way to the vendors.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn open_with(
        config: Config,
        passphrase: Passphrase,
        environment: Environment,
    ) -> Result<Self, StartError> {
        config.check()?;
        let lock = DirectoryLock::acquire(&config.data_dir)?;
        inventory::check_complete(&config.data_dir)?;
        let operator = unseal(&config, passphrase).await?;
        let core = Arc::new(open_core(&config, operator, &environment).await?);
        let spent = Arc::new(SqliteStore::open(&config.data_dir.join(verifier::DATABASE)).await?);
        moment::check(&core.store, &spent, core.now()).await?;
        let found = core.reconcile().await?;
        if found != Found::default() {
            tracing::warn!(
                found.orphans,
                found.returned,
                found.lost,
                "the chunks on the disk were put in order; orphans are kept in `chunks/aside` for {DAYS_ASIDE} days"
            );
        }
        let verifier_config = VerifierConfig {
            operator_key: Arc::clone(&core.operator),
            vendors: config.vendors.iter().map(VendorConfig::policy).collect::<Result<_, _>>()?,
            data_dir: config.data_dir.clone(),
            patience: PATIENCE,
        };
        let store: Arc<dyn SpentStore> = Arc::<SqliteStore>::clone(&spent);
        let verifier =
            Verifier::with_clock(verifier_config, environment, store, Arc::clone(&core.believed))?;
        let recovered = verifier.recover(&*core).await?;
        if recovered != Recovered::default() {
            tracing::info!(?recovered, "the payments of the last run are settled");
        }
        let schedule = config.redemption.schedule();
        let redeemer = Redeemer::new(Arc::clone(&verifier), Arc::clone(&core), schedule);
        Ok(Self(Arc::new(Inner { config, core, spent, verifier, redeemer, _lock: lock })))
    }

    /// Goes on without what one of the two databases has lost, where they are not of one moment. Says what that is.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn accept_loss(config: &Config, now: UnixSeconds) -> Result<Difference, StartError> {
        config.check()?;
        let _lock = DirectoryLock::acquire(&config.data_dir)?;
        inventory::check_complete(&config.data_dir)?;
        let store = Store::open(&config.data_dir.join(DATABASE), false).await?;
        let spent = SqliteStore::open(&config.data_dir.join(verifier::DATABASE)).await?;
        let accepted = moment::accept(&store, &spent, now).await;
        spent.close().await;
        store.close().await;
        Ok(accepted?)
    }

    /// The operator's public key.
    pub fn operator_key(&self) -> PublicKey {
        self.0.core.operator.public()
    }

    /// The operator's id.
    pub fn operator_id(&self) -> OperatorId {
        self.0.core.operator_id
    }

    /// The relay's address, where clients reach it at `authority`, a `host[:port]`.
    pub fn address(&self, authority: impl Into<String>) -> RelayAddress {
        address_of(&self.operator_key(), authority.into())
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.0.core.store
    }

    /// What takes the payments.
    pub fn verifier(&self) -> &Arc<Verifier> {
        &self.0.verifier
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.0.core
    }

    pub(crate) fn redeemer(&self) -> &Redeemer<Core> {
        &self.0.redeemer
    }

    pub(crate) fn spent_writers_life(&self) -> Life {
        self.0.spent.writers_life()
    }

    /// All routes of this relay.
    pub fn router(&self) -> axum::Router {
        http::router(Shared {
            core: Arc::clone(&self.0.core),
            verifier: Arc::clone(&self.0.verifier),
            name: self.0.config.name.as_str().into(),
        })
    }

    /// Starts to listen as configured.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn bind(&self) -> Result<Bound, ServeError> {
        bind(&self.0.config.listen()).await
    }

    /// Serves on `bound`, redeems, collects and keeps the manifests fresh until `shutdown` resolves.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn serve(
        &self,
        bound: Bound,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let tasks = background::start(self);
        let served = tasks.serve(bound, self.router(), self.0.config.limits(), shutdown).await;
        // So that a restart is no downtime. What is not remembered is made up for.
        if let Err(error) = self.0.verifier.tend_clock().await {
            tracing::warn!(%error, "the time is not remembered");
        }
        served
    }

    /// Asks every vendor for its manifest once; what goes wrong is logged.
    pub async fn refresh_manifests(&self) {
        self.0.verifier.refresh_manifests().await;
    }

    /// Whether a manifest of every vendor is held.
    pub fn holds_all_manifests(&self) -> bool {
        self.0.verifier.vendors().iter().all(|vendor| vendor.manifest.is_some())
    }

    /// Redeems everything that can be redeemed, in one attempt, and reacts to double spends.
    ///
    /// # Errors
    /// [`SpentError`]. That a vendor does not answer is no error.
    pub async fn redeem_now(&self) -> Result<Redeemed, SpentError> {
        self.0.redeemer.redeem_now().await
    }

    /// Takes away what has ended, now.
    ///
    /// # Errors
    /// [`CollectError`]; the next collection goes on.
    pub async fn collect_now(&self) -> Result<(), CollectError> {
        self.0.core.collect().await
    }

    /// Waits until everything is written and the databases are closed. Serve nothing after this.
    pub async fn close(&self) {
        self.0.spent.close().await;
        self.0.core.store.close().await;
    }
}

fn address_of(operator_key: &PublicKey, authority: String) -> RelayAddress {
    RelayAddress { id: OperatorId::of(operator_key), authority }
}

/// Away from the threads of the runtime: deriving the sealing key takes a good part of a second.
async fn unseal(config: &Config, passphrase: Passphrase) -> Result<SigningKey, StartError> {
    let directory = config.data_dir.clone();
    let work = move || identity::unseal(&directory, &passphrase);
    let unsealed = tokio::task::spawn_blocking(work).await;
    Ok(unsealed.map_err(|_| StartError::Interrupted)??)
}

async fn open_core(
    config: &Config,
    operator: SigningKey,
    environment: &Environment,
) -> Result<Core, StartError> {
    let Environment { clock, rng, steps, .. } = environment.clone();
    let capacity = Capacity { queues: config.storage.queues, chunk_bytes: config.storage.chunks.0 };
    Ok(Core {
        operator_id: OperatorId::of(&operator.public()),
        operator: Arc::new(operator),
        prices: config.prices.list(),
        max_days: config.max_days,
        capacity,
        store: Store::open(&config.data_dir.join(DATABASE), false).await?,
        files: ChunkFiles::open(&config.data_dir.join(CHUNKS))?,
        uploads: Uploads::default(),
        believed: verifier::open_clock(&config.data_dir, &clock)
            .map_err(verifier::OpenError::from)?,
        clock,
        steps,
        rng,
        ended: Notify::new(),
    })
}

pub(crate) fn client(config: &ClientConfig) -> Result<HttpClient, StartError> {
    let extra_roots = config.extra_roots.as_ref().map(std::fs::read).transpose();
    Ok(HttpClient::new(ClientOptions {
        proxy: config.proxy.clone(),
        extra_roots_pem: extra_roots.map_err(StartError::ExtraRoots)?,
        timeout: config.timeout.duration(),
    })?)
}
