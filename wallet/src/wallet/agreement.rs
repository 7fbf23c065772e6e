//! Under which manifest this wallet has something signed (keys.md, "What a wallet asks for before it buys"): everybody's.
//!
//! With witnesses it is everybody's where they cosigned a checkpoint of the vendor's ledger that has it; without, where relays of so
//! many operators handed out exactly it. Either is known before a purchase, and a purchase asks nobody.

use std::collections::BTreeSet;

use rand_core::RngCore;
use scrip_protocol::{
    address::RelayAddress,
    id::{KeyId, ManifestDigest, OperatorId},
    manifest::{Manifest, Operator, ProvenManifest},
    time::{SECONDS_PER_DAY, UnixSeconds},
    tlog::{note::VerifierKey, policy::WitnessPolicy, proof::LogProof},
};
use serde::Serialize;

use super::Wallet;
use crate::{
    error::WalletError,
    privacy::Privacy,
    records::{
        AgreedManifest, ManifestRecord, OfferedRecord, Purchase, PurchaseState, RelayRecord,
        Settings,
    },
    store::Changes,
};

/// Days within which one relay is asked for the manifest, at a moment of the wallet's own.
pub(super) const DAYS_A_LOOK: u64 = 2;
/// How long a newer manifest under which other keys issue is held before something is signed under it: by then the wallets of
/// everybody have it, and whoever was shown it first is not told from them.
pub(super) const SETTLES_AFTER: u64 = 2 * SECONDS_PER_DAY;

/// Seconds between a question for the manifest and a purchase, of what the wallet does by itself.
const APART: u64 = SECONDS_PER_DAY;

/// What the wallet knows of the vendor's manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ManifestReport {
    /// The newest version that is held.
    pub version: Option<u64>,
    /// Its digest.
    pub digest: Option<ManifestDigest>,
    /// Whether something is signed under it: whether it is everybody's by what the wallet demands.
    pub agreed: bool,
    /// How many witnesses must have cosigned; 0 where none are named.
    pub quorum: usize,
    /// The witnesses.
    pub witnesses: Vec<VerifierKey>,
    /// How many operators must have handed it out, where no witnesses are named.
    pub agreement: usize,
    /// How many did, of the version that most did.
    pub operators: usize,
    /// When it was last seen.
    pub seen: Option<UnixSeconds>,
}

impl ManifestRecord {
    /// The version that is held.
    pub(super) fn newest(&self) -> u64 {
        self.digests.keys().next_back().copied().unwrap_or_default()
    }

    /// Whether it is used, and not the one before it.
    pub(super) fn has_settled(&self, now: UnixSeconds) -> bool {
        self.before.is_none() || now < self.since || self.since.plus(SETTLES_AFTER) <= now
    }

    pub(super) fn agreed(&self) -> AgreedManifest {
        AgreedManifest {
            manifest: self.manifest.clone(),
            proof: self.proof.clone(),
            operators: self.operators.clone(),
        }
    }
}

impl Wallet {
    /// Of how many operators relays must hand out a manifest before this wallet buys under it, where it names no witnesses.
    pub async fn agreement(&self) -> u8 {
        self.settings.lock().await.agreement
    }

