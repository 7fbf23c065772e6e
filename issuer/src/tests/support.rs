//! A wallet, an operator and an HTTP client, as small as the tests allow.

use axum::body::Body;
use http::{Method, Request, header};
use http_body_util::BodyExt;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use scrip_protocol::{
    credits::Exponent,
    id::{BatchId, KeyId, OperatorId},
    issuance::{Blinding, Certificate, IssuanceAnswer, IssuanceRequest},
    keys::{Signature, SigningKey},
    manifest::{KeyUse, Manifest, Windows},
    media,
    problem::{Problem, ProblemType},
    redemption::{ItemResult, RedemptionBatch, RedemptionItem, RedemptionOutcome},
    seed::{Counter, GrantSecret, WalletSeed},
    spend::Commitment,
    time::{Day, UnixSeconds},
};
use tower::ServiceExt;

use crate::{
    Issuer,
    store::dump::{Dump, everything},
    testing::TestIssuer,
};

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) media_type: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The problem of an answer that is none of success, with all that belongs to one.
    #[track_caller]
    pub(super) fn problem(&self) -> ProblemType {
        assert_eq!(self.media_type, media::PROBLEM, "{self:?}");
        let problem = Problem::from_json(&self.body).expect("a problem document");
        assert_eq!(problem.status, self.status);
        assert_eq!(problem.problem.status(), self.status);
        problem.problem
    }

    #[track_caller]
    pub(super) fn success(self, media_type: &str) -> Vec<u8> {
        assert_eq!(
            (self.status, self.media_type.as_str()),
            (200, media_type),
            "{:?}",
            self.problem_text()
        );
        self.body
    }

    fn problem_text(&self) -> String {
        String::from_utf8_lossy(&self.body[..self.body.len().min(300)]).into_owned()
    }
}

/// Sends one request to the router.
pub(super) async fn send(issuer: &Issuer, request: Request<Body>) -> Answer {
    let response = issuer.router().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let media_type = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
    let body = response.into_body().collect().await.unwrap().to_bytes().to_vec();
    Answer { status, media_type, body }
}

pub(super) async fn post(
    issuer: &Issuer,
    path: &str,
    media_type: &str,
    secret: Option<&GrantSecret>,
    body: impl Into<Vec<u8>>,
) -> Answer {
    let mut request = Request::builder().method(Method::POST).uri(path);
    request = request.header(header::CONTENT_TYPE, media_type);
    if let Some(secret) = secret {
        request = request.header(header::AUTHORIZATION, secret.to_bearer().as_str());
    }
    send(issuer, request.body(Body::from(body.into())).unwrap()).await
}

pub(super) async fn get(issuer: &Issuer, path: &str, secret: Option<&GrantSecret>) -> Answer {
    let mut request = Request::builder().uri(path);
    if let Some(secret) = secret {
        request = request.header(header::AUTHORIZATION, secret.to_bearer().as_str());
    }
    send(issuer, request.body(Body::empty()).unwrap()).await
}

/// All rows of both sides.
pub(super) async fn database(issuer: &Issuer) -> Dump {
    everything(issuer.store()).await
}

pub(super) fn k(exponent: u8) -> Exponent {
    Exponent::new(exponent).unwrap()
}

/// The exponents of the product `starter`.
pub(super) const STARTER: [u8; 7] = [0, 0, 0, 0, 1, 1, 2];

/// What a wallet knows.
pub(super) struct Wallet {
    pub(super) seed: WalletSeed,
    next_grant: u32,
}

impl Wallet {
    pub(super) fn new(number: u8) -> Self {
        Self { seed: WalletSeed::from_bytes([number; 32]), next_grant: 0 }
    }

    pub(super) fn secret(&self, issuer: &Issuer, index: u32) -> GrantSecret {
        self.seed.grant_secret(&issuer.vendor_id(), index)
    }

    /// Blinds one certificate of each exponent for the grant `index`.
    pub(super) fn blind(
        &self,
        issuer: &Issuer,
        index: u32,
        exponents: &[u8],
    ) -> (Vec<Blinding>, IssuanceRequest) {
        self.blind_with(&issuer.manifest(), issuer.inner.clock.now(), index, exponents)
    }

    /// The same, with the keys that issue at `now` by a manifest that the wallet has.
    pub(super) fn blind_with(
        &self,
        manifest: &Manifest,
        now: UnixSeconds,
        index: u32,
        exponents: &[u8],
    ) -> (Vec<Blinding>, IssuanceRequest) {
        let blindings: Vec<Blinding> = (0..)
            .zip(exponents)
            .map(|(position, exponent)| {
                let key = manifest.issuing(KeyUse::Production, k(*exponent), now).unwrap();
                Blinding::start(&self.seed, manifest, key, Counter::new(index, position)).unwrap()
            })
            .collect();
        let items = blindings.iter().map(|blinding| blinding.item().clone()).collect();
        (blindings, IssuanceRequest { items })
    }

    /// Turns a voucher of `product` into a grant and returns its index and secret.
    pub(super) async fn grant(&mut self, issuer: &Issuer, product: &str) -> (u32, GrantSecret) {
        let index = self.next_grant;
        self.next_grant += 1;
        let secret = self.secret(issuer, index);
        let code = voucher(issuer, product).await;
        let answer = use_voucher(issuer, Some(&secret), &code).await;
        answer.success(media::JSON);
        (index, secret)
    }

