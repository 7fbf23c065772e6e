//! Receipts that operators handed in: what the vendor answered to their batches (ledger.md, "An operator's receipts").

mod reading;

use std::{
    collections::BTreeMap,
    io,
    iter::Peekable,
    path::{Path, PathBuf},
};

use scrip_protocol::{
    id::{OperatorId, VendorId},
    ledger::{BatchReceipt, Leaf, Redemption},
    manifest::DenominationKey,
    redemption::RedemptionOutcome,
    spend::{Binding, SpendIdentity},
    time::Day,
    tlog::{
        hash::{TreeHash, leaf_hash},
        tile::{MAX_ENTRY_BUNDLE, TILE_WIDTH, TileKind, TilePath, Tiles},
    },
};
use sha2::{Digest, Sha256};

use self::reading::Untrue;
use super::{
    AuditError, KnownManifests,
    proofs::{Head, Judgement, begins_with, get_or_full, has_leaf, tiles_of_bundle},
    unit::{Spent, split_entries},
};
use crate::{
    finding::{Finding, FindingKind, Findings},
    sort::{Merge, Sorter},
    source::{Ledger, SourceError},
};

/// Index, kind, identity, operator, file, item.
const CLAIM: usize = 8 + 1 + 32 + 32 + 4 + 2;
/// Size, root, file.
const HEAD: usize = 8 + 32 + 4;

/// What receipts say, in the order of the ledger.
pub(super) struct Receipts {
    files: Vec<PathBuf>,
    manifests: KnownManifests,
    /// Renewals that won over certificates of operators and were not seen yet, by epoch and certificate key.
    renewals: BTreeMap<(u32, [u8; 32]), Vec<RenewalClaim>>,
    claims: Peekable<Merge<CLAIM>>,
    heads: Peekable<Merge<HEAD>>,
    pub(super) summary: Summary,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Summary {
    pub(super) files: u64,
    /// Certificates that the vendor said it credited.
    pub(super) certificates: u64,
    /// Of those, beyond the end of the ledger that was audited.
    pub(super) later: u64,
    /// What could not be checked, because tiles or manifests are missing, or its epoch has ended.
    pub(super) unknown: u64,
}

/// What the vendor said of a leaf.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    /// It is the redemption of an item that an operator sent.
    Credited,
    /// It is the use that won over the item.
    Winner,
}

/// That the vendor said that a certificate is at a leaf.
#[derive(Clone, Copy)]
struct Claim {
    index: u64,
    said: Said,
    identity: [u8; 32],
    operator: OperatorId,
    file: u32,
    item: u16,
}

/// That the vendor said that a certificate was renewed on a day.
struct RenewalClaim {
    day: Day,
    operator: OperatorId,
    file: u32,
    item: u16,
}

#[derive(Clone, Copy)]
struct ClaimedHead {
    head: Head,
    file: u32,
}

/// [`SpendIdentity`], in less bytes to be sorted.
fn credited(identity: &SpendIdentity) -> [u8; 32] {
    let mut sha = Sha256::new();
    sha.update(identity.certificate_key);
    sha.update(identity.key_id.as_bytes());
    sha.update(identity.binding.as_bytes());
    sha.finalize().into()
}

/// What a double spend shows of the use that won. Which key signed that certificate it does not show; its epoch is the item's.
fn winner(epoch: u32, certificate_key: &[u8; 32], binding: &Binding) -> [u8; 32] {
    let mut sha = Sha256::new();
    sha.update(epoch.to_be_bytes());
    sha.update(certificate_key);
    sha.update(binding.as_bytes());
    sha.finalize().into()
}

impl Claim {
    /// Whether a redemption is what the vendor said that it is. `epoch` is that of its key.
    fn is_of(&self, identity: &SpendIdentity, epoch: Option<u32>) -> bool {
        let found = match self.said {
            Said::Credited => Some(credited(identity)),
            Said::Winner => {
                epoch.map(|epoch| winner(epoch, &identity.certificate_key, &identity.binding))
            }
        };
        found == Some(self.identity)
    }
}

