//! The text of a new `issuer.toml`: every key with its default and what it means.

use std::net::SocketAddr;

/// The configuration file that `init` writes.
pub fn template(listen: SocketAddr, public_authority: Option<&str>, database: &str) -> String {
    let public_authority = match public_authority {
        Some(authority) => format!("public_authority = {}", quoted(authority)),
        None => String::from("# public_authority = \"vendor.example\""),
    };
    let database = quoted(database);
    format!(
        r##"# scrip-issuer. Every key can also be set by a variable: SCRIP_ISSUER_LISTEN, and for keys of a
# table SCRIP_ISSUER_SIGNER__THREADS. Lines that begin with "#" show the defaults.
#
# The passphrase of the keys is no part of this file: SCRIP_ISSUER_PASSPHRASE_FILE names a file that
# holds it, or SCRIP_ISSUER_PASSPHRASE is it.

# Where to listen. Plain HTTP is served on loopback addresses only, see [tls] and behind_tls_proxy.
listen = "{listen}"

# "host[:port]" under which wallets and relays reach this issuer. Part of the vendor's address. The
# default is `listen`.
{public_authority}

# "sqlite://PATH" for one process on one machine, or "postgres://USER:PASSWORD@HOST/NAME" for several.
# The private keys lie in it, sealed under the passphrase: back it up, and the passphrase elsewhere.
database = {database}

# Connections to PostgreSQL. SQLite always has one writer and four readers.
# database_connections = 16

# Set this where a proxy in front of this program speaks TLS, to serve plain HTTP to it.
# behind_tls_proxy = false

# Connections from clients at one time. Where all are taken, a new one takes the place of the client that
# has been waited for the longest.
# max_connections = 512

# Connections from one IPv4 address or one /64 of IPv6 addresses. Where behind_tls_proxy is set, and for
# connections from this machine, nothing is counted: such clients are the proxy's to count.
# max_connections_per_address = 64

# Where this program itself speaks TLS: PEM files, read again every hour.
# [tls]
# certificate = "/etc/scrip/fullchain.pem"
# key = "/etc/scrip/privkey.pem"

# [signer]
# Threads that sign; 0 is one per core.
# threads = 0
# Signatures that may wait before requests are answered "overloaded".
# queue = 8192

# The ledger: where its files are, a directory or "s3://BUCKET/PREFIX". The default is "ledger" in this directory. Issuers of one
# database share one. The number of leaves is always a multiple of `fill`: cover leaves hide how many redemptions there are.
# [ledger]
# store = "/var/lib/scrip/ledger"
# fill = 256
# Statements are made by themselves when a month is over ("monthly"), or with the command alone ("never").
# statements = "monthly"
# Who cosigns the ledger, so that nobody has to believe that you show everybody the same: the key as `scrip-witness key`
# prints it, and where the witness is: {{ key = "witness.example/w1+...", url = "https://witness.example" }}.
# witnesses = []
# Of an S3-compatible store; the secret is better given as SCRIP_ISSUER_LEDGER__SECRET_ACCESS_KEY.
# endpoint = "https://s3.example"
# region = "us-east-1"
# access_key_id = "AKIA"
# secret_access_key = ""

# The epochs of keys; what is changed here holds for those that are made after it. Each has a key for
# each denomination that a product has. It signs for `issue_for`; its certificates can be spent for
# `spend_for` after that, exchanged for new ones in the last `renew_for` of it, and redeemed for
# `redeem_for` after it. What was redeemed is kept for `keep_for` after that, and the sums for ever.
# Wallets buy nothing where more than four epochs begin in 30 days: `issue_for` is 180 hours at least.
# [epoch]
# issue_for = "30d"
# spend_for = "365d"
# renew_for = "30d"
# redeem_for = "8d"
# keep_for = "30d"
# How long before an epoch stops issuing the next one's keys are made and published. Relays that have
# not asked for the manifest in this time do not know the new keys.
# ahead = "7d"
# Test keys beside the others of each epoch, which sign what was bought in the test environment of an app
# store. Their certificates are worth nothing: relays refuse them unless their operators say otherwise.
# Without test keys such purchases are refused.
# test_keys = false

# What is sold: exponent = number of certificates of 2^exponent credits each. The products are part of the
# manifest, so that wallets see that everybody who buys one gets the same. What a name stands for never
# changes: to sell something else, choose another name. What is removed here is no longer sold.
[products.starter]
pack = {{ 0 = 8, 1 = 8, 2 = 6, 3 = 5, 4 = 4, 5 = 2, 6 = 1, 7 = 2 }}

# A product can be issued in two parts, so that a refund in the first days costs less: "pack" at once, and this later.
# [products.starter.rest]
# pack = {{ 0 = 8, 1 = 8 }}
# after = "14d"

# A product that each wallet gets for nothing once a period: wallets cost nothing to make, so each has to work for it
# (20 bits are about a second), and all together get no more than so many credits a day.
# It is the product of this name, the same for all.
# [products.free]
# pack = {{ 0 = 4 }}
# [sources.free]
# period = "30d"
# work = 20
# credits_per_day = 10000

# The App Store: the app, and what is sold in it. The identifiers are those of App Store Connect, where each must be a
# consumable. Purchases are checked by Apple's signature; nothing has to be asked of Apple.
# [sources.apple]
# bundle_id = "example.app"
# products = {{ "example.app.starter" = "starter" }}

# Google Play: the app, the key file of a service account that may see and consume its orders, and which of Google's
# products is which of ours.
# [sources.google]
# package = "org.example.app"
# service_account = "/etc/scrip/google.json"
# products = {{ starter_pack = "starter" }}
# How long Google may take to answer.
# timeout = "5s"
# To hear of refunds at once: the push subscription of Pub/Sub, to https://VENDOR/v1/notifications/google.
# [sources.google.push]
# audience = "https://vendor.example/v1/notifications/google"
# account = "push@project.iam.gserviceaccount.com"

# Stripe: the signing secrets of the webhook endpoint https://VENDOR/v1/notifications/stripe, here or in a file, one a
# line. "amount" is in the currency's smallest unit.
# [sources.stripe]
# webhook_secrets = ["whsec_from_the_dashboard"]
# webhook_secrets_file = "/etc/scrip/stripe"
# [sources.stripe.products.starter]
# amount = 499
# currency = "eur"
# payment_link = "https://buy.stripe.com/from_the_dashboard"

# BTCPay Server: the store, an API key for its invoices, and the secret of the webhook
# https://VENDOR/v1/notifications/btcpay; both can lie in files.
# [sources.btcpay]
# server = "https://pay.example"
# store = "StoreId"
# api_key_file = "/etc/scrip/btcpay-key"
# webhook_secrets_file = "/etc/scrip/btcpay-webhook"
# Whether wallets that order are given an invoice; whether the store is on a test network.
# invoices = true
# test = false
# timeout = "10s"
# [sources.btcpay.products.starter]
# amount = "4.99"
# currency = "EUR"
"##
    )
}

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
