//! A relay in a temporary directory, on a clock that the test moves, with a vendor in process.

use std::{
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, StatusCode, header::CONTENT_TYPE};
use http_body_util::BodyExt;
use scrip_protocol::{
    address::VendorAddress,
    credits::Credits,
    id::{PaymentId, ResourceId, VendorId},
    keys::{PublicKey, SigningKey},
    media,
    problem::{Problem, ProblemType},
    receipt::Receipt,
    resource::{
        COMMAND_HEADER, Command, CommandAuth, LeaseStatus, ResourceKind, ResourceRequest, SizeClass,
    },
    time::UnixSeconds,
};
use scrip_runtime::{
    clock::{Clock, ManualClock},
    passphrase::Passphrase,
    sealed::SealParams,
    steps::Steps,
};
use scrip_verifier::{
    Environment, Paid,
    link::{NoAnswer, VendorLink},
    testing::{NOW, TestVendor, rng_factory},
};
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::{
    config::Config,
    error::StartError,
    moment::Difference,
    relay::{InitOptions, Relay},
    requests::{RequestError, Route},
};

pub(super) const DAY: u64 = 86_400;

/// A relay and what it needs.
pub(super) struct Bench {
    pub(super) relay: Relay,
    pub(super) clock: ManualClock,
    pub(super) vendor: Arc<TestVendor>,
    pub(super) directory: TempDir,
    config: Config,
    link: Arc<Link>,
    /// Every value drawn from it is another.
    next: AtomicU64,
}

/// A relay that does not run.
pub(super) struct Closed {
    clock: ManualClock,
    vendor: Arc<TestVendor>,
    pub(super) directory: TempDir,
    config: Config,
    link: Arc<Link>,
    next: AtomicU64,
}

/// A queue, with the keys of both sides.
pub(super) struct Queue {
    pub(super) lease_id: ResourceId,
    pub(super) sender_id: ResourceId,
    pub(super) recipient: SigningKey,
    pub(super) sender: SigningKey,
}

/// Space for a chunk, with the keys of both sides.
pub(super) struct Chunk {
    pub(super) lease_id: ResourceId,
    pub(super) reader_id: ResourceId,
    pub(super) owner: SigningKey,
    pub(super) reader: SigningKey,
}

/// An answer, whole.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The way to the vendor, for one operator.
struct Link {
    vendor: Arc<TestVendor>,
    operator: OnceLock<PublicKey>,
}

impl VendorLink for Link {
    fn manifest<'a>(&'a self, _: &'a VendorAddress) -> BoxFuture<'a, Result<Bytes, NoAnswer>> {
        Box::pin(async { Ok(self.vendor.published().into()) })
    }

    fn redeem<'a>(
        &'a self,
        _: &'a VendorAddress,
        batch: Bytes,
    ) -> BoxFuture<'a, Result<Bytes, NoAnswer>> {
        Box::pin(async move {
            let outcome = self.vendor.redeem(&batch, self.operator.get().unwrap());
            Ok(outcome.expect("the batch is signed by this operator").into())
        })
    }
}

impl Bench {
    pub(super) async fn new() -> Self {
        Self::with(1, Arc::new(TestVendor::new(0)), |_| {}).await
    }

    /// A relay with its own seed, so that several have different keys.
    pub(super) async fn with(
        seed: u64,
        vendor: Arc<TestVendor>,
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::new(directory.path(), [vendor.address()]);
        configure(&mut config);
        let options = InitOptions { config: config.clone(), seal_params: SealParams::for_tests() };
        let mut rng = rng_factory(seed)();
        let made = Relay::init(&options, &passphrase(), &mut &mut *rng).await.unwrap();
        let operator = OnceLock::from(made.operator_key);
        let link = Arc::new(Link { vendor: Arc::clone(&vendor), operator });
        let clock = ManualClock::new(NOW);
        let relay = open(&config, &clock, &link, Steps::none(), 0).await.unwrap();
        relay.refresh_manifests().await;
        Self { relay, clock, vendor, directory, config, link, next: AtomicU64::new(0) }
    }

