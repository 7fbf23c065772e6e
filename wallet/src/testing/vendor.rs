//! A vendor that signs one product's pack.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, header::AUTHORIZATION},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use crypto_bigint::{
    BoxedUint, Odd,
    modular::{BoxedMontyForm, BoxedMontyParams},
};
use scrip_protocol::{
    address::VendorAddress,
    credits::{Credits, Exponent},
    id::{GrantId, KeyId, VendorId},
    issuance::{GrantAnswer, IssuanceAnswer, IssuanceRequest, SignedItem},
    keys::SigningKey,
    manifest::{
        EpochBody, KeyUse, Manifest, ManifestBody, Product, ProvenManifest, ReceiptKeys, Windows,
    },
    media,
    pack::Pack,
    problem::ProblemType,
    purchase::GrantRequest,
    renewal::RenewalItem,
    seed::GrantSecret,
    time::SECONDS_PER_DAY,
    tlog::{
        checkpoint::Checkpoint,
        cosignature::cosign,
        hash::{leaf_hash, node_hash},
        note::{Algorithm, KeyName, VerifierKey},
        proof::LogProof,
        tree::InclusionProof,
    },
};
use scrip_runtime::clock::{Clock, ManualClock};

use super::{
    Faults, START,
    faults::{problem, strike, typed},
    renewals::{Record, Refusing, Rewriting, note_connection, renewals},
    serve, vendor_address,
};

/// Moduli and private exponents of eight RSA keys that exist for nothing but tests.
const RSA_KEYS: &str = include_str!("rsa_keys.txt");
/// Certificates of each denomination in the pack: 2^0 … 2^3.
const PACK: [u16; 4] = [4, 3, 2, 4];
/// The product that has it.
const PRODUCT: &str = "test-pack";

struct Rsa {
    modulus: [u8; 256],
    exponent: BoxedUint,
}

#[derive(Default)]
pub(super) struct Books {
    used_vouchers: BTreeMap<String, GrantId>,
    minted: BTreeMap<GrantId, ([u8; 32], Vec<u8>)>,
    pub(super) voided: BTreeMap<[u8; 32], Record>,
    /// Over which connection each renewal came, and each request of another kind.
    pub(super) connections: Vec<(bool, std::net::SocketAddr)>,
    pub(super) lies: bool,
    /// Renewals that were refused for ever, by certificate key and binding.
    pub(super) refused: BTreeMap<([u8; 32], [u8; 32]), ProblemType>,
    /// How the next renewals are refused, whatever they are.
    pub(super) refusing: VecDeque<Refusing>,
    /// The renewals that came, as they came.
    pub(super) asked: Vec<RenewalItem>,
    manifest_version: u64,
    /// Epochs that lasted for a day each, until [`START`].
    rotations: u32,
    /// What is done to the manifest before it is signed.
    amend: Option<fn(&mut ManifestBody)>,
    issuer_name: String,
    witnesses: Vec<u8>,
    ledger_stays: bool,
}

/// The vendor. Vouchers that start with `GOOD` exist.
pub(crate) struct FakeVendor {
    address: Mutex<Option<VendorAddress>>,
    root: SigningKey,
    keys: Vec<Rsa>,
    pub(super) clock: ManualClock,
    pub(super) books: Mutex<Books>,
    pub(crate) faults: Faults,
    pub(super) rewriting: Mutex<Option<Rewriting>>,
}

impl FakeVendor {
    pub(super) async fn start(clock: ManualClock) -> Arc<Self> {
        let books = Books {
            manifest_version: 1,
            issuer_name: "vendor.test".to_owned(),
            ..Books::default()
        };
        let vendor = Arc::new(Self {
            address: Mutex::new(None),
            root: SigningKey::from_seed(&[1; 32]),
            keys: RSA_KEYS.lines().map(rsa_key).collect(),
            clock,
            books: Mutex::new(books),
            faults: Faults::default(),
            rewriting: Mutex::new(None),
        });
        let router = vendor.clone().router();
        let authority = serve(|_| router).await;
        *vendor.address.lock().unwrap() = Some(vendor_address(vendor.id(), &authority));
        vendor
    }

