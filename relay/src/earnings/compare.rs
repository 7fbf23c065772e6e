//! Where the vendor's books and the relay's receipts differ. Pure.

use std::collections::{BTreeMap, BTreeSet};

use scrip_protocol::{
    id::{OperatorId, VendorId},
    judge::{Judge, NoDoubleSpend, Refusal, WindowHistory},
    keys::PublicKey,
    ledger::{
        BatchReceipt, Contract, Leaf, OwnLeaf, Redemption, SignedStatement, Statement,
        fork::ForkProof,
        settlement::{Account, KeyBook, LineKey, Lines, StatementFault, total},
    },
    redemption::{DoubleSpend, ItemResult, RedemptionBatch, RedemptionOutcome, SignedBatch},
    spend::SpendIdentity,
    time::Day,
    tlog::{
        checkpoint::SignedCheckpoint,
        hash::{TreeHash, leaf_hash},
        note::KeyName,
        policy::WitnessPolicy,
        proof::LogProof,
        tile::{TilePath, Tiles},
        tree::{
            InclusionProof, Nodes, consistency_proof, consistency_tiles, frontier_tiles,
            inclusion_proof, inclusion_tiles, verify_consistency, verify_inclusion,
        },
    },
};

use super::keys::{Contradiction, VendorKeys};

/// A difference between the vendor's books and what is known here.
#[derive(Clone, Debug)]
pub enum Difference {
    /// Where the vendor said that a redemption lies, there is something else.
    LeafDiffers {
        /// The receipt, as a number of [`Checked::receipts`].
        receipt: usize,
        /// The position in its batch.
        position: usize,
        /// The hash that is there.
        found: TreeHash,
        /// The leaf that is there, where the vendor shows it.
        leaf: Option<Vec<u8>>,
        /// That it is there.
        proof: Box<LogProof>,
    },
    /// The vendor signed that a certificate is invalid or expired, and everything that this could rest on verifies.
    Refused {
        /// The receipt.
        receipt: usize,
        /// The position in its batch.
        position: usize,
        /// The version of the manifest by which the payment's day is good.
        manifest: u64,
        /// The receipt which shows that the vendor still went by that version on that day, where the refusal goes by a later one that
        /// takes the day back.
        stood: Option<usize>,
    },
    /// The vendor signed that a certificate was used before, and what it names for that is something else.
    NoDoubleSpend {
        /// The receipt.
        receipt: usize,
        /// The position in its batch.
        position: usize,
        /// In what it is none.
        why: NoDoubleSpend,
        /// The leaf that it names with the proof that it is there, where that is what shows it.
        leaf: Option<(Vec<u8>, Box<LogProof>)>,
    },
    /// The vendor has signed two histories.
    TwoHistories {
        /// A checkpoint that it signed in an answer.
        older: Box<SignedCheckpoint>,
        /// What leads to another root, of the same size or by the newest checkpoint.
        proof: ForkProof,
    },
    /// The vendor shows a checkpoint that is smaller than one that it has signed.
    Shrunk {
        /// The larger one.
        signed: Box<SignedCheckpoint>,
    },
    /// The vendor's tiles do not lead to its own checkpoint.
    Tiles {
        /// A leaf, or the size of an earlier tree, that they do not lead from.
        index: u64,
    },
    /// The vendor left one of this operator's redemptions out of its answer. It is in the ledger.
    NotShown {
        /// Where.
        index: u64,
    },
    /// The vendor shows a leaf that is not in the ledger.
    NotThere {
        /// Where it should be.
        index: u64,
    },
    /// A leaf cannot be what the vendor says.
    Leaf {
        /// Where.
        index: u64,
        /// What is wrong.
        what: String,
    },
    /// A statement does not say what follows from the ledger.
    Statement {
        /// Which, as a number of [`Checked::statements`].
        statement: usize,
        /// In what.
        fault: StatementFault,
    },
    /// A statement is not signed by the vendor.
    Unsigned {
        /// Which.
        statement: usize,
    },
    /// The vendor signed two manifests that cannot both be.
    Manifests {
        /// Which.
        contradiction: Contradiction,
    },
    /// A receipt is signed by no receipt key of any manifest that was ever held, or says something else than it must: this relay's own
    /// database is damaged.
    Receipt {
        /// What is wrong.
        what: String,
    },
}

