//! One adversary: an HTTP/1.1 server that passes on, writes down and lies.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::message::without_framing;
use super::{Answer, Recording, Request};

/// What an adversary does with one request.
pub enum Act {
    /// It passes it on, and its answer back.
    Honest,
    /// It passes it on, and answers something else.
    Rewrite(Box<dyn FnOnce(Answer) -> Answer + Send>),
    /// It answers by itself; the server never hears of it.
    Instead(Answer),
    /// It passes it on; the connection ends without an answer.
    LoseAnswer,
    /// The connection ends at once; the server never hears of it.
    LoseRequest,
}

impl Act {
    /// Passes the request on, and answers what `change` makes of the truth.
    pub fn rewrite(change: impl FnOnce(Answer) -> Answer + Send + 'static) -> Self {
        Self::Rewrite(Box::new(change))
    }
}

type Rule = Arc<dyn Fn(&Request) -> Act + Send + Sync>;

/// A proxy before one server. Dropping it closes every connection.
pub struct Adversary {
    name: String,
    address: SocketAddr,
    target: SocketAddr,
    rule: Arc<Mutex<Option<Rule>>>,
    task: tokio::task::JoinHandle<()>,
}

/// What its connections share.
#[derive(Clone)]
struct Shared {
    name: Arc<str>,
    target: SocketAddr,
    rule: Arc<Mutex<Option<Rule>>>,
    recording: Recording,
}

impl Adversary {
    /// One that is called `name` in `recording` and stands before `target`, on a port of its own. It begins honest.
    ///
    /// # Errors
    /// Where no port is free.
    pub async fn before(target: SocketAddr, name: &str, recording: &Recording) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let rule = Arc::new(Mutex::new(None));
        let recording = recording.clone();
        let shared = Shared { name: name.into(), target, rule: Arc::clone(&rule), recording };
        let task = tokio::spawn(async move {
            let (mut connections, mut count) = (tokio::task::JoinSet::new(), 0);
            while let Ok((client, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                connections.spawn(serve(client, count, shared.clone()));
                count += 1;
            }
        });
        Ok(Self { name: name.to_owned(), address, target, rule, task })
    }

    /// What it is called in the recording.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server that it stands before.
    pub fn target(&self) -> SocketAddr {
        self.target
    }

    /// From now on it does with each request what `rule` says.
    pub fn lie(&self, rule: impl Fn(&Request) -> Act + Send + Sync + 'static) {
        self.set(Some(Arc::new(rule)));
    }

    /// From now on it passes everything on as it is.
    pub fn be_honest(&self) {
        self.set(None);
    }

    fn set(&self, rule: Option<Rule>) {
        *self.rule.lock().unwrap_or_else(PoisonError::into_inner) = rule;
    }
}

impl Drop for Adversary {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(client: TcpStream, connection: u64, shared: Shared) {
    let service = service_fn(move |request| handle(request, connection, shared.clone()));
    // A client that goes away, and an answer that is lost on purpose, end in an error here.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(client), service)
        .await;
}

async fn handle(
    request: http::Request<Incoming>,
    connection: u64,
    shared: Shared,
) -> io::Result<http::Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let request = Request { method: head.method.to_string(), path, headers: head.headers, body };
    let sequence = shared.recording.asked(&shared.name, connection, request.clone());
    let rule = shared.rule.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let act = rule.map_or(Act::Honest, |rule| rule(&request));
    let truth = match &act {
        Act::Instead(_) | Act::LoseRequest => None,
        Act::Honest | Act::Rewrite(_) | Act::LoseAnswer => {
            Some(send(shared.target, &request).await?)
        }
    };
    let told = match act {
        Act::Honest => truth.clone(),
        Act::Rewrite(change) => truth.clone().map(change),
        Act::Instead(answer) => Some(answer),
        Act::LoseAnswer | Act::LoseRequest => None,
    };
    shared.recording.answered(sequence, truth, told.clone());
    let told = told.ok_or(io::ErrorKind::ConnectionAborted)?;
    let mut response = http::Response::new(Full::new(told.body));
    *response.status_mut() = http::StatusCode::from_u16(told.status).map_err(io::Error::other)?;
    *response.headers_mut() = without_framing(told.headers);
    Ok(response)
}

/// Sends `request` to `target` on a connection of its own: a recorded one can be sent again, later, or elsewhere.
///
/// # Errors
/// Where there is no answer.
pub async fn send(target: SocketAddr, request: &Request) -> io::Result<Answer> {
    let stream = TokioIo::new(TcpStream::connect(target).await?);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(stream).await.map_err(io::Error::other)?;
    let exchange = async {
        let mut forward = http::Request::builder()
            .method(request.method.as_str())
            .uri(request.path.as_str())
            .body(Full::new(request.body.clone()))
            .map_err(io::Error::other)?;
        *forward.headers_mut() = without_framing(request.headers.clone());
        let (head, body) =
            sender.send_request(forward).await.map_err(io::Error::other)?.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    };
    let driven = async {
        // Ends when the exchange drops the sender, or with an error that the exchange sees as well.
        let _ = connection.await;
        std::future::pending::<Infallible>().await
    };
    tokio::select! { answer = exchange => answer, never = driven => match never {} }
}
