//! The lab: eight wallets, five relays and a vendor for a month, everything of which vendor and relays keep, and an attack that ties payments to purchases.
//!
//! The attacker has every request with its time and its place. It knows how wallets behave, and no address. For each payment it takes the purchase that fits best:
//! by the relays that were asked beside the purchase and beside the payment, which told wallets apart when each asked its whole list at once; and by the time between the two. It is scored
//! against guessing among all purchases that were made before. Wallets that buy and pay in one minute are the control: there it must succeed.
//!
//! `SCRIP_LAB_SEEDS` sets how many months there are; each has wallets of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use scrip_protocol::time::UnixSeconds;
use scrip_runtime::clock::Clock;
use scrip_tests::adversary::{Exchange, REDEEMING, SELLING, Stage};
use scrip_tests::network::{PRODUCT, Plan};
use scrip_wallet::{NewQueue, Privacy, Wallet};

const DAY: u64 = 86_400;
const WALLETS: usize = 8;
const RELAYS: usize = 5;
/// Calls with less than this between them are one moment to the attacker.
const BESIDE: u64 = 5;

#[derive(Clone, Copy)]
enum Deed {
    Buy,
    Pay,
    Tend,
}

/// How the wallets of a month behave.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// They keep their distance, as wallets do by themselves.
    Usual,
    /// They buy when they want to pay.
    BuyAndPay,
}

fn below(rng: &mut ChaCha20Rng, bound: u64) -> u64 {
    rng.next_u64() % bound
}

/// What all wallets do in a month, in order: when, which wallet, what.
fn schedule(rng: &mut ChaCha20Rng, habit: Habit) -> Vec<(u64, usize, Deed)> {
    let mut deeds = Vec::new();
    for wallet in 0..WALLETS {
        for purchase in 0..2 {
            let at = purchase * 12 * DAY + below(rng, 10 * DAY);
            deeds.push((at, wallet, Deed::Buy));
            if habit == Habit::BuyAndPay {
                deeds.extend((1..3).map(|n| (at + 20 * n, wallet, Deed::Pay)));
            }
        }
        if habit == Habit::Usual {
            deeds.extend((0..5).map(|_| (3 * DAY + below(rng, 26 * DAY), wallet, Deed::Pay)));
            deeds.extend((0..9).map(|n| (3 * n * DAY + below(rng, 3 * DAY), wallet, Deed::Tend)));
        }
    }
    deeds.sort_by_key(|(at, wallet, _)| (*at, *wallet));
    deeds
}

/// A purchase or a payment as it was recorded, and whose it was, which the attacker does not know.
struct Event {
    time: UnixSeconds,
    owner: usize,
    /// The relays that were asked at that moment.
    beside: BTreeSet<String>,
}

/// What the attacker gets right, by relays alone and by relays and time, and what guessing would.
#[derive(Debug, Default, Clone, Copy)]
struct Score {
    payments: usize,
    by_relays: f64,
    right: f64,
    chance: f64,
}

async fn month(stage: &Stage, seed: u64, habit: Habit) -> Score {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    new_day(stage).await;
    let mut wallets = Vec::new();
    for n in 0..WALLETS {
        let wallet = stage.network.wallet(&format!("{seed}-{n}")).await.unwrap();
        if habit == Habit::Usual {
            wallet.set_privacy(Privacy::Normal).await.unwrap();
        }
        wallets.push(wallet);
    }
    // Wallets are set up, and look at the manifest, before the month begins.
    stage.network.clock.advance(DAY);
    let begin = stage.network.clock.now();
    let start = stage.recording.mark();
    let mut owners = Vec::new();
    for (at, wallet, deed) in schedule(&mut rng, habit) {
        stage.network.clock.set(begin.plus(at));
        let mark = stage.recording.mark();
        act(stage, &wallets[wallet], deed).await;
        owners.extend(std::iter::repeat_n(wallet, stage.recording.mark() - mark));
        if matches!(deed, Deed::Tend) && wallet == 0 {
            let before = stage.recording.mark();
            new_day(stage).await;
            owners.extend(std::iter::repeat_n(WALLETS, stage.recording.mark() - before));
        }
    }
    let seen = stage.recording.since(start);
    stage.network.clock.set(begin.plus(31 * DAY));
    score(&seen, &owners)
}

/// What vendor and relays do from day to day.
async fn new_day(stage: &Stage) {
    stage.network.vendor.issuer().unwrap().tend_keys().await.unwrap();
    for relay in &stage.network.relays {
        relay.relay().unwrap().refresh_manifests().await;
    }
    stage.network.redeem_all().await.unwrap();
}

async fn act(stage: &Stage, wallet: &Wallet, deed: Deed) {
    match deed {
        Deed::Buy => {
            let voucher = stage.network.vendor.voucher(PRODUCT).await.unwrap();
            // Where it has not heard of this month's keys yet it buys later.
            drop(wallet.buy(&voucher).await);
        }
        // Where nothing is ripe the user waits.
        Deed::Pay => {
            drop(wallet.create_queue(NewQueue { days: 30, ..NewQueue::default() }).await);
        }
        Deed::Tend => drop(wallet.tend().await),
    }
}

