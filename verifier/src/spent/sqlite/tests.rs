use std::time::Instant;

use futures_util::future::join_all;
use scrip_protocol::{
    credits::Credits,
    keys::{PublicKey, Signature},
    redemption::ConflictProof,
    spend::{Binding, SpendKind},
};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use tempfile::TempDir;

use super::*;
use crate::spent::conformance::{self, reservation, vendor};

async fn open(dir: &TempDir) -> SqliteStore {
    SqliteStore::open(&dir.path().join("spent.sqlite")).await.unwrap()
}

fn answer() -> StoredAnswer {
    StoredAnswer { status: 201, content_type: String::new(), body: vec![1, 2] }
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_every_promise() {
    let dir = TempDir::new().unwrap();
    conformance::run(Arc::new(open(&dir).await)).await;
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
    let (first, second) = (reservation(vendor(1), 1, &[1, 2]), reservation(vendor(1), 2, &[3]));
    let ReserveOutcome::New(reserved) = store.reserve(first.clone()).await.unwrap() else {
        panic!("new")
    };
    store.reserve(second.clone()).await.unwrap();
    store.commit(second.payment_id, answer()).await.unwrap();
    store.close().await;
    assert!(matches!(store.reserve(first.clone()).await, Err(StoreError::Closed)));

    let store = open(&dir).await;
    let found = store.find(first.payment_id).await.unwrap();
    assert_eq!(found, Some(KnownPayment::Reserved(reserved)));
    let found = store.find(second.payment_id).await.unwrap();
    assert_eq!(found, Some(KnownPayment::Committed(answer())));
    assert_eq!(store.waiting(vendor(1)).await.unwrap().items, 1);
    // Numbers go on where they ended.
    store.reserve(reservation(vendor(1), 3, &[4])).await.unwrap();
    assert_eq!(store.reserved(conformance::AT).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_second_writer_is_refused_and_readers_are_not() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("spent.sqlite");
    assert!(matches!(Books::open(&path).await, Err(StoreError::Open { .. })));
    let store = open(&dir).await;
    assert!(matches!(SqliteStore::open(&path).await, Err(StoreError::InUse { .. })));
    store.reserve(reservation(vendor(1), 1, &[1])).await.unwrap();
    let books = Books::open(&path).await.unwrap();
    assert_eq!(books.totals().await.unwrap()[0].unredeemed, Credits(2));
    store.close().await;
    SqliteStore::open(&path).await.unwrap();
}

#[tokio::test]
async fn a_database_of_a_newer_release_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("spent.sqlite");
    open(&dir).await.close().await;
    let mut connection = options(&path).connect().await.unwrap();
    let sql = "INSERT INTO migrations VALUES (99)";
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let opened = SqliteStore::open(&path).await;
    assert!(matches!(opened, Err(StoreError::TooNew { found: 99, known: 5, .. })));
}

async fn numbers(path: &Path) -> (i64, i64) {
    let mut connection = options(path).connect().await.unwrap();
    let sql = "SELECT number, first_item FROM payments ORDER BY number DESC LIMIT 1";
    let row = sqlx::query(sql).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn no_number_is_given_out_twice() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
    let gone = reservation(vendor(1), 1, &[1, 2]);
    store.reserve(gone.clone()).await.unwrap();
    store.release(gone.payment_id).await.unwrap();
    store.reserve(reservation(vendor(1), 2, &[3])).await.unwrap();
    assert_eq!(numbers(&dir.path().join("spent.sqlite")).await, (2, 3));
}

/// A payment of the first release whose last items were dropped still names their numbers. What was earned stays.
#[tokio::test]
async fn the_counters_begin_after_all_numbers_of_an_older_database() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("spent.sqlite");
    let mut connection = options(&path).create_if_missing(true).connect().await.unwrap();
    let sql = "CREATE TABLE migrations (version INTEGER PRIMARY KEY);
        INSERT INTO migrations VALUES (1);
        INSERT INTO vendors VALUES (1, zeroblob(32), 0);
        INSERT INTO earnings VALUES (1, 20000, 3, 2, 8);
        INSERT INTO payments VALUES (4, x'00', 1, 1, 0, 60, 5, 7, 9, 201, '', x'00');";
    sqlx::raw_sql(include_str!("migrations/0001_spent.sql"))
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let store = open(&dir).await;
    store.reserve(reservation(vendor(1), 1, &[1])).await.unwrap();
    assert_eq!(numbers(&path).await, (5, 10));
    let earnings = store.earnings().await.unwrap();
    let rows: Vec<_> = earnings.iter().map(|row| (row.test, row.items, row.credits.0)).collect();
    assert_eq!(rows, [(false, 2, 8)]);
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_the_database() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = TempDir::new().unwrap();
    let _store = open(&dir).await;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.file_name());
    }
}

/// Without shared transactions 2,000 reservations would need 2,000 syncs, one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_share_transactions() {
    let dir = TempDir::new().unwrap();
    let store = Arc::new(open(&dir).await);
    let started = Instant::now();
    let writes = (0..2_000_u16).map(|at| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let payment = reservation(vendor(1), at, &[u32::from(at), 10_000 + u32::from(at)]);
            let outcome = store.reserve(payment.clone()).await.unwrap();
            assert!(matches!(outcome, ReserveOutcome::New(_)));
            store.commit(payment.payment_id, answer()).await.unwrap();
        })
    });
    for written in join_all(writes).await {
        written.unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    assert_eq!(store.waiting(vendor(1)).await.unwrap().items, 4_000);
    assert_eq!(store.totals().await.unwrap()[0].unredeemed, Credits(8_000));
}

