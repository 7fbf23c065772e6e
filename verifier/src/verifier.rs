//! The verifier: vendors, manifests, policy and the spent store, wired together.
//!
//! Its durable steps, by the names that [`Steps`] reports (`before`: nothing of it has happened; the other: it is durable):
//!
//! | step | names |
//! | --- | --- |
//! | reservation | `verifier.reserve.before`, `verifier.reserve.after` |
//! | batch of a payment that is redeemed first | `verifier.ask.before`, `verifier.ask.persisted` |
//! | the server's provision | `verifier.provision.before`, `verifier.provision.after` |
//! | commit | `verifier.commit.before`, `verifier.commit.after` |
//! | release, by a recovery | `verifier.release.before`, `verifier.release.after` |
//! | refusal, with the release where there is a reservation | `verifier.refuse.before`, `verifier.refuse.after` |
//! | batches of the redeemer | `redeemer.batch.before`, `redeemer.batch.persisted` |
//! | exchange with a vendor | `redeemer.batch.sending`, `redeemer.answer.received`, `redeemer.answer.recorded` |
//! | telling the server of a conflict | `redeemer.conflict.before`, `redeemer.conflict.told`, `redeemer.conflict.recorded` |
//! | a manifest | `manifests.refresh.before`, `manifests.refresh.after` |

mod handout;
mod recover;
mod status;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use scrip_protocol::{
    address::VendorAddress,
    id::{ManifestDigest, OperatorId, PaymentId, VendorId},
    keys::SigningKey,
    manifest::Manifest,
    problem::{PayableVendor, Problem},
    time::UnixSeconds,
};
use scrip_runtime::random::RngFactory;
use scrip_runtime::{
    clock::SharedClock,
    files::{FileError, create_private_dir},
    plausible::{PlausibleClock, Remembered},
    steps::Steps,
};
use serde::Serialize;
use tokio::sync::Semaphore;

pub use self::{
    recover::{RecoverError, Recovered},
    status::{Status, StatusError, VendorStatus},
};
use crate::{
    inflight::InFlight,
    link::VendorLink,
    manifests::{Manifests, ManifestsError, RefreshError, Refreshed},
    policy::VendorPolicy,
    price::Quote,
    provisions::StoredAnswer,
    redeemer::Troubles,
    spent::{SpentStore, SqliteStore, StoreError},
};

/// The name of the database in the data directory.
pub const DATABASE: &str = "spent.sqlite";
/// The name of the file in the data directory that the time is remembered in.
pub const CLOCK: &str = "clock";
/// How many payments are worked on at a time; more are answered with `overloaded`.
const PAYMENTS: usize = 1_024;
/// The name of the directory of manifests in the data directory.
pub const MANIFESTS: &str = "manifests";

/// What an operator decides.
pub struct VerifierConfig {
    /// The operator's key, which signs batches; its hash is the operator id.
    pub operator_key: Arc<SigningKey>,
    /// Whose certificates are accepted, and on which terms.
    pub vendors: Vec<VendorPolicy>,
    /// Where the spent store and the manifests lie.
    pub data_dir: PathBuf,
    /// How long a request waits for another one that carries the same payment.
    pub patience: Duration,
}

/// What the surroundings give.
#[derive(Clone)]
pub struct Environment {
    /// The time.
    pub clock: SharedClock,
    /// Randomness.
    pub rng: RngFactory,
    /// Observes durable steps.
    pub steps: Steps,
    /// The way to the vendors.
    pub link: Arc<dyn VendorLink>,
}

