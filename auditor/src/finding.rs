//! What an audit can find, which check it belongs to, whose fault it can be and what to do about it.

use std::collections::BTreeMap;

use scrip_protocol::id::OperatorId;
use serde::{Deserialize, Serialize};

/// How many findings of one kind are kept in full. More are counted.
pub const KEPT_OF_A_KIND: usize = 50;

macro_rules! checks {
    ($($name:ident $slug:literal $title:literal;)*) => {
        /// What an audit checks, each with a verdict of its own (ledger.md, "What an auditor checks").
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "the titles say what each is")]
        pub enum Check { $($name),* }

        impl Check {
            /// All of them, in their order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name in JSON.
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$name => $slug),* }
            }

            /// What holds where it passes.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }
        }
    };
}

checks! {
    Checkpoint "checkpoint" "The vendor signed the checkpoint";
    Quorum "quorum" "Enough witnesses cosigned it";
    History "history" "It continues every checkpoint that was shown before";
    Root "root" "The leaves hash to the signed root";
    Tiles "tiles" "The published hash tiles are those of the leaves";
    Public "public" "What the public is shown is what auditors are shown";
    Leaves "leaves" "Every leaf can be read";
    Manifests "manifests" "Keys are in the ledger before they are used, and keep to the schedule";
    Certificates "certificates" "Every redeemed and renewed certificate is valid";
    Duplicates "duplicates" "No certificate counts twice";
    Tallies "tallies" "Tallies agree with the certificates that they count";
    Voided "voided" "No more came back than was issued";
    Granted "granted" "No more was issued than was granted";
    Renewals "renewals" "One certificate was issued for each that was renewed";
    Commitments "commitments" "Public commitments open to what they speak for";
    Contracts "contracts" "Contracts follow each other";
    Statements "statements" "Statements follow from the ledger";
    Expiry "expiry" "Nothing of an epoch follows its end";
    Lists "lists" "Lists of voided certificates are complete and true";
    Receipts "receipts" "What operators were credited is in the ledger, and what they were refused was no good";
    Refusals "refusals" "Nobody used what it had refused, and what wallets were told of renewals is true";
}

macro_rules! kinds {
    ($($name:ident $slug:literal $check:ident $title:literal, $fault:literal, $remedy:literal;)*) => {
        /// What was found.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[expect(missing_docs, reason = "the titles say what each is")]
        pub enum FindingKind { $(#[serde(rename = $slug)] $name),* }

        impl FindingKind {
            /// Its name in JSON.
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$name => $slug),* }
            }

            /// The check that it fails.
            pub const fn check(self) -> Check {
                match self { $(Self::$name => Check::$check),* }
            }

            /// What is wrong, in a few words.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }

            /// Whose fault it can be.
            pub const fn fault(self) -> &'static str {
                match self { $(Self::$name => $fault),* }
            }

            /// What to do.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy),* }
            }
        }
    };
}

