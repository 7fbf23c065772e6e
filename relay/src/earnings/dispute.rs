//! Dispute files: where the vendor's books differ, with what proves it. Whoever has one and the vendor's address can judge it, without
//! asking either side (ledger.md, "An operator's receipts").

mod look_up;
mod verify;

use std::collections::BTreeSet;

use scrip_protocol::{
    id::{VendorId, encode_base64url},
    keys::PublicKey,
    ledger::settlement::StatementFault,
    manifest::Manifest,
};
use serde::{Deserialize, Serialize};

pub use self::verify::{Judgement, Verdict, VerifyError, judge, verify};
use super::compare::{Checked, Difference};

/// The first member of every dispute file.
pub const FORMAT: &str = "scrip-dispute/v1";
/// Bytes of the largest file that is judged.
pub const MAX_DISPUTE: u64 = 1 << 30;

/// A dispute file. Binary values are base64url, notes and proofs are text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dispute {
    /// [`FORMAT`].
    pub format: String,
    /// The vendor.
    pub vendor_id: VendorId,
    /// The operator.
    pub operator_key: PublicKey,
    /// The vendor's signed manifests by which its signatures are verified: the newest, those that contradict it, and those by which
    /// days are good that it refused.
    pub manifests: Vec<String>,
    /// The checkpoint that the books were compared under.
    pub checkpoint: String,
    /// The operator's contracts.
    pub contracts: Vec<ProvenLeaf>,
    /// The receipts that the claims name, and those which show by which version of its manifest the vendor went on a day.
    pub receipts: Vec<String>,
    /// In what the books differ.
    pub claims: Vec<Claim>,
}

/// A leaf with its proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvenLeaf {
    /// The leaf.
    pub leaf: String,
    /// That it is in the ledger (C2SP `tlog-proof`).
    pub proof: String,
}

/// One thing in which the books differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Claim {
    /// Where a receipt says that a redemption lies, there is something else.
    Leaf {
        /// In words.
        what: String,
        /// Which receipt.
        receipt: usize,
        /// The position in its batch.
        position: usize,
        /// The hash that is there, base64 as in the proof.
        found: String,
        /// The leaf that is there, where the vendor showed it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        leaf: Option<String>,
        /// That it is there (C2SP `tlog-proof`).
        proof: String,
    },
    /// A certificate that the vendor called invalid or expired, and that verifies. The receipt and the manifest show it.
    Refused {
        /// In words.
        what: String,
        /// Which receipt.
        receipt: usize,
        /// The position in its batch.
        position: usize,
    },
    /// A certificate that the vendor called double spent.
    DoubleSpent {
        /// In words.
        what: String,
        /// Which receipt.
        receipt: usize,
        /// The position in its batch.
        position: usize,
        /// The leaf that the outcome names for the use that was recorded first. Without it somebody has to look who may read the
        /// ledger.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        winner: Option<ProvenLeaf>,
    },
    /// Two histories.
    Histories {
        /// In words.
        what: String,
        /// A signed checkpoint.
        older: String,
        /// Another one, at least as large.
        newer: String,
        /// The hashes of the subtrees, base64; none where the sizes are equal.
        hashes: Vec<String>,
    },
    /// A statement that says something else than the ledger.
    Statement {
        /// In words.
        what: String,
        /// The signed statement.
        statement: String,
        /// The receipts whose leaves it covers, of the lines that it says too little of.
        receipts: Vec<usize>,
    },
    /// Two manifests of which the vendor may not have signed both.
    Manifests {
        /// In words.
        what: String,
        /// The first, as a number of [`Dispute::manifests`].
        older: usize,
        /// The second.
        newer: usize,
    },
    /// What the vendor has to answer, and cannot be judged by this file alone.
    Asks {
        /// In words.
        what: String,
    },
}

