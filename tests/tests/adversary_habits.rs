//! Attackers that keep the times of everything that wallets send, at the vendor and at all relays, and nothing else: no address, no value, no answer.
//! They tie what happens at one moment. A wallet that keeps its distance gives them single calls.

#![allow(clippy::unwrap_used, reason = "a test stops where something fails")]

use std::collections::BTreeSet;

use scrip_protocol::credits::Credits;
use scrip_protocol::media::PAID_REQUEST;
use scrip_protocol::time::{SECONDS_PER_DAY, UnixSeconds};
use scrip_runtime::clock::Clock;
use scrip_tests::adversary::{Act, Exchange, REDEEMING, SELLING, Stage};
use scrip_tests::network::{PRODUCT, PRODUCT_CREDITS, Plan};
use scrip_wallet::{
    Doubtful, FetchOptions, NewQueue, Pace, Privacy, PutOptions, Shortage, Wallet, WalletError,
    When, fetch_file,
};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
/// What the wallet does by itself is so far from everything else at the usual level.
const APART: u64 = 10 * MINUTE;

async fn stage(relays: usize) -> Stage {
    Stage::set(Plan { relays, ..Plan::default() }).await.unwrap()
}

/// A wallet that knows every relay, with so many packs, all of them ripe.
async fn funded(stage: &Stage, name: &str, packs: usize, privacy: Privacy) -> Wallet {
    let wallet = stage.network.funded_wallet(name, packs).await.unwrap();
    wallet.set_privacy(privacy).await.unwrap();
    wallet
}

fn queue(when: When) -> NewQueue {
    NewQueue { days: 30, when, ..NewQueue::default() }
}

/// Whom the attacker saw called by wallets, each once.
fn parties(exchanges: &[Exchange]) -> BTreeSet<String> {
    let of_wallets = exchanges.iter().filter(|one| one.peer != REDEEMING);
    of_wallets.map(|one| one.peer.clone()).collect()
}

/// What an attacker takes for one moment: calls with less than [`APART`] between one and the next.
fn moments(exchanges: &[Exchange]) -> Vec<BTreeSet<String>> {
    let mut moments: Vec<(UnixSeconds, BTreeSet<String>)> = Vec::new();
    for one in exchanges.iter().filter(|one| one.peer != REDEEMING) {
        match moments.last_mut() {
            Some((last, parties)) if one.time.0 < last.0 + APART => {
                parties.insert(one.peer.clone());
                *last = one.time;
            }
            _ => moments.push((one.time, [one.peer.clone()].into())),
        }
    }
    moments.into_iter().map(|(_, parties)| parties).collect()
}

fn file(stage: &Stage, size: usize) -> std::path::PathBuf {
    let path = stage.network.dir().join(format!("file-{size}"));
    std::fs::write(&path, (0..size).map(|at| (at * 31 % 251) as u8).collect::<Vec<_>>()).unwrap();
    path
}

/// Relays that note who asks them at one moment, to learn which of them one wallet knows. Before, a wallet without a credit
/// showed its whole list with each attempt, and then bought. Now nobody hears of the attempt.
#[tokio::test(flavor = "multi_thread")]
async fn relays_that_wait_for_an_empty_purse_hear_nothing() {
    let stage = stage(4).await;
    for privacy in [Privacy::Off, Privacy::Normal] {
        let wallet = stage.network.wallet(&privacy.to_string()).await.unwrap();
        wallet.set_privacy(privacy).await.unwrap();
        let mark = stage.recording.mark();
        let refused = wallet.create_queue(queue(When::InTime)).await.unwrap_err();
        assert!(refused.is_shortage(), "{refused}");
        let options = PutOptions { copies: 2, ..PutOptions::default() };
        let refused = wallet.put_file(&file(&stage, 200_000), options).await.unwrap_err();
        assert!(refused.is_shortage(), "{refused}");
        assert_eq!(parties(&stage.recording.since(mark)), BTreeSet::new());
    }
}

