//! Operators under contract.

use scrip_protocol::{id::OperatorId, keys::PublicKey};
use scrip_runtime::clock::Clock;

use crate::{
    issuer::Issuer,
    store::{Act, Action, AddedOperator, OperatorRow, Store, StoreError},
};

/// The longest name.
const MAX_NAME: usize = 100;

/// Why an operator was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddOperatorError {
    /// The name is empty, too long, or has control characters.
    #[error("an operator's name has from 1 to {MAX_NAME} printable characters")]
    Name,
    /// It is no key that anybody can sign with.
    #[error("this is no operator's key; use the one that `scrip-relay init` prints")]
    Key,
    /// The key is known under another name.
    #[error("this key is known already, as `{name}`; one operator has one key")]
    KeyTaken {
        /// That name.
        name: String,
    },
    /// Another key has this name.
    #[error("another operator is called `{name}`; choose another name")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Adds an operator, from whom redemptions are accepted from now on. Adding the same one again changes nothing. `actor` is
/// who does it, for the log.
///
/// # Errors
/// [`AddOperatorError`].
pub async fn add(
    store: &Store,
    name: &str,
    key: &PublicKey,
    actor: &str,
    clock: &dyn Clock,
) -> Result<OperatorId, AddOperatorError> {
    let name = name.trim();
    let printable = !name.is_empty() && !name.chars().any(char::is_control);
    if !printable || name.chars().count() > MAX_NAME {
        return Err(AddOperatorError::Name);
    }
    let id = OperatorId::of(key);
    let act = Act::by(actor, clock.now(), Action::OperatorAdd, name).detail(id.to_string());
    match store.add_operator(&id, key, name, clock.today(), &act).await? {
        AddedOperator::Added | AddedOperator::Before => Ok(id),
        AddedOperator::KeyTaken { name } => Err(AddOperatorError::KeyTaken { name }),
        AddedOperator::NameTaken => Err(AddOperatorError::NameTaken { name: name.to_owned() }),
    }
}

impl Issuer {
    /// Adds an operator; see [`add`].
    ///
    /// # Errors
    /// [`AddOperatorError`].
    pub async fn add_operator(
        &self,
        name: &str,
        key: &PublicKey,
    ) -> Result<OperatorId, AddOperatorError> {
        add(&self.inner.store, name, key, Act::BY_ITSELF, &*self.inner.clock).await
    }

    /// All operators.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn operators(&self) -> Result<Vec<OperatorRow>, StoreError> {
        self.inner.store.operators().await
    }
}
