//! Whether this wallet is shown the manifest that everybody is shown (keys.md, "What a wallet asks for before it buys").
//!
//! Before anything is signed under a manifest, relays of so many operators must have reported exactly its version and digest.
//! What they said when they were used counts, and is remembered: relays are asked only where that does not suffice, as few
//! as do, and once for each version. To ask shows a relay that somebody is interested in it, and when.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use rand_core::RngCore;
use scrip_protocol::{
    address::RelayAddress,
    id::{KeyId, OperatorId},
    manifest::Manifest,
    time::UnixSeconds,
};

use super::Wallet;
use crate::{
    error::WalletError,
    net::{Network, VendorClient},
    records::{AgreedManifest, ManifestRecord, RelayRecord, Settings},
    store::Changes,
};

/// How the relays stand to one manifest.
#[derive(Default)]
struct Poll {
    /// Whose relays report it.
    witnesses: BTreeSet<OperatorId>,
    /// Why the others do not.
    reasons: BTreeMap<RelayAddress, String>,
    /// A relay that reports a later version.
    ahead: Option<(RelayAddress, u64)>,
}

impl Wallet {
    /// How many operators must report a manifest before this wallet buys under it.
    pub async fn agreement(&self) -> u8 {
        self.settings.lock().await.agreement
    }

    /// Stores how many operators must report a manifest. With none, the vendor alone says which keys there are, and can
    /// give this wallet keys of its own; with one, it can together with that one.
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

    /// Refuses a purchase for which too few operators are known, before anything of it is recorded.
    pub(super) async fn refuse_unwitnessed(&self) -> Result<(), WalletError> {
        let needed = usize::from(self.agreement().await);
        let held = self.store.get::<ManifestRecord>(&[]).await?;
        let mut known = held.map(|held| held.witnesses).unwrap_or_default();
        let relays = self.store.all::<RelayRecord>().await?;
        known.extend(relays.iter().map(|relay| relay.address.id));
        match known.len() < needed {
            true => Err(WalletError::TooFewWitnesses { needed, known: known.len() }),
            false => Ok(()),
        }
    }

    /// The manifest to have certificates signed under: everybody's, and on schedule (keys.md, "On schedule").
    pub(super) async fn agreed_manifest(
        &self,
        client: &VendorClient,
    ) -> Result<Manifest, WalletError> {
        let manifest = self.confirmed_manifest(client).await?;
        manifest.is_on_schedule(self.now())?;
        Ok(manifest)
    }

    /// The vendor's newest, if enough operators report it. While they do not have it yet, the newest on which they agreed
    /// before, as long as the same keys issue in both.
    async fn confirmed_manifest(&self, client: &VendorClient) -> Result<Manifest, WalletError> {
        let needed = usize::from(self.agreement().await);
        let mut manifest = self.refresh_manifest(client).await?;
        if needed == 0 {
            return Ok(manifest);
        }
        self.refuse_unwitnessed().await?;
        let mut poll = self.poll(&manifest, needed).await?;
        if poll.ahead.is_some() {
            // It was published a moment ago.
            manifest = self.refresh_manifest(client).await?;
            poll = self.poll(&manifest, needed).await?;
        }
        if let Some((relay, theirs)) = poll.ahead {
            let (relay, ours) = (relay.into(), manifest.version());
            return Err(WalletError::ManifestWithheld { relay, theirs, ours });
        }
        if poll.witnesses.len() >= needed {
            return Ok(manifest);
        }
        match self.agreed_before(needed).await? {
            Some(older) if issuing(&older, self.now()) == issuing(&manifest, self.now()) => {
                Ok(older)
            }
            _ => Err(WalletError::ManifestUnconfirmed {
                version: manifest.version(),
                digest: manifest.digest(),
                confirmed: poll.witnesses.len(),
                needed,
                reasons: poll.reasons.into_values().collect(),
            }),
        }
    }

    /// What the relays say of this manifest: what they said before, and, until there are enough, what they say now.
    async fn poll(&self, manifest: &Manifest, needed: usize) -> Result<Poll, WalletError> {
        let before = self.witnesses(manifest).await?;
        let mut poll = Poll { witnesses: before.clone(), ..Poll::default() };
        let mut unasked = self.store.all::<RelayRecord>().await?;
        for relay in &unasked {
            self.hear(&mut poll, relay, manifest).await?;
        }
        let mut entropy = self.environment.entropy.clone();
        unasked.sort_by_cached_key(|_| entropy.next_u64());
        let network = self.network().await;
        while poll.witnesses.len() < needed && poll.ahead.is_none() && !unasked.is_empty() {
            let round = next_round(&mut unasked, &poll.witnesses, needed);
            let asked = join_all(round.iter().map(|relay| self.ask(&network, &relay.address)));
            for (relay, asked) in round.iter().zip(asked.await) {
                match asked {
                    Ok(relay) => self.hear(&mut poll, &relay, manifest).await?,
                    Err(error) => {
                        poll.reasons.insert(relay.address.clone(), error.to_string());
                    }
                }
            }
        }
        if poll.witnesses != before {
            self.remember_witnesses(manifest, poll.witnesses.clone()).await?;
        }
        Ok(poll)
    }

