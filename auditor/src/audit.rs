//! An audit: reads a ledger from its beginning, or from where the last audit ended, and judges the vendor's books by it
//! (ledger.md, "What an auditor checks").
//!
//! A reader fetches bundles ahead, workers check what needs no other bundle, and one accountant
//! takes the bundles in their order. What is between them is bounded, so that memory does not grow with the ledger
//! (docs/decisions/0021).

mod accounts;
mod earned;
mod history;
mod lists;
mod missing;
mod opening;
mod pairs;
mod proofs;
mod reader;
mod receipts;
mod refusals;
mod renewals;
mod spent;
mod state;
mod tree;
mod unit;

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Instant,
};

use scrip_protocol::{
    id::VendorId,
    judge::WindowHistory,
    keys::PublicKey,
    ledger::origin,
    limits::{MAX_CHECKPOINT, MAX_MANIFEST},
    manifest::{Manifest, ManifestError},
    time::{Day, UnixSeconds},
    tlog::{
        checkpoint::Checkpoint,
        note::{Note, VerifierKey},
        policy::{PolicyError, WitnessPolicy},
        tile::TILE_WIDTH,
    },
};
use scrip_runtime::{files::FileError, random::RngFactory};

pub(crate) use self::accounts::{Accounts, Flow, OperatorAccount};
use self::{
    accounts::Place,
    history::History,
    missing::look_again,
    proofs::Head,
    reader::{Budget, Shown, manifest_path},
    receipts::{Forked, Receipts},
    refusals::Refusals,
    state::{Books, State},
    unit::{Checked, PublicCheck, What},
};
use crate::{
    finding::{Check, Finding, FindingKind, Findings, Verdict},
    keyring::Keyring,
    report::{Report, Run},
    source::{Ledger, SourceError},
};

/// What is to be audited, and against what.
pub struct AuditOptions {
    /// The vendor whose ledger it is.
    pub vendor: VendorId,
    /// A checkpoint that was shown before, as a note.
    pub since: Option<Vec<u8>>,
    /// A directory with receipts of operators.
    pub receipts: Option<PathBuf>,
    /// A directory with refusals that wallets handed in.
    pub refusals: Option<PathBuf>,
    /// Who must have cosigned the checkpoint.
    pub policy: WitnessPolicy,
    /// Where to keep what the next audit needs, and what this one needs where it is interrupted.
    pub state: Option<PathBuf>,
    /// After how many bundles of 256 leaves the state is saved.
    pub save_every: u64,
    /// How many threads check certificates.
    pub workers: usize,
    /// The time of the audit, for the report.
    pub now: UnixSeconds,
    /// Randomness for the batch check of signatures.
    pub rng: RngFactory,
}

/// How far an audit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Leaves are read: from which, how many are done, and how many there are.
    Leaves {
        /// The first that is read.
        from: u64,
        /// Those that are done.
        done: u64,
        /// The size of the ledger.
        size: u64,
    },
    /// Certificates are sorted, to find those that count twice.
    Sorting,
    /// All is done.
    Done,
}

