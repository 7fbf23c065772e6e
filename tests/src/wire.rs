//! A TCP proxy on loopback that stands between two programs of the network: it records what goes through, and spoils it on request.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What happens to the connections that are made from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Everything goes through.
    Fair,
    /// Connections are closed before a byte went anywhere.
    Refused,
    /// The request arrives, its answer does not.
    AnswerLost,
    /// The request arrives, and its answer ends after this many bytes.
    AnswerCut(usize),
    /// The request arrives, and its answer comes this much later.
    Late(Duration),
    /// The request does not arrive, and is answered with 500.
    Error500,
}

/// What went through in one direction, all connections one after another.
type Recording = Arc<Mutex<Vec<u8>>>;

/// The proxy. Dropping it closes every connection.
pub struct Wire {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    sent: Recording,
    answered: Recording,
    task: tokio::task::JoinHandle<()>,
}

impl Wire {
    /// A proxy in front of `target`, on a port of its own.
    ///
    /// # Errors
    /// Where no port is free.
    pub async fn to(target: SocketAddr) -> std::io::Result<Self> {
        Self::listen(TcpListener::bind("127.0.0.1:0").await?, target)
    }

    fn listen(listener: TcpListener, target: SocketAddr) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let (weather, current) = watch::channel(Weather::Fair);
        let (sent, answered) = (Recording::default(), Recording::default());
        let recordings = (Arc::clone(&sent), Arc::clone(&answered));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                let (sent, answered) = recordings.clone();
                let mut current = current.clone();
                connections.spawn(async move {
                    let now = *current.borrow_and_update();
                    tokio::select! {
                        _ = connect(client, target, now, sent, answered) => {}
                        // A change of weather ends what was made under the old one: no connection is reused across it.
                        _ = current.changed() => {}
                    }
                });
            }
        });
        Ok(Self { address, weather, sent, answered, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the weather. Connections that exist are closed.
    pub fn weather(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Everything that was sent towards the target so far.
    pub fn sent(&self) -> Vec<u8> {
        read(&self.sent)
    }

    /// Everything that the target answered so far.
    pub fn answered(&self) -> Vec<u8> {
        read(&self.answered)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn read(recording: &Recording) -> Vec<u8> {
    recording.lock().map(|bytes| bytes.clone()).unwrap_or_default()
}

async fn connect(
    mut client: TcpStream,
    target: SocketAddr,
    weather: Weather,
    sent: Recording,
    answered: Recording,
) -> std::io::Result<()> {
    match weather {
        Weather::Refused => return Ok(()),
        Weather::Error500 => return answer_500(client).await,
        _ => {}
    }
    let mut server = TcpStream::connect(target).await?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let request = async {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let n = from_client.read(&mut buffer).await?;
            if n == 0 {
                return to_server.shutdown().await;
            }
            record(&sent, &buffer[..n]);
            to_server.write_all(&buffer[..n]).await?;
        }
    };
    let answer = async {
        let mut buffer = vec![0; 16 * 1024];
        let mut passed = 0;
        loop {
            let n = from_server.read(&mut buffer).await?;
            if n == 0 {
                return to_client.shutdown().await;
            }
            record(&answered, &buffer[..n]);
            let keep = match weather {
                Weather::AnswerLost => 0,
                Weather::AnswerCut(limit) => n.min(limit.saturating_sub(passed)),
                _ => n,
            };
            if let Weather::Late(delay) = weather {
                tokio::time::sleep(delay).await;
            }
            to_client.write_all(&buffer[..keep]).await?;
            passed += keep;
            if keep < n {
                return to_client.shutdown().await;
            }
        }
    };
    tokio::select! { done = answer => done, Err(error) = request => Err(error) }
}

fn record(recording: &Recording, bytes: &[u8]) {
    if let Ok(mut recording) = recording.lock() {
        recording.extend_from_slice(bytes);
    }
}

async fn answer_500(mut client: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    // One read is enough to have seen the head of the request; the rest is of no interest.
    let _ = client.read(&mut buffer).await?;
    let answer = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 5\r\nconnection: close\r\n\r\nsorry";
    client.write_all(answer).await?;
    client.shutdown().await
}

/// A request or an answer in a recording.
pub struct Exchange {
    /// Everything before the body.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

/// The requests (or answers) of a recording, in order. One that is cut ends the list.
pub fn requests(recording: &[u8]) -> Vec<Exchange> {
    let mut all = Vec::new();
    let mut rest = recording;
    while let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&rest[..end + 4]).into_owned();
        let length = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.trim().parse().ok())
            .unwrap_or(0);
        let Some(body) = rest.get(end + 4..end + 4 + length) else { break };
        rest = &rest[end + 4 + length..];
        all.push(Exchange { head, body: body.to_vec() });
    }
    all
}
