//! Each bad input with its refusal, and that of several faults the first check finds its own.

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use scrip_protocol::{
    id::{KeyId, VendorId},
    keys::Signature,
    limits::{MAX_PAID_REQUEST, MAX_PAYMENT_ITEMS},
    payment::PaidRequest,
    problem::ProblemType,
    time::Day,
};

use super::*;
use crate::testing::{NOW, TestVendor, operator_key};

const QUOTE: Quote = Quote { credits: Credits(9), seconds_per_credit: 60 };
const DAY: u64 = 86_400;

fn operator() -> OperatorId {
    OperatorId::of(&operator_key().public())
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(5)
}

/// Worth 8 + 1 = 9 credits.
fn payment(vendor: &TestVendor) -> PaidRequest {
    let certificates = [vendor.issue(3), vendor.issue(0)];
    vendor.pay(&certificates, &operator(), b"a request", &mut rng())
}

fn check_bytes(vendor: &TestVendor, bytes: &[u8], now: UnixSeconds) -> Result<(), Refusal> {
    Received::decode(bytes)?
        .accepted_from(|id| *id == vendor.id(), &operator())?
        .inspect(Arc::new(vendor.manifest()), false, now)?
        .for_price(QUOTE)?
        .verify(&mut rng())
        .map(drop)
}

fn check(vendor: &TestVendor, payment: &PaidRequest) -> Result<(), Refusal> {
    check_bytes(vendor, &payment.encode(), NOW)
}

#[test]
fn a_good_payment_passes_with_all_that_the_store_needs() {
    let vendor = TestVendor::new(0);
    let request = payment(&vendor);
    let received = Received::decode(&request.encode()).unwrap();
    assert_eq!(received.payment_id(), request.payment_id());
    let checked = received
        .accepted_from(|_| true, &operator())
        .and_then(|addressed| addressed.inspect(Arc::new(vendor.manifest()), false, NOW))
        .and_then(|inspected| inspected.for_price(QUOTE))
        .and_then(|priced| priced.verify(&mut rng()))
        .unwrap();
    assert_eq!(checked.payment_id, request.payment_id());
    assert_eq!(checked.credits, Credits(9));
    assert_eq!(checked.resource_request, b"a request");
    let exponents: Vec<u8> = checked.certificates.iter().map(|one| one.exponent.get()).collect();
    assert_eq!(exponents, [3, 0]);
    let evidence = request.payment.evidence(b"a request");
    assert!(checked.certificates.iter().zip(&evidence).all(|(one, own)| one.evidence == *own));
}

#[test]
fn one_certificate_is_checked_as_many_are() {
    let vendor = TestVendor::new(0);
    for exponents in [vec![3], vec![3, 3, 2]] {
        let certificates: Vec<_> = exponents.iter().map(|k| vendor.issue(*k)).collect();
        let mut paid = vendor.pay(&certificates, &operator(), b"r", &mut rng());
        let quote = Quote { credits: Credits(8), ..QUOTE };
        let verified = |paid: &PaidRequest| {
            let received = Received::decode(&paid.encode())?;
            let addressed = received.accepted_from(|_| true, &operator())?;
            let inspected = addressed.inspect(Arc::new(vendor.manifest()), false, NOW)?;
            inspected.for_price(quote)?.verify(&mut rng()).map(drop)
        };
        assert_eq!(verified(&paid), Ok(()));
        paid.payment.items[0].signature = Signature::from_bytes([1; 64]);
        assert_eq!(verified(&paid), Err(Refusal::SpendSignature));
        paid.payment.items[0].token.authenticator[9] ^= 1;
        assert_eq!(verified(&paid), Err(Refusal::CertificateSignature));
    }
}

#[test]
fn checks_1_and_2_are_about_bytes() {
    let vendor = TestVendor::new(0);
    let bytes = payment(&vendor).encode();
    let too_large = vec![0; MAX_PAID_REQUEST + 1];
    assert_eq!(check_bytes(&vendor, &too_large, NOW), Err(Refusal::TooLarge));
    for bad in [&bytes[..bytes.len() - 1], &[&bytes[..], &[0]].concat(), &[], &bytes[1..]] {
        let refusal = check_bytes(&vendor, bad, NOW).unwrap_err();
        assert_eq!(refusal.problem_type(), ProblemType::Malformed, "{refusal}");
    }
    let mut crowd = payment(&vendor);
    let item = crowd.payment.items[0].clone();
    crowd.payment.items = vec![item; MAX_PAYMENT_ITEMS + 1];
    let refusal = check(&vendor, &crowd).unwrap_err();
    assert!(matches!(refusal, Refusal::TooLarge | Refusal::Malformed(_)), "{refusal}");
}