/// What shares a transaction with a job that cannot be done is done all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_row_fails_its_own_job_only() {
    let dir = TempDir::new().unwrap();
    let store = Arc::new(open(&dir).await);
    let damaged = reservation(vendor(1), 999, &[999]);
    store.reserve(damaged.clone()).await.unwrap();
    let mut connection = options(&dir.path().join("spent.sqlite")).connect().await.unwrap();
    let sql = "UPDATE evidence SET exponent = 99";
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    let bad = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.release(damaged.payment_id).await }
    });
    let good = (0..100_u16).map(|at| {
        let store = Arc::clone(&store);
        let payment = reservation(vendor(1), at, &[u32::from(at)]);
        tokio::spawn(async move { store.reserve(payment).await.unwrap() })
    });
    for reserved in join_all(good).await {
        assert!(matches!(reserved, Ok(ReserveOutcome::New(_) | ReserveOutcome::Retry(_))));
    }
    assert!(matches!(bad.await.unwrap(), Err(StoreError::Damaged { table: "evidence" })));
}

/// The server must hear of every other double spend.
#[tokio::test]
async fn a_damaged_conflict_hides_no_other_one() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
    store.reserve(reservation(vendor(1), 1, &[1])).await.unwrap();
    let proof = ConflictProof {
        certificate_key: PublicKey::from_bytes([1; 32]).unwrap(),
        kind: SpendKind::Renewal,
        other_binding: Binding::from_bytes([2; 32]),
        other_signature: Signature::from_bytes([3; 64]),
    };
    let mut connection = options(&dir.path().join("spent.sqlite")).connect().await.unwrap();
    for proof in [vec![0], proof.encode().to_vec()] {
        let sql = "INSERT INTO conflicts (vendor, payment_id, exponent, day, reported, proof)
            VALUES (1, zeroblob(32), 1, 1, 0, ?)";
        sqlx::query(sql).bind(proof).execute(&mut connection).await.unwrap();
    }
    let unreported = store.unreported().await.unwrap();
    assert_eq!(unreported.iter().map(|one| one.number.0).collect::<Vec<_>>(), [2]);
}

/// A group that is larger than what one statement takes.
#[tokio::test(flavor = "multi_thread")]
async fn large_payments_at_once_are_split_into_statements() {
    let dir = TempDir::new().unwrap();
    let store = Arc::new(open(&dir).await);
    let writes = (0..200_u16).map(|at| {
        let store = Arc::clone(&store);
        let keys: Vec<u32> = (0..64).map(|key| u32::from(at) * 64 + key).collect();
        tokio::spawn(async move { store.reserve(reservation(vendor(1), at, &keys)).await.unwrap() })
    });
    for written in join_all(writes).await {
        assert!(matches!(written, Ok(ReserveOutcome::New(_))));
    }
    let reserved = store.reserved(conformance::AT).await.unwrap();
    assert_eq!(reserved.iter().map(|one| one.certificates.len()).sum::<usize>(), 200 * 64);
}

/// What runs for each payment must look rows up, not walk through a table.
#[tokio::test]
async fn hot_queries_use_their_indexes() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("spent.sqlite");
    open(&dir).await.close().await;
    let mut connection = options(&path).connect().await.unwrap();
    let queries = [
        "WITH wanted (vendor, epoch, certificate_key) AS (VALUES (1, 2, x'00'), (1, 2, x'01'))
         SELECT s.binding, e.signature FROM wanted AS w
         CROSS JOIN spent AS s
           ON s.vendor = w.vendor AND s.epoch = w.epoch AND s.certificate_key = w.certificate_key
         CROSS JOIN evidence AS e ON e.number = s.item",
        "SELECT * FROM payments WHERE payment_id IN (x'00', x'01')",
        "SELECT payment_id FROM payments WHERE payment_id IN (x'00')
         UNION ALL SELECT payment_id FROM refusals WHERE payment_id IN (x'00')",
        "SELECT binding FROM refused WHERE binding IN (x'00', x'01')",
        "SELECT COUNT(*) FROM refused WHERE certificate_key = x'00'",
        "SELECT binding FROM refused WHERE day < 5 LIMIT 10",
        "SELECT * FROM payments WHERE state = 0 AND reserved_at <= 5 ORDER BY reserved_at, number",
        "SELECT COUNT(*), MIN(number) FROM evidence WHERE state = 1 AND vendor = 1",
        "SELECT number FROM evidence WHERE batch = 1 ORDER BY place",
        "SELECT number FROM batches WHERE outcome IS NULL ORDER BY number",
        "SELECT * FROM conflicts WHERE reported = 0 ORDER BY number",
    ];
    for query in queries {
        let plan = format!("EXPLAIN QUERY PLAN {query}");
        let rows = sqlx::query(AssertSqlSafe(plan)).fetch_all(&mut connection).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        let walks = plan.iter().any(|line| {
            let walk = line.starts_with("SCAN") && !line.contains("USING");
            walk && !line.contains("wanted") && !line.contains(" w") && !line.contains("CONSTANT")
        });
        assert!(!walks, "{query}\n{plan:#?}");
    }
}