impl Receipts {
    /// Reads all receipts of `directory`, and sorts what they say in `work`.
    pub(super) fn read(
        directory: &Path,
        vendor: &VendorId,
        mut manifests: KnownManifests,
        work: &Path,
        findings: &mut Findings,
    ) -> Result<Self, AuditError> {
        let failed = |source| AuditError::Receipts { path: directory.to_owned(), source };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == BatchReceipt::EXTENSION) {
                files.push(path);
            }
        }
        files.sort_unstable();
        let mut claims = Sorter::<CLAIM>::temporary(work, "claims");
        let mut heads = Sorter::<HEAD>::temporary(work, "heads");
        let mut summary = Summary { files: files.len() as u64, ..Summary::default() };
        let (mut renewals, mut refusing) = (BTreeMap::new(), Vec::new());
        for (number, path) in (0..).zip(&files) {
            let read = match reading::open(path, vendor, &manifests).map_err(failed)? {
                Ok(read) => read,
                Err(reason) => {
                    let detail = format!("{}: {reason}", path.display());
                    findings.add(Finding::new(FindingKind::ReceiptInvalid, detail));
                    continue;
                }
            };
            let operator = read.operator;
            for reading::Said { index, said, item, identity } in read.claims {
                let claim = Claim { index, said, identity, operator, file: number, item };
                claims.push(claim.encode()).map_err(AuditError::State)?;
                summary.certificates += u64::from(said == Said::Credited);
            }
            for reading::Renewed { name, item, day } in read.renewed {
                let claim = RenewalClaim { day, operator, file: number, item };
                renewals.entry(name).or_insert_with(Vec::new).push(claim);
            }
            manifests.history.stood(read.stood.0, read.stood.1);
            if read.refuses {
                refusing.push((path, operator));
            }
            for (item, untrue) in read.untrue {
                findings.add(untrue_finding(path, item, untrue).of(operator));
            }
            if let Some(head) = read.head {
                heads
                    .push(ClaimedHead { head, file: number }.encode())
                    .map_err(AuditError::State)?;
            }
        }
        // All of them are known by now: one receipt may show what was still good on a day that another takes back.
        for (path, operator) in refusing {
            let refused = reading::refused(path, vendor, &manifests).map_err(failed)?;
            summary.unknown += refused.unknown;
            for item in refused.untrue {
                let untrue = reading::Untrue::Refusal;
                findings.add(untrue_finding(path, item, untrue).of(operator));
            }
        }
        let claims = claims.read().map_err(AuditError::State)?.peekable();
        let heads = heads.read().map_err(AuditError::State)?.peekable();
        Ok(Self { files, manifests, renewals, claims, heads, summary })
    }

    /// The manifests that are known, with how long each stood by what receipts say.
    pub(super) const fn manifests(&self) -> &KnownManifests {
        &self.manifests
    }

    fn name(&self, file: u32) -> String {
        let path = self.files.get(file as usize);
        let name = path.and_then(|path| path.file_name()).unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// The checkpoint of a receipt, as it was signed.
    fn note(&self, file: u32) -> String {
        let read = || -> Option<Vec<u8>> {
            let receipt =
                BatchReceipt::decode(&std::fs::read(self.files.get(file as usize)?).ok()?);
            let outcome = receipt.ok()?.outcome;
            let open = |key| RedemptionOutcome::open(&outcome, key).ok();
            Some(self.manifests.receipt_keys.iter().find_map(open)?.checkpoint)
        };
        read().map_or_else(String::new, |note| String::from_utf8_lossy(&note).into_owned())
    }

    /// Checks what receipts say of leaves and trees before `start`, which are not read again.
    pub(super) async fn check_before(
        &mut self,
        start: u64,
        now: &Head,
        note: &str,
        ledger: &dyn Ledger,
        vendor: &VendorId,
        findings: &mut Findings,
    ) -> Result<(), AuditError> {
        while let Some(claimed) = self.next_head(|size| size < start)? {
            match begins_with(ledger, now, &claimed.head).await? {
                Judgement::Holds => {}
                Judgement::Refuted => findings.add(self.forked(&claimed, note)),
                Judgement::Unknown => self.summary.unknown += 1,
            }
        }
        let mut held: Option<(u64, Vec<Leaf>, Tiles)> = None;
        while let Some(claim) = self.next_claim(|index| index < start)? {
            let bundle = claim.index / TILE_WIDTH;
            if held.as_ref().is_none_or(|(number, ..)| *number != bundle) {
                let leaves = read_bundle(ledger, bundle, now.size).await?;
                held = Some((bundle, leaves, tiles_of_bundle(ledger, now, bundle).await?));
            }
            let Some((_, leaves, tiles)) = &held else { continue };
            let at = usize::try_from(claim.index % TILE_WIDTH).unwrap_or(usize::MAX);
            let leaf = leaves.get(at);
            if !leaf
                .is_some_and(|leaf| has_leaf(tiles, now, claim.index, &leaf_hash(&leaf.encode())))
            {
                self.summary.unknown += 1;
            } else if !matches!(leaf, Some(Leaf::Redemption(redemption)) if
                self.is_what_was_said(&claim, redemption, vendor))
            {
                findings.add(self.missing(&claim));
            }
        }
        Ok(())
    }

    /// Checks what receipts say of the tree of `size` leaves.
    pub(super) fn check_tree(
        &mut self,
        size: u64,
        root: impl Fn() -> TreeHash,
    ) -> Result<Vec<Forked>, AuditError> {
        let mut forked = Vec::new();
        while let Some(claimed) = self.next_head(|of| of <= size)? {
            if claimed.head.root != root() {
                forked.push(Forked(claimed));
            }
        }
        Ok(forked)
    }

    /// Checks what receipts say of the leaf at `index`.
    pub(super) fn check_leaf(
        &mut self,
        index: u64,
        spent: Option<&Spent>,
        findings: &mut Findings,
    ) -> Result<(), AuditError> {
        while let Some(claim) = self.next_claim(|of| of <= index)? {
            let redeemed = spent.filter(|spent| spent.operator.is_some());
            let epoch = |spent: &Spent| spent.key.map(|key| key.epoch);
            if !redeemed.is_some_and(|spent| claim.is_of(&spent.identity, epoch(spent))) {
                findings.add(self.missing(&claim));
            }
        }
        Ok(())
    }

    fn is_what_was_said(&self, claim: &Claim, there: &Redemption, vendor: &VendorId) -> bool {
        let newest = self.manifests.newest.as_ref();
        let key = newest.and_then(|manifest| manifest.key(&there.item.token.key_id));
        claim.is_of(&there.identity(vendor), key.map(DenominationKey::epoch))
    }

    /// A renewal that is in the ledger.
    pub(super) fn see_renewal(&mut self, epoch: u32, certificate_key: &[u8; 32]) {
        self.renewals.remove(&(epoch, *certificate_key));
    }

    /// Finds the renewals that the vendor named and that are not in the ledger, though their day was over long enough before
    /// `newest_day`, of which the ledger speaks. Of epochs that ended, earlier audits may not have kept them.
    pub(super) fn finish_renewals(
        &mut self,
        newest_day: Day,
        is_over: impl Fn(u32) -> bool,
        findings: &mut Findings,
    ) {
        for ((epoch, _), claims) in std::mem::take(&mut self.renewals) {
            for claim in claims {
                if is_over(epoch) {
                    self.summary.unknown += 1;
                } else if claim.day.0.saturating_add(2) <= newest_day.0 {
                    let detail = format!(
                        "item {} of the batch in {} was answered as renewed on {}, and no renewal of it is in the ledger",
                        claim.item,
                        self.name(claim.file),
                        claim.day
                    );
                    let finding = Finding::new(FindingKind::WinnerMissing, detail);
                    findings.add(finding.of(claim.operator));
                } else {
                    self.summary.later += 1;
                }
            }
        }
    }

    /// Counts what is beyond the end.
    pub(super) fn finish(&mut self) -> Result<(), AuditError> {
        while self.next_claim(|_| true)?.is_some() {
            self.summary.later += 1;
        }
        Ok(())
    }

    fn next_claim(&mut self, wanted: impl Fn(u64) -> bool) -> Result<Option<Claim>, AuditError> {
        let wanted = |one: &io::Result<[u8; CLAIM]>| match one {
            Ok(bytes) => wanted(Claim::decode(bytes).index),
            Err(_) => true,
        };
        let next = self.claims.next_if(wanted).transpose().map_err(AuditError::State)?;
        Ok(next.map(|bytes| Claim::decode(&bytes)))
    }

    fn next_head(
        &mut self,
        wanted: impl Fn(u64) -> bool,
    ) -> Result<Option<ClaimedHead>, AuditError> {
        let wanted = |one: &io::Result<[u8; HEAD]>| match one {
            Ok(bytes) => wanted(ClaimedHead::decode(bytes).head.size),
            Err(_) => true,
        };
        let next = self.heads.next_if(wanted).transpose().map_err(AuditError::State)?;
        Ok(next.map(|bytes| ClaimedHead::decode(&bytes)))
    }

    fn missing(&self, claim: &Claim) -> Finding {
        let (kind, answered) = match claim.said {
            Said::Credited => (FindingKind::ReceiptMissing, "answered with"),
            Said::Winner => (FindingKind::WinnerMissing, "answered as spent before, by"),
        };
        let detail = format!(
            "item {} of the batch in {} was {answered} leaf {}, and there lies something else",
            claim.item,
            self.name(claim.file),
            claim.index
        );
        Finding::new(kind, detail).at(claim.index).of(claim.operator)
    }

    /// The finding that the vendor signed a tree for a receipt that the audited one does not begin with.
    pub(super) fn fork_finding(&self, forked: &Forked, note: &str) -> Finding {
        self.forked(&forked.0, note)
    }

    fn forked(&self, claimed: &ClaimedHead, note: &str) -> Finding {
        let detail = format!(
            "the receipt {} has a signed checkpoint of {} leaves, with which this ledger does not begin",
            self.name(claimed.file),
            claimed.head.size
        );
        let finding = Finding::new(FindingKind::Forked, detail);
        finding.proved_by(self.note(claimed.file)).proved_by(note)
    }
}

