//! Bad input over HTTP, to a real vendor and a real relay: each with its problem type, nothing changed, nothing lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use scrip_protocol::credits::{Credits, Exponent};
use scrip_protocol::id::{BatchId, KeyId, OperatorId, VendorId};
use scrip_protocol::issuance::{Blinding, IssuanceRequest};
use scrip_protocol::keys::{Signature, SigningKey};
use scrip_protocol::limits::{ISSUE_GRACE, MAX_ISSUANCE, MAX_PAID_REQUEST, MAX_REDEMPTION_BATCH};
use scrip_protocol::manifest::KeyUse;
use scrip_protocol::media;
use scrip_protocol::payment::PaidRequest;
use scrip_protocol::problem::{Problem, ProblemType};
use scrip_protocol::redemption::{
    InvalidReason, ItemResult, RedemptionBatch, RedemptionItem, RedemptionOutcome, batch_digest,
};
use scrip_protocol::resource::{ResourceKind, ResourceRequest};
use scrip_protocol::seed::{Counter, GrantSecret, WalletSeed};
use scrip_protocol::time::Day;
use scrip_runtime::client::{ClientOptions, HttpClient, Request, Response};
use scrip_runtime::clock::Clock;
use scrip_tests::network::{Network, PRODUCT, PRODUCT_CREDITS};
use scrip_wallet::net::{Network as Ways, Route};
use scrip_wallet::{Doubtful, Wallet};

async fn post(
    authority: &str,
    path: &str,
    media: &str,
    bearer: Option<&GrantSecret>,
    body: Vec<u8>,
) -> Response {
    let client = HttpClient::new(ClientOptions {
        timeout: Duration::from_secs(20),
        ..ClientOptions::default()
    })
    .unwrap();
    let mut request = Request::post(format!("http://{authority}{path}"), body, 1 << 22)
        .header(CONTENT_TYPE, media);
    if let Some(secret) = bearer {
        request = request.header(AUTHORIZATION, secret.to_bearer().as_str());
    }
    client.send(request).await.unwrap()
}

fn problem(response: &Response) -> ProblemType {
    let problem = Problem::from_json(&response.body).unwrap_or_else(|| {
        panic!("{}: {}", response.status, String::from_utf8_lossy(&response.body))
    });
    assert_eq!(problem.status, response.status);
    assert_eq!(response.headers[CONTENT_TYPE], media::PROBLEM);
    problem.problem
}

fn queue_request(days: u16) -> Vec<u8> {
    let key = |n| SigningKey::from_seed(&[n; 32]).public();
    let kind = ResourceKind::Queue { recipient_key: key(1), sender_key: key(2) };
    ResourceRequest { days, kind }.encode()
}

/// A payment of ten certificates for a queue, and ways to spoil it.
async fn draft(network: &Network, wallet: &Wallet) -> PaidRequest {
    let operator = network.relays[0].address().id;
    wallet
        .draft_payment(&operator, &queue_request(30), Credits(PRODUCT_CREDITS), Doubtful::Keep)
        .await
        .unwrap()
}

type Spoiler = fn(&mut PaidRequest);