/// Relays that compare who was asked when somebody paid. Before, each payment asked all relays of the wallet within three
/// milliseconds, five of five: 53 of 54 sessions showed the whole list. Now the list is shown to nobody: only the relay that is paid is called.
#[tokio::test(flavor = "multi_thread")]
async fn relays_that_compare_notes_about_a_payment_find_that_one_of_them_was_called() {
    let stage = stage(4).await;
    let wallet = funded(&stage, "alice", 3, Privacy::Off).await;
    let mut paid = BTreeSet::new();
    for _ in 0..6 {
        let mark = stage.recording.mark();
        let made = wallet.create_queue(queue(When::InTime)).await.unwrap();
        let called = parties(&stage.recording.since(mark));
        let at = stage.network.relays.iter().position(|one| *one.address() == made.relay).unwrap();
        assert_eq!(called, [stage.relays[at].name().to_owned()].into());
        let mark = stage.recording.mark();
        wallet.extend(&made.name, 30, Doubtful::Keep, true, When::InTime).await.unwrap();
        assert_eq!(parties(&stage.recording.since(mark)), called);
        paid.extend(called);
    }
    assert!(paid.len() > 1, "equal offers are taken by chance");
}

/// A relay that asks for more than it signed, to see who comes next. The wallet hears its offer again, leaves it, and chooses once
/// more by what is stored: the one other relay that is called is the one that is paid.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_asks_for_more_than_it_signed_does_not_make_the_wallet_ask_around() {
    let stage = stage(5).await;
    let wallet = funded(&stage, "alice", 1, Privacy::Off).await;
    for greedy in &stage.relays[..4] {
        greedy.lie(|request| match request.is("POST", "/v1/queues") {
            true => Act::rewrite(|truth| {
                truth.with_json(|problem| problem["price"]["credits"] = 50.into())
            }),
            false => Act::Honest,
        });
    }
    let mut refused = 0;
    for _ in 0..3 {
        let mark = stage.recording.mark();
        let made = wallet.create_queue(queue(When::InTime)).await;
        let seen = stage.recording.since(mark);
        // Three choices at most, and each relay is called only while it is the chosen one.
        let mut order: Vec<&String> = seen.iter().map(|one| &one.peer).collect();
        order.dedup();
        assert!((1..=3).contains(&order.len()), "{order:?}");
        assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), order.len(), "{order:?}");
        match made {
            Ok(_) => assert_eq!(order.last().map(|name| name.as_str()), Some("relay-4")),
            Err(WalletError::PriceAboveAnnounced { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused <= 2, "the greedy ones are chosen last from then on");
    assert_eq!(wallet.queues().await.unwrap().len(), 3 - refused);
}

/// Two relays that look for uploads in step: the same classes of chunks at the same time are one file. Before, the copies went
/// piece by piece to both within milliseconds. Now one relay is done before the other is called, at a time of its own.
#[tokio::test(flavor = "multi_thread")]
async fn relays_that_look_for_copies_in_step_find_none() {
    for pace in [Pace::Together, Pace::Apart] {
        let stage = stage(3).await;
        let wallet = funded(&stage, "alice", 3, Privacy::Normal).await;
        let path = file(&stage, 200_000);
        let mark = stage.recording.mark();
        let options = PutOptions { copies: 2, pace, ..PutOptions::default() };
        let waits = wallet.put_file(&path, options).await.unwrap_err();
        assert!(matches!(waits, WalletError::StillStoring { .. }), "{waits}");
        assert_eq!(parties(&stage.recording.since(mark)).len(), 1);
        let mut link = None;
        for _ in 0..24 * 20 {
            stage.network.clock.advance(5 * MINUTE);
            let before = stage.recording.mark();
            let tended = wallet.tend().await.unwrap();
            assert!(tended.errors.is_empty(), "{:?}", tended.errors);
            assert!(parties(&stage.recording.since(before)).len() <= 1);
            if let Some(stored) = tended.files.first() {
                link = Some(stored.link.clone());
                break;
            }
        }
        let seen = stage.recording.since(mark);
        for together in moments(&seen) {
            assert_eq!(together.len(), 1, "{pace}: {together:?} at one moment");
        }
        let paid = seen.iter().filter(|one| one.request.is("POST", "/v1/chunks"));
        let per_moment = paid.clone().map(|one| one.time).collect::<BTreeSet<_>>().len();
        match pace {
            // One relay, the other with its descriptor, the first one's descriptor.
            Pace::Together => assert_eq!(per_moment, 3),
            Pace::Apart => assert_eq!(per_moment, paid.count(), "each chunk for itself"),
        }
        let environment = stage.network.environment();
        let output = stage.network.dir().join("copy");
        let options = FetchOptions { output: output.clone(), overwrite: true };
        let network = wallet.network().await;
        fetch_file(&link.unwrap().parse().unwrap(), &options, &network, &environment)
            .await
            .unwrap();
        assert_eq!(std::fs::read(&output).unwrap(), std::fs::read(&path).unwrap());
    }
}

/// Relays that compare who asked about leases at one moment. `scrip leases --check` asks one of them, in turn, also of those with the parts
/// of one file; one that does not answer does not keep the others from being asked.
#[tokio::test(flavor = "multi_thread")]
async fn relays_that_compare_who_asks_about_leases_find_one_of_them_asked() {
    let stage = stage(3).await;
    let wallet = funded(&stage, "alice", 4, Privacy::Normal).await;
    let options = PutOptions { copies: 3, when: When::Now, ..PutOptions::default() };
    let stored = wallet.put_file(&file(&stage, 100_000), options).await.unwrap();
    let name = stored.upload.to_string();
    stage.relays[1].lie(|request| match request.path.starts_with("/v1/leases/") {
        true => Act::LoseRequest,
        false => Act::Honest,
    });
    let asked = async |target: Option<&str>, relay: Option<usize>| {
        stage.network.clock.advance(HOUR);
        let mark = stage.recording.mark();
        let relay = relay.map(|at| stage.network.relays[at].address().clone());
        let (_, others) = wallet.check_one_relay(target, relay.as_ref()).await.unwrap();
        assert_eq!(others, 2);
        let called = parties(&stage.recording.since(mark));
        assert_eq!(called.len(), 1, "{called:?}");
        called.into_iter().next().unwrap()
    };
    for target in [None, Some(name.as_str())] {
        let mut turn = BTreeSet::new();
        for _ in 0..3 {
            turn.insert(asked(target, None).await);
        }
        assert_eq!(turn.len(), 3, "each in its turn: {turn:?}");
    }
    // The one that the user names, and then again the one whose turn it is.
    let first = asked(None, Some(2)).await;
    assert_eq!((first.as_str(), asked(None, Some(2)).await.as_str()), ("relay-2", "relay-2"));
    let rest: BTreeSet<String> = [asked(None, None).await, asked(None, None).await].into();
    assert_eq!(rest, ["relay-0".to_owned(), "relay-1".to_owned()].into());
    // All at once is a choice of the user's.
    let mark = stage.recording.mark();
    wallet.check_leases(Some(&name)).await.unwrap();
    assert_eq!(parties(&stage.recording.since(mark)).len(), 3);
}

/// Relays that look for a file's copies when they are paid for again, and find the one for now.
#[tokio::test(flavor = "multi_thread")]
async fn relays_that_look_for_extensions_in_step_find_none() {
    let stage = stage(2).await;
    let wallet = funded(&stage, "alice", 3, Privacy::Normal).await;
    let path = file(&stage, 100_000);
    let options = PutOptions { copies: 2, when: When::Now, ..PutOptions::default() };
    let stored = wallet.put_file(&path, options).await.unwrap();
    let mark = stage.recording.mark();
    let name = stored.upload.to_string();
    let leases = wallet.extend(&name, 30, Doubtful::Keep, true, When::InTime).await.unwrap();
    assert_eq!(parties(&stage.recording.since(mark)).len(), 1);
    assert_eq!(leases.iter().filter(|lease| lease.wanted.is_some()).count(), stored.chunks);
    for _ in 0..60 {
        stage.network.clock.advance(5 * MINUTE);
        assert!(wallet.tend().await.unwrap().errors.is_empty());
    }
    let leases = wallet.leases(Some(&name)).await.unwrap();
    assert!(leases.iter().all(|lease| lease.wanted.is_none() && lease.until > stored.until));
    assert_eq!(parties(&stage.recording.since(mark)).len(), 2);
    assert!(moments(&stage.recording.since(mark)).iter().all(|together| together.len() == 1));
}

/// Vendor and relays that look for calls within ten minutes of each other, over three weeks in which a wallet pays, has an answer
/// lost, stores a file, buys by itself when its stock is low, and looks at offers. Before, open payments were repeated and offers
/// asked for in the second in which the next thing was paid. Now no moment has two of them.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_looks_for_two_purposes_at_one_moment_finds_none() {
    let stage = stage(3).await;
    let wallet = funded(&stage, "alice", 2, Privacy::Normal).await;
    let code = stage.network.vendor.voucher(PRODUCT).await.unwrap();
    wallet.restock(Some(Credits(2 * PRODUCT_CREDITS)), false, vec![code]).await.unwrap();
    let mark = stage.recording.mark();
    for relay in &stage.relays {
        relay.lie(|request| match request.has_type(PAID_REQUEST) {
            true => Act::LoseAnswer,
            false => Act::Honest,
        });
    }
    let open = wallet.create_queue(queue(When::InTime)).await;
    assert!(matches!(open, Err(WalletError::PaymentOpen { .. })));
    stage.be_honest();
    let options = PutOptions { copies: 2, ..PutOptions::default() };
    let mut bought = 0;
    let mut stored = 0;
    for tick in 0..21 * 24 * 3 {
        stage.network.clock.advance(20 * MINUTE);
        if tick == 40 {
            let waits = wallet.put_file(&file(&stage, 200_000), options.clone()).await;
            assert!(matches!(waits, Err(WalletError::StillStoring { .. })));
            continue;
        }
        if tick == 500 {
            wallet.create_queue(queue(When::InTime)).await.unwrap();
            continue;
        }
        let tended = wallet.tend().await.unwrap();
        bought += tended.purchases.len();
        stored += tended.files.len();
    }
    let seen = stage.recording.since(mark);
    for together in moments(&seen) {
        assert_eq!(together.len(), 1, "{together:?} at one moment");
    }
    assert_eq!((bought, stored), (1, 1));
    assert_eq!(wallet.queues().await.unwrap().len(), 2, "the open payment came to its end");
    let asked = |name: &str| {
        let of = seen.iter().filter(|one| one.peer == name && one.request.is("GET", "/v1/relay"));
        of.map(|one| one.time).collect::<BTreeSet<_>>()
    };
    let times: Vec<BTreeSet<UnixSeconds>> = (0..3).map(|n| asked(&format!("relay-{n}"))).collect();
    assert!(times.iter().all(|times| (2..=22).contains(&times.len())), "{times:?}");
    assert!(times[0].is_disjoint(&times[1]) && times[1].is_disjoint(&times[2]));
}

