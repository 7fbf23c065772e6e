//! Configuration: `issuer.toml`, overlaid by `SCRIP_ISSUER_…` variables.

mod template;

use std::{collections::BTreeMap, net::SocketAddr, num::NonZeroUsize, path::Path, time::Duration};

use scrip_protocol::{credits::Exponent, manifest};
use scrip_runtime::{
    config::HumanDuration,
    serve::{ConnectionLimits, Listen, TlsFiles},
};
use serde::Deserialize;

use crate::{
    ledger::WitnessConfig,
    pack::{self, Pack, PackError},
    sources::{SourcesConfig, secret::Secret},
};

pub use self::template::template;

/// The file's name in the data directory.
pub const FILE_NAME: &str = "issuer.toml";
/// What the names of environment variables begin with.
pub const ENV_PREFIX: &str = "SCRIP_ISSUER";

/// Everything that an operator of the issuer can set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// `host[:port]` under which wallets and relays reach this issuer; `listen` where it is not given.
    #[serde(default)]
    pub public_authority: Option<String>,
    /// `sqlite://PATH` or `postgres://…`
    pub database: String,
    /// Connections to PostgreSQL.
    #[serde(default = "default_connections")]
    pub database_connections: u32,
    /// The TLS certificate, where this program itself speaks TLS.
    #[serde(default)]
    pub tls: Option<TlsFiles>,
    /// Whether a proxy in front of this program speaks TLS.
    #[serde(default)]
    pub behind_tls_proxy: bool,
    /// Connections from clients at one time.
    #[serde(default = "default_max_connections")]
    pub max_connections: usize,
    /// Connections from one address at one time, where clients are seen and no proxy is in front.
    #[serde(default = "default_max_connections_per_address")]
    pub max_connections_per_address: usize,
    /// The signer.
    #[serde(default)]
    pub signer: SignerConfig,
    /// The keys and their schedule.
    #[serde(default)]
    pub epoch: EpochConfig,
    /// What is sold.
    #[serde(default = "default_products")]
    pub products: BTreeMap<String, Product>,
    /// The ledger.
    #[serde(default)]
    pub ledger: LedgerConfig,
    /// Where money is taken, besides vouchers.
    #[serde(default)]
    pub sources: SourcesConfig,
}

/// Where the ledger is, and how it grows.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LedgerConfig {
    /// A directory, or `s3://BUCKET/PREFIX`; the directory `ledger` beside a SQLite database where it is not given.
    pub store: Option<String>,
    /// Of an S3-compatible store, its URL; Amazon's where it is not given.
    pub endpoint: Option<String>,
    /// Of an S3-compatible store, its region.
    pub region: Option<String>,
    /// Of an S3-compatible store, the name of the key.
    pub access_key_id: Option<String>,
    /// Of an S3-compatible store, the key.
    pub secret_access_key: Option<Secret>,
    /// What the size is a multiple of: small numbers hide in the fill. 1 for none.
    pub fill: u64,
    /// Who is asked to cosign each checkpoint.
    pub witnesses: Vec<WitnessConfig>,
    /// Whether statements are made by themselves.
    pub statements: Statements,
    /// How long the answer to a batch waits for its leaves.
    #[serde(skip)]
    pub wait: Duration,
    /// How long nothing may be seen of the process that sequences until another takes over.
    #[serde(skip)]
    pub lease: Duration,
    /// For benches: nothing is put in line, and answers name no leaves.
    #[cfg(any(test, feature = "testing"))]
    #[serde(skip)]
    pub off: bool,
}

impl LedgerConfig {
    /// Whether redemptions come into the ledger: always, but for the benches that measure what it costs.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) const fn is_on(&self) -> bool {
        !self.off
    }

    /// Whether redemptions come into the ledger.
    #[cfg(not(any(test, feature = "testing")))]
    pub(crate) const fn is_on(&self) -> bool {
        true
    }
}

/// When statements are made by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Statements {
    /// When a month is over.
    Monthly,
    /// With the command alone.
    Never,
}

/// How much may be signed at a time.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignerConfig {
    /// Threads; 0 is one per core.
    pub threads: usize,
    /// Signatures that may wait before requests are answered `overloaded`.
    pub queue: usize,
}

/// The windows of every epoch that is made from now on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EpochConfig {
    /// How long the keys sign; a week and a half day at least (keys.md, "On schedule").
    pub issue_for: HumanDuration,
    /// How long after that their certificates can still be spent.
    pub spend_for: HumanDuration,
    /// How long before the end of that they can be exchanged for new ones; never before the keys stop signing.
    pub renew_for: HumanDuration,
    /// How long after that operators can still redeem them.
    pub redeem_for: HumanDuration,
    /// How long after that it is kept what was redeemed, and with which evidence.
    pub keep_for: HumanDuration,
    /// How long before an epoch stops issuing the keys of the next one are made and published.
    pub ahead: HumanDuration,
    /// Whether each epoch has test keys beside the others, for sandbox and test purchases.
    pub test_keys: bool,
}

/// A product.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Product {
    /// What each buyer gets at once.
    #[serde(deserialize_with = "pack::from_table")]
    pub pack: Pack,
    /// What each buyer gets later, so that a refund in the meantime costs less.
    #[serde(default)]
    pub rest: Option<ProductRest>,
}

