//! Receipts that operators handed in: what the vendor answered to their batches (ledger.md, "An operator's receipts").

use std::{
    io,
    iter::Peekable,
    path::{Path, PathBuf},
};

use scrip_protocol::{
    id::{OperatorId, VendorId},
    keys::PublicKey,
    ledger::{BatchReceipt, Leaf, MAX_BATCH_RECEIPT},
    redemption::{RedemptionOutcome, SignedBatch},
    spend::Binding,
    tlog::{
        checkpoint::SignedCheckpoint,
        hash::{TreeHash, leaf_hash},
        note::{KeyName, VerifierKey},
        policy::WitnessPolicy,
        tile::{MAX_ENTRY_BUNDLE, TILE_WIDTH, TileKind, TilePath, Tiles},
    },
};
use sha2::{Digest, Sha256};

use super::{
    AuditError,
    proofs::{Head, Judgement, begins_with, get_or_full, has_leaf, tiles_of_bundle},
    unit::{Spent, split_entries},
};
use crate::{
    finding::{Finding, FindingKind, Findings},
    sort::{Merge, Sorter},
    source::{Ledger, SourceError},
};

/// Index, identity, operator, file, item.
const CLAIM: usize = 8 + 32 + 32 + 4 + 2;
/// Size, root, file.
const HEAD: usize = 8 + 32 + 4;

/// What receipts say, in the order of the ledger.
pub(super) struct Receipts {
    files: Vec<PathBuf>,
    receipt_keys: Vec<PublicKey>,
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
    /// What could not be checked, because tiles are missing.
    pub(super) unknown: u64,
}

/// That the vendor said that a certificate is at a leaf.
#[derive(Clone, Copy)]
struct Claim {
    index: u64,
    identity: [u8; 32],
    operator: OperatorId,
    file: u32,
    item: u16,
}

#[derive(Clone, Copy)]
struct ClaimedHead {
    head: Head,
    file: u32,
}

/// What makes a redemption the one that an operator sent: who, which certificate, and what its holder signed.
fn identity(operator: &OperatorId, certificate_key: &[u8; 32], binding: &Binding) -> [u8; 32] {
    let mut sha = Sha256::new();
    sha.update(operator.as_bytes());
    sha.update(certificate_key);
    sha.update(binding.as_bytes());
    sha.finalize().into()
}

impl Receipts {
    /// Reads all receipts of `directory`, and sorts what they say in `work`.
    pub(super) fn read(
        directory: &Path,
        vendor: &VendorId,
        receipt_keys: &[PublicKey],
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
        for (number, path) in (0..).zip(&files) {
            let read = match open(path, vendor, receipt_keys).map_err(failed)? {
                Ok(read) => read,
                Err(reason) => {
                    let detail = format!("{}: {reason}", path.display());
                    findings.add(Finding::new(FindingKind::ReceiptInvalid, detail));
                    continue;
                }
            };
            for (index, item, identity) in &read.claims {
                let operator = read.operator;
                let claim = Claim {
                    index: *index,
                    identity: *identity,
                    operator,
                    file: number,
                    item: *item,
                };
                claims.push(claim.encode()).map_err(AuditError::State)?;
                summary.certificates += 1;
            }
            if let Some(head) = read.head {
                heads
                    .push(ClaimedHead { head, file: number }.encode())
                    .map_err(AuditError::State)?;
            }
        }
        let claims = claims.read().map_err(AuditError::State)?.peekable();
        let heads = heads.read().map_err(AuditError::State)?.peekable();
        let receipt_keys = receipt_keys.to_vec();
        Ok(Self { files, receipt_keys, claims, heads, summary })
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
            Some(self.receipt_keys.iter().find_map(open)?.checkpoint)
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
                identity(&redemption.operator_id, &redemption.item.token.nonce, &redemption.binding(vendor)) == claim.identity)
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
            let found = spent.and_then(|spent| {
                Some(identity(&spent.operator?, &spent.certificate_key, &spent.binding))
            });
            if found != Some(claim.identity) {
                findings.add(self.missing(&claim));
            }
        }
        Ok(())
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
        let detail = format!(
            "item {} of the batch in {} was answered with leaf {}, and there lies something else",
            claim.item,
            self.name(claim.file),
            claim.index
        );
        Finding::new(FindingKind::ReceiptMissing, detail).at(claim.index).of(claim.operator)
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

