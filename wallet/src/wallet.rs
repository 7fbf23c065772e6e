//! The wallet itself: an open file, the seed behind it, and what can be done with them.

mod adopt;
mod agreement;
mod backup;
mod balance;
mod buy;
mod caught;
mod complaints;
mod doctor;
mod evidence;
mod history;
mod issue;
mod leases;
mod manifest;
mod notices;
mod order;
mod pay;
mod put;
mod queue;
mod relays;
mod renew;
mod restore;
mod resume;
mod settle;
mod stock;
mod tend;
mod versions;
mod voided;

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use scrip_protocol::{address::VendorAddress, seed::WalletSeed, tlog::policy::WitnessPolicy};
use scrip_runtime::{clock::SharedClock, passphrase::Passphrase, sealed::SealParams, steps::Steps};
use tokio::sync::{Mutex, OwnedMutexGuard};

pub(crate) use self::queue::may_pass;
pub use self::{
    agreement::ManifestReport,
    backup::FromBackup,
    balance::{Balance, Denomination, Expiring, Seen},
    buy::Bought,
    caught::{CaughtReport, Culprit},
    complaints::ComplaintReport,
    doctor::{Diagnosis, Finding},
    evidence::EvidenceReport,
    history::{HistoryEntry, HistoryKind},
    leases::{Conflict, LeaseReport},
    notices::ExpiryNotice,
    order::{ForSale, Later, OpenOrder, ProductForSale},
    pay::Doubtful,
    put::{FileReport, PutOptions, Stored},
    queue::{CreatedQueue, Mailbox, NewQueue, QueueReport, Received, send_to_queue},
    relays::RelayReport,
    renew::Renewed,
    restore::Restored,
    resume::Resumed,
    stock::{LowStock, Restocking},
    tend::Tended,
    versions::ReceiptKeyChange,
    voided::Looked,
};
use crate::{
    entropy::Entropy,
    error::WalletError,
    net::{Network, NetworkOptions, ProxySetting},
    privacy::Privacy,
    purse::Purse,
    records::{CertificateRecord, Identity, Settings},
    secret::Secret,
    store::{Changes, Store, StoreError},
    watch::Watch,
};

/// What a wallet takes from its surroundings.
#[derive(Clone)]
pub struct Environment {
    /// The time.
    pub clock: SharedClock,
    /// Randomness.
    pub entropy: Entropy,
    /// The observer of durable steps.
    pub steps: Steps,
    /// Who hears of progress and of warnings.
    pub watch: Watch,
    /// How the network is reached; proxies that are given here come before those in the wallet's settings.
    pub network: NetworkOptions,
}

/// A wallet that is about to be made.
pub struct NewWallet {
    /// The vendor that it buys from.
    pub vendor: VendorAddress,
    /// Its seed; a new one from [`WalletSeed::generate`], or one that is being restored.
    pub seed: WalletSeed,
    /// What it costs to try a passphrase.
    pub seal: SealParams,
    /// The proxy on the way to the vendor.
    pub proxy_buy: Option<ProxySetting>,
    /// The proxy on the way to relays.
    pub proxy_spend: Option<ProxySetting>,
    /// How far apart it keeps what it does.
    pub privacy: Privacy,
    /// Who must stand for the vendor's manifest; with [`WitnessPolicy::none`], relays of two operators.
    pub witnesses: WitnessPolicy,
}

