//! Clients for the two sides of a wallet's life.

use std::{fmt, str::FromStr, time::Duration};

use scrip_protocol::{
    address::{RelayAddress, VendorAddress},
    id::encode_base64url,
};
use scrip_runtime::{
    client::{ClientError, ClientOptions, HttpClient},
    clock::SharedClock,
};
use serde::{Deserialize, Serialize};

use super::{ListReader, ListSource, RelayClient, VendorClient};
use crate::entropy::Entropy;

const TOR: &str = "tor://";
const SOCKS: &str = "socks5h://";

/// A SOCKS5 proxy: `socks5h://host:port`, or `tor://host:port`, which is the same. Every client comes under a user name of its own, so that
/// Tor gives it circuits of its own. `socks5h://user:password@host:port` is somebody's account at a proxy, and
/// `socks5h://@host:port` a proxy that takes no names, such as SSH's: there all clients come alike.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProxySetting(String);

/// Text that names no proxy. It may hold a password and is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a proxy is written as tor://host:port or socks5h://host:port; one that takes no user names as socks5h://@host:port"
)]
pub struct ProxyError;

impl FromStr for ProxySetting {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let rest = text.strip_prefix(TOR).or_else(|| text.strip_prefix(SOCKS)).ok_or(ProxyError)?;
        let has_user = rest.contains('@');
        let host_and_port = rest.rsplit('@').next().and_then(|place| place.rsplit_once(':'));
        let usable = host_and_port
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if usable && !(has_user && text.starts_with(TOR)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ProxyError)
        }
    }
}

impl TryFrom<String> for ProxySetting {
    type Error = ProxyError;
    fn try_from(text: String) -> Result<Self, ProxyError> {
        text.parse()
    }
}

impl From<ProxySetting> for String {
    fn from(proxy: ProxySetting) -> Self {
        proxy.0
    }
}

/// Without the user and the password.
impl fmt::Display for ProxySetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.split_once("://"), self.0.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, place))) => write!(f, "{scheme}://…@{place}"),
            _ => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for ProxySetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl ProxySetting {
    /// The URL for one client. Tor separates what comes under different names, and puts what comes without one onto circuits that
    /// it likes (path-spec, "Stream isolation").
    fn url(&self, entropy: &Entropy) -> String {
        let place = self.0.strip_prefix(TOR).or_else(|| self.0.strip_prefix(SOCKS));
        match place {
            Some(place) if !place.contains('@') => {
                let circuit = encode_base64url(&entropy.bytes::<12>());
                format!("{SOCKS}{circuit}:scrip@{place}")
            }
            Some(place) => format!("{SOCKS}{}", place.strip_prefix('@').unwrap_or(place)),
            None => self.0.clone(),
        }
    }

    /// Whether all clients come to the proxy alike, under one name or none, which ties them together there.
    pub(crate) fn takes_all_alike(&self) -> bool {
        self.0.contains('@')
    }
}

/// How the network is reached.
#[derive(Clone, Debug)]
pub struct NetworkOptions {
    /// The proxy on the way to the vendor.
    pub proxy_buy: Option<ProxySetting>,
    /// The proxy on the way to relays.
    pub proxy_spend: Option<ProxySetting>,
    /// PEM certificates that are trusted besides the system's.
    pub extra_roots_pem: Option<Vec<u8>>,
    /// How long an answer may take.
    pub timeout: Duration,
}

impl Default for NetworkOptions {
    /// No proxies, the system's roots, 30 seconds.
    fn default() -> Self {
        let timeout = Duration::from_secs(30);
        Self { proxy_buy: None, proxy_spend: None, extra_roots_pem: None, timeout }
    }
}

/// Makes clients.
#[derive(Clone, Debug)]
pub struct Network {
    options: NetworkOptions,
    entropy: Entropy,
}

impl Network {
    /// A network that is reached as `options` say.
    pub fn new(options: NetworkOptions, entropy: Entropy) -> Self {
        Self { options, entropy }
    }

    /// A client for one purchase, with connections of its own.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn vendor(&self, address: &VendorAddress) -> Result<VendorClient, ClientError> {
        let http = self.client(self.options.proxy_buy.as_ref())?;
        Ok(VendorClient::new(http, address.clone()))
    }

    /// A client for one resource, or for the chunks of one file, at one relay, with connections of its own.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn relay(
        &self,
        address: &RelayAddress,
        clock: SharedClock,
    ) -> Result<RelayClient, ClientError> {
        let http = self.client(self.options.proxy_spend.as_ref())?;
        Ok(RelayClient::new(http, address.clone(), clock, self.entropy.clone()))
    }

    /// A reader of lists, with connections of its own, on the way for spending: who has bought does not show beside it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) fn lists(
        &self,
        source: &ListSource,
        vendor: &VendorAddress,
    ) -> Result<ListReader, ClientError> {
        let url = match source {
            ListSource::Directory(path) => return Ok(ListReader::Directory(path.clone())),
            ListSource::Vendor => vendor.base_url() + "/ledger",
            ListSource::Url(url) => url.clone(),
        };
        let http = self.client(self.options.proxy_spend.as_ref())?;
        Ok(ListReader::Http(Box::new(http), url))
    }

    fn client(&self, proxy: Option<&ProxySetting>) -> Result<HttpClient, ClientError> {
        HttpClient::new(ClientOptions {
            proxy: proxy.map(|proxy| proxy.url(&self.entropy)),
            extra_roots_pem: self.options.extra_roots_pem.clone(),
            timeout: self.options.timeout,
        })
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    #[test]
    fn proxies_are_checked_and_hide_their_password() {
        for text in ["socks5h://127.0.0.1:9050", "tor://[::1]:9050", "socks5h://u:p@host:1"] {
            assert!(text.parse::<ProxySetting>().is_ok(), "{text}");
        }
        for text in
            ["socks5://host:1", "http://host:1", "tor://u:p@host:1", "tor://host", "tor://:1"]
        {
            assert_eq!(text.parse::<ProxySetting>(), Err(ProxyError), "{text}");
        }
        let proxy: ProxySetting = "socks5h://user:secret@host:1".parse().unwrap();
        assert_eq!(format!("{proxy} {proxy:?}"), "socks5h://…@host:1 socks5h://…@host:1");
    }

    #[test]
    fn each_client_has_a_circuit_of_its_own() {
        let entropy = Entropy::new(ChaCha20Rng::from_seed([1; 32]));
        let tor: ProxySetting = "tor://127.0.0.1:9050".parse().unwrap();
        let (one, two) = (tor.url(&entropy), tor.url(&entropy));
        assert_ne!(one, two);
        assert!(one.starts_with("socks5h://") && one.ends_with(":scrip@127.0.0.1:9050"), "{one}");
        let plain: ProxySetting = "socks5h://h:1".parse().unwrap();
        let (one, two) = (plain.url(&entropy), plain.url(&entropy));
        assert_ne!(one, two);
        assert!(one.starts_with("socks5h://") && one.ends_with(":scrip@h:1"), "{one}");
        // Somebody's own account at a proxy: it would not be let in under another name.
        let account: ProxySetting = "socks5h://u:p@h:1".parse().unwrap();
        assert_eq!(account.url(&entropy), "socks5h://u:p@h:1");
        let nameless: ProxySetting = "socks5h://@h:1".parse().unwrap();
        assert_eq!(nameless.url(&entropy), "socks5h://h:1");
        assert!(
            account.takes_all_alike() && nameless.takes_all_alike() && !plain.takes_all_alike()
        );
    }
}
