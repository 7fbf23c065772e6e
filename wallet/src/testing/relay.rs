//! A relay with queues and chunks in memory.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, Method, StatusCode, Uri, header::CONTENT_TYPE},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use scrip_protocol::{
    address::RelayAddress,
    check::{Spend, check_one},
    credits::Credits,
    hash::{Label, hash},
    id::{MessageId, OperatorId, PaymentId, ResourceId, encode_base64url},
    keys::{PublicKey, SigningKey},
    manifest::{HELD_HEADER, HeldManifest, ProvenManifest},
    media,
    payment::PaidRequest,
    problem::{Price, Problem, ProblemType},
    receipt::{Receipt, ReceiptEvent},
    redemption::ConflictProof,
    refusal::Refusal,
    resource::{
        AcceptedVendor, COMMAND_HEADER, Command, CommandAuth, LeaseStatus, PriceList, RelayInfo,
        ResourceKind, ResourceRequest, SIGNATURE_HEADER,
    },
    spend::{Binding, SpendKind},
    time::UnixSeconds,
};
use scrip_runtime::clock::{Clock, ManualClock};

use super::{
    FakeVendor, Faults,
    faults::{answer_problem, problem, strike, typed},
    relay_address, serve,
};

const PRICES: PriceList =
    PriceList { queue: 2, chunk_64k: 1, chunk_256k: 1, chunk_1m: 1, chunk_4m: 4 };

struct Lease {
    kind: ResourceKind,
    other_id: ResourceId,
    until: UnixSeconds,
    live: bool,
    receipts: Vec<Vec<u8>>,
    messages: VecDeque<(MessageId, Vec<u8>)>,
    chunk: Option<Bytes>,
}

#[derive(Default)]
struct Books {
    spent: BTreeMap<[u8; 32], (PaymentId, Binding, scrip_protocol::keys::Signature)>,
    payments: BTreeMap<PaymentId, Vec<u8>>,
    leases: BTreeMap<ResourceId, Lease>,
    taken: u64,
    /// The manifest that it hands out, where that is not the vendor's newest.
    held: Option<ProvenManifest>,
    /// How often it was asked for the manifest.
    asked: usize,
    /// What the next paid requests are refused for, and whether they are taken all the same.
    refuse_next: VecDeque<(ProblemType, bool)>,
    /// Proofs that certificates were spent before, by their keys.
    accused: BTreeMap<[u8; 32], ConflictProof>,
    /// The payments that were refused, for good, with their answers.
    refused: BTreeMap<PaymentId, Problem>,
    /// Every chunk is given out with a changed byte.
    corrupt: bool,
}

/// The relay.
pub(crate) struct FakeRelay {
    number: u8,
    key: SigningKey,
    address: Mutex<Option<RelayAddress>>,
    vendor: Arc<FakeVendor>,
    clock: ManualClock,
    books: Mutex<Books>,
    pub(crate) faults: Faults,
}

impl FakeRelay {
    pub(super) async fn start(
        number: u8,
        vendor: Arc<FakeVendor>,
        clock: ManualClock,
    ) -> Arc<Self> {
        let relay = Arc::new(Self {
            number,
            key: SigningKey::from_seed(&[100 + number; 32]),
            address: Mutex::new(None),
            vendor,
            clock,
            books: Mutex::default(),
            faults: Faults::default(),
        });
        let router = relay.clone().router();
        let authority = serve(|_| router).await;
        *relay.address.lock().unwrap() = Some(relay_address(relay.id(), &authority));
        relay
    }

    pub(crate) fn id(&self) -> OperatorId {
        OperatorId::of(&self.key.public())
    }

    pub(crate) fn address(&self) -> RelayAddress {
        self.address.lock().unwrap().clone().unwrap()
    }

    pub(crate) fn lease_count(&self) -> usize {
        self.books.lock().unwrap().leases.len()
    }

    pub(crate) fn taken(&self) -> u64 {
        self.books.lock().unwrap().taken
    }

    /// From now on it hands out this manifest.
    pub(crate) fn hand_out(&self, manifest: ProvenManifest) {
        self.books.lock().unwrap().held = Some(manifest);
    }

    /// From now on it holds the manifest that the vendor shows now, whatever the vendor shows later.
    pub(crate) fn freeze_manifest(&self) {
        self.hand_out(self.vendor.proven_manifest());
    }

    /// It looks for the vendor's manifest again.
    pub(crate) fn thaw_manifest(&self) {
        self.books.lock().unwrap().held = None;
    }

