//! The program as operators run it: other processes, real files, a real port.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "the whole file is a test")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use scrip_protocol::tlog::note::{Note, VerifierKey};

const KEY: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"; // RFC 8032, section 7.1, test 1

fn issuer(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scrip-issuer"));
    command.env_clear().env("SCRIP_ISSUER_PASSPHRASE", "correct horse").arg("--dir").arg(directory);
    command.args(arguments).stdin(Stdio::null());
    command
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    issuer(directory, arguments).output().unwrap()
}

/// What a successful command prints.
#[track_caller]
fn printed(directory: &Path, arguments: &[&str]) -> String {
    let output = run(directory, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a failed command says, with its exit code.
fn failed(command: &mut Command) -> (i32, String) {
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

struct Server {
    process: Child,
    address: String,
}

fn start(directory: &Path) -> Server {
    let mut process = issuer(directory, &["start"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let address = line.strip_prefix("scrip-issuer listening on http://").expect(&line);
    Server { address: address.trim().to_owned(), process }
}

impl Server {
    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Sends SIGTERM and returns the exit code and the log.
    fn stop(mut self) -> (Option<i32>, String) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let mut log = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.process.wait().unwrap().code(), log)
    }
}

#[test]
fn a_vendor_is_made_run_and_looked_at() {
    let root = tempfile::tempdir().unwrap();
    let directory = &root.path().join("new/issuer");
    let made = printed(directory, &["init", "--listen", "127.0.0.1:0", "--name", "vendor.example"]);
    let address = made.lines().next().unwrap();
    assert!(address.starts_with("scrip://") && address.ends_with("@127.0.0.1:0"), "{made}");
    only_the_owner_may_read(directory);

    let codes = printed(directory, &["voucher", "create", "--product", "starter", "--count", "3"]);
    let codes: Vec<&str> = codes.lines().collect();
    assert!(
        codes.len() == 3 && codes.iter().all(|code| code.len() == "starter:".len() + 34),
        "{codes:?}"
    );
    let arguments = ["--json", "voucher", "create", "--product", "starter", "--count", "1"];
    let vouchers = json(&printed(directory, &arguments));
    assert_eq!(
        (&vouchers["credits"], vouchers["codes"].as_array().unwrap().len()),
        (&536.into(), 1)
    );

    let added = printed(directory, &["operator", "add", "--name", "one", "--key", KEY]);
    assert_eq!(printed(directory, &["operator", "add", "--name", "one", "--key", KEY]), added);
    let operators = json(&printed(directory, &["operator", "list", "--json"]));
    assert_eq!(operators["operators"][0]["operator_id"], added.trim());
    assert_eq!(operators["operators"][0]["key"], KEY);

    let server = start(directory);
    assert!(server.get("/v1/manifest").starts_with("HTTP/1.1 200 OK"));
    // What a witness is given verifies what it is sent.
    let key: VerifierKey = printed(directory, &["ledger", "key"]).trim().parse().unwrap();
    assert_eq!(json(&printed(directory, &["ledger", "key", "--json"]))["key"], key.to_string());
    let checkpoint = server.get("/ledger/checkpoint");
    let (_, note) = checkpoint.split_once("\r\n\r\n").unwrap();
    Note::parse(note.as_bytes()).unwrap().open([&key]).unwrap();
    assert!(server.get("/v1/x").contains("urn:scrip:problem:not-found"));
    // The books can be read while the issuer runs.
    let status = json(&printed(directory, &["status", "--json"]));
    assert_eq!(status["address"], address);
    assert_eq!(status["denominations"].as_array().unwrap().len(), 8);
    assert_eq!(status["vouchers"]["total"], 4);
    assert!(printed(directory, &["status"]).contains("vouchers 4, used 0; grants 0, minted 0"));
    let (code, log) = server.stop();
    assert_eq!((code, log.as_str()), (Some(0), ""), "ends cleanly and says nothing");
    assert_eq!(printed(directory, &["address"]).trim(), address);
}

#[test]
fn vouchers_are_kept_in_files_listed_and_cancelled_and_the_log_tells_it() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path();
    printed(directory, &["init", "--listen", "127.0.0.1:0", "--name", "vendor.example"]);
    let file = directory.join("codes.csv");
    let out = file.to_str().unwrap();
    let csv = ["voucher", "create", "--product", "starter", "--count", "3", "--format", "csv"];
    let arguments = [&csv[..], &["--out", out]].concat();
    let said = printed(directory, &arguments);
    assert!(said.starts_with("batch 1: 3 vouchers for starter"), "{said}");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let codes = std::fs::read_to_string(&file).unwrap();
    assert!(codes.starts_with("code,product,credits,last_day\r\n") && codes.lines().count() == 4);
    let (code, error) = failed(&mut issuer(directory, &arguments));
    assert_eq!(code, 1, "{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), codes, "a file is never written over");
    let wrong = ["voucher", "create", "--product", "x", "--count", "1", "--out", "y.csv"];
    assert_eq!(failed(issuer(directory, &wrong).current_dir(directory)).0, 2);
    assert!(!directory.join("y.csv").exists(), "nothing is left of it");

    let listed = json(&printed(directory, &["--json", "voucher", "list"]));
    assert_eq!(listed["batches"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["batches"][0]["used"], 0);
    let cancelled = printed(directory, &["voucher", "cancel", "--batch", "1"]);
    assert_eq!(cancelled, "batch 1: 3 unused vouchers are cancelled\n");
    assert!(printed(directory, &["voucher", "list"]).contains("(cancelled 20"));
    assert_eq!(failed(&mut issuer(directory, &["voucher", "cancel", "--batch", "9"])).0, 2);
    let refund = ["refund", "--source", "apple", "--transaction", "2000001"];
    let (code, error) = failed(&mut issuer(directory, &refund));
    assert!(code == 2 && error.contains("nothing with the id `2000001` was bought at `apple`"));

    let token = json(&printed(directory, &["--json", "admin", "token", "create", "--name", "ada"]));
    assert!(token["token"].as_str().unwrap().starts_with("scrip-admin-"), "{token}");
    assert_eq!(token["page"], "http://127.0.0.1:0/admin");
    let again = failed(&mut issuer(directory, &["admin", "token", "create", "--name", "ada"]));
    assert!(again.0 == 2 && again.1.contains("choose another name"), "{again:?}");
    assert!(printed(directory, &["admin", "token", "list"]).contains("good until"));
    assert!(printed(directory, &["admin", "token", "revoke", "--name", "ada"]).contains("revoked"));
    let log = json(&printed(directory, &["--json", "log"]));
    let actions: Vec<&str> =
        log["log"].as_array().unwrap().iter().map(|e| e["action"].as_str().unwrap()).collect();
    let expected = ["admin token revoke", "admin token create", "voucher cancel", "voucher create"];
    assert_eq!(actions, expected, "newest first");
    assert!(printed(directory, &["log"]).contains("batch 1  3 × starter"));
}

#[test]
fn keys_are_listed_rotated_and_revoked_beside_a_running_issuer() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path();
    printed(directory, &["init", "--listen", "127.0.0.1:0", "--name", "vendor.example"]);
    let server = start(directory);
    let listed = || json(&printed(directory, &["keys", "list", "--json"]));
    let before = listed();
    assert_eq!(
        (&before["manifest_version"], &before["epochs"][0]["state"]),
        (&1.into(), &"issuing".into())
    );
    assert_eq!(before["next"]["issue_from"], before["epochs"][0]["issue_until"]);
    assert_eq!(before["epochs"][0]["exponents"].as_array().unwrap().len(), 8);

    let rotated = printed(directory, &["keys", "rotate"]);
    assert!(
        rotated.contains("manifest version 2") && rotated.contains("next: its keys"),
        "{rotated}"
    );
    let after = listed();
    assert_eq!(after["epochs"][0]["state"], "spending");
    assert_eq!(after["epochs"][0]["issue_until"], after["epochs"][1]["issue_from"]);
    printed(directory, &["keys", "revoke", "--epoch", "1"]);
    assert_eq!(listed()["epochs"][0]["state"], "redeeming");
    // The running issuer has taken it over: its manifest is larger by 13 keys.
    assert!(server.get("/v1/manifest").len() > 2 * 13 * 257);

    let (code, message) = failed(&mut issuer(directory, &["keys", "revoke", "--epoch", "1"]));
    assert!(code == 2 && message.contains("nothing to revoke"), "{message}");
    let (code, message) = failed(&mut issuer(directory, &["keys", "revoke", "--epoch", "7"]));
    assert!(code == 2 && message.contains("keys list"), "{message}");
    let wrong = "SCRIP_ISSUER_PASSPHRASE";
    let (code, message) = failed(issuer(directory, &["keys", "rotate"]).env(wrong, "wrong"));
    assert!(code == 1 && message.contains("the passphrase is wrong"), "{message}");
    let (code, log) = server.stop();
    assert!(code == Some(0) && !log.contains("ERROR"), "{log}");
}

#[cfg(unix)]
fn only_the_owner_may_read(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(directory), 0o700);
    for file in ["issuer.toml", "issuer.db"] {
        assert_eq!(mode(&directory.join(file)), 0o600, "{file}");
    }
}

#[test]
fn what_goes_wrong_is_said_with_a_remedy() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path();
    let (code, message) = failed(&mut issuer(directory, &["status"]));
    assert!(code == 2 && message.contains("run `scrip-issuer init` first"), "{message}");
    let (code, message) = failed(issuer(directory, &["init"]).env_clear());
    assert!(code == 2 && message.contains("SCRIP_ISSUER_PASSPHRASE_FILE"), "{message}");
    let (code, message) = failed(&mut issuer(directory, &["init", "--public-authority", "a b"]));
    assert!(code == 2 && message.contains("--public-authority"), "{message}");
    let (code, message) = failed(&mut issuer(directory, &["init", "--name", "two words"]));
    assert!(code == 2 && message.contains("--name"), "{message}");
    let (code, message) = failed(&mut issuer(directory, &["init", "--database", "mysql://x"]));
    assert!(code == 1 && message.contains("`database`"), "{message}");

    printed(directory, &["init"]);
    let (code, message) = failed(&mut issuer(directory, &["init"]));
    assert!(code == 1 && message.contains("has an issuer in it already"), "{message}");
    let (code, message) = failed(&mut issuer(directory, &["init", "--listen", "127.0.0.1:1"]));
    assert!(code == 2 && message.contains("issuer.toml exists"), "{message}");
    let voucher = ["voucher", "create", "--product", "sarter", "--count", "1"];
    let (code, message) = failed(&mut issuer(directory, &voucher));
    assert!(
        code == 2 && message.contains("no product `sarter` is on sale; these are: starter"),
        "{message}"
    );
    let small_order = "A".repeat(43);
    let operator = ["operator", "add", "--name", "x", "--key", &small_order];
    let (code, message) = failed(&mut issuer(directory, &operator));
    assert!(code == 2 && message.contains("no key: "), "{message}");
    let wrong = "SCRIP_ISSUER_PASSPHRASE";
    let (code, message) = failed(issuer(directory, &["start"]).env(wrong, "wrong"));
    assert!(code == 1 && message.contains("the passphrase is wrong"), "{message}");
    let (code, message) =
        failed(issuer(directory, &["start"]).env("SCRIP_ISSUER_LISTEN", "0.0.0.0:0"));
    assert!(code == 2 && message.contains("plain HTTP"), "{message}");
    let (code, message) = failed(issuer(directory, &["status"]).env("SCRIP_ISSUER_SINGER", "1"));
    assert!(code == 2 && message.contains("SCRIP_ISSUER_SINGER"), "{message}");
    let (code, message) = failed(&mut issuer(directory, &["operator"]));
    assert!(code == 2 && message.contains("Usage"), "{message}");
}