/// Why an audit did not come to its end. Nothing follows from it about the vendor.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The state cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The state cannot be read or written.
    #[error(
        "cannot use the state directory: {0}; check its owner, its permissions and the free space"
    )]
    State(#[source] io::Error),
    /// The state is not one.
    #[error("{path} cannot be used: {reason}; remove it to audit the ledger from its beginning")]
    BadState {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Another audit runs with this state.
    #[error("another audit is using {path}; wait until it ends, or give another --state")]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// The receipts cannot be read.
    #[error(
        "cannot read the receipts in {path}: {source}; give the directory that `scrip-relay receipts export` wrote"
    )]
    Receipts {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The refusals cannot be read, or the receipts beside them.
    #[error(
        "cannot read the refusals in {path}: {source}; give a directory with what `scrip relay evidence` and `scrip evidence` wrote"
    )]
    Refusals {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The system gives no threads.
    #[error("cannot start the runtime: {0}; raise the limit of processes")]
    Runtime(#[source] io::Error),
    /// A part of the audit stopped.
    #[error(
        "a part of the audit stopped before its end; this is a fault of the program, please report it"
    )]
    Stopped,
    /// The state is of another vendor's audit.
    #[error(
        "{path} is of the audit of the vendor {vendor}; give each vendor a state directory of its own"
    )]
    StateOfOther {
        /// The directory.
        path: PathBuf,
        /// Whose audit.
        vendor: VendorId,
    },
    /// The ledger's checkpoint is none.
    #[error(
        "{place} has a checkpoint that cannot be read: {reason}; check the address given with --ledger"
    )]
    BadCheckpoint {
        /// Where.
        place: String,
        /// Why.
        reason: String,
    },
    /// It is the ledger of another vendor.
    #[error(
        "{place} is the ledger {found}, and not that of the vendor {vendor}; compare --ledger and --vendor"
    )]
    OtherLedger {
        /// Where.
        place: String,
        /// Its origin.
        found: String,
        /// The vendor who was asked for.
        vendor: VendorId,
    },
    /// The earlier checkpoint cannot be used.
    #[error(
        "the file given with --since is no checkpoint of this vendor: {reason}; give the file as an earlier audit or a receipt has it"
    )]
    Since {
        /// Why.
        reason: String,
    },
}

impl AuditError {
    /// Whether the caller has to change what was asked for.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::OtherLedger { .. } | Self::Since { .. } | Self::StateOfOther { .. })
    }
}

/// A checkpoint, as it was read.
#[derive(Clone)]
struct Shows {
    text: String,
    note: Note,
    head: Head,
}

impl Shows {
    fn read(bytes: &[u8], vendor: &VendorId) -> Result<Self, ReadError> {
        let unreadable = |reason: String| ReadError::Unreadable(reason);
        let note = Note::parse(bytes).map_err(|error| unreadable(error.to_string()))?;
        let checkpoint =
            Checkpoint::parse(note.text()).map_err(|error| unreadable(error.to_string()))?;
        if checkpoint.origin.as_str() != origin(vendor) {
            return Err(ReadError::Other(checkpoint.origin.to_string()));
        }
        let head = Head { size: checkpoint.size, root: checkpoint.root };
        Ok(Self { text: note.encode(), note, head })
    }

    /// Adds the signatures of a note with the same text: in a store, cosignatures are in a file of their own.
    fn add_signatures(&mut self, bytes: &[u8]) {
        let Some(other) = Note::parse(bytes).ok().filter(|note| note.text() == self.note.text())
        else {
            return;
        };
        for signature in other.signatures() {
            // More than a note can have are not looked at.
            let _ = self.note.add(signature.clone());
        }
        self.text = self.note.encode();
    }

    /// Whether one of these receipt keys signed it.
    fn is_signed(&self, vendor: &VendorId, keys: &[PublicKey]) -> bool {
        let keys: Vec<VerifierKey> =
            keys.iter().map(|key| VerifierKey::of_ledger(vendor, *key)).collect();
        self.note.open(&keys).is_ok()
    }
}

enum ReadError {
    Unreadable(String),
    Other(String),
}

/// Audits `ledger`. `progress` is told how far it is; it must not take long. Not to be called from asynchronous code.
///
/// # Errors
/// [`AuditError`], where the audit could not be completed. What is wrong with the ledger is in the report.
pub fn audit(
    ledger: &dyn Ledger,
    options: &AuditOptions,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Report, AuditError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(AuditError::Runtime)?;
    let started = Instant::now();
    let (state, books) = State::open(options.state.as_deref(), options.vendor)?;
    let prepared = runtime.block_on(prepare(ledger, options, &state, books))?;
    let mut audit = match prepared {
        Prepared::Ready(audit) => *audit,
        Prepared::Hopeless(report) => return Ok(*report),
    };
    let from = audit.books.tree.frontier.size();
    let passed = pass(ledger, options, &runtime, &state, &mut audit, progress);
    passed?;
    progress(Progress::Sorting);
    let Audit { books, keyring, findings, .. } = &mut audit;
    runtime.block_on(books.lists.check_files(ledger, keyring, findings))?;
    let mut report = finish(options, &state, audit)?;
    report.run = Run::measure(from, report.size, options.workers, started.elapsed());
    progress(Progress::Done);
    Ok(report)
}

