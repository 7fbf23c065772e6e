//! A database that went back, under a running issuer and before a start: everything but reads is refused, until a database is there
//! that has everything.

use std::path::{Path, PathBuf};

use scrip_protocol::{
    keys::SigningKey,
    media,
    problem::ProblemType,
    redemption::{ItemResult, RedemptionOutcome},
    seed::GrantSecret,
    tlog::{checkpoint::Checkpoint, note::Note},
};

use super::support::*;
use crate::{
    Change, Issuer,
    alerts::{self, Alert, Severity},
    config::sqlite_url,
    ledger::Scope,
    store::{Doubt, Store, dump::Dump},
    testing::{Setup, TestIssuer},
};

/// A vendor on a file that the tests put back.
struct Place {
    directory: tempfile::TempDir,
    setup: Setup,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let setup = Setup::sqlite(directory.path()).unwrap();
        Self { directory, setup }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A copy of the database as it is now.
    async fn copy(&self, name: &str) -> PathBuf {
        let to = self.file(name);
        let database = Store::open(&self.setup.config.database, 1, false).await.unwrap();
        database.execute_text(&format!("VACUUM INTO '{}'", to.display())).await;
        database.close().await;
        to
    }

    /// Puts a copy in the place of the database, while issuers run.
    async fn put_back(&self, copy: &Path) {
        let database = Store::open(&self.setup.config.database, 1, false).await.unwrap();
        let tables = database.tables().await;
        let mut sql = format!(
            "ATTACH '{}' AS old; PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE;",
            copy.display()
        );
        for table in tables {
            sql += &format!(
                "DELETE FROM main.{table}; INSERT INTO main.{table} SELECT * FROM old.{table};"
            );
        }
        database.execute_text(&(sql + "COMMIT; DETACH old;")).await;
        database.close().await;
    }

    /// The same while none runs.
    fn put_back_file(&self, copy: &Path) {
        for end in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(self.file(&format!("issuer.db{end}")));
        }
        std::fs::copy(copy, self.file("issuer.db")).unwrap();
    }
}

/// What a command or another process that begins now would say.
async fn alerts_of(vendor: &TestIssuer) -> Vec<Alert> {
    let issuer = &vendor.issuer;
    alerts::read(issuer.store(), issuer.config(), issuer.inner.clock.now(), None).await.unwrap()
}

async fn checkpoint(issuer: &Issuer) -> (u64, String) {
    let shown = get(issuer, "/ledger/checkpoint", None).await;
    let note = Note::parse(&shown.body).unwrap();
    let head = Checkpoint::parse(note.text()).unwrap();
    (head.size, head.root.to_string())
}

fn head(outcome: &RedemptionOutcome) -> u64 {
    Checkpoint::parse(Note::parse(&outcome.checkpoint).unwrap().text()).unwrap().size
}

/// Every request that may change something is refused, whatever is in it, and so is all that a running issuer does by itself; nothing is
/// written.
async fn refuses_everything_but_reads(vendor: &TestIssuer) {
    let issuer = &vendor.issuer;
    let before: Dump = database(issuer).await;
    let secret = GrantSecret::from_bytes([9; 32]);
    for (path, media_type) in [
        ("/v1/orders", media::JSON),
        ("/v1/notifications/stripe", media::JSON),
        ("/v1/grants", media::JSON),
        ("/v1/issuance", media::ISSUANCE_REQUEST),
        ("/v1/token-request", media::TOKEN_REQUEST),
        ("/v1/redemptions", media::REDEMPTION_BATCH),
        ("/v1/renewals", media::RENEWAL_REQUEST),
    ] {
        let answer = post(issuer, path, media_type, Some(&secret), b"{}".to_vec()).await;
        assert_eq!(answer.problem(), ProblemType::VendorStopped, "{path}");
        assert_eq!(answer.status, 503, "{path}");
    }
    let doubted = |error: String| assert!(error.contains("not to be believed"), "{error}");
    doubted(issuer.create_vouchers("starter", 1, 30).await.err().unwrap().to_string());
    let key = SigningKey::from_seed(&[77; 32]).public();
    doubted(issuer.add_operator("new", &key).await.unwrap_err().to_string());
    doubted(issuer.change_epochs(Change::Rotate).await.unwrap_err().to_string());
    doubted(issuer.change_receipt_key().await.unwrap_err().to_string());
    doubted(issuer.integrate(Scope::Everything).await.unwrap_err().to_string());
    doubted(issuer.publish_voided().await.unwrap_err().to_string());
    doubted(issuer.drop_past().await.unwrap_err().to_string());
    for operator in issuer.operators().await.unwrap() {
        assert!(issuer.make_statement(&operator).await.is_err());
    }
    assert_eq!(database(issuer).await, before, "nothing is written");
    for path in ["/v1/manifest", "/v1/offer", "/ledger/checkpoint"] {
        assert_eq!(get(issuer, path, None).await.status, 200, "{path} is read");
    }
    let alerts = alerts_of(vendor).await;
    assert_eq!(alerts.len(), 1, "one alert: {alerts:?}");
    assert_eq!(alerts[0].severity, Severity::Bad);
    assert!(alerts[0].remedy.contains("Put back a database"), "{alerts:?}");
    assert!(!alerts[0].remedy.contains("storage work"), "{alerts:?}");
}

