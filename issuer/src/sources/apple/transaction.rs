//! A purchase as the App Store signs it: StoreKit 2's `JWSTransactionDecodedPayload`, of which only what matters here is read.

use serde::Deserialize;

use crate::sources::TransactionId;

/// Bytes of a signed transaction in compact form. They have some 6,000 today, most of it the certificates.
pub(super) const MAX_TRANSACTION: usize = 12_288;

/// Digits of a transaction's number. They have 16 today.
const MAX_ID: usize = 64;

/// A transaction.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Transaction {
    /// What identifies it in its environment.
    pub(super) transaction_id: String,
    /// The app that it was bought in.
    pub(super) bundle_id: String,
    /// What was bought.
    pub(super) product_id: String,
    /// How many of it.
    #[serde(default = "one")]
    pub(super) quantity: u16,
    /// How often it can be bought.
    pub(super) r#type: Kind,
    /// Whether it was bought by this customer, or by somebody of the family.
    #[serde(default)]
    pub(super) in_app_ownership_type: Ownership,
    /// Where it was bought.
    pub(super) environment: Environment,
    /// The order that it is for, a UUID.
    pub(super) app_account_token: Option<String>,
    /// The customer's installation, which is one per Apple account and app.
    pub(super) app_transaction_id: Option<String>,
    /// When it was refunded, in milliseconds since 1970.
    pub(super) revocation_date: Option<u64>,
}

/// Where something is bought.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub(super) enum Environment {
    /// With money.
    Production,
    /// By testers, without money.
    Sandbox,
    /// A developer's machine, and whatever comes: not signed by Apple, or not to be relied on.
    #[serde(other)]
    Other,
}

/// The kinds of products.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub(super) enum Kind {
    /// Bought again and again, each a transaction of its own.
    Consumable,
    /// Bought once and restored for ever, or renewed under one order: not what credits are.
    #[serde(other)]
    Other,
}

/// Whose purchase it is.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub(super) enum Ownership {
    /// The customer's.
    #[default]
    #[serde(rename = "PURCHASED")]
    Purchased,
    /// A family's, of whom each member has a transaction.
    #[serde(other)]
    Other,
}

impl Transaction {
    /// What identifies it among all transactions: the two environments number theirs by themselves, and a tester's refund must
    /// never be a customer's. `None` where the environment is neither, or the number none.
    pub(super) fn id(&self) -> Option<TransactionId> {
        let environment = match self.environment {
            Environment::Production => "production",
            Environment::Sandbox => "sandbox",
            Environment::Other => return None,
        };
        let number = &self.transaction_id;
        let well_formed = (1..=MAX_ID).contains(&number.len())
            && number.bytes().all(|byte| byte.is_ascii_alphanumeric());
        well_formed.then(|| TransactionId::new(format!("{environment}/{number}")))
    }
}

fn one() -> u16 {
    1
}