/// An audit under way.
struct Audit {
    books: Books,
    place: String,
    now: Shows,
    history: History,
    receipts: Option<Receipts>,
    refusals: Option<Refusals>,
    /// Leaves that an earlier audit read, and this one does not.
    start: u64,
    keyring: Arc<Keyring>,
    shown: Option<Shown>,
    /// Trees of receipts that are not those of the leaves that were read.
    forked: Vec<Forked>,
    /// What is wrong with more than one leaf, and is found anew in each audit.
    findings: Findings,
}

enum Prepared {
    Ready(Box<Audit>),
    /// The vendor shows what cannot be read on from; there is nothing more to do.
    Hopeless(Box<Report>),
}

/// Reads the checkpoint, and checks whatever is known before a leaf is read.
async fn prepare(
    ledger: &dyn Ledger,
    options: &AuditOptions,
    state: &State,
    books: Books,
) -> Result<Prepared, AuditError> {
    let (vendor, place) = (&options.vendor, ledger.place());
    let bytes = ledger.get("checkpoint", MAX_CHECKPOINT).await?.ok_or_else(|| {
        let hint = "give a directory with a copy of a ledger, or a URL that ends in /ledger";
        SourceError::NoLedger { place: place.clone(), hint }
    })?;
    let mut now = Shows::read(&bytes, vendor).map_err(|error| match error {
        ReadError::Unreadable(reason) => AuditError::BadCheckpoint { place: place.clone(), reason },
        ReadError::Other(found) => {
            AuditError::OtherLedger { place: place.clone(), found, vendor: *vendor }
        }
    })?;
    if options.policy.quorum() > 0
        && let Some(cosigned) = ledger.get("cosigned", MAX_CHECKPOINT).await?
    {
        now.add_signatures(&cosigned);
    }
    let manifests = known_manifests(ledger, vendor, &place).await?;
    let receipt_keys = manifests.receipt_keys.clone();
    let mut history = History::read(options, &books, &receipt_keys)?;
    let refuted = history.check(ledger, &now, books.tree.frontier.size()).await?;
    let mut findings = Findings::default();
    let receipt_keys = manifests.receipt_keys.clone();
    let mut known = Some(manifests);
    let receipts = match &options.receipts {
        Some(directory) => {
            let (work, known) = (state.path(), known.take().unwrap_or_default());
            Some(Receipts::read(directory, vendor, known, work, &mut findings)?)
        }
        None => None,
    };
    // With what receipts say of how long a version stood.
    let known = receipts.as_ref().map(Receipts::manifests).or(known.as_ref());
    let refusals = match (&options.refusals, known) {
        (Some(directory), Some(known)) => {
            let failed = |source| AuditError::Refusals { path: directory.clone(), source };
            let read = Refusals::read(directory, vendor, known, &mut findings);
            let refusals = read.map_err(failed)?;
            if let Some(receipts) = &options.receipts {
                let checked = refusals.check_receipts(receipts, &receipt_keys, &mut findings);
                checked.map_err(failed)?;
            }
            Some(refusals)
        }
        _ => None,
    };
    let start = books.tree.frontier.size();
    let mut audit = Audit {
        books,
        place,
        now,
        history,
        receipts,
        refusals,
        start,
        keyring: Arc::default(),
        shown: None,
        forked: Vec::new(),
        findings,
    };
    if let Some(finding) = refuted {
        audit.findings.add(finding);
        return Ok(Prepared::Hopeless(Box::new(hopeless(options, audit, &receipt_keys))));
    }
    let start = audit.books.tree.frontier.size();
    let Audit { now, findings, receipts, .. } = &mut audit;
    if let Some(receipts) = receipts {
        receipts.check_before(start, &now.head, &now.text, ledger, vendor, findings).await?;
    }
    for bundle in audit.books.missing_public.before(start) {
        let found = look_again(ledger, &audit.now.head, bundle).await?;
        audit.books.note_public(bundle, &found, true);
    }
    let accounts = &audit.books.accounts;
    let shown = Shown::restore(ledger, *vendor, &accounts.manifests, accounts.newest_day).await?;
    audit.keyring = shown.keyring.clone();
    audit.shown = Some(shown);
    Ok(Prepared::Ready(Box::new(audit)))
}

