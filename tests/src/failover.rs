//! Two issuers on a PostgreSQL that fails over, and a wallet and operators that note everything that they are told: what must never be is
//! found in what they hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use scrip_issuer::Config as IssuerConfig;
use scrip_issuer::store::Doubt;
use scrip_issuer::testing::postgres::Cluster;
use scrip_protocol::credits::Exponent;
use scrip_protocol::id::{BatchId, OperatorId, VendorId};
use scrip_protocol::issuance::{Blinding, Certificate, IssuanceAnswer, IssuanceRequest};
use scrip_protocol::keys::SigningKey;
use scrip_protocol::manifest::{KeyUse, Manifest};
use scrip_protocol::media;
use scrip_protocol::problem::{Problem, ProblemType};
use scrip_protocol::redemption::{ItemResult, RedemptionBatch, RedemptionItem, RedemptionOutcome};
use scrip_protocol::seed::{Counter, GrantSecret, WalletSeed};
use scrip_protocol::spend::Commitment;
use scrip_protocol::time::Day;
use scrip_protocol::tlog::checkpoint::Checkpoint;
use scrip_protocol::tlog::note::Note;
use scrip_runtime::client::{ClientOptions, HttpClient, Request};
use scrip_runtime::clock::{Clock, SystemClock};
use tokio::io::copy_bidirectional;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::Failure;
use crate::node::{VendorNode, free_address};

/// What is sold: certificates of these exponents.
const EXPONENTS: [u8; 6] = [0, 0, 1, 1, 2, 2];
const PRODUCT: &str = "pack";
/// How long issuers may take to find that what had stopped them is mended.
const MENDED: Duration = Duration::from_secs(120);
/// How long the network has to be as it should.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long an answer is waited for.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Packs that are tried again.
const RECENT: usize = 4;
const MAX_ANSWER: usize = 1 << 20;

/// The address of the database, which leads to one server at a time.
pub struct Address {
    folder: tempfile::TempDir,
    target: watch::Sender<PathBuf>,
    task: JoinHandle<()>,
}

