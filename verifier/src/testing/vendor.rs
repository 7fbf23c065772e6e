//! A vendor without a server: it issues by signing directly, and redeems from a map.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PSS_SHA384},
};
use rand_core::{CryptoRng, RngCore};
use scrip_protocol::{
    address::VendorAddress,
    check::{Spend, check_one},
    credits::Exponent,
    id::{OperatorId, VendorId},
    issuance::Certificate,
    keys::{PublicKey, Signature, SigningKey},
    ledger::{Leaf, Redemption},
    manifest::{
        EpochBody, KeyUse, Manifest, ManifestBody, Product, ProvenManifest, ReceiptKeys, Windows,
    },
    pack::Pack,
    payment::{PaidRequest, Payment},
    redemption::{
        DoubleSpend, InvalidReason, ItemResult, RedemptionBatch, RedemptionItem, RedemptionOutcome,
        SignedBatch, Winner,
    },
    rsa::TokenPublicKey,
    spend::{Binding, Salt, SpendKind},
    time::{Day, UnixSeconds},
    token::Token,
};

use super::{NOW, TestLedger};

const DAY: u64 = 86_400;
/// How many denominations a test vendor has in each epoch: 2^0 … 2^3 credits.
const DENOMINATIONS: usize = 4;
/// Epochs of a test vendor.
const EPOCHS: usize = 3;
/// The number of its epoch of test keys.
pub const TEST_EPOCH: u32 = 3;
/// Vendors that can exist in one process; they share nothing but the time that it takes to make their keys.
const VENDORS: usize = 2;

/// Making RSA keys is slow, so that each is made once in a process, when it is first needed.
static KEYS: [OnceLock<Vec<KeyPair>>; VENDORS] = [const { OnceLock::new() }; VENDORS];

/// A vendor whose epoch 1 has begun, whose epoch 2 begins to issue 60 days after [`NOW`], and whose epoch 3 has test
/// keys with the windows of epoch 1.
pub struct TestVendor {
    root: SigningKey,
    receipt: SigningKey,
    /// What signs in its place, since somebody said so.
    newer: OnceLock<SigningKey>,
    body: ManifestBody,
    manifest: Mutex<Vec<u8>>,
    /// The text of the proof that it is served with.
    proof: Mutex<String>,
    keys: &'static [KeyPair],
    issued: AtomicU64,
    spent: Mutex<HashMap<[u8; 32], (Binding, Signature, u64)>>,
    ledger: Mutex<TestLedger>,
    invalid: Mutex<Vec<[u8; 32]>>,
    /// The day that it says to decide on.
    today: Mutex<Day>,
}

impl TestVendor {
    /// The vendor number `number`, below 2.
    ///
    /// # Panics
    /// For other numbers.
    pub fn new(number: u8) -> Self {
        let slot = &KEYS[usize::from(number)];
        let keys = slot.get_or_init(make_keys);
        let root = SigningKey::from_seed(&[0x70 + number; 32]);
        let receipt = SigningKey::from_seed(&[0x78 + number; 32]);
        let body = ManifestBody {
            root_key: root.public(),
            version: 1,
            issuer_name: format!("vendor-{number}.example"),
            receipt_keys: ReceiptKeys::first(receipt.public()),
            products: vec![product()],
            operators: Vec::new(),
            epochs: (0..EPOCHS).map(|at| epoch(at, keys)).collect(),
        };
        let manifest = Mutex::new(body.sign(&root));
        let proof = Mutex::default();
        let (spent, ledger, invalid) = (Mutex::default(), Mutex::default(), Mutex::default());
        let issued = AtomicU64::new(0);
        let (newer, today) = (OnceLock::new(), Mutex::new(NOW.day()));
        Self {
            root,
            receipt,
            newer,
            body,
            manifest,
            proof,
            keys,
            issued,
            spent,
            ledger,
            invalid,
            today,
        }
    }