/// Versions that may be missing in a row, where manifests are looked for before the ledger names them.
const GAP: u64 = 8;

/// What the manifests that are there say, so that signatures and refusals can be checked before a million leaves are read.
#[derive(Default)]
struct KnownManifests {
    /// The newest last.
    receipt_keys: Vec<PublicKey>,
    newest: Option<Manifest>,
    history: WindowHistory,
}

impl KnownManifests {
    fn add(&mut self, manifest: Manifest) {
        for one in manifest.receipt_keys().all() {
            self.receipt_keys.retain(|held| *held != one.key);
            self.receipt_keys.push(one.key);
        }
        self.history.add(&manifest);
        self.newest = Some(manifest);
    }
}

async fn known_manifests(
    ledger: &dyn Ledger,
    vendor: &VendorId,
    place: &str,
) -> Result<KnownManifests, AuditError> {
    let (mut known, mut missing, mut version) = (KnownManifests::default(), 0, 0_u64);
    while missing < GAP {
        version += 1;
        let Some(file) = ledger.get(&manifest_path(version), MAX_MANIFEST).await? else {
            missing += 1;
            continue;
        };
        missing = 0;
        match Manifest::open(&file, vendor) {
            Ok(manifest) => known.add(manifest),
            Err(ManifestError::OtherVendor) => {
                let found = "of another vendor, by its manifest".to_owned();
                let (place, vendor) = (place.to_owned(), *vendor);
                return Err(AuditError::OtherLedger { place, found, vendor });
            }
            Err(_) => {} // found again, with its place, where the ledger names it
        }
    }
    Ok(known)
}

impl Books {
    /// Notes how a public bundle compares with the leaves, of which some were read before or not. Nothing is said twice.
    fn note_public(&mut self, bundle: u64, public: &PublicCheck, read_before: bool) {
        let is_missing = matches!(public, PublicCheck::Missing);
        self.missing_public.note(bundle, is_missing, read_before);
        if let PublicCheck::Differs(index, what) = public {
            self.findings.add_once(Finding::new(FindingKind::PublicWrong, *what).at(*index));
        }
    }
}

