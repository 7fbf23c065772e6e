//! How the wallet comes to the vendor's manifest (keys.md, "How a wallet comes to its manifest"): what relays hand out, and at the
//! beginning the vendor, is checked, held against all that is known, and taken once it is everybody's.
//!
//! Nothing here is asked beside a purchase. What is signed and must not be is kept as evidence, whoever handed it out.

use std::collections::BTreeSet;

use scrip_protocol::{
    address::RelayAddress,
    id::OperatorId,
    manifest::{HeldManifest, Manifest, ProvenManifest},
    resource::{AcceptedVendor, RelayInfo},
    time::UnixSeconds,
    tlog::{checkpoint::SignedCheckpoint, policy::WitnessPolicy, proof::LogProof},
};

use super::{Wallet, agreement::issuing};
use crate::{
    error::WalletError,
    net::CallError,
    records::{AgreedManifest, Blob, Evidence, ManifestRecord, OfferedRecord, RelayRecord},
    store::Changes,
};

/// Where a manifest came from.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// The vendor itself: nobody's witness.
    Vendor,
    /// A relay, with its operator's word for the manifest.
    Relay { address: &'a RelayAddress, said: &'a str },
}

impl Source<'_> {
    fn operator(&self) -> Option<OperatorId> {
        match self {
            Self::Vendor => None,
            Self::Relay { address, .. } => Some(address.id),
        }
    }
}