/// Why a verifier did not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The configuration names a vendor twice.
    #[error("the vendor {0} is configured twice; remove one of the two")]
    VendorTwice(VendorId),
    /// The data directory cannot be made.
    #[error(transparent)]
    Directory(#[from] FileError),
    /// The stored manifests cannot be used.
    #[error(transparent)]
    Manifests(#[from] ManifestsError),
    /// The spent store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes payments for one operator.
pub struct Verifier {
    pub(crate) operator_key: Arc<SigningKey>,
    operator_id: OperatorId,
    vendors: Vec<VendorPolicy>,
    pub(crate) manifests: Manifests,
    pub(crate) store: Arc<dyn SpentStore>,
    pub(crate) link: Arc<dyn VendorLink>,
    clock: SharedClock,
    believed: Arc<PlausibleClock>,
    /// Where that is remembered.
    clock_file: PathBuf,
    pub(crate) rng: RngFactory,
    pub(crate) steps: Steps,
    pub(crate) inflight: Arc<InFlight>,
    pub(crate) patience: Duration,
    /// As many payments have their signatures checked at a time as there are processors.
    pub(crate) signature_slots: Semaphore,
    /// So many payments are worked on at a time, those included whose clients have gone away.
    pub(crate) payment_slots: Arc<Semaphore>,
    pub(crate) troubles: Troubles,
}

/// An accepted vendor, and the manifest that is held of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VendorInfo {
    /// The vendor.
    pub address: VendorAddress,
    /// Version and digest; `None` as long as none could be fetched, and then nothing of it is accepted.
    pub manifest: Option<(u64, ManifestDigest)>,
    /// Whether its test certificates are taken.
    pub accept_test: bool,
}

/// The clock that goes on from what is remembered in `data_dir`.
///
/// # Errors
/// [`FileError`].
pub fn open_clock(data_dir: &Path, clock: &SharedClock) -> Result<Arc<PlausibleClock>, FileError> {
    let path = data_dir.join(CLOCK);
    let believed = PlausibleClock::new(clock.clone(), Remembered::read(&path)?);
    believed.remember_in(&path)?;
    Ok(Arc::new(believed))
}

impl Verifier {
    /// Opens the stores in the data directory. Call [`Verifier::recover`] before payments are taken.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(
        config: VerifierConfig,
        environment: Environment,
    ) -> Result<Arc<Self>, OpenError> {
        create_private_dir(&config.data_dir)?;
        let store = SqliteStore::open(&config.data_dir.join(DATABASE)).await?;
        Self::with_store(config, environment, Arc::new(store))
    }

    /// The same with another spent store.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn with_store(
        config: VerifierConfig,
        environment: Environment,
        store: Arc<dyn SpentStore>,
    ) -> Result<Arc<Self>, OpenError> {
        let believed = open_clock(&config.data_dir, &environment.clock)?;
        Self::with_clock(config, environment, store, believed)
    }

    /// The same with a clock that others go by as well, of [`open_clock`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn with_clock(
        config: VerifierConfig,
        environment: Environment,
        store: Arc<dyn SpentStore>,
        believed: Arc<PlausibleClock>,
    ) -> Result<Arc<Self>, OpenError> {
        let VerifierConfig { operator_key, vendors, data_dir, patience } = config;
        for (at, policy) in vendors.iter().enumerate() {
            if vendors[..at].iter().any(|other| other.address.id == policy.address.id) {
                return Err(OpenError::VendorTwice(policy.address.id));
            }
        }
        let addresses = vendors.iter().map(|policy| &policy.address);
        let manifests = Manifests::open(&data_dir.join(MANIFESTS), addresses)?;
        let demand = |manifests: Manifests, policy: &VendorPolicy| {
            manifests.demanding(&policy.address.id, policy.witnesses.clone())
        };
        let manifests = vendors.iter().fold(manifests, demand);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let Environment { clock, rng, steps, link } = environment;
        Ok(Arc::new(Self {
            operator_id: OperatorId::of(&operator_key.public()),
            operator_key,
            vendors,
            manifests,
            store,
            link,
            clock,
            believed,
            clock_file: data_dir.join(CLOCK),
            rng,
            steps,
            inflight: Arc::default(),
            patience,
            signature_slots: Semaphore::new(processors),
            payment_slots: Arc::new(Semaphore::new(PAYMENTS)),
            troubles: Troubles::default(),
        }))
    }

    /// The operator who is paid.
    pub fn operator_id(&self) -> OperatorId {
        self.operator_id
    }

    /// The accepted vendors, in the order of the configuration.
    pub fn vendors(&self) -> Vec<VendorInfo> {
        self.vendors
            .iter()
            .map(|policy| VendorInfo {
                address: policy.address.clone(),
                manifest: self
                    .manifests
                    .held(&policy.address.id)
                    .map(|manifest| (manifest.version(), manifest.digest())),
                accept_test: policy.accept_test,
            })
            .collect()
    }

    /// The spent store.
    pub fn store(&self) -> &dyn SpentStore {
        &*self.store
    }

    /// Asks a vendor for its manifest.
    ///
    /// # Errors
    /// [`RefreshError`]: the manifest that is held stays in use.
    pub async fn refresh_manifest(&self, vendor: &VendorId) -> Result<Refreshed, RefreshError> {
        self.steps.at("manifests.refresh.before");
        let now = self.believed.earlier();
        let refreshed = self.manifests.refresh(vendor, &*self.link, now).await;
        if let Some(vouched) = self.manifests.vouched(vendor) {
            self.believed.not_before(vouched);
        }
        self.steps.at("manifests.refresh.after");
        refreshed
    }

    /// Asks every vendor for its manifest once, and logs what goes wrong.
    pub async fn refresh_manifests(&self) {
        for policy in &self.vendors {
            let vendor = policy.address.id;
            match self.refresh_manifest(&vendor).await {
                Ok(Refreshed::Unchanged) => {}
                Ok(Refreshed::Updated { version }) => {
                    tracing::info!(%vendor, version, "holding a new manifest");
                }
                Err(error @ (RefreshError::Equivocation { .. } | RefreshError::Broken { .. })) => {
                    tracing::error!(%vendor, %error, "evidence against a vendor");
                }
                Err(error @ RefreshError::Unproven { .. }) => {
                    tracing::warn!(%vendor, %error, "the manifest was not refreshed");
                    // Witnesses have it within seconds, if the vendor shows it to them.
                    self.manifests.want_refresh();
                }
                Err(error) => tracing::warn!(%vendor, %error, "the manifest was not refreshed"),
            }
        }
    }

    /// Refreshes the manifests every `interval` (real time), and soon after somebody paid with a key that is not known,
    /// until `shutdown` is ready.
    pub async fn keep_manifests_fresh(
        &self,
        interval: Duration,
        shutdown: impl Future<Output = ()> + Send,
    ) {
        /// Whoever invents keys must not make us ask the vendor all the time.
        const PAUSE: Duration = Duration::from_secs(30);
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let pause = tokio::time::sleep(PAUSE.min(interval));
            let rest = async {
                pause.await;
                let rest = interval.saturating_sub(PAUSE);
                let _ = tokio::time::timeout(rest, self.manifests.refresh_wanted()).await;
            };
            tokio::select! {
                () = &mut shutdown => return,
                () = rest => self.refresh_manifests().await,
            }
        }
    }

    /// Waits until everything is written, and closes the stores. Nothing is lost without it; with it another verifier can
    /// open the same data directory at once.
    pub async fn close(&self) {
        self.store.close().await;
    }

    pub(crate) fn now(&self) -> UnixSeconds {
        self.clock.now()
    }

    /// The time, for what cannot be undone.
    pub fn believed(&self) -> &Arc<PlausibleClock> {
        &self.believed
    }

    /// Takes over what a person confirmed, and remembers what is believed.
    ///
    /// # Errors
    /// [`FileError`]; the time is remembered the next time.
    pub async fn tend_clock(&self) -> Result<(), FileError> {
        let (believed, path) = (Arc::clone(&self.believed), self.clock_file.clone());
        let tended = tokio::task::spawn_blocking(move || believed.remember_in(&path)).await;
        // Says where it comes into doubt. A task that did not end is the shutdown.
        self.believed.read();
        tended.unwrap_or(Ok(()))
    }

    pub(crate) fn policies(&self) -> &[VendorPolicy] {
        &self.vendors
    }

    pub(crate) fn policy(&self, vendor: &VendorId) -> Option<&VendorPolicy> {
        self.vendors.iter().find(|policy| policy.address.id == *vendor)
    }

    /// The manifests of the vendors whose certificates can be paid with now.
    pub(crate) fn accepted_manifests(&self) -> impl Iterator<Item = Arc<Manifest>> {
        self.vendors.iter().filter_map(|policy| self.manifests.held(&policy.address.id))
    }

    /// A problem with the price, whom to pay, and with whose certificates.
    pub(crate) fn with_terms(&self, mut problem: Problem, quote: Quote) -> Problem {
        problem.price = Some(quote.into());
        problem.operator_id = Some(self.operator_id);
        problem.vendors = self
            .vendors
            .iter()
            .filter(|policy| self.manifests.held(&policy.address.id).is_some())
            .map(|policy| PayableVendor {
                vendor_id: policy.address.id,
                address: policy.address.clone(),
            })
            .collect();
        problem
    }

    /// Commits a payment, and gives the answer that counts.
    pub(crate) async fn commit(
        &self,
        payment: PaymentId,
        answer: StoredAnswer,
    ) -> Result<StoredAnswer, StoreError> {
        self.steps.at("verifier.commit.before");
        let answer = self.store.commit(payment, answer).await?;
        self.steps.at("verifier.commit.after");
        Ok(answer)
    }

    /// Releases the certificates of a payment.
    pub(crate) async fn release(&self, payment: PaymentId) -> Result<(), StoreError> {
        self.steps.at("verifier.release.before");
        self.store.release(payment).await?;
        self.steps.at("verifier.release.after");
        Ok(())
    }
}
