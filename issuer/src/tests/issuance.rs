//! Grants and packs.

use futures_util::future::join_all;
use scrip_protocol::{
    issuance::GrantAnswer,
    limits::{ISSUE_GRACE, MAX_GRANT_REQUEST, MAX_ISSUANCE, RSA},
    media,
    problem::ProblemType,
    seed::GrantSecret,
};

use super::support::*;
use crate::{Issuer, testing::TestIssuer};

async fn issue(issuer: &Issuer, secret: Option<&GrantSecret>, body: Vec<u8>) -> Answer {
    post(issuer, "/v1/issuance", media::ISSUANCE_REQUEST, secret, body).await
}

fn grant_answer(answer: Answer) -> GrantAnswer {
    serde_json::from_slice(&answer.success(media::JSON)).unwrap()
}

#[tokio::test]
async fn a_voucher_becomes_certificates() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let wallet = Wallet::new(1);
    let secret = wallet.secret(issuer, 0);
    let code = voucher(issuer, "starter").await;

    let granted = grant_answer(use_voucher(issuer, Some(&secret), &code.to_lowercase()).await);
    assert_eq!(granted.product, "starter");
    assert_eq!(granted.pack.to_string(), "0:4,1:2,2:1");
    assert_eq!((granted.credits.0, granted.minted), (12, false));
    let unused = get(issuer, "/v1/issuance", Some(&secret)).await;
    assert_eq!(unused.problem(), ProblemType::GrantUnused);

    let (blindings, request) = wallet.blind(issuer, 0, &STARTER);
    let answer = issue(issuer, Some(&secret), request.encode()).await;
    let bytes = answer.clone().success(media::ISSUANCE_ANSWER);
    let certificates = finish(issuer, blindings, &bytes);
    assert_eq!(certificates.len(), 7);

    // A retry of each step, and a wallet that was restored, get the same.
    assert_eq!(issue(issuer, Some(&secret), request.encode()).await, answer);
    assert_eq!(get(issuer, "/v1/issuance", Some(&secret)).await, answer);
    let again = grant_answer(use_voucher(issuer, Some(&secret), &code).await);
    assert_eq!(again, GrantAnswer { minted: true, ..granted });
    assert_eq!(grant_answer(get(issuer, "/v1/grants", Some(&secret)).await), again);

    // Also when the keys have stopped issuing.
    vendor.clock.advance(400 * 86_400);
    assert_eq!(issue(issuer, Some(&secret), request.encode()).await, answer);
    let status = issuer.status().await.unwrap();
    assert_eq!((status.credits_issued.0, status.vouchers.used, status.grants.used), (12, 1, 1));
}

