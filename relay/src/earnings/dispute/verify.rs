//! Judging a dispute file. Everything in it is somebody's claim until a signature of the vendor's stands for it.

use std::collections::{BTreeMap, BTreeSet};

use scrip_protocol::{
    credits::Exponent,
    id::{OperatorId, VendorId, decode_base64url},
    judge::{Judge as Refusals, NoDoubleSpend, Refusal, WindowHistory},
    keys::PublicKey,
    ledger::{
        BatchReceipt, Contract, Leaf, Redemption, SignedStatement, Statement,
        fork::ForkProof,
        settlement::{SettlementError, StatementFault, arithmetic},
    },
    manifest::Manifest,
    redemption::{DoubleSpend, ItemResult, RedemptionBatch, RedemptionItem, RedemptionOutcome},
    tlog::{
        hash::{TreeHash, leaf_hash},
        note::KeyName,
        policy::WitnessPolicy,
        proof::LogProof,
    },
};
use serde::Serialize;

use super::{Claim, Dispute, ProvenLeaf};
use crate::earnings::{
    compare::{line_of, open_checkpoint, verified},
    keys::{VendorKeys, contradicts},
};

/// Why a file cannot be judged at all.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It does not parse.
    #[error("this is no dispute file: {0}")]
    Parse(#[from] serde_json::Error),
    /// Another version.
    #[error("this is a dispute file of another kind: `{0}`")]
    Format(String),
    /// It is about another vendor.
    #[error("the dispute is with the vendor {0}, not with the one whose address was given")]
    OtherVendor(VendorId),
    /// The manifest is not the vendor's.
    #[error("the manifest in the file is not the vendor's: {0}")]
    Manifest(String),
    /// A contract is not in the ledger.
    #[error("a contract in the file does not verify: {0}")]
    Contract(String),
    /// A receipt does not verify.
    #[error("receipt {number} in the file does not verify: {what}")]
    Receipt {
        /// Which.
        number: usize,
        /// Why.
        what: String,
    },
}

/// What came of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The vendor's own signatures prove it.
    Proven,
    /// The vendor has to answer it: what is there proves nothing by itself.
    Open,
    /// What is there does not say what is claimed.
    Unfounded,
}

/// A claim, judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// What came of it.
    pub verdict: Verdict,
    /// The claim, in the words of whoever made it.
    pub claim: String,
    /// Why.
    pub reason: String,
}

/// A receipt whose signatures were verified.
struct Receipt {
    batch: RedemptionBatch,
    outcome: RedemptionOutcome,
    /// Of each credited position the index.
    places: BTreeMap<usize, u64>,
}

impl Receipt {
    /// What was sent at this position, and what was answered.
    fn item(&self, position: usize) -> Result<(&RedemptionItem, &ItemResult), String> {
        let item = self.batch.items.get(position).zip(self.outcome.results.get(position));
        item.ok_or_else(|| "the receipt has no such position".to_owned())
    }

    /// The redemption that was sent at this position.
    fn redemption(&self, position: usize) -> Option<Redemption> {
        let item = self.batch.items.get(position)?.clone();
        Some(Redemption { operator_id: self.batch.operator_id, item })
    }
}

/// What the claims of a file are judged by.
struct Judge {
    /// As the file has them.
    manifests: Vec<Manifest>,
    keys: VendorKeys,
    operator_key: PublicKey,
    contracts: BTreeMap<u32, Contract>,
    receipts: Vec<Receipt>,
    history: WindowHistory,
}

/// Judges the claims of a file by the vendor's address alone.
///
/// # Errors
/// [`VerifyError`] where the file as a whole is nothing to judge by.
pub fn verify(file: &[u8], vendor: &VendorId) -> Result<Vec<Judgement>, VerifyError> {
    judge(&Dispute::parse(file)?, vendor)
}

/// The same of a file that was parsed.
///
/// # Errors
/// [`VerifyError`].
pub fn judge(dispute: &Dispute, vendor: &VendorId) -> Result<Vec<Judgement>, VerifyError> {
    if dispute.vendor_id != *vendor {
        return Err(VerifyError::OtherVendor(dispute.vendor_id));
    }
    let open = |manifest: &String| {
        let manifest = decode_base64url(manifest).unwrap_or_default();
        Manifest::open(&manifest, vendor).map_err(|error| VerifyError::Manifest(error.to_string()))
    };
    let manifests: Vec<Manifest> = dispute.manifests.iter().map(open).collect::<Result<_, _>>()?;
    let mut history = WindowHistory::default();
    manifests.iter().for_each(|manifest| history.add(manifest));
    let mut judge = Judge {
        history,
        keys: VendorKeys::new(manifests.clone())
            .ok_or_else(|| VerifyError::Manifest("there is none".to_owned()))?,
        manifests,
        operator_key: dispute.operator_key,
        contracts: BTreeMap::new(),
        receipts: Vec::new(),
    };
    for placed in &dispute.contracts {
        judge.add_contract(&placed.leaf, &placed.proof).map_err(VerifyError::Contract)?;
    }
    for (number, receipt) in dispute.receipts.iter().enumerate() {
        judge.add_receipt(receipt).map_err(|what| VerifyError::Receipt { number, what })?;
    }
    Ok(dispute.claims.iter().map(|claim| judge.judge(claim)).collect())
}