/// An open wallet. One process at a time has it.
///
/// Its methods can be called at the same time from several tasks. One that is dropped before it returns leaves things as a
/// crash would: [`Wallet::resume`] finishes what was begun.
pub struct Wallet {
    store: Arc<Store>,
    seed: Arc<WalletSeed>,
    vendor: VendorAddress,
    settings: Mutex<Settings>,
    /// Held while certificates change state, on disk and here, and while a lease's record is changed.
    purse: Arc<Mutex<Purse>>,
    /// Held while a purchase goes on: grants are numbered.
    buying: Mutex<()>,
    /// Held while certificates are renewed.
    renewing: Mutex<()>,
    /// Held while a file is stored: no two tasks work on one upload.
    storing: Mutex<()>,
    /// Held while it is decided what is done by itself, and not while that is done.
    tending: Mutex<()>,
    /// Held while something is learned of the manifest.
    learning: Mutex<()>,
    /// Whether this process pays with certificates of test keys, and with no others.
    pays_with_test: AtomicBool,
    /// Whether this process pays with certificates that another relay saw and refused.
    pays_with_seen: AtomicBool,
    environment: Environment,
}

impl Wallet {
    /// Makes a wallet in `directory`, which is created if need be, and opens it.
    ///
    /// # Errors
    /// [`WalletError::Store`], [`crate::StoreError::Exists`] where there is one.
    pub async fn create(
        directory: &Path,
        passphrase: Passphrase,
        new: NewWallet,
        environment: Environment,
    ) -> Result<Self, WalletError> {
        let identity = Identity {
            seed: Secret::from_bytes(*new.seed.as_bytes()),
            vendor: new.vendor,
            created: environment.clock.now(),
        };
        let settings = Settings {
            proxy_buy: new.proxy_buy,
            proxy_spend: new.proxy_spend,
            privacy: new.privacy,
            witnesses: new.witnesses,
            ..Settings::default()
        };
        let first = Changes::default().put(&identity).put(&settings);
        let entropy = environment.entropy.clone();
        let store = Store::create(directory, passphrase, new.seal, entropy, first).await?;
        Ok(Self::assemble(store, &identity, settings, Vec::new(), environment))
    }

