//! Configuration: `relay.toml`, overlaid by `SCRIP_RELAY_…` variables.

mod template;
#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use scrip_protocol::{
    address::{RelayAddress, VendorAddress, base_url},
    credits::Credits,
    id::OperatorId,
    resource::PriceList,
    tlog::{
        note::VerifierKey,
        policy::{BadPolicy, WitnessPolicy},
    },
};
use scrip_runtime::{
    config::{ConfigError, HumanDuration, HumanSize, load},
    serve::{ConnectionLimits, Listen, TlsFiles},
};
use scrip_verifier::{Risk, Schedule, VendorPolicy};
use serde::Deserialize;

pub use self::template::template;

/// The file's name in the relay's directory.
pub const FILE_NAME: &str = "relay.toml";
/// What the names of environment variables begin with.
pub const ENV_PREFIX: &str = "SCRIP_RELAY";
/// The highest price that leaves a credit at least one second.
const MAX_PRICE: u32 = PriceList::PERIOD as u32;

/// Everything that an operator can set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The relay's name, for people.
    #[serde(default = "default_name")]
    pub name: String,
    /// Where to listen.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// `host[:port]` under which clients reach this relay; `listen` where it is not given.
    #[serde(default)]
    pub public_authority: Option<String>,
    /// Where keys, databases and chunks lie.
    #[serde(default = "default_data_dir")]
    pub data_dir: PathBuf,
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
    /// The most days that a request may ask for.
    #[serde(default = "default_max_days")]
    pub max_days: u16,
    /// Credits per 30 days.
    #[serde(default)]
    pub prices: Prices,
    /// How much is promised at one time.
    #[serde(default)]
    pub storage: StorageConfig,
    /// When certificates are redeemed.
    #[serde(default)]
    pub redemption: RedemptionConfig,
    /// The way to the vendors.
    #[serde(default)]
    pub client: ClientConfig,
    /// Whose certificates are accepted.
    pub vendors: Vec<VendorConfig>,
}

/// Prices in credits per 30 days.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prices {
    /// A queue.
    pub queue: u32,
    /// A chunk of 64 KiB.
    pub chunk_64k: u32,
    /// A chunk of 256 KiB.
    pub chunk_256k: u32,
    /// A chunk of 1 MiB.
    pub chunk_1m: u32,
    /// A chunk of 4 MiB.
    pub chunk_4m: u32,
}

/// How much is promised to leases at one time. What comes after that is refused with `storage-full`, before it is paid.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageConfig {
    /// Queues; each can hold 2 MiB.
    pub queues: u64,
    /// Bytes of all chunks.
    pub chunks: HumanSize,
    /// How often what has ended is taken away.
    pub collect_every: HumanDuration,
}

/// When certificates are redeemed, and manifests fetched.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedemptionConfig {
    /// The time between the fixed times at which batches are sent.
    pub every: HumanDuration,
    /// No batch is sent with fewer certificates than this, so that it tells nothing of one payment ...
    pub least_items: u32,
    /// ... unless the oldest has waited for this long.
    pub deadline: HumanDuration,
    /// How often vendors are asked for their manifests.
    pub manifests_every: HumanDuration,
}

/// The way to the vendors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientConfig {
    /// `socks5h://[user:password@]host:port`
    pub proxy: Option<String>,
    /// PEM certificates that are trusted besides the system's.
    pub extra_roots: Option<PathBuf>,
    /// For a whole exchange.
    pub timeout: HumanDuration,
}

/// An accepted vendor.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VendorConfig {
    /// The vendor.
    pub address: VendorAddress,
    /// Payments of more credits than this are redeemed before anything is provisioned; never where it is not given.
    #[serde(default)]
    pub online_above: Option<u64>,
    /// No payment is accepted that brings what is not redeemed above this.
    #[serde(default)]
    pub stop_above: Option<u64>,
    /// Whether certificates of its test keys are taken, which are worth nothing.
    #[serde(default)]
    pub accept_test: bool,
    /// The keys of witnesses, one line of text each as `scrip-witness key` prints it, that this relay believes.
    #[serde(default)]
    pub witnesses: Vec<VerifierKey>,
    /// How many of them must have cosigned the vendor's ledger before it counts; all of them where it is not given.
    #[serde(default)]
    pub quorum: Option<usize>,
}