#[tokio::test(flavor = "multi_thread")]
async fn a_spoiled_payment_is_refused_by_name_and_takes_nothing() {
    let network = Network::start().await.unwrap();
    let wallet = network.funded_wallet("alice", 1).await.unwrap();
    let authority = network.relays[0].address().authority.clone();
    let good = draft(&network, &wallet).await;
    let spoilers: [(ProblemType, Spoiler); 14] = [
        (ProblemType::WrongVendor, |p| p.payment.vendor_id = VendorId::from_bytes([1; 32])),
        (ProblemType::WrongOperator, |p| p.payment.operator_id = OperatorId::from_bytes([1; 32])),
        (ProblemType::DuplicateCertificate, |p| p.payment.items.push(p.payment.items[0].clone())),
        (ProblemType::DayOutOfRange, |p| p.payment.day = Day(p.payment.day.0 + 2)),
        (ProblemType::DayOutOfRange, |p| p.payment.day = Day(p.payment.day.0 - 2)),
        (ProblemType::ChallengeMismatch, |p| p.payment.items[3].token.challenge_digest[0] ^= 1),
        (ProblemType::KeyUnknown, |p| p.payment.items[3].token.key_id = KeyId::from_bytes([1; 32])),
        (ProblemType::CertificateKeyInvalid, |p| p.payment.items[3].token.nonce = [0; 32]),
        (ProblemType::CertificateKeyInvalid, |p| {
            // p + 2, which is no reduced y
            p.payment.items[3].token.nonce = [0xff; 32];
            p.payment.items[3].token.nonce[0] = 0xef;
            p.payment.items[3].token.nonce[31] = 0x7f;
        }),
        (ProblemType::PaymentTooLow, |p| {
            p.payment.items.sort_by_key(|item| item.token.nonce);
            p.payment.items.truncate(1);
            p.resource_request = ResourceRequest {
                days: 390,
                ..ResourceRequest::decode(&p.resource_request).unwrap()
            }
            .encode();
        }),
        (ProblemType::CertificateSignatureInvalid, |p| {
            p.payment.items[3].token.authenticator[99] ^= 1
        }),
        (ProblemType::SpendSignatureInvalid, |p| {
            p.payment.items[3].signature = Signature::from_bytes([7; 64])
        }),
        (ProblemType::SpendSignatureInvalid, |p| p.payment.salt.0[0] ^= 1),
        (ProblemType::SpendSignatureInvalid, |p| {
            p.payment.items[3].signature = p.payment.items[4].signature
        }),
    ];
    for (n, (expected, spoil)) in spoilers.iter().enumerate() {
        let mut spoiled = good.clone();
        spoil(&mut spoiled);
        let response =
            post(&authority, "/v1/queues", media::PAID_REQUEST, None, spoiled.encode()).await;
        assert_eq!(problem(&response), *expected, "case {n}");
        assert!(problem(&response).nothing_taken(), "case {n}");
    }
    let bytes = good.encode();
    for (expected, body) in [
        (ProblemType::TooLarge, vec![0; MAX_PAID_REQUEST + 1]),
        (ProblemType::Malformed, bytes[..bytes.len() - 1].to_vec()),
        (ProblemType::Malformed, [&bytes[..], &[0]].concat()),
        (ProblemType::Malformed, Vec::new()),
    ] {
        let response = post(&authority, "/v1/queues", media::PAID_REQUEST, None, body).await;
        assert_eq!(problem(&response), expected);
    }
    assert_eq!(queues(&network).await, 0, "nothing was provisioned");

    // The very same certificates are good: nothing of the above took any.
    let environment = network.environment();
    let ways = Ways::new(environment.network, environment.entropy);
    let client = ways.relay(network.relays[0].address(), environment.clock).unwrap();
    client.pay(Route::Queues, &bytes).await.expect("the honest payment is taken");
    assert_eq!(queues(&network).await, 1);
    assert_eq!(network.relays[0].relay().unwrap().redeem_now().await.unwrap().accepted, 10);
}