/// A statement of the vendor in its place.
#[derive(Clone, Debug)]
pub struct PlacedStatement {
    /// Where it lies.
    pub index: u64,
    /// The statement.
    pub signed: SignedStatement,
}

/// A contract in its place.
#[derive(Clone, Debug)]
pub struct PlacedContract {
    /// Its leaf's bytes.
    pub leaf: Vec<u8>,
    /// The contract.
    pub contract: Contract,
    /// That it is there.
    pub proof: Box<LogProof>,
}

/// What came of a check.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The vendor.
    pub vendor_id: VendorId,
    /// The operator's key.
    pub operator_key: PublicKey,
    /// The vendor's manifest, signed.
    pub keys: VendorKeys,
    /// The newest checkpoint.
    pub checkpoint: SignedCheckpoint,
    /// The receipts that were handed in.
    pub receipts: Vec<BatchReceipt>,
    /// Certificates that they credit.
    pub credited: u64,
    /// Redemptions that the vendor shows and of which there is no receipt here, as after a restore from a backup. They count.
    pub without_receipt: u64,
    /// Batches that were answered before the vendor had a ledger: nothing can be said of them.
    pub before_the_ledger: u64,
    /// The contracts.
    pub contracts: Vec<PlacedContract>,
    /// The statements.
    pub statements: Vec<PlacedStatement>,
    /// What is not in a statement yet.
    pub open: Lines,
    /// What that comes to, in millionths; `None` where it cannot be counted.
    pub open_total: Option<i64>,
    /// Everything in which the books differ; none where they are right.
    pub differences: Vec<Difference>,
    /// Double spends of which this operator may not read what they name: receipt and position. Only somebody with an auditor's token
    /// can look.
    pub unseen: Vec<(usize, usize)>,
    /// The lines that each credited leaf belongs to: receipt, index, and what the key says.
    pub(super) places: Vec<(usize, u64, LineKey)>,
}

/// What a receipt says of an index.
struct Expected {
    receipt: usize,
    position: usize,
    /// The leaf as it is if the vendor recorded what was sent here.
    leaf: Leaf,
    identity: SpendIdentity,
}

/// A double spend that a receipt has.
struct Lost {
    receipt: usize,
    position: usize,
    own: SpendIdentity,
    spend: DoubleSpend,
}

/// A comparison under way.
pub struct Comparison<'m> {
    keys: &'m VendorKeys,
    operator_key: PublicKey,
    newest: SignedCheckpoint,
    own: Vec<OwnLeaf>,
    receipts: Vec<BatchReceipt>,
    expected: BTreeMap<u64, Vec<Expected>>,
    history: WindowHistory,
    /// By version of the manifest the last day on which the vendor is known to have gone by it, and the receipt that says so.
    stood: BTreeMap<u64, (Day, usize)>,
    /// The receipts in which certificates are called invalid or expired.
    refusing: Vec<(usize, RedemptionBatch, RedemptionOutcome)>,
    lost: Vec<Lost>,
    earlier: BTreeMap<(u64, TreeHash), SignedCheckpoint>,
    before_the_ledger: u64,
    differences: Vec<Difference>,
}

impl<'m> Comparison<'m> {
    /// A comparison with what the vendor shows.
    pub fn new(
        keys: &'m VendorKeys,
        operator_key: PublicKey,
        newest: SignedCheckpoint,
        own: Vec<OwnLeaf>,
    ) -> Self {
        let mut history = WindowHistory::default();
        keys.manifests().iter().for_each(|manifest| history.add(manifest));
        Self {
            keys,
            operator_key,
            newest,
            own,
            receipts: Vec::new(),
            expected: BTreeMap::new(),
            history,
            stood: BTreeMap::new(),
            refusing: Vec::new(),
            lost: Vec::new(),
            earlier: BTreeMap::new(),
            before_the_ledger: 0,
            differences: Vec::new(),
        }
    }