    /// Stores how many operators must hand out a manifest. With none, and without witnesses, the vendor alone says which keys there
    /// are, and can give this wallet keys of its own; with one, it can together with that one.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub async fn set_agreement(&self, operators: u8) -> Result<(), WalletError> {
        let mut settings = self.settings.lock().await;
        let changed = Settings { agreement: operators, ..settings.clone() };
        self.store.commit(Changes::default().put(&changed)).await?;
        *settings = changed;
        Ok(())
    }

    /// The witnesses of whom so many must have cosigned a checkpoint with the manifest; none with [`WitnessPolicy::none`].
    pub async fn witness_policy(&self) -> WitnessPolicy {
        self.settings.lock().await.witnesses.clone()
    }

    /// Stores the witnesses. What is held stays in use where it satisfies them, and else waits for a proof that does.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub async fn set_witnesses(&self, witnesses: WitnessPolicy) -> Result<(), WalletError> {
        let mut settings = self.settings.lock().await;
        let changed = Settings { witnesses, ..settings.clone() };
        self.store.commit(Changes::default().put(&changed)).await?;
        *settings = changed;
        Ok(())
    }

    /// Whether this is everybody's, by what the wallet demands now.
    pub(super) async fn is_agreed(&self, one: &AgreedManifest) -> Result<bool, WalletError> {
        let policy = self.witness_policy().await;
        if policy.quorum() > 0 {
            let manifest = Manifest::open(&one.manifest.0, &self.vendor.id)?;
            let proof = one.proof.as_ref().and_then(|text| LogProof::parse(&text.0).ok());
            return Ok(ProvenManifest::new(manifest, proof).verify(&policy).is_ok());
        }
        let counted = self.counted_operators().await?;
        let found = one.operators.intersection(&counted).count();
        Ok(found >= usize::from(self.agreement().await))
    }

    /// The operators whose relays count: those that the user added, and those whom the manifest names that is held already. Whom
    /// only the manifest in question names would say what its maker wants.
    async fn counted_operators(&self) -> Result<BTreeSet<OperatorId>, WalletError> {
        let relays = self.store.all::<RelayRecord>().await?;
        let own = relays.into_iter().filter(|relay| relay.own);
        let mut counted: BTreeSet<OperatorId> = own.map(|relay| relay.address.id).collect();
        if let Some(held) = self.store.get::<ManifestRecord>(&[]).await? {
            let manifest = Manifest::open(&held.manifest.0, &self.vendor.id)?;
            counted.extend(manifest.operators().iter().map(Operator::id));
        }
        Ok(counted)
    }

    /// Refuses a purchase that could wait for ever, before anything of it is recorded.
    pub(super) async fn refuse_hopeless(&self) -> Result<(), WalletError> {
        if self.witness_policy().await.quorum() > 0 {
            return Ok(());
        }
        let (needed, known) =
            (usize::from(self.agreement().await), self.counted_operators().await?.len());
        match known < needed && self.usable().await?.is_none() {
            true => Err(WalletError::TooFewOperators { needed, known }),
            false => Ok(()),
        }
    }

    /// The manifest to have certificates signed under: everybody's, and on schedule (keys.md, "On schedule"). Asks nobody.
    ///
    /// # Errors
    /// [`WalletError`]: it waits.
    pub(super) async fn manifest_to_buy_under(&self) -> Result<Manifest, WalletError> {
        let Some(agreed) = self.usable().await? else { return Err(self.not_agreed().await?) };
        let manifest = Manifest::open(&agreed.manifest.0, &self.vendor.id)?;
        manifest.is_on_schedule(self.now())?;
        Ok(manifest)
    }

    /// What is held and agreed on; the one before it while it has not settled and that one still issues.
    async fn usable(&self) -> Result<Option<AgreedManifest>, WalletError> {
        let Some(held) = self.store.get::<ManifestRecord>(&[]).await? else { return Ok(None) };
        let now = self.now();
        if !held.has_settled(now)
            && let Some(before) = &held.before
            && self.is_agreed(before).await?
            && !issuing(&Manifest::open(&before.manifest.0, &self.vendor.id)?, now).is_empty()
        {
            return Ok(Some(before.clone()));
        }
        let newest = held.agreed();
        Ok(self.is_agreed(&newest).await?.then_some(newest))
    }

    /// The newest manifest that is held, for certificates that exist; else what the vendor shows, for a wallet that is being
    /// restored. Nothing new is signed under it.
    ///
    /// # Errors
    /// [`WalletError::NoManifest`].
    pub(super) async fn known_manifest(&self) -> Result<Manifest, WalletError> {
        if let Some(held) = self.store.get::<ManifestRecord>(&[]).await? {
            return Ok(Manifest::open(&held.manifest.0, &self.vendor.id)?);
        }
        let offered = self.store.all::<OfferedRecord>().await?;
        let newest = offered.iter().filter(|one| one.vendor).max_by_key(|one| one.version);
        let newest = newest.ok_or(WalletError::NoManifest)?;
        Ok(Manifest::open(&newest.manifest.manifest.0, &self.vendor.id)?)
    }

    /// What the wallet knows of the manifest.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub async fn manifest_report(&self) -> Result<ManifestReport, WalletError> {
        let held = self.store.get::<ManifestRecord>(&[]).await?;
        let counted = self.counted_operators().await?;
        let mut operators =
            held.as_ref().map_or(0, |held| held.operators.intersection(&counted).count());
        for offered in self.store.all::<OfferedRecord>().await? {
            let found = offered.manifest.operators.intersection(&counted).count();
            operators = operators.max(found);
        }
        let policy = self.witness_policy().await;
        Ok(ManifestReport {
            version: held.as_ref().map(ManifestRecord::newest),
            digest: held.as_ref().and_then(|held| held.digests.values().next_back().copied()),
            agreed: self.usable().await?.is_some(),
            quorum: policy.quorum(),
            witnesses: policy.witnesses().to_vec(),
            agreement: self.agreement().await.into(),
            operators,
            seen: held.and_then(|held| held.seen),
        })
    }

    async fn not_agreed(&self) -> Result<WalletError, WalletError> {
        let report = self.manifest_report().await?;
        if report.quorum > 0 {
            return Ok(WalletError::NotProvenYet { days: DAYS_A_LOOK });
        }
        let missing = report.agreement.saturating_sub(report.operators).max(1) as u64;
        Ok(WalletError::NotAgreedYet {
            found: report.operators,
            needed: report.agreement,
            days: missing * DAYS_A_LOOK,
        })
    }

    /// Whether a purchase came to its end a moment ago: no relay is asked for the manifest then.
    pub(super) async fn bought_lately(&self) -> Result<bool, WalletError> {
        let now = self.now();
        let lately = |purchase: &Purchase| match purchase.state {
            PurchaseState::Issued { at, .. } => at <= now && now < at.plus(APART),
            _ => false,
        };
        let purchases = self.store.all::<Purchase>().await?;
        Ok(purchases.iter().any(lately))
    }

    /// Whether a purchase may go on by itself: there is a manifest to buy under, and no relay was asked for it a moment ago.
    pub(super) async fn may_buy_by_itself(&self) -> Result<bool, WalletError> {
        if self.usable().await?.is_none() {
            return Ok(false);
        }
        let now = self.now();
        let held = self.store.get::<ManifestRecord>(&[]).await?;
        let asked = held.filter(|held| !held.operators.is_empty()).and_then(|held| held.seen);
        let lately = asked.is_some_and(|asked| asked <= now && now < asked.plus(APART));
        Ok(!lately || self.privacy().await == Privacy::Off)
    }

    /// A relay to ask for the manifest, at random among those whose operators handed out nothing that counts yet, and then
    /// among all.
    pub(super) async fn relay_to_ask(&self) -> Result<Option<RelayAddress>, WalletError> {
        Ok(self.relays_to_ask().await?.into_iter().next())
    }

    /// All relays, in the order in which they are asked.
    async fn relays_to_ask(&self) -> Result<Vec<RelayAddress>, WalletError> {
        let relays = self.known_relays().await?;
        let mut relays: Vec<RelayRecord> = relays.into_iter().map(|one| one.record).collect();
        let mut known: BTreeSet<OperatorId> = BTreeSet::new();
        if let Some(held) = self.store.get::<ManifestRecord>(&[]).await?
            && !self.is_agreed(&held.agreed()).await?
        {
            known.extend(held.operators);
        }
        for offered in self.store.all::<OfferedRecord>().await? {
            known.extend(offered.manifest.operators);
        }
        let mut entropy = self.environment.entropy.clone();
        relays.sort_by_cached_key(|relay| (known.contains(&relay.address.id), entropy.next_u64()));
        Ok(relays.into_iter().map(|relay| relay.address).collect())
    }

    /// Asks relays now, one after the other, until the manifest is everybody's by what the wallet demands: at least one, at most all.
    /// Where the wallet knows none, the vendor. What is learned so is bought under at once. It shows each relay that somebody is
    /// interested now, and the vendor's books say who bought right after.
    ///
    /// # Errors
    /// [`WalletError`] where a manifest contradicts another, or nobody answers.
    pub async fn look_now(&self) -> Result<ManifestReport, WalletError> {
        let relays = self.relays_to_ask().await?;
        if relays.is_empty() {
            self.meet_vendor().await?;
        }
        let (mut answered, mut failed) = (relays.is_empty(), None);
        for relay in relays {
            match self.ask_relay(&relay).await {
                Ok(()) => answered = true,
                // One that does not answer, lags behind or talks nonsense is replaced by another.
                Err(
                    error @ (WalletError::Call { .. }
                    | WalletError::HandedOut(_)
                    | WalletError::ManifestUnproven { .. }),
                ) => failed = Some(error),
                Err(error) => return Err(error),
            }
            if answered && self.is_up_to_date().await? {
                break;
            }
        }
        if let Some(error) = failed.filter(|_| !answered) {
            return Err(error);
        }
        self.settle_now().await?;
        self.manifest_report().await
    }

    /// Whether what is held is agreed on, and nobody showed anything newer.
    async fn is_up_to_date(&self) -> Result<bool, WalletError> {
        let Some(held) = self.store.get::<ManifestRecord>(&[]).await? else { return Ok(false) };
        let offered = self.store.all::<OfferedRecord>().await?;
        let newest = offered.iter().all(|one| one.version <= held.newest());
        Ok(newest && self.is_agreed(&held.agreed()).await?)
    }

    /// What is held is bought under from now on.
    async fn settle_now(&self) -> Result<(), WalletError> {
        let _one_at_a_time = self.learning.lock().await;
        if let Some(held) = self.store.get::<ManifestRecord>(&[]).await?
            && held.before.is_some()
        {
            let held = ManifestRecord { before: None, ..held };
            self.store.commit(Changes::default().put(&held)).await?;
        }
        Ok(())
    }
}

/// The keys that certificates could be signed with at `now`.
pub(super) fn issuing(manifest: &Manifest, now: UnixSeconds) -> BTreeSet<KeyId> {
    manifest.keys().filter(|key| key.windows().issues_at(now)).map(|key| key.id()).collect()
}
