//! The programs of a network, each of which can be stopped and started again with what it has on disk.

use std::net::SocketAddr;
use std::sync::Arc;

#[expect(clippy::disallowed_types, reason = "a test network is an entry point")]
use rand_core::OsRng;
use scrip_issuer::sources::Sources;
use scrip_issuer::store::Store;
use scrip_issuer::{Config as IssuerConfig, InitOptions, Issuer};
use scrip_protocol::address::{RelayAddress, VendorAddress};
use scrip_protocol::keys::PublicKey;
use scrip_relay::{Config as RelayConfig, Relay};
use scrip_runtime::clock::SharedClock;
use scrip_runtime::passphrase::Passphrase;
use scrip_runtime::plausible::Remembered;
use scrip_runtime::sealed::SealParams;
use scrip_runtime::steps::Steps;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::Failure;

/// The passphrase of everything in a test network.
pub const PASSPHRASE: &str = "correct horse";

/// [`PASSPHRASE`], as the programs take it.
pub fn passphrase() -> Passphrase {
    Passphrase::new(PASSPHRASE.into())
}

/// The system's generator, as the programs take it.
pub fn generator() -> scrip_runtime::random::RngFactory {
    Arc::new(|| Box::new(OsRng))
}

/// A port that was free a moment ago. A server needs its address before it is started, because the address is part of its identity.
///
/// # Errors
/// Where none is free.
pub fn free_address() -> std::io::Result<SocketAddr> {
    std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// Copies a folder into a new one, with all that is in it.
///
/// # Errors
/// Where it exists, or the files cannot be read.
pub fn copy_dir(from: &std::path::Path, to: &std::path::Path) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &copy)?;
        } else {
            std::fs::copy(entry.path(), copy)?;
        }
    }
    Ok(())
}

/// A server that runs until it is told to stop.
struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), scrip_runtime::serve::ServeError>>,
}

impl Running {
    async fn end(self) -> Result<(), Failure> {
        let _ = self.stop.send(());
        Ok(self.task.await??)
    }
}

/// The vendor.
pub struct VendorNode {
    config: IssuerConfig,
    address: VendorAddress,
    clock: SharedClock,
    steps: Steps,
    sources: Sources,
    /// Whether somebody confirms the clock before each start: tests let years pass while a program is down.
    pub confirms_clock: bool,
    running: Option<(Issuer, Running)>,
}

impl VendorNode {
    /// Makes a vendor with this configuration. It is not started.
    ///
    /// # Errors
    /// What the issuer says.
    pub async fn init(config: IssuerConfig, clock: SharedClock) -> Result<Self, Failure> {
        let options = InitOptions {
            config: config.clone(),
            issuer_name: None,
            seal_params: SealParams::for_tests(),
        };
        let address = Issuer::init(&options, &passphrase(), &*clock, &mut OsRng).await?;
        let (steps, sources) = (Steps::none(), Sources::default());
        Ok(Self { config, address, clock, steps, sources, confirms_clock: true, running: None })
    }

    /// A second process of the same vendor on the same database, listening elsewhere.
    pub fn twin(&self, listen: SocketAddr) -> Self {
        let public_authority = Some(self.address.authority.clone());
        let config = IssuerConfig { listen, public_authority, ..self.config.clone() };
        Self {
            config,
            address: self.address.clone(),
            clock: self.clock.clone(),
            steps: Steps::none(),
            sources: self.sources.clone(),
            confirms_clock: true,
            running: None,
        }
    }

    /// The same vendor on a copy of its database, to show some people something else than others.
    pub fn other_face(&self, database: String, listen: SocketAddr) -> Self {
        let twin = self.twin(listen);
        Self { config: IssuerConfig { database, ..twin.config }, ..twin }
    }

    /// Its address.
    pub fn address(&self) -> &VendorAddress {
        &self.address
    }

    /// Its configuration, in force from the next start on.
    pub fn config(&mut self) -> &mut IssuerConfig {
        &mut self.config
    }

    /// From now on others find it at `address`, where something stands between.
    pub fn seen_at(&mut self, address: SocketAddr) {
        self.address.authority = address.to_string();
    }

    /// Where it listens.
    pub fn listens_at(&self) -> SocketAddr {
        self.config.listen
    }

    /// Who hears of its durable steps from the next start on.
    pub fn observe(&mut self, steps: Steps) {
        self.steps = steps;
    }

    /// Where it takes money besides what is configured, from the next start on.
    pub fn sources(&mut self) -> &mut Sources {
        &mut self.sources
    }

    /// The running issuer.
    ///
    /// # Errors
    /// Where it is stopped.
    pub fn issuer(&self) -> Result<&Issuer, Failure> {
        self.running
            .as_ref()
            .map(|(issuer, _)| issuer)
            .ok_or_else(|| "the vendor is stopped".into())
    }

