//! Making the next version of the manifest (keys.md, "From one version to the next"): new windows, new keys, signed by
//! the root key, and stored as one.
//!
//! Any process on the database may do so, and several at once: the primary key of the version decides, and whoever loses
//! discards what it made. The root key is opened for the signature and wiped after it.

use std::sync::Arc;

use rand_core::{CryptoRng, RngCore};
use scrip_protocol::{
    keys::SigningKey,
    limits::MAX_RECEIPT_KEYS,
    manifest::{Manifest, ManifestBody, denominations},
    time::UnixSeconds,
};
use scrip_runtime::{passphrase::Passphrase, random::RngFactory, steps::Steps};

use crate::{
    config::Config,
    epochs::{self, Change, Needs, NewEpoch},
    error::{InitError, RotateError, StartError},
    issuer::Issuer,
    keys::{RECEIPT, ROOT, Receipt, Vault, make_epoch, receipt},
    listing::{self, Listing},
    store::{Act, Action, ManifestVersion, SealedKey, Store},
};

/// How often a change is tried on top of what others published meanwhile.
const ATTEMPTS: u32 = 5;

/// Whoever may change the epochs: it can open the keys.
pub struct Rotation<'a> {
    pub(crate) store: &'a Store,
    pub(crate) config: &'a Config,
    pub(crate) vault: Arc<Vault>,
    pub(crate) steps: &'a Steps,
    pub(crate) rng: &'a RngFactory,
}

impl<'a> Rotation<'a> {
    /// Derives the sealing key from the passphrase. Whether it is right shows when the root key is opened.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn unlock(
        store: &'a Store,
        config: &'a Config,
        passphrase: Passphrase,
        steps: &'a Steps,
        rng: &'a RngFactory,
    ) -> Result<Self, StartError> {
        let vault = Arc::new(Vault::of(store, passphrase).await?);
        Ok(Self { store, config, vault, steps, rng })
    }

    /// Makes `change` and returns the manifest of then; `None` where there was nothing to change. Running issuers take
    /// it over within seconds.
    ///
    /// # Errors
    /// [`RotateError`]; nothing was changed.
    pub async fn change(
        &self,
        change: Change,
        now: UnixSeconds,
    ) -> Result<Option<Manifest>, RotateError> {
        epochs::check_length(&self.config.epoch).map_err(StartError::EpochsTooShort)?;
        self.publish(What::Epochs(change), None, now).await
    }

    /// Lets a new receipt key sign from now on, endorsed by the one that has signed so far, which stays in the manifest: what
    /// it signed stays the vendor's word (keys.md, "Receipt keys"). Running issuers take it over within seconds.
    ///
    /// # Errors
    /// [`RotateError`]; nothing was changed.
    pub async fn change_receipt_key(&self, now: UnixSeconds) -> Result<Manifest, RotateError> {
        let changed = self.publish(What::ReceiptKey, None, now).await?;
        changed.ok_or(RotateError::Overtaken { attempts: ATTEMPTS })
    }

    /// Brings the lists of products and operators up to date and returns the manifest of then; `None` where they are.
    ///
    /// # Errors
    /// [`RotateError`]; nothing was changed.
    pub async fn list(
        &self,
        listing: &Listing,
        now: UnixSeconds,
    ) -> Result<Option<Manifest>, RotateError> {
        self.publish(What::Lists, Some(listing), now).await
    }

    /// Puts the lists as they are now into the next version; whether they differ from the held ones.
    async fn edit_lists(
        &self,
        listing: &Listing,
        held: &Manifest,
        body: &mut ManifestBody,
        now: UnixSeconds,
    ) -> Result<bool, RotateError> {
        let products = listing.products(held, &self.config.products(), now);
        body.products = products.map_err(StartError::Product)?;
        body.operators = listing::operators(self.store.operators().await?);
        Ok(body.products != held.products() || body.operators != held.operators())
    }

    /// Makes the next version, until no other process was faster.
    async fn publish(
        &self,
        what: What,
        listing: Option<&Listing>,
        now: UnixSeconds,
    ) -> Result<Option<Manifest>, RotateError> {
        for _ in 0..ATTEMPTS {
            let (vendor_id, bytes) = self.store.manifest().await?;
            let held = Manifest::open(&bytes, &vendor_id).map_err(StartError::Manifest)?;
            let mut body = held.body();
            if let Some(listing) = listing
                && !self.edit_lists(listing, &held, &mut body, now).await?
            {
                return Ok(None);
            }
            let new = match what {
                What::Epochs(change) => {
                    match epochs::apply(change, &mut body.epochs, &self.config.epoch, now)? {
                        Needs::Nothing => return Ok(None),
                        Needs::Version(new) => new,
                    }
                }
                What::ReceiptKey if held.receipt_keys().all().count() >= MAX_RECEIPT_KEYS => {
                    return Err(RotateError::TooManyReceiptKeys);
                }
                What::ReceiptKey | What::Lists => Vec::new(),
            };
            let next = self.make(held, body, new, what, now).await?;
            self.steps.at("issuer.manifest.before_publish");
            let published = self.store.publish(&next, &act(what, &next, now)).await?;
            self.steps.at("issuer.manifest.after_publish");
            if published {
                let made = Manifest::open(&next.manifest, &vendor_id);
                return Ok(Some(made.map_err(InitError::Manifest)?));
            }
        }
        Err(RotateError::Overtaken { attempts: ATTEMPTS })
    }

    /// Makes the keys and signs, away from the async runtime: an RSA key takes a good part of a second.
    async fn make(
        &self,
        held: Manifest,
        body: ManifestBody,
        new: Vec<NewEpoch>,
        what: What,
        now: UnixSeconds,
    ) -> Result<ManifestVersion, RotateError> {
        let root = self.store.sealed_keys(ROOT).await?.into_iter().next();
        let root = root.ok_or_else(|| StartError::KeyMissing { name: ROOT.into() })?;
        let receipts = match what {
            What::ReceiptKey => Some(self.store.sealed_keys(RECEIPT).await?),
            What::Epochs(_) | What::Lists => None,
        };
        let (vault, rng) = (self.vault.clone(), self.rng.clone());
        let made = tokio::task::spawn_blocking(move || {
            let maker = Maker { held: &held, vault: &vault, root: &root, now };
            maker.make(body, &new, receipts.as_deref(), &mut &mut *rng())
        });
        made.await.map_err(|_| StartError::Interrupted)?
    }
}

