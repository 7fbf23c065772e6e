//! Addresses of vendors and relays, which carry the identifier that everything signed is checked against.

use crate::id::{OperatorId, VendorId};

/// Text that is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an address has the form {scheme}://<43 characters of base64url>@host[:port]")]
pub struct ParseAddressError {
    /// The scheme that was expected.
    pub scheme: &'static str,
}

const VENDOR_SCHEME: &str = "scrip";
const RELAY_SCHEME: &str = "scrip-relay";

/// Where a vendor is, and who it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VendorAddress {
    /// The hash of its root key.
    pub id: VendorId,
    /// `host[:port]`
    pub authority: String,
}

/// Where a relay is, and who runs it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelayAddress {
    /// The hash of the operator's key.
    pub id: OperatorId,
    /// `host[:port]`
    pub authority: String,
}

/// `http://` for loopback hosts, where the bytes do not leave the machine; `https://` for all others.
pub fn base_url(authority: &str) -> String {
    let scheme = if is_loopback(host_of(authority)) { "http" } else { "https" };
    format!("{scheme}://{authority}")
}

/// The host of `host[:port]`, without the brackets of an IPv6 address.
pub fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None => authority.split_once(':').map_or(authority, |(host, _)| host),
    }
}

/// Whether a host is this machine: `localhost`, 127.0.0.0/8 or ::1.
pub fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn split<'a>(text: &'a str, scheme: &'static str) -> Result<(&'a str, &'a str), ParseAddressError> {
    let rest = text.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://"));
    let (id, authority) =
        rest.and_then(|rest| rest.split_once('@')).ok_or(ParseAddressError { scheme })?;
    if is_authority(authority) { Ok((id, authority)) } else { Err(ParseAddressError { scheme }) }
}

/// `host[:port]` of RFC 3986 without user information, narrow enough to be pasted into a URL.
pub fn is_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, port)) if host.parse::<std::net::Ipv6Addr>().is_ok() => (host, port),
            _ => return false,
        },
        None => match text.find(':') {
            Some(at) => text.split_at(at),
            None => (text, ""),
        },
    };
    let port_is_fine = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| {
            digits.bytes().all(|b| b.is_ascii_digit())
                && digits.parse::<u16>().is_ok_and(|port| port != 0)
        });
    let host_is_fine = !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b));
    port_is_fine && host_is_fine
}

macro_rules! address {
    ($name:ident, $scheme:expr) => {
        impl $name {
            /// What paths are appended to; see [`base_url`].
            pub fn base_url(&self) -> String {
                base_url(&self.authority)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}://{}@{}", $scheme, self.id, self.authority)
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseAddressError;
            fn from_str(text: &str) -> Result<Self, ParseAddressError> {
                let (id, authority) = split(text.trim(), $scheme)?;
                let id = id.parse().map_err(|_| ParseAddressError { scheme: $scheme })?;
                Ok(Self { id, authority: authority.to_owned() })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

address!(VendorAddress, VENDOR_SCHEME);
address!(RelayAddress, RELAY_SCHEME);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_round_trip_and_bad_ones_are_refused() {
        let id = VendorId::from_bytes([7; 32]);
        for authority in ["vendor.example", "vendor.example:8443", "[::1]:80", "127.0.0.1:7000"] {
            let address = VendorAddress { id, authority: authority.into() };
            assert_eq!(address.to_string().parse(), Ok(address));
        }
        for authority in [
            "",
            ":80",
            "a b",
            "a/b",
            "user@host",
            "host:",
            "host:99999",
            "host:0",
            "[::1",
            "[x]",
            "h?q",
        ] {
            let text = format!("scrip://{id}@{authority}");
            assert!(text.parse::<VendorAddress>().is_err(), "{text}");
        }
        assert!(format!("scrip-relay://{id}@host").parse::<VendorAddress>().is_err());
        assert!("scrip://short@host".parse::<VendorAddress>().is_err());
    }

    #[test]
    fn only_loopback_is_plain() {
        assert_eq!(base_url("localhost:1"), "http://localhost:1");
        assert_eq!(base_url("127.8.0.1"), "http://127.8.0.1");
        assert_eq!(base_url("[::1]:9"), "http://[::1]:9");
        assert_eq!(base_url("127.0.0.1.example"), "https://127.0.0.1.example");
    }
}