impl Judge {
    fn add_contract(&mut self, leaf: &str, proof: &str) -> Result<(), String> {
        let bytes = decode_base64url(leaf).ok_or("the leaf is not base64url")?;
        let Ok(Leaf::Contract(contract)) = Leaf::decode(&bytes) else {
            return Err("the leaf is no contract".to_owned());
        };
        if contract.operator_key != self.operator_key {
            return Err("the contract is another operator's".to_owned());
        }
        self.prove(&leaf_hash(&bytes), proof)?;
        self.contracts.entry(contract.number).or_insert(contract);
        Ok(())
    }

    fn add_receipt(&mut self, receipt: &str) -> Result<(), String> {
        let bytes = decode_base64url(receipt).ok_or("it is not base64url")?;
        let receipt = BatchReceipt::decode(&bytes).map_err(|error| error.to_string())?;
        let (batch, outcome, _) = verified(&receipt, &self.operator_key, &self.keys)?;
        self.history.stood(outcome.manifest_version, outcome.day);
        let places = outcome.credited().collect();
        self.receipts.push(Receipt { batch, outcome, places });
        Ok(())
    }

    fn receipt(&self, number: usize) -> Result<&Receipt, String> {
        self.receipts.get(number).ok_or_else(|| "there is no such receipt".to_owned())
    }

    /// A leaf that the vendor's ledger has, with its index.
    fn proven_leaf(&self, leaf: &str, proof: &str) -> Result<(u64, Result<Leaf, String>), String> {
        let bytes = decode_base64url(leaf).ok_or("the leaf is not base64url")?;
        let index = self.prove(&leaf_hash(&bytes), proof)?;
        Ok((index, Leaf::decode(&bytes).map_err(|error| error.to_string())))
    }

    /// The index at which the vendor's ledger has this hash, by this proof.
    fn prove(&self, hash: &TreeHash, proof: &str) -> Result<u64, String> {
        let proof = LogProof::parse(proof.as_bytes()).map_err(|error| error.to_string())?;
        let origin = KeyName::of_ledger(&self.keys.vendor_id());
        let (keys, policy) = (self.keys.of_ledger(), WitnessPolicy::none());
        proof.verify(hash, &origin, &keys, &policy).map_err(|error| error.to_string())?;
        Ok(proof.index)
    }

    fn judge(&self, claim: &Claim) -> Judgement {
        let judged = match claim {
            Claim::Leaf { receipt, position, found, leaf, proof, .. } => match leaf {
                Some(leaf) => self.judge_leaf(*receipt, *position, leaf, proof),
                None => self.judge_hash(*receipt, *position, found, proof),
            },
            Claim::Refused { receipt, position, .. } => self.judge_refusal(*receipt, *position),
            Claim::DoubleSpent { receipt, position, winner, .. } => {
                self.judge_double_spend(*receipt, *position, winner.as_ref())
            }
            Claim::Histories { older, newer, hashes, .. } => {
                self.judge_histories(older, newer, hashes)
            }
            Claim::Statement { statement, receipts, .. } => {
                self.judge_statement(statement, receipts)
            }
            Claim::Manifests { older, newer, .. } => self.judge_manifests(*older, *newer),
            Claim::Asks { .. } => Ok((Verdict::Open, "the vendor has to answer this".to_owned())),
        };
        let (verdict, reason) = judged.unwrap_or_else(|reason| (Verdict::Unfounded, reason));
        Judgement { verdict, claim: claim.what().to_owned(), reason }
    }

    /// A leaf that is said to be another one than the outcome promised.
    fn judge_leaf(
        &self,
        receipt: usize,
        position: usize,
        leaf: &str,
        proof: &str,
    ) -> Result<(Verdict, String), String> {
        let receipt = self.receipt(receipt)?;
        let index = receipt.places.get(&position).ok_or(NOT_CREDITED)?;
        let (at, leaf) = self.proven_leaf(leaf, proof)?;
        if at != *index {
            return Err(OTHER_PLACE.to_owned());
        }
        let vendor = self.keys.vendor_id();
        let sent = receipt.redemption(position).ok_or(NOT_CREDITED)?.identity(&vendor);
        match leaf {
            Ok(Leaf::Redemption(there)) if there.identity(&vendor) == sent => {
                Err("the redemption is where it should be".to_owned())
            }
            Ok(_) | Err(_) => Ok((Verdict::Proven, promised(*index))),
        }
    }