    pub(crate) fn address(&self) -> VendorAddress {
        self.address.lock().unwrap().clone().unwrap()
    }

    pub(crate) fn id(&self) -> VendorId {
        VendorId::of(&self.root.public())
    }

    pub(crate) fn pack_value() -> Credits {
        Credits((0..).zip(PACK).map(|(k, count)| u64::from(count) << k).sum())
    }

    pub(crate) fn grants_minted(&self) -> usize {
        self.books.lock().unwrap().minted.len()
    }

    pub(crate) fn vouchers_used(&self) -> usize {
        self.books.lock().unwrap().used_vouchers.len()
    }

    /// Another manifest. Versions above 1 have a second epoch, which issues from day 30, when the first one stops.
    pub(crate) fn set_version(&self, version: u64, issuer_name: &str) {
        let mut books = self.books.lock().unwrap();
        books.manifest_version = version;
        books.issuer_name = issuer_name.to_owned();
    }

    /// A vendor that has rotated its keys on each of so many days.
    pub(crate) fn rotate_often(&self, days: u32) {
        self.books.lock().unwrap().rotations = days;
    }

    /// From now on the manifest is signed as `change` makes it.
    pub(crate) fn amend(&self, change: fn(&mut ManifestBody)) {
        self.books.lock().unwrap().amend = Some(change);
    }

    /// The manifest as it is handed out: with the proof of a ledger that grows with each version, and the cosignatures of these
    /// witnesses. Its first leaf is the manifest's, so that those of two versions are two histories.
    pub(crate) fn proven_manifest(&self) -> ProvenManifest {
        let manifest = self.manifest();
        let books = self.books.lock().unwrap();
        let doublings = if books.ledger_stays { 0 } else { manifest.version() - 1 };
        let (mut root, mut inclusion) = (manifest.leaf_hash(), Vec::new());
        let mut beside = leaf_hash(b"whatever");
        for _ in 0..doublings {
            root = node_hash(&root, &beside);
            inclusion.push(beside);
            beside = node_hash(&beside, &beside);
        }
        let checkpoint =
            Checkpoint { origin: KeyName::of_ledger(&self.id()), size: 1 << doublings, root };
        let mut checkpoint = checkpoint.sign(&SigningKey::from_seed(&[2; 32])).unwrap();
        for number in &books.witnesses {
            let (key, verifier) = witness(*number);
            let signature = cosign(&checkpoint, verifier.name(), &key, self.clock.now()).unwrap();
            checkpoint.add(signature).unwrap();
        }
        let inclusion = InclusionProof(inclusion);
        let proof = LogProof { extra: None, index: 0, inclusion, checkpoint };
        ProvenManifest::new(manifest, Some(proof))
    }

    /// From now on its ledger has one leaf, whatever the version: two trees of one size.
    pub(crate) fn keep_the_ledger_small(&self) {
        self.books.lock().unwrap().ledger_stays = true;
    }

    /// From now on these witnesses cosign its ledger.
    pub(crate) fn cosigned_by(&self, witnesses: &[u8]) {
        self.books.lock().unwrap().witnesses = witnesses.to_vec();
    }