#[tokio::test]
async fn refused_vouchers_change_nothing() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let wallet = Wallet::new(1);
    let (first, second) = (wallet.secret(issuer, 0), wallet.secret(issuer, 1));
    let used = voucher(issuer, "starter").await;
    use_voucher(issuer, Some(&first), &used).await.success(media::JSON);
    let fresh = voucher(issuer, "starter").await;
    let unknown = crate::vouchers::VoucherCode::generate(&mut rng(200)).to_string();
    let mistyped = format!("{}0", &fresh[..fresh.len() - 1]);
    let mistyped =
        if mistyped == fresh { format!("{}1", &fresh[..fresh.len() - 1]) } else { mistyped };
    let before = database(issuer).await;

    for (secret, code, problem) in [
        (None, &fresh, ProblemType::GrantUnknown),
        (Some(&second), &unknown, ProblemType::VoucherUnknown),
        (Some(&second), &mistyped, ProblemType::VoucherUnknown),
        (Some(&second), &used, ProblemType::VoucherUsed),
        (Some(&first), &fresh, ProblemType::GrantUsed),
    ] {
        assert_eq!(use_voucher(issuer, secret, code).await.problem(), problem);
    }
    let body = |text: &str| text.to_owned().into_bytes();
    let code = fresh.as_str();
    for (secret, body, problem) in [
        (None, body("{"), ProblemType::GrantUnknown), // check 2 comes before check 3
        (Some(&second), body("{"), ProblemType::Malformed),
        (Some(&second), body(r#"{"source":"lottery","code":"x"}"#), ProblemType::Malformed),
        (Some(&second), body(r#"{"source":"voucher"}"#), ProblemType::Malformed),
        (
            Some(&second),
            format!(r#"{{"source":"voucher","code":"{code}"}} "x""#).into_bytes(),
            ProblemType::Malformed,
        ),
        (None, vec![b' '; MAX_GRANT_REQUEST + 1], ProblemType::TooLarge),
    ] {
        let answer = post(issuer, "/v1/grants", media::JSON, secret, body).await;
        assert_eq!(answer.problem(), problem);
    }
    for path in ["/v1/grants", "/v1/issuance"] {
        for secret in [None, Some(&second)] {
            let answer = get(issuer, path, secret).await;
            assert_eq!(answer.problem(), ProblemType::GrantUnknown);
        }
    }
    assert_eq!(database(issuer).await, before);
    use_voucher(issuer, Some(&second), &fresh).await.success(media::JSON);
}

#[tokio::test]
async fn a_voucher_is_good_through_its_last_day() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let wallet = Wallet::new(1);
    let made = issuer.create_vouchers("starter", 2, 1).await.unwrap();
    let codes: Vec<String> = made.codes.iter().map(ToString::to_string).collect();
    vendor.clock.set(made.last_day.start().plus(86_399));
    let secret = wallet.secret(issuer, 0);
    let granted = use_voucher(issuer, Some(&secret), &codes[0]).await;
    assert_eq!(granted.status, 200);
    vendor.clock.advance(1);
    let before = database(issuer).await;
    let late = use_voucher(issuer, Some(&wallet.secret(issuer, 1)), &codes[1]).await;
    assert_eq!(late.problem(), ProblemType::VoucherExpired);
    // The same request as then is a retry, whatever the time.
    assert_eq!(use_voucher(issuer, Some(&secret), &codes[0]).await, granted);
    assert_eq!(database(issuer).await, before);
}

#[tokio::test]
async fn refused_requests_mint_nothing() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let mut wallet = Wallet::new(1);
    let (index, secret) = wallet.grant(issuer, "starter").await;
    let (_, good) = wallet.blind(issuer, index, &STARTER);
    let before = database(issuer).await;

    let encoded = good.encode();
    let mut trailing = encoded.clone();
    trailing.push(0);
    let other = Wallet::new(2).secret(issuer, 0);
    let with = |edit: &dyn Fn(&mut scrip_protocol::issuance::IssuanceRequest)| {
        let mut request = good.clone();
        edit(&mut request);
        request.encode()
    };
    let modulus =
        |at: usize| *issuer.manifest().key(&good.items[at].key_id).unwrap().public().modulus();
    for (secret, body, problem) in [
        (None, vec![0; MAX_ISSUANCE + 1], ProblemType::TooLarge),
        (None, encoded[..encoded.len() - 1].to_vec(), ProblemType::Malformed),
        (Some(&secret), trailing, ProblemType::Malformed),
        (Some(&secret), vec![0; 3], ProblemType::Malformed),
        (Some(&secret), Vec::new(), ProblemType::Malformed),
        (None, encoded.clone(), ProblemType::GrantUnknown),
        (Some(&other), encoded.clone(), ProblemType::GrantUnknown),
        (
            Some(&secret),
            with(&|request| {
                request.items[3].key_id = scrip_protocol::id::KeyId::from_bytes([9; 32])
            }),
            ProblemType::KeyUnknown,
        ),
        (Some(&secret), with(&|request| request.items.truncate(6)), ProblemType::PackMismatch),
        (
            Some(&secret),
            with(&|request| request.items.push(request.items[0].clone())),
            ProblemType::PackMismatch,
        ),
        (
            Some(&secret),
            with(&|request| request.items[0].key_id = request.items[6].key_id),
            ProblemType::PackMismatch,
        ),
        (
            Some(&secret),
            with(&|request| request.items[5].blinded_message = modulus(5)),
            ProblemType::BlindedMessageOutOfRange,
        ),
        (
            Some(&secret),
            with(&|request| request.items[0].blinded_message = [0xff; RSA]),
            ProblemType::BlindedMessageOutOfRange,
        ),
        (
            Some(&secret),
            with(&|request| request.items[0].blinded_message = [0; RSA]),
            ProblemType::BlindedMessageOutOfRange,
        ),
    ] {
        assert_eq!(issue(issuer, secret, body).await.problem(), problem);
    }
    assert_eq!(database(issuer).await, before);
    // Nothing is lost either: the grant is as good as before.
    assert_eq!(issue(issuer, Some(&secret), encoded).await.status, 200);
}

#[tokio::test]
async fn keys_issue_in_their_window_and_a_little_around_it() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let mut wallet = Wallet::new(1);
    let windows = issuer.manifest().epochs()[0].windows;
    let (index, secret) = wallet.grant(issuer, "starter").await;
    let (_, request) = wallet.blind(issuer, index, &STARTER);
    let before = database(issuer).await;
    let (first, last) =
        (windows.issue_from.minus(ISSUE_GRACE), windows.issue_until.plus(ISSUE_GRACE - 1));
    for outside in [first.minus(1), last.plus(1)] {
        vendor.clock.set(outside);
        let answer = issue(issuer, Some(&secret), request.encode()).await;
        assert_eq!(answer.problem(), ProblemType::KeyOutsideWindow);
    }
    assert_eq!(database(issuer).await, before);
    vendor.clock.set(last);
    assert_eq!(issue(issuer, Some(&secret), request.encode()).await.status, 200);
}

#[tokio::test]
async fn a_grant_is_minted_once() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let mut wallet = Wallet::new(1);
    let (index, secret) = wallet.grant(issuer, "starter").await;
    let (_, first) = wallet.blind(issuer, index, &STARTER);
    let (_, other) = wallet.blind(issuer, index + 100, &STARTER);
    assert_eq!(issue(issuer, Some(&secret), first.encode()).await.status, 200);
    let before = database(issuer).await;
    let second = issue(issuer, Some(&secret), other.encode()).await;
    assert_eq!(second.problem(), ProblemType::GrantUsed);
    assert_eq!(database(issuer).await, before);
}

