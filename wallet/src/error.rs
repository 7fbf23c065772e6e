//! What can go wrong, whose fault it is, and what to do about it.

use std::path::PathBuf;

use scrip_protocol::{
    address::RelayAddress,
    blind::BlindError,
    credits::{Credits, Exponent},
    id::{ManifestDigest, PaymentId},
    issuance::{FinishError, OtherGrant},
    manifest::{ManifestError, NotProven, OffSchedule, ProvenManifestError, SuccessionError},
    problem::{Fault, ProblemType},
    time::Day,
};
use scrip_runtime::client::{ClientError, TransportError};

use crate::{
    choice::ChoiceError,
    file::{DescriptorError, OpenChunkError},
    link::LinkError,
    message::MessageError,
    net::CallError,
    purse::Shortage,
    store::StoreError,
};

/// Why an operation of the wallet failed. [`WalletError::remedy`] says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalletError {
    /// The wallet file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The network settings.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The words are not those of a seed.
    #[error("these are not the 24 words of a seed: {0}")]
    Words(String),
    /// A call gave nothing.
    #[error("{server}: {error}")]
    Call {
        /// Host and port.
        server: String,
        /// What happened.
        error: CallError,
    },

    /// A list of voided certificates could not be got.
    #[error(
        "the list of voided certificates: {error}; `scrip check --voided DIR|URL` takes it from elsewhere"
    )]
    List {
        /// What happened.
        error: CallError,
    },
    /// A list of voided certificates is none. The fault of whoever serves it, or the vendor's.
    #[error("the list of voided certificates of epoch {epoch} does not count: {reason}")]
    BadList {
        /// The epoch.
        epoch: u32,
        /// Why.
        reason: &'static str,
    },
    /// A list of voided certificates is too old to begin with.
    #[error(
        "the newest list of voided certificates of epoch {epoch} is of {day}: it ends no doubt; take it from elsewhere, or set the clock right"
    )]
    OldList {
        /// The epoch.
        epoch: u32,
        /// Its day.
        day: Day,
    },
    /// The vendor lists a certificate as renewed, and denies the renewal.
    #[error(
        "the vendor's list says that a certificate was renewed, and the vendor denies it: {0}; it stays in doubt"
    )]
    DeniedRenewal(Box<WalletError>),

    /// The vendor's manifest is not to be believed. The vendor's fault, or that of somebody in between.
    #[error("the vendor's manifest is not to be believed: {0}")]
    Manifest(#[from] ManifestError),
    /// What was handed out as the vendor's manifest is none.
    #[error("what was handed out as the vendor's manifest is not to be believed: {0}")]
    HandedOut(#[from] ProvenManifestError),
    /// The witnesses that are demanded did not stand for a manifest.
    #[error(
        "version {version} of the vendor's manifest is not shown to be everybody's: {reason}. One for this wallet alone could \
         trace its payments"
    )]
    ManifestUnproven {
        /// The version that was offered.
        version: u64,
        /// What is missing.
        reason: Box<NotProven>,
    },
    /// The vendor's ledger has two histories.
    #[error(
        "the vendor signed two different trees of {size} leaves: its ledger has two histories, and one of them may be for \
         this wallet alone"
    )]
    LedgerForked {
        /// The size of both.
        size: u64,
    },
    /// The vendor takes back what an older manifest promised.
    #[error(
        "the vendor's manifest of version {offered} breaks what version {held} promises: {rule}"
    )]
    ManifestBroken {
        /// What the wallet has.
        held: u64,
        /// What the vendor shows.
        offered: u64,
        /// What it breaks.
        rule: SuccessionError,
    },
    /// The vendor signed two manifests with one version.
    #[error(
        "the vendor signed two different manifests of version {version} ({one} and {other}): it \
         may be giving this wallet keys of its own, by which payments could be traced to it"
    )]
    ManifestSplit {
        /// The version.
        version: u64,
        /// The digest that the wallet knows.
        one: ManifestDigest,
        /// The digest that it is shown now.
        other: ManifestDigest,
    },
    /// Fewer operators are known than have to hand out a manifest before anything is bought under it.
    #[error(
        "relays of {needed} operators have to show the vendor's manifest before anything is bought, and \
         this wallet knows {known}"
    )]
    TooFewOperators {
        /// How many are needed.
        needed: usize,
        /// How many are known.
        known: usize,
    },
    /// Too few operators handed out the manifest so far.
    #[error(
        "{found} of {needed} operators have shown this wallet the vendor's manifest: until they have, it may be one for \
         this wallet alone, by which payments could be traced to it"
    )]
    NotAgreedYet {
        /// How many operators handed it out.
        found: usize,
        /// How many are needed.
        needed: usize,
        /// Days within which the rest is asked.
        days: u64,
    },
    /// No manifest was handed out yet that the witnesses stand for.
    #[error(
        "this wallet has no manifest of the vendor's that its witnesses stand for: another one may be for this wallet alone, \
         and trace its payments"
    )]
    NotProvenYet {
        /// Days within which a relay is asked.
        days: u64,
    },
    /// No manifest is known at all.
    #[error("this wallet has no manifest of the vendor's yet")]
    NoManifest,
    /// The vendor changes its keys more often than a schedule has use for.
    #[error(
        "{0}: who rotates whenever a certain wallet buys gives it keys that few others have, by which its payments \
         could be traced to it"
    )]
    OffSchedule(#[from] OffSchedule),
    /// The vendor promised certificates that no key signs now.
    #[error("by the manifest that this wallet has, no key signs certificates of {} now", .0.value())]
    NoIssuingKey(Exponent),
    /// The manifest lists no such product.
    #[error("the vendor's manifest has no product `{product}`; it has: {}", listed.join(", "))]
    ProductNotListed {
        /// What was asked for.
        product: String,
        /// What there is.
        listed: Vec<String>,
    },
    /// What was typed has no code, or nothing before its colon. Nobody was asked.
    #[error("this is not a voucher: one is a product, a colon and a code")]
    NotAVoucher,
    /// The voucher does not say what it buys.
    #[error("the voucher does not say what it buys; the vendor's manifest has: {}", listed.join(", "))]
    VoucherWithoutProduct {
        /// What there is.
        listed: Vec<String>,
    },
    /// The vendor grants something else than was ordered. It may be marking this buyer.
    #[error("what the vendor grants for `{product}` is not what its manifest promises: {reason}")]
    OtherGrant {
        /// What was ordered.
        product: String,
        /// The difference.
        reason: OtherGrant,
    },
    /// The relay is one of the manifest's.
    #[error("the relay {0} is on the vendor's list")]
    ListedRelay(Box<RelayAddress>),
    /// A denomination key is malformed. The vendor's fault.
    #[error("a key of the vendor is malformed: {0}")]
    Blind(#[from] BlindError),
    /// The answer holds no certificates. The vendor's fault; the same request gets the same answer.
    #[error("the vendor's answer holds no valid certificates: {0}")]
    Finish(#[from] FinishError),
    /// The answer does not belong to the request. The vendor's fault.
    #[error("the vendor's answer does not fit the request")]
    OtherAnswer,
    /// This wallet has used this voucher, this purchase or this allowance before.
    #[error("this wallet has used this voucher or purchase, or this period's allowance, already")]
    VoucherUsedHere,
    /// The vendor refuses the keys of the manifest that everybody has: it has a newer one, as a rule.
    #[error("the vendor refuses the keys of the manifest that this wallet has")]
    KeysRefused,
    /// The purchase was refunded before its certificates were issued.
    #[error("the purchase was refunded, so that the vendor issues nothing for it")]
    PurchaseCancelled,
    /// The purchase belongs to an order that this wallet does not know.
    #[error("this wallet has no open order that the purchase could be for{0}")]
    OrderNotHere(String),
    /// The vendor gives nothing away.
    #[error("the vendor has no free allowance")]
    NothingFree,
    /// The vendor asks for more work than any may.
    #[error("the vendor asks for {bits} bits of work for its allowance, more than any vendor may")]
    WorkTooMuch {
        /// How many.
        bits: u32,
    },
    /// Single tokens were taken from the grant by another program.
    #[error("the purchase was used up by another program, token by token")]
    PurchaseUnusable,

    /// The certificates do not pay the price.
    #[error(transparent)]
    Shortage(#[from] Shortage),
    /// A certificate on disk does not fit its key.
    #[error("a certificate in the wallet does not belong to the wallet's seed")]
    ForeignCertificate,
    /// The relay asks for more than it announced under its signature.
    #[error("{relay} asks for {asked} and announced {announced}")]
    PriceAboveAnnounced {
        /// The relay.
        relay: Box<RelayAddress>,
        /// What it asks for.
        asked: Credits,
        /// What it announced.
        announced: Credits,
    },
    /// Recorded, perhaps sent, and no definite answer: the certificates are bound until there is one.
    #[error("the payment {payment} to {relay} got no definite answer: {}", no_answer(error))]
    PaymentOpen {
        /// The payment.
        payment: PaymentId,
        /// The relay.
        relay: Box<RelayAddress>,
        /// What came last.
        error: CallError,
    },
    /// The relay refused, and signed that it took nothing.
    #[error("{relay} refused the payment and took nothing: {error}")]
    PaymentRefused {
        /// The relay.
        relay: Box<RelayAddress>,
        /// What it said.
        error: CallError,
    },
    /// The relay's operator was caught, and not forgiven.
    #[error(
        "{0} redeemed a certificate of a payment that it had refused under its signature, and is not paid any more"
    )]
    RelayCaught(Box<RelayAddress>),
    /// The receipt is not one for this payment. The relay's fault.
    #[error("{relay} gave no valid receipt: {reason}")]
    BadReceipt {
        /// The relay.
        relay: Box<RelayAddress>,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// No relay of this address was added.
    #[error("no relay `{0}` was added")]
    UnknownRelay(String),
    /// No relay was added, or none can be used.
    #[error("too few relays can be used: {usable} of the {needed} needed")]
    TooFewRelays {
        /// How many are needed.
        needed: usize,
        /// How many there are.
        usable: usize,
    },
    /// The relay does not take the vendor's certificates.
    #[error("{0} does not accept the certificates of this wallet's vendor")]
    NotAccepted(Box<RelayAddress>),
    /// The relay takes no certificates of test keys.
    #[error("{0} takes no certificates of test purchases")]
    TestNotTaken(Box<RelayAddress>),
    /// The relay does not give leases as long as that.
    #[error("{relay} gives leases of 1 to {most} days")]
    Days {
        /// The relay.
        relay: Box<RelayAddress>,
        /// The most days.
        most: u16,
    },

    /// Nothing has this name.
    #[error("no {what} is called `{name}`")]
    Unknown {
        /// What was looked for.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Several things have names that start like this.
    #[error("`{name}` is the beginning of several names")]
    Ambiguous {
        /// The beginning.
        name: String,
    },
    /// There is a queue of this name.
    #[error("there is a queue called `{0}` already")]
    NameTaken(String),

    /// A link.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A message.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A file on this machine.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file exists.
    #[error("{0} exists already")]
    FileExists(PathBuf),
    /// The file has no name that could be stored.
    #[error("{0} has no name that can be stored with it")]
    FileName(PathBuf),
    /// The file is too large to be stored.
    #[error("the file is too large to be stored")]
    FileTooLarge,
    /// The file is not what it was when its storing began.
    #[error("{0} changed while it was being stored")]
    FileChanged(PathBuf),
    /// Copies are counted in one byte.
    #[error("a file is stored in 1 to 255 copies")]
    Copies,
    /// What was stored is not a file as the format says.
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
    /// Nothing gave a part of the file.
    #[error("no relay gave {part} of the file: {}", reasons.join("; "))]
    NoCopyLeft {
        /// Which part.
        part: String,
        /// What each relay did.
        reasons: Vec<String>,
    },
    /// The parts are all right and their sum is not. Whoever stored the file made it so.
    #[error("the parts of the file do not make the file that its descriptor names")]
    OtherFile,
    /// A task of the runtime was lost.
    #[error("the program is shutting down")]
    ShuttingDown,
    /// The rest of a file follows at times of its own. Nothing failed.
    #[error("{name} is being stored: {done} of its {parts} parts are at their relays")]
    StillStoring {
        /// The file.
        name: String,
        /// How many of its parts are stored, copies counted one by one.
        done: usize,
        /// How many there are.
        parts: usize,
    },
    /// A lease of a file that is being stored ended before the rest was stored.
    #[error("the upload of {0} was given up, because a lease of it ended before it was complete")]
    UploadGivenUp(PathBuf),
    /// A pipe, a device or a directory.
    #[error("{0} is no regular file")]
    NoRegularFile(PathBuf),
    /// A relay's address does not fit a link.
    #[error("the address of {0} is too long for a link")]
    AddressTooLong(Box<RelayAddress>),
    /// A link to so many copies would not be read again.
    #[error("a link to {copies} copies would be too long")]
    LinkTooLong {
        /// How many there are.
        copies: usize,
    },
    /// The purchase is recorded and got no definite answer.
    #[error("the purchase is not finished: {server}: {error}")]
    PurchaseOpen {
        /// The vendor's host and port.
        server: String,
        /// What happened.
        error: CallError,
    },
    /// A renewal is recorded and got no definite answer.
    #[error("the vendor has not answered a renewal for certain: {}", no_renewal(.error))]
    RenewalOpen {
        /// What came last.
        error: CallError,
    },
    /// The vendor signed that it never takes a renewal.
    #[error("the vendor refuses a renewal for ever, and signed that: {error}")]
    RenewalRefused {
        /// Why.
        error: CallError,
    },
    /// A relay proves that the vendor used what this wallet had signed for a renewal, which the vendor had refused.
    #[error(
        "{relay} refused the payment and took nothing, because the vendor used a renewal of a certificate that it had refused, \
         and had signed that it refused it"
    )]
    RenewedAfterRefusal {
        /// Who has the proof.
        relay: Box<RelayAddress>,
        /// What it said.
        error: CallError,
    },
    /// A relay proves that a certificate was spent by a payment of this very wallet, which another relay had refused.
    #[error(
        "{relay} refused the payment and took nothing, because {redeemer} redeemed a certificate of a \
         payment that it had refused, and had signed that it took nothing"
    )]
    RedeemedAfterRefusal {
        /// Who has the proof.
        relay: Box<RelayAddress>,
        /// Who broke its promise.
        redeemer: Box<RelayAddress>,
        /// What the first one said.
        error: CallError,
    },
}

