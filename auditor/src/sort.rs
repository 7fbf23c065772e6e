//! Sorting more records than fit into memory: sorted runs on disk, merged when they are read.
//!
//! Records have a fixed size and sort as their bytes do. Memory is one run while writing ([`RUN_BYTES`]), and one buffer for each run
//! while reading; [`MOST_RUNS`] bounds how many there are. Nobody's choice of records makes it worse: runs are cut by number, not by value.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// Bytes of records that are held before they are written as a run.
const RUN_BYTES: usize = 32 << 20;
/// Bytes of the buffer of a run that is read.
const BUFFER: usize = 1 << 16;
/// Runs that are there at once; then the smaller half becomes one.
const MOST_RUNS: usize = 128;

/// A sorted file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    number: u64,
    records: u64,
}

/// What has to be remembered of a sorter to open it again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Runs {
    next: u64,
    runs: Vec<Run>,
}

/// Records of `N` bytes, to be read in order.
pub(crate) struct Sorter<const N: usize> {
    directory: PathBuf,
    name: &'static str,
    held: Vec<[u8; N]>,
    room: usize,
    /// Whether runs have to survive the machine.
    durable: bool,
    runs: Runs,
    /// Files that are no longer needed once the state that names their successors is saved.
    stale: Vec<u64>,
}

impl<const N: usize> Sorter<N> {
    /// A sorter with files called `name` in `directory`, which exists, and with the `runs` that were saved.
    pub(crate) fn open(directory: &Path, name: &'static str, runs: Runs) -> Self {
        let room = RUN_BYTES / N;
        let (held, stale) = (Vec::new(), Vec::new());
        Self { directory: directory.to_owned(), name, held, room, durable: true, runs, stale }
    }

    /// The same, for what need not outlive the process.
    pub(crate) fn temporary(directory: &Path, name: &'static str) -> Self {
        Self { durable: false, ..Self::open(directory, name, Runs::default()) }
    }

    /// Adds a record.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn push(&mut self, record: [u8; N]) -> io::Result<()> {
        if self.held.capacity() == 0 {
            self.held.reserve_exact(self.room);
        }
        self.held.push(record);
        if self.held.len() >= self.room { self.flush() } else { Ok(()) }
    }

    /// Writes what is held as a run, durably. What [`Self::runs`] says then is the whole. What could not be written is still held.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        self.held.sort_unstable();
        let number = self.runs.next;
        let all = self.held.iter().map(|record| Ok(*record));
        let records = write_run(&self.path(number), all, self.durable)?;
        self.held.clear();
        self.add(number, records);
        if self.runs.runs.len() >= MOST_RUNS { self.compact() } else { Ok(()) }
    }

    fn add(&mut self, number: u64, records: u64) {
        self.runs.next = number + 1;
        self.runs.runs.push(Run { number, records });
    }

    /// Makes one of the smaller half of the runs.
    fn compact(&mut self) -> io::Result<()> {
        self.runs.runs.sort_by_key(|run| Reverse(run.records));
        let number = self.runs.next;
        let merged = self.merge(&self.runs.runs[MOST_RUNS / 2..])?;
        let records = write_run(&self.path(number), merged, self.durable)?;
        let small = self.runs.runs.split_off(MOST_RUNS / 2);
        self.add(number, records);
        self.stale.extend(small.iter().map(|run| run.number));
        Ok(())
    }

    /// What to save. Everything that was pushed is in it only right after [`Self::flush`].
    pub(crate) fn runs(&self) -> &Runs {
        &self.runs
    }

    /// Removes files that [`Self::runs`] no longer names, after that was saved.
    pub(crate) fn remove_stale(&mut self) {
        for number in std::mem::take(&mut self.stale) {
            let _ = std::fs::remove_file(self.path(number)); // only space is lost where it stays
        }
    }

    /// All records in order.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn read(&mut self) -> io::Result<Merge<N>> {
        self.flush()?;
        self.held = Vec::new(); // its memory is worth more while reading
        self.merge(&self.runs.runs)
    }

    /// Replaces all runs by one with these records, which are in order.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn replace(
        &mut self,
        records: impl Iterator<Item = io::Result<[u8; N]>>,
    ) -> io::Result<()> {
        let number = self.runs.next;
        let records = write_run(&self.path(number), records, self.durable)?;
        self.stale.extend(self.runs.runs.drain(..).map(|run| run.number));
        self.add(number, records);
        Ok(())
    }

    fn merge(&self, runs: &[Run]) -> io::Result<Merge<N>> {
        let open = |run: &Run| {
            let file = File::open(self.path(run.number))?;
            Ok(RunReader { file: BufReader::with_capacity(BUFFER, file), left: run.records })
        };
        let mut readers = runs.iter().map(open).collect::<io::Result<Vec<_>>>()?;
        let mut heads = BinaryHeap::with_capacity(readers.len());
        for (at, reader) in readers.iter_mut().enumerate() {
            if let Some(record) = reader.next()? {
                heads.push(Reverse((record, at)));
            }
        }
        Ok(Merge { readers, heads })
    }

    fn path(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{}-{number}.run", self.name))
    }
}