#[test]
fn the_day_and_the_windows_are_those_of_the_specification() {
    let vendor = TestVendor::new(0);
    let certificate = [vendor.issue(3), vendor.issue(0)];
    let on = |day| vendor.pay_on(day, &certificate, &operator(), b"r", &mut rng());
    let today = NOW.day().0;
    for day in [today - 1, today, today + 1] {
        assert_eq!(check(&vendor, &on(Day(day))), Ok(()));
    }
    for day in [today - 2, today + 2, 0, u32::MAX] {
        assert_eq!(check(&vendor, &on(Day(day))), Err(Refusal::DayOutOfRange));
    }
    let windows = *vendor.manifest().key(&certificate[0].token().key_id).unwrap().windows();
    let at = |now: UnixSeconds| check_bytes(&vendor, &on(now.day()).encode(), now);
    assert_eq!(at(windows.issue_from), Ok(()));
    assert_eq!(at(windows.issue_from.minus(1)), Err(Refusal::KeyOutsideWindow));
    assert_eq!(at(windows.spend_until.minus(1)), Ok(()));
    assert_eq!(at(windows.spend_until), Err(Refusal::KeyOutsideWindow));
    assert_eq!(at(windows.spend_until.plus(300 * DAY)), Err(Refusal::KeyOutsideWindow));
}

#[test]
fn small_order_and_non_canonical_keys_are_refused_though_the_vendor_signed_them() {
    let vendor = TestVendor::new(0);
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut not_reduced = [0xff; 32];
    not_reduced[31] = 0x7f;
    for nonce in [identity, [0; 32], not_reduced, [0xff; 32]] {
        let mut request = payment(&vendor);
        request.payment.items[1].token = vendor.sign(1, 0, nonce);
        assert_eq!(check(&vendor, &request), Err(Refusal::CertificateKey));
    }
}

/// A payment with every fault at once; mending them one by one, from the first check on, must show the next.
#[test]
fn the_first_check_that_fails_decides() {
    let vendor = TestVendor::new(0);
    let good = payment(&vendor);
    let mut all_small = good.clone();
    all_small.payment.items.truncate(1); // 8 credits, one too few
    let mut bad = all_small;
    type Mend = fn(&mut PaidRequest, &PaidRequest);
    let mut steps: Vec<(Refusal, Mend)> = Vec::new();

    bad.payment.items[0].signature = Signature::from_bytes([3; 64]);
    bad.payment.items[0].token.authenticator[0] ^= 1;
    let mut twin = bad.payment.items[0].clone();
    twin.token.key_id = KeyId::from_bytes([4; 32]);
    bad.payment.items[0].token.nonce = [0; 32];
    bad.payment.items[0].token.challenge_digest[0] ^= 1;
    twin.token.nonce = [0; 32];
    bad.payment.items.push(twin);
    bad.payment.day = Day(1);
    bad.payment.operator_id = OperatorId::from_bytes([5; 32]);
    bad.payment.vendor_id = VendorId::from_bytes([6; 32]);

    steps.push((Refusal::WrongVendor, |bad, good| {
        bad.payment.vendor_id = good.payment.vendor_id;
    }));
    steps.push((Refusal::WrongOperator, |bad, good| {
        bad.payment.operator_id = good.payment.operator_id;
    }));
    steps.push((Refusal::DuplicateCertificate, |bad, _| {
        bad.payment.items[1].token.nonce[0] = 1; // the identity: another key, of small order too
    }));
    steps.push((Refusal::DayOutOfRange, |bad, good| bad.payment.day = good.payment.day));
    steps.push((Refusal::ChallengeMismatch, |bad, good| {
        bad.payment.items[0].token.challenge_digest = good.payment.items[0].token.challenge_digest;
    }));
    steps.push((Refusal::KeyUnknown, |bad, good| {
        bad.payment.items[1].token.key_id = good.payment.items[0].token.key_id;
    }));
    steps.push((Refusal::CertificateKey, |bad, good| {
        bad.payment.items.truncate(1);
        bad.payment.items[0].token.nonce = good.payment.items[0].token.nonce;
    }));
    steps.push((Refusal::PaymentTooLow { paid: Credits(8), quote: QUOTE }, |bad, good| {
        bad.payment.items.push(good.payment.items[1].clone())
    }));
    steps.push((Refusal::CertificateSignature, |bad, good| {
        // The other certificate's spend signature is bad as well, and found later.
        bad.payment.items[0].token = good.payment.items[0].token.clone();
    }));
    steps.push((Refusal::SpendSignature, |bad, good| bad.payment = good.payment.clone()));

    for (expected, mend) in steps {
        assert_eq!(check(&vendor, &bad), Err(expected));
        mend(&mut bad, &good);
    }
    assert_eq!(check(&vendor, &bad), Ok(()));
}