kinds! {
    CheckpointSignature "checkpoint-signature" Checkpoint "The checkpoint is not signed by the vendor",
        "Whoever serves the ledger; the vendor, if it is served by the vendor itself",
        "Fetch the ledger from the vendor itself. Where it stays so, nothing in this report can be held against anybody, and the ledger is worth nothing.";
    QuorumMissing "quorum-missing" Quorum "Too few witnesses cosigned the checkpoint",
        "The vendor, or witnesses that cannot be reached",
        "Ask the witnesses which checkpoint of this vendor they saw last. If it is another one of the same size, the vendor keeps two histories.";
    Forked "forked" History "The vendor keeps two histories",
        "The vendor: both checkpoints carry its signature, and no ledger can contain both",
        "Keep both notes, which stand below: together they are the proof. Compare with what other operators, witnesses and auditors were shown.";
    Shortened "shortened" History "The ledger is shorter than one that the vendor signed before",
        "The vendor, or a mirror that is behind",
        "Fetch the ledger from the vendor itself. Where it stays shorter, the earlier checkpoint and this one show that leaves were taken away.";
    RootMismatch "root-mismatch" Root "The leaves do not hash to the signed root",
        "Whoever serves the ledger: these are not the leaves that the vendor signed",
        "Fetch the ledger from the vendor itself. Where it stays so, the vendor shows auditors other leaves than it signed.";
    LeafChanged "leaf-changed" Root "A leaf is not the one that was signed",
        "Whoever serves the ledger; the vendor, if it is served by the vendor itself",
        "Fetch this bundle again from the vendor. Where it stays so, the vendor changed what it had recorded.";
    LeafRemoved "leaf-removed" Root "A leaf that was signed is not there",
        "Whoever serves the ledger; the vendor, if it is served by the vendor itself",
        "Fetch this bundle again from the vendor. Where it stays so, the vendor hides what it had recorded.";
    LeafAdded "leaf-added" Root "A leaf is there that was not signed",
        "Whoever serves the ledger; the vendor, if it is served by the vendor itself",
        "Fetch this bundle again from the vendor. Where it stays so, the vendor shows auditors what nobody else can verify.";
    TileWrong "tile-wrong" Tiles "A published hash tile is not that of the leaves",
        "Whoever serves the ledger: operators and witnesses who rely on the tile are shown another tree",
        "Fetch the tile again from the vendor. Where it stays so, tell the operators: proofs that they make from it fail.";
    PublicWrong "public-wrong" Public "A public bundle is not what the leaves are",
        "Whoever serves the ledger; the vendor, if it is served by the vendor itself",
        "Fetch the bundle again from the vendor. Where it stays so, a proof of solvency that was checked from public data speaks of other leaves.";
    LeafUnreadable "leaf-unreadable" Leaves "A leaf cannot be read",
        "The vendor: it signed a ledger with a leaf that has no meaning",
        "Use the newest scrip-auditor. Where it stays so, ask the vendor what the leaf is.";
    ManifestMissing "manifest-missing" Manifests "A manifest that the ledger names is not shown",
        "The vendor",
        "Ask the vendor for it. Relays and wallets that held this version have it too.";
    ManifestInvalid "manifest-invalid" Manifests "A manifest is not the one that the ledger names, or breaks a rule",
        "The vendor, whose root key signed it; or whoever serves the ledger, where the digest is another",
        "Keep the manifest. Compare its digest with what relays report for this version: two manifests of one version can trace wallets.";
    ManifestBroken "manifest-broken" Manifests "A manifest takes back what the one before it promised",
        "The vendor, whose root key signed both",
        "Keep both manifests: together they show that the vendor broke its word.";
    OffSchedule "off-schedule" Manifests "Keys changed more often than the schedule allows",
        "The vendor: keys that few people buy under can trace those who do",
        "Ask the vendor why. Wallets refuse to buy while it is so.";
    IssuedOffSchedule "issued-off-schedule" Manifests "Certificates were issued outside of their epoch's window",
        "The vendor: keys that are used when no others buy can trace who does",
        "Ask the vendor for whom it signed on that day.";
    KeyUnlogged "key-unlogged" Manifests "A key was used that is in no manifest of the ledger",
        "The vendor: it signed with a key that it did not show everybody",
        "Keep the leaf. A key of one's own is how a vendor traces a wallet; ask wallets and relays whether they saw it.";
    Challenge "challenge" Certificates "A certificate is for another vendor's challenge",
        "The vendor, which credited it",
        "Ask the vendor; the operator should not have been credited.";
    DayOutside "day-outside" Certificates "A certificate was spent outside of its window",
        "The vendor, which credited it, and the operator, which took it",
        "Ask both for what they recorded on that day.";
    CertificateKey "certificate-key" Certificates "A certificate's key is none",
        "The vendor, which credited it, and the operator, which took it",
        "Ask the operator for its evidence of the payment.";
    CertificateSignature "certificate-signature" Certificates "The vendor's signature on a certificate does not verify",
        "The vendor: it credited a certificate that it never signed",
        "Ask the operator whether it sent this certificate. Invented redemptions move money to an operator.";
    SpendSignature "spend-signature" Certificates "A certificate was not spent by its holder for this operator",
        "The vendor, which credited it; or the operator, if it sent it so",
        "Ask the operator for its evidence of the payment. A signature for another operator means that somebody else was paid with it.";
    Duplicate "duplicate" Duplicates "A certificate counts twice",
        "The vendor: it credited the same certificate again",
        "Ask the operators that are named for their batches: at most one of them was paid with it first.";
    TallyMismatch "tally-mismatch" Tallies "A tally does not agree with the certificates that it counts",
        "The vendor: leaves were taken away, or totals invented",
        "Ask the operator that is named, if one is, what it redeemed: its receipts tell which of the two is right.";
    IssuanceUnderstated "issuance-understated" Voided "More came back than was issued",
        "The vendor: it signed certificates that it did not record, or somebody stole a key",
        "Ask the vendor to account for the difference. Until it does, its credits are worth less than it says.";
    GrantsExceeded "grants-exceeded" Granted "More was issued than was granted",
        "The vendor: it issued what nobody paid for",
        "Ask the vendor for the sales that are missing, and compare with the payment providers' books.";
    RenewalsUnbalanced "renewals-unbalanced" Renewals "Renewed and newly issued certificates differ in number",
        "The vendor: a renewal gives exactly one certificate for one",
        "Ask the vendor for the renewals of that day.";
    CommitmentMissing "commitment-missing" Commitments "A total has no public commitment",
        "The vendor: its proof of solvency leaves this out",
        "Do not rely on the vendor's proof of solvency.";
    CommitmentWrong "commitment-wrong" Commitments "A public commitment does not open to what it speaks for",
        "The vendor: its proof of solvency speaks of other figures than its books",
        "Do not rely on the vendor's proof of solvency.";
    CommitmentOrphan "commitment-orphan" Commitments "A public commitment speaks for nothing",
        "The vendor: its proof of solvency counts what is not in its books",
        "Do not rely on the vendor's proof of solvency.";
    ContractOrder "contract-order" Contracts "A contract does not follow the one before it",
        "The vendor",
        "Ask the operator for the contract that it knows of.";
    StatementSignature "statement-signature" Statements "A statement is not signed by the vendor",
        "The vendor",
        "Ask the operator for the statement that it was given.";
    StatementOrder "statement-order" Statements "A statement does not follow the one before it",
        "The vendor: leaves between two statements are paid twice, or never",
        "Ask the operator for its statements.";
    StatementWrong "statement-wrong" Statements "A statement says something else than the ledger",
        "The vendor",
        "Show it to the operator: the ledger has what it is owed.";
    AfterExpiry "after-expiry" Expiry "Something happened to an epoch after its end",
        "The vendor, which credited it",
        "Ask the vendor. Certificates that were written off came back.";
    ExpiredWrong "expired-wrong" Expiry "What was written off is not what was left",
        "The vendor: credits vanished, or were kept in reserve",
        "Ask the vendor to account for the difference.";
    ListOrder "list-order" Lists "An edition of a list does not follow the one before it",
        "The vendor: a restored wallet may take an old list for a new one",
        "Ask the vendor which editions it published.";
    ListLate "list-late" Lists "An edition does not have all that was voided before its day",
        "The vendor: a restored wallet takes for unspent what it had spent, and its relays lose",
        "Tell the operators that are named around this leaf. Keep the leaf: the ledger contradicts itself.";
    ListSalt "list-salt" Lists "The salt of an edition is not there, or belongs to none",
        "The vendor: without the salt nobody can check the list",
        "Ask the vendor for it.";
    ListWrong "list-wrong" Lists "A list is not that of the certificates that were voided",
        "The vendor: what is left out is taken for unspent by a restored wallet, and what is added is lost to its holder",
        "Keep the leaf and the list's files: together with the ledger they show what is wrong.";
    ListFile "list-file" Lists "A published list is not the one that the ledger commits to",
        "Whoever serves the ledger; the vendor, if it is served by the vendor itself",
        "Fetch the list again from the vendor. Where it stays so, wallets that are restored do without it.";
    ReceiptMissing "receipt-missing" Receipts "What the vendor gave a receipt for is not in the ledger",
        "The vendor: it signed the receipt",
        "Keep the receipt: it is signed by the vendor, and with this ledger it shows that the operator is not paid what it was promised.";
    RefusalUntrue "refusal-untrue" Receipts "The vendor refused a certificate that verifies",
        "The vendor: it signed that the certificate is invalid or expired",
        "Keep the receipt: with the vendor's own manifest it shows that the operator was refused what it had earned.";
    WinnerMissing "winner-missing" Receipts "A certificate that the vendor called double spent was not used before",
        "The vendor: it signed that it was, and where",
        "Keep the receipt: with this ledger it shows that the operator was refused what it had earned.";
    ReceiptInvalid "receipt-invalid" Receipts "A receipt is none",
        "The operator who handed it in",
        "Ask the operator to export its receipts again.";
    RefusedAndCredited "refused-and-credited" Refusals "An operator was credited for a payment that it had refused",
        "The operator, if it redeemed what it had refused under its signature; or the vendor, if it wrote a redemption that it was never sent: it needs the certificate's holder for that, and pays for it",
        "Ask the operator for its receipts: a batch of its own with this certificate convicts it. Ask the vendor for the operator's batch.";
    RefusedAndRedeemed "refused-and-redeemed" Refusals "An operator redeemed a payment that it had refused",
        "The operator: its signature is on the refusal and on the batch",
        "Keep both files: together they are the proof. Whoever was paid with the certificate after the refusal lost by it.";
    RefusedAndRenewed "refused-and-renewed" Refusals "The vendor used a renewal that it had refused",
        "The vendor: it signed the refusal, and the ledger or the answer to an operator in which the renewal is",
        "Keep the refusal with the leaf or the receipt: together they are the proof. The certificate's holder lost by it what it had paid for.";
    RenewalRefusalUntrue "renewal-refusal-untrue" Refusals "The vendor refused a renewal that it had to take",
        "The vendor: it signed that a window was closed, or that the request was no good",
        "Keep the refusal: with the vendor's own manifest it shows that a certificate's holder was refused what it was sold.";
    SpentMissing "spent-missing" Refusals "A certificate that was to be renewed was said to be spent, and was not",
        "The vendor: it signed that it was, and where",
        "Keep the answer: with this ledger it shows that the certificate's holder was robbed of it.";
    RefusalInvalid "refusal-invalid" Refusals "A refusal is none",
        "Whoever handed it in",
        "Ask for it again (`scrip relay evidence`, `scrip evidence`). As it is, nothing follows from it.";
}

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// The leaf, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// The operator, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<OperatorId>,
    /// The number of the operator's statement, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<u32>,
    /// What exactly: what is said, and what should be.
    pub detail: String,
    /// Signed notes that prove it, to be kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
}

