//! Public commitments that wait for the private leaves that they speak for.

use std::collections::BTreeMap;

use scrip_protocol::{
    ledger::{CommitmentKind, ValueCommitment},
    tlog::hash::TreeHash,
};
use serde::{Deserialize, Serialize};

use super::Place;
use crate::{
    audit::pairs,
    finding::{Finding, FindingKind, Findings},
};

/// Commitments that can wait at once: far more than one round of the sequencer has. An older one speaks for nothing.
const MOST_OPEN: usize = 1 << 16;

type Key = (TreeHash, u8, u32);

#[derive(Default, Serialize, Deserialize)]
pub(super) struct Commitments {
    /// The leaf of each commitment, and the commitment, by what it speaks for.
    #[serde(with = "pairs")]
    open: BTreeMap<Key, (u64, [u8; 32])>,
    #[serde(with = "pairs")]
    by_age: BTreeMap<u64, Key>,
}

impl Commitments {
    pub(super) fn open(&mut self, index: u64, one: &ValueCommitment, findings: &mut Findings) {
        let key = (one.leaf_hash, one.kind.code(), one.epoch);
        if let Some((earlier, _)) = self.open.insert(key, (index, one.commitment)) {
            self.by_age.remove(&earlier);
            findings.add(orphan(earlier));
        }
        self.by_age.insert(index, key);
        if self.by_age.len() > MOST_OPEN
            && let Some((oldest, key)) = self.by_age.pop_first()
        {
            self.open.remove(&key);
            findings.add(orphan(oldest));
        }
    }

    /// Takes the commitment to the leaf at `place`, which opens to `opened`.
    pub(super) fn close(
        &mut self,
        place: &Place<'_>,
        kind: CommitmentKind,
        epoch: u32,
        opened: Option<[u8; 32]>,
        findings: &mut Findings,
    ) {
        let Some((at, commitment)) = self.open.remove(&(place.hash, kind.code(), epoch)) else {
            let detail = format!("no commitment of epoch {epoch} in front of it speaks for it");
            let finding = Finding::new(FindingKind::CommitmentMissing, detail);
            findings.add(finding.at(place.index));
            return;
        };
        self.by_age.remove(&at);
        if opened != Some(commitment) {
            let detail = format!(
                "the leaf {} that it speaks for has another value or another blinding (epoch {epoch})",
                place.index
            );
            findings.add(Finding::new(FindingKind::CommitmentWrong, detail).at(at));
        }
    }

    pub(super) fn finish(&self, findings: &mut Findings) {
        self.by_age.keys().for_each(|at| findings.add(orphan(*at)));
    }
}

fn orphan(index: u64) -> Finding {
    let detail = "no leaf after it has the hash, kind and epoch that it names";
    Finding::new(FindingKind::CommitmentOrphan, detail).at(index)
}
