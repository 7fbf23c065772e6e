//! After a crash: reservations whose payment was provisioned are committed, the others released.

use std::sync::Mutex;

use scrip_runtime::steps::Steps;

use super::{server::Mood, *};
use crate::{Risk, testing::Behaviour, verifier::Recovered};

#[tokio::test]
async fn reservations_are_settled_by_what_the_server_knows() {
    let world = World::new().await;
    let (done, undone) = (world.certificate(2), world.certificate(2));
    let provisioned = world.payment(&[&done], b"done");
    world.server.feel(Mood::ProvisionsAndFails);
    world.pay(&provisioned).await;
    world.server.feel(Mood::Panics);
    world.pay(&world.payment(&[&undone], b"undone")).await;
    assert_eq!(world.unredeemed().await, Credits(8));

    let world = world.restart().await;
    world.server.feel(Mood::Provisions);
    let recovered = world.verifier.recover(&*world.server).await.unwrap();
    assert_eq!(recovered, Recovered { committed: 1, released: 1, kept: 0 });
    assert_eq!(world.unredeemed().await, Credits(4));
    let calls = world.server.calls.lock().unwrap().len();
    assert_eq!(world.pay(&provisioned).await.status, 201);
    assert_eq!(world.server.calls.lock().unwrap().len(), calls, "answered from the store");
    assert_eq!(world.pay(&world.payment(&[&undone], b"other")).await.status, 201);
    let again = world.verifier.recover(&*world.server).await.unwrap();
    assert_eq!(again, Recovered::default());
}

#[tokio::test]
async fn a_reservation_of_the_future_is_settled_too() {
    let world = World::new().await;
    world.server.feel(Mood::Panics);
    world.pay(&world.payment(&[&world.certificate(2)], b"undone")).await;
    world.clock.set(world.verifier.now().minus(86_400));
    let world = world.restart().await;
    let recovered = world.verifier.recover(&*world.server).await.unwrap();
    assert_eq!(recovered.released, 1);
}

/// The vendor may have recorded the spend: to call the certificates free would send the wallet into a double spend.
#[tokio::test]
async fn a_payment_that_was_shown_to_the_vendor_is_kept() {
    let world = World::with(|config| config.vendors[0].risk = Risk::OnlineAbove(Credits(3))).await;
    let payment = world.payment(&[&world.certificate(2)], b"r");
    world.link.behave(Behaviour::LosesAnswer);
    let answer = world.pay(&payment).await;
    assert_eq!(answer.problem_type(), Some(ProblemType::VendorUnreachable));
    let world = world.restart().await;
    let recovered = world.verifier.recover(&*world.server).await.unwrap();
    assert_eq!(recovered, Recovered { committed: 0, released: 0, kept: 1 });
    world.link.behave(Behaviour::Answers);
    assert_eq!(world.pay(&payment).await.status, 201);
    assert_eq!(world.vendor.spent_count(), 1);
}

#[tokio::test]
async fn what_is_being_worked_on_is_left_alone() {
    let world = Arc::new(World::new().await);
    let payment = world.payment(&[&world.certificate(2)], b"r");
    let closed = world.server.gate.acquire_many(1_000).await.unwrap();
    let call = tokio::spawn({
        let (world, payment) = (Arc::clone(&world), payment.clone());
        async move { world.pay(&payment).await }
    });
    while world.sqlite.reserved(world.verifier.now()).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let recovered = world.verifier.recover(&*world.server).await.unwrap();
    assert_eq!(recovered, Recovered::default());
    drop(closed);
    assert_eq!(call.await.unwrap().status, 201);
}

#[tokio::test]
async fn durable_steps_are_announced_in_order() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let world = World::new().await;
    let (mut environment, _clock) = environment(&world.link);
    environment.steps = Steps::observe(move |step| sink.lock().unwrap().push(step));
    let config = config(world.dir.path(), [&world.vendor]);
    let store: Arc<dyn SpentStore> = Arc::<FaultyStore>::clone(&world.store);
    let verifier = Verifier::with_store(config, environment, store).unwrap();
    let world = World { verifier, ..world };
    world.pay(&world.payment(&[&world.certificate(2)], b"r")).await;
    world.redeemer(Schedule::default()).redeem_now().await.unwrap();
    let expected = [
        "verifier.reserve.before",
        "verifier.reserve.after",
        "verifier.provision.before",
        "verifier.provision.after",
        "verifier.commit.before",
        "verifier.commit.after",
        "redeemer.batch.before",
        "redeemer.batch.persisted",
        "redeemer.batch.sending",
        "redeemer.answer.received",
        "redeemer.answer.recorded",
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}
