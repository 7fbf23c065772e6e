//! The client against servers that answer, stop, lie or are not there.

mod socks;

use std::{io, net::SocketAddr};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, StatusCode},
    response::Redirect,
    routing::{get, post},
};
use futures_util::{StreamExt, stream};
use http::header::{CONTENT_TYPE, USER_AGENT};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::Instant,
};

use self::socks::SocksServer;
use super::*;
use crate::serve::{ConnectionLimits, Listen, bind};

const SOON: Duration = Duration::from_millis(400);

fn client() -> HttpClient {
    HttpClient::new(ClientOptions::default()).unwrap()
}

fn impatient() -> HttpClient {
    HttpClient::new(ClientOptions { timeout: SOON, ..ClientOptions::default() }).unwrap()
}

/// A server of this crate with endpoints to try.
async fn server() -> SocketAddr {
    let router = Router::new()
        .route("/headers", get(|headers: HeaderMap| async move { format!("{headers:?}") }))
        .route("/echo", post(|body: Bytes| async { (StatusCode::CREATED, body) }))
        .route(
            "/length",
            post(|headers: HeaderMap| async move { format!("{:?}", headers["content-length"]) }),
        )
        .route("/thousand", get(|| async { "a".repeat(1_000) }))
        .route("/chunked", get(|| async { endless_chunks(1_000) }))
        .route("/pause", get(|| async { Body::from_stream(pause_after("first")) }))
        .route("/redirect", get(|| async { Redirect::to("/headers") }));
    let address = "127.0.0.1:0".parse().unwrap();
    let bound = bind(&Listen { address, tls: None, behind_tls_proxy: false }).await.unwrap();
    let address = bound.address();
    let limits = ConnectionLimits::default();
    tokio::spawn(bound.serve(router, limits, std::future::pending()));
    address
}

fn endless_chunks(size: usize) -> Body {
    Body::from_stream(stream::repeat_with(move || Ok::<_, io::Error>(vec![0_u8; size])))
}

fn pause_after(text: &'static str) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send {
    stream::iter([Ok(Bytes::from_static(text.as_bytes()))]).chain(stream::pending())
}

/// A server that reads one request, sends `answer` and closes.
async fn cutting_server(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer).await;
        }
    });
    address
}

async fn unused_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_body_goes_there_and_back_unchanged() {
    let address = server().await;
    let body: Vec<u8> = (0..=255).collect();
    let request = Request::post(format!("http://{address}/echo"), body.clone(), 256);
    let answer = client().send(request).await.unwrap();
    assert_eq!((answer.status, answer.body), (201, Bytes::from(body)));
}

#[tokio::test]
async fn a_request_says_nothing_about_its_sender() {
    let address = server().await;
    let request = Request::get(format!("http://{address}/headers"), 1_000)
        .header(CONTENT_TYPE, "application/x-test");
    let answer = client().send(request).await.unwrap();
    let seen = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(seen.contains("application/x-test"), "{seen}");
    for forbidden in
        [USER_AGENT.as_str(), "accept-encoding", "accept-language", "referer", "cookie"]
    {
        assert!(!seen.contains(forbidden), "{forbidden} in {seen}");
    }
}

#[tokio::test]
async fn redirects_are_answers() {
    let address = server().await;
    let request = Request::get(format!("http://{address}/redirect"), 1_000);
    assert_eq!(client().send(request).await.unwrap().status, 303);
}

#[tokio::test]
async fn an_answer_has_at_most_the_size_that_was_asked_for() {
    let address = server().await;
    let get = |path: &str, limit| Request::get(format!("http://{address}/{path}"), limit);
    assert_eq!(client().send(get("thousand", 1_000)).await.unwrap().body.len(), 1_000);
    for request in [get("thousand", 999), get("chunked", 5_500), get("chunked", 0)] {
        let limit = request.max_response;
        let error = client().send(request).await.unwrap_err();
        assert!(matches!(error, TransportError::TooLarge { limit: l } if l == limit), "{error}");
        assert!(!error.certainly_not_sent());
    }
}

#[tokio::test]
async fn nobody_listening_means_that_nothing_was_sent() {
    let address = unused_address().await;
    let error =
        client().send(Request::get(format!("http://{address}/secret"), 9)).await.unwrap_err();
    assert!(matches!(error, TransportError::NotConnected { .. }), "{error}");
    assert!(error.certainly_not_sent());
    let message = error.to_string();
    assert!(message.contains(&address.to_string()) && !message.contains("secret"), "{message}");
}

