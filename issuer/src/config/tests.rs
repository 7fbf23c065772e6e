//! The file that `init` writes says what the defaults are.

use std::io::Write;

use scrip_protocol::credits::Credits;
use scrip_runtime::config::{ConfigError, load};

use super::*;

fn load_text(text: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    load(file.path(), ENV_PREFIX, env)
}

fn written() -> String {
    template(default_listen(), Some("vendor.example"), "sqlite:///a \"b\\c")
}

/// The template with its commented defaults switched on.
fn uncommented() -> String {
    let is_name = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let is_key = |line: &str| line.split_once(" = ").is_some_and(|(name, _)| is_name(name));
    let is_table = |line: &str| line.starts_with('[') && line.ends_with(']');
    let uncomment = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if is_key(rest) || is_table(rest) => rest.to_owned(),
        _ => line.to_owned(),
    };
    written().lines().map(uncomment).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_template_is_the_default() {
    let config = load_text(&written(), &[]).unwrap();
    let default = Config::new("sqlite:///a \"b\\c");
    assert_eq!(config.public_authority.as_deref(), Some("vendor.example"));
    let expected = Config { public_authority: config.public_authority.clone(), ..default };
    assert_eq!(format!("{config:?}"), format!("{expected:?}"));
}

#[test]
fn the_commented_defaults_are_the_defaults() {
    let text = uncommented();
    assert!(text.contains("\nthreads = 0") && text.contains("\n[epoch]"), "{text}");
    let config = load_text(&text, &[]).unwrap();
    let tls = config.tls.clone().unwrap();
    assert_eq!(tls.key, Path::new("/etc/scrip/privkey.pem"));
    let sources = &config.sources;
    assert_eq!(sources.apple.as_ref().unwrap().products["example.app.starter"], "starter");
    assert_eq!(sources.google.as_ref().unwrap().products["starter_pack"], "starter");
    assert_eq!(sources.stripe.as_ref().unwrap().products["starter"].amount, 499);
    let btcpay = sources.btcpay.as_ref().unwrap();
    assert!(btcpay.invoices && !btcpay.test && btcpay.products.contains_key("starter"));
    let plain = load_text(&written(), &[]).unwrap();
    // A second part is an example, and so is every source.
    assert!(config.products["starter"].rest.is_some() && plain.products["starter"].rest.is_none());
    let products = plain.products.clone();
    let sources = SourcesConfig::default();
    // Where the ledger is, is an example too.
    assert!(config.ledger.store.is_some() && config.ledger.secret_access_key.is_some());
    let ledger = LedgerConfig { fill: config.ledger.fill, ..LedgerConfig::default() };
    let without = Config { tls: None, products, sources, ledger, ..config };
    assert_eq!(format!("{without:?}"), format!("{plain:?}"));
}

#[test]
fn the_starter_pack_has_plenty_of_small_certificates() {
    let config = Config::new("sqlite://x");
    let pack = &config.products["starter"].pack;
    assert_eq!((pack.size(), pack.credits()), (36, Credits(536)));
}

#[test]
fn variables_reach_every_kind_of_key() {
    let env = [
        ("SCRIP_ISSUER_LISTEN", "127.0.0.1:0"),
        ("SCRIP_ISSUER_SIGNER__THREADS", "3"),
        ("SCRIP_ISSUER_EPOCH__ISSUE_FOR", "5d"),
        ("SCRIP_ISSUER_PRODUCTS__BIG__PACK", "{ 3 = 7 }"),
        ("SCRIP_ISSUER_SOURCES__STRIPE__WEBHOOK_SECRETS", "[\"whsec_1\"]"),
        ("SCRIP_ISSUER_SOURCES__STRIPE__PRODUCTS__BIG", "{ amount = 999, currency = \"eur\" }"),
        ("SCRIP_ISSUER_PASSPHRASE", "no key of the configuration"),
    ];
    let config = load_text(&written(), &env).unwrap();
    assert_eq!((config.listen.port(), config.signer.threads), (0, 3));
    assert_eq!(config.epoch.issue_for, HumanDuration(5 * DAY));
    assert_eq!(config.products["big"].pack.size(), 7);
    assert_eq!(config.sources.stripe.as_ref().unwrap().products["big"].amount, 999);
    assert!(!format!("{config:?}").contains("whsec_1"), "secrets are not printed");
}

#[test]
fn unknown_keys_and_bad_packs_are_errors() {
    for bad in ["lisen = 1\n", "[signer]\ntreads = 1\n", "[products.x]\npack = { 40 = 1 }\n"] {
        let text = format!("database = 'sqlite://x'\n{bad}");
        assert!(load_text(&text, &[]).is_err(), "{bad}");
    }
    assert!(load_text(&written(), &[("SCRIP_ISSUER_LISEN", "1")]).is_err());
}

#[test]
fn paths_survive_in_urls() {
    assert_eq!(sqlite_url(Path::new("/a b/100%?#")), "sqlite:///a b/100%25%3F%23");
}