    /// Its id.
    pub fn id(&self) -> VendorId {
        VendorId::of(&self.root.public())
    }

    /// An address with its id at which nothing listens.
    pub fn address(&self) -> VendorAddress {
        VendorAddress { id: self.id(), authority: "127.0.0.1:9".to_owned() }
    }

    /// What it publishes.
    pub fn manifest_bytes(&self) -> Vec<u8> {
        lock(&self.manifest).clone()
    }

    /// The same as it is served, with its proof if it has one.
    pub fn published(&self) -> Vec<u8> {
        ProvenManifest::join(&self.manifest_bytes(), lock(&self.proof).as_bytes())
    }

    /// From now on its manifest is served with this text as its proof.
    pub fn prove(&self, proof: String) {
        *lock(&self.proof) = proof;
    }

    /// What it publishes, verified.
    ///
    /// # Panics
    /// Where it is no manifest.
    #[expect(clippy::expect_used, reason = "tests are told so")]
    pub fn manifest(&self) -> Manifest {
        Manifest::open(&self.manifest_bytes(), &self.id()).expect("a manifest")
    }

    /// Publishes another manifest, made from the first one by `change`.
    pub fn publish(&self, change: impl FnOnce(&mut ManifestBody)) {
        let mut body = self.body.clone();
        change(&mut body);
        *lock(&self.manifest) = body.sign(&self.root);
    }

    /// A certificate of 2^`exponent` credits of epoch 1, as a wallet holds it.
    pub fn issue(&self, exponent: u8) -> Certificate {
        self.issue_in(1, exponent)
    }

    /// A certificate of `epoch`, from 1 to 3.
    ///
    /// # Panics
    /// For denominations and epochs that do not exist.
    #[expect(clippy::expect_used, reason = "tests are told so")]
    pub fn issue_in(&self, epoch: u32, exponent: u8) -> Certificate {
        let mut seed = [0x33; 32];
        let count = self.issued.fetch_add(1, Ordering::Relaxed);
        seed[..8].copy_from_slice(&count.to_be_bytes());
        seed[8..].copy_from_slice(&self.id().as_bytes()[8..]);
        let key = SigningKey::from_seed(&seed);
        let token = self.sign(epoch, exponent, *key.public().as_bytes());
        Certificate::from_parts(token, key).expect("a certificate")
    }

    /// A token with any nonce, signed as the vendor signs: also what no wallet would ask for.
    ///
    /// # Panics
    /// For denominations and epochs that do not exist.
    #[expect(clippy::expect_used, reason = "tests are told so")]
    pub fn sign(&self, epoch: u32, exponent: u8, nonce: [u8; 32]) -> Token {
        let at = (epoch as usize - 1) * DENOMINATIONS + usize::from(exponent);
        let pair = &self.keys[at];
        let public = TokenPublicKey::from_modulus(modulus(pair)).expect("a modulus");
        let mut token = Token {
            nonce,
            challenge_digest: *self.manifest().challenge_digest(),
            key_id: public.id(),
            authenticator: [0; 256],
        };
        let message = token.signed_part();
        pair.sign(&RSA_PSS_SHA384, &SystemRandom::new(), &message, &mut token.authenticator)
            .expect("a signature");
        token
    }

