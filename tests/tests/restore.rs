//! A lost wallet comes back from its 24 words: across epochs and renewals, with its whole balance, and nothing is spent twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use scrip_protocol::credits::Credits;
use scrip_protocol::seed::WalletSeed;
use scrip_protocol::time::UnixSeconds;
use scrip_runtime::clock::Clock;
use scrip_runtime::steps::Steps;
use scrip_tests::network::{Network, PRODUCT, PRODUCT_CREDITS};
use scrip_tests::node::PASSPHRASE;
use scrip_wallet::net::ListSource;
use scrip_wallet::{Doubtful, Looked, NewQueue, Privacy, Renewed, Wallet, WalletError, words};

const DAY: u64 = 86_400;

/// The keys and the relays at `moment`, as running programs would have them.
async fn go_to(network: &Network, moment: UnixSeconds) {
    network.clock.set(moment);
    network.vendor.issuer().unwrap().tend_keys().await.unwrap();
    for relay in &network.relays {
        relay.relay().unwrap().refresh_manifests().await;
    }
}

/// Some days later, when the vendor has published the lists of that day.
async fn wait(network: &Network, days: u64) {
    go_to(network, network.clock.now().plus(days * DAY)).await;
    publish_lists(network).await;
}

async fn publish_lists(network: &Network) {
    let early = network.clock.now().day().start().plus(2 * 3_600);
    network.clock.set(early.max(network.clock.now()));
    network.vendor.issuer().unwrap().publish_voided().await.unwrap();
}

/// `scrip check`.
async fn look(wallet: &Wallet) -> Looked {
    let looked = wallet.look_up(&ListSource::Vendor, false).await.unwrap();
    assert!(looked.errors.is_empty(), "{:?}", looked.errors);
    looked
}

/// `scrip renew --now`, by a wallet that has heard of the newest manifest.
async fn renew(wallet: &Wallet) -> Renewed {
    wallet.look_now().await.unwrap();
    wallet.renew(Doubtful::Keep).await.unwrap()
}

/// What had been renewed comes back, one certificate at a time. Returns how much.
async fn recover(wallet: &Wallet) -> u64 {
    let mut recovered = 0;
    loop {
        let tended = wallet.tend().await.unwrap();
        if let Some(renewed) = &tended.renewed {
            assert!(renewed.errors.is_empty() && renewed.certificates == 1, "{renewed:?}");
            recovered += renewed.renewed.0;
        } else if tended.looked.is_none() {
            return recovered;
        }
    }
}

async fn buy(network: &Network, wallet: &Wallet) {
    network.spread_manifest([wallet]).await.unwrap();
    wallet.buy(&network.vendor.voucher(PRODUCT).await.unwrap()).await.unwrap();
}

/// Pays for a queue, and returns what that took.
async fn spend(network: &Network, wallet: &Wallet, relay: usize, days: u16) -> u64 {
    let before = wallet.balance().await.unwrap().spendable.0;
    let relay = Some(network.relays[relay].address().clone());
    let queue = NewQueue { relay, days, accept_excess: true, ..NewQueue::default() };
    wallet.create_queue(queue).await.unwrap();
    before - wallet.balance().await.unwrap().spendable.0
}

/// Spends everything, at both relays in turn, and returns how much that was.
async fn spend_all(network: &Network, wallet: &Wallet) -> u64 {
    let mut spent = 0;
    for turn in 0.. {
        let left = wallet.balance().await.unwrap().spendable.0;
        if left == 0 {
            break;
        }
        let days = (left * 15).min(360) as u16; // 2 credits for 30 days
        spent += spend(network, wallet, turn % 2, days).await;
    }
    spent
}

/// Every relay redeems, and none meets a certificate that was used before. Returns how many certificates were credited.
async fn redeem(network: &Network, relays: std::ops::Range<usize>) -> u64 {
    let mut accepted = 0;
    for relay in &network.relays[relays] {
        let redeemed = relay.relay().unwrap().redeem_now().await.unwrap();
        assert_eq!((redeemed.double_spent, redeemed.expired, redeemed.invalid), (0, 0, 0));
        assert!(redeemed.unanswered.is_empty());
        accepted += redeemed.accepted;
    }
    accepted
}

