//! The layer before an axum route, and before a plain hyper service.

use std::convert::Infallible;

use axum::{Extension, Router, body::Body, routing::post};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tower::service_fn;

use super::*;
use crate::Paid;

async fn handler(Extension(paid): Extension<Paid>, body: Bytes) -> (http::StatusCode, Vec<u8>) {
    let text = format!("{} for {}", paid.credits, String::from_utf8_lossy(&body));
    (http::StatusCode::CREATED, text.into_bytes())
}

#[tokio::test]
async fn an_axum_route_is_paid_for() {
    let world = World::new().await;
    let layer = PaymentLayer::new(Arc::clone(&world.verifier), world.price.clone());
    let router = Router::new()
        .route("/v1/things", post(handler).layer(layer))
        .route("/v1/free", post(|| async { "free" }));
    let send = |path: &'static str, content_type: &'static str, body: Vec<u8>| {
        let request = Request::post(path).header(CONTENT_TYPE, content_type);
        router.clone().oneshot(request.body(Body::from(body)).unwrap())
    };
    let payment = world.payment(&[&world.certificate(2)], b"a thing");
    for _ in 0..2 {
        let response = send("/v1/things", media::PAID_REQUEST, payment.encode()).await.unwrap();
        assert_eq!(response.status(), 201);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "4 credits for a thing");
    }
    let response = send("/v1/things", media::RESOURCE_REQUEST, b"a thing".to_vec()).await.unwrap();
    assert_eq!(response.status(), 402);
    assert_eq!(send("/v1/free", "text/plain", Vec::new()).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_hyper_service_is_paid_for() {
    let world = World::new().await;
    let layer = PaymentLayer::new(Arc::clone(&world.verifier), world.price.clone());
    let inner = service_fn(|request: Request<Full<Bytes>>| async move {
        assert!(request.extensions().get::<Paid>().is_some());
        let response = Response::builder().status(201).body(request.into_body()).unwrap();
        Ok::<_, Infallible>(response)
    });
    let service = TowerToHyperService::new(layer.layer(inner));
    let (client, server) = tokio::io::duplex(1 << 16);
    let served = hyper::server::conn::http1::Builder::new();
    tokio::spawn(served.serve_connection(TokioIo::new(server), service));
    let answer = exchange(client, &world.payment(&[&world.certificate(2)], b"a thing")).await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert!(answer.ends_with("a thing"), "{answer}");
}

async fn exchange(mut client: tokio::io::DuplexStream, payment: &PaidRequest) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let body = payment.encode();
    let head = format!(
        "POST /v1/things HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {}\r\n\
         content-length: {}\r\n\r\n",
        media::PAID_REQUEST,
        body.len()
    );
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(&body).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    answer
}
