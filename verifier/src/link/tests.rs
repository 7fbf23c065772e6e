use axum::{Router, http::StatusCode, routing::get, routing::post};
use scrip_protocol::id::VendorId;
use scrip_runtime::client::ClientOptions;

use super::*;

async fn serve(router: Router) -> VendorAddress {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    tokio::spawn(async { axum::serve(listener, router).await });
    VendorAddress { id: VendorId::from_bytes([1; 32]), authority }
}

fn link() -> HttpLink {
    HttpLink::new(HttpClient::new(ClientOptions::default()).unwrap())
}

#[tokio::test]
async fn requests_go_to_the_paths_of_the_specification() {
    let redeem = |headers: http::HeaderMap, body: Bytes| async move {
        assert_eq!(headers[CONTENT_TYPE], media::REDEMPTION_BATCH);
        [b"outcome of ", &body[..]].concat()
    };
    let router = Router::new()
        .route("/v1/manifest", get(|| async { "a manifest" }))
        .route("/v1/redemptions", post(redeem));
    let vendor = serve(router).await;
    assert_eq!(link().manifest(&vendor).await.unwrap(), "a manifest");
    let outcome = link().redeem(&vendor, Bytes::from_static(b"a batch")).await.unwrap();
    assert_eq!(outcome, "outcome of a batch");
}

#[tokio::test]
async fn a_refusal_of_the_whole_is_no_answer() {
    let problem = Problem::new(ProblemType::OperatorUnknown).to_json();
    let router = Router::new()
        .route("/v1/manifest", get(|| async { (StatusCode::BAD_GATEWAY, "<html>") }))
        .route("/v1/redemptions", post(|| async { (StatusCode::FORBIDDEN, problem) }));
    let vendor = serve(router).await;
    let manifest = link().manifest(&vendor).await;
    assert!(matches!(manifest, Err(NoAnswer::Status { status: 502, problem: None })));
    let Err(error) = link().redeem(&vendor, Bytes::from_static(b"a batch")).await else {
        panic!("an answer")
    };
    assert!(error.to_string().contains("403 (operator-unknown: "), "{error}");
}

#[tokio::test]
async fn nobody_there_is_no_answer() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    drop(listener);
    let vendor = VendorAddress { id: VendorId::from_bytes([1; 32]), authority };
    let answer = link().redeem(&vendor, Bytes::new()).await;
    assert!(matches!(answer, Err(NoAnswer::Transport(TransportError::NotConnected { .. }))));
}
