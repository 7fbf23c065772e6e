//! The program itself: what it writes, how it ends, and that it goes on where it was killed.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set up fails")]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header::AUTHORIZATION},
    response::{IntoResponse, Response},
};
use scrip_auditor::testing::{EPOCH, FIRST_DAY, Forger, LedgerWriter};
use scrip_protocol::ledger::Leaf;
use tokio::{net::TcpListener, sync::mpsc};

const TOKEN: &str = "token-of-an-auditor";

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_scrip-auditor"))
}

fn audit(ledger: &str, forger: &Forger, more: &[&str]) -> Output {
    let vendor = format!("scrip://{}@vendor.example", forger.vendor);
    let mut command = program();
    command.args(["audit", "--ledger", ledger, "--vendor", &vendor]).args(more);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Leaves a page where somebody wants to look at it.
fn keep(page: &Path, name: &str) {
    if let Some(folder) = std::env::var_os("SCRIP_SCREENSHOTS") {
        std::fs::copy(page, Path::new(&folder).join(format!("audit-{name}.html"))).unwrap();
    }
}

fn written(forger: &Forger) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    forger.write(directory.path());
    directory
}

#[test]
fn the_report_is_one_page_with_a_twin_and_the_exit_code_says_the_verdict() {
    let forger = Forger::honest();
    let directory = written(&forger);
    let page = directory.path().join("report.html");
    let path = page.to_str().unwrap();
    let ledger = directory.path().to_str().unwrap();
    let receipts = directory.path().join("receipts");
    forger.write_receipts(&receipts);
    let done =
        audit(ledger, &forger, &["--report", path, "--receipts", receipts.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(0), "{}{}", text(&done.stdout), text(&done.stderr));
    assert!(text(&done.stdout).contains("Everything passed: 528 leaves, 257 redemptions."));
    keep(&page, "passed");
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.contains("The books hold") && html.contains("<svg"));
    for loaded in ["<script", "src=", "href=", "url(", "@import", "http://", "https://"] {
        assert!(!html.contains(loaded), "the page needs nothing but itself: {loaded}");
    }
    let twin = std::fs::read(page.with_extension("json")).unwrap();
    let twin: serde_json::Value = serde_json::from_slice(&twin).unwrap();
    assert_eq!((&twin["verdict"], &twin["exit_code"]), (&"pass".into(), &0.into()));
    assert_eq!(twin["checks"].as_array().unwrap().len(), 21);
    assert_eq!(twin["leaves"]["redemption"], 257);
    assert!(twin["run"]["peak_memory_bytes"].as_u64().unwrap() > 1 << 20);

    // What was found is on the page and in the twin, as text and never as markup.
    let mut forged = forger.clone();
    let at = forged.find(5, |leaf| matches!(leaf, Leaf::Redemption(_)));
    let cover = forged.find(0, |leaf| matches!(leaf, Leaf::Cover(_)));
    forged.leaves[cover as usize] = Leaf::Cover([1; 32]);
    if let Leaf::Redemption(one) = &mut forged.leaves[at as usize] {
        one.item.token.authenticator[0] ^= 1;
    }
    let directory = written(&forged);
    let page = directory.path().join("report.html");
    let ledger = directory.path().to_str().unwrap();
    let shown = directory.path().join("shown-before");
    std::fs::write(&shown, forger.checkpoint(100)).unwrap();
    std::fs::remove_dir_all(directory.path().join("tile/0")).unwrap();
    let more = ["--json", "--report", page.to_str().unwrap(), "--since", shown.to_str().unwrap()];
    let done = audit(ledger, &forged, &more);
    assert_eq!(done.status.code(), Some(3), "{}", text(&done.stderr));
    let printed: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(printed["findings"][0]["kind"], "forked");
    assert_eq!(printed["findings"][1]["kind"], "certificate-signature");
    assert_eq!(printed["findings"][1]["index"], at);
    keep(&page, "failed");
    assert!(std::fs::read_to_string(&page).unwrap().contains("The books do not hold"));

    std::fs::remove_file(directory.path().join("tile/public/000")).unwrap();
    let done = audit(ledger, &forged, &[]);
    assert_eq!(done.status.code(), Some(3), "fraud counts more than what was not checked");
    let directory = written(&forger);
    std::fs::remove_file(directory.path().join("tile/public/000")).unwrap();
    let done = audit(directory.path().to_str().unwrap(), &forger, &[]);
    assert_eq!(done.status.code(), Some(4));
    assert!(text(&done.stdout).contains("not checked  What the public is shown"));
}

