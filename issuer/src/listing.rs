//! What the manifest lists besides keys (keys.md, "Products", "Operators"): products from the configuration when an issuer
//! starts, operators from the database whenever they change there.
//!
//! Whichever process sees a difference publishes the next version, and the others take it over. A running issuer never
//! compares its own configuration again: two with different files would undo each other's versions for ever.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError, atomic::Ordering},
};

use scrip_protocol::{
    credits::Exponent,
    manifest::{Epoch, KeyUse, Manifest, Operator, Product},
    time::UnixSeconds,
};

use crate::{issuer::Issuer, store::OperatorRow};

/// A product of the configuration is another one than the manifest promises.
#[derive(Debug, thiserror::Error)]
#[error(
    "`[products.{name}]` is not what was published under this name (at once {published}), and what a name stands for never changes: \
     put it back as it was, or sell the new pack under another name"
)]
pub struct ProductChanged {
    name: String,
    published: String,
}

/// The products of the next version: all that were ever published, and those of the configuration, which are on sale where
/// keys of this time sign all that they are made of.
///
/// # Errors
/// [`ProductChanged`].
pub(crate) fn products(
    held: &Manifest,
    configured: &[Product],
    now: UnixSeconds,
) -> Result<Vec<Product>, ProductChanged> {
    let off_sale = |known: &Product| Product { on_sale: false, ..known.clone() };
    let known = held.products().iter().map(|known| (known.name.clone(), off_sale(known)));
    let mut all: BTreeMap<String, Product> = known.collect();
    let signed = signed(held, now);
    for product in configured {
        if let Some(known) = all.get(&product.name).filter(|known| !known.same_content(product)) {
            let (name, published) = (product.name.clone(), known.pack.to_string());
            return Err(ProductChanged { name, published });
        }
        let on_sale = is_signed(product, &signed);
        all.insert(product.name.clone(), Product { on_sale, ..product.clone() });
    }
    Ok(all.into_values().collect())
}

/// The products of the next version where those that `waiting` names go on sale as soon as there are keys for them.
fn with_waiting(held: &Manifest, waiting: &BTreeSet<String>, now: UnixSeconds) -> Vec<Product> {
    let signed = signed(held, now);
    let may = |one: &Product| waiting.contains(&one.name) && is_signed(one, &signed);
    let listed = |one: &Product| Product { on_sale: one.on_sale || may(one), ..one.clone() };
    held.products().iter().map(listed).collect()
}

/// Those of the configuration that no key of this time can sign.
fn unsigned(held: &Manifest, configured: &[Product], now: UnixSeconds) -> BTreeSet<String> {
    let signed = signed(held, now);
    let waits = configured.iter().filter(|product| !is_signed(product, &signed));
    waits.map(|product| product.name.clone()).collect()
}

/// The denominations of the production keys that issue at `now`, or of the newest ones where none does.
fn signed(manifest: &Manifest, now: UnixSeconds) -> BTreeSet<Exponent> {
    let production = || manifest.epochs().iter().filter(|one| one.key_use == KeyUse::Production);
    let issues = |epoch: &&Epoch| epoch.windows.issues_at(now);
    let epoch = production().find(issues).or_else(|| production().next_back());
    let keys = manifest.keys().filter(|key| epoch.is_some_and(|one| one.number == key.epoch()));
    keys.map(|key| key.exponent()).collect()
}

fn is_signed(product: &Product, signed: &BTreeSet<Exponent>) -> bool {
    let mut entries = product.packs().flat_map(|pack| pack.entries());
    entries.all(|(exponent, _)| signed.contains(&exponent))
}

/// The operators of the next version: those with an address, ascending by key.
pub(crate) fn operators(rows: Vec<OperatorRow>) -> Vec<Operator> {
    let listed = rows.into_iter().filter(|row| !row.addresses.is_empty());
    let mut all: Vec<Operator> = listed
        .map(|row| Operator {
            name: row.name,
            key: row.key,
            classes: row.classes,
            addresses: row.addresses,
        })
        .collect();
    all.sort_by_key(|operator| *operator.key.as_bytes());
    all
}

/// Products that wait for keys, in this process.
#[derive(Default)]
pub(crate) struct Waiting(Mutex<BTreeSet<String>>);

impl Waiting {
    fn names(&self) -> BTreeSet<String> {
        // A set of names is as good after a panic as before.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, names: BTreeSet<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }
}

/// What is to be listed.
#[derive(Clone, Debug)]
pub enum Listing {
    /// What the configuration has, at the start.
    Configured,
    /// What there is, with these products as soon as keys sign them.
    Waiting(BTreeSet<String>),
}

impl Listing {
    /// The products of the version after `held`.
    ///
    /// # Errors
    /// [`ProductChanged`].
    pub(crate) fn products(
        &self,
        held: &Manifest,
        configured: &[Product],
        now: UnixSeconds,
    ) -> Result<Vec<Product>, ProductChanged> {
        match self {
            Self::Configured => products(held, configured, now),
            Self::Waiting(names) => Ok(with_waiting(held, names, now)),
        }
    }
}

impl Issuer {
    /// Publishes what the configuration sells and the database's operators, where the manifest has something else.
    ///
    /// # Errors
    /// [`crate::RotateError`]; nothing was changed then.
    pub(crate) async fn list_configured(&self) -> Result<(), crate::RotateError> {
        let rotation = self.rotation();
        let now = self.inner.clock.now();
        rotation.list(&Listing::Configured, now).await?;
        self.reload().await?;
        let waiting = unsigned(&self.manifest(), &self.inner.config.products(), now);
        for product in &waiting {
            tracing::warn!(
                product,
                "no key of this epoch signs what the product is made of; it is on sale from the next epoch made now"
            );
        }
        self.inner.waiting.set(waiting);
        self.inner.listed.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Publishes operators that were added, changed or taken off, and products whose keys issue now.
    pub(crate) async fn tend_lists(&self) -> Result<(), crate::RotateError> {
        if !self.inner.listed.load(Ordering::SeqCst) {
            // It could not be published at the start.
            return self.list_configured().await;
        }
        let (now, waiting) = (self.inner.clock.now(), self.inner.waiting.names());
        let held = self.manifest();
        let listed = operators(self.inner.store.operators().await?);
        // To look at what is held costs little, and nearly always there is nothing to do.
        if listed == held.operators() && with_waiting(&held, &waiting, now) == held.products() {
            return Ok(());
        }
        let made = self.rotation().list(&Listing::Waiting(waiting.clone()), now).await?;
        if let Some(made) = made {
            tracing::info!(version = made.version(), "published a manifest with other lists");
            self.reload().await?;
        }
        if !waiting.is_empty() {
            let configured = self.inner.config.products();
            self.inner.waiting.set(unsigned(&self.manifest(), &configured, now));
        }
        Ok(())
    }
}