#[tokio::test]
async fn a_database_that_goes_back_under_a_running_issuer_neither_forks_nor_credits_twice() {
    let place = Place::new();
    let vendor = place.setup.init().await.unwrap();
    let issuer = &vendor.issuer;
    let certificates = Wallet::new(1).buy(issuer).await;
    let (mut a, mut b) = (Operator::new(&vendor, 1).await, Operator::new(&vendor, 2).await);
    let first = vec![a.item(&vendor, &certificates[0], 1)];
    a.redeem(&vendor, first).await;
    let old = place.copy("old.db").await;
    let of = |operator: &Operator| -> Vec<_> {
        certificates[1..5].iter().map(|c| operator.item(&vendor, c, 1)).collect()
    };
    let batch = a.batch(&vendor, of(&a));
    let told = outcome(&vendor, &batch, send_batch(issuer, batch.clone()).await);
    assert_eq!(told.results, [ItemResult::Accepted; 4]);
    let published = checkpoint(issuer).await;
    assert_eq!(published.0, head(&told));
    let newest = place.copy("newest.db").await;

    place.put_back(&old).await;
    let theirs = b.batch(&vendor, of(&b));
    let refused = send_batch(issuer, theirs.clone()).await;
    assert_eq!(refused.problem(), ProblemType::VendorStopped);
    assert_eq!(checkpoint(issuer).await, published, "the checkpoint never shrinks");
    assert_eq!(send_batch(issuer, batch.clone()).await.problem(), ProblemType::VendorStopped);
    refuses_everything_but_reads(&vendor).await;
    // It knows by itself as well, whatever becomes of the storage.
    std::fs::remove_file(place.file("ledger/checkpoint")).unwrap();
    assert!(issuer.compare_all().await.is_err());
    assert_eq!(send_batch(issuer, theirs.clone()).await.problem(), ProblemType::VendorStopped);

    // The newest database is put back, as the alert says. Nobody has to do anything else.
    place.put_back(&newest).await;
    issuer.compare_all().await.unwrap();
    assert_eq!(alerts_of(&vendor).await, []);
    let told = outcome(&vendor, &theirs, send_batch(issuer, theirs.clone()).await);
    assert!(told.results.iter().all(|one| matches!(one, ItemResult::DoubleSpent(_))));
    assert_eq!(send_batch(issuer, batch).await.status, 200);
    assert_eq!(issuer.status().await.unwrap().credits_redeemed.0, 6);
}

/// The ledger did not move, and what was sold since is gone.
#[tokio::test]
async fn a_voucher_is_not_used_twice_where_the_ledger_did_not_move() {
    let place = Place::new();
    let vendor = place.setup.init().await.unwrap();
    let issuer = &vendor.issuer;
    issuer.integrate(Scope::Due).await.unwrap();
    let code = voucher(issuer, "starter").await;
    let old = place.copy("old.db").await;
    let (one, two) = (Wallet::new(1).secret(issuer, 0), Wallet::new(2).secret(issuer, 0));
    assert_eq!(use_voucher(issuer, Some(&one), &code).await.status, 200);
    let newest = place.copy("newest.db").await;
    place.put_back(&old).await;
    let again = use_voucher(issuer, Some(&two), &code).await;
    assert_eq!(again.problem(), ProblemType::VendorStopped);
    assert!(issuer.compare_all().await.is_err());
    refuses_everything_but_reads(&vendor).await;
    issuer.store().close().await;
    drop(vendor);

    // Neither does a restart forget it.
    let vendor = place.setup.open().await.unwrap();
    let issuer = &vendor.issuer;
    assert_eq!(issuer.doubt(), Some(Doubt::Lost));
    let again = use_voucher(issuer, Some(&two), &code).await;
    assert_eq!(again.problem(), ProblemType::VendorStopped);
    issuer.store().close().await;
    drop(vendor);
    place.put_back_file(&newest);
    let vendor = place.setup.open().await.unwrap();
    assert_eq!(vendor.issuer.doubt(), None);
    let again = use_voucher(&vendor.issuer, Some(&two), &code).await;
    assert_eq!(again.problem(), ProblemType::VoucherUsed);
}

