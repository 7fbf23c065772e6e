//! Problem documents (errors.md; RFC 9457): what is wrong, whose fault it is, and whether anything was taken.

use serde::{Deserialize, Serialize};

use crate::address::VendorAddress;
use crate::credits::Credits;
use crate::id::{OperatorId, VendorId};

/// Who has to do something about a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The client sent what it should not have; the same again gets the same answer.
    Client,
    /// The server, or what it depends on; the same again later may succeed.
    Server,
}

macro_rules! problems {
    ($( $(#[doc = $doc:literal])* $variant:ident = $name:literal, $status:literal, $fault:ident, $taken:ident, $title:literal; )*) => {
        /// Every problem that scrip's servers answer with.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ProblemType {
            $( #[doc = $title] $variant, )*
        }

        impl ProblemType {
            /// All problems, in the order of errors.md.
            pub const ALL: &[Self] = &[$( Self::$variant, )*];

            /// The name, as in errors.md.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }

            /// The HTTP status that it comes with.
            pub const fn status(self) -> u16 {
                match self { $( Self::$variant => $status, )* }
            }

            /// What it says, in one line.
            pub const fn title(self) -> &'static str {
                match self { $( Self::$variant => $title, )* }
            }

            /// Whose fault it is.
            pub const fn fault(self) -> Fault {
                match self { $( Self::$variant => Fault::$fault, )* }
            }

            /// Whether it says that nothing was taken. As the answer to a paid request that is a promise only where it is signed
            /// (spending.md, "Refusals").
            pub const fn nothing_taken(self) -> bool {
                match self { $( Self::$variant => problems!(@taken $taken), )* }
            }
        }
    };
    (@taken free) => { true };
    (@taken unknown) => { false };
}

problems! {
    Malformed = "malformed", 400, Client, free, "The request is not of the form that the specification gives.";
    TooLarge = "too-large", 413, Client, free, "The body is larger than the specification allows.";
    NotFound = "not-found", 404, Client, free, "There is nothing at this path.";
    MethodNotAllowed = "method-not-allowed", 405, Client, free, "The path does not answer this method.";
    UnsupportedMediaType = "unsupported-media-type", 415, Client, free, "The body has a content type that this path does not take.";
    GrantUnknown = "grant-unknown", 401, Client, free, "No grant belongs to this secret.";
    GrantUsed = "grant-used", 409, Client, free, "The grant was used for other certificates, or for another purchase.";
    GrantUnused = "grant-unused", 404, Client, free, "Nothing was issued under this grant yet.";
    VoucherUnknown = "voucher-unknown", 404, Client, free, "There is no such voucher; check it for typing errors.";
    VoucherUsed = "voucher-used", 409, Client, free, "The voucher was used already.";
    VoucherExpired = "voucher-expired", 410, Client, free, "The voucher has expired.";
    PurchaseUnverified = "purchase-unverified", 422, Client, free, "The proof of purchase does not verify.";
    PurchasePending = "purchase-pending", 409, Server, unknown, "The purchase is not paid yet; ask again later.";
    PurchaseUsed = "purchase-used", 409, Client, free, "The purchase was turned into another grant.";
    PurchaseRefunded = "purchase-refunded", 410, Client, free, "The purchase was refunded.";
    OrderUnknown = "order-unknown", 404, Client, free, "There is no such order, or it belongs to another grant.";
    ProductUnknown = "product-unknown", 404, Client, free, "The vendor does not sell this in this way.";
    SourceUnknown = "source-unknown", 404, Client, free, "The vendor takes no purchases of this kind.";
    SourceUnavailable = "source-unavailable", 503, Server, unknown, "The vendor cannot reach the place of the purchase; ask again later.";
    NotificationUnverified = "notification-unverified", 400, Client, free, "The notification is not signed by its source.";
    AllowanceUsed = "allowance-used", 409, Client, free, "The free allowance of this period was used.";
    AllowanceExhausted = "allowance-exhausted", 503, Server, free, "The vendor gives nothing more away today; ask again tomorrow.";
    WorkInsufficient = "work-insufficient", 400, Client, free, "The proof of work is for something else, or too little.";
    RestNotDue = "rest-not-due", 409, Server, free, "This part of the purchase is not issued yet; ask again later.";
    GrantCancelled = "grant-cancelled", 410, Client, free, "The grant was cancelled, because its purchase was refunded.";
    KeyUnknown = "key-unknown", 400, Client, free, "The vendor's manifest has no such key; fetch it again.";
    KeyOutsideWindow = "key-outside-window", 400, Client, free, "The key may not be used for this now; its window has passed or has not come.";
    PackMismatch = "pack-mismatch", 400, Client, free, "The request is not exactly the grant's pack.";
    BlindedMessageOutOfRange = "blinded-message-out-of-range", 422, Client, free, "A blinded message is not above 1 and below the key's modulus less 1.";
    WrongVendor = "wrong-vendor", 400, Client, free, "This is for another vendor than is accepted here.";
    OperatorUnknown = "operator-unknown", 403, Client, free, "The vendor has no contract with this operator.";
    OperatorSignatureInvalid = "operator-signature-invalid", 403, Client, free, "The batch is not signed by its operator.";
    AuditorUnknown = "auditor-unknown", 401, Client, free, "No auditor has this token, or it has ended.";
    ClockSkew = "clock-skew", 401, Client, free, "The request's time is too far from the vendor's; check the clock.";
    PaymentRequired = "payment-required", 402, Client, free, "This costs credits; see the price.";
    WrongOperator = "wrong-operator", 400, Client, free, "The payment is for another operator.";
    DuplicateCertificate = "duplicate-certificate", 400, Client, free, "A certificate occurs twice in the payment.";
    DayOutOfRange = "day-out-of-range", 400, Client, free, "The payment's day is not yesterday, today or tomorrow; check the clock.";
    ChallengeMismatch = "challenge-mismatch", 400, Client, free, "A certificate answers another challenge than the vendor's.";
    CertificateKeyInvalid = "certificate-key-invalid", 400, Client, free, "A certificate's key is not canonical, or of small order.";
    RenewalClosed = "renewal-closed", 403, Client, free, "Certificates are renewed only in the window before they expire.";
    TestCertificate = "test-certificate", 400, Client, free, "A certificate of a test purchase is not taken here.";
    PaymentTooLow = "payment-too-low", 402, Client, free, "The payment is below the price.";
    CertificateSignatureInvalid = "certificate-signature-invalid", 400, Client, free, "A certificate is not signed by its vendor.";
    SpendSignatureInvalid = "spend-signature-invalid", 400, Client, free, "A certificate's key did not sign this payment.";
    CertificateSpent = "certificate-spent", 409, Client, free, "A certificate of the payment was spent before, for something else.";
    PaymentInProgress = "payment-in-progress", 409, Server, unknown, "This payment is being worked on; send the same bytes again.";
    VendorLimit = "vendor-limit", 503, Server, free, "The relay holds as many unredeemed credits of this vendor as it is willing to.";
    VendorUnreachable = "vendor-unreachable", 503, Server, unknown, "The relay asks the vendor about payments of this size and got no answer; send the same bytes again.";
    ProvisioningFailed = "provisioning-failed", 503, Server, unknown, "The relay could not provision now; send the same bytes again.";
    RequestRefused = "request-refused", 422, Client, free, "The relay does not provide what is asked for.";
    CommandStale = "command-stale", 401, Client, free, "The command's time is too far from the relay's; check the clock.";
    CommandUnauthorized = "command-unauthorized", 401, Client, free, "The command is not signed by the resource's key.";
    ResourceNotFound = "resource-not-found", 404, Client, free, "There is no such resource, or the command is not signed by its key.";
    LeaseEnded = "lease-ended", 410, Client, free, "The lease of this resource has ended.";
    QueueFull = "queue-full", 429, Client, free, "The queue is full until its recipient reads from it.";
    DigestMismatch = "digest-mismatch", 422, Client, free, "The bytes are not those that were paid for.";
    ChunkNotUploaded = "chunk-not-uploaded", 404, Client, free, "The chunk's bytes were not uploaded yet.";
    StorageFull = "storage-full", 507, Server, free, "The relay has no space left.";
    VendorStopped = "vendor-stopped", 503, Server, unknown, "The vendor has stopped, because its database is not the newest; ask again later.";
    Overloaded = "overloaded", 503, Server, unknown, "The server has too much to do; try again later.";
    Internal = "internal", 500, Server, unknown, "The server failed; its operator finds more in its log.";
}

const TYPE_PREFIX: &str = "urn:scrip:problem:";

impl ProblemType {
    /// The `type` URI of RFC 9457.
    pub fn uri(self) -> String {
        format!("{TYPE_PREFIX}{}", self.name())
    }

    /// The problem with this `type` URI.
    pub fn from_uri(uri: &str) -> Option<Self> {
        let name = uri.strip_prefix(TYPE_PREFIX)?;
        Self::ALL.iter().copied().find(|problem| problem.name() == name)
    }
}

impl Serialize for ProblemType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.uri())
    }
}