/// A vendor that waits for payments right after a purchase, and for several of one age. Before, what was bought was spent a minute
/// later. Now each certificate becomes ripe at a time of its own, none is paid with before it, and a refusal says when enough are.
#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_waits_for_a_payment_after_a_purchase_waits_for_days() {
    let stage = stage(2).await;
    let wallet = stage.network.wallet("alice").await.unwrap();
    wallet.set_privacy(Privacy::Normal).await.unwrap();
    for _ in 0..4 {
        wallet.buy(&stage.network.vendor.voucher(PRODUCT).await.unwrap()).await.unwrap();
    }
    let all = Credits(4 * PRODUCT_CREDITS);
    let balance = wallet.balance().await.unwrap();
    assert_eq!((balance.spendable, balance.ripening), (Credits::ZERO, all));
    let mark = stage.recording.mark();
    let refused = wallet.create_queue(queue(When::InTime)).await.unwrap_err();
    let WalletError::Shortage(Shortage::Unripe { at, .. }) = refused else { panic!("{refused}") };
    assert!(refused.remedy().contains("--now"), "{}", refused.remedy());
    assert!(at > stage.network.clock.now());
    assert_eq!(parties(&stage.recording.since(mark)), BTreeSet::new());

    let (mut ripe_at, mut paid_once) = (Vec::new(), false);
    for hour in 0..40 * 24 {
        let now = stage.network.clock.now();
        let before = wallet.balance().await.unwrap();
        let held: u32 = before.denominations.iter().map(|one| one.count).sum();
        ripe_at.resize(held as usize, hour);
        if !paid_once {
            match wallet.create_queue(queue(When::InTime)).await {
                Ok(made) => {
                    assert!(now >= at);
                    let after = wallet.balance().await.unwrap();
                    assert_eq!(after.spendable.0 + made.paid.0, before.spendable.0);
                    assert_eq!(after.ripening, before.ripening, "only what was ripe is gone");
                    ripe_at.clear();
                    paid_once = true;
                }
                Err(error) => assert!(now < at && error.is_shortage(), "{now} {at}: {error}"),
            }
        }
        stage.network.clock.advance(HOUR);
    }
    assert!(paid_once);
    let hours: BTreeSet<u64> = ripe_at.iter().copied().collect();
    assert!(ripe_at.len() > 30 && hours.len() > 20, "{ripe_at:?}");
    assert_eq!(wallet.balance().await.unwrap().ripening, Credits::ZERO);
}

