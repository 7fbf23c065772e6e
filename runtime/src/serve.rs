//! An HTTP/1.1 server for an [`axum::Router`], with TLS and with bounds on what a client
//! can tie up.

mod connection;
mod pace;
mod places;
mod stall;
#[cfg(test)]
mod tests;
mod tls;

use std::{io, net::SocketAddr, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use hyper_util::server::graceful::GracefulShutdown;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use self::{
    connection::Served,
    pace::Pace,
    places::{Place, Places, Source},
    tls::Tls,
};

/// The pause after the first failure to accept a connection; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause between failures to accept a connection.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Where to listen and how connections are protected.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The address; port 0 lets the system choose.
    pub address: SocketAddr,
    /// The certificate, where this program itself speaks TLS.
    pub tls: Option<TlsFiles>,
    /// Whether something in front of this program speaks TLS, so that plain HTTP may be
    /// served on an address that others can reach.
    pub behind_tls_proxy: bool,
}

/// The files of a TLS certificate. They are read again every hour, so that a renewed
/// certificate needs no restart.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// PEM, the server's certificate first, then the intermediate ones.
    pub certificate: PathBuf,
    /// PEM, PKCS#8, PKCS#1 or SEC 1.
    pub key: PathBuf,
}

/// What one client, and all of them together, can tie up.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Connections at one time. Where there are as many, a new one takes the place of the one
    /// whose client has been waited for the longest; it waits itself only where every other
    /// request has come as a whole. The default of 512 leaves half of the usual 1,024 file
    /// descriptors to the rest of the program.
    pub max_connections: usize,
    /// Connections from one IPv4 address or one /64 of IPv6 addresses. Connections from this
    /// machine, and all where a proxy stands in front, are not counted so.
    pub max_connections_per_address: usize,
    /// From the start of a connection, or the end of an answer, to the end of the next
    /// request's header. Also ends idle connections.
    pub header_read: Duration,
    /// Bytes of a request's header, the request line included.
    pub header_bytes: usize,
    /// The longest pause within a request's body, or while a client does not take an answer.
    pub stall: Duration,
    /// Bytes per second. All pauses of a body together, and of an answer, may take as long as
    /// `stall` and, besides, as the bytes take at this rate.
    pub least_rate: u64,
    /// The whole TLS handshake.
    pub tls_handshake: Duration,
    /// How long requests that are under way may take after shutdown begins.
    pub shutdown: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            max_connections: 512,
            max_connections_per_address: 64,
            header_read: Duration::from_secs(30),
            header_bytes: 32 * 1024,
            stall: Duration::from_secs(30),
            least_rate: 4 * 1024,
            tls_handshake: Duration::from_secs(10),
            shutdown: Duration::from_secs(10),
        }
    }
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Plain HTTP where others could read and change it.
    #[error(
        "will not serve plain HTTP on {address}, which other machines may reach; configure a TLS \
         certificate and key, or set behind_tls_proxy where a proxy in front of this server \
         speaks TLS, or listen on 127.0.0.1"
    )]
    PlainHttp {
        /// The address.
        address: SocketAddr,
    },
    /// The system does not let the program listen there.
    #[error(
        "cannot listen on {address}: {source}; check that the address is this machine's and free"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A certificate or key is unreadable or no PEM.
    #[error("cannot read {path}: {reason}; it must hold PEM and be readable for this program")]
    TlsFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Certificate and key do not work together.
    #[error(
        "the certificate {certificate} and the key {key} are not usable: {source}; \
         check that they belong together"
    )]
    TlsPair {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// What the TLS library says.
        source: rustls::Error,
    },
    /// A task of the program is gone, see [`crate::tasks`].
    #[error(
        "{task} ended before the program did, which the log explains; nothing is lost: start it again"
    )]
    TaskEnded {
        /// Which.
        task: &'static str,
    },
}

/// A server that listens already: connections queue up until [`Bound::serve`].
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
    behind_proxy: bool,
}

/// Starts to listen and reads the certificate.
///
/// # Errors
///
/// [`ServeError`].
pub async fn bind(listen: &Listen) -> Result<Bound, ServeError> {
    let address = listen.address;
    if listen.tls.is_none() && !listen.behind_tls_proxy && !address.ip().is_loopback() {
        return Err(ServeError::PlainHttp { address });
    }
    let tls = listen.tls.clone().map(Tls::load).transpose()?;
    let bind_error = |source| ServeError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(bind_error)?;
    let address = listener.local_addr().map_err(bind_error)?;
    Ok(Bound { listener, address, tls, behind_proxy: listen.behind_tls_proxy })
}

impl Bound {
    /// The address that clients reach, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `router` until `shutdown` resolves, then lets requests that are under way
    /// finish within `limits.shutdown`.
    ///
    /// Failures of single connections end those alone. Handlers are dropped where their
    /// client goes away, or when the deadline of the shutdown passes.
    ///
    /// # Errors
    ///
    /// None at present: what can go wrong with the server as a whole does so in [`bind`].
    pub async fn serve(
        mut self,
        router: axum::Router,
        limits: ConnectionLimits,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let places = Arc::new(Places::new(&limits));
        let served = Served { router, limits };
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            let next = async {
                let (stream, peer) = next_connection(&self.listener).await;
                let source = if self.behind_proxy { None } else { Source::of(peer.ip()) };
                let pace = Arc::new(Pace::new(&limits, Instant::now()));
                let place = places.take(source, &pace).await;
                (stream, pace, place)
            };
            let (stream, pace, place) = tokio::select! {
                biased;
                () = &mut shutdown => break,
                next = next => next,
            };
            while connections.try_join_next().is_some() {} // reaps what has ended
            let Some(place) = place else { continue };
            let acceptor = self.tls.as_mut().map(Tls::acceptor);
            let connection =
                connection::run(stream, acceptor, served.clone(), pace, graceful.watcher());
            connections.spawn(holding(place, connection));
        }
        drop(self.listener);
        if timeout(limits.shutdown, graceful.shutdown()).await.is_err() {
            tracing::warn!("some requests took longer than the shutdown may; they are cut off");
        }
        connections.shutdown().await;
        Ok(())
    }
}

/// A connection, and its place for as long as it is there.
async fn holding(place: Place, connection: impl Future<Output = ()>) {
    connection.await;
    drop(place);
}

/// The next connection. Errors, such as having run out of file descriptors, pass: they are
/// waited out and do not end the server.
async fn next_connection(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let mut pause = FIRST_PAUSE;
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections for now; raise the limit of open files if this stays");
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