/// Why a configuration that parses is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadConfig {
    /// The file or a variable does not parse.
    #[error(transparent)]
    Load(#[from] ConfigError),
    /// Nobody could pay.
    #[error(
        "`vendors` is empty, so that nobody could pay; add a [[vendors]] table with an address"
    )]
    NoVendor,
    /// A credit would last for less than a second.
    #[error(
        "`prices.{key}` is above {MAX_PRICE} credits per 30 days, less than a second for a credit; lower it"
    )]
    Price {
        /// The key.
        key: &'static str,
    },
    /// Requests ask for one day at least.
    #[error("`max_days` is 0, so that every request would be refused; set it to 1 at least")]
    MaxDays,
    /// The relay's address would name no machine.
    #[error(
        "`listen` is {listen}, which is every address of this machine and none that clients could be given; \
         set `public_authority` to the host[:port] that they reach"
    )]
    NoAuthority {
        /// What was given.
        listen: SocketAddr,
    },
    /// Clients could not reach the relay by it.
    #[error("`public_authority` is {given:?}, which is no host[:port]; correct it")]
    Authority {
        /// What was given.
        given: String,
    },
    /// Witnesses that cannot be what they are said to be.
    #[error("the witnesses of {vendor}: {source}; correct `witnesses` and `quorum`")]
    Witnesses {
        /// Whose.
        vendor: VendorAddress,
        /// What is wrong.
        source: BadPolicy,
    },
    /// A duration that tasks run at must not be zero.
    #[error("`{key}` is zero; set it to `1s` at least")]
    Interval {
        /// The key.
        key: &'static str,
    },
}

/// An id that is as good as any to see whether an address can be read.
const NOBODY: OperatorId = OperatorId::from_bytes([0; 32]);

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

fn default_name() -> String {
    String::from("scrip-relay")
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7500))
}

fn default_data_dir() -> PathBuf {
    PathBuf::from(".")
}

fn default_max_connections() -> usize {
    ConnectionLimits::default().max_connections
}

fn default_max_connections_per_address() -> usize {
    ConnectionLimits::default().max_connections_per_address
}

fn default_max_days() -> u16 {
    400
}

impl Default for Prices {
    fn default() -> Self {
        Self { queue: 2, chunk_64k: 1, chunk_256k: 1, chunk_1m: 1, chunk_4m: 4 }
    }
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self { queues: 10_000, chunks: HumanSize(10 << 30), collect_every: HumanDuration(MINUTE) }
    }
}

impl Default for RedemptionConfig {
    fn default() -> Self {
        Self {
            every: HumanDuration(6 * HOUR),
            least_items: 256,
            deadline: HumanDuration(2 * DAY),
            manifests_every: HumanDuration(HOUR),
        }
    }
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self { proxy: None, extra_roots: None, timeout: HumanDuration(30) }
    }
}

impl Config {
    /// The defaults, with this directory and vendor.
    pub fn new(
        data_dir: impl Into<PathBuf>,
        vendors: impl IntoIterator<Item = VendorAddress>,
    ) -> Self {
        let vendor = |address| VendorConfig {
            address,
            online_above: None,
            stop_above: None,
            accept_test: false,
            witnesses: Vec::new(),
            quorum: None,
        };
        Self {
            name: default_name(),
            listen: default_listen(),
            public_authority: None,
            data_dir: data_dir.into(),
            tls: None,
            behind_tls_proxy: false,
            max_connections: default_max_connections(),
            max_connections_per_address: default_max_connections_per_address(),
            max_days: default_max_days(),
            prices: Prices::default(),
            storage: StorageConfig::default(),
            redemption: RedemptionConfig::default(),
            client: ClientConfig::default(),
            vendors: vendors.into_iter().map(vendor).collect(),
        }
    }