    fn operator_id(&self) -> OperatorId {
        OperatorId::of(&self.operator_key)
    }

    fn size(&self) -> u64 {
        self.newest.checkpoint().size
    }

    /// Adds a receipt. `is_old` says that it may be of a time before there was a ledger.
    pub fn add_receipt(&mut self, receipt: BatchReceipt, is_old: bool) {
        match verified(&receipt, &self.operator_key, self.keys) {
            Ok((batch, outcome, checkpoint)) => {
                self.add_credited(&batch, &outcome);
                self.add_lost(&batch, &outcome);
                self.add_version(&outcome);
                let is_refusal = |result: &ItemResult| {
                    matches!(result, ItemResult::Expired | ItemResult::Invalid(_))
                };
                if outcome.results.iter().any(is_refusal) {
                    self.refusing.push((self.receipts.len(), batch, outcome));
                }
                if let Some(signed) = checkpoint {
                    let at = (signed.checkpoint().size, signed.checkpoint().root);
                    self.earlier.insert(at, signed);
                }
                self.receipts.push(receipt);
            }
            Err(_) if is_old => self.before_the_ledger += 1,
            Err(what) => self.differences.push(Difference::Receipt { what }),
        }
    }

    fn add_credited(&mut self, batch: &RedemptionBatch, outcome: &RedemptionOutcome) {
        let (receipt, vendor) = (self.receipts.len(), self.keys.vendor_id());
        for (position, index) in outcome.credited() {
            let (item, operator_id) = (batch.items[position].clone(), batch.operator_id);
            let redemption = Redemption { operator_id, item };
            let identity = redemption.identity(&vendor);
            let leaf = Leaf::Redemption(Box::new(redemption));
            let expected = Expected { receipt, position, leaf, identity };
            self.expected.entry(index).or_default().push(expected);
        }
    }

    /// That the vendor went by a version of its manifest on the day of an outcome.
    fn add_version(&mut self, outcome: &RedemptionOutcome) {
        let (version, day) = (outcome.manifest_version, outcome.day);
        self.history.stood(version, day);
        let last = self.stood.entry(version).or_insert((day, self.receipts.len()));
        if last.0 < day {
            *last = (day, self.receipts.len());
        }
    }

    /// Double spends, held against what anybody can verify.
    fn add_lost(&mut self, batch: &RedemptionBatch, outcome: &RedemptionOutcome) {
        let (receipt, operator) = (self.receipts.len(), batch.operator_id);
        let judge = Judge::new(self.keys.held(), &self.history);
        let vendor = self.keys.vendor_id();
        for (position, spend) in outcome.double_spends() {
            let own = batch.items[position].identity(&vendor, &operator);
            match judge.proof(&own, spend) {
                Ok(()) => {
                    self.lost.push(Lost { receipt, position, own, spend: *spend });
                }
                Err(why) => {
                    let found = Difference::NoDoubleSpend { receipt, position, why, leaf: None };
                    self.differences.push(found);
                }
            }
        }
    }

    /// Certificates that were called invalid or expired, held against what anybody can verify. All receipts are there by now: one may
    /// show what was still good on a day that another takes back.
    fn judge_refused(&mut self) {
        let judge = Judge::new(self.keys.held(), &self.history);
        for (receipt, batch, outcome) in std::mem::take(&mut self.refusing) {
            let operator = batch.operator_id;
            for (position, (item, result)) in batch.items.iter().zip(&outcome.results).enumerate() {
                if judge.refusal(&operator, item, result, &outcome) != Some(Refusal::False) {
                    continue;
                }
                let Some(shown) = judge.shown(item, &outcome) else { continue };
                let manifest = shown.manifest;
                let stood = shown.stood.and_then(|version| self.stood.get(&version));
                let stood = stood.map(|(_, receipt)| *receipt);
                let refused = Difference::Refused { receipt, position, manifest, stood };
                self.differences.push(refused);
            }
        }
    }

