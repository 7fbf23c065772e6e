//! Reactions: whatever a vendor or a relay answers, the wallet shows the vendor no certificate that it would not have shown it anyway.
//!
//! Wallets live side by side through a year. Each looks at the manifest, buys, pays, extends its leases, is restored from its seed, and renews; and each is
//! given an answer of its own in place of the true one: a problem, another status, fields of JSON and bytes that a generator changes, an answer that gets lost. Some are lied to about what they
//! do (every `POST`, and leases), others about what they read (manifests, offers, grants, what was issued, lists of voided certificates). What is drawn from these follows from a seed.
//! Half of the liars lie once and are honest afterwards, and half go on. Certificates are looked for in every request to the vendor, whatever it is.
//!
//! Without a lie a wallet shows the vendor each certificate once: in its renewal, when its window is open, and if it was not spent. So that is what is allowed. Before, `grant-used`, a `day` in the answer to a
//! renewal, and `certificate-spent` made it show all certificates of a purchase, of a renewal, of a payment, in inquiries.
//!
//! `SCRIP_REACTIONS=N` gives N wallets, 0 two for every answer; `SCRIP_REACTIONS_SEED` other ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use scrip_issuer::ledger::Scope;
use scrip_protocol::problem::ProblemType;
use scrip_tests::adversary::keys::{CertificateKey, tokens_of};
use scrip_tests::adversary::{Act, Answer, REDEEMING, SELLING, Stage};
use scrip_tests::network::{PRODUCT, Plan};
use scrip_wallet::net::ListSource;
use scrip_wallet::{Doubtful, NewQueue, Wallet, When};

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

/// What is lied about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    /// What the wallet does, and its leases.
    Deeds,
    /// What it reads.
    Reading,
}

/// A wallet and who lies to it.
struct Life {
    wallet: Wallet,
    seed: [u8; 32],
    /// The same wallet, restored from its seed.
    restored: Option<Wallet>,
    lie: Lie,
    about: About,
    /// Whether the liar goes on, or lies once to each route.
    goes_on: bool,
    restores: bool,
    seen: Seen,
}

/// What the vendor saw of one wallet.
#[derive(Default)]
struct Seen {
    lies: Arc<AtomicUsize>,
    renewed: usize,
    paid: BTreeSet<CertificateKey>,
    wrong: Vec<String>,
}

const PAID: &str = scrip_protocol::media::PAID_REQUEST;

