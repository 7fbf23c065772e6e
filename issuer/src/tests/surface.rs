//! Paths, methods, media types, sizes.

use axum::body::Body;
use futures_util::stream;
use http::{Method, Request, header};
use scrip_protocol::{
    limits::{MAX_GRANT_REQUEST, MAX_ISSUANCE, MAX_JSON, MAX_REDEMPTION_BATCH},
    manifest::ProvenManifest,
    media,
    problem::ProblemType,
    tlog::policy::WitnessPolicy,
    token::TokenRequest,
};

use super::support::*;
use crate::testing::TestIssuer;

const POSTS: [(&str, &str, usize); 5] = [
    ("/v1/grants", media::JSON, MAX_GRANT_REQUEST),
    ("/v1/orders", media::JSON, MAX_JSON),
    ("/v1/issuance", media::ISSUANCE_REQUEST, MAX_ISSUANCE),
    ("/v1/token-request", media::TOKEN_REQUEST, TokenRequest::SIZE),
    ("/v1/redemptions", media::REDEMPTION_BATCH, MAX_REDEMPTION_BATCH),
];

#[tokio::test]
async fn the_manifest_is_what_readers_accept() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let body = get(issuer, "/v1/manifest", None).await.success(media::MANIFEST);
    let proven = ProvenManifest::open(&body, &issuer.vendor_id()).unwrap();
    // The ledger has it by the time that anybody asks.
    assert!(proven.verify(&WitnessPolicy::none()).is_ok());
    let manifest = proven.into_manifest();
    assert_eq!(manifest.digest(), issuer.manifest().digest());
    assert_eq!(manifest.challenge().issuer_name, "vendor.test");
    assert_eq!(manifest.keys().count(), 3);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    for path in ["/", "/v1", "/v1/grants/x", "/v2/manifest", "/v1/manifest/"] {
        assert_eq!(get(issuer, path, None).await.problem(), ProblemType::NotFound, "{path}");
    }
    for (method, path) in [
        (Method::GET, "/v1/redemptions"),
        (Method::DELETE, "/v1/grants"),
        (Method::POST, "/v1/manifest"),
    ] {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        assert_eq!(send(issuer, request).await.problem(), ProblemType::MethodNotAllowed, "{path}");
    }
}

#[tokio::test]
async fn other_media_types_are_refused() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    for (path, media_type, _) in POSTS {
        for other in ["text/plain", "application/octet-stream", "", media::RECEIPT] {
            let answer = post(issuer, path, other, None, "x").await;
            assert_eq!(answer.problem(), ProblemType::UnsupportedMediaType, "{path} {other}");
        }
        let parameters = format!("{}; charset=utf-8", media_type.to_uppercase());
        let answer = post(issuer, path, &parameters, None, "x").await;
        assert_ne!(answer.problem(), ProblemType::UnsupportedMediaType, "{path}");
    }
}

#[tokio::test]
async fn bodies_are_capped_whether_or_not_they_say_how_long_they_are() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let before = database(issuer).await;
    for (path, media_type, limit) in POSTS {
        let announced = Request::builder().method(Method::POST).uri(path);
        let announced = announced
            .header(header::CONTENT_TYPE, media_type)
            .header(header::CONTENT_LENGTH, limit + 1)
            .body(Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>()));
        let answer = send(issuer, announced.unwrap()).await; // answered without reading any of it
        assert_eq!(answer.problem(), ProblemType::TooLarge, "{path}");

        let chunks =
            stream::iter((0..=limit / 1_000).map(|_| Ok::<_, std::io::Error>(vec![0; 1_000])));
        let endless = Request::builder().method(Method::POST).uri(path);
        let endless =
            endless.header(header::CONTENT_TYPE, media_type).body(Body::from_stream(chunks));
        let answer = send(issuer, endless.unwrap()).await;
        assert_eq!(answer.problem(), ProblemType::TooLarge, "{path}");
    }
    assert_eq!(database(issuer).await, before);
}

#[tokio::test]
async fn a_cut_body_is_malformed() {
    let vendor = TestIssuer::start().await.unwrap();
    let cut = stream::iter([Ok(vec![0; 100]), Err(std::io::Error::other("the client left"))]);
    let request = Request::builder().method(Method::POST).uri("/v1/issuance");
    let request =
        request.header(header::CONTENT_TYPE, media::ISSUANCE_REQUEST).body(Body::from_stream(cut));
    let answer = send(&vendor.issuer, request.unwrap()).await;
    assert_eq!(answer.problem(), ProblemType::Malformed);
}