impl Finding {
    /// A finding without a place yet.
    pub fn new(kind: FindingKind, detail: impl Into<String>) -> Self {
        let (index, operator, statement) = (None, None, None);
        Self { kind, index, operator, statement, detail: detail.into(), evidence: Vec::new() }
    }

    /// At this leaf.
    #[must_use]
    pub fn at(mut self, index: u64) -> Self {
        self.index = Some(index);
        self
    }

    /// About this operator.
    #[must_use]
    pub fn of(mut self, operator: OperatorId) -> Self {
        self.operator = Some(operator);
        self
    }

    /// In this statement.
    #[must_use]
    pub fn in_statement(mut self, number: u32) -> Self {
        self.statement = Some(number);
        self
    }

    /// Proved by this.
    #[must_use]
    pub fn proved_by(mut self, evidence: impl Into<String>) -> Self {
        self.evidence.push(evidence.into());
        self
    }
}

/// All findings of an audit: the first of each kind in full, the rest as numbers, so that a ledger that is wrong
/// everywhere does not fill the memory.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Findings {
    kept: Vec<Finding>,
    counts: BTreeMap<FindingKind, u64>,
}

impl Findings {
    /// Adds one.
    pub fn add(&mut self, finding: Finding) {
        let count = self.counts.entry(finding.kind).or_default();
        *count += 1;
        if *count <= KEPT_OF_A_KIND as u64 {
            self.kept.push(finding);
        }
    }

    /// Adds one that may have been added before, by an audit that read the same bundle in part.
    pub fn add_once(&mut self, finding: Finding) {
        if !self.kept.contains(&finding) {
            self.add(finding);
        }
    }

    /// Adds all of another.
    pub fn extend(&mut self, other: &Self) {
        for finding in &other.kept {
            self.add(finding.clone());
        }
        for (kind, count) in &other.counts {
            let kept = other.kept.iter().filter(|finding| finding.kind == *kind).count();
            *self.counts.entry(*kind).or_default() += count - kept as u64;
        }
    }

    /// Those that were kept, in the order in which they were found.
    pub fn kept(&self) -> &[Finding] {
        &self.kept
    }

    /// How many there are of each kind.
    pub fn counts(&self) -> &BTreeMap<FindingKind, u64> {
        &self.counts
    }

    /// How many there are of a check.
    pub fn of_check(&self, check: Check) -> u64 {
        let of_check = self.counts.iter().filter(|(kind, _)| kind.check() == check);
        of_check.map(|(_, count)| count).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "verdict", content = "why")]
pub enum Verdict {
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// It could not be checked, and should have been; why.
    NotChecked(String),
    /// Nobody asked for it; why.
    NotAsked(String),
}
