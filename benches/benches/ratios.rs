//! Ratios to the raw primitive in the same run, each with its limit; exits with 1 where one is above.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::process::ExitCode;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use scrip_benches::fixture::Fixture;
use scrip_benches::paired::{Ratio, compare};
use scrip_protocol::check::{check_batch, check_one};

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

fn main() -> ExitCode {
    let rows = [check_of_one(), check_of_256()];
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