    /// Buys a starter pack.
    pub(super) async fn buy(&mut self, issuer: &Issuer) -> Vec<Certificate> {
        let (index, secret) = self.grant(issuer, "starter").await;
        let (blindings, request) = self.blind(issuer, index, &STARTER);
        let path = "/v1/issuance";
        let answer =
            post(issuer, path, media::ISSUANCE_REQUEST, Some(&secret), request.encode()).await;
        finish(issuer, blindings, &answer.success(media::ISSUANCE_ANSWER))
    }
}

/// Unblinds and verifies an answer.
pub(super) fn finish(issuer: &Issuer, blindings: Vec<Blinding>, answer: &[u8]) -> Vec<Certificate> {
    let answer = IssuanceAnswer::decode(answer).unwrap();
    assert_eq!(answer.items.len(), blindings.len());
    let manifest = issuer.manifest();
    let finish_one = |(blinding, signed): (Blinding, _)| {
        let key = manifest.key(&blinding.item().key_id).unwrap();
        blinding.finish(key, signed).unwrap()
    };
    blindings.into_iter().zip(&answer.items).map(finish_one).collect()
}

pub(super) async fn voucher(issuer: &Issuer, product: &str) -> String {
    issuer.create_vouchers(product, 1, 30).await.unwrap().codes[0].to_string()
}

pub(super) async fn use_voucher(
    issuer: &Issuer,
    secret: Option<&GrantSecret>,
    code: &str,
) -> Answer {
    let body = serde_json::json!({ "source": "voucher", "code": code }).to_string();
    post(issuer, "/v1/grants", media::JSON, secret, body).await
}

/// An operator under contract.
pub(super) struct Operator {
    pub(super) key: SigningKey,
    pub(super) id: OperatorId,
    batches: u8,
}

impl Operator {
    pub(super) async fn new(vendor: &TestIssuer, number: u8) -> Self {
        let key = SigningKey::from_seed(&[number; 32]);
        let name = format!("operator {number}");
        let id = vendor.issuer.add_operator(&name, &key.public()).await.unwrap();
        Self { key, id, batches: 0 }
    }

    /// The evidence of a certificate spent here for what `resource` stands for.
    pub(super) fn item(
        &self,
        vendor: &TestIssuer,
        certificate: &Certificate,
        resource: u8,
    ) -> RedemptionItem {
        self.item_of_day(vendor, certificate, resource, today(vendor))
    }

    pub(super) fn item_of_day(
        &self,
        vendor: &TestIssuer,
        certificate: &Certificate,
        resource: u8,
        day: Day,
    ) -> RedemptionItem {
        // A commitment is a hash; these stand for different ones.
        let mut commitment = [resource; 32];
        commitment[1..17].copy_from_slice(&certificate.token().nonce[..16]);
        let commitment = Commitment::from_bytes(commitment);
        let (_, signature) =
            certificate.spend(&vendor.issuer.vendor_id(), &self.id, day, &commitment);
        RedemptionItem { token: certificate.token().clone(), day, commitment, signature }
    }

    /// A signed batch of these items, with a new name.
    pub(super) fn batch(&mut self, vendor: &TestIssuer, items: Vec<RedemptionItem>) -> Vec<u8> {
        self.batches += 1;
        let batch_id = BatchId::from_bytes([self.batches; 16]);
        let vendor_id = vendor.issuer.vendor_id();
        RedemptionBatch { vendor_id, operator_id: self.id, batch_id, items }.sign(&self.key)
    }

    /// Redeems items and returns their results, having checked the outcome as a relay does.
    pub(super) async fn redeem(
        &mut self,
        vendor: &TestIssuer,
        items: Vec<RedemptionItem>,
    ) -> Vec<ItemResult> {
        let batch = self.batch(vendor, items);
        outcome(vendor, &batch, send_batch(&vendor.issuer, batch.clone()).await).results
    }
}

pub(super) async fn send_batch(issuer: &Issuer, batch: Vec<u8>) -> Answer {
    post(issuer, "/v1/redemptions", media::REDEMPTION_BATCH, None, batch).await
}

pub(super) fn outcome(vendor: &TestIssuer, batch: &[u8], answer: Answer) -> RedemptionOutcome {
    let body = answer.success(media::REDEMPTION_OUTCOME);
    let outcome = RedemptionOutcome::open(&body, vendor.issuer.manifest().receipt_keys()).unwrap();
    assert_eq!(outcome.batch_digest, scrip_protocol::redemption::batch_digest(batch));
    outcome
}

pub(super) fn today(vendor: &TestIssuer) -> Day {
    use scrip_runtime::clock::Clock;
    vendor.clock.today()
}

/// A person says that the clock is right, also where the test has set it back.
pub(super) fn believe(vendor: &TestIssuer) {
    use scrip_runtime::{clock::Clock, plausible::Remembered};
    let believed = &vendor.issuer.inner.believed;
    let said = Remembered::confirmed(believed.remember(None), vendor.clock.now());
    assert_eq!(believed.remember(Some(said)), None);
}

/// A signature that verifies nowhere.
pub(super) fn bad_signature() -> Signature {
    Signature::from_bytes([7; 64])
}

pub(super) fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

/// The windows of the first epoch.
pub(super) fn first_windows(issuer: &Issuer) -> Windows {
    issuer.manifest().epochs()[0].windows
}

/// The key that issues certificates of this exponent now.
pub(super) fn issuing(issuer: &Issuer, exponent: u8) -> KeyId {
    let now = issuer.inner.clock.now();
    issuer.manifest().issuing(KeyUse::Production, k(exponent), now).unwrap().id()
}