/// As an operator does it by mistake: an old backup is put back while the issuer is stopped, which nobody notices before it starts.
#[tokio::test]
async fn an_older_database_at_the_start_sells_and_decides_nothing() {
    let place = Place::new();
    let vendor = place.setup.init().await.unwrap();
    let issuer = &vendor.issuer;
    let codes = [voucher(issuer, "starter").await, voucher(issuer, "starter").await];
    let certificates = Wallet::new(1).buy(issuer).await;
    let mut operator = Operator::new(&vendor, 1).await;
    issuer.compare_all().await.unwrap();
    let old = place.copy("old.db").await;
    let items: Vec<_> = certificates.iter().map(|c| operator.item(&vendor, c, 1)).collect();
    operator.redeem(&vendor, items[..3].to_vec()).await;
    let published = checkpoint(issuer).await;
    issuer.compare_all().await.unwrap();
    let newest = place.copy("newest.db").await;
    issuer.store().close().await;
    drop(vendor);

    place.put_back_file(&old);
    let mut setup = Setup::sqlite(place.directory.path()).unwrap();
    // What would be published at a start is not.
    setup.config.products.remove("single");
    let vendor = setup.open().await.unwrap();
    let version = vendor.issuer.manifest().version();
    assert!(matches!(vendor.issuer.doubt(), Some(Doubt::Behind { .. })));
    let two = Wallet::new(2).secret(&vendor.issuer, 0);
    let sold = use_voucher(&vendor.issuer, Some(&two), &codes[0]).await;
    assert_eq!(sold.problem(), ProblemType::VendorStopped);
    assert_eq!(checkpoint(&vendor.issuer).await, published);
    refuses_everything_but_reads(&vendor).await;
    vendor.issuer.store().close().await;
    drop(vendor);

    place.put_back_file(&newest);
    let vendor = setup.open().await.unwrap();
    assert_eq!(vendor.issuer.doubt(), None);
    assert!(vendor.issuer.manifest().version() > version, "what is configured is published now");
    for code in &codes {
        let secret = Wallet::new(2).secret(&vendor.issuer, u32::from(code == &codes[1]));
        assert_eq!(use_voucher(&vendor.issuer, Some(&secret), code).await.status, 200);
        let other = Wallet::new(3).secret(&vendor.issuer, u32::from(code == &codes[1]));
        let again = use_voucher(&vendor.issuer, Some(&other), code).await;
        assert_eq!(again.problem(), ProblemType::VoucherUsed);
    }
    let left = operator.redeem(&vendor, items).await;
    assert_eq!(left[..3], [ItemResult::AlreadyAccepted; 3]);
    assert_eq!(left[3..], [ItemResult::Accepted; 4]);
}

/// Sales alone are missed at a start as well, by the file beside the ledger.
#[tokio::test]
async fn a_database_without_the_last_sales_is_found_at_the_start() {
    let place = Place::new();
    let vendor = place.setup.init().await.unwrap();
    vendor.issuer.integrate(Scope::Due).await.unwrap();
    let old = place.copy("old.db").await;
    Wallet::new(1).grant(&vendor.issuer, "starter").await;
    // What a running issuer does each second.
    vendor.issuer.compare_all().await.unwrap();
    vendor.issuer.store().close().await;
    drop(vendor);
    place.put_back_file(&old);
    // However often it is started: what it writes by itself is not taken for what is missing.
    for _ in 0..4 {
        let vendor = place.setup.open().await.unwrap();
        assert_eq!(vendor.issuer.doubt(), Some(Doubt::Lost));
        vendor.issuer.store().close().await;
    }
    let vendor = place.setup.open().await.unwrap();
    refuses_everything_but_reads(&vendor).await;
}

/// The database has a tree of the same size with another root: a second history that somebody else wrote into it.
#[tokio::test]
async fn a_database_with_another_tree_is_not_believed() {
    let place = Place::new();
    let vendor = place.setup.init().await.unwrap();
    let certificates = Wallet::new(1).buy(&vendor.issuer).await;
    let (mut a, mut b) = (Operator::new(&vendor, 1).await, Operator::new(&vendor, 2).await);
    let old = place.copy("old.db").await;
    let items = certificates.iter().map(|c| a.item(&vendor, c, 1)).collect();
    a.redeem(&vendor, items).await;
    let published = checkpoint(&vendor.issuer).await;

    // Another issuer with a ledger of its own goes on from the copy.
    let aside = tempfile::tempdir().unwrap();
    std::fs::copy(&old, aside.path().join("issuer.db")).unwrap();
    let mut setup = Setup::sqlite(aside.path()).unwrap();
    setup.config.database = sqlite_url(&aside.path().join("issuer.db"));
    let other = setup.open().await.unwrap();
    let items = certificates.iter().map(|c| b.item(&other, c, 1)).collect();
    b.redeem(&other, items).await;
    assert_eq!(checkpoint(&other.issuer).await.0, published.0, "of one size");
    other.issuer.store().close().await;
    place.put_back(&aside.path().join("issuer.db")).await;

    let batch = b.batch(&vendor, certificates.iter().map(|c| b.item(&vendor, c, 2)).collect());
    let refused = send_batch(&vendor.issuer, batch).await;
    assert_eq!(refused.problem(), ProblemType::VendorStopped);
    assert!(
        matches!(vendor.issuer.doubt(), Some(Doubt::Differs { .. })),
        "{:?}",
        vendor.issuer.doubt()
    );
    assert_eq!(checkpoint(&vendor.issuer).await, published);
    refuses_everything_but_reads(&vendor).await;
}

