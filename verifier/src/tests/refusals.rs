//! Bad input: each with its problem type, nothing reserved, and the same certificates good for a payment afterwards; signed
//! where the payment is its holder's own, and then never taken.

use scrip_protocol::{
    id::{KeyId, OperatorId, VendorId},
    keys::Signature,
    limits::{MAX_PAID_REQUEST, MAX_RESOURCE_REQUEST},
    refusal::Refusal,
    time::Day,
};

use super::*;

#[tokio::test]
async fn each_bad_payment_gets_its_problem_and_takes_nothing() {
    use ProblemType::*;
    let world = World::new().await;
    let (two, four) = (world.certificate(1), world.certificate(2));
    let good = world.payment(&[&two, &four], b"a thing");
    let today = good.payment.day.0;
    type Change = Box<dyn Fn(&mut PaidRequest)>;
    let changes: Vec<(ProblemType, Change)> = vec![
        (WrongVendor, Box::new(|p| p.payment.vendor_id = VendorId::from_bytes([1; 32]))),
        (WrongOperator, Box::new(|p| p.payment.operator_id = OperatorId::from_bytes([1; 32]))),
        (DuplicateCertificate, Box::new(|p| p.payment.items[1] = p.payment.items[0].clone())),
        (DayOutOfRange, Box::new(move |p| p.payment.day = Day(today - 2))),
        (DayOutOfRange, Box::new(move |p| p.payment.day = Day(today + 2))),
        (ChallengeMismatch, Box::new(|p| p.payment.items[1].token.challenge_digest[3] ^= 1)),
        (KeyUnknown, Box::new(|p| p.payment.items[1].token.key_id = KeyId::from_bytes([1; 32]))),
        (CertificateKeyInvalid, Box::new(|p| p.payment.items[1].token.nonce = [0; 32])),
        (CertificateSignatureInvalid, Box::new(|p| p.payment.items[0].token.authenticator[0] ^= 1)),
        (
            SpendSignatureInvalid,
            Box::new(|p| p.payment.items[0].signature = Signature::from_bytes([1; 64])),
        ),
        (SpendSignatureInvalid, Box::new(|p| p.payment.salt.0[0] ^= 1)),
        (SpendSignatureInvalid, Box::new(|p| p.resource_request.push(b'!'))),
        (RequestRefused, Box::new(|p| p.resource_request = b"refuse".to_vec())),
    ];
    for (expected, change) in changes {
        let mut bad = good.clone();
        change(&mut bad);
        let answer = world.pay(&bad).await;
        assert_eq!(answer.problem_type(), Some(expected));
        assert_eq!(answer.status, expected.status());
        assert!(expected.nothing_taken());
        // Its holder did not sign these bytes: a promise about them would name the payment that he did sign.
        assert!(answer.problem.unwrap().refusal.is_none(), "{expected:?}");
        world.assert_nothing_is_taken().await;
    }
    assert_eq!(world.server.calls.lock().unwrap().len(), 0);
    assert_eq!(world.pay(&good).await.status, 201);
}

/// The refusal that an answer carries, if its operator signed one of this payment.
fn refusal_of(world: &World, answer: &Answer, payment: &PaidRequest) -> Option<Refusal> {
    let operator = world.verifier.operator_key.public();
    let problem = answer.problem.as_ref()?;
    let bytes = Refusal::of(problem, &operator, &payment.payment_id())?;
    Some(Refusal::open(&bytes, &operator).unwrap())
}

/// The payment gets this refusal, now and whenever it comes again, and its certificates buy something else.
async fn refused_for_good(world: &World, payment: &PaidRequest, expected: ProblemType) {
    let first = world.pay(payment).await;
    assert_eq!(first.problem_type(), Some(expected));
    let refusal = refusal_of(world, &first, payment).expect("a signed refusal");
    assert_eq!((refusal.payment_id, refusal.problem), (payment.payment_id(), expected));
    world.assert_nothing_is_taken().await;
    let again = world.pay(payment).await;
    assert_eq!((again.status, again.body), (first.status, first.body), "{expected:?}");
}