/// The second part of a product.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProductRest {
    /// What each buyer gets then.
    #[serde(deserialize_with = "pack::from_table")]
    pub pack: Pack,
    /// How long after the purchase.
    pub after: HumanDuration,
}

const DAY: u64 = 86_400;

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7400))
}

fn default_connections() -> u32 {
    16
}

fn default_max_connections() -> usize {
    ConnectionLimits::default().max_connections
}

fn default_max_connections_per_address() -> usize {
    ConnectionLimits::default().max_connections_per_address
}

/// `starter`: 36 certificates worth 536 credits, most of them of four credits and less, so that small prices are paid
/// exactly and no payment stands out by its coins.
fn default_products() -> BTreeMap<String, Product> {
    let counts = [(0, 8), (1, 8), (2, 6), (3, 5), (4, 4), (5, 2), (6, 1), (7, 2)];
    let counts = counts.into_iter().filter_map(|(k, count)| Some((Exponent::new(k)?, count)));
    let starter = |pack| (String::from("starter"), Product { pack, rest: None });
    Pack::new(counts).map(starter).into_iter().collect()
}

impl Default for SignerConfig {
    fn default() -> Self {
        Self { threads: 0, queue: 8_192 }
    }
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self {
            store: None,
            endpoint: None,
            region: None,
            access_key_id: None,
            secret_access_key: None,
            fill: 256,
            witnesses: Vec::new(),
            statements: Statements::Monthly,
            wait: Duration::from_secs(10),
            lease: Duration::from_secs(3),
            #[cfg(any(test, feature = "testing"))]
            off: false,
        }
    }
}

impl Default for EpochConfig {
    fn default() -> Self {
        Self {
            issue_for: HumanDuration(30 * DAY),
            spend_for: HumanDuration(365 * DAY),
            renew_for: HumanDuration(30 * DAY),
            redeem_for: HumanDuration(8 * DAY),
            keep_for: HumanDuration(30 * DAY),
            ahead: HumanDuration(7 * DAY),
            test_keys: false,
        }
    }
}

impl SignerConfig {
    /// The number of threads to start.
    pub fn thread_count(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.threads)
            .or_else(|| std::thread::available_parallelism().ok())
            .unwrap_or(NonZeroUsize::MIN)
    }
}

impl Config {
    /// The defaults, with this database.
    pub fn new(database: impl Into<String>) -> Self {
        Self {
            listen: default_listen(),
            public_authority: None,
            database: database.into(),
            database_connections: default_connections(),
            tls: None,
            behind_tls_proxy: false,
            max_connections: default_max_connections(),
            max_connections_per_address: default_max_connections_per_address(),
            signer: SignerConfig::default(),
            epoch: EpochConfig::default(),
            products: default_products(),
            ledger: LedgerConfig::default(),
            sources: SourcesConfig::default(),
        }
    }

    /// Adds or replaces a product.
    ///
    /// # Errors
    /// [`PackError`] where the counts are no pack.
    pub fn set_product(
        &mut self,
        name: &str,
        counts: impl IntoIterator<Item = (Exponent, u16)>,
    ) -> Result<(), PackError> {
        self.products.insert(name.to_owned(), Product { pack: Pack::new(counts)?, rest: None });
        Ok(())
    }

    /// What is sold, as the manifest lists it. The keys of every epoch are of the denominations that these have.
    pub fn products(&self) -> Vec<manifest::Product> {
        let listed = |(name, product): (&String, &Product)| manifest::Product {
            name: name.clone(),
            on_sale: true,
            pack: product.pack.clone(),
            rest: product
                .rest
                .as_ref()
                .map(|rest| manifest::ProductRest { after: rest.after.0, pack: rest.pack.clone() }),
        };
        self.products.iter().map(listed).collect()
    }

    /// `host[:port]` for the vendor's address.
    pub fn authority(&self) -> String {
        self.public_authority.clone().unwrap_or_else(|| self.listen.to_string())
    }

    /// Where to listen and how connections are protected.
    pub fn listen(&self) -> Listen {
        Listen {
            address: self.listen,
            tls: self.tls.clone(),
            behind_tls_proxy: self.behind_tls_proxy,
        }
    }

    /// Whether clients reach this issuer over TLS, its own or a proxy's.
    pub fn has_tls(&self) -> bool {
        self.tls.is_some() || self.behind_tls_proxy
    }

    /// What clients can tie up.
    pub fn limits(&self) -> ConnectionLimits {
        ConnectionLimits {
            max_connections: self.max_connections,
            max_connections_per_address: self.max_connections_per_address,
            ..ConnectionLimits::default()
        }
    }
}

/// The URL of a SQLite file; what would end a path in a URL is percent-encoded.
pub fn sqlite_url(path: &Path) -> String {
    let mut url = String::from("sqlite://");
    for character in path.to_string_lossy().chars() {
        match character {
            '%' => url.push_str("%25"),
            '?' => url.push_str("%3F"),
            '#' => url.push_str("%23"),
            other => url.push(other),
        }
    }
    url
}

#[cfg(test)]
mod tests;
