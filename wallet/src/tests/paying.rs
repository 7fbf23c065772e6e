use std::time::Duration;

use scrip_protocol::{
    credits::Credits,
    problem::{Problem, ProblemType},
    time::SECONDS_PER_DAY,
};

use crate::{
    Doubtful, HistoryKind, NewQueue, Shortage, WalletError, When,
    net::Route,
    testing::{FakeVendor, Fault, World, copy_directory},
};

fn queue(days: u16) -> NewQueue {
    NewQueue { days, ..NewQueue::default() }
}

fn problem(problem: ProblemType) -> Fault {
    Fault::Problem(Problem::new(problem))
}

fn after(paid: u64) -> Credits {
    Credits(FakeVendor::pack_value().0 - paid)
}

#[tokio::test]
async fn a_queue_costs_its_price() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    let made = wallet.create_queue(queue(30)).await.unwrap();
    assert_eq!(made.until, crate::testing::START.plus(30 * SECONDS_PER_DAY));
    assert_eq!(wallet.balance().await.unwrap().spendable, after(2));
    assert_eq!(world.taken(), 2);
}

#[tokio::test]
async fn a_lost_receipt_is_fetched_with_the_same_bytes() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    for _ in 0..3 {
        world.relays[0].faults.add("POST /v1/queues", Fault::DoneAndLost);
    }
    let error = wallet.create_queue(queue(30)).await.unwrap_err();
    assert!(matches!(error, WalletError::PaymentOpen { .. }), "{error}");
    let balance = wallet.balance().await.unwrap();
    assert_eq!((balance.spendable, balance.in_flight), (after(2), Credits(2)));
    let resumed = wallet.resume(Doubtful::Keep).await.unwrap();
    assert_eq!((resumed.leases.len(), resumed.errors.len()), (1, 0));
    assert_eq!((world.leases(), world.taken()), (1, 2));
    assert_eq!(wallet.balance().await.unwrap().in_flight, Credits::ZERO);
    assert_eq!(wallet.queues().await.unwrap().len(), 1);
}

#[tokio::test]
async fn only_a_signed_promise_frees_certificates() {
    let world = World::new(1).await;
    let (wallet, relay) = (world.funded("wallet").await, &world.relays[0]);
    // Each that stays open takes the wallet a while.
    for found in ProblemType::ALL.iter().copied().step_by(3) {
        wallet.buy(&format!("GOOD-{}", found.name())).await.unwrap();
        for _ in 0..3 {
            relay.faults.add("POST /v1/queues", problem(found));
        }
        let error = wallet.create_queue(queue(30)).await.unwrap_err();
        assert!(matches!(error, WalletError::PaymentOpen { .. }), "{found:?}");
        assert_eq!(error.to_string().contains("not signed"), found.nothing_taken(), "{error}");
        assert_eq!(wallet.balance().await.unwrap().in_flight, Credits(2), "{found:?}");
        assert_eq!(wallet.resume(Doubtful::Keep).await.unwrap().leases.len(), 1);
        if !found.nothing_taken() {
            continue;
        }
        relay.refuse_next(found);
        let error = wallet.create_queue(queue(30)).await.unwrap_err();
        assert!(matches!(error, WalletError::PaymentRefused { .. }), "{found:?}");
        let balance = wallet.balance().await.unwrap();
        assert_eq!((balance.in_flight, balance.in_doubt), (Credits::ZERO, Credits::ZERO));
        assert_eq!((balance.seen.len(), balance.seen[0].credits), (1, Credits(2)), "{found:?}");
        // They pay the relay that saw them, and before others.
        wallet.create_queue(queue(30)).await.unwrap();
        assert_eq!(wallet.balance().await.unwrap().seen, []);
    }
}