/// What is beside the ledger is damaged: nothing is believed until somebody says that the database is the newest.
#[tokio::test]
async fn a_damaged_file_beside_the_ledger_stops_until_the_database_is_accepted() {
    let place = Place::new();
    let vendor = place.setup.init().await.unwrap();
    let issuer = &vendor.issuer;
    std::fs::write(place.file("ledger/database"), b"{").unwrap();
    let doubted = issuer.compare_all().await.unwrap_err();
    assert!(doubted.to_string().contains("scrip-issuer database accept"), "{doubted}");
    assert!(matches!(issuer.doubt(), Some(Doubt::Damaged { .. })));
    crate::ledger::belief::accept(issuer.store(), issuer.ledger_storage(), false).await.unwrap();
    issuer.compare_all().await.unwrap();
    assert_eq!(issuer.doubt(), None);
}

/// Losses are accepted by those who say so, and only where the ledger lost nothing.
#[tokio::test]
async fn losses_are_accepted_where_the_ledger_lost_nothing() {
    let place = Place::new();
    let vendor = place.setup.init().await.unwrap();
    let certificates = Wallet::new(1).buy(&vendor.issuer).await;
    let mut operator = Operator::new(&vendor, 1).await;
    let older = place.copy("older.db").await;
    let items = certificates.iter().map(|c| operator.item(&vendor, c, 1)).collect();
    operator.redeem(&vendor, items).await;
    let old = place.copy("old.db").await;
    Wallet::new(2).grant(&vendor.issuer, "starter").await;
    vendor.issuer.compare_all().await.unwrap();
    vendor.issuer.store().close().await;
    drop(vendor);

    let accept = async |copy: &Path, with_losses: bool| {
        place.put_back_file(copy);
        let vendor = place.setup.open().await.unwrap();
        let (store, storage) = (vendor.issuer.store(), vendor.issuer.ledger_storage());
        let accepted = crate::ledger::belief::accept(store, storage, with_losses).await;
        store.close().await;
        accepted.is_ok()
    };
    assert!(!accept(&old, false).await, "it provably lost something");
    assert!(!accept(&older, true).await, "the ledger lost something");
    assert!(accept(&old, true).await);
    let vendor = place.setup.open().await.unwrap();
    assert_eq!(vendor.issuer.doubt(), None);
}

/// A storage that cannot be read at a start lets nothing be sold; one that fails later stops nobody.
#[tokio::test]
async fn nothing_is_sold_before_the_ledger_was_read() {
    let place = Place::new();
    let vendor = place.setup.init().await.unwrap();
    let code = voucher(&vendor.issuer, "starter").await;
    vendor.issuer.integrate(Scope::Due).await.unwrap();
    let checkpoint = place.file("ledger/checkpoint");
    let bytes = std::fs::read(&checkpoint).unwrap();
    // A link to itself cannot be read.
    std::fs::remove_file(&checkpoint).unwrap();
    std::os::unix::fs::symlink("checkpoint", &checkpoint).unwrap();
    let secret = Wallet::new(1).secret(&vendor.issuer, 0);
    let sold = use_voucher(&vendor.issuer, Some(&secret), &code).await;
    assert_eq!(sold.status, 200, "what was read before is remembered");
    vendor.issuer.store().close().await;
    drop(vendor);
    let vendor = place.setup.open().await.unwrap();
    let again = use_voucher(&vendor.issuer, Some(&secret), &code).await;
    assert_eq!(vendor.issuer.doubt(), Some(Doubt::Unread));
    assert_eq!(again.problem(), ProblemType::VendorStopped);
    std::fs::remove_file(&checkpoint).unwrap();
    std::fs::write(&checkpoint, bytes).unwrap();
    vendor.issuer.compare_all().await.unwrap();
    assert_eq!(use_voucher(&vendor.issuer, Some(&secret), &code).await.status, 200);
}
