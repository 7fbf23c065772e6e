//! Domain separation: every label of the protocol, and the one hash that uses them.

use sha2::{Digest, Sha256};

/// What a hash or a signature is for (overview.md, "Notation"). No two uses share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table in overview.md says what each is for")]
pub enum Label {
    VendorId,
    OperatorId,
    Manifest,
    ManifestDigest,
    ResourceRequest,
    Commitment,
    Binding,
    Spend,
    PaymentId,
    Receipt,
    RelayInfo,
    Command,
    RedemptionBatch,
    RedemptionBatchDigest,
    RedemptionOutcome,
    IssuanceRequest,
    GrantId,
    Renewal,
    Inquiry,
    InquiryDigest,
    InquiryAnswer,
    LedgerQuery,
    Statement,
    FreeAllowance,
    FreeWork,
}

impl Label {
    /// The label as it is hashed or signed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VendorId => "scrip/v1 vendor id",
            Self::OperatorId => "scrip/v1 operator id",
            Self::Manifest => "scrip/v1 manifest",
            Self::ManifestDigest => "scrip/v1 manifest digest",
            Self::ResourceRequest => "scrip/v1 resource request",
            Self::Commitment => "scrip/v1 commitment",
            Self::Binding => "scrip/v1 binding",
            Self::Spend => "scrip/v1 spend",
            Self::PaymentId => "scrip/v1 payment id",
            Self::Receipt => "scrip/v1 receipt",
            Self::RelayInfo => "scrip/v1 relay info",
            Self::Command => "scrip/v1 command",
            Self::RedemptionBatch => "scrip/v1 redemption batch",
            Self::RedemptionBatchDigest => "scrip/v1 redemption batch digest",
            Self::RedemptionOutcome => "scrip/v1 redemption outcome",
            Self::IssuanceRequest => "scrip/v1 issuance request",
            Self::GrantId => "scrip/v1 grant id",
            Self::Renewal => "scrip/v1 renewal",
            Self::Inquiry => "scrip/v1 inquiry",
            Self::InquiryDigest => "scrip/v1 inquiry digest",
            Self::InquiryAnswer => "scrip/v1 inquiry answer",
            Self::LedgerQuery => "scrip/v1 ledger query",
            Self::Statement => "scrip/v1 statement",
            Self::FreeAllowance => "scrip/v1 free allowance",
            Self::FreeWork => "scrip/v1 free work",
        }
    }

    /// `uint8(len(label)) ‖ label`, what precedes the data in every hash and signature.
    pub(crate) fn prefix(self) -> impl Iterator<Item = u8> {
        let label = self.as_str().as_bytes();
        // Every label above is far shorter than 256 bytes.
        std::iter::once(label.len() as u8).chain(label.iter().copied())
    }
}

/// `hash(label, parts[0] ‖ parts[1] ‖ …)` of overview.md. The parts are of fixed length, or encoded, so that
/// no two lists of parts run together.
pub fn hash(label: Label, parts: &[&[u8]]) -> [u8; 32] {
    let text = label.as_str().as_bytes();
    let mut sha = Sha256::new();
    sha.update([text.len() as u8]);
    sha.update(text);
    for part in parts {
        sha.update(part);
    }
    sha.finalize().into()
}