    /// A payment of `certificates` to `operator` for `request`, on the day of [`NOW`].
    pub fn pay<'a>(
        &self,
        certificates: impl IntoIterator<Item = &'a Certificate>,
        operator: &OperatorId,
        request: &[u8],
        rng: &mut (impl RngCore + CryptoRng),
    ) -> PaidRequest {
        self.pay_on(NOW.day(), certificates, operator, request, rng)
    }

    /// A payment on any day.
    pub fn pay_on<'a>(
        &self,
        day: Day,
        certificates: impl IntoIterator<Item = &'a Certificate>,
        operator: &OperatorId,
        request: &[u8],
        rng: &mut (impl RngCore + CryptoRng),
    ) -> PaidRequest {
        let mut salt = [0; 32];
        rng.fill_bytes(&mut salt);
        let payment = Payment::make(certificates, self.id(), *operator, day, Salt(salt), request);
        PaidRequest { resource_request: request.to_vec(), payment }
    }

    /// Lets the vendor call this certificate invalid.
    pub fn disown(&self, certificate: &Certificate) {
        lock(&self.invalid).push(certificate.token().nonce);
    }

    /// Decides about a batch, as redemption.md says, and signs the outcome.
    ///
    /// # Errors
    /// `None` for a batch that is not signed by `operator_key`.
    pub fn redeem(&self, batch: &[u8], operator_key: &PublicKey) -> Option<Vec<u8>> {
        let signed = SignedBatch::decode(batch).ok()?;
        let digest = signed.digest();
        let batch = signed.verify(operator_key).ok()?;
        let mut leaves = Vec::new();
        let mut results = Vec::new();
        for item in &batch.items {
            let (result, leaf) = self.decide(&batch, item);
            results.push(result);
            leaves.extend(leaf);
        }
        let mut outcome = self.unsigned_outcome(&batch, digest, results);
        outcome.leaves = leaves;
        if outcome.last_leaf().is_some() {
            outcome.checkpoint = self.checkpoint().into_bytes();
        }
        Some(outcome.sign(self.receipt_key()))
    }

    /// Its ledger, to be read, and to cheat with.
    pub fn ledger(&self) -> MutexGuard<'_, TestLedger> {
        lock(&self.ledger)
    }

    /// The signed checkpoint of its ledger.
    pub fn checkpoint(&self) -> String {
        lock(&self.ledger).checkpoint(&self.id(), self.receipt_key())
    }

    /// The key that it signs outcomes, statements and checkpoints with.
    pub fn receipt_key(&self) -> &SigningKey {
        self.newer.get().unwrap_or(&self.receipt)
    }

    /// Lets `key` sign outcomes, statements and checkpoints from now on, whatever the manifest says. Only once.
    pub fn sign_with(&self, key: SigningKey) {
        let _ = self.newer.set(key);
    }

    /// Publishes `version` of the manifest with `key` after the first receipt key, which endorses it.
    pub fn endorse(&self, version: u64, key: PublicKey) {
        let vendor = self.id();
        self.publish(|body| {
            body.version = version;
            body.receipt_keys.change(&vendor, version, key, &self.receipt);
        });
    }

    /// Decides on this day from now on.
    pub fn decide_on(&self, day: Day) {
        *lock(&self.today) = day;
    }

    /// Signs any outcome, without leaves.
    pub fn outcome(
        &self,
        batch: &RedemptionBatch,
        batch_digest: scrip_protocol::id::BatchDigest,
        results: Vec<ItemResult>,
    ) -> Vec<u8> {
        self.unsigned_outcome(batch, batch_digest, results).sign(self.receipt_key())
    }

    fn unsigned_outcome(
        &self,
        batch: &RedemptionBatch,
        batch_digest: scrip_protocol::id::BatchDigest,
        results: Vec<ItemResult>,
    ) -> RedemptionOutcome {
        let (vendor_id, operator_id) = (batch.vendor_id, batch.operator_id);
        RedemptionOutcome {
            vendor_id,
            operator_id,
            batch_digest,
            day: *lock(&self.today),
            manifest_version: self.manifest().version(),
            results,
            leaves: Vec::new(),
            checkpoint: Vec::new(),
        }
    }

    /// How many certificates were spent.
    pub fn spent_count(&self) -> usize {
        lock(&self.spent).len()
    }

    /// The result of an item, and its leaf where it is credited.
    fn decide(&self, batch: &RedemptionBatch, item: &RedemptionItem) -> (ItemResult, Option<u64>) {
        let manifest = self.manifest();
        let Some(key) = manifest.key(&item.token.key_id) else {
            return (ItemResult::Invalid(InvalidReason::Key), None);
        };
        if item.day.0 > key.windows().spend_until.day().0 + 1 {
            return (ItemResult::Invalid(InvalidReason::Day), None);
        }
        let binding = item.binding(&batch.vendor_id, &batch.operator_id);
        let (token, signature) = (&item.token, &item.signature);
        let spend = Spend { token, key, kind: SpendKind::Spend, binding, signature };
        let disowned = lock(&self.invalid).contains(&item.token.nonce);
        let certificate_key = item.token.certificate_key();
        let (false, Ok(()), Ok(certificate_key)) = (disowned, check_one(&spend), certificate_key)
        else {
            return (ItemResult::Invalid(InvalidReason::CertificateSignature), None);
        };
        let mut spent = lock(&self.spent);
        match spent.get(&item.token.nonce) {
            None => {
                let (operator_id, item) = (batch.operator_id, item.clone());
                let (nonce, signature) = (item.token.nonce, item.signature);
                let leaf = Leaf::Redemption(Box::new(Redemption { operator_id, item }));
                let index = lock(&self.ledger).append(&leaf);
                spent.insert(nonce, (binding, signature, index));
                (ItemResult::Accepted, Some(index))
            }
            Some((other, _, index)) if *other == binding => {
                (ItemResult::AlreadyAccepted, Some(*index))
            }
            Some((other, signature, index)) => {
                let spend = DoubleSpend {
                    certificate_key,
                    other_binding: *other,
                    other_signature: *signature,
                    winner: Winner::Leaf(*index),
                };
                (ItemResult::DoubleSpent(spend), None)
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One certificate of each denomination.
#[expect(clippy::expect_used, reason = "tests are told so")]
fn product() -> Product {
    let one_of_each = (0..DENOMINATIONS as u8).filter_map(|k| Some((Exponent::new(k)?, 1)));
    Product::new("one-of-each", Pack::new(one_of_each).expect("a pack"))
}

fn epoch(at: usize, keys: &[KeyPair]) -> EpochBody {
    let number = at as u32 + 1;
    let (key_use, turn) = match number {
        TEST_EPOCH => (KeyUse::Test, 0),
        _ => (KeyUse::Production, at as u64),
    };
    let start = UnixSeconds(NOW.0 - 30 * DAY + turn * 90 * DAY);
    let windows = Windows {
        issue_from: start,
        issue_until: start.plus(90 * DAY),
        renew_from: start.plus(150 * DAY),
        spend_until: start.plus(180 * DAY),
        redeem_until: start.plus(210 * DAY),
    };
    let keys = keys[at * DENOMINATIONS..][..DENOMINATIONS].iter().zip(0..);
    EpochBody {
        number,
        key_use,
        windows,
        keys: keys.filter_map(|(pair, k)| Some((Exponent::new(k)?, modulus(pair)))).collect(),
    }
}

/// Keys of all denominations and epochs, no two with the same last byte of their ids.
#[expect(clippy::expect_used, reason = "tests are told so")]
fn make_keys() -> Vec<KeyPair> {
    let mut last_bytes = Vec::new();
    let mut keys = Vec::new();
    while keys.len() < DENOMINATIONS * EPOCHS {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("an RSA key");
        let public = TokenPublicKey::from_modulus(modulus(&pair)).expect("a modulus");
        let last_byte = public.id().as_bytes()[31];
        if !last_bytes.contains(&last_byte) {
            last_bytes.push(last_byte);
            keys.push(pair);
        }
    }
    keys
}

/// The modulus, from the DER form: a header of 9 bytes with the sign byte, 256 bytes, and the exponent.
#[expect(clippy::expect_used, reason = "tests are told so")]
fn modulus(pair: &KeyPair) -> [u8; 256] {
    let der = pair.public_key().as_ref();
    der.get(9..265).and_then(|modulus| modulus.try_into().ok()).expect("an RSA-2048 key")
}
