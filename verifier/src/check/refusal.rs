//! Why a payment is refused before anything is taken.

use scrip_protocol::{
    DecodeError,
    check::Rejection,
    credits::Credits,
    problem::{Problem, ProblemType},
};

use crate::price::Quote;

/// Why a payment does not pass the checks. Always the client's fault, and nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Check 1.
    #[error("the paid request is larger than a paid request can be")]
    TooLarge,
    /// Check 2.
    #[error("the paid request does not parse: {0}")]
    Malformed(DecodeError),
    /// Check 3.
    #[error("certificates of this vendor are not accepted here")]
    WrongVendor,
    /// Check 3.
    #[error("the payment is for another operator")]
    WrongOperator,
    /// Check 4.
    #[error("a certificate occurs twice in the payment")]
    DuplicateCertificate,
    /// Check 5.
    #[error("the payment's day is not yesterday, today or tomorrow")]
    DayOutOfRange,
    /// Check 6.
    #[error("a certificate answers another challenge than the vendor's")]
    ChallengeMismatch,
    /// Check 6.
    #[error("the manifest has no such denomination key")]
    KeyUnknown,
    /// Check 6.
    #[error("the denomination key is outside of its spend window")]
    KeyOutsideWindow,
    /// Check 6.
    #[error("a certificate of a test purchase is not taken here")]
    TestCertificate,
    /// Check 7.
    #[error("a certificate key is not canonical, or of small order")]
    CertificateKey,
    /// Check 8.
    #[error("{paid} were paid, the price is {}", quote.credits)]
    PaymentTooLow {
        /// What the certificates are worth.
        paid: Credits,
        /// What they should be worth.
        quote: Quote,
    },
    /// Check 8: nobody counts so many credits.
    #[error("{paid} were paid, one payment can be for {} at most", super::MOST_CREDITS)]
    PaymentTooHigh {
        /// What the certificates are worth.
        paid: Credits,
    },
    /// Check 9.
    #[error("a certificate is not signed by its vendor")]
    CertificateSignature,
    /// Check 10.
    #[error("a certificate's key did not sign this payment")]
    SpendSignature,
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::CertificateKey => Self::CertificateKey,
            Rejection::CertificateSignature => Self::CertificateSignature,
            Rejection::SpendSignature => Self::SpendSignature,
        }
    }
}

impl Refusal {
    /// Whether the payment may be one that its holder made, and that would be taken at another time or for another price. What
    /// can never be taken, or cannot be told, is refused without a signature (verification.md, "Refusals").
    pub const fn depends_on_the_relay(&self) -> bool {
        match self {
            Self::DayOutOfRange
            | Self::KeyOutsideWindow
            | Self::TestCertificate
            | Self::PaymentTooLow { .. }
            | Self::PaymentTooHigh { .. } => true,
            Self::TooLarge
            | Self::Malformed(_)
            | Self::WrongVendor
            | Self::WrongOperator
            | Self::DuplicateCertificate
            | Self::ChallengeMismatch
            | Self::KeyUnknown
            | Self::CertificateKey
            | Self::CertificateSignature
            | Self::SpendSignature => false,
        }
    }

    /// The problem that the client is answered with.
    pub const fn problem_type(&self) -> ProblemType {
        match self {
            Self::TooLarge => ProblemType::TooLarge,
            Self::Malformed(_) => ProblemType::Malformed,
            Self::WrongVendor => ProblemType::WrongVendor,
            Self::WrongOperator => ProblemType::WrongOperator,
            Self::DuplicateCertificate => ProblemType::DuplicateCertificate,
            Self::DayOutOfRange => ProblemType::DayOutOfRange,
            Self::ChallengeMismatch => ProblemType::ChallengeMismatch,
            Self::KeyUnknown => ProblemType::KeyUnknown,
            Self::KeyOutsideWindow => ProblemType::KeyOutsideWindow,
            Self::TestCertificate => ProblemType::TestCertificate,
            Self::CertificateKey => ProblemType::CertificateKeyInvalid,
            Self::PaymentTooLow { .. } => ProblemType::PaymentTooLow,
            Self::PaymentTooHigh { .. } => ProblemType::RequestRefused,
            Self::CertificateSignature => ProblemType::CertificateSignatureInvalid,
            Self::SpendSignature => ProblemType::SpendSignatureInvalid,
        }
    }

    /// The problem document. `payment-too-low` still lacks whom to pay, which the check does not know.
    pub fn problem(&self) -> Problem {
        let problem = Problem::new(self.problem_type());
        match self {
            Self::Malformed(error) => problem.detail(error.to_string()),
            Self::PaymentTooHigh { .. } => problem.detail(self.to_string()),
            Self::PaymentTooLow { paid, quote } => {
                let mut problem = problem.detail(format!("{paid} were paid"));
                problem.price = Some((*quote).into());
                problem
            }
            _ => problem,
        }
    }
}
