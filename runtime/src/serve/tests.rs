//! The server against clients that are well-behaved, and ones that are not.

use std::fs;

use axum::{
    Router,
    body::Bytes,
    routing::{get, post},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Notify, oneshot},
    task::JoinHandle,
    time::Instant,
};

use super::*;
use crate::client::{ClientOptions, HttpClient, Request};

const SOON: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(10);

fn local(tls: Option<TlsFiles>) -> Listen {
    Listen { address: "127.0.0.1:0".parse().unwrap(), tls, behind_tls_proxy: false }
}

fn router() -> Router {
    Router::new()
        .route("/hello", get(|| async { "hello" }))
        .route("/slow", get(|| async { sleep(SOON).await }))
        .route("/endless", get(std::future::pending::<()>))
        .route("/held", get(held))
        .route("/large", get(|| async { vec![0_u8; 64 << 20] }))
        .route("/echo", post(|body: Bytes| async { body }))
}

/// Told when a request to `/held` is being worked on; one test uses it.
static HELD: Notify = Notify::const_new();

async fn held() {
    HELD.notify_one();
    sleep(SOON).await;
}

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), ServeError>>,
}

async fn start(listen: Listen, limits: ConnectionLimits) -> Running {
    let bound = bind(&listen).await.unwrap();
    let address = bound.address();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(bound.serve(router(), limits, async {
        let _ = stopped.await;
    }));
    Running { address, stop, server }
}

/// Sends raw bytes and returns all that comes back until the server closes.
async fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    rest_of(&mut stream).await
}

async fn rest_of(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset counts as an end, too.
    let _ = timeout(LONG, stream.read_to_end(&mut answer)).await.expect("the server closes");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn plain_http_stays_on_this_machine() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
        let listen =
            Listen { address: address.parse().unwrap(), tls: None, behind_tls_proxy: false };
        let error = bind(&listen).await.err().unwrap();
        assert!(matches!(error, ServeError::PlainHttp { .. }), "{address}");
        let message = error.to_string();
        assert!(message.contains("behind_tls_proxy") && message.contains("certificate"));
    }
    let proxied =
        Listen { address: "0.0.0.0:0".parse().unwrap(), tls: None, behind_tls_proxy: true };
    assert!(bind(&proxied).await.is_ok());
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let first = bind(&local(None)).await.unwrap();
    let second = Listen { address: first.address(), ..local(None) };
    let error = bind(&second).await.err().unwrap().to_string();
    assert!(error.contains(&first.address().to_string()), "{error}");
}

fn write_certificate(directory: &std::path::Path) -> (TlsFiles, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files =
        TlsFiles { certificate: directory.join("cert.pem"), key: directory.join("key.pem") };
    fs::write(&files.certificate, made.cert.pem()).unwrap();
    fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    (files, made.cert.pem().into_bytes())
}

#[tokio::test]
async fn tls_with_a_trusted_certificate_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let (files, root) = write_certificate(directory.path());
    let running = start(local(Some(files)), ConnectionLimits::default()).await;
    let url = format!("https://localhost:{}/hello", running.address.port());

    let trusting = ClientOptions { extra_roots_pem: Some(root), ..ClientOptions::default() };
    let answer = HttpClient::new(trusting).unwrap().send(Request::get(&url, 10)).await.unwrap();
    assert_eq!((answer.status, answer.body.as_ref()), (200, b"hello".as_slice()));

    let stranger = HttpClient::new(ClientOptions::default()).unwrap();
    let error = stranger.send(Request::get(&url, 10)).await.unwrap_err();
    assert!(error.certainly_not_sent(), "{error}");
}