impl Wallet {
    /// Fetches the manifest from the vendor: only when a wallet is made or restored, or knows no relay.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn meet_vendor(&self) -> Result<(), WalletError> {
        let client = self.network().await.vendor(&self.vendor)?;
        let bytes = client.manifest().await.map_err(WalletError::call(&self.vendor.authority))?;
        self.learn(ProvenManifest::open(&bytes, &self.vendor.id)?, Source::Vendor).await
    }

    /// Fetches it from a relay, over connections of its own on the way for spending.
    pub(super) async fn ask_relay(&self, address: &RelayAddress) -> Result<(), WalletError> {
        let client = self.network().await.relay(address, self.environment.clock.clone())?;
        let failed = WalletError::call(&address.authority);
        let (bytes, said) = client.manifest(&self.vendor.id).await.map_err(failed)?;
        let proven = ProvenManifest::open(&bytes, &self.vendor.id)?;
        if HeldManifest::open(&said, &address.id, proven.manifest()).is_err() {
            let error = CallError::Invalid("its operator does not vouch for the manifest");
            return Err(WalletError::call(&address.authority)(error));
        }
        self.learn(proven, Source::Relay { address, said: &said }).await
    }

    /// Takes over what somebody showed, as far as it goes: a newer manifest that is everybody's is held from now on, another one
    /// waits for more operators, an older one says nothing.
    ///
    /// # Errors
    /// [`WalletError`] where it contradicts what is known, or witnesses are demanded and did not stand for it.
    async fn learn(&self, proven: ProvenManifest, source: Source<'_>) -> Result<(), WalletError> {
        let _one_at_a_time = self.learning.lock().await;
        let offered = self.store.all::<OfferedRecord>().await?;
        let held = self.store.get::<ManifestRecord>(&[]).await?;
        self.refuse_split(&proven, held.as_ref(), &offered, source).await?;
        let version = proven.manifest().version();
        match held {
            Some(held) if version < held.newest() => Ok(()),
            Some(held) if version == held.newest() => self.seen_again(held, proven, source).await,
            held => {
                if let Some(held) = &held {
                    self.refuse_broken(held, &proven, source).await?;
                }
                self.take(held, offered, proven, source).await
            }
        }
    }

    /// The manifest that is held, from one more place.
    async fn seen_again(
        &self,
        mut held: ManifestRecord,
        proven: ProvenManifest,
        source: Source<'_>,
    ) -> Result<(), WalletError> {
        let policy = self.witness_policy().await;
        held.seen = Some(self.now());
        held.operators.extend(source.operator());
        if let Ok(signed) = proven.verify(&policy) {
            self.note_checkpoint(&mut held, &signed).await?;
            held.proof = proof_of(&proven);
        }
        self.store.commit(Changes::default().put(&held)).await?;
        self.at("wallet.manifest.agreed");
        Ok(())
    }

    /// A manifest that is newer than what is held.
    async fn take(
        &self,
        held: Option<ManifestRecord>,
        offered: Vec<OfferedRecord>,
        proven: ProvenManifest,
        source: Source<'_>,
    ) -> Result<(), WalletError> {
        let policy = self.witness_policy().await;
        let signed = proven.verify(&policy);
        if policy.quorum() > 0
            && let Err(reason) = &signed
        {
            let (version, reason) = (proven.manifest().version(), Box::new(reason.clone()));
            return Err(WalletError::ManifestUnproven { version, reason });
        }
        let digest = proven.manifest().digest();
        let mut changes = Changes::default();
        let mut operators: BTreeSet<OperatorId> = source.operator().into_iter().collect();
        let mut vendor = matches!(source, Source::Vendor);
        for mut other in offered {
            if other.digest == digest {
                operators.extend(&other.manifest.operators);
                vendor |= other.vendor;
            } else if other.take_back(source.operator()) {
                // What was shown before by whoever shows this now does not count beside it.
                changes = match other.is_nobodys() {
                    true => changes.delete::<OfferedRecord>(other.digest.as_bytes()),
                    false => changes.put(&other),
                };
            }
        }
        let manifest = proven.manifest();
        let agreed = AgreedManifest {
            manifest: Blob(manifest.bytes().to_vec()),
            proof: signed.is_ok().then(|| proof_of(&proven)).flatten(),
            operators,
        };
        if !self.is_agreed(&agreed).await? {
            let record = OfferedRecord {
                version: manifest.version(),
                digest,
                manifest: agreed,
                vendor,
                at: self.now(),
            };
            self.store.commit(changes.put(&record)).await?;
            self.at("wallet.manifest.offered");
            return Ok(());
        }
        let mut record = self.next_record(held, manifest, agreed)?;
        if let Ok(signed) = &signed {
            self.note_checkpoint(&mut record, signed).await?;
        }
        for other in self.store.all::<OfferedRecord>().await? {
            if other.version <= manifest.version() {
                changes = changes.delete::<OfferedRecord>(other.digest.as_bytes());
            }
        }
        changes = self.keep_version(changes, manifest).await?;
        self.store.commit(changes.put(&record)).await?;
        self.at("wallet.manifest.stored");
        Ok(())
    }

    /// What is held from now on. Until it has settled, the one that was bought under before is still bought under.
    fn next_record(
        &self,
        held: Option<ManifestRecord>,
        manifest: &Manifest,
        agreed: AgreedManifest,
    ) -> Result<ManifestRecord, WalletError> {
        let now = self.now();
        let mut digests = held.as_ref().map(|held| held.digests.clone()).unwrap_or_default();
        digests.insert(manifest.version(), manifest.digest());
        let checkpoint = held.as_ref().and_then(|held| held.checkpoint.clone());
        let mut before = match held {
            Some(held) if held.has_settled(now) => Some(held.agreed()),
            Some(held) => held.before,
            None => None,
        };
        if let Some(older) = &before {
            let older = Manifest::open(&older.manifest.0, &self.vendor.id)?;
            if issuing(&older, now) == issuing(manifest, now) {
                before = None;
            }
        }
        let AgreedManifest { manifest, proof, operators } = agreed;
        let (since, seen) = (now, Some(now));
        Ok(ManifestRecord { manifest, proof, operators, since, before, digests, seen, checkpoint })
    }

    /// Keeps the newest checkpoint that came with a proof: of two trees of one size, with different roots, one is a lie.
    async fn note_checkpoint(
        &self,
        record: &mut ManifestRecord,
        signed: &SignedCheckpoint,
    ) -> Result<(), WalletError> {
        let manifest = Manifest::open(&record.manifest.0, &self.vendor.id)?;
        let known = record.checkpoint.as_ref().and_then(|known| {
            let keys = manifest.ledger_keys();
            let origin = &signed.checkpoint().origin;
            SignedCheckpoint::open(&known.0, origin, &keys, &WitnessPolicy::none()).ok()
        });
        let offered = Blob(signed.note().encode().into_bytes());
        if let (Some(known), Some(held)) = (&known, &record.checkpoint)
            && known.contradicts(signed)
        {
            let evidence = Evidence::Checkpoints { held: held.clone(), offered };
            self.keep_evidence(manifest.version(), evidence).await?;
            return Err(WalletError::LedgerForked { size: signed.checkpoint().size });
        }
        if known.is_none_or(|known| known.checkpoint().size < signed.checkpoint().size) {
            record.checkpoint = Some(offered);
        }
        Ok(())
    }

    /// Two manifests of one version are evidence, whoever handed them out, and whether or not either is everybody's.
    async fn refuse_split(
        &self,
        proven: &ProvenManifest,
        held: Option<&ManifestRecord>,
        offered: &[OfferedRecord],
        source: Source<'_>,
    ) -> Result<(), WalletError> {
        let (version, other) = (proven.manifest().version(), proven.manifest().digest());
        let kept = self.held_version(version).await?;
        let known = held.and_then(|held| Some((*held.digests.get(&version)?, kept)));
        let waiting = offered.iter().filter(|one| one.version == version);
        let waiting = waiting.map(|one| (one.digest, Some(one.manifest.manifest.clone())));
        let Some((one, bytes)) = known.into_iter().chain(waiting).find(|(one, _)| *one != other)
        else {
            return Ok(());
        };
        if let Some(held) = bytes {
            self.keep_manifests(held, proven, source).await?;
        }
        Err(WalletError::ManifestSplit { version, one, other })
    }

    async fn refuse_broken(
        &self,
        held: &ManifestRecord,
        proven: &ProvenManifest,
        source: Source<'_>,
    ) -> Result<(), WalletError> {
        let older = Manifest::open(&held.manifest.0, &self.vendor.id)?;
        let held_at = held.seen.unwrap_or(UnixSeconds(0));
        let Err(rule) = proven.manifest().may_follow(&older, held_at) else { return Ok(()) };
        self.keep_manifests(held.manifest.clone(), proven, source).await?;
        let (held, offered) = (older.version(), proven.manifest().version());
        Err(WalletError::ManifestBroken { held, offered, rule })
    }

    async fn keep_manifests(
        &self,
        held: Blob,
        offered: &ProvenManifest,
        source: Source<'_>,
    ) -> Result<(), WalletError> {
        let (relay, said) = match source {
            Source::Vendor => (None, None),
            Source::Relay { address, said } => (Some(address.clone()), Some(said.to_owned())),
        };
        let manifest = offered.manifest();
        let offered = Blob(manifest.bytes().to_vec());
        let evidence = Evidence::Manifests { held, offered, relay, said };
        self.keep_evidence(manifest.version(), evidence).await
    }

    /// Refuses a relay that does not take this vendor's certificates.
    pub(super) fn check_relay(&self, relay: &RelayRecord) -> Result<(), WalletError> {
        match relay.info.as_ref().and_then(|info| self.entry_of(info)) {
            Some(_) => Ok(()),
            None => Err(WalletError::NotAccepted(relay.address.clone().into())),
        }
    }

    pub(super) fn entry_of<'a>(&self, info: &'a RelayInfo) -> Option<&'a AcceptedVendor> {
        info.vendors.iter().find(|vendor| vendor.vendor_id == self.vendor.id)
    }
}

fn proof_of(proven: &ProvenManifest) -> Option<Blob> {
    proven.proof().map(LogProof::encode).map(|text| Blob(text.into_bytes()))
}