/// The attack, and how often it is right.
fn score(seen: &[Exchange], owners: &[usize]) -> Score {
    let of_wallets: Vec<_> =
        seen.iter().zip(owners).filter(|(one, _)| one.peer != REDEEMING).collect();
    let event = |time: UnixSeconds, owner: usize| {
        let near = |one: &Exchange| one.time.0.abs_diff(time.0) <= BESIDE && one.peer != SELLING;
        let beside = of_wallets.iter().filter(|(one, _)| near(one));
        Event { time, owner, beside: beside.map(|(one, _)| one.peer.clone()).collect() }
    };
    let events = |is: fn(&Exchange) -> bool| -> Vec<Event> {
        let found = of_wallets.iter().filter(|(one, _)| is(one));
        found.map(|(one, owner)| event(one.time, **owner)).collect()
    };
    let purchases = events(|one| one.request.is("POST", "/v1/issuance"));
    let payments = events(|one| one.request.has_type(scrip_protocol::media::PAID_REQUEST));
    let mut score = Score::default();
    for payment in &payments {
        let candidates: Vec<_> =
            purchases.iter().filter(|purchase| purchase.time <= payment.time).collect();
        let share = |chosen: &[&&Event]| {
            let right = chosen.iter().filter(|purchase| purchase.owner == payment.owner).count();
            right as f64 / chosen.len().max(1) as f64
        };
        let guess = |fit: fn(&Event, &Event) -> f64| {
            let fits: Vec<f64> = candidates.iter().map(|purchase| fit(purchase, payment)).collect();
            let best = fits.iter().copied().fold(f64::MIN, f64::max);
            let top = candidates.iter().zip(&fits).filter(|(_, fit)| **fit == best);
            share(&top.map(|(purchase, _)| purchase).collect::<Vec<_>>())
        };
        score.payments += 1;
        score.by_relays += guess(by_relays);
        score.right +=
            guess(|purchase, payment| by_relays(purchase, payment) + by_time(purchase, payment));
        score.chance += share(&candidates.iter().collect::<Vec<_>>());
    }
    score
}

/// How well a purchase fits a payment, as a logarithm of a likelihood: what is asked beside the purchase is of the list that the payment shows.
fn by_relays(purchase: &Event, payment: &Event) -> f64 {
    match purchase.beside.is_empty() {
        true => 0.0,
        false if purchase.beside.is_subset(&payment.beside) => 3.0,
        false => -3.0,
    }
}

/// The same, by time: who wants to pay and cannot buys, and spends within days what he bought.
fn by_time(purchase: &Event, payment: &Event) -> f64 {
    -((payment.time.0 - purchase.time.0) as f64) / (3 * DAY) as f64
}

#[tokio::test(flavor = "multi_thread")]
async fn vendor_and_relays_together_tie_no_more_payments_to_purchases_than_by_chance() {
    let seeds = std::env::var("SCRIP_LAB_SEEDS").map_or(10, |text| text.parse().expect("a number"));
    let stage = Stage::set(Plan { relays: RELAYS, ..Plan::default() }).await.unwrap();
    let control = month(&stage, 1_000, Habit::BuyAndPay).await;
    print("bought and paid at once", control);
    let [_, right, chance] = rates(control);
    assert!(right > chance + 0.4, "the attack works where there is something to see");

    let mut gains = [Vec::new(), Vec::new()];
    for seed in 0..seeds {
        let score = month(&stage, seed, Habit::Usual).await;
        print(&format!("seed {seed}"), score);
        assert!(score.payments >= WALLETS, "wallets paid");
        let [by_relays, right, chance] = rates(score);
        gains[0].push(by_relays - chance);
        gains[1].push(right - chance);
    }
    for (name, gains) in ["by relays", "by relays and time"].iter().zip(gains) {
        let count = gains.len() as f64;
        let mean = gains.iter().sum::<f64>() / count;
        let variance = gains.iter().map(|gain| (gain - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let error = (variance / count).sqrt();
        let (points, errors) = (mean * 100.0, error * 100.0);
        println!("lab: {name}: {points:+.1} points against chance, standard error {errors:.1}");
        assert!(mean <= 2.0 * error, "{name}: {mean} above chance, standard error {error}");
    }
}

/// By relays, by relays and time, by chance.
fn rates(score: Score) -> [f64; 3] {
    [score.by_relays, score.right, score.chance].map(|sum| sum / score.payments.max(1) as f64)
}

fn print(name: &str, score: Score) {
    let [relays, right, chance] = rates(score).map(|rate| rate * 100.0);
    println!(
        "lab: {name}: of {} payments {relays:.1} % tied by relays, {right:.1} % by relays and time, {chance:.1} % by chance",
        score.payments
    );
}