#[test]
fn a_bad_rsa_signature_is_found_before_an_earlier_bad_spend_signature() {
    let vendor = TestVendor::new(0);
    let mut request = payment(&vendor);
    request.payment.items[0].signature = Signature::from_bytes([1; 64]);
    assert_eq!(check(&vendor, &request), Err(Refusal::SpendSignature));
    request.payment.items[1].token.authenticator[7] ^= 1;
    assert_eq!(check(&vendor, &request), Err(Refusal::CertificateSignature));
}

/// The same, where the two lie in different slices.
#[test]
fn every_rsa_signature_is_checked_before_a_bad_spend_signature_counts() {
    let vendor = TestVendor::new(0);
    let certificates: Vec<_> = (0..2 * SLICE + 1).map(|_| vendor.issue(0)).collect();
    let good = vendor.pay(&certificates, &operator(), b"r", &mut rng());
    assert_eq!(check(&vendor, &good), Ok(()));
    for bad_spend in [0, SLICE, 2 * SLICE] {
        let mut request = good.clone();
        request.payment.items[bad_spend].signature = Signature::from_bytes([1; 64]);
        assert_eq!(check(&vendor, &request), Err(Refusal::SpendSignature));
        for bad_certificate in [1, SLICE + 1, 2 * SLICE] {
            let mut request = request.clone();
            request.payment.items[bad_certificate].token.authenticator[7] ^= 1;
            assert_eq!(check(&vendor, &request), Err(Refusal::CertificateSignature));
        }
    }
}

#[test]
fn no_payment_is_worth_more_than_can_be_counted() {
    let vendor = TestVendor::new(0);
    let inspected = |credits| Inspected {
        received: Received::decode(&payment(&vendor).encode()).unwrap(),
        manifest: Arc::new(vendor.manifest()),
        credits,
    };
    assert!(inspected(MOST_CREDITS).for_price(QUOTE).is_ok());
    let paid = Credits(1 << 32);
    let refusal = inspected(paid).for_price(QUOTE).err();
    assert_eq!(refusal, Some(Refusal::PaymentTooHigh { paid }));
    assert_eq!(Refusal::PaymentTooHigh { paid }.problem_type(), ProblemType::RequestRefused);
}

#[test]
fn a_signature_counts_for_its_request_day_operator_and_salt_only() {
    let vendor = TestVendor::new(0);
    let good = payment(&vendor);
    let changes: [fn(&mut PaidRequest); 3] = [
        |paid| paid.resource_request[0] ^= 1,
        |paid| paid.payment.day = Day(paid.payment.day.0 + 1),
        |paid| paid.payment.salt.0[0] ^= 1,
    ];
    for change in changes {
        let mut changed = good.clone();
        change(&mut changed);
        assert_ne!(changed.payment_id(), good.payment_id());
        assert_eq!(check(&vendor, &changed), Err(Refusal::SpendSignature));
    }
}

#[test]
fn every_refusal_promises_that_nothing_was_taken() {
    let refusals = [
        Refusal::TooLarge,
        Refusal::Malformed(DecodeError::Truncated),
        Refusal::WrongVendor,
        Refusal::WrongOperator,
        Refusal::DuplicateCertificate,
        Refusal::DayOutOfRange,
        Refusal::ChallengeMismatch,
        Refusal::KeyUnknown,
        Refusal::KeyOutsideWindow,
        Refusal::CertificateKey,
        Refusal::PaymentTooLow { paid: Credits(1), quote: QUOTE },
        Refusal::CertificateSignature,
        Refusal::SpendSignature,
        Refusal::PaymentTooHigh { paid: Credits(1 << 32) },
    ];
    for refusal in refusals {
        assert!(refusal.problem_type().nothing_taken(), "{refusal}");
        assert_eq!(refusal.problem().problem, refusal.problem_type());
    }
    let problem = refusals[10].problem();
    assert_eq!(problem.price.map(|price| price.credits), Some(QUOTE.credits));
}
