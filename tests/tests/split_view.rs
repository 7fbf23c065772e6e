//! A vendor that shows one history of its ledger to one operator and another to the other. Each is flawless by itself, and nobody who sees
//! only one can tell. A witness cosigns one of them and no other; who demands cosignatures is not shown the other one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use scrip_auditor::audit::{AuditOptions, audit};
use scrip_auditor::finding::{Check, FindingKind, Verdict};
use scrip_auditor::report::Report;
use scrip_auditor::source::DirectoryLedger;
use scrip_auditor::testing::{FIRST_DAY, Forger, NEXT_EPOCH, operator_key, receipt_key};
use scrip_auditor::witness::{Config, LogConfig, Witness, router};
use scrip_protocol::address::VendorAddress;
use scrip_protocol::keys::SigningKey;
use scrip_protocol::time::{Day, UnixSeconds};
use scrip_protocol::tlog::checkpoint::{CheckpointError, SignedCheckpoint};
use scrip_protocol::tlog::hash::TreeHash;
use scrip_protocol::tlog::note::{Note, NoteSignature, VerifierKey};
use scrip_protocol::tlog::policy::{PolicyError, WitnessPolicy};
use scrip_protocol::tlog::tile::{TilePath, Tiles};
use scrip_protocol::tlog::tree::{append, consistency_proof, verify_consistency};
use scrip_protocol::tlog::witness::AddCheckpoint;
use scrip_relay::earnings::Known;
use scrip_relay::earnings::fetch::{FetchError, LedgerLink, checkpoint};
use scrip_relay::earnings::keys::VendorKeys;
use scrip_runtime::client::{ClientOptions, HttpClient, Request, Response};
use scrip_runtime::clock::ManualClock;
use scrip_runtime::serve::{Listen, bind};
use scrip_runtime::steps::Steps;
use scrip_verifier::link::NoAnswer;

const NOW: UnixSeconds = Day(FIRST_DAY + 100).start();

/// One history: its ledger, and what of it can be proved.
struct History {
    ledger: Forger,
}

impl History {
    /// How `common` goes on where the operator with this number earned something more.
    fn of_operator(common: &Forger, number: u8) -> Self {
        let mut ledger = common.clone();
        ledger.redeem(number, FIRST_DAY + 72, NEXT_EPOCH, &[(0, 3)]);
        Self { ledger }
    }

    fn grown(mut self) -> Self {
        self.ledger.redeem(0, FIRST_DAY + 73, NEXT_EPOCH, &[(0, 2)]);
        self
    }

    fn size(&self) -> u64 {
        self.ledger.leaves.len() as u64
    }

    fn checkpoint(&self) -> Note {
        Note::parse(self.ledger.checkpoint(self.size()).as_bytes()).unwrap()
    }

    fn root(&self) -> TreeHash {
        let text = self.checkpoint();
        text.text().lines().nth(2).unwrap().parse().unwrap()
    }

    /// What an honest program would send to a witness that has seen `old` leaves of this history.
    fn request(&self, old: u64) -> String {
        let hashes: Vec<TreeHash> = self.ledger.leaves.iter().map(|leaf| leaf.hash()).collect();
        let mut tiles = Tiles::new();
        for (path, bytes) in append(&Tiles::new(), 0, &hashes).unwrap() {
            tiles.insert(&path, &bytes).unwrap();
        }
        let proof = consistency_proof(&tiles, old, self.size()).unwrap();
        AddCheckpoint { old_size: old, proof, checkpoint: self.checkpoint() }.encode()
    }

    /// The ledger as files, with these cosignatures in the file beside its checkpoint.
    fn write(&self, directory: &Path, cosignatures: &[NoteSignature]) {
        self.ledger.write(directory);
        std::fs::write(directory.join("cosigned"), self.cosigned(cosignatures)).unwrap();
    }

    fn cosigned(&self, cosignatures: &[NoteSignature]) -> String {
        let mut note = self.checkpoint();
        for signature in cosignatures {
            note.add(signature.clone()).unwrap();
        }
        note.encode()
    }
}

fn log_key(forger: &Forger) -> VerifierKey {
    VerifierKey::of_ledger(&forger.vendor, receipt_key().public())
}

/// A witness that serves, until the test ends.
struct Serving {
    key: VerifierKey,
    url: String,
    directory: tempfile::TempDir,
}