/// Everything that depends on the relay (its clock, price, room, policy) could be otherwise a moment later, when a copy of the
/// same bytes arrives that was stuck on its way. It gets the refusal.
#[tokio::test]
async fn what_was_refused_is_never_taken_whatever_changes() {
    use ProblemType::*;
    let world = World::with(|config| config.vendors[0].stop_above = Some(Credits(4))).await;
    let today = world.verifier.now().day();
    let on = |day, certificate: &Certificate, request: &[u8]| {
        let mut rng = ChaCha20Rng::seed_from_u64(request.len() as u64);
        world.vendor.pay_on(day, [certificate], &world.verifier.operator_id(), request, &mut rng)
    };
    let four = || world.certificate(2);
    let (later, too_low, asked) = (four(), world.certificate(1), four());
    let future = on(Day(today.0 + 5), &later, b"later");
    refused_for_good(&world, &future, DayOutOfRange).await;
    refused_for_good(&world, &on(Day(today.0 - 5), &later, b"before"), DayOutOfRange).await;
    let early = world.vendor.issue_in(2, 2);
    let early_payment = on(today, &early, b"early");
    refused_for_good(&world, &early_payment, KeyOutsideWindow).await;
    let test = world.vendor.issue_in(crate::testing::TEST_EPOCH, 2);
    refused_for_good(&world, &on(today, &test, b"a test"), TestCertificate).await;
    let cheap = on(today, &too_low, b"too cheap");
    refused_for_good(&world, &cheap, PaymentTooLow).await;
    refused_for_good(&world, &on(today, &asked, b"refuse"), RequestRefused).await;
    world.server.feel(super::server::Mood::Complains(StorageFull));
    let full = on(today, &asked, b"no room for this");
    refused_for_good(&world, &full, StorageFull).await;
    world.server.feel(super::server::Mood::Provisions);
    let large = world.payment(&[&four(), &four()], b"more than the limit");
    refused_for_good(&world, &large, VendorLimit).await;
    assert_eq!(world.server.provisioned_count(), 0);

    // Now most of them would be taken, had they not been refused.
    world.price.set(Quote { credits: Credits(1), ..QUOTE });
    let world = world.restart().await;
    for payment in [&cheap, &full, &large] {
        assert!(refusal_of(&world, &world.pay(payment).await, payment).is_some());
    }
    world.clock.advance(5 * 86_400);
    for payment in [&future, &early_payment] {
        assert!(refusal_of(&world, &world.pay(payment).await, payment).is_some());
    }
    assert_eq!(world.server.provisioned_count(), 0);
    // The same certificates, in payments of their own, are as good as any.
    assert_eq!(world.pay(&world.payment(&[&later], b"now")).await.status, 201);
    assert_eq!(world.server.provisioned_count(), 1);
}

/// A wallet that puts one binding into two payments, to have one of them refused and the other taken, and then to show both.
#[tokio::test]
async fn a_binding_is_refused_or_taken_and_never_both() {
    let world = World::new().await;
    let (two, four) = (world.certificate(1), world.certificate(2));
    let whole = world.payment(&[&two, &four], b"a thing");
    let mut part = whole.clone();
    part.payment.items.truncate(1); // below the price, with a binding of the whole
    refused_for_good(&world, &part, ProblemType::PaymentTooLow).await;
    refused_for_good(&world, &whole, ProblemType::RequestRefused).await;

    let world = World::new().await;
    let whole = world.payment(&[&world.certificate(2), &world.certificate(2)], b"a thing");
    assert_eq!(world.pay(&whole).await.status, 201);
    let mut part = whole.clone();
    part.payment.items.truncate(1);
    let answer = world.pay(&part).await;
    assert_eq!(answer.problem_type(), Some(ProblemType::CertificateSpent));
    assert!(answer.problem.unwrap().refusal.is_none(), "one of its bindings is taken");
}