#[test]
fn wrong_inputs_say_whose_fault_it_is_and_what_to_do() {
    let forger = Forger::opened();
    let directory = written(&forger);
    let ledger = directory.path().to_str().unwrap();
    let empty = tempfile::tempdir().unwrap();
    let nothing = empty.path().to_str().unwrap();
    let garbage = empty.path().join("garbage");
    std::fs::write(&garbage, b"this is no checkpoint").unwrap();
    let garbage = garbage.to_str().unwrap();
    let unwritable = empty.path().join("report.txt");
    let unwritable = unwritable.to_str().unwrap();
    let key = "witness.example+00000000+AAAA";
    let cases: [(&str, &[&str], i32, &str); 8] = [
        (
            nothing,
            &[],
            1,
            "is no ledger: there is no file `checkpoint`; give a directory with a copy",
        ),
        ("/no/such/place", &[], 2, "neither a directory nor a URL"),
        ("http://127.0.0.1:1/ledger", &[], 1, "could not connect to 127.0.0.1:1"),
        (
            ledger,
            &["--since", garbage],
            2,
            "the file given with --since is no checkpoint of this vendor",
        ),
        (ledger, &["--since", "/no/such/file"], 1, "cannot read /no/such/file"),
        (
            ledger,
            &["--receipts", "/no/such/place"],
            1,
            "cannot read the receipts in /no/such/place",
        ),
        (ledger, &["--report", unwritable], 2, "does not end in .html"),
        (ledger, &["--witness", key], 2, "invalid value"),
    ];
    for (ledger, more, code, message) in cases {
        let done = audit(ledger, &forger, more);
        assert_eq!(done.status.code(), Some(code), "{more:?}: {}", text(&done.stderr));
        assert!(text(&done.stderr).contains(message), "{more:?}: {}", text(&done.stderr));
    }
    let mut other = forger.clone();
    other.vendor = scrip_protocol::id::VendorId::from_bytes([9; 32]);
    let done = audit(ledger, &other, &[]);
    assert_eq!(done.status.code(), Some(2));
    assert!(text(&done.stderr).contains("compare --ledger and --vendor"), "{}", text(&done.stderr));
    let done = program().arg("audit").output().unwrap();
    assert_eq!(done.status.code(), Some(2));
    let help = text(&program().arg("--help").output().unwrap().stdout);
    assert!(help.contains("3 fraud or an inconsistency was found"), "{help}");
}

/// A server of a ledger that notes what is asked for, and never answers for one path.
#[derive(Clone)]
struct Serves {
    root: PathBuf,
    asked: Arc<Mutex<Vec<String>>>,
    stall_at: Option<String>,
    stalled: mpsc::UnboundedSender<()>,
}

