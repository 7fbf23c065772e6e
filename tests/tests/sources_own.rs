//! Sources that need nobody but the vendor: the free allowance, and second parts; with the wallet, from end to end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use scrip_issuer::Config;
use scrip_issuer::config::{Product, ProductRest};
use scrip_issuer::sources::{FreeConfig, TransactionId};
use scrip_issuer::store::Refund;
use scrip_protocol::credits::Credits;
use scrip_protocol::problem::ProblemType;
use scrip_protocol::purchase::FREE;
use scrip_runtime::clock::Clock;
use scrip_runtime::config::HumanDuration;
use scrip_runtime::steps::Steps;
use scrip_tests::network::{Network, PRODUCT, PRODUCT_CREDITS, Plan};
use scrip_wallet::{Doubtful, Entropy, Environment, NewQueue, Wallet, WalletError};

const DAY: u64 = 86_400;
const SEED: [u8; 32] = [42; 32];

/// Gives [`FREE`] away, once in 30 days to each installation: half at once, half after 14 days.
fn gives_away(config: &mut Config) {
    config.sources.free = Some(FreeConfig {
        period: HumanDuration(30 * DAY),
        work: 8,
        credits_per_day: 2 * PRODUCT_CREDITS,
    });
    let pack = config.products[PRODUCT].pack.clone();
    let rest = Some(ProductRest { pack: pack.clone(), after: HumanDuration(14 * DAY) });
    config.products.insert(FREE.into(), Product { pack, rest });
}

async fn network() -> Network {
    Network::planned(Plan { vendor: gives_away, ..Plan::default() }).await.unwrap()
}

fn problem(result: Result<scrip_wallet::Bought, WalletError>) -> Option<ProblemType> {
    result.unwrap_err().problem()
}

/// The keys and the relays so many days later, as running programs would have them.
async fn wait(network: &Network, days: u64) {
    network.clock.advance(days * DAY);
    network.vendor.issuer().unwrap().tend_keys().await.unwrap();
    for relay in &network.relays {
        relay.relay().unwrap().refresh_manifests().await;
    }
}

async fn spendable(wallet: &Wallet) -> u64 {
    wallet.balance().await.unwrap().spendable.0
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowance_is_spent_like_money_and_its_second_part_comes() {
    let network = network().await;
    let wallet = network.wallet_of_seed("ada", SEED).await.unwrap();
    let bought = wallet.buy_free().await.unwrap();
    assert_eq!((bought.product.as_str(), bought.credits.0), (FREE, PRODUCT_CREDITS));
    assert!(matches!(wallet.buy_free().await, Err(WalletError::VoucherUsedHere)));
    assert_eq!(spendable(&wallet).await, PRODUCT_CREDITS, "what was refused leaves nothing");

    let balance = wallet.balance().await.unwrap();
    assert_eq!((balance.later.len(), balance.later[0].credits.0), (1, PRODUCT_CREDITS));
    assert_eq!(balance.later[0].at, network.clock.now().plus(14 * DAY));
    wallet.settle_purchases().await.unwrap();
    assert_eq!(spendable(&wallet).await, PRODUCT_CREDITS, "not before it is due");
    network.clock.advance(14 * DAY);
    assert_eq!(wallet.settle_purchases().await.unwrap().purchases.len(), 1);
    let balance = wallet.balance().await.unwrap();
    assert_eq!((balance.spendable.0, balance.later.len()), (2 * PRODUCT_CREDITS, 0));
    assert!(wallet.settle_purchases().await.unwrap().purchases.is_empty(), "once");

    // Another installation, and the budget of the day.
    let other = network.wallet("bob").await.unwrap();
    other.buy_free().await.unwrap();
    let third = network.wallet("eve").await.unwrap();
    third.buy_free().await.unwrap();
    let fourth = network.wallet("joe").await.unwrap();
    assert_eq!(problem(fourth.buy_free().await), Some(ProblemType::AllowanceExhausted));
    network.clock.advance(DAY);
    fourth.buy_free().await.unwrap();

    // The words alone bring both parts back, and the installation is the same one.
    drop(wallet);
    let restored = network.wallet_of_seed("ada-again", SEED).await.unwrap();
    let found = restored.restore(Wallet::GAP_LIMIT).await.unwrap();
    assert_eq!((found.purchases, found.failed), (2, 0));
    let balance = restored.balance().await.unwrap();
    assert_eq!(balance.in_doubt, Credits(2 * PRODUCT_CREDITS));
    // Fifteen days later it is another period; a copy of the wallet has the same installation.
    restored.buy_free().await.unwrap();
    let copy = network.wallet_of_seed("ada-copied", SEED).await.unwrap();
    assert_eq!(problem(copy.buy_free().await), Some(ProblemType::AllowanceUsed));

    let queue = NewQueue { days: 30, ..NewQueue::default() };
    other.create_queue(queue).await.unwrap();
    network.redeem_all().await.unwrap();
    let status = network.vendor.issuer().unwrap().status().await.unwrap();
    assert!(status.credits_redeemed.0 > 0 && status.credits_issued > status.credits_redeemed);
}

/// The wallet dies at each step of taking its allowance and its second part, and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn an_allowance_survives_a_crash_at_each_step() {
    let network = network().await;
    let steps = [
        "wallet.grant.recorded",
        "wallet.grant.before_send",
        "wallet.grant.after_answer",
        "wallet.grant.stored",
        "wallet.issuance.recorded",
        "wallet.issuance.after_answer",
    ];
    for (number, step) in (0_u8..).zip(steps) {
        let name = format!("wallet-{number}");
        let wallet = network.wallet_of_seed(&name, [100 + number; 32]).await.unwrap();
        wallet.close().await.unwrap();
        wait(&network, 1).await; // a new budget
        let free = |wallet: Wallet| async move {
            wallet.buy_free().await.unwrap();
        };
        dies_at(&network, &name, step, free).await;
        let wallet = network.open_wallet(&name).await.unwrap();
        let resumed = wallet.resume(Doubtful::Keep).await.unwrap();
        assert!(resumed.errors.is_empty(), "{step}: {:?}", resumed.errors);
        assert_eq!(spendable(&wallet).await, PRODUCT_CREDITS, "{step}");

        wait(&network, 14).await;
        network.spread_manifest([&wallet]).await.unwrap();
        wallet.close().await.unwrap();
        let rest = |wallet: Wallet| async move {
            wallet.settle_purchases().await.unwrap();
        };
        dies_at(&network, &name, step, rest).await;
        let wallet = network.open_wallet(&name).await.unwrap();
        let resumed = wallet.resume(Doubtful::Keep).await.unwrap();
        assert!(resumed.errors.is_empty(), "{step}: {:?}", resumed.errors);
        assert_eq!(spendable(&wallet).await, 2 * PRODUCT_CREDITS, "{step}");
    }
    let status = network.vendor.issuer().unwrap().status().await.unwrap();
    assert_eq!(status.credits_issued.0, 2 * 6 * PRODUCT_CREDITS, "nothing was issued twice");
}

