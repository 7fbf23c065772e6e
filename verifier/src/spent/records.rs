//! What goes into a spent store and comes out of it.

use scrip_protocol::{
    credits::{Credits, Exponent},
    id::{PaymentId, VendorId},
    manifest::KeyUse,
    payment::Evidence,
    redemption::{ConflictProof, ItemResult, RedemptionItem},
    spend::Binding,
    time::{Day, UnixSeconds},
};

use crate::{check::CheckedPayment, provisions::StoredAnswer};

/// The row of a certificate's evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EvidenceNumber(pub i64);

/// The row of a redemption batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchNumber(pub i64);

/// The row of a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConflictNumber(pub i64);

/// Certificates that are to be reserved for a payment.
#[derive(Clone)]
pub struct Reservation {
    /// The payment.
    pub payment_id: PaymentId,
    /// Whose certificates these are.
    pub vendor_id: VendorId,
    /// The lease for each credit, in seconds, which a continuation repeats.
    pub seconds_per_credit: u64,
    /// Whether the payment is redeemed before it is provisioned.
    pub asks_first: bool,
    /// The most that may be unredeemed of this vendor, this payment included.
    pub limit: Option<Credits>,
    /// Now.
    pub at: UnixSeconds,
    /// The certificates.
    pub items: Vec<ReservedItem>,
}

/// One certificate that is to be reserved.
#[derive(Clone)]
pub struct ReservedItem {
    /// The epoch of its key.
    pub epoch: u32,
    /// The denomination of its key.
    pub exponent: Exponent,
    /// What its key signs. Those of test keys are worth nothing in the books.
    pub key_use: KeyUse,
    /// When its epoch may be dropped.
    pub redeem_until: UnixSeconds,
    /// What will be redeemed, and the binding.
    pub evidence: Evidence,
}

impl Reservation {
    /// The reservation of a checked payment, at `at`.
    pub fn of(
        payment: &CheckedPayment,
        asks_first: bool,
        limit: Option<Credits>,
        at: UnixSeconds,
    ) -> Self {
        let items = payment
            .certificates
            .iter()
            .map(|certificate| ReservedItem {
                epoch: certificate.epoch,
                exponent: certificate.exponent,
                key_use: certificate.key_use,
                redeem_until: certificate.redeem_until,
                evidence: certificate.evidence.clone(),
            })
            .collect();
        Self {
            payment_id: payment.payment_id,
            vendor_id: payment.vendor_id,
            seconds_per_credit: payment.quote.seconds_per_credit,
            asks_first,
            limit,
            at,
            items,
        }
    }

    /// What the certificates are worth together, for the lease.
    pub fn credits(&self) -> Credits {
        Credits::total(self.items.iter().map(|item| item.exponent.value()))
    }

    /// What the vendor will owe for them: nothing for those of test keys.
    pub fn owed(&self) -> Credits {
        let paid = self.items.iter().filter(|item| item.key_use == KeyUse::Production);
        Credits::total(paid.map(|item| item.exponent.value()))
    }
}

/// What came of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReserveOutcome {
    /// The certificates are reserved now.
    New(ReservedPayment),
    /// They were reserved for this payment before: the first attempt is to be continued.
    Retry(ReservedPayment),
    /// The payment was answered before.
    Committed(StoredAnswer),
    /// A certificate was spent here for another payment.
    SpentElsewhere {
        /// The other binding with its signature. There is none where a wallet put one binding into two payments, which
        /// contradicts no signature.
        proof: Option<ConflictProof>,
    },
    /// The payment would bring what is unredeemed above the limit.
    OverLimit,
    /// The payment was refused before, with this answer.
    Refused(StoredAnswer),
    /// A certificate is bound as in a payment that was refused, and so can never be taken with that binding.
    BindingRefused,
}

/// What is known of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnownPayment {
    /// It is reserved.
    Reserved(ReservedPayment),
    /// It was answered.
    Committed(StoredAnswer),
    /// It was refused: nothing of it is ever taken.
    Refused(StoredAnswer),
}

