//! An audit of a large ledger: how fast, against what the cores could do if they only checked certificates, and in how much memory.
//!
//! `SCRIP_AUDIT_REDEMPTIONS` says how many (100,000 unless it does). The ledger is made first, in a process of its own, so that its
//! memory is not counted; that takes some 0.3 ms of one core for each.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a bench that cannot set up has nothing to measure

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use scrip_auditor::{
    audit::{AuditOptions, audit},
    report::peak_memory,
    source::DirectoryLedger,
    testing::{
        EPOCH, FIRST_DAY, Forger, LedgerWriter, TestKey, certificate, operator, test_key, windows,
    },
};
use scrip_protocol::{
    check::{Spend, check_batch},
    id::VendorId,
    ledger::{Leaf, Redemption, TallyKind},
    manifest::{KeyUse, Manifest},
    redemption::RedemptionItem,
    spend::{Commitment, SpendKind, binding},
    time::Day,
    tlog::{policy::WitnessPolicy, tile::EntryBundle},
};

const OPERATORS: u8 = 20;
const BATCH: u64 = 1_024;
const LEDGER: &str = "SCRIP_AUDIT_LEDGER";
const MIB: f64 = 1_048_576.0;

fn main() {
    match std::env::var(LEDGER) {
        Ok(directory) => measure(Path::new(&directory)),
        Err(_) => {
            let n = std::env::var("SCRIP_AUDIT_REDEMPTIONS");
            let n = n.map_or(100_000, |n| n.parse().expect("a number of redemptions"));
            let directory = tempfile::tempdir().unwrap();
            let start = Instant::now();
            make(directory.path(), n);
            println!("made a ledger of {n} redemptions in {:.0} s", start.elapsed().as_secs_f64());
            let mut child = Command::new(std::env::current_exe().unwrap());
            assert!(child.env(LEDGER, directory.path()).status().unwrap().success());
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Writes a ledger with `n` redemptions, in batches of 20 operators.
fn make(directory: &Path, n: u64) {
    let mut forger = Forger::new();
    let version =
        forger.sign_manifest(&[(EPOCH, KeyUse::Production, windows(FIRST_DAY), &[(0, 0)])]);
    let manifest = forger.manifest_leaf(version);
    forger.round(vec![manifest]);
    for number in 0..OPERATORS {
        let contract = forger.contract(number, 1, FIRST_DAY, 2_000);
        forger.round(vec![contract]);
    }
    let sales = forger.sales(FIRST_DAY, None, false, n);
    let sold = forger.tally(TallyKind::Sold, FIRST_DAY, None, EPOCH, &[(0, n)]);
    forger.round(vec![sales, sold]);
    forger.write(directory); // for the manifest; the rest is written again below
    let mut writer = LedgerWriter::new(directory);
    forger.entries().into_iter().for_each(|leaf| writer.push(leaf));

    let (vendor, batches) = (forger.vendor, n.div_ceil(BATCH));
    let next = AtomicU64::new(0);
    let key = test_key(0);
    std::thread::scope(|scope| {
        let (send, receive) = mpsc::sync_channel(2 * cores());
        for _ in 0..cores() {
            let (send, next, key) = (send.clone(), &next, key.clone());
            scope.spawn(move || {
                loop {
                    let batch = next.fetch_add(1, Ordering::Relaxed);
                    if batch >= batches {
                        break;
                    }
                    let size = BATCH.min(n - batch * BATCH);
                    send.send((batch, redemptions(&key, &vendor, batch, size))).unwrap();
                }
            });
        }
        drop(send);
        // Their order is of no account, as long as each is whole.
        for (batch, leaves) in receive {
            let (at, day) =
                ((batch % u64::from(OPERATORS)) as u8, FIRST_DAY + (batch * 50 / batches) as u32);
            let count = leaves.len() as u64;
            let tally = forger.tally(TallyKind::Redeemed, day, Some(at), EPOCH, &[(0, count)]);
            forger.commitments(&tally).iter().for_each(|leaf| writer.push(leaf.encode()));
            leaves.into_iter().for_each(|leaf| writer.push(leaf));
            writer.push(tally.encode());
        }
    });
    writer.finish(&vendor);
}

fn redemptions(key: &TestKey, vendor: &VendorId, batch: u64, size: u64) -> Vec<Vec<u8>> {
    let operator = operator((batch % u64::from(OPERATORS)) as u8);
    let one = |n: u64| {
        let mut holder = [9; 32];
        holder[..8].copy_from_slice(&(batch * BATCH + n).to_be_bytes());
        let (day, commitment) = (Day(FIRST_DAY + 3), Commitment::from_bytes(holder));
        let certificate = certificate(key, &holder);
        let signature = certificate.spend(&binding(
            vendor,
            &operator,
            day,
            &certificate.token.key_id,
            &commitment,
        ));
        let item = RedemptionItem { token: certificate.token, day, commitment, signature };
        Leaf::Redemption(Box::new(Redemption { operator_id: operator, item })).encode()
    };
    (0..size).map(one).collect()
}

/// How often something was done, in what time, and how much of it the processor worked on it: on a machine that does other things as
/// well, the last is the one to compare.
#[derive(Clone, Copy)]
struct Pace {
    done: f64,
    wall: f64,
    processor: f64,
}

impl Pace {
    fn of(work: impl FnOnce() -> u64) -> Self {
        let (start, before) = (Instant::now(), processor_seconds());
        let done = work() as f64;
        Self { done, wall: start.elapsed().as_secs_f64(), processor: processor_seconds() - before }
    }

    fn each_second(self) -> f64 {
        self.done / self.wall
    }

    fn each_processor_second(self) -> f64 {
        self.done / self.processor
    }
}

/// What all threads of this process have used, those that ended too: `utime` and `stime` of `/proc/self/stat`, in hundredths.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
}

/// Certificates that one core checks, in batches of 256 and with nothing around it.
fn one_core(redemptions: &[Redemption], manifest: &Manifest, time: Duration) -> u64 {
    let vendor = manifest.vendor_id();
    let spends: Vec<Spend<'_>> = redemptions
        .iter()
        .map(|one| Spend {
            token: &one.item.token,
            key: manifest.key(&one.item.token.key_id).unwrap(),
            kind: SpendKind::Spend,
            binding: one.binding(&vendor),
            signature: &one.item.signature,
        })
        .collect();
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let (start, mut checked) = (Instant::now(), 0);
    while start.elapsed() < time {
        assert!(check_batch(&spends, &mut rng).iter().all(Result::is_ok));
        checked += spends.len();
    }
    checked as u64
}

fn measure(directory: &Path) {
    let vendor = Forger::new().vendor;
    let bytes = std::fs::read(directory.join("manifest/1")).unwrap();
    let manifest = Manifest::open(&bytes, &vendor).unwrap();
    let bundle = std::fs::read(directory.join("tile/entries/003")).unwrap();
    let bundle = EntryBundle::decode(&bundle, 256).unwrap();
    let redemptions: Vec<Redemption> = bundle
        .entries()
        .iter()
        .filter_map(|entry| match Leaf::decode(entry) {
            Ok(Leaf::Redemption(one)) => Some(*one),
            _ => None,
        })
        .collect();
    let alone = || Pace::of(|| one_core(&redemptions, &manifest, Duration::from_secs(3)));
    let before = alone();
    let options = AuditOptions {
        vendor,
        since: None,
        receipts: None,
        refusals: None,
        policy: WitnessPolicy::none(),
        state: None,
        save_every: 1_024,
        workers: cores(),
        now: Day(FIRST_DAY + 100).start(),
        rng: Arc::new(|| Box::new(ChaCha20Rng::from_seed([3; 32]))),
    };
    let mut report = None;
    let audited = Pace::of(|| {
        let done = audit(&DirectoryLedger::new(directory), &options, &|_| {}).unwrap();
        report.insert(done).leaves_of("redemption")
    });
    let peak = peak_memory();
    let after = alone();
    let together = Pace::of(|| {
        std::thread::scope(|scope| {
            let one = || one_core(&redemptions, &manifest, Duration::from_secs(3));
            let all: Vec<_> = (0..cores()).map(|_| scope.spawn(one)).collect();
            all.into_iter().map(|one| one.join().unwrap()).sum()
        })
    });
    let report = report.unwrap();
    assert_eq!(report.verdict, "pass", "{:?}", report.findings);

    let cores = cores() as f64;
    let one = f64::midpoint(before.each_second(), after.each_second());
    let one_busy = f64::midpoint(before.each_processor_second(), after.each_processor_second());
    println!(
        "audited {} redemptions in {:.1} s: {:.0} each second on {cores} cores; {:.0} each processor second",
        audited.done,
        audited.wall,
        audited.each_second(),
        audited.each_processor_second()
    );
    println!(
        "checks alone, one core: {one:.0} each second ({:.0} before, {:.0} after); {one_busy:.0} each processor second",
        before.each_second(),
        after.each_second()
    );
    println!(
        "checks alone, {cores} cores at once: {:.0} each second; {:.0} each processor second",
        together.each_second(),
        together.each_processor_second()
    );
    println!(
        "the audit's rate over {cores} x one core: {:.2} by the clock, {:.2} by processor time; over all cores at once: {:.2} by the clock, {:.2} by processor time",
        audited.each_second() / (one * cores),
        audited.each_processor_second() / one_busy,
        audited.each_second() / together.each_second(),
        audited.each_processor_second() / together.each_processor_second()
    );
    println!("peak memory {:.0} MiB", peak.map_or(f64::NAN, |bytes| bytes as f64 / MIB));
}
