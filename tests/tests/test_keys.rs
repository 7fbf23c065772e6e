//! A purchase in a store's test environment, from the grant to the books: certificates that pay at a relay for tests, nowhere else,
//! and are money to nobody.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use scrip_issuer::Pack;
use scrip_issuer::sources::TransactionId;
use scrip_issuer::store::{GrantRow, NewPurchase, PurchaseRecorded};
use scrip_protocol::credits::{Credits, Exponent};
use scrip_protocol::seed::WalletSeed;
use scrip_tests::network::{Network, PRODUCT, PRODUCT_CREDITS, Plan, START};
use scrip_wallet::{NewQueue, Wallet, WalletError};

const SEED: [u8; 32] = [9; 32];

/// Records what a sandbox purchase by the wallet of [`SEED`] would leave at the vendor.
async fn buy_in_the_sandbox(network: &Network) {
    let secret = WalletSeed::from_bytes(SEED).grant_secret(&network.vendor.address().id, 0);
    let counts = (0..=4).filter_map(Exponent::new).map(|exponent| (exponent, 2));
    let pack = Pack::new(counts).unwrap();
    let purchase = NewPurchase {
        source: "sandbox",
        transaction: TransactionId::new(b"1"),
        grant_id: secret.grant_id(),
        grant: GrantRow { test: true, ..GrantRow::new(PRODUCT, pack) },
        day: START.day(),
        account: None,
        order: None,
        settles: false,
        parent: None,
        budget: None,
        reseller: None,
        lapsed: false,
    };
    let store = network.vendor.issuer().unwrap().store();
    let recorded = store.record_purchase(&purchase).await.unwrap();
    assert!(matches!(recorded, PurchaseRecorded::Granted(..)));
}

async fn queue_at(wallet: &Wallet, network: &Network, relay: usize) -> Result<(), WalletError> {
    let relay = Some(network.relays[relay].address().clone());
    wallet.create_queue(NewQueue { relay, days: 30, ..NewQueue::default() }).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_purchase_is_worth_something_at_test_relays_only() {
    let plan = Plan { test_keys: true, ..Plan::default() };
    let mut network = Network::planned(plan).await.unwrap();
    let relay = &mut network.relays[1];
    relay.stop().await.unwrap();
    relay.config().vendors[0].accept_test = true;
    relay.start().await.unwrap();
    let wallet = network.wallet_of_seed("tester", SEED).await.unwrap();
    buy_in_the_sandbox(&network).await;
    let restored = wallet.restore(1).await.unwrap();
    assert_eq!((restored.purchases, restored.newly_issued), (1, Credits(0)));
    let balance = wallet.balance().await.unwrap();
    assert_eq!((balance.spendable, balance.test), (Credits(0), Credits(PRODUCT_CREDITS)));

    // Nothing pays with them unasked, and no production relay is offered them.
    for relay in 0..2 {
        let refused = queue_at(&wallet, &network, relay).await;
        assert!(matches!(refused, Err(WalletError::Shortage(_))), "{refused:?}");
    }
    wallet.pay_with_test_certificates(true);
    let refused = queue_at(&wallet, &network, 0).await;
    assert!(matches!(refused, Err(WalletError::TestNotTaken(_))), "{refused:?}");
    queue_at(&wallet, &network, 1).await.unwrap();
    // The cheapest is the one that takes them.
    wallet.create_queue(NewQueue { days: 30, ..NewQueue::default() }).await.unwrap();
    let balance = wallet.balance().await.unwrap();
    assert_eq!((balance.spendable, balance.test), (Credits(0), Credits(PRODUCT_CREDITS - 4)));

    // With them there is no real money to pay with, and with that no test certificate.
    wallet.buy(&network.vendor.voucher(PRODUCT).await.unwrap()).await.unwrap();
    wallet.pay_with_test_certificates(false);
    queue_at(&wallet, &network, 1).await.unwrap();
    let balance = wallet.balance().await.unwrap();
    assert_eq!(balance.spendable, Credits(PRODUCT_CREDITS - 2));
    assert_eq!(balance.test, Credits(PRODUCT_CREDITS - 4));

    network.redeem_all().await.unwrap();
    let status = network.vendor.issuer().unwrap().status().await.unwrap();
    assert_eq!(status.credits_issued, Credits(PRODUCT_CREDITS));
    assert_eq!((status.credits_redeemed, status.test_credits_redeemed), (Credits(2), Credits(4)));
    let owed: u64 = status.operators.iter().map(|operator| operator.credits.0).sum();
    assert_eq!(owed, 2);
    let relay = network.relays[1].relay().unwrap().verifier().status().await.unwrap();
    let vendor = &relay.vendors[0];
    assert_eq!((vendor.accepted, vendor.unredeemed), (Credits(2), Credits(0)));
    assert!(vendor.test_certificates > 0);
    wallet.close().await.unwrap();

    // The words bring them back, and as no money.
    let again = network.wallet_of_seed("again", SEED).await.unwrap();
    assert_eq!(again.restore(1).await.unwrap().in_doubt, Credits(PRODUCT_CREDITS));
    let balance = again.balance().await.unwrap();
    assert_eq!(
        (balance.in_doubt, balance.test),
        (Credits(PRODUCT_CREDITS), Credits(PRODUCT_CREDITS))
    );
}
