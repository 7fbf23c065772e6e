//! The join test: what the vendor sees while it sells has nothing in common with what it sees while it redeems, and what a relay
//! alone knows never reaches it.
//!
//! Everything that goes to and from the vendor is recorded on two wires, its tables are dumped, and its log is kept at the finest level. Then
//! every run of eight bytes of one side is looked for on the other: of bodies, of header values, of columns, and of what base64url
//! text in any of them decodes to. Exempt is what everybody knows: the manifest, the ids of its keys, and the words of HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::sync::{Arc, Mutex};

use scrip_issuer::contracts::{Terms, conclude};
use scrip_issuer::ledger::Scope;
use scrip_protocol::id::{VendorId, decode_base64url};
use scrip_protocol::ledger::Money;
use scrip_protocol::manifest::{Manifest, ProvenManifest};
use scrip_protocol::payment::PaidRequest;
use scrip_protocol::redemption::{RedemptionItem, SignedBatch};
use scrip_protocol::spend::request_digest;
use scrip_tests::network::{Network, PRODUCT, Plan};
use scrip_tests::wire::{Wire, requests};
use scrip_wallet::{Doubtful, NewQueue, PutOptions};
use sqlx::{Column, Row};

const RUN: usize = 8;

/// Every run of eight bytes of what one side has seen, and where each came from. Runs do not reach across the public values in between: seven bytes of a
/// key id and a byte of what follows are no value.
#[derive(Default)]
struct Side(BTreeMap<[u8; RUN], String>, Vec<[u8; 32]>);

impl Side {
    fn of(public: &[[u8; 32]]) -> Self {
        Self(BTreeMap::new(), public.to_vec())
    }

    fn add(&mut self, source: &str, bytes: &[u8]) {
        let public = |window: &[u8]| self.1.iter().any(|value| value == window);
        match bytes.windows(32).position(public) {
            Some(at) => {
                self.add_runs(source, &bytes[..at]);
                self.add(source, &bytes[at + 32..]);
            }
            None => self.add_runs(source, bytes),
        }
    }

    fn add_runs(&mut self, source: &str, bytes: &[u8]) {
        for run in bytes.windows(RUN) {
            self.0.entry(run.try_into().unwrap()).or_insert_with(|| source.to_owned());
        }
    }

    /// Text: each word of it, and what it decodes to.
    fn add_text(&mut self, source: &str, text: &str) {
        for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')) {
            let source = format!("{source}, {word}");
            self.add(&source, word.as_bytes());
            if let Some(bytes) = decode_base64url(word) {
                self.add(&source, &bytes);
            }
            if let Ok(bytes) = data_encoding::HEXLOWER_PERMISSIVE.decode(word.as_bytes()) {
                self.add(&source, &bytes);
            }
        }
    }

    fn add_recording(&mut self, source: &str, recording: &[u8]) {
        for exchange in requests(recording) {
            self.add_text(source, &exchange.head);
            match std::str::from_utf8(&exchange.body) {
                Ok(text) => self.add_text(source, text),
                Err(_) => self.add(source, &exchange.body),
            }
        }
    }

    fn shared_with(&self, other: &Self, known: &HashSet<[u8; RUN]>) -> Vec<String> {
        self.0
            .iter()
            .filter(|(run, _)| !known.contains(*run))
            .filter_map(|(run, source)| {
                let there = other.0.get(run)?;
                Some(format!("{} ({source} / {there})", data_encoding::HEXLOWER.encode(run)))
            })
            .collect()
    }

    fn has(&self, bytes: &[u8]) -> bool {
        bytes.windows(RUN).any(|run| self.0.contains_key(run))
    }
}

/// What everybody knows.
fn known(manifest: &Manifest, vendor: &str) -> HashSet<[u8; RUN]> {
    let mut side = Side::default();
    side.add("manifest", manifest.bytes());
    side.add("vendor", manifest.vendor_id().as_bytes());
    side.add("challenge", manifest.challenge_digest());
    for key in manifest.keys() {
        side.add("key id", key.id().as_bytes());
    }
    side.add_text("HTTP", "content-type content-length cache-control no-store application json scrip-manifest scrip-renewal-request manifest HTTP");
    side.add_text("HTTP", vendor);
    side.0.into_keys().collect()
}