    /// The tiles that [`Comparison::finish`] needs.
    pub fn tiles(&self) -> BTreeSet<TilePath> {
        let size = self.size();
        let indexes = self.expected.keys().copied().chain(self.own.iter().map(|own| own.index));
        let leaves = indexes.filter(|index| *index < size);
        let mut paths: BTreeSet<TilePath> = BTreeSet::new();
        for index in leaves {
            paths.extend(inclusion_tiles(index, size));
        }
        for (old, _) in self.earlier.keys().filter(|(old, _)| *old <= size) {
            paths.extend(consistency_tiles(*old, size));
            // What a proof of two histories is made from, where it comes to that.
            paths.extend(frontier_tiles(*old).into_iter().map(|path| widened(path, size)));
            paths.extend(frontier_tiles(size));
        }
        paths
    }

    /// Finds all differences.
    pub fn finish(mut self, tiles: &Tiles) -> Checked {
        let contradictions = self.keys.contradictions().into_iter();
        self.differences
            .extend(contradictions.map(|contradiction| Difference::Manifests { contradiction }));
        self.judge_refused();
        self.compare_histories(tiles);
        let credited = self.expected.len() as u64;
        let mut leaves: BTreeMap<u64, (Vec<u8>, Leaf)> = BTreeMap::new();
        let mut without_receipt = 0;
        for OwnLeaf { index, leaf } in std::mem::take(&mut self.own) {
            match self.own_leaf(tiles, index, &leaf) {
                Ok(parsed) => {
                    let has_receipt = self.expected.contains_key(&index);
                    without_receipt +=
                        u64::from(!has_receipt && matches!(parsed, Leaf::Redemption(_)));
                    leaves.insert(index, (leaf, parsed));
                }
                Err(difference) => self.differences.push(difference),
            }
        }
        let mut places = Vec::new();
        let mut promised = BTreeMap::new();
        for (index, expected) in std::mem::take(&mut self.expected) {
            for one in expected {
                places.push((one.receipt, index, line_of(&one.leaf, self.keys)));
                self.compare_leaf(tiles, index, &one, leaves.get(&index));
                promised.insert(index, (one.leaf.encode(), one.leaf));
            }
        }
        let unseen = self.compare_winners(tiles, &leaves);
        // What was promised counts, whatever lies there.
        leaves.extend(promised);
        let places = places.into_iter().filter_map(|(a, b, line)| Some((a, b, line?))).collect();
        Checked { unseen, ..self.replay(tiles, leaves, places, credited, without_receipt) }
    }

    /// Holds what won over this operator's certificates against the leaves that it may read, and returns the others.
    fn compare_winners(
        &mut self,
        tiles: &Tiles,
        shown: &BTreeMap<u64, (Vec<u8>, Leaf)>,
    ) -> Vec<(usize, usize)> {
        let mut unseen = Vec::new();
        for Lost { receipt, position, own, spend } in std::mem::take(&mut self.lost) {
            let found = spend.leaf().and_then(|index| Some((index, shown.get(&index)?)));
            let Some((index, (bytes, leaf))) = found else {
                unseen.push((receipt, position));
                continue;
            };
            let judge = Judge::new(self.keys.held(), &self.history);
            let Err(why) = judge.winner(&own, &spend, leaf) else { continue };
            let Some((_, inclusion)) = self.proven(tiles, index) else { continue };
            let leaf = Some((bytes.clone(), self.log_proof(index, inclusion)));
            self.differences.push(Difference::NoDoubleSpend { receipt, position, why, leaf });
        }
        unseen
    }

    /// That each checkpoint of an earlier answer is of the newest one's history.
    fn compare_histories(&mut self, tiles: &Tiles) {
        let newest = self.newest.checkpoint().clone();
        for ((old, old_root), signed) in std::mem::take(&mut self.earlier) {
            if old > newest.size {
                self.differences.push(Difference::Shrunk { signed: Box::new(signed) });
                continue;
            }
            let consistent = consistency_proof(tiles, old, newest.size)
                .ok()
                .map(|proof| verify_consistency(old, &old_root, newest.size, &newest.root, &proof));
            if matches!(consistent, Some(Ok(()))) {
                continue;
            }
            let proof = ForkProof::build(tiles, old, newest.size);
            let roots = proof.as_ref().and_then(|proof| proof.roots(old, newest.size));
            self.differences.push(match (proof, roots) {
                (Some(proof), Some((_, new))) if new == newest.root => {
                    Difference::TwoHistories { older: Box::new(signed), proof }
                }
                _ if old == newest.size => Difference::TwoHistories {
                    older: Box::new(signed),
                    proof: ForkProof(Vec::new()),
                },
                _ => Difference::Tiles { index: old },
            });
        }
    }

