//! The program as a user meets it, as far as it needs no network.

#![allow(clippy::unwrap_used, reason = "a test stops where something fails")]

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

const VENDOR: &str = "scrip://AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE@127.0.0.1:1";

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scrip"));
    command
        .args(arguments)
        .env_clear()
        .env("SCRIP_WALLET", directory.join("wallet"))
        .env("SCRIP_PASSPHRASE", "a passphrase")
        .stdin(Stdio::null());
    command
}

fn scrip(directory: &Path, arguments: &[&str]) -> Output {
    command(directory, arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The exit code, and an error of two lines: what is wrong, and what to do.
fn refused(output: &Output, code: i32, says: &str) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    // Notes and warnings come before it.
    let lines: Vec<&str> = error.lines().skip_while(|line| !line.starts_with("error: ")).collect();
    assert!(lines.len() == 2, "{error}");
    assert!(lines[0].contains(says), "{error}");
    assert!(lines[1].starts_with("  ") && lines[1].len() > 10, "{error}");
}

fn made(directory: &Path) -> serde_json::Value {
    let output = scrip(directory, &["init", "--vendor", VENDOR, "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_new_wallet_shows_its_words_and_is_empty() {
    let directory = tempfile::tempdir().unwrap();
    let shown = made(directory.path());
    assert_eq!(shown["words"].as_str().unwrap().split(' ').count(), 24);
    assert_eq!(shown["vendor"], VENDOR);
    let balance = scrip(directory.path(), &["balance", "--json"]);
    let balance: serde_json::Value = serde_json::from_slice(&balance.stdout).unwrap();
    assert_eq!(balance["spendable"], 0);
    for command in [vec!["history"], vec!["leases"], vec!["queue", "list"], vec!["files"]] {
        let json = scrip(directory.path(), &[&command[..], &["--json"]].concat());
        assert_eq!(text(&json.stdout), "[]\n", "{command:?}");
    }
    refused(&scrip(directory.path(), &["init", "--vendor", VENDOR]), 2, "already");
}

/// Whatever happened to the file: the message names the file, the backup and the words.
#[test]
fn a_damaged_wallet_is_said_to_be_damaged_with_the_ways_out() {
    let noise = |bytes: &mut Vec<u8>| bytes[4_096..].fill(0x5a);
    let cut = |bytes: &mut Vec<u8>| bytes.truncate(4_096);
    let no_database = |bytes: &mut Vec<u8>| bytes[..100].fill(0x5a);
    let empty = |bytes: &mut Vec<u8>| bytes.clear();
    let damages: [fn(&mut Vec<u8>); 4] = [noise, cut, no_database, empty];
    for damage in damages {
        let directory = tempfile::tempdir().unwrap();
        made(directory.path());
        let file = directory.path().join("wallet").join("wallet.db");
        let mut bytes = std::fs::read(&file).unwrap();
        damage(&mut bytes);
        std::fs::write(&file, &bytes).unwrap();
        let output = scrip(directory.path(), &["balance"]);
        refused(&output, 1, "wallet.db is damaged");
        let said = text(&output.stderr);
        assert!(said.contains("scrip restore --backup") && said.contains("24 words"), "{said}");
        assert_eq!(std::fs::read(&file).unwrap(), bytes, "it is left as it is");
    }
}

#[test]
fn words_can_go_to_a_file_and_come_from_one() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("words");
    let file = file.to_str().unwrap();
    let output = scrip(directory.path(), &["init", "--vendor", VENDOR, "--words-file", file]);
    assert!(output.status.success());
    let words = std::fs::read_to_string(file).unwrap();
    assert_eq!(words.split_whitespace().count(), 24);
    assert!(!text(&output.stdout).contains(words.trim()), "shown nowhere else");

    // The vendor is not there: the wallet is made, and says how it goes on.
    let other = tempfile::tempdir().unwrap();
    let output = scrip(other.path(), &["restore", "--vendor", VENDOR, "--words-file", file]);
    refused(&output, 1, "127.0.0.1:1");
    assert!(text(&output.stderr).contains("scrip resume"));
    let resumed = scrip(other.path(), &["resume"]);
    assert_eq!(resumed.status.code(), Some(4));
}

#[test]
fn wrong_words_make_no_wallet() {
    let directory = tempfile::tempdir().unwrap();
    let output = scrip(directory.path(), &["restore", "--vendor", VENDOR]);
    refused(&output, 2, "24 words");
    refused(&scrip(directory.path(), &["balance"]), 2, "no wallet");
}

#[test]
fn another_passphrase_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    made(directory.path());
    let output = Command::new(env!("CARGO_BIN_EXE_scrip"))
        .args(["balance", "--wallet"])
        .arg(directory.path().join("wallet"))
        .env_clear()
        .env("SCRIP_PASSPHRASE", "another")
        .output()
        .unwrap();
    refused(&output, 2, "passphrase");
}

#[test]
fn usage_errors_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [
        &["nonsense"][..],
        &["init"],
        &["init", "--vendor", "https://example"],
        &["put"],
        &["balance", "--proxy", "http://proxy:1"],
        &["relay", "add", "scrip://x"],
    ] {
        let output = scrip(directory.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).starts_with("error: "), "{arguments:?}");
    }
    assert!(scrip(directory.path(), &["--help"]).status.success());
    refused(&scrip(directory.path(), &["get", "no-link"]), 2, "scrip-file:");
    refused(&scrip(directory.path(), &["queue", "send", "scrip-queue:x", "text"]), 2, "no key");
}

