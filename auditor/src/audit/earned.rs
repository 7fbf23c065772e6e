//! What operators earned and resold since their last statements, on disk: a statement says itself up to where it covers the
//! ledger, and that is known only when it is read, perhaps a million redemptions later.
//!
//! One file for each operator, to which records are added in the order of the ledger. A statement reads on from where the one
//! before ended, so that each record is read once.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

const RECORD: usize = 29;
/// Bytes that are held for all operators before they are written.
const HELD: usize = 4 << 20;

/// How far an operator's file goes.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Extent {
    written: u64,
    read: u64,
}

/// One entry of an operator's account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Earned { contract: u32, epoch: u32, exponent: u8 },
    Resold { contract: u32, purchases: u64, credits: u64 },
}

/// The lines that a statement must have.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    /// Certificates by contract, epoch and exponent.
    pub(super) earned: BTreeMap<(u32, u32, u8), u64>,
    /// Purchases and credits by contract.
    pub(super) resold: BTreeMap<u32, (u64, u64)>,
}

pub(super) struct Earned {
    directory: PathBuf,
    extents: Vec<Extent>,
    held: Vec<Vec<u8>>,
    /// Of each file, whether something was written that may not be on the disk yet.
    unsynced: Vec<bool>,
    bytes: usize,
}

impl Earned {
    /// The files in `directory`, which exists, as far as `extents` says: what was written after that is forgotten.
    pub(super) fn open(directory: &Path, extents: Vec<Extent>) -> io::Result<Self> {
        let (held, unsynced) = (vec![Vec::new(); extents.len()], vec![false; extents.len()]);
        let earned = Self { directory: directory.to_owned(), extents, held, unsynced, bytes: 0 };
        for (operator, extent) in earned.extents.iter().enumerate() {
            if extent.written > 0 {
                let file = OpenOptions::new().write(true).open(earned.path(operator))?;
                if file.metadata()?.len() < extent.written {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is cut short"));
                }
                file.set_len(extent.written)?;
            }
        }
        Ok(earned)
    }

    fn path(&self, operator: usize) -> PathBuf {
        self.directory.join(format!("earned-{operator}.log"))
    }

    pub(super) fn add(&mut self, operator: u32, index: u64, entry: Entry) -> io::Result<()> {
        let operator = operator as usize;
        if self.held.len() <= operator {
            self.held.resize(operator + 1, Vec::new());
            self.extents.resize(operator + 1, Extent::default());
            self.unsynced.resize(operator + 1, false);
        }
        self.held[operator].extend_from_slice(&encode(index, entry));
        self.bytes += RECORD;
        if self.bytes >= HELD { self.flush(false) } else { Ok(()) }
    }

    /// Writes what is held; durably where `sync` says so. What could not be written is still held.
    pub(super) fn flush(&mut self, sync: bool) -> io::Result<()> {
        for operator in 0..self.held.len() {
            self.flush_one(operator, sync)?;
        }
        self.bytes = 0;
        Ok(())
    }

    fn flush_one(&mut self, operator: usize, sync: bool) -> io::Result<()> {
        if self.held[operator].is_empty() && !(sync && self.unsynced[operator]) {
            return Ok(());
        }
        let path = self.path(operator);
        let extent = &mut self.extents[operator];
        // What lies beyond is of an audit that never saved its state, or of a write that failed.
        let mut file = OpenOptions::new();
        let file = file.write(true).create(extent.written == 0).truncate(extent.written == 0);
        let mut file = file.open(path)?;
        file.set_len(extent.written)?;
        file.seek(SeekFrom::End(0))?;
        let held = &mut self.held[operator];
        file.write_all(held)?;
        if sync {
            file.sync_data()?;
        }
        self.unsynced[operator] = !sync;
        extent.written += held.len() as u64;
        *held = Vec::new();
        Ok(())
    }