/// A vendor that ties each payment to the purchase before it, over wallets that pay as soon as they can after they bought. Before,
/// it was right about all of them. Now it is about as often as chance, and right where `--now` was said, which says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_ties_payments_to_the_purchase_before_is_right_by_chance() {
    const WALLETS: u64 = 8;
    let right = async |privacy: Privacy, when: When| -> usize {
        let stage = stage(2).await;
        let mut wallets = Vec::new();
        let (mut due, mut last, mut guessed_right) = (Vec::new(), 0, 0);
        for n in 0..WALLETS {
            let wallet = stage.network.wallet(&format!("wallet-{n}")).await.unwrap();
            wallet.set_privacy(privacy).await.unwrap();
            wallets.push(wallet);
        }
        // A purchase every two hours, whose buyer pays as soon as it can; looked at every minute.
        for minute in 0..WALLETS * 120 + 20 * 24 * 60 {
            if minute % 120 == 0 && minute / 120 < WALLETS {
                last = (minute / 120) as usize;
                let code = stage.network.vendor.voucher(PRODUCT).await.unwrap();
                wallets[last].buy(&code).await.unwrap();
                due.push((last, UnixSeconds(0)));
            }
            let now = stage.network.clock.now();
            let mut waiting = Vec::new();
            for (payer, not_before) in due {
                if now < not_before {
                    waiting.push((payer, not_before));
                    continue;
                }
                match wallets[payer].create_queue(queue(when)).await {
                    Ok(_) => guessed_right += usize::from(payer == last),
                    Err(WalletError::Shortage(Shortage::Unripe { at, .. })) => {
                        waiting.push((payer, at));
                    }
                    Err(other) => panic!("{other}"),
                }
            }
            due = waiting;
            stage.network.clock.advance(MINUTE);
        }
        assert!(due.is_empty(), "everybody paid at last");
        let sold = stage.recording.of(SELLING);
        assert!(sold.iter().filter(|one| one.request.is("POST", "/v1/issuance")).count() == 8);
        guessed_right
    };
    assert_eq!(right(Privacy::Off, When::InTime).await, WALLETS as usize);
    assert_eq!(right(Privacy::Normal, When::Now).await, WALLETS as usize);
    let found = right(Privacy::High, When::InTime).await;
    println!("of {WALLETS} payments, the vendor ties {found} to their purchase; by chance 1 or 2");
    assert!(found <= 5, "{found}");
}

/// A life of three epochs' wallets never becomes unspendable for its privacy: what is bought late in an epoch is ripe in time.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_bought_is_ripe_long_before_it_expires() {
    let stage = stage(2).await;
    let wallet = stage.network.wallet("alice").await.unwrap();
    wallet.set_privacy(Privacy::High).await.unwrap();
    wallet.buy(&stage.network.vendor.voucher(PRODUCT).await.unwrap()).await.unwrap();
    let ripe = wallet.balance().await.unwrap().ripe.unwrap();
    assert!(ripe.0 < stage.network.clock.now().0 + 150 * SECONDS_PER_DAY);
    stage.network.clock.set(ripe);
    assert_eq!(wallet.balance().await.unwrap().spendable, Credits(PRODUCT_CREDITS));
}