#[tokio::test]
async fn what_was_spent_before_is_refused_with_the_proof_and_for_good() {
    let world = World::new().await;
    let (shared, other) = (world.certificate(2), world.certificate(2));
    let first = world.payment(&[&shared], b"a thing");
    world.server.feel(super::server::Mood::Panics);
    world.pay(&first).await;
    let second = world.payment(&[&shared, &other], b"another");
    let answer = world.pay(&second).await;
    assert_eq!(answer.problem_type(), Some(ProblemType::CertificateSpent));
    assert!(refusal_of(&world, &answer, &second).is_some());
    assert!(answer.problem.unwrap().conflict.is_some());
    // The first one ends in nothing, so that nothing but the refusal stands in the second one's way.
    world.server.feel(super::server::Mood::Complains(ProblemType::LeaseEnded));
    assert_eq!(world.pay(&first).await.problem_type(), Some(ProblemType::LeaseEnded));
    world.server.feel(super::server::Mood::Provisions);
    let again = world.pay(&second).await;
    assert_eq!(again.problem_type(), Some(ProblemType::CertificateSpent));
    assert_eq!(world.server.provisioned_count(), 0);
}

/// Answers that promise nothing: the payment may still be taken, or already is.
#[tokio::test]
async fn what_may_still_be_taken_is_not_signed() {
    use ProblemType::*;
    let world = World::new().await;
    let mut moods = vec![super::server::Mood::Panics, super::server::Mood::ProvisionsAndFails];
    let complaints = [Overloaded, Internal, PaymentInProgress, VendorUnreachable];
    moods.extend(complaints.map(super::server::Mood::Complains));
    for mood in moods {
        world.server.feel(mood);
        let payment = world.payment(&[&world.certificate(2)], b"a thing");
        let answer = world.pay(&payment).await;
        assert!(answer.problem.unwrap().refusal.is_none(), "{mood:?}");
        world.server.feel(super::server::Mood::Provisions);
        assert_eq!(world.pay(&payment).await.status, 201, "{mood:?}");
    }
}

/// Each refusal takes space, so that one certificate must not bring any number of them.
#[tokio::test]
async fn one_certificate_brings_a_few_refusals_and_no_more() {
    let world = World::new().await;
    let certificate = world.certificate(1);
    let mut signed = 0;
    for at in 0_u8..24 {
        let payment = world.payment(&[&certificate], &[at + 1]);
        let answer = world.pay(&payment).await;
        assert_eq!(answer.problem_type(), Some(ProblemType::PaymentTooLow));
        signed += usize::from(answer.problem.unwrap().refusal.is_some());
    }
    assert_eq!(signed, crate::spent::MOST_REFUSALS);
}

/// Copies of one payment at the same time, while the server has room for none: one promise, and nothing behind its back.
#[tokio::test(flavor = "multi_thread")]
async fn twins_of_a_refused_payment_get_one_refusal_and_none_is_taken() {
    let world = Arc::new(World::new().await);
    world.server.feel(super::server::Mood::Complains(ProblemType::StorageFull));
    let payment = Arc::new(world.payment(&[&world.certificate(2)], b"a thing"));
    let copies = (0..32).map(|at| {
        let (world, payment) = (Arc::clone(&world), Arc::clone(&payment));
        tokio::spawn(async move {
            let answer = world.pay(&payment).await;
            if at % 8 == 0 {
                world.server.feel(super::server::Mood::Provisions); // there is room, for others
            }
            answer
        })
    });
    let answers = futures_util::future::join_all(copies).await;
    let bodies: std::collections::BTreeSet<_> =
        answers.iter().map(|one| one.as_ref().unwrap().body.clone()).collect();
    assert_eq!(bodies.len(), 1);
    assert_eq!(world.server.provisioned_count(), 0);
    world.assert_nothing_is_taken().await;
}