    /// What to save after [`Self::flush`].
    pub(super) fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// The lines of everything that is not covered yet, up to the leaf `until`.
    pub(super) fn take_until(&mut self, operator: u32, until: u64) -> io::Result<Lines> {
        let operator = operator as usize;
        let mut lines = Lines::default();
        if operator >= self.held.len() {
            return Ok(lines);
        }
        self.flush_one(operator, false)?;
        let path = self.path(operator);
        let extent = &mut self.extents[operator];
        if extent.written == extent.read {
            return Ok(lines);
        }
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(extent.read))?;
        let mut file = BufReader::with_capacity(1 << 16, file);
        while extent.read < extent.written {
            let mut record = [0; RECORD];
            file.read_exact(&mut record)?;
            let (index, entry) = decode(&record);
            if index >= until {
                break;
            }
            lines.add(entry);
            extent.read += RECORD as u64;
        }
        Ok(lines)
    }
}

impl Lines {
    fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Earned { contract, epoch, exponent } => {
                *self.earned.entry((contract, epoch, exponent)).or_default() += 1;
            }
            Entry::Resold { contract, purchases, credits } => {
                let sum = self.resold.entry(contract).or_default();
                sum.0 = sum.0.saturating_add(purchases);
                sum.1 = sum.1.saturating_add(credits);
            }
        }
    }
}

fn encode(index: u64, entry: Entry) -> [u8; RECORD] {
    let (tag, contract, a, b) = match entry {
        Entry::Earned { contract, epoch, exponent } => (0, contract, epoch.into(), exponent.into()),
        Entry::Resold { contract, purchases, credits } => (1, contract, purchases, credits),
    };
    let mut record = [0; RECORD];
    record[0] = tag;
    record[1..9].copy_from_slice(&index.to_be_bytes());
    record[9..13].copy_from_slice(&contract.to_be_bytes());
    record[13..21].copy_from_slice(&u64::to_be_bytes(a));
    record[21..].copy_from_slice(&u64::to_be_bytes(b));
    record
}

fn decode(record: &[u8; RECORD]) -> (u64, Entry) {
    let number = |from: usize| {
        record[from..from + 8].iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
    };
    let (a, b) = (number(13), number(21));
    let contract = (number(9) >> 32) as u32;
    let entry = match record[0] {
        0 => Entry::Earned { contract, epoch: a as u32, exponent: b as u8 },
        _ => Entry::Resold { contract, purchases: a, credits: b },
    };
    (number(1), entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_where_a_file_cannot_be_written() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = Earned::open(directory.path(), Vec::new()).unwrap();
        std::fs::create_dir(files.path(0)).unwrap();
        files.add(0, 1, Entry::Earned { contract: 1, epoch: 7, exponent: 3 }).unwrap();
        files.flush(true).unwrap_err();
        assert!(files.take_until(0, 9).is_err());
        std::fs::remove_dir(files.path(0)).unwrap();
        // As a write leaves it that failed in its middle.
        std::fs::write(files.path(0), b"half a record").unwrap();
        assert_eq!(files.take_until(0, 9).unwrap().earned, BTreeMap::from([((1, 7, 3), 1)]));
    }

    #[test]
    fn records_are_read_once_and_those_that_were_not_saved_are_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let earned = |contract| Entry::Earned { contract, epoch: 7, exponent: 3 };
        let resold = Entry::Resold { contract: 9, purchases: u64::MAX, credits: 5 };
        let mut files = Earned::open(directory.path(), Vec::new()).unwrap();
        for index in 0..10 {
            files.add(1, index, earned(1)).unwrap();
        }
        files.add(1, 10, resold).unwrap();
        assert_eq!(decode(&encode(10, resold)), (10, resold));
        let first = files.take_until(1, 4).unwrap();
        assert_eq!(first.earned, BTreeMap::from([((1, 7, 3), 4)]));
        files.flush(true).unwrap();
        let saved = files.extents().to_vec();
        files.add(1, 11, earned(2)).unwrap();
        files.flush(true).unwrap();
        assert_eq!(files.take_until(0, 100).unwrap(), Lines::default());

        let mut files = Earned::open(directory.path(), saved).unwrap();
        let rest = files.take_until(1, 100).unwrap();
        assert_eq!(rest.earned, BTreeMap::from([((1, 7, 3), 6)]));
        assert_eq!(rest.resold, BTreeMap::from([(9, (u64::MAX, 5))]));
        assert_eq!(files.take_until(1, 100).unwrap(), Lines::default());
        files.add(1, 12, earned(3)).unwrap();
        assert_eq!(files.take_until(1, 100).unwrap().earned, BTreeMap::from([((3, 7, 3), 1)]));
    }
}