impl Address {
    /// An address that leads to `server`.
    ///
    /// # Errors
    /// Where no socket can be made.
    pub fn of(server: &Cluster) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432"))?;
        let (target, current) = watch::channel(server.socket());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                let mut current = current.clone();
                connections.spawn(async move {
                    let path = current.borrow_and_update().clone();
                    let Ok(mut server) = UnixStream::connect(path).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        // Nobody goes on at the old server.
                        _ = current.changed() => {}
                    }
                });
            }
        });
        Ok(Self { folder, target, task })
    }

    /// From now on it leads to `server`; all connections are cut.
    pub fn lead_to(&self, server: &Cluster) {
        self.target.send_replace(server.socket());
    }

    /// The same database as `url` has, by this address.
    pub fn url(&self, url: &str) -> String {
        let (start, _) = url.split_once("?host=").unwrap_or((url, ""));
        let host = self.folder.path().to_string_lossy().replace('/', "%2F");
        format!("{start}?host={host}")
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What an issuer answered.
#[derive(Debug)]
pub enum Answer<T> {
    /// What was asked for.
    Done(T),
    /// A problem document.
    Refused(ProblemType),
    /// None, or one that says nothing.
    Nothing,
}

/// An operator.
struct Operator {
    key: SigningKey,
    id: OperatorId,
}

/// What everybody was told, from the beginning on.
#[derive(Default)]
pub struct Told {
    /// The root of each size.
    roots: BTreeMap<u64, String>,
    /// To whom each certificate was credited.
    credited: BTreeMap<[u8; 32], OperatorId>,
    /// For which grant each voucher was good.
    vouchers: BTreeMap<String, u32>,
    /// What must not be.
    pub violations: Vec<String>,
    /// The largest checkpoint that was shown.
    shown: u64,
    /// How many outcomes were answered.
    pub outcomes: usize,
}

/// The vendor, a wallet and two operators.
pub struct World {
    issuers: Vec<VendorNode>,
    client: HttpClient,
    vendor: VendorId,
    manifest: Manifest,
    operators: Vec<Operator>,
    seed: WalletSeed,
    grants: u32,
    batches: u64,
    /// The last vouchers, and what was bought with them.
    recent: Vec<(String, Arc<[Certificate]>)>,
    rng: ChaCha20Rng,
    /// What everybody was told.
    pub told: Told,
}

impl World {
    /// Two issuers of one vendor, running on the database at `url`, with their ledger in `folder`.
    ///
    /// # Errors
    /// Where a part does not start.
    pub async fn new(url: &str, folder: &Path, seed: u64) -> Result<Self, Failure> {
        let mut config = IssuerConfig::new(url);
        config.listen = free_address()?;
        config.products.clear();
        let counts = (0..=2).filter_map(Exponent::new).map(|exponent| (exponent, 2));
        config.set_product(PRODUCT, counts)?;
        config.ledger.store = Some(folder.join("ledger").to_string_lossy().into_owned());
        let mut first = VendorNode::init(config, Arc::new(SystemClock)).await?;
        first.start().await?;
        let mut second = first.twin(free_address()?);
        second.start().await?;
        let mut operators = Vec::new();
        for number in 1..=2 {
            let key = SigningKey::from_seed(&[number; 32]);
            first.contract(&format!("operator {number}"), &key.public()).await?;
            operators.push(Operator { id: OperatorId::of(&key.public()), key });
        }
        let (vendor, manifest) = (first.issuer()?.vendor_id(), first.issuer()?.manifest());
        let client =
            HttpClient::new(ClientOptions { timeout: TIMEOUT, ..ClientOptions::default() });
        Ok(Self {
            issuers: vec![first, second],
            client: client?,
            vendor,
            manifest: manifest.as_ref().clone(),
            operators,
            seed: WalletSeed::from_bytes([7; 32]),
            grants: 0,
            batches: 0,
            recent: Vec::new(),
            rng: ChaCha20Rng::seed_from_u64(seed),
            told: Told::default(),
        })
    }
}

impl World {
    /// Sells and redeems until it is told to stop, whatever happens to the database.
    pub async fn traffic(mut self, stop: watch::Receiver<bool>) -> Self {
        while !*stop.borrow() {
            if !self.sell_and_redeem().await {
                sleep(Duration::from_millis(20)).await;
            }
        }
        self
    }

    /// Makes a voucher at one issuer, uses it, and spends what was issued at both operators, which redeem at the same moment at both
    /// issuers. Whether all of it was answered.
    pub async fn sell_and_redeem(&mut self) -> bool {
        let at = self.any();
        let Some(code) = self.voucher(at).await else { return false };
        let sold = self.use_voucher(at, &code).await;
        self.recent.push((code, Arc::default()));
        if self.recent.len() > RECENT {
            self.recent.remove(0);
        }
        let Answer::Done(grant) = sold else { return false };
        let at = self.any();
        let Some(certificates) = self.issue(at, grant).await else { return false };
        let certificates: Arc<[Certificate]> = certificates.into();
        if let Some((_, held)) = self.recent.last_mut() {
            *held = Arc::clone(&certificates);
        }
        let batches = [0, 1].map(|operator| self.batch(operator, &certificates));
        let order = [at, 1 - at];
        let (one, two) =
            tokio::join!(self.redeem(order[0], &batches[0]), self.redeem(order[1], &batches[1]));
        let answered = [&one, &two].iter().all(|answer| matches!(answer, Answer::Done(_)));
        self.note(0, &certificates, one);
        self.note(1, &certificates, two);
        answered
    }

    /// Tries to use again what was used in the last moments: each voucher for another grant, and each certificate at each operator.
    pub async fn use_again(&mut self) {
        self.use_newest_again(RECENT).await;
        self.look().await;
    }

    async fn use_newest_again(&mut self, packs: usize) {
        let newest: Vec<_> = self.recent.iter().rev().take(packs).cloned().collect();
        for (code, certificates) in newest {
            for at in 0..self.issuers.len() {
                // What it says is noted, and held against what was said before.
                let _ = self.use_voucher(at, &code).await;
                for operator in 0..self.operators.len() {
                    if certificates.is_empty() {
                        continue;
                    }
                    let batch = self.batch(operator, &certificates);
                    let answer = self.redeem(at, &batch).await;
                    self.note(operator, &certificates, answer);
                }
            }
        }
    }

    /// Looks at the published checkpoint at both issuers.
    pub async fn look(&mut self) {
        for at in 0..self.issuers.len() {
            let url = format!("{}/ledger/checkpoint", self.url(at));
            let shown = self.client.send(Request::get(url, MAX_ANSWER)).await;
            let Ok(shown) = shown else { continue };
            if shown.status == 200 {
                let size = self.told.checkpoint(&shown.body);
                if size < self.told.shown {
                    let shown = self.told.shown;
                    self.told.violate(format!("the checkpoint shrank from {shown} to {size}"));
                }
                self.told.shown = self.told.shown.max(size);
            }
        }
    }

    /// Waits until both issuers go on, where what had stopped them is mended: each of them looks once a second. Whether they do.
    ///
    /// # Errors
    /// As [`World::settled`].
    pub async fn goes_on(&mut self) -> Result<bool, Failure> {
        let end = Instant::now() + MENDED;
        loop {
            if self.settled().await? {
                return Ok(true);
            }
            if Instant::now() > end {
                return Ok(false);
            }
        }
    }

    /// Waits until both issuers do what they are asked for, or both have stopped; whether they go on.
    ///
    /// # Errors
    /// Where they do neither.
    pub async fn settled(&mut self) -> Result<bool, Failure> {
        let end = Instant::now() + PATIENCE;
        let mut stopped = 0;
        while Instant::now() < end {
            self.use_newest_again(1).await;
            self.look().await;
            let doubts: Vec<_> = self
                .issuers
                .iter()
                .map(|node| node.issuer().ok().and_then(|one| one.doubt()))
                .collect();
            let moved = |doubt: &Option<Doubt>| matches!(doubt, Some(Doubt::Promoted { .. }));
            if doubts.iter().all(|doubt| doubt.is_some() && !moved(doubt)) {
                stopped += 1;
                if stopped > 1 {
                    self.use_again().await;
                    return Ok(false);
                }
            } else if doubts.iter().all(Option::is_none)
                && self.sell_and_redeem().await
                && self.sell_and_redeem().await
            {
                self.use_again().await;
                return Ok(true);
            }
            sleep(Duration::from_millis(250)).await;
        }
        let doubts: Vec<_> = self
            .issuers
            .iter()
            .map(|node| node.issuer().ok().and_then(|one| one.doubt()))
            .collect();
        Err(format!("the issuers neither go on nor stop: {doubts:?}").into())
    }

    /// What the issuers say is to be done.
    ///
    /// # Errors
    /// Where they do not run, or their books cannot be read.
    pub async fn remedies(&self) -> Result<Vec<String>, Failure> {
        let mut remedies = Vec::new();
        for node in &self.issuers {
            let issuer = node.issuer()?;
            let now = SystemClock.now();
            let alerts =
                scrip_issuer::alerts::read(issuer.store(), issuer.config(), now, None).await?;
            remedies.extend(alerts.into_iter().map(|alert| alert.remedy));
        }
        Ok(remedies)
    }

    /// The issuers.
    pub fn issuers(&mut self) -> &mut [VendorNode] {
        &mut self.issuers
    }

    fn any(&mut self) -> usize {
        usize::from(self.rng.next_u32().is_multiple_of(2))
    }

    fn url(&self, at: usize) -> String {
        format!("http://{}", self.issuers[at].listens_at())
    }

    /// A new voucher, made at an issuer.
    pub async fn voucher_at(&self, at: usize) -> Option<String> {
        self.voucher(at).await
    }

    /// Uses a voucher at an issuer; whether it was good.
    pub async fn buy_at(&mut self, at: usize, code: &str) -> bool {
        self.recent.push((code.to_owned(), Arc::default()));
        matches!(self.use_voucher(at, code).await, Answer::Done(_))
    }

    async fn voucher(&self, at: usize) -> Option<String> {
        tokio::time::timeout(TIMEOUT, self.issuers[at].voucher(PRODUCT)).await.ok()?.ok()
    }

    async fn post(
        &self,
        at: usize,
        path: &str,
        media_type: &str,
        secret: Option<&GrantSecret>,
        body: Vec<u8>,
    ) -> Answer<Vec<u8>> {
        let mut request = Request::post(format!("{}{path}", self.url(at)), body, MAX_ANSWER)
            .header(CONTENT_TYPE, media_type);
        if let Some(secret) = secret {
            request = request.header(AUTHORIZATION, secret.to_bearer().as_str());
        }
        let Ok(answer) = self.client.send(request).await else { return Answer::Nothing };
        match (answer.status, Problem::from_json(&answer.body)) {
            (200, _) => Answer::Done(answer.body.to_vec()),
            (_, Some(problem)) => Answer::Refused(problem.problem),
            _ => Answer::Nothing,
        }
    }

    /// Uses a voucher for a new grant, and notes whether it was used for another one before.
    async fn use_voucher(&mut self, at: usize, code: &str) -> Answer<u32> {
        let index = self.grants;
        self.grants += 1;
        let secret = self.seed.grant_secret(&self.vendor, index);
        let code = code.rsplit(':').next().unwrap_or(code).to_owned();
        let body = serde_json::json!({ "source": "voucher", "code": code }).to_string();
        match self.post(at, "/v1/grants", media::JSON, Some(&secret), body.into_bytes()).await {
            Answer::Done(_) => {
                if let Some(before) = self.told.vouchers.insert(code, index) {
                    self.told.violate(format!("a voucher became the grants {before} and {index}"));
                }
                Answer::Done(index)
            }
            Answer::Refused(problem) => Answer::Refused(problem),
            Answer::Nothing => Answer::Nothing,
        }
    }

    async fn issue(&self, at: usize, grant: u32) -> Option<Vec<Certificate>> {
        let now = SystemClock.now();
        let start = |(position, exponent): (u16, &u8)| {
            let key = self.manifest.issuing(KeyUse::Production, Exponent::new(*exponent)?, now)?;
            Blinding::start(&self.seed, &self.manifest, key, Counter::new(grant, position)).ok()
        };
        let blindings: Option<Vec<Blinding>> = (0..).zip(&EXPONENTS).map(start).collect();
        let blindings = blindings?;
        let items = blindings.iter().map(|blinding| blinding.item().clone()).collect();
        let request = IssuanceRequest { items }.encode();
        let secret = self.seed.grant_secret(&self.vendor, grant);
        let path = "/v1/issuance";
        let answer = self.post(at, path, media::ISSUANCE_REQUEST, Some(&secret), request).await;
        let Answer::Done(bytes) = answer else { return None };
        let answer = IssuanceAnswer::decode(&bytes).ok()?;
        let finish = |(blinding, signed): (Blinding, _)| {
            let key = self.manifest.key(&blinding.item().key_id)?;
            blinding.finish(key, signed).ok()
        };
        blindings.into_iter().zip(&answer.items).map(finish).collect()
    }

    /// All of these certificates, spent at an operator.
    fn batch(&mut self, operator: usize, certificates: &[Certificate]) -> Vec<u8> {
        self.batches += 1;
        let mut name = [0; 16];
        name[..8].copy_from_slice(&self.batches.to_be_bytes());
        let Operator { key, id } = &self.operators[operator];
        let day: Day = SystemClock.today();
        let item = |certificate: &Certificate| {
            let mut commitment = certificate.token().nonce;
            commitment[0] = operator as u8;
            let commitment = Commitment::from_bytes(commitment);
            let (_, signature) = certificate.spend(&self.vendor, id, day, &commitment);
            RedemptionItem { token: certificate.token().clone(), day, commitment, signature }
        };
        let items = certificates.iter().map(item).collect();
        let (vendor_id, operator_id) = (self.vendor, *id);
        let batch_id = BatchId::from_bytes(name);
        RedemptionBatch { vendor_id, operator_id, batch_id, items }.sign(key)
    }

    async fn redeem(&self, at: usize, batch: &[u8]) -> Answer<Vec<u8>> {
        self.post(at, "/v1/redemptions", media::REDEMPTION_BATCH, None, batch.to_vec()).await
    }

    /// Notes an outcome, and what in it contradicts what was told before.
    fn note(&mut self, operator: usize, certificates: &[Certificate], answer: Answer<Vec<u8>>) {
        let Answer::Done(bytes) = answer else { return };
        let Ok(outcome) = RedemptionOutcome::open(&bytes, self.manifest.receipt_keys()) else {
            self.told.violate("an outcome does not verify".into());
            return;
        };
        self.told.outcomes += 1;
        if !outcome.checkpoint.is_empty() {
            let size = self.told.checkpoint(&outcome.checkpoint);
            self.told.shown = self.told.shown.max(size);
        }
        let to = self.operators[operator].id;
        for (certificate, result) in certificates.iter().zip(&outcome.results) {
            if !matches!(result, ItemResult::Accepted | ItemResult::AlreadyAccepted) {
                continue;
            }
            let before = self.told.credited.insert(certificate.token().nonce, to);
            if before.is_some_and(|before| before != to) {
                self.told.violate("a certificate was credited to two operators".into());
            }
        }
    }
}

impl Told {
    /// The size of a signed checkpoint, whose root must be the one that was told before.
    fn checkpoint(&mut self, note: &[u8]) -> u64 {
        let note = Note::parse(note).ok();
        let Some(head) = note.and_then(|note| Checkpoint::parse(note.text()).ok()) else {
            self.violate("a checkpoint does not parse".into());
            return 0;
        };
        let root = head.root.to_string();
        if let Some(before) = self.roots.insert(head.size, root.clone())
            && before != root
        {
            self.violate(format!("two checkpoints of {} leaves with different roots", head.size));
        }
        head.size
    }

    /// How many trees were signed, certificates credited, and vouchers used.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.roots.len(), self.credited.len(), self.vouchers.len())
    }

    fn violate(&mut self, what: String) {
        self.violations.push(what);
    }
}
