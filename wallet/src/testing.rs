//! A vendor and relays in this process, for the tests of the wallet: as strict as the specification where the wallet could
//! be wrong, and able to fail in the ways that a network fails.

mod faults;
mod relay;
mod renewals;
mod vendor;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::Router;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use scrip_protocol::{
    address::{RelayAddress, VendorAddress},
    seed::WalletSeed,
    time::UnixSeconds,
    tlog::policy::WitnessPolicy,
};
use scrip_runtime::{clock::ManualClock, passphrase::Passphrase, sealed::SealParams, steps::Steps};

pub(crate) use self::{
    faults::{Fault, Faults},
    relay::FakeRelay,
    renewals::Refusing,
    vendor::{FakeVendor, witness},
};
use crate::{Entropy, Environment, NewWallet, Wallet, Watch, net::NetworkOptions};

pub(crate) const START: UnixSeconds = UnixSeconds(1_800_000_000);

/// Everything that a wallet meets.
pub(crate) struct World {
    pub(crate) vendor: Arc<FakeVendor>,
    pub(crate) relays: Vec<Arc<FakeRelay>>,
    pub(crate) clock: ManualClock,
    directory: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new(relays: u8) -> Self {
        let clock = ManualClock::new(START);
        let vendor = FakeVendor::start(clock.clone()).await;
        let mut started = Vec::new();
        for number in 0..relays {
            started.push(FakeRelay::start(number, vendor.clone(), clock.clone()).await);
        }
        let directory = tempfile::tempdir().unwrap();
        Self { vendor, relays: started, clock, directory }
    }

    /// One more relay, of the operator with this number.
    pub(crate) async fn add(&mut self, number: u8) {
        let relay = FakeRelay::start(number, self.vendor.clone(), self.clock.clone()).await;
        self.relays.push(relay);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn environment(&self, steps: Steps) -> Environment {
        static NEXT: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);
        let seed = NEXT.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Environment {
            clock: Arc::new(self.clock.clone()),
            entropy: Entropy::new(ChaCha20Rng::from_seed([seed; 32])),
            steps,
            watch: Watch::none(),
            network: NetworkOptions::default(),
        }
    }

    pub(crate) async fn create(&self, name: &str) -> Wallet {
        self.create_observed(name, Steps::none()).await
    }

    pub(crate) async fn create_observed(&self, name: &str, steps: Steps) -> Wallet {
        let new = NewWallet {
            vendor: self.vendor.address(),
            seed: WalletSeed::from_bytes([5; 32]),
            seal: SealParams::for_tests(),
            proxy_buy: None,
            proxy_spend: None,
            privacy: crate::Privacy::Off,
            witnesses: WitnessPolicy::none(),
        };
        // Unobserved: nothing is bought before that.
        let environment = self.environment(Steps::none());
        let wallet =
            Wallet::create(&self.path(name), passphrase(), new, environment).await.unwrap();
        wallet.set_agreement(0).await.unwrap();
        wallet.meet_vendor().await.unwrap();
        wallet.close().await.unwrap();
        self.open_observed(name, steps).await
    }

    /// A wallet that knows nothing of the manifest, and wants to hear of it from relays of two operators.
    pub(crate) async fn create_careful(&self, name: &str) -> Wallet {
        let new = NewWallet {
            vendor: self.vendor.address(),
            seed: WalletSeed::from_bytes([5; 32]),
            seal: SealParams::for_tests(),
            proxy_buy: None,
            proxy_spend: None,
            privacy: crate::Privacy::Off,
            witnesses: WitnessPolicy::none(),
        };
        let environment = self.environment(Steps::none());
        Wallet::create(&self.path(name), passphrase(), new, environment).await.unwrap()
    }

    pub(crate) async fn open(&self, name: &str) -> Wallet {
        self.open_observed(name, Steps::none()).await
    }

    pub(crate) async fn open_observed(&self, name: &str, steps: Steps) -> Wallet {
        Wallet::open(&self.path(name), passphrase(), self.environment(steps)).await.unwrap()
    }

    /// A wallet with the relays and one pack of certificates.
    pub(crate) async fn funded(&self, name: &str) -> Wallet {
        let wallet = self.create(name).await;
        self.fund(&wallet).await;
        wallet
    }

    pub(crate) async fn fund(&self, wallet: &Wallet) {
        for relay in &self.relays {
            wallet.add_relay(&relay.address()).await.unwrap();
        }
        wallet.buy("GOOD").await.unwrap();
    }

    /// No certificate was taken for two payments at one relay, and each lease was paid for.
    pub(crate) fn leases(&self) -> usize {
        self.relays.iter().map(|relay| relay.lease_count()).sum()
    }

    /// What the relays took, in credits.
    pub(crate) fn taken(&self) -> u64 {
        self.relays.iter().map(|relay| relay.taken()).sum()
    }
}

pub(crate) fn passphrase() -> Passphrase {
    Passphrase::new("test".to_owned())
}

pub(crate) fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Serves `router` until the test ends; the address is `127.0.0.1` and a port.
async fn serve(router: impl FnOnce(&str) -> Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let router = router(&authority);
    let service = router.into_make_service_with_connect_info::<std::net::SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    authority
}

fn vendor_address(id: scrip_protocol::id::VendorId, authority: &str) -> VendorAddress {
    VendorAddress { id, authority: authority.to_owned() }
}

fn relay_address(id: scrip_protocol::id::OperatorId, authority: &str) -> RelayAddress {
    RelayAddress { id, authority: authority.to_owned() }
}