impl Serving {
    async fn start(number: u8, log: &VerifierKey) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let logs = vec![LogConfig { key: log.clone(), origin: None }];
        let name = format!("witness.example/w{number}").parse().unwrap();
        let config = Config::new(name, directory.path(), logs);
        let key = SigningKey::from_seed(&[0x50 + number; 32]);
        let clock = Arc::new(ManualClock::new(NOW));
        let witness = Witness::open(&config, key, clock, Steps::none()).unwrap();
        let address = ([127, 0, 0, 1], 0).into();
        let bound = bind(&Listen { address, tls: None, behind_tls_proxy: false }).await.unwrap();
        let url = format!("http://{}/add-checkpoint", bound.address());
        let key = witness.verifier_key();
        tokio::spawn(bound.serve(router(witness), Default::default(), std::future::pending()));
        Self { key, url, directory }
    }

    async fn send(&self, request: String) -> Response {
        let client = HttpClient::new(ClientOptions::default()).unwrap();
        client.send(Request::post(&self.url, request, 4_096)).await.unwrap()
    }

    async fn cosign(&self, history: &History, old: u64) -> NoteSignature {
        let answer = self.send(history.request(old)).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        NoteSignature::parse_lines(&answer.body).unwrap().remove(0)
    }
}

/// What the vendor shows to one operator.
struct Shown(String);

impl LedgerLink for Shown {
    fn checkpoint<'a>(&'a self, _: &'a VendorAddress) -> BoxFuture<'a, Result<Bytes, NoAnswer>> {
        Box::pin(async { Ok(Bytes::from(self.0.clone())) })
    }

    fn tile<'a>(
        &'a self,
        _: &'a VendorAddress,
        _: TilePath,
    ) -> BoxFuture<'a, Result<Bytes, NoAnswer>> {
        Box::pin(async { Err(NoAnswer::Status { status: 404, problem: None }) })
    }

    fn own<'a>(
        &'a self,
        _: &'a VendorAddress,
        _: Vec<u8>,
    ) -> BoxFuture<'a, Result<Bytes, NoAnswer>> {
        Box::pin(async { Err(NoAnswer::Status { status: 404, problem: None }) })
    }
}

/// How the relay of the operator with this number takes what it is shown.
async fn relay_takes(
    number: u8,
    forger: &Forger,
    shown: String,
    policy: &WitnessPolicy,
) -> Result<SignedCheckpoint, FetchError> {
    let keys = VendorKeys::new(vec![forger.manifest()]).unwrap();
    let address = VendorAddress { id: forger.vendor, authority: "127.0.0.1:9".to_owned() };
    let operator_key = operator_key(number).public();
    let known = Known { address: &address, keys: &keys, operator_key, policy };
    checkpoint(&Shown(shown), &known).await
}