impl Issuer {
    /// Makes a change to the epochs and takes it over at once. Other processes on the database follow within seconds.
    ///
    /// # Errors
    /// [`RotateError`]; nothing was changed then.
    pub async fn change_epochs(&self, change: Change) -> Result<bool, RotateError> {
        // What the schedule makes goes by the believed time: no clock that is ahead makes keys for another month.
        let now = match change {
            Change::Next => self.inner.believed.earlier(),
            Change::Rotate | Change::Revoke { .. } => self.inner.clock.now(),
        };
        let changed = self.rotation().change(change, now).await?.is_some();
        self.reload().await?;
        Ok(changed)
    }

    /// Changes the receipt key and takes it over at once; see [`Rotation::change_receipt_key`].
    ///
    /// # Errors
    /// [`RotateError`]; nothing was changed then.
    pub async fn change_receipt_key(&self) -> Result<(), RotateError> {
        self.rotation().change_receipt_key(self.inner.clock.now()).await?;
        self.reload().await?;
        Ok(())
    }

    pub(crate) fn rotation(&self) -> Rotation<'_> {
        Rotation {
            store: &self.inner.store,
            config: &self.inner.config,
            vault: self.inner.vault.clone(),
            steps: &self.inner.steps,
            rng: &self.inner.rng,
        }
    }

    /// What a running issuer does every few seconds: takes over a newer manifest, makes the next epoch's keys when
    /// it is time, and publishes what changed in the lists.
    ///
    /// # Errors
    /// [`RotateError`]; the keys that are held stay in use.
    pub async fn tend_keys(&self) -> Result<(), RotateError> {
        self.reload().await?;
        let now = self.inner.believed.earlier();
        let manifest = self.manifest();
        let is_due = epochs::is_due(&manifest, &self.inner.config.epoch, now);
        if is_due && self.change_epochs(Change::Next).await? {
            tracing::info!(version = self.manifest().version(), "made the keys of the next epoch");
        }
        self.tend_lists().await
    }
}

/// What the next version of the manifest changes.
#[derive(Clone, Copy)]
enum What {
    Epochs(Change),
    ReceiptKey,
    Lists,
}

/// For the admin log. The schedule alone makes the next epoch, and a command alone does the rest.
fn act(what: What, made: &ManifestVersion, now: UnixSeconds) -> Act {
    let act = match what {
        What::Epochs(Change::Next) => Act::by(Act::BY_ITSELF, now, Action::KeysMake, ""),
        What::Epochs(Change::Rotate) => Act::by_command(now, Action::KeysRotate, ""),
        What::Epochs(Change::Revoke { epoch }) => {
            Act::by_command(now, Action::KeysRevoke, format!("epoch {epoch}"))
        }
        What::ReceiptKey => Act::by_command(now, Action::KeysReceipt, ""),
        What::Lists => Act::by(Act::BY_ITSELF, now, Action::ManifestList, ""),
    };
    act.detail(format!("manifest version {}", made.version))
}

/// What the next version is made of.
struct Maker<'a> {
    held: &'a Manifest,
    vault: &'a Vault,
    root: &'a SealedKey,
    now: UnixSeconds,
}

impl Maker<'_> {
    fn make(
        &self,
        mut body: ManifestBody,
        new: &[NewEpoch],
        receipts: Option<&[SealedKey]>,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<ManifestVersion, RotateError> {
        let exponents = denominations(&body.products);
        let (mut keys, mut last_bytes) = (Vec::new(), self.last_bytes());
        for new in new {
            let number = body.epochs.last().map_or(0, |epoch| epoch.number) + 1;
            let made = make_epoch(number, *new, &exponents, self.vault, &mut last_bytes, rng)?;
            body.epochs.push(made.epoch);
            keys.extend(made.sealed);
        }
        body.version += 1;
        let vendor_id = self.held.vendor_id();
        if let Some(sealed) = receipts {
            let signs_now = Receipt::open(self.vault, sealed, self.held)?.newest;
            let next = SigningKey::generate(rng);
            body.receipt_keys.change(&vendor_id, body.version, next.public(), &signs_now);
            keys.push(self.vault.seal(&receipt(body.version), next.seed(), rng));
        }
        let root = self.vault.open_signing_key(self.root)?;
        let manifest = body.sign(&root);
        drop(root);
        // The rules are checked where every reader checks them.
        let made = Manifest::open(&manifest, &vendor_id).map_err(InitError::Manifest)?;
        made.may_follow(self.held, self.now)?;
        Ok(ManifestVersion { vendor_id, version: body.version, manifest, keys })
    }

    /// The last bytes that are taken: those of every key that signs now or later.
    fn last_bytes(&self) -> [bool; 256] {
        let mut taken = [false; 256];
        for key in self.held.keys() {
            let windows = key.windows();
            if windows.signs_at(self.now.max(windows.issue_from)) {
                taken[usize::from(key.id().as_bytes()[31])] = true;
            }
        }
        taken
    }
}