/// A payment that is to be refused for good. Its signatures were verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRefusal {
    /// The payment.
    pub payment_id: PaymentId,
    /// The day that it names: long after it, the payment is refused anyway, and the refusal can be forgotten.
    pub day: Day,
    /// Each certificate key with its binding.
    pub bindings: Vec<([u8; 32], Binding)>,
    /// The signed answer, which every retry gets.
    pub answer: StoredAnswer,
}

/// What came of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefuseOutcome {
    /// The payment is refused for good, with this answer: the one that was stored first.
    Refused(StoredAnswer),
    /// The payment was taken, and has this answer.
    Committed(StoredAnswer),
    /// A certificate was taken with the same binding in another payment, so that nothing may be promised of it. A reservation
    /// of this payment was released.
    Taken,
    /// The store keeps no more refusals of one of the certificates now. A reservation of the payment was released, and it may be
    /// taken later.
    Full,
}

/// How many refusals are kept of one certificate. Without a limit, one certificate could fill the disk.
pub const MOST_REFUSALS: usize = 16;

/// A payment that is reserved and not yet answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservedPayment {
    /// The payment.
    pub payment_id: PaymentId,
    /// Whose certificates these are.
    pub vendor_id: VendorId,
    /// The lease for each credit, in seconds, as first quoted.
    pub seconds_per_credit: u64,
    /// Whether it is redeemed before it is provisioned.
    pub asks_first: bool,
    /// The certificates, in the order of the payment.
    pub certificates: Vec<ReservedCertificate>,
}

/// One certificate of a reserved payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReservedCertificate {
    /// The certificate key `P`.
    pub key: [u8; 32],
    /// Its worth.
    pub value: Credits,
    /// How far its redemption is.
    pub state: EvidenceState,
}

/// How far the redemption of a certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvidenceState {
    /// Its payment is reserved: not to be redeemed yet.
    Reserved,
    /// Its payment is committed: to be redeemed.
    Waiting,
    /// In a batch, which may have been sent.
    Sent,
    /// Credited.
    Accepted,
    /// Credited before.
    AlreadyAccepted,
    /// Spent elsewhere before, with a verified proof.
    DoubleSpent,
    /// Too late: the operator's loss.
    Expired,
    /// The vendor calls it invalid: the operator's loss.
    Invalid,
}

impl EvidenceState {
    /// All states.
    pub const ALL: [Self; 8] = [
        Self::Reserved,
        Self::Waiting,
        Self::Sent,
        Self::Accepted,
        Self::AlreadyAccepted,
        Self::DoubleSpent,
        Self::Expired,
        Self::Invalid,
    ];

    /// As it is stored.
    pub const fn code(self) -> i64 {
        match self {
            Self::Reserved => 0,
            Self::Waiting => 1,
            Self::Sent => 2,
            Self::Accepted => 3,
            Self::AlreadyAccepted => 4,
            Self::DoubleSpent => 5,
            Self::Expired => 6,
            Self::Invalid => 7,
        }
    }

    /// The state that is stored as `code`.
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }

    /// The state that follows from a vendor's result.
    pub const fn of(result: &ItemResult) -> Self {
        match result {
            ItemResult::Accepted => Self::Accepted,
            ItemResult::AlreadyAccepted => Self::AlreadyAccepted,
            ItemResult::DoubleSpent(_) => Self::DoubleSpent,
            ItemResult::Expired => Self::Expired,
            ItemResult::Invalid(_) => Self::Invalid,
        }
    }

    /// Whether the vendor has decided.
    pub const fn is_decided(self) -> bool {
        !matches!(self, Self::Reserved | Self::Waiting | Self::Sent)
    }

    /// The name, for people and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Accepted => "accepted",
            Self::AlreadyAccepted => "already-accepted",
            Self::DoubleSpent => "double-spent",
            Self::Expired => "expired",
            Self::Invalid => "invalid",
        }
    }
}

