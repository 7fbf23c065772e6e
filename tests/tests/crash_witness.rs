//! `kill -9` of a witness around the step at which a checkpoint becomes durable: whatever was cosigned is remembered, and of two histories
//! only one is cosigned.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::TcpListener;
use std::path::Path;

use scrip_protocol::id::VendorId;
use scrip_protocol::keys::SigningKey;
use scrip_protocol::tlog::checkpoint::Checkpoint;
use scrip_protocol::tlog::hash::leaf_hash;
use scrip_protocol::tlog::note::{KeyName, NoteSignature, VerifierKey};
use scrip_protocol::tlog::tree::{ConsistencyProof, Frontier};
use scrip_protocol::tlog::witness::AddCheckpoint;
use scrip_runtime::client::{ClientOptions, HttpClient, Request, Response, TransportError};
use scrip_tests::process::{Launcher, Process};

fn log_key() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

/// The request for a log's first five leaves, of which the last is `last`; or for the same once more.
fn request(last: &str, old_size: u64) -> String {
    let origin = KeyName::of_ledger(&VendorId::from_bytes([7; 32]));
    let mut tree = Frontier::empty();
    ["a", "b", "c", "d", last].iter().for_each(|leaf| tree.push(leaf_hash(leaf.as_bytes())));
    let checkpoint = Checkpoint { origin, size: 5, root: tree.root() }.sign(&log_key()).unwrap();
    AddCheckpoint { old_size, proof: ConsistencyProof(Vec::new()), checkpoint }.encode()
}

struct Lab {
    directory: tempfile::TempDir,
    url: String,
}

impl Lab {
    /// A witness that was made by `scrip-witness init`.
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let lab = Self { url: String::new(), directory };
        let init = ["--dir", lab.path(), "init", "--name", "witness.example/w1"];
        assert!(
            lab.launcher().start("witness", init, None).unwrap().finish().await.unwrap().success()
        );
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = Path::new(lab.path()).join("witness.toml");
        let log = VerifierKey::of_ledger(&VendorId::from_bytes([7; 32]), log_key().public());
        let text = format!(
            "name = \"witness.example/w1\"\nlisten = \"{address}\"\n[[logs]]\nkey = \"{log}\"\n"
        );
        std::fs::write(config, text).unwrap();
        Self { url: format!("http://{address}/add-checkpoint"), ..lab }
    }

    fn path(&self) -> &str {
        self.directory.path().to_str().unwrap()
    }

    fn launcher(&self) -> Launcher {
        Launcher::new(env!("CARGO_BIN_EXE_scrip-crash-node"), self.directory.path())
    }

    async fn start(&self, crash_at: Option<&str>) -> Process {
        let mut witness =
            self.launcher().start("witness", ["--dir", self.path(), "start"], crash_at).unwrap();
        witness.listening().await.unwrap();
        witness
    }

    async fn send(&self, request: String) -> Result<Response, TransportError> {
        let client = HttpClient::new(ClientOptions::default()).unwrap();
        client.send(Request::post(&self.url, request, 4_096)).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_dies_does_not_cosign_two_histories() {
    for (step, kept) in [("witness.checkpoint.before", false), ("witness.checkpoint.after", true)] {
        let lab = Lab::new().await;
        let witness = lab.start(Some(step)).await;
        let (answer, died) = tokio::join!(lab.send(request("e", 0)), witness.killed_at_its_step());
        died.unwrap();
        assert!(answer.is_err(), "{step}: nothing was cosigned");

        let _witness = lab.start(None).await;
        let other = lab.send(request("another", 0)).await.unwrap();
        assert_eq!(other.status, if kept { 409 } else { 200 }, "{step}");
        let (ours, theirs) = if kept { ("e", "another") } else { ("another", "e") };
        let again = lab.send(request(ours, 5)).await.unwrap();
        assert_eq!(again.status, 200, "{step}");
        assert_eq!(NoteSignature::parse_lines(&again.body).unwrap().len(), 1);
        let fork = lab.send(request(theirs, 5)).await.unwrap();
        assert_eq!((fork.status, &fork.body[..]), (409, &b"5\n"[..]), "{step}");
    }
}
