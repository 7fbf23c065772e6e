//! Bad input: each with its problem type, nothing reserved, and the same certificates good for a payment afterwards.

use scrip_protocol::{
    id::{KeyId, OperatorId, VendorId},
    keys::Signature,
    limits::{MAX_PAID_REQUEST, MAX_RESOURCE_REQUEST},
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
        (PaymentTooLow, Box::new(|p| p.payment.items.truncate(1))),
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
        world.assert_nothing_is_taken().await;
    }
    assert_eq!(world.server.calls.lock().unwrap().len(), 0);
    assert_eq!(world.pay(&good).await.status, 201);
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
