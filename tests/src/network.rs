//! A vendor, relays under contract with it, and wallets that know them all.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[expect(clippy::disallowed_types, reason = "a test network is an entry point")]
use rand_core::OsRng;
use rand_core::RngCore;
use scrip_issuer::Config as IssuerConfig;
use scrip_issuer::config::sqlite_url;
use scrip_issuer::sources::{AppleConfig, AppleSource};
use scrip_issuer::testing::apple::BUNDLE_ID;
use scrip_protocol::address::VendorAddress;
use scrip_protocol::credits::Exponent;
use scrip_protocol::seed::WalletSeed;
use scrip_protocol::time::UnixSeconds;
use scrip_protocol::tlog::policy::WitnessPolicy;
use scrip_relay::Config as RelayConfig;
use scrip_runtime::clock::ManualClock;
use scrip_runtime::sealed::SealParams;
use scrip_runtime::steps::Steps;
use scrip_wallet::net::NetworkOptions;
use scrip_wallet::{Entropy, Environment, NewWallet, Wallet, Watch};

use crate::Failure;
use crate::node::{RelayNode, VendorNode, free_address, passphrase};

/// When every test network begins: 2026-01-01.
pub const START: UnixSeconds = UnixSeconds(1_767_225_600);

/// The product that vouchers are made for: 2 × (1 + 2 + 4 + 8 + 16) credits.
pub const PRODUCT: &str = "pack";
/// What that product is worth.
pub const PRODUCT_CREDITS: u64 = 62;

/// What [`PRODUCT`] is called in the App Store of tests.
pub const APPLE_PRODUCT: &str = "credits.pack";

/// The App Store with this root, where [`PRODUCT`] is sold.
pub fn app_store(root: Vec<u8>) -> AppleSource {
    let products = [(APPLE_PRODUCT.into(), PRODUCT.into())].into();
    AppleSource::trusting(root, AppleConfig { bundle_id: BUNDLE_ID.into(), products })
}

/// What a network is to look like.
pub struct Plan {
    /// How many relays.
    pub relays: usize,
    /// The vendor's database; a SQLite file where none is given.
    pub database: Option<String>,
    /// Where relays find the vendor, if not directly.
    pub vendor_seen_at: Option<SocketAddr>,
    /// When it begins.
    pub start: UnixSeconds,
    /// Whether the vendor has test keys.
    pub test_keys: bool,
    /// Whether its files lie in memory, where the system has a folder for that: for tests that are about what is sent, where
    /// waiting for the disk is most of what takes time.
    pub in_memory: bool,
    /// What else is changed of the vendor's configuration.
    pub vendor: fn(&mut IssuerConfig),
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            relays: 2,
            database: None,
            vendor_seen_at: None,
            start: START,
            test_keys: false,
            in_memory: false,
            vendor: |_| {},
        }
    }
}

/// The whole network. Everything lies in one temporary folder that goes with it.
pub struct Network {
    /// The clock of everybody, to be moved.
    pub clock: ManualClock,
    /// The vendor, running.
    pub vendor: VendorNode,
    /// The relays, running.
    pub relays: Vec<RelayNode>,
    dir: tempfile::TempDir,
}

impl Network {
    /// Two relays, SQLite.
    ///
    /// # Errors
    /// Where a part does not start.
    pub async fn start() -> Result<Self, Failure> {
        Self::planned(Plan::default()).await
    }

    /// A network as planned, everything running.
    ///
    /// # Errors
    /// Where a part does not start.
    pub async fn planned(plan: Plan) -> Result<Self, Failure> {
        let memory = Path::new("/dev/shm");
        let dir = match plan.in_memory && memory.is_dir() {
            true => tempfile::tempdir_in(memory)?,
            false => tempfile::tempdir()?,
        };
        let clock = ManualClock::new(plan.start);
        let issuer_dir = dir.path().join("issuer");
        std::fs::create_dir(&issuer_dir)?;
        let own = sqlite_url(&issuer_dir.join("issuer.db"));
        // What is in a server's database has its ledger in a directory that is given; another one's lies beside the file.
        let ledger = issuer_dir.join("ledger").to_string_lossy().into_owned();
        let ledger = plan.database.is_some().then_some(ledger);
        let mut config = issuer_config(plan.database.unwrap_or(own))?;
        config.ledger.store = ledger;
        config.epoch.test_keys = plan.test_keys;
        (plan.vendor)(&mut config);
        let mut vendor = VendorNode::init(config, Arc::new(clock.clone())).await?;
        vendor.start().await?;
        let text = issuer_toml(vendor.listens_at(), &vendor.issuer()?.config().database);
        std::fs::write(issuer_dir.join(scrip_issuer::config::FILE_NAME), text)?;
        let mut network = Self { clock, vendor, relays: Vec::new(), dir };
        for n in 0..plan.relays {
            let seen_at = plan.vendor_seen_at.unwrap_or(network.vendor.listens_at());
            let relay = network.new_relay(&format!("relay-{n}"), seen_at).await?;
            network.relays.push(relay);
        }
        Ok(network)
    }

