//! The file that `init` writes says what the defaults are.

use std::io::Write;

use scrip_protocol::id::VendorId;

use super::*;

fn vendor() -> VendorAddress {
    VendorAddress { id: VendorId::from_bytes([7; 32]), authority: "vendor.example".into() }
}

fn read(text: &str, env: &[(&str, &str)]) -> Result<Config, BadConfig> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE_NAME);
    std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let config = Config::read(&path, env)?;
    // So that two readings can be compared: each has a directory of its own.
    let relative = |path: PathBuf| match path.strip_prefix(directory.path()) {
        Ok(path) if path == Path::new("") => PathBuf::from("."),
        Ok(path) => path.to_owned(),
        Err(_) => path,
    };
    let client =
        ClientConfig { extra_roots: config.client.extra_roots.map(relative), ..config.client };
    Ok(Config { data_dir: relative(config.data_dir), client, ..config })
}

fn written() -> String {
    template("a \"b\\c", default_listen(), Some("relay.example"), &[vendor()])
}

/// The template with its commented defaults switched on.
fn uncommented() -> String {
    let is_key = |line: &str| {
        line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '))
    };
    let uncomment = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if is_key(rest) => rest.to_owned(),
        _ => line.to_owned(),
    };
    written().lines().map(uncomment).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_template_is_the_default() {
    let config = read(&written(), &[]).unwrap();
    assert_eq!(config.name, "a \"b\\c");
    assert_eq!(config.authority(), "relay.example");
    let default = Config::new(".", [vendor()]);
    let expected = Config {
        name: config.name.clone(),
        public_authority: config.public_authority.clone(),
        ..default
    };
    assert_eq!(format!("{config:?}"), format!("{expected:?}"));
}

#[test]
fn the_commented_defaults_are_the_defaults() {
    let text = uncommented();
    assert!(text.contains("\nqueue = 2\n") && text.contains("\n[storage]"), "{text}");
    let config = read(&text, &[]).unwrap();
    let policy = config.vendors[0].policy().unwrap();
    assert_eq!(policy.risk, Risk::OnlineAbove(Credits(1_000)));
    assert_eq!(policy.stop_above, Some(Credits(100_000)));
    assert_eq!(config.client.proxy.as_deref(), Some("socks5h://127.0.0.1:9050"));
    assert_eq!(config.client.extra_roots.as_deref(), Some(Path::new("roots.pem")));
    let plain = read(&written(), &[]).unwrap();
    let rest = Config {
        tls: None,
        client: plain.client.clone(),
        vendors: plain.vendors.clone(),
        ..config
    };
    assert_eq!(format!("{rest:?}"), format!("{plain:?}"));
}

#[test]
fn variables_reach_every_kind_of_key() {
    let vendors = format!("[{{ address = \"{}\", stop_above = 5 }}]", vendor());
    let env = [
        ("SCRIP_RELAY_LISTEN", "127.0.0.1:0"),
        ("SCRIP_RELAY_NAME", "1234"),
        ("SCRIP_RELAY_PRICES__CHUNK_4M", "9"),
        ("SCRIP_RELAY_STORAGE__CHUNKS", "5MiB"),
        ("SCRIP_RELAY_REDEMPTION__EVERY", "5s"),
        ("SCRIP_RELAY_VENDORS", vendors.as_str()),
        ("SCRIP_RELAY_PASSPHRASE", "no key of the configuration"),
    ];
    let config = read(&written(), &env).unwrap();
    assert_eq!((config.listen.port(), config.name.as_str()), (0, "1234"));
    assert_eq!((config.prices.chunk_4m, config.prices.queue), (9, 2));
    assert_eq!(config.storage.chunks, HumanSize(5 << 20));
    assert_eq!(config.redemption.every, HumanDuration(5));
    assert_eq!(config.vendors[0].stop_above, Some(5));
}

#[test]
fn unknown_keys_and_senseless_values_are_errors() {
    for bad in [
        "lisen = 1\n",
        "vendors = []\n",
        "max_days = 0\n",
        "max_days = 65536\n",
        "public_authority = 'user@host'\n",
        "[prices]\nqueu = 1\n",
        "[prices]\nqueue = 2592001\n",
        "[storage]\ncollect_every = '0s'\n",
        "[[vendors]]\naddress = 'https://vendor.example'\n",
        &format!("[[vendors]]\naddress = '{}'\nquorum = 1\n", vendor()),
        &format!("[[vendors]]\naddress = '{}'\nwitnesses = ['w.example']\n", vendor()),
    ] {
        let vendors = if bad.contains("vendors") {
            String::new()
        } else {
            format!("vendors = [{{ address = '{}' }}]\n", vendor())
        };
        assert!(read(&format!("{vendors}{bad}"), &[]).is_err(), "{bad}");
    }
    assert!(read(&written(), &[("SCRIP_RELAY_LISEN", "1")]).is_err());
}

#[test]
fn paths_are_relative_to_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE_NAME);
    let text = format!("{}\n[tls]\ncertificate = 'c.pem'\nkey = '/k.pem'\n", written());
    std::fs::write(&path, text).unwrap();
    let config = Config::read(&path, std::iter::empty()).unwrap();
    let tls = config.tls.clone().unwrap();
    assert_eq!(tls.certificate, directory.path().join("c.pem"));
    assert_eq!(tls.key, Path::new("/k.pem"));
    assert_eq!(config.data_dir, directory.path());
}
