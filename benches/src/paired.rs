//! Ratios that hold on a noisy machine: the two pieces of work alternate in short slices, and the figure is the median of the ratios of
//! neighbouring slices.

use std::time::{Duration, Instant};

/// The outcome of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Ratio {
    /// Median time of the raw work, per call.
    pub raw: Duration,
    /// Median time of ours, per call.
    pub ours: Duration,
    /// Median of ours over raw, of neighbouring slices.
    pub ratio: f64,
}

/// Alternates `raw` and `ours` for `slices` slices of `calls` calls each.
pub fn compare(slices: usize, calls: u32, mut raw: impl FnMut(), mut ours: impl FnMut()) -> Ratio {
    let slice = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        for _ in 0..calls {
            work();
        }
        start.elapsed() / calls
    };
    slice(&mut raw);
    slice(&mut ours);
    let mut pairs: Vec<(Duration, Duration)> = (0..slices)
        .map(|n| {
            // The order alternates too, so that a drift of the clock rate favours neither.
            if n % 2 == 0 {
                let a = slice(&mut raw);
                (a, slice(&mut ours))
            } else {
                let b = slice(&mut ours);
                (slice(&mut raw), b)
            }
        })
        .collect();
    let middle = slices / 2;
    pairs.sort_by(|a, b| ratio_of(a).total_cmp(&ratio_of(b)));
    let ratio = ratio_of(&pairs[middle]);
    pairs.sort_by_key(|pair| pair.0);
    let raw = pairs[middle].0;
    pairs.sort_by_key(|pair| pair.1);
    Ratio { raw, ours: pairs[middle].1, ratio }
}

fn ratio_of((raw, ours): &(Duration, Duration)) -> f64 {
    ours.as_secs_f64() / raw.as_secs_f64()
}