#[tokio::test]
async fn a_connection_that_is_not_answered_means_that_nothing_was_sent() {
    // Nobody speaks TLS here, so that the handshake waits until the time to connect is over.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let error = impatient().send(Request::get(url, 9)).await.unwrap_err();
    assert!(matches!(error, TransportError::NotConnected { .. }), "{error}");
}

#[tokio::test]
async fn a_cut_answer_may_follow_a_received_request() {
    let answers: [&[u8]; 4] = [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ];
    for answer in answers {
        let address = cutting_server(answer).await;
        let request = Request::post(format!("http://{address}/"), "body", 100);
        let error = client().send(request).await.unwrap_err();
        assert!(matches!(error, TransportError::Interrupted { .. }), "{error}");
        assert!(!error.certainly_not_sent());
    }
}

#[tokio::test]
async fn a_late_answer_may_follow_a_received_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap(); // accepts, never answers
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let error = impatient().send(Request::get(url, 9)).await.unwrap_err();
    assert!(matches!(error, TransportError::Interrupted { .. }), "{error}");

    let url = format!("http://{}/pause", server().await);
    let error = impatient().send(Request::get(url, 9)).await.unwrap_err();
    assert!(matches!(error, TransportError::Interrupted { .. }), "{error}");
}

#[tokio::test]
async fn a_body_can_be_streamed_up() {
    let address = server().await;
    let post = |path: &str| Request::post(format!("http://{address}/{path}"), "", 1 << 20);
    let pieces = || stream::iter((0..100).map(|_| Ok(Bytes::from(vec![7; 1_000]))));

    let answer = client().send_streaming_body(post("echo"), pieces(), 100_000).await.unwrap();
    assert_eq!(answer.body, vec![7; 100_000]);
    let large: Vec<u8> = (0..300_000_u32).map(|i| (i % 251) as u8).collect();
    let one_piece = stream::iter([Ok(Bytes::from(large.clone()))]);
    let answer = client().send_streaming_body(post("echo"), one_piece, 300_000).await.unwrap();
    assert_eq!(answer.body, large, "split on the way, whole again at the end");
    let answer = client().send_streaming_body(post("length"), pieces(), 100_000).await.unwrap();
    assert_eq!(answer.body, "\"100000\"");
    let answer = client().send_streaming_body(post("echo"), stream::empty(), 0).await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (201, 0));

    for wrong in [99_999, 100_001] {
        let error = client().send_streaming_body(post("echo"), pieces(), wrong).await.unwrap_err();
        assert!(matches!(error, TransportError::Interrupted { .. }), "{wrong}: {error}");
    }
    let failing = stream::iter([Ok(Bytes::from_static(b"x")), Err(io::Error::other("disk gone"))]);
    let error = client().send_streaming_body(post("echo"), failing, 5).await.unwrap_err();
    assert!(error.to_string().contains("disk gone"), "{error}");
    let error =
        impatient().send_streaming_body(post("echo"), pause_after("first"), 50).await.unwrap_err();
    assert!(matches!(error, TransportError::Interrupted { .. }), "{error}");
}

#[tokio::test]
async fn a_slow_upload_that_moves_is_not_interrupted() {
    let address = server().await;
    let pieces = stream::iter(0..8).then(|_| async {
        tokio::time::sleep(SOON / 4).await;
        Ok(Bytes::from_static(b"piece"))
    });
    let started = Instant::now();
    let request = Request::post(format!("http://{address}/echo"), "", 100);
    let answer = impatient().send_streaming_body(request, pieces, 40).await.unwrap();
    assert_eq!(answer.body.len(), 40);
    assert!(started.elapsed() > SOON);
}

#[tokio::test]
async fn a_body_can_be_streamed_down() {
    let address = server().await;
    let get = |path: &str, limit| Request::get(format!("http://{address}/{path}"), limit);

    let (status, headers, body) = client().get_streaming(get("thousand", 1_000)).await.unwrap();
    assert_eq!((status, headers["content-length"].to_str().unwrap()), (200, "1000"));
    let pieces: Vec<Bytes> = body.map(Result::unwrap).collect().await;
    assert_eq!(pieces.concat().len(), 1_000);

    let refused = client().get_streaming(get("thousand", 999)).await.err().unwrap();
    assert!(matches!(refused, TransportError::TooLarge { limit: 999 }));
    let (_, _, body) = client().get_streaming(get("chunked", 5_500)).await.unwrap();
    let last = body.collect::<Vec<_>>().await.pop().unwrap();
    assert!(matches!(last, Err(TransportError::TooLarge { limit: 5_500 })));

    let (_, _, mut body) = impatient().get_streaming(get("pause", 100)).await.unwrap();
    assert_eq!(body.next().await.unwrap().unwrap(), "first");
    assert!(matches!(body.next().await, Some(Err(TransportError::Interrupted { .. }))));
    assert!(body.next().await.is_none());
}

