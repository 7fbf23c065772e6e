//! Everybody can see that a running vendor's books add up, and nobody sees how much it sells.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use scrip_auditor::solvency::{CheckError, Shown, check};
use scrip_auditor::source::{DirectoryLedger, HttpLedger, Ledger};
use scrip_protocol::tlog::policy::WitnessPolicy;
use scrip_runtime::client::ClientOptions;
use scrip_tests::network::Network;
use scrip_wallet::NewQueue;

async fn check_at(network: &Network, ledger: &dyn Ledger) -> Result<Shown, CheckError> {
    let vendor = network.vendor.address().id;
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    check(ledger, &vendor, &WitnessPolicy::none(), &mut rng).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sold_and_redeemed_adds_up_in_public() {
    let network = Network::start().await.unwrap();
    let files = DirectoryLedger::new(network.dir().join("issuer").join("ledger"));
    let base = format!("http://{}/ledger", network.vendor.listens_at());
    let http = HttpLedger::new(&base, None, ClientOptions::default()).unwrap();
    let wallet = network.funded_wallet("alice", 2).await.unwrap();
    let issuer = network.vendor.issuer().unwrap();
    for relay in &network.relays {
        let relay = Some(relay.address().clone());
        let queue = NewQueue { days: 30, relay, ..NewQueue::default() };
        wallet.create_queue(queue).await.unwrap();
    }
    network.redeem_all().await.unwrap();

    let proven = issuer.prove_solvency().await.unwrap();
    let shown = check_at(&network, &http).await.unwrap();
    assert_eq!(shown.size, proven.size);
    assert_eq!(shown.settled_until, None, "nobody has a statement yet");
    let [epoch] = shown.epochs[..] else { panic!("{shown:?}") };
    assert!(epoch.issued >= 1 && epoch.voided == 2 && epoch.settled == 0, "{epoch:?}");
    let from_files = check_at(&network, &files).await.unwrap();
    let as_of = |now: &Shown| Shown { ledger_size: shown.ledger_size, ..now.clone() };
    assert_eq!(as_of(&from_files), shown, "the files say the same");

    // The books go on, and the proof of before still counts.
    wallet.create_queue(NewQueue { days: 30, ..NewQueue::default() }).await.unwrap();
    network.redeem_all().await.unwrap();
    let later = check_at(&network, &http).await.unwrap();
    assert_eq!(as_of(&later), shown);
    assert!(later.lag() > 0, "and it says that it is of before: {later:?}");
    let again = issuer.prove_solvency().await.unwrap();
    assert!(again.size > shown.size);
    assert_eq!(check_at(&network, &http).await.unwrap().size, again.size);
}
