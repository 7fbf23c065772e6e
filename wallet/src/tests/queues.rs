use scrip_protocol::{problem::ProblemType, time::SECONDS_PER_DAY};
use scrip_runtime::steps::Steps;

use crate::{
    Doubtful, NewQueue, WalletError, When,
    link::QueueLink,
    send_to_queue,
    testing::{Fault, World},
};

async fn send(world: &World, link: &str, text: &str) -> Result<(), WalletError> {
    let link: QueueLink = link.parse().unwrap();
    let environment = world.environment(Steps::none());
    let network =
        crate::net::Network::new(environment.network.clone(), environment.entropy.clone());
    send_to_queue(&link, text.as_bytes(), &network, &environment).await
}

fn named(name: &str) -> NewQueue {
    NewQueue { name: Some(name.to_owned()), days: 30, ..NewQueue::default() }
}

#[tokio::test]
async fn messages_arrive_in_order_and_once() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    let queue = wallet.create_queue(named("inbox")).await.unwrap();
    world.relays[0].faults.add("POST /v1/queues/", Fault::DoneAndLost);
    for text in ["first", "second"] {
        send(&world, &queue.link, text).await.unwrap();
    }
    let mailbox = wallet.mailbox("inbox").await.unwrap();
    let mut texts = Vec::new();
    while let Some(message) = mailbox.next().await.unwrap() {
        let again = mailbox.next().await.unwrap().unwrap();
        assert_eq!(again.id, message.id, "it stays until it is acknowledged");
        texts.push(String::from_utf8(message.text.unwrap()).unwrap());
        mailbox.acknowledge(&message.id).await.unwrap();
    }
    assert_eq!(texts, ["first", "second"]);
}

#[tokio::test]
async fn a_deleted_queue_is_gone_and_its_name_free() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    let queue = wallet.create_queue(named("inbox")).await.unwrap();
    assert!(matches!(wallet.create_queue(named("inbox")).await, Err(WalletError::NameTaken(_))));
    wallet.delete_queue("inbox").await.unwrap();
    let error = send(&world, &queue.link, "late").await.unwrap_err();
    assert_eq!(error.problem(), Some(ProblemType::LeaseEnded));
    assert!(matches!(wallet.mailbox("inbox").await, Err(WalletError::Unknown { .. })));
    wallet.create_queue(named("inbox")).await.unwrap();
    assert_eq!(wallet.queues().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_lease_is_extended_by_its_name() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    let queue = wallet.create_queue(named("inbox")).await.unwrap();
    let extended = wallet.extend("inbox", 60, Doubtful::Keep, false, When::InTime).await.unwrap();
    assert_eq!(extended[0].until, queue.until.plus(60 * SECONDS_PER_DAY));
    assert_eq!(wallet.leases(Some("inbox")).await.unwrap()[0].until, extended[0].until);
    assert_eq!(world.taken(), 6);
    assert!(matches!(
        wallet.extend("nothing", 1, Doubtful::Keep, false, When::InTime).await,
        Err(WalletError::Unknown { .. })
    ));
}

#[tokio::test]
async fn a_false_claim_of_a_double_spend_is_seen_through() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    let queue = wallet.create_queue(named("inbox")).await.unwrap();
    let before = wallet.check_leases(None).await.unwrap();
    assert!(before[0].live && before[0].conflicts.is_empty());
    world.relays[0].slander(&queue.lease);
    let after = wallet.check_leases(Some("inbox")).await.unwrap();
    assert!(!after[0].live);
    assert_eq!(after[0].conflicts.len(), 1);
    assert!(!after[0].conflicts[0].proven);
    assert_eq!(wallet.leases(None).await.unwrap()[0].conflicts, after[0].conflicts, "kept");
}

#[tokio::test]
async fn a_queue_whose_time_is_over_is_not_live_and_its_name_is_free() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    wallet.create_queue(NewQueue { days: 1, ..named("inbox") }).await.unwrap();
    let until = wallet.queues().await.unwrap()[0].until;
    world.clock.advance(until.0 - crate::testing::START.0);
    assert!(!wallet.queues().await.unwrap()[0].live);
    assert!(matches!(wallet.mailbox("inbox").await, Err(WalletError::Unknown { .. })));
    wallet.create_queue(named("inbox")).await.unwrap();
    wallet.mailbox("inbox").await.unwrap();
    let extended = wallet.leases(Some("inbox")).await.unwrap();
    assert_eq!(extended.len(), 1, "the name means the one that lives");
}

#[tokio::test]
async fn a_check_beside_an_extension_takes_nothing_back() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    let queue = wallet.create_queue(named("inbox")).await.unwrap();
    for _ in 0..3 {
        let before = wallet.leases(None).await.unwrap()[0].until;
        let (checked, extended, again) = tokio::join!(
            wallet.check_leases(None),
            wallet.extend("inbox", 30, Doubtful::Keep, false, When::InTime),
            wallet.check_leases(None),
        );
        checked.unwrap();
        again.unwrap();
        let until = extended.unwrap()[0].until;
        assert!(until > before);
        let kept = &wallet.leases(None).await.unwrap()[0];
        assert_eq!((kept.lease, kept.until), (queue.lease, until));
    }
    assert_eq!(wallet.leases(None).await.unwrap()[0].paid.0, world.taken());
}