    /// Opens the wallet in `directory` for this process alone.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub async fn open(
        directory: &Path,
        passphrase: Passphrase,
        environment: Environment,
    ) -> Result<Self, WalletError> {
        let store = Store::open(directory, passphrase, environment.entropy.clone()).await?;
        let identity: Identity = store
            .get(&[])
            .await?
            .ok_or_else(|| crate::StoreError::Missing(directory.to_owned()))?;
        let settings = store.get(&[]).await?.unwrap_or_default();
        let certificates = store.all().await?;
        Ok(Self::assemble(store, &identity, settings, certificates, environment))
    }

    /// Whether there is a wallet in `directory`.
    pub fn exists(directory: &Path) -> bool {
        Store::exists(directory)
    }

    /// Removes a wallet that was made just now and that nobody has the words of. Whatever is in it is lost.
    ///
    /// # Errors
    /// [`WalletError::Io`].
    pub(crate) fn discard(directory: &Path) -> Result<(), WalletError> {
        let path = directory.join(crate::store::DATABASE);
        std::fs::remove_file(&path).map_err(WalletError::io("remove", &path))
    }

    /// The proxies (for buying, for spending) in the settings of the wallet in `directory`, also while another process
    /// has it open: for what needs no wallet and should still not go around its proxy.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub async fn proxies_of(
        directory: &Path,
        passphrase: Passphrase,
        entropy: Entropy,
    ) -> Result<(Option<ProxySetting>, Option<ProxySetting>), WalletError> {
        let store = Store::open_to_read(directory, passphrase, entropy).await?;
        let settings: Settings = store.get(&[]).await?.unwrap_or_default();
        store.close().await?;
        Ok((settings.proxy_buy, settings.proxy_spend))
    }

    fn assemble(
        store: Store,
        identity: &Identity,
        settings: Settings,
        certificates: Vec<CertificateRecord>,
        environment: Environment,
    ) -> Self {
        Self {
            store: Arc::new(store),
            seed: Arc::new(WalletSeed::from_bytes(*identity.seed.as_bytes())),
            vendor: identity.vendor.clone(),
            settings: Mutex::new(settings),
            purse: Arc::new(Mutex::new(Purse::new(certificates))),
            buying: Mutex::new(()),
            renewing: Mutex::new(()),
            storing: Mutex::new(()),
            tending: Mutex::new(()),
            learning: Mutex::new(()),
            pays_with_test: AtomicBool::new(false),
            pays_with_seen: AtomicBool::new(false),
            environment,
        }
    }

    /// Where the wallet is.
    pub fn directory(&self) -> &Path {
        self.store.directory()
    }

    /// The vendor that it buys from.
    pub const fn vendor(&self) -> &VendorAddress {
        &self.vendor
    }

    /// The proxies in the settings: for buying, for spending.
    pub async fn proxies(&self) -> (Option<ProxySetting>, Option<ProxySetting>) {
        let settings = self.settings.lock().await;
        (settings.proxy_buy.clone(), settings.proxy_spend.clone())
    }

    /// Stores the proxies for buying and for spending; `None` goes directly.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub async fn set_proxies(
        &self,
        buy: Option<ProxySetting>,
        spend: Option<ProxySetting>,
    ) -> Result<(), WalletError> {
        let mut settings = self.settings.lock().await;
        let changed = Settings { proxy_buy: buy, proxy_spend: spend, ..settings.clone() };
        self.store.commit(Changes::default().put(&changed)).await?;
        *settings = changed;
        Ok(())
    }

    /// How far apart the wallet keeps what it does.
    pub async fn privacy(&self) -> Privacy {
        self.settings.lock().await.privacy
    }

    /// Stores how far apart the wallet keeps what it does. Certificates that ripen keep their time.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub async fn set_privacy(&self, privacy: Privacy) -> Result<(), WalletError> {
        let mut settings = self.settings.lock().await;
        let changed = Settings { privacy, ..settings.clone() };
        self.store.commit(Changes::default().put(&changed)).await?;
        *settings = changed;
        Ok(())
    }

    /// Closes the file. Dropping the wallet does, too, without saying whether that went well.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub async fn close(self) -> Result<(), WalletError> {
        Ok(self.store.close().await?)
    }

    /// The network, with the proxies of the environment, else of the settings. Whoever takes it is about to call somebody.
    pub async fn network(&self) -> Network {
        if let Err(error) = self.note_call().await {
            self.watch().warn(format!("the time of this call is not kept: {error}"));
        }
        let settings = self.settings.lock().await;
        let mut options = self.environment.network.clone();
        options.proxy_buy = options.proxy_buy.or_else(|| settings.proxy_buy.clone());
        options.proxy_spend = options.proxy_spend.or_else(|| settings.proxy_spend.clone());
        Network::new(options, self.environment.entropy.clone())
    }

    /// The purse, for [`Wallet::commit_purse`].
    async fn lock_purse(&self) -> OwnedMutexGuard<Purse> {
        self.purse.clone().lock_owned().await
    }

    /// Makes changes on disk and, where they concern certificates, in memory. In a task of its own: SQLite finishes a commit
    /// whose caller was dropped, and without the second half of this, certificates that are bound on disk would be offered
    /// again.
    async fn commit_purse(
        &self,
        mut purse: OwnedMutexGuard<Purse>,
        changes: Changes,
        changed: Vec<CertificateRecord>,
    ) -> Result<(), WalletError> {
        let store = self.store.clone();
        let both = tokio::spawn(async move {
            store.commit(changes).await?;
            purse.enter(changed);
            Ok::<(), StoreError>(())
        });
        Ok(both.await.map_err(|_| WalletError::ShuttingDown)??)
    }

    fn at(&self, step: &'static str) {
        self.environment.steps.at(step);
    }

    fn watch(&self) -> &Watch {
        &self.environment.watch
    }

    fn now(&self) -> scrip_protocol::time::UnixSeconds {
        self.environment.clock.now()
    }
}

/// Runs something that takes a processor for a while away from the threads of the runtime.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, WalletError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| WalletError::ShuttingDown)
}
