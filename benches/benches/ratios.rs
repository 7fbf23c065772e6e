//! Ratios to the raw primitive in the same run, each with its limit; exits with 1 where one is above.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use scrip_benches::fixture::{Fixture, private_key};
use scrip_benches::paired::{Ratio, compare};
use scrip_issuer::signer::{Job, Operations, Signer};
use scrip_protocol::check::{check_batch, check_one};
use scrip_protocol::limits::RSA;

struct Row {
    name: &'static str,
    raw: &'static str,
    limit: f64,
    ratio: Ratio,
}

fn check_of_one() -> Row {
    let fixture = Fixture::new(64);
    let (spends, raw) = (fixture.spends(), fixture.raw());
    let (mut i, mut j) = (0, 0);
    let ratio = compare(
        101,
        64,
        || {
            i = (i + 1) % 64;
            assert!(black_box(raw.check_one(i)));
        },
        || {
            j = (j + 1) % 64;
            black_box(check_one(&spends[j])).unwrap();
        },
    );
    Row { name: "offline check, one", raw: "RSA verify + Ed25519 verify", limit: 1.10, ratio }
}

fn check_of_256() -> Row {
    let fixture = Fixture::new(256);
    let (spends, raw) = (fixture.spends(), fixture.raw());
    let (mut a, mut b) = (ChaCha8Rng::seed_from_u64(1), ChaCha8Rng::seed_from_u64(1));
    let ratio = compare(
        101,
        1,
        || assert!(black_box(raw.check_batch(&mut a))),
        || assert!(black_box(check_batch(&spends, &mut b)).iter().all(Result::is_ok)),
    );
    Row {
        name: "offline check, batch of 256",
        raw: "RSA verify + batched Ed25519",
        limit: 1.15,
        ratio,
    }
}

/// A pack of 64 through the signer with one thread, against 64 private operations, each with its check, on one thread.
fn blind_signatures() -> Row {
    let key = Arc::new(private_key());
    let signer = Signer::start(NonZeroUsize::MIN, 1_024).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let message = [0x42; RSA];
    let mut signature = [0; RSA];
    let mut checked = [0; RSA];
    let ratio = compare(
        41,
        1,
        || {
            // On a thread of its own too: which core it lands on is then the same throw of dice for both.
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for _ in 0..64 {
                        key.private(black_box(&message), &mut signature).unwrap();
                        key.public(&signature, &mut checked).unwrap();
                        assert_eq!(checked, message);
                    }
                });
            });
        },
        || {
            let jobs = (0..64).map(|_| Job { key: Arc::clone(&key), message }).collect();
            assert_eq!(black_box(runtime.block_on(signer.sign(jobs))).unwrap().len(), 64);
        },
    );
    Row {
        name: "blind signatures, pack of 64",
        raw: "RSA private operation + its check",
        limit: 1.10,
        ratio,
    }
}

fn main() -> ExitCode {
    let rows = [check_of_one(), check_of_256(), blind_signatures()];
    println!(
        "{:<30} {:>12} {:>12} {:>7} {:>7}  raw primitive",
        "", "raw", "ours", "ratio", "limit"
    );
    for Row { name, raw, limit, ratio } in &rows {
        println!(
            "{name:<30} {:>12} {:>12} {:>7.3} {limit:>7.2}  {raw}",
            format!("{:.1?}", ratio.raw),
            format!("{:.1?}", ratio.ours),
            ratio.ratio
        );
    }
    if rows.iter().all(|row| row.ratio.ratio <= row.limit) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