impl Audit {
    /// Accounts for one bundle.
    fn account(&mut self, mut bundle: Checked) -> Result<(), AuditError> {
        let start = bundle.number * TILE_WIDTH;
        let before = self.books.tree.frontier.size();
        let known = usize::try_from(before.saturating_sub(start)).unwrap_or(usize::MAX);
        for finding in std::mem::take(&mut bundle.findings) {
            self.books.findings.add(finding);
        }
        self.books.note_public(bundle.number, &bundle.public, known > 0);
        self.books.tree.compare(&bundle, known, &mut self.books.findings);
        self.keyring = bundle.keyring.clone();
        for (index, leaf) in (start..).zip(&mut bundle.leaves).skip(known) {
            self.check_trees()?;
            let spent = match &leaf.what {
                What::Spent(spent) => Some(spent),
                _ => None,
            };
            if let Some(receipts) = &mut self.receipts {
                receipts.check_leaf(index, spent, &mut self.findings)?;
            }
            if let Some(refusals) = &self.refusals {
                refusals.check_leaf(index, spent, &mut self.findings);
            }
            let Books { accounts, findings, earned, lists, spent: keys, tree, .. } =
                &mut self.books;
            let place = Place { index, hash: leaf.hash, keyring: &bundle.keyring };
            accounts.add(&place, &mut leaf.what, earned, findings).map_err(AuditError::State)?;
            lists.see(index, &leaf.what, |epoch| accounts.is_over(epoch), findings);
            if let What::Spent(spent) = &leaf.what
                && let Some(key) = spent.key
            {
                let operator = spent.operator.map(|id| accounts.operators.number(id));
                let added = keys.add(key.epoch, &spent.identity.certificate_key, index, operator);
                added.map_err(AuditError::State)?;
            }
            tree.frontier.push(leaf.hash);
        }
        Ok(())
    }

    /// Holds the tree as it is now against the checkpoints of this size that were shown.
    fn check_trees(&mut self) -> Result<(), AuditError> {
        let tree = &self.books.tree.frontier;
        self.history.see_tree(tree.size(), || tree.root());
        if let Some(receipts) = &mut self.receipts {
            self.forked.extend(receipts.check_tree(tree.size(), || tree.root())?);
        }
        Ok(())
    }
}