    /// Reads the file at `path` and the variables of `env`. Relative paths in it are relative to its directory.
    ///
    /// # Errors
    /// [`BadConfig`].
    pub fn read(
        path: &Path,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, BadConfig> {
        let mut config: Self = load(path, ENV_PREFIX, env)?;
        let directory = path.parent().unwrap_or(Path::new("."));
        // Without the dot of the default, which would show in messages.
        config.data_dir = directory.join(&config.data_dir).components().collect();
        if let Some(tls) = &mut config.tls {
            tls.certificate = directory.join(&tls.certificate);
            tls.key = directory.join(&tls.key);
        }
        config.client.extra_roots = config.client.extra_roots.map(|path| directory.join(path));
        config.check()?;
        Ok(config)
    }

    /// Checks what the types of the keys do not say.
    ///
    /// # Errors
    /// [`BadConfig`].
    pub fn check(&self) -> Result<(), BadConfig> {
        if self.vendors.is_empty() {
            return Err(BadConfig::NoVendor);
        }
        if self.max_days == 0 {
            return Err(BadConfig::MaxDays);
        }
        let intervals = [
            ("storage.collect_every", self.storage.collect_every),
            ("redemption.every", self.redemption.every),
            ("redemption.manifests_every", self.redemption.manifests_every),
            ("client.timeout", self.client.timeout),
        ];
        if let Some((key, _)) = intervals.into_iter().find(|(_, interval)| interval.0 == 0) {
            return Err(BadConfig::Interval { key });
        }
        if self.public_authority.is_none() && self.listen.ip().is_unspecified() {
            return Err(BadConfig::NoAuthority { listen: self.listen });
        }
        if let Some(given) = &self.public_authority {
            let address = RelayAddress { id: NOBODY, authority: given.clone() };
            if address.to_string().parse::<RelayAddress>().is_err() {
                return Err(BadConfig::Authority { given: given.clone() });
            }
        }
        for vendor in &self.vendors {
            vendor.witness_policy()?;
        }
        self.prices.check()
    }

    /// `host[:port]` for the relay's address.
    pub fn authority(&self) -> String {
        self.public_authority.clone().unwrap_or_else(|| self.listen.to_string())
    }

    /// What clients append paths to.
    pub fn base_url(&self) -> String {
        base_url(&self.authority())
    }

    /// Where to listen and how connections are protected.
    pub fn listen(&self) -> Listen {
        Listen {
            address: self.listen,
            tls: self.tls.clone(),
            behind_tls_proxy: self.behind_tls_proxy,
        }
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

impl Prices {
    /// The price list that clients see.
    pub fn list(&self) -> PriceList {
        let Self { queue, chunk_64k, chunk_256k, chunk_1m, chunk_4m } = *self;
        PriceList { queue, chunk_64k, chunk_256k, chunk_1m, chunk_4m }
    }

    fn check(&self) -> Result<(), BadConfig> {
        let prices = [
            ("queue", self.queue),
            ("chunk_64k", self.chunk_64k),
            ("chunk_256k", self.chunk_256k),
            ("chunk_1m", self.chunk_1m),
            ("chunk_4m", self.chunk_4m),
        ];
        match prices.into_iter().find(|(_, price)| *price > MAX_PRICE) {
            Some((key, _)) => Err(BadConfig::Price { key }),
            None => Ok(()),
        }
    }
}

impl RedemptionConfig {
    /// When the verifier redeems.
    pub fn schedule(&self) -> Schedule {
        Schedule {
            interval: self.every.duration(),
            least_items: self.least_items.into(),
            deadline: self.deadline.duration(),
            ..Schedule::default()
        }
    }
}

impl VendorConfig {
    /// The terms on which the verifier accepts the vendor.
    ///
    /// # Errors
    /// [`BadConfig::Witnesses`].
    pub fn policy(&self) -> Result<VendorPolicy, BadConfig> {
        let risk = match self.online_above {
            Some(credits) => Risk::OnlineAbove(Credits(credits)),
            None => Risk::Offline,
        };
        Ok(VendorPolicy {
            address: self.address.clone(),
            risk,
            stop_above: self.stop_above.map(Credits),
            accept_test: self.accept_test,
            witnesses: self.witness_policy()?,
        })
    }

    /// Whose cosignatures the vendor's ledger needs.
    ///
    /// # Errors
    /// [`BadConfig::Witnesses`].
    pub fn witness_policy(&self) -> Result<WitnessPolicy, BadConfig> {
        let quorum = self.quorum.unwrap_or(self.witnesses.len());
        WitnessPolicy::new(self.witnesses.clone(), quorum)
            .map_err(|source| BadConfig::Witnesses { vendor: self.address.clone(), source })
    }
}