    /// Ends this relay as a crash would, but for what the steps of a test did, and opens it again.
    pub(super) async fn reopen(self) -> Self {
        self.reopen_with(Steps::none()).await
    }

    pub(super) async fn reopen_with(self, steps: Steps) -> Self {
        let closed = self.close().await;
        // [`Bench::provision`] goes past the verifier: `spent.sqlite` knows nothing of its payments.
        closed.accept_loss().await;
        closed.open_with(steps).await
    }

    /// Ends the relay, and leaves its directory to the test.
    pub(super) async fn close(self) -> Closed {
        let Self { relay, clock, vendor, directory, config, link, next } = self;
        relay.close().await;
        Closed { clock, vendor, directory, config, link, next }
    }

    pub(super) fn now(&self) -> UnixSeconds {
        self.clock.now()
    }

    /// A value that was not given before.
    pub(super) fn fresh<const N: usize>(&self) -> [u8; N] {
        let mut value = [0x5a; N];
        value[..8].copy_from_slice(&self.next.fetch_add(1, Ordering::SeqCst).to_be_bytes());
        value
    }

    pub(super) fn key(&self) -> SigningKey {
        SigningKey::from_seed(&self.fresh())
    }

    /// A payment as it comes out of the verifier.
    pub(super) fn paid(&self, credits: u64, seconds_per_credit: u64) -> Paid {
        Paid {
            payment_id: PaymentId::from_bytes(self.fresh()),
            vendor_id: VendorId::from_bytes([1; 32]),
            credits: Credits(credits),
            seconds_per_credit,
            certificates: Vec::new(),
        }
    }

    pub(super) async fn provision(
        &self,
        route: Route,
        kind: ResourceKind,
        paid: &Paid,
    ) -> Result<Receipt, RequestError> {
        let request = ResourceRequest { days: 30, kind }.encode();
        let receipt = self.relay.core().provision(route, &request, paid).await?;
        Ok(self.open_receipt(&receipt))
    }

    pub(super) fn open_receipt(&self, receipt: &[u8]) -> Receipt {
        Receipt::open(receipt, &self.relay.operator_key()).unwrap()
    }

    /// A queue for 30 days.
    pub(super) async fn queue(&self) -> Queue {
        self.queue_paid_by(&self.paid(30, DAY)).await
    }

    pub(super) async fn queue_paid_by(&self, paid: &Paid) -> Queue {
        let (recipient, sender) = (self.key(), self.key());
        let kind =
            ResourceKind::Queue { recipient_key: recipient.public(), sender_key: sender.public() };
        let receipt = self.provision(Route::Queues, kind, paid).await.unwrap();
        let (lease_id, sender_id) = addresses(&receipt);
        Queue { lease_id, sender_id, recipient, sender }
    }

    /// Space for 30 days.
    pub(super) async fn chunk(&self, bytes: &[u8]) -> Chunk {
        let (owner, reader) = (self.key(), self.key());
        let size = SizeClass::ALL.into_iter().find(|size| size.bytes() == bytes.len());
        let kind = ResourceKind::Chunk {
            owner_key: owner.public(),
            reader_key: reader.public(),
            size_class: size.unwrap(),
            digest: Sha256::digest(bytes).into(),
        };
        let paid = self.paid(30, DAY);
        let receipt = self.provision(Route::Chunks, kind, &paid).await.unwrap();
        let (lease_id, reader_id) = addresses(&receipt);
        Chunk { lease_id, reader_id, owner, reader }
    }

    /// The header of a command, made now.
    pub(super) fn sign(
        &self,
        key: &SigningKey,
        method: &Method,
        path: &str,
        body: &[u8],
    ) -> CommandAuth {
        let operator_id = self.relay.operator_id();
        let body_digest = Command::digest_of(body);
        Command { operator_id: &operator_id, method: method.as_str(), path, body_digest }.sign(
            key,
            self.clock.now(),
            self.fresh(),
        )
    }