/// Runs `work` with the wallet until it reaches `step`, and drops it there with everything that it had begun.
async fn dies_at<F: Future<Output = ()> + Send + 'static>(
    network: &Network,
    name: &str,
    step: &'static str,
    work: impl FnOnce(Wallet) -> F,
) {
    let (reached, mut wait) = tokio::sync::mpsc::unbounded_channel();
    let observer = Steps::observe(move |at| {
        if at == step {
            let _ = reached.send(());
            // What comes after this step does not happen: the task that is here never goes on.
            panic!("died at {step}");
        }
    });
    let environment = Environment {
        steps: observer,
        entropy: Entropy::new(rand_core::OsRng),
        ..network.environment()
    };
    let directory = network.wallet_dir(name);
    let wallet =
        Wallet::open(&directory, scrip_tests::node::passphrase(), environment).await.unwrap();
    let died = tokio::spawn(work(wallet)).await;
    assert!(died.is_err() && wait.recv().await.is_some(), "{step} was not reached");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refunded_voucher_gives_nothing_and_a_used_one_is_a_loss() {
    let network = Network::start().await.unwrap();
    let issuer = network.vendor.issuer().unwrap();
    let wallet = network.wallet("ada").await.unwrap();
    let hash = |code: &str| {
        let code: scrip_issuer::vouchers::VoucherCode = code.parse().unwrap();
        TransactionId::new(code.hash())
    };
    let (before, after) = (
        network.vendor.voucher(PRODUCT).await.unwrap(),
        network.vendor.voucher(PRODUCT).await.unwrap(),
    );
    assert_eq!(issuer.refund("voucher", &hash(&before), false).await.unwrap(), Refund::Noted);
    assert_eq!(problem(wallet.buy(&before).await), Some(ProblemType::PurchaseRefunded));
    wallet.buy(&after).await.unwrap();
    assert_eq!(issuer.refund("voucher", &hash(&after), false).await.unwrap(), Refund::Lost);
    assert_eq!(spendable(&wallet).await, PRODUCT_CREDITS, "certificates cannot be told apart");
    let losses = issuer.store().losses().await.unwrap();
    assert_eq!(losses[0].credits.0, PRODUCT_CREDITS);
}
