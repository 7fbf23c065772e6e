//! The limits of the specification (overview.md, "Limits"), applied before anything is decoded.

/// Bytes of a signed key manifest.
pub const MAX_MANIFEST: usize = 1 << 20;
/// Bytes of the proof that a manifest travels with.
pub const MAX_MANIFEST_PROOF: usize = 1 << 15;
/// Bytes of a manifest with its proof.
pub const MAX_PROVEN_MANIFEST: usize = 3 + MAX_MANIFEST + 3 + MAX_MANIFEST_PROOF;
/// Receipt keys that a vendor may have had.
pub const MAX_RECEIPT_KEYS: usize = 64;
/// Seconds around an issue window in which the vendor answers requests for signatures all the same.
pub const ISSUE_GRACE: u64 = 900;
/// Production epochs that may begin within [`ROTATION_PERIOD`]; under more, wallets have nothing signed.
pub const MAX_ROTATIONS: usize = 4;
/// The seconds of that period.
pub const ROTATION_PERIOD: u64 = 30 * 86_400;
/// Products of a manifest, those that are no longer sold included.
pub const MAX_PRODUCTS: usize = 256;
/// Operators of a manifest.
pub const MAX_OPERATORS: usize = 4_096;
/// Addresses of an operator.
pub const MAX_ADDRESSES: usize = 8;
/// Certificates of one issuance request.
pub const MAX_PACK: usize = 512;
/// Certificates of one payment.
pub const MAX_PAYMENT_ITEMS: usize = 64;
/// Bytes of a resource request.
pub const MAX_RESOURCE_REQUEST: usize = 4_096;
/// Items of one redemption batch.
pub const MAX_BATCH_ITEMS: usize = 1_024;
/// Bytes of a checkpoint with its signatures.
pub const MAX_CHECKPOINT: usize = 16_384;
/// Bytes of a leaf: what an entry of a tiled log can have.
pub const MAX_LEAF: usize = 65_535;
/// Leaves of one answer to a [`crate::ledger::LedgerQuery`].
pub const MAX_OWN_LEAVES: usize = 4_096;
/// Bytes of a signed statement, so that it fits a leaf.
pub const MAX_STATEMENT: usize = 65_000;
/// Bytes of a proof of solvency.
pub const MAX_SOLVENCY: usize = 1 << 20;
/// Buckets of a list of voided certificates.
pub const MAX_VOIDED_BUCKETS: usize = 1 << 16;
/// The exponent of the entries of a bucket.
pub const MAX_VOIDED_CAPACITY: u8 = 20;
/// Seconds from a payment to its redemption, as long as a relay can help it.
pub const REDEEM_WITHIN: u64 = 7 * 86_400;
/// Bytes of a receipt.
pub const MAX_RECEIPT: usize = 8_192;
/// Bytes of a refusal: operator, payment, the name of a problem, signature.
pub const MAX_REFUSAL: usize = 32 + 32 + 1 + 64 + 64;
/// Bytes of a lease status: what a lease can gather in receipts.
pub const MAX_LEASE_STATUS: usize = 1 << 20;
/// The largest exponent of a denomination.
pub const MAX_EXPONENT: u8 = 31;
/// Bytes of a queue message, exactly.
pub const MESSAGE_BLOCK: usize = 16_384;
/// Messages that a queue holds.
pub const MAX_QUEUE_MESSAGES: usize = 128;
/// Seconds that a queue keeps a message.
pub const MESSAGE_LIFETIME: u64 = 21 * 86_400;
/// Seconds by which the time of a signed command may differ from the relay's clock.
pub const COMMAND_SKEW: u64 = 600;
/// The steps, in seconds, in which commands say their time: a clock that is off by less shows in none of them, but where a step ends.
pub const COMMAND_STEP: u64 = 300;
/// Bytes of a JSON request or answer.
pub const MAX_JSON: usize = 4_096;
/// Bits of work for a free allowance: some minutes of a telephone.
pub const MAX_WORK: u32 = 28;
/// Bytes of a request that turns a purchase into a grant: a signed transaction carries three certificates.
pub const MAX_GRANT_REQUEST: usize = 16_384;
/// Bytes of a JSON answer that lists things (relay information, problem documents, the issuer directory).
pub const MAX_JSON_ANSWER: usize = 1 << 16;

/// Bytes of a token (RFC 9578, section 6.3).
pub const TOKEN: usize = 354;
/// Bytes of an RSA-2048 modulus, signature or blinded message.
pub const RSA: usize = 256;
/// Bytes of an item of an issuance request or answer.
pub const ISSUANCE_ITEM: usize = 32 + RSA;
/// Bytes of an issuance request or answer.
pub const MAX_ISSUANCE: usize = 3 + MAX_PACK * ISSUANCE_ITEM;
/// Bytes of an item of a payment.
pub const PAYMENT_ITEM: usize = TOKEN + 64;
/// Bytes of a paid request.
pub const MAX_PAID_REQUEST: usize =
    2 + MAX_RESOURCE_REQUEST + 32 + 32 + 4 + 32 + 2 + MAX_PAYMENT_ITEMS * PAYMENT_ITEM;
/// Bytes of an item of a redemption batch.
pub const REDEMPTION_ITEM: usize = TOKEN + 4 + 32 + 64;
/// Bytes of a redemption batch.
pub const MAX_REDEMPTION_BATCH: usize = 32 + 32 + 16 + 3 + MAX_BATCH_ITEMS * REDEMPTION_ITEM + 64;
/// Bytes of a conflict proof.
pub const CONFLICT_PROOF: usize = 32 + 1 + 32 + 64;
/// Bytes of a redemption outcome.
pub const MAX_REDEMPTION_OUTCOME: usize = 32
    + 32
    + 32
    + 4
    + 8
    + 3
    + MAX_BATCH_ITEMS * (1 + CONFLICT_PROOF + 8)
    + 2
    + MAX_BATCH_ITEMS * 8
    + 2
    + MAX_CHECKPOINT
    + 64;
/// Bytes of a query for an operator's own leaves.
pub const LEDGER_QUERY: usize = 32 + 32 + 8 + 8 + 64;
/// Bytes of the answer to it.
pub const MAX_OWN_LEAVES_ANSWER: usize = 8 + 8 + 3 + (1 << 24) - 1;
/// Bytes of the signed index of a list of voided certificates.
pub const MAX_VOIDED_INDEX: usize = 32 + 4 + 4 + 4 + 8 + 32 + 1 + 3 + MAX_VOIDED_BUCKETS * 32 + 64;
/// Bytes of a renewal request.
pub const RENEWAL_ITEM: usize = TOKEN + ISSUANCE_ITEM + 64;
/// Bytes of a renewal as it is recorded.
pub const RENEWAL: usize = 32 + RSA + RSA + 64;
/// Bytes of the signed answer that a certificate which was to be renewed was spent.
pub const MAX_RENEWAL_SPENT: usize = 32 + 32 + 32 + CONFLICT_PROOF + 8 + 2 + MAX_CHECKPOINT + 64;
/// Bytes of a renewal answer.
pub const MAX_RENEWAL_ANSWER: usize = 1 + MAX_RENEWAL_SPENT;
/// Bytes of the refusal of a renewal: vendor, certificate key, binding, day, version, the name of a problem, signature.
pub const MAX_RENEWAL_REFUSAL: usize = 32 + 32 + 32 + 4 + 8 + 1 + 64 + 64;
/// Renewals of one certificate that a vendor refuses under its signature, and so has to remember.
pub const MAX_RENEWAL_REFUSALS: usize = 16;