    /// A signed command, sent.
    pub(super) async fn command(
        &self,
        key: &SigningKey,
        method: Method,
        path: &str,
        body: &[u8],
    ) -> Answer {
        let auth = self.sign(key, &method, path, body);
        self.send(method, path, Some(&auth), Body::from(body.to_vec())).await
    }

    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        auth: Option<&CommandAuth>,
        body: Body,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(auth) = auth {
            request = request.header(COMMAND_HEADER, auth.to_header());
        }
        self.call(request.body(body).unwrap()).await
    }

    pub(super) async fn post(&self, path: &str, media: &str, body: Vec<u8>) -> Answer {
        let request = Request::post(path).header(CONTENT_TYPE, media);
        self.call(request.body(Body::from(body)).unwrap()).await
    }

    pub(super) async fn call(&self, request: Request<Body>) -> Answer {
        let response = self.relay.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// What the holder of a lease sees.
    pub(super) async fn lease(&self, lease_id: ResourceId, key: &SigningKey) -> LeaseStatus {
        let answer = self.command(key, Method::GET, &format!("/v1/leases/{lease_id}"), &[]).await;
        assert_eq!(answer.status, 200);
        LeaseStatus::decode(&answer.body).unwrap()
    }
}

impl Queue {
    pub(super) fn send_path(&self) -> String {
        format!("/v1/queues/{}/messages", self.sender_id)
    }

    pub(super) fn receive_path(&self) -> String {
        format!("/v1/queues/{}/messages", self.lease_id)
    }
}

impl Chunk {
    pub(super) fn upload_path(&self) -> String {
        format!("/v1/chunks/{}", self.lease_id)
    }

    pub(super) fn download_path(&self) -> String {
        format!("/v1/chunks/{}", self.reader_id)
    }
}

impl Answer {
    /// The problem that this is, whose status must be the answer's.
    #[track_caller]
    pub(super) fn problem(&self) -> ProblemType {
        let problem = Problem::from_json(&self.body).expect("a problem document");
        assert_eq!(self.headers[CONTENT_TYPE], media::PROBLEM);
        assert_eq!(self.status, problem.status);
        assert_eq!(problem.status, problem.problem.status());
        problem.problem
    }
}

impl Closed {
    pub(super) async fn open(self) -> Bench {
        self.open_with(Steps::none()).await
    }

    async fn open_with(self, steps: Steps) -> Bench {
        let Self { clock, vendor, directory, config, link, next } = self;
        let runs = next.fetch_add(1, Ordering::SeqCst);
        let relay = open(&config, &clock, &link, steps, runs).await.unwrap();
        Bench { relay, clock, vendor, directory, config, link, next }
    }

    /// Why it does not start.
    pub(super) async fn refusal(&self) -> StartError {
        let started = open(&self.config, &self.clock, &self.link, Steps::none(), 0).await;
        started.err().expect("it does not start")
    }

    pub(super) async fn accept_loss(&self) -> Difference {
        Relay::accept_loss(&self.config, self.clock.now()).await.unwrap()
    }
}

async fn open(
    config: &Config,
    clock: &ManualClock,
    link: &Arc<Link>,
    steps: Steps,
    run: u64,
) -> Result<Relay, StartError> {
    let environment = Environment {
        clock: Arc::new(clock.clone()),
        rng: rng_factory(77 + run), // or the second run gives out the addresses of the first
        steps,
        link: Arc::<Link>::clone(link),
    };
    Relay::open_with(config.clone(), passphrase(), environment).await
}

/// Runs SQL on a database from outside.
pub(super) async fn execute(path: &Path, sql: impl Into<String>) {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    connection.execute(AssertSqlSafe(sql.into())).await.unwrap();
}

pub(super) fn passphrase() -> Passphrase {
    Passphrase::new("passphrase of the tests".into())
}

fn addresses(receipt: &Receipt) -> (ResourceId, ResourceId) {
    let peer: [u8; 24] = receipt.detail.as_slice().try_into().unwrap();
    (receipt.lease_id, ResourceId::from_bytes(peer))
}

/// Bytes of a size, different for each seed.
pub(super) fn noise(size: SizeClass, seed: u8) -> Vec<u8> {
    (0..size.bytes()).map(|at| (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ seed).collect()
}