fn through(proxy: &SocksServer) -> HttpClient {
    let proxy = Some(format!("socks5h://{}", proxy.address));
    HttpClient::new(ClientOptions { proxy, ..ClientOptions::default() }).unwrap()
}

#[tokio::test]
async fn names_are_resolved_by_the_proxy() {
    let proxy = SocksServer::start(server().await).await;
    let request = Request::get("http://relay.onion/thousand", 1_000);
    assert_eq!(through(&proxy).send(request).await.unwrap().body.len(), 1_000);
    assert_eq!(proxy.asked_for(), ["name relay.onion:80"]);

    // A handshake with a server that speaks plain HTTP fails, after the name was handed on.
    let request = Request::get("https://relay.example/", 9);
    assert!(through(&proxy).send(request).await.unwrap_err().certainly_not_sent());
    assert_eq!(proxy.asked_for()[1..], ["name relay.example:443"]);
}

#[tokio::test]
async fn loopback_goes_through_the_proxy_too() {
    let proxy = SocksServer::start(server().await).await;
    for host in ["127.0.0.1:1", "localhost:2", "[::1]:3"] {
        let request = Request::get(format!("http://{host}/thousand"), 1_000);
        assert_eq!(through(&proxy).send(request).await.unwrap().status, 200);
    }
    assert_eq!(proxy.asked_for(), ["v4 127.0.0.1:1", "name localhost:2", "v6 ::1:3"]);
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_not_bypassed() {
    let address = server().await;
    let proxy = Some(format!("socks5h://{}", unused_address().await));
    let client = HttpClient::new(ClientOptions { proxy, ..ClientOptions::default() }).unwrap();
    let request = Request::get(format!("http://{address}/thousand"), 1_000);
    let error = client.send(request).await.unwrap_err();
    assert!(matches!(error, TransportError::NotConnected { .. }), "{error}");
}

#[tokio::test]
async fn plain_http_and_onion_addresses_are_refused_where_they_would_leak() {
    for url in [
        "http://example.com/",
        "http://192.0.2.1/",
        "http://localhost.example.com/",
        "http://127.0.0.1@example.com/",
        "http://relay.onion/",
        "https://relay.onion/",
        "ftp://127.0.0.1/",
        "file:///etc/hostname",
        "no url",
    ] {
        let error = client().send(Request::get(url, 9)).await.unwrap_err();
        assert!(matches!(error, TransportError::Refused { .. }), "{url}: {error}");
    }
    let split = Request::get("https://example.com/", 9).header(CONTENT_TYPE, "a\r\nb: c");
    let error = client().send(split).await.unwrap_err();
    assert!(matches!(error, TransportError::Refused { .. }), "{error}");
}

#[test]
fn unusable_options_are_refused() {
    for proxy in
        ["", "127.0.0.1:9050", "socks5://127.0.0.1:9050", "http://127.0.0.1:80", "socks5h://h"]
    {
        let options = ClientOptions { proxy: Some(proxy.to_owned()), ..ClientOptions::default() };
        let error = HttpClient::new(options).unwrap_err();
        assert!(matches!(error, ClientError::Proxy), "{proxy}");
    }
    for pem in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let extra_roots_pem = Some(pem.as_bytes().to_vec());
        let options = ClientOptions { extra_roots_pem, ..ClientOptions::default() };
        assert!(matches!(HttpClient::new(options), Err(ClientError::Roots { .. })));
    }
}

#[test]
fn only_this_machine_is_called_without_tls() {
    for authority in ["localhost", "LocalHost:80", "127.0.0.1", "127.9.9.9:8080", "[::1]:8080"] {
        assert_eq!(base_url(authority), format!("http://{authority}"));
    }
    for authority in
        ["example.com", "example.com:8080", "128.0.0.1", "[::2]:80", "127.0.0.1@example.com", ""]
    {
        assert_eq!(base_url(authority), format!("https://{authority}"));
    }
}
