//! The offline check of a certificate, by itself: criterion's figures. `ratios` sets them against the raw primitives.
#![allow(missing_docs)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use scrip_benches::fixture::Fixture;
use scrip_protocol::check::{check_batch, check_one};

fn check(c: &mut Criterion) {
    let fixture = Fixture::new(256);
    let spends = fixture.spends();
    let mut group = c.benchmark_group("check");
    group.throughput(Throughput::Elements(1));
    group.bench_function("one", |b| b.iter(|| check_one(&spends[0])));
    for n in [4, 32, 256] {
        group.throughput(Throughput::Elements(n as u64));
        group.bench_with_input(BenchmarkId::new("batch", n), &spends[..n], |b, spends| {
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            b.iter(|| check_batch(spends, &mut rng));
        });
    }
    group.finish();
}

criterion_group!(benches, check);
criterion_main!(benches);
