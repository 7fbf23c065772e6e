//! Redemption with the ledger and without it, in turns, on two issuers that are alike otherwise: each answer waits until its leaves are on
//! the disk under a signed checkpoint. Prints both rates and their ratio, and fails where that is below 0.85.
//!
//! There are enough operators to keep the machine busy: what is measured is what an issuer can take, and not how long one operator waits.
#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Instant;

use scrip_issuer::signer::blind_sign;
use scrip_issuer::testing::{Setup, TestIssuer};
use scrip_protocol::credits::Exponent;
use scrip_protocol::id::{BatchId, OperatorId};
use scrip_protocol::issuance::{Blinding, Certificate, SignedItem};
use scrip_protocol::keys::SigningKey;
use scrip_protocol::manifest::KeyUse;
use scrip_protocol::redemption::{RedemptionBatch, RedemptionItem, SignedBatch};
use scrip_protocol::seed::{Counter, WalletSeed};
use scrip_protocol::spend::Commitment;
use scrip_runtime::clock::Clock;
use tokio::task::JoinSet;

/// Operators that redeem at the same time, each one batch after the other.
const OPERATORS: usize = 8;
/// Certificates of a batch.
const BATCH: usize = 1_024;
/// Batches of each operator between one change of sides and the next.
const BATCHES: usize = 2;
/// How often each side has its turn.
const TURNS: usize = 6;
/// What redemption with the ledger must at least reach of what it reaches without.
const LEAST: f64 = 0.85;

struct Side {
    vendor: TestIssuer,
    operators: Vec<(SigningKey, OperatorId)>,
    certificates: Vec<Certificate>,
    batches: u64,
    /// Seconds of all its turns.
    took: f64,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut with = Side::new(one.path(), false).await;
        let mut without = Side::new(two.path(), true).await;
        for turn in 0..TURNS {
            // In turns, so that what the disk does later for one does not always fall to the other.
            let (first, second) =
                if turn % 2 == 0 { (&mut without, &mut with) } else { (&mut with, &mut without) };
            first.turn().await;
            second.turn().await;
        }
        let count = (OPERATORS * BATCHES * BATCH) as f64;
        let rate = |side: &Side| count * TURNS as f64 / side.took;
        let (with_it, without_it) = (rate(&with), rate(&without));
        let ratio = with_it / without_it;
        let size = with.vendor.issuer.status().await.unwrap().ledger.unwrap().stored;
        println!("redemptions without the ledger {without_it:>8.0}/s");
        println!("redemptions with the ledger    {with_it:>8.0}/s, {size} leaves stored");
        println!("ratio                          {ratio:>8.2}");
        assert!(ratio >= LEAST, "below {LEAST}");
    });
}

impl Side {
    async fn new(directory: &std::path::Path, off: bool) -> Self {
        let mut setup = Setup::sqlite(directory).unwrap();
        setup.config.ledger.off = off;
        let vendor = setup.init().await.unwrap();
        let mut operators = Vec::new();
        for number in 0..OPERATORS {
            let key = SigningKey::from_seed(&[number as u8 + 1; 32]);
            let name = format!("operator {number}");
            let id = vendor.issuer.add_operator(&name, &key.public()).await.unwrap();
            operators.push((key, id));
        }
        let certificates = certificates(&vendor, TURNS * OPERATORS * BATCHES * BATCH).await;
        Self { vendor, operators, certificates, batches: 0, took: 0.0 }
    }

    /// Every operator redeems its batches; how long until all have their answers.
    async fn turn(&mut self) {
        let mut work: Vec<Vec<SignedBatch>> = Vec::new();
        for at in 0..OPERATORS {
            work.push((0..BATCHES).map(|_| self.batch(at)).collect());
        }
        let start = Instant::now();
        let mut clients = JoinSet::new();
        for batches in work {
            let issuer = self.vendor.issuer.clone();
            clients.spawn(async move {
                for batch in batches {
                    issuer.redeem(batch).await.unwrap();
                }
            });
        }
        clients.join_all().await;
        self.took += start.elapsed().as_secs_f64();
    }

    fn batch(&mut self, operator: usize) -> SignedBatch {
        let (key, operator_id) = &self.operators[operator];
        let vendor_id = self.vendor.issuer.vendor_id();
        let day = self.vendor.clock.today();
        let rest = self.certificates.len() - BATCH;
        let items = self.certificates.split_off(rest).into_iter().map(|certificate| {
            let token = certificate.token().clone();
            let commitment = Commitment::from_bytes(token.nonce);
            let (_, signature) = certificate.spend(&vendor_id, operator_id, day, &commitment);
            RedemptionItem { token, day, commitment, signature }
        });
        self.batches += 1;
        let mut batch_id = [0; 16];
        batch_id[..8].copy_from_slice(&self.batches.to_be_bytes());
        let (operator_id, items) = (*operator_id, items.collect());
        let batch_id = BatchId::from_bytes(batch_id);
        let batch = RedemptionBatch { vendor_id, operator_id, batch_id, items }.sign(key);
        SignedBatch::decode(&batch).unwrap()
    }
}

/// Signed by the vendor's key, without its books: what was never sold is not what is measured here.
async fn certificates(vendor: &TestIssuer, count: usize) -> Vec<Certificate> {
    let issuer = vendor.issuer.clone();
    let manifest = issuer.manifest();
    let exponent = Exponent::new(0).unwrap();
    let key = manifest.issuing(KeyUse::Production, exponent, vendor.clock.now()).unwrap().clone();
    let private = issuer.private_key(&key.id()).unwrap();
    let threads = std::thread::available_parallelism().unwrap().get();
    let key = Arc::new(key);
    let mut tasks = JoinSet::new();
    for thread in 0..threads {
        let (manifest, key, private) = (manifest.clone(), key.clone(), private.clone());
        tasks.spawn_blocking(move || {
            let seed = WalletSeed::from_bytes([thread as u8 + 1; 32]);
            let one = |n: usize| {
                let counter = Counter::new((n / 500) as u32, (n % 500) as u16);
                let blinding = Blinding::start(&seed, &manifest, &key, counter).unwrap();
                let item = blinding.item();
                let signed = SignedItem {
                    key_id: item.key_id,
                    blind_signature: blind_sign(&*private, &item.blinded_message).unwrap(),
                };
                blinding.finish(&key, &signed).unwrap()
            };
            (thread..count).step_by(threads).map(one).collect::<Vec<_>>()
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}