/// The log of everything in this process.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const REDEMPTION_TABLES: [&str; 17] = [
    "operators",
    "batches",
    "spent",
    "evidence",
    "redeemed",
    "renewals",
    "renewed",
    "renewal_requests",
    "outcomes",
    "ledger_queue",
    "ledger_state",
    "ledger_ranges",
    "ledger_checkpoints",
    "voided_editions",
    "contracts",
    "statements",
    "adjustments",
];
/// What the vendor's own people did. Names operators, which everybody knows, and nothing of a purchase or a certificate.
const ADMIN_TABLES: [&str; 4] = ["admin_tokens", "admin_sessions", "admin_log", "auditors"];
const ISSUANCE_TABLES: [&str; 13] = [
    "grants",
    "vouchers",
    "voucher_batches",
    "packs",
    "tokens",
    "issued",
    "purchases",
    "orders",
    "budgets",
    "notifications",
    "source_failures",
    "ledger_issued",
    "ledger_sales",
];
/// Of neither side: keys, and counts of all transactions together.
const KEY_TABLES: [&str; 8] = [
    "vault",
    "sealed_keys",
    "manifests",
    "migrations",
    "ledger_ended",
    "ledger_manifests",
    "clock",
    "marks",
];

/// Every value of the vendor's database, to the side that its table belongs to.
async fn dump(database: &str, issuance: &mut Side, redemption: &mut Side, admin: &mut Side) {
    let pool = sqlx::sqlite::SqlitePool::connect(&format!("{database}?mode=ro")).await.unwrap();
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table'")
            .fetch_all(&pool)
            .await
            .unwrap();
    for table in tables {
        let side = match table.as_str() {
            name if ISSUANCE_TABLES.contains(&name) => &mut *issuance,
            name if REDEMPTION_TABLES.contains(&name) => &mut *redemption,
            name if ADMIN_TABLES.contains(&name) => &mut *admin,
            name if KEY_TABLES.contains(&name) => continue,
            name => panic!("the table {name} is on neither side: say which it belongs to"),
        };
        let query = format!("SELECT * FROM {table}");
        for row in sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(&pool).await.unwrap() {
            for column in row.columns() {
                let source = format!("{table}.{}", column.name());
                let at = column.ordinal();
                if let Ok(number) = row.try_get::<i64, _>(at) {
                    // A number can join too: random ones fill eight bytes. Days, counts and flags do not.
                    if number > 1 << 40 {
                        side.add(&source, &number.to_be_bytes());
                    }
                } else if let Ok(text) = row.try_get::<String, _>(at) {
                    side.add_text(&source, &text);
                } else if let Ok(bytes) = row.try_get::<Vec<u8>, _>(at) {
                    side.add(&source, &bytes);
                }
            }
        }
    }
}