    /// One more relay under contract, running, which reaches the vendor at `vendor`.
    ///
    /// # Errors
    /// Where it does not start.
    pub async fn new_relay(&self, name: &str, vendor: SocketAddr) -> Result<RelayNode, Failure> {
        let address =
            VendorAddress { authority: vendor.to_string(), ..self.vendor.address().clone() };
        let dir = self.relay_dir(name);
        let mut config = RelayConfig::new(&dir, [address.clone()]);
        config.name = name.to_owned();
        config.listen = free_address()?;
        let text = scrip_relay::config::template(name, config.listen, None, &[address]);
        let mut relay = RelayNode::init(config, Arc::new(self.clock.clone())).await?;
        std::fs::write(dir.join(scrip_relay::config::FILE_NAME), text)?;
        self.vendor.contract(name, relay.operator_key()).await?;
        relay.start().await?;
        Ok(relay)
    }

    /// The folder that everything lies in.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where the issuer's configuration lies.
    pub fn issuer_dir(&self) -> PathBuf {
        self.dir.path().join("issuer")
    }

    /// Where the relay called `name` lies; the planned ones are called `relay-0`, `relay-1` and so on.
    pub fn relay_dir(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where the wallet called `name` lies.
    pub fn wallet_dir(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("wallet-{name}"))
    }

    /// A new wallet that knows every relay.
    ///
    /// # Errors
    /// What the wallet says.
    pub async fn wallet(&self, name: &str) -> Result<Wallet, Failure> {
        let mut seed = [0; 32];
        OsRng.fill_bytes(&mut seed);
        self.wallet_of_seed(name, seed).await
    }

    /// A new wallet with this seed that knows every relay.
    ///
    /// # Errors
    /// What the wallet says.
    pub async fn wallet_of_seed(&self, name: &str, seed: [u8; 32]) -> Result<Wallet, Failure> {
        let new = NewWallet {
            vendor: self.vendor.address().clone(),
            seed: WalletSeed::from_bytes(seed),
            seal: SealParams::for_tests(),
            proxy_buy: None,
            proxy_spend: None,
            privacy: scrip_wallet::Privacy::Off,
            witnesses: WitnessPolicy::none(),
        };
        let wallet =
            Wallet::create(&self.wallet_dir(name), passphrase(), new, self.environment()).await?;
        for relay in &self.relays {
            wallet.add_relay(relay.address()).await?;
        }
        // Smaller networks than usual have fewer operators to hand out the vendor's manifest.
        if let Ok(operators @ 0..2) = u8::try_from(self.relays.len()) {
            wallet.set_agreement(operators).await?;
        }
        wallet.look_now().await?;
        Ok(wallet)
    }

    /// Lets relays ask the vendor for its manifest, and these wallets the relays, as all of them do within days.
    ///
    /// # Errors
    /// What a wallet says.
    pub async fn spread_manifest<'w>(
        &self,
        wallets: impl IntoIterator<Item = &'w Wallet>,
    ) -> Result<(), Failure> {
        for relay in &self.relays {
            relay.relay()?.refresh_manifests().await;
        }
        for wallet in wallets {
            wallet.look_now().await?;
        }
        Ok(())
    }

    /// A new wallet with `packs` packs of [`PRODUCT`].
    ///
    /// # Errors
    /// What the wallet says.
    pub async fn funded_wallet(&self, name: &str, packs: usize) -> Result<Wallet, Failure> {
        let wallet = self.wallet(name).await?;
        for _ in 0..packs {
            wallet.buy(&self.vendor.voucher(PRODUCT).await?).await?;
        }
        Ok(wallet)
    }

    /// Opens a wallet that lies on disk.
    ///
    /// # Errors
    /// What the wallet says.
    pub async fn open_wallet(&self, name: &str) -> Result<Wallet, Failure> {
        Ok(Wallet::open(&self.wallet_dir(name), passphrase(), self.environment()).await?)
    }

    /// A copy of the files of the (closed) wallet `from`, opened.
    ///
    /// # Errors
    /// Where the files cannot be copied.
    pub async fn copy_wallet(&self, from: &str, to: &str) -> Result<Wallet, Failure> {
        crate::node::copy_dir(&self.wallet_dir(from), &self.wallet_dir(to))?;
        self.open_wallet(to).await
    }

    /// What wallets of this network take from their surroundings.
    pub fn environment(&self) -> Environment {
        Environment {
            clock: Arc::new(self.clock.clone()),
            entropy: Entropy::new(OsRng),
            steps: Steps::none(),
            watch: Watch::none(),
            network: NetworkOptions::default(),
        }
    }

    /// Lets every relay redeem what it has.
    ///
    /// # Errors
    /// Where a relay's store fails.
    pub async fn redeem_all(&self) -> Result<(), Failure> {
        for relay in &self.relays {
            relay.relay()?.redeem_now().await?;
        }
        Ok(())
    }
}

/// A vendor on loopback that sells [`PRODUCT`], of denominations from 1 to 16 credits: few, because making RSA keys takes time.
fn issuer_config(database: String) -> Result<IssuerConfig, Failure> {
    let mut config = IssuerConfig::new(database);
    config.listen = free_address()?;
    config.products.clear();
    config.set_product(PRODUCT, (0..=4).filter_map(Exponent::new).map(|exponent| (exponent, 2)))?;
    Ok(config)
}

/// The same as a file, for an issuer in a process of its own.
fn issuer_toml(listen: SocketAddr, database: &str) -> String {
    format!(
        "listen = \"{listen}\"\ndatabase = \"{database}\"\n\n[products.{PRODUCT}]\npack = {{ 0 = 2, 1 = 2, 2 = 2, 3 = 2, 4 = 2 }}\n"
    )
}