    /// The same where only the hash is at hand. What the vendor calls `accepted` it has recorded as it was sent, byte for byte; what
    /// it had recorded before may have come with another signature of the same holder, which only the leaf can show.
    fn judge_hash(
        &self,
        receipt: usize,
        position: usize,
        found: &str,
        proof: &str,
    ) -> Result<(Verdict, String), String> {
        let receipt = self.receipt(receipt)?;
        let index = receipt.places.get(&position).ok_or(NOT_CREDITED)?;
        let found: TreeHash = found.parse().map_err(|_| "the hash does not parse")?;
        if self.prove(&found, proof)? != *index {
            return Err(OTHER_PLACE.to_owned());
        }
        let sent = receipt.redemption(position).ok_or(NOT_CREDITED)?;
        if Leaf::Redemption(Box::new(sent)).hash() == found {
            return Err("the leaf is where it should be".to_owned());
        }
        match receipt.item(position)?.1 {
            ItemResult::Accepted => Ok((Verdict::Proven, promised(*index))),
            _ => Ok((
                Verdict::Open,
                format!("the vendor had recorded it before, and has to show leaf {index}"),
            )),
        }
    }

    /// A refusal of what is said to verify.
    fn judge_refusal(&self, receipt: usize, position: usize) -> Result<(Verdict, String), String> {
        let receipt = self.receipt(receipt)?;
        let (item, result) = receipt.item(position)?;
        let judge = Refusals::new(self.keys.held(), &self.history);
        match judge.refusal(&receipt.batch.operator_id, item, result, &receipt.outcome) {
            None => Err("the receipt does not refuse that position".to_owned()),
            Some(Refusal::True(why)) => Err(format!("the refusal is right: {why}")),
            Some(Refusal::False) => {
                let proven = "the vendor signed the refusal, and the certificate, its day and both signatures verify under the \
                              manifest that it signed";
                Ok((Verdict::Proven, proven.to_owned()))
            }
            Some(Refusal::ByManifest(version)) => Ok((
                Verdict::Open,
                format!(
                    "it rests on version {version} of the manifest, which the file does not have"
                ),
            )),
        }
    }

    /// A double spend that is said to be none.
    fn judge_double_spend(
        &self,
        receipt: usize,
        position: usize,
        winner: Option<&ProvenLeaf>,
    ) -> Result<(Verdict, String), String> {
        let receipt = self.receipt(receipt)?;
        let (item, ItemResult::DoubleSpent(spend)) = receipt.item(position)? else {
            return Err("the receipt has no double spend at that position".to_owned());
        };
        let judge = Refusals::new(self.keys.held(), &self.history);
        let own = item.identity(&self.keys.vendor_id(), &receipt.batch.operator_id);
        if let Err(why) = judge.proof(&own, spend) {
            return Ok((Verdict::Proven, format!("the vendor signed a double spend: {why}")));
        }
        let Some(winner) = winner else { return Ok((Verdict::Open, where_it_is(spend))) };
        let (at, leaf) = self.proven_leaf(&winner.leaf, &winner.proof)?;
        if spend.leaf() != Some(at) {
            return Err(OTHER_PLACE.to_owned());
        }
        let judged = leaf.map(|leaf| judge.winner(&own, spend, &leaf));
        match judged.unwrap_or(Err(NoDoubleSpend::OtherLeaf)) {
            Ok(()) => Err("the certificate was used before: the leaf shows it".to_owned()),
            Err(why) => Ok((Verdict::Proven, format!("the vendor signed a double spend: {why}"))),
        }
    }

    fn judge_histories(
        &self,
        older: &str,
        newer: &str,
        hashes: &[String],
    ) -> Result<(Verdict, String), String> {
        let older = open_checkpoint(older.as_bytes(), &self.keys)?;
        let newer = open_checkpoint(newer.as_bytes(), &self.keys)?;
        let (old, new) = (older.checkpoint(), newer.checkpoint());
        let proven = "the vendor signed both, and the larger does not begin with the smaller";
        if old.size == new.size {
            return match old.root == new.root {
                true => Err("both are the same tree".to_owned()),
                false => Ok((Verdict::Proven, proven.to_owned())),
            };
        }
        let hashes: Result<Vec<TreeHash>, _> = hashes.iter().map(|hash| hash.parse()).collect();
        let proof = ForkProof(hashes.map_err(|_| "a hash does not parse")?);
        let roots = proof.roots(old.size, new.size).ok_or("the hashes do not fit the sizes")?;
        if roots.1 != new.root {
            return Err("the hashes do not lead to the larger root".to_owned());
        }
        match roots.0 == old.root {
            true => Err("the larger tree begins with the smaller one".to_owned()),
            false => Ok((Verdict::Proven, proven.to_owned())),
        }
    }