    pub(crate) fn manifest(&self) -> Manifest {
        let books = self.books.lock().unwrap();
        let key = |k: u8| (Exponent::new(k).unwrap(), self.keys[usize::from(k)].modulus);
        let windows = |from: u64, until: u64| Windows {
            issue_from: START.plus(from * SECONDS_PER_DAY),
            issue_until: START.plus(until * SECONDS_PER_DAY),
            renew_from: START.plus((until + 70) * SECONDS_PER_DAY),
            spend_until: START.plus((until + 100) * SECONDS_PER_DAY),
            redeem_until: START.plus((until + 130) * SECONDS_PER_DAY),
        };
        let epoch = |number, windows, keys| EpochBody {
            number,
            key_use: KeyUse::Production,
            windows,
            keys,
        };
        let of_a_day = |at: u32| {
            let issue_from = START.minus(u64::from(books.rotations - at) * SECONDS_PER_DAY);
            let issue_until = issue_from.plus(SECONDS_PER_DAY);
            let mut modulus = self.keys[0].modulus;
            modulus[200] ^= 1 + at as u8;
            let keys = vec![(Exponent::new(0).unwrap(), modulus)];
            epoch(at + 1, Windows { issue_from, issue_until, ..windows(0, 30) }, keys)
        };
        let mut epochs: Vec<EpochBody> = (0..books.rotations).map(of_a_day).collect();
        let first = books.rotations + 1;
        epochs.push(epoch(first, windows(0, 30), (0..4).map(key).collect()));
        if books.manifest_version > 1 {
            let next = |k: u8| (Exponent::new(k).unwrap(), self.keys[usize::from(k) + 4].modulus);
            let keys = (0..4).map(next).collect();
            // From version 10 on, the second epoch comes when the first can be renewed.
            let from = if books.manifest_version < 10 { 30 } else { 100 };
            epochs.push(epoch(first + 1, windows(from, from + 30), keys));
        }
        let mut body = ManifestBody {
            root_key: self.root.public(),
            version: books.manifest_version,
            issuer_name: books.issuer_name.clone(),
            receipt_keys: ReceiptKeys::first(SigningKey::from_seed(&[2; 32]).public()),
            products: vec![Product::new(PRODUCT, pack())],
            operators: Vec::new(),
            epochs,
        };
        if let Some(amend) = books.amend {
            amend(&mut body);
        }
        Manifest::open(&body.sign(&self.root), &self.id()).unwrap()
    }

    fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/v1/manifest", get(manifest))
            .route("/v1/grants", get(grant).post(create_grant))
            .route("/v1/issuance", get(issued).post(issue))
            .route("/v1/renewals", post(renewals))
            .layer(middleware::from_fn_with_state(self.faults.clone(), strike))
            .layer(middleware::from_fn_with_state(self.clone(), note_connection))
            .with_state(self)
    }

    pub(super) fn sign(
        &self,
        key_id: &KeyId,
        manifest: &Manifest,
        blinded: &[u8; 256],
    ) -> Option<[u8; 256]> {
        let key = manifest.key(key_id)?;
        let rsa = self.keys.iter().find(|rsa| rsa.modulus == *key.public().modulus())?;
        let bits = 2_048;
        let n = BoxedUint::from_be_slice(&rsa.modulus, bits).ok()?;
        let params = BoxedMontyParams::new_vartime(Option::<Odd<BoxedUint>>::from(Odd::new(n))?);
        let m = BoxedUint::from_be_slice(blinded, bits).ok()?;
        let s = BoxedMontyForm::new(m, &params).pow(&rsa.exponent).retrieve();
        s.to_be_bytes().as_ref().try_into().ok()
    }

    fn answer(&self, grant: &GrantId, books: &Books) -> GrantAnswer {
        GrantAnswer {
            product: PRODUCT.to_owned(),
            pack: pack(),
            credits: Self::pack_value(),
            minted: books.minted.contains_key(grant),
            test: false,
            rest: None,
        }
    }
}

fn pack() -> Pack {
    Pack::new((0..).zip(PACK).map(|(k, count)| (Exponent::new(k).unwrap(), count))).unwrap()
}

/// A witness of the ledger.
pub(crate) fn witness(number: u8) -> (SigningKey, VerifierKey) {
    let key = SigningKey::from_seed(&[0x40 + number; 32]);
    let name = format!("witness.example/w{number}").parse().unwrap();
    let verifier = VerifierKey::new(name, Algorithm::CosignatureV1, key.public());
    (key, verifier)
}

fn rsa_key(line: &str) -> Rsa {
    let (modulus, exponent) = line.split_once(' ').unwrap();
    let modulus: Vec<u8> = from_hex(modulus);
    Rsa {
        modulus: modulus.try_into().unwrap(),
        exponent: BoxedUint::from_be_slice(&from_hex(exponent), 2_048).unwrap(),
    }
}