/// The finding that a receipt itself shows the vendor wrong.
fn untrue_finding(path: &Path, item: u16, untrue: Untrue) -> Finding {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let (kind, what) = match untrue {
        Untrue::Refusal => {
            let what = "refused, and the certificate, its day and both signatures verify";
            (FindingKind::RefusalUntrue, what.to_owned())
        }
        Untrue::DoubleSpend(why) => {
            (FindingKind::WinnerMissing, format!("answered as spent before: {why}"))
        }
    };
    Finding::new(kind, format!("item {item} of the batch in {file} was {what}"))
}

/// A receipt's tree that is not that of the leaves that were read.
pub(super) struct Forked(ClaimedHead);

async fn read_bundle(
    ledger: &dyn Ledger,
    bundle: u64,
    size: u64,
) -> Result<Vec<Leaf>, SourceError> {
    let Some(path) = TilePath::at(TileKind::Entries, bundle, size) else { return Ok(Vec::new()) };
    let bytes = get_or_full(ledger, path, MAX_ENTRY_BUNDLE).await?;
    let bytes = bytes.map(|(bytes, _)| bytes).unwrap_or_default();
    let leaf = |entry: Option<&[u8]>| entry.and_then(|entry| Leaf::decode(entry).ok());
    // One that cannot be read stands for itself: it is no redemption.
    let or_cover = |entry| leaf(entry).unwrap_or(Leaf::Cover([0; 32]));
    Ok(split_entries(&bytes).into_iter().map(or_cover).collect())
}

