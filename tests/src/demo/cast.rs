//! Who plays: a vendor with its default configuration, two operators, wallets; with the system's clock, so that the programs of the README can join.

use std::path::{Path, PathBuf};
use std::sync::Arc;

#[expect(clippy::disallowed_types, reason = "the demo is an entry point")]
use rand_core::OsRng;
use scrip_issuer::Config as IssuerConfig;
use scrip_issuer::config::sqlite_url;
use scrip_protocol::seed::WalletSeed;
use scrip_protocol::tlog::policy::WitnessPolicy;
use scrip_relay::Config as RelayConfig;
use scrip_runtime::clock::{SharedClock, SystemClock};
use scrip_runtime::sealed::SealParams;
use scrip_runtime::steps::Steps;
use scrip_wallet::net::{Network, NetworkOptions};
use scrip_wallet::{Entropy, Environment, NewWallet, Wallet, Watch};

use crate::Failure;
use crate::node::{RelayNode, VendorNode, free_address, passphrase};

/// The product of the default configuration.
const PRODUCT: &str = "starter";

/// Everybody, in one temporary folder.
pub(super) struct Cast {
    pub(super) vendor: VendorNode,
    pub(super) relays: Vec<RelayNode>,
    clock: SharedClock,
    dir: tempfile::TempDir,
}

impl Cast {
    pub(super) async fn assemble() -> Result<Self, Failure> {
        let dir = tempfile::Builder::new().prefix("scrip-demo-").tempdir()?;
        let clock: SharedClock = Arc::new(SystemClock);
        let issuer_dir = dir.path().join("issuer");
        scrip_runtime::files::create_private_dir(&issuer_dir)?;
        let mut config = IssuerConfig::new(sqlite_url(&issuer_dir.join("issuer.db")));
        config.listen = free_address()?;
        let text = scrip_issuer::config::template(config.listen, None, &config.database);
        std::fs::write(issuer_dir.join(scrip_issuer::config::FILE_NAME), text)?;
        let mut vendor = VendorNode::init(config, Arc::clone(&clock)).await?;
        vendor.start().await?;
        let mut relays = Vec::new();
        for name in ["first", "second"] {
            let mut config = RelayConfig::new(dir.path().join(name), [vendor.address().clone()]);
            config.name = name.to_owned();
            config.listen = free_address()?;
            let text = scrip_relay::config::template(
                name,
                config.listen,
                None,
                &[vendor.address().clone()],
            );
            let file = config.data_dir.join(scrip_relay::config::FILE_NAME);
            let mut relay = RelayNode::init(config, Arc::clone(&clock)).await?;
            std::fs::write(file, text)?;
            vendor.contract(name, relay.operator_key()).await?;
            relay.start().await?;
            relays.push(relay);
        }
        Ok(Self { vendor, relays, clock, dir })
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn now(&self) -> scrip_protocol::time::UnixSeconds {
        self.clock.now()
    }

    pub(super) fn wallet_dir(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("wallet-{name}"))
    }

    pub(super) async fn voucher(&self) -> Result<String, Failure> {
        self.vendor.voucher(PRODUCT).await
    }

    pub(super) async fn wallet(&self, name: &str) -> Result<Wallet, Failure> {
        let new = NewWallet {
            vendor: self.vendor.address().clone(),
            seed: WalletSeed::generate(&mut OsRng),
            seal: SealParams::for_tests(),
            proxy_buy: None,
            proxy_spend: None,
            privacy: scrip_wallet::Privacy::Normal,
            witnesses: WitnessPolicy::none(),
        };
        let directory = self.wallet_dir(name);
        let wallet = Wallet::create(&directory, passphrase(), new, self.environment()).await?;
        for relay in &self.relays {
            wallet.add_relay(relay.address()).await?;
        }
        // A user waits for days, or names witnesses.
        wallet.look_now().await?;
        Ok(wallet)
    }

    pub(super) async fn open_wallet(&self, name: &str) -> Result<Wallet, Failure> {
        Ok(Wallet::open(&self.wallet_dir(name), passphrase(), self.environment()).await?)
    }

    /// A copy of the files of a wallet that nobody has open.
    pub(super) async fn copy_wallet(&self, from: &str, to: &str) -> Result<Wallet, Failure> {
        crate::node::copy_dir(&self.wallet_dir(from), &self.wallet_dir(to))?;
        self.open_wallet(to).await
    }

    pub(super) fn environment(&self) -> Environment {
        Environment {
            clock: Arc::clone(&self.clock),
            entropy: Entropy::new(OsRng),
            steps: Steps::none(),
            watch: Watch::none(),
            network: NetworkOptions::default(),
        }
    }

    /// The way to relays for somebody without a wallet.
    pub(super) fn ways(&self) -> Network {
        let Environment { network, entropy, .. } = self.environment();
        Network::new(network, entropy)
    }

    pub(super) async fn close(mut self) -> Result<(), Failure> {
        for relay in &mut self.relays {
            relay.stop().await?;
        }
        self.vendor.stop().await
    }
}
