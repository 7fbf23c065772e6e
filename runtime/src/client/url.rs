//! Which URLs a client calls, and how a host becomes one.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::uri::Authority;
use reqwest::Url;

use super::TransportError;

/// The URL, without a path, of the host `authority` (`host` or `host:port`): `http://` where
/// the host is this machine (127.0.0.0/8, `::1`, `localhost`), else `https://`.
pub fn base_url(authority: &str) -> String {
    let local = authority.parse::<Authority>().is_ok_and(|parsed| is_loopback(parsed.host()));
    let scheme = if local { "http" } else { "https" };
    format!("{scheme}://{authority}")
}

/// Whether a client without a proxy may call `text`, for configurations that are checked before anything is called.
///
/// # Errors
///
/// [`TransportError::Refused`] with what is wrong.
pub fn check_url(text: &str) -> Result<(), TransportError> {
    allowed(text, false).map(drop)
}

/// Parses a URL that may be called: `https`, or `http` where nobody can listen, on this
/// machine or within Tor.
pub(super) fn allowed(text: &str, proxied: bool) -> Result<Url, TransportError> {
    let refused = |reason: &str| TransportError::Refused {
        reason: format!("{reason} (host: {})", host_for_messages(text)),
    };
    let url = Url::parse(text).map_err(|error| refused(&format!("not a URL ({error})")))?;
    let host = url.host_str().ok_or_else(|| refused("a URL without a host"))?;
    let onion = host.to_ascii_lowercase().ends_with(".onion");
    if onion && !proxied {
        return Err(refused("an onion address needs a proxy; configure socks5h://host:port"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if onion || is_loopback(host) => Ok(url),
        "http" => Err(refused("plain http is for this machine and onion addresses; use https")),
        _ => Err(refused("only https is spoken")),
    }
}

/// Host and port of a URL, for error messages; paths may hold what should not be logged.
pub(super) fn host_for_messages(text: &str) -> String {
    let host = Url::parse(text).ok().and_then(|url| {
        let host = url.host_str()?;
        Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
    });
    host.unwrap_or_else(|| "an unknown host".to_owned())
}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || bare.unwrap_or(host).parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
}