#[test]
fn what_was_never_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    made(directory.path());
    refused(&scrip(directory.path(), &["queue", "create"]), 1, "has no manifest");
    refused(&scrip(directory.path(), &["queue", "receive", "inbox"]), 1, "inbox");
}

#[test]
fn settings_are_kept_without_passwords_on_show() {
    let directory = tempfile::tempdir().unwrap();
    made(directory.path());
    let proxy = "socks5h://user:secret@127.0.0.1:9";
    let set = ["settings", "--proxy-spend", proxy, "--proxy-buy", "tor://127.0.0.1:9050", "--json"];
    assert!(scrip(directory.path(), &set).status.success());
    let shown = text(&scrip(directory.path(), &["settings", "--json"]).stdout);
    assert!(shown.contains("tor://127.0.0.1:9050") && !shown.contains("secret"), "{shown}");
    scrip(directory.path(), &["settings", "--direct"]);
    let shown = text(&scrip(directory.path(), &["settings"]).stdout);
    assert_eq!(shown.matches("none").count(), 2, "{shown}");
}

#[cfg(unix)]
#[test]
fn a_reader_that_has_gone_is_no_reason_to_panic() {
    let directory = tempfile::tempdir().unwrap();
    made(directory.path());
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    let mut balance = command(directory.path(), &["balance"]);
    let output = balance.stdout(closed()).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(1), String::new()));
    let mut unknown = command(directory.path(), &["get", "no link"]);
    let output = unknown.stderr(closed()).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()));
}

#[cfg(target_os = "linux")]
#[test]
fn words_that_nobody_saw_make_no_wallet() {
    let directory = tempfile::tempdir().unwrap();
    for json in [&[][..], &["--json"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut init = command(directory.path(), &["init", "--vendor", VENDOR]);
        let output = init.args(json).stdout(full).output().unwrap();
        refused(&output, 1, "cannot write the output");
    }
    made(directory.path());
}

#[cfg(unix)]
#[test]
fn a_pipe_is_not_stored() {
    let directory = tempfile::tempdir().unwrap();
    made(directory.path());
    let pipe = directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    refused(&scrip(directory.path(), &["put", pipe.to_str().unwrap()]), 1, "no regular file");
}

#[cfg(unix)]
#[test]
fn the_doctor_says_what_is_wrong_and_repairs_it() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    made(directory.path());
    let healthy = scrip(directory.path(), &["doctor"]);
    assert!(healthy.status.success(), "{}", text(&healthy.stderr));
    let said = text(&healthy.stdout);
    assert!(said.starts_with("- 0 of 2 operators") && said.ends_with("Nothing has to be done.\n"));

    let database = directory.path().join("wallet/wallet.db");
    std::fs::set_permissions(&database, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ill = scrip(directory.path(), &["doctor", "--json"]);
    refused(&ill, 1, "1 of the findings");
    let found: serde_json::Value = serde_json::from_slice(&ill.stdout).unwrap();
    assert_eq!(
        (&found["healthy"], &found["findings"][0]["name"]),
        (&false.into(), &"file.mode".into())
    );
    assert!(text(&scrip(directory.path(), &["doctor"]).stdout).contains("--repair"));
    assert!(scrip(directory.path(), &["doctor", "--repair"]).status.success());
    assert!(scrip(directory.path(), &["doctor"]).status.success());
}

#[test]
fn a_backup_is_a_file_that_makes_a_wallet() {
    let directory = tempfile::tempdir().unwrap();
    made(directory.path());
    let file = directory.path().join("backup");
    let file = file.to_str().unwrap();
    assert!(scrip(directory.path(), &["backup", file]).status.success());
    refused_in_one_line(&scrip(directory.path(), &["backup", file]), "exists");
    assert!(scrip(directory.path(), &["backup", file, "--force"]).status.success());
    refused(&scrip(directory.path(), &["restore", "--backup", file]), 2, "already");

    let other = tempfile::tempdir().unwrap();
    let restored = scrip(other.path(), &["restore", "--backup", file]);
    assert!(restored.status.success(), "{}", text(&restored.stderr));
    assert!(text(&restored.stdout).contains("Do not use the wallet that the backup was made of"));
    // What the vendor knows was not asked for yet.
    let found = scrip(other.path(), &["doctor", "--json"]);
    let found: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(found["findings"][0]["name"], "restore.open");
    let both = ["restore", "--backup", file, "--vendor", VENDOR];
    assert_eq!(scrip(other.path(), &both).status.code(), Some(2));
}

/// An error that says itself what to do.
fn refused_in_one_line(output: &Output, says: &str) {
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.starts_with("error: ") && error.contains(says), "{error}");
}
