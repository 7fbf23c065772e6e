//! From the errors of the use cases to problem documents (errors.md): one exhaustive match.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use scrip_protocol::{
    check::Rejection,
    media,
    problem::{Problem, ProblemType},
};

use super::respond;
use crate::{
    grants::GrantError,
    ledger::{LedgerError, NotPlaced, OwnLeavesError},
    packs::PackIssueError,
    purchases::{NotificationError, OrderError, PurchaseError},
    redemption::RedemptionError,
    renewal::RenewalError,
    sources::SourceError,
    store::StoreError,
    tokens::TokenIssueError,
};

/// Seconds after which a client may try again where there was too much to do.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Everything that is answered instead of success.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// Found by the HTTP layer itself.
    #[error("{0:?}")]
    Surface(ProblemType),
    #[error(transparent)]
    Grant(#[from] GrantError),
    #[error(transparent)]
    Order(#[from] OrderError),
    #[error(transparent)]
    Purchase(#[from] PurchaseError),
    #[error(transparent)]
    Notification(#[from] NotificationError),
    #[error(transparent)]
    Pack(#[from] PackIssueError),
    #[error(transparent)]
    Token(#[from] TokenIssueError),
    #[error(transparent)]
    Redemption(#[from] RedemptionError),
    #[error(transparent)]
    Renewal(#[from] RenewalError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    OwnLeaves(#[from] OwnLeavesError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal {
    fn problem(&self) -> ProblemType {
        match self {
            Self::Surface(problem) => *problem,
            Self::Grant(error) => match error {
                GrantError::Unknown => ProblemType::GrantUnknown,
                GrantError::Pending => ProblemType::PurchasePending,
                GrantError::Store(error) => store_problem(error),
            },
            Self::Order(error) => match error {
                OrderError::ProductUnknown => ProblemType::ProductUnknown,
                OrderError::GrantUsed => ProblemType::GrantUsed,
                OrderError::Store(error) => store_problem(error),
            },
            Self::Purchase(error) => match error {
                PurchaseError::SourceUnknown => ProblemType::SourceUnknown,
                PurchaseError::Source(error) => source_problem(error),
                PurchaseError::OrderUnknown => ProblemType::OrderUnknown,
                PurchaseError::Used { source_name: "voucher" } => ProblemType::VoucherUsed,
                PurchaseError::Used { source_name: "free" } => ProblemType::AllowanceUsed,
                PurchaseError::Used { .. } => ProblemType::PurchaseUsed,
                PurchaseError::GrantUsed => ProblemType::GrantUsed,
                PurchaseError::BudgetSpent => ProblemType::AllowanceExhausted,
                PurchaseError::NoTestKeys | PurchaseError::Quantity => {
                    ProblemType::PurchaseUnverified
                }
                PurchaseError::Store(error) => store_problem(error),
            },
            Self::Notification(error) => match error {
                NotificationError::SourceUnknown => ProblemType::SourceUnknown,
                NotificationError::Source(error) => source_problem(error),
                NotificationError::Store(error) => store_problem(error),
            },
            Self::Pack(error) => match error {
                PackIssueError::GrantUnknown => ProblemType::GrantUnknown,
                PackIssueError::GrantUsed => ProblemType::GrantUsed,
                PackIssueError::GrantCancelled => ProblemType::GrantCancelled,
                PackIssueError::GrantUnused => ProblemType::GrantUnused,
                PackIssueError::KeyUnknown => ProblemType::KeyUnknown,
                PackIssueError::KeyOutsideWindow => ProblemType::KeyOutsideWindow,
                PackIssueError::PackMismatch => ProblemType::PackMismatch,
                PackIssueError::OutOfRange => ProblemType::BlindedMessageOutOfRange,
                PackIssueError::Overloaded => ProblemType::Overloaded,
                PackIssueError::Signer(_) => ProblemType::Internal,
                PackIssueError::Store(error) => store_problem(error),
            },
            Self::Token(error) => match error {
                TokenIssueError::GrantUnknown => ProblemType::GrantUnknown,
                TokenIssueError::GrantUsed => ProblemType::GrantUsed,
                TokenIssueError::GrantCancelled => ProblemType::GrantCancelled,
                TokenIssueError::TestGrant => ProblemType::PackMismatch,
                TokenIssueError::KeyUnknown => ProblemType::KeyUnknown,
                TokenIssueError::OutOfRange => ProblemType::BlindedMessageOutOfRange,
                TokenIssueError::Overloaded => ProblemType::Overloaded,
                TokenIssueError::Signer(_) => ProblemType::Internal,
                TokenIssueError::Store(error) => store_problem(error),
            },
            Self::Redemption(error) => match error {
                RedemptionError::WrongVendor => ProblemType::WrongVendor,
                RedemptionError::OperatorUnknown => ProblemType::OperatorUnknown,
                RedemptionError::SignatureInvalid => ProblemType::OperatorSignatureInvalid,
                RedemptionError::NotPlaced(NotPlaced::Ledger(LedgerError::Store(
                    error @ StoreError::Doubted(_),
                ))) => store_problem(error),
                RedemptionError::Interrupted
                | RedemptionError::NotPlaced(_)
                | RedemptionError::ClockInDoubt => ProblemType::Overloaded,
                RedemptionError::Store(error) => store_problem(error),
            },
            Self::Renewal(error) => match error {
                RenewalError::Challenge => ProblemType::ChallengeMismatch,
                RenewalError::KeyUnknown => ProblemType::KeyUnknown,
                RenewalError::Certificate(rejection) => rejected(*rejection),
                RenewalError::Refused(document) => document.problem,
                RenewalError::NotNow(problem) | RenewalError::TooMany(problem) => *problem,
                RenewalError::NotPlaced(NotPlaced::Ledger(LedgerError::Store(
                    error @ StoreError::Doubted(_),
                ))) => store_problem(error),
                RenewalError::Overloaded
                | RenewalError::ClockInDoubt
                | RenewalError::NotPlaced(_) => ProblemType::Overloaded,
                RenewalError::Signer(_) => ProblemType::Internal,
                RenewalError::Store(error) => store_problem(error),
            },
            Self::Ledger(error) => ledger_problem(error),
            Self::Store(error) => store_problem(error),
            Self::OwnLeaves(error) => match error {
                OwnLeavesError::WrongVendor => ProblemType::WrongVendor,
                OwnLeavesError::OperatorUnknown => ProblemType::OperatorUnknown,
                OwnLeavesError::SignatureInvalid => ProblemType::OperatorSignatureInvalid,
                OwnLeavesError::Stale => ProblemType::ClockSkew,
                OwnLeavesError::Ledger(error) => ledger_problem(error),
            },
        }
    }

    /// What the title does not say.
    fn detail(&self) -> Option<&'static str> {
        match self {
            Self::Purchase(error) => match error {
                PurchaseError::Source(SourceError::VoucherMistyped) => {
                    Some("the code has a typing error")
                }
                PurchaseError::Source(SourceError::Unverified(detail)) => Some(detail),
                PurchaseError::NoTestKeys => Some("it is of a test environment"),
                PurchaseError::Quantity => Some("the quantity is too large for one grant"),
                _ => None,
            },
            Self::Notification(NotificationError::Source(SourceError::NotificationUnverified(
                detail,
            ))) => Some(detail),
            Self::Redemption(RedemptionError::ClockInDoubt)
            | Self::Renewal(RenewalError::ClockInDoubt) => Some("the vendor's clock is in doubt"),
            Self::Renewal(RenewalError::Refused(document))
                if document.problem == ProblemType::Malformed =>
            {
                Some("a new key is not that of the same denomination and use in a later epoch")
            }
            Self::Renewal(RenewalError::NotNow(_)) => Some("not yet; send the same bytes again"),
            _ => None,
        }
    }

    /// The document, with the vendor's promise in it where that made one.
    fn document(&self, problem: ProblemType) -> Problem {
        let document = match self {
            Self::Renewal(RenewalError::Refused(document)) => Problem::clone(document),
            _ => Problem::new(problem),
        };
        match self.detail() {
            Some(detail) => document.detail(detail),
            None => document,
        }
    }
}

const fn rejected(rejection: Rejection) -> ProblemType {
    match rejection {
        Rejection::CertificateKey => ProblemType::CertificateKeyInvalid,
        Rejection::CertificateSignature => ProblemType::CertificateSignatureInvalid,
        Rejection::SpendSignature => ProblemType::SpendSignatureInvalid,
    }
}

fn source_problem(error: &SourceError) -> ProblemType {
    match error {
        SourceError::Unknown => ProblemType::SourceUnknown,
        SourceError::Unverified(_) => ProblemType::PurchaseUnverified,
        SourceError::Pending => ProblemType::PurchasePending,
        SourceError::Refunded | SourceError::Cancelled => ProblemType::PurchaseRefunded,
        SourceError::ProductUnknown => ProblemType::ProductUnknown,
        SourceError::VoucherUnknown | SourceError::VoucherMistyped => ProblemType::VoucherUnknown,
        SourceError::VoucherExpired => ProblemType::VoucherExpired,
        SourceError::WorkInsufficient => ProblemType::WorkInsufficient,
        SourceError::RestNotDue => ProblemType::RestNotDue,
        SourceError::Unavailable(_) => ProblemType::SourceUnavailable,
        SourceError::NotificationUnverified(_) => ProblemType::NotificationUnverified,
        SourceError::Store(error) => store_problem(error),
    }
}

/// A storage that does not answer may do so later.
fn ledger_problem(error: &LedgerError) -> ProblemType {
    match error {
        LedgerError::Store(error) => store_problem(error),
        LedgerError::Storage(_) | LedgerError::OtherStorage { .. } | LedgerError::Interrupted => {
            ProblemType::Overloaded
        }
        LedgerError::Damaged(_) | LedgerError::Lost { .. } => ProblemType::Internal,
    }
}

fn store_problem(error: &StoreError) -> ProblemType {
    match error {
        StoreError::Doubted(_) => ProblemType::VendorStopped,
        error if error.is_overload() => ProblemType::Overloaded,
        _ => ProblemType::Internal,
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = self.problem();
        if problem == ProblemType::Internal || problem == ProblemType::Overloaded {
            // The errors behind it name transactions and tables, and no values.
            tracing::error!(error = %self, "a request failed");
        }
        let document = self.document(problem);
        let status = StatusCode::from_u16(problem.status());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = respond(status, media::PROBLEM, document.to_json());
        if matches!(problem, ProblemType::Overloaded | ProblemType::VendorStopped) {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}