async fn serve_file(State(serves): State<Serves>, request: Request) -> Response {
    let path = request.uri().path().trim_start_matches("/ledger/").to_owned();
    let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    if path.starts_with("tile/entries/") && token != Some(&format!("Bearer {TOKEN}")) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    serves.asked.lock().unwrap().push(path.clone());
    if serves.stall_at.as_ref() == Some(&path) {
        serves.stalled.send(()).unwrap();
        return std::future::pending().await;
    }
    match std::fs::read(serves.root.join(&path)) {
        Ok(bytes) => bytes.into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    stalled: mpsc::UnboundedReceiver<()>,
}

async fn serve(root: &Path, stall_at: Option<&str>) -> Server {
    let (signal, stalled) = mpsc::unbounded_channel();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let serves = Serves {
        root: root.to_owned(),
        asked: asked.clone(),
        stall_at: stall_at.map(str::to_owned),
        stalled: signal,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/ledger", listener.local_addr().unwrap());
    let app = Router::new().fallback(serve_file).with_state(serves);
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    Server { url, asked, stalled }
}

/// A ledger with many bundles: after the first sales, batch after batch.
fn long_ledger(root: &Path) -> Forger {
    let mut forger = Forger::opened();
    forger.redeem(0, FIRST_DAY + 3, EPOCH, &[(0, 100)]);
    forger.write(root);
    let mut writer = LedgerWriter::new(root);
    forger.entries().into_iter().for_each(|leaf| writer.push(leaf));
    for n in 0..20 * 256_u64 {
        let mut random = [3; 32];
        random[..8].copy_from_slice(&n.to_be_bytes());
        writer.push(Leaf::Cover(random).encode());
    }
    for leaf in forger.entries().into_iter().skip(forger.leaves.len() - 112).take(105) {
        writer.push(leaf); // the last batch once more
    }
    writer.finish(&forger.vendor);
    forger
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_that_is_killed_goes_on_where_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let forger = long_ledger(directory.path());
    let vendor = format!("scrip://{}@vendor.example", forger.vendor);
    let state = directory.path().join("state");
    let token = directory.path().join("token");
    std::fs::write(&token, format!("{TOKEN}\n")).unwrap();
    let command = |url: &str| {
        let mut command = program();
        command.args([
            "audit",
            "--json",
            "--save-every",
            "4",
            "--ledger",
            url,
            "--vendor",
            &vendor,
        ]);
        command.arg("--state").arg(&state).arg("--token-file").arg(&token);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let entries = |server: &Server| -> Vec<u64> {
        let asked = server.asked.lock().unwrap();
        let bundles = asked.iter().filter_map(|path| path.strip_prefix("tile/entries/"));
        bundles.map(|path| path.split('.').next().unwrap().parse().unwrap()).collect()
    };

    // It is killed while it waits for the bundle 14; that 12 were accounted for is what its state says.
    let mut first = serve(directory.path(), Some("tile/entries/014")).await;
    let mut child = command(&first.url).spawn().unwrap();
    first.stalled.recv().await.unwrap();
    let saved = state.join("audit.json");
    while !is_saved_beyond(&saved, 12) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        assert!(child.try_wait().unwrap().is_none(), "it waits for the server");
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let second = serve(directory.path(), None).await;
    let url = second.url.clone();
    let done = tokio::task::spawn_blocking({
        let mut command = command(&url);
        move || command.output().unwrap()
    });
    let done = done.await.unwrap();
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(3), "{}", text(&done.stderr));
    let read = entries(&second);
    assert_eq!(read.iter().min(), Some(&12), "what was accounted for is not read again: {read:?}");
    assert_eq!(report["run"]["from"], 12 * 256);
    assert_eq!(report["leaves"]["redemption"], 200, "and counts all the same");
    // The batch at the end is the one that was read before the kill.
    assert_eq!(report["finding_counts"]["duplicate"], 100, "{report:#}");

    // A third audit has nothing left to read but the last, partial bundle.
    let third = serve(directory.path(), None).await;
    let mut command = command(&third.url);
    let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let again: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(entries(&third).len(), 1);
    assert_eq!(again["findings"], report["findings"], "what was found is not forgotten");
    assert_eq!(again["since"], report["size"], "it continues the last audit's checkpoint");
}

fn is_saved_beyond(state: &Path, bundles: u64) -> bool {
    let Ok(bytes) = std::fs::read(state) else { return false };
    let saved: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let leaves = saved["accounts"]["leaves"].as_object().unwrap();
    leaves.values().map(|n| n.as_u64().unwrap()).sum::<u64>() >= bundles * 256
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_refused_is_named() {
    let forger = Forger::opened();
    let directory = written(&forger);
    let server = serve(directory.path(), None).await;
    let wrong = directory.path().join("token");
    std::fs::write(&wrong, "another").unwrap();
    let empty = directory.path().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    let url = server.url.clone();
    tokio::task::spawn_blocking(move || {
        let done = audit(&url, &forger, &[]);
        assert_eq!(done.status.code(), Some(1));
        assert!(
            text(&done.stderr).contains("get a token from the vendor"),
            "{}",
            text(&done.stderr)
        );
        let done = audit(&url, &forger, &["--token-file", wrong.to_str().unwrap()]);
        assert_eq!(done.status.code(), Some(1));
        assert!(text(&done.stderr).contains("refuses the token"), "{}", text(&done.stderr));
        let done = audit(&url, &forger, &["--token-file", empty.to_str().unwrap()]);
        assert_eq!(done.status.code(), Some(2));
        assert!(text(&done.stderr).contains("has no token"), "{}", text(&done.stderr));
    })
    .await
    .unwrap();
}
