//! Media types of requests and answers.

/// A signed key manifest with the proof that the vendor's ledger has it.
pub const MANIFEST: &str = "application/scrip-manifest";
/// Blinded messages for a pack.
pub const ISSUANCE_REQUEST: &str = "application/scrip-issuance-request";
/// Blind signatures for a pack.
pub const ISSUANCE_ANSWER: &str = "application/scrip-issuance-answer";
/// An unpaid resource request.
pub const RESOURCE_REQUEST: &str = "application/scrip-resource-request";
/// A resource request with its payment.
pub const PAID_REQUEST: &str = "application/scrip-paid-request";
/// An operator's receipt.
pub const RECEIPT: &str = "application/scrip-receipt";
/// A redemption batch.
pub const REDEMPTION_BATCH: &str = "application/scrip-redemption-batch";
/// A redemption outcome.
pub const REDEMPTION_OUTCOME: &str = "application/scrip-redemption-outcome";
/// A certificate to be renewed.
pub const RENEWAL_REQUEST: &str = "application/scrip-renewal-request";
/// What became of it.
pub const RENEWAL_ANSWER: &str = "application/scrip-renewal-answer";
/// A question for an operator's own leaves.
pub const LEDGER_QUERY: &str = "application/scrip-ledger-query";
/// Some of them.
pub const LEDGER_LEAVES: &str = "application/scrip-ledger-leaves";
/// A proof of solvency.
pub const SOLVENCY: &str = "application/scrip-solvency";
/// A signed index of voided certificates, with its proof.
pub const VOIDED: &str = "application/scrip-voided";
/// The status of a lease.
pub const LEASE: &str = "application/scrip-lease";
/// RFC 9457.
pub const PROBLEM: &str = "application/problem+json";
/// RFC 8259.
pub const JSON: &str = "application/json";
/// Blocks and chunks.
pub const BYTES: &str = "application/octet-stream";
/// RFC 9578, section 5.1.
pub const TOKEN_REQUEST: &str = "application/private-token-request";
/// RFC 9578, section 5.2.
pub const TOKEN_RESPONSE: &str = "application/private-token-response";
/// RFC 9578, section 4.
pub const ISSUER_DIRECTORY: &str = "application/private-token-issuer-directory";
