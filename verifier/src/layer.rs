//! The `tower` layer before a priced route (spending.md): quotes, takes payments, and calls the server behind it with
//! what was paid for.
//!
//! The server sees `POST` requests with the resource request as their body and [`Paid`] as an extension.
//! What it answers decides what becomes of the payment:
//!
//! - `2xx`: committed. Status, content type and body (at most `MAX_RECEIPT` bytes) are stored with the payment, then sent.
//! - a problem document that takes nothing, or any other `4xx`, which becomes `request-refused`: the payment is refused for good, its
//!   certificates are free, and the problem is sent with the operator's signature. The server must not have provisioned, and is not
//!   asked to again.
//! - everything else, a panic included: the reservation stays, and the client is told to repeat its request.
//!
//! A client that hangs up changes nothing once its request is read: what follows runs to its end. Where too many payments
//! are under way, with clients or without, further ones are answered with `overloaded` before anything is looked at.

mod answers;
mod body;

pub(crate) use self::answers::stored as answer;

use std::{
    convert::Infallible,
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{
    HeaderValue, Method, Request, Response,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
    request::Parts,
};
use http_body::Body;
use http_body_util::Full;
use scrip_protocol::{
    limits::{MAX_PAID_REQUEST, MAX_RESOURCE_REQUEST},
    media,
    problem::{Problem, ProblemType},
};
use tower::{Layer, Service, ServiceExt};

use crate::{
    pay::{Provisioned, pay},
    price::Price,
    provisions::Paid,
    verifier::Verifier,
};

/// Puts payments before a service.
pub struct PaymentLayer<P> {
    verifier: Arc<Verifier>,
    price: Arc<P>,
}

impl<P: Price> PaymentLayer<P> {
    /// Takes payments with `verifier`, as `price` asks for.
    pub fn new(verifier: Arc<Verifier>, price: P) -> Self {
        Self { verifier, price: Arc::new(price) }
    }
}

impl<P> Clone for PaymentLayer<P> {
    fn clone(&self) -> Self {
        Self { verifier: Arc::clone(&self.verifier), price: Arc::clone(&self.price) }
    }
}

impl<P, S> Layer<S> for PaymentLayer<P> {
    type Service = PaymentService<P, S>;

    fn layer(&self, inner: S) -> Self::Service {
        PaymentService { layer: self.clone(), inner }
    }
}

/// A service that is paid for, made by [`PaymentLayer`].
pub struct PaymentService<P, S> {
    layer: PaymentLayer<P>,
    inner: S,
}

impl<P, S: Clone> Clone for PaymentService<P, S> {
    fn clone(&self) -> Self {
        Self { layer: self.layer.clone(), inner: self.inner.clone() }
    }
}

impl<P, S, B, R> Service<Request<B>> for PaymentService<P, S>
where
    P: Price,
    B: Body + Send + 'static,
    B::Data: Send,
    S: Service<Request<Full<Bytes>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: fmt::Display + Send,
    R: Body + Send + 'static,
    R::Data: Send,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    /// Always ready: the server's own readiness is awaited once a payment is reserved.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Self { layer, inner } = self.clone();
        Box::pin(async move { Ok(layer.respond(inner, request).await) })
    }
}

impl<P: Price> PaymentLayer<P> {
    async fn respond<S, B, R>(self, inner: S, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body + Send + 'static,
        S: Service<Request<Full<Bytes>>, Response = Response<R>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: fmt::Display + Send,
        R: Body + Send + 'static,
        R::Data: Send,
    {
        let (parts, body) = request.into_parts();
        if parts.method != Method::POST {
            return answers::problem(&ProblemType::MethodNotAllowed.into());
        }
        let (limit, is_paid) = match content_type(&parts).as_deref() {
            Some(media::RESOURCE_REQUEST) => (MAX_RESOURCE_REQUEST, false),
            Some(media::PAID_REQUEST) => (MAX_PAID_REQUEST, true),
            _ => return answers::problem(&ProblemType::UnsupportedMediaType.into()),
        };
        let bytes = match body::read(body, limit).await {
            Ok(bytes) => bytes,
            Err(error) => return answers::problem(&error.into()),
        };
        if is_paid { self.take(inner, parts, bytes).await } else { self.quote(&bytes).await }
    }

    async fn quote(&self, request: &[u8]) -> Response<Full<Bytes>> {
        if request.is_empty() {
            return answers::problem(&ProblemType::Malformed.into());
        }
        match self.price.quote(request).await {
            Ok(quote) => answers::payment_required(&self.verifier, quote),
            Err(problem) => answers::problem(&problem),
        }
    }

    /// Runs the payment in a task of its own: from the reservation to the commit nothing stops because a client hangs up.
    async fn take<S, R>(self, inner: S, parts: Parts, body: Bytes) -> Response<Full<Bytes>>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<R>> + Send + 'static,
        S::Future: Send,
        S::Error: fmt::Display + Send,
        R: Body + Send + 'static,
        R::Data: Send,
    {
        let Ok(slot) = Arc::clone(&self.verifier.payment_slots).try_acquire_owned() else {
            return answers::problem(&ProblemType::Overloaded.into());
        };
        let paying = tokio::spawn(async move {
            let _slot = slot; // held by the payment, not by its client, who may hang up and send the next one
            let provision = |request, paid| call(inner, parts, request, paid);
            pay(self.verifier, body, self.price, provision).await
        });
        match paying.await {
            Ok(answer) => answers::stored(answer),
            // A panic of the server behind us, or the end of the runtime: nobody knows how far it came.
            Err(error) => {
                tracing::error!(
                    panicked = error.is_panic(),
                    "a payment was not brought to its end"
                );
                answers::problem(&ProblemType::ProvisioningFailed.into())
            }
        }
    }
}

/// The media type without its parameters, in lower case.
fn content_type(parts: &Parts) -> Option<String> {
    let value = parts.headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let media_type = value.split_once(';').map_or(value, |(media_type, _)| media_type);
    Some(media_type.trim().to_ascii_lowercase())
}

/// Calls the server with what was paid for.
async fn call<S, R>(inner: S, mut parts: Parts, request: Vec<u8>, paid: Paid) -> Provisioned
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>>,
    S::Error: fmt::Display,
    R: Body,
{
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(media::RESOURCE_REQUEST));
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(request.len()));
    parts.extensions.insert(paid);
    let request = Request::from_parts(parts, Full::new(Bytes::from(request)));
    match inner.oneshot(request).await {
        Ok(response) => answers::sort(response).await,
        Err(error) => {
            tracing::error!(%error, "the server behind the payment layer failed");
            Provisioned::Unknown(Problem::new(ProblemType::ProvisioningFailed))
        }
    }
}
