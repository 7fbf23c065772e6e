//! Domain separation: every label of the protocol, and the one hash that uses them.

use sha2::{Digest, Sha256};

macro_rules! labels {
    ($($name:ident => $text:literal,)*) => {
        /// What a hash or a signature is for (overview.md, "Notation"). No two uses share one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the table in overview.md says what each is for")]
        pub enum Label {
            $( $name, )*
        }

        impl Label {
            /// Every label.
            pub const ALL: &[Self] = &[$( Self::$name, )*];

            /// The label as it is hashed or signed.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $( Self::$name => $text, )*
                }
            }
        }
    };
}

// Each is shorter than 0x40 bytes: what is signed under it begins with its length, and so never as a note does (`tlog::note`).
labels! {
    VendorId => "scrip/v1 vendor id",
    OperatorId => "scrip/v1 operator id",
    Manifest => "scrip/v1 manifest",
    ManifestDigest => "scrip/v1 manifest digest",
    HeldManifest => "scrip/v1 held manifest",
    ReceiptKey => "scrip/v1 receipt key",
    ResourceRequest => "scrip/v1 resource request",
    Commitment => "scrip/v1 commitment",
    Binding => "scrip/v1 binding",
    Spend => "scrip/v1 spend",
    PaymentId => "scrip/v1 payment id",
    Receipt => "scrip/v1 receipt",
    Refusal => "scrip/v1 refusal",
    RelayInfo => "scrip/v1 relay info",
    Command => "scrip/v1 command",
    RedemptionBatch => "scrip/v1 redemption batch",
    RedemptionBatchDigest => "scrip/v1 redemption batch digest",
    RedemptionOutcome => "scrip/v1 redemption outcome",
    IssuanceRequest => "scrip/v1 issuance request",
    GrantId => "scrip/v1 grant id",
    Renewal => "scrip/v1 renewal",
    RenewalSpend => "scrip/v1 renewal spend",
    RenewalRefusal => "scrip/v1 renewal refusal",
    RenewalSpent => "scrip/v1 renewal spent",
    Voided => "scrip/v1 voided",
    VoidedKey => "scrip/v1 voided key",
    VoidedPadding => "scrip/v1 voided padding",
    VoidedBucket => "scrip/v1 voided bucket",
    VoidedIndex => "scrip/v1 voided index",
    VoidedIndexDigest => "scrip/v1 voided index digest",
    LedgerQuery => "scrip/v1 ledger query",
    Statement => "scrip/v1 statement",
    FreeAllowance => "scrip/v1 free allowance",
    FreeWork => "scrip/v1 free work",
}

impl Label {
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