fn write_run<const N: usize>(
    path: &Path,
    records: impl Iterator<Item = io::Result<[u8; N]>>,
    durable: bool,
) -> io::Result<u64> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut written = 0;
    for record in records {
        file.write_all(&record?)?;
        written += 1;
    }
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    if durable {
        file.sync_data()?;
    }
    Ok(written)
}

struct RunReader<const N: usize> {
    file: BufReader<File>,
    left: u64,
}

impl<const N: usize> RunReader<N> {
    fn next(&mut self) -> io::Result<Option<[u8; N]>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let mut record = [0; N];
        self.file.read_exact(&mut record)?;
        Ok(Some(record))
    }
}

/// The records of many runs, in order.
pub(crate) struct Merge<const N: usize> {
    readers: Vec<RunReader<N>>,
    heads: BinaryHeap<Reverse<([u8; N], usize)>>,
}

impl<const N: usize> Iterator for Merge<N> {
    type Item = io::Result<[u8; N]>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((record, at)) = self.heads.pop()?;
        match self.readers[at].next() {
            Ok(Some(next)) => self.heads.push(Reverse((next, at))),
            Ok(None) => {}
            Err(error) => return Some(Err(error)),
        }
        Some(Ok(record))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sorted(sorter: &mut Sorter<3>) -> Vec<[u8; 3]> {
        sorter.read().unwrap().collect::<io::Result<_>>().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn runs_merge_to_what_sorting_gives(
            mut records in proptest::collection::vec(any::<[u8; 3]>(), 0..2_000),
            room in 1_usize..40,
        ) {
            let directory = tempfile::tempdir().unwrap();
            let mut sorter = Sorter::<3>::temporary(directory.path(), "test");
            sorter.room = room; // up to 2,000 runs: they are compacted too
            for record in &records {
                sorter.push(*record).unwrap();
            }
            prop_assert!(sorter.runs.runs.len() <= MOST_RUNS);
            records.sort_unstable();
            prop_assert_eq!(sorted(&mut sorter), records);
        }
    }

    #[test]
    fn nothing_is_lost_where_a_run_cannot_be_written() {
        let directory = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::<3>::open(directory.path(), "test", Runs::default());
        let in_the_way = |number: usize| directory.path().join(format!("test-{number}.run"));
        std::fs::create_dir(in_the_way(0)).unwrap();
        sorter.push(*b"aaa").unwrap();
        sorter.flush().unwrap_err();
        std::fs::remove_dir(in_the_way(0)).unwrap();
        // The run that others are merged into.
        std::fs::create_dir(in_the_way(MOST_RUNS)).unwrap();
        for _ in 1..MOST_RUNS {
            sorter.flush().unwrap();
            sorter.push(*b"bbb").unwrap();
        }
        sorter.flush().unwrap_err();
        std::fs::remove_dir(in_the_way(MOST_RUNS)).unwrap();
        let all = sorted(&mut sorter);
        assert_eq!((all[0], all.len()), (*b"aaa", MOST_RUNS));
    }

    #[test]
    fn a_sorter_that_was_saved_is_opened_again_and_what_came_later_is_not_there() {
        let directory = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::<3>::open(directory.path(), "test", Runs::default());
        sorter.push(*b"bbb").unwrap();
        sorter.flush().unwrap();
        let saved = sorter.runs().clone();
        sorter.push(*b"aaa").unwrap();
        sorter.flush().unwrap();
        let mut again = Sorter::<3>::open(directory.path(), "test", saved);
        assert_eq!(sorted(&mut again), [*b"bbb"]);
        again.push(*b"ccc").unwrap();
        assert_eq!(
            sorted(&mut again),
            [*b"bbb", *b"ccc"],
            "a run that was not saved is overwritten"
        );
        again.replace([Ok(*b"ddd")].into_iter()).unwrap();
        again.remove_stale();
        assert_eq!(sorted(&mut again), [*b"ddd"]);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