    /// How often it was asked for the manifest.
    pub(crate) fn asked(&self) -> usize {
        self.books.lock().unwrap().asked
    }

    /// Redeems what it took; how much of it was spent elsewhere before.
    pub(crate) fn redeem(&self) -> usize {
        let books = self.books.lock().unwrap();
        let spent = books.spent.iter();
        spent.filter(|(key, (_, binding, sig))| !self.vendor.redeem(**key, *binding, *sig)).count()
    }

    /// The next payment is refused under the operator's signature.
    pub(crate) fn refuse_next(&self, problem: ProblemType) {
        self.books.lock().unwrap().refuse_next.push_back((problem, false));
    }

    /// The next payment is refused under the operator's signature, and taken all the same.
    pub(crate) fn betray_next(&self, problem: ProblemType) {
        self.books.lock().unwrap().refuse_next.push_back((problem, true));
    }

    fn refuse(&self, payment_id: PaymentId, mut problem: Problem) -> Response {
        if problem.problem.nothing_taken() {
            let (operator_id, problem_type) = (self.id(), problem.problem);
            let refusal = Refusal { operator_id, payment_id, problem: problem_type };
            refusal.attach(&self.key, &mut problem);
            self.books.lock().unwrap().refused.insert(payment_id, problem.clone());
        }
        answer_problem(&problem)
    }

    pub(crate) fn corrupt(&self) {
        self.books.lock().unwrap().corrupt = true;
    }

    /// Loses the bytes of all chunks.
    pub(crate) fn lose_chunks(&self) {
        for lease in self.books.lock().unwrap().leases.values_mut() {
            lease.chunk = None;
        }
    }

    /// The digests of all chunks that were stored here.
    pub(crate) fn chunk_digests(&self) -> Vec<[u8; 32]> {
        let books = self.books.lock().unwrap();
        let chunks = books.leases.values().filter_map(|lease| lease.chunk.as_ref());
        chunks.map(|chunk| Command::digest_of(chunk)).collect()
    }

    /// Refuses payments with the certificate of this proof, as one that was spent before.
    pub(crate) fn accuse(&self, proof: ConflictProof) {
        let mut books = self.books.lock().unwrap();
        books.accused.insert(*proof.certificate_key.as_bytes(), proof);
    }

    /// Ends a lease as a double spend would, with a proof that does not hold.
    pub(crate) fn slander(&self, lease_id: &ResourceId) {
        let binding = Binding::from_bytes([8; 32]);
        self.end(lease_id, |certificate_key| ConflictProof {
            certificate_key,
            kind: SpendKind::Spend,
            other_binding: binding,
            other_signature: self.key.sign(Label::Spend, binding.as_bytes()),
        });
    }

    /// Ends a lease with a proof about the first certificate that was spent here.
    pub(crate) fn end(
        &self,
        lease_id: &ResourceId,
        proof: impl FnOnce(PublicKey) -> ConflictProof,
    ) {
        let mut books = self.books.lock().unwrap();
        let (certificate, (payment_id, ..)) = books.spent.iter().next().unwrap();
        let proof = proof(PublicKey::from_bytes(*certificate).expect("a key"));
        let signed = Receipt {
            operator_id: self.id(),
            payment_id: *payment_id,
            event: ReceiptEvent::Ended,
            lease_id: *lease_id,
            lease_until: self.clock.now(),
            credits: 2,
            detail: proof.encode(),
        }
        .sign(&self.key);
        let lease = books.leases.get_mut(lease_id).unwrap();
        lease.receipts.push(signed);
        lease.live = false;
        lease.until = self.clock.now();
    }

    fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/v1/relay", get(info))
            .route("/v1/manifests/{vendor_id}", get(manifest))
            .route("/v1/queues", post(priced))
            .route("/v1/chunks", post(priced))
            .route("/v1/extensions", post(priced))
            .route("/v1/queues/{id}/messages", get(receive).post(send))
            .route("/v1/queues/{id}/messages/{message}", axum::routing::delete(acknowledge))
            .route("/v1/chunks/{id}", put(upload).get(download))
            .route("/v1/leases/{id}", get(lease).delete(delete_lease))
            .layer(DefaultBodyLimit::max(5 << 20))
            .layer(middleware::from_fn_with_state(self.faults.clone(), strike))
            .with_state(self)
    }

    fn info(&self) -> RelayInfo {
        RelayInfo {
            operator_key: self.key.public(),
            name: format!("relay-{}", self.number),
            max_days: 400,
            prices: PRICES,
            vendors: vec![AcceptedVendor {
                vendor_id: self.vendor.id(),
                address: self.vendor.address(),
                test: false,
            }],
        }
    }

    fn price(&self, request: &ResourceRequest) -> Option<Price> {
        let books = self.books.lock().unwrap();
        let kind = match &request.kind {
            ResourceKind::Extension { lease_id } => &books.leases.get(lease_id)?.kind,
            other => other,
        };
        let per_period = match kind {
            ResourceKind::Chunk { size_class, .. } => PRICES.chunk(*size_class),
            _ => PRICES.queue,
        };
        Some(Price {
            credits: PriceList::price(per_period, request.days),
            seconds_per_credit: PriceList::seconds_per_credit(per_period),
        })
    }

    /// Checks as verification.md lists them, as far as a wallet can fail them.
    fn check(&self, paid: &PaidRequest, price: Price) -> Result<Credits, ProblemType> {
        let manifest = self.vendor.manifest();
        let payment = &paid.payment;
        if payment.vendor_id != self.vendor.id() {
            return Err(ProblemType::WrongVendor);
        }
        if payment.operator_id != self.id() {
            return Err(ProblemType::WrongOperator);
        }
        if !payment.day.is_adjacent_to(self.clock.today()) {
            return Err(ProblemType::DayOutOfRange);
        }
        let mut sum = 0;
        for (item, evidence) in payment.items.iter().zip(payment.evidence(&paid.resource_request)) {
            let key = manifest.key(&item.token.key_id).ok_or(ProblemType::KeyUnknown)?;
            if !key.windows().spends_at(self.clock.now()) {
                return Err(ProblemType::KeyOutsideWindow);
            }
            let spend = Spend {
                token: &item.token,
                kind: SpendKind::Spend,
                binding: evidence.binding,
                signature: &item.signature,
                key,
            };
            check_one(&spend).map_err(|_| ProblemType::SpendSignatureInvalid)?;
            sum += key.value().0;
        }
        if sum < price.credits.0 { Err(ProblemType::PaymentTooLow) } else { Ok(Credits(sum)) }
    }

    fn provision(&self, paid: &PaidRequest, request: ResourceRequest) -> Response {
        let id = paid.payment_id();
        if let Some(receipt) = self.books.lock().unwrap().payments.get(&id) {
            return created(receipt.clone());
        }
        let Some(price) = self.price(&request) else {
            return self.refuse(id, ProblemType::ResourceNotFound.into());
        };
        let sum = match self.check(paid, price) {
            Ok(sum) => sum,
            Err(found) => return self.refuse(id, found.into()),
        };
        let mut books = self.books.lock().unwrap();
        let evidence = paid.payment.evidence(&paid.resource_request);
        for one in &evidence {
            let key = one.item.token.nonce;
            let spent = books.spent.get(&key).map(|(_, binding, signature)| ConflictProof {
                certificate_key: one.item.token.certificate_key().expect("a key"),
                kind: SpendKind::Spend,
                other_binding: *binding,
                other_signature: *signature,
            });
            if let Some(proof) = spent.or_else(|| books.accused.get(&key).copied()) {
                let mut found = Problem::new(ProblemType::CertificateSpent);
                found.conflict = Some(encode_base64url(&proof.encode()));
                drop(books);
                return self.refuse(id, found);
            }
        }
        for one in evidence {
            books.spent.insert(one.item.token.nonce, (id, one.binding, one.item.signature));
        }
        books.taken += sum.0;
        let seconds = sum.0 * price.seconds_per_credit;
        let receipt = books.lease(self, id, request.kind, seconds, sum);
        books.payments.insert(id, receipt.clone());
        created(receipt)
    }

    /// The lease that a command is about, if it is signed as it should be.
    fn authorize(
        &self,
        request: (&Method, &Uri, &HeaderMap, &[u8]),
        id: &str,
        key: impl Fn(&Lease) -> PublicKey,
        by_other: bool,
    ) -> Result<ResourceId, ProblemType> {
        let (method, uri, headers, body) = request;
        let id: ResourceId = id.parse().map_err(|_| ProblemType::ResourceNotFound)?;
        let books = self.books.lock().unwrap();
        let (lease_id, lease) = books
            .leases
            .iter()
            .find(
                |(lease_id, lease)| if by_other { lease.other_id == id } else { **lease_id == id },
            )
            .ok_or(ProblemType::ResourceNotFound)?;
        let header = headers.get(COMMAND_HEADER).and_then(|value| value.to_str().ok());
        let auth = CommandAuth::from_header(header.unwrap_or_default())
            .map_err(|_| ProblemType::Malformed)?;
        let command = Command {
            operator_id: &self.id(),
            method: method.as_str(),
            path: uri.path(),
            body_digest: Command::digest_of(body),
        };
        command
            .verify(&auth, &key(lease), self.clock.now())
            .map_err(|_| ProblemType::ResourceNotFound)?;
        match lease.live && lease.until > self.clock.now() || uri.path().starts_with("/v1/leases") {
            true => Ok(*lease_id),
            false => Err(ProblemType::LeaseEnded),
        }
    }
}