/// All that auditors and everybody can read of the ledger; returns how many files that is.
fn add_ledger(root: &str, redemption: &mut Side) -> usize {
    let (mut open, mut files) = (vec![std::path::Path::new(root).join("tile")], 0);
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                redemption.add("ledger", &std::fs::read(path).unwrap());
                files += 1;
            }
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_joins_what_was_sold_with_what_was_redeemed() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();

    let mut network = Network::planned(Plan { relays: 0, ..Plan::default() }).await.unwrap();
    let selling = Wire::to(network.vendor.listens_at()).await.unwrap();
    let redeeming = Wire::to(network.vendor.listens_at()).await.unwrap();
    let mut paying = Vec::new();
    for n in 0..2 {
        let relay = network.new_relay(&format!("relay-{n}"), redeeming.address()).await.unwrap();
        network.relays.push(relay);
    }
    for relay in &mut network.relays {
        let wire = Wire::to(relay.config().listen).await.unwrap();
        relay.seen_at(wire.address());
        paying.push(wire);
    }
    network.vendor.seen_at(selling.address());

    let wallet = network.wallet("alice").await.unwrap();
    let issuer = network.vendor.issuer().unwrap().clone();
    let terms = Terms {
        operator: "relay-0",
        currency: Some("EUR".parse().unwrap()),
        price: Money(2_000),
        share: "70%".parse().unwrap(),
        resale_price: Money(1_500),
    };
    conclude(issuer.store(), terms, "ada", &network.clock, &mut rand_core::OsRng).await.unwrap();
    for seller in [None, Some("relay-0")] {
        let made = issuer.create_resold_vouchers(PRODUCT, 1, 30, seller).await.unwrap();
        wallet.buy(&made.codes[0].to_string()).await.unwrap();
    }
    for relay in &network.relays {
        let relay = Some(relay.address().clone());
        wallet.create_queue(NewQueue { relay, days: 90, ..NewQueue::default() }).await.unwrap();
    }
    let file = network.dir().join("file");
    std::fs::write(&file, vec![5; 200_000]).unwrap();
    wallet
        .put_file(&file, PutOptions { days: 90, copies: 2, ..PutOptions::default() })
        .await
        .unwrap();
    network.redeem_all().await.unwrap();

    let issuer = network.vendor.issuer().unwrap();
    let mut known_values = known(&issuer.manifest(), &issuer.address().to_string());
    // A year later what is left is renewed, through the wire of the purchases; and spent.
    let before = (selling.sent(), selling.answered());
    network.clock.set(issuer.manifest().epochs()[0].windows.renew_from.plus(86_400));
    issuer.tend_keys().await.unwrap();
    network.spread_manifest([&wallet]).await.unwrap();
    let renewed = wallet.renew(Doubtful::Keep).await.unwrap();
    assert!(renewed.certificates > 8 && renewed.errors.is_empty(), "{renewed:?}");
    let renewals =
        (selling.sent().split_off(before.0.len()), selling.answered().split_off(before.1.len()));
    for relay in &network.relays {
        let relay = Some(relay.address().clone());
        wallet.create_queue(NewQueue { relay, days: 200, ..NewQueue::default() }).await.unwrap();
    }
    network.redeem_all().await.unwrap();
    let operator = issuer.operators().await.unwrap().remove(0);
    issuer.integrate(Scope::Everything).await.unwrap();
    assert!(issuer.make_statement(&operator).await.unwrap().is_some());
    issuer.integrate(Scope::Everything).await.unwrap();

    known_values.extend(known(&issuer.manifest(), &issuer.address().to_string()));
    let known = known_values;
    let mut public = vec![*issuer.vendor_id().as_bytes(), *issuer.manifest().challenge_digest()];
    public.extend(issuer.manifest().keys().map(|key| *key.id().as_bytes()));
    public.extend(network.relays.iter().map(|relay| *relay.address().id.as_bytes()));
    let (mut issuance, mut redemption) = (Side::of(&public), Side::of(&public));
    issuance.add_recording("sold", &before.0);
    issuance.add_recording("sold, answer", &before.1);
    redemption.add_recording("redeemed", &redeeming.sent());
    redemption.add_recording("redeemed, answer", &redeeming.answered());
    let mut renewal = Side::of(&public);
    renewal.add_recording("renewed", &renewals.0);
    renewal.add_recording("renewed, answer", &renewals.1);
    assert!(renewal.0.len() > 5_000, "renewals were seen");
    let shared = renewal.shared_with(&redemption, &known);
    assert!(shared.is_empty(), "these join a renewal with what became of it: {shared:#?}");
    let mut admin = Side::of(&public);
    dump(&issuer.config().database, &mut issuance, &mut redemption, &mut admin).await;
    let entries = add_ledger(issuer.ledger_storage().place(), &mut redemption);
    assert!(entries > 0, "the ledger has something to read");
    assert!(issuance.0.len() > 5_000 && redemption.0.len() > 5_000, "both sides were seen");

    let shared = renewal.shared_with(&issuance, &known);
    assert!(shared.is_empty(), "these join a renewal with a purchase: {shared:#?}");
    let joined = issuance.shared_with(&redemption, &known);
    assert!(joined.is_empty(), "these join a purchase with a redemption: {joined:#?}");
    assert!(!admin.0.is_empty(), "what was done was logged");
    for side in [&issuance, &redemption] {
        let shared = admin.shared_with(side, &known);
        assert!(shared.is_empty(), "the admin log has {shared:#?}");
    }

    let vendor = issuer.vendor_id();
    nothing_of_the_relay_reaches_the_vendor(&paying, &issuance, &redemption, &known, &vendor);
    certificates_of_one_payment_share_nothing(&paying, &redeeming.sent());
    the_log_tells_nothing(&log, &issuance, &redemption, &known);
}

fn paid_requests(paying: &[Wire]) -> Vec<PaidRequest> {
    paying
        .iter()
        .flat_map(|wire| requests(&wire.sent()))
        .filter_map(|request| PaidRequest::decode(&request.body).ok())
        .collect()
}

fn nothing_of_the_relay_reaches_the_vendor(
    paying: &[Wire],
    issuance: &Side,
    redemption: &Side,
    known: &HashSet<[u8; RUN]>,
    vendor: &VendorId,
) {
    let payments = paid_requests(paying);
    assert!(payments.len() >= 4, "{} payments were seen", payments.len());
    for paid in &payments {
        for (name, value) in [
            ("salt", &paid.payment.salt.0[..]),
            ("resource request", &paid.resource_request),
            ("request digest", request_digest(&paid.resource_request).as_bytes()),
            ("payment id", paid.payment_id().as_bytes()),
        ] {
            assert!(!issuance.has(value) && !redemption.has(value), "the vendor has the {name}");
        }
    }
    // Receipts, resource addresses, messages, chunks: all that relays answered.
    let mut answered = Side::of(&redemption.1);
    for wire in paying {
        for answer in requests(&wire.answered()) {
            // Everybody gets the manifest with its proof, and the vendor makes both.
            let is_everybodys = ProvenManifest::open(&answer.body, vendor).is_ok();
            if !is_everybodys && std::str::from_utf8(&answer.body).is_err() {
                answered.add("relay, answer", &answer.body);
            }
        }
    }
    let shared = answered.shared_with(redemption, known);
    assert!(shared.is_empty(), "the vendor has what a relay answered: {shared:#?}");
}

