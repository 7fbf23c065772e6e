//! Payments that go well, retries, twins, and what the server's answers do to a payment.

use futures_util::future::join_all;
use http::{StatusCode, header::WWW_AUTHENTICATE};
use scrip_protocol::{id::decode_base64url, redemption::ConflictProof, token::TokenChallenge};

use super::{server::Mood, *};

#[tokio::test]
async fn an_unpaid_request_is_told_the_price_whom_to_pay_and_the_challenge() {
    let world = World::new().await;
    let answer = world.post(media::RESOURCE_REQUEST, "a thing").await;
    let problem = answer.problem.unwrap();
    assert_eq!((answer.status, problem.problem), (402, ProblemType::PaymentRequired));
    assert_eq!(problem.price, Some(QUOTE.into()));
    assert_eq!(problem.operator_id, Some(world.verifier.operator_id()));
    assert_eq!(problem.vendors.len(), 1);
    assert_eq!(problem.vendors[0].address, world.vendor.address());

    let header = answer.headers[WWW_AUTHENTICATE].to_str().unwrap();
    let parameters = header.strip_prefix("PrivateToken challenge=\"").unwrap();
    let (challenge, key) = parameters.split_once("\", token-key=\"").unwrap();
    let bytes = |text: &str| decode_base64url(text.trim_end_matches('=')).unwrap();
    let issuer_name = "vendor-0.example".to_owned();
    assert_eq!(bytes(challenge), TokenChallenge { issuer_name }.encode());
    // The largest denomination that is not above three credits.
    let expected = world.certificate(1).token().key_id;
    let manifest = world.vendor.manifest();
    let key = bytes(key.strip_suffix('"').unwrap());
    assert_eq!(key, manifest.key(&expected).unwrap().public().spki());
    assert_eq!(world.server.calls.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_paid_request_reaches_the_server_with_what_was_paid() {
    let world = World::new().await;
    let (two, four) = (world.certificate(1), world.certificate(2));
    let payment = world.payment(&[&two, &four], b"a thing");
    let answer = world.pay(&payment).await;
    assert_eq!((answer.status, &answer.body[..]), (201, &b"receipt a thing 0"[..]));
    assert_eq!(answer.headers[CONTENT_TYPE], media::RECEIPT);
    let calls = world.server.calls.lock().unwrap();
    let [paid] = &calls[..] else { panic!("one call") };
    assert_eq!(paid.payment_id, payment.payment_id());
    assert_eq!(paid.vendor_id, world.vendor.id());
    assert_eq!((paid.credits, paid.seconds_per_credit), (Credits(6), 60));
    let keys: Vec<_> = paid.certificates.iter().map(|one| (one.key, one.value.0)).collect();
    assert_eq!(keys, [(two.token().nonce, 2), (four.token().nonce, 4)]);
}

/// Neither the day, nor the key's window, nor the price, nor a missing manifest turns an answer into a refusal.
#[tokio::test]
async fn a_retry_gets_the_same_bytes_whatever_has_changed() {
    let world = World::new().await;
    let payment = world.payment(&[&world.certificate(2)], b"a thing");
    let first = world.pay(&payment).await;
    world.clock.advance(400 * 86_400);
    world.price.set(Quote { credits: Credits(1_000), ..QUOTE });
    let world = world.restart().await;
    let again = world.pay(&payment).await;
    assert_eq!((again.status, again.body), (first.status, first.body));
    assert_eq!(world.server.calls.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn another_request_with_the_certificate_gets_the_proof_of_the_first() {
    let world = World::new().await;
    let (shared, other) = (world.certificate(2), world.certificate(2));
    let first = world.payment(&[&shared], b"a thing");
    assert_eq!(world.pay(&first).await.status, 201);
    let second = world.payment(&[&other, &shared], b"another");
    let answer = world.pay(&second).await;
    assert_eq!(answer.problem_type(), Some(ProblemType::CertificateSpent));
    let conflict = answer.problem.unwrap().conflict.unwrap();
    let proof = ConflictProof::decode(&decode_base64url(&conflict).unwrap()).unwrap();
    let own = second.payment.evidence(b"another")[1].binding;
    assert_eq!(proof.verify(&shared.token().nonce, &own), Ok(()));
    // The other certificate of the refused payment is free.
    assert_eq!(world.pay(&world.payment(&[&other], b"third")).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_64_spends_of_one_certificate_at_once_exactly_one_wins() {
    let world = Arc::new(World::new().await);
    let certificate = world.certificate(2);
    let payments: Vec<_> = (0..64)
        .map(|at| world.payment(&[&certificate], format!("thing {at}").as_bytes()))
        .collect();
    let spends = payments.into_iter().map(|payment| {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.pay(&payment).await })
    });
    let answers = join_all(spends).await;
    let won = answers.iter().filter(|one| one.as_ref().unwrap().status == 201).count();
    let spent = Some(ProblemType::CertificateSpent);
    let lost = answers.iter().filter(|one| one.as_ref().unwrap().problem_type() == spent).count();
    assert_eq!((won, lost), (1, 63));
    assert_eq!(world.server.provisioned_count(), 1);
    assert_eq!(world.unredeemed().await, Credits(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn twins_get_the_same_answer_and_the_server_is_called_once() {
    let world = Arc::new(World::new().await);
    let payment = Arc::new(world.payment(&[&world.certificate(2)], b"a thing"));
    let spends = (0..64).map(|_| {
        let (world, payment) = (Arc::clone(&world), Arc::clone(&payment));
        tokio::spawn(async move { world.pay(&payment).await })
    });
    for answer in join_all(spends).await {
        let answer = answer.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (201, &b"receipt a thing 0"[..]));
    }
    assert_eq!(world.server.calls.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_twin_is_told_when_the_first_takes_too_long() {
    let world = World::with(|config| config.patience = std::time::Duration::from_millis(50)).await;
    let world = Arc::new(world);
    let payment = Arc::new(world.payment(&[&world.certificate(2)], b"a thing"));
    let closed = world.server.gate.acquire_many(1_000).await.unwrap();
    let first = {
        let (world, payment) = (Arc::clone(&world), Arc::clone(&payment));
        tokio::spawn(async move { world.pay(&payment).await })
    };
    while world.sqlite.reserved(world.verifier.now()).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let twin = world.pay(&payment).await;
    assert_eq!(twin.problem_type(), Some(ProblemType::PaymentInProgress));
    drop(closed);
    assert_eq!(first.await.unwrap().status, 201);
}

#[tokio::test]
async fn a_definite_refusal_of_the_server_releases_the_certificates() {
    let world = World::new().await;
    let certificate = world.certificate(2);
    let moods = [
        Mood::Answers(StatusCode::IM_A_TEAPOT),
        Mood::Complains(ProblemType::RequestRefused),
        Mood::Complains(ProblemType::StorageFull),
    ];
    for (at, mood) in moods.into_iter().enumerate() {
        world.server.feel(mood);
        let payment = world.payment(&[&certificate], format!("thing {at}").as_bytes());
        let answer = world.pay(&payment).await;
        match mood {
            Mood::Complains(problem) => assert_eq!(answer.problem_type(), Some(problem)),
            // What is no problem document becomes one, which can carry the signature.
            _ => assert_eq!(answer.problem_type(), Some(ProblemType::RequestRefused)),
        }
        assert!(answer.problem.unwrap().refusal.is_some());
        world.assert_nothing_is_taken().await;
    }
    world.server.feel(Mood::Provisions);
    assert_eq!(world.pay(&world.payment(&[&certificate], b"more")).await.status, 201);
}

#[tokio::test]
async fn after_any_other_failure_the_reservation_stays_and_a_retry_continues() {
    let world = World::new().await;
    let moods = [
        Mood::Answers(StatusCode::INTERNAL_SERVER_ERROR),
        Mood::Answers(StatusCode::FOUND),
        Mood::Complains(ProblemType::Overloaded),
        Mood::Complains(ProblemType::PaymentInProgress),
        Mood::ProvisionsAndFails,
        Mood::AnswersTooMuch,
        Mood::Panics,
    ];
    for mood in moods {
        world.server.feel(mood);
        let certificate = world.certificate(2);
        let payment = world.payment(&[&certificate], b"a thing");
        let answer = world.pay(&payment).await;
        let problem = answer.problem_type().unwrap();
        assert!(!problem.nothing_taken(), "{mood:?}: {problem:?}");
        let elsewhere = world.pay(&world.payment(&[&certificate], b"another")).await;
        assert_eq!(elsewhere.problem_type(), Some(ProblemType::CertificateSpent), "{mood:?}");
        world.server.feel(Mood::Provisions);
        assert_eq!(world.pay(&payment).await.status, 201, "{mood:?}");
    }
    assert_eq!(world.server.provisioned_count(), 7);
    assert_eq!(world.unredeemed().await, Credits(7 * 4));
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_stop_its_payment() {
    let world = Arc::new(World::new().await);
    let payment = world.payment(&[&world.certificate(2)], b"a thing");
    let closed = world.server.gate.acquire_many(1_000).await.unwrap();
    let call = tokio::spawn({
        let (world, payment) = (Arc::clone(&world), payment.clone());
        async move { world.pay(&payment).await }
    });
    while world.sqlite.reserved(world.verifier.now()).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    drop(closed);
    let answer = world.pay(&payment).await; // waits for its twin, which has lost its client
    assert_eq!(answer.status, 201);
    assert_eq!(world.server.calls.lock().unwrap().len(), 1);
}

/// Clients that hang up do not make room: what they started is still worked on.
#[tokio::test]
async fn too_many_payments_at_a_time_are_refused_before_anything_is_taken() {
    let world = Arc::new(World::new().await);
    let slots = &world.verifier.payment_slots;
    let others = slots.acquire_many(slots.available_permits() as u32 - 1).await.unwrap();
    let closed = world.server.gate.acquire_many(1_000).await.unwrap();
    let payment = world.payment(&[&world.certificate(2)], b"first");
    let call = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.pay(&payment).await }
    });
    while world.sqlite.reserved(world.verifier.now()).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    let second = world.payment(&[&world.certificate(2)], b"second");
    assert_eq!(world.pay(&second).await.problem_type(), Some(ProblemType::Overloaded));
    drop((closed, others));
    assert_eq!(world.pay(&second).await.status, 201);
    assert_eq!(world.unredeemed().await, Credits(8));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_the_limit_is_ever_unredeemed() {
    let world = World::with(|config| config.vendors[0].stop_above = Some(Credits(20))).await;
    let world = Arc::new(world);
    let spends = (0..32).map(|at: u32| {
        let world = Arc::clone(&world);
        let payment = world.payment(&[&world.certificate(2)], &at.to_be_bytes());
        tokio::spawn(async move { world.pay(&payment).await })
    });
    let answers = join_all(spends).await;
    let limit = Some(ProblemType::VendorLimit);
    let over = answers.iter().filter(|one| one.as_ref().unwrap().problem_type() == limit).count();
    assert_eq!((over, world.server.provisioned_count()), (27, 5));
    assert_eq!(world.unredeemed().await, Credits(20));
    // What is redeemed makes room again.
    let redeemed = world.redeemer(Schedule::default()).redeem_now().await.unwrap();
    assert_eq!(redeemed.accepted, 5);
    assert_eq!(world.pay(&world.payment(&[&world.certificate(2)], b"r")).await.status, 201);
}
