//! What was shown before: the checkpoints that the ledger has to continue, which are the one that was given and the one of the last audit.

use scrip_protocol::{keys::PublicKey, tlog::hash::TreeHash};

use super::{
    AuditError, AuditOptions, ReadError, Shows,
    proofs::{Judgement, begins_with},
    state::Books,
};
use crate::{
    finding::{Finding, FindingKind, Findings},
    source::Ledger,
};

const NO_TILES: &str =
    "the hash tiles that would prove it are missing, or do not lead to the signed root";
const NO_ROOT: &str = "the hash tiles that would prove it are missing, or do not lead to the signed root, and nor do the leaves";

/// What is known of one earlier checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// The tiles prove that the ledger continues it.
    Proved,
    /// Leaves that are still to be read tell.
    Awaited,
    /// Whether the tree over the leaves that were read begins with it. It says something of the ledger only where that tree is the signed one.
    Told(bool),
    /// The leaves up to it are not read again, and the tiles do not say.
    Unknown,
}

struct Earlier {
    shows: Shows,
    standing: Standing,
}

/// The earlier checkpoints.
pub(super) struct History {
    earlier: Vec<Earlier>,
    unknown: Option<&'static str>,
}

impl History {
    /// Reads the checkpoint that was given and the one of the last audit. Neither stands in for the other.
    pub(super) fn read(
        options: &AuditOptions,
        books: &Books,
        keys: &[PublicKey],
    ) -> Result<Self, AuditError> {
        let mut earlier: Vec<Earlier> = Vec::new();
        let audited = books.audited.as_deref().map(str::as_bytes);
        for bytes in options.since.as_deref().into_iter().chain(audited) {
            let shows = Shows::read(bytes, &options.vendor).map_err(|error| AuditError::Since {
                reason: match error {
                    ReadError::Unreadable(reason) => reason,
                    ReadError::Other(found) => format!("it is of the ledger {found}"),
                },
            })?;
            if !keys.is_empty() && !shows.is_signed(&options.vendor, keys) {
                let reason = "no receipt key of the vendor signed it".to_owned();
                return Err(AuditError::Since { reason });
            }
            earlier.push(Earlier { shows, standing: Standing::Unknown });
        }
        Ok(Self { earlier, unknown: None })
    }

    /// The size of the earlier checkpoint: of the one that was given, if one was.
    pub(super) fn since(&self) -> Option<u64> {
        self.earlier.first().map(|one| one.shows.head.size)
    }

    /// Why it is not known whether the ledger continues what was shown before.
    pub(super) fn unknown(&self) -> Option<&'static str> {
        self.unknown
    }

    /// Whether the leaves that were read are not those of an earlier checkpoint.
    pub(super) fn is_refuted(&self) -> bool {
        self.earlier.iter().any(|one| one.standing == Standing::Told(false))
    }

    /// Whether the checkpoint that is shown may take the place of the earlier ones.
    pub(super) fn is_continued(&self) -> bool {
        let continued =
            |one: &Earlier| matches!(one.standing, Standing::Proved | Standing::Told(true));
        self.earlier.iter().all(continued)
    }

    /// Whether `now` continues each, as far as it can be known without the leaves, of which `read` were read before. A finding is the
    /// end of the audit: there is nothing to go on from.
    pub(super) async fn check(
        &mut self,
        ledger: &dyn Ledger,
        now: &Shows,
        read: u64,
    ) -> Result<Option<Finding>, AuditError> {
        if let Some(one) = self.earlier.iter().find(|one| now.head.size < one.shows.head.size) {
            return Ok(Some(shortened(&one.shows, now)));
        }
        if now.head.size < read {
            let detail = format!(
                "{read} leaves were read from it before, and now it says that it has {}",
                now.head.size
            );
            return Ok(Some(Finding::new(FindingKind::Shortened, detail).proved_by(&now.text)));
        }
        for one in &mut self.earlier {
            one.standing = match begins_with(ledger, &now.head, &one.shows.head).await? {
                Judgement::Holds => Standing::Proved,
                Judgement::Refuted => return Ok(Some(forked(&one.shows, now))),
                // The edge of the tree that was read before is a beginning of the signed tree where the leaves after it lead to
                // the signed root, and only there.
                Judgement::Unknown if one.shows.head.size >= read => Standing::Awaited,
                Judgement::Unknown => Standing::Unknown,
            };
        }
        if self.earlier.iter().any(|one| one.standing == Standing::Unknown) {
            self.unknown = Some(NO_TILES);
        }
        Ok(None)
    }

    /// Holds the tree over the leaves that were read against the checkpoints of its size.
    pub(super) fn see_tree(&mut self, size: u64, root: impl Fn() -> TreeHash) {
        for one in &mut self.earlier {
            if one.standing == Standing::Awaited && one.shows.head.size == size {
                one.standing = Standing::Told(one.shows.head.root == root());
            }
        }
    }

    /// The notes that contradict each other where the leaves are not those of the signed root.
    pub(super) fn evidence(&self, now: &Shows) -> Vec<String> {
        let open = self.earlier.iter().filter(|one| one.standing != Standing::Proved);
        let mut notes: Vec<String> = open.map(|one| one.shows.text.clone()).collect();
        if !notes.is_empty() {
            notes.push(now.text.clone());
        }
        notes.dedup();
        notes
    }

    /// What follows at the end, where the leaves that were read are those of the signed root (`genuine`) or are not.
    pub(super) fn finish(&mut self, genuine: bool, now: &Shows, findings: &mut Findings) {
        for one in &self.earlier {
            match one.standing {
                Standing::Told(false) if genuine => findings.add(forked(&one.shows, now)),
                Standing::Awaited | Standing::Told(_) if !genuine => self.unknown = Some(NO_ROOT),
                _ => {}
            }
        }
    }
}

fn shortened(since: &Shows, now: &Shows) -> Finding {
    let detail = format!(
        "the vendor signed a checkpoint of {} leaves before, and shows one of {} now",
        since.head.size, now.head.size
    );
    let finding = Finding::new(FindingKind::Shortened, detail);
    finding.proved_by(&since.text).proved_by(&now.text)
}

fn forked(since: &Shows, now: &Shows) -> Finding {
    let detail = format!(
        "the checkpoint of {} leaves that was shown before is not the beginning of the ledger of {} leaves that is shown now",
        since.head.size, now.head.size
    );
    let finding = Finding::new(FindingKind::Forked, detail);
    finding.proved_by(&since.text).proved_by(&now.text)
}