/// Dies before and after the refusal is on disk. What was not promised may be taken; what was promised is not.
#[tokio::test]
async fn a_refusal_that_fails_is_made_good_by_the_retry() {
    use crate::testing::Fault;
    for fault in [Fault::Lost, Fault::Kept] {
        for restart in [false, true] {
            let mut world = World::new().await;
            let certificate = world.certificate(2);
            let payment = world.payment(&[&certificate], b"a thing");
            world.server.feel(super::server::Mood::Complains(ProblemType::StorageFull));
            world.store.fail_next("refuse", fault);
            let answer = world.pay(&payment).await;
            assert_eq!(answer.problem_type(), Some(ProblemType::Internal), "{fault:?}");
            assert!(answer.problem.unwrap().refusal.is_none());
            if restart {
                world = world.restart().await;
                world.verifier.recover(&*world.server).await.unwrap();
                world.assert_nothing_is_taken().await;
            }
            world.server.feel(super::server::Mood::Provisions);
            let again = world.pay(&payment).await;
            let provisioned = world.server.provisioned_count();
            match fault {
                Fault::Lost => assert_eq!((again.status, provisioned), (201, 1)),
                Fault::Kept => {
                    assert!(refusal_of(&world, &again, &payment).is_some());
                    assert_eq!(provisioned, 0);
                    let other = world.payment(&[&certificate], b"another");
                    assert_eq!(world.pay(&other).await.status, 201);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_payment_that_is_too_low_is_told_the_terms() {
    let world = World::new().await;
    let answer = world.pay(&world.payment(&[&world.certificate(1)], b"r")).await;
    let problem = answer.problem.unwrap();
    assert_eq!((answer.status, problem.problem), (402, ProblemType::PaymentTooLow));
    assert_eq!(problem.price, Some(QUOTE.into()));
    assert_eq!(problem.operator_id, Some(world.verifier.operator_id()));
    assert_eq!(problem.vendors.len(), 1);
}

#[tokio::test]
async fn a_key_is_refused_outside_of_its_window() {
    let world = World::new().await;
    let early = world.vendor.issue_in(2, 2);
    let answer = world.pay(&world.payment(&[&early], b"r")).await;
    assert_eq!(answer.problem_type(), Some(ProblemType::KeyOutsideWindow));
    world.clock.advance(60 * 86_400);
    assert_eq!(world.pay(&world.payment(&[&early], b"r")).await.status, 201);
    let late = world.certificate(2);
    world.clock.advance(90 * 86_400);
    let answer = world.pay(&world.payment(&[&late], b"r")).await;
    assert_eq!(answer.problem_type(), Some(ProblemType::KeyOutsideWindow));
}

#[tokio::test]
async fn bodies_are_capped_before_they_are_read() {
    let world = World::new().await;
    let limits =
        [(media::PAID_REQUEST, MAX_PAID_REQUEST), (media::RESOURCE_REQUEST, MAX_RESOURCE_REQUEST)];
    for (content_type, limit) in limits {
        let answer = world.post(content_type, vec![0; limit + 1]).await;
        assert_eq!(answer.problem_type(), Some(ProblemType::TooLarge));
        // The same with a length that nobody announced.
        let frames = futures_util::stream::repeat_with(|| {
            Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from(vec![0; 1_000])))
        });
        let request = Request::post("/")
            .header(CONTENT_TYPE, content_type)
            .body(http_body_util::StreamBody::new(frames))
            .unwrap();
        assert_eq!(world.call(request).await.problem_type(), Some(ProblemType::TooLarge));
    }
    let answer = world.post(media::RESOURCE_REQUEST, vec![0; MAX_RESOURCE_REQUEST]).await;
    assert_eq!(answer.problem_type(), Some(ProblemType::PaymentRequired));
}

#[tokio::test]
async fn what_is_no_request_of_ours_is_named() {
    let world = World::new().await;
    let payment = world.payment(&[&world.certificate(2)], b"r").encode();
    for bad in [&payment[..payment.len() - 1], &payment[1..], &[&payment[..], &[0]].concat(), &[]] {
        let answer = world.post(media::PAID_REQUEST, bad.to_vec()).await;
        assert_eq!(answer.problem_type(), Some(ProblemType::Malformed));
    }
    let answer = world.post(media::RESOURCE_REQUEST, "").await;
    assert_eq!(answer.problem_type(), Some(ProblemType::Malformed));
    let answer = world.post("text/plain", payment.clone()).await;
    assert_eq!(answer.problem_type(), Some(ProblemType::UnsupportedMediaType));
    let answer = world.post("Application/Scrip-Resource-Request; x=y", "r").await;
    assert_eq!(answer.problem_type(), Some(ProblemType::PaymentRequired));
    let request = Request::get("/").body(Full::new(Bytes::new())).unwrap();
    let answer = world.call(request).await;
    assert_eq!(answer.problem_type(), Some(ProblemType::MethodNotAllowed));
    let answer = world.post(media::RESOURCE_REQUEST, "refuse").await;
    assert_eq!(answer.problem_type(), Some(ProblemType::RequestRefused));
    world.assert_nothing_is_taken().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_takes_nothing() {
    let world = World::new().await;
    let payment = world.payment(&[&world.certificate(2)], b"r").encode();
    let frames = futures_util::stream::iter([
        Ok(http_body::Frame::data(Bytes::from(payment[..100].to_vec()))),
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
    ]);
    let request = Request::post("/")
        .header(CONTENT_TYPE, media::PAID_REQUEST)
        .body(http_body_util::StreamBody::new(frames))
        .unwrap();
    assert_eq!(world.call(request).await.problem_type(), Some(ProblemType::Malformed));
    world.assert_nothing_is_taken().await;
}

#[tokio::test]
async fn a_vendor_without_a_manifest_is_not_offered_and_not_accepted() {
    let other = Arc::new(TestVendor::new(1));
    let accepts_other = |config: &mut VerifierConfig| {
        let mut policy = config.vendors[0].clone();
        policy.address = other.address();
        config.vendors.push(policy);
    };
    let world = World::with(accepts_other).await; // the link does not know the other one
    let answer = world.post(media::RESOURCE_REQUEST, "r").await;
    assert_eq!(answer.problem.unwrap().vendors.len(), 1);
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let operator = world.verifier.operator_id();
    let payment = other.pay([&other.issue(2)], &operator, b"r", &mut rng);
    assert_eq!(world.pay(&payment).await.problem_type(), Some(ProblemType::WrongVendor));
}

#[tokio::test]
async fn certificates_of_several_vendors_are_accepted_and_not_mixed_up() {
    let other = Arc::new(TestVendor::new(1));
    let world = World::with(|config| {
        let mut policy = config.vendors[0].clone();
        policy.address = other.address();
        config.vendors.push(policy);
    })
    .await;
    let link = TestLink::to([&other]);
    world.verifier.manifests.refresh(&other.id(), &*link, crate::testing::NOW).await.unwrap();
    let answer = world.post(media::RESOURCE_REQUEST, "r").await;
    assert_eq!(answer.headers.get_all(http::header::WWW_AUTHENTICATE).iter().count(), 2);
    assert_eq!(answer.problem.unwrap().vendors.len(), 2);

    let operator = world.verifier.operator_id();
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let payment = other.pay([&other.issue(2)], &operator, b"r", &mut rng);
    assert_eq!(world.pay(&payment).await.status, 201);
    let mut renamed = other.pay([&other.issue(2)], &operator, b"r", &mut rng);
    renamed.payment.vendor_id = world.vendor.id();
    let answer = world.pay(&renamed).await;
    assert_eq!(answer.problem_type(), Some(ProblemType::ChallengeMismatch));
}