impl Books {
    fn lease(
        &mut self,
        relay: &FakeRelay,
        payment_id: PaymentId,
        kind: ResourceKind,
        seconds: u64,
        credits: Credits,
    ) -> Vec<u8> {
        let id_from = |label: &[u8]| {
            let digest = hash(Label::PaymentId, &[label, payment_id.as_bytes()]);
            ResourceId::from_bytes(digest[..24].try_into().unwrap())
        };
        let (event, lease_id, detail) = match &kind {
            ResourceKind::Extension { lease_id } => (ReceiptEvent::Extended, *lease_id, Vec::new()),
            _ => {
                let (id, other_id) = (id_from(b"owner"), id_from(b"other"));
                let lease = Lease {
                    kind: kind.clone(),
                    other_id,
                    until: relay.clock.now(),
                    live: true,
                    receipts: Vec::new(),
                    messages: VecDeque::new(),
                    chunk: None,
                };
                self.leases.insert(id, lease);
                (ReceiptEvent::Provisioned, id, other_id.as_bytes().to_vec())
            }
        };
        let lease = self.leases.get_mut(&lease_id).unwrap();
        lease.until = lease.until.plus(seconds);
        let receipt = Receipt {
            operator_id: relay.id(),
            payment_id,
            event,
            lease_id,
            lease_until: lease.until,
            credits: u32::try_from(credits.0).unwrap(),
            detail,
        };
        let signed = receipt.sign(&relay.key);
        lease.receipts.push(signed.clone());
        signed
    }
}

type Shared = State<Arc<FakeRelay>>;

fn created(receipt: Vec<u8>) -> Response {
    (StatusCode::CREATED, typed(media::RECEIPT), receipt).into_response()
}

fn owner(lease: &Lease) -> PublicKey {
    match &lease.kind {
        ResourceKind::Queue { recipient_key, .. } => *recipient_key,
        ResourceKind::Chunk { owner_key, .. } => *owner_key,
        ResourceKind::Extension { .. } => unreachable!(),
    }
}

fn other(lease: &Lease) -> PublicKey {
    match &lease.kind {
        ResourceKind::Queue { sender_key, .. } => *sender_key,
        ResourceKind::Chunk { reader_key, .. } => *reader_key,
        ResourceKind::Extension { .. } => unreachable!(),
    }
}

async fn manifest(State(relay): Shared, Path(vendor_id): Path<String>) -> Response {
    if vendor_id != relay.vendor.id().to_string() {
        return problem(ProblemType::NotFound);
    }
    let held = {
        let mut books = relay.books.lock().unwrap();
        books.asked += 1;
        books.held.clone()
    };
    let held = held.unwrap_or_else(|| relay.vendor.proven_manifest());
    let said = HeldManifest::sign(&relay.key, held.manifest()).to_header();
    ([(HELD_HEADER, said)], typed(media::MANIFEST), held.encode()).into_response()
}

async fn info(State(relay): Shared) -> Response {
    let (body, signature) = relay.info().sign(&relay.key).unwrap();
    let mut headers = typed(media::JSON);
    headers.insert(SIGNATURE_HEADER, signature.parse().unwrap());
    (headers, body).into_response()
}