async fn queues(network: &Network) -> u64 {
    let config = network.relays[0].relay().unwrap().config();
    scrip_relay::report::status(config, network.clock.now()).await.unwrap().usage.queues
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_outside_of_its_window_pays_nothing() {
    let network = Network::start().await.unwrap();
    let wallet = network.funded_wallet("alice", 1).await.unwrap();
    let (authority, operator) =
        (network.relays[0].address().authority.clone(), network.relays[0].address().id);
    let draft = || wallet.draft_payment(&operator, &[1], Credits(1), Doubtful::Keep);
    assert!(draft().await.is_ok());
    let windows = network.vendor.issuer().unwrap().manifest().epochs()[0].windows;
    // The wallet keeps a distance to the end; the day must still be adjacent.
    network.clock.set(windows.spend_until.minus(20 * 3_600));
    let paid = wallet
        .draft_payment(&operator, &queue_request(30), Credits(2), Doubtful::Keep)
        .await
        .unwrap();
    network.clock.set(windows.spend_until);
    let response = post(&authority, "/v1/queues", media::PAID_REQUEST, None, paid.encode()).await;
    assert_eq!(problem(&response), ProblemType::KeyOutsideWindow);
}

/// A grant with everything that is needed to issue under it by hand.
struct Grant {
    secret: GrantSecret,
    request: IssuanceRequest,
}

async fn grant(network: &Network, seed: u8) -> Grant {
    let issuer = network.vendor.issuer().unwrap();
    let seed = WalletSeed::from_bytes([seed; 32]);
    let secret = seed.grant_secret(&issuer.vendor_id(), 0);
    let voucher = network.vendor.voucher(PRODUCT).await.unwrap();
    let body = format!(r#"{{"source":"voucher","code":"{voucher}"}}"#).into_bytes();
    let response = post(&authority(network), "/v1/grants", media::JSON, Some(&secret), body).await;
    assert_eq!(response.status, 200);
    let manifest = issuer.manifest();
    let exponents = (0..=4).flat_map(|k| [k, k]);
    let items = exponents
        .enumerate()
        .map(|(position, k)| {
            let key = manifest
                .issuing(KeyUse::Production, Exponent::new(k).unwrap(), network.clock.now())
                .unwrap();
            let counter = Counter::new(0, position as u16);
            Blinding::start(&seed, &manifest, key, counter).unwrap().item().clone()
        })
        .collect();
    Grant { secret, request: IssuanceRequest { items } }
}

fn authority(network: &Network) -> String {
    network.vendor.address().authority.clone()
}

async fn issue(network: &Network, secret: &GrantSecret, body: Vec<u8>) -> Response {
    post(&authority(network), "/v1/issuance", media::ISSUANCE_REQUEST, Some(secret), body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spoiled_issuance_is_refused_by_name_and_mints_nothing() {
    let network = Network::start().await.unwrap();
    let Grant { secret, request } = grant(&network, 1).await;
    let spoil = |spoil: &dyn Fn(&mut IssuanceRequest)| {
        let mut spoiled = request.clone();
        spoil(&mut spoiled);
        spoiled.encode()
    };
    let bytes = request.encode();
    for (expected, body) in [
        (ProblemType::TooLarge, vec![0; MAX_ISSUANCE + 1]),
        (ProblemType::Malformed, bytes[..bytes.len() - 1].to_vec()),
        (ProblemType::Malformed, [&bytes[..], &[0]].concat()),
        (ProblemType::KeyUnknown, spoil(&|r| r.items[0].key_id = KeyId::from_bytes([1; 32]))),
        (ProblemType::PackMismatch, spoil(&|r| r.items.truncate(9))),
        (ProblemType::PackMismatch, spoil(&|r| r.items.push(r.items[0].clone()))),
        (ProblemType::PackMismatch, spoil(&|r| r.items[0] = r.items[9].clone())),
        (
            ProblemType::BlindedMessageOutOfRange,
            spoil(&|r| r.items[4].blinded_message = [0xff; 256]),
        ),
    ] {
        assert_eq!(problem(&issue(&network, &secret, body).await), expected);
    }
    let stranger = GrantSecret::from_bytes([9; 32]);
    assert_eq!(
        problem(&issue(&network, &stranger, bytes.clone()).await),
        ProblemType::GrantUnknown
    );
    let status = network.vendor.issuer().unwrap().status().await.unwrap();
    assert_eq!((status.credits_issued, status.grants.used), (Credits(0), 0), "nothing was minted");

    let first = issue(&network, &secret, bytes.clone()).await;
    assert_eq!(first.status, 200);
    assert_eq!(
        issue(&network, &secret, bytes).await.body,
        first.body,
        "a retry gets the same bytes"
    );
    let other = spoil(&|r| r.items.reverse());
    assert_eq!(problem(&issue(&network, &secret, other).await), ProblemType::GrantUsed);
    let status = network.vendor.issuer().unwrap().status().await.unwrap();
    assert_eq!(status.credits_issued, Credits(PRODUCT_CREDITS), "minted once");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_vouchers_and_late_keys_are_refused_by_name() {
    let network = Network::start().await.unwrap();
    let turn_in = async |code: &str, secret: u8| {
        let body = format!(r#"{{"source":"voucher","code":"{code}"}}"#).into_bytes();
        let secret = GrantSecret::from_bytes([secret; 32]);
        post(&authority(&network), "/v1/grants", media::JSON, Some(&secret), body).await
    };
    let used = network.vendor.voucher(PRODUCT).await.unwrap();
    let first = turn_in(&used, 1).await;
    assert_eq!(first.status, 200);
    assert_eq!(turn_in(&used, 1).await.body, first.body, "a retry gets the same answer");
    assert_eq!(problem(&turn_in(&used, 2).await), ProblemType::VoucherUsed);
    let fresh = network.vendor.voucher(PRODUCT).await.unwrap();
    assert_eq!(problem(&turn_in(&fresh, 1).await), ProblemType::GrantUsed);
    assert_eq!(problem(&turn_in("AAAA-AAAA-AAAA-AAAA", 3).await), ProblemType::VoucherUnknown);
    let Grant { secret, request } = grant(&network, 4).await;
    network.clock.advance(31 * 86_400);
    assert_eq!(problem(&turn_in(&fresh, 3).await), ProblemType::VoucherExpired);
    let windows = network.vendor.issuer().unwrap().manifest().epochs()[0].windows;
    network.clock.set(windows.issue_until.plus(ISSUE_GRACE));
    assert_eq!(
        problem(&issue(&network, &secret, request.encode()).await),
        ProblemType::KeyOutsideWindow
    );
}

type ItemSpoiler = fn(&mut RedemptionItem);

#[tokio::test(flavor = "multi_thread")]
async fn a_spoiled_batch_is_refused_and_a_spoiled_item_is_named() {
    let network = Network::start().await.unwrap();
    let issuer = network.vendor.issuer().unwrap();
    let wallet = network.funded_wallet("alice", 1).await.unwrap();
    let operator = SigningKey::from_seed(&[42; 32]);
    let operator_id = OperatorId::of(&operator.public());
    let paid = wallet
        .draft_payment(&operator_id, &[1], Credits(PRODUCT_CREDITS), Doubtful::Keep)
        .await
        .unwrap();
    let items: Vec<_> =
        paid.payment.evidence(&[1]).into_iter().map(|evidence| evidence.item).collect();
    let batch = RedemptionBatch {
        vendor_id: issuer.vendor_id(),
        operator_id,
        batch_id: BatchId::from_bytes([1; 16]),
        items,
    };
    let send = async |body| {
        post(&authority(&network), "/v1/redemptions", media::REDEMPTION_BATCH, None, body).await
    };
    assert_eq!(problem(&send(batch.sign(&operator)).await), ProblemType::OperatorUnknown);
    network.vendor.contract("by hand", &operator.public()).await.unwrap();
    let other_vendor =
        RedemptionBatch { vendor_id: VendorId::from_bytes([0; 32]), ..batch.clone() };
    let signed = batch.sign(&operator);
    for (expected, body) in [
        (ProblemType::TooLarge, vec![0; MAX_REDEMPTION_BATCH + 1]),
        (ProblemType::Malformed, signed[..signed.len() - 1].to_vec()),
        (ProblemType::Malformed, [&signed[..], &[0]].concat()),
        (ProblemType::WrongVendor, other_vendor.sign(&operator)),
        (ProblemType::OperatorSignatureInvalid, batch.sign(&SigningKey::from_seed(&[43; 32]))),
    ] {
        assert_eq!(problem(&send(body).await), expected);
    }
    let spoilers: [(ItemResult, ItemSpoiler); 9] = [
        (ItemResult::Invalid(InvalidReason::Challenge), |i| i.token.challenge_digest[0] ^= 1),
        (ItemResult::Invalid(InvalidReason::Key), |i| i.token.key_id = KeyId::from_bytes([1; 32])),
        (ItemResult::Invalid(InvalidReason::Day), |i| i.day = Day(i.day.0 + 4_000)),
        (ItemResult::Invalid(InvalidReason::Day), |i| i.day = Day(i.day.0 - 4)),
        (ItemResult::Invalid(InvalidReason::CertificateKey), |i| i.token.nonce = [0; 32]),
        (ItemResult::Invalid(InvalidReason::CertificateSignature), |i| {
            i.token.authenticator[3] ^= 1
        }),
        (ItemResult::Invalid(InvalidReason::SpendSignature), |i| i.day = Day(i.day.0 + 1)),
        (ItemResult::Invalid(InvalidReason::SpendSignature), |i| {
            i.signature = Signature::from_bytes([0; 64])
        }),
        (ItemResult::Accepted, |_| ()),
    ];
    let mut spoiled = batch.clone();
    for (item, (_, spoil)) in spoiled.items.iter_mut().zip(&spoilers) {
        spoil(item);
    }
    let bytes = spoiled.sign(&operator);
    let response = send(bytes.clone()).await;
    assert_eq!(response.status, 200);
    let outcome =
        RedemptionOutcome::open(&response.body, issuer.manifest().receipt_keys()).unwrap();
    assert_eq!(outcome.batch_digest, batch_digest(&bytes));
    let expected = spoilers.iter().map(|(result, _)| *result).chain([ItemResult::Accepted]);
    assert_eq!(outcome.results, expected.collect::<Vec<_>>());
    // Nothing of it harmed the good items.
    let response = send(signed).await;
    let outcome =
        RedemptionOutcome::open(&response.body, issuer.manifest().receipt_keys()).unwrap();
    assert_eq!(outcome.results[..8], [ItemResult::Accepted; 8]);
    assert_eq!(outcome.results[8..], [ItemResult::AlreadyAccepted; 2]);
    let status = issuer.status().await.unwrap();
    assert_eq!(status.credits_redeemed, Credits(PRODUCT_CREDITS));
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_methods_and_media_types_that_are_none_get_problems_too() {
    let network = Network::start().await.unwrap();
    for authority in [&authority(&network), &network.relays[0].address().authority] {
        let response = post(authority, "/v1/nothing", media::JSON, None, Vec::new()).await;
        assert_eq!(problem(&response), ProblemType::NotFound);
    }
    let response = post(&authority(&network), "/v1/manifest", media::JSON, None, Vec::new()).await;
    assert_eq!(problem(&response), ProblemType::MethodNotAllowed);
    let relay = &network.relays[0].address().authority;
    let response = post(relay, "/v1/queues", "text/plain", None, vec![1]).await;
    assert_eq!(problem(&response), ProblemType::UnsupportedMediaType);
    let response =
        post(relay, "/v1/queues", media::RESOURCE_REQUEST, None, queue_request(30)).await;
    assert_eq!(problem(&response), ProblemType::PaymentRequired);
    let challenge = response.headers["www-authenticate"].to_str().unwrap();
    assert!(challenge.starts_with("PrivateToken challenge=\""), "{challenge}");
}
