//! What parties sign, send and publish.
//!
//! Cryptography is perfect here: a signature exists where its signer made it, and whoever got it in a message has it.

use crate::rules::Rules;

/// An operator: the first (0) or the second (1).
pub type Operator = u8;
/// A payment, numbered by the wallet. A number stands for the salt and the resource request: no two payments share one.
pub type Payment = u8;
/// A day.
pub type Day = u8;

/// What a certificate key signed: a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Use {
    /// `B_i` of a payment.
    Spend {
        /// To whom.
        operator: Operator,
        /// Which.
        payment: Payment,
        /// The denomination key of the token that was shown with it.
        key: u8,
    },
    /// `B` of a renewal.
    Renewal {
        /// Which request.
        request: u8,
    },
}

impl Use {
    /// Whether two uses have the same binding.
    pub fn same(self, other: Self, rules: &Rules) -> bool {
        self.bound(rules) == other.bound(rules)
    }

    /// The same for all uses of one binding.
    fn bound(self, rules: &Rules) -> Self {
        match self {
            Self::Spend { operator, payment, .. } if !rules.key_in_binding => {
                Self::Spend { operator, payment, key: 0 }
            }
            _ => self,
        }
    }
}

/// A signature of the certificate key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signed {
    /// Over what.
    pub over: Use,
    /// Which of the signatures that Ed25519 has for it. Honest signers make one.
    pub nonce: u8,
}

/// A certificate that was spent, as an operator has it and redeems it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item {
    /// The operator that was paid.
    pub operator: Operator,
    /// The payment.
    pub payment: Payment,
    /// The denomination key of the token.
    pub key: u8,
    /// Which signature.
    pub nonce: u8,
}

impl Item {
    /// The signature in it.
    pub fn signed(self) -> Signed {
        let Self { operator, payment, key, nonce } = self;
        Signed { over: Use::Spend { operator, payment, key }, nonce }
    }
}

/// What a double spend lost against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Winner {
    /// A spend, in this leaf.
    Leaf(u8),
    /// A renewal on this day; its leaf is due when the day is over.
    Day(Day),
}

/// What a vendor answers about an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Credited, now or before, in this leaf.
    Credited(u8),
    /// Spent otherwise.
    DoubleSpent(Signed, Winner),
    /// `invalid` or `expired`.
    Refused,
}

/// What somebody signed and cannot take back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Document {
    /// An operator took a payment.
    Receipt(Operator, Payment),
    /// An operator refused a payment.
    Refusal(Operator, Payment),
    /// An operator's batch of one item.
    Batch(Item),
    /// The vendor's answer to it.
    Outcome {
        /// The item.
        item: Item,
        /// The answer.
        verdict: Verdict,
        /// When.
        day: Day,
        /// The receipt key.
        key: u8,
    },
    /// The vendor refused to renew.
    RenewalRefused(u8),
    /// The vendor says that what was to be renewed is spent.
    RenewalSpent {
        /// The request.
        request: u8,
        /// The proof.
        proof: Signed,
        /// Where it is recorded.
        winner: Winner,
        /// When.
        day: Day,
    },
}

/// An entry of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Leaf {
    /// A redemption, with its operator in it.
    Redemption(Item),
    /// A renewal: the binding and its signature.
    Renewal(Signed),
}

impl Leaf {
    /// The signature in it.
    pub fn signed(self) -> Signed {
        match self {
            Self::Redemption(item) => item.signed(),
            Self::Renewal(signed) => signed,
        }
    }
}

/// The receipt keys that a manifest lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Keys {
    /// The first one.
    First,
    /// The first and a second that the first endorsed.
    Endorsed,
    /// The first and a second without an endorsement.
    Unendorsed,
    /// The second alone.
    Replaced,
}

/// A message. Once sent it may arrive at any time, any number of times, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message {
    /// Wallet to operator, on this day.
    Pay(Item, Day),
    /// Operator to wallet.
    Receipt(Operator, Payment),
    /// Operator to wallet, signed.
    Refusal(Operator, Payment),
    /// Operator to wallet, a problem without a signature.
    Problem(Operator, Payment),
    /// The first operator to the wallet: the lease ended, because of this proof.
    Ended(Payment, Signed),
    /// Operator to vendor: a signed batch.
    Redeem(Item),
    /// Vendor to operator: the signed outcome.
    Outcome(Item, Verdict, Day, u8),
    /// Wallet to vendor.
    Renew(u8),
    /// Vendor to wallet: the blind signature.
    Renewed(u8),
    /// Vendor to wallet, signed or not as the rules are.
    RenewalRefused(u8),
    /// Vendor to wallet, a problem without a signature.
    RenewalProblem(u8),
    /// Vendor to wallet, signed or not as the rules are.
    RenewalSpent(u8, Signed, Winner, Day),
    /// Vendor to readers: a manifest.
    Manifest(Keys),
}

impl Message {
    /// The document in it.
    pub fn document(self, rules: &Rules) -> Option<Document> {
        Some(match self {
            Self::Receipt(operator, payment) => Document::Receipt(operator, payment),
            Self::Refusal(operator, payment) => Document::Refusal(operator, payment),
            Self::Redeem(item) => Document::Batch(item),
            Self::Outcome(item, verdict, day, key) => Document::Outcome { item, verdict, day, key },
            Self::RenewalRefused(request) if rules.renewal_refusal_signed => {
                Document::RenewalRefused(request)
            }
            Self::RenewalSpent(request, proof, winner, day) if rules.renewal_conflict_signed => {
                Document::RenewalSpent { request, proof, winner, day }
            }
            _ => return None,
        })
    }
}