#[tokio::test]
async fn of_racing_requests_one_is_answered() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let mut wallet = Wallet::new(1);

    let (index, secret) = wallet.grant(issuer, "starter").await;
    let (_, same) = wallet.blind(issuer, index, &STARTER);
    let equal = join_all((0..8).map(|_| issue(issuer, Some(&secret), same.encode()))).await;
    assert!(equal.iter().all(|answer| answer.status == 200 && *answer == equal[0]));

    let (_, secret) = wallet.grant(issuer, "starter").await;
    let requests: Vec<_> =
        (100..108).map(|index| wallet.blind(issuer, index, &STARTER).1.encode()).collect();
    let raced = requests.iter().map(|request| issue(issuer, Some(&secret), request.clone()));
    let raced = join_all(raced).await;
    let (won, lost): (Vec<_>, Vec<_>) = raced.iter().partition(|answer| answer.status == 200);
    assert_eq!((won.len(), lost.len()), (1, 7));
    assert!(lost.iter().all(|answer| answer.problem() == ProblemType::GrantUsed));
    assert_eq!(get(issuer, "/v1/issuance", Some(&secret)).await, *won[0]);
    assert_eq!(issuer.status().await.unwrap().credits_issued.0, 24);
}

#[tokio::test]
async fn of_racing_vouchers_one_grant_comes() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let wallet = Wallet::new(1);
    let code = voucher(issuer, "starter").await;
    let secrets: Vec<_> = (0..8).map(|index| wallet.secret(issuer, index)).collect();
    let raced =
        join_all(secrets.iter().map(|secret| use_voucher(issuer, Some(secret), &code))).await;
    assert_eq!(raced.iter().filter(|answer| answer.status == 200).count(), 1);
    let lost = raced.iter().filter(|answer| answer.status != 200);
    assert!(lost.clone().all(|answer| answer.problem() == ProblemType::VoucherUsed));
    assert_eq!(issuer.status().await.unwrap().grants.total, 1);
}