fn from_hex(text: &str) -> Vec<u8> {
    let pairs = text.trim().as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn bearer(headers: &HeaderMap) -> Option<GrantId> {
    let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
    Some(GrantSecret::from_bearer(header)?.grant_id())
}

async fn manifest(State(vendor): State<Arc<FakeVendor>>) -> Response {
    (typed(media::MANIFEST), vendor.proven_manifest().encode()).into_response()
}

async fn create_grant(
    State(vendor): State<Arc<FakeVendor>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(grant) = bearer(&headers) else { return problem(ProblemType::GrantUnknown) };
    let Ok(GrantRequest::Voucher { code }) = serde_json::from_slice(&body) else {
        return problem(ProblemType::Malformed);
    };
    let mut books = vendor.books.lock().unwrap();
    match books.used_vouchers.get(&code) {
        Some(owner) if *owner == grant => {}
        Some(_) => return problem(ProblemType::VoucherUsed),
        None if !code.starts_with("GOOD") => return problem(ProblemType::VoucherUnknown),
        None if books.used_vouchers.values().any(|other| *other == grant) => {
            return problem(ProblemType::GrantUsed);
        }
        None => {
            books.used_vouchers.insert(code, grant);
        }
    }
    let answer = vendor.answer(&grant, &books);
    (typed(media::JSON), serde_json::to_vec(&answer).unwrap()).into_response()
}

async fn grant(State(vendor): State<Arc<FakeVendor>>, headers: HeaderMap) -> Response {
    let books = vendor.books.lock().unwrap();
    match bearer(&headers) {
        Some(grant) if books.used_vouchers.values().any(|other| *other == grant) => {
            let answer = vendor.answer(&grant, &books);
            (typed(media::JSON), serde_json::to_vec(&answer).unwrap()).into_response()
        }
        _ => problem(ProblemType::GrantUnknown),
    }
}

async fn issued(State(vendor): State<Arc<FakeVendor>>, headers: HeaderMap) -> Response {
    let books = vendor.books.lock().unwrap();
    match bearer(&headers).and_then(|grant| books.minted.get(&grant)) {
        Some((_, answer)) => (typed(media::ISSUANCE_ANSWER), answer.clone()).into_response(),
        None => problem(ProblemType::GrantUnused),
    }
}

async fn issue(State(vendor): State<Arc<FakeVendor>>, headers: HeaderMap, body: Bytes) -> Response {
    let manifest = vendor.manifest();
    let Some(grant) = bearer(&headers) else { return problem(ProblemType::GrantUnknown) };
    let Ok(request) = IssuanceRequest::decode(&body) else {
        return problem(ProblemType::Malformed);
    };
    let mut books = vendor.books.lock().unwrap();
    if !books.used_vouchers.values().any(|other| *other == grant) {
        return problem(ProblemType::GrantUnknown);
    }
    match books.minted.get(&grant) {
        Some((digest, answer)) if *digest == request.digest() => {
            return (typed(media::ISSUANCE_ANSWER), answer.clone()).into_response();
        }
        Some(_) => return problem(ProblemType::GrantUsed),
        None => {}
    }
    if let Err(found) = check(&manifest, &request, &vendor.clock) {
        return problem(found);
    }
    let items = request.items.iter().map(|item| {
        let blind_signature = vendor.sign(&item.key_id, &manifest, &item.blinded_message)?;
        Some(SignedItem { key_id: item.key_id, blind_signature })
    });
    let Some(items) = items.collect() else { return problem(ProblemType::KeyUnknown) };
    let answer = IssuanceAnswer { items }.encode();
    books.minted.insert(grant, (request.digest(), answer.clone()));
    (typed(media::ISSUANCE_ANSWER), answer).into_response()
}

fn check(
    manifest: &Manifest,
    request: &IssuanceRequest,
    clock: &ManualClock,
) -> Result<(), ProblemType> {
    let mut counts = [0_u16; 4];
    let mut messages = BTreeSet::new();
    for item in &request.items {
        let key = manifest.key(&item.key_id).ok_or(ProblemType::KeyUnknown)?;
        if !key.windows().issues_at(clock.now()) {
            return Err(ProblemType::KeyOutsideWindow);
        }
        counts[usize::from(key.exponent().get())] += 1;
        assert!(messages.insert(item.blinded_message), "a blinded message twice");
    }
    if counts == PACK { Ok(()) } else { Err(ProblemType::PackMismatch) }
}
