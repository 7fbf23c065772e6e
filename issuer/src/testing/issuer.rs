//! An issuer with few denominations, cheap sealing and a clock that stands still.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use scrip_protocol::{credits::Exponent, keys::SigningKey, time::UnixSeconds};
use scrip_runtime::random::RngFactory;
use scrip_runtime::{clock::ManualClock, passphrase::Passphrase, sealed::SealParams, steps::Steps};
use tempfile::TempDir;

use crate::{
    config::{Config, sqlite_url},
    error::{InitError, StartError},
    init::InitOptions,
    issuer::Issuer,
    pack::PackError,
};

/// The passphrase of every test issuer.
pub const PASSPHRASE: &str = "test";
/// Noon of a day in 2026.
const NOW: UnixSeconds = UnixSeconds(20_500 * 86_400 + 43_200);

/// How long a second issuer waits for one that does not sequence any more.
const LEASE: Duration = Duration::from_millis(300);

impl Issuer {
    /// The key that it signs outcomes with. A vendor that cheats signs with it as well.
    pub fn receipt_key(&self) -> SigningKey {
        SigningKey::from_seed(self.ring().receipt.newest.seed())
    }
}

/// What a test issuer is made of.
pub struct Setup {
    /// The configuration.
    pub config: Config,
    /// The clock.
    pub clock: ManualClock,
    /// The observer of durable steps.
    pub steps: Steps,
}

/// Why there is no test issuer.
#[derive(Debug, thiserror::Error)]
pub enum TestIssuerError {
    /// It was not made.
    #[error(transparent)]
    Init(#[from] InitError),
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// No temporary directory.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The pack is none.
    #[error(transparent)]
    Pack(#[from] PackError),
}

/// An issuer and what belongs to it. Its files are removed when it is dropped.
pub struct TestIssuer {
    /// The issuer.
    pub issuer: Issuer,
    /// Its clock.
    pub clock: ManualClock,
    directory: Option<TempDir>,
}

impl Setup {
    /// Denominations 2^0 to 2^2, listening on a free port of 127.0.0.1; the product `starter` with 4, 2 and 1
    /// certificates of them, worth 12 credits; and `single` with one certificate of 2^1.
    ///
    /// # Errors
    /// None in practice.
    pub fn new(database: impl Into<String>) -> Result<Self, PackError> {
        let k = |exponent| Exponent::new(exponent);
        let counts = |list: &[(u8, u16)]| -> Vec<(Exponent, u16)> {
            list.iter().filter_map(|(exponent, count)| Some((k(*exponent)?, *count))).collect()
        };
        let mut config = Config::new(database);
        config.listen.set_port(0);
        config.public_authority = Some("vendor.test".into());
        config.ledger.lease = LEASE;
        config.set_product("starter", counts(&[(0, 4), (1, 2), (2, 1)]))?;
        config.set_product("single", counts(&[(1, 1)]))?;
        Ok(Self { config, clock: ManualClock::new(NOW), steps: Steps::none() })
    }

    /// The same, on a SQLite file in `directory`.
    ///
    /// # Errors
    /// As there.
    pub fn sqlite(directory: &Path) -> Result<Self, PackError> {
        Self::new(sqlite_url(&directory.join("issuer.db")))
    }

    /// Makes the vendor and opens it.
    ///
    /// # Errors
    /// [`TestIssuerError`].
    pub async fn init(&self) -> Result<TestIssuer, TestIssuerError> {
        let options = InitOptions {
            config: self.config.clone(),
            issuer_name: None,
            seal_params: SealParams::for_tests(),
        };
        let passphrase = Passphrase::new(PASSPHRASE.into());
        // Every vendor of a test run has its own keys, the same in each run.
        static VENDORS: AtomicU64 = AtomicU64::new(0);
        let mut rng = ChaCha20Rng::seed_from_u64(VENDORS.fetch_add(1, Ordering::Relaxed));
        Issuer::init(&options, &passphrase, &self.clock, &mut rng).await?;
        self.open().await
    }

    /// Opens the vendor that is in the database, as after a restart or in a second process.
    ///
    /// # Errors
    /// [`TestIssuerError`].
    pub async fn open(&self) -> Result<TestIssuer, TestIssuerError> {
        let passphrase = Passphrase::new(PASSPHRASE.into());
        let clock = Arc::new(self.clock.clone());
        let steps = self.steps.clone();
        let issuer =
            Issuer::open(self.config.clone(), passphrase, clock, steps, rng_factory()).await?;
        Ok(TestIssuer { issuer, clock: self.clock.clone(), directory: None })
    }
}

impl TestIssuer {
    /// A new vendor on a SQLite file of its own.
    ///
    /// # Errors
    /// [`TestIssuerError`].
    pub async fn start() -> Result<Self, TestIssuerError> {
        let directory = TempDir::new()?;
        let started = Setup::sqlite(directory.path())?.init().await?;
        Ok(Self { directory: Some(directory), ..started })
    }

    /// Where its files are, if it made them.
    pub fn directory(&self) -> Option<&Path> {
        self.directory.as_ref().map(TempDir::path)
    }
}

/// Generators that differ from each other, also between issuers of one test run.
pub fn rng_factory() -> RngFactory {
    static NEXT: AtomicU64 = AtomicU64::new(1 << 32);
    Arc::new(|| Box::new(ChaCha20Rng::seed_from_u64(NEXT.fetch_add(1, Ordering::Relaxed))))
}
