//! What crashes and faults leave: at each step, failed and lost, failed and kept; then a restart, the whole ledger checked from its
//! files, and the batch repeated.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use scrip_protocol::problem::ProblemType;
use scrip_runtime::steps::Steps;

use super::*;
use crate::{alerts, ledger::Fault, testing::LEDGER_STEPS};

/// A vendor that has redeemed something, whose first bundle is not full where `fill` is 1; and a batch that it has not seen.
struct Prepared {
    directory: tempfile::TempDir,
    batch: Vec<u8>,
    keys: Vec<[u8; 32]>,
}

async fn prepare(fill: u64) -> Prepared {
    let directory = tempfile::tempdir().unwrap();
    let vendor = setup(directory.path(), fill).init().await.unwrap();
    let certificates = Wallet::new(1).buy(&vendor.issuer).await;
    let mut operator = Operator::new(&vendor, 1).await;
    let items: Vec<_> = certificates.iter().map(|c| operator.item(&vendor, c, 1)).collect();
    let keys = items.iter().map(|item| item.token.nonce).collect();
    operator.redeem(&vendor, items[..2].to_vec()).await;
    let batch = operator.batch(&vendor, items);
    vendor.issuer.store().close().await;
    Prepared { directory, batch, keys }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if from.is_dir() {
            std::fs::create_dir(to.join(&name)).unwrap();
            copy(&from, &to.join(&name));
        } else {
            std::fs::copy(&from, to.join(&name)).unwrap();
        }
    }
}

/// The batch is redeemed on a copy while something fails; then the issuer is opened again, and everything must be there once.
async fn survives(
    prepared: &Prepared,
    setup: &Setup,
    what: &str,
    armed: &AtomicBool,
    fault: Option<(usize, Fault)>,
) {
    let Prepared { batch, keys, .. } = prepared;
    let vendor = setup.open().await.unwrap();
    armed.store(true, Ordering::SeqCst);
    if let Some((works, fault)) = fault {
        vendor.issuer.ledger_storage().fail_after(works, fault);
    }
    let answer = send_batch(&vendor.issuer, batch.clone()).await;
    let reached = !armed.swap(false, Ordering::SeqCst);
    assert!(reached || fault.is_some(), "{what}: reached");
    if answer.status != 200 {
        assert_eq!(answer.problem(), ProblemType::Overloaded, "{what}: may succeed later");
    }
    let published = vendor.issuer.ledger_file("checkpoint").await.unwrap().unwrap();
    drop(vendor);

    let vendor = setup.open().await.unwrap();
    let again = send_batch(&vendor.issuer, batch.clone()).await;
    let decided = outcome(&vendor, batch, again.clone());
    if answer.status == 200 {
        assert_eq!(again, answer, "{what}: the same bytes");
    }
    assert_eq!(send_batch(&vendor.issuer, batch.clone()).await, again, "{what}");
    let (verified, all) = leaves(&vendor).await;
    assert!(
        verified.size >= size_of(&vendor, &published),
        "{what}: nothing that was shown is gone"
    );
    stands_in(&vendor, &decided, keys, &all);
    let mut redeemed = redeemed_keys(&all);
    redeemed.sort_unstable();
    let mut expected = keys.clone();
    expected.sort_unstable();
    assert_eq!(redeemed, expected, "{what}: each accepted certificate has one leaf");
    partial_tiles_begin_full_ones(&vendor, what);
}

/// Every partial tile that is still there is the beginning of the one that it grew into.
fn partial_tiles_begin_full_ones(vendor: &TestIssuer, what: &str) {
    let root = std::path::PathBuf::from(vendor.issuer.ledger_storage().place());
    let mut open = vec![root.join("tile")];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if !path.is_dir() {
                continue;
            }
            if path.extension().is_some_and(|end| end == "p") {
                begin_each_other(&path, what);
            } else {
                open.push(path);
            }
        }
    }
}

fn begin_each_other(partials: &std::path::Path, what: &str) {
    let mut widths: Vec<(u16, Vec<u8>)> = std::fs::read_dir(partials)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let width = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
            (width, std::fs::read(path).unwrap())
        })
        .collect();
    widths.sort();
    if let Ok(full) = std::fs::read(partials.with_extension("")) {
        widths.push((256, full));
    }
    for pair in widths.windows(2) {
        assert!(pair[1].1.starts_with(&pair[0].1), "{what}: {}", partials.display());
    }
}

