//! The HTTP client of wallets and relays: no cookies, no redirects, no compression, no
//! user agent, every request sent once at most, every answer bounded.
//!
//! With a proxy, all traffic goes through it, names are resolved there, and loopback is no
//! exception. A [`HttpClient`] keeps connections open between requests to the same host, and
//! whoever carries those connections can tie the requests together: use one client for each
//! set of requests that may be linked.

mod error;
mod roots;
mod streaming;
#[cfg(test)]
mod tests;
mod url;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::time::timeout;

pub use self::{
    error::{ClientError, TransportError},
    streaming::BodyStream,
    url::{base_url, check_url},
};

/// Idle connections close earlier than [`crate::serve`] closes them, so that a request
/// rarely meets a connection that is being closed.
const IDLE_CONNECTION: Duration = Duration::from_secs(20);

/// How a client reaches the network.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// `socks5h://[user:password@]host:port`, through which everything goes. Tor gives
    /// different user names different circuits.
    pub proxy: Option<String>,
    /// PEM certificates that are trusted as roots besides the system's.
    pub extra_roots_pem: Option<Vec<u8>>,
    /// For a whole exchange, half of which may go into connecting; for a streamed body, the
    /// longest time in which nothing moves.
    pub timeout: Duration,
}

impl Default for ClientOptions {
    /// No proxy, the system's roots, 30 seconds.
    fn default() -> Self {
        Self { proxy: None, extra_roots_pem: None, timeout: Duration::from_secs(30) }
    }
}

/// A request. Its bytes are sent as they are.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The absolute URL.
    pub url: String,
    /// Headers besides those that HTTP itself needs.
    pub headers: Vec<(HeaderName, String)>,
    /// The body.
    pub body: Bytes,
    /// The longest body, in bytes, that is accepted as an answer.
    pub max_response: usize,
}

impl Request {
    /// A GET request whose answer has at most `max_response` bytes.
    pub fn get(url: impl Into<String>, max_response: usize) -> Self {
        let (method, headers) = (Method::GET, Vec::new());
        Self { method, url: url.into(), headers, body: Bytes::new(), max_response }
    }

    /// A POST request whose answer has at most `max_response` bytes.
    pub fn post(url: impl Into<String>, body: impl Into<Bytes>, max_response: usize) -> Self {
        let (method, headers) = (Method::POST, Vec::new());
        Self { method, url: url.into(), headers, body: body.into(), max_response }
    }

    /// The same request with one more header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, complete.
    pub body: Bytes,
}

/// Sends requests. Clones share their connections.
#[derive(Clone, Debug)]
pub struct HttpClient {
    inner: reqwest::Client,
    timeout: Duration,
    proxied: bool,
}

impl HttpClient {
    /// A client with no connections yet.
    ///
    /// # Errors
    ///
    /// [`ClientError`] where the proxy or the extra roots are not usable.
    pub fn new(options: ClientOptions) -> Result<Self, ClientError> {
        let tls = roots::client_config(options.extra_roots_pem.as_deref())?;
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .http1_only()
            .tcp_nodelay(true)
            .pool_idle_timeout(IDLE_CONNECTION)
            .connect_timeout(options.timeout / 2)
            .no_proxy(); // what the environment says about proxies is not asked
        if let Some(proxy) = &options.proxy {
            builder = builder.proxy(socks_proxy(proxy)?);
        }
        let inner = builder.build().map_err(ClientError::Build)?;
        Ok(Self { inner, timeout: options.timeout, proxied: options.proxy.is_some() })
    }

    /// Sends `request` and reads the whole answer.
    ///
    /// # Errors
    ///
    /// [`TransportError`]: there is no answer. An answer with an error status is `Ok`.
    pub async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let host = url::host_for_messages(&request.url);
        let limit = request.max_response;
        let exchange = async {
            let answer = self.execute(request, None).await?;
            collect(answer, limit, &host).await
        };
        match timeout(self.timeout, exchange).await {
            Ok(result) => result,
            Err(_) => Err(TransportError::no_answer_in(&host, self.timeout)),
        }
    }

    /// Sends `request`, with `streamed` in the place of its body where there is one, and
    /// returns when the header of the answer is there.
    async fn execute(
        &self,
        request: Request,
        streamed: Option<reqwest::Body>,
    ) -> Result<reqwest::Response, TransportError> {
        let url = url::allowed(&request.url, self.proxied)?;
        let host = url::host_for_messages(&request.url);
        let mut outgoing = reqwest::Request::new(request.method, url);
        for (name, value) in request.headers {
            let value = HeaderValue::from_str(&value).map_err(|_| TransportError::Refused {
                reason: format!(
                    "the value of the header `{name}` has characters that HTTP forbids"
                ),
            })?;
            outgoing.headers_mut().append(name, value);
        }
        *outgoing.body_mut() = match streamed {
            Some(body) => Some(body),
            None if request.body.is_empty() && !expects_body(outgoing.method()) => None,
            None => Some(request.body.into()),
        };
        self.inner.execute(outgoing).await.map_err(|error| TransportError::of(error, &host))
    }
}

/// Whether a request without a body should say that its length is zero.
fn expects_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// Reads an answer of at most `limit` bytes.
async fn collect(
    mut answer: reqwest::Response,
    limit: usize,
    host: &str,
) -> Result<Response, TransportError> {
    refuse_announced_excess(&answer, limit)?;
    let mut body = BytesMut::new();
    loop {
        let chunk = answer.chunk().await.map_err(|error| TransportError::of(error, host))?;
        let Some(chunk) = chunk else { break };
        if chunk.len() > limit - body.len() {
            return Err(TransportError::TooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    let status = answer.status().as_u16();
    let headers = std::mem::take(answer.headers_mut());
    Ok(Response { status, headers, body: body.freeze() })
}

/// Stops before an answer that says itself that it is too large.
fn refuse_announced_excess(answer: &reqwest::Response, limit: usize) -> Result<(), TransportError> {
    let limit_u64 = u64::try_from(limit).unwrap_or(u64::MAX);
    match answer.content_length() {
        Some(announced) if announced > limit_u64 => Err(TransportError::TooLarge { limit }),
        _ => Ok(()),
    }
}

/// Only `socks5h` is accepted: with `socks5`, names would be resolved outside of the proxy.
fn socks_proxy(text: &str) -> Result<reqwest::Proxy, ClientError> {
    let usable = reqwest::Url::parse(text)
        .is_ok_and(|url| url.scheme() == "socks5h" && url.host().is_some() && url.port().is_some());
    if !usable {
        return Err(ClientError::Proxy);
    }
    reqwest::Proxy::all(text).map_err(|_| ClientError::Proxy)
}