/// How much waits to be redeemed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Waiting {
    /// Certificates.
    pub items: u64,
    /// When the oldest of their payments was reserved.
    pub oldest: Option<UnixSeconds>,
    /// When the first of them can no longer be redeemed.
    pub redeem_until: Option<UnixSeconds>,
}

/// One certificate that can be redeemed.
#[derive(Clone)]
pub struct RedeemableItem {
    /// Its row.
    pub number: EvidenceNumber,
    /// What the vendor is shown.
    pub item: RedemptionItem,
}

/// A batch that is about to be sent.
#[derive(Clone)]
pub struct NewBatch {
    /// The vendor that it is for.
    pub vendor_id: VendorId,
    /// The signed bytes, which are repeated until they are answered.
    pub bytes: Vec<u8>,
    /// Its items, in the order of the bytes.
    pub members: Vec<EvidenceNumber>,
    /// Now.
    pub at: UnixSeconds,
}

/// A batch that was not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingBatch {
    /// Its row.
    pub number: BatchNumber,
    /// The vendor that it is for.
    pub vendor_id: VendorId,
}

/// A vendor's verified answer to a batch.
#[derive(Clone)]
pub struct OutcomeRecord {
    /// The batch.
    pub batch: BatchNumber,
    /// The signed answer: the operator's evidence of what it is owed.
    pub bytes: Vec<u8>,
    /// The result of each item, in the order of the batch, each proof verified.
    pub results: Vec<ItemResult>,
    /// The UTC day of the answer.
    pub day: Day,
}

/// A batch that was answered: the operator's receipt of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnsweredBatch {
    /// Its row.
    pub number: BatchNumber,
    /// The day of the answer.
    pub day: Day,
    /// The signed batch.
    pub bytes: Vec<u8>,
    /// The signed answer, which was verified when it came.
    pub outcome: Vec<u8>,
}

/// A certificate that was spent here and, earlier, elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Its row.
    pub number: ConflictNumber,
    /// The payment that it was part of.
    pub payment_id: PaymentId,
    /// The vendor that found it.
    pub vendor_id: VendorId,
    /// What it is worth.
    pub value: Credits,
    /// The day on which the vendor said so.
    pub day: Day,
    /// Whether the server has been told, or there was no need to.
    pub reported: bool,
    /// The proof, which names the certificate.
    pub proof: ConflictProof,
}

/// What is owed by a vendor, and was earned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VendorTotals {
    /// The vendor.
    pub vendor_id: VendorId,
    /// Reserved or committed, and not decided by the vendor.
    pub unredeemed: Credits,
    /// When the oldest of that was reserved.
    pub oldest: Option<UnixSeconds>,
    /// Certificates that wait for a batch.
    pub waiting: u64,
    /// Batches without an answer.
    pub pending_batches: u64,
    /// Credited by the vendor, ever.
    pub accepted: Credits,
    /// Double spent, expired or invalid, ever.
    pub lost: Credits,
    /// Certificates that were double spent, ever.
    pub conflicts: u64,
    /// Certificates of test keys that were credited, ever. They are worth nothing, and in none of the sums above.
    pub test_certificates: u64,
}

impl VendorTotals {
    /// Those of a vendor that never paid.
    pub const fn none(vendor_id: VendorId) -> Self {
        Self {
            vendor_id,
            unredeemed: Credits::ZERO,
            oldest: None,
            waiting: 0,
            pending_batches: 0,
            accepted: Credits::ZERO,
            lost: Credits::ZERO,
            conflicts: 0,
            test_certificates: 0,
        }
    }
}

/// What a vendor decided on one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarningsRow {
    /// The vendor.
    pub vendor_id: VendorId,
    /// The day.
    pub day: Day,
    /// Whether these are certificates of test keys, which are worth nothing.
    pub test: bool,
    /// The result.
    pub state: EvidenceState,
    /// How many certificates.
    pub items: u64,
    /// What they are worth together.
    pub credits: Credits,
}
