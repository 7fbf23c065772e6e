//! What an audit remembers, so that it goes on where it was, and the next one where this one ended.
//!
//! The files in the state's directory only grow, or are new, until `audit.json` is replaced in one step; it says how much of them counts. An audit
//! that is killed at any moment leaves either the state before or the one after, and perhaps files that are overwritten.

use std::{
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use scrip_protocol::id::VendorId;
use scrip_runtime::files::{create_private_dir, replace_atomically};
use serde::{Deserialize, Serialize};

use super::{
    AuditError,
    accounts::Accounts,
    earned::{Earned, Extent},
    lists::Lists,
    missing::Missing,
    spent::SpentKeys,
    tree::Tree,
};
use crate::{finding::Findings, sort::Runs};

const FORMAT: u32 = 3;
const FILE: &str = "audit.json";

/// Everything that follows from the leaves so far.
pub(super) struct Books {
    pub(super) tree: Tree,
    pub(super) accounts: Accounts,
    /// What is wrong with leaves that were read.
    pub(super) findings: Findings,
    pub(super) spent: SpentKeys,
    pub(super) earned: Earned,
    pub(super) lists: Lists,
    /// Public bundles that are not there.
    pub(super) missing_public: Missing,
    /// The checkpoint of the last audit that came to its end.
    pub(super) audited: Option<String>,
}

#[derive(Serialize)]
struct Saving<'a> {
    format: u32,
    vendor: VendorId,
    tree: &'a Tree,
    accounts: &'a Accounts,
    findings: &'a Findings,
    spent: &'a Runs,
    earned: &'a [Extent],
    lists: &'a Lists,
    missing_public: &'a Missing,
    audited: &'a Option<String>,
}

#[derive(Deserialize)]
struct Saved {
    format: u32,
    vendor: VendorId,
    tree: Tree,
    accounts: Accounts,
    findings: Findings,
    spent: Runs,
    earned: Vec<Extent>,
    lists: Lists,
    missing_public: Missing,
    audited: Option<String>,
}

/// The directory of an audit.
pub(super) struct State {
    path: PathBuf,
    vendor: VendorId,
    /// Held as long as the audit runs; where nobody named a directory, it goes with it.
    _lock: File,
    temporary: Option<tempfile::TempDir>,
}

impl State {
    /// Opens the state in `directory`, or a temporary one that is removed at the end.
    pub(super) fn open(
        directory: Option<&Path>,
        vendor: VendorId,
    ) -> Result<(Self, Books), AuditError> {
        let (path, temporary) = match directory {
            Some(path) => (path.to_owned(), None),
            None => {
                let temporary = tempfile::Builder::new().prefix("scrip-audit-").tempdir();
                let temporary = temporary.map_err(AuditError::State)?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        create_private_dir(&path)?;
        let lock = File::create(path.join("lock")).map_err(AuditError::State)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(AuditError::Busy { path }),
            Err(TryLockError::Error(error)) => return Err(AuditError::State(error)),
        }
        let state = Self { path, vendor, _lock: lock, temporary };
        let books = state.load()?;
        Ok((state, books))
    }

    /// Where files of the audit may lie.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn load(&self) -> Result<Books, AuditError> {
        let file = self.path.join(FILE);
        let bytes = match std::fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.empty(),
            Err(error) => return Err(AuditError::State(error)),
        };
        let unusable = |reason: String| AuditError::BadState { path: file.clone(), reason };
        let saved: Saved =
            serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))?;
        if saved.format != FORMAT {
            return Err(unusable(format!("it has the format {}", saved.format)));
        }
        if saved.vendor != self.vendor {
            return Err(AuditError::StateOfOther { path: self.path.clone(), vendor: saved.vendor });
        }
        let Saved {
            tree, accounts, findings, spent, earned, lists, missing_public, audited, ..
        } = saved;
        let spent = SpentKeys::open(&self.path, spent);
        let earned =
            Earned::open(&self.path, earned).map_err(|error| unusable(error.to_string()))?;
        Ok(Books { tree, accounts, findings, spent, earned, lists, missing_public, audited })
    }

    fn empty(&self) -> Result<Books, AuditError> {
        Ok(Books {
            tree: Tree::new(),
            accounts: Accounts::new(self.vendor),
            findings: Findings::default(),
            spent: SpentKeys::open(&self.path, Runs::default()),
            earned: Earned::open(&self.path, Vec::new()).map_err(AuditError::State)?,
            lists: Lists::default(),
            missing_public: Missing::default(),
            audited: None,
        })
    }

    /// Makes the books durable. Where nobody named a directory there is nothing to come back to.
    pub(super) fn save(&self, books: &mut Books) -> Result<(), AuditError> {
        if self.temporary.is_some() {
            return Ok(());
        }
        books.spent.flush().map_err(AuditError::State)?;
        books.earned.flush(true).map_err(AuditError::State)?;
        let saving = Saving {
            format: FORMAT,
            vendor: self.vendor,
            tree: &books.tree,
            accounts: &books.accounts,
            findings: &books.findings,
            spent: books.spent.runs(),
            earned: books.earned.extents(),
            lists: &books.lists,
            missing_public: &books.missing_public,
            audited: &books.audited,
        };
        let bytes = serde_json::to_vec(&saving).map_err(|error| AuditError::State(error.into()))?;
        replace_atomically(&self.path.join(FILE), &bytes)?;
        books.spent.remove_stale();
        Ok(())
    }

    /// Forgets what followed from the leaves, and keeps the checkpoint of the last audit: what was read is not what was signed, or
    /// not what was signed before.
    pub(super) fn start_again(&self, audited: Option<String>) -> Result<(), AuditError> {
        let mut books = self.empty()?;
        books.audited = audited;
        self.save(&mut books)
    }
}
