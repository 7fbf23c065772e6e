//! A server behind the layer: provisions by payment, and fails as it is told to.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full};
use scrip_protocol::{
    credits::Credits,
    id::PaymentId,
    media,
    problem::{Problem, ProblemType},
    redemption::ConflictProof,
};
use tokio::sync::Semaphore;
use tower::{Service, service_fn};

use crate::{Paid, Price, Provisions, ProvisionsError, Quote, StoredAnswer};

/// The same price for everything but `refuse`.
#[derive(Clone)]
pub(crate) struct FixedPrice(Arc<Mutex<Quote>>);

impl FixedPrice {
    pub(crate) fn new(quote: Quote) -> Self {
        Self(Arc::new(Mutex::new(quote)))
    }

    pub(crate) fn set(&self, quote: Quote) {
        *self.0.lock().unwrap() = quote;
    }
}

impl Price for FixedPrice {
    async fn quote(&self, request: &[u8]) -> Result<Quote, Problem> {
        match request {
            b"refuse" => Err(ProblemType::RequestRefused.into()),
            _ => Ok(*self.0.lock().unwrap()),
        }
    }
}

/// What `double_spent` was called with.
pub(crate) type Ended = (PaymentId, [u8; 32], Credits, ConflictProof);

/// How the server fares with the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Provisions,
    Answers(StatusCode),
    Complains(ProblemType),
    /// Provisions, and then its answer gets lost on the way to the layer.
    ProvisionsAndFails,
    Panics,
    AnswersTooMuch,
}

pub(crate) struct Server {
    pub(crate) provisioned: Mutex<HashMap<PaymentId, (Paid, StoredAnswer)>>,
    pub(crate) calls: Mutex<Vec<Paid>>,
    pub(crate) mood: Mutex<Mood>,
    /// Taken by each request while it is served.
    pub(crate) gate: Semaphore,
    pub(crate) ended: Mutex<Vec<Ended>>,
    /// How many calls of `double_spent` fail.
    pub(crate) reactions_fail: Mutex<u32>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            provisioned: Mutex::default(),
            calls: Mutex::default(),
            mood: Mutex::new(Mood::Provisions),
            gate: Semaphore::new(1_000),
            ended: Mutex::default(),
            reactions_fail: Mutex::default(),
        }
    }
}

impl Server {
    pub(crate) fn service(
        self: &Arc<Self>,
    ) -> impl Service<
        Request<Full<Bytes>>,
        Response = Response<Full<Bytes>>,
        Error = Infallible,
        Future: Send,
    > + Clone
    + Send
    + 'static {
        let server = Arc::clone(self);
        service_fn(move |request| {
            let server = Arc::clone(&server);
            async move { Ok(server.serve(request).await) }
        })
    }

    pub(crate) fn feel(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(crate) fn provisioned_count(&self) -> usize {
        self.provisioned.lock().unwrap().len()
    }

    async fn serve(&self, request: Request<Full<Bytes>>) -> Response<Full<Bytes>> {
        let _open = self.gate.acquire().await.unwrap();
        let (parts, body) = request.into_parts();
        assert_eq!(parts.headers[CONTENT_TYPE], media::RESOURCE_REQUEST);
        let paid = parts.extensions.get::<Paid>().expect("paid").clone();
        let body = body.collect().await.unwrap().to_bytes();
        self.calls.lock().unwrap().push(paid.clone());
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Provisions => respond(self.provision(&paid, &body)),
            Mood::Answers(status) => {
                let (status, content_type) = (status.as_u16(), String::new());
                respond(StoredAnswer { status, content_type, body: vec![1] })
            }
            Mood::Complains(problem) => respond(StoredAnswer::problem(&problem.into())),
            Mood::ProvisionsAndFails => {
                self.provision(&paid, &body);
                respond(StoredAnswer::problem(&ProblemType::Internal.into()))
            }
            Mood::Panics => panic!("told to panic"),
            Mood::AnswersTooMuch => {
                let (status, content_type) = (201, "text/x".to_owned());
                respond(StoredAnswer { status, content_type, body: vec![1; 9_000] })
            }
        }
    }

    /// Doing it twice is doing it once.
    fn provision(&self, paid: &Paid, body: &[u8]) -> StoredAnswer {
        let mut provisioned = self.provisioned.lock().unwrap();
        let number = provisioned.len();
        let (_, answer) = provisioned.entry(paid.payment_id).or_insert_with(|| {
            let body = [b"receipt ", body, format!(" {number}").as_bytes()].concat();
            let content_type = media::RECEIPT.to_owned();
            (paid.clone(), StoredAnswer { status: 201, content_type, body })
        });
        answer.clone()
    }
}

fn respond(answer: StoredAnswer) -> Response<Full<Bytes>> {
    let response = Response::builder().status(answer.status);
    let response = response.header(CONTENT_TYPE, answer.content_type);
    response.body(Full::new(answer.body.into())).unwrap()
}

impl Provisions for Server {
    async fn answer(&self, payment: &PaymentId) -> Result<Option<StoredAnswer>, ProvisionsError> {
        let provisioned = self.provisioned.lock().unwrap();
        Ok(provisioned.get(payment).map(|(_, answer)| answer.clone()))
    }

    async fn double_spent(
        &self,
        payment: &PaymentId,
        certificate: &[u8; 32],
        value: Credits,
        proof: &ConflictProof,
    ) -> Result<(), ProvisionsError> {
        let mut fail = self.reactions_fail.lock().unwrap();
        if *fail > 0 {
            *fail -= 1;
            return Err(ProvisionsError::new("told to fail"));
        }
        self.ended.lock().unwrap().push((*payment, *certificate, value, *proof));
        Ok(())
    }
}
