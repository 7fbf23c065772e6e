//! Reactions: whatever a vendor or a relay answers, the wallet shows the vendor no certificate that it would not have shown it anyway.
//!
//! Wallets live side by side through a year. Each buys, pays, looks after its leases and renews; and each is given an answer of
//! its own in place of the true one, at each `POST` and at leases: a problem, another status, fields of JSON and bytes that a
//! generator changes, an answer that gets lost. What is drawn from these follows from a seed. Half of the liars lie once and are
//! honest afterwards, and half go on. Certificates are looked for in every request to the vendor, whatever it is. Manifests,
//! offers and restores are not lied about here: `adversary_manifest`, `adversary_habits` and `adversary_voided` do that.
//!
//! Without a lie a wallet shows the vendor each certificate once: in its renewal, when its window is open. So that is what is allowed. Before, `grant-used`, a `day` in the answer to a
//! renewal, and `certificate-spent` made it show all certificates of a purchase, of a renewal, of a payment, in inquiries.
//!
//! `SCRIP_REACTIONS=N` gives N wallets, 0 one for every answer; `SCRIP_REACTIONS_SEED` other ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use scrip_protocol::problem::ProblemType;
use scrip_tests::adversary::keys::tokens_of;
use scrip_tests::adversary::{Act, Answer, SELLING, Stage};
use scrip_tests::network::{PRODUCT, Plan};
use scrip_wallet::{Doubtful, NewQueue, Wallet};

const DAY: u64 = 86_400;

/// What is answered instead of the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    Problem(ProblemType),
    Status(u16),
    Changed(u64),
    Lost,
}

impl Lie {
    fn all(seed: u64) -> Vec<Self> {
        let mut all = vec![
            Self::Problem(ProblemType::GrantUsed),
            Self::Problem(ProblemType::CertificateSpent),
            Self::Lost,
        ];
        let problems = ProblemType::ALL.iter().map(|problem| Self::Problem(*problem));
        let statuses = [200, 201, 204, 301, 400, 401, 403, 404, 409, 410, 429, 500, 502, 503];
        let changed = (0..40).map(|n| Self::Changed(seed + n));
        let rest = problems.chain(statuses.map(Self::Status)).chain(changed);
        let mut rest: Vec<_> = rest.filter(|lie| !all.contains(lie)).collect();
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        for at in (1..rest.len()).rev() {
            rest.swap(at, usize::try_from(rng.next_u64()).unwrap() % (at + 1));
        }
        all.extend(rest);
        all
    }

    fn tell(self, truth: Answer) -> Answer {
        match self {
            Self::Problem(problem) => Answer::problem(problem),
            Self::Status(status) => truth.with_status(status),
            Self::Changed(seed) => changed(truth, seed),
            Self::Lost => unreachable!("there is no answer"),
        }
    }
}

/// The truth with one value of its JSON, or a few of its bytes, changed.
fn changed(truth: Answer, seed: u64) -> Answer {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    if serde_json::from_slice::<serde_json::Value>(&truth.body).is_ok() {
        return truth.with_json(|value| change_value(value, &mut rng));
    }
    truth.with_bytes(|bytes| {
        let length = bytes.len().max(1);
        let at = usize::try_from(rng.next_u64()).unwrap() % length;
        match rng.next_u32() % 4 {
            0 => bytes.truncate(at),
            1 => bytes.iter_mut().skip(at).take(4).for_each(|byte| *byte = byte.wrapping_add(1)),
            2 => bytes.iter_mut().skip(at).take(32).for_each(|byte| *byte = 0),
            _ => bytes.extend([7; 33]),
        }
    })
}

fn change_value(value: &mut serde_json::Value, rng: &mut ChaCha20Rng) {
    use serde_json::Value;
    let pick = |rng: &mut ChaCha20Rng, of: usize| usize::try_from(rng.next_u64()).unwrap() % of;
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let name = fields.keys().nth(pick(rng, fields.len())).unwrap().clone();
            match rng.next_u32() % 5 {
                0 => drop(fields.remove(&name)),
                _ => change_value(&mut fields[&name], rng),
            }
        }
        Value::Array(values) if !values.is_empty() => {
            let at = pick(rng, values.len());
            change_value(&mut values[at], rng);
        }
        other => {
            let texts = ["", "x", "AAAA", "scrip://127.0.0.1:1/AAAA"];
            *other = match rng.next_u32() % 4 {
                0 => Value::Null,
                1 => rng.next_u64().into(),
                2 => (-1).into(),
                _ => texts[pick(rng, texts.len())].into(),
            };
        }
    }
}

/// A wallet and who lies to it.
struct Life {
    wallet: Wallet,
    lie: Lie,
    /// Whether the liar goes on, or lies once to each route.
    goes_on: bool,
}

/// What the vendor saw of one wallet.
#[derive(Default)]
struct Seen {
    lies: Arc<AtomicUsize>,
    renewed: usize,
    wrong: Vec<String>,
}