#[tokio::test]
async fn what_a_relay_saw_pays_there_or_after_its_renewal() {
    let world = World::new(2).await;
    let wallet = world.funded("wallet").await;
    let at = |relay: usize| NewQueue {
        relay: Some(world.relays[relay].address()),
        accept_excess: true,
        ..queue(30)
    };
    let all = wallet.balance().await.unwrap().spendable;
    world.relays[0].refuse_next(ProblemType::StorageFull);
    wallet.create_queue(at(0)).await.unwrap_err();
    let balance = wallet.balance().await.unwrap();
    assert_eq!(balance.seen[0].relay, world.relays[0].address().authority);
    assert_eq!((balance.spendable.0, balance.seen[0].credits.0), (all.0 - 2, 2));
    // Nothing else is left: the other relay is not shown it.
    let error = loop {
        if let Err(error) = wallet.create_queue(at(1)).await {
            break error;
        }
    };
    assert!(matches!(error, WalletError::Shortage(Shortage::OnlySeen { .. })), "{error}");
    assert!(error.remedy().contains("--even-seen"), "{}", error.remedy());
    assert_eq!(wallet.balance().await.unwrap().seen[0].credits, Credits(2));
    wallet.close().await.unwrap();
    let wallet = world.open("wallet").await;
    assert!(wallet.create_queue(at(1)).await.unwrap_err().is_shortage());
    wallet.pay_with_seen_certificates(true);
    wallet.create_queue(at(1)).await.unwrap();
    assert_eq!(wallet.balance().await.unwrap().seen, []);

    let world = World::new(2).await;
    let wallet = world.funded("wallet").await;
    world.relays[0].refuse_next(ProblemType::StorageFull);
    wallet
        .create_queue(NewQueue { relay: Some(world.relays[0].address()), ..queue(30) })
        .await
        .unwrap_err();
    world.vendor.set_version(10, "vendor.test");
    world.clock.advance(101 * SECONDS_PER_DAY);
    wallet.look_now().await.unwrap();
    wallet.renew(Doubtful::Keep).await.unwrap();
    let balance = wallet.balance().await.unwrap();
    assert_eq!((balance.seen, balance.spendable), (Vec::new(), all), "nobody has seen these");
}

#[tokio::test]
async fn a_payment_that_never_left_binds_nothing() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    let gone = scrip_protocol::address::RelayAddress {
        authority: "127.0.0.1:1".to_owned(),
        ..world.relays[0].address()
    };
    let new = NewQueue { relay: Some(gone), ..queue(30) };
    assert!(matches!(wallet.create_queue(new).await, Err(WalletError::Call { .. })));
    assert_eq!(wallet.balance().await.unwrap().spendable, after(0));
}

#[tokio::test]
async fn a_copy_of_the_wallet_learns_of_the_double_spend_with_a_proof() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    copy_directory(&world.path("wallet"), &world.path("copy"));
    let copy = world.open("copy").await;
    wallet.create_queue(queue(30)).await.unwrap();
    let error = copy.create_queue(queue(30)).await.unwrap_err();
    assert_eq!(error.problem(), Some(ProblemType::CertificateSpent));
    // The proof names the certificate: that one is gone, and nothing else is in doubt.
    let balance = copy.balance().await.unwrap();
    assert_eq!((balance.in_doubt, balance.in_flight), (Credits::ZERO, Credits::ZERO));
    assert_eq!(balance.spendable, after(2));
    copy.create_queue(queue(30)).await.unwrap();
    assert_eq!(world.leases(), 2);
}

#[tokio::test]
async fn a_draft_is_a_payment_and_changes_nothing() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    let relay = &world.relays[0];
    let request = scrip_protocol::resource::ResourceRequest {
        days: 30,
        kind: scrip_protocol::resource::ResourceKind::Queue {
            recipient_key: scrip_protocol::keys::SigningKey::from_seed(&[1; 32]).public(),
            sender_key: scrip_protocol::keys::SigningKey::from_seed(&[2; 32]).public(),
        },
    };
    let (id, bytes) = (relay.id(), request.encode());
    let draft = wallet.draft_payment(&id, &bytes, Credits(2), Doubtful::Keep).await.unwrap();
    assert_eq!(wallet.balance().await.unwrap().spendable, after(0));
    let clock = std::sync::Arc::new(world.clock.clone());
    let client = wallet.network().await.relay(&relay.address(), clock).unwrap();
    let receipt = client.pay(Route::Queues, &draft.encode()).await.unwrap();
    assert!(!receipt.is_empty());
    assert_eq!(client.pay(Route::Queues, &draft.encode()).await.unwrap(), receipt);
}

