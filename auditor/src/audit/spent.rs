//! Whether a certificate counts twice: all certificate keys of the ledger, sorted on disk.

use std::{io, path::Path};

use scrip_protocol::{id::OperatorId, voided::Voided};

use crate::{
    finding::{Finding, FindingKind, Findings},
    sort::{Runs, Sorter},
};

/// Epoch, certificate key, index and operator, so that what is the same lies side by side.
const RECORD: usize = 4 + 32 + 8 + 4;
/// In the place of the operator: it was renewed.
const RENEWED: u32 = u32::MAX;

pub(super) struct SpentKeys {
    sorter: Sorter<RECORD>,
}

/// A certificate that came back, and the leaf that says so.
pub(super) struct VoidedKey {
    pub(super) key: [u8; 32],
    pub(super) index: u64,
    pub(super) what: Voided,
}

struct Record {
    epoch: u32,
    key: [u8; 32],
    index: u64,
    operator: u32,
}

impl SpentKeys {
    pub(super) fn open(directory: &Path, runs: Runs) -> Self {
        Self { sorter: Sorter::open(directory, "spent", runs) }
    }

    pub(super) fn add(
        &mut self,
        epoch: u32,
        key: &[u8; 32],
        index: u64,
        operator: Option<u32>,
    ) -> io::Result<()> {
        let operator = operator.unwrap_or(RENEWED);
        self.sorter.push(Record { epoch, key: *key, index, operator }.encode())
    }

    /// Makes what was added durable. [`Self::runs`] is then all of it.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.sorter.flush()
    }

    pub(super) fn runs(&self) -> &Runs {
        self.sorter.runs()
    }

    pub(super) fn remove_stale(&mut self) {
        self.sorter.remove_stale();
    }

    /// All certificates of an epoch, each once, in the order of their keys.
    pub(super) fn of_epoch(&mut self, epoch: u32) -> io::Result<Vec<VoidedKey>> {
        let mut found: Vec<VoidedKey> = Vec::new();
        for record in self.sorter.read()? {
            let Record { epoch: its, key, index, operator } = Record::decode(&record?);
            if its > epoch {
                break;
            }
            // What counts twice is found elsewhere.
            if its == epoch && found.last().is_none_or(|last| last.key != key) {
                let what = if operator == RENEWED { Voided::Renewed } else { Voided::Redeemed };
                found.push(VoidedKey { key, index, what });
            }
        }
        Ok(found)
    }

    /// Finds what counts twice, tells `renewed` of what was renewed, and leaves one sorted file, without the epochs that `is_over`: nothing of them may follow.
    pub(super) fn find_duplicates(
        &mut self,
        is_over: impl Fn(u32) -> bool,
        operator_id: impl Fn(u32) -> Option<OperatorId>,
        findings: &mut Findings,
        mut renewed: impl FnMut(u32, &[u8; 32]),
    ) -> io::Result<()> {
        let mut before: Option<Record> = None;
        let records = self.sorter.read()?.filter(|record| {
            let Ok(bytes) = record else { return true };
            let record = Record::decode(bytes);
            if record.operator == RENEWED {
                renewed(record.epoch, &record.key);
            }
            if let Some(before) = before.as_ref().filter(|before| before.is_same(&record)) {
                let detail = format!(
                    "this leaf has it {}; it was {} at leaf {} before (epoch {})",
                    record.how(&operator_id),
                    before.how(&operator_id),
                    before.index,
                    record.epoch
                );
                let mut finding = Finding::new(FindingKind::Duplicate, detail).at(record.index);
                finding.operator = operator_id(record.operator);
                findings.add(finding);
            }
            let keep = !is_over(record.epoch);
            before = Some(record);
            keep
        });
        self.sorter.replace(records)
    }
}

impl Record {
    fn encode(&self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        bytes[..4].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[4..36].copy_from_slice(&self.key);
        bytes[36..44].copy_from_slice(&self.index.to_be_bytes());
        bytes[44..].copy_from_slice(&self.operator.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8; RECORD]) -> Self {
        let number = |from: usize, to: usize| {
            bytes[from..to].iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
        };
        let mut key = [0; 32];
        key.copy_from_slice(&bytes[4..36]);
        let (epoch, operator) = (number(0, 4) as u32, number(44, 48) as u32);
        Self { epoch, key, index: number(36, 44), operator }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.epoch == other.epoch && self.key == other.key
    }

    fn how(&self, operator_id: impl Fn(u32) -> Option<OperatorId>) -> String {
        match operator_id(self.operator) {
            Some(id) => format!("redeemed by {id}"),
            None => "renewed".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_counts_once_in_an_epoch_also_after_the_state_was_opened_again() {
        let directory = tempfile::tempdir().unwrap();
        let id = |number: u32| (number < 9).then(|| OperatorId::from_bytes([number as u8; 32]));
        let mut spent = SpentKeys::open(directory.path(), Runs::default());
        spent.add(1, &[5; 32], 10, Some(0)).unwrap();
        spent.add(2, &[5; 32], 11, Some(0)).unwrap();
        spent.add(3, &[5; 32], 12, Some(0)).unwrap();
        let mut findings = Findings::default();
        spent.find_duplicates(|epoch| epoch == 3, id, &mut findings, |_, _| panic!()).unwrap();
        assert!(findings.is_empty(), "the same key in another epoch is another certificate");
        let runs = spent.runs().clone();
        let mut spent = SpentKeys::open(directory.path(), runs);
        spent.add(1, &[5; 32], 20, Some(1)).unwrap();
        spent.add(2, &[5; 32], 21, None).unwrap();
        spent.add(3, &[5; 32], 22, None).unwrap();
        let mut renewed = Vec::new();
        let note = |epoch, key: &[u8; 32]| renewed.push((epoch, *key));
        spent.find_duplicates(|_| false, id, &mut findings, note).unwrap();
        assert_eq!(renewed, [(2, [5; 32]), (3, [5; 32])]);
        let found: Vec<_> = findings.kept().iter().map(|one| (one.index, one.operator)).collect();
        assert_eq!(found, [(Some(20), id(1)), (Some(21), None)], "epoch 3 was over");
        assert!(findings.kept()[0].detail.contains("at leaf 10"));
    }
}