    /// The hash that lies at `index`, proven by the tiles.
    fn proven(&self, tiles: &Tiles, index: u64) -> Option<(TreeHash, InclusionProof)> {
        let newest = self.newest.checkpoint();
        let hash = tiles.node(0, index)?;
        let proof = inclusion_proof(tiles, index, newest.size).ok()?;
        verify_inclusion(index, newest.size, &hash, &proof, &newest.root).ok()?;
        Some((hash, proof))
    }

    fn log_proof(&self, index: u64, inclusion: InclusionProof) -> Box<LogProof> {
        let checkpoint = self.newest.note().clone();
        Box::new(LogProof { extra: None, index, inclusion, checkpoint })
    }

    /// A leaf that the vendor shows, if it is in the ledger and this operator's.
    fn own_leaf(&self, tiles: &Tiles, index: u64, leaf: &[u8]) -> Result<Leaf, Difference> {
        let (hash, _) = self.proven(tiles, index).ok_or(Difference::Tiles { index })?;
        if hash != leaf_hash(leaf) {
            return Err(Difference::NotThere { index });
        }
        Leaf::decode(leaf).map_err(|error| Difference::Leaf { index, what: error.to_string() })
    }

    fn compare_leaf(
        &mut self,
        tiles: &Tiles,
        index: u64,
        expected: &Expected,
        shown: Option<&(Vec<u8>, Leaf)>,
    ) {
        if index >= self.size() {
            return; // the checkpoint that promised it is larger, and was found to be so above
        }
        // What makes a redemption the same is not its bytes: the vendor may have recorded another signature of the same holder.
        if let Some((_, Leaf::Redemption(there))) = shown
            && there.identity(&self.keys.vendor_id()) == expected.identity
        {
            return;
        }
        let difference = match self.proven(tiles, index) {
            None => Difference::Tiles { index },
            Some((found, _)) if found == expected.leaf.hash() => Difference::NotShown { index },
            Some((found, inclusion)) => {
                let Expected { receipt, position, .. } = *expected;
                let leaf = shown.map(|(bytes, _)| bytes.clone());
                let proof = self.log_proof(index, inclusion);
                Difference::LeafDiffers { receipt, position, found, leaf, proof }
            }
        };
        self.differences.push(difference);
    }

    /// Goes through all leaves in their order, as ledger.md says, and compares the statements.
    fn replay(
        mut self,
        tiles: &Tiles,
        leaves: BTreeMap<u64, (Vec<u8>, Leaf)>,
        places: Vec<(usize, u64, LineKey)>,
        credited: u64,
        without_receipt: u64,
    ) -> Checked {
        let vendor_id = self.keys.vendor_id();
        let mut account = Account::new(vendor_id, self.operator_id());
        let (mut contracts, mut statements) = (Vec::new(), Vec::new());
        for (index, (bytes, leaf)) in leaves {
            match account.add(index, &leaf, self.keys) {
                Ok(faults) => {
                    let statement = statements.len();
                    let faults = faults.into_iter();
                    self.differences
                        .extend(faults.map(|fault| Difference::Statement { statement, fault }));
                }
                Err(error) => {
                    let what = error.to_string();
                    self.differences.push(Difference::Leaf { index, what });
                }
            }
            match leaf {
                Leaf::Statement(signed) => {
                    if signed.verify(self.keys.receipt_keys()).is_err() {
                        let statement = statements.len();
                        self.differences.push(Difference::Unsigned { statement });
                    }
                    statements.push(PlacedStatement { index, signed });
                }
                Leaf::Contract(contract) => {
                    if let Some((_, inclusion)) = self.proven(tiles, index) {
                        let proof = self.log_proof(index, inclusion);
                        contracts.push(PlacedContract { leaf: bytes, contract, proof });
                    }
                }
                _ => {}
            }
        }
        let open = account.lines(self.size()).unwrap_or_default();
        let open_total =
            total(&open.earned, &open.resold, &[], |number| account.contract(number)).ok();
        Checked {
            vendor_id,
            operator_key: self.operator_key,
            keys: self.keys.clone(),
            checkpoint: self.newest,
            receipts: self.receipts,
            credited,
            without_receipt,
            before_the_ledger: self.before_the_ledger,
            contracts,
            statements,
            open,
            open_total,
            differences: self.differences,
            unseen: Vec::new(),
            places,
        }
    }
}