impl<'de> Deserialize<'de> for ProblemType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let uri = String::deserialize(deserializer)?;
        Self::from_uri(&uri).ok_or_else(|| serde::de::Error::custom("unknown problem type"))
    }
}

/// What a request costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// The least that is accepted.
    pub credits: Credits,
    /// How long the lease is for each credit paid.
    pub seconds_per_credit: u64,
}

/// A vendor whose certificates pay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayableVendor {
    /// The vendor.
    pub vendor_id: VendorId,
    /// Where it is.
    pub address: VendorAddress,
}

/// A problem document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Which problem.
    #[serde(rename = "type")]
    pub problem: ProblemType,
    /// [`ProblemType::title`]
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened here, where there is more to say. Never a secret, a key or an address of a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The price, of `payment-required` and `payment-too-low`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// The operator who would be paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// Whose certificates are accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vendors: Vec<PayableVendor>,
    /// Of `certificate-spent`: the [`ConflictProof`](crate::redemption::ConflictProof) of one such certificate, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<String>,
    /// As the answer to a paid request: the signed [`Refusal`](crate::refusal::Refusal), base64url. Without it nothing is promised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

impl Problem {
    /// A problem with nothing more to say.
    pub fn new(problem: ProblemType) -> Self {
        Self {
            problem,
            title: problem.title().to_owned(),
            status: problem.status(),
            detail: None,
            price: None,
            operator_id: None,
            vendors: Vec::new(),
            conflict: None,
            refusal: None,
        }
    }

    /// With what happened here.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The JSON document.
    pub fn to_json(&self) -> Vec<u8> {
        // A `Problem` has no map with keys other than strings and no failing serializer, so that this cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Parses a JSON document; `None` where it is no problem of scrip's.
    pub fn from_json(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}

impl From<ProblemType> for Problem {
    fn from(problem: ProblemType) -> Self {
        Self::new(problem)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.title)?;
        match &self.detail {
            Some(detail) => write!(f, " ({detail})"),
            None => Ok(()),
        }
    }
}