/// In what the vendor gets, two certificates of one payment have in common the operator, the day and the batch; and their
/// denomination if it is the same.
fn certificates_of_one_payment_share_nothing(paying: &[Wire], sent: &[u8]) {
    let mut redeemed: BTreeMap<[u8; 32], RedemptionItem> = BTreeMap::new();
    for request in requests(sent) {
        let Ok(batch) = SignedBatch::decode(&request.body) else { continue };
        redeemed.extend(batch.items().iter().map(|item| (item.token.nonce, item.clone())));
    }
    let mut pairs = 0;
    for paid in paid_requests(paying) {
        let items: Vec<_> =
            paid.payment.items.iter().map(|item| &redeemed[&item.token.nonce]).collect();
        for (n, a) in items.iter().enumerate() {
            for b in &items[n + 1..] {
                let private = |item: &RedemptionItem| {
                    let mut side = Side::default();
                    side.add("nonce", &item.token.nonce);
                    side.add("authenticator", &item.token.authenticator);
                    side.add("commitment", item.commitment.as_bytes());
                    side.add("signature", item.signature.as_bytes());
                    side
                };
                let shared = private(a).shared_with(&private(b), &HashSet::new());
                assert!(shared.is_empty(), "{shared:?}");
                pairs += 1;
            }
        }
    }
    assert!(pairs > 0, "no payment had two certificates");
}

/// Logs at the finest level hold no value of either side.
fn the_log_tells_nothing(
    log: &Log,
    issuance: &Side,
    redemption: &Side,
    known: &HashSet<[u8; RUN]>,
) {
    let text = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(text.len() > 1_000, "nothing was logged");
    let mut logged = Side::default();
    for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')) {
        // Values of 8 bytes and more are 11 characters and more as base64url; shorter words are words.
        let Some(bytes) = decode_base64url(word).filter(|bytes| bytes.len() >= RUN) else {
            continue;
        };
        logged.add(word, &bytes);
        if let Ok(bytes) = data_encoding::HEXLOWER_PERMISSIVE.decode(word.as_bytes()) {
            logged.add(word, &bytes);
        }
    }
    for side in [issuance, redemption] {
        let shared = logged.shared_with(side, known);
        assert!(shared.is_empty(), "the log has {shared:#?}");
    }
}

/// Rows of purchases, grants and certificates lie in the order of keys that are random, so that no number tells in which order they came;
/// of renewals there are sums by day. Before, `renewed` had a row for each request, with what came together in it, for ever.
#[tokio::test(flavor = "multi_thread")]
async fn tables_have_no_order_and_sums_no_composition() {
    let network = Network::start().await.unwrap();
    let wallet = network.funded_wallet("alice", 2).await.unwrap();
    let issuer = network.vendor.issuer().unwrap();
    network.clock.set(issuer.manifest().epochs()[0].windows.renew_from.plus(86_400));
    issuer.tend_keys().await.unwrap();
    for relay in &network.relays {
        relay.relay().unwrap().refresh_manifests().await;
    }
    wallet.look_now().await.unwrap();
    let renewed = wallet.renew(Doubtful::Keep).await.unwrap();
    assert_eq!((renewed.certificates, renewed.errors.len()), (20, 0));

    let database = format!("{}?mode=ro", issuer.config().database);
    let pool = sqlx::sqlite::SqlitePool::connect(&database).await.unwrap();
    let ordered: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE '%WITHOUT ROWID%'",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let without_people = [
        "vault",
        "sealed_keys",
        "manifests",
        "migrations",
        "operators",
        "voucher_batches",
        "source_failures",
        "admin_tokens",
        "admin_sessions",
        "admin_log",
        "auditors",
        "ledger_state",
        "ledger_ranges",
        "ledger_checkpoints",
        "ledger_ended",
        "clock",
    ];
    for table in ordered {
        assert!(without_people.contains(&table.as_str()), "{table} keeps the order of its rows");
    }
    let sums: Vec<(i64, i64)> =
        sqlx::query_as("SELECT exponent, certificates FROM renewed ORDER BY exponent")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(sums, [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)], "of a day, and no more");
}