impl Checked {
    /// Whether the books are right, as far as this operator can see.
    pub fn agrees(&self) -> bool {
        self.differences.is_empty()
    }

    /// The contract with this number, the first one of it.
    pub fn contract(&self, number: u32) -> Option<&Contract> {
        self.contracts.iter().map(|placed| &placed.contract).find(|one| one.number == number)
    }

    /// What a statement says.
    pub fn statement(&self, number: usize) -> Option<&Statement> {
        self.statements.get(number).map(|placed| placed.signed.unverified())
    }
}

/// What the key of a redemption says; the contract is left at 0. `None` for test keys, which are worth nothing.
pub(super) fn line_of(leaf: &Leaf, keys: &impl KeyBook) -> Option<LineKey> {
    let Leaf::Redemption(redemption) = leaf else { return None };
    let facts = keys.facts(&redemption.item.token.key_id).filter(|facts| facts.is_production)?;
    Some(LineKey { contract: 0, epoch: facts.epoch, exponent: facts.exponent })
}

/// A receipt, parsed and verified: both signatures, that they belong together, and the checkpoint.
pub(super) type VerifiedReceipt = (RedemptionBatch, RedemptionOutcome, Option<SignedCheckpoint>);

/// Verifies a receipt of this operator's and this vendor's, or says what is wrong with it.
pub(super) fn verified(
    receipt: &BatchReceipt,
    operator_key: &PublicKey,
    keys: &VendorKeys,
) -> Result<VerifiedReceipt, String> {
    let batch = SignedBatch::decode(&receipt.batch).map_err(|error| error.to_string())?;
    let digest = batch.digest();
    let batch = batch.verify(operator_key).map_err(|error| error.to_string())?;
    let outcome = RedemptionOutcome::open(&receipt.outcome, keys.receipt_keys())
        .map_err(|error| error.to_string())?;
    outcome.check_leaves().map_err(|error| error.to_string())?;
    let vendor_id = keys.vendor_id();
    let belongs = outcome.batch_digest == digest
        && outcome.vendor_id == vendor_id
        && batch.vendor_id == vendor_id
        && outcome.operator_id == batch.operator_id
        && outcome.results.len() == batch.items.len();
    if !belongs {
        return Err("the outcome is for another batch".to_owned());
    }
    let Some(last) = outcome.last_leaf() else { return Ok((batch, outcome, None)) };
    let checkpoint = open_checkpoint(&outcome.checkpoint, keys)?;
    let size = checkpoint.checkpoint().size;
    if last >= size {
        return Err(format!("the outcome names leaf {last}, and its checkpoint has {size}"));
    }
    Ok((batch, outcome, Some(checkpoint)))
}

/// A checkpoint of this vendor, whoever witnessed it.
pub(super) fn open_checkpoint(bytes: &[u8], keys: &VendorKeys) -> Result<SignedCheckpoint, String> {
    let (origin, policy) = (KeyName::of_ledger(&keys.vendor_id()), WitnessPolicy::none());
    SignedCheckpoint::open(bytes, &origin, &keys.of_ledger(), &policy)
        .map_err(|error| error.to_string())
}

/// A tile of an older tree, as wide as it is in one of `size` leaves.
fn widened(path: TilePath, size: u64) -> TilePath {
    let scrip_protocol::tlog::tile::TileKind::Hash(level) = path.kind() else { return path };
    let count = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
    TilePath::at(path.kind(), path.index(), count).unwrap_or(path)
}
