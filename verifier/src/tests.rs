//! The whole verifier, with a vendor in process and a small server behind the layer.

mod faults;
mod online;
mod paying;
mod recovery;
mod refusals;
mod server;
mod services;
mod test_keys;

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use scrip_protocol::{
    credits::Credits,
    issuance::Certificate,
    media,
    payment::PaidRequest,
    problem::{Problem, ProblemType},
};
use scrip_runtime::clock::ManualClock;
use tempfile::TempDir;
use tower::{Layer as _, ServiceExt as _};

use self::server::{FixedPrice, Server};
use crate::{
    PaymentLayer, Quote, Redeemer, Schedule, Verifier, VerifierConfig,
    spent::{SpentStore, SqliteStore},
    testing::{FaultyStore, TestLink, TestVendor, config, environment},
    verifier::DATABASE,
};

/// What every request costs, unless a test says otherwise.
const QUOTE: Quote = Quote { credits: Credits(3), seconds_per_credit: 60 };

/// A verifier with everything around it.
pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) vendor: Arc<TestVendor>,
    pub(crate) link: Arc<TestLink>,
    pub(crate) clock: ManualClock,
    pub(crate) store: Arc<FaultyStore>,
    pub(crate) sqlite: Arc<SqliteStore>,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) server: Arc<Server>,
    pub(crate) price: FixedPrice,
}

/// An answer of the layer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) problem: Option<Problem>,
    pub(crate) body: Bytes,
    pub(crate) headers: http::HeaderMap,
}

impl Answer {
    pub(crate) fn problem_type(&self) -> Option<ProblemType> {
        self.problem.as_ref().map(|problem| problem.problem)
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With another configuration than the usual one.
    pub(crate) async fn with(change: impl FnOnce(&mut VerifierConfig)) -> Self {
        let dir = TempDir::new().unwrap();
        let vendor = Arc::new(TestVendor::new(0));
        let link = TestLink::to([&vendor]);
        let (environment, clock) = environment(&link);
        let sqlite = Arc::new(SqliteStore::open(&dir.path().join(DATABASE)).await.unwrap());
        let store = FaultyStore::new(Arc::<SqliteStore>::clone(&sqlite));
        let mut config = config(dir.path(), [&vendor]);
        change(&mut config);
        let shared = Arc::<FaultyStore>::clone(&store);
        let verifier = Verifier::with_store(config, environment, shared).unwrap();
        verifier.refresh_manifests().await;
        let (server, price) = (Arc::new(Server::default()), FixedPrice::new(QUOTE));
        Self { dir, vendor, link, clock, store, sqlite, verifier, server, price }
    }

    /// The same data directory, vendor and server after a restart. The clock goes on.
    pub(crate) async fn restart(self) -> Self {
        let now = self.verifier.now();
        let policies = self.verifier.policies().to_vec();
        let Self { dir, vendor, link, store, sqlite, verifier, server, price, .. } = self;
        drop((verifier, store));
        sqlite.close().await;
        drop(sqlite);
        let (environment, clock) = environment(&link);
        clock.set(now);
        let sqlite = Arc::new(SqliteStore::open(&dir.path().join(DATABASE)).await.unwrap());
        let store = FaultyStore::new(Arc::<SqliteStore>::clone(&sqlite));
        let config = VerifierConfig { vendors: policies, ..config(dir.path(), [&vendor]) };
        let shared = Arc::<FaultyStore>::clone(&store);
        let verifier = Verifier::with_store(config, environment, shared).unwrap();
        Self { dir, vendor, link, clock, store, sqlite, verifier, server, price }
    }

    pub(crate) fn certificate(&self, exponent: u8) -> Certificate {
        self.vendor.issue(exponent)
    }

    /// A payment on the clock's day, with a salt of its own.
    pub(crate) fn payment(&self, certificates: &[&Certificate], request: &[u8]) -> PaidRequest {
        use std::sync::atomic::{AtomicU64, Ordering};
        static SALT: AtomicU64 = AtomicU64::new(0);
        let mut rng = ChaCha20Rng::seed_from_u64(SALT.fetch_add(1, Ordering::Relaxed));
        let operator = self.verifier.operator_id();
        let day = self.verifier.now().day();
        self.vendor.pay_on(day, certificates.iter().copied(), &operator, request, &mut rng)
    }

    pub(crate) async fn pay(&self, payment: &PaidRequest) -> Answer {
        self.post(media::PAID_REQUEST, payment.encode()).await
    }

    pub(crate) async fn post(&self, content_type: &str, body: impl Into<Bytes>) -> Answer {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v1/things")
            .header(CONTENT_TYPE, content_type)
            .body(Full::new(body.into()))
            .unwrap();
        self.call(request).await
    }

    pub(crate) async fn call<B>(&self, request: Request<B>) -> Answer
    where
        B: http_body::Body + Send + 'static,
        B::Data: Send,
    {
        let layer = PaymentLayer::new(Arc::clone(&self.verifier), self.price.clone());
        let service = layer.layer(self.server.service());
        read(service.oneshot(request).await.unwrap()).await
    }

    pub(crate) fn redeemer(&self, schedule: Schedule) -> Redeemer<Server> {
        Redeemer::new(Arc::clone(&self.verifier), Arc::clone(&self.server), schedule)
    }

    pub(crate) async fn unredeemed(&self) -> Credits {
        let totals = self.sqlite.totals().await.unwrap();
        Credits::total(totals.iter().map(|one| one.unredeemed))
    }

    pub(crate) async fn assert_nothing_is_taken(&self) {
        assert_eq!(self.unredeemed().await, Credits::ZERO);
        assert_eq!(self.sqlite.reserved(self.verifier.now()).await.unwrap(), []);
    }
}

pub(crate) async fn read(response: Response<Full<Bytes>>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let problem = Problem::from_json(&body);
    if let Some(problem) = &problem {
        assert_eq!(parts.headers[CONTENT_TYPE], media::PROBLEM);
        assert_eq!(problem.status, parts.status.as_u16());
    }
    Answer { status: parts.status.as_u16(), problem, body, headers: parts.headers }
}
