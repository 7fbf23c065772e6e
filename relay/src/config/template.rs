//! The text of a new `relay.toml`: every key with its default and what it means.

use std::net::SocketAddr;

use scrip_protocol::address::VendorAddress;

/// The configuration file that `init` writes.
pub fn template(
    name: &str,
    listen: SocketAddr,
    public_authority: Option<&str>,
    vendors: &[VendorAddress],
) -> String {
    let name = quoted(name);
    let public_authority = match public_authority {
        Some(authority) => format!("public_authority = {}", quoted(authority)),
        None => String::from("# public_authority = \"relay.example\""),
    };
    let vendor = |address: &VendorAddress| VENDOR.replace("ADDRESS", &quoted(&address.to_string()));
    let vendors: String = vendors.iter().map(vendor).collect();
    format!(
        r##"# scrip-relay. Every key can also be set by a variable: SCRIP_RELAY_LISTEN, and for keys of a table
# SCRIP_RELAY_PRICES__QUEUE. Lines that begin with "#" show the defaults. Relative paths are relative
# to the directory of this file.
#
# The passphrase of the operator's key is no part of this file: SCRIP_RELAY_PASSPHRASE_FILE names a
# file that holds it, or SCRIP_RELAY_PASSPHRASE is it.

# The relay's name, for people.
name = {name}

# Where to listen. Plain HTTP is served on loopback addresses only, see [tls] and behind_tls_proxy.
listen = "{listen}"

# "host[:port]" under which clients reach this relay. Part of its address. The default is `listen`.
{public_authority}

# Where keys, databases and chunks lie. Back up operator.key and operator.pub once, and the passphrase
# elsewhere; relay.db and spent.sqlite hold what the vendors owe you.
# data_dir = "."

# Set this where a proxy in front of this program speaks TLS, to serve plain HTTP to it.
# behind_tls_proxy = false

# Connections from clients at one time. Where all are taken, a new one takes the place of the client that
# has been waited for the longest.
# max_connections = 512

# Connections from one IPv4 address or one /64 of IPv6 addresses. Where behind_tls_proxy is set, and for
# connections from this machine, nothing is counted: such clients are the proxy's to count.
# max_connections_per_address = 64

# The most days that a request may ask for. Who pays more than he must gets more.
# max_days = 400

# Where this program itself speaks TLS: PEM files, read again every hour.
# [tls]
# certificate = "/etc/scrip/fullchain.pem"
# key = "/etc/scrip/privkey.pem"

# Credits per 30 days. A change holds for what is paid after it.
# [prices]
# queue = 2
# chunk_64k = 1
# chunk_256k = 1
# chunk_1m = 1
# chunk_4m = 4

# How much is promised at one time; more is refused before it is paid. A queue can hold 2 MiB.
# [storage]
# queues = 10000
# chunks = "10GiB"
# collect_every = "1m"

# When certificates are redeemed: at fixed times, not before there are `least_items` of them, or the
# oldest has waited for `deadline`. Many at once tell the vendor less of each; but after a week a user
# who restored a lost wallet may take what it paid here for unspent.
# [redemption]
# every = "6h"
# least_items = 256
# deadline = "2d"
# manifests_every = "1h"

# The way to the vendors.
# [client]
# proxy = "socks5h://127.0.0.1:9050"
# extra_roots = "roots.pem"
# timeout = "30s"

# Whose certificates are accepted; one table for each vendor.
{vendors}"##
    )
}

/// One vendor's table.
const VENDOR: &str = r#"
[[vendors]]
address = ADDRESS
# Redeem payments of more credits than this before anything is provisioned. The vendor then sees the
# size and the moment of such payments, and they need the vendor to be up.
# online_above = 1000
# Accept nothing that would bring what is not redeemed above this; 0 parts from the vendor.
# stop_above = 100000
# Take certificates of test purchases. They are worth nothing: set this for a relay that the vendor or a
# developer of an app tries purchases with, and for no other.
# accept_test = false
# The keys of witnesses that this relay believes, as `scrip-witness key` prints them, and how many of them must
# have cosigned the vendor's ledger before `scrip-relay earnings` goes by it; all of them where it is not given.
# witnesses = []
# quorum = 0
"#;

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            control if control.is_control() => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(control)));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