async fn priced(State(relay): Shared, headers: HeaderMap, body: Bytes) -> Response {
    if headers.get(CONTENT_TYPE).is_some_and(|value| value == media::PAID_REQUEST) {
        let Ok(paid) = PaidRequest::decode(&body) else { return problem(ProblemType::Malformed) };
        let Ok(request) = ResourceRequest::decode(&paid.resource_request) else {
            return problem(ProblemType::Malformed);
        };
        let id = paid.payment_id();
        if let Some(problem) = relay.books.lock().unwrap().refused.get(&id) {
            return answer_problem(problem);
        }
        let next = relay.books.lock().unwrap().refuse_next.pop_front();
        if let Some((problem, betrays)) = next {
            if betrays {
                relay.provision(&paid, request);
            }
            return relay.refuse(id, problem.into());
        }
        return relay.provision(&paid, request);
    }
    let Ok(request) = ResourceRequest::decode(&body) else {
        return problem(ProblemType::Malformed);
    };
    let mut found = Problem::new(ProblemType::PaymentRequired);
    found.price = relay.price(&request);
    found.operator_id = Some(relay.id());
    answer_problem(&found)
}

async fn send(
    State(relay): Shared,
    Path(id): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match relay.authorize((&method, &uri, &headers, &body), &id, other, true) {
        Ok(lease) => {
            let auth = CommandAuth::from_header(headers[COMMAND_HEADER].to_str().unwrap()).unwrap();
            let message = MessageId::from_bytes(auth.nonce);
            let mut books = relay.books.lock().unwrap();
            let messages = &mut books.leases.get_mut(&lease).unwrap().messages;
            if !messages.iter().any(|(id, _)| *id == message) {
                messages.push_back((message, body.to_vec()));
            }
            StatusCode::NO_CONTENT.into_response()
        }
        Err(found) => problem(found),
    }
}

async fn receive(
    State(relay): Shared,
    Path(id): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    match relay.authorize((&method, &uri, &headers, &[]), &id, owner, false) {
        Ok(lease) => match relay.books.lock().unwrap().leases[&lease].messages.front() {
            Some((id, block)) => [id.as_bytes().as_slice(), block].concat().into_response(),
            None => StatusCode::NO_CONTENT.into_response(),
        },
        Err(found) => problem(found),
    }
}

async fn acknowledge(
    State(relay): Shared,
    Path((id, message)): Path<(String, String)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    match relay.authorize((&method, &uri, &headers, &[]), &id, owner, false) {
        Ok(lease) => {
            let mut books = relay.books.lock().unwrap();
            let messages = &mut books.leases.get_mut(&lease).unwrap().messages;
            messages.retain(|(id, _)| id.to_string() != message);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(found) => problem(found),
    }
}

async fn upload(
    State(relay): Shared,
    Path(id): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match relay.authorize((&method, &uri, &headers, &body), &id, owner, false) {
        Ok(lease) => {
            let mut books = relay.books.lock().unwrap();
            let lease = books.leases.get_mut(&lease).unwrap();
            let ResourceKind::Chunk { digest, size_class, .. } = &lease.kind else {
                return problem(ProblemType::ResourceNotFound);
            };
            if *digest != Command::digest_of(&body) || size_class.bytes() != body.len() {
                return problem(ProblemType::DigestMismatch);
            }
            lease.chunk = Some(body);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(found) => problem(found),
    }
}

async fn download(
    State(relay): Shared,
    Path(id): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    match relay.authorize((&method, &uri, &headers, &[]), &id, other, true) {
        Ok(lease) => {
            let books = relay.books.lock().unwrap();
            match &books.leases[&lease].chunk {
                Some(chunk) if books.corrupt => {
                    let mut changed = chunk.to_vec();
                    changed[100] ^= 1;
                    changed.into_response()
                }
                Some(chunk) => chunk.clone().into_response(),
                None => problem(ProblemType::ChunkNotUploaded),
            }
        }
        Err(found) => problem(found),
    }
}

async fn lease(
    State(relay): Shared,
    Path(id): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    match relay.authorize((&method, &uri, &headers, &[]), &id, owner, false) {
        Ok(lease) => {
            let books = relay.books.lock().unwrap();
            let lease = &books.leases[&lease];
            let status = LeaseStatus {
                live: lease.live,
                missing: lease.live
                    && lease.chunk.is_none()
                    && matches!(lease.kind, ResourceKind::Chunk { .. }),
                lease_until: lease.until,
                receipts: lease.receipts.clone(),
            };
            (typed(media::LEASE), status.encode()).into_response()
        }
        Err(found) => problem(found),
    }
}

async fn delete_lease(
    State(relay): Shared,
    Path(id): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    match relay.authorize((&method, &uri, &headers, &[]), &id, owner, false) {
        Ok(lease) => {
            relay.books.lock().unwrap().leases.get_mut(&lease).unwrap().live = false;
            StatusCode::NO_CONTENT.into_response()
        }
        Err(found) => problem(found),
    }
}