    /// Counts what a relay last said.
    async fn hear(
        &self,
        poll: &mut Poll,
        relay: &RelayRecord,
        manifest: &Manifest,
    ) -> Result<(), WalletError> {
        let place = &relay.address.authority;
        let Some(entry) = relay.info.as_ref().and_then(|info| self.entry_of(info)) else {
            let reason = format!("{place} does not take this vendor's certificates");
            poll.reasons.insert(relay.address.clone(), reason);
            return Ok(());
        };
        self.refuse_contradiction(relay).await?;
        let theirs = entry.manifest_version;
        if theirs > manifest.version() {
            poll.ahead = Some((relay.address.clone(), theirs));
        } else if theirs == manifest.version() && entry.manifest_digest == Some(manifest.digest()) {
            poll.witnesses.insert(relay.address.id);
            poll.reasons.remove(&relay.address);
        } else {
            let reason = format!("{place} still has version {theirs}");
            poll.reasons.insert(relay.address.clone(), reason);
        }
        Ok(())
    }

    /// A relay with what it says now.
    async fn ask(
        &self,
        network: &Network,
        address: &RelayAddress,
    ) -> Result<RelayRecord, WalletError> {
        let client = network.relay(address, self.environment.clock.clone())?;
        let said = client.statement().await.map_err(WalletError::call(&address.authority))?;
        self.remember(address, &said).await
    }

    /// The operators that reported this manifest before.
    async fn witnesses(&self, manifest: &Manifest) -> Result<BTreeSet<OperatorId>, WalletError> {
        let held = self.store.get::<ManifestRecord>(&[]).await?;
        let of_this = held.filter(|held| held.manifest.0 == manifest.bytes());
        Ok(of_this.map(|held| held.witnesses).unwrap_or_default())
    }

    async fn remember_witnesses(
        &self,
        manifest: &Manifest,
        witnesses: BTreeSet<OperatorId>,
    ) -> Result<(), WalletError> {
        let held = self.store.get::<ManifestRecord>(&[]).await?;
        if let Some(held) = held.filter(|held| held.manifest.0 == manifest.bytes()) {
            let held = ManifestRecord { witnesses, ..held };
            self.store.commit(Changes::default().put(&held)).await?;
            self.at("wallet.manifest.agreed");
        }
        Ok(())
    }

    /// The newest manifest but the vendor's last on which enough operators agreed.
    async fn agreed_before(&self, needed: usize) -> Result<Option<Manifest>, WalletError> {
        let held = self.store.get::<ManifestRecord>(&[]).await?;
        let agreed = held.and_then(|held| held.agreed);
        let agreed = agreed.filter(|agreed| agreed.witnesses.len() >= needed);
        let open = |agreed: AgreedManifest| Manifest::open(&agreed.manifest.0, &self.vendor.id);
        Ok(agreed.map(open).transpose()?)
    }

    /// What is kept of a manifest that a newer one replaces.
    pub(super) async fn agreed_until_now(&self, held: ManifestRecord) -> Option<AgreedManifest> {
        let ManifestRecord { manifest, witnesses, agreed, .. } = held;
        let needed = usize::from(self.agreement().await);
        if witnesses.len() >= needed {
            Some(AgreedManifest { manifest, witnesses })
        } else {
            agreed
        }
    }
}

/// Takes as many relays out of `unasked` as witnesses are missing, each of another operator that is none yet.
fn next_round(
    unasked: &mut Vec<RelayRecord>,
    witnesses: &BTreeSet<OperatorId>,
    needed: usize,
) -> Vec<RelayRecord> {
    let missing = needed.saturating_sub(witnesses.len());
    let mut round: Vec<RelayRecord> = Vec::new();
    let mut rest = Vec::new();
    for relay in unasked.drain(..) {
        let operator = relay.address.id;
        if witnesses.contains(&operator) {
            continue;
        }
        let is_new = round.iter().all(|other| other.address.id != operator);
        if is_new && round.len() < missing { round.push(relay) } else { rest.push(relay) }
    }
    *unasked = rest;
    round
}

/// The keys that certificates could be signed with at `now`.
fn issuing(manifest: &Manifest, now: UnixSeconds) -> BTreeSet<KeyId> {
    manifest.keys().filter(|key| key.windows().issues_at(now)).map(|key| key.id()).collect()
}
