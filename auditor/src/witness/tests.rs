//! A witness and logs that grow, that fork, and that come twice at a time; and what it remembers when it dies.

use std::{
    panic,
    path::Path,
    sync::{Arc, Mutex},
};

use ::http::header::CONTENT_TYPE;
use scrip_protocol::id::VendorId;
use scrip_protocol::time::UnixSeconds;
use scrip_protocol::tlog::hash::leaf_hash;
use scrip_protocol::tlog::note::Note;
use scrip_protocol::tlog::tile::Tiles;
use scrip_protocol::tlog::tree::{
    ConsistencyProof, Frontier, append, consistency_proof, frontier_tiles,
};
use scrip_runtime::{
    client::{ClientOptions, HttpClient, Request, Response},
    clock::ManualClock,
    serve::bind,
};
use tempfile::TempDir;

use super::*;

const NOW: UnixSeconds = UnixSeconds(1_700_000_000);

/// A log whose leaves are numbers, and from `fork` on other ones.
struct TestLog {
    key: SigningKey,
    fork: u64,
}

impl TestLog {
    fn honest() -> Self {
        Self { key: SigningKey::from_seed(&[1; 32]), fork: u64::MAX }
    }

    fn forked_at(fork: u64) -> Self {
        Self { fork, ..Self::honest() }
    }

    fn verifier_key(&self) -> VerifierKey {
        VerifierKey::of_ledger(&VendorId::from_bytes([7; 32]), self.key.public())
    }

    fn leaf(&self, i: u64) -> Vec<u8> {
        if i < self.fork { format!("{i}") } else { format!("{i} otherwise") }.into_bytes()
    }

    fn checkpoint(&self, size: u64) -> Note {
        let mut frontier = Frontier::empty();
        (0..size).for_each(|i| frontier.push(leaf_hash(&self.leaf(i))));
        let origin = self.verifier_key().name().clone();
        Checkpoint { origin, size, root: frontier.root() }.sign(&self.key).unwrap()
    }

    fn proof(&self, old: u64, new: u64) -> ConsistencyProof {
        let hashes: Vec<_> = (0..new).map(|i| leaf_hash(&self.leaf(i))).collect();
        assert!(frontier_tiles(0).is_empty());
        let mut tiles = Tiles::new();
        for (path, bytes) in append(&tiles, 0, &hashes).unwrap() {
            tiles.insert(&path, &bytes).unwrap();
        }
        consistency_proof(&tiles, old, new).unwrap()
    }

    /// The body that an honest program would send.
    fn request(&self, old: u64, new: u64) -> String {
        let (old_size, checkpoint) = (old, self.checkpoint(new));
        AddCheckpoint { old_size, proof: self.proof(old, new), checkpoint }.encode()
    }
}

fn open(directory: &Path, steps: Steps) -> Result<Witness, StateError> {
    let logs = vec![LogConfig { key: TestLog::honest().verifier_key(), origin: None }];
    let config = Config::new("witness.example/w1".parse().unwrap(), directory, logs);
    let clock = Arc::new(ManualClock::new(NOW));
    Witness::open(&config, SigningKey::from_seed(&[9; 32]), clock, steps)
}

fn witness() -> (TempDir, Witness) {
    let directory = tempfile::tempdir().unwrap();
    let witness = open(directory.path(), Steps::none()).unwrap();
    (directory, witness)
}

/// Whether the line is a cosignature by the witness over this checkpoint.
fn cosigns(witness: &Witness, line: &NoteSignature, checkpoint: &Note) -> bool {
    let mut note = checkpoint.clone();
    note.add(line.clone()).unwrap();
    let key = witness.verifier_key();
    note.open([&key]).is_ok_and(|all| all[0].time == Some(NOW))
}

#[tokio::test]
async fn a_log_that_grows_is_cosigned() {
    let (directory, witness) = witness();
    let log = TestLog::honest();
    for (old, new) in [(0, 0), (0, 1), (1, 1), (1, 5), (5, 300), (300, 300), (300, 1_000)] {
        let line = witness.add_checkpoint(log.request(old, new).as_bytes()).await.unwrap();
        assert!(cosigns(&witness, &line, &log.checkpoint(new)), "{old} to {new}");
        assert!(!cosigns(&witness, &line, &log.checkpoint(new + 1)));
    }
    // What it remembers outlives it.
    assert!(matches!(open(directory.path(), Steps::none()), Err(StateError::Held { .. })));
    drop(witness);
    let witness = open(directory.path(), Steps::none()).unwrap();
    let kept = witness.status().unwrap()[0].checkpoint.clone().unwrap();
    assert_eq!(kept, log.checkpoint(1_000).encode());
    let again = witness.add_checkpoint(log.request(5, 300).as_bytes()).await;
    assert!(matches!(again, Err(Refused::Stale { size: 1_000 })));
}