impl Claim {
    fn encode(&self) -> [u8; CLAIM] {
        let mut bytes = [0; CLAIM];
        bytes[..8].copy_from_slice(&self.index.to_be_bytes());
        bytes[8] = u8::from(self.said == Said::Winner);
        bytes[9..41].copy_from_slice(&self.identity);
        bytes[41..73].copy_from_slice(self.operator.as_bytes());
        bytes[73..77].copy_from_slice(&self.file.to_be_bytes());
        bytes[77..].copy_from_slice(&self.item.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8; CLAIM]) -> Self {
        Self {
            index: number(&bytes[..8]),
            said: if bytes[8] == 0 { Said::Credited } else { Said::Winner },
            identity: array(&bytes[9..41]),
            operator: OperatorId::from_bytes(array(&bytes[41..73])),
            file: number(&bytes[73..77]) as u32,
            item: number(&bytes[77..]) as u16,
        }
    }
}

impl ClaimedHead {
    fn encode(&self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..8].copy_from_slice(&self.head.size.to_be_bytes());
        bytes[8..40].copy_from_slice(self.head.root.as_bytes());
        bytes[40..].copy_from_slice(&self.file.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEAD]) -> Self {
        let head =
            Head { size: number(&bytes[..8]), root: TreeHash::from_bytes(array(&bytes[8..40])) };
        Self { head, file: number(&bytes[40..]) as u32 }
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn array(bytes: &[u8]) -> [u8; 32] {
    let mut array = [0; 32];
    array.copy_from_slice(bytes);
    array
}
