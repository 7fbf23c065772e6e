//! One token at a time (RFC 9578).

use data_encoding::BASE64URL;
use futures_util::future::join_all;
use scrip_protocol::{
    issuance::{Blinding, SignedItem},
    limits::RSA,
    media,
    problem::ProblemType,
    rsa::TokenPublicKey,
    seed::GrantSecret,
    token::TokenRequest,
};

use super::support::*;
use crate::{Issuer, testing::TestIssuer};

async fn ask(issuer: &Issuer, secret: Option<&GrantSecret>, body: Vec<u8>) -> Answer {
    post(issuer, "/v1/token-request", media::TOKEN_REQUEST, secret, body).await
}

fn request(blinding: &Blinding) -> TokenRequest {
    TokenRequest {
        truncated_key_id: blinding.item().key_id.as_bytes()[31],
        blinded_message: blinding.item().blinded_message,
    }
}

#[tokio::test]
async fn the_directory_lists_the_issuing_keys() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let path = "/.well-known/private-token-issuer-directory";
    let body = get(issuer, path, None).await.success(media::ISSUER_DIRECTORY);
    let directory: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(directory["issuer-request-uri"], "/v1/token-request");
    let keys = directory["token-keys"].as_array().unwrap();
    assert_eq!(keys.len(), 3);
    for (exponent, key) in (0..).zip(keys) {
        assert_eq!(key["token-type"], 2);
        let spki = BASE64URL.decode(key["token-key"].as_str().unwrap().as_bytes()).unwrap();
        let id = TokenPublicKey::from_spki(&spki).unwrap().id();
        assert_eq!(issuer.manifest().key(&id).unwrap().exponent(), k(exponent));
    }
    vendor.clock.advance(400 * 86_400);
    let body = get(issuer, path, None).await.success(media::ISSUER_DIRECTORY);
    let directory: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(directory["token-keys"], serde_json::json!([]));
}

#[tokio::test]
async fn each_token_uses_up_one_certificate_of_its_denomination() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let mut wallet = Wallet::new(1);
    let (index, secret) = wallet.grant(issuer, "starter").await;
    let (blindings, _) = wallet.blind(issuer, index, &[1, 1, 1, 2]);
    let requests: Vec<Vec<u8>> =
        blindings.iter().map(|blinding| request(blinding).encode()).collect();

    let mut answers = Vec::new();
    for request in &requests[..2] {
        answers.push(ask(issuer, Some(&secret), request.clone()).await);
    }
    let before = database(issuer).await;
    let third = ask(issuer, Some(&secret), requests[2].clone()).await;
    assert_eq!(third.problem(), ProblemType::GrantUsed);
    for (request, answer) in requests.iter().zip(&answers) {
        assert_eq!(ask(issuer, Some(&secret), request.clone()).await, *answer);
    }
    assert_eq!(database(issuer).await, before, "a retry uses nothing up");
    answers.push(third);
    answers.push(ask(issuer, Some(&secret), requests[3].clone()).await);

    for (blinding, answer) in blindings.into_iter().zip(answers).filter(|(_, a)| a.status == 200) {
        let key_id = blinding.item().key_id;
        let blind_signature = answer.success(media::TOKEN_RESPONSE).try_into().unwrap();
        let manifest = issuer.manifest();
        let key = manifest.key(&key_id).unwrap();
        blinding.finish(key, &SignedItem { key_id, blind_signature }).unwrap();
    }
    assert_eq!(issuer.status().await.unwrap().credits_issued.0, 2 + 2 + 4);
}

#[tokio::test]
async fn a_pack_and_single_tokens_do_not_mix() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let mut wallet = Wallet::new(1);
    let pack_path = "/v1/issuance";

    let (index, secret) = wallet.grant(issuer, "starter").await;
    let (blindings, pack) = wallet.blind(issuer, index, &STARTER);
    let token = request(&blindings[0]).encode();
    assert_eq!(ask(issuer, Some(&secret), token.clone()).await.status, 200);
    let before = database(issuer).await;
    let refused =
        post(issuer, pack_path, media::ISSUANCE_REQUEST, Some(&secret), pack.encode()).await;
    assert_eq!(refused.problem(), ProblemType::GrantUsed);
    let unused = get(issuer, pack_path, Some(&secret)).await;
    assert_eq!(unused.problem(), ProblemType::GrantUnused);
    assert_eq!(database(issuer).await, before);

    let (index, secret) = wallet.grant(issuer, "starter").await;
    let (_, pack) = wallet.blind(issuer, index, &STARTER);
    let minted =
        post(issuer, pack_path, media::ISSUANCE_REQUEST, Some(&secret), pack.encode()).await;
    assert_eq!(minted.status, 200);
    assert_eq!(ask(issuer, Some(&secret), token).await.problem(), ProblemType::GrantUsed);
}

#[tokio::test]
async fn refused_token_requests_change_nothing() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let mut wallet = Wallet::new(1);
    let (index, secret) = wallet.grant(issuer, "single").await;
    let (blindings, _) = wallet.blind(issuer, index, &[1, 0]);
    let (good, not_in_pack) = (request(&blindings[0]), request(&blindings[1]));
    let known: Vec<u8> = issuer.manifest().keys().map(|key| key.id().as_bytes()[31]).collect();
    let unknown_id = (0..=255).find(|byte| !known.contains(byte)).unwrap();
    let other = Wallet::new(2).secret(issuer, 0);
    let before = database(issuer).await;

    let encoded = good.encode();
    for (secret, body, problem) in [
        (None, [encoded.clone(), vec![0]].concat(), ProblemType::TooLarge),
        (None, encoded[1..].to_vec(), ProblemType::Malformed),
        (None, [&[0, 1], &encoded[2..]].concat(), ProblemType::Malformed),
        (None, encoded.clone(), ProblemType::GrantUnknown),
        (Some(&other), encoded.clone(), ProblemType::GrantUnknown),
        (
            Some(&secret),
            TokenRequest { truncated_key_id: unknown_id, ..good.clone() }.encode(),
            ProblemType::KeyUnknown,
        ),
        (Some(&secret), not_in_pack.encode(), ProblemType::GrantUsed),
        (
            Some(&secret),
            TokenRequest { blinded_message: [0xff; RSA], ..good.clone() }.encode(),
            ProblemType::BlindedMessageOutOfRange,
        ),
    ] {
        assert_eq!(ask(issuer, secret, body).await.problem(), problem);
    }
    vendor.clock.advance(400 * 86_400);
    assert_eq!(ask(issuer, Some(&secret), encoded).await.problem(), ProblemType::KeyUnknown);
    assert_eq!(database(issuer).await, before);
}

#[tokio::test]
async fn of_racing_token_requests_as_many_are_answered_as_the_pack_has() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let mut wallet = Wallet::new(1);
    let (index, secret) = wallet.grant(issuer, "starter").await;
    let (blindings, _) = wallet.blind(issuer, index, &[0; 12]);
    let asked = blindings.iter().map(|b| ask(issuer, Some(&secret), request(b).encode()));
    let answers = join_all(asked).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 4);
    let lost = answers.iter().filter(|answer| answer.status != 200);
    assert!(lost.clone().all(|answer| answer.problem() == ProblemType::GrantUsed));
}