impl Life {
    /// From now on everybody lies to whoever asks: at each route once, or always.
    fn lie(&self, stage: &Stage) {
        for adversary in stage.relays.iter().chain([&stage.selling]) {
            let (lie, about, goes_on) = (self.lie, self.about, self.goes_on);
            let told = Arc::clone(&self.seen.lies);
            let once = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
            adversary.lie(move |request| {
                let reads = request.method == "GET" && !request.path.contains("/leases/");
                let route = format!("{} {}", request.method, request.has_type(PAID));
                let first = once.lock().unwrap().insert(format!("{route} {}", request.path));
                if reads != (about == About::Reading) || !(first || goes_on) {
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

    async fn live(&mut self, stage: &Stage, time: Time) {
        let wallet = &self.wallet;
        match time {
            Time::Buying => {
                drop(wallet.look_now().await);
                drop(wallet.offer().await);
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
            Time::Extending => {
                for queue in wallet.queues().await.unwrap() {
                    let now = (Doubtful::Keep, true, When::Now);
                    drop(wallet.extend(&queue.name, 30, now.0, now.1, now.2).await);
                }
            }
            Time::Restoring => {
                if let Some(restored) = &self.restored {
                    drop(restored.restore(2).await);
                    drop(restored.look_up(&ListSource::Vendor, false).await);
                }
            }
            Time::Later => drop(wallet.tend().await),
            Time::Renewing => drop(wallet.renew(Doubtful::Keep).await),
        }
        if let Some(restored) = &self.restored {
            drop(restored.look_up(&ListSource::Vendor, false).await);
            drop(restored.renew(Doubtful::Keep).await);
        }
        // What a wallet does whenever it is opened.
        for wallet in [Some(wallet), self.restored.as_ref()].into_iter().flatten() {
            drop(wallet.resume(Doubtful::Keep).await);
            drop(wallet.balance().await);
            drop(wallet.tend().await);
        }
    }

    /// What of its certificates the vendor got since `mark`, and may not have got.
    fn look(&mut self, stage: &Stage, mark: usize, window_open: bool) {
        let (manifest, name) = (stage.manifest().unwrap(), format!("{:?}", self.lie));
        let seen = &mut self.seen;
        for exchange in stage.recording.since(mark) {
            let request = &exchange.request;
            let tokens = tokens_of(request, &manifest);
            if exchange.peer != SELLING {
                let redeeming = exchange.peer == REDEEMING;
                seen.paid.extend(tokens.iter().filter(|_| !redeeming).map(|(key, _)| *key));
                continue;
            }
            let old = |id| manifest.key(id).is_some_and(|key| key.epoch() == 1);
            match request.is("POST", "/v1/renewals") && window_open {
                true => {
                    seen.renewed += tokens.len();
                    let young = tokens.iter().filter(|(_, id)| !old(id)).count();
                    if young > 0 {
                        seen.wrong.push(format!("{name}: {young} new certificates in a renewal"));
                    }
                    let spent = tokens.iter().filter(|(key, _)| seen.paid.contains(key)).count();
                    if spent > 0 {
                        seen.wrong.push(format!("{name}: {spent} spent certificates in a renewal"));
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
}

/// What a wallet does at one time of its life.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Time {
    Buying,
    Paying,
    Extending,
    Later,
    Restoring,
    Renewing,
}

/// When each is, counted from the one before; renewals begin with their window.
const TIMES: [(Time, u64); 9] = [
    (Time::Buying, 60),
    (Time::Paying, 3_600),
    (Time::Extending, 3_600),
    (Time::Later, DAY),
    (Time::Restoring, 9 * DAY),
    (Time::Later, 10 * DAY),
    (Time::Renewing, 0),
    (Time::Later, DAY),
    (Time::Later, 9 * DAY),
];

/// A year of these wallets in a network of their own.
async fn year(lies: Vec<(usize, Lie, About)>) -> Vec<Seen> {
    let stage = Stage::set(Plan { in_memory: true, ..Plan::default() }).await.unwrap();
    let network = &stage.network;
    let issuer = network.vendor.issuer().unwrap();
    let mut lives = Vec::new();
    for (n, lie, about) in lies {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&n.to_be_bytes());
        let wallet = network.wallet_of_seed(&format!("w{n}"), seed).await.unwrap();
        // One pack that nobody lies about, so that there is something to lose later.
        wallet.buy(&network.vendor.voucher(PRODUCT).await.unwrap()).await.unwrap();
        let (goes_on, restores) = (n >= 4 && n % 2 == 0, n % 3 == 0);
        let (restored, seen) = (None, Seen::default());
        lives.push(Life { wallet, seed, restored, lie, about, goes_on, restores, seen });
    }
    let mut open = false;
    for (time, after) in TIMES {
        network.clock.advance(after);
        if time == Time::Renewing {
            open = true;
            let renew_from = stage.manifest().unwrap().epochs()[0].windows.renew_from;
            network.clock.set(renew_from.plus(DAY));
            issuer.tend_keys().await.unwrap();
            network.spread_manifest(lives.iter().map(|life| &life.wallet)).await.unwrap();
            network
                .spread_manifest(lives.iter().filter_map(|life| life.restored.as_ref()))
                .await
                .unwrap();
        }
        // Lists say what was redeemed.
        network.redeem_all().await.unwrap();
        issuer.integrate(Scope::Everything).await.unwrap();
        for (n, life) in lives.iter_mut().enumerate() {
            if time == Time::Restoring && life.restores {
                let made = network.wallet_of_seed(&format!("r{n}"), life.seed).await;
                life.restored = Some(made.unwrap());
            }
            match life.goes_on || time != Time::Later {
                true => life.lie(&stage),
                false => stage.be_honest(),
            }
            let mark = stage.recording.mark();
            life.live(&stage, time).await;
            life.look(&stage, mark, open);
            stage.be_honest();
        }
    }
    lives.into_iter().map(|life| life.seen).collect()
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Networks that live at the same time: most of what a wallet does after a lie is to wait before it tries again.
const NETWORKS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_makes_a_wallet_show_certificates_to_the_vendor() {
    let seed = setting("SCRIP_REACTIONS_SEED", 1);
    let most = usize::try_from(setting("SCRIP_REACTIONS", 24)).unwrap();
    let deeds = Lie::all(seed).into_iter().map(|lie| (lie, About::Deeds));
    let reading = Lie::all(seed + 1_000).into_iter().map(|lie| (lie, About::Reading));
    let mut lies: Vec<(Lie, About)> = match most {
        0 => deeds.chain(reading).collect(),
        // Two thirds about deeds.
        _ => deeds.take(most - most / 3).chain(reading.take(most / 3)).collect(),
    };
    let mut shares: Vec<Vec<_>> = vec![Vec::new(); NETWORKS];
    for (n, (lie, about)) in lies.drain(..).enumerate() {
        shares[n % NETWORKS].push((n, lie, about));
    }
    let years = futures_util::future::join_all(shares.into_iter().map(year)).await;
    let seen: Vec<Seen> = years.into_iter().flatten().collect();

    let told: usize = seen.iter().map(|seen| seen.lies.load(Ordering::SeqCst)).sum();
    let renewed: usize = seen.iter().map(|seen| seen.renewed).sum();
    println!("reactions: {} wallets, {told} lies, {renewed} certificates renewed", seen.len());
    assert!(seen.iter().all(|seen| seen.lies.load(Ordering::SeqCst) > 0), "everybody was lied to");
    assert!(renewed > seen.len(), "there was something to show");
    let wrong: Vec<&String> = seen.iter().flat_map(|seen| &seen.wrong).collect();
    assert!(wrong.is_empty(), "the vendor got what it would not have got: {wrong:#?}");
}