#[tokio::test]
async fn too_little_money_is_said_so() {
    let world = World::new(1).await;
    let wallet = world.create("wallet").await;
    wallet.add_relay(&world.relays[0].address()).await.unwrap();
    let error = wallet.create_queue(queue(30)).await.unwrap_err();
    assert!(error.is_shortage() && error.remedy().contains("scrip buy"), "{error}");
    let error = wallet.create_queue(queue(401)).await.unwrap_err();
    assert!(matches!(error, WalletError::Days { most: 400, .. }), "{error}");
}

#[tokio::test]
async fn expired_certificates_are_not_spent() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    world.clock.advance(129 * SECONDS_PER_DAY);
    let balance = wallet.balance().await.unwrap();
    assert_eq!(balance.expiring.iter().map(|one| one.credits.0).sum::<u64>(), 50);
    world.clock.advance(2 * SECONDS_PER_DAY);
    let balance = wallet.balance().await.unwrap();
    assert_eq!((balance.spendable, balance.expired), (Credits::ZERO, after(0)));
    assert!(wallet.create_queue(queue(1)).await.unwrap_err().is_shortage());
}

#[tokio::test]
async fn a_day_old_payment_that_never_arrived_is_free_again() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    for _ in 0..3 {
        world.relays[0].faults.add("POST /v1/queues", Fault::NotDone);
    }
    assert!(wallet.create_queue(queue(30)).await.is_err());
    world.clock.advance(3 * SECONDS_PER_DAY);
    let resumed = wallet.resume(Doubtful::Keep).await.unwrap();
    assert_eq!(resumed.errors[0].problem(), Some(ProblemType::DayOutOfRange));
    let balance = wallet.balance().await.unwrap();
    assert_eq!((balance.spendable, balance.seen[0].credits), (after(2), Credits(2)));
    let states: Vec<&str> = wallet
        .history()
        .await
        .unwrap()
        .iter()
        .map(|entry| match entry.kind {
            HistoryKind::Purchase { state, .. } | HistoryKind::Payment { state, .. } => state,
        })
        .collect();
    assert_eq!(states, ["issued", "returned"]);
}

