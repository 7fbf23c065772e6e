//! The terms on which operators are paid, and pay (ledger.md, "Leaves").

use rand_core::RngCore;
use scrip_protocol::ledger::{Contract, Currency, Money, Share};
use scrip_runtime::clock::Clock;

use crate::store::{Act, Action, NewContract, OperatorRow, RecordedContract, Store, StoreError};

/// Terms as a person gives them.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The operator's name.
    pub operator: &'a str,
    /// What amounts are in; for all but the first contract of an operator it may be left out.
    pub currency: Option<Currency>,
    /// Of one credit.
    pub price: Money,
    /// The operator's part of it.
    pub share: Share,
    /// What the operator pays for a credit that it sold.
    pub resale_price: Money,
}

/// Why terms were not recorded.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// There is no such operator.
    #[error("there is no operator `{name}`; see `scrip-issuer operator list`")]
    UnknownOperator {
        /// What was asked for.
        name: String,
    },
    /// A price below nothing.
    #[error("a price is not negative; what is owed besides is an adjustment of a statement")]
    Negative,
    /// The currency never changes.
    #[error(
        "the contracts of `{name}` are in {held}, and stay so; add the operator anew under another key for another currency"
    )]
    OtherCurrency {
        /// The operator.
        name: String,
        /// Its currency.
        held: Currency,
    },
    /// The first contract has to say it.
    #[error("the first contract of an operator says its currency; give --currency, such as EUR")]
    NoCurrency,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Records terms, in force for everything of this operator that comes after them in the ledger, and whether they are new.
///
/// # Errors
/// [`ContractError`].
pub async fn conclude(
    store: &Store,
    terms: Terms<'_>,
    actor: &str,
    clock: &dyn Clock,
    rng: &mut dyn RngCore,
) -> Result<(Contract, bool), ContractError> {
    let operator = operator(store, terms.operator).await?;
    let price = terms.price.unsigned().ok_or(ContractError::Negative)?;
    let resale_price = terms.resale_price.unsigned().ok_or(ContractError::Negative)?;
    let mut salt = [0; 32];
    rng.fill_bytes(&mut salt);
    let new = NewContract {
        currency: terms.currency,
        price,
        share: terms.share.get(),
        resale_price,
        day: clock.today(),
        salt,
    };
    let act =
        Act::by(actor, clock.now(), Action::OperatorContract, &operator.name).detail(format!(
            "{} a credit, of which {}; resold for {}",
            terms.price, terms.share, terms.resale_price
        ));
    match store.add_contract(&operator, &new, &act).await? {
        RecordedContract::Recorded(contract) => Ok((contract, true)),
        RecordedContract::Before(contract) => Ok((contract, false)),
        RecordedContract::OtherCurrency(held) => {
            Err(ContractError::OtherCurrency { name: operator.name, held })
        }
        RecordedContract::NoCurrency => Err(ContractError::NoCurrency),
    }
}

/// The operator with this name.
///
/// # Errors
/// [`ContractError::UnknownOperator`].
pub async fn operator(store: &Store, name: &str) -> Result<OperatorRow, ContractError> {
    let found = store.operators().await?.into_iter().find(|one| one.name == name.trim());
    found.ok_or_else(|| ContractError::UnknownOperator { name: name.to_owned() })
}
