//! A vendor in memory that keeps a ledger with real keys, honestly or not: for tests and benches.

#![allow(clippy::expect_used, clippy::panic, clippy::missing_panics_doc)] // a test that cannot set up has nothing to show

mod keys;
mod lists;
mod scenario;
mod writer;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use scrip_protocol::{
    credits::{Credits, Exponent},
    hash::Label,
    id::{BatchId, OperatorId, VendorId},
    keys::SigningKey,
    ledger::{
        BatchReceipt, CommitmentKind, Contract, Count, Leaf, ManifestVersion, Redemption,
        RenewalEvidence, Sales, SourceName, Tally, TallyKind, ValueCommitment, origin,
        settlement::Account,
    },
    manifest::{EpochBody, KeyUse, Manifest, ManifestBody, Product, ReceiptKeys, Windows},
    pack::Pack,
    redemption::{ItemResult, RedemptionBatch, RedemptionItem, RedemptionOutcome, batch_digest},
    solvency::{Blinding, commit},
    spend::{Binding, Commitment, binding},
    time::Day,
    tlog::{
        checkpoint::Checkpoint,
        hash::{TreeHash, leaf_hash},
        tree::Frontier,
    },
    token::{Token, TokenChallenge},
};

pub use self::{
    keys::{TestKey, test_key},
    lists::ListCheat,
    scenario::{EPOCH, FIRST_DAY, NEXT_EPOCH, TEST_EPOCH, windows},
    writer::LedgerWriter,
};

/// What the vendor calls itself in challenges.
const ISSUER_NAME: &str = "vendor.example";

/// An epoch of a manifest that is being made: number, use, windows, and exponent and number of each key.
pub type EpochPlan<'a> = (u32, KeyUse, Windows, &'a [(u8, usize)]);

/// A batch that an operator sent, and where its leaves are.
#[derive(Clone)]
struct Batch {
    signed: Vec<u8>,
    leaves: Vec<u64>,
    /// Of the ledger when it was answered.
    size: u64,
}

/// A vendor that writes whatever ledger it is told to, and signs it with its real keys.
#[derive(Clone)]
pub struct Forger {
    /// Its id.
    pub vendor: VendorId,
    /// Its leaves. Whatever is changed here is signed by [`Self::write`] as if it had never been otherwise.
    pub leaves: Vec<Leaf>,
    /// Its signed manifests, by version.
    pub manifests: BTreeMap<u64, Vec<u8>>,
    batches: Vec<Batch>,
    certificates: u64,
    draws: u64,
    fill: u64,
}

/// A certificate with the key of its holder.
pub struct Certificate {
    /// The certificate.
    pub token: Token,
    holder: SigningKey,
}

impl Certificate {
    /// The holder's signature over `binding`.
    pub fn spend(&self, binding: &Binding) -> scrip_protocol::keys::Signature {
        self.holder.sign(Label::Spend, binding.as_bytes())
    }

    /// The same over the `binding` of a renewal.
    pub fn renew(&self, binding: &Binding) -> scrip_protocol::keys::Signature {
        self.holder.sign(Label::RenewalSpend, binding.as_bytes())
    }
}

fn root_key() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

/// The key that signs checkpoints, outcomes and statements.
pub fn receipt_key() -> SigningKey {
    SigningKey::from_seed(&[2; 32])
}

/// The key of the operator with this number.
pub fn operator_key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[100 + number; 32])
}

/// The operator with this number.
pub fn operator(number: u8) -> OperatorId {
    OperatorId::of(&operator_key(number).public())
}

/// A certificate of the key with this number, whose holder has the key of this seed.
pub fn certificate(key: &TestKey, holder: &[u8; 32]) -> Certificate {
    let holder = SigningKey::from_seed(holder);
    let challenge = TokenChallenge { issuer_name: ISSUER_NAME.to_owned() };
    let mut token = Token {
        nonce: *holder.public().as_bytes(),
        challenge_digest: challenge.digest(),
        key_id: key.id(),
        authenticator: [0; 256],
    };
    token.authenticator = key.sign(&token.signed_part());
    Certificate { token, holder }
}

impl Forger {
    /// A vendor with an empty ledger.
    pub fn new() -> Self {
        Self {
            vendor: VendorId::of(&root_key().public()),
            leaves: Vec::new(),
            manifests: BTreeMap::new(),
            batches: Vec::new(),
            certificates: 0,
            draws: 0,
            fill: 16,
        }
    }