/// `scrip restore`, on a machine that has nothing but the words.
async fn restore(network: &Network, name: &str, seed: &[u8; 32], more: &[&str]) -> Wallet {
    let words = words::of_seed(&WalletSeed::from_bytes(*seed)).unwrap();
    let file = network.dir().join(format!("words-{name}"));
    std::fs::write(&file, words.as_bytes()).unwrap();
    let vendor = network.vendor.address().to_string();
    let mut args: Vec<OsString> =
        ["scrip", "restore", "--vendor", &vendor, "--wallet"].map(OsString::from).into();
    args.extend([network.wallet_dir(name).into(), "--words-file".into(), file.into()]);
    args.extend(["--privacy", "off"].iter().chain(more).map(OsString::from));
    let env = vec![("SCRIP_PASSPHRASE".to_owned(), PASSPHRASE.to_owned())];
    let clock = Arc::new(network.clock.clone());
    let code = tokio::task::spawn_blocking(move || {
        scrip_wallet::cli::main_with(args, env, clock, Steps::none())
    });
    let code = code.await.unwrap();
    assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS));
    let wallet = network.open_wallet(name).await.unwrap();
    wallet.set_privacy(Privacy::Off).await.unwrap();
    for relay in &network.relays {
        wallet.add_relay(relay.address()).await.unwrap();
    }
    wallet.look_now().await.unwrap();
    wallet
}

