//! Configuration: `witness.toml`, overlaid by `SCRIP_WITNESS_…` variables.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use scrip_protocol::tlog::note::{Algorithm, KeyName, VerifierKey};
use scrip_runtime::{
    config::{ConfigError, load},
    serve::{ConnectionLimits, Listen, TlsFiles},
};
use serde::Deserialize;

/// The file's name in the witness's directory.
pub(super) const FILE_NAME: &str = "witness.toml";
/// What the names of environment variables begin with.
pub(super) const ENV_PREFIX: &str = "SCRIP_WITNESS";

/// Everything that the operator of a witness can set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The witness's name, which its cosignatures carry: by custom a URL without its scheme. It stays with the key.
    pub name: KeyName,
    /// Where to listen.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// Where the key and the checkpoints lie; relative to the file.
    #[serde(default = "default_data_dir")]
    pub data_dir: PathBuf,
    /// The TLS certificate, where this program itself speaks TLS.
    #[serde(default)]
    pub tls: Option<TlsFiles>,
    /// Whether a proxy in front of this program speaks TLS.
    #[serde(default)]
    pub behind_tls_proxy: bool,
    /// The logs to watch.
    #[serde(default)]
    pub logs: Vec<LogConfig>,
}

/// A log to watch.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// The key that the log signs with, as `scrip-issuer ledger key` or the log's operator gives it. More entries with one name are
    /// more keys of one log: while it changes its key, for one.
    pub key: VerifierKey,
    /// The origin of its checkpoints, where it is not the key's name.
    #[serde(default)]
    pub origin: Option<KeyName>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadConfig {
    /// The file or a variable.
    #[error(transparent)]
    Load(#[from] ConfigError),
    /// A witness's key where a log's should be.
    #[error("the key of the log {0} is a witness's (algorithm 4); a log's has algorithm 1")]
    NotALog(KeyName),
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7700))
}

fn default_data_dir() -> PathBuf {
    ".".into()
}

impl Config {
    /// A witness that keeps its files in `data_dir`, with defaults for the rest.
    pub fn new(name: KeyName, data_dir: impl Into<PathBuf>, logs: Vec<LogConfig>) -> Self {
        let (listen, data_dir) = (default_listen(), data_dir.into());
        Self { name, listen, data_dir, tls: None, behind_tls_proxy: false, logs }
    }

    pub(super) fn read(
        path: &Path,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, BadConfig> {
        let mut config: Self = load(path, ENV_PREFIX, env)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        config.data_dir = folder.join(&config.data_dir);
        for log in &config.logs {
            if log.key.algorithm() != Algorithm::Ed25519 {
                return Err(BadConfig::NotALog(log.key.name().clone()));
            }
        }
        Ok(config)
    }

    pub(super) fn logs_by_origin(&self) -> Vec<(KeyName, Vec<VerifierKey>)> {
        let mut logs: BTreeMap<KeyName, Vec<VerifierKey>> = BTreeMap::new();
        for log in &self.logs {
            let origin = log.origin.as_ref().unwrap_or(log.key.name());
            logs.entry(origin.clone()).or_default().push(log.key.clone());
        }
        logs.into_iter().collect()
    }

    pub(super) fn listen(&self) -> Listen {
        Listen {
            address: self.listen,
            tls: self.tls.clone(),
            behind_tls_proxy: self.behind_tls_proxy,
        }
    }

    pub(super) fn limits(&self) -> ConnectionLimits {
        ConnectionLimits::default()
    }
}

/// The text of a new configuration.
pub(super) fn template(name: &KeyName, listen: Option<SocketAddr>) -> String {
    format!(
        "# The configuration of scrip-witness. Variables such as SCRIP_WITNESS_LISTEN take precedence.\n\
         name = \"{name}\"\n\
         listen = \"{}\"\n\
         # behind_tls_proxy = true\n\
         # tls = {{ certificate = \"cert.pem\", key = \"key.pem\" }}\n\n\
         # One entry for each log to watch, with the key that its operator gives you.\n\
         # [[logs]]\n\
         # key = \"scrip.ledger/v1/...+0123abcd+A...\"\n",
        listen.unwrap_or_else(default_listen)
    )
}