    fn draw(&mut self) -> [u8; 32] {
        self.draws += 1;
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&self.draws.to_be_bytes());
        *leaf_hash(&bytes).as_bytes()
    }

    fn blinding(&mut self) -> Blinding {
        let seed = self.draw();
        Blinding::from_seed(&seed, b"test")
    }

    /// The newest manifest.
    ///
    /// # Panics
    /// Where there is none.
    pub fn manifest(&self) -> Manifest {
        let (_, bytes) = self.manifests.last_key_value().expect("a manifest was published");
        Manifest::open(bytes, &self.vendor).expect("the forger's manifests are valid")
    }

    /// Signs a manifest with these epochs, each with keys of these exponents and numbers, without a leaf for it.
    pub fn sign_manifest(&mut self, epochs: &[EpochPlan<'_>]) -> u64 {
        let version = self.manifests.len() as u64 + 1;
        let epoch = |(number, key_use, windows, keys): &EpochPlan<'_>| {
            let key = |(exponent, key): &(u8, usize)| {
                (Exponent::new(*exponent).expect("an exponent"), *test_key(*key).modulus())
            };
            let keys = keys.iter().map(key).collect();
            EpochBody { number: *number, key_use: *key_use, windows: *windows, keys }
        };
        let exponents = epochs.iter().flat_map(|(_, _, _, keys)| keys.iter());
        let exponents: BTreeSet<u8> = exponents.map(|(exponent, _)| *exponent).collect();
        let one_of_each = exponents.into_iter().filter_map(|k| Some((Exponent::new(k)?, 1)));
        let pack = Pack::new(one_of_each).ok();
        let body = ManifestBody {
            root_key: root_key().public(),
            version,
            issuer_name: ISSUER_NAME.to_owned(),
            receipt_keys: ReceiptKeys::first(receipt_key().public()),
            products: pack.map(|pack| Product::new("all", pack)).into_iter().collect(),
            operators: Vec::new(),
            epochs: epochs.iter().map(epoch).collect(),
        };
        self.manifests.insert(version, body.sign(&root_key()));
        version
    }

    /// The leaf that names this version.
    ///
    /// # Panics
    /// Where there is no such version.
    pub fn manifest_leaf(&self, version: u64) -> Leaf {
        let manifest = Manifest::open(&self.manifests[&version], &self.vendor);
        let digest = manifest.expect("the forger's manifests are valid").digest();
        Leaf::Manifest(ManifestVersion { version, digest })
    }

    /// Appends one round: the commitments and manifests first, then the rest, then cover.
    pub fn round(&mut self, leaves: Vec<Leaf>) {
        let mut public = Vec::new();
        let mut private = Vec::new();
        for leaf in leaves {
            public.extend(self.commitments(&leaf));
            if leaf.is_public() { public.push(leaf) } else { private.push(leaf) }
        }
        self.leaves.append(&mut public);
        self.leaves.append(&mut private);
        while !(self.leaves.len() as u64).is_multiple_of(self.fill) {
            let random = self.draw();
            self.leaves.push(Leaf::Cover(random));
        }
    }

    fn is_production(&self, epoch: u32) -> bool {
        self.manifests.last_key_value().is_some()
            && self
                .manifest()
                .epochs()
                .iter()
                .any(|known| known.number == epoch && known.key_use == KeyUse::Production)
    }

    /// The commitments that must stand in front of a leaf.
    pub fn commitments(&self, leaf: &Leaf) -> Vec<Leaf> {
        let commitment = |kind, epoch, credits, blinding: &[u8; 32]| {
            let blinding = Blinding::from_bytes(blinding).expect("a canonical scalar");
            let (commitment, leaf_hash) = (commit(credits, &blinding), leaf.hash());
            Leaf::Commitment(ValueCommitment { kind, epoch, commitment, leaf_hash })
        };
        match leaf {
            Leaf::Tally(tally) if self.is_production(tally.epoch) => {
                let credits = tally.credits().unwrap_or(Credits(u64::MAX));
                let kind = CommitmentKind::Tally(tally.kind);
                vec![commitment(kind, tally.epoch, credits, &tally.blinding)]
            }
            Leaf::Statement(statement) => {
                let settled = statement.unverified().settled.iter();
                let one = |line: &scrip_protocol::ledger::Settled| {
                    commitment(CommitmentKind::Settled, line.epoch, line.credits, &line.blinding)
                };
                settled.map(one).collect()
            }
            _ => Vec::new(),
        }
    }

    /// A tally.
    pub fn tally(
        &mut self,
        kind: TallyKind,
        day: u32,
        operator: Option<u8>,
        epoch: u32,
        counts: &[(u8, u64)],
    ) -> Leaf {
        let count = |(exponent, certificates): &(u8, u64)| Count {
            exponent: Exponent::new(*exponent).expect("an exponent"),
            certificates: *certificates,
        };
        Leaf::Tally(Tally {
            kind,
            day: Day(day),
            operator_id: operator.map(self::operator),
            epoch,
            counts: counts.iter().map(count).collect(),
            blinding: self.blinding().to_bytes(),
        })
    }

    /// What was granted.
    pub fn sales(&mut self, day: u32, reseller: Option<u8>, test: bool, credits: u64) -> Leaf {
        let source = if reseller.is_some() { "voucher" } else { "stripe" };
        Leaf::Sales(Sales {
            day: Day(day),
            source: SourceName::new(source).expect("a name"),
            test,
            operator_id: reseller.map(operator),
            purchases: 1 + credits / 100,
            credits: Credits(credits),
            salt: self.draw(),
        })
    }

    /// A contract.
    pub fn contract(&mut self, number: u8, which: u32, day: u32, price: u64) -> Leaf {
        Leaf::Contract(Contract {
            operator_key: operator_key(number).public(),
            number: which,
            day: Day(day),
            currency: "EUR".parse().expect("a currency"),
            price,
            share: 7_000,
            resale_price: price,
            salt: self.draw(),
        })
    }

    /// A certificate that nobody had before.
    pub fn certificate(&mut self, epoch: u32, exponent: u8) -> Certificate {
        self.certificates += 1;
        let mut holder = [0; 32];
        holder[..8].copy_from_slice(&self.certificates.to_be_bytes());
        certificate(&test_key(scenario::key_number(epoch, exponent)), &holder)
    }

    /// A redemption of one certificate at an operator.
    pub fn redemption(&mut self, certificate: &Certificate, at: u8, day: u32) -> Redemption {
        let (day, commitment) = (Day(day), Commitment::from_bytes(self.draw()));
        let token = certificate.token.clone();
        let bound = binding(&self.vendor, &operator(at), day, &token.key_id, &commitment);
        let signature = certificate.spend(&bound);
        let item = RedemptionItem { token, day, commitment, signature };
        Redemption { operator_id: operator(at), item }
    }

    /// A renewal of one certificate.
    pub fn renewal(&mut self, certificate: &Certificate, day: u32) -> RenewalEvidence {
        let binding = Binding::from_bytes(self.draw());
        let signature = certificate.renew(&binding);
        RenewalEvidence { token: certificate.token.clone(), day: Day(day), binding, signature }
    }

    /// A round with one batch: its redemptions, and the tally beside them.
    pub fn redeem(&mut self, at: u8, day: u32, epoch: u32, counts: &[(u8, u64)]) {
        let mut items = Vec::new();
        for (exponent, n) in counts {
            for _ in 0..*n {
                let certificate = self.certificate(epoch, *exponent);
                items.push(self.redemption(&certificate, at, day));
            }
        }
        let batch = RedemptionBatch {
            vendor_id: self.vendor,
            operator_id: operator(at),
            batch_id: BatchId::from_bytes([self.batches.len() as u8; 16]),
            items: items.iter().map(|redemption| redemption.item.clone()).collect(),
        };
        let signed = batch.sign(&operator_key(at));
        let first = self.leaves.len();
        let tally = self.tally(TallyKind::Redeemed, day, Some(at), epoch, counts);
        let mut round: Vec<Leaf> =
            items.into_iter().map(|one| Leaf::Redemption(Box::new(one))).collect();
        let n = round.len();
        round.push(tally);
        self.round(round);
        let is_redemption = |at: &usize| matches!(self.leaves[*at], Leaf::Redemption(_));
        let leaves: Vec<u64> =
            (first..self.leaves.len()).filter(is_redemption).map(|at| at as u64).collect();
        debug_assert_eq!(leaves.len(), n);
        self.batches.push(Batch { signed, leaves, size: self.leaves.len() as u64 });
    }

    /// A round with the statement of an operator over everything until now.
    ///
    /// # Panics
    /// Where the leaves are not such that a statement follows from them.
    pub fn settle(&mut self, of: u8, day: u32) {
        let id = operator(of);
        let mut account = Account::new(self.vendor, id);
        let manifest = self.manifest();
        for (index, leaf) in (0..).zip(&self.leaves) {
            let own = match leaf {
                Leaf::Redemption(redemption) => redemption.operator_id == id,
                Leaf::Sales(sales) => sales.operator_id == Some(id),
                Leaf::Contract(contract) => contract.operator_id() == id,
                Leaf::Statement(statement) => statement.unverified().operator_id == id,
                _ => false,
            };
            if own {
                let faults = account.add(index, leaf, &manifest).expect("own leaves in order");
                assert_eq!(faults, [], "an honest statement");
            }
        }
        let until = self.leaves.len() as u64;
        let mut seeds: Vec<[u8; 32]> = (0..8).map(|_| self.blinding().to_bytes()).collect();
        let blinding = |_| seeds.pop().expect("few epochs");
        let statement = account.next_statement(Day(day), until, Vec::new(), blinding);
        let statement = statement.expect("small amounts").expect("something to settle");
        let signed = statement.sign(&receipt_key()).expect("a small statement");
        self.round(vec![Leaf::Statement(signed)]);
    }

    /// The index of the `n`th leaf that is so.
    ///
    /// # Panics
    /// Where there are not as many.
    pub fn find(&self, n: usize, is: impl Fn(&Leaf) -> bool) -> u64 {
        let mut all = self.leaves.iter().enumerate().filter(|(_, leaf)| is(leaf));
        all.nth(n).expect("the ledger has such a leaf").0 as u64
    }

    /// The bytes of the leaves.
    pub fn entries(&self) -> Vec<Vec<u8>> {
        self.leaves.iter().map(Leaf::encode).collect()
    }

    /// The signed checkpoint of the tree of the first `size` leaves.
    pub fn checkpoint(&self, size: u64) -> String {
        let mut tree = Frontier::empty();
        for leaf in self.leaves.iter().take(usize::try_from(size).unwrap_or(usize::MAX)) {
            tree.push(leaf.hash());
        }
        sign_checkpoint(&self.vendor, size, tree.root())
    }

    /// Writes the whole ledger, signed.
    ///
    /// # Panics
    /// Where files cannot be written.
    pub fn write(&self, directory: &Path) {
        for (version, bytes) in &self.manifests {
            let path = directory.join(format!("manifest/{version}"));
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            std::fs::write(path, bytes).expect("a manifest");
        }
        let mut writer = LedgerWriter::new(directory);
        for leaf in &self.leaves {
            writer.push(leaf.encode());
        }
        writer.finish(&self.vendor);
    }

    /// Writes receipts of all batches, as operators export them, with the checkpoints of this ledger.
    ///
    /// # Panics
    /// Where files cannot be written.
    pub fn write_receipts(&self, directory: &Path) {
        std::fs::create_dir_all(directory).expect("a directory");
        for batch in &self.batches {
            let digest = batch_digest(&batch.signed);
            let decoded = scrip_protocol::redemption::SignedBatch::decode(&batch.signed);
            let decoded = decoded.expect("the forger's batches are valid");
            let outcome = RedemptionOutcome {
                vendor_id: self.vendor,
                operator_id: decoded.operator_id(),
                batch_digest: digest,
                day: Day(scenario::FIRST_DAY),
                manifest_version: 1,
                results: vec![ItemResult::Accepted; batch.leaves.len()],
                leaves: batch.leaves.clone(),
                checkpoint: self.checkpoint(batch.size).into_bytes(),
            };
            let outcome = outcome.sign(&receipt_key());
            let receipt = BatchReceipt { batch: batch.signed.clone(), outcome };
            let path = directory.join(format!("{digest}.{}", BatchReceipt::EXTENSION));
            std::fs::write(path, receipt.encode()).expect("a receipt");
        }
    }
}

impl Default for Forger {
    fn default() -> Self {
        Self::new()
    }
}

/// A checkpoint of the vendor.
///
/// # Panics
/// Never: an origin may be signed.
pub fn sign_checkpoint(vendor: &VendorId, size: u64, root: TreeHash) -> String {
    let origin = origin(vendor).parse().expect("a name");
    let note = Checkpoint { origin, size, root }.sign(&receipt_key());
    note.expect("it begins with a letter").encode()
}