async fn audited(
    history: &History,
    cosignatures: &[NoteSignature],
    policy: &WitnessPolicy,
    since: Option<String>,
) -> Report {
    let directory = tempfile::tempdir().unwrap();
    history.write(directory.path(), cosignatures);
    let options = AuditOptions {
        vendor: history.ledger.vendor,
        since: since.map(String::into_bytes),
        receipts: None,
        refusals: None,
        policy: policy.clone(),
        state: None,
        save_every: 1_024,
        workers: 2,
        now: NOW,
        rng: Arc::new(|| Box::new(ChaCha20Rng::from_seed([3; 32]))),
    };
    let run = move || audit(&DirectoryLedger::new(directory.path()), &options, &|_| {}).unwrap();
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_view_is_flawless_on_both_sides_and_only_one_is_cosigned() {
    let (none, common) = (WitnessPolicy::none(), Forger::honest());
    let log = log_key(&common);
    let witnesses = [Serving::start(1, &log).await, Serving::start(2, &log).await];
    let policy =
        WitnessPolicy::new(witnesses.iter().map(|witness| witness.key.clone()).collect(), 2)
            .unwrap();
    let (one, other) = (History::of_operator(&common, 0), History::of_operator(&common, 1));
    assert_eq!(one.size(), other.size());
    assert_ne!(one.root(), other.root());

    // Each by itself: flawless to an auditor, a continuation of what everybody saw before, and fine with the relay.
    let before = common.leaves.len() as u64;
    let old = History { ledger: common };
    for (number, history) in [(0, &one), (1, &other)] {
        let report = audited(history, &[], &none, Some(old.checkpoint().encode())).await;
        assert_eq!(report.exit_code, 0, "{:?}", report.findings);
        let request = AddCheckpoint::parse(history.request(before).as_bytes()).unwrap();
        let (size, root) = (history.size(), history.root());
        verify_consistency(before, &old.root(), size, &root, &request.proof).unwrap();
        relay_takes(number, &old.ledger, history.cosigned(&[]), &none).await.unwrap();
    }

    // The witnesses have seen what everybody saw; then the vendor sends them one history, and must not send them the other.
    let mut cosignatures = Vec::new();
    for witness in &witnesses {
        witness.cosign(&old, 0).await;
        cosignatures.push(witness.cosign(&one, before).await);
        for request in [other.request(other.size()), other.request(before)] {
            let refused = witness.send(request).await;
            assert_eq!(refused.status, 409);
            assert_eq!(refused.body, format!("{}\n", one.size()));
        }
        let larger = History::of_operator(&old.ledger, 1).grown();
        let refused = witness.send(larger.request(one.size())).await;
        assert_eq!(refused.status, 422, "{:?}", refused.body);
    }

    // Who demands both witnesses takes the one history.
    relay_takes(0, &old.ledger, one.cosigned(&cosignatures), &policy).await.unwrap();
    let report = audited(&one, &cosignatures, &policy, None).await;
    assert_eq!(report.exit_code, 0, "{:?}", report.findings);

    // The other one has no cosignatures, and those of the first do not fit it. Both are refused, and it is said why.
    let refused = relay_takes(1, &old.ledger, other.cosigned(&[]), &policy).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the vendor's checkpoint does not count: 0 of the 2 cosignatures that are demanded; \
         missing: witness.example/w1, witness.example/w2"
    );
    let refused =
        relay_takes(1, &old.ledger, other.cosigned(&cosignatures), &policy).await.unwrap_err();
    assert!(
        matches!(
            refused,
            FetchError::Checkpoint(CheckpointError::Witnesses(PolicyError::BadCosignature(_)))
        ),
        "{refused}"
    );
    for shown in [&[][..], &cosignatures] {
        let report = audited(&other, shown, &policy, None).await;
        assert_eq!(report.verdict_of(Check::Quorum), Some(&Verdict::Fail));
        assert_eq!(report.found(FindingKind::QuorumMissing).count(), 1);
        assert_ne!(report.exit_code, 0);
    }

    // A witness that helps the vendor is not enough where two are demanded, and is where one is.
    let helper = SigningKey::from_seed(&[0x51; 32]);
    let name = witnesses[0].key.name();
    let bought =
        scrip_protocol::tlog::cosignature::cosign(&other.checkpoint(), name, &helper, NOW).unwrap();
    let shown = other.cosigned(std::slice::from_ref(&bought));
    let refused = relay_takes(1, &old.ledger, shown.clone(), &policy).await.unwrap_err();
    assert!(
        refused
            .to_string()
            .ends_with("1 of the 2 cosignatures that are demanded; missing: witness.example/w2"),
        "{refused}"
    );
    let lax = WitnessPolicy::new(policy.witnesses().to_vec(), 1).unwrap();
    relay_takes(1, &old.ledger, shown, &lax).await.unwrap();

    // Each witness kept the two signed checkpoints, with which anybody can show what the vendor did.
    for witness in &witnesses {
        let [a, b] = evidence(&witness.directory, &log);
        assert!(a.contradicts(&b));
        assert_eq!((a.checkpoint().root, b.checkpoint().root), (one.root(), other.root()));
    }
    // An auditor who has seen the other history finds it as well, when it is shown this one.
    let report = audited(&one, &cosignatures, &policy, Some(other.checkpoint().encode())).await;
    assert_eq!(report.verdict_of(Check::History), Some(&Verdict::Fail));
    assert_eq!(report.found(FindingKind::Forked).count(), 1);
}

/// The two checkpoints that a witness kept.
fn evidence(directory: &tempfile::TempDir, log: &VerifierKey) -> [SignedCheckpoint; 2] {
    let files = std::fs::read_dir(directory.path().join("logs")).unwrap();
    let mut files = files.map(|entry| entry.unwrap().path());
    let file = files.find(|path| path.extension().unwrap() == "fork-0").unwrap();
    let text = std::fs::read_to_string(file).unwrap();
    let second = text.rfind(&format!("\n\n{}", log.name())).unwrap() + 2;
    [&text[..second - 1], &text[second..]].map(|note| {
        let policy = WitnessPolicy::none();
        SignedCheckpoint::open(note.as_bytes(), log.name(), [log], &policy).unwrap()
    })
}