impl Life {
    /// From now on everybody lies to whoever asks: at each route once, or always.
    fn lie(&self, stage: &Stage, told: &Arc<AtomicUsize>) {
        for adversary in stage.relays.iter().chain([&stage.selling]) {
            let (lie, goes_on, told) = (self.lie, self.goes_on, Arc::clone(told));
            let once = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
            adversary.lie(move |request| {
                // What the wallet reads before it does anything is another test's: without it nothing is done.
                let reads = request.method == "GET" && !request.path.contains("/leases/");
                let route = format!("{} {}", request.method, request.has_type(PAID));
                let first = once.lock().unwrap().insert(format!("{route} {}", request.path));
                if reads || !(first || goes_on) {
                    return Act::Honest;
                }
                told.fetch_add(1, Ordering::SeqCst);
                match lie {
                    Lie::Lost => Act::LoseAnswer,
                    lie => Act::rewrite(move |truth| lie.tell(truth)),
                }
            });
        }
    }
}

const PAID: &str = scrip_protocol::media::PAID_REQUEST;

/// What a wallet does at one time of its life.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Time {
    Buying,
    Paying,
    Later,
    Renewing,
}

async fn live(stage: &Stage, life: &Life, time: Time) {
    let wallet = &life.wallet;
    match time {
        Time::Buying => {
            let voucher = stage.network.vendor.voucher(PRODUCT).await.unwrap();
            drop(wallet.buy(&voucher).await);
        }
        Time::Paying => {
            for relay in &stage.network.relays {
                let relay = Some(relay.address().clone());
                let new = NewQueue { relay, days: 30, ..NewQueue::default() };
                drop(wallet.create_queue(new).await);
            }
            drop(wallet.check_leases(None).await);
        }
        Time::Later => drop(wallet.tend().await),
        Time::Renewing => drop(wallet.renew(Doubtful::Keep).await),
    }
    // What a wallet does whenever it is opened.
    drop(wallet.resume(Doubtful::Keep).await);
    drop(wallet.balance().await);
    drop(wallet.tend().await);
}

/// What of a wallet's certificates the vendor got since `mark`, and may not have got.
fn look(stage: &Stage, mark: usize, window_open: bool, name: &str, seen: &mut Seen) {
    let manifest = stage.manifest().unwrap();
    for exchange in stage.recording.since(mark) {
        if exchange.peer != SELLING {
            continue;
        }
        let request = &exchange.request;
        let tokens = tokens_of(request, &manifest);
        let old = |id| manifest.key(id).is_some_and(|key| key.epoch() == 1);
        match request.is("POST", "/v1/renewals") && window_open {
            true => {
                seen.renewed += tokens.len();
                let young = tokens.iter().filter(|(_, id)| !old(id)).count();
                if young > 0 {
                    seen.wrong.push(format!("{name}: {young} new certificates in a renewal"));
                }
            }
            false if !tokens.is_empty() => {
                let (count, path) = (tokens.len(), &request.path);
                seen.wrong.push(format!("{name}: {count} certificates in {path}"));
            }
            false => {}
        }
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_makes_a_wallet_show_certificates_to_the_vendor() {
    let seed = setting("SCRIP_REACTIONS_SEED", 1);
    let mut lies = Lie::all(seed);
    let most = usize::try_from(setting("SCRIP_REACTIONS", 24)).unwrap();
    lies.truncate(if most == 0 { lies.len() } else { most });

    let stage = Stage::set(Plan::default()).await.unwrap();
    let mut lives = Vec::new();
    for (n, lie) in lies.into_iter().enumerate() {
        // One pack that nobody lies about, so that there is something to lose later.
        let wallet = stage.network.funded_wallet(&format!("w{n}"), 1).await.unwrap();
        lives.push(Life { wallet, lie, goes_on: n >= 4 && n % 2 == 0 });
    }
    let mut seen: Vec<Seen> = lives.iter().map(|_| Seen::default()).collect();
    let renew_from = stage.manifest().unwrap().epochs()[0].windows.renew_from;
    let times = [
        (Time::Buying, 60),
        (Time::Paying, 3_600),
        (Time::Later, DAY),
        (Time::Later, 9 * DAY),
        (Time::Renewing, 0),
        (Time::Later, DAY),
        (Time::Later, 9 * DAY),
    ];
    let mut open = false;
    for (time, after) in times {
        match time {
            Time::Renewing => {
                open = true;
                stage.network.clock.set(renew_from.plus(DAY));
                stage.network.vendor.issuer().unwrap().tend_keys().await.unwrap();
                let wallets = lives.iter().map(|life| &life.wallet);
                stage.network.spread_manifest(wallets).await.unwrap();
            }
            _ => stage.network.clock.advance(after),
        }
        for (life, seen) in lives.iter().zip(&mut seen) {
            match life.goes_on || time != Time::Later {
                true => life.lie(&stage, &seen.lies),
                false => stage.be_honest(),
            }
            let mark = stage.recording.mark();
            live(&stage, life, time).await;
            look(&stage, mark, open, &format!("{:?}", life.lie), seen);
        }
        stage.be_honest();
    }
    let told: usize = seen.iter().map(|seen| seen.lies.load(Ordering::SeqCst)).sum();
    let renewed: usize = seen.iter().map(|seen| seen.renewed).sum();
    println!("reactions: {} wallets, {told} lies, {renewed} certificates renewed", lives.len());
    assert!(seen.iter().all(|seen| seen.lies.load(Ordering::SeqCst) > 0), "everybody was lied to");
    assert!(renewed > lives.len(), "there was something to show");
    let wrong: Vec<&String> = seen.iter().flat_map(|seen| &seen.wrong).collect();
    assert!(wrong.is_empty(), "the vendor got what it would not have got: {wrong:#?}");
}
