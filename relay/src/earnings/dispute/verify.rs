//! Judging a dispute file. Everything in it is somebody's claim until a signature of the vendor's stands for it.

use std::collections::{BTreeMap, BTreeSet};

use scrip_protocol::{
    credits::Exponent,
    id::{OperatorId, VendorId, decode_base64url},
    keys::PublicKey,
    ledger::{
        BatchReceipt, Contract, Leaf, Redemption, SignedStatement, Statement,
        fork::ForkProof,
        settlement::{SettlementError, StatementFault, arithmetic},
    },
    manifest::Manifest,
    tlog::{
        hash::{TreeHash, leaf_hash},
        note::{KeyName, VerifierKey},
        policy::WitnessPolicy,
        proof::LogProof,
    },
};
use serde::Serialize;

use super::{Claim, Dispute, FORMAT};
use crate::earnings::compare::{line_of, open_checkpoint, verified};

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
    /// Of each credited position: the index, and the leaf that must be there.
    leaves: BTreeMap<usize, (u64, Leaf)>,
}

/// What the claims of a file are judged by.
struct Judge {
    manifest: Manifest,
    operator_key: PublicKey,
    contracts: BTreeMap<u32, Contract>,
    receipts: Vec<Receipt>,
}

/// Judges the claims of a file by the vendor's address alone.
///
/// # Errors
/// [`VerifyError`] where the file as a whole is nothing to judge by.
pub fn verify(file: &[u8], vendor: &VendorId) -> Result<Vec<Judgement>, VerifyError> {
    let dispute: Dispute = serde_json::from_slice(file)?;
    if dispute.format != FORMAT {
        return Err(VerifyError::Format(dispute.format));
    }
    if dispute.vendor_id != *vendor {
        return Err(VerifyError::OtherVendor(dispute.vendor_id));
    }
    let manifest = decode_base64url(&dispute.manifest).unwrap_or_default();
    let manifest = Manifest::open(&manifest, vendor)
        .map_err(|error| VerifyError::Manifest(error.to_string()))?;
    let mut judge = Judge {
        manifest,
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
        let (batch, outcome, _) = verified(&receipt, &self.operator_key, &self.manifest)?;
        let operator_id = OperatorId::of(&self.operator_key);
        let leaf = |(position, index): (usize, u64)| {
            let item = batch.items.get(position)?.clone();
            Some((position, (index, Leaf::Redemption(Box::new(Redemption { operator_id, item })))))
        };
        self.receipts.push(Receipt { leaves: outcome.credited().filter_map(leaf).collect() });
        Ok(())
    }

    /// The index at which the vendor's ledger has this hash, by this proof.
    fn prove(&self, hash: &TreeHash, proof: &str) -> Result<u64, String> {
        let proof = LogProof::parse(proof.as_bytes()).map_err(|error| error.to_string())?;
        let vendor = self.manifest.vendor_id();
        let key = VerifierKey::of_ledger(&vendor, *self.manifest.receipt_key());
        let (origin, policy) = (KeyName::of_ledger(&vendor), WitnessPolicy::none());
        proof.verify(hash, &origin, [&key], &policy).map_err(|error| error.to_string())?;
        Ok(proof.index)
    }

    fn judge(&self, claim: &Claim) -> Judgement {
        let judged = match claim {
            Claim::Leaf { receipt, position, found, proof, .. } => {
                self.judge_leaf(*receipt, *position, found, proof)
            }
            Claim::Histories { older, newer, hashes, .. } => {
                self.judge_histories(older, newer, hashes)
            }
            Claim::Statement { statement, receipts, .. } => {
                self.judge_statement(statement, receipts)
            }
            Claim::Asks { .. } => Ok((Verdict::Open, "the vendor has to answer this".to_owned())),
        };
        let (verdict, reason) = judged.unwrap_or_else(|reason| (Verdict::Unfounded, reason));
        Judgement { verdict, claim: claim.what().to_owned(), reason }
    }

    fn judge_leaf(
        &self,
        receipt: usize,
        position: usize,
        found: &str,
        proof: &str,
    ) -> Result<(Verdict, String), String> {
        let receipt = self.receipts.get(receipt).ok_or("there is no such receipt")?;
        let (index, leaf) =
            receipt.leaves.get(&position).ok_or("the receipt does not credit that position")?;
        let found: TreeHash = found.parse().map_err(|_| "the hash does not parse")?;
        if self.prove(&found, proof)? != *index {
            return Err("the proof is of another place".to_owned());
        }
        if leaf.hash() == found {
            return Err("the leaf is where it should be".to_owned());
        }
        let reason = format!(
            "the vendor signed that leaf {index} is this redemption, and signed a ledger with another leaf there"
        );
        Ok((Verdict::Proven, reason))
    }

    fn judge_histories(
        &self,
        older: &str,
        newer: &str,
        hashes: &[String],
    ) -> Result<(Verdict, String), String> {
        let older = open_checkpoint(older.as_bytes(), &self.manifest)?;
        let newer = open_checkpoint(newer.as_bytes(), &self.manifest)?;
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

    fn judge_statement(
        &self,
        statement: &str,
        receipts: &[usize],
    ) -> Result<(Verdict, String), String> {
        let bytes = decode_base64url(statement).ok_or("the statement is not base64url")?;
        let signed = SignedStatement::decode(&bytes).map_err(|error| error.to_string())?;
        let statement =
            signed.verify(self.manifest.receipt_key()).map_err(|error| error.to_string())?;
        let ours = statement.vendor_id == self.manifest.vendor_id()
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
            let receipt = self.receipts.get(*number).ok_or("there is no such receipt")?;
            for (index, leaf) in receipt.leaves.values() {
                let line = line_of(leaf, &self.manifest);
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
