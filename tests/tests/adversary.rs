//! The adversaries that other tests use: that they see what there is to see, and that their lies arrive.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use scrip_protocol::problem::ProblemType;
use scrip_tests::adversary::keys::{keys_among, keys_shown};
use scrip_tests::adversary::shape::{difference, steps};
use scrip_tests::adversary::{Act, Answer, Stage, send};
use scrip_tests::network::{PRODUCT, PRODUCT_CREDITS, Plan};
use scrip_wallet::NewQueue;

fn queue(stage: &Stage) -> NewQueue {
    let relay = Some(stage.network.relays[0].address().clone());
    NewQueue { relay, days: 30, ..NewQueue::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn adversaries_find_the_certificates_of_a_payment_wherever_it_goes() {
    let stage = Stage::set(Plan::default()).await.unwrap();
    let wallet = stage.network.funded_wallet("alice", 1).await.unwrap();
    let bought = stage.recording.mark();
    assert!(stage.keys_at_the_vendor(0).unwrap().is_empty(), "a purchase shows no certificate");
    wallet.create_queue(queue(&stage)).await.unwrap();
    stage.network.redeem_all().await.unwrap();

    let manifest = stage.manifest().unwrap();
    let paid = keys_shown(&stage.recording.of("relay-0"), &manifest);
    let redeemed = keys_shown(&stage.recording.of(stage.redeeming.name()), &manifest);
    assert!(!paid.is_empty());
    assert_eq!(paid, redeemed, "what was paid is what was redeemed");
    assert_eq!(keys_among(&stage.recording.of("relay-0"), &paid), paid);
    assert!(stage.keys_at_the_vendor(0).unwrap().is_empty());

    let all = stage.recording.since(bought);
    assert!(all.iter().all(|exchange| exchange.truth == exchange.told && exchange.told.is_some()));
    assert!(all.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
    let (alice, whole) = (steps(&all), steps(&stage.recording.all()));
    assert_eq!(difference(&alice, &alice), None);
    assert!(difference(&alice, &whole).unwrap().starts_with("step 0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn adversaries_answer_what_they_like_and_repeat_what_they_saw() {
    let stage = Stage::set(Plan { relays: 1, ..Plan::default() }).await.unwrap();
    let wallet = stage.network.wallet("alice").await.unwrap();
    let voucher = stage.network.vendor.voucher(PRODUCT).await.unwrap();
    stage.selling.lie(|request| match request.is("POST", "/v1/grants") {
        true => Act::Instead(Answer::problem(ProblemType::VoucherUsed)),
        false => Act::Honest,
    });
    let error = wallet.buy(&voucher).await.unwrap_err();
    assert!(error.to_string().contains(ProblemType::VoucherUsed.title()), "{error}");

    // The answer that gets lost, and the one that is changed in one field.
    stage.selling.lie(|request| match request.is("POST", "/v1/issuance") {
        true => Act::LoseAnswer,
        false => Act::Honest,
    });
    let other = stage.network.vendor.voucher(PRODUCT).await.unwrap();
    assert!(wallet.buy(&other).await.is_err());
    let lost = stage.recording.all().pop().unwrap();
    assert!(lost.truth.is_some() && lost.told.is_none());
    let again = send(stage.selling.target(), &lost.request).await.unwrap();
    assert_eq!((again.status, again.body), (200, lost.truth.unwrap().body), "as it was answered");
    stage.be_honest();
    wallet.resume(scrip_wallet::Doubtful::Keep).await.unwrap();
    assert_eq!(wallet.balance().await.unwrap().spendable.0, PRODUCT_CREDITS);

    stage.relays[0].lie(|request| match request.is("GET", "/v1/relay") {
        true => Act::rewrite(|truth| truth.with_json(|info| info["name"] = "another".into())),
        false => Act::Honest,
    });
    assert!(wallet.add_relay(stage.network.relays[0].address()).await.is_err(), "it is signed");
    let lie = stage.recording.all().pop().unwrap().told.unwrap();
    assert!(String::from_utf8_lossy(&lie.body).contains("another"));
}