/// What one receipt says.
struct Read {
    operator: OperatorId,
    /// Index, item and identity.
    claims: Vec<(u64, u16, [u8; 32])>,
    head: Option<Head>,
}

/// Reads a receipt; the inner error says why it is none.
fn open(
    path: &Path,
    vendor: &VendorId,
    receipt_keys: &[PublicKey],
) -> io::Result<Result<Read, String>> {
    if std::fs::metadata(path)?.len() > MAX_BATCH_RECEIPT as u64 {
        return Ok(Err("it is too large".to_owned()));
    }
    Ok(parse(&std::fs::read(path)?, vendor, receipt_keys))
}

fn parse(bytes: &[u8], vendor: &VendorId, receipt_keys: &[PublicKey]) -> Result<Read, String> {
    let receipt = BatchReceipt::decode(bytes).map_err(|error| error.to_string())?;
    let batch =
        SignedBatch::decode(&receipt.batch).map_err(|error| format!("its batch: {error}"))?;
    let outcome = receipt_keys
        .iter()
        .rev()
        .find_map(|key| RedemptionOutcome::open(&receipt.outcome, key).ok())
        .ok_or("its outcome is not signed by a receipt key of the vendor")?;
    let operator = batch.operator_id();
    if batch.vendor_id() != *vendor || outcome.vendor_id != *vendor {
        return Err("it is of another vendor".to_owned());
    }
    let answers = outcome.batch_digest == batch.digest()
        && outcome.operator_id == operator
        && outcome.results.len() == batch.items().len();
    if !answers {
        return Err("its outcome answers another batch".to_owned());
    }
    outcome.check_leaves().map_err(|error| error.to_string())?;
    let claim = |(item, index): (usize, u64)| {
        let sent = batch.items().get(item)?;
        let binding = sent.binding(vendor, &operator);
        Some((index, item as u16, identity(&operator, &sent.token.nonce, &binding)))
    };
    let claims: Vec<_> = outcome.credited().filter_map(claim).collect();
    let Some(last) = claims.iter().map(|(index, ..)| *index).max() else {
        return Ok(Read { operator, claims, head: None });
    };
    let keys: Vec<VerifierKey> =
        receipt_keys.iter().map(|key| VerifierKey::of_ledger(vendor, *key)).collect();
    let origin = KeyName::of_ledger(vendor);
    let policy = WitnessPolicy::none();
    let signed = SignedCheckpoint::open(&outcome.checkpoint, &origin, &keys, &policy)
        .map_err(|error| format!("its checkpoint: {error}"))?;
    let head = Head { size: signed.checkpoint().size, root: signed.checkpoint().root };
    if head.size <= last {
        return Err(format!("its checkpoint has {} leaves, and it names leaf {last}", head.size));
    }
    Ok(Read { operator, claims, head: Some(head) })
}

impl Claim {
    fn encode(&self) -> [u8; CLAIM] {
        let mut bytes = [0; CLAIM];
        bytes[..8].copy_from_slice(&self.index.to_be_bytes());
        bytes[8..40].copy_from_slice(&self.identity);
        bytes[40..72].copy_from_slice(self.operator.as_bytes());
        bytes[72..76].copy_from_slice(&self.file.to_be_bytes());
        bytes[76..].copy_from_slice(&self.item.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8; CLAIM]) -> Self {
        Self {
            index: number(&bytes[..8]),
            identity: array(&bytes[8..40]),
            operator: OperatorId::from_bytes(array(&bytes[40..72])),
            file: number(&bytes[72..76]) as u32,
            item: number(&bytes[76..]) as u16,
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
