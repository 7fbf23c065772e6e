//! The state of everybody.

use std::collections::{BTreeMap, BTreeSet};

use crate::document::{Day, Document, Item, Keys, Leaf, Message, Operator, Payment, Signed};

/// What the wallet knows of its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holding {
    /// It may be used.
    Held,
    /// Paid; no definite answer yet.
    InFlight(Operator, Payment),
    /// Paid; there is a receipt.
    Spent(Operator, Payment),
    /// To be renewed; no definite answer yet.
    Renewing(u8),
    /// There is a new one in its place.
    Renewed,
    /// The vendor says that it was spent: it is gone.
    Elsewhere,
}

/// The wallet. All of it but `unrecorded` is on disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wallet {
    /// Its certificate.
    pub holding: Holding,
    /// How many payments it has made.
    pub payments: u8,
    /// How many renewals it has asked for.
    pub requests: u8,
    /// Why its lease at the first operator ended, if it did.
    pub ended: Option<Signed>,
    /// In a mutant: a payment that was sent and is not recorded.
    pub unrecorded: Option<(Operator, Payment)>,
}

/// What an operator has done about a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Taken, nothing provided yet. A crash undoes it.
    Reserved,
    /// Provided, with a receipt.
    Served,
    /// Redeemed.
    Credited,
    /// The vendor proved another use: the lease is over.
    Ended(Signed),
    /// The vendor's answer is wrong: the lease goes on, and the operator is not paid.
    Disputed,
}

/// An operator. All of it but `unsaved` is on disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Relay {
    /// Its payments.
    pub payments: BTreeMap<Payment, (Item, Stage)>,
    /// What it refused, with the day of the payment.
    pub refused: BTreeMap<Payment, Day>,
    /// In a mutant: a refusal that was signed and is not stored.
    pub unsaved: Option<(Payment, Day)>,
    /// The receipt keys that it knows.
    pub keys: Keys,
}

/// What the vendor has recorded about the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recorded {
    /// A redemption, and its leaf.
    Spent(Item, u8),
    /// A renewal, and its day.
    Renewed(u8, Day),
}

/// The vendor. All of it is on disk, except in a mutant `recorded`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Vendor {
    /// What it has recorded.
    pub recorded: Option<Recorded>,
    /// Whether that is on disk.
    pub saved: bool,
    /// Whether a renewal still has to be appended to the ledger.
    pub due: bool,
    /// Renewals that it refused.
    pub refused: BTreeSet<u8>,
}

/// The state of everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The day.
    pub day: Day,
    /// Every message that was ever sent.
    pub net: BTreeSet<Message>,
    /// The documents that the honest ones among wallet and operators have.
    pub held: BTreeSet<Document>,
    /// The wallet.
    pub wallet: Wallet,
    /// The operators.
    pub relays: [Relay; 2],
    /// The vendor.
    pub vendor: Vendor,
    /// The ledger. Witnesses see to it that there is one.
    pub ledger: Vec<Leaf>,
}

impl State {
    pub(crate) fn start() -> Self {
        let relay = Relay {
            payments: BTreeMap::new(),
            refused: BTreeMap::new(),
            unsaved: None,
            keys: Keys::First,
        };
        Self {
            day: 0,
            net: BTreeSet::new(),
            held: BTreeSet::new(),
            wallet: Wallet {
                holding: Holding::Held,
                payments: 0,
                requests: 0,
                ended: None,
                unrecorded: None,
            },
            relays: [relay.clone(), relay],
            vendor: Vendor { recorded: None, saved: true, due: false, refused: BTreeSet::new() },
            ledger: Vec::new(),
        }
    }

    pub(crate) fn relay(&mut self, operator: Operator) -> &mut Relay {
        &mut self.relays[usize::from(operator != 0)]
    }

    pub(crate) fn send(&mut self, message: Message) {
        self.net.insert(message);
    }

    /// Appends a leaf, and returns its index.
    pub(crate) fn append(&mut self, leaf: Leaf) -> u8 {
        let at = self.ledger.len();
        self.ledger.push(leaf);
        u8::try_from(at).unwrap_or(u8::MAX)
    }
}
