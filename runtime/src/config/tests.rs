//! What operators write, and what they are told.

use std::{collections::BTreeMap, io::Write};

use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Config {
    name: String,
    port: u16,
    #[serde(default)]
    keep: Option<HumanDuration>,
    #[serde(default)]
    prices: Vec<u32>,
    #[serde(default)]
    store: Store,
    #[serde(default)]
    peers: Vec<Peer>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
struct Store {
    url: String,
    quota: Option<HumanSize>,
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Peer {
    host: String,
}

fn load_text(text: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    load(
        file.path(),
        "SCRIP_TEST",
        env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    )
}

fn error_of(text: &str, env: &[(&str, &str)]) -> String {
    load_text(text, env).unwrap_err().to_string()
}

const FILE: &str = "name = \"one\"\nport = 1\n\n[store]\nurl = \"sqlite:a\"\n";

#[test]
fn the_file_alone() {
    let config = load_text(FILE, &[("SCRIP_OTHER", "x"), ("SCRIP_TESTING", "x")]).unwrap();
    assert_eq!((config.name.as_str(), config.port), ("one", 1));
    assert_eq!(config.store.url, "sqlite:a");
}

#[test]
fn variables_override_keys_and_tables() {
    let config = load_text(
        FILE,
        &[
            ("SCRIP_TEST_PORT", "8080"),
            ("SCRIP_TEST_KEEP", "30d"),
            ("SCRIP_TEST_PRICES", "[1, 2]"),
            ("SCRIP_TEST_STORE__URL", "postgres://host/db"),
            ("SCRIP_TEST_STORE__QUOTA", "4MiB"),
            ("SCRIP_TEST_STORE__LABELS__ZONE", "eu"),
            ("SCRIP_TEST_PEERS", "[{ host = \"a\" }]"),
        ],
    )
    .unwrap();
    assert_eq!(config.port, 8080);
    assert_eq!(config.keep, Some(HumanDuration(30 * 86_400)));
    assert_eq!(config.prices, [1, 2]);
    assert_eq!(config.store.url, "postgres://host/db");
    assert_eq!(config.store.quota, Some(HumanSize(4 << 20)));
    assert_eq!(config.store.labels["zone"], "eu");
    assert_eq!(config.peers, [Peer { host: "a".to_owned() }]);
}

#[test]
fn a_table_that_the_file_lacks_can_come_from_the_environment() {
    let config = load_text("", &[("SCRIP_TEST_NAME", "n"), ("SCRIP_TEST_PORT", "2")]).unwrap();
    assert_eq!((config.name.as_str(), config.port), ("n", 2));
    let config = load_text("name='n'\nport=2", &[("SCRIP_TEST_STORE__URL", "u")]).unwrap();
    assert_eq!(config.store.url, "u");
}

#[test]
fn text_that_looks_like_another_type_is_still_text() {
    for value in ["1234", "true", "2026-01-01", "'quoted'", ""] {
        let config = load_text(FILE, &[("SCRIP_TEST_NAME", value)]).unwrap();
        assert_eq!(config.name, value.trim_matches('\''));
    }
}

#[test]
fn reserved_variables_are_skipped() {
    let reserved = RESERVED.map(|key| format!("SCRIP_TEST_{key}"));
    let env: Vec<_> = reserved.iter().map(|name| (name.as_str(), "x")).collect();
    assert!(load_text(FILE, &env).is_ok());
}

#[test]
fn an_unknown_key_of_the_file_is_named_with_its_line() {
    let error = error_of("name = \"one\"\nport = 1\nprot = 2\n", &[]);
    assert!(error.contains(":3:1: unknown field `prot`"), "{error}");
    assert!(error.ends_with("remove the key or correct its name"), "{error}");

    let error = error_of("name = 'n'\nport = 1\n[store]\n  ulr = ''\n", &[]);
    assert!(error.contains(":4:3: unknown field `ulr`"), "{error}");

    let error = error_of("name = 'n'\nport = 1\n[[peers]]\nhost = ''\n[[peers]]\nhots = ''\n", &[]);
    assert!(error.contains(":6:1: unknown field `hots`"), "{error}");
}

#[test]
fn an_unknown_key_of_the_environment_is_named_with_its_variable() {
    for (name, key) in [
        ("SCRIP_TEST_PROT", "prot"),
        ("SCRIP_TEST_STORE__ULR", "ulr"),
        ("SCRIP_TEST_STORE_URL", "store_url"),
        ("SCRIP_TEST_STOER__URL", "stoer"),
    ] {
        let error = error_of(FILE, &[("SCRIP_TEST_PORT", "3"), (name, "1")]);
        assert!(error.starts_with(&format!("environment variable {name}: ")), "{error}");
        assert!(error.contains(&format!("unknown field `{key}`")), "{error}");
        assert!(error.contains("unset it"), "{error}");
    }
    let error = error_of(FILE, &[("SCRIP_TEST_PEERS", "[{ hots = 'a' }]")]);
    assert!(error.contains("SCRIP_TEST_PEERS: unknown field `hots`"), "{error}");
}

#[test]
fn wrong_values_are_named_with_their_place() {
    let error = error_of(FILE, &[("SCRIP_TEST_PORT", "70000")]);
    assert!(error.starts_with("environment variable SCRIP_TEST_PORT: "), "{error}");
    assert!(error.contains("70000") && error.contains("u16"), "{error}");

    let error = error_of(FILE, &[("SCRIP_TEST_KEEP", "1week")]);
    assert!(error.contains("SCRIP_TEST_KEEP") && error.contains("90s, 15m"), "{error}");

    let error = error_of("name = 'n'\nport = 'x'\n", &[]);
    assert!(error.contains(":2:8: ") && error.contains("expected u16"), "{error}");

    let error = error_of(FILE, &[("SCRIP_TEST_NAME__X", "1")]);
    assert!(error.contains("`name` is set to something that is not a table"), "{error}");

    let error = error_of(FILE, &[("SCRIP_TEST_STORE__", "1")]);
    assert!(error.contains("SCRIP_TEST_STORE__: names no key"), "{error}");
}

#[test]
fn broken_toml_is_named_with_its_line() {
    let error = error_of("name = \"one\"\nport = = 1\n", &[]);
    assert!(error.contains(":2:"), "{error}");
}

#[test]
fn a_missing_key_is_named_with_both_ways_to_set_it() {
    let error = error_of("name = 'n'\n", &[]);
    assert!(error.contains("missing field `port`; add it to the file"), "{error}");
    assert!(error.contains("SCRIP_TEST_KEY"), "{error}");

    let error = error_of("name = 'n'\nport = 1\n[[peers]]\n", &[]);
    assert!(error.contains("missing field `host`; add it to the table at line 3"), "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let result: Result<Config, _> =
        load(Path::new("/nonexistent/scrip.toml"), "SCRIP_TEST", std::iter::empty());
    let error = result.unwrap_err().to_string();
    assert!(error.contains("/nonexistent/scrip.toml") && error.contains("create it"), "{error}");
}

#[test]
fn durations_and_sizes_round_trip() {
    for (text, seconds) in
        [("0s", 0), ("90s", 90), ("15m", 900), ("6h", 21_600), ("30d", 2_592_000)]
    {
        assert_eq!(text.parse(), Ok(HumanDuration(seconds)));
        assert_eq!(HumanDuration(seconds).to_string(), text);
    }
    for (text, bytes) in [("512B", 512), ("64KiB", 65_536), ("4MiB", 4 << 20), ("5GiB", 5 << 30)] {
        assert_eq!(text.parse(), Ok(HumanSize(bytes)));
        assert_eq!(HumanSize(bytes).to_string(), text);
    }
    for bad in
        ["", "s", "5", "-1s", "1.5h", "1w", "1 h 5m", "99999999999999999999d", "213503982334602d"]
    {
        assert!(bad.parse::<HumanDuration>().is_err(), "{bad}");
    }
}