#[tokio::test]
async fn concurrent_payments_share_no_certificate() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    let payments = (0..10).map(|n| {
        let wallet = &wallet;
        async move {
            let name = Some(format!("q{n}"));
            wallet.create_queue(NewQueue { name, accept_excess: true, ..queue(30) }).await
        }
    });
    let made = futures_util::future::join_all(payments).await;
    assert!(made.iter().all(Result::is_ok));
    assert_eq!(world.leases(), 10);
    assert_eq!(wallet.balance().await.unwrap().spendable, after(world.taken()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_caller_gave_up_is_made_at_one_relay() {
    let world = World::new(2).await;
    let wallet = world.funded("wallet").await;
    let mut given_up = 0;
    for n in 0..25 {
        wallet.buy(&format!("GOOD-{n}")).await.unwrap();
        let at = |relay: usize, name: String| NewQueue {
            relay: Some(world.relays[relay].address()),
            name: Some(name),
            ..queue(30)
        };
        let first = wallet.create_queue(at(0, format!("first-{n}")));
        let patience = Duration::from_micros(500 + n * 400);
        given_up += usize::from(tokio::time::timeout(patience, first).await.is_err());
        wallet.create_queue(at(1, format!("second-{n}"))).await.unwrap();
        wallet.resume(Doubtful::Keep).await.unwrap();
    }
    assert!(given_up > 5, "{given_up}");
    let balance = wallet.balance().await.unwrap();
    assert_eq!(balance.in_flight, Credits::ZERO);
    // A certificate that was settled at two relays would be missing once and taken twice.
    assert_eq!(balance.spendable.0 + world.taken(), 26 * FakeVendor::pack_value().0);
    wallet.close().await.unwrap();
    assert_eq!(world.open("wallet").await.balance().await.unwrap(), balance);
}

#[tokio::test]
async fn far_more_than_the_price_is_paid_only_where_that_is_accepted() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    // Only the certificates of 8 credits are left.
    let mut error = None;
    for _ in 0..20 {
        match wallet.create_queue(queue(30)).await {
            Ok(_) => {}
            Err(refused) => error = Some(refused),
        }
    }
    let error = error.unwrap();
    let excess = Shortage::Excess { price: Credits(2), paid: Credits(8) };
    assert!(matches!(&error, WalletError::Shortage(found) if *found == excess), "{error}");
    assert!(error.is_shortage() && error.remedy().contains("--accept-excess"));
    assert!(error.to_string().contains("8 credits"), "{error}");
    let taken = world.taken();
    wallet.create_queue(NewQueue { accept_excess: true, ..queue(30) }).await.unwrap();
    assert_eq!(world.taken(), taken + 8);
    let name = wallet.queues().await.unwrap()[0].name.clone();
    let refused = wallet.extend(&name, 30, Doubtful::Keep, false, When::InTime).await;
    assert!(refused.is_err_and(|error| error.is_shortage()));
    wallet.extend(&name, 30, Doubtful::Keep, true, When::InTime).await.unwrap();
    assert_eq!(world.taken(), taken + 16);
}

#[tokio::test]
async fn a_relay_that_redeems_what_it_refused_is_caught_and_not_paid_again() {
    let world = World::new(2).await;
    let (wallet, relay) = (world.funded("wallet").await, &world.relays[0]);
    let there = || NewQueue { relay: Some(relay.address()), ..queue(30) };
    relay.betray_next(ProblemType::VendorLimit);
    let refused = wallet.create_queue(there()).await;
    assert!(matches!(refused, Err(WalletError::PaymentRefused { .. })));
    // The same certificates are chosen again, and now there is a proof.
    let error = wallet.create_queue(there()).await.unwrap_err();
    assert_eq!(error.problem(), Some(ProblemType::CertificateSpent));
    let WalletError::RedeemedAfterRefusal { redeemer, .. } = &error else { panic!("{error}") };
    assert_eq!(**redeemer, relay.address());
    assert!(!error.remedy().contains("copy of this wallet"));

    let error = wallet.create_queue(there()).await.unwrap_err();
    assert!(matches!(error, WalletError::RelayCaught(_)), "{error}");
    for _ in 0..3 {
        let made = wallet.create_queue(queue(30)).await.unwrap();
        assert_eq!(made.relay, world.relays[1].address(), "never chosen");
    }
    let caught = wallet.caught().await.unwrap();
    assert_eq!((caught.len(), caught[0].accusations.len()), (1, 1));
    let json = serde_json::to_vec(&caught[0].accusations[0]).unwrap();
    let accusation = scrip_protocol::refusal::Accusation::from_json(&json).unwrap();
    assert_eq!(accusation.open().unwrap().operator_id(), relay.id());
    let relays = wallet.relays().await.unwrap();
    let is_caught = |at: usize| {
        let address = world.relays[at].address();
        relays.iter().any(|one| one.address == address && one.caught.is_some())
    };
    assert_eq!((is_caught(0), is_caught(1)), (true, false));
    let findings = wallet.diagnose().await.unwrap().findings;
    assert!(findings.iter().any(|finding| finding.name == "relay.caught"));

    // Until the user says so, also after a restart.
    wallet.close().await.unwrap();
    let wallet = world.open("wallet").await;
    assert!(wallet.create_queue(there()).await.is_err());
    assert_eq!(wallet.forgive_relay("relay-0").await.unwrap(), relay.address());
    wallet.create_queue(there()).await.unwrap();
    assert!(wallet.relays().await.unwrap().iter().all(|one| one.caught.is_none()));
    assert_eq!(wallet.accusations("relay-0").await.unwrap().len(), 1, "and the evidence stays");
    // What was forgiven is; the next time is not.
    relay.betray_next(ProblemType::VendorLimit);
    wallet.create_queue(there()).await.unwrap_err();
    wallet.create_queue(there()).await.unwrap_err();
    assert!(matches!(wallet.create_queue(there()).await, Err(WalletError::RelayCaught(_))));
    assert_eq!(wallet.accusations("relay-0").await.unwrap().len(), 2);
}