    /// Starts it.
    ///
    /// # Errors
    /// What the issuer says.
    pub async fn start(&mut self) -> Result<(), Failure> {
        if self.confirms_clock {
            let store = Store::open(&self.config.database, 1, false).await?;
            let before = store.remembered_time().await?;
            if let Some(Remembered { confirmations, .. }) = before {
                let believed = self.clock.now();
                store.remember_time(Remembered { believed, confirmations }).await?;
            }
            store.close().await;
        }
        let issuer = Issuer::open_with(
            self.config.clone(),
            passphrase(),
            Arc::clone(&self.clock),
            self.steps.clone(),
            generator(),
            |sources, _| sources.add_all(&self.sources),
        )
        .await?;
        let bound = issuer.bind().await?;
        let (stop, stopped) = oneshot::channel();
        let server = issuer.clone();
        let task = tokio::spawn(async move {
            let shutdown = async { drop(stopped.await) };
            server.serve(bound, shutdown).await
        });
        self.running = Some((issuer, Running { stop, task }));
        Ok(())
    }

    /// Stops it, as an operator would.
    ///
    /// # Errors
    /// Where it did not end well.
    pub async fn stop(&mut self) -> Result<(), Failure> {
        match self.running.take() {
            Some((issuer, running)) => {
                let store = issuer.store().clone();
                drop(issuer);
                let ended = running.end().await;
                // Until then the database's files come and go.
                store.close().await;
                ended
            }
            None => Ok(()),
        }
    }

    /// A voucher for `product`.
    ///
    /// # Errors
    /// Where there is no such product.
    pub async fn voucher(&self, product: &str) -> Result<String, Failure> {
        let made = self.issuer()?.create_vouchers(product, 1, 30).await?;
        made.texts().next().ok_or_else(|| "no voucher was made".into())
    }

    /// Accepts redemptions from this operator from now on.
    ///
    /// # Errors
    /// What the issuer says.
    pub async fn contract(&self, name: &str, key: &PublicKey) -> Result<(), Failure> {
        self.issuer()?.add_operator(name, key).await?;
        Ok(())
    }

    /// Lists an operator in the manifest, with its relay at this address.
    ///
    /// # Errors
    /// What the issuer says.
    pub async fn relist(&self, name: &str, address: &RelayAddress) -> Result<(), Failure> {
        self.issuer()?.list_operator(name, std::slice::from_ref(&address.authority)).await?;
        Ok(())
    }
}

/// A relay.
pub struct RelayNode {
    config: RelayConfig,
    address: RelayAddress,
    operator_key: PublicKey,
    clock: SharedClock,
    steps: Steps,
    /// As in [`VendorNode`].
    pub confirms_clock: bool,
    running: Option<(Relay, Running)>,
}

impl RelayNode {
    /// Makes a relay with this configuration. It is not started.
    ///
    /// # Errors
    /// What the relay says.
    pub async fn init(config: RelayConfig, clock: SharedClock) -> Result<Self, Failure> {
        let options = scrip_relay::InitOptions {
            config: config.clone(),
            seal_params: SealParams::for_tests(),
        };
        let made = Relay::init(&options, &passphrase(), &mut OsRng).await?;
        Ok(Self {
            config,
            address: made.address,
            operator_key: made.operator_key,
            clock,
            steps: Steps::none(),
            confirms_clock: true,
            running: None,
        })
    }

    /// Its address.
    pub fn address(&self) -> &RelayAddress {
        &self.address
    }

    /// From now on others find it at `address`, where something stands between.
    pub fn seen_at(&mut self, address: SocketAddr) {
        self.address.authority = address.to_string();
    }

    /// Its operator's key.
    pub fn operator_key(&self) -> &PublicKey {
        &self.operator_key
    }

    /// Its configuration, in force from the next start on.
    pub fn config(&mut self) -> &mut RelayConfig {
        &mut self.config
    }

    /// Who hears of its durable steps from the next start on.
    pub fn observe(&mut self, steps: Steps) {
        self.steps = steps;
    }

    /// The running relay.
    ///
    /// # Errors
    /// Where it is stopped.
    pub fn relay(&self) -> Result<&Relay, Failure> {
        self.running.as_ref().map(|(relay, _)| relay).ok_or_else(|| "the relay is stopped".into())
    }

    /// Starts it, and waits until it has its vendors' manifests if they can be had.
    ///
    /// # Errors
    /// What the relay says.
    pub async fn start(&mut self) -> Result<(), Failure> {
        if self.confirms_clock {
            let now = self.clock.now();
            scrip_relay::report::confirm_clock(&self.config, &now.day().to_string(), now)?;
        }
        let relay = Relay::open(
            self.config.clone(),
            passphrase(),
            Arc::clone(&self.clock),
            self.steps.clone(),
            generator(),
        )
        .await?;
        relay.refresh_manifests().await;
        let bound = relay.bind().await?;
        let (stop, stopped) = oneshot::channel();
        let server = relay.clone();
        let task = tokio::spawn(async move {
            let shutdown = async { drop(stopped.await) };
            let served = server.serve(bound, shutdown).await;
            server.close().await;
            served
        });
        self.running = Some((relay, Running { stop, task }));
        Ok(())
    }

    /// Stops it, as an operator would.
    ///
    /// # Errors
    /// Where it did not end well.
    pub async fn stop(&mut self) -> Result<(), Failure> {
        match self.running.take() {
            Some((relay, running)) => {
                drop(relay);
                running.end().await
            }
            None => Ok(()),
        }
    }
}
