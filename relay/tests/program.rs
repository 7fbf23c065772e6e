//! The program as an operator runs it, in a process of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

const VENDOR: &str = "scrip://AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA@127.0.0.1:9";

fn relay(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scrip-relay"));
    command.env_clear().env("SCRIP_RELAY_PASSPHRASE", "of the tests");
    command.arg("--dir").arg(directory).args(arguments);
    command
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    relay(directory, arguments).output().unwrap()
}

/// What a command printed, where it succeeded.
#[track_caller]
fn printed(output: Output) -> String {
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a command complained of, and its exit code.
#[track_caller]
fn refused(output: Output) -> (String, i32) {
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.starts_with("error: "), "{errors}");
    (errors, output.status.code().unwrap())
}

/// A relay that was started, killed where a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

impl Running {
    /// Starts a relay and waits until it listens; gives its address too.
    fn start(directory: &Path) -> (Self, String) {
        let mut command = relay(directory, &["start"]);
        command.env("SCRIP_RELAY_LISTEN", "127.0.0.1:0");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("scrip-relay listening on http://");
        (Self(child), address.expect(&line).to_owned())
    }

    #[cfg(unix)]
    fn terminate(mut self) -> Option<i32> {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.0.wait().unwrap().code()
    }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[cfg(unix)]
#[test]
fn init_start_status_and_a_clean_end() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("relay");
    let init = ["init", "--name", "my relay", "--vendor", VENDOR];
    let made = printed(run(&directory, &init));
    let address = made.lines().next().unwrap();
    assert!(address.starts_with("scrip-relay://") && address.ends_with("@127.0.0.1:7500"));
    assert!(made.contains("scrip-issuer operator add --name 'my relay' --key "), "{made}");
    assert_eq!(printed(run(&directory, &["address"])).trim_end(), address);

    let (running, listening) = Running::start(&directory);
    assert!(get(&listening, "/v1/relay").starts_with("HTTP/1.1 200 "));
    assert!(get(&listening, "/").contains("urn:scrip:problem:not-found"));
    let status = printed(run(&directory, &["status"]));
    assert!(status.contains("no manifest yet: nothing is accepted"), "{status}");
    let status = printed(run(&directory, &["status", "--json"]));
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["address"], address);
    let earnings = printed(run(&directory, &["--json", "earnings"]));
    let earnings: serde_json::Value = serde_json::from_str(&earnings).unwrap();
    assert_eq!(earnings["vendors"][0]["pending"], 0);
    assert_eq!(printed(run(&directory, &["conflicts"])), "no double spends\n");
    let (error, code) = refused(run(&directory, &["redeem"]));
    assert!(error.contains("another scrip-relay uses") && code == 1, "{error}");
    let (error, _) = refused(run(&directory, &["accept-loss"]));
    assert!(error.contains("another scrip-relay uses"), "{error}");
    assert_eq!(running.terminate(), Some(0));
    printed(run(&directory, &["redeem"]));
    let agreed = printed(run(&directory, &["accept-loss"]));
    assert!(agreed.contains("relay.db and spent.sqlite agree"), "{agreed}");
}

#[test]
fn mistakes_are_explained_and_have_their_exit_code() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("relay");
    let (error, code) = refused(run(&directory, &["start"]));
    assert!(error.contains("run `scrip-relay init` first") && code == 2, "{error}");
    let (error, code) = refused(run(&directory, &["init"]));
    assert!(error.contains("--vendor") && code == 2, "{error}");
    printed(run(&directory, &["init", "--vendor", VENDOR]));
    let other = ["init", "--name", "another", "--vendor", VENDOR];
    let (error, code) = refused(run(&directory, &other));
    assert!(error.contains("relay.toml exists") && code == 2, "{error}");
    // The same options are those of an `init` that may have been interrupted; this one was not.
    for again in [&["init"][..], &["init", "--vendor", VENDOR]] {
        let (error, code) = refused(run(&directory, again));
        assert!(error.contains("operator.key is there already") && code == 1, "{error}");
    }

    let with =
        |name: &str, value: &str| relay(&directory, &["start"]).env(name, value).output().unwrap();
    let (error, code) = refused(with("SCRIP_RELAY_PASSPHRASE", "another one"));
    assert!(error.contains("the passphrase is wrong") && code == 1, "{error}");
    let (error, code) = refused(with("SCRIP_RELAY_LISEN", "127.0.0.1:1"));
    assert!(error.contains("unknown field") && code == 2, "{error}");
    let (error, code) = refused(with("SCRIP_RELAY_LISTEN", "192.0.2.1:7500"));
    assert!(error.contains("will not serve plain HTTP") && code == 2, "{error}");
    let (error, code) = refused(with("SCRIP_RELAY_PRICES__QUEUE", "9999999"));
    assert!(error.contains("prices.queue") && code == 2, "{error}");
    assert_eq!(run(&directory, &["stat"]).status.code(), Some(2));
    assert_eq!(run(&directory, &["--help"]).status.code(), Some(0));
}