    fn judge_manifests(&self, older: usize, newer: usize) -> Result<(Verdict, String), String> {
        let manifest = |at: usize| self.manifests.get(at).ok_or("there is no such manifest");
        let contradiction = contradicts(manifest(older)?, manifest(newer)?);
        let what = contradiction.ok_or("the second may follow the first")?;
        Ok((Verdict::Proven, format!("both are signed by the vendor's root key: {what}")))
    }

    fn judge_statement(
        &self,
        statement: &str,
        receipts: &[usize],
    ) -> Result<(Verdict, String), String> {
        let bytes = decode_base64url(statement).ok_or("the statement is not base64url")?;
        let signed = SignedStatement::decode(&bytes).map_err(|error| error.to_string())?;
        let statement =
            signed.verify(self.keys.receipt_keys()).map_err(|error| error.to_string())?;
        let ours = statement.vendor_id == self.keys.vendor_id()
            && statement.operator_id == OperatorId::of(&self.operator_key);
        if !ours {
            return Err("the statement is between others".to_owned());
        }
        let mut open = None;
        for fault in arithmetic(statement, |number| self.contracts.get(&number)) {
            match fault {
                StatementFault::Settlement(SettlementError::NoContract { contract }) => {
                    open = Some(format!(
                        "the statement has lines of contract {contract}, which the file does not have: the vendor has to \
                         show that it is in the ledger"
                    ));
                }
                other => return Ok((Verdict::Proven, format!("it contradicts itself: {other}"))),
            }
        }
        if let Some(reason) = self.says_too_little(statement, receipts)? {
            return Ok((Verdict::Proven, reason));
        }
        let reason = "the vendor has to show the leaves, with proofs, that the statement rests on";
        Ok((Verdict::Open, open.unwrap_or_else(|| reason.to_owned())))
    }

    /// Whether these receipts have more certificates of an epoch and denomination in the statement's range than all of its lines:
    /// whichever contract was in force, some are missing.
    fn says_too_little(
        &self,
        statement: &Statement,
        receipts: &[usize],
    ) -> Result<Option<String>, String> {
        let mut indexes: BTreeMap<(u32, Exponent), BTreeSet<u64>> = BTreeMap::new();
        for number in receipts {
            let receipt = self.receipt(*number)?;
            for (position, index) in &receipt.places {
                // The vendor credited it under this binding, which names the key: no other denomination has it.
                let sent = receipt.redemption(*position).ok_or(NOT_CREDITED)?;
                let line = line_of(&Leaf::Redemption(Box::new(sent)), &self.keys);
                if let Some(line) = line
                    && (statement.from..statement.until).contains(index)
                {
                    indexes.entry((line.epoch, line.exponent)).or_default().insert(*index);
                }
            }
        }
        for ((epoch, exponent), held) in indexes {
            let of = |line: &&scrip_protocol::ledger::EarnedLine| {
                (line.epoch, line.exponent) == (epoch, exponent)
            };
            let said = statement.earned.iter().filter(of).map(|line| line.certificates);
            let said = said.fold(0_u64, u64::saturating_add);
            if said < held.len() as u64 {
                return Ok(Some(format!(
                    "the vendor credited {} certificates of epoch {epoch} worth {} in leaves that the statement covers, and it \
                     says {said}",
                    held.len(),
                    exponent.value()
                )));
            }
        }
        Ok(None)
    }
}

const NOT_CREDITED: &str = "the receipt does not credit that position";
const OTHER_PLACE: &str = "the proof is of another place";

fn promised(index: u64) -> String {
    format!(
        "the vendor signed that leaf {index} is this redemption, and signed a ledger with another leaf there"
    )
}

/// What has to be looked at.
fn where_it_is(spend: &DoubleSpend) -> String {
    match spend.leaf() {
        Some(leaf) => format!(
            "leaf {leaf} tells, which the vendor shows to auditors: judge again with an auditor's token"
        ),
        None => {
            "an audit of the whole ledger tells, with this receipt: no leaf of a renewal is named"
                .to_owned()
        }
    }
}