#[tokio::test]
async fn unusable_tls_files_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let (files, _) = write_certificate(directory.path());
    let missing = TlsFiles { key: directory.path().join("nowhere.pem"), ..files.clone() };
    let error = bind(&local(Some(missing))).await.err().unwrap().to_string();
    assert!(error.contains("nowhere.pem"), "{error}");

    let other = tempfile::tempdir().unwrap();
    let (strangers, _) = write_certificate(other.path());
    let mixed = TlsFiles { key: strangers.key, ..files };
    let error = bind(&local(Some(mixed))).await.err().unwrap();
    assert!(matches!(error, ServeError::TlsPair { .. }), "{error}");
}

#[tokio::test]
async fn a_header_that_is_too_large_gets_431() {
    let limits = ConnectionLimits { header_bytes: 1_024, ..ConnectionLimits::default() };
    let running = start(local(None), limits).await;
    let request = format!("GET /hello HTTP/1.1\r\nhost: x\r\nlong: {}\r\n\r\n", "a".repeat(2_000));
    let answer = raw(running.address, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn slow_headers_handshakes_and_bodies_are_cut_off() {
    let limits = ConnectionLimits {
        header_read: SOON,
        tls_handshake: SOON,
        stall: SOON,
        ..ConnectionLimits::default()
    };
    let plain = start(local(None), limits).await;
    assert_eq!(raw(plain.address, b"").await, "");
    let answer = raw(plain.address, b"GET /hello HTTP/1.1\r\nhost").await;
    assert!(!answer.contains("hello"), "{answer}");
    let started = Instant::now();
    let half = b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf";
    let answer = raw(plain.address, half).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(started.elapsed() < LONG);

    let directory = tempfile::tempdir().unwrap();
    let tls = start(local(Some(write_certificate(directory.path()).0)), limits).await;
    assert_eq!(raw(tls.address, b"").await, "");
}

/// Waits until the server has closed, without reading anything from it.
async fn until_closed(stream: &mut TcpStream) {
    let closed = async {
        while stream.write_all(b"x").await.is_ok() {
            sleep(SOON / 10).await;
        }
    };
    timeout(LONG, closed).await.expect("the server closes");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let limits = ConnectionLimits { stall: SOON, ..ConnectionLimits::default() };
    let running = start(local(None), limits).await;
    let mut greedy = TcpStream::connect(running.address).await.unwrap();
    greedy.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    until_closed(&mut greedy).await;
}

const HALF: &[u8] = b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\nhalf";

/// A byte every now and then, until the server closes.
async fn trickle(stream: &mut TcpStream) {
    while stream.write_all(b"x").await.is_ok() {
        sleep(SOON / 30).await;
    }
}

#[tokio::test]
async fn a_body_that_trickles_is_cut_off() {
    let limits = ConnectionLimits { stall: SOON, ..ConnectionLimits::default() };
    let running = start(local(None), limits).await;
    let mut slow = TcpStream::connect(running.address).await.unwrap();
    slow.write_all(HALF).await.unwrap();
    timeout(LONG, trickle(&mut slow)).await.expect("no byte buys another pause");
}

#[tokio::test]
async fn an_answer_that_is_taken_in_sips_is_cut_off() {
    let limits =
        ConnectionLimits { stall: SOON, least_rate: 1 << 30, ..ConnectionLimits::default() };
    let running = start(local(None), limits).await;
    let mut sipping = TcpStream::connect(running.address).await.unwrap();
    sipping.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let sips = async {
        // 64 MiB last for minutes; what waits in the system's buffers does not.
        let (mut all, mut sip) = (0, vec![0; 64 * 1024]);
        while let Ok(count @ 1..) = sipping.read(&mut sip).await {
            all += count;
            sleep(SOON / 10).await;
        }
        all
    };
    assert!(timeout(2 * LONG, sips).await.expect("it is cut off") < 64 << 20);
}

#[tokio::test]
async fn bytes_earn_time() {
    let limits =
        ConnectionLimits { stall: 2 * SOON, least_rate: 1_000, ..ConnectionLimits::default() };
    let running = start(local(None), limits).await;
    let mut steady = TcpStream::connect(running.address).await.unwrap();
    let head =
        b"POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 80000\r\n\r\n";
    steady.write_all(head).await.unwrap();
    for _ in 0..8 {
        steady.write_all(&[b'x'; 10_000]).await.unwrap();
        sleep(SOON).await;
    }
    let answer = rest_of(&mut steady).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer:.100}");
}

/// More slow clients than there are places, of each kind, and honest ones between them.
#[tokio::test]
async fn slow_clients_shut_nobody_out() {
    let limits = ConnectionLimits { max_connections: 8, ..ConnectionLimits::default() };
    let running = start(local(None), limits).await;
    let address = running.address;
    let mut busy = TcpStream::connect(address).await.unwrap();
    busy.write_all(b"GET /held HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    HELD.notified().await;
    let mut crowd = JoinSet::new();
    let large: &[u8] = b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n";
    for kind in [HALF, b"POST /echo HTTP/1.1\r\nhos", large, b""].repeat(6) {
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(kind).await.unwrap();
        crowd.spawn(async move {
            match kind {
                b"" => std::future::pending().await,
                _ if kind == large => until_closed(&mut slow).await,
                _ => trickle(&mut slow).await,
            }
        });
    }
    assert!(rest_of(&mut busy).await.starts_with("HTTP/1.1 200"), "it was worked on");
    let body = "x".repeat(10_000);
    let whole = format!("POST /echo HTTP/1.0\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    for _ in 0..20 {
        assert!(raw(address, b"GET /hello HTTP/1.0\r\n\r\n").await.ends_with("hello"));
        assert!(raw(address, whole.as_bytes()).await.ends_with(&body));
    }
}

#[tokio::test]
async fn where_every_request_is_worked_on_a_new_connection_waits() {
    let limits = ConnectionLimits { max_connections: 1, ..ConnectionLimits::default() };
    let running = start(local(None), limits).await;
    let mut holder = TcpStream::connect(running.address).await.unwrap();
    holder.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    sleep(SOON).await; // it is being worked on by now
    let mut waiting =
        tokio::spawn(async move { raw(running.address, b"GET /hello HTTP/1.0\r\n\r\n").await });
    assert!(timeout(SOON, &mut waiting).await.is_err());
    drop(holder);
    assert!(waiting.await.unwrap().ends_with("hello"));
}

#[tokio::test]
async fn shutdown_lets_requests_finish_and_closes_idle_connections() {
    let running = start(local(None), ConnectionLimits::default()).await;
    let mut fresh = TcpStream::connect(running.address).await.unwrap();
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    idle.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut busy = TcpStream::connect(running.address).await.unwrap();
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    sleep(SOON / 3).await;
    let started = Instant::now();
    running.stop.send(()).unwrap();
    assert!(rest_of(&mut busy).await.starts_with("HTTP/1.1 200"));
    assert!(rest_of(&mut idle).await.ends_with("hello"));
    assert_eq!(rest_of(&mut fresh).await, "");
    running.server.await.unwrap().unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "nothing had to wait for the deadline");
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn shutdown_cuts_off_what_outlasts_the_deadline() {
    let limits = ConnectionLimits { shutdown: SOON, ..ConnectionLimits::default() };
    let running = start(local(None), limits).await;
    let mut busy = TcpStream::connect(running.address).await.unwrap();
    busy.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    sleep(SOON / 3).await;
    running.stop.send(()).unwrap();
    timeout(LONG, running.server).await.unwrap().unwrap().unwrap();
    assert_eq!(rest_of(&mut busy).await, "");
}

#[test]
fn only_errors_of_single_connections_are_retried_at_once() {
    let out_of_files = io::Error::from_raw_os_error(24); // EMFILE
    assert!(!concerns_one_connection(&out_of_files));
    assert!(concerns_one_connection(&io::ErrorKind::ConnectionAborted.into()));
}