impl Claim {
    /// In words.
    pub fn what(&self) -> &str {
        match self {
            Self::Leaf { what, .. }
            | Self::Refused { what, .. }
            | Self::DoubleSpent { what, .. }
            | Self::Histories { what, .. }
            | Self::Statement { what, .. }
            | Self::Manifests { what, .. }
            | Self::Asks { what } => what,
        }
    }
}

impl Dispute {
    /// Parses a file. Nothing in it is judged yet.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn parse(file: &[u8]) -> Result<Self, VerifyError> {
        let dispute: Self = serde_json::from_slice(file)?;
        if dispute.format == FORMAT {
            Ok(dispute)
        } else {
            Err(VerifyError::Format(dispute.format))
        }
    }

    /// The file of everything in which the books differ, and of what only somebody else can look at.
    pub fn of(checked: &Checked) -> Self {
        let mut numbers: Vec<usize> = Vec::new();
        let mut claims = Vec::new();
        let shown_by = shown_by(checked);
        let manifests: Vec<&Manifest> = checked.keys.needed_with(&shown_by);
        for difference in &checked.differences {
            let what = in_words(checked, difference);
            let mut number = |receipt: usize| number_in(&mut numbers, receipt);
            claims.push(match difference {
                Difference::Refused { receipt, position, stood, .. } => {
                    let receipt = number(*receipt);
                    stood.iter().for_each(|stood| _ = number(*stood));
                    Claim::Refused { what, receipt, position: *position }
                }
                Difference::NoDoubleSpend { receipt, position, leaf, .. } => Claim::DoubleSpent {
                    what,
                    receipt: number(*receipt),
                    position: *position,
                    winner: leaf.as_ref().map(|(leaf, proof)| ProvenLeaf {
                        leaf: encode_base64url(leaf),
                        proof: proof.encode(),
                    }),
                },
                Difference::LeafDiffers { receipt, position, found, leaf, proof } => Claim::Leaf {
                    what,
                    receipt: number(*receipt),
                    position: *position,
                    found: found.to_string(),
                    leaf: leaf.as_deref().map(encode_base64url),
                    proof: proof.encode(),
                },
                Difference::TwoHistories { older, proof } => Claim::Histories {
                    what,
                    older: older.note().encode(),
                    newer: checked.checkpoint.note().encode(),
                    hashes: proof.0.iter().map(ToString::to_string).collect(),
                },
                Difference::Statement { statement, fault } => {
                    let Some(placed) = checked.statements.get(*statement) else { continue };
                    let receipts = match says_too_little(fault) {
                        true => covered(checked, *statement, fault),
                        false => BTreeSet::new(),
                    };
                    Claim::Statement {
                        what,
                        statement: encode_base64url(placed.signed.bytes()),
                        receipts: receipts.into_iter().map(number).collect(),
                    }
                }
                Difference::Manifests { contradiction } => {
                    let at = |number: usize| {
                        let wanted = checked.keys.manifests()[number].digest();
                        manifests
                            .iter()
                            .position(|one| one.digest() == wanted)
                            .unwrap_or(usize::MAX)
                    };
                    let (older, newer) = (at(contradiction.older), at(contradiction.newer));
                    Claim::Manifests { what, older, newer }
                }
                _ => Claim::Asks { what },
            });
        }
        for (receipt, position) in &checked.unseen {
            let receipt = number_in(&mut numbers, *receipt);
            let (what, winner) = (UNSEEN.to_owned(), None);
            claims.push(Claim::DoubleSpent { what, receipt, position: *position, winner });
        }
        let receipt = |number: &usize| encode_base64url(&checked.receipts[*number].encode());
        Self {
            format: FORMAT.to_owned(),
            vendor_id: checked.vendor_id,
            operator_key: checked.operator_key,
            manifests: manifests.iter().map(|one| encode_base64url(one.bytes())).collect(),
            checkpoint: checked.checkpoint.note().encode(),
            contracts: checked
                .contracts
                .iter()
                .map(|placed| ProvenLeaf {
                    leaf: encode_base64url(&placed.leaf),
                    proof: placed.proof.encode(),
                })
                .collect(),
            receipts: numbers.iter().map(receipt).collect(),
            claims,
        }
    }

    /// The file's text.
    pub fn to_json(&self) -> String {
        // Text, numbers and lists of them always are JSON.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

/// What is claimed of a double spend that the operator could not look at.
const UNSEEN: &str =
    "the vendor called a certificate double spent; whether it was used before, the ledger tells";

/// The versions of the manifest by which days are good that the vendor refused.
fn shown_by(checked: &Checked) -> BTreeSet<u64> {
    let version = |difference: &Difference| match difference {
        Difference::Refused { manifest, .. } => Some(*manifest),
        _ => None,
    };
    checked.differences.iter().filter_map(version).collect()
}

/// The number that a receipt has in the file.
fn number_in(numbers: &mut Vec<usize>, receipt: usize) -> usize {
    numbers.iter().position(|one| *one == receipt).unwrap_or_else(|| {
        numbers.push(receipt);
        numbers.len() - 1
    })
}

fn says_too_little(fault: &StatementFault) -> bool {
    matches!(fault, StatementFault::Earned { said, expected, .. } if said < expected)
}

/// The receipts with leaves of this line that a statement covers. Lines of all contracts: which one was in force is for whoever judges.
fn covered(checked: &Checked, statement: usize, fault: &StatementFault) -> BTreeSet<usize> {
    let StatementFault::Earned { line, .. } = fault else { return BTreeSet::new() };
    let Some(statement) = checked.statement(statement) else { return BTreeSet::new() };
    let range = statement.from..statement.until;
    let matching = checked.places.iter().filter(|(_, index, of)| {
        range.contains(index) && (of.epoch, of.exponent) == (line.epoch, line.exponent)
    });
    matching.map(|(receipt, _, _)| *receipt).collect()
}

/// A difference, for people.
pub fn in_words(checked: &Checked, difference: &Difference) -> String {
    let number = |statement: &usize| match checked.statement(*statement) {
        Some(statement) => format!("statement {}", statement.number),
        None => "a statement".to_owned(),
    };
    match difference {
        Difference::LeafDiffers { proof, .. } => format!(
            "the vendor credited a redemption and said that it is leaf {}; another leaf is there",
            proof.index
        ),
        Difference::Refused { .. } => {
            "the vendor called a certificate invalid or expired, and it verifies".to_owned()
        }
        Difference::NoDoubleSpend { why, .. } => {
            format!("the vendor called a certificate double spent, and it was not: {why}")
        }
        Difference::TwoHistories { older, .. } => format!(
            "the vendor has signed two histories: the ledger of {} leaves that it signed in an answer is not the beginning of \
             the one of {} leaves that it shows",
            older.checkpoint().size,
            checked.checkpoint.checkpoint().size
        ),
        Difference::Shrunk { signed } => format!(
            "the vendor shows a ledger of {} leaves, and has signed one of {}",
            checked.checkpoint.checkpoint().size,
            signed.checkpoint().size
        ),
        Difference::Tiles { index } => {
            format!("the vendor's tiles do not lead from {index} to its checkpoint")
        }
        Difference::NotShown { index } => format!(
            "the vendor did not show the redemption at leaf {index}, which is in its ledger"
        ),
        Difference::NotThere { index } => {
            format!("the vendor showed something else as leaf {index} than what is in its ledger")
        }
        Difference::Leaf { index, what } => {
            format!("leaf {index} is not what it must be: {what}")
        }
        Difference::Statement { statement, fault } => {
            format!("{} is wrong: {fault}", number(statement))
        }
        Difference::Unsigned { statement } => {
            format!("{} is not signed by the vendor", number(statement))
        }
        Difference::Manifests { contradiction } => contradiction.what.clone(),
        Difference::Receipt { what } => {
            format!(
                "a receipt in this relay's database does not verify under any key that the vendor ever had: {what}; the database is \
                 damaged"
            )
        }
    }
}