/// Reads all leaves that were not read before.
fn pass(
    ledger: &dyn Ledger,
    options: &AuditOptions,
    runtime: &tokio::runtime::Runtime,
    state: &State,
    audit: &mut Audit,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<(), AuditError> {
    let vendor = options.vendor;
    let size = audit.now.head.size;
    let from = audit.books.tree.frontier.size();
    let Some(shown) = audit.shown.take() else { return Err(AuditError::Stopped) };
    if from / TILE_WIDTH < size.div_ceil(TILE_WIDTH) {
        audit.books.tree.read_on();
    }
    let budget = Budget::new();
    let (to_workers, for_workers) = mpsc::channel();
    let for_workers = Mutex::new(for_workers);
    let (to_accountant, for_accountant) = mpsc::channel();
    let accounted = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            runtime.block_on(reader::read(ledger, shown, from, size, &budget, to_workers))
        });
        for _ in 0..options.workers.max(1) {
            let (to_accountant, for_workers) = (to_accountant.clone(), &for_workers);
            scope.spawn(move || {
                let mut rng = (options.rng)();
                loop {
                    let next = for_workers.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((unit, cost)) = next else { break };
                    let unit: unit::Unit = unit;
                    if to_accountant.send((unit.check(&vendor, &mut &mut *rng), cost)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(to_accountant);
        let accounted = account_all(&for_accountant, &budget, options, state, audit, progress);
        // Whatever stopped the accounting stops the reader, and with it the workers.
        budget.close();
        drop(for_accountant);
        // After an error in the accounting the books may be within a leaf, and are never saved.
        let read = reader.join().map_err(|_| AuditError::Stopped);
        accounted?;
        if let Err(error) = read? {
            // All bundles that came before are accounted for, and need not be read again.
            let _ = audit.save_on_the_way(state);
            return Err(AuditError::Source(error));
        }
        Ok(())
    });
    accounted?;
    audit.check_trees()?;
    match &mut audit.receipts {
        Some(receipts) => receipts.finish(),
        None => Ok(()),
    }
}

/// Takes the bundles in their order, whatever the order in which workers are done with them.
fn account_all(
    bundles: &mpsc::Receiver<(Checked, usize)>,
    budget: &Budget,
    options: &AuditOptions,
    state: &State,
    audit: &mut Audit,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<(), AuditError> {
    let size = audit.now.head.size;
    let from = audit.books.tree.frontier.size();
    let mut next = from / TILE_WIDTH;
    let mut waiting = BTreeMap::new();
    progress(Progress::Leaves { from, done: from, size });
    while let Ok((bundle, cost)) = bundles.recv() {
        waiting.insert(bundle.number, (bundle, cost));
        while let Some((bundle, cost)) = waiting.remove(&next) {
            audit.account(bundle)?;
            budget.give_back(cost);
            next += 1;
            if next.is_multiple_of(options.save_every.max(1)) && next * TILE_WIDTH < size {
                audit.save_on_the_way(state)?;
            }
            progress(Progress::Leaves { from, done: (next * TILE_WIDTH).min(size), size });
        }
    }
    Ok(())
}

/// Whatever can be said at the end.
fn finish(options: &AuditOptions, state: &State, mut audit: Audit) -> Result<Report, AuditError> {
    let Head { size, root } = audit.now.head;
    let keys = audit.keyring.receipt_keys().to_vec();
    audit.check_signatures(options, &keys);
    let tree = &audit.books.tree;
    let notes = audit.history.evidence(&audit.now);
    tree.finish(size, &root, &notes, &mut audit.findings);
    let genuine = audit.findings.of_check(Check::Root) == 0;
    audit.history.finish(genuine, &audit.now, &mut audit.findings);
    if genuine && let Some(receipts) = &audit.receipts {
        for claimed in &audit.forked {
            audit.findings.add(receipts.fork_finding(claimed, &audit.now.text));
        }
    }
    let Books { accounts, spent, lists, findings, .. } = &mut audit.books;
    accounts.finish(&mut audit.findings);
    lists.check(options.vendor, spent, findings).map_err(AuditError::State)?;
    let found = spent.find_duplicates(
        |epoch| accounts.is_over(epoch),
        |number| accounts.operators.id(number),
        &mut audit.findings,
        |epoch, key| {
            if let Some(receipts) = &mut audit.receipts {
                receipts.see_renewal(epoch, key);
            }
        },
    );
    found.map_err(AuditError::State)?;
    if let Some(receipts) = &mut audit.receipts {
        let day = Day(accounts.newest_day);
        receipts.finish_renewals(day, |epoch| accounts.is_over(epoch), &mut audit.findings);
    }
    if !genuine || audit.history.is_refuted() {
        // The next audit reads all leaves again, and holds them against what was shown before.
        state.start_again(audit.books.audited.clone())?;
    } else {
        // What is not known to be continued stays what the next audit asks for.
        if audit.history.is_continued() {
            audit.books.audited = Some(audit.now.text.clone());
        }
        state.save(&mut audit.books)?;
    }
    Ok(report(options, audit))
}

impl Audit {
    /// Saves the books between two bundles. Leaves that are another history's than what was shown before are read again.
    fn save_on_the_way(&mut self, state: &State) -> Result<(), AuditError> {
        if self.history.is_refuted() { Ok(()) } else { state.save(&mut self.books) }
    }

    fn check_signatures(&mut self, options: &AuditOptions, keys: &[PublicKey]) {
        if !self.now.is_signed(&options.vendor, keys) {
            let detail = "no receipt key of a manifest in the ledger signed it";
            let finding = Finding::new(FindingKind::CheckpointSignature, detail);
            self.findings.add(finding.proved_by(&self.now.text));
        }
        match options.policy.check(&self.now.note) {
            Ok(_) => {}
            Err(error @ (PolicyError::TooFew { .. } | PolicyError::BadCosignature(_))) => {
                let finding = Finding::new(FindingKind::QuorumMissing, error.to_string());
                self.findings.add(finding.proved_by(&self.now.text));
            }
        }
    }

    fn verdict(&self, options: &AuditOptions, check: Check, all: &Findings) -> Verdict {
        let unknown_receipts = self.receipts.as_ref().map_or(0, |held| held.summary.unknown);
        let unknown_refusals = self.refusals.as_ref().map_or(0, Refusals::unknown);
        if all.of_check(check) > 0 {
            return Verdict::Fail;
        }
        match check {
            Check::Quorum if options.policy.quorum() == 0 => {
                Verdict::NotAsked("no witnesses were named".to_owned())
            }
            Check::History => {
                match (self.history.since(), self.history.unknown(), &self.receipts) {
                    (_, Some(why), _) => Verdict::NotChecked(why.to_owned()),
                    (None, None, None) => Verdict::NotAsked(
                        "it is the first audit, and no earlier checkpoint was given".to_owned(),
                    ),
                    _ => Verdict::Pass,
                }
            }
            Check::Tiles if self.books.tree.missing_tiles() > 0 => Verdict::NotChecked(format!(
                "{} hash tiles are not there",
                self.books.tree.missing_tiles()
            )),
            Check::Public if self.books.missing_public.count() > 0 => Verdict::NotChecked(format!(
                "{} public bundles are not there",
                self.books.missing_public.count()
            )),
            Check::Lists if self.books.lists.editions == 0 => {
                Verdict::NotAsked("the ledger has no list yet".to_owned())
            }
            Check::Receipts if self.receipts.is_none() => {
                Verdict::NotAsked("no receipts were given".to_owned())
            }
            Check::Refusals if self.refusals.is_none() => {
                Verdict::NotAsked("no refusals were given".to_owned())
            }
            Check::Refusals if self.start > 0 => Verdict::NotChecked(format!(
                "the first {} leaves were read by an earlier audit; give no --state, or another one, to look through all",
                self.start
            )),
            Check::Refusals if unknown_refusals > 0 => Verdict::NotChecked(format!(
                "{unknown_refusals} refusals rest on manifests that are missing"
            )),
            Check::Receipts if unknown_receipts > 0 => Verdict::NotChecked(format!(
                "for {unknown_receipts} of what receipts say, hash tiles, manifests or ended epochs are missing"
            )),
            _ => Verdict::Pass,
        }
    }
}

/// The report of an audit that came to its end.
fn report(options: &AuditOptions, audit: Audit) -> Report {
    let mut all = audit.books.findings.clone();
    all.extend(&audit.findings);
    let verdicts = Check::ALL.iter().map(|check| (*check, audit.verdict(options, *check, &all)));
    let verdicts = verdicts.collect();
    build(options, &audit, verdicts, all)
}

/// The report of an audit that could not begin, because what is shown is not what was shown before.
fn hopeless(options: &AuditOptions, mut audit: Audit, keys: &[PublicKey]) -> Report {
    audit.check_signatures(options, keys);
    let all = audit.findings.clone();
    let verdict = |check: &Check| {
        let verdict = match check {
            Check::Checkpoint | Check::Quorum | Check::History => {
                audit.verdict(options, *check, &all)
            }
            _ => Verdict::NotChecked(
                "this is not the ledger that was shown before, and nothing can follow from it; audit it without --since and with a new --state to see what it says".to_owned(),
            ),
        };
        (*check, verdict)
    };
    let verdicts = Check::ALL.iter().map(verdict).collect();
    build(options, &audit, verdicts, all)
}

fn build(
    options: &AuditOptions,
    audit: &Audit,
    verdicts: Vec<(Check, Verdict)>,
    all: Findings,
) -> Report {
    let receipts = audit.receipts.as_ref().map(|receipts| receipts.summary);
    let mut report = Report::new(verdicts, all, &audit.books.accounts, &audit.keyring);
    report.vendor = options.vendor;
    report.ledger = audit.place.clone();
    report.size = audit.now.head.size;
    report.root = Some(audit.now.head.root);
    report.checkpoint = audit.now.text.clone();
    report.since = audit.history.since();
    report.witnesses = options.policy.witnesses().len();
    report.quorum = options.policy.quorum();
    report.audited_at = options.now;
    report.receipts = receipts.map(|summary| crate::report::Receipts {
        files: summary.files,
        certificates: summary.certificates,
        later: summary.later,
    });
    report
}