fn setup(directory: &std::path::Path, fill: u64) -> Setup {
    let mut setup = Setup::sqlite(directory).unwrap();
    setup.config.ledger.fill = fill;
    setup
}

/// The task that integrates ends at each step, as if the process had been killed there.
#[tokio::test]
async fn a_crash_at_each_step_loses_nothing() {
    for fill in [1, 256] {
        let prepared = prepare(fill).await;
        for step in LEDGER_STEPS {
            let directory = tempfile::tempdir().unwrap();
            copy(prepared.directory.path(), directory.path());
            let mut setup = setup(directory.path(), fill);
            let armed = Arc::new(AtomicBool::new(false));
            let trigger = armed.clone();
            setup.steps = Steps::observe(move |at| {
                if at == step && trigger.swap(false, Ordering::SeqCst) {
                    panic!("a crash of the test, at {at}");
                }
            });
            survives(&prepared, &setup, &format!("{step}, fill {fill}"), &armed, None).await;
        }
    }
}

/// Every write to the storage from the n-th on fails.
#[tokio::test]
async fn writes_that_fail_lose_nothing() {
    let armed = AtomicBool::new(false);
    for fill in [1, 256] {
        let prepared = prepare(fill).await;
        for (works, fault) in (0..8).flat_map(|n| [(n, Fault::Lost), (n, Fault::Kept)]) {
            let directory = tempfile::tempdir().unwrap();
            copy(prepared.directory.path(), directory.path());
            let setup = setup(directory.path(), fill);
            let what = format!("{fault:?} after {works} writes, fill {fill}");
            survives(&prepared, &setup, &what, &armed, Some((works, fault))).await;
        }
    }
}

/// While the storage does not work, redemptions are recorded and nobody is told; it says so; and then everything catches up.
#[tokio::test]
async fn a_storage_that_fails_delays_and_loses_nothing() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let bound = issuer.bind().await.unwrap();
    let serving = issuer.clone();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served =
        tokio::spawn(async move { serving.serve(bound, async { drop(stopped.await) }).await });
    let certificates = Wallet::new(1).buy(issuer).await;
    let mut operator = Operator::new(&vendor, 1).await;
    issuer.integrate(Scope::Due).await.unwrap();
    issuer.ledger_storage().fail_after(0, Fault::Lost);
    let items: Vec<_> = certificates.iter().map(|c| operator.item(&vendor, c, 1)).collect();
    let batches: Vec<_> =
        items.chunks(2).map(|some| operator.batch(&vendor, some.to_vec())).collect();
    for batch in &batches {
        let answer = send_batch(issuer, batch.clone()).await;
        assert_eq!(answer.problem(), ProblemType::Overloaded);
    }
    let alert = async || {
        let now = issuer.inner.clock.now();
        let all = alerts::read(issuer.store(), issuer.config(), now, None).await.unwrap();
        all.into_iter().find(|alert| alert.what.contains("ledger does not grow"))
    };
    let told = tokio::time::timeout(std::time::Duration::from_secs(20), async {
        loop {
            if let Some(alert) = alert().await {
                return alert;
            }
            tokio::task::yield_now().await;
        }
    });
    let told = told.await.unwrap();
    assert!(told.what.contains("a fault of a test"), "{told:?}");
    assert!(!told.what.contains(" 0 batches"), "{told:?}");
    issuer.ledger_storage().works_again();
    let mut answers = Vec::new();
    for batch in &batches {
        answers.push(outcome(&vendor, batch, send_batch(issuer, batch.clone()).await));
    }
    let (_, all) = leaves(&vendor).await;
    for (answer, some) in answers.iter().zip(items.chunks(2)) {
        let keys: Vec<_> = some.iter().map(|item| item.token.nonce).collect();
        stands_in(&vendor, answer, &keys, &all);
    }
    assert_eq!(redeemed_keys(&all).len(), 7);
    stop.send(()).unwrap();
    served.await.unwrap().unwrap();
}
