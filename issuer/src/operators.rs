//! Operators under contract.

use scrip_protocol::{
    address::is_authority, id::OperatorId, keys::PublicKey, limits::MAX_ADDRESSES,
    manifest::Classes, text::is_name,
};
use scrip_runtime::clock::Clock;

use crate::{
    issuer::Issuer,
    store::{Act, Action, AddedOperator, NewOperator, OperatorRow, Store, StoreError},
};

/// Why an operator was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddOperatorError {
    /// The name cannot stand in the manifest.
    #[error(
        "an operator's name has from 1 to 64 bytes of printable text, with single spaces between its words"
    )]
    Name,
    /// An address cannot stand in the manifest.
    #[error(
        "an operator has at most {MAX_ADDRESSES} addresses, all different, of the form host or host:port"
    )]
    Address,
    /// There is no operator of this name.
    #[error("no operator is called `{name}`; see `scrip-issuer operator list`")]
    Unknown {
        /// The name.
        name: String,
    },
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
    new: NewOperator<'_>,
    actor: &str,
    clock: &dyn Clock,
) -> Result<OperatorId, AddOperatorError> {
    let NewOperator { name, key, addresses, .. } = new;
    let name = name.trim();
    if !is_name(name) {
        return Err(AddOperatorError::Name);
    }
    check_addresses(addresses)?;
    let id = OperatorId::of(key);
    let act = Act::by(actor, clock.now(), Action::OperatorAdd, name).detail(id.to_string());
    match store.add_operator(&NewOperator { name, ..new }, clock.today(), &act).await? {
        AddedOperator::Added | AddedOperator::Before => Ok(id),
        AddedOperator::KeyTaken { name } => Err(AddOperatorError::KeyTaken { name }),
        AddedOperator::NameTaken => Err(AddOperatorError::NameTaken { name: name.to_owned() }),
    }
}

/// Sets where the relay of an operator is and what it serves. Without an address it is listed no more; it can redeem all the same.
/// Running issuers publish that within seconds.
///
/// # Errors
/// [`AddOperatorError`].
pub async fn list(
    store: &Store,
    name: &str,
    addresses: &[String],
    classes: Classes,
    actor: &str,
    clock: &dyn Clock,
) -> Result<(), AddOperatorError> {
    check_addresses(addresses)?;
    let name = name.trim();
    let detail = if addresses.is_empty() { "none".to_owned() } else { addresses.join(" ") };
    let act = Act::by(actor, clock.now(), Action::OperatorList, name).detail(detail);
    match store.list_operator(name, addresses, classes, &act).await? {
        true => Ok(()),
        false => Err(AddOperatorError::Unknown { name: name.to_owned() }),
    }
}

fn check_addresses(addresses: &[String]) -> Result<(), AddOperatorError> {
    let mut seen = std::collections::BTreeSet::new();
    let fine = |address: &String| address.len() <= 255 && is_authority(address);
    let distinct = addresses.iter().all(|address| seen.insert(address));
    match distinct && addresses.len() <= MAX_ADDRESSES && addresses.iter().all(fine) {
        true => Ok(()),
        false => Err(AddOperatorError::Address),
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
        let new = NewOperator { name, key, addresses: &[], classes: Classes::ALL };
        add(&self.inner.store, new, Act::BY_ITSELF, &*self.inner.clock).await
    }

    /// Sets where an operator's relay is; see [`list`]. The manifest says so at once.
    ///
    /// # Errors
    /// [`AddOperatorError`]; of an operator that is stored and not published yet none: that is tried again.
    pub async fn list_operator(
        &self,
        name: &str,
        addresses: &[String],
    ) -> Result<(), AddOperatorError> {
        let (store, clock) = (&self.inner.store, &*self.inner.clock);
        list(store, name, addresses, Classes::ALL, Act::BY_ITSELF, clock).await?;
        if let Err(error) = self.tend_lists().await {
            tracing::error!(%error, "an operator is not listed yet; trying again");
        }
        Ok(())
    }

    /// All operators.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn operators(&self) -> Result<Vec<OperatorRow>, StoreError> {
        self.inner.store.operators().await
    }
}