async fn books_are_closed(network: &Network, packs: u64) {
    let status = network.vendor.issuer().unwrap().status().await.unwrap();
    assert_eq!(status.credits_outstanding, Credits(0), "nothing was lost");
    assert_eq!(status.credits_redeemed, Credits(packs * PRODUCT_CREDITS), "nothing was doubled");
    assert_eq!(status.credits_issued.0, packs * PRODUCT_CREDITS + status.credits_renewed.0);
    for relay in &network.relays {
        let status = relay.relay().unwrap().verifier().status().await.unwrap();
        assert!(status.vendors.iter().all(|vendor| vendor.lost == Credits(0)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_wallet_comes_back_with_its_whole_balance() {
    let mut network = Network::start().await.unwrap();
    let seed = [42; 32];
    let lost = network.wallet_of_seed("lost", seed).await.unwrap();
    let mut spent = 0;
    // Three epochs, in each a purchase that fails and leaves a gap, one that succeeds, and payments.
    for epoch in 0..3 {
        let end = network.vendor.issuer().unwrap().manifest().epochs().last().unwrap().windows;
        let code = network.vendor.voucher(PRODUCT).await.unwrap();
        network.vendor.stop().await.unwrap();
        let failed = lost.buy(&code).await;
        assert!(matches!(failed, Err(WalletError::PurchaseOpen { .. })), "{failed:?}");
        network.vendor.start().await.unwrap();
        buy(&network, &lost).await;
        spent += spend(&network, &lost, epoch % 2, 30).await;
        go_to(&network, end.issue_until.plus(60)).await;
    }
    assert_eq!(network.vendor.issuer().unwrap().manifest().epochs().len(), 4);
    redeem(&network, 0..2).await;
    // A year later what is left of the first epoch is renewed; the others are not due.
    let first = network.vendor.issuer().unwrap().manifest().epochs()[0].windows;
    go_to(&network, first.renew_from.plus(DAY)).await;
    let renewed = renew(&lost).await;
    assert!(renewed.errors.is_empty(), "{:?}", renewed.errors);
    assert!(renewed.renewed.0 > 40 && renewed.renewed.0 < PRODUCT_CREDITS, "{renewed:?}");
    // Relay 0 redeems what it was paid with, relay 1 not yet.
    spent += spend(&network, &lost, 0, 60).await;
    redeem(&network, 0..1).await;
    let late = spend(&network, &lost, 1, 45).await;
    spent += late;
    let left = lost.balance().await.unwrap().spendable.0;
    assert_eq!(left + spent, 3 * PRODUCT_CREDITS);
    lost.close().await.unwrap();
    std::fs::remove_dir_all(network.wallet_dir("lost")).unwrap();

    let wallet = restore(&network, "found", &seed, &["--fast"]).await;
    assert_eq!(wallet.balance().await.unwrap().spendable, Credits(0));
    // The lists of the next day have everything that the vendor has heard of; what was renewed comes back for what it was.
    wait(&network, 1).await;
    let looked = look(&wallet).await;
    assert_eq!(looked.settled, Credits(0), "{looked:?}");
    assert_eq!(recover(&wallet).await, looked.renewed.0);
    look(&wallet).await;
    let balance = wallet.balance().await.unwrap();
    assert_eq!(balance.in_doubt, Credits(left + late), "all that the vendor has not heard of");
    assert_eq!(balance.expired, Credits(0), "what was renewed took the place of what it was");
    // By itself nothing in doubt is spent.
    let refused = wallet.create_queue(NewQueue { days: 30, ..NewQueue::default() }).await;
    assert!(refused.is_err_and(|error| error.is_shortage()));
    wait(&network, 5).await;
    // The other relay has redeemed by itself by now, or does here.
    redeem(&network, 0..2).await;
    let status = network.vendor.issuer().unwrap().status().await.unwrap();
    assert_eq!(status.credits_redeemed, Credits(spent));
    // What the relay redeemed by itself in time is in a list already.
    let early = look(&wallet).await;
    assert_eq!(early.settled, Credits(0), "too early");

    wait(&network, 3).await;
    let looked = wallet.tend().await.unwrap().looked.unwrap();
    assert_eq!((looked.settled.0, early.spent.0 + looked.spent.0), (left, late), "{looked:?}");
    let balance = wallet.balance().await.unwrap();
    assert_eq!((balance.spendable.0, balance.in_doubt.0), (left, 0), "the full balance");
    assert_eq!(spend_all(&network, &wallet).await, left);
    redeem(&network, 0..2).await;
    assert!(wallet.check_leases(None).await.unwrap().iter().all(|lease| lease.live));
    books_are_closed(&network, 3).await;
    // New money goes under an index of its own, beyond the gaps.
    buy(&network, &wallet).await;
    assert_eq!(wallet.balance().await.unwrap().spendable, Credits(PRODUCT_CREDITS));
}

/// A wallet that is renewed each year, for years; then it is lost, and the vendor has long dropped what the first epochs were
/// spent on.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_renewals_is_walked() {
    let network = Network::start().await.unwrap();
    let seed = [43; 32];
    let lost = network.wallet_of_seed("lost", seed).await.unwrap();
    buy(&network, &lost).await;
    let mut spent = 0;
    for year in 0..3 {
        spent += spend(&network, &lost, year % 2, 15).await;
        redeem(&network, 0..2).await;
        let expires = lost.balance().await.unwrap();
        assert!(expires.expiring.is_empty());
        wait(&network, 370).await;
        let renewed = renew(&lost).await;
        assert!(renewed.errors.is_empty(), "{:?}", renewed.errors);
        assert_eq!(renewed.renewed.0 + spent, PRODUCT_CREDITS);
        // The lists of what was renewed, before its epoch is past.
        wait(&network, 1).await;
        network.vendor.issuer().unwrap().drop_past().await.unwrap();
    }
    let wallet = restore(&network, "found", &seed, &["--fast"]).await;
    wait(&network, 1).await;
    // One epoch after the other.
    for _ in 0..3 {
        look(&wallet).await;
        recover(&wallet).await;
    }
    look(&wallet).await;
    let balance = wallet.balance().await.unwrap();
    assert_eq!(balance.in_doubt.0 + spent, PRODUCT_CREDITS);
    wait(&network, 8).await;
    look(&wallet).await;
    assert_eq!(wallet.balance().await.unwrap().spendable.0 + spent, PRODUCT_CREDITS);
    spend_all(&network, &wallet).await;
    redeem(&network, 0..2).await;
    books_are_closed(&network, 1).await;
}

/// Where no lists can be had, doubt lasts, and what would expire is renewed.
#[tokio::test(flavor = "multi_thread")]
async fn without_lists_doubt_lasts_until_the_renewal() {
    let network = Network::start().await.unwrap();
    let seed = [44; 32];
    let lost = network.wallet_of_seed("lost", seed).await.unwrap();
    buy(&network, &lost).await;
    let spent = spend(&network, &lost, 0, 30).await;
    redeem(&network, 0..2).await;
    let wallet = restore(&network, "found", &seed, &["--fast"]).await;
    let first = network.vendor.issuer().unwrap().manifest().epochs()[0].windows;
    go_to(&network, first.renew_from.plus(60)).await;
    let waiting = renew(&wallet).await;
    assert_eq!((waiting.waiting.0, waiting.certificates), (PRODUCT_CREDITS, 0));
    go_to(&network, first.spend_until.minus(7 * DAY)).await;
    let renewed = renew(&wallet).await;
    assert_eq!(renewed.renewed.0 + spent, PRODUCT_CREDITS, "{renewed:?}");
    assert_eq!(renewed.spent_elsewhere.0, spent);
    // An earlier life may have had them renewed; the lists of the days that follow say whether.
    assert_eq!(wallet.balance().await.unwrap().spendable, Credits(0));
    wait(&network, 1).await;
    look(&wallet).await;
    wait(&network, 8).await;
    look(&wallet).await;
    assert_eq!(spend_all(&network, &wallet).await + spent, PRODUCT_CREDITS);
    redeem(&network, 0..2).await;
    books_are_closed(&network, 1).await;
}

/// The old wallet is not lost after all, and both go on.
#[tokio::test(flavor = "multi_thread")]
async fn two_wallets_of_one_seed_lose_nothing_in_silence() {
    let network = Network::start().await.unwrap();
    let seed = [45; 32];
    let old = network.wallet_of_seed("old", seed).await.unwrap();
    buy(&network, &old).await;
    let new = restore(&network, "new", &seed, &["--fast"]).await;
    wait(&network, 1).await;
    look(&new).await;
    wait(&network, 8).await;
    look(&new).await;
    assert_eq!(new.balance().await.unwrap().spendable, Credits(PRODUCT_CREDITS));
    let spent = spend(&network, &old, 0, 45).await;
    redeem(&network, 0..2).await;
    // In the window the new one learns what the old one has spent, with a proof; and the old one what the new one has renewed.
    let first = network.vendor.issuer().unwrap().manifest().epochs()[0].windows;
    go_to(&network, first.renew_from.plus(60)).await;
    let renewed = renew(&new).await;
    assert_eq!(renewed.spent_elsewhere, Credits(spent));
    assert_eq!(renewed.renewed.0 + spent, PRODUCT_CREDITS);
    spend_all(&network, &new).await;
    redeem(&network, 0..2).await;
    // What the new one has spent, the old one does not know: it knows of no other life of its seed. Its next payment shows it.
    let late = renew(&old).await;
    assert!(late.errors.is_empty(), "{:?}", late.errors);
    assert_eq!(old.balance().await.unwrap().spendable.0 + spent, PRODUCT_CREDITS);
    books_are_closed(&network, 1).await;
}

/// A copy spends what was renewed: the relay takes it offline, and its lease ends with a proof like every other.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_paid_with_a_renewed_certificate_gets_a_proof() {
    let network = Network::start().await.unwrap();
    network.funded_wallet("alice", 1).await.unwrap().close().await.unwrap();
    let copy = network.copy_wallet("alice", "copy").await.unwrap();
    let alice = network.open_wallet("alice").await.unwrap();
    let first = network.vendor.issuer().unwrap().manifest().epochs()[0].windows;
    go_to(&network, first.renew_from.plus(60)).await;
    let renewed = renew(&alice).await;
    assert_eq!(renewed.renewed, Credits(PRODUCT_CREDITS));
    spend(&network, &copy, 0, 30).await;
    let redeemed = network.relays[0].relay().unwrap().redeem_now().await.unwrap();
    assert_eq!((redeemed.accepted, redeemed.double_spent), (0, 1));
    let lease = copy.check_leases(None).await.unwrap().remove(0);
    assert!(!lease.live && lease.conflicts[0].proven, "{lease:?}");
    assert_eq!(spend_all(&network, &alice).await, PRODUCT_CREDITS);
    redeem(&network, 0..2).await;
    let status = network.vendor.issuer().unwrap().status().await.unwrap();
    assert_eq!(status.credits_redeemed, Credits(PRODUCT_CREDITS));
}