/// What came last for a payment that stays open.
fn no_answer(error: &CallError) -> String {
    match error.problem().is_some_and(|problem| problem.problem.nothing_taken()) {
        true => format!(
            "{error}; the relay says that it took nothing, and has not signed that for this payment, so that it may still \
             take it"
        ),
        false => error.to_string(),
    }
}

/// What came last for a renewal that stays open.
fn no_renewal(error: &CallError) -> String {
    match error.problem().is_some_and(|problem| problem.problem.nothing_taken()) {
        true => format!(
            "{error}; it has not signed that it will never take it, so that it may still do so"
        ),
        false => error.to_string(),
    }
}

/// Why one copy of a chunk was of no use; another one is tried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("it gave other bytes than were stored")]
    Digest,
    #[error(transparent)]
    Open(#[from] OpenChunkError),
}

impl From<TransportError> for CopyError {
    fn from(error: TransportError) -> Self {
        Self::Call(error.into())
    }
}

impl WalletError {
    /// A call to the server at `authority` that gave nothing.
    pub(crate) fn call(authority: &str) -> impl FnOnce(CallError) -> Self + use<> {
        let server = authority.to_owned();
        move |error| Self::Call { server, error }
    }

    /// Something that the system refused.
    pub(crate) fn io(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// The problem that a server named, if one did.
    pub fn problem(&self) -> Option<ProblemType> {
        let (Self::Call { error, .. }
        | Self::PaymentOpen { error, .. }
        | Self::PaymentRefused { error, .. }
        | Self::PurchaseOpen { error, .. }
        | Self::RenewalOpen { error }
        | Self::RenewalRefused { error }
        | Self::RenewedAfterRefusal { error, .. }
        | Self::RedeemedAfterRefusal { error, .. }) = self
        else {
            return None;
        };
        error.problem().map(|problem| problem.problem)
    }

    /// Whether the certificates do not pay the price.
    pub const fn is_shortage(&self) -> bool {
        matches!(self, Self::Shortage(_))
    }

    /// What to do now, in one line.
    pub fn remedy(&self) -> String {
        match self {
            Self::Store(error) => return store_remedy(error),
            Self::Call { error, .. } | Self::PaymentRefused { error, .. } => {
                return call_remedy(error);
            }
            Self::Shortage(Shortage::Choice(ChoiceError::NotEnough { .. })) => {
                "ask for fewer days or copies; and buy ahead: what `scrip buy` buys ripens for some days, and `scrip restock` \
                 keeps a stock by itself"
            }
            Self::Shortage(Shortage::TooCoarse { .. }) => {
                "ask for fewer copies; and buy ahead with `scrip buy`: each pack brings small certificates, which ripen for \
                 some days"
            }
            Self::Shortage(Shortage::Excess { .. }) => {
                "pay that much with --accept-excess, since what is above the price makes the lease longer; and buy ahead \
                 with `scrip buy`: each pack brings small certificates, which ripen for some days"
            }
            Self::Shortage(Shortage::Unripe { .. }) => {
                "run it again then; or pay at once with --now, which lets whoever sees the vendor's and the relay's times \
                 tie this payment to the purchase"
            }
            Self::StillStoring { .. } => {
                "`scrip tend` on a timer stores the rest, and `scrip files` then shows the link; `scrip resume --now` stores \
                 all of it at once"
            }
            Self::Shortage(Shortage::Choice(ChoiceError::TooManyItems { .. })) => {
                "ask for fewer days: the wallet has too much small change for this price"
            }
            Self::Shortage(Shortage::OnlySeen { .. }) => {
                "buy more, use the relay that saw them (`scrip balance` names it), or wait for their renewal; with \
                 --even-seen they pay here too, and both relays together can tell that one wallet paid them"
            }
            Self::Shortage(Shortage::OnlyDoubtful { .. }) => {
                "wait until the doubt is settled, or risk them with --spend-doubtful: if one was spent before the restore, \
                 the relay will end the lease"
            }
            Self::Client(_) => "correct the proxy or the extra root certificates",
            Self::Words(_) => "check their order and spelling; there must be 24",
            Self::Manifest(_) => "check the vendor's address; if it is right, ask the vendor",
            Self::ManifestBroken { .. } | Self::ManifestSplit { .. } | Self::LedgerForked { .. } => {
                "buy nothing now; `scrip doctor --json` prints the evidence: show it to the vendor and to others who use it"
            }
            Self::HandedOut(_) => "ask another relay; if it stays so, ask the vendor",
            Self::ManifestUnproven { .. } => {
                "witnesses may need a moment, and relays an hour; if it stays so for a day, show this message to others who \
                 use this vendor"
            }
            Self::TooFewOperators { needed, .. } => {
                return format!(
                    "name witnesses with `scrip witness add`, or add relays of {needed} operators with `scrip relay add`; or ask \
                     for fewer with `scrip settings --agreement N`: with 0, nothing keeps the vendor from giving this wallet \
                     keys of its own and tracing its payments"
                );
            }
            Self::NotAgreedYet { needed, found, days } => {
                let missing = needed.saturating_sub(*found).max(1);
                return format!(
                    "the wallet collects that by itself, within about {days} days as long as `scrip tend` runs now and then; \
                     `scrip resume` buys after that. `scrip buy --now` asks {missing} of its relays now: that shows them, and \
                     whoever compares their times with the vendor's, who is about to buy"
                );
            }
            Self::NotProvenYet { days } => {
                return format!(
                    "the wallet asks a relay by itself, within about {days} days as long as `scrip tend` runs now and then; \
                     `scrip resume` buys after that. `scrip buy --now` asks one now: that shows it, and whoever compares its \
                     times with the vendor's, who is about to buy"
                );
            }
            Self::NoManifest => {
                "run `scrip manifest --now`, which asks a relay, or the vendor where no relay is known; the manifest lists relays"
            }
            Self::OffSchedule(_) => {
                "nothing was signed, and what you hold stays good; ask the vendor why it rotates, and run `scrip resume` \
                 when the first of these epochs is a month old, or use another vendor"
            }
            Self::NoIssuingKey(_) | Self::KeysRefused => {
                "a newer manifest comes by itself, within days, as long as `scrip tend` runs now and then; `scrip resume` goes on \
                 after that. `scrip manifest --now` asks a relay for it now"
            }
            Self::ProductNotListed { .. } => "choose one of these; `scrip offer` shows what they are",
            Self::NotAVoucher | Self::VoucherWithoutProduct { .. } => {
                "write it as PRODUCT:CODE, with the product that it was sold as"
            }
            Self::OtherGrant { .. } => {
                "nothing was signed, and the vendor learned nothing that it can recognize later. Keep this message and ask                  the vendor; `scrip resume` goes on when it grants what was ordered"
            }
            Self::ListedRelay(_) => {
                "nothing has to be done: name the relays that you want with --relay"
            }
            Self::Blind(_) | Self::Finish(_) | Self::OtherAnswer => {
                "nothing is lost: ask the vendor, then run `scrip resume`"
            }
            Self::VoucherUsedHere => "see `scrip history`; if it is not finished, run `scrip resume`",
            Self::PurchaseCancelled => {
                "buy again with `scrip buy`; where the refund is taken back, with the same proof of purchase"
            }
            Self::OrderNotHere(_) => {
                "`scrip order` lists the open orders; a purchase in an app store is made for one of them, in the wallet \
                 that made the order"
            }
            Self::List { .. } | Self::BadList { .. } => {
                "nothing is lost: try again another day, or take the lists from a mirror with `scrip check --voided DIR|URL`"
            }
            Self::OldList { .. } => "take the lists from elsewhere with `scrip check --voided DIR|URL`, or set the clock",
            Self::DeniedRenewal(_) => "ask the vendor; keep the wallet: it holds what the list and the refusal say",
            Self::WorkTooMuch { .. } => "ask the vendor to correct `sources.free.work`",
            Self::NothingFree => "see `scrip offer` for what there is",
            Self::PurchaseUnusable => "look for the certificates in that program",
            Self::ForeignCertificate => "restore the wallet from its 24 words with `scrip restore`",
            Self::PriceAboveAnnounced { .. } => "use another relay with --relay",
            Self::PaymentOpen { .. } => {
                "run `scrip resume` later: it sends the same payment again, which is never counted twice"
            }
            Self::RelayCaught(_) => {
                "use another relay; `scrip relay evidence` prints what shows its fault, and `scrip relay forgive` lets this \
                 wallet pay it again"
            }
            Self::BadReceipt { .. } => {
                "tell the relay's operator; `scrip resume` asks for the receipt again"
            }
            Self::UnknownRelay(_) => "see `scrip relay list`, or add it with `scrip relay add`",
            Self::TooFewRelays { .. } => "add relays with `scrip relay add`, or ask for fewer copies",
            Self::NotAccepted(_) => "use another relay",
            Self::TestNotTaken(_) => "use a relay that is run for tests, or pay without `--test`",
            Self::Days { .. } => "ask for a number of days within that, and extend the lease later",
            Self::Unknown { .. } => "see `scrip leases` and `scrip queue list`",
            Self::Ambiguous { .. } => "write more of the name",
            Self::NameTaken(_) => "choose another name",
            Self::Link(_) => "copy the whole link again, and put it in quotation marks",
            Self::Message(MessageError::TooLong { .. }) => "split it, or store it with `scrip put`",
            Self::Message(MessageError::DoesNotOpen) => "nothing: it was not meant for this queue",
            Self::Io { .. } => "check the path, the permissions and the free space",
            Self::FileExists(_) => "choose another name with -o, or overwrite it with --force",
            Self::FileName(_) => "give it a plain name",
            Self::FileTooLarge => "split it",
            Self::FileChanged(_) => {
                "store it again with `scrip put`; the chunks that were paid are not used again"
            },
            Self::Copies => "choose a number of copies between 1 and the number of your relays",
            Self::Descriptor(_) | Self::OtherFile => {
                "ask whoever gave you the link to store the file again"
            }
            Self::NoCopyLeft { .. } => "try again later, or ask whoever gave you the link",
            Self::ShuttingDown => "start it again",
            Self::UploadGivenUp(_) => {
                "store it again with `scrip put`: it is sealed under a new key, and paid for anew"
            }
            Self::NoRegularFile(_) => "copy what it gives to a file, and store that",
            Self::AddressTooLong(_) => "use another relay",
            Self::LinkTooLong { .. } => "ask for fewer copies",
            Self::PurchaseOpen { error, .. }
                if error.problem().is_some_and(|p| p.problem == ProblemType::PurchasePending) =>
            {
                "pay for the order; then run `scrip resume`, which fetches what was bought"
            }
            Self::PurchaseOpen { .. } => {
                "run `scrip resume`: it goes on with the same purchase, which is never made twice"
            }
            Self::RenewalOpen { .. } => {
                "`scrip resume` asks for the same again; the certificate is not used meanwhile"
            }
            Self::RenewalRefused { .. } => {
                "the certificate is as it was: it can be spent, and is renewed under another key if there will be one in time"
            }
            Self::RenewedAfterRefusal { .. } => {
                "`scrip evidence` prints what shows the vendor's fault, for others who use it and for auditors; the other \
                 certificates are free again: try again"
            }
            Self::RedeemedAfterRefusal { .. } => {
                "the relay that redeemed it is not paid any more; `scrip relay evidence` prints what shows its fault, for its \
                 vendor and for others who use it; the other certificates are free again: try again"
            }
        }
        .to_owned()
    }
}

fn store_remedy(error: &StoreError) -> String {
    match error {
        StoreError::Exists(_) => "choose another place with --wallet",
        StoreError::Missing(_) => {
            "make one with `scrip init --vendor ADDRESS`, or name its place with --wallet"
        }
        StoreError::InUse(_) => "wait until that process has ended, or stop it",
        StoreError::WrongPassphrase(_) => {
            "try the passphrase again; with the 24 words you can `scrip restore`"
        }
        StoreError::Newer { .. } => "use a newer release",
        StoreError::Damaged { .. } | StoreError::Header(_) | StoreError::Corrupt { .. } => {
            "keep the file, and restore in another place: the newest `scrip backup` with `scrip restore --backup FILE`, or \
             the money from the 24 words with `scrip restore`; do not use an old copy of the file itself, in which \
             certificates that were spent since would look unspent"
        }
        StoreError::Backup { .. } => "use another backup, or the 24 words with `scrip restore`",
        StoreError::File(_) | StoreError::Lock { .. } | StoreError::Database(_) => {
            "check the path, the permissions and the free space"
        }
        StoreError::ShuttingDown => "start it again",
    }
    .to_owned()
}

fn call_remedy(error: &CallError) -> String {
    match error {
        CallError::Transport(TransportError::Refused { .. }) => "correct the address or the proxy",
        CallError::Transport(_) => "check the connection and the address, then try again",
        CallError::Problem(problem) => match (problem.problem, problem.problem.fault()) {
            (ProblemType::VoucherUnknown, _) => "check the code for typing errors",
            (ProblemType::VoucherUsed | ProblemType::VoucherExpired, _) => "use another voucher",
            (ProblemType::ProductUnknown | ProblemType::SourceUnknown, _) => {
                "`scrip offer` shows what the vendor sells, and how it is paid"
            }
            (ProblemType::PurchaseRefunded | ProblemType::PurchaseUsed, _) => {
                "buy again with `scrip buy`; where you were charged and have nothing, ask the vendor"
            }
            (ProblemType::AllowanceUsed, _) => "wait for the next period; `scrip offer` shows how long one is",
            (ProblemType::AllowanceExhausted, _) => "try again tomorrow",
            (ProblemType::CommandStale | ProblemType::DayOutOfRange, _) => "set this machine's clock",
            (ProblemType::QueueFull, _) => "wait until the recipient has read from the queue",
            (ProblemType::LeaseEnded | ProblemType::ResourceNotFound, _) => {
                "it is gone from the relay; create or store it anew"
            }
            (ProblemType::VendorLimit | ProblemType::StorageFull, _) => "use another relay",
            (ProblemType::CertificateSpent, _) => {
                "another copy of this wallet spent a certificate before (use one copy only; a backup is for when \
                 the wallet is lost); the others are free again: try again"
            }
            (_, Fault::Server) => "try again later",
            (_, Fault::Client) => "see what it says; if the address is right, report it as a fault of this program",
        },
        CallError::Unexpected { .. } => "check the address: this may be another server",
        CallError::Malformed(_) | CallError::Invalid(_) => "tell the operator of the server",
    }
    .to_owned()
}