#[tokio::test]
async fn nothing_but_the_log_s_signature_is_kept() {
    let (_directory, witness) = witness();
    let log = TestLog::honest();
    let request = format!("{}\u{2014} somebody.example AAAAAAA=\n", log.request(0, 3));
    witness.add_checkpoint(request.as_bytes()).await.unwrap();
    assert_eq!(witness.status().unwrap()[0].checkpoint, Some(log.checkpoint(3).encode()));
}

#[tokio::test]
async fn a_fork_is_refused_and_its_checkpoints_are_kept() {
    let (directory, witness) = witness();
    let (log, fork) = (TestLog::honest(), TestLog::forked_at(4));
    witness.add_checkpoint(log.request(0, 10).as_bytes()).await.unwrap();
    // Of the same size, by a proof that would be right; twice, and one more.
    for size in [10, 10] {
        let refused = witness.add_checkpoint(fork.request(size, 10).as_bytes()).await;
        assert!(matches!(refused, Err(Refused::Fork { size: 10 })));
    }
    let refused = witness.add_checkpoint(TestLog::forked_at(9).request(10, 10).as_bytes()).await;
    assert!(matches!(refused, Err(Refused::Fork { .. })));
    // Larger ones: no proof leads from the one history to the other.
    let refused = witness.add_checkpoint(fork.request(10, 20).as_bytes()).await;
    assert!(matches!(refused, Err(Refused::NotConsistent(ProofError::OldRoot))));
    let refused = witness.add_checkpoint(fork.request(4, 20).as_bytes()).await;
    assert!(matches!(refused, Err(Refused::Stale { size: 10 })));
    // The honest history goes on.
    witness.add_checkpoint(log.request(10, 20).as_bytes()).await.unwrap();

    let mut evidence: Vec<_> = std::fs::read_dir(directory.path().join("logs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().unwrap().to_str().unwrap().starts_with("fork-"))
        .collect();
    evidence.sort();
    assert_eq!(evidence.len(), 2, "each contradiction once");
    let text = std::fs::read_to_string(&evidence[0]).unwrap();
    let second = text.rfind("\n\nscrip.ledger").unwrap() + 2;
    let key = log.verifier_key();
    let none = scrip_protocol::tlog::policy::WitnessPolicy::none();
    let [a, b] = [&text[..second - 1], &text[second..]]
        .map(|note| SignedCheckpoint::open(note.as_bytes(), key.name(), [&key], &none).unwrap());
    assert!(a.contradicts(&b), "two signed trees of one size, for anybody to check");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_histories_at_once_exactly_one_is_cosigned() {
    for round in 0..20 {
        let (_directory, witness) = witness();
        let (log, fork) = (TestLog::honest(), TestLog::forked_at(2));
        let requests = [log.request(0, 3), fork.request(0, 3), log.request(0, 4)];
        let tasks = requests.map(|request| {
            let witness = witness.clone();
            tokio::spawn(async move { witness.add_checkpoint(request.as_bytes()).await })
        });
        let mut cosigned = 0;
        for task in tasks {
            cosigned += usize::from(task.await.unwrap().is_ok());
        }
        assert_eq!(cosigned, 1, "round {round}");
    }
}

/// A witness that dies at `step` while it takes a checkpoint, and one that starts anew on what is left.
async fn dies_at(step: &'static str, directory: &Path, request: &str) -> Witness {
    let armed = Arc::new(Mutex::new(true));
    let observer = Steps::observe(move |name| {
        if name == step && std::mem::take(&mut *armed.lock().unwrap()) {
            panic::panic_any("killed here");
        }
    });
    let witness = open(directory, observer).unwrap();
    let died = witness.add_checkpoint(request.as_bytes()).await;
    assert!(matches!(died, Err(Refused::State(StateError::Interrupted))), "{died:?}");
    drop(witness);
    open(directory, Steps::none()).unwrap()
}

#[tokio::test]
async fn a_checkpoint_that_was_lost_was_never_cosigned() {
    let directory = tempfile::tempdir().unwrap();
    let (log, fork) = (TestLog::honest(), TestLog::forked_at(2));
    let request = log.request(0, 5);
    let witness = dies_at("witness.checkpoint.before", directory.path(), &request).await;
    assert_eq!(witness.status().unwrap()[0].checkpoint, None);
    // Nobody has a cosignature, so that either history may come now, but only one.
    witness.add_checkpoint(fork.request(0, 5).as_bytes()).await.unwrap();
    let refused = witness.add_checkpoint(log.request(5, 5).as_bytes()).await;
    assert!(matches!(refused, Err(Refused::Fork { size: 5 })));
}

#[tokio::test]
async fn a_checkpoint_that_was_kept_is_the_only_one_of_its_size() {
    let directory = tempfile::tempdir().unwrap();
    let (log, fork) = (TestLog::honest(), TestLog::forked_at(2));
    let request = log.request(0, 5);
    let witness = dies_at("witness.checkpoint.after", directory.path(), &request).await;
    let refused = witness.add_checkpoint(fork.request(0, 5).as_bytes()).await;
    assert!(matches!(refused, Err(Refused::Stale { size: 5 })));
    let refused = witness.add_checkpoint(fork.request(5, 5).as_bytes()).await;
    assert!(matches!(refused, Err(Refused::Fork { size: 5 })));
    // The log, which never saw the answer, is told the size and gets its cosignature.
    let stale = witness.add_checkpoint(request.as_bytes()).await;
    assert!(matches!(stale, Err(Refused::Stale { size: 5 })));
    let line = witness.add_checkpoint(log.request(5, 5).as_bytes()).await.unwrap();
    assert!(cosigns(&witness, &line, &log.checkpoint(5)));
}

#[tokio::test]
async fn a_damaged_memory_is_not_started_with() {
    let (directory, witness) = witness();
    let log = TestLog::honest();
    witness.add_checkpoint(log.request(0, 5).as_bytes()).await.unwrap();
    drop(witness);
    let folder = directory.path().join("logs");
    let path = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let good = std::fs::read(&path).unwrap();
    for bytes in [&b""[..], &good[..good.len() / 2], b"x\n5\ny\n\n"] {
        std::fs::write(&path, bytes).unwrap();
        let opened = open(directory.path(), Steps::none());
        assert!(matches!(opened, Err(StateError::Damaged { .. })));
    }
    std::fs::write(&path, &good).unwrap();
    open(directory.path(), Steps::none()).unwrap();
}

async fn post(url: &str, body: impl Into<bytes::Bytes>) -> Response {
    let client = HttpClient::new(ClientOptions::default()).unwrap();
    client.send(Request::post(format!("{url}/add-checkpoint"), body, 4_096)).await.unwrap()
}

#[tokio::test]
async fn each_refusal_has_the_status_of_the_specification() {
    let (_directory, witness) = witness();
    let listen = Config::new("w".parse().unwrap(), ".", vec![]);
    let listen =
        scrip_runtime::serve::Listen { address: ([127, 0, 0, 1], 0).into(), ..listen.listen() };
    let bound = bind(&listen).await.unwrap();
    let url = format!("http://{}", bound.address());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(
        bound.serve(router(witness.clone()), Default::default(), async { drop(stopped.await) }),
    );
    let (log, fork) = (TestLog::honest(), TestLog::forked_at(2));

    let ok = post(&url, log.request(0, 10)).await;
    assert_eq!(ok.status, 200);
    let lines = NoteSignature::parse_lines(&ok.body).unwrap();
    assert!(cosigns(&witness, &lines[0], &log.checkpoint(10)));

    let stranger = TestLog { key: SigningKey::from_seed(&[2; 32]), ..TestLog::honest() };
    let elsewhere = log.request(10, 11).replace("scrip.ledger", "scrap.ledger");
    let (no_proof, backwards) = (
        log.request(10, 12)
            .lines()
            .enumerate()
            .filter(|(i, _)| *i != 1)
            .map(|(_, line)| format!("{line}\n"))
            .collect::<String>(),
        log.request(3, 3).replacen("old 3", "old 4", 1),
    );
    for (what, body, status) in [
        ("no request", "hello".to_owned(), 400),
        ("an old size that is larger", backwards, 400),
        ("another log", elsewhere, 404),
        ("another key", stranger.request(10, 11), 403),
        ("a changed text", log.request(10, 11).replace("\n11\n", "\n12\n"), 403),
        ("another old size", log.request(3, 11), 409),
        ("the first again", log.request(0, 10), 409),
        ("a fork of the same size", fork.request(10, 10), 409),
        ("a larger fork", fork.request(10, 11), 422),
        ("a proof that is cut", no_proof, 422),
    ] {
        let answer = post(&url, body).await;
        assert_eq!(answer.status, status, "{what}");
        let media_type = answer.headers[CONTENT_TYPE].to_str().unwrap();
        if status == 409 {
            assert_eq!(
                (media_type, &answer.body[..]),
                ("text/x.tlog.size", &b"10\n"[..]),
                "{what}"
            );
        } else {
            assert_eq!(media_type, "text/plain; charset=utf-8", "{what}");
        }
    }
    let large = vec![b'x'; scrip_protocol::tlog::witness::MAX_ADD_CHECKPOINT + 1];
    assert_eq!(post(&url, large).await.status, 413);

    let client = HttpClient::new(ClientOptions::default()).unwrap();
    let status = client.send(Request::get(format!("{url}/"), 4_096)).await.unwrap();
    let status: serde_json::Value = serde_json::from_slice(&status.body).unwrap();
    assert_eq!(status["key"], witness.verifier_key().to_string());
    assert_eq!(status["logs"][0]["checkpoint"], log.checkpoint(10).encode());

    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
}
